"""Sorted feeds: items in an order that their users choose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred

from txthoonk.keys import decode, encode
from txthoonk.types.base import FeedBaseType, ItemId, Owner
from txthoonk.types.items import ItemFeed, given, none

__all__ = ["SortedFeed"]


class SortedFeed(ItemFeed):
    """A stored list of items, each with a place that may be changed; ids are numbers.

    Options: ``serializer`` and ``title``. There is no upper bound: which item should go?
    """

    TYPE = SCRIPTS = "sorted_feed"
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

    def append(self, item: Any) -> Deferred[ItemId]:
        """Publish an item behind all others.

        :returns: fires with its id, once the item is stored and its events are out.
        :raises FeedDoesNotExist: (as a failure) if the feed was deleted; nothing is written.
        """
        return self._run(self._publish, (b":end", self._encode(item)), _item_id)

    publish = append

    def prepend(self, item: Any) -> Deferred[ItemId]:
        """Publish an item before all others; else as :meth:`append`."""
        return self._run(self._publish, (b"begin:", self._encode(item)), _item_id)

    def publish_before(self, id: str | int, item: Any) -> Deferred[ItemId]:
        """Publish an item before another one.

        :raises ItemDoesNotExist: (as a failure) if the other one is not there; nothing is
            written, no id is used up.
        """
        return self._beside(b"BEFORE", id, item)

    def publish_after(self, id: str | int, item: Any) -> Deferred[ItemId]:
        """Publish an item after another one; else as :meth:`publish_before`."""
        return self._beside(b"AFTER", id, item)

    def _beside(self, where: bytes, pivot: str | int, item: Any) -> Deferred[ItemId]:
        pivot = self._id(pivot)
        args = (where, encode(pivot), self._encode(item))
        return self._run(self._insert, args, _item_id, id=pivot)

    def edit(self, id: str | int, item: Any) -> Deferred[ItemId]:
        """Replace an item; its place stays.

        :returns: fires with the id.
        :raises ItemDoesNotExist: (as a failure) if it is not there; nothing is written.
        """
        id = ItemId(self._id(id))
        return self._run(self._edit, (encode(id), self._encode(item)), given, id, id=id)

    def move(self, position: str, id: str | int) -> Deferred[None]:
        """Give an item another place.

        :param position: ``":42"`` before item 42, ``"42:"`` after it, ``"begin:"``, ``":end"``;
            of these two the colon may be on the other side, as txThoonk 0.1 had it.
        :raises ItemDoesNotExist: (as a failure) if one of the two is not there.
        :raises ValueError: if *position* is none, or beside the item itself.
        """
        if position in ("begin:", ":begin"):
            return self.move_first(id)
        if position in (":end", "end:"):
            return self.move_last(id)
        if isinstance(position, str) and len(position) > 1:
            if position.startswith(":"):
                return self.move_before(position[1:], id)
            if position.endswith(":"):
                return self.move_after(position[:-1], id)
        raise ValueError(
            f"a position in feed {self.name!r} is ':ID', 'ID:', 'begin:' or ':end', "
            f"not {position!r} (item {id!r})"
        )

    def move_before(self, rel: str | int, id: str | int) -> Deferred[None]:
        """Move an item to just before another one; else as :meth:`move`."""
        return self._to(b"BEFORE", id, rel)

    def move_after(self, rel: str | int, id: str | int) -> Deferred[None]:
        """Move an item to just after another one; else as :meth:`move`."""
        return self._to(b"AFTER", id, rel)

    def move_first(self, id: str | int) -> Deferred[None]:
        """Move an item before all others; else as :meth:`move`."""
        return self._to(b"begin", id)

    def move_last(self, id: str | int) -> Deferred[None]:
        """Move an item behind all others; else as :meth:`move`."""
        return self._to(b"end", id)

    def _to(self, where: bytes, id: str | int, pivot: str | int | None = None) -> Deferred[None]:
        id = self._id(id)
        other = "" if pivot is None else self._id(pivot)
        if id == other:
            raise ValueError(f"item {id!r} of feed {self.name!r} cannot be moved beside itself")
        return self._run(self._move, (encode(id), where, encode(other)), none, id=id)

    def get_ids(self) -> Deferred[list[str]]:
        """All ids, in order."""
        return self._read("LRANGE", self.keys.ids, 0, -1).addCallback(
            lambda reply: [decode(id) for id in reply]
        )

    def length(self) -> Deferred[int]:
        """How many items there are."""
        return self._read("LLEN", self.keys.ids)


def _item_id(reply: bytes) -> ItemId:
    return ItemId(decode(reply))
