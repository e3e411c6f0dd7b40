"""Changes of feeds that are made together with the end of a job, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, gatherResults

from txthoonk._deferred import first_failure
from txthoonk.errors import Conflict
from txthoonk.keys import FeedKeys, encode
from txthoonk.scripts import BoundScript, script
from txthoonk.verdicts import verdict_error

if TYPE_CHECKING:
    from txthoonk.types.claims import Claim
    from txthoonk.types.items import ItemFeed

__all__ = ["MOST", "MOST_BYTES", "Change", "Commit", "FeedChanges", "SortedChanges"]

#: How much one commit may be: changes, and bytes of items and ids.
MOST: Final = 1000
MOST_BYTES: Final = 1_000_000

#: Where the id of the other item is among the arguments, in scripts that name one.
_OTHER: Final = {"sorted_feed/insert": 1, "sorted_feed/move": 2}

#: Where the id of the item is, where it is not the first.
_ID: Final = {"feed/publish_for": 2}

#: Those may go together about one item.
_TOGETHER: Final = {"sorted_feed/edit", "sorted_feed/move"}


class Change:
    """A change of a feed that was not made yet: one of those that ``handle.change`` makes.

    :ivar feed: the handle of the feed.
    :ivar verb: name of the script, or ``expect``.
    :ivar id: of the item; empty where there is none yet, and for ``expect``.
    """

    __slots__ = ("args", "feed", "id", "if_revision", "shape", "shape_args", "verb")

    def __init__(
        self,
        feed: ItemFeed,
        verb: str,
        args: Sequence[bytes],
        if_revision: int | None,
        id: str,
        shape: Callable[..., Any],
        shape_args: tuple[object, ...] = (),
    ) -> None:
        self.feed = feed
        self.verb = verb
        self.args = tuple(args)
        self.if_revision = if_revision
        self.id = id
        self.shape = shape
        self.shape_args = shape_args

    def __repr__(self) -> str:
        about = f" {self.id!r}" if self.id else ""
        return f"<Change {self.verb}{about} of {self.feed.name!r}>"

    @property
    def changed(self) -> bytes | None:
        """The id of the item that is changed; ``None`` where a new one is made."""
        return (
            None
            if self.verb in ("expect", "sorted_feed/publish", "sorted_feed/insert")
            else self.args[_ID.get(self.verb, 0)]
        )

    @property
    def named(self) -> tuple[bytes, ...]:
        """The ids of all items that it is about."""
        other = _OTHER.get(self.verb)
        ids = (self.changed, None if other is None else self.args[other])
        return tuple(id for id in ids if id)

    def refused(self, code: bytes, *more: Any) -> Exception:
        """Why a commit was refused, as this change's own verb would say it."""
        if code != b"CONFLICT" or self.if_revision is None:
            return verdict_error(code, self.feed.name, self.id)
        of_feed, of_item, data, epoch = (*more, None, None)[:4]
        if epoch is None:
            return self.feed.conflict(self.id, self.if_revision, of_feed, of_item, data)
        revision = int(of_feed)
        detail = f"revision {revision}, not {self.if_revision}"
        if wanted := self.args[0]:
            detail += f"; epoch {epoch.decode()}, not {wanted.decode()}"
        return Conflict(self.feed.name, "", detail, revision, None, revision)


class _Changes:
    """Makes changes of a feed that are sent with a commit.

    :param handle: of the feed; its own verbs say what is sent.
    """

    def __init__(self, handle: ItemFeed) -> None:
        self._handle = handle
        # Its verbs end with one of these two: here they only note what would be sent.
        verbs: Any = copy(handle)
        verbs._run, verbs._change = self._run, self._change
        self._verbs = verbs

    def _run(
        self,
        bound: BoundScript,
        args: Sequence[bytes],
        shape: Callable[..., Any],
        *shape_args: object,
        id: str = "",
    ) -> Change:
        return self._change(bound, args, None, id, shape, *shape_args)

    def _change(
        self,
        bound: BoundScript,
        args: Sequence[bytes],
        if_revision: int | None,
        id: str,
        shape: Callable[..., Any],
        *shape_args: object,
    ) -> Change:
        self._handle.check_revision(if_revision, id)
        name = bound.script.name
        return Change(self._handle, name, args, if_revision, id, shape, shape_args)

    def _noted(self, change: Any) -> Change:
        """A verb of the handle, when it is called on what only notes, answers with the change."""
        noted: Change = change
        return noted

    def retract(self, id: str | int, if_revision: int | None = None) -> Change:
        """As the handle's ``retract``; the commit fires with whether it was there."""
        return self._noted(self._verbs.retract(id, if_revision))

    def expect(self, revision: int, epoch: str | None = None) -> Change:
        """Change nothing: the commit is refused if the feed is not as it was.

        :param revision: that the feed must be at; of a snapshot or an ``ItemId``.
        :param epoch: of the revision, from the same snapshot; without it of any epoch.
        :raises Conflict: (of the commit) if it is at another one.
        """
        self._handle.check_revision(revision, "")
        if epoch is not None and not isinstance(epoch, str):
            raise TypeError(f"an epoch of feed {self._handle.name!r} is a str, not {epoch!r}")
        return Change(self._handle, "expect", (encode(epoch or ""),), revision, "", _none)


class FeedChanges(_Changes):
    """Makes changes of a feed that are sent with a commit: ``feed.change.publish("x")``.

    Each takes what the verb of that name takes, and sends nothing.
    """

    def publish(
        self,
        item: Any,
        id: str | int | None = None,
        if_revision: int | None = None,
        ttl: float | None = None,
    ) -> Change:
        """As :meth:`Feed.publish`; the commit fires with the id."""
        return self._noted(self._verbs.publish(item, id, if_revision, ttl))


class SortedChanges(_Changes):
    """Makes changes of a sorted feed that are sent with a commit.

    Each takes what the verb of that name takes, and sends nothing.
    """

    def append(self, item: Any, if_revision: int | None = None) -> Change:
        """As :meth:`SortedFeed.append`; the commit fires with the id."""
        return self._noted(self._verbs.append(item, if_revision))

    publish = append

    def prepend(self, item: Any, if_revision: int | None = None) -> Change:
        """As :meth:`SortedFeed.prepend`; the commit fires with the id."""
        return self._noted(self._verbs.prepend(item, if_revision))

    def publish_before(self, id: str | int, item: Any, if_revision: int | None = None) -> Change:
        """As :meth:`SortedFeed.publish_before`; the commit fires with the new id."""
        return self._noted(self._verbs.publish_before(id, item, if_revision))

    def publish_after(self, id: str | int, item: Any, if_revision: int | None = None) -> Change:
        """As :meth:`SortedFeed.publish_after`; the commit fires with the new id."""
        return self._noted(self._verbs.publish_after(id, item, if_revision))

    def edit(self, id: str | int, item: Any, if_revision: int | None = None) -> Change:
        """As :meth:`SortedFeed.edit`; the commit fires with the id."""
        return self._noted(self._verbs.edit(id, item, if_revision))

    def move(self, position: str, id: str | int, if_revision: int | None = None) -> Change:
        """As :meth:`SortedFeed.move`; the commit fires with ``None`` for this."""
        return self._noted(self._verbs.move(position, id, if_revision))

    def move_before(self, rel: str | int, id: str | int, if_revision: int | None = None) -> Change:
        """As :meth:`SortedFeed.move_before`; the commit fires with ``None`` for this."""
        return self._noted(self._verbs.move_before(rel, id, if_revision))

    def move_after(self, rel: str | int, id: str | int, if_revision: int | None = None) -> Change:
        """As :meth:`SortedFeed.move_after`; the commit fires with ``None`` for this."""
        return self._noted(self._verbs.move_after(rel, id, if_revision))

    def move_first(self, id: str | int, if_revision: int | None = None) -> Change:
        """As :meth:`SortedFeed.move_first`; the commit fires with ``None`` for this."""
        return self._noted(self._verbs.move_first(id, if_revision))

    def move_last(self, id: str | int, if_revision: int | None = None) -> Change:
        """As :meth:`SortedFeed.move_last`; the commit fires with ``None`` for this."""
        return self._noted(self._verbs.move_last(id, if_revision))


class _Keys:
    """The keys of a job's feed, and of all that is changed.

    :param job: of the job's feed.
    :param feeds: of the others.
    :param expiring: the index of feeds with items for a while, if one is published.
    """

    def __init__(
        self, job: FeedKeys, feeds: Sequence[FeedKeys], expiring: Sequence[bytes] = ()
    ) -> None:
        self._job = job
        self._feeds = feeds
        self._expiring = expiring

    def changing(self) -> list[bytes]:
        """Those of the feeds."""
        return [*(key for feed in self._feeds for key in feed.changing()), *self._expiring]

    def telling(self) -> list[bytes]:
        """Their channels."""
        return [channel for feed in self._feeds for channel in feed.telling()]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._job, name)


class Commit:
    """The changes of one commit, checked as far as this process can.

    :param claim: whose job is finished.
    :param changes: in the order in which they are made.
    :raises TypeError: if one is no :class:`Change`.
    :raises ValueError: if they are too many or too long; if one is of another instance's feed; if
        one is about an item that another one has changed, or retracted, already.
    """

    def __init__(self, claim: Claim, changes: Sequence[Change]) -> None:
        self._claim = claim
        self._changes = changes
        #: Each feed, as a type of feed, once.
        self._feeds: dict[tuple[bytes, str], ItemFeed] = {}
        for change in changes:
            if not isinstance(change, Change):
                raise TypeError(f"a commit takes what handle.change makes, not {change!r}")
            if change.feed.pub is not claim.job.pub:
                raise ValueError(f"{change!r} belongs to another instance than {claim.job!r}")
            self._feeds.setdefault((change.feed.keys.config, change.feed.TYPE), change.feed)
        size = sum(len(arg) for change in changes for arg in change.args)
        if len(changes) > MOST or size > MOST_BYTES:
            raise ValueError(
                f"a commit has at most {MOST:,} changes and {MOST_BYTES:,} bytes, not "
                f"{len(changes):,} and {size:,}"
            )
        self._check_items()

    def _check_items(self) -> None:
        """Whether each change can be judged by the feeds as they are before all of them."""
        verbs: dict[tuple[bytes, bytes], set[str]] = {}
        for change in self._changes:
            feed = change.feed.keys.config
            for id in change.named:
                before = verbs.get((feed, id), set())
                retracted = any(verb.endswith("/retract") for verb in before)
                together = {change.verb, *before} == _TOGETHER and change.verb not in before
                if retracted or (before and id == change.changed and not together):
                    raise ValueError(f"{change!r}: the same commit changes that item before")
            if change.changed is not None:
                verbs.setdefault((feed, change.changed), set()).add(change.verb)

    def send(self, result: bytes, ttl: float | None) -> Deferred[list[Any]]:
        """Make sure that all feeds are there, and send it.

        :param result: as the finish script takes it.
        """
        handles = {id(change.feed): change.feed for change in self._changes}.values()
        making = [handle._when_made() for handle in handles if not handle.is_made]
        if not making:
            return self._send(result, ttl)
        made = gatherResults(making, consumeErrors=True)
        return made.addCallbacks(lambda _: self._send(result, ttl), first_failure)

    def _send(self, result: bytes, ttl: float | None) -> Deferred[list[Any]]:
        claim, job = self._claim, self._claim.job
        numbers = {feed: b"%d" % number for number, feed in enumerate(self._feeds, 1)}
        kept = b"" if ttl is None else b"%.15g" % ttl
        args = [kept, encode(claim.id), claim.token, result]
        args += [kind.encode() for _, kind in self._feeds]
        for change in self._changes:
            condition = b"" if change.if_revision is None else b"%d" % change.if_revision
            number = numbers[change.feed.keys.config, change.feed.TYPE]
            args += [number, change.verb.encode(), condition, b"%d" % len(change.args)]
            args += change.args
        expiring = {c.feed.keys.expiring for c in self._changes if c.verb == "feed/publish_for"}
        keys: Any = _Keys(job.keys, [feed.keys for feed in self._feeds.values()], [*expiring])
        bound = script("job/commit").bind(keys, job.name)
        return bound(job.pub.redis, args, self._told, id=claim.id)

    def _told(self, reply: list[Any]) -> list[Any]:
        if reply[0]:
            raise self._changes[reply[0] - 1].refused(*reply[1:])
        return [
            change.shape(each, *change.shape_args)
            for change, each in zip(self._changes, reply[1:], strict=True)
        ]


def _none(_: object) -> None:
    return None
