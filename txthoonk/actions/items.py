"""What is in the job of an action, and whose job it is.

An item is I-JSON (RFC 7493): UTF-8, no name twice in an object, no lone surrogates, no numbers that
a double does not hold. What one reader took for this and another one for that would be checked as
the one and done as the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final

import msgspec

from txthoonk.actions.answers import Refused
from txthoonk.keys import check_name
from txthoonk.positions import read_place

__all__ = ["Asked", "Limits", "job_id", "make_item", "read_item", "user_id"]

#: The largest whole number that every reader of JSON has.
_MOST: Final = 2**53 - 1

#: Characters of a name, of an id, and how many feeds a client may say the revisions of.
_LONGEST: Final = 200
_FEEDS: Final = 32


@dataclass(frozen=True)
class Limits:
    """How much may be in an item.

    :ivar size: bytes.
    :ivar depth: of lists and objects in each other, the item itself too.
    """

    size: int = 256 * 1024
    depth: int = 32


@dataclass(frozen=True)
class Asked:
    """What somebody wants done.

    :ivar action: its name.
    :ivar user: whoever wants it: as the server side said.
    :ivar payload: as the client said.
    :ivar revisions: feed -> place in it that the user saw.
    :ivar can: whether it is only asked if the user may.
    """

    action: str
    user: Any
    payload: dict[str, Any] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=dict)
    can: bool = False


# -- whose ----------------------------------------------------------------------------------


def user_id(user: Any) -> str:
    """Who somebody is: ``user["id"]`` of an object that has one, else all of it as text."""
    if isinstance(user, Mapping):
        if "id" in user:
            return str(user["id"])
        return json.dumps(user, sort_keys=True)
    return str(user)


def job_id(user: Any, id: str) -> str:
    """The id of a job: of the user, and the id that the user's program gave the action.

    The first 32 hexadecimal digits of SHA-256 of :func:`user_id`, a colon, and the id: nobody
    reaches another one's jobs by an id.

    :raises Refused: 422, if *id* is no text of 1 to 200 characters, or has some that cannot be.
    """
    if not isinstance(id, str) or not 0 < len(id) <= _LONGEST or not id.isprintable():
        raise Refused(422, f"an id is 1 to {_LONGEST} printable characters", path="$.id")
    whose = user_id(user).encode("utf-8", "backslashreplace")
    return f"{hashlib.sha256(whose).hexdigest()[:32]}:{id}"


# -- writing --------------------------------------------------------------------------------


def make_item(asked: Asked, limits: Limits) -> bytes:
    """An item of a job.

    :raises Refused: 422, if the payload or the revisions are no JSON; 413, if they are too large.
    :raises TypeError: if the user is no JSON value.
    """
    try:
        json.dumps(asked.user, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"a user is a JSON value: {error}") from None
    item: dict[str, Any] = {"action": asked.action, "user": asked.user, "payload": asked.payload}
    if asked.revisions:
        item["revisions"] = asked.revisions
    if asked.can:
        item["can"] = True
    try:
        text = json.dumps(
            item,
            ensure_ascii=False,
            allow_nan=False,
            separators=(",", ":"),
            default=msgspec.to_builtins,
        )
        data = text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Refused(422, f"this cannot be said in JSON: {error}"[:_LONGEST]) from None
    _check_size(data, limits)
    return data


# -- reading --------------------------------------------------------------------------------


def read_item(data: bytes, limits: Limits) -> Asked:
    """What is in a job; whatever anybody may have put there is refused, and nothing else happens.

    :raises Refused: 413, if it is too large; 400, if it is no I-JSON, or no action of a user;
        422, if the payload or the revisions cannot be.
    """
    _check_size(data, limits)
    item = _read_json(data, limits)
    if not isinstance(item, dict):
        raise Refused(400, "the item is no object")
    action = item.get("action")
    if not isinstance(action, str) or not 0 < len(action) <= _LONGEST:
        raise Refused(400, "the item names no action")
    if "user" not in item:
        raise Refused(400, "the item names no user")
    payload = item.get("payload", {})
    if not isinstance(payload, dict):
        raise Refused(422, "a payload is an object", path="$")
    can = item.get("can", False)
    if not isinstance(can, bool):
        raise Refused(400, "can is true or false")
    return Asked(action, item["user"], payload, _revisions(item.get("revisions")), can)


def _check_size(data: bytes, limits: Limits) -> None:
    if len(data) > limits.size:
        raise Refused(413, f"{len(data)} bytes are too many: {limits.size} are allowed")


def _revisions(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > _FEEDS:
        raise Refused(422, f"revisions are an object of at most {_FEEDS} feeds", path="$.revisions")
    for name, place in value.items():
        try:
            check_name(name)
            read_place(place)
        except ValueError:
            raise Refused(
                422, "revisions are places by names of feeds", path="$.revisions"
            ) from None
    return value


class _Wrong(ValueError):
    """It is JSON, but not I-JSON."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Wrong("a name is there twice in an object")
    return found


def _int(text: str) -> int:
    if len(text) > 17 or abs(number := int(text)) > _MOST:
        raise _Wrong("a whole number is beyond 2^53 - 1")
    return number


def _float(text: str) -> float:
    if not isfinite(number := float(text)):
        raise _Wrong("a number is beyond what a double holds")
    return number


def _constant(text: str) -> Any:
    raise _Wrong(f"{text} is no number")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_int=_int, parse_float=_float, parse_constant=_constant
)


def _read_json(data: bytes, limits: Limits) -> Any:
    try:
        text = data.decode()
        value = _DECODER.decode(text)
        if "\\u" in text:
            msgspec.json.encode(value)  # a surrogate alone has no UTF-8
    except UnicodeEncodeError:
        raise Refused(400, "the item is no I-JSON: half a character") from None
    except UnicodeDecodeError:
        raise Refused(400, "the item is no UTF-8") from None
    except RecursionError:
        raise Refused(400, f"the item is deeper than {limits.depth}") from None
    except ValueError as error:
        raise Refused(400, f"the item is no I-JSON: {error}"[:_LONGEST]) from None
    if text.count("[") + text.count("{") > limits.depth and _is_deeper(value, limits.depth):
        raise Refused(400, f"the item is deeper than {limits.depth}")
    return value


def _is_deeper(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True
