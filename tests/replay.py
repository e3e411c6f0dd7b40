"""What it takes to do an operation of a record with our API, and to compare what came of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from txthoonk import Thoonk
from txthoonk.types.base import FeedBaseType

__all__ = ["GONE", "READS", "TYPES", "call", "dump", "expectation", "plain", "replaced", "symbols"]

#: A key, an error or a result is not there.
GONE: Final = object()

#: Types in the words of the records, and in ours.
TYPES: Final = {"feed": "feed", "sorted": "sorted_feed", "queue": "queue", "job": "job"}

#: Verbs of the instance in our words; ``t`` is the instance.
_INSTANCE: Final[dict[str, Callable[..., Any]]] = {
    "create": lambda t, **a: getattr(t, TYPES[a["type"]])(a["feed"], config=a.get("config")),
    "delete": lambda t, **a: t.delete_feed(a["feed"]),
    "exists": lambda t, **a: t.feed_exists(a["feed"]),
    "feed_names": lambda t: t.get_feed_names(),
    "set_config": lambda t, **a: t.set_config(a["feed"], a["config"]),
}
#: Verbs of the types that have another name with us.
_RENAMED: Final = {"failure_count": "get_failure_count", "get_items": "get_all"}
#: Verbs that fire with None where there is nothing; others of thoonk.py return nothing at all.
READS: Final = ("feed.get_item", "sorted.get_item", "queue.get")


def call(thoonk: Thoonk, operation: str, arguments: dict[str, Any]) -> Any:
    """Do an operation of a record; the result is to be awaited."""
    if operation in _INSTANCE:
        return _INSTANCE[operation](thoonk, **arguments)
    kind, _, verb = operation.partition(".")
    arguments = dict(arguments)
    handle = getattr(thoonk, TYPES[kind])(arguments.pop("feed"))
    if verb in ("publish_before", "publish_after"):
        arguments["id"] = arguments.pop("rel")
    return getattr(handle, _RENAMED.get(verb, verb))(**arguments)


# -- names that differ each time ----------------------------------------------------------------


def symbols(record: dict[str, Any]) -> dict[str, str]:
    """The instance and the ids of a record: name -> what was recorded.

    Ids of sorted feeds are left out: they are the same each time.
    """
    found = {name: value for name, value in record["symbols"].items() if len(value) >= 32}
    for id in re.findall("[0-9a-f]{32}", json.dumps(record["before"])):
        if id not in found.values():
            found[f"id:{len(found)}"] = id
    return found


def replaced(value: Any, names: Mapping[str, str]) -> Any:
    """What keys, messages and results hold, with parts of all text replaced."""
    if isinstance(value, str):
        for name, other in names.items():
            value = value.replace(name, other)
        return value
    if isinstance(value, dict):
        return {replaced(k, names): replaced(v, names) for k, v in value.items()}
    if isinstance(value, set):
        return {replaced(each, names) for each in value}
    if isinstance(value, (list, tuple)):
        return [replaced(each, names) for each in value]
    return value


# -- what is expected ---------------------------------------------------------------------------


def expectation(record: dict[str, Any]) -> dict[str, Any]:
    """What a record says, with clocks, ids and instances replaced."""
    expected = {
        "before": _recorded(record["before"]),
        "after": _recorded(record["after"]),
        "messages": record["messages"],
        "raised": record.get("raised", GONE),
        "returned": plain(record.get("returned", GONE)),
    }
    names = {value: f"<{name}>" for name, value in symbols(record).items()}
    return {what: replaced(value, names) for what, value in expected.items()}


def _recorded(keys: dict[str, Any]) -> dict[str, Any]:
    """Keys of a record: a str, list, set or dict each; a zset is a list of [member, unit]."""
    shown: dict[str, Any] = {}
    for key, stored in keys.items():
        value = stored["value"]
        if stored["type"] == "zset":
            value = [[each["member"], each["time"].partition(" ")[0]] for each in value]
        shown[key] = set(value) if stored["type"] == "set" else value
    return shown


def plain(value: Any) -> Any:
    """What a caller got, ours or as a record has it, in a form that both have."""
    if isinstance(value, dict) and value.keys() == {"type", "value"}:
        kind, value = value["type"], value["value"]
        if kind == "dict":
            return {plain(k): plain(v) for k, v in value}
        if kind == "set":
            return {plain(each) for each in value}
    if isinstance(value, FeedBaseType):
        return type(value).__name__
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # thoonk.py gives the ids of sorted feeds as numbers
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value


# -- what there is ------------------------------------------------------------------------------


async def dump(redis: Any, names: Mapping[str, str], expected: dict[str, Any]) -> dict[str, Any]:
    """All keys of a database but ours alone (``tx.*``), as :func:`expectation` has them.

    :param names: as for :func:`replaced`.
    :param expected: says which of two equal clocks comes first.
    """
    keys = {}
    for name in await redis.execute("KEYS", "*"):
        key = name.decode()
        if not key.startswith("tx."):
            keys[key] = await _value(redis, key, expected.get(key), names)
    return keys


async def _value(redis: Any, key: str, expected: Any, names: Mapping[str, str]) -> Any:
    kind = (await redis.execute("TYPE", key)).decode()
    command = {
        "string": ("GET", key),
        "list": ("LRANGE", key, 0, -1),
        "set": ("SMEMBERS", key),
        "hash": ("HGETALL", key),
        "zset": ("ZRANGE", key, 0, -1, "WITHSCORES"),
    }[kind]
    reply = await redis.execute(*command)
    if kind == "string":
        return replaced(reply.decode(), names)
    parts = [replaced(part.decode(), names) for part in reply]
    if kind == "hash":
        return dict(zip(parts[::2], parts[1::2], strict=True))
    if kind == "zset":
        return _ordered(zip(parts[::2], map(float, parts[1::2]), strict=True), expected or [])
    return set(parts) if kind == "set" else parts


def _ordered(pairs: Any, expected: list[Any]) -> list[list[str]]:
    """Members with the unit of their clock; what was put in one millisecond is in no order."""
    members = [member for member, _ in expected]

    def place(pair: tuple[str, float]) -> tuple[float, int]:
        member, score = pair
        return score, members.index(member) if member in members else -1

    return [
        [member, "milliseconds" if 1e11 < score < 1e14 else "seconds"]
        for member, score in sorted(pairs, key=place)
    ]
