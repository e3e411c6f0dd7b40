"""Feeds: items by the time they were published."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import gatherResults

from tests.helpers import ThoonkTestCase, until
from txthoonk import FeedDoesNotExist, ItemError
from txthoonk.errors import WrongKeyType
from txthoonk.types.base import ItemId


class FeedCase(ThoonkTestCase):
    """A feed, ``self.feed``, and what is published about it, ``self.news()``."""

    async def setUp(self) -> None:
        await super().setUp()
        self.name = self.feed_name()
        self.feed = await self.thoonk.feed(self.name)
        self.news = await self.watch(self.name)

    async def scores(self) -> dict[str, float]:
        """The clock of each item."""
        reply = await self.redis.execute("ZRANGE", self.feed.keys.ids, 0, -1, "WITHSCORES")
        return {id.decode(): float(s) for id, s in zip(reply[::2], reply[1::2], strict=True)}

    async def now(self) -> float:
        """The server's clock, milliseconds."""
        seconds, micros = await self.redis.execute("TIME")
        return int(seconds) * 1000 + int(micros) / 1000

    async def put_raw(self, *pairs: tuple[float, str]) -> None:
        """Items of a peer, each with its clock."""
        for score, id in pairs:
            await self.redis.execute("ZADD", self.feed.keys.ids, score, id)
            await self.redis.execute("HSET", self.feed.keys.items, id, f"item {id}")


class PublishTests(FeedCase):
    """Publishing and reading."""

    async def test_publish(self) -> None:
        """
        What was published is there, in order, and its listeners were told once.
        """
        first = await self.feed.publish("one")
        second = await self.feed.publish("two", id="b")
        self.assertIsInstance(first, ItemId)
        self.assertRegex(first, "^[0-9a-f]{32}$")
        self.assertEqual(second, "b")
        self.assertEqual((first.revision, second.revision), (1, 2))
        self.assertEqual(await self.feed.get_ids(), [first, "b"])
        self.assertEqual(await self.feed.get_all(), {first: "one", "b": "two"})
        self.assertEqual(list(await self.feed.get_all()), [first, "b"])
        self.assertEqual(await self.feed.length(), 2)
        self.assertEqual(await self.feed.get_item(first), "one")
        self.assertIsNone(await self.feed.get_item("c"))
        self.assertIs(await self.feed.has_id("b"), True)
        self.assertIs(await self.feed.has_id("c"), False)
        told = [("feed.publish", f"{first}\0one".encode()), ("feed.publish", b"b\0two")]
        self.assertEqual(await self.news(), told)

    async def test_edit(self) -> None:
        """
        The id of an item that is there replaces it, makes it the last one, and is told as an edit.
        """
        for id in ("a", "b"):
            await self.feed.publish("old", id=id)
        await self.news()
        edited = await self.feed.publish("new", id="a")
        self.assertEqual((edited, edited.revision), ("a", 3))
        self.assertEqual(list((await self.feed.get_all()).items()), [("b", "old"), ("a", "new")])
        self.assertEqual(await self.news(), [("feed.edit", b"a\0new")])
        self.assertEqual(await self.redis.execute("GET", self.feed.keys.publishes), b"3")

    async def test_number_as_id(self) -> None:
        """
        An id may be given as a number; it is read as text.
        """
        self.assertEqual(await self.feed.publish("x", id=7), "7")
        self.assertEqual(await self.feed.get_item(7), "x")
        self.assertEqual(await self.feed.get_ids(), ["7"])
        self.assertIs(await self.feed.retract(7), True)

    async def test_retract(self) -> None:
        """
        A retracted item is gone, which is told once; what is not there cannot be retracted.
        """
        await self.feed.publish("x", id="a")
        await self.feed.publish("y", id="b")
        await self.news()
        self.assertIs(await self.feed.retract("a"), True)
        self.assertIs(await self.feed.retract("a"), False)
        self.assertEqual(await self.feed.get_all(), {"b": "y"})
        self.assertIsNone(await self.feed.get_item("a"))
        self.assertEqual(await self.news(), [("feed.retract", b"a")])

    async def test_half_an_item(self) -> None:
        """
        An id without item, or an item without id, which a peer's crash left, can be retracted.
        """
        await self.redis.execute("ZADD", self.feed.keys.ids, 1, "id")
        await self.redis.execute("HSET", self.feed.keys.items, "item", "x")
        self.assertEqual(await self.feed.get_all(), {})
        self.assertIs(await self.feed.retract("id"), True)
        self.assertIs(await self.feed.retract("item"), True)
        left = {"feed.config": "hash", "tx.feed.revision": "hash", "tx.feed.history": "stream"}
        keys = {f"{key}:{self.name}": kind for key, kind in left.items()}
        self.assertEqual(await self.keys_of(self.name), keys)

    async def test_empty(self) -> None:
        """
        A new feed has nothing in it.
        """
        self.assertEqual(await self.feed.get_ids(), [])
        self.assertEqual(await self.feed.get_all(), {})
        self.assertEqual(await self.feed.length(), 0)

    async def test_published_at_once(self) -> None:
        """
        A thousand items published without waiting for each other keep their order.
        """
        ids = [f"{i * 7919 % 1000}" for i in range(1000)]
        await gatherResults([self.feed.publish(f"item {id}", id=id) for id in ids])
        self.assertEqual(await self.feed.get_ids(), ids)
        self.assertEqual(len(set((await self.scores()).values())), 1000)

    async def test_large_feed(self) -> None:
        """
        All items of a feed of more than 10,000 are read as of one instant, in order.
        """
        ids = [f"{i:05}" for i in range(12_000)]
        zadd = [part for i, id in enumerate(ids) for part in (i, id)]
        hset = [part for id in ids for part in (id, f"item {id}")]
        await self.redis.execute("ZADD", self.feed.keys.ids, *zadd)
        await self.redis.execute("HSET", self.feed.keys.items, *hset)
        everything = await self.feed.get_all()
        self.assertEqual(list(everything), ids)
        self.assertEqual(everything["11999"], "item 11999")


class RefusedTests(FeedCase):
    """What cannot be done changes nothing."""

    async def test_deleted(self) -> None:
        """
        A handle on a feed that was deleted does not bring it back: its verbs fail, naming it.
        """
        await self.feed.publish("x", id="a")
        await self.thoonk.delete_feed(self.name)
        await self.news()
        await self.refused(self.feed.publish("x"), FeedDoesNotExist, self.name)
        await self.refused(self.feed.retract("a"), FeedDoesNotExist, self.name)
        await self.refused(self.feed.set_config(max_length=1), FeedDoesNotExist, self.name)
        await self.refused(self.feed.get_config(), FeedDoesNotExist, self.name)
        await self.refused(self.feed.delete(), FeedDoesNotExist, self.name)
        self.assertEqual(await self.feed.get_all(), {})
        self.assertEqual(await self.keys_of(self.name), {})
        self.assertEqual(await self.news(), [])

    async def test_bad_arguments(self) -> None:
        """
        What can be no id and no item is refused at once, with the feed named; nothing is sent.
        """
        for id in ("", "a\0b"):
            error = self.assertRaises(ValueError, self.feed.publish, "x", id)
            self.assertIn(self.name, str(error))
        for id in (True, b"a", 1.5):
            self.assertRaises(TypeError, self.feed.publish, "x", id)
        for item in (b"bytes", 1, None):
            self.assertRaises(TypeError, self.feed.publish, item)
        for verb in (self.feed.retract, self.feed.get_item, self.feed.has_id):
            self.assertRaises(ValueError, verb, "")
            self.assertRaises(TypeError, verb, None)
        self.assertRaises(UnicodeEncodeError, self.feed.publish, "\ud800")
        self.assertEqual(await self.feed.length(), 0)
        self.assertEqual(await self.news(), [])

    async def test_foreign_key(self) -> None:
        """
        A key of the feed that holds something else fails its verbs, naming the feed.
        """
        await self.redis.execute("SET", self.feed.keys.items, "no hash")
        await self.refused(self.feed.publish("x"), WrongKeyType, self.name)
        self.assertEqual(await self.news(), [])
        self.assertEqual(
            set(await self.keys_of(self.name)),
            {f"feed.config:{self.name}", f"feed.items:{self.name}"},
        )

    async def test_undecodable(self) -> None:
        """
        An item that is none of the feed's kind fails alone, named; the others are read.
        """
        feed = self.thoonk.feed(self.name, serializer="json")
        await feed.publish({"a": [1, None]}, id="good")
        await self.feed.publish("{no json", id="bad")
        error = await self.refused(feed.get_item("bad"), ItemError, self.name, "bad")
        self.assertIn("bad", str(error))
        everything: dict[str, Any] = await feed.get_all()
        self.assertEqual(list(everything), ["good", "bad"])
        self.assertEqual(everything["good"], {"a": [1, None]})
        self.assertIsInstance(everything["bad"], ItemError)
        self.assertEqual((everything["bad"].feed, everything["bad"].id), (self.name, "bad"))
        self.assertIs(await feed.has_id("bad"), True)
        self.assertIs(await feed.retract("bad"), True)


class BoundedTests(FeedCase):
    """Feeds with an upper bound."""

    async def test_oldest_goes(self) -> None:
        """
        A full feed keeps exactly its limit; listeners hear what went before what came.
        """
        await self.feed.set_config(max_length=3)
        for id in "abcd":
            await self.feed.publish(f"item {id}", id=id)
        self.assertEqual(await self.feed.get_ids(), ["b", "c", "d"])
        self.assertEqual(list(await self.feed.get_all()), ["b", "c", "d"])
        self.assertEqual(
            (await self.news())[-2:], [("feed.retract", b"a"), ("feed.publish", b"d\0item d")]
        )

    async def test_edit_of_full_feed(self) -> None:
        """
        An edit takes no room: whichever item it is about, none goes.
        """
        await self.feed.set_config(max_length=2)
        for id in "ab":
            await self.feed.publish("old", id=id)
        await self.news()
        await self.feed.publish("new", id="a")
        await self.feed.publish("new", id="a")
        self.assertEqual(await self.feed.get_ids(), ["b", "a"])
        self.assertEqual(await self.news(), [("feed.edit", b"a\0new")] * 2)

    async def test_lowered(self) -> None:
        """
        A lower limit holds from the next publish on; everything too many goes then, oldest first.
        """
        for id in "abcde":
            await self.feed.publish("x", id=id)
        await self.feed.set_config(max_length=2)
        self.assertEqual(await self.feed.length(), 5)
        await self.news()
        await self.feed.publish("x", id="f")
        self.assertEqual(await self.feed.get_ids(), ["e", "f"])
        gone = [("feed.retract", id.encode()) for id in "abcd"]
        self.assertEqual(await self.news(), [*gone, ("feed.publish", b"f\0x")])

    async def test_lowered_by_much(self) -> None:
        """
        A feed of 12,000 items is cut to ten by one publish.
        """
        ids = [f"{i:05}" for i in range(12_000)]
        zadd = [part for i, id in enumerate(ids) for part in (i, id)]
        hset = [part for id in ids for part in (id, "x")]
        await self.redis.execute("ZADD", self.feed.keys.ids, *zadd)
        await self.redis.execute("HSET", self.feed.keys.items, *hset)
        await self.feed.set_config(max_length=10)
        await self.news()
        await self.feed.publish("x", id="new")
        self.assertEqual(await self.feed.get_ids(), [*ids[-9:], "new"])
        self.assertEqual(set(await self.feed.get_all()), {*ids[-9:], "new"})
        expected = [("feed.retract", id.encode()) for id in ids[:-9]]
        self.assertEqual(await self.news(), [*expected, ("feed.publish", b"new\0x")])

    async def test_no_limit(self) -> None:
        """
        Whatever a peer wrote as a limit, only a number above 0 is one.
        """
        for limit in ("0", "", "-2", "many", "1.5"):
            await self.redis.execute("HSET", self.feed.keys.config, "max_length", limit)
            await self.feed.publish("x")
        self.assertEqual(await self.feed.length(), 5)
        await self.redis.execute("HSET", self.feed.keys.config, "max_length", "007")
        for _ in range(5):
            await self.feed.publish("x")
        self.assertEqual(await self.feed.length(), 7)

    async def test_own_item_is_spared(self) -> None:
        """
        A new item stays even where, by the clocks of several programs, it is the oldest.
        """
        await self.put_raw((await self.now() + 10**9, "a"), (await self.now() + 2 * 10**9, "b"))
        await self.feed.set_config(max_length=2)
        await self.news()
        await self.feed.publish("x", id="mine")
        self.assertEqual(await self.feed.get_ids(), ["mine", "b"])
        self.assertEqual(await self.news(), [("feed.retract", b"a"), ("feed.publish", b"mine\0x")])


class ClockTests(FeedCase):
    """The time that orders a feed."""

    async def test_milliseconds(self) -> None:
        """
        Items have the server's time in milliseconds, or in seconds where that was asked for.
        """
        for feed, unit in ((self.feed, 1), (self.thoonk.feed(self.feed_name(), clock="s"), 1000)):
            await feed.ensure()
            # A time that begins with zeros behind the second is the one to be got wrong.
            await until(self._second_begins)
            before = await self.now()
            await feed.publish("x", id="a")
            after = await self.now()
            score = float(await self.redis.execute("ZSCORE", feed.keys.ids, "a")) * unit
            self.assertTrue(before - 0.01 < score < after + 0.01, (before, score, after))

    async def _second_begins(self) -> bool:
        return await self.now() % 1000 < 90

    async def test_seconds(self) -> None:
        """
        Beside thoonk.py, with ``clock="s"``, items have seconds, and keep their order too.
        """
        feed = self.thoonk.feed(self.name, clock="s")
        await self.put_raw((await self.now() / 1000 - 5, "theirs"))
        ids = [f"{99 - i}" for i in range(100)]
        await gatherResults([feed.publish("x", id=id) for id in ids])
        self.assertEqual(await self.feed.get_ids(), ["theirs", *ids])
        now = await self.now() / 1000
        self.assertTrue(
            all(now - 60 < score <= now + 1 for score in (await self.scores()).values())
        )

    async def test_clock_set_back(self) -> None:
        """
        What is published after the server's clock was set back comes last all the same.
        """
        last = await self.now() + 3_600_000
        await self.put_raw((last, "future"))
        await self.feed.publish("x", id="a")
        await self.feed.publish("x", id="b")
        self.assertEqual(await self.feed.get_ids(), ["future", "a", "b"])
        scores = await self.scores()
        self.assertAlmostEqual(scores["a"], last + 0.001, places=3)

    async def test_nonsense_clock(self) -> None:
        """
        A time more than a day ahead, such as a peer's microseconds, does not take the feed with it.
        """
        await self.put_raw((await self.now() * 1000, "microseconds"))
        await self.feed.publish("x", id="a")
        self.assertLess(abs((await self.scores())["a"] - await self.now()), 60_000)
        self.assertEqual(await self.feed.get_ids(), ["a", "microseconds"])
