"""Which error a reply of Redis is, or what one of our scripts answers with."""

from __future__ import annotations

import re
from typing import Final

from txthoonk.errors import (
    AuthenticationFailed,
    Conflict,
    CrossSlot,
    FeedDoesNotExist,
    FeedError,
    FeedExists,
    ItemDoesNotExist,
    ItemError,
    JobNotClaimed,
    JobNotStalled,
    LeaseLost,
    OutOfMemory,
    PermissionDenied,
    ReadOnly,
    ScriptMissing,
    ServerBusy,
    ServerError,
    ThoonkError,
    WrongFeedType,
    WrongKeyType,
)

__all__ = ["SCRIPT_ERRORS", "SERVER_ERRORS", "script_error", "server_error", "verdict_error"]

#: First word of an error reply of Redis -> exception.
SERVER_ERRORS: Final[dict[str, type[ServerError]]] = {
    "WRONGTYPE": WrongKeyType,
    "OOM": OutOfMemory,
    "NOPERM": PermissionDenied,
    "NOAUTH": AuthenticationFailed,
    "WRONGPASS": AuthenticationFailed,
    "READONLY": ReadOnly,
    "MISCONF": ReadOnly,
    "MASTERDOWN": ReadOnly,
    "NOREPLICAS": ReadOnly,
    "LOADING": ServerBusy,
    "BUSY": ServerBusy,
    "TRYAGAIN": ServerBusy,
    "CROSSSLOT": CrossSlot,
    "NOSCRIPT": ScriptMissing,
}

#: First word of an error reply, or of a verdict, of our own scripts -> exception, made of (feed,)
#: or (feed, id).
SCRIPT_ERRORS: Final[dict[str, type[FeedError] | type[ItemError]]] = {
    "FEEDEXISTS": FeedExists,
    "FEEDNOTFOUND": FeedDoesNotExist,
    "WRONGFEEDTYPE": WrongFeedType,
    "ITEMNOTFOUND": ItemDoesNotExist,
    "CONFLICT": Conflict,
    "JOBNOTCLAIMED": JobNotClaimed,
    "JOBNOTSTALLED": JobNotStalled,
    "LEASELOST": LeaseLost,
}

# Redis 6.2 wraps the error of a command inside a script, and calls a denied command or key by
# a sentence of its own; 7.0 lets the code come first.
_WRAPPED: Final = re.compile(r".*@user_script: ?\d+: -?(?P<error>.*)", re.DOTALL)
_CODE: Final = re.compile(r"-?([A-Z][A-Z0-9]*)(?: |$)")
_DENIED: Final = ("user executing the script can't", "can't access at least one of the keys")
_NOT_A_COUNTER: Final = ("value is not an integer", "would overflow")
_REFUSED_PASSWORD: Final = (
    "invalid password",
    "invalid username-password",
    "without any password configured",
)


def server_error(message: str) -> ServerError:
    """Make the exception for an error reply of Redis, inside or outside of a script.

    :param message: the reply, without the leading ``-``.
    """
    wrapped = _WRAPPED.search(message)
    text = wrapped["error"] if wrapped else message
    if text.removeprefix("ERR ") in SCRIPT_ERRORS:  # 7.0 puts ERR before a reply of one word
        message = text = text.removeprefix("ERR ")
    code = match[1] if (match := _CODE.match(text)) else "ERR"
    if code == "ERR":
        lowered = message.lower()
        if any(words in lowered for words in _DENIED):
            code = "NOPERM"
        elif any(words in message for words in _NOT_A_COUNTER):
            code = "WRONGTYPE"
        elif any(words in message for words in _REFUSED_PASSWORD):
            code = "WRONGPASS"
    return SERVER_ERRORS.get(code, ServerError)(code, message)


def verdict_error(verdict: bytes, feed: str, id: str) -> ThoonkError:
    """Make the exception for one of several verdicts that a script answered with.

    :param verdict: the code, and what else the script says.
    """
    return script_error(server_error(verdict.decode("utf-8", "surrogateescape")), feed, id)


def script_error(error: ServerError, feed: str, id: str | None) -> ThoonkError:
    """Name the feed and the id in an error that Redis or a script answered with.

    :param error: as the connection made it.
    :param feed: name of the feed the call was about.
    :param id: id of the item it was about, if about one.
    """
    kind = SCRIPT_ERRORS.get(error.code)
    if kind is None:
        error.feed, error.id = feed, id
        return error
    detail = error.message.partition(" ")[2]
    if issubclass(kind, FeedError):
        return kind(feed, detail)
    return kind(feed, id if id is not None else "", detail)
