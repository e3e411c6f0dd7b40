"""Sorted feeds: items in an order that their users choose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred

from txthoonk.keys import decode, encode
from txthoonk.types.base import FeedBaseType, ItemId, Owner
from txthoonk.types.committing import SortedChanges
from txthoonk.types.items import ItemFeed, changed, none

__all__ = ["SortedFeed"]


class SortedFeed(ItemFeed):
    """A stored list of items, each with a place that may be changed; ids are numbers.

    Options: ``serializer``, ``title`` and ``history`` (how many events are kept: 1,000 if not
    given; 0 keeps none). There is no upper bound: which item should go?

    Every verb that changes something takes ``if_revision``, of the feed or of the item that is
    named: it fails with ``Conflict`` if that is not the last one, and nothing is written.
    """

    TYPE = SCRIPTS = FAMILY = "sorted_feed"
    CHANNELS = ("publish_channel", "edit_channel", "retract_channel", "position_channel")
    SCHEMA = (*FeedBaseType.SCHEMA, "idincr")

    def __init__(
        self, pub: Owner, name: str, config: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        super().__init__(pub, name, config, **options)
        self._publish = self._bind("sorted_feed/publish")
        self._insert = self._bind("sorted_feed/insert")
        self._edit = self._bind("sorted_feed/edit")
        self._move = self._bind("sorted_feed/move")

    def append(self, item: Any, if_revision: int | None = None) -> Deferred[ItemId]:
        """Publish an item behind all others.

        :param if_revision: of the feed: only if that is the last one.
        :returns: fires with its id, once the item is stored and its events are out; its
            ``revision`` is that of the change.
        :raises Conflict: (as a failure) if the feed has changed since *if_revision*.
        :raises FeedDoesNotExist: (as a failure) if the feed was deleted; nothing is written.
        """
        args = (b":end", self._encode(item))
        return self._change(self._publish, args, if_revision, "", _item_id)

    publish = append

    def prepend(self, item: Any, if_revision: int | None = None) -> Deferred[ItemId]:
        """Publish an item before all others; else as :meth:`append`."""
        args = (b"begin:", self._encode(item))
        return self._change(self._publish, args, if_revision, "", _item_id)

    def publish_before(
        self, id: str | int, item: Any, if_revision: int | None = None
    ) -> Deferred[ItemId]:
        """Publish an item before another one.

        :param if_revision: of the other one, or of the feed: only if that is the last one.
        :raises ItemDoesNotExist: (as a failure) if the other one is not there; nothing is
            written, no id is used up.
        """
        return self._beside(b"BEFORE", id, item, if_revision)

    def publish_after(
        self, id: str | int, item: Any, if_revision: int | None = None
    ) -> Deferred[ItemId]:
        """Publish an item after another one; else as :meth:`publish_before`."""
        return self._beside(b"AFTER", id, item, if_revision)

    def _beside(
        self, where: bytes, pivot: str | int, item: Any, if_revision: int | None
    ) -> Deferred[ItemId]:
        pivot = self._id(pivot)
        args = (where, encode(pivot), self._encode(item))
        return self._change(self._insert, args, if_revision, pivot, _item_id)

    def edit(self, id: str | int, item: Any, if_revision: int | None = None) -> Deferred[ItemId]:
        """Replace an item; its place stays.

        :param if_revision: of the item, or of the feed: only if that is the last one.
        :returns: fires with the id; its ``revision`` is that of the change.
        :raises Conflict: (as a failure) if it has changed since *if_revision*.
        :raises ItemDoesNotExist: (as a failure) if it is not there; nothing is written.
        """
        id = ItemId(self._id(id))
        args = (encode(id), self._encode(item))
        return self._change(self._edit, args, if_revision, id, changed, id)

    def move(self, position: str, id: str | int, if_revision: int | None = None) -> Deferred[None]:
        """Give an item another place.

        :param position: ``":42"`` before item 42, ``"42:"`` after it, ``"begin:"``, ``":end"``;
            of these two the colon may be on the other side, as txThoonk 0.1 had it.
        :param if_revision: of the item, or of the feed: only if that is the last one.
        :raises Conflict: (as a failure) if it has changed since *if_revision*.
        :raises ItemDoesNotExist: (as a failure) if one of the two is not there.
        :raises ValueError: if *position* is none, or beside the item itself.
        """
        if position in ("begin:", ":begin"):
            return self.move_first(id, if_revision)
        if position in (":end", "end:"):
            return self.move_last(id, if_revision)
        if isinstance(position, str) and len(position) > 1:
            if position.startswith(":"):
                return self.move_before(position[1:], id, if_revision)
            if position.endswith(":"):
                return self.move_after(position[:-1], id, if_revision)
        raise ValueError(
            f"a position in feed {self.name!r} is ':ID', 'ID:', 'begin:' or ':end', "
            f"not {position!r} (item {id!r})"
        )

    def move_before(
        self, rel: str | int, id: str | int, if_revision: int | None = None
    ) -> Deferred[None]:
        """Move an item to just before another one; else as :meth:`move`."""
        return self._to(b"BEFORE", id, if_revision, rel)

    def move_after(
        self, rel: str | int, id: str | int, if_revision: int | None = None
    ) -> Deferred[None]:
        """Move an item to just after another one; else as :meth:`move`."""
        return self._to(b"AFTER", id, if_revision, rel)

    def move_first(self, id: str | int, if_revision: int | None = None) -> Deferred[None]:
        """Move an item before all others; else as :meth:`move`."""
        return self._to(b"begin", id, if_revision)

    def move_last(self, id: str | int, if_revision: int | None = None) -> Deferred[None]:
        """Move an item behind all others; else as :meth:`move`."""
        return self._to(b"end", id, if_revision)

    def _to(
        self, where: bytes, id: str | int, if_revision: int | None, pivot: str | int | None = None
    ) -> Deferred[None]:
        id = self._id(id)
        other = "" if pivot is None else self._id(pivot)
        if id == other:
            raise ValueError(f"item {id!r} of feed {self.name!r} cannot be moved beside itself")
        args = (encode(id), where, encode(other))
        return self._change(self._move, args, if_revision, id, none)

    @property
    def change(self) -> SortedChanges:
        """Makes changes for :meth:`Claim.commit`, by the names of the verbs; sends nothing."""
        return SortedChanges(self)

    def get_ids(self) -> Deferred[list[str]]:
        """All ids, in order."""
        return self._read("LRANGE", self.keys.ids, 0, -1).addCallback(
            lambda reply: [decode(id) for id in reply]
        )

    def length(self) -> Deferred[int]:
        """How many items there are."""
        return self._read("LLEN", self.keys.ids)


def _item_id(reply: tuple[bytes, int]) -> ItemId:
    id, revision = reply
    return changed(revision, ItemId(decode(id)))
