"""The Redis protocol in memory: replies and logins."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from tests.wire import PING, WireCase
from txthoonk.errors import (
    AuthenticationFailed,
    ConnectionLost,
    NotConnected,
    OutOfMemory,
    PermissionDenied,
    ReadOnly,
    ScriptMissing,
    ServerBusy,
    ServerError,
    WrongKeyType,
)
from txthoonk.redis import Redis


class ReplyTests(WireCase):
    """Replies find the Deferred that waits for them."""

    def test_one_reply_each(self) -> None:
        """
        Each reply fires the oldest Deferred that waits, and that one only.
        """
        redis = self.simple()
        first, second = redis.execute("GET", "a"), redis.execute("GET", "b")
        self.assertEqual(self.wire.sent(), [[b"GET", b"a"], [b"GET", b"b"]])
        self.answer("$1\r\n1\r\n")
        self.assertEqual(self.successResultOf(first), b"1")
        self.assertNoResult(second)
        second.addErrback(lambda _: None)  # the connection goes with the test
        self.answer(":7\r\n")
        self.assertEqual(self.successResultOf(second), 7)

    def test_one_write_a_turn(self) -> None:
        """
        What is asked for in one turn of the reactor leaves in one write, in order.
        """
        redis = self.simple()
        writes: list[bytes] = []
        redis._to_wire = writes.append
        for number in range(3):
            redis.execute("ECHO", number).addCallback(lambda _: redis.execute("ECHO", "next"))
        self.assertEqual(writes, [])
        self.clock.advance(0)
        self.assertEqual([write.count(b"ECHO") for write in writes], [3])
        self.answer(":0\r\n:1\r\n:2\r\n")
        self.assertEqual([write.count(b"ECHO") for write in writes], [3, 3])
        self.answer(":0\r\n:1\r\n:2\r\n")

    def test_split_anywhere(self) -> None:
        """
        Replies come out the same wherever the network splits them.
        """
        replies = b"$5\r\nab\r\nc\r\n*3\r\n:1\r\n$-1\r\n*1\r\n$0\r\n\r\n-ERR no\r\n:42\r\n"
        for at in range(len(replies) + 1):
            redis = self.simple()
            waiting = [redis.execute("X") for _ in range(4)]
            self.answer(replies[:at])
            self.answer(replies[at:])
            self.assertEqual(self.successResultOf(waiting[0]), b"ab\r\nc")
            self.assertEqual(self.successResultOf(waiting[1]), [1, None, [b""]])
            self.assertEqual(str(self.failureResultOf(waiting[2], ServerError).value), "ERR no")
            self.assertEqual(self.successResultOf(waiting[3]), 42)
            self.wire.end()
            self.clock.advance(0)

    def test_nothing_is_guessed(self) -> None:
        """
        What looks like a number, or is no UTF-8, comes back as the bytes it was.
        """
        redis = self.simple()
        for payload in (b"007", b"1e5", b"\xff\xfe", b"", b"\x00", b"none", b"QUEUED"):
            reply = redis.get("x")
            self.answer(b"$%d\r\n%s\r\n" % (len(payload), payload))
            self.assertEqual(self.successResultOf(reply), payload)

    def test_cancelled(self) -> None:
        """
        Who gives up on a reply does not get somebody else's, nor does anyone get theirs.
        """
        redis = self.simple()
        first, second, third = (redis.execute("GET", key) for key in "abc")
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.answer("+1\r\n+2\r\n+3\r\n")
        self.assertEqual(self.successResultOf(first), b"1")
        self.assertEqual(self.successResultOf(third), b"3")

    def test_cancelled_and_lost(self) -> None:
        """
        A reply that was given up is not failed a second time when the connection breaks.
        """
        reply = self.simple().execute("GET", "a")
        reply.cancel()
        self.failureResultOf(reply, CancelledError)
        self.wire.end()

    def test_errors_by_meaning(self) -> None:
        """
        An error of Redis is an exception named after its meaning, and keeps Redis's words.
        """
        denied = "user executing the script can't run this command or subcommand"
        no_key = "WRONGTYPE Operation against a key holding the wrong kind of value"
        for text, kind in {
            "ERR syntax error": ServerError,
            no_key: WrongKeyType,
            "OOM command not allowed when used memory > 'maxmemory'.": OutOfMemory,
            "NOPERM this user has no permissions to run the 'get' command": PermissionDenied,
            "NOAUTH Authentication required.": AuthenticationFailed,
            "WRONGPASS invalid username-password pair": AuthenticationFailed,
            "READONLY You can't write against a read only replica.": ReadOnly,
            "MISCONF Redis is configured to save RDB snapshots": ReadOnly,
            "LOADING Redis is loading the dataset in memory": ServerBusy,
            "BUSY Redis is busy running a script.": ServerBusy,
            "NOSCRIPT No matching script. Please use EVAL.": ScriptMissing,
            # 6.2, a command inside a script; then the same of 7.0.
            f"ERR Error running script (call to f_1234): @user_script: 3: {no_key}": WrongKeyType,
            f"ERR Error running script (call to f_1234): @user_script:3: -{no_key}": WrongKeyType,
            f"{no_key} script: 1234, on @user_script:3.": WrongKeyType,
            "ERR Error running script (call to f_1): @user_script:1: @user_script: 1: "
            "-OOM command not allowed when used memory > 'maxmemory'.": OutOfMemory,
            f"ERR Error running script (call to f_1): @user_script:1: @user_script: 1: "
            f"-{denied} script": PermissionDenied,
            f"ERR {denied.capitalize()} script: 1, on @user_script:1.": PermissionDenied,
        }.items():
            reply = self.simple().execute("X")
            self.answer(f"-{text}\r\n")
            error = self.failureResultOf(reply).value
            self.assertIs(type(error), kind, text)
            self.assertEqual(error.message, text)
            self.assertIn(text, str(error))
            self.wire.end()
            self.clock.advance(0)

    def test_error_inside_a_reply(self) -> None:
        """
        An error among the replies of a transaction stands in its place in the list.
        """
        reply = self.simple().execute()
        self.assertEqual(self.wire.sent(), [[b"EXEC"]])
        self.answer("*2\r\n+OK\r\n-WRONGTYPE no\r\n")
        ok, error = self.successResultOf(reply)
        self.assertEqual((ok, type(error)), (b"OK", WrongKeyType))

    def test_error_in_bad_encoding(self) -> None:
        """
        An error whose text is no UTF-8 is an error like any other.
        """
        reply = self.simple().execute("X")
        self.answer(b"-ERR \xff\xfe\r\n")
        self.assertEqual(self.failureResultOf(reply, ServerError).value.code, "ERR")

    def test_wrong_argument(self) -> None:
        """
        What Redis cannot be told is a TypeError at once, and leaves the connection in order.
        """
        redis = self.simple()
        argument: Any = None
        self.assertRaises(TypeError, redis.execute, "GET", argument)
        reply = redis.get("a")
        self.answer("+1\r\n")
        self.assertEqual(self.successResultOf(reply), b"1")


class LoginTests(WireCase):
    """The login comes first."""

    def logging_in(self, **options: Any) -> Redis:
        """A connection whose login is not answered yet."""
        return self.connect(Redis(reactor=self.clock, **options), login=False)

    def test_order(self) -> None:
        """
        AUTH, CLIENT SETNAME and SELECT reach Redis before the first command.
        """
        redis = self.logging_in(db=3, username="me", password="secret", client_name="web")
        reply, ready = redis.get("a"), redis.when_ready()
        login = [
            [b"AUTH", b"me", b"secret"],
            [b"CLIENT", b"SETNAME", b"web"],
            [b"SELECT", b"3"],
            PING,
        ]
        self.assertEqual(self.wire.sent(), login)
        self.assertNoResult(ready)
        self.answer("+OK\r\n+OK\r\n+OK\r\n+PONG\r\n")
        self.assertIs(self.successResultOf(ready), redis)
        self.assertEqual(self.wire.sent(), [[b"GET", b"a"]])
        self.answer("+1\r\n")
        self.assertEqual(self.successResultOf(reply), b"1")

    def test_password_only(self) -> None:
        """
        Without a username the password is that of Redis's default user; without a password there
        is no AUTH.
        """
        self.logging_in(password="secret")
        self.assertEqual(self.wire.sent(), [[b"AUTH", b"secret"], PING])
        self.answer("+OK\r\n+PONG\r\n")
        self.wire.end()
        self.logging_in()
        self.assertEqual(self.wire.sent(), [PING])

    def test_refused(self) -> None:
        """
        A refused password fails when_ready() and the commands that wait, and ends the connection.
        """
        redis = self.logging_in(password="wrong", db=1)
        lost, ready, reply = redis.when_lost(), redis.when_ready(), redis.get("a")
        again = redis.when_ready()
        self.assertEqual(self.wire.sent(), [[b"AUTH", b"wrong"], [b"SELECT", b"1"], PING])
        self.answer("-WRONGPASS invalid username-password pair\r\n" + "-NOAUTH no\r\n" * 2)
        self.clock.advance(0)
        for waiting in (ready, again, reply, redis.when_ready()):
            self.failureResultOf(waiting, AuthenticationFailed)
        self.failureResultOf(redis.get("a"), NotConnected)
        self.assertIsInstance(self.successResultOf(lost), AuthenticationFailed)

    def test_no_command_in_the_wrong_database(self) -> None:
        """
        A command never reaches Redis if the database could not be selected.
        """
        redis = self.logging_in(db=99)
        reply = redis.set("a", 1)
        self.assertEqual(self.wire.sent(), [[b"SELECT", b"99"], PING])
        self.answer("-ERR DB index is out of range\r\n+PONG\r\n")
        self.assertEqual(self.wire.sent(), [])
        self.clock.advance(0)
        self.failureResultOf(redis.when_ready(), ServerError)
        self.failureResultOf(reply, ServerError)

    def test_loading(self) -> None:
        """
        A server that is still loading its data is not ready.
        """
        ready = self.logging_in().when_ready()
        self.answer("-LOADING Redis is loading the dataset in memory\r\n")
        self.clock.advance(0)
        self.failureResultOf(ready, ServerBusy)

    def test_lost_meanwhile(self) -> None:
        """
        A connection that breaks during the login fails when_ready(), once.
        """
        ready = self.logging_in(password="x").when_ready()
        self.wire.end()
        self.failureResultOf(ready, ConnectionLost)

    def test_no_answer(self) -> None:
        """
        A server that accepts and then says nothing is given up.
        """
        redis = self.logging_in(ping_interval=10, ping_timeout=5)
        ready = redis.when_ready()
        self.clock.pump([10, 5, 0])
        self.failureResultOf(ready, ConnectionLost)

    def test_not_connected(self) -> None:
        """
        Before there is a connection, a command fails and nothing is sent.
        """
        self.failureResultOf(Redis(reactor=self.clock).get("a"), NotConnected)

    def test_closed_before_it_is_connected(self) -> None:
        """
        A connection that was closed before it came about is dropped when it does.
        """
        redis = Redis(reactor=self.clock)
        closed, ready = redis.close(), redis.when_ready()
        self.connect(redis, login=False)
        self.clock.advance(0)
        self.successResultOf(closed)
        self.failureResultOf(ready, ConnectionLost)


#: Replies as they come: what packs them, and what they should be read as.
replies = st.recursive(
    st.one_of(
        st.none(),
        st.integers(-(2**63), 2**63 - 1),
        st.binary(max_size=40),
    ),
    lambda parts: st.lists(parts, max_size=5),
    max_leaves=20,
)


def pack(reply: Any) -> bytes:
    """A reply as Redis sends it."""
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, bytes):
        return b"$%d\r\n%s\r\n" % (len(reply), reply)
    return b"*%d\r\n%s" % (len(reply), b"".join(map(pack, reply)))


def depth(reply: Any) -> int:
    """How deep lists are nested."""
    return 1 + max(map(depth, reply), default=0) if isinstance(reply, list) else 0


class AnyReplyTests(SynchronousTestCase):
    """Replies of any shape, however they are sliced."""

    @settings(deadline=None, derandomize=True, max_examples=200)
    @given(st.lists(replies.filter(lambda reply: depth(reply) < 7), max_size=8), st.data())
    def test_any_reply(self, trees: list[Any], data: st.DataObject) -> None:
        """
        Whatever Redis replies comes out the same, however the network slices it.
        """
        stream = b"".join(map(pack, trees))
        cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12).map(sorted))
        case = WireCase()
        case.setUp()
        redis = case.simple()
        waiting = [redis.execute("X") for _ in trees]
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            redis.dataReceived(stream[start:end])
        self.assertEqual([self.successResultOf(each) for each in waiting], trees)
        self.assertFalse(case.wire.disconnecting)
        case.finish()
