"""Queues: each item goes to one taker, once at the most."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import gatherResults

from tests.helpers import ThoonkTestCase
from txthoonk import Empty, FeedDoesNotExist, ItemError, WrongFeedType
from txthoonk.errors import WrongKeyType
from txthoonk.types.base import ItemId


class QueueCase(ThoonkTestCase):
    """A queue, ``self.queue``."""

    async def setUp(self) -> None:
        await super().setUp()
        self.name = self.feed_name()
        self.queue = await self.thoonk.queue(self.name)
        self.keys = self.queue.keys


class PutTests(QueueCase):
    """Putting and taking what is there."""

    async def test_order(self) -> None:
        """
        Items are taken in the order they were put, each once; then nothing is left in Redis.
        """
        ids = [await self.queue.put(f"item {i}") for i in range(5)]
        self.assertIsInstance(ids[0], ItemId)
        self.assertRegex(ids[0], "^[0-9a-f]{32}$")
        self.assertEqual(await self.queue.get_ids(), ids[::-1])
        self.assertEqual(await self.queue.length(), 5)
        items = [await self.queue.get() for _ in range(5)]
        self.assertEqual(items, [f"item {i}" for i in range(5)])
        self.assertEqual(await self.queue.length(), 0)
        self.assertEqual(await self.queue.get_ids(), [])
        left = {f"feed.config:{self.name}": "hash", f"feed.publishes:{self.name}": "string"}
        self.assertEqual(await self.keys_of(self.name), left)
        self.assertEqual(await self.redis.execute("GET", self.keys.publishes), b"5")

    async def test_priority(self) -> None:
        """
        What is put with HIGH is taken before what is there.
        """
        await self.queue.put("a")
        await self.queue.put("b", self.queue.HIGH)
        await self.queue.put("c", priority=True)
        await self.queue.put("d", priority=False)
        self.assertEqual([await self.queue.get() for _ in range(4)], ["c", "b", "a", "d"])

    async def test_no_events(self) -> None:
        """
        A queue tells nobody of puts and gets; it is not for listening.
        """
        news = await self.watch(self.name)
        await self.queue.put("a")
        await self.queue.get()
        self.assertEqual(await news(), [])

    async def test_many_at_once(self) -> None:
        """
        A thousand puts and as many gets without waiting for each other: everything in order.
        """
        puts = [self.queue.put(f"{i}") for i in range(1000)]
        items = await gatherResults([self.queue.get() for _ in range(1000)])
        await gatherResults(puts)
        self.assertEqual(items, [f"{i}" for i in range(1000)])

    async def test_time_out(self) -> None:
        """
        A get of an empty queue fails with Empty when its time is up, naming the queue.
        """
        await self.refused(self.queue.get(0.01), Empty, self.name)
        await self.queue.put("x")
        self.assertEqual(await self.queue.get(0.01), "x")

    async def test_bad_time_out(self) -> None:
        """
        A negative time-out is refused at once.
        """
        self.assertRaises(ValueError, self.queue.get, -1)

    async def test_handles_share(self) -> None:
        """
        Handles on one queue may read items differently, and take from the same one.
        """
        raw = self.thoonk.queue(self.name, serializer="bytes")
        json = self.thoonk.queue(self.name, serializer="json")
        gets = [self.queue.get(), raw.get(), json.get()]
        for item in ("1", "2", "3"):
            await self.queue.put(item)
        self.assertEqual(await gatherResults(gets), ["1", b"2", 3])


class RefusedTests(QueueCase):
    """What cannot be done changes nothing."""

    async def test_deleted(self) -> None:
        """
        A handle on a queue that was deleted does not bring it back.
        """
        await self.queue.put("x")
        await self.queue.delete()
        await self.refused(self.queue.put("x"), FeedDoesNotExist, self.name)
        await self.refused(self.queue.get(), FeedDoesNotExist, self.name)
        self.assertEqual(await self.keys_of(self.name), {})

    async def test_wrong_type(self) -> None:
        """
        A get on a handle of the wrong type fails at once, and spoils nothing for the right one.
        """
        job = self.thoonk.job(self.name)
        await self.queue.put("x")
        for _ in range(2):
            await self.refused(job.get(), WrongFeedType, self.name)
        self.assertEqual(await self.queue.get(), "x")
        other = self.feed_name()
        await self.refused(self.thoonk.queue(self.name).get(0.01), Empty, self.name)
        await self.thoonk.create_feed(other)
        await self.refused(self.thoonk.queue(other).get(), WrongFeedType, other)

    async def test_undecodable(self) -> None:
        """
        An item that is none of the queue's kind fails its get, named; the next one is taken.
        """
        queue = self.thoonk.queue(self.name, serializer="json")
        bad = await self.queue.put("{no json")
        await queue.put(["good"])
        error = await self.refused(queue.get(), ItemError, self.name, bad)
        self.assertIn("Decode", str(error))
        self.assertEqual(await queue.get(), ["good"])

    async def test_bad_item(self) -> None:
        """
        What is no item of the queue's kind is refused at once.
        """
        self.assertRaises(TypeError, self.queue.put, b"bytes")
        self.assertEqual(await self.queue.length(), 0)

    async def test_id_without_item(self) -> None:
        """
        An id whose item a peer took is passed over.
        """
        await self.queue.put("x")
        await self.redis.execute("RPUSH", self.keys.ids, "gone", "gone too")
        self.assertEqual(await self.queue.get(), "x")
        self.assertEqual(await self.queue.length(), 0)

    async def test_foreign_key(self) -> None:
        """
        A key of the queue that holds something else fails its verbs, naming the queue.
        """
        await self.redis.execute("SET", self.keys.items, "x")
        calls: list[Any] = [self.queue.put("x"), self.queue.get()]
        for call in calls:
            await self.refused(call, WrongKeyType, self.name)
        self.assertEqual(await self.queue.length(), 0)


class MaintenanceTests(QueueCase):
    """What processes that died were handed."""

    async def test_abandoned(self) -> None:
        """
        What was on its way at two passes is returned: it is the next to be taken.
        """
        await self.queue.put("on its way")
        await self.queue.put("waiting")
        await self.redis.execute("LMOVE", self.keys.ids, self.keys.handoff, "RIGHT", "LEFT")
        self.assertEqual(await self.queue.length(), 1)
        self.assertEqual(await self.queue.maintenance(0), 0)
        self.assertEqual(await self.queue.maintenance(60), 0)
        self.assertEqual(await self.queue.maintenance(0), 1)
        self.assertEqual(await self.queue.maintenance(0), 0)
        self.assertEqual(await self.queue.get(), "on its way")
        self.assertEqual(await self.queue.get(), "waiting")
        self.assertNotIn(self.keys.seen.decode(), await self.keys_of(self.name))

    async def test_handed_again(self) -> None:
        """
        What was handed back is not remembered: when it is on its way again its time counts anew.
        """
        id = await self.queue.put("x")
        for _ in range(2):
            await self.redis.execute("LMOVE", self.keys.ids, self.keys.handoff, "RIGHT", "LEFT")
            self.assertEqual(await self.queue.maintenance(0), 0)
            await self.queue.hand_back(id)
            self.assertEqual(await self.queue.maintenance(0), 0)
        self.assertEqual(await self.queue.get(), "x")

    async def test_handed_back_twice(self) -> None:
        """
        What is no longer on its way is not handed back a second time.
        """
        id = await self.queue.put("x")
        await self.redis.execute("LMOVE", self.keys.ids, self.keys.handoff, "RIGHT", "LEFT")
        for _ in range(2):
            await self.queue.hand_back(id)
        self.assertEqual(await self.queue.get_ids(), [id])
