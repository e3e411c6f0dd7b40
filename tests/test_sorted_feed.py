"""Sorted feeds: items in an order that their users choose."""

from __future__ import annotations

from twisted.internet.defer import gatherResults

from tests.helpers import ThoonkTestCase
from txthoonk import FeedDoesNotExist, ItemDoesNotExist, ItemError
from txthoonk.errors import WrongKeyType
from txthoonk.types.base import ItemId


class SortedFeedCase(ThoonkTestCase):
    """A sorted feed, ``self.feed``, and what is published about it, ``self.news()``."""

    async def setUp(self) -> None:
        await super().setUp()
        self.name = self.feed_name()
        self.feed = await self.thoonk.sorted_feed(self.name)
        self.news = await self.watch(self.name)

    async def fill(self, *items: str) -> list[ItemId]:
        """Append items; what was told of them is not news any more."""
        ids = [await self.feed.append(item) for item in items]
        await self.news()
        return ids

    async def unchanged(self, *ids: str) -> None:
        """Nothing was told, and the ids are these."""
        self.assertEqual(await self.news(), [])
        self.assertEqual(await self.feed.get_ids(), list(ids))


class PublishTests(SortedFeedCase):
    """Publishing and reading."""

    async def test_append(self) -> None:
        """
        Items are numbered; each is told with its place.
        """
        first = await self.feed.append("one")
        second = await self.feed.publish("two")
        third = await self.feed.prepend("zero")
        self.assertEqual((first, second, third), ("1", "2", "3"))
        self.assertIsInstance(first, ItemId)
        self.assertEqual([id.revision for id in (first, second, third)], [1, 2, 3])
        self.assertEqual(await self.feed.get_ids(), ["3", "1", "2"])
        everything = await self.feed.get_all()
        self.assertEqual(list(everything.items()), [("3", "zero"), ("1", "one"), ("2", "two")])
        self.assertEqual(await self.feed.length(), 3)
        self.assertEqual(await self.feed.get_item("2"), "two")
        self.assertEqual(await self.feed.get_item(2), "two")
        self.assertIsNone(await self.feed.get_item(9))
        self.assertIs(await self.feed.has_id(1), True)
        self.assertIs(await self.feed.has_id(9), False)
        self.assertEqual(
            await self.news(),
            [
                ("feed.publish", b"1\0one"),
                ("feed.position", b"1\0:end"),
                ("feed.publish", b"2\0two"),
                ("feed.position", b"2\0:end"),
                ("feed.publish", b"3\0zero"),
                ("feed.position", b"3\0begin:"),
            ],
        )

    async def test_beside(self) -> None:
        """
        An item can be published before or after another one.
        """
        await self.fill("one", "two")
        third = await self.feed.publish_before("2", "x")
        fourth = await self.feed.publish_after(1, "y")
        self.assertEqual((third, fourth), ("3", "4"))
        self.assertEqual((third.revision, fourth.revision), (3, 4))
        self.assertEqual(await self.feed.get_ids(), ["1", "4", "3", "2"])
        self.assertEqual(
            await self.news(),
            [
                ("feed.publish", b"3\0x"),
                ("feed.position", b"3\0:2"),
                ("feed.publish", b"4\0y"),
                ("feed.position", b"4\x001:"),
            ],
        )

    async def test_beside_nothing(self) -> None:
        """
        Beside what is not there nothing is published, and no number is used up.
        """
        await self.fill("one")
        await self.refused(self.feed.publish_before("9", "x"), ItemDoesNotExist, self.name, "9")
        await self.refused(self.feed.publish_after(9, "x"), ItemDoesNotExist, self.name, "9")
        await self.unchanged("1")
        self.assertEqual(await self.feed.append("two"), "2")

    async def test_number_of_a_peer(self) -> None:
        """
        A number that a peer took without asking is passed over, not written over.
        """
        for id in ("1", "2", "4"):
            await self.redis.execute("RPUSH", self.feed.keys.ids, id)
            await self.redis.execute("HSET", self.feed.keys.items, id, "theirs")
        self.assertEqual(await self.feed.append("x"), "3")
        self.assertEqual(await self.feed.publish_after("3", "y"), "5")
        self.assertEqual(await self.feed.get_ids(), ["1", "2", "4", "3", "5"])

    async def test_published_at_once(self) -> None:
        """
        A thousand items appended without waiting for each other keep their order.
        """
        ids = await gatherResults([self.feed.append(f"item {i}") for i in range(1000)])
        self.assertEqual(ids, [f"{i + 1}" for i in range(1000)])
        self.assertEqual(await self.feed.get_ids(), ids)

    async def test_large_feed(self) -> None:
        """
        All items of a feed of more than 10,000 are read, in order.
        """
        ids = [f"{i}" for i in range(12_000)]
        await self.redis.execute("RPUSH", self.feed.keys.ids, *ids)
        hset = [part for id in ids for part in (id, f"item {id}")]
        await self.redis.execute("HSET", self.feed.keys.items, *hset)
        everything = await self.feed.get_all()
        self.assertEqual(list(everything), ids)
        self.assertEqual(everything["11999"], "item 11999")


class ChangeTests(SortedFeedCase):
    """Edits, moves, retractions."""

    async def test_edit(self) -> None:
        """
        An edit replaces the item where it is; it travels as a publish without a place.
        """
        await self.fill("one", "two")
        edited = await self.feed.edit("1", "changed")
        self.assertEqual((edited, edited.revision), ("1", 3))
        self.assertEqual(await self.feed.get_all(), {"1": "changed", "2": "two"})
        self.assertEqual(await self.feed.get_ids(), ["1", "2"])
        self.assertEqual(await self.news(), [("feed.publish", b"1\0changed")])

    async def test_edit_nothing(self) -> None:
        """
        What is not there cannot be edited; it does not become an item.
        """
        await self.fill("one")
        await self.refused(self.feed.edit(9, "x"), ItemDoesNotExist, self.name, "9")
        await self.unchanged("1")
        self.assertEqual(await self.redis.execute("GET", self.feed.keys.publishes), b"1")

    async def test_move(self) -> None:
        """
        Each way to say a place moves the item there, and is told in the contract's words.
        """
        await self.fill("one", "two", "three", "four")
        for position, ids, told in (
            (":2", "1423", ":2"),
            ("1:", "1423", "1:"),
            ("3:", "1234", "3:"),
            ("begin:", "4123", "begin:"),
            (":end", "1234", ":end"),
            (":begin", "4123", "begin:"),
            ("end:", "1234", ":end"),
        ):
            self.assertIsNone(await self.feed.move(position, 4))
            self.assertEqual("".join(await self.feed.get_ids()), ids, position)
            self.assertEqual(await self.news(), [("feed.position", f"4\0{told}".encode())])

    async def test_move_verbs(self) -> None:
        """
        There is a verb for each kind of place.
        """
        await self.fill("one", "two", "three")
        for verb, args, ids in (
            (self.feed.move_before, ("1", "3"), "312"),
            (self.feed.move_after, (2, 3), "123"),
            (self.feed.move_first, ("2",), "213"),
            (self.feed.move_last, (2,), "132"),
        ):
            self.assertIsNone(await verb(*args))
            self.assertEqual("".join(await self.feed.get_ids()), ids)

    async def test_move_nothing(self) -> None:
        """
        Neither what is not there can be moved, nor anything beside it.
        """
        await self.fill("one", "two")
        for call, id, missing in (
            (self.feed.move_first("9"), "9", ""),
            (self.feed.move_last("9"), "9", ""),
            (self.feed.move_before("1", "9"), "9", ""),
            (self.feed.move_before("9", "1"), "1", "beside 9"),
            (self.feed.move_after("9", "1"), "1", "beside 9"),
            (self.feed.move(":9", "1"), "1", "beside 9"),
        ):
            error = await self.refused(call, ItemDoesNotExist, self.name, id)
            self.assertEqual(error.detail, missing)
        await self.unchanged("1", "2")

    async def test_bad_place(self) -> None:
        """
        What is no place, or is beside the item itself, is refused at once.
        """
        await self.fill("one", "two")
        for position in ("2", "", ":", "end", None, 2, b":2"):
            self.assertRaises(ValueError, self.feed.move, position, "1")
        for verb, args in (
            (self.feed.move, (":1", "1")),
            (self.feed.move, ("1:", 1)),
            (self.feed.move_before, (1, "1")),
            (self.feed.move_after, ("1", "1")),
        ):
            error = self.assertRaises(ValueError, verb, *args)
            self.assertIn(self.name, str(error))
        await self.unchanged("1", "2")

    async def test_retract(self) -> None:
        """
        A retracted item is gone, its number is not given again.
        """
        await self.fill("one", "two", "three")
        self.assertIs(await self.feed.retract(2), True)
        self.assertIs(await self.feed.retract("2"), False)
        self.assertEqual(list((await self.feed.get_all()).items()), [("1", "one"), ("3", "three")])
        self.assertEqual(await self.news(), [("feed.retract", b"2")])
        self.assertEqual(await self.feed.append("four"), "4")

    async def test_item_out_of_order(self) -> None:
        """
        An item that a peer's move took out of the order can be retracted, and not be moved.
        """
        await self.fill("one", "two")
        await self.redis.execute("LREM", self.feed.keys.ids, 1, "2")
        self.assertEqual(await self.feed.get_all(), {"1": "one"})
        await self.refused(self.feed.move_first("2"), ItemDoesNotExist, self.name, "2")
        await self.refused(self.feed.publish_after("2", "x"), ItemDoesNotExist, self.name, "2")
        self.assertIs(await self.feed.retract("2"), True)
        self.assertIs(await self.feed.has_id("2"), False)


class RefusedTests(SortedFeedCase):
    """What cannot be done changes nothing."""

    async def test_deleted(self) -> None:
        """
        A handle on a sorted feed that was deleted does not bring it back.
        """
        await self.fill("one", "two")
        await self.feed.delete()
        await self.news()
        for call in (
            self.feed.append("x"),
            self.feed.prepend("x"),
            self.feed.publish_after("1", "x"),
            self.feed.edit("1", "x"),
            self.feed.move_last("1"),
            self.feed.retract("1"),
        ):
            await self.refused(call, FeedDoesNotExist, self.name)
        self.assertEqual(await self.keys_of(self.name), {})
        await self.unchanged()

    async def test_no_bound(self) -> None:
        """
        There is no upper bound, for which item should go? So there is no such option.
        """
        self.assertRaises(ValueError, self.thoonk.sorted_feed, "name", max_length=5)
        self.assertRaises(ValueError, self.thoonk.sorted_feed, "name", config={"max_length": 5})
        self.assertRaises(ValueError, self.feed.set_config, max_length=5)
        self.assertRaises(ValueError, self.feed.set_config, clock="s")

    async def test_foreign_key(self) -> None:
        """
        A key of the feed that holds something else fails its verbs, naming the feed.
        """
        await self.fill("one")
        await self.redis.execute("SET", self.feed.keys.idincr, "no number")
        await self.refused(self.feed.append("x"), WrongKeyType, self.name)
        await self.redis.execute("DEL", self.feed.keys.ids)
        await self.redis.execute("SADD", self.feed.keys.ids, "1")
        await self.refused(self.feed.edit("1", "x"), WrongKeyType, self.name)
        self.assertEqual(await self.feed.get_item("1"), "one")
        self.assertEqual(await self.news(), [])

    async def test_undecodable(self) -> None:
        """
        An item that is none of the feed's kind fails alone, named; the others are read.
        """
        feed = self.thoonk.sorted_feed(self.name, serializer="json")
        good, bad = await feed.append(["x"]), await self.feed.append("{no json")
        await self.refused(feed.get_item(bad), ItemError, self.name, bad)
        everything = await feed.get_all()
        self.assertEqual(everything[good], ["x"])
        self.assertIsInstance(everything[bad], ItemError)
        self.assertEqual(await feed.edit(bad, None), bad)
        self.assertIsNone(await feed.get_item(bad))
