"""Every Redis key and channel of Thoonk, spelt here and nowhere else.

The names without ``tx.`` are the contract's, shared with programs in other languages; those with
it are ours. A name is a ``str`` for users and bytes for Redis: UTF-8, and bytes that are none
come and go as surrogates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

__all__ = [
    "CONFFEED",
    "DELFEED",
    "FEEDS",
    "NEWFEED",
    "SEPARATOR",
    "FeedKeys",
    "check_id",
    "check_name",
    "decode",
    "encode",
]

#: Set of the names of all feeds.
FEEDS: Final = b"feeds"

#: Channels of the instance: ``name NUL instance``.
NEWFEED: Final = b"newfeed"
DELFEED: Final = b"delfeed"
CONFFEED: Final = b"conffeed"

#: Stands between the parts of a message; only the first one separates.
SEPARATOR: Final = b"\x00"


def encode(text: str) -> bytes:
    """A name or id as Redis holds it."""
    return text.encode("utf-8", "surrogateescape")


def decode(data: bytes) -> str:
    """The opposite of :func:`encode`, for whatever bytes a peer wrote."""
    return data.decode("utf-8", "surrogateescape")


def check_name(name: str) -> str:
    """Refuse what cannot be the name of a feed.

    :raises TypeError: if it is no ``str``.
    :raises ValueError: if it is empty or has a NUL, which separates the parts of messages.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a feed is a str, not {name!r}")
    if not name or "\x00" in name:
        raise ValueError(f"the name of a feed is not empty and has no NUL: {name!r}")
    encode(name)
    return name


def check_id(id: str | int, feed: str) -> str:
    """An id as ``str``; sorted feeds have numbers, which peers write as such.

    :raises TypeError: if it is neither ``str`` nor ``int``.
    :raises ValueError: if it is empty or has a NUL.
    """
    if isinstance(id, int) and not isinstance(id, bool):
        return str(id)
    if not isinstance(id, str):
        raise TypeError(f"an id in feed {feed!r} is a str or an int, not {id!r}")
    if not id or "\x00" in id:
        raise ValueError(f"an id in feed {feed!r} is not empty and has no NUL: {id!r}")
    encode(id)
    return id


def _key(kind: str) -> bytes:
    return field(default=kind.encode(), init=False)


@dataclass(frozen=True)
class FeedKeys:
    """The keys and channels of one feed, of whatever type.

    :param name: name of the feed.
    """

    name: bytes

    # instance
    feeds: bytes = field(default=FEEDS, init=False)
    newfeed: bytes = field(default=NEWFEED, init=False)
    delfeed: bytes = field(default=DELFEED, init=False)
    conffeed: bytes = field(default=CONFFEED, init=False)

    # keys of the contract
    config: bytes = _key("feed.config:")
    ids: bytes = _key("feed.ids:")
    items: bytes = _key("feed.items:")
    publishes: bytes = _key("feed.publishes:")
    idincr: bytes = _key("feed.idincr:")
    published: bytes = _key("feed.published:")
    claimed: bytes = _key("feed.claimed:")
    cancelled: bytes = _key("feed.cancelled:")
    stalled: bytes = _key("feed.stalled:")
    finishes: bytes = _key("feed.finishes:")
    #: Named in older programs' deletes.
    running: bytes = _key("feed.running:")
    retried: bytes = _key("feed.retried:")

    # keys of ours
    handoff: bytes = _key("tx.feed.handoff:")
    #: Ids that maintenance found on their way, or in no state, by when: milliseconds.
    seen: bytes = _key("tx.feed.seen:")
    lost: bytes = _key("tx.feed.lost:")
    #: Who holds a claim, and until when: ``token score expiry``.
    lease: bytes = _key("tx.feed.lease:")
    #: What became of earlier attempts.
    errors: bytes = _key("tx.feed.errors:")
    #: Jobs that are put for later, by when they are due: milliseconds.
    delayed: bytes = _key("tx.feed.delayed:")
    #: Queries with their results, and when each is dropped: milliseconds.
    results: bytes = _key("tx.feed.results:")
    due: bytes = _key("tx.feed.due:")

    # channels; some share their name with a key
    publish_channel: bytes = _key("feed.publish:")
    edit_channel: bytes = _key("feed.edit:")
    retract_channel: bytes = _key("feed.retract:")
    position_channel: bytes = _key("feed.position:")
    put_channel: bytes = _key("feed.publishes:")
    claim_channel: bytes = _key("feed.claimed:")
    finish_channel: bytes = _key("job.finish:")

    # channels of ours
    cancel_channel: bytes = _key("tx.feed.cancel:")
    release_channel: bytes = _key("tx.feed.release:")
    delay_channel: bytes = _key("tx.feed.delay:")
    stall_channel: bytes = _key("tx.feed.stall:")
    retry_channel: bytes = _key("tx.feed.retry:")
    job_edit_channel: bytes = _key("tx.feed.edit:")
    job_retract_channel: bytes = _key("tx.feed.retract:")
    expire_channel: bytes = _key("tx.feed.expire:")
    #: Finishes without a result; a message without its NUL would end thoonk.py's listener.
    done_channel: bytes = _key("tx.feed.finish:")
    progress_channel: bytes = _key("tx.feed.progress:")
    #: Tells the worker whose claim was taken away.
    stop_channel: bytes = _key("tx.feed.stop:")

    def __post_init__(self) -> None:
        for name, value in self.__class__.__dict__.items():
            if isinstance(value, bytes) and value.endswith(b":"):
                object.__setattr__(self, name, value + self.name)

    def every_key(self) -> tuple[bytes, ...]:
        """All keys that a feed of any type may have."""
        return (*self.of_contract(), *self.ours())

    def of_contract(self) -> tuple[bytes, ...]:
        """Those that other Thoonk programs know."""
        return (
            self.config,
            self.ids,
            self.items,
            self.publishes,
            self.idincr,
            self.published,
            self.claimed,
            self.cancelled,
            self.stalled,
            self.finishes,
            self.running,
            self.retried,
        )

    def ours(self) -> tuple[bytes, ...]:
        """Those that only txThoonk knows."""
        return (
            self.handoff,
            self.seen,
            self.lost,
            self.lease,
            self.errors,
            self.delayed,
            self.results,
            self.due,
        )
