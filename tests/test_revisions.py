"""Revisions: every change of a feed takes the next one, and the last ones are kept."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.follow_helpers import RevisionCase
from txthoonk import ItemDoesNotExist
from txthoonk.events import Edited, Event, Moved, Published, Retracted
from txthoonk.keys import FeedKeys, encode
from txthoonk.types.base import ItemId


class ConsecutiveTests(RevisionCase):
    """One revision after the other."""

    async def test_feed(self) -> None:
        """
        Publish, edit and retract take the next revision each; what changes nothing takes none.
        """
        feed = await self.thoonk.feed(self.name)
        first = await feed.publish("a", id="1")
        second = await feed.publish("b", id="2")
        third = await feed.publish("c", id="1")
        self.assertEqual([first.revision, second.revision, third.revision], [1, 2, 3])
        self.assertIs(await feed.retract("2"), True)
        self.assertIs(await feed.retract("2"), False)
        last = await feed.publish("d")
        self.assertIsInstance(last, ItemId)
        self.assertEqual(last.revision, 5)
        expected: list[Event] = [
            Published(self.name, "1", "a", 1),
            Published(self.name, "2", "b", 2),
            Edited(self.name, "1", "c", 3),
            Retracted(self.name, "2", 4),
            Published(self.name, str(last), "d", 5),
        ]
        self.assertEqual(await feed.history(0), expected)
        self.assertEqual(await self.of_items(), dict(sorted({"1": 3, last: 5}.items())))

    async def test_eviction(self) -> None:
        """
        Each item that goes because the feed is full takes a revision, before the new one does.
        """
        feed = await self.thoonk.feed(self.name, max_length=2, history=100)
        for n in range(1, 4):
            id = await feed.publish(f"{n}", id=f"{n}")
        self.assertEqual(id.revision, 4)
        await feed.set_config(max_length=1)
        self.assertEqual((await feed.publish("5", id="5")).revision, 7)
        expected: list[Event] = [
            Published(self.name, "1", "1", 1),
            Published(self.name, "2", "2", 2),
            Retracted(self.name, "1", 3),
            Published(self.name, "3", "3", 4),
            Retracted(self.name, "2", 5),
            Retracted(self.name, "3", 6),
            Published(self.name, "5", "5", 7),
        ]
        self.assertEqual(await feed.history(0), expected)
        self.assertEqual(await self.of_items(), {"5": 7})

    async def test_sorted_feed(self) -> None:
        """
        Append, prepend, insert, edit, move and retract take the next revision each.
        """
        feed = await self.thoonk.sorted_feed(self.name)
        ids = [
            await feed.append("a"),
            await feed.prepend("b"),
            await feed.publish("c"),
            await feed.publish_before("1", "d"),
            await feed.publish_after("1", "e"),
        ]
        self.assertEqual([id.revision for id in ids], [1, 2, 3, 4, 5])
        self.assertEqual((await feed.edit("1", "x")).revision, 6)
        self.assertIsNone(await feed.move("begin:", "1"))
        await feed.move_last("1")
        await feed.move_before("2", "1")
        await feed.move_after("2", "1")
        self.assertIs(await feed.retract("3"), True)
        self.assertIs(await feed.retract("3"), False)
        expected: list[Event] = [
            Published(self.name, "1", "a", 1, ":end"),
            Published(self.name, "2", "b", 2, "begin:"),
            Published(self.name, "3", "c", 3, ":end"),
            Published(self.name, "4", "d", 4, ":1"),
            Published(self.name, "5", "e", 5, "1:"),
            Edited(self.name, "1", "x", 6),
            Moved(self.name, "1", "begin:", 7),
            Moved(self.name, "1", ":end", 8),
            Moved(self.name, "1", ":2", 9),
            Moved(self.name, "1", "2:", 10),
            Retracted(self.name, "3", 11),
        ]
        self.assertEqual(await feed.history(0), expected)
        self.assertEqual(await self.of_items(), {"1": 10, "2": 2, "4": 4, "5": 5})

    async def test_refused(self) -> None:
        """
        What fails takes no revision.
        """
        feed = await self.thoonk.sorted_feed(self.name)
        await feed.append("a")
        await self.refused(feed.edit("9", "x"), ItemDoesNotExist, self.name)
        await self.refused(feed.move("begin:", "9"), ItemDoesNotExist, self.name)
        await self.refused(feed.publish_after("9", "x"), ItemDoesNotExist, self.name)
        self.assertEqual(await self.head(), ((await self.head())[0], 1))
        self.assertEqual((await feed.append("b")).revision, 2)

    async def test_at_once(self) -> None:
        """
        However many write at a time, from however many processes: each revision is one change.
        """
        others = [self.thoonk, await self.start_thoonk(), await self.start_thoonk()]
        feeds = [await each.feed(self.name, max_length=20) for each in others]
        calls: list[Deferred[ItemId]] = []
        for n in range(100):
            calls += [feed.publish(f"{n}", id=f"{n % 30}") for feed in feeds]
        revisions = [id.revision for id in await gatherResults(calls)]
        self.assertEqual(len(set(revisions)), 300)
        kept = await self.kept()
        last = max(each or 0 for each in revisions)
        self.assertEqual(kept, list(range(last - 39, last + 1)))
        self.assertEqual((await self.head())[1], last)

    async def test_other_types(self) -> None:
        """
        Queues and jobs have no revisions.
        """
        queue = await self.thoonk.queue(self.name)
        self.assertIsNone((await queue.put("x")).revision)
        job = await self.thoonk.job(self.feed_name())
        self.assertIsNone((await job.put("x")).revision)


class EpochTests(RevisionCase):
    """One value for each epoch and revision."""

    async def test_epoch_is_a_clock(self) -> None:
        """
        An epoch is the time at which it began.
        """
        seconds, micros = await self.redis.execute("TIME")
        feed = await self.thoonk.feed(self.name)
        self.assertEqual(await self.head(), ("", 0))
        await feed.publish("x")
        epoch, last = await self.head()
        self.assertEqual(last, 1)
        self.assertGreaterEqual(int(epoch), int(seconds) * 1_000_000 + int(micros))
        self.assertLess(int(epoch), int(seconds) * 1_000_000 + 100_000_000)

    async def test_create_again(self) -> None:
        """
        A feed that is deleted and created again has another epoch, and begins with revision 1.
        """
        epochs = set()
        for _ in range(3):
            feed = await self.thoonk.create_feed(self.name)
            assert feed is not None
            self.assertEqual(await self.head(), ("", 0))
            self.assertEqual((await self.thoonk.feed(self.name).publish("x")).revision, 1)
            epochs.add((await self.head())[0])
            await self.thoonk.delete_feed(self.name)
            self.assertEqual(await self.keys_of(self.name), {})
        self.assertEqual(len(epochs), 3)

    async def test_key_is_lost(self) -> None:
        """
        Where the revision is lost another epoch begins: of the old one nothing is left.
        """
        feed = await self.thoonk.feed(self.name)
        for n in range(5):
            await feed.publish("x", id=f"{n}")
        before, _ = await self.head()
        await self.redis.execute("DEL", self.keys.revision)
        self.assertEqual((await feed.publish("y", id="1")).revision, 1)
        self.assertNotEqual((await self.head())[0], before)
        self.assertEqual(await self.kept(), [1])
        self.assertEqual(await self.of_items(), {"1": 1})
        self.assertEqual(await feed.history(0), [Edited(self.name, "1", "y", 1)])

    async def test_revision_is_behind(self) -> None:
        """
        Where the revision is behind the history another epoch begins: no revision has two values.
        """
        for make in (self.thoonk.feed, self.thoonk.sorted_feed):
            name = self.feed_name()
            feed: Any = await make(name)
            keys = FeedKeys(encode(name))
            for _ in range(5):
                await feed.publish("x")
            before = await self.redis.execute("HGETALL", keys.revision)
            await self.redis.execute("HSET", keys.revision, "revision", 3)
            await feed.publish("y")
            after = await self.redis.execute("HGETALL", keys.revision)
            self.assertNotEqual(before[1], after[1])
            events = await feed.history(0)
            self.assertEqual([event.revision for event in events], [1])

    async def test_keys_of_other_types(self) -> None:
        """
        Keys of ours that hold something else do not keep anybody from publishing.
        """
        for make in (self.thoonk.feed, self.thoonk.sorted_feed):
            name = self.feed_name()
            feed: Any = await make(name)
            keys = FeedKeys(encode(name))
            for key in (keys.history, keys.revisions):
                first = await feed.publish("x")
                await self.redis.execute("DEL", key)
                await self.redis.execute("SET", key, "something")
                last = await feed.publish("y")
                self.assertTrue(last.revision)
                self.assertIs(await feed.retract(first), True)
                later = await feed.publish("z")
                events = await feed.history(later.revision - 1)
                self.assertEqual([event.id for event in events], [later])
                self.assertEqual(await feed.get_item(later), "z")


class OptionTests(RevisionCase):
    """How many events are kept."""

    async def publish(self, feed: Any, count: int) -> list[int]:
        """Publish; the revisions that are in the history then."""
        await gatherResults([feed.publish(f"{n}") for n in range(count)])
        return await self.kept()

    async def test_default(self) -> None:
        """
        A thousand, where a feed has no limit.
        """
        for make in (self.thoonk.feed, self.thoonk.sorted_feed):
            self.name = self.feed_name()
            self.keys = FeedKeys(encode(self.name))
            feed = await make(self.name)
            self.assertEqual(await self.publish(feed, 1003), list(range(4, 1004)))

    async def test_max_length(self) -> None:
        """
        Twice the limit, where it has one.
        """
        feed = await self.thoonk.feed(self.name, max_length=3)
        await self.publish(feed, 10)
        self.assertEqual(await self.kept(), list(range(12, 18)))
        await feed.set_config(max_length=None)
        self.assertEqual(len(await self.publish(feed, 10)), 16)

    async def test_given(self) -> None:
        """
        So many as are said, exactly; also if that is less than there are.
        """
        for make in (self.thoonk.feed, self.thoonk.sorted_feed):
            self.name = self.feed_name()
            self.keys = FeedKeys(encode(self.name))
            feed = await make(self.name, history=5)
            self.assertEqual(await self.publish(feed, 10), [6, 7, 8, 9, 10])
            await feed.set_config(history=2)
            self.assertEqual(await self.publish(feed, 1), [10, 11])
            await feed.set_config(history=None)
            self.assertEqual(await self.publish(feed, 2), [10, 11, 12, 13])
        feed = await self.thoonk.feed(self.feed_name(), max_length=100, history=4)
        self.keys = feed.keys
        self.assertEqual(await self.publish(feed, 10), [7, 8, 9, 10])

    async def test_none(self) -> None:
        """
        With a history of 0 nothing is kept; revisions go on.
        """
        for make in (self.thoonk.feed, self.thoonk.sorted_feed):
            name = self.feed_name()
            feed = await make(name, history=0)
            self.keys = FeedKeys(encode(name))
            self.assertEqual(await self.publish(feed, 3), [])
            self.assertEqual((await feed.publish("x")).revision, 4)
            self.assertNotIn(self.keys.history.decode(), await self.keys_of(name))

    async def test_what_is_there_goes(self) -> None:
        """
        A history that is wanted no more goes with the next change.
        """
        feed = await self.thoonk.feed(self.name)
        self.assertEqual(len(await self.publish(feed, 3)), 3)
        await feed.set_config(history=0)
        self.assertEqual(await self.publish(feed, 1), [])

    async def test_wrong_values(self) -> None:
        """
        What is no number of events is refused, and so is the option where there are no events.
        """
        for wrong in (-1, "many", 10**13, 1.5, True, [3]):
            with self.assertRaises((TypeError, ValueError)):
                await self.thoonk.feed(self.name, history=wrong)
        with self.assertRaises(ValueError):
            await self.thoonk.queue(self.name, history=5)
        self.assertIs(await self.thoonk.feed_exists(self.name), False)
