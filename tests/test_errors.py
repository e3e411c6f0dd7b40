"""Error replies of Redis and of scripts, as exceptions."""

from __future__ import annotations

import copy
import pickle
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txthoonk import errors
from txthoonk.errors import (
    AuthenticationFailed,
    CrossSlot,
    FeedDoesNotExist,
    FeedError,
    ItemDoesNotExist,
    ItemError,
    JobNotClaimed,
    ObjectError,
    OutOfMemory,
    PermissionDenied,
    ReadOnly,
    RegistrationError,
    ScriptMissing,
    ServerBusy,
    ServerError,
    ThoonkError,
    WrongFeedType,
    WrongKeyType,
)
from txthoonk.verdicts import SCRIPT_ERRORS, SERVER_ERRORS, script_error, server_error

#: How Redis 6.2 and 7.0 wrap what went wrong inside a script.
WRAPPED_6 = "ERR Error running script (call to f_6e811b13): @user_script:1: "
WRAPPED_7 = " script: 6e811b13, on @user_script:1."

WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
OOM = "OOM command not allowed when used memory > 'maxmemory'."
READ_ONLY = "READONLY You can't write against a read only replica."
MAY_NOT = "The user executing the script can't "

#: What Redis says -> the exception; literally from 6.2.14 and 7.0.15.
REPLIES: dict[str, type[ServerError]] = {
    # outside of scripts
    "ERR unknown command 'FOO'": ServerError,
    "ERR value is not an integer or out of range": WrongKeyType,
    "ERR hash value is not an integer": WrongKeyType,
    "ERR increment or decrement would overflow": WrongKeyType,
    WRONG_TYPE: WrongKeyType,
    OOM: OutOfMemory,
    READ_ONLY: ReadOnly,
    "MISCONF Redis is configured to save RDB snapshots, but ...": ReadOnly,
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": ReadOnly,
    "NOREPLICAS Not enough good replicas to write.": ReadOnly,
    "LOADING Redis is loading the dataset in memory": ServerBusy,
    "BUSY Redis is busy running a script.": ServerBusy,
    "TRYAGAIN Multiple keys request during rehashing of slot": ServerBusy,
    "CROSSSLOT Keys in request don't hash to the same slot": CrossSlot,
    "NOSCRIPT No matching script. Please use EVAL.": ScriptMissing,
    "NOAUTH Authentication required.": AuthenticationFailed,
    "WRONGPASS invalid username-password pair or user is disabled.": AuthenticationFailed,
    "ERR invalid password": AuthenticationFailed,
    "ERR AUTH <password> called without any password configured for the default user. Are you "
    "sure your configuration is correct?": AuthenticationFailed,
    "NOPERM this user has no permissions to run the 'del' command": PermissionDenied,
    "NOPERM this user has no permissions to access one of the keys used as "
    "arguments": PermissionDenied,
    # 6.2, inside of them
    f"{WRAPPED_6}ERR value is not an integer or out of range": WrongKeyType,
    f"{WRAPPED_6}ERR hash value is not an integer": WrongKeyType,
    f"{WRAPPED_6}{WRONG_TYPE}": WrongKeyType,
    f"{WRAPPED_6}@user_script: 1: -{OOM}": OutOfMemory,
    f"{WRAPPED_6}@user_script: 1: -{READ_ONLY}": ReadOnly,
    f"{WRAPPED_6}@user_script: 1: {MAY_NOT}run this command or subcommand": PermissionDenied,
    f"{WRAPPED_6}@user_script: 1: {MAY_NOT}access at least one of the keys mentioned in the "
    "command arguments": PermissionDenied,
    f"{WRAPPED_6}@user_script: 1: {MAY_NOT}publish to the channel mentioned in the "
    "command": PermissionDenied,
    f"{WRAPPED_6}user_script:1: boom": ServerError,
    # 7.0, inside of them
    f"ERR value is not an integer or out of range{WRAPPED_7}": WrongKeyType,
    f"{WRONG_TYPE}{WRAPPED_7}": WrongKeyType,
    f"{OOM}{WRAPPED_7}": OutOfMemory,
    f"{READ_ONLY}{WRAPPED_7}": ReadOnly,
    f"ERR {MAY_NOT}run this command or subcommand{WRAPPED_7}": PermissionDenied,
    f"ERR {MAY_NOT}access at least one of the keys mentioned in the command "
    f"arguments{WRAPPED_7}": PermissionDenied,
    f"ERR {MAY_NOT}publish to the channel mentioned in the command{WRAPPED_7}": PermissionDenied,
    f"ERR user_script:1: boom{WRAPPED_7}": ServerError,
    # strange, but seen in servers that are not Redis
    "no code at all": ServerError,
    "": ServerError,
}


class ServerErrorTests(SynchronousTestCase):
    """What Redis refuses."""

    def test_replies(self) -> None:
        """
        What Redis says becomes the same exception in every version, inside and outside of scripts.
        """
        for reply, kind in REPLIES.items():
            error = server_error(reply)
            self.assertIs(type(error), kind, reply)
            self.assertEqual((str(error), error.message), (reply, reply))
            self.assertNotIn(error.code, ("", "Error"))

    def test_all_named(self) -> None:
        """
        Each code that has an exception of its own leads to it, with and without more words.
        """
        for code, kind in SERVER_ERRORS.items():
            for reply in (code, f"{code} and so on"):
                error = server_error(reply)
                self.assertEqual((type(error), error.code), (kind, code))

    def test_feed(self) -> None:
        """
        In a verb's error the feed is named, and the item if it is about one.
        """
        error = script_error(server_error(WRONG_TYPE), "pictures", "1")
        self.assertIsInstance(error, WrongKeyType)
        self.assertEqual(str(error), f"{WRONG_TYPE} (feed 'pictures', id '1')")
        error = script_error(server_error(WRONG_TYPE), "pictures", None)
        self.assertEqual(str(error), f"{WRONG_TYPE} (feed 'pictures')")


class ScriptErrorTests(SynchronousTestCase):
    """What a script refuses."""

    def verdict(self, reply: str, feed: str = "pictures", id: str | None = "42") -> Any:
        """The exception for a script's reply."""
        return script_error(server_error(reply), feed, id)

    def test_verdicts(self) -> None:
        """
        Each code is an exception that names the feed, and the item where it is about one.
        """
        for code, kind in SCRIPT_ERRORS.items():
            for reply in (code, f"ERR {code}"):  # 6.2, 7.0
                error = self.verdict(reply)
                self.assertIs(type(error), kind)
                self.assertEqual((error.feed, error.detail), ("pictures", ""))
                self.assertIn("'pictures'", str(error))
                if isinstance(error, ItemError):
                    self.assertEqual(error.id, "42")
                    self.assertIn("'42'", str(error))

    def test_texts(self) -> None:
        """
        An error is a sentence that a user can read.
        """
        for reply, text in {
            "FEEDNOTFOUND": "There is no such feed: 'pictures'",
            "WRONGFEEDTYPE it is a job, not a feed": (
                "The feed is of another type: 'pictures' (it is a job, not a feed)"
            ),
            "JOBNOTCLAIMED": "The job is not claimed: id '42' in feed 'pictures'",
            "ITEMNOTFOUND beside 7": (
                "There is no such item: id '42' in feed 'pictures' (beside 7)"
            ),
        }.items():
            self.assertEqual(str(self.verdict(reply)), text)

    def test_no_id(self) -> None:
        """
        A verdict on several items at once has no id.
        """
        self.assertEqual(self.verdict("JOBNOTCLAIMED", id=None).id, "")

    def test_strange_feed(self) -> None:
        """
        A name of the strangest kind does not change what an error is.
        """
        for feed in ("OOM", "x@user_script:1: WRONGTYPE", "a\nb", "\udcff"):
            error = self.verdict("WRONGFEEDTYPE it is a job", feed)
            self.assertEqual((type(error), error.feed), (WrongFeedType, feed))


class TreeTests(SynchronousTestCase):
    """The errors as a whole."""

    def every(self) -> list[type[ThoonkError]]:
        """All classes of errors."""
        found = [getattr(errors, name) for name in errors.__all__]
        return [each for each in found if issubclass(each, ThoonkError)]

    def made(self, kind: type[ThoonkError]) -> ThoonkError:
        """An error of that class."""
        if issubclass(kind, FeedError):
            return kind("pictures", "why")
        if issubclass(kind, ItemError):
            return kind("pictures", "42", "why")
        if issubclass(kind, ServerError):
            return script_error(kind("OOM", "OOM why"), "pictures", None)
        if issubclass(kind, ObjectError):
            return kind("counter", "visits", "add", "why", "CODE", (1,))
        if issubclass(kind, RegistrationError):
            return kind("Counter", "why")
        return kind("why")

    def test_tree(self) -> None:
        """
        All errors are ThoonkErrors, exported, explained, and in the tree that users read.
        """
        defined = {
            name
            for name, value in vars(errors).items()
            if isinstance(value, type) and issubclass(value, Exception)
        }
        self.assertEqual(defined, set(errors.__all__))
        self.assertEqual(len(self.every()), len(defined))
        for each in self.every():
            self.assertTrue(each.__doc__)
            self.assertRegex(str(errors.__doc__), rf"\b{each.__name__}\b")

    def test_copies(self) -> None:
        """
        A copy of an error, for each who waited, or for another process, says the same.
        """
        for kind in self.every():
            error = self.made(kind)
            for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
                self.assertIs(type(other), kind)
                self.assertEqual((str(other), vars(other)), (str(error), vars(error)))

    def test_catching(self) -> None:
        """
        One except clause catches all that is about feeds, or about items.
        """
        for kind in (FeedDoesNotExist, WrongFeedType):
            self.assertTrue(issubclass(kind, FeedError))
        for kind in (ItemDoesNotExist, JobNotClaimed):
            self.assertTrue(issubclass(kind, ItemError))
