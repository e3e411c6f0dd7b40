"""Changes on condition: only if nobody has changed the item, or the feed, meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.follow_helpers import Foreign, RevisionCase
from txthoonk import Conflict, FeedDoesNotExist, ItemDoesNotExist, ItemError


class ConditionCase(RevisionCase):
    """Changes on condition."""

    async def refuses(
        self, call: Callable[[], Deferred[Any]], revision: int, item: Any, last: int
    ) -> Conflict:
        """Check that a call fails, and leaves everything as it was, unheard."""
        before = await self.dump()
        news = await self.watch(self.name)
        conflict = await self.refused(call(), Conflict, self.name)
        self.assertEqual(await news(), [])
        self.assertEqual(await self.dump(), before)
        found = (conflict.revision, conflict.item, conflict.feed_revision)
        self.assertEqual(found, (revision, item, last))
        return conflict

    async def dump(self) -> dict[str, bytes]:
        """All keys of the feed, as Redis would copy them."""
        return {key: await self.redis.execute("DUMP", key) for key in await self.keys_of(self.name)}


class FeedConditionTests(ConditionCase):
    """Feeds."""

    async def setUp(self) -> None:
        await super().setUp()
        self.feed = await self.thoonk.feed(self.name)
        await self.feed.publish("a", id="1")
        await self.feed.publish("b", id="2")
        await self.feed.publish("c", id="3")

    async def test_item(self) -> None:
        """
        With the item's last revision it is changed, and with no older one.
        """
        feed = self.feed
        self.assertEqual((await feed.publish("x", id="1", if_revision=1)).revision, 4)
        await self.refuses(lambda: feed.publish("y", id="1", if_revision=1), 4, "x", 4)
        await self.refuses(lambda: feed.publish("y", id="2", if_revision=1), 2, "b", 4)
        await self.refuses(lambda: feed.retract("1", if_revision=1), 4, "x", 4)
        await self.refuses(lambda: feed.retract("1", if_revision=9), 4, "x", 4)
        self.assertIs(await feed.retract("2", if_revision=2), True)
        self.assertEqual(await feed.get_all(), {"3": "c", "1": "x"})

    async def test_feed(self) -> None:
        """
        With the feed's last revision anything may be changed.
        """
        feed = self.feed
        self.assertEqual((await feed.publish("x", id="1", if_revision=3)).revision, 4)
        self.assertEqual((await feed.publish("y", id="new", if_revision=4)).revision, 5)
        self.assertEqual((await feed.publish("y", if_revision=5)).revision, 6)
        self.assertIs(await feed.retract("2", if_revision=6), True)
        conflict = await self.refuses(lambda: feed.publish("z", if_revision=6), 7, None, 7)
        self.assertIn("7", str(conflict))

    async def test_new_item(self) -> None:
        """
        With 0 an item is published only if there is none.
        """
        feed = self.feed
        await self.refuses(lambda: feed.publish("x", id="1", if_revision=0), 1, "a", 3)
        self.assertEqual((await feed.publish("x", id="4", if_revision=0)).revision, 4)
        await self.refuses(lambda: feed.publish("x", id="4", if_revision=0), 4, "x", 4)
        await feed.retract("4")
        self.assertEqual((await feed.publish("x", id="4", if_revision=0)).revision, 6)

    async def test_gone(self) -> None:
        """
        An item that has gone has no revision: who knew it is told that it is not there.
        """
        feed = self.feed
        await feed.retract("1")
        await self.refuses(lambda: feed.publish("x", id="1", if_revision=1), 4, None, 4)
        await self.refuses(lambda: feed.retract("1", if_revision=1), 4, None, 4)
        self.assertIs(await feed.retract("1", if_revision=0), False)
        self.assertIs(await feed.retract("1", if_revision=4), False)
        self.assertEqual((await self.head())[1], 4)

    async def test_evicted(self) -> None:
        """
        So it is with an item that went because the feed is full.
        """
        await self.feed.set_config(max_length=3)
        await self.feed.publish("d", id="4")
        await self.refuses(lambda: self.feed.publish("x", id="1", if_revision=1), 5, None, 5)
        self.assertEqual(await self.of_items(), {"2": 2, "3": 3, "4": 5})

    async def test_of_a_foreign_item(self) -> None:
        """
        An item of a program without revisions is there: 0 is not its revision, and who asks is
        told what it is.
        """
        peer = Foreign(await self.connect(), self.name)
        await peer.publish("4", "theirs")
        conflict = await self.refused(
            self.feed.publish("mine", id="4", if_revision=0), Conflict, self.name
        )
        self.assertEqual((conflict.item, conflict.feed_revision), ("theirs", 3))
        self.assertEqual(await self.feed.get_item("4"), "theirs")
        conflict = await self.refused(self.feed.retract("4", 0), Conflict, self.name)
        self.assertEqual(await self.feed.get_item("4"), "theirs")
        self.assertEqual((await self.feed.publish("mine", "4", if_revision=3)).revision, 4)

    async def test_revisions_are_lost(self) -> None:
        """
        Where nobody knows any more what revision an item has, it is there all the same.
        """
        await self.redis.execute("DEL", self.keys.revisions)
        call = self.feed.publish("mine", id="1", if_revision=0)
        conflict = await self.refused(call, Conflict, self.name)
        self.assertEqual(conflict.item, "a")
        await self.redis.execute("SET", self.keys.revisions, "something")
        call = self.feed.publish("mine", id="1", if_revision=0)
        await self.refused(call, Conflict, self.name)
        self.assertEqual(await self.feed.get_item("1"), "a")

    async def test_first_of_all(self) -> None:
        """
        0 is also the revision of a feed that nobody has changed yet.
        """
        feed = await self.thoonk.feed(self.feed_name())
        self.assertEqual((await feed.publish("x", if_revision=0)).revision, 1)
        await self.refused(feed.publish("x", "a", if_revision=3), Conflict, feed.name, "a")

    async def test_only_one(self) -> None:
        """
        Of many who change the same item at the same time, each from what it read, one does.
        """
        calls = [self.feed.publish(f"{n}", id="1", if_revision=1) for n in range(20)]
        others = await self.start_thoonk()
        feed = others.feed(self.name)
        calls += [feed.publish(f"{n}", id="1", if_revision=1) for n in range(20, 40)]
        lost: list[Conflict] = []
        for call in calls:
            call.addErrback(lambda failure: lost.append(failure.value))
        done = [id for id in await gatherResults(calls) if id is not None]
        self.assertEqual([id.revision for id in done], [4])
        self.assertEqual({type(error) for error in lost}, {Conflict})
        self.assertEqual({error.revision for error in lost}, {4})
        item = await self.feed.get_item("1")
        self.assertEqual({error.item for error in lost}, {item})

    async def test_read_and_write(self) -> None:
        """
        Who reads, changes and writes again until there is no conflict loses nothing.
        """
        await self.feed.publish("0", id="count")

        async def add(feed: Any) -> None:
            for _ in range(10):
                while True:
                    snapshot = await feed.snapshot()
                    item = str(int(snapshot.items["count"]) + 1)
                    try:
                        await feed.publish(item, "count", if_revision=snapshot.revision)
                    except Conflict:
                        continue
                    break

        feeds = [self.feed, (await self.start_thoonk()).feed(self.name)]
        await gatherResults([Deferred.fromCoroutine(add(feed)) for feed in feeds])
        self.assertEqual(await self.feed.get_item("count"), "20")

    async def test_serializer(self) -> None:
        """
        The item of a conflict is as the feed's serializer makes it; what it cannot make is an
        error in its place.
        """
        feed = self.thoonk.feed(self.name, serializer="json")
        await feed.publish({"a": 1}, id="1")
        await self.refuses(lambda: feed.publish(1, "1", if_revision=1), 4, {"a": 1}, 4)
        call = feed.publish(1, "2", if_revision=1)
        conflict = await self.refused(call, Conflict, self.name, "2")
        self.assertIsInstance(conflict.item, ItemError)

    async def test_no_such_feed(self) -> None:
        """
        A feed that was deleted is not there, rather than changed.
        """
        await self.thoonk.delete_feed(self.name)
        await self.refused(self.feed.publish("x", "1", if_revision=1), FeedDoesNotExist, self.name)
        await self.refused(self.feed.retract("1", if_revision=1), FeedDoesNotExist, self.name)

    async def test_wrong_values(self) -> None:
        """
        What is no revision is refused before anything is asked.
        """
        wrong: list[Any] = [-1, "1", b"1", 1.0, True, False, "", [1]]
        for each in wrong:
            with self.assertRaises((TypeError, ValueError)):
                await self.feed.publish("x", "1", if_revision=each)
            with self.assertRaises((TypeError, ValueError)):
                await self.feed.retract("1", if_revision=each)
        self.assertEqual((await self.head())[1], 3)
        await self.refused(self.feed.retract("1", if_revision=10**30), Conflict, self.name)


class SortedConditionTests(ConditionCase):
    """Sorted feeds: every verb."""

    async def setUp(self) -> None:
        await super().setUp()
        self.feed = await self.thoonk.sorted_feed(self.name)
        await self.feed.append("a")
        await self.feed.append("b")
        await self.feed.append("c")

    def verbs(self) -> dict[str, Callable[[int], Deferred[Any]]]:
        """Each about item 1, if it is about one."""
        feed = self.feed
        return {
            "append": lambda last: feed.append("x", if_revision=last),
            "publish": lambda last: feed.publish("x", if_revision=last),
            "prepend": lambda last: feed.prepend("x", if_revision=last),
            "publish_before": lambda last: feed.publish_before("1", "x", if_revision=last),
            "publish_after": lambda last: feed.publish_after("1", "x", if_revision=last),
            "edit": lambda last: feed.edit("1", "a", if_revision=last),
            "move": lambda last: feed.move("2:", "1", if_revision=last),
            "move_before": lambda last: feed.move_before("2", "1", if_revision=last),
            "move_after": lambda last: feed.move_after("2", "1", if_revision=last),
            "move_first": lambda last: feed.move_first("1", if_revision=last),
            "move_last": lambda last: feed.move_last("1", if_revision=last),
            "retract": lambda last: feed.retract("1", if_revision=last),
        }

    async def test_feed(self) -> None:
        """
        With the feed's last revision every verb does what it does.
        """
        for last, (verb, call) in enumerate(self.verbs().items(), start=3):
            await call(last)
            self.assertEqual((await self.head())[1], last + 1, verb)

    async def test_item(self) -> None:
        """
        With the item's last revision those do that are about one.
        """
        last = 3
        for verb, call in self.verbs().items():
            of_item = (await self.of_items())["1"]
            await self.feed.edit("2", "b")
            last += 1
            if verb in ("append", "publish", "prepend"):
                await self.refuses(lambda call=call, at=of_item: call(at), last, None, last)
            else:
                await call(of_item)
                last += 1
                self.assertEqual((await self.head())[1], last, verb)
        self.assertNotIn("1", await self.of_items())

    async def test_conflict(self) -> None:
        """
        With any other every verb is refused, no id is used up, and who asks is told what there is.
        """
        for verb, call in self.verbs().items():
            about_all = verb in ("append", "publish", "prepend")
            for wrong in (0, 2, 9):
                expected = (3, None, 3) if about_all else (1, "a", 3)
                await self.refuses(lambda call=call, at=wrong: call(at), *expected)
        self.assertEqual((await self.feed.append("x")), "4")

    async def test_missing_item(self) -> None:
        """
        An item that is not there is not there, whatever revision is given.
        """
        for given in (0, 3, 9):
            for call in (
                lambda given=given: self.feed.edit("9", "x", if_revision=given),
                lambda given=given: self.feed.move("begin:", "9", if_revision=given),
                lambda given=given: self.feed.move_after("9", "1", if_revision=given),
                lambda given=given: self.feed.publish_after("9", "x", if_revision=given),
            ):
                await self.refused(call(), ItemDoesNotExist, self.name)
        self.assertIs(await self.feed.retract("9", if_revision=0), False)
        await self.refuses(lambda: self.feed.retract("9", if_revision=9), 3, None, 3)

    async def test_wrong_values(self) -> None:
        """
        What is no revision is refused before anything is asked.
        """
        wrong: list[Any] = [-1, "1", 1.0, True, ""]
        for each in wrong:
            for call in self.verbs().values():
                with self.assertRaises((TypeError, ValueError)):
                    await call(each)
        self.assertEqual((await self.head())[1], 3)
