"""Snapshots: all items, as of one revision, however many there are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tests.helpers import ThoonkTestCase
from txthoonk import FeedDoesNotExist, ItemError, WrongFeedType
from txthoonk.keys import FeedKeys, encode
from txthoonk.reading import Reading, Snapshot, State

Pairs = list[tuple[str, Any]]


class SnapshotCase(ThoonkTestCase):
    """A feed whose pages are small; something may happen behind each."""

    async def setUp(self) -> None:
        await super().setUp()
        self.name = self.feed_name()
        self.keys = FeedKeys(encode(self.name))
        self.reads = 0
        #: Called behind each page, with its number.
        self.meanwhile: Callable[[int], Awaitable[object]] | None = None
        #: What the feed was at each revision.
        self.states: dict[int, Pairs] = {}
        read = Reading.read

        async def counting(*args: Any, **options: Any) -> State:
            state = await read(*args, **options)
            self.reads += 1
            if self.meanwhile is not None:
                await self.meanwhile(self.reads)
            return state

        self.patch(Reading, "read", counting)

    async def fill(self, feed: Any, count: int) -> list[str]:
        """Publish so many."""
        for n in range(count):
            await feed.publish(f"item {n}")
        await self.note(feed)
        ids: list[str] = await feed.get_ids()
        return ids

    async def put_raw(self, keys: FeedKeys, ids: list[str], is_list: bool = False) -> None:
        """Many items of a program without revisions: ``x1`` is the one of id ``1``."""
        scored = [part for n, id in enumerate(ids) for part in (n, id)]
        command = ("RPUSH", keys.ids, *ids) if is_list else ("ZADD", keys.ids, *scored)
        await self.redis.execute(*command)
        await self.redis.execute("HSET", keys.items, *[p for id in ids for p in (id, f"x{id}")])

    async def note(self, feed: Any) -> None:
        """Remember what there is now."""
        last = await self.redis.execute("HGET", self.keys.revision, "revision")
        self.states[int(last or 0)] = list((await feed.get_all()).items())

    async def check(self, feed: Any, message: str = "") -> Snapshot:
        """Take a snapshot: it is what there was at its revision, and tells what follows."""
        snapshot: Snapshot = await feed.snapshot()
        self.meanwhile = None
        found = list(snapshot.items.items())
        self.assertEqual(found, self.states[snapshot.revision], message)
        self.assertEqual(snapshot.ids, [id for id, _ in found])
        return snapshot


class SmallTests(SnapshotCase):
    """Feeds of one page."""

    async def test_empty(self) -> None:
        """
        A feed that nobody has changed yet is empty as of revision 0.
        """
        for make in (self.thoonk.feed, self.thoonk.sorted_feed):
            name = self.feed_name()
            snapshot = await (await make(name)).snapshot()
            found = (snapshot.feed, snapshot.items, snapshot.ids, snapshot.revision)
            self.assertEqual(found, (name, {}, [], 0))
            self.assertEqual(snapshot.epoch, "")

    async def test_feed(self) -> None:
        """
        The items of a feed in order, with the last revision and its epoch, in one round trip.
        """
        feed = await self.thoonk.feed(self.name, max_length=3)
        for n in range(5):
            await feed.publish(f"item {n}", id=f"{n}")
        await feed.publish("edited", id="3")
        snapshot = await feed.snapshot()
        self.assertEqual(self.reads, 1)
        items = {"2": "item 2", "4": "item 4", "3": "edited"}
        self.assertEqual(list(snapshot.items.items()), list(items.items()))
        self.assertEqual(snapshot.ids, ["2", "4", "3"])
        self.assertEqual(snapshot.revision, 8)
        epoch = await self.redis.execute("HGET", self.keys.revision, "epoch")
        self.assertEqual(snapshot.epoch, epoch.decode())
        self.assertEqual(await feed.history(snapshot), [])

    async def test_sorted_feed(self) -> None:
        """
        The items of a sorted feed, in its order.
        """
        feed = await self.thoonk.sorted_feed(self.name)
        for item in "abc":
            await feed.append(item)
        await feed.move_first("3")
        await feed.publish_after("1", "d")
        snapshot = await feed.snapshot()
        found = [("3", "c"), ("1", "a"), ("4", "d"), ("2", "b")]
        self.assertEqual(list(snapshot.items.items()), found)
        self.assertEqual(snapshot.revision, 5)

    async def test_exactly_one_page(self) -> None:
        """
        As many items as a page has, one less and one more: none is missing, none is there twice.
        """
        for size in (999, 1000, 1001):
            name = self.feed_name()
            feed = await self.thoonk.feed(name)
            keys = FeedKeys(encode(name))
            ids = [f"{n:04}" for n in range(size)]
            await self.redis.execute(
                "ZADD", keys.ids, *[p for n, i in enumerate(ids) for p in (n, i)]
            )
            await self.redis.execute("HSET", keys.items, *[p for id in ids for p in (id, id)])
            self.assertEqual((await feed.snapshot()).ids, ids)

    async def test_undecodable(self) -> None:
        """
        An item that cannot be decoded has an error in its place; the others are there.
        """
        for make in (self.thoonk.feed, self.thoonk.sorted_feed):
            name = self.feed_name()
            feed: Any = make(name, serializer="json")
            first, second, third = [await feed.publish([n]) for n in range(3)]
            await self.redis.execute("HSET", FeedKeys(encode(name)).items, second, "{")
            snapshot = await feed.snapshot()
            self.assertEqual(snapshot.ids, [first, second, third])
            self.assertEqual([snapshot.items[first], snapshot.items[third]], [[0], [2]])
            error = snapshot.items[second]
            self.assertIsInstance(error, ItemError)
            self.assertEqual((error.feed, error.id), (name, second))

    async def test_half_an_item(self) -> None:
        """
        An id without an item, which a peer's crash left, is no item.
        """
        feed = await self.thoonk.feed(self.name)
        await feed.publish("x", id="a")
        await self.redis.execute("ZADD", self.keys.ids, 1, "id")
        await self.redis.execute("HSET", self.keys.items, "item", "x")
        self.assertEqual((await feed.snapshot()).items, {"a": "x"})

    async def test_no_such_feed(self) -> None:
        """
        Of a feed that is not there there is no snapshot, nor of one that was deleted.
        """
        feed = await self.thoonk.feed(self.name)
        await feed.publish("x")
        await self.thoonk.delete_feed(self.name)
        await self.refused(feed.snapshot(), FeedDoesNotExist, self.name)

    async def test_wrong_type(self) -> None:
        """
        Nor of one that has become a queue.
        """
        feed = await self.thoonk.feed(self.name)
        await self.thoonk.delete_feed(self.name)
        for kind in ("queue", "job"):
            await self.thoonk.create_feed(self.name, type=kind)
            await self.refused(feed.snapshot(), WrongFeedType, self.name)
            await self.thoonk.delete_feed(self.name)

    async def test_repr(self) -> None:
        """
        A snapshot shows what it is; the token is for programs.
        """
        feed = await self.thoonk.feed(self.name)
        await feed.publish("x")
        snapshot = await feed.snapshot()
        self.assertIn(self.name, repr(snapshot))
        self.assertNotIn(snapshot.token, repr(snapshot))
