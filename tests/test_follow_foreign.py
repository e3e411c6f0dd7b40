"""Programs without revisions: what they do is told to those who follow, and gets revisions."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.follow_helpers import FollowCase, FollowHeard, Foreign
from tests.helpers import until
from txthoonk import LiveFeed
from txthoonk.events import Edited, Moved, Published, Retracted


class ForeignCase(FollowCase):
    """A feed that many follow, in several instances, ``self.followed``; and a foreign writer."""

    KIND = "feed"

    async def setUp(self) -> None:
        await super().setUp()
        self.name = self.feed_name()
        self.feed: Any = await getattr(self.thoonk, self.KIND)(self.name, history=5000)
        self.peer = await self.foreign(self.name)
        self.others = [self.thoonk, *[await self.start_thoonk() for _ in range(3)]]
        self.followed: list[tuple[LiveFeed, FollowHeard]] = []

    async def begin(self, each: int = 3) -> None:
        """So many follow in each instance."""
        self.since = await self.revision(self.name)
        for thoonk in self.others:
            self.followed += [await self.follow(self.name, thoonk) for _ in range(each)]

    async def told(self, count: int) -> FollowHeard:
        """All were told so much, the same, which is the history; what they got."""
        for live, heard in self.followed:
            await heard.when(count)
            await live.when_synced()
            self.assertEqual(len(heard), count, heard)
            await self.logged(heard, self.name, self.since)
            await self.same(live)
        return self.followed[0][1]

    async def settled(self) -> None:
        """All copies are what Redis has, and all were told the same, which is the history."""
        for thoonk in self.others:
            await self.settle(thoonk)

        async def same() -> bool:
            items = list((await self.feed.get_all()).items())
            last = await self.revision(self.name)
            return all(
                list(live) == items and live.revision == last and live.synced
                for live, _ in self.followed
            )

        await until(same)
        for _, heard in self.followed:
            await self.logged(heard, self.name, self.since)


class FeedTests(ForeignCase):
    """Feeds."""

    async def test_publish(self) -> None:
        """
        What is published is told to all, once, with the next revision.
        """
        await self.feed.publish("ours", id="1")
        await self.begin()
        await self.peer.publish("2", "theirs")
        heard = await self.told(1)
        self.assertEqual(type(heard[0]), Published)
        self.assertEqual((heard[0].id, heard[0].item, heard[0].revision), ("2", "theirs", 2))
        self.assertEqual((await self.feed.publish("ours", id="3")).revision, 3)
        await self.told(2)
        self.assertEqual(await self.adopted(self.name), [b"publish+"])

    async def test_edit(self) -> None:
        """
        So is what is edited.
        """
        await self.feed.publish("a", id="1")
        await self.feed.publish("b", id="2")
        await self.begin()
        await self.peer.publish("1", "theirs")
        heard = await self.told(1)
        self.assertEqual(type(heard[0]), Edited)
        self.assertEqual((heard[0].id, heard[0].item), ("1", "theirs"))

    async def test_retract(self) -> None:
        """
        So is what is retracted; twice is nothing.
        """
        await self.feed.publish("a", id="1")
        await self.begin()
        await self.peer.retract("1")
        heard = await self.told(1)
        self.assertEqual(heard, [Retracted(self.name, "1", 2)])
        await self.peer.retract("1")
        await self.peer.redis.execute(*self.peer.tell("edit", "9", "not there"))
        await self.settled()
        self.assertEqual(len(heard), 1)

    async def test_eviction(self) -> None:
        """
        So is what goes because the feed is full.
        """
        for id in "123":
            await self.feed.publish("x", id=id)
        await self.begin()
        await self.peer.publish("4", "theirs", evicts=2)
        heard = await self.told(3)
        self.assertEqual(sorted(e.id for e in heard), ["1", "2", "4"])

    async def test_several_at_once(self) -> None:
        """
        However many there are, with ours in between, and however fast: all are told, once.
        """
        await self.begin()
        calls: list[Deferred[Any]] = []
        for n in range(100):
            calls.append(Deferred.fromCoroutine(self.peer.publish(f"t{n % 20}", f"theirs {n}")))
            calls.append(self.feed.publish(f"ours {n}", id=f"o{n}"))
            if n % 10 == 0:
                calls.append(self.feed.retract(f"o{n}"))
        await gatherResults(calls)
        await self.settled()

    async def test_on_the_same_items(self) -> None:
        """
        Where ours and theirs change the same items at the same time, the copies are what Redis
        has, and all were told the same.
        """
        await self.begin()
        second = await self.foreign(self.name)
        chance = random.Random(1)
        calls: list[Deferred[Any]] = []
        for n in range(200):
            id = f"{chance.randrange(8)}"
            writer = chance.choice([self.peer, second])
            what = chance.randrange(4)
            if what == 0:
                calls.append(self.feed.publish(f"ours {n}", id=id))
            elif what == 1:
                calls.append(self.feed.retract(id))
            elif what == 2:
                calls.append(Deferred.fromCoroutine(writer.publish(id, f"theirs {n}")))
            else:
                calls.append(Deferred.fromCoroutine(writer.retract(id)))
            if n % 20 == 19:
                await gatherResults(calls)
        await gatherResults(calls)
        await self.settled()

    async def test_only_ours(self) -> None:
        """
        Changes of ours, of any kind, are never taken for another program's.
        """
        await self.begin()
        await self.feed.set_config(max_length=5)
        other = self.others[1].feed(self.name)
        calls: list[Deferred[Any]] = []
        for n in range(300):
            calls.append(self.feed.publish(f"{n}", id=f"{n % 9}"))
            calls.append(other.publish(f"{n}", id=f"{n % 7}"))
            calls.append(other.retract(f"{n % 5}"))
        await gatherResults(calls)
        await self.settled()
        self.assertEqual(await self.adopted(self.name), [])

    async def test_same_item_twice(self) -> None:
        """
        The same text again, by anybody, is told by whom it is: ours has its revision, theirs is
        nothing new.
        """
        await self.begin()
        for _ in range(3):
            await self.feed.publish("same", id="1")
        heard = await self.told(3)
        self.assertEqual([e.revision for e in heard], [1, 2, 3])
        self.assertEqual(await self.adopted(self.name), [])

    async def test_serializer(self) -> None:
        """
        Items of another program are as the serializer makes them, or an error in their place.
        """
        live, heard = await self.follow(self.name, serializer="json")
        await self.peer.publish("1", "[1]")
        await heard.when(1)
        self.assertEqual((heard[0].item, live.items["1"]), ([1], [1]))
        await self.peer.publish("1", "{")
        await heard.when(2)
        await self.peer.publish("1", "[1]")
        await heard.when(3)
        self.assertEqual((heard[2].item, live.items["1"]), ([1], [1]))
        await live.when_synced()
        self.assertEqual([e.revision for e in heard], [1, 2, 3])

    async def test_not_wanted(self) -> None:
        """
        Who does not want to listen for them hears of them when someone else has noticed them, or
        within the interval of checks.
        """
        thoonk = await self.start_thoonk(check_interval=0.05)
        await self.peer.publish("0", "theirs")
        live, heard = await self.follow(self.name, thoonk, foreign=False)
        await self.peer.publish("1", "theirs")
        await heard.when(1)
        self.assertEqual(heard.short, [("Published", 1, "1")])
        await self.peer.retract("0")
        await heard.when(2)
        self.assertEqual(heard.short[1], ("Retracted", 2, "0"))
        await self.same(live)

    async def test_no_revision_yet(self) -> None:
        """
        A feed that only other programs have changed so far can be followed; its items are no news.
        """
        for n in range(3):
            await self.peer.publish(f"{n}", "theirs")
        await self.begin()
        self.assertEqual(len(self.followed[0][0]), 3)
        await self.peer.publish("3", "theirs")
        heard = await self.told(1)
        self.assertEqual(heard.short, [("Published", 1, "3")])

    async def test_created_by_them(self) -> None:
        """
        A feed that they have created, and never one of ours has written to, is followed as well.
        """
        peer = await self.foreign(self.feed_name())
        await peer.create()
        live, heard = await self.follow(peer.keys.name.decode())
        await peer.publish("1", "theirs")
        await heard.when(1)
        await peer.retract("1")
        await heard.when(2)
        self.assertEqual(heard.short, [("Published", 1, "1"), ("Retracted", 2, "1")])
        self.assertEqual(len(live), 0)

    async def test_clocks(self) -> None:
        """
        Where their clock puts an item elsewhere than at the end, the copies have it there.
        """
        for id in "123":
            await self.feed.publish("x", id=id)
        await self.begin()
        await self.peer.publish("early", "theirs", score="1000")
        await self.told(1)
        score = await self.redis.execute("ZSCORE", self.feed.keys.ids, "2")
        await self.peer.publish("beside", "theirs", score=score.decode())
        await self.told(2)
        await self.peer.publish("3", "theirs", score="1")
        await self.told(3)
        self.assertEqual(self.followed[0][0].ids[:2], ["3", "early"])
        await self.peer.publish("late", "theirs", score="99999999999999")
        await self.told(4)
        await self.feed.publish("before the late one", id="4")
        await self.told(5)

    async def test_more_than_can_be_told(self) -> None:
        """
        Where a feed is too large for it to be compared, that something was changed is told.
        """
        from txthoonk import following

        self.patch(following, "LARGE", 5)
        for id in "1234567":
            await self.feed.publish("x", id=id)
        await self.begin(1)
        await self.peer.publish("new", "theirs")
        for live, heard in self.followed:
            await heard.when(1)
            self.assertEqual(heard.kinds, ["foreign"])
            await live.when_synced()
            await self.same(live)


class SortedTests(ForeignCase):
    """Sorted feeds."""

    KIND = "sorted_feed"

    async def setUp(self) -> None:
        await super().setUp()
        for item in "abc":
            await self.feed.append(item)

    async def test_each(self) -> None:
        """
        Publish, edit, move and retract are told to all, once each, with their revisions.
        """
        await self.begin()
        await self.peer.append("d")
        heard = await self.told(1)
        self.assertEqual((type(heard[0]), heard[0].id, heard[0].item), (Published, "4", "d"))
        await self.peer.append("e", first=True)
        await self.told(2)
        await self.peer.insert("f", behind="2")
        await self.told(3)
        await self.peer.edit("1", "edited")
        await self.told(4)
        self.assertEqual(heard[3], Edited(self.name, "1", "edited", 7))
        await self.peer.move("1", behind="4")
        await self.told(5)
        self.assertEqual((type(heard[4]), heard[4].id), (Moved, "1"))
        await self.peer.take_out("2")
        await self.told(6)
        self.assertEqual(heard[5], Retracted(self.name, "2", 9))
        self.assertEqual(self.followed[0][0].ids, ["5", "6", "3", "4", "1"])

    async def test_only_ours(self) -> None:
        """
        Changes of ours, of any kind, are never taken for another program's.
        """
        await self.begin()
        feed, other = self.feed, self.others[1].sorted_feed(self.name)
        calls: list[Deferred[Any]] = []
        for n in range(100):
            calls += [feed.append("x"), other.prepend("y"), feed.edit("1", f"{n}")]
            calls += [other.edit("1", f"{n}"), feed.move_first("2"), other.move_last("2")]
            calls += [feed.move_after("1", "3"), other.publish_before("1", "z")]
        await gatherResults(calls)
        await self.settled()
        self.assertEqual(await self.adopted(self.name), [])

    async def test_anything(self) -> None:
        """
        Whatever two of them and two of us do at the same time: the copies are what Redis has, and
        all were told the same.
        """
        await self.begin()
        writers = [self.peer, await self.foreign(self.name)]
        handles = [self.feed, self.others[1].sorted_feed(self.name)]
        for seed in range(10):
            chance = random.Random(seed)
            ids = await self.feed.get_ids()
            calls: list[Deferred[Any]] = []
            for n in range(15):
                id, beside = chance.sample(ids, 2)
                if chance.random() < 0.5:
                    calls.append(self.ours(chance.choice(handles), chance, id, beside, n))
                else:
                    writer = chance.choice(writers)
                    done = self.theirs(writer, chance, id, beside, n)
                    calls.append(Deferred.fromCoroutine(done))
            for call in calls:
                call.addErrback(lambda _: None)  # it had gone
            await gatherResults(calls)
        await self.settled()

    def ours(
        self, feed: Any, chance: random.Random, id: str, beside: str, number: int
    ) -> Deferred[Any]:
        """A change of ours."""
        calls = [
            lambda: feed.append(f"ours {number}"),
            lambda: feed.publish_before(id, f"ours {number}"),
            lambda: feed.edit(id, f"ours {number}"),
            lambda: feed.move_after(beside, id),
            lambda: feed.retract(id),
        ]
        call: Deferred[Any] = chance.choice(calls)()
        return call

    async def theirs(
        self, peer: Foreign, chance: random.Random, id: str, beside: str, number: int
    ) -> None:
        """A change of theirs; like them, it looks before."""
        what = chance.randrange(5)
        if what == 0:
            await peer.append(f"theirs {number}")
            return
        found = await peer.redis.execute("HMGET", peer.keys.items, id, beside)
        if None in found:
            return
        if what == 1:
            await peer.insert(f"theirs {number}", behind=beside)
        elif what == 2:
            await peer.edit(id, f"theirs {number}")
        elif what == 3:
            await peer.move(id, behind=beside)
        else:
            await peer.take_out(id)
