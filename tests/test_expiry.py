"""Items that are published for a while: they go when their time is over, and never before."""

from __future__ import annotations

from typing import Any

from tests.follow_helpers import Foreign
from tests.helpers import Heard, ThoonkTestCase, until
from txthoonk import Conflict, Feed, FeedDoesNotExist, Published, Retracted
from txthoonk.dialects import LUA
from txthoonk.keys import FeedKeys, encode

#: Seconds that are over soon, and such that are not while a test runs.
SOON = 0.15
FAR = 1000.0


class ExpiryCase(ThoonkTestCase):
    """A feed, whose maintenance is this test's own."""

    async def setUp(self) -> None:
        await super().setUp()
        self.feed: Feed = await self.thoonk.feed(self.feed_name())
        self.peer = Foreign(await self.connect(), self.feed.name)

    async def over(self, feed: Feed | None = None) -> int:
        """Wait until all is over that is noted of a feed: how many items went."""
        feed, gone = feed or self.feed, 0

        async def none_left() -> bool:
            nonlocal gone
            gone += await feed.maintenance()
            return not await self.redis.execute("EXISTS", feed.keys.expires)

        await until(none_left)
        self.assertIsNone(await self.redis.execute("ZSCORE", feed.keys.expiring, encode(feed.name)))
        return gone

    async def now(self) -> float:
        """Redis's time, in milliseconds."""
        seconds, micros = await self.redis.execute("TIME")
        return int(seconds) * 1000 + int(micros) / 1000


class GoesTests(ExpiryCase):
    """What becomes of an item whose time is over."""

    async def test_retracted(self) -> None:
        """
        It is retracted, with a revision, in the history and on all channels, and is gone.
        """
        events = Heard()
        await self.thoonk.follow(self.feed.name, events)
        heard = await self.watch(self.feed.name)
        begun = await self.now()
        id = await self.feed.publish("here", id="a", ttl=SOON)
        self.assertEqual((id, id.revision), ("a", 1))
        await self.feed.publish("stays", id="b")
        self.assertEqual(await self.over(), 1)
        self.assertGreaterEqual(await self.now() - begun, SOON * 1000)
        self.assertEqual(await self.feed.get_all(), {"b": "stays"})
        self.assertEqual(
            await heard(),
            [
                ("feed.publish", b"a\0here"),
                ("feed.publish", b"b\0stays"),
                ("feed.retract", b"a"),
            ],
        )
        await events.when(3)
        self.assertEqual(events[-1], Retracted(self.feed.name, "a", revision=3))
        self.assertEqual(
            [type(event) for event in await self.feed.history(0)],
            [Published, Published, Retracted],
        )
        self.assertNotIn("a", await self.redis.execute("HKEYS", self.feed.keys.revisions))
        self.assertEqual(await self.feed.fsck(grace=0.01), [])

    async def test_never_early(self) -> None:
        """
        However often maintenance is run, an item stays until its time is over by Redis's clock.
        """
        for ttl in (0.05, 0.1, 0.0001):
            before = await self.now()
            await self.feed.publish("here", id="a", ttl=ttl)
            while await self.feed.has_id("a"):
                await self.feed.maintenance()
            self.assertGreaterEqual(await self.now() - before, ttl * 1000)

    async def test_renewed(self) -> None:
        """
        Published again with a time it stays until that is over; the earlier one is forgotten.
        """
        for _ in range(4):
            await self.feed.publish("here", id="a", ttl=SOON)
        await self.feed.publish("still here", id="a", ttl=FAR)
        await self.feed.publish("other", id="b", ttl=SOON)
        await until(self.feed.maintenance)
        self.assertEqual(await self.feed.get_all(), {"a": "still here"})
        self.assertEqual(await self.redis.execute("ZCARD", self.feed.keys.expires), 1)
        await self.feed.publish("not for long", id="a", ttl=0.01)
        self.assertEqual(await self.over(), 1)

    async def test_kept(self) -> None:
        """
        Published again without a time it stays for good, whoever publishes it: also a program that
        knows nothing of times or revisions.
        """
        for id in ("ours", "theirs", "with a revision"):
            await self.feed.publish("for a while", id=id, ttl=SOON)
        await self.feed.publish("for good", id="ours")
        await self.peer.publish("theirs", "for good")
        await self.feed.publish(
            "for good", id="with a revision", if_revision=(await self.feed.snapshot()).revision
        )
        self.assertEqual(await self.over(), 0)
        self.assertEqual(set((await self.feed.get_all()).values()), {"for good"})
        self.assertEqual(await self.feed.length(), 3)

    async def test_gone_before(self) -> None:
        """
        An item that was retracted or evicted before is not told to go again; if the id has come
        back since it stays.
        """
        await self.feed.set_config(max_length=3)
        for id in ("a", "b", "c"):
            await self.feed.publish("for a while", id=id, ttl=SOON)
        await self.feed.retract("a")
        await self.peer.retract("b")
        await self.feed.publish("back", id="a")
        await self.peer.publish("b", "back", score=f"{await self.now():f}")
        await self.feed.publish("new", id="d")  # c goes
        heard = await self.watch(self.feed.name)
        self.assertEqual(await self.over(), 0)
        self.assertEqual(await heard(), [])
        self.assertEqual(await self.feed.get_all(), {"a": "back", "b": "back", "d": "new"})

    async def test_condition(self) -> None:
        """
        A publish that is refused notes nothing: the item stays as it was.
        """
        await self.feed.publish("old", id="a")
        late = self.feed.publish("new", id="a", if_revision=7, ttl=SOON)
        self.assertEqual((await self.assertFailure(late, Conflict)).revision, 1)
        self.assertEqual(await self.redis.execute("EXISTS", self.feed.keys.expires), 0)
        known = await self.feed.publish("new", id="a", if_revision=1, ttl=SOON)
        self.assertEqual(known.revision, 2)
        self.assertEqual(await self.over(), 1)

    async def test_many_at_once(self) -> None:
        """
        However many are over at a time all go, each with its event and a revision.
        """
        for number in range(250):
            self.feed.publish("x", id=f"{number:03}", ttl=0.01)
        await self.feed.publish("last", id="last")
        self.assertEqual(await self.over(), 250)
        events = await self.feed.history(251)
        self.assertEqual([e.revision for e in events], [*range(252, 502)])
        self.assertEqual(sorted(e.id for e in events), [f"{n:03}" for n in range(250)])

    async def test_seconds(self) -> None:
        """
        The same in a feed whose scores are seconds, for sites with thoonk.py.
        """
        feed = await self.thoonk.feed(self.feed_name(), clock="s")
        await feed.publish("here", id="a", ttl=SOON)
        await feed.publish("here", id="b", ttl=SOON)
        await feed.publish("here", id="b")
        self.assertEqual(await self.over(feed), 1)
        self.assertEqual(await feed.get_ids(), ["b"])


class LeftTests(ExpiryCase):
    """What is left behind: nothing."""

    async def index(self) -> set[bytes]:
        """Feeds that are noted."""
        return set(await self.redis.execute("ZRANGE", self.feed.keys.expiring, 0, -1))

    async def test_deleted(self) -> None:
        """
        A feed that is deleted takes its notes with it, and what comes after it under its name
        loses nothing.
        """
        await self.feed.publish("here", id="a", ttl=SOON)
        await self.feed.delete()
        self.assertEqual(await self.keys_of(self.feed.name), {})
        await self.thoonk.create_feed(self.feed.name)
        await self.feed.publish("another", id="a")
        self.assertEqual(await self.over(), 0)
        self.assertEqual(await self.feed.get_all(), {"a": "another"})

    async def test_deleted_by_a_peer(self) -> None:
        """
        The same where another program deletes, which knows nothing of our keys; whether it creates
        the feed again or not, and of whatever type.
        """
        for kind in (None, "feed", "sorted_feed"):
            await self.feed.ensure()
            await self.feed.publish("here", id="1", ttl=SOON)
            await self.redis.execute("SREM", self.feed.keys.feeds, encode(self.feed.name))
            await self.redis.execute("DEL", *self.feed.keys.of_contract())
            if kind is not None:
                await self.redis.execute("SADD", self.feed.keys.feeds, encode(self.feed.name))
                await self.redis.execute("HSET", self.feed.keys.config, "type", kind)
            if kind == "feed":
                await self.peer.publish("1", "another")
            elif kind == "sorted_feed":
                await self.peer.append("another")
            self.assertEqual(await self.over(), 0)
            left = await self.redis.execute("HGETALL", self.feed.keys.items)
            self.assertEqual(left, [] if kind is None else [b"1", b"another"])
            await self.thoonk.redis.execute("DEL", *self.feed.keys.every_key())
            await self.redis.execute("SREM", self.feed.keys.feeds, encode(self.feed.name))

    async def test_notes_of_what_went(self) -> None:
        """
        In a feed whose items go otherwise, long before their time, notes are not piled up.
        """
        await self.feed.set_config(max_length=10)
        for number in range(1000):
            self.feed.publish("x", id=f"{number}", ttl=FAR)
        await self.feed.publish("x", ttl=FAR)
        self.assertLess(await self.redis.execute("ZCARD", self.feed.keys.expires), 140)
        ids = await self.redis.execute("ZRANGE", self.feed.keys.ids, 0, -1, "WITHSCORES")
        notes = await self.redis.execute("ZRANGE", self.feed.keys.expires, 0, -1)
        noted = {note.partition(b"\0")[2] for note in notes}
        self.assertLessEqual(set(ids[::2]), noted)

    async def test_checked(self) -> None:
        """
        fsck finds a feed whose items would never go since it is not noted, and notes it; of a feed
        that does not exist it finds the notes.
        """
        await self.feed.publish("here", id="a", ttl=FAR)
        await self.feed.publish("here", id="b", ttl=FAR)
        await self.feed.publish("here", id="b")
        await self.feed.retract("a")
        self.assertEqual(await self.feed.fsck(grace=0.01), [])
        await self.redis.execute("ZREM", self.feed.keys.expiring, encode(self.feed.name))
        [fault] = await self.feed.fsck(repair=True, grace=0.01)
        self.assertEqual((fault.kind, fault.repaired), ("unscheduled", True))
        self.assertEqual(await self.feed.fsck(grace=0.01), [])
        self.assertIn(encode(self.feed.name), await self.index())
        await self.redis.execute("SREM", self.feed.keys.feeds, encode(self.feed.name))
        await self.redis.execute("DEL", *self.feed.keys.of_contract())
        faults = await self.thoonk.fsck(self.feed.name, repair=True, grace=0.01)
        self.assertIn(
            f"{self.feed.keys.expires.decode()} is of no feed", [f.detail for f in faults]
        )
        self.assertEqual(await self.keys_of(self.feed.name), {})


class OtherTests(ExpiryCase):
    """What else there is."""

    async def test_refused(self) -> None:
        """
        What is no time is refused at once, by the names of the feed and of the item; nothing is
        published.
        """
        refused: tuple[Any, ...] = (0, -1, 0.0, True, False, float("nan"), float("inf"), 1.1e9, "5")
        for ttl in refused:
            error = self.assertRaises(ValueError, self.feed.publish, "x", id="an id", ttl=ttl)
            for said in (repr(self.feed.name), "'an id'", repr(ttl)):
                self.assertIn(said, str(error))
        self.assertEqual(await self.feed.get_ids(), [])

    async def test_committed(self) -> None:
        """
        Published together with the end of a job, for a while or again for good, it goes as any
        other, or stays.
        """
        jobs = await self.thoonk.job(self.feed_name("jobs"))
        await jobs.put("work", id="j")
        await self.feed.publish("old", id="kept", ttl=SOON)
        other = await self.thoonk.feed(self.feed_name("other"))
        claim = await jobs.get()
        gone, stays, *_ = await claim.commit(
            other.change.publish("here", id="a", ttl=SOON),
            other.change.publish("here", id="b", ttl=FAR),
            self.feed.change.publish("new", id="kept"),
        )
        self.assertEqual((gone, gone.revision, stays.revision), ("a", 1, 2))
        await until(other.maintenance)
        self.assertEqual(await other.get_ids(), ["b"])
        self.assertEqual(await self.over(), 0)
        self.assertEqual(await self.feed.get_all(), {"kept": "new"})
        await jobs.put("more work")
        claim = await jobs.get()
        twice = (other.change.publish("x", id="e", ttl=FAR) for _ in range(2))
        self.assertRaises(ValueError, claim.commit, *twice)
        late = claim.commit(other.change.publish("x", id="b", if_revision=1, ttl=SOON))
        await self.assertFailure(late, Conflict)

    async def test_no_feed(self) -> None:
        """
        In a feed that was deleted nothing is published, and nothing noted.
        """
        await self.feed.delete()
        late = self.feed.publish("x", id="a", ttl=SOON)
        await self.assertFailure(late, FeedDoesNotExist)
        self.assertEqual(await self.keys_of(self.feed.name), {})

    async def test_lua(self) -> None:
        """
        In dialect ``lua`` the same, by its names, and told on its channels.
        """
        lua = await self.start_thoonk(dialect="lua")
        feed = await lua.feed(self.feed_name())
        heard = await self.listen(f"event.feed.*:{feed.name}")
        await feed.publish("here", id="a", ttl=SOON)
        keys: FeedKeys = LUA.keys("feed", encode(feed.name))
        self.assertEqual(await self.redis.execute("ZCARD", keys.expires), 1)
        self.assertTrue(keys.expires.startswith(b"tx.job.feed."))
        self.assertEqual(await self.over(feed), 1)
        await until(lambda: len(heard) == 2)
        self.assertEqual(heard[1], (f"event.feed.retract:{feed.name}", b"a"))
