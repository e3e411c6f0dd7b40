"""What feeds and sorted feeds have in common: items that are read by their ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from twisted.internet.defer import Deferred

from txthoonk.errors import Conflict
from txthoonk.events import Event
from txthoonk.keys import encode
from txthoonk.reading import Reading, Snapshot
from txthoonk.scripts import BoundScript
from txthoonk.types.base import FeedBaseType, ItemId, Owner
from txthoonk.types.names import OlderNames

__all__ = ["ItemFeed", "changed", "none"]

T = TypeVar("T")


class ItemFeed(OlderNames, FeedBaseType):
    """A feed whose items can be read and retracted, and whose changes have revisions."""

    #: The folder of its scripts.
    SCRIPTS: ClassVar[str]
    OPTIONS = FeedBaseType.OPTIONS | {"history"}

    def __init__(
        self, pub: Owner, name: str, config: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        super().__init__(pub, name, config, **options)
        self._retract = self._bind(f"{self.SCRIPTS}/retract")
        self._get_all = self._bind(f"{self.SCRIPTS}/get_all")

    def retract(self, id: str | int, if_revision: int | None = None) -> Deferred[bool]:
        """Take an item out.

        :param if_revision: of the item, or of the feed: only if that is the last one.
        :returns: fires with whether it was there.
        :raises FeedDoesNotExist: (as a failure) if the feed was deleted.
        :raises Conflict: (as a failure) if it has changed since *if_revision*.
        """
        id = self._id(id)
        return self._change(self._retract, (encode(id),), if_revision, id, bool)

    def get_item(self, id: str | int) -> Deferred[Any]:
        """An item, or None if there is none of that id.

        :raises ItemError: (as a failure) if it cannot be decoded.
        """
        id = self._id(id)
        return self._read("HGET", self.keys.items, encode(id), id=id).addCallback(
            self._decode_or_fail, id
        )

    def get_all(self) -> Deferred[dict[str, Any]]:
        """All items by id, in the feed's order, as of one instant.

        However many there are, Redis does nothing else meanwhile; :meth:`snapshot` reads pages.
        An item that cannot be decoded has an :exc:`ItemError` in its place.
        """
        return self._run(self._get_all, (), self._decode_all)

    def has_id(self, id: str | int) -> Deferred[bool]:
        """Whether there is an item of that id."""
        id = self._id(id)
        return self._read("HEXISTS", self.keys.items, encode(id), id=id).addCallback(bool)

    # -- revisions --------------------------------------------------------------------------

    def snapshot(self) -> Deferred[Snapshot]:
        """All items in order, with the revision that they are of.

        Up to 1,000 items are one call. More are read in pages of that many; what changes between
        two of them is in the history, and becomes part of the snapshot.

        :returns: fires with the snapshot; an item that cannot be decoded has an :exc:`ItemError`
            in its place.
        :raises FeedDoesNotExist: (as a failure) if the feed was deleted.
        """
        return self._made_then(lambda: Deferred.fromCoroutine(self._reading().snapshot()))

    def history(
        self, since: int | str | Snapshot, epoch: str | None = None
    ) -> Deferred[list[Event]]:
        """What happened after a revision, in order.

        :param since: the revision; or a token; or a snapshot.
        :param epoch: of the revision, where that is a number; without it the present one.
        :returns: fires with ``Published``, ``Edited``, ``Retracted`` and ``Moved``.
        :raises HistoryLost: (as a failure) if that is longer ago than the history goes back, or
            of another epoch.
        :raises FeedDoesNotExist: (as a failure) if the feed was deleted.
        :raises ValueError: if a token is none.
        """
        reading = self._reading()
        position = reading.position(since, epoch)
        return self._made_then(lambda: Deferred.fromCoroutine(reading.history(position)))

    def follow(self, on_event: Callable[[Any], object], **options: Any) -> Deferred[Any]:
        """Follow the feed, in its serializer; see ``Thoonk.follow``."""
        return self._made_then(
            lambda: self.pub.follow(self.name, on_event, serializer=self.serializer, **options)
        )

    def _reading(self) -> Reading:
        return Reading(self.pub.redis, self.keys, self.name, self.serializer)

    def _made_then(self, call: Callable[[], Deferred[T]]) -> Deferred[T]:
        """Call when the feed is known to be there."""
        return call() if self._made else self._when_made().addCallback(lambda _: call())

    def _change(
        self,
        bound: BoundScript,
        args: tuple[bytes, ...],
        if_revision: int | None,
        id: str,
        shape: Callable[..., Any],
        *shape_args: object,
    ) -> Deferred[Any]:
        """Call a script that changes the feed, on condition or not."""
        self.check_revision(if_revision, id)
        if if_revision is None:
            return self._run(bound, args, shape, *shape_args, id=id)

        def shaped(reply: Any, *more: object) -> Any:
            if isinstance(reply, list) and reply[0] == b"CONFLICT":
                raise self.conflict(id, if_revision, *reply[1:])
            return shape(reply, *more)

        return self._run(bound, (*args, b"%d" % if_revision), shaped, *shape_args, id=id)

    def check_revision(self, if_revision: int | None, id: str) -> None:
        """Refuse what cannot be a revision.

        :raises ValueError: if it is neither ``None`` nor 0 or more.
        """
        is_number = isinstance(if_revision, int) and not isinstance(if_revision, bool)
        if if_revision is not None and not (is_number and if_revision >= 0):
            raise ValueError(
                f"a revision of feed {self.name!r} is 0 or more, not {if_revision!r} (id {id!r})"
            )

    def conflict(
        self, id: str, wanted: int, of_feed: bytes, of_item: bytes, data: bytes | None = None
    ) -> Conflict:
        """The error for a change that was made for another revision, of what its script says."""
        revision = int(of_item) if data is not None else int(of_feed)
        item = None if data is None else self.decode(data, id)
        detail = f"revision {revision}, not {wanted}"
        return Conflict(self.name, id, detail, revision, item, int(of_feed))


def changed(revision: int, id: ItemId) -> ItemId:
    """The id that the caller knew already, as the result of a verb, with the revision."""
    id.revision = revision
    return id


def none(_: object) -> None:
    """Nothing, as the result of a verb."""
