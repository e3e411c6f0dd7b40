"""Snapshots of large feeds, which come in pages, while others go on changing them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tests.follow_helpers import Foreign
from tests.test_snapshots import SnapshotCase
from txthoonk import FeedDoesNotExist, reading
from txthoonk.keys import FeedKeys, encode
from txthoonk.reading import Reading


class PageTests(SnapshotCase):
    """Feeds of many pages."""

    async def test_large(self) -> None:
        """
        A feed of 3,500 items comes in four pages, a round trip each.
        """
        feed = await self.thoonk.feed(self.name)
        ids = [f"{n:05}" for n in range(3500)]
        await self.redis.execute(
            "ZADD", self.keys.ids, *[p for n, i in enumerate(ids) for p in (n, i)]
        )
        await self.redis.execute(
            "HSET", self.keys.items, *[p for id in ids for p in (id, f"x{id}")]
        )
        last = await feed.publish("last", id="last")
        sizes = []
        load = Reading._append

        def append(reading: Reading, copy: Any, page: Any) -> bool:
            sizes.append(len(page) // 2)
            return load(reading, copy, page)

        self.patch(Reading, "_append", append)
        snapshot = await feed.snapshot()
        self.assertEqual(snapshot.ids, [*ids, "last"])
        self.assertEqual(snapshot.items["03499"], "x03499")
        self.assertEqual((snapshot.revision, self.reads), (last.revision, 4))
        self.assertEqual(sizes, [1000, 1000, 1000, 501])

    async def test_large_sorted(self) -> None:
        """
        So does a sorted one, in its order.
        """
        feed = await self.thoonk.sorted_feed(self.name)
        ids = [str(n) for n in range(2500, 0, -1)]
        await self.redis.execute("RPUSH", self.keys.ids, *ids)
        await self.redis.execute(
            "HSET", self.keys.items, *[p for id in ids for p in (id, f"x{id}")]
        )
        snapshot = await feed.snapshot()
        self.assertEqual(list(snapshot.items.items()), [(id, f"x{id}") for id in ids])
        self.assertEqual(self.reads, 3)

    async def every_place(self, kind: str, change: Callable[[Any, list[str], str], Any]) -> None:
        """
        Do a change behind the first page, and behind the second, to items at and around their
        ends, and at both ends of the feed.
        """
        self.patch(reading, "PAGE", 4)
        for behind in (1, 2):
            for place in (0, 2, 3, 4, 5, 7, 8, 10, 11):
                self.name = self.feed_name()
                self.keys = FeedKeys(encode(self.name))
                self.states, self.reads = {}, 0
                feed: Any = await getattr(self.thoonk, kind)(self.name)
                ids = await self.fill(feed, 12)

                async def meanwhile(
                    number: int, feed: Any = feed, ids: Any = ids, at: Any = (behind, place)
                ) -> None:
                    if number == at[0]:
                        await change(feed, ids, ids[at[1]])
                        await self.note(feed)

                self.meanwhile = meanwhile
                message = f"item {place}, behind page {behind}"
                snapshot = await self.check(feed, message)
                self.assertEqual(snapshot.revision, max(self.states), message)

    async def test_retract(self) -> None:
        """
        An item that is taken out while pages are read is not there.
        """
        for kind in ("feed", "sorted_feed"):
            await self.every_place(kind, lambda feed, _, one: feed.retract(one))

    async def test_edit(self) -> None:
        """
        One that is edited is there once, as it is now: in a feed as the last one.
        """
        await self.every_place("feed", lambda feed, _, one: feed.publish("edited", one))
        await self.every_place("sorted_feed", lambda feed, _, one: feed.edit(one, "edited"))

    async def test_publish(self) -> None:
        """
        One that is new is there, at either end, or beside any other one.
        """
        await self.every_place("feed", lambda feed, *_: feed.publish("new"))
        for change in (
            lambda feed, _, one: feed.publish_after(one, "new"),
            lambda feed, _, one: feed.publish_before(one, "new"),
            lambda feed, *_: feed.prepend("new"),
        ):
            await self.every_place("sorted_feed", change)

    async def test_move(self) -> None:
        """
        One that is moved is there once, where it is now: from any page to any other.
        """
        for target in (0, 3, 4, 8, 11):

            def beside(feed: Any, ids: list[str], id: str, target: int = target) -> Any:
                if ids[target] == id:
                    return feed.move_last(id) if target < 6 else feed.move_first(id)
                return feed.move_after(ids[target], id)

            def before(feed: Any, ids: list[str], id: str, target: int = target) -> Any:
                return (
                    feed.move_before(ids[target], id) if ids[target] != id else feed.edit(id, "x")
                )

            await self.every_place("sorted_feed", beside)
            await self.every_place("sorted_feed", before)

    async def test_evicted(self) -> None:
        """
        What goes because the feed is full is not there.
        """
        self.patch(reading, "PAGE", 4)
        feed = await self.thoonk.feed(self.name, max_length=12)
        await self.fill(feed, 12)

        async def meanwhile(_: int) -> None:
            for _ in range(3):
                await feed.publish("new")
                await self.note(feed)

        self.meanwhile = meanwhile
        await self.check(feed)

    async def test_anything(self) -> None:
        """
        Whatever is done between pages, as often as one likes: a snapshot is of one revision.
        """
        self.patch(reading, "PAGE", 4)
        for seed in range(60):
            chance = random.Random(seed)
            kind = chance.choice(["feed", "sorted_feed"])
            self.name = self.feed_name()
            self.keys = FeedKeys(encode(self.name))
            self.states, self.reads = {}, 0
            feed: Any = await getattr(self.thoonk, kind)(self.name, history=200)
            await self.fill(feed, chance.randrange(4, 30))
            most = chance.choice([1, 2, 4])

            async def meanwhile(
                number: int, feed: Any = feed, chance: Any = chance, most: int = most
            ) -> None:
                for _ in range(chance.randrange(most + 1) if number < 40 else 0):
                    await self.do_something(feed, chance)
                    await self.note(feed)

            self.meanwhile = meanwhile
            await self.check(feed, f"seed {seed}")

    async def do_something(self, feed: Any, chance: random.Random) -> None:
        """Any change."""
        ids = await feed.get_ids()
        if not ids or chance.random() < 0.3:
            await feed.publish("new")
            return
        id, other = chance.choice(ids), chance.choice(ids)
        if chance.random() < 0.25:
            await feed.retract(id)
        elif feed.TYPE == "feed":
            await feed.publish("edited", id)
        elif chance.random() < 0.2:
            await feed.edit(id, "edited")
        elif chance.random() < 0.3:
            await chance.choice([feed.publish_before, feed.publish_after])(id, "new")
        elif id != other:
            await chance.choice([feed.move_before, feed.move_after])(other, id)
        else:
            await chance.choice([feed.move_first, feed.move_last])(id)

    async def test_other_programs(self) -> None:
        """
        What a program without revisions does between pages leaves no item twice, none out of its
        place, and none that has gone, though nothing tells what it was.
        """
        self.patch(reading, "PAGE", 4)
        connection = await self.connect()
        for place in (0, 3, 4, 7, 8, 11):
            for verb in ("retract", "edit", "take_out", "move"):
                kind = "feed" if verb in ("retract", "edit") else "sorted_feed"
                self.name = self.feed_name()
                feed: Any = await getattr(self.thoonk, kind)(self.name)
                ids = await self.fill(feed, 12)
                peer, self.reads = Foreign(connection, self.name), 0

                async def meanwhile(
                    number: int,
                    peer: Any = peer,
                    id: str = ids[place],
                    verb: str = verb,
                    other: str = ids[5],
                ) -> None:
                    if number != 1:
                        return
                    if verb == "edit":
                        await peer.publish(id, "edited")
                    elif verb == "move":
                        await peer.move(id, other)
                    else:
                        await getattr(peer, verb)(id)

                self.meanwhile = meanwhile
                snapshot = await feed.snapshot()
                self.meanwhile = None
                now = list((await feed.get_all()).items())
                self.assertEqual(list(snapshot.items.items()), now, f"{verb} {place}")

    async def test_no_history(self) -> None:
        """
        A feed that keeps no history is read in one piece when its pages do not fit together.
        """
        self.patch(reading, "PAGE", 4)
        for kind in ("feed", "sorted_feed"):
            self.name = self.feed_name()
            self.keys = FeedKeys(encode(self.name))
            self.states, self.reads = {}, 0
            feed: Any = await getattr(self.thoonk, kind)(self.name, history=0)
            await self.fill(feed, 12)

            async def meanwhile(_: int, feed: Any = feed) -> None:
                await feed.publish("new")
                await self.note(feed)

            self.meanwhile = meanwhile
            await self.check(feed)
            self.assertLess(self.reads, 20)

    async def test_deleted_meanwhile(self) -> None:
        """
        A feed that is deleted between two pages is not there; one that is created again is what
        it is then.
        """
        self.patch(reading, "PAGE", 4)
        for again in (False, True):
            self.name, self.reads = self.feed_name(), 0
            feed: Any = await self.thoonk.feed(self.name)
            await self.fill(feed, 12)

            async def meanwhile(number: int, feed: Any = feed, again: bool = again) -> None:
                if number == 2:
                    await self.thoonk.delete_feed(feed.name)
                    if again:
                        await (await self.thoonk.feed(feed.name)).publish("new", "new")

            self.meanwhile = meanwhile
            if again:
                self.assertEqual((await feed.snapshot()).items, {"new": "new"})
            else:
                await self.refused(feed.snapshot(), FeedDoesNotExist, feed.name)
