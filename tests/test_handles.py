"""Handles on feeds: free to make, and sure of their feed before their first verb."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, DeferredList, gatherResults

from tests.helpers import NamedTestCase
from txthoonk import Thoonk, WrongFeedType
from txthoonk.keys import FeedKeys

KINDS = ("feed", "sorted_feed", "queue", "job")


class HandleCase(NamedTestCase):
    """Handles on a feed that is not there yet."""

    def handle(self, kind: str, **options: Any) -> Any:
        return getattr(self.thoonk, kind)(self.name, **options)


class FirstVerbTests(HandleCase):
    """What happens before a handle's first verb."""

    async def test_no_round_trip(self) -> None:
        """
        A handle can be made before there is a connection; the feed is not created by that.
        """
        thoonk = Thoonk("redis://nowhere.invalid")
        for kind in KINDS:
            getattr(thoonk, kind)(self.name, title="x")
            self.handle(kind, title="x")
        thoonk.list(self.name)
        self.assertIs(await self.thoonk.feed_exists(self.name), False)
        self.assertEqual(await self.news(), [])

    async def test_created(self) -> None:
        """
        The first verb creates the feed with the handle's options, whichever it is.
        """
        verbs: tuple[tuple[str, Any], ...] = (
            ("feed", lambda feed: feed.publish("x")),
            ("feed", lambda feed: feed.get_ids()),
            ("sorted_feed", lambda feed: feed.append("x")),
            ("sorted_feed", lambda feed: feed.length()),
            ("queue", lambda queue: queue.put("x")),
            ("queue", lambda queue: queue.get_ids()),
            ("job", lambda job: job.put_many(["x", "y"])),
            ("job", lambda job: job.stats()),
            ("job", lambda job: job.get_config()),
        )
        for kind, verb in verbs:
            await verb(self.handle(kind, title="T"))
            config = await self.thoonk.get_config(self.name)
            self.assertEqual(config, {"type": kind, "title": "T"})
            told = [("newfeed", self.about), ("conffeed", self.about)]
            self.assertEqual((await self.news())[:2], told)
            await self.thoonk.delete_feed(self.name)
            await self.news()

    async def test_created_once(self) -> None:
        """
        A hundred first verbs at once make one feed, in the order of the calls.
        """
        feed = self.handle("feed", title="x")
        ids = await gatherResults([feed.publish(f"{i}") for i in range(100)])
        self.assertEqual(await feed.get_ids(), ids)
        channels = [channel for channel, _ in await self.news()]
        self.assertEqual(channels, ["newfeed", "conffeed", *["feed.publish"] * 100])

    async def test_await(self) -> None:
        """
        Awaiting a handle makes sure of its feed and gives the handle, as often as one likes.
        """
        handle = self.handle("sorted_feed")
        self.assertIs(await handle, handle)
        self.assertIs(await handle, handle)
        self.assertEqual(await self.news(), [("newfeed", self.about), ("conffeed", self.about)])

    async def test_cancelled(self) -> None:
        """
        A first verb that is cancelled is not done; another one is.
        """
        feed = self.handle("feed")
        cancelled, other = feed.publish("x", id="a"), feed.publish("y", id="b")
        cancelled.cancel()
        await self.assertFailure(cancelled, CancelledError)
        self.assertEqual(await other, "b")
        self.assertEqual(await feed.get_ids(), ["b"])


class ExistingTests(HandleCase):
    """Handles on feeds that are there."""

    async def test_options(self) -> None:
        """
        The options of a handle are set on the feed that is there, the others stay; peers are told.
        """
        await self.handle("feed", max_length=5, title="old")
        await self.news()
        await self.handle("feed", max_length=7).publish("x", id="a")
        self.assertEqual(
            await self.thoonk.get_config(self.name),
            {"type": "feed", "max_length": "7", "title": "old"},
        )
        self.assertEqual(await self.news(), [("conffeed", self.about), ("feed.publish", b"a\0x")])

    async def test_no_limit(self) -> None:
        """
        A handle without limit takes the limit away where it says so, and only there.
        """
        await self.handle("feed", max_length=5)
        await self.handle("feed")
        self.assertIn("max_length", await self.thoonk.get_config(self.name))
        for limit in (None, 0):
            await self.handle("feed", max_length=5)
            await self.handle("feed", max_length=limit)
            self.assertEqual(await self.thoonk.get_config(self.name), {"type": "feed"})

    async def test_options_of_a_peer(self) -> None:
        """
        Options may come as a mapping, as thoonk.py has it, with things in it that are none.
        """
        config = {"max_length": "5", "type": "feed", "colour": "blue", "serializer": "json"}
        feed = self.handle("feed", config=config, title="x")
        self.assertEqual(
            await feed.get_config(),
            {"type": "feed", "max_length": "5", "colour": "blue", "title": "x"},
        )
        await feed.publish([1], id="a")
        self.assertEqual(await feed.get_item("a"), [1])

    async def test_wrong_type(self) -> None:
        """
        No verb of a handle touches a feed of another type; each fails and names both types.
        """
        for kind in KINDS:
            await self.thoonk.create_feed(self.name, type=kind)
            await self.news()
            for other in KINDS:
                if other == kind:
                    continue
                handle = self.handle(other, title="x")
                put = handle.put if other in ("queue", "job") else handle.publish
                for call in (handle.ensure(), put("x"), handle.length(), handle.get_config()):
                    error = await self.refused(call, WrongFeedType, self.name)
                    self.assertEqual(error.detail, f"it is a {kind}, not a {other}")
            self.assertEqual(await self.thoonk.get_config(self.name), {"type": kind})
            self.assertEqual(await self.news(), [])
            await self.thoonk.delete_feed(self.name)

    async def test_wrong_type_at_once(self) -> None:
        """
        All verbs that wait for the same answer fail; the handle works once the other feed is gone.
        """
        await self.thoonk.create_feed(self.name, type="queue")
        feed = self.handle("feed")
        results = await DeferredList([feed.publish("x") for _ in range(5)], consumeErrors=True)
        for succeeded, failure in results:
            self.assertFalse(succeeded)
            self.assertIsInstance(failure.value, WrongFeedType)
        await self.thoonk.delete_feed(self.name)
        await feed.publish("x", id="a")
        self.assertEqual(await feed.get_ids(), ["a"])

    async def test_type_overwritten(self) -> None:
        """
        thoonk.py and thoonk.js write ``feed`` over the type when they set an option: what the
        feed really is decides.
        """
        for kind in ("sorted_feed", "queue", "job"):
            handle = self.handle(kind)
            put = handle.append if kind == "sorted_feed" else handle.put
            await put("x")
            await self.redis.execute("HSET", self.keys.config, "type", "feed")
            self.assertEqual(await self.handle(kind).length(), 1)
            await self.thoonk.delete_feed(self.name)
        await self.handle("feed").publish("x")
        await self.refused(self.handle("queue").put("x"), WrongFeedType, self.name)

    async def test_no_type(self) -> None:
        """
        A name without a type, as older programs leave it for an instant, gets one.
        """
        await self.redis.execute("SADD", "feeds", self.name)
        await self.handle("job").put("x")
        self.assertEqual(await self.thoonk.get_config(self.name), {"type": "job"})
        self.assertEqual((await self.news())[0], ("conffeed", self.about))

    async def test_left_by_a_peer(self) -> None:
        """
        Keys that a peer left behind a deleted feed are no obstacle to the next one.
        """
        job = self.handle("job")
        await job.put_many(["finished", "stalled", "claimed", "cancelled", "waiting"])
        await (await job.get()).finish()
        for give_up in ("stall", "release", "cancel"):
            await getattr(await job.get(), give_up)()
        await job.get()
        # thoonk.js: its delete knows the keys of feeds alone.
        await self.redis.execute("SREM", "feeds", self.name)
        contract = ("ids", "items", "publishes", "config")
        await self.redis.execute("DEL", *(getattr(self.keys, key) for key in contract))

        again = self.handle("job")
        id = await again.put("new")
        claim = await again.get(timeout=5)
        self.assertEqual((claim.id, claim.item, claim.cancelled), (id, "new", 0))
        await claim.finish()
        self.assertEqual(await again.get_ids(), [])


class DescriptionTests(HandleCase):
    """What a handle says of itself."""

    async def test_bad_arguments(self) -> None:
        """
        What can be no name or option is refused at once.
        """
        for kind in KINDS:
            make = getattr(self.thoonk, kind)
            for name in ("", "a\0b"):
                self.assertRaises(ValueError, make, name)
            for name in (None, b"x", 5):
                self.assertRaises(TypeError, make, name)
            error = self.assertRaises(TypeError, make, "x", max_lenght=5)
            self.assertIn("max_lenght", str(error))
            self.assertRaises(ValueError, make, "x", serializer="pickle")
            self.assertRaises(TypeError, make, "x", serializer=5)
            self.assertRaises(ValueError, make, "x", config={"type": "pyqueue"})
        for kind in KINDS[1:]:
            self.assertRaises(ValueError, getattr(self.thoonk, kind), "x", max_length=5)
        self.assertRaises(ValueError, self.thoonk.feed, "x", max_length=-1)
        self.assertRaises(ValueError, self.thoonk.feed, "x", clock="h")
        self.assertRaises(ValueError, self.thoonk.job, "x", announce="no")

    async def test_names(self) -> None:
        """
        A handle knows its name, keys and channels.
        """
        self.assertEqual(repr(self.thoonk.feed("a")), "<Feed 'a'>")
        self.assertEqual(self.thoonk.queue("a").name, "a")
        items = ["feed.ids:a", "feed.items:a", "feed.publishes:a", "feed.config:a"]
        self.assertEqual(self.thoonk.feed("a").get_schema(), items)
        self.assertEqual(
            self.thoonk.feed("a").get_channels(),
            ["feed.retract:a", "feed.edit:a", "feed.publish:a"],
        )
        self.assertEqual(self.thoonk.sorted_feed("a").get_schema(), [*items, "feed.idincr:a"])
        self.assertIn("feed.position:a", self.thoonk.sorted_feed("a").get_channels())
        self.assertEqual(self.thoonk.queue("a").get_channels(), [])
        self.assertIn("tx.feed.handoff:a", self.thoonk.queue("a").get_schema())
        self.assertEqual(
            self.thoonk.job("a").get_channels(),
            ["feed.publishes:a", "feed.claimed:a", "job.finish:a"],
        )
        for kind in KINDS:
            every_key = {key.decode() for key in FeedKeys(b"a").every_key()}
            self.assertLessEqual(set(getattr(self.thoonk, kind)("a").get_schema()), every_key)
