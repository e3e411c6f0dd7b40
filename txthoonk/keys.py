"""Every Redis key and channel of Thoonk, spelt here; those of another dialect in ``dialects``.

The names without ``tx.`` are the contract's, shared with programs in other languages; those with
it are ours. A name is a ``str`` for users and bytes for Redis: UTF-8, and bytes that are none
come and go as surrogates.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "CONFFEED",
    "DELFEED",
    "FEEDS",
    "NEWFEED",
    "REVOKE",
    "REVOKED",
    "SEGMENTS",
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

#: Users whose rights have changed: a channel, with the number of the database behind it, and a
#: stream of the last ones.
REVOKE: Final = b"tx.web.revoke:"
REVOKED: Final = b"tx.web.revoked"

#: Stands between the parts of a message; only the first one separates.
SEPARATOR: Final = b"\x00"

#: How many parts of a name, divided by colons, those who follow a pattern listen by.
SEGMENTS: Final = 2


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


class _Key:
    """A key or channel of a feed, spelt when it is asked for: most feeds need few of them.

    :ivar kind: what stands before the name.
    """

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind.encode()

    def __get__(self, keys: FeedKeys, kind: type[FeedKeys]) -> bytes:
        return self.kind + keys.name


class _OneOfAll(_Key):
    """A key or channel that all feeds share."""

    def __get__(self, keys: FeedKeys, kind: type[FeedKeys]) -> bytes:
        return self.kind


class _InDatabase(_Key):
    """A channel of one database: others cross them."""

    def __get__(self, keys: FeedKeys, kind: type[FeedKeys]) -> bytes:
        return b"%b%d:%b" % (self.kind, keys.db, keys.name)


class _Under(_InDatabase):
    """The channel of all feeds whose names begin alike."""

    def __get__(self, keys: FeedKeys, kind: type[FeedKeys]) -> bytes:
        return b"%b%d:%b" % (self.kind, keys.db, b":".join(keys.name.split(b":")[:SEGMENTS]))


class FeedKeys:
    """The keys and channels of one feed, of whatever type.

    :param name: name of the feed.
    :param db: number of the database.
    """

    __slots__ = ("db", "name")

    #: Whether every feed that there is has its name in ``feeds``.
    LISTS_ALL = True

    def __init__(self, name: bytes, db: int = 0) -> None:
        self.name = name
        self.db = db

    # instance
    feeds = _OneOfAll(FEEDS.decode())
    newfeed = _OneOfAll(NEWFEED.decode())
    delfeed = _OneOfAll(DELFEED.decode())
    conffeed = _OneOfAll(CONFFEED.decode())

    # keys of the contract
    config = _Key("feed.config:")
    ids = _Key("feed.ids:")
    items = _Key("feed.items:")
    publishes = _Key("feed.publishes:")
    idincr = _Key("feed.idincr:")
    published = _Key("feed.published:")
    claimed = _Key("feed.claimed:")
    cancelled = _Key("feed.cancelled:")
    stalled = _Key("feed.stalled:")
    finishes = _Key("feed.finishes:")
    #: Named in older programs' deletes.
    running = _Key("feed.running:")
    retried = _Key("feed.retried:")

    # keys of ours
    handoff = _Key("tx.feed.handoff:")
    #: Ids that maintenance found on their way, or in no state, by when: milliseconds.
    seen = _Key("tx.feed.seen:")
    lost = _Key("tx.feed.lost:")
    #: Who holds a claim, and until when: ``token score expiry``.
    lease = _Key("tx.feed.lease:")
    #: What became of earlier attempts.
    errors = _Key("tx.feed.errors:")
    #: Jobs that are put for later, by when they are due: milliseconds.
    delayed = _Key("tx.feed.delayed:")
    #: Queries with their results, and when each is dropped: milliseconds.
    results = _Key("tx.feed.results:")
    due = _Key("tx.feed.due:")
    #: Jobs that a bridge has brought here from the other dialect -> their claimed score there.
    bridged = _Key("tx.feed.bridged:")
    #: Of a feed or sorted feed: epoch, the last revision, and the digest of all events.
    revision = _Key("tx.feed.revision:")
    #: The last revision of each item.
    revisions = _Key("tx.feed.revisions:")
    #: The last events.
    history = _Key("tx.feed.history:")
    #: Of a feed: the publishes whose items are over some time, by when: milliseconds.
    expires = _Key("tx.feed.expires:")
    #: Of all feeds that have such: when the first of each is over, milliseconds.
    expiring = _OneOfAll("tx.feed.expiring")
    #: What is put again and again: name -> rule, policy, item; and when next: milliseconds.
    schedules = _Key("tx.feed.schedules:")
    ticks = _Key("tx.feed.ticks:")
    #: Of all feeds that have such: when the first of each is due, milliseconds.
    scheduled = _OneOfAll("tx.feed.scheduled")

    # keys of other programs' recurring tasks, which are no feeds
    recurrings = _OneOfAll("recurrings")
    recurring_config = _Key("recurring.config:")
    recurring = _Key("recurring:")

    # channels; some share their name with a key
    publish_channel = _Key("feed.publish:")
    edit_channel = _Key("feed.edit:")
    retract_channel = _Key("feed.retract:")
    position_channel = _Key("feed.position:")
    put_channel = _Key("feed.publishes:")
    claim_channel = _Key("feed.claimed:")
    finish_channel = _Key("job.finish:")

    # channels of ours
    cancel_channel = _Key("tx.feed.cancel:")
    release_channel = _Key("tx.feed.release:")
    delay_channel = _Key("tx.feed.delay:")
    stall_channel = _Key("tx.feed.stall:")
    retry_channel = _Key("tx.feed.retry:")
    job_edit_channel = _Key("tx.feed.edit:")
    job_retract_channel = _Key("tx.feed.retract:")
    expire_channel = _Key("tx.feed.expire:")
    #: Finishes without a result; a message without its NUL would end thoonk.py's listener.
    done_channel = _Key("tx.feed.finish:")
    progress_channel = _Key("tx.feed.progress:")
    #: Tells the worker whose claim was taken away.
    stop_channel = _Key("tx.feed.stop:")
    #: Changes with their revisions: of one feed, and of all whose names begin alike.
    event_channel = _InDatabase("tx.feed.event:")
    under_channel = _Under("tx.feed.under:")

    def changing(self) -> tuple[bytes, ...]:
        """The keys that changes of a feed or sorted feed may touch."""
        return (
            self.config,
            self.ids,
            self.items,
            self.publishes,
            self.idincr,
            self.revision,
            self.revisions,
            self.history,
            self.expires,
        )

    def telling(self) -> tuple[bytes, ...]:
        """The channels that they are told on."""
        return (
            self.event_channel,
            self.under_channel,
            self.publish_channel,
            self.edit_channel,
            self.retract_channel,
            self.position_channel,
        )

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
            self.bridged,
            self.revision,
            self.revisions,
            self.history,
            self.expires,
            self.schedules,
            self.ticks,
        )
