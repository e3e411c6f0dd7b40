"""Following a feed: a local copy, and every change once, in order."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import gatherResults

from tests.follow_helpers import FollowCase, FollowHeard
from tests.helpers import until
from txthoonk import ItemError, LiveFeed
from txthoonk.events import Edited, Event, Moved, Published, Retracted
from txthoonk.keys import FeedKeys, encode


class CopyTests(FollowCase):
    """What is there when it begins, and what comes then."""

    async def test_feed(self) -> None:
        """
        What is there is there at once, and is no news; what comes is told, once, in order.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name)
        await feed.publish("a", id="1")
        await feed.publish("b", id="2")
        live, heard = await self.follow(name)
        self.assertIsInstance(live, LiveFeed)
        self.assertEqual(live.name, name)
        self.assertEqual(list(live), [("1", "a"), ("2", "b")])
        self.assertEqual((live.revision, len(heard)), (2, 0))
        await live.when_synced()
        self.assertIs(live.synced, True)
        await feed.publish("c", id="3")
        await feed.publish("d", id="1")
        await feed.retract("2")
        await heard.when(3)
        expected: list[Event] = [
            Published(name, "3", "c", 3),
            Edited(name, "1", "d", 4),
            Retracted(name, "2", 5),
        ]
        self.assertEqual(heard, expected)
        self.assertEqual(list(live), [("3", "c"), ("1", "d")])
        self.assertEqual(live.revision, 5)

    async def test_sorted_feed(self) -> None:
        """
        The same of a sorted feed, with places.
        """
        name = self.feed_name()
        feed = await self.thoonk.sorted_feed(name)
        await feed.append("a")
        live, heard = await self.follow(name)
        await feed.append("b")
        await feed.prepend("c")
        await feed.publish_before("1", "d")
        await feed.publish_after("1", "e")
        await feed.edit("1", "f")
        await feed.move("2:", "1")
        await feed.retract("3")
        await heard.when(7)
        expected: list[Event] = [
            Published(name, "2", "b", 2, ":end"),
            Published(name, "3", "c", 3, "begin:"),
            Published(name, "4", "d", 4, ":1"),
            Published(name, "5", "e", 5, "1:"),
            Edited(name, "1", "f", 6),
            Moved(name, "1", "2:", 7),
            Retracted(name, "3", 8),
        ]
        self.assertEqual(heard, expected)
        self.assertEqual(list(live), [("4", "d"), ("5", "e"), ("2", "b"), ("1", "f")])
        await self.same(live)

    async def test_eviction(self) -> None:
        """
        What goes because the feed is full is told, before what it goes for.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name, max_length=2)
        live, heard = await self.follow(name)
        for n in range(1, 4):
            await feed.publish(f"{n}", id=f"{n}")
        await heard.when(4)
        expected = [("Published", 1, "1"), ("Published", 2, "2"), ("Retracted", 3, "1")]
        self.assertEqual(heard.short, [*expected, ("Published", 4, "3")])
        self.assertEqual(live.ids, ["2", "3"])

    async def test_looking(self) -> None:
        """
        The copy is a mapping, has a length, and says what it is.
        """
        name = self.feed_name()
        feed = await self.thoonk.sorted_feed(name)
        live, heard = await self.follow(name)
        self.assertEqual((len(live), live.ids, list(live), dict(live.items)), (0, [], [], {}))
        self.assertEqual((live.revision, live.epoch), (0, ""))
        for item in "abc":
            await feed.append(item)
        await feed.move_first("3")
        await heard.when(4)
        self.assertEqual((len(live), live.ids), (3, ["3", "1", "2"]))
        self.assertEqual(list(live.items.items()), [("3", "c"), ("1", "a"), ("2", "b")])
        self.assertEqual(list(live), list(live.items.items()))
        self.assertIn("3", live)
        self.assertNotIn("4", live)
        self.assertNotIn(3, live)
        self.assertEqual(live.items["1"], "a")
        self.assertIn(name, repr(live))
        self.assertIn("4", repr(live))
        epoch = await self.redis.execute("HGET", FeedKeys(encode(name)).revision, "epoch")
        self.assertEqual(live.epoch, epoch.decode())

    async def test_iterating(self) -> None:
        """
        Who goes through the items while others come goes through those that there were.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name)
        for n in range(5):
            await feed.publish(f"{n}", id=f"{n}")
        live, _ = await self.follow(name)
        seen = []
        for id, _item in live:
            await feed.retract(id)
            await feed.publish("new")
            await self.settle()
            seen.append(id)
        self.assertEqual(seen, ["0", "1", "2", "3", "4"])

    async def test_copy_when_told(self) -> None:
        """
        The handler finds the copy as it is with the change that it is told of.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name)
        found: list[tuple[int, int]] = []
        live = await self.thoonk.follow(name, lambda _: found.append((live.revision, len(live))))
        await gatherResults([feed.publish(f"{n}") for n in range(20)])
        await until(lambda: len(found) == 20)
        self.assertEqual(found, [(n, n) for n in range(1, 21)])

    async def test_while_others_write(self) -> None:
        """
        Whatever is published while it begins is in the copy or is told, and never both.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name, history=10_000)
        others = [await self.start_thoonk() for _ in range(3)]
        calls = [feed.publish(f"{n}", id=f"{n % 50}") for n in range(2000)]
        followed = []
        for thoonk in others:
            for _ in range(10):
                live, heard = await self.follow(name, thoonk)
                self.assertEqual(len(heard), 0)
                followed.append((live, heard, live.revision))
        await gatherResults(calls)
        for live, heard, since in followed:
            await self.caught_up(live)
            await self.same(live)
            await self.logged(heard, name, since)
        self.assertGreater(len({since for _, _, since in followed}), 5)

    async def test_large(self) -> None:
        """
        A feed of several pages that is changed while they are read.
        """
        name = self.feed_name()
        feed = await self.thoonk.sorted_feed(name, history=10_000)
        await gatherResults([feed.append(f"{n}") for n in range(3500)])
        calls = [feed.move_first(f"{n}") for n in range(1, 300)]
        calls += [feed.move_after("1800", f"{n}") for n in range(1000, 1200)]
        live, heard = await self.follow(name)
        since = live.revision
        await gatherResults(calls)
        await self.caught_up(live)
        await self.same(live)
        await self.logged(heard, name, since)
        self.assertIs(await live.verify(), True)


class SerializerTests(FollowCase):
    """Items of all kinds."""

    async def test_serializers(self) -> None:
        """
        Items are as the serializer makes them, in the copy and in events.
        """
        for serializer, old, new in (
            ("json", {"a": [1]}, {"b": "\0"}),
            ("bytes", b"\xff\0", b"\0\n"),
            ("text", "\0ä", "\r\n"),
        ):
            name = self.feed_name()
            feed: Any = await self.thoonk.feed(name, serializer=serializer)
            await feed.publish(old, id="1")
            live, heard = await self.follow(name, serializer=serializer)
            await feed.publish(new, id="2")
            await heard.when(1)
            self.assertEqual(heard, [Published(name, "2", new, 2)])
            self.assertEqual(list(live), [("1", old), ("2", new)])
            self.assertIs(await live.verify(), True)

    async def test_of_a_handle(self) -> None:
        """
        Who follows by a handle gets items as its serializer makes them, and a feed that is made
        if it is not there.
        """

        class Upper:
            def encode(self, item: str) -> bytes:
                return item.lower().encode()

            def decode(self, data: bytes) -> str:
                return data.decode().upper()

        for make in (self.thoonk.feed, self.thoonk.sorted_feed):
            feed: Any = make(self.feed_name(), serializer=Upper())
            heard = FollowHeard()
            live = await feed.follow(heard)
            id = await feed.publish("Abc")
            await heard.when(1)
            self.assertEqual((live.items[id], heard[0].item), ("ABC", "ABC"))
            self.assertIs(await live.verify(), True)
            live.stop()

    async def test_undecodable(self) -> None:
        """
        What cannot be decoded has an error in its place; everything else goes on.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name)
        await feed.publish("{", id="1")
        live, heard = await self.follow(name, serializer="json")
        await feed.publish("}", id="2")
        await feed.publish("3", id="3")
        await heard.when(2)
        self.assertIsInstance(live.items["1"], ItemError)
        self.assertIsInstance(heard[0].item, ItemError)
        self.assertEqual((live.items["3"], heard[1].item), (3, 3))
        self.assertIs(await live.verify(), True)
        self.assertEqual(len(heard), 2)

    async def test_ids_that_are_no_text(self) -> None:
        """
        Ids and items with bytes that are no UTF-8 are what they are.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name)
        odd = b"a\xff:".decode("utf-8", "surrogateescape")
        await feed.publish(odd, id=odd)
        live, heard = await self.follow(name)
        self.assertEqual(list(live), [(odd, odd)])
        await feed.publish("x", id=odd)
        await heard.when(1)
        self.assertEqual(list(live), [(odd, "x")])
        self.assertIs(await live.verify(), True)
