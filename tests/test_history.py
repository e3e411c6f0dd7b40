"""History: what happened to a feed since a revision, and being told where that is not known."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import gatherResults

from tests.follow_helpers import RevisionCase
from txthoonk import FeedDoesNotExist, HistoryLost, ItemError, Thoonk, WrongFeedType
from txthoonk.events import Edited, Event, Moved, Published, Retracted
from txthoonk.keys import FeedKeys, encode
from txthoonk.positions import Position, pack_position, pack_positions


class HistoryCase(RevisionCase):
    """A feed of some past, ``self.feed``."""

    async def setUp(self) -> None:
        await super().setUp()
        self.feed: Any = await self.thoonk.feed(self.name)

    async def publish(self, count: int, feed: Any = None) -> list[Any]:
        """Publish so many; the events that were."""
        feed = feed or self.feed
        ids = await gatherResults([feed.publish(f"item {n}") for n in range(count)])
        return [Published(feed.name, str(id), f"item {n}", id.revision) for n, id in enumerate(ids)]

    async def lost(self, why: str, since: Any, epoch: str | None = None, feed: Any = None) -> None:
        """Check that the history does not go back so far, and says why."""
        feed = feed or self.feed
        error = await self.refused(feed.history(since, epoch), HistoryLost, feed.name)
        self.assertEqual(error.detail, why)
        self.assertIn(why, str(error))


class SinceTests(HistoryCase):
    """All that happened after something."""

    async def test_revision(self) -> None:
        """
        The events after a revision, in order; none after the last one.
        """
        events = await self.publish(5)
        for since in range(6):
            self.assertEqual(await self.feed.history(since), events[since:])

    async def test_kinds(self) -> None:
        """
        Each event is what those who listened got, and says its revision.
        """
        feed = await self.thoonk.sorted_feed(self.feed_name())
        await feed.append("a")
        await feed.prepend("b")
        await feed.edit("1", "c")
        await feed.move("begin:", "1")
        await feed.retract("2")
        name = feed.name
        expected: list[Event] = [
            Published(name, "1", "a", 1, ":end"),
            Published(name, "2", "b", 2, "begin:"),
            Edited(name, "1", "c", 3),
            Moved(name, "1", "begin:", 4),
            Retracted(name, "2", 5),
        ]
        self.assertEqual(await feed.history(0), expected)

    async def test_snapshot(self) -> None:
        """
        A snapshot, or its token, is a place to go on from; the token in another process, too.
        """
        await self.publish(3)
        snapshot = await self.feed.snapshot()
        self.assertEqual(await self.feed.history(snapshot), [])
        events = await self.publish(3)
        other = (await self.start_thoonk()).feed(self.name)
        for feed in (self.feed, other):
            self.assertEqual(await feed.history(snapshot), events)
            self.assertEqual(await feed.history(snapshot.token), events)
            self.assertEqual(await feed.history(snapshot.revision, snapshot.epoch), events)

    async def test_before_the_first(self) -> None:
        """
        The snapshot of a feed that nobody has changed yet is a place to go on from.
        """
        snapshot = await self.feed.snapshot()
        self.assertEqual(await self.feed.history(snapshot), [])
        events = await self.publish(3)
        self.assertEqual(await self.feed.history(snapshot), events)
        self.assertEqual(await self.feed.history(0), events)

    async def test_large(self) -> None:
        """
        However many events there are, all of them come.
        """
        for count in (1000, 1001, 2500):
            feed = await self.thoonk.feed(self.feed_name(), history=5000)
            events = await self.publish(count, feed)
            self.assertEqual(await feed.history(0), events)
            self.assertEqual(await feed.history(1), events[1:])
            self.assertEqual(await feed.history(count - 1), events[-1:])

    async def test_serializers(self) -> None:
        """
        Items are as the feed's serializer makes them; what it cannot make is an error in its
        place.
        """
        samples: list[tuple[str, Any]] = [
            ("json", {"a": [1, None, "\0\n"]}),
            ("bytes", b"\xff\0\xfe"),
            ("text", "\0ä\r\n"),
        ]
        for serializer, item in samples:
            feed = await self.thoonk.feed(self.feed_name(), serializer=serializer)
            await feed.publish(item, id="1")
            found = await feed.history(0)
            self.assertEqual(found, [Published(feed.name, "1", item, 1)])
        await (await self.thoonk.feed(feed.name)).publish("{", id="1")
        feed = self.thoonk.feed(feed.name, serializer="json")
        *_, event = await feed.history(0)
        self.assertIsInstance(event.item, ItemError)
        self.assertEqual((event.id, event.revision), ("1", 2))

    async def test_custom_serializer(self) -> None:
        """
        A serializer of one's own makes them, too.
        """

        class Upper:
            def encode(self, item: str) -> bytes:
                return item.lower().encode()

            def decode(self, data: bytes) -> str:
                return data.decode().upper()

        feed = await self.thoonk.feed(self.feed_name(), serializer=Upper())
        await feed.publish("Abc", id="1")
        self.assertEqual(await feed.history(0), [Published(feed.name, "1", "ABC", 1)])

    async def test_while_others_publish(self) -> None:
        """
        What is told is without holes, however fast others go on, or else it is said to be lost.
        """
        feed = await self.thoonk.feed(self.feed_name(), history=1500)
        await self.publish(1500, feed)
        other = (await self.start_thoonk()).feed(feed.name)
        calls = [other.publish("x") for _ in range(3000)]
        told = lost = 0
        for _ in range(10):
            since = (await feed.snapshot()).revision - 1400
            try:
                events = await feed.history(since)
            except HistoryLost as error:
                self.assertEqual(error.detail, "trimmed")
                lost += 1
            else:
                told += 1
                first = since + 1
                found = [event.revision for event in events]
                self.assertEqual(found, list(range(first, first + len(events))))
                self.assertGreaterEqual(len(events), 1400)
        await gatherResults(calls)
        self.assertEqual(told + lost, 10)

    async def test_wrong_since(self) -> None:
        """
        What is no revision, token or snapshot is refused.
        """
        for wrong in (-1, 1.0, None, True, b"1"):
            with self.assertRaises((TypeError, ValueError)):
                await self.feed.history(wrong)
        for garbage in ("", "1", "garbage", pack_positions({self.name: Position(1, "1")})):
            with self.assertRaises(ValueError):
                await self.feed.history(garbage)

    async def test_no_such_feed(self) -> None:
        """
        Of a feed that is not there nothing is known.
        """
        await self.publish(3)
        snapshot = await self.feed.snapshot()
        await self.thoonk.delete_feed(self.name)
        for since in (0, 2, 9, snapshot):
            await self.refused(self.feed.history(since), FeedDoesNotExist, self.name)
        await self.thoonk.create_feed(self.name, type="queue")
        await self.refused(self.feed.history(0), WrongFeedType, self.name)


class LostTests(HistoryCase):
    """Where not everything is known any more."""

    async def test_trim_point(self) -> None:
        """
        From just where the history begins all is told; from before that nothing is.
        """
        for count in (5, 6, 12):
            feed = await self.thoonk.feed(self.feed_name(), history=5)
            events = await self.publish(count, feed)
            first = count - 5
            self.assertEqual(await feed.history(first), events[first:])
            self.assertEqual(await feed.history(first + 1), events[first + 1 :])
            for since in range(first):
                await self.lost("trimmed", since, feed=feed)

    async def test_trim_point_of_tokens(self) -> None:
        """
        So it is with tokens, of which the history proves that they are of the same past: the
        server, where the event itself has gone.
        """
        feed = await self.thoonk.feed(self.feed_name(), history=5)
        tokens = []
        for n in range(8):
            tokens.append(await feed.snapshot())
            await feed.publish(f"{n}")
        for since, snapshot in enumerate(tokens):
            self.assertEqual(snapshot.revision, since)
            if since < 3:
                await self.lost("trimmed", snapshot, feed=feed)
            else:
                events = await feed.history(snapshot)
                self.assertEqual([e.revision for e in events], list(range(since + 1, 9)))

    async def test_future(self) -> None:
        """
        A revision that there is not yet is one of data that were lost.
        """
        await self.lost("future", 1)
        await self.publish(3)
        await self.lost("future", 4)
        await self.lost("future", 10**15)
        self.assertEqual(await self.feed.history(3), [])

    async def test_epoch(self) -> None:
        """
        What was known of another epoch says nothing about this one.
        """
        await self.publish(3)
        snapshot = await self.feed.snapshot()
        await self.thoonk.delete_feed(self.name)
        self.feed = await self.thoonk.feed(self.name)
        await self.lost("epoch", snapshot)
        await self.publish(5)
        await self.lost("epoch", snapshot)
        await self.lost("epoch", 3, snapshot.epoch)
        await self.lost("epoch", 0, snapshot.epoch)
        self.assertEqual(len(await self.feed.history(3)), 2)

    async def test_keys_are_lost(self) -> None:
        """
        Where a key of ours has gone, what was known before is lost.
        """
        await self.publish(3)
        snapshot = await self.feed.snapshot()
        await self.redis.execute("DEL", self.keys.history)
        self.assertEqual(await self.feed.history(3), [])
        await self.lost("trimmed", 2)
        await self.publish(1)
        self.assertEqual(len(await self.feed.history(3)), 1)
        await self.redis.execute("DEL", self.keys.revision)
        await self.lost("epoch", snapshot)
        await self.lost("future", 3)
        await self.publish(5)
        await self.lost("epoch", snapshot)
        self.assertEqual(len(await self.feed.history(0)), 5)

    async def test_no_stream(self) -> None:
        """
        So it is where the key holds something else.
        """
        await self.publish(3)
        await self.redis.execute("SET", self.keys.history, "something")
        await self.lost("trimmed", 2)
        self.assertEqual(await self.feed.history(3), [])

    async def test_hole(self) -> None:
        """
        A history that somebody took an entry from is not told as if it were whole.
        """
        await self.publish(5)
        await self.redis.execute("XDEL", self.keys.history, "4-0")
        await self.lost("trimmed", 1)
        await self.lost("trimmed", 3)
        self.assertEqual(len(await self.feed.history(4)), 1)

    async def test_hole_in_a_large_one(self) -> None:
        """
        Wherever the hole is.
        """
        feed = await self.thoonk.feed(self.feed_name(), history=5000)
        await self.publish(2500, feed)
        keys = FeedKeys(encode(feed.name))
        for hole in (2500, 2001, 1500, 1000):
            await self.redis.execute("XDEL", keys.history, f"{hole}-0")
            await self.lost("trimmed", 0, feed=feed)
            await self.lost("trimmed", 900, feed=feed)

    async def test_toggled(self) -> None:
        """
        Where no history was kept for a while, what happened before that, and meanwhile, is lost;
        what happens after is told.
        """
        for make in (self.thoonk.feed, self.thoonk.sorted_feed):
            feed: Any = await make(self.feed_name())
            await self.publish(3, feed)
            await feed.set_config(history=0)
            self.assertEqual(len(await feed.history(1)), 2)  # until something changes
            snapshots = [await feed.snapshot()]
            for _ in range(2):
                await feed.publish("not kept")
                snapshots.append(await feed.snapshot())
                await self.lost("trimmed", 2, feed=feed)
            self.assertEqual(await feed.history(5), [])
            await feed.set_config(history=10)
            events = await self.publish(2, feed)
            found = [(e.revision, e.id) for e in await feed.history(5)]
            self.assertEqual(found, [(e.revision, e.id) for e in events])
            self.assertEqual(len(await feed.history(snapshots[2])), 2)
            for since in (0, 2, 3, 4, snapshots[0], snapshots[1]):
                await self.lost("trimmed", since, feed=feed)

    async def test_digest(self) -> None:
        """
        A place in another past, with the same epoch and a revision that there is, is found out.
        """
        await self.publish(3)
        other = await self.feed.snapshot()
        now = Position(3, other.epoch, 1, 3)
        await self.lost("digest", pack_position(now))
        await self.publish(2)
        await self.lost("digest", pack_position(now))
        self.assertEqual(len(await self.feed.history(other)), 2)


class OtherServerTests(HistoryCase):
    """The same data on a server that was started again, or is another one."""

    async def setUp(self) -> None:
        self.server = await self.own_server(appendonly="yes", appendfsync="always")
        self.redis_url = self.server.url
        self.thoonk: Thoonk = await self.start_thoonk()
        self.redis = self.thoonk.redis
        self.name = self.feed_name()
        self.keys = FeedKeys(encode(self.name))
        self.feed = await self.thoonk.feed(self.name, history=3)

    async def test_restarted(self) -> None:
        """
        After a restart the history proves itself where an event is there; where the event of the
        token has just gone, nothing proves that this is the same past.
        """
        await self.publish(2)
        snapshots = []
        for _ in range(4):
            snapshots.append(await self.feed.snapshot())
            await self.publish(1)
        await self.server.kill()
        await self.server.start()
        self.assertEqual(len(await self.feed.history(5)), 1)
        for since, snapshot in enumerate(snapshots, start=2):
            if since < 3:
                await self.lost("trimmed", snapshot)
            elif since == 3:
                await self.lost("unproved", snapshot)
            else:
                self.assertEqual(len(await self.feed.history(snapshot)), 6 - since)

    async def test_an_older_state(self) -> None:
        """
        Where what was acknowledged has gone, and something else happened instead, it is found out.
        """
        await self.publish(2)
        early = await self.feed.snapshot()
        keys = [self.keys.config, self.keys.revision, self.keys.history, self.keys.publishes]
        keys += [self.keys.ids, self.keys.items, self.keys.revisions]
        dumps = [(key, await self.redis.execute("DUMP", key)) for key in keys]
        await self.publish(2)
        late = await self.feed.snapshot()
        for key, dump in dumps:
            await self.redis.execute("RESTORE", key, 0, dump, "REPLACE")
        await self.lost("future", late)
        self.assertEqual(await self.feed.history(early), [])
        await self.publish(2)
        await self.lost("digest", late)
        self.assertEqual(len(await self.feed.history(early)), 2)
        await self.publish(1)
        await self.lost("digest", late)
