"""Which actions there are in any process: workers say so in a feed, ``actions:[group]``.

An item's id is the action's name, and the item JSON: ``{"feed": name of the job feed, "schema":
JSON Schema of the payload or null}``. It stays when its workers stop: jobs wait for them.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from txthoonk.actions.declaring import Action, Declared
from txthoonk.actions.shapes import Formats, SchemaShape
from txthoonk.keys import encode

if TYPE_CHECKING:
    from txthoonk.actions.shapes import Shape
    from txthoonk.service import Thoonk
    from txthoonk.types import Feed

__all__ = ["Elsewhere", "declare", "feed_of", "find"]


@dataclass(frozen=True)
class Elsewhere:
    """An action that some worker has declared.

    :ivar feed: where its jobs go.
    :ivar shape: of its payload; None where this process cannot check it.
    """

    feed: str
    shape: Shape | None


class _Entry(msgspec.Struct):
    """An item of the registry."""

    feed: str
    schema: Any = None


#: Items of the registry -> what they say: few there are, and each is read again and again.
_read: dict[tuple[bytes, tuple[str, ...]], Elsewhere | None] = {}
_MANY = 1000


def feed_of(thoonk: Thoonk, group: str) -> Feed:
    """The registry of a group."""
    return thoonk.feed(_name(group), serializer="bytes")


def _name(group: str) -> str:
    return f"actions:{group}"


async def find(thoonk: Thoonk, group: str, name: str, formats: Formats) -> Elsewhere | None:
    """What the workers of a group say of an action; None if nobody has declared it.

    Nothing is created.
    """
    items = thoonk.dialect.keys("feed", encode(_name(group)), thoonk.db).items
    item = await thoonk.redis.execute("HGET", items, encode(name))
    if item is None:
        return None
    key = item, tuple(formats)
    if key not in _read:
        if len(_read) >= _MANY:
            _read.clear()
        _read[key] = _read_entry(item, formats)
    return _read[key]


def _read_entry(item: bytes, formats: Formats) -> Elsewhere | None:
    try:
        entry = msgspec.json.decode(item, type=_Entry)
    except (msgspec.MsgspecError, ValueError):
        return None  # somebody else wrote that
    shape = None
    if isinstance(entry.schema, dict):
        with suppress(ValueError, ImportError):  # its workers check it in any case
            shape = SchemaShape(entry.schema, formats)
    return Elsewhere(entry.feed, shape) if entry.feed and "\x00" not in entry.feed else None


async def declare(thoonk: Thoonk, declared: Declared, missing_only: bool) -> None:
    """Publish what this process can do, where it is not what is there.

    :param missing_only: leave what is there, whatever it is: another version of this program may
        have declared it after us.
    """
    registry = feed_of(thoonk, declared.group)
    for action in declared.all:
        item = await thoonk.redis.execute("HGET", registry.keys.items, encode(action.name))
        entry = _entry_of(action)
        if item is None or (item != entry and not missing_only):
            await registry.publish(entry, id=action.name)


def _entry_of(action: Action) -> bytes:
    return msgspec.json.encode(_Entry(action.feed, action.shape.schema))
