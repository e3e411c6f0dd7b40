"""Changes of a feed as our scripts tell them, and what becomes of a local copy by them.

A change is a text of two parts and the contract's message, divided by NULs::

    revision epoch digest publishes verb NUL position NUL id [NUL item]

*verb* is ``publish edit retract position``, with a ``+`` if another program did it, past the
revisions. *position* is empty where the verb says it: at the end of a feed, or where it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from txthoonk.errors import ItemError
from txthoonk.events import Edited, Event, Moved, Published, Retracted
from txthoonk.keys import decode
from txthoonk.serializers import SERIALIZERS, Serializer

__all__ = ["ADOPTED", "Copy", "Head", "Maker", "SortedCopy", "make_copy", "read_head"]

#: What the verb of another program's change ends with.
ADOPTED: Final = b"+"


class Head:
    """What the first part of a change says.

    :ivar revision: of the change.
    :ivar epoch: of the revision.
    :ivar digest: of this event and all before it.
    :ivar publishes: the contract's counter with this publish or edit; 0 with other changes.
    :ivar verb: ``publish edit retract position``, maybe with a ``+``.
    """

    __slots__ = ("digest", "epoch", "publishes", "revision", "verb")

    def __init__(self, head: bytes) -> None:
        revision, self.epoch, self.digest, publishes, self.verb = head.split(b" ")
        self.revision = int(revision)
        self.publishes = int(publishes)


def read_head(change: bytes) -> Head:
    """The first part of a change."""
    return Head(change[: change.index(b"\x00")])


class Maker:
    """Makes events of changes.

    :param feed: its name.
    :param serializer: for items.
    :ivar exact: whether an item encoded once more is the same bytes.
    """

    __slots__ = ("_feed", "exact", "is_text", "serializer")

    def __init__(self, feed: str, serializer: Serializer) -> None:
        self._feed = feed
        self.serializer = serializer
        self.is_text = serializer is SERIALIZERS["text"]
        self.exact = self.is_text or serializer is SERIALIZERS["bytes"]

    def event(self, change: bytes) -> Event:
        """The event that a change is for users."""
        head, position, rest = change.split(b"\x00", 2)
        revision, _, _, _, verb = head.split(b" ")
        return self.make(int(revision), verb, position, rest)

    def events(self, changes: list[bytes]) -> list[Event]:
        """The events that many changes are."""
        events: list[Event] = []
        for change in changes:
            # What follows is event() without its calls, for the most of them.
            if self.is_text:
                head, position, id, *item = change.decode("utf-8", "surrogateescape").split(
                    "\x00", 3
                )
                number, _, _, _, verb = head.split(" ")
                if verb == "publish" or verb == "edit":
                    kind = Published if verb == "publish" else Edited
                    events.append(kind(self._feed, id, item[0], int(number), position or None))
                    continue
            events.append(self.event(change))
        return events

    def make(self, revision: int, verb: bytes, position: bytes, rest: bytes) -> Event:
        """The same of its parts."""
        place = position.decode("utf-8", "surrogateescape") if position else None
        if self.is_text:
            id, _, text = rest.decode("utf-8", "surrogateescape").partition("\x00")
            item: Any = text
        else:
            raw_id, nul, data = rest.partition(b"\x00")
            id = decode(raw_id)
            item = self.item(data, id) if nul else None
        if verb.startswith(b"publish"):
            return Published(self._feed, id, item, revision, place)
        if verb.startswith(b"edit"):
            return Edited(self._feed, id, item, revision, place)
        if verb.startswith(b"retract"):
            return Retracted(self._feed, id, revision)
        return Moved(self._feed, id, place, revision)

    def item(self, data: bytes, id: str) -> Any:
        """An item, or an :exc:`ItemError` in its place."""
        try:
            return self.serializer.decode(data)
        except Exception as error:
            return ItemError(self._feed, id, f"{type(error).__name__}: {error}")


#: Of all copies that need no bytes: there may be very many, and small ones.
NO_BYTES: Final[dict[str, bytes]] = {}


class Copy:
    """The items of a feed, in order.

    :param exact: whether the serializer would make the same bytes of an item again.
    :ivar raw: id -> its bytes, where it would not.
    """

    __slots__ = ("items", "raw")

    def __init__(self, exact: bool = True) -> None:
        self.items: dict[str, Any] = {}
        self.raw: dict[str, bytes] = NO_BYTES if exact else {}

    @property
    def ids(self) -> list[str]:
        """All ids in order."""
        return list(self.items)

    def in_order(self) -> dict[str, Any]:
        """All items by id, in order; not to be changed."""
        return self.items

    def __iter__(self) -> Iterator[str]:
        return iter(self.items)

    def equals(self, other: Copy) -> bool:
        """Whether the other one has the same items in the same order."""
        same = self.raw == other.raw and (bool(self.raw) or self.items == other.items)
        return same and self.ids == other.ids

    def extend(self, items: dict[str, Any]) -> None:
        """Add items behind those that are there."""
        self.items.update(items)

    def apply(self, event: Any) -> None:
        """Do to the copy what was done to the feed."""
        kind = type(event)
        if kind is Moved:  # of a list that this is none of
            return
        self.items.pop(event.id, None)
        if kind is Retracted:
            return
        if event.position is None:
            self.items[event.id] = event.item
        else:
            self._put(event.id, event.item, event.position)

    def _put(self, id: str, item: Any, position: str) -> None:
        """Another program's clock has put it elsewhere than at the end."""
        ids = list(self.items)
        ids.insert(_index(ids, position), id)
        self.items[id] = item
        self.items = {each: self.items[each] for each in ids}


class SortedCopy(Copy):
    """The items of a sorted feed."""

    __slots__ = ("_is_sorted", "_order")

    def __init__(self, exact: bool = True) -> None:
        super().__init__(exact)
        self._order: list[str] = []
        self._is_sorted = True

    @classmethod
    def of(cls, copy: Copy) -> SortedCopy:
        """What was taken for the copy of a feed."""
        right = cls()
        right.extend(copy.items)
        right.raw = copy.raw
        return right

    @property
    def ids(self) -> list[str]:
        return list(self._order)

    def __iter__(self) -> Iterator[str]:
        return iter(self._order)

    def extend(self, items: dict[str, Any]) -> None:
        self._order += [id for id in items if id not in self.items]
        self.items.update(items)

    def in_order(self) -> dict[str, Any]:
        if not self._is_sorted:
            items = self.items
            self.items = {id: items[id] for id in self._order}
            self._is_sorted = True
        return self.items

    def apply(self, event: Any) -> None:
        id, kind, items = event.id, type(event), self.items
        if kind is Retracted:
            if id in items:
                del items[id]
                self._order.remove(id)
            return
        if kind is Edited:
            if id in items:
                items[id] = event.item
                return
        elif id in items:
            self._order.remove(id)
            self._is_sorted = False
        elif kind is Moved:
            return
        if kind is not Moved:
            items[id] = event.item
        place = _index(self._order, event.position or ":end")
        if place < len(self._order):
            self._is_sorted = False
        self._order.insert(place, id)


def _index(ids: list[str], position: str) -> int:
    """Where in a list of ids a position is; at the end if it is beside what is not there."""
    if position == "begin:":
        return 0
    if position == ":end":
        return len(ids)
    if position.endswith(":") and position[:-1] in ids:
        return ids.index(position[:-1]) + 1
    if position.startswith(":") and position[1:] in ids:
        return ids.index(position[1:])
    return len(ids)


def make_copy(stored: bytes, exact: bool = True) -> Copy:
    """An empty copy of a feed whose ids Redis has as a value of that type."""
    return SortedCopy(exact) if stored == b"list" else Copy(exact)
