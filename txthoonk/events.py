"""What happens to feeds, as objects; and the messages that say so on the wire.

A message's parts are divided by the first NUL alone, a missing part is None, and bytes that are
no UTF-8 are kept as surrogates: whatever a peer sends is an event, never an error.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import msgspec

from txthoonk.errors import ItemError
from txthoonk.keys import SEPARATOR, decode
from txthoonk.serializers import SERIALIZERS, Serializer

__all__ = [
    "KINDS",
    "Edited",
    "Event",
    "FeedConfigured",
    "FeedCreated",
    "FeedDeleted",
    "JobClaimed",
    "JobFinished",
    "JobPublished",
    "Kind",
    "Moved",
    "Published",
    "Retracted",
    "TextReader",
]


class Event(msgspec.Struct, frozen=True, gc=False):
    """Something happened to a feed.

    :ivar feed: its name.
    """

    feed: str


class FeedCreated(Event, frozen=True, gc=False):
    """A feed was created, by the *instance* of that id."""

    instance: str | None = None


class FeedConfigured(Event, frozen=True, gc=False):
    """Options of a feed were set, by the *instance* of that id."""

    instance: str | None = None


class FeedDeleted(Event, frozen=True, gc=False):
    """A feed was deleted, by the *instance* of that id."""

    instance: str | None = None


class Published(Event, frozen=True, gc=False):
    """An item was published; in a sorted feed an edit looks the same on the wire.

    :ivar item: as the serializer made it, or an :exc:`ItemError` if it could not.
    """

    id: str
    item: Any = None
    revision: int | None = None


class Edited(Event, frozen=True, gc=False):
    """An item was replaced; else as :class:`Published`."""

    id: str
    item: Any = None
    revision: int | None = None


class Retracted(Event, frozen=True, gc=False):
    """An item was taken out, or went because a feed was full."""

    id: str
    revision: int | None = None


class Moved(Event, frozen=True, gc=False):
    """An item of a sorted feed was given a place.

    :ivar position: ``":42"`` before item 42, ``"42:"`` after it, ``"begin:"`` or ``":end"``.
    """

    id: str
    position: str | None = None
    revision: int | None = None


class JobPublished(Event, frozen=True, gc=False):
    """A job was put."""

    id: str
    item: Any = None


class JobClaimed(Event, frozen=True, gc=False):
    """A job was claimed."""

    id: str


class JobFinished(Event, frozen=True, gc=False):
    """A job was finished, with a result."""

    id: str
    result: Any = None


class Kind(msgspec.Struct, frozen=True, gc=False):
    """One kind of message.

    :ivar channel: attribute of ``FeedKeys``.
    :ivar event: class of the event.
    :ivar form: of the payload: ``item`` (id, item), ``id`` (id alone), ``text`` (id, text), or
        ``feed`` (name of the feed, instance: on one channel for all feeds).
    """

    channel: str
    event: Callable[..., Event]
    form: str


#: What can be subscribed to, by the keyword of ``subscribe``.
KINDS: Final[dict[str, Kind]] = {
    "create": Kind("newfeed", FeedCreated, "feed"),
    "config": Kind("conffeed", FeedConfigured, "feed"),
    "delete": Kind("delfeed", FeedDeleted, "feed"),
    "publish": Kind("publish_channel", Published, "item"),
    "edit": Kind("edit_channel", Edited, "item"),
    "retract": Kind("retract_channel", Retracted, "id"),
    "position": Kind("position_channel", Moved, "text"),
    "put": Kind("put_channel", JobPublished, "item"),
    "claim": Kind("claim_channel", JobClaimed, "id"),
    "finish": Kind("finish_channel", JobFinished, "item"),
}


def split(payload: bytes) -> tuple[bytes, bytes | None]:
    """The two parts of a message; the second is None if there is no NUL."""
    first, nul, second = payload.partition(SEPARATOR)
    return first, second if nul else None


class TextReader:
    """Makes events of an id and a text; the form of most messages.

    :ivar event: class of the events.
    :ivar feed: name of the feed.
    """

    __slots__ = ("event", "feed")

    def __init__(self, event: Callable[..., Event], feed: str) -> None:
        self.event = event
        self.feed = feed

    def __call__(self, payload: bytes) -> Event:
        # Decoded at once: a NUL is a NUL in UTF-8 too.
        id, nul, text = payload.decode("utf-8", "surrogateescape").partition("\x00")
        return self.event(self.feed, id, text) if nul else self.event(self.feed, id)


@lru_cache(maxsize=65536)
def reader(kind: Kind, feed: str, serializer: Serializer) -> Callable[[bytes], Event]:
    """What makes events of the payloads of one channel.

    :param kind: of its messages.
    :param feed: name of the feed; unused where the payload names it.
    :param serializer: for items and results.
    """
    event, decode_item = kind.event, serializer.decode
    if kind.form == "text" or (kind.form == "item" and serializer is SERIALIZERS["text"]):
        return TextReader(event, feed)

    def read_item(payload: bytes) -> Event:
        id, data = split(payload)
        name = decode(id)
        if data is None:
            return event(feed, name)
        try:
            return event(feed, name, decode_item(data))
        except Exception as error:
            return event(feed, name, ItemError(feed, name, f"{type(error).__name__}: {error}"))

    def read_id(payload: bytes) -> Event:
        return event(feed, decode(payload))

    def read_feed(payload: bytes) -> Event:
        name, instance = split(payload)
        return event(decode(name), None if instance is None else decode(instance))

    return {"item": read_item, "id": read_id, "feed": read_feed}[kind.form]
