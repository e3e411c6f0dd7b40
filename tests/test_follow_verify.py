"""Comparing what one follows with what Redis has."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.follow_helpers import FollowCase
from txthoonk import LiveFeed, reading


class VerifyTests(FollowCase):
    """Each with a follower, or several."""

    async def test_same(self) -> None:
        """
        Where nothing is wrong nothing is told, however large the feed is, and whatever is
        published meanwhile.
        """
        for kind, serializer in (("feed", "text"), ("sorted_feed", "json"), ("feed", "bytes")):
            name = self.feed_name()
            feed: Any = await getattr(self.thoonk, kind)(name, serializer=serializer)
            item = b"x" if serializer == "bytes" else "x"
            await gatherResults([feed.publish(item) for _ in range(1500)])
            live, heard = await self.follow(name, serializer=serializer)
            self.assertIs(await live.verify(), True)
            calls: list[Deferred[Any]] = []
            for _ in range(10):
                calls += [feed.publish(item) for _ in range(20)]
                self.assertIs(await live.verify(), True)
            await gatherResults(calls)
            await heard.when(200)
            self.assertEqual(len(heard), 200)
            await self.same_items(live, feed)
            self.assertEqual(await self.adopted(name), [])

    async def same_items(self, live: LiveFeed, feed: Any) -> None:
        """Check that a copy is what Redis has."""
        self.assertEqual(list(live), list((await feed.get_all()).items()))

    async def test_edited_while_pages_are_read(self) -> None:
        """
        An item that was edited while the feed was read is known as it is now, to the byte.
        """
        self.patch(reading, "PAGE", 10)
        name = self.feed_name()
        feed: Any = await self.thoonk.sorted_feed(name, serializer="json")
        await gatherResults([feed.append({"n": n}) for n in range(40)])
        read = reading.Reading.read
        pages = 0

        async def between(*args: Any, **options: Any) -> Any:
            nonlocal pages
            state = await read(*args, **options)
            pages += 1
            if pages == 1:
                await feed.edit("3", {"edited": 1})
                await feed.publish_after("5", {"new": 1})
            return state

        self.patch(reading.Reading, "read", between)
        live, heard = await self.follow(name, serializer="json")
        await self.same_items(live, feed)
        self.assertIs(await live.verify(), True)
        self.assertEqual((len(heard), await self.adopted(name)), (0, []))

    async def test_changed_without_a_word(self) -> None:
        """
        What somebody changed without telling anybody is found, becomes an event, and once only.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name)
        for n in range(5):
            await feed.publish(f"{n}", id=f"{n}")
        live, heard = await self.follow(name)
        other, other_heard = await self.follow(name, await self.start_thoonk())
        keys = feed.keys
        await self.redis.execute("HSET", keys.items, "1", "changed")
        await self.redis.execute("ZREM", keys.ids, "2")
        await self.redis.execute("HDEL", keys.items, "2")
        await self.redis.execute("ZADD", keys.ids, 1, "new")
        await self.redis.execute("HSET", keys.items, "new", "new")
        self.assertIs(await live.verify(), False)
        await self.same(live)
        self.assertEqual(sorted(id for _, _, id in heard.short), ["1", "2", "new"])
        self.assertIs(await live.verify(), True)
        self.assertIs(await other.verify(), True)
        await other_heard.when(3)
        self.assertEqual(other_heard, heard)
        await self.same(other)
        await self.logged(heard, name, 5)

    async def test_moved_without_a_word(self) -> None:
        """
        So it is with the order of a sorted feed.
        """
        name = self.feed_name()
        feed = await self.thoonk.sorted_feed(name)
        for n in range(6):
            await feed.append(f"{n}")
        live, heard = await self.follow(name)
        await self.redis.execute("LREM", feed.keys.ids, 1, "2")
        await self.redis.execute("RPUSH", feed.keys.ids, "2")
        self.assertIs(await live.verify(), False)
        await self.same(live)
        self.assertEqual(heard.short, [("Moved", 7, "2")])
        self.assertIs(await live.verify(), True)

    async def test_id_begin(self) -> None:
        """
        An item whose id is ``begin``, or any other part of a position, is an item like others.
        """
        for odd in ("begin", "end", ":end", "begin:", ":", ":a", "a:"):
            name = self.feed_name()
            feed = await self.thoonk.feed(name)
            for id in ("first", odd, "last"):
                await feed.publish("x", id=id)
            live, _ = await self.follow(name)
            scores = await self.redis.execute("ZRANGE", feed.keys.ids, 1, 1, "WITHSCORES")
            await self.redis.execute("ZADD", feed.keys.ids, scores[1], f"{odd}z")
            await self.redis.execute("HSET", feed.keys.items, f"{odd}z", "theirs")
            self.assertIs(await live.verify(), False, odd)
            await self.same(live)
            self.assertIs(await live.verify(), True, odd)
            live.stop()

    async def test_keys_are_lost(self) -> None:
        """
        Where all is gone, or the revision is, that is told.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name)
        await feed.publish("x")
        live, heard = await self.follow(name)
        await self.redis.execute("DEL", feed.keys.revision)
        self.assertIs(await live.verify(), False)
        self.assertEqual(heard.kinds, ["epoch"])
        await self.redis.execute("DEL", *(await self.keys_of(name)))
        self.assertIs(await live.verify(), False)
        self.assertEqual(heard.kinds, ["epoch", "deleted"])
        self.assertEqual(len(live), 0)
        self.assertIs(await live.verify(), True)
