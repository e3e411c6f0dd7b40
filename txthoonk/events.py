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
from txthoonk.serializers import SERIALIZERS, Serializer, of_results

__all__ = [
    "KINDS",
    "Edited",
    "Event",
    "FeedConfigured",
    "FeedCreated",
    "FeedDeleted",
    "JobCancelled",
    "JobClaimed",
    "JobDelayed",
    "JobEdited",
    "JobExpired",
    "JobFinished",
    "JobProgress",
    "JobPublished",
    "JobReleased",
    "JobRetracted",
    "JobRetried",
    "JobStalled",
    "Kind",
    "Moved",
    "Published",
    "Resync",
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
    :ivar revision: of the change, for those who follow the feed or read its history; like
        *position* None for others.
    :ivar position: as :class:`Moved` has it; None is the end of a feed.
    """

    id: str
    item: Any = None
    revision: int | None = None
    position: str | None = None


class Edited(Event, frozen=True, gc=False):
    """An item was replaced; else as :class:`Published`.

    :ivar position: None is the end of a feed, and the same place in a sorted feed.
    """

    id: str
    item: Any = None
    revision: int | None = None
    position: str | None = None


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


class Resync(Event, frozen=True, gc=False):
    """For those who follow a feed: events are missing that nobody knows any more.

    What is there now was read anew; the events that come are those after it.

    :ivar reason: ``trimmed epoch future digest`` as :exc:`HistoryLost` has them; ``unproved``
        (Redis was restarted, and the history does not show that it is the same); ``deleted`` (the
        feed is gone); ``overflow`` (too many events waited for the handler); ``foreign`` (other
        programs have changed more than can be told).
    :ivar revision: of what is there now.
    """

    reason: str
    revision: int | None = None


class JobPublished(Event, frozen=True, gc=False):
    """A job was put."""

    id: str
    item: Any = None


class JobClaimed(Event, frozen=True, gc=False):
    """A job was claimed."""

    id: str


class JobFinished(Event, frozen=True, gc=False):
    """A job was finished, with a result or without."""

    id: str
    result: Any = None


class JobCancelled(Event, frozen=True, gc=False):
    """A claim was given up.

    :ivar count: how often that has happened to the job.
    """

    id: str
    count: int | None = None


class JobReleased(Event, frozen=True, gc=False):
    """A claim was given back as if it had not been."""

    id: str


class JobExpired(Event, frozen=True, gc=False):
    """A claim was not finished in time; else as :class:`JobCancelled`."""

    id: str
    count: int | None = None


class JobDelayed(Event, frozen=True, gc=False):
    """A job waits until it is due.

    :ivar due: milliseconds since 1970 by Redis's clock.
    """

    id: str
    due: int | None = None


class JobStalled(Event, frozen=True, gc=False):
    """A job was parked, and stays so until it is retried."""

    id: str
    reason: str | None = None


class JobRetried(Event, frozen=True, gc=False):
    """A parked, delayed or lost job is available again."""

    id: str


class JobEdited(Event, frozen=True, gc=False):
    """The item of a job was replaced."""

    id: str
    item: Any = None


class JobRetracted(Event, frozen=True, gc=False):
    """A job was taken out."""

    id: str


class JobProgress(Event, frozen=True, gc=False):
    """A running job says how far it is."""

    id: str
    value: Any = None


class Kind(msgspec.Struct, frozen=True, gc=False):
    """One kind of message.

    :ivar channel: attribute of ``FeedKeys``.
    :ivar event: class of the event.
    :ivar form: of the payload: ``item`` (id, item), ``id`` (id alone), ``text`` (id, text),
        ``number`` (id, integer), or ``feed`` (name of the feed, instance: on one channel for all
        feeds).
    :ivar also: a second channel of the same meaning, if there is one.
    """

    channel: str
    event: Callable[..., Event]
    form: str
    also: Kind | None = None


#: What can be subscribed to, by the keyword of ``subscribe``.
KINDS: Final[dict[str, Kind]] = {
    "create": Kind("newfeed", FeedCreated, "feed"),
    "config": Kind("conffeed", FeedConfigured, "feed"),
    "delete": Kind("delfeed", FeedDeleted, "feed"),
    "publish": Kind("publish_channel", Published, "item"),
    "edit": Kind("edit_channel", Edited, "item", Kind("job_edit_channel", JobEdited, "item")),
    "retract": Kind(
        "retract_channel", Retracted, "id", Kind("job_retract_channel", JobRetracted, "id")
    ),
    "position": Kind("position_channel", Moved, "text"),
    "put": Kind("put_channel", JobPublished, "item"),
    "claim": Kind("claim_channel", JobClaimed, "id"),
    "finish": Kind("finish_channel", JobFinished, "item", Kind("done_channel", JobFinished, "id")),
    "cancel": Kind("cancel_channel", JobCancelled, "number"),
    "release": Kind("release_channel", JobReleased, "id"),
    "expire": Kind("expire_channel", JobExpired, "number"),
    "delay": Kind("delay_channel", JobDelayed, "number"),
    "stall": Kind("stall_channel", JobStalled, "text"),
    "retry": Kind("retry_channel", JobRetried, "id"),
    "progress": Kind("progress_channel", JobProgress, "item"),
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
    if kind.event is JobFinished:
        serializer = of_results(serializer)
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

    def read_number(payload: bytes) -> Event:
        id, number = split(payload)
        return event(feed, decode(id), int(number) if number and number.isdigit() else None)

    def read_id(payload: bytes) -> Event:
        return event(feed, decode(payload))

    def read_feed(payload: bytes) -> Event:
        name, instance = split(payload)
        return event(decode(name), None if instance is None else decode(instance))

    readers = {"item": read_item, "id": read_id, "number": read_number, "feed": read_feed}
    return readers[kind.form]
