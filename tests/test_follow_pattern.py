"""Following all feeds whose names match a pattern."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults

from tests.follow_helpers import PatternCase
from tests.helpers import until
from txthoonk import LivePattern
from txthoonk.events import Event, FeedDeleted, Published, Resync
from txthoonk.keys import FeedKeys, encode


class MappingTests(PatternCase):
    """What there is."""

    async def test_mapping(self) -> None:
        """
        All feeds that match are there, by name; what is in them is no news, what comes is told.
        """
        feeds: list[Any] = [
            await self.thoonk.feed(self.name("a")),
            await self.thoonk.sorted_feed(self.name("b")),
        ]
        await self.thoonk.feed(self.feed_name())
        for feed in feeds:
            await feed.publish("old")
        live, heard = await self.follow_pattern()
        self.assertIsInstance(live, LivePattern)
        self.assertEqual(set(live), {feed.name for feed in feeds})
        self.assertEqual((len(live), len(heard)), (2, 0))
        self.assertIn(self.name("a"), live)
        self.assertNotIn("another", live)
        self.assertIsNone(live.get("another"))
        with self.assertRaises(KeyError):
            live["another"]
        self.assertIn(self.pattern, repr(live))
        await gatherResults([feed.publish(f"{n}") for n in range(20) for feed in feeds])
        await heard.when(40)
        for feed in feeds:
            await self.logged(self.of(heard, feed.name), feed.name, 1)
        await self.all_same(live)

    async def test_other_types(self) -> None:
        """
        Queues and jobs match, but have nothing that could be followed: neither those that are
        there nor those that come later.
        """
        for when in ("before", "later"):
            if when == "later":
                live, heard = await self.follow_pattern()
            queue = await self.thoonk.queue(self.name(f"queue {when}"))
            job = await self.thoonk.job(self.name(f"job {when}"))
            for _ in range(3):
                await queue.put("x")
                await job.put("x")
        feed = await self.thoonk.feed(self.name("feed"))
        await feed.publish("x")
        await heard.when(1)
        await live.when_synced()
        self.assertIs(await live.verify(), True)
        self.assertEqual(list(live), [feed.name])
        self.assertEqual(heard.short[0][0], "Published")
        self.assertEqual(len(heard), 1)
        keys = [await self.keys_of(name) for name in (queue.name, job.name)]
        found = [key for each in keys for key in each if key.startswith("tx.feed.rev")]
        self.assertEqual(found, [])

    async def test_was_of_another_type(self) -> None:
        """
        Where there was a queue there may be a feed later, and the other way round.
        """
        names = [self.name(n) for n in range(3)]
        for name in names:
            await self.thoonk.queue(name)
        live, heard = await self.follow_pattern()
        other, _ = await self.follow_pattern(thoonk=await self.start_thoonk())
        self.assertEqual((len(live), len(other)), (0, 0))
        for name in names:
            await self.thoonk.delete_feed(name)
            await (await self.thoonk.feed(name)).publish("a feed now", id="1")
        await heard.when(3)
        self.assertEqual({event.feed for event in heard}, set(names))
        self.assertEqual({event.revision for event in heard}, {1})
        await until(lambda: len(other) == 3)
        for name in names:
            await self.thoonk.delete_feed(name)
            await (await self.thoonk.queue(name)).put("a queue now")
        await until(lambda: (len(live), len(other)) == (0, 0))
        self.assertEqual(heard.kinds[3:], ["FeedDeleted"] * 3)

    async def test_born_later(self) -> None:
        """
        A feed that is created later is told from its first change on.
        """
        live, heard = await self.follow_pattern()
        self.assertEqual(len(live), 0)
        for n in range(5):
            feed = await self.thoonk.feed(self.name(n))
            await feed.publish("first", id="1")
        await heard.when(5)
        expected: list[Event] = [Published(self.name(n), "1", "first", 1) for n in range(5)]
        self.assertEqual(sorted(heard, key=lambda event: event.feed), expected)
        await self.all_same(live)
        empty = await self.thoonk.feed(self.name("empty"))
        await until(lambda: empty.name in live)
        self.assertEqual(len(heard), 5)

    async def test_born_in_a_hurry(self) -> None:
        """
        However many come, and however fast they change: all is told from the first change on.
        """
        live, heard = await self.follow_pattern()
        other = await self.start_thoonk()
        calls: list[Deferred[Any]] = []
        for n in range(50):
            kind: Any = other.feed if n % 2 else other.sorted_feed
            feed = kind(self.name(n))
            calls += [feed.publish(f"{each}") for each in range(10)]
        await gatherResults(calls)
        await heard.when(500)
        await live.when_synced()
        for n in range(50):
            await self.logged(self.of(heard, self.name(n)), self.name(n), 0)
        await self.all_same(live)

    async def test_born_while_it_begins(self) -> None:
        """
        So it is with those that come just while it begins: what they hold is told, or is in the
        copy.
        """
        other = await self.start_thoonk()
        calls: list[Deferred[Any]] = []
        for n in range(100):
            calls += [other.feed(self.name(n)).publish(f"{each}") for each in range(5)]
        live, heard = await self.follow_pattern()
        await gatherResults(calls)
        await self.settle()
        await live.when_synced()
        await self.all_same(live)
        for name in live:
            told = [event.revision for event in self.of(heard, name)]
            self.assertEqual(told, list(range(6 - len(told), 6)), name)

    async def test_deleted(self) -> None:
        """
        A feed that is deleted is told so, and is there no more; another one of that name is new.
        """
        feed = await self.thoonk.feed(self.name("a"))
        await feed.publish("x")
        live, heard = await self.follow_pattern()
        for _ in range(3):
            heard.clear()
            await self.thoonk.delete_feed(feed.name)
            await heard.when(1)
            self.assertEqual(heard, [FeedDeleted(feed.name)])
            self.assertEqual(len(live), 0)
            await (await self.thoonk.feed(feed.name)).publish("again", id="1")
            await heard.when(2)
            self.assertEqual(heard[1:], [Published(feed.name, "1", "again", 1)])
            await self.all_same(live)

    async def test_deleted_and_created_at_once(self) -> None:
        """
        Whatever is seen of it in between: in the end the copy is the new feed.
        """
        live, heard = await self.follow_pattern()
        name = self.name("a")
        await (await self.thoonk.feed(name)).publish("x")
        await heard.when(1)
        for n in range(30):
            calls: list[Deferred[Any]] = [
                self.thoonk.delete_feed(name),
                self.thoonk.create_feed(name),
                self.thoonk.feed(name).publish("new", id=f"{n}"),
            ]
            await gatherResults(calls)
            await until(lambda n=n: name in live and live[name].ids == [f"{n}"])
            await live.when_synced()
            await self.all_same(live)

    async def test_slow_handler_and_a_new_life(self) -> None:
        """
        What is told of a feed is told in order, over its end and beyond.
        """
        name = self.name("a")
        await self.thoonk.feed(name)
        working: Deferred[None] = Deferred()
        told: list[str] = []

        async def handler(event: Any) -> None:
            told.append(type(event).__name__ + getattr(event, "id", ""))
            await working

        await self.thoonk.follow_pattern(self.pattern, handler)
        feed = self.thoonk.feed(name)
        await feed.publish("x", id="1")
        await feed.publish("x", id="2")
        await self.settle()
        await self.thoonk.delete_feed(name)
        await self.settle()
        await (await self.thoonk.feed(name)).publish("x", id="3")
        await self.settle()
        working.callback(None)
        await until(lambda: "Published3" in told or "Resync" in told)
        self.assertEqual(told[:2], ["Published1", "Published2"])
        ends = [told.index(each) for each in ("FeedDeleted", "Resync") if each in told]
        self.assertTrue(ends, told)
        if "Published3" in told:
            self.assertGreater(told.index("Published3"), min(ends), told)

    async def test_without_a_word(self) -> None:
        """
        Feeds that come and go without a word are seen within the interval of checks.
        """
        thoonk = await self.start_thoonk(check_interval=0.05)
        live, heard = await self.follow_pattern(thoonk=thoonk)
        keys = FeedKeys(encode(self.name("a")))
        await self.redis.execute("HSET", keys.config, "type", "feed")
        await self.redis.execute("SADD", keys.feeds, keys.name)
        await until(lambda: len(live) == 1)
        await self.redis.execute("DEL", keys.config)
        await self.redis.execute("SREM", keys.feeds, keys.name)
        await heard.when(1)
        self.assertEqual(heard, [Resync(self.name("a"), "deleted", 0)])
        self.assertEqual(len(live), 0)

    async def test_stop(self) -> None:
        """
        From the moment of a stop on nothing is told of any feed.
        """
        feeds = [await self.thoonk.feed(self.name(n)) for n in range(3)]
        live, heard = await self.follow_pattern()
        other, other_heard = await self.follow_pattern()
        await gatherResults([feed.publish("x") for feed in feeds])
        await heard.when(3)
        waiting = gatherResults([feed.publish("x") for feed in feeds])
        live.stop()
        await waiting
        await other_heard.when(6)
        self.assertEqual(len(heard), 3)
        for each in live.values():
            await self.assertFailure(each.when_synced(), CancelledError)
        live.stop()
        other.stop()
        await self.settle()
        channel = FeedKeys(encode(feeds[0].name)).under_channel
        _, count = await self.redis.execute("PUBSUB", "NUMSUB", channel)
        self.assertEqual(count, 0)

    async def test_stops_itself(self) -> None:
        """
        A handler that stops everything is called no more.
        """
        feeds = [await self.thoonk.feed(self.name(n)) for n in range(3)]
        told: list[Any] = []
        lives: list[LivePattern] = []

        def handler(event: Any) -> None:
            told.append(event)
            lives[0].stop()

        lives.append(await self.thoonk.follow_pattern(self.pattern, handler))
        await gatherResults([feed.publish("x") for feed in feeds for _ in range(3)])
        await self.settle()
        self.assertEqual(len(told), 1)


class WhichTests(PatternCase):
    """Patterns of all forms."""

    async def test_forms(self) -> None:
        """
        Whatever a pattern looks like, it is about the feeds that Redis takes it to be about.
        """
        start = self.feed_name()
        names = [f"{start}{end}" for end in ("", ":a", ":a:b", ":a:b:c", ":b:b", ":a*", ":é:b:c")]
        for name in names:
            await (await self.thoonk.feed(name)).publish("x")
        ends = {
            "*": names,
            ":*": names[1:],
            ":a:*": names[2:4],
            ":a:b:*": names[3:4],
            ":[ab]:b": [names[2], names[4]],
            ":?:b*": names[2:5],
            ":?:b": [names[2], names[4]],
            ":a\\*": names[5:6],
            ":a:b": names[2:3],
            "": names[:1],
            ":é:b:*": names[6:],
            ":nobody:is:*": [],
        }
        followed = []
        for end, expected in ends.items():
            live, heard = await self.follow_pattern(f"{start}{end}")
            self.assertEqual(set(live), set(expected), end)
            followed.append((end, heard, expected))
        for name in names:
            await self.thoonk.feed(name).publish("y")
        for end, heard, expected in followed:
            await heard.when(len(expected))
            self.assertEqual([event.feed for event in heard], expected, end)

    async def test_overlapping(self) -> None:
        """
        Patterns that overlap, of the same instance or others, and feeds that are followed by name
        as well: each is told once.
        """
        name = self.name("a")
        feed = await self.thoonk.feed(name)
        other = await self.start_thoonk()
        patterns = [self.pattern, f"{self.prefix}*", f"{self.prefix}:?", name]
        followed = [await self.follow_pattern(each) for each in patterns]
        followed += [await self.follow_pattern(each, other) for each in patterns]
        lives = [await self.follow(name), await self.follow(name, other)]
        await gatherResults([feed.publish(f"{n}") for n in range(20)])
        for _, heard in [*followed, *lives]:
            await heard.when(20)
            await self.logged(heard, name, 0)
        for live, _ in followed[::2]:
            live.stop()
        await feed.publish("last")
        for number, (_, heard) in enumerate([*followed, *lives]):
            if number in range(0, len(followed), 2):
                continue
            await heard.when(21)
            await self.logged(heard, name, 0)

    async def test_other_database(self) -> None:
        """
        Feeds of another database are none of these.
        """
        other = await self.start_thoonk(self.redis_url.replace("db=0", "db=1"))
        for pattern in (self.pattern, f"{self.prefix[:-3]}*"):
            live, heard = await self.follow_pattern(pattern)
            _there, there_heard = await self.follow_pattern(pattern, other)
            name = self.name(len(pattern))
            await (await other.feed(name)).publish("x")
            await there_heard.when(1)
            await self.settle()
            await live.when_synced()
            self.assertEqual((len(live), len(heard)), (0, 0))
            await (await self.thoonk.feed(name)).publish("y", id="1")
            await heard.when(1)
            self.assertEqual(heard, [Published(name, "1", "y", 1)])
            self.assertEqual(len(there_heard), 1)
            for thoonk in (self.thoonk, other):
                await thoonk.delete_feed(name)

    async def test_other_types_gone(self) -> None:
        """
        What was there of another type, and is gone, is forgotten.
        """
        live, _ = await self.follow_pattern()
        name = self.pattern.replace("*", "queue")
        await self.thoonk.create_feed(name, {"type": "queue"})
        await self.settle()
        await live.when_synced()
        self.assertEqual(live._others, {name})
        await self.thoonk.delete_feed(name)
        await live.when_synced()
        self.assertEqual(live._others, set())

    async def test_wrong_arguments(self) -> None:
        """
        What cannot be is refused.
        """
        follow: Any = self.thoonk.follow_pattern
        for arguments, options in (
            (("", print), {}),
            ((["a"], print), {}),
            ((self.pattern, None), {}),
            ((self.pattern, print), {"token": "garbage"}),
            ((self.pattern, print), {"max_events": 0}),
            ((self.pattern, print), {"serializer": "none"}),
        ):
            with self.assertRaises((TypeError, ValueError)):
                await follow(*arguments, **options)
