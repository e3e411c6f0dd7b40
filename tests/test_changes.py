"""Changes as the wire has them, and what becomes of a local copy by them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import TestCase

from txthoonk import ItemError
from txthoonk.changes import Copy, Maker, SortedCopy, make_copy, read_head
from txthoonk.events import Edited, Event, Moved, Published, Retracted
from txthoonk.serializers import get_serializer

#: What no id and no item of a text feed has: NUL in the one, nothing in the other.
IDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
TEXTS = st.text()

VERBS = {"publish": Published, "edit": Edited, "retract": Retracted, "position": Moved}


def change(
    verb: str, id: bytes, item: bytes | None = None, position: bytes = b"", revision: int = 7
) -> bytes:
    """A change as Redis sends it."""
    head = b"%d 1700000000000000 12345 3 %b" % (revision, verb.encode())
    return b"\0".join([head, position, id] + ([] if item is None else [item]))


def maker(serializer: str = "text") -> Maker:
    """For the feed ``f``."""
    return Maker("f", get_serializer(serializer))


class MakerTests(TestCase):
    """Events, made of changes."""

    @given(st.sampled_from(["publish", "edit"]), st.sampled_from(["", "+"]), IDS, TEXTS)
    def test_items(self, verb: str, plus: str, id: str, item: str) -> None:
        """
        Whatever the text of an item is, with NULs and line ends, it comes out as it went in.
        """
        event: Any = maker().event(change(verb + plus, id.encode(), item.encode()))
        self.assertEqual(event, VERBS[verb]("f", id, item, 7, None))

    @given(IDS, IDS)
    def test_no_items(self, id: str, other: str) -> None:
        """
        A retract says which item; a move, where it is now, too.
        """
        for plus in ("", "+"):
            found = maker().event(change("retract" + plus, id.encode()))
            self.assertEqual(found, Retracted("f", id, 7))
            place = f"{other}:"
            found = maker().event(change("position" + plus, id.encode(), None, place.encode()))
            self.assertEqual(found, Moved("f", id, place, 7))

    def test_position(self) -> None:
        """
        An item that is not at the end says where it is.
        """
        event = maker().event(change("publish", b"1", b"x", b"begin:"))
        self.assertEqual(event, Published("f", "1", "x", 7, "begin:"))
        event = maker().event(change("edit+", b"1", b"x", b"2:"))
        self.assertEqual(event, Edited("f", "1", "x", 7, "2:"))

    @given(st.binary(min_size=1).filter(lambda data: b"\0" not in data), st.binary())
    def test_any_bytes(self, id: bytes, item: bytes) -> None:
        """
        Bytes that are no UTF-8 are kept, in ids and in items.
        """
        event: Any = maker().event(change("publish", id, item))
        self.assertEqual(event.id.encode("utf-8", "surrogateescape"), id)
        self.assertEqual(event.item.encode("utf-8", "surrogateescape"), item)
        event = maker("bytes").event(change("publish", id, item))
        self.assertEqual(event.item, item)
        self.assertEqual(event.id.encode("utf-8", "surrogateescape"), id)

    @given(st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | TEXTS, st.lists))
    def test_serializer(self, item: Any) -> None:
        """
        The feed's serializer makes the item.
        """
        data = json.dumps(item).encode()
        for verb, kind in (("publish", Published), ("edit+", Edited)):
            event: Any = maker("json").event(change(verb, b"1", data))
            self.assertEqual((type(event), event.item), (kind, item))

    def test_no_such_item(self) -> None:
        """
        An item that cannot be decoded has an error in its place; there is an event all the same.
        """
        event: Any = maker("json").event(change("publish", b"1", b"{"))
        self.assertIsInstance(event.item, ItemError)
        self.assertEqual((event.item.feed, event.item.id), ("f", "1"))
        self.assertEqual(event.revision, 7)

    def test_exact(self) -> None:
        """
        Of a text the bytes are known; of what another serializer has made they are not.
        """
        known = {name: maker(name).exact for name in ("text", "bytes", "json")}
        self.assertEqual(known, {"text": True, "bytes": True, "json": False})

    def test_head(self) -> None:
        """
        The first part says what comes after what.
        """
        head = read_head(change("edit+", b"1", b"a\0b c"))
        self.assertEqual((head.revision, head.publishes), (7, 3))
        found = (head.epoch, head.digest, head.verb)
        self.assertEqual(found, (b"1700000000000000", b"12345", b"edit+"))


class CopyTests(TestCase):
    """Copies, by example."""

    def apply(self, copy: Copy, *events: Event) -> str:
        """What ids and items there are then: ``a1 b2``."""
        for event in events:
            copy.apply(event)
        items = copy.in_order()
        self.assertEqual(list(items), copy.ids)
        self.assertEqual(list(copy), copy.ids)
        return " ".join(f"{id}{item}" for id, item in items.items())

    def test_which(self) -> None:
        """
        What Redis has as a list has an order of its own.
        """
        kinds = [type(make_copy(stored)) for stored in (b"zset", b"list", b"none", b"")]
        self.assertEqual(kinds, [Copy, SortedCopy, Copy, Copy])

    def test_feed(self) -> None:
        """
        An edit makes an item the last one, unless it says where it is.
        """
        copy = Copy()
        copy.extend({"a": 1, "b": 2, "c": 3})
        self.assertEqual(self.apply(copy, Edited("f", "a", 9)), "b2 c3 a9")
        self.assertEqual(self.apply(copy, Edited("f", "a", 8, 1, "b:")), "b2 a8 c3")
        self.assertEqual(self.apply(copy, Published("f", "d", 4, 1, "begin:")), "d4 b2 a8 c3")
        self.assertEqual(self.apply(copy, Retracted("f", "a")), "d4 b2 c3")
        self.assertEqual(self.apply(copy, Retracted("f", "a")), "d4 b2 c3")

    def test_feed_of_twins(self) -> None:
        """
        An item that is published though it is there is there once: at its new place.
        """
        for copy in (Copy(), SortedCopy()):
            copy.extend({"a": 1, "b": 2})
            self.assertEqual(self.apply(copy, Published("f", "a", 9)), "b2 a9")

    def test_sorted(self) -> None:
        """
        An edit leaves an item where it is; a move does not.
        """
        copy = SortedCopy()
        copy.extend({"1": "a", "2": "b", "3": "c"})
        self.assertEqual(self.apply(copy, Edited("f", "1", "x")), "1x 2b 3c")
        self.assertEqual(self.apply(copy, Moved("f", "1", "2:")), "2b 1x 3c")
        self.assertEqual(self.apply(copy, Moved("f", "3", ":1")), "2b 3c 1x")
        self.assertEqual(self.apply(copy, Moved("f", "1", "begin:")), "1x 2b 3c")
        self.assertEqual(self.apply(copy, Moved("f", "1", ":end")), "2b 3c 1x")
        self.assertEqual(self.apply(copy, Moved("f", "9", ":end")), "2b 3c 1x")
        self.assertEqual(self.apply(copy, Published("f", "4", "d", 1, ":3")), "2b 4d 3c 1x")
        self.assertEqual(self.apply(copy, Retracted("f", "3")), "2b 4d 1x")

    def test_beside_nothing(self) -> None:
        """
        Beside what is not there is the end.
        """
        for copy in (Copy(), SortedCopy()):
            copy.extend({"a": 1, "b": 2})
            found = self.apply(copy, Published("f", "c", 3, 1, "x:"))
            self.assertEqual(found, "a1 b2 c3")
            found = self.apply(copy, Published("f", "d", 4, 1, ":x"))
            self.assertEqual(found, "a1 b2 c3 d4")

    def test_ids_with_colons(self) -> None:
        """
        The ids of a feed may have colons anywhere; beside which one a place is stays clear.
        """
        for id in ("a:", ":a", "a:b", ":end", "end", ":", "::", "end:"):
            copy = Copy()
            copy.extend({"x": 1, id: 2, "y": 3})
            copy.apply(Published("f", "new", 4, 1, f"{id}:"))
            self.assertEqual(copy.ids, ["x", id, "new", "y"], repr(id))

    def test_extend_with_what_is_there(self) -> None:
        """
        A page with an item that is there already does not have it twice.
        """
        for copy in (Copy(), SortedCopy()):
            copy.extend({"a": 1, "b": 2})
            copy.extend({"b": 3, "c": 4})
            self.assertEqual(self.apply(copy), "a1 b3 c4")


class Model(RuleBasedStateMachine):
    """A copy, and a plain list of pairs that the same was done to."""

    made: type[Copy]

    def __init__(self) -> None:
        super().__init__()
        self.copy = self.made()
        self.pairs: list[tuple[str, int]] = []
        self.count = 0

    def place(self, data: Any, but: str = "") -> tuple[str, int]:
        """A position, and where in the list without *but* that is."""
        ids = [id for id, _ in self.pairs if id != but]
        index = data.draw(st.integers(0, len(ids)))
        ways = []
        if index == 0:
            ways.append("begin:")
        else:
            ways.append(f"{ids[index - 1]}:")
        if index == len(ids):
            ways.append(":end")
        else:
            ways.append(f":{ids[index]}")
        return data.draw(st.sampled_from(ways)), index

    def taken(self, id: str) -> list[tuple[str, int]]:
        """The list without an id."""
        return [pair for pair in self.pairs if pair[0] != id]

    @rule(data=st.data(), at_end=st.booleans())
    def publish(self, data: Any, at_end: bool) -> None:
        """A new item."""
        self.count += 1
        id = f"i{self.count}"
        position, index = (None, len(self.pairs)) if at_end else self.place(data)
        self.pairs.insert(index, (id, self.count))
        self.copy.apply(Published("f", id, self.count, 1, position))

    @rule(number=st.integers(1, 12))
    def retract(self, number: int) -> None:
        """An item goes, if it is there."""
        self.pairs = self.taken(f"i{number}")
        self.copy.apply(Retracted("f", f"i{number}", 1))

    @invariant()
    def same(self) -> None:
        """Whatever one looks at: it is what the list is."""
        ids = [id for id, _ in self.pairs]
        assert self.copy.ids == ids
        assert list(self.copy) == ids
        assert set(self.copy.items.items()) == set(self.pairs)

    @rule()
    def in_order(self) -> None:
        """Looking at the items in order changes nothing."""
        assert list(self.copy.in_order().items()) == self.pairs


class FeedModel(Model):
    """A feed."""

    made = Copy

    @rule(number=st.integers(1, 12), data=st.data(), at_end=st.booleans())
    def edit(self, number: int, data: Any, at_end: bool) -> None:
        """An item is replaced: it becomes the last one, or where another clock puts it."""
        id = f"i{number}"
        if id not in dict(self.pairs):
            return
        self.count += 1
        position, index = None, len(self.pairs) - 1
        if not at_end:
            position, index = self.place(data, id)
        self.pairs = self.taken(id)
        self.pairs.insert(index, (id, self.count))
        self.copy.apply(Edited("f", id, self.count, 1, position))


class SortedModel(Model):
    """A sorted feed."""

    made = SortedCopy

    @rule(number=st.integers(1, 12))
    def edit(self, number: int) -> None:
        """An item is replaced: its place stays."""
        id = f"i{number}"
        if id in dict(self.pairs):
            self.count += 1
            self.pairs = [(each, self.count if each == id else n) for each, n in self.pairs]
            self.copy.apply(Edited("f", id, self.count, 1))

    @rule(number=st.integers(1, 12), data=st.data())
    def move(self, number: int, data: Any) -> None:
        """An item gets another place."""
        id = f"i{number}"
        if id in dict(self.pairs):
            position, index = self.place(data, id)
            pair = (id, dict(self.pairs)[id])
            self.pairs = self.taken(id)
            self.pairs.insert(index, pair)
            self.copy.apply(Moved("f", id, position, 1))


class ModelTests(TestCase):
    """Copies, against lists that nobody can get wrong."""

    def test_feed(self) -> None:
        """
        Whatever is done to a feed, its copy has the same items in the same order.
        """
        run_state_machine_as_test(FeedModel)

    def test_sorted_feed(self) -> None:
        """
        The same of a sorted feed.
        """
        run_state_machine_as_test(SortedModel)
