"""What is told to web clients of feeds: events and states as JSON objects.

A message is a ``dict`` with ``type`` and ``feed``; ``docs/actions.rst`` and the web's own page say
which there are. All of them are made here, so that streams, sockets and answers say the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from txthoonk.events import Edited, Event, FeedDeleted, Moved, Published, Retracted

__all__ = ["deleted", "encode_message", "message_of", "snapshot"]

Message = dict[str, Any]

_TYPES: Final[dict[type[Event], str]] = {
    Published: "publish",
    Edited: "edit",
    Retracted: "retract",
    Moved: "move",
}

_ENCODER: Final = msgspec.json.Encoder()


def message_of(event: Event, at: str) -> Message:
    """An event as a message.

    :param event: as ``Thoonk.follow`` and ``history`` tell it.
    :param at: the place after it, of :func:`~txthoonk.positions.pack_place`.
    :raises TypeError: if it is none that has a message: a ``Resync`` is a :func:`snapshot`.
    """
    kind = type(event)
    if kind is FeedDeleted:
        return deleted(event.feed)
    name = _TYPES.get(kind)
    if name is None:
        raise TypeError(f"{kind.__name__} has no message of its own")
    event_: Any = event
    message: Message = {
        "type": name,
        "feed": event_.feed,
        "at": at,
        "revision": event_.revision,
        "id": event_.id,
    }
    if kind is Published or kind is Edited:
        message["item"] = _readable(event_.item)
    if kind is not Retracted:
        position = event_.position
        if position is not None and not (kind is Published and position == ":end"):
            message["position"] = position
    return message


def snapshot(
    feed: str,
    kind: str,
    at: str,
    revision: int,
    items: Iterable[tuple[str, Any]],
    reason: str | None = None,
) -> Message:
    """All that is in a feed.

    :param kind: ``"feed"`` or ``"sorted_feed"``.
    :param at: the place that this is of.
    :param items: ids and items, in order.
    :param reason: why events were lost before this, as ``Resync`` has it.
    """
    message: Message = {
        "type": "snapshot",
        "feed": feed,
        "kind": kind,
        "at": at,
        "revision": revision,
        "items": [[id, _readable(item)] for id, item in items],
    }
    if reason is not None:
        message["reason"] = reason
    return message


def deleted(feed: str) -> Message:
    """That a feed is gone."""
    return {"type": "deleted", "feed": feed}


def encode_message(message: Any) -> bytes:
    """A message, or several, as JSON.

    Bytes in names, ids and items that are no UTF-8 are lone surrogates, ``"\\udcff"``: JavaScript
    and Python give them back as they are.

    :raises TypeError: ValueError: if there is something in it that JSON has not.
    """
    try:
        return _ENCODER.encode(message)
    except (TypeError, UnicodeEncodeError):  # msgspec has no subclasses of str, as ids are
        return json.dumps(
            message, separators=(",", ":"), default=msgspec.to_builtins, allow_nan=False
        ).encode()


def _readable(item: Any) -> Any:
    """An item; None in the place of one that cannot be read."""
    return None if isinstance(item, Exception) else item
