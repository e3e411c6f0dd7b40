"""Feeds that ours and the real thoonk.py write to in turn, and at the same time."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.defer import gatherResults

from tests.helpers import Heard, until
from tests.peers.process import LivePeerCase, ThoonkPy, blob
from txthoonk.events import Edited, Published, Retracted

#: Items that are hard on somebody: a NUL, nothing, what is not ASCII.
ODD = ("a\0b\0c", "\0", "", "grüße 🐦", "007", "1e5", '{"a": [1]}', "a:b c\r\n")
#: Names that are.
NAMES = ("team:353:member:9:tasks", "grüße", "a b*[c]?", "feed.publish:x")


class FeedCase(LivePeerCase):
    """A listening thoonk.py, and feeds that it knows of, before and after it came."""

    async def setUp(self) -> None:
        await super().setUp()
        self.known = self.feed_name("known")
        await self.thoonk.feed(self.known)
        await self.thoonk.sorted_feed(self.known + "-sorted")
        self.peer_ = await self.peer(listen=True)

    async def announced(self, type: str, name: str) -> Any:
        """A feed that is created now; thoonk.py listens to it when this fires."""
        feed = await getattr(self.thoonk, type)(name)
        await until(lambda: ["create", name] in self.peer_.heard)
        channel = feed.keys.publish_channel
        await until(
            lambda: self.redis.execute("PUBSUB", "NUMSUB", channel).addCallback(lambda r: r[1])
        )
        await self.hears(self.peer_)
        return feed


class HeardByThoonkPyTests(FeedCase):
    """REPORT 4.1: what thoonk.py's handlers are told of our changes."""

    async def test_feed(self) -> None:
        """
        Publish, edit, retract and eviction, in a feed that is older than the listener, and in one
        that it was told of.
        """
        for name in (self.known, self.feed_name("new")):
            if name == self.known:
                feed = self.thoonk.feed(name)
            else:
                feed = await self.announced("feed", name)
            await feed.publish("one", id="a")
            await feed.publish("two", id="a")
            await feed.retract("a")
            await feed.retract("a")
            generated = await feed.publish("three")
            await feed.set_config(max_length=1)
            await feed.publish("four", id="b")
            self.assertEqual(
                await self.hears(self.peer_),
                [
                    ["publish", name, "one", "a"],
                    ["edit", name, "two", "a"],
                    ["retract", name, "a"],
                    ["publish", name, "three", generated],
                    ["retract", name, generated],
                    ["publish", name, "four", "b"],
                ],
            )
            self.assertEqual(await self.peer_.of("feed", name, "get_ids"), ["b"])
            self.assertEqual(await self.peer_.of("feed", name, "get_item", "b"), "four")
            self.assertEqual(await self.peer_.of("feed", name, "get_all"), [["b", "four"]])

    async def test_sorted_feed(self) -> None:
        """
        The same of a sorted feed: places too, and an edit as a publish, which is all that
        thoonk.py listens to there.
        """
        for name in (self.known + "-sorted", self.feed_name("new")):
            if name.startswith(self.known):
                feed = self.thoonk.sorted_feed(name)
            else:
                feed = await self.announced("sorted_feed", name)
            await feed.append("one")
            await feed.prepend("two")
            await feed.publish_before("1", "three")
            await feed.publish_after("1", "four")
            await feed.edit("2", "TWO")
            await feed.move_first("4")
            await feed.move(":3", "1")
            await feed.retract("2")
            self.assertEqual(
                await self.hears(self.peer_),
                [
                    ["publish", name, "one", "1"],
                    ["position", name, "1", ":end"],
                    ["publish", name, "two", "2"],
                    ["position", name, "2", "begin:"],
                    ["publish", name, "three", "3"],
                    ["position", name, "3", ":1"],
                    ["publish", name, "four", "4"],
                    ["position", name, "4", "1:"],
                    ["publish", name, "TWO", "2"],
                    ["position", name, "4", "begin:"],
                    ["position", name, "1", ":3"],
                    ["retract", name, "2"],
                ],
            )
            self.assertEqual(await self.peer_.of("sorted_feed", name, "get_ids"), ["4", "1", "3"])
            items = await self.peer_.of("sorted_feed", name, "get_items")
            self.assertEqual(dict(items), {"1": "one", "3": "three", "4": "four"})

    async def test_odd_items(self) -> None:
        """
        REPORT 4.13: items with NULs, empty ones, and what is not ASCII arrive as they are.
        """
        feed = self.thoonk.feed(self.known)
        for number, item in enumerate(ODD):
            await feed.publish(item, id=f"ü{number}")
        told = [["publish", self.known, item, f"ü{number}"] for number, item in enumerate(ODD)]
        self.assertEqual(await self.hears(self.peer_), told)
        items = await self.peer_.of("feed", self.known, "get_all")
        self.assertEqual(dict(items), {f"ü{number}": item for number, item in enumerate(ODD)})

    async def test_bytes(self) -> None:
        """
        REPORT 4.13: bytes that are no UTF-8 arrive as they are, where thoonk.py's Python has
        bytes.
        """
        name = self.feed_name("bytes")
        feed = await self.thoonk.feed(name, serializer="bytes")
        if self.kind != "original":
            self.skipTest("thoonk.py converted to Python 3 has text only")
        listener = await self.peer(listen=True)
        await feed.publish(b"\xff\0\xfe", id="a")
        self.assertEqual(await self.hears(listener), [["publish", name, blob(b"\xff\0\xfe"), "a"]])
        await listener.of("feed", name, "publish", blob(b"\x80"), "b")
        self.assertEqual(await feed.get_all(), {"a": b"\xff\0\xfe", "b": b"\x80"})

    async def test_odd_names(self) -> None:
        """
        REPORT 4.13: names with colons, glob characters and what is not ASCII.
        """
        for name in NAMES:
            feed = await self.announced("feed", name)
            await feed.publish("x", id="a")
            self.assertEqual(await self.hears(self.peer_), [["publish", name, "x", "a"]])
            await self.peer_.of("feed", name, "publish", "y", "b")
            self.assertEqual(await feed.get_all(), {"a": "x", "b": "y"})
            self.assertIs(await self.thoonk.delete_feed(name), True)
            self.assertEqual((await self.hears(self.peer_))[-1], ["delete", name])


class HeardByOursTests(FeedCase):
    """REPORT 4.1: what our handlers are told of thoonk.py's changes."""

    async def test_feed(self) -> None:
        """
        By ``subscribe``, by ``register_handler`` and by ``follow``.
        """
        name = self.known
        events, older, followed = Heard(), Heard(), Heard()
        await self.thoonk.subscribe(name, publish=events, edit=events, retract=events)
        for kind in ("publish", "edit", "retract"):
            await self.thoonk.register_handler(kind, older)
        live = await self.thoonk.follow(name, followed)
        peer = self.peer_
        await peer.of("feed", name, "publish", "one", "a")
        await peer.of("feed", name, "publish", "two", "a")
        await peer.of("feed", name, "retract", "a")
        await peer.of("feed", name, "retract", "a")
        generated = await peer.of("feed", name, "publish", "three")
        await events.when(4)
        self.assertEqual(
            events,
            [
                Published(name, "a", "one"),
                Edited(name, "a", "two"),
                Retracted(name, "a"),
                Published(name, generated, "three"),
            ],
        )
        await older.when(4)
        self.assertEqual(
            older,
            [(name, "one", "a"), (name, "two", "a"), (name, "a"), (name, "three", generated)],
        )
        # Changes that quickly undo each other may be adopted as one, or none.
        await until(lambda: dict(live.items) == {generated: "three"})
        self.assertEqual(followed[-1].id, generated)

    async def test_sorted_feed(self) -> None:
        """
        The same of a sorted feed: whoever follows has thoonk.py's items in thoonk.py's order.
        """
        name = self.known + "-sorted"
        told = Heard()
        live = await self.thoonk.follow(name, told)
        peer = self.peer_
        ids = [await peer.of("sorted_feed", name, "append", f"{n}") for n in range(4)]
        self.assertEqual(ids, [1, 2, 3, 4])
        await peer.of("sorted_feed", name, "move", "begin:", "4")
        await peer.of("sorted_feed", name, "edit", "1", "ONE")
        await peer.of("sorted_feed", name, "publish_before", "1", "before")
        await peer.of("sorted_feed", name, "retract", "2")
        wanted = {"4": "3", "5": "before", "1": "ONE", "3": "2"}
        await until(lambda: list(live.items.items()) == list(wanted.items()))
        self.assertEqual(await self.thoonk.sorted_feed(name).get_all(), wanted)

    async def test_odd_items(self) -> None:
        """
        REPORT 4.13: items with NULs, empty ones, and what is not ASCII arrive as they are.
        """
        events = Heard()
        await self.thoonk.subscribe(self.known, publish=events)
        for number, item in enumerate(ODD):
            await self.peer_.of("feed", self.known, "publish", item, f"ü{number}")
        await events.when(len(ODD))
        self.assertEqual([event.item for event in events], list(ODD))
        feed = self.thoonk.feed(self.known)
        self.assertEqual(
            await feed.get_all(), {f"ü{number}": item for number, item in enumerate(ODD)}
        )


class BoundedTests(LivePeerCase):
    """REPORT 4.3 and 4.10: a bounded feed that both fill."""

    async def turns(self, **options: Any) -> tuple[Any, ThoonkPy, list[str]]:
        """Ours and thoonk.py publish in turn; their clocks must differ by a step of the latter."""
        name = self.feed_name()
        feed = await self.thoonk.feed(name, max_length=3, **options)
        peer = await self.peer()
        retracted = Heard()
        await self.thoonk.subscribe(name, retract=lambda event: retracted(event.id))
        for number in range(10):
            before = await self.now()
            if number % 2:
                await peer.of("feed", name, "publish", "x", f"{number}")
            else:
                await feed.publish("x", id=f"{number}")
            items = await feed.get_all()
            self.assertEqual(len(items), min(number + 1, 3))
            self.assertIn(f"{number}", items)
            self.assertEqual(await peer.of("feed", name, "get_ids"), list(items))
            await self.passed(before + 20)
        await retracted.when(7)
        return feed, peer, retracted

    async def passed(self, time: int) -> None:
        """That time is over, by Redis's clock."""
        await until(lambda: self.now().addCallback(lambda now: now > time))

    def now(self) -> Any:
        """Milliseconds of Redis's clock."""
        return self.redis.execute("TIME").addCallback(
            lambda reply: int(reply[0]) * 1000 + int(reply[1]) // 1000
        )

    async def test_seconds(self) -> None:
        """
        With ``clock="s"`` the oldest goes, whoever published it, and each retract is told once.
        """
        feed, _, retracted = await self.turns(clock="s")
        self.assertEqual(await feed.get_ids(), ["7", "8", "9"])
        # thoonk.py tells of them behind its transaction: one of ours may come in between.
        self.assertEqual(sorted(retracted), [f"{number}" for number in range(7)])

    async def test_milliseconds(self) -> None:
        """
        Without, thoonk.py's items, whose scores are seconds, count as the oldest, and go first;
        all else is as it should be. What was just published is never the one that goes.
        """
        feed, peer, retracted = await self.turns()
        self.assertEqual(sorted([*retracted, *await feed.get_ids()]), [f"{n}" for n in range(10)])
        # An edit by thoonk.py in a full feed takes one too many; ours takes none.
        ids = await feed.get_ids()
        await feed.publish("edited", id=ids[0])
        self.assertEqual(len(await feed.get_ids()), 3)
        ids = await feed.get_ids()
        await peer.of("feed", feed.name, "publish", "edited", ids[-1])
        self.assertEqual(len(await feed.get_all()), 2)
        self.assertEqual(list(await feed.get_all()), await feed.get_ids())

    async def test_contention(self) -> None:
        """
        Two of thoonk.py and two of ours publish and edit as fast as they can: no more items than
        the limit, as many as ids, and each publish was counted.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name, max_length=20)
        others = [await (await self.start_thoonk()).feed(name), feed]
        peers = [await self.peer(), await self.peer()]
        told = Heard()
        for each in ("publish", "edit", "retract"):
            await self.thoonk.subscribe(name, **{each: told})
        theirs = [peer.do("contend", name, f"p{number}-", 150) for number, peer in enumerate(peers)]
        ours = 0
        rng = random.Random(name)
        while not all(each.called for each in theirs):
            await gatherResults(
                [
                    each.publish("item", id=f"o{number}-{rng.randrange(500)}")
                    for number, each in enumerate(others)
                ]
            )
            ours += len(others)
        await gatherResults(theirs)
        ids, items = await feed.get_ids(), await self.redis.execute("HKEYS", feed.keys.items)
        self.assertEqual(sorted(ids), sorted(id.decode() for id in items))
        self.assertLessEqual(len(ids), 20)
        publishes = int(await self.redis.execute("GET", feed.keys.publishes))
        self.assertEqual(publishes, ours + 300)
        await self.settle()
        there = {event.id for event in told if not isinstance(event, Retracted)}
        gone = {event.id for event in told if isinstance(event, Retracted)}
        self.assertEqual(there - gone - set(ids), set())
        self.assertGreater(ours, 50)
