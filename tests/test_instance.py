"""Feeds as such: created, configured, deleted, listed; and types of one's own."""

from __future__ import annotations

from typing import Any

from tests.helpers import NamedTestCase
from txthoonk import (
    Feed,
    FeedDoesNotExist,
    FeedExists,
    Job,
    Queue,
    SortedFeed,
    Thoonk,
)
from txthoonk.errors import WrongKeyType
from txthoonk.types.base import FeedBaseType

TYPES: dict[str, type[FeedBaseType]] = {
    "feed": Feed,
    "sorted_feed": SortedFeed,
    "queue": Queue,
    "job": Job,
}


class InstanceCase(NamedTestCase):
    """What a feed is configured with."""

    async def config(self) -> dict[bytes, bytes]:
        """What a peer reads."""
        reply = await self.redis.execute("HGETALL", self.keys.config)
        return dict(zip(reply[::2], reply[1::2], strict=True))


class CreateTests(InstanceCase):
    """create_feed, feed_exists and get_feed_names."""

    async def test_create(self) -> None:
        """
        A feed of each type can be created; peers hear of it before they hear of its options.
        """
        for kind, handle in TYPES.items():
            feed = await self.thoonk.create_feed(self.name, type=kind)
            self.assertIs(type(feed), handle)
            self.assertEqual(feed.name, self.name)
            self.assertEqual(await self.news(), [("newfeed", self.about), ("conffeed", self.about)])
            self.assertEqual(await self.config(), {b"type": kind.encode()})
            self.assertIs(await self.thoonk.feed_exists(self.name), True)
            self.assertIn(self.name, await self.thoonk.get_feed_names())
            await self.thoonk.delete_feed(self.name)
            await self.news()

    async def test_default_type(self) -> None:
        """
        Without a type it is a feed; a mapping may have options, and more.
        """
        config = {"max_length": 5, "colour": "blue", "size": 1.5}
        feed = await self.thoonk.create_feed(self.name, config, title="Ö")
        self.assertIs(type(feed), Feed)
        self.assertEqual(
            await self.thoonk.get_config(self.name),
            {"type": "feed", "max_length": "5", "colour": "blue", "size": "1.5", "title": "Ö"},
        )

    async def test_type_in_mapping(self) -> None:
        """
        The type may be in the mapping, as thoonk.py has it; a keyword comes before it.
        """
        self.assertIs(type(await self.thoonk.create_feed(self.name, {"type": "job"})), Job)
        await self.thoonk.delete_feed(self.name)
        queue = await self.thoonk.create_feed(self.name, {"type": "job"}, type="queue")
        self.assertIs(type(queue), Queue)

    async def test_no_limit(self) -> None:
        """
        A feed that is created without a limit has no entry that peers could take for one.
        """
        for limit in (None, 0, "0"):
            await self.thoonk.create_feed(self.name, max_length=limit)
            self.assertEqual(await self.config(), {b"type": b"feed"})
            await self.thoonk.delete_feed(self.name)

    async def test_exists(self) -> None:
        """
        What exists cannot be created, whatever its type; nothing is written or told.
        """
        feed = await self.thoonk.create_feed(self.name, max_length=5)
        await self.news()
        for kind in TYPES:
            error = await self.refused(
                self.thoonk.create_feed(self.name, type=kind), FeedExists, self.name
            )
            self.assertEqual(error.detail, "feed")
        self.assertEqual(await feed.get_config(), {"type": "feed", "max_length": "5"})
        self.assertEqual(await self.news(), [])

    async def test_exists_without_type(self) -> None:
        """
        A name that a peer put there exists, though its type does not yet.
        """
        await self.redis.execute("SADD", "feeds", self.name)
        error = await self.refused(self.thoonk.create_feed(self.name), FeedExists, self.name)
        self.assertEqual(error.detail, "without a type")

    async def test_bad_arguments(self) -> None:
        """
        What can be no name, type or option is refused at once; nothing is sent.
        """
        create = self.thoonk.create_feed
        for name in ("", "a\0b"):
            self.assertRaises(ValueError, create, name)
            self.assertRaises(ValueError, self.thoonk.feed_exists, name)
            self.assertRaises(ValueError, self.thoonk.delete_feed, name)
        self.assertRaises(TypeError, create, b"name")
        self.assertRaises(TypeError, create, self.name, max_lenght=5)
        self.assertRaises(TypeError, create, self.name, type="queue", limit=5)
        self.assertRaises(ValueError, create, self.name, type="queue", max_length=5)
        self.assertRaises(ValueError, create, self.name, {"max_length": 5, "type": "job"})
        for kind in ("", None, 5):
            self.assertRaises(ValueError, create, self.name, type=kind)
        self.assertIs(await self.thoonk.feed_exists(self.name), False)
        self.assertEqual(await self.keys_of(self.name), {})

    async def test_unknown_type(self) -> None:
        """
        A feed of a type that only a peer knows can be created; there is no handle for it.
        """
        self.assertIsNone(await self.thoonk.create_feed(self.name, type="pyqueue"))
        self.assertEqual(await self.config(), {b"type": b"pyqueue"})

    async def test_strange_names(self) -> None:
        """
        A name may hold colons, stars, braces, blanks, whatever but NUL.
        """
        for part in ("a:b", "*", "{x}", "a b\n", "[a]?", "\u2603\U0001f600", "feed.ids:x", "\x01"):
            name = f"{part}{self.name}"
            feed = await self.thoonk.create_feed(name)
            await feed.publish("x", id=part)
            self.assertEqual(await feed.get_all(), {part: "x"})
            self.assertIs(await self.thoonk.feed_exists(name), True)
            self.assertIn(name, await self.thoonk.get_feed_names())
            await feed.delete()
            self.assertNotIn(name, await self.thoonk.get_feed_names())

    async def test_name_of_a_peer(self) -> None:
        """
        A name that is no UTF-8 is read, and is of use.
        """
        raw = b"\xff\xfe" + self.name.encode()
        await self.redis.execute("SADD", "feeds", raw)
        name = raw.decode("utf-8", "surrogateescape")
        self.assertIn(name, await self.thoonk.get_feed_names())
        await self.thoonk.feed(name).publish("x")
        self.assertEqual(await self.redis.execute("ZCARD", b"feed.ids:" + raw), 1)
        self.assertIs(await self.thoonk.delete_feed(name), True)


class DeleteTests(InstanceCase):
    """delete_feed."""

    async def test_delete(self) -> None:
        """
        A deleted feed leaves no key, whatever its type and state; its listeners are told once.
        """
        for kind in TYPES:
            await self.thoonk.create_feed(self.name, type=kind)
            keys = set(self.keys.every_key()) - {self.keys.config}
            for key in keys:
                await self.redis.execute("SADD", key, "x")
            self.assertEqual(len(await self.keys_of(self.name)), 1 + len(keys))
            await self.news()
            self.assertIs(await self.thoonk.delete_feed(self.name), True)
            self.assertEqual(await self.keys_of(self.name), {})
            self.assertEqual(await self.news(), [("delfeed", self.about)])
            self.assertIs(await self.thoonk.feed_exists(self.name), False)
            self.assertNotIn(self.name, await self.thoonk.get_feed_names())

    async def test_used_jobs(self) -> None:
        """
        Jobs in every state are deleted with their feed.
        """
        job = self.thoonk.job(self.name)
        await job.put_many(["finished", "stalled", "cancelled", "claimed", "waiting"])
        await (await job.get()).finish("result")
        await (await job.get()).stall()
        await (await job.get()).cancel()
        await job.get()
        await self.redis.execute("RPUSH", self.keys.handoff, "x")
        await job.maintenance()
        self.assertEqual(len(await self.keys_of(self.name)), 14)
        await job.delete()
        self.assertEqual(await self.keys_of(self.name), {})

    async def test_others_stay(self) -> None:
        """
        Feeds whose names begin or end alike are other feeds.
        """
        others = [f"{self.name}x", f"x{self.name}", f"x:{self.name}"]
        for name in (self.name, *others):
            await self.thoonk.feed(name).publish("x", id="a")
        await self.thoonk.delete_feed(self.name)
        for name in others:
            self.assertEqual(await self.thoonk.feed(name).get_all(), {"a": "x"})

    async def test_nothing_to_delete(self) -> None:
        """
        What does not exist cannot be deleted; keys without a name stay as they are.
        """
        await self.redis.execute("SET", self.keys.finishes, "5")
        await self.refused(self.thoonk.delete_feed(self.name), FeedDoesNotExist, self.name)
        self.assertEqual(list(await self.keys_of(self.name)), [self.keys.finishes.decode()])
        self.assertEqual(await self.news(), [])

    async def test_without_type(self) -> None:
        """
        A name without a type, which keeps listeners of thoonk.py from starting, can be deleted.
        """
        await self.redis.execute("SADD", "feeds", self.name)
        self.assertIs(await self.thoonk.delete_feed(self.name), True)
        self.assertIs(await self.thoonk.feed_exists(self.name), False)

    async def test_born_again(self) -> None:
        """
        What we left behind ourselves is cleared when a peer deleted the feed; it knows no better.
        """
        for create in (self.thoonk.create_feed, lambda name: self.thoonk.feed(name).ensure()):
            for key in self.keys.ours():
                await self.redis.execute("SADD", key, "x")
            await create(self.name)
            self.assertEqual(await self.keys_of(self.name), {f"feed.config:{self.name}": "hash"})
            await self.redis.execute("SREM", "feeds", self.name)
            await self.redis.execute("DEL", self.keys.config)


class ConfigTests(InstanceCase):
    """get_config and set_config."""

    async def test_set_config(self) -> None:
        """
        Just what is given is set, and announced.
        """
        await self.thoonk.create_feed(self.name, type="job", title="old")
        await self.news()
        self.assertIsNone(await self.thoonk.set_config(self.name, {"colour": "blue"}, max_length=5))
        self.assertEqual(
            await self.thoonk.get_config(self.name),
            {"type": "job", "title": "old", "colour": "blue", "max_length": "5"},
        )
        await self.thoonk.set_config(self.name, title="new")
        self.assertEqual((await self.thoonk.get_config(self.name))["title"], "new")
        self.assertEqual(await self.news(), [("conffeed", self.about)] * 2)

    async def test_no_limit(self) -> None:
        """
        A limit of None or 0 is no limit: its entry goes.
        """
        feed = await self.thoonk.create_feed(self.name, title="x")
        for limit in (None, 0, "0"):
            await feed.set_config(max_length=5)
            await feed.set_config(max_length=limit)
            self.assertEqual(await self.config(), {b"type": b"feed", b"title": b"x"})
            await self.thoonk.set_config(self.name, {"max_length": 7})
            await self.thoonk.set_config(self.name, max_length=limit)
            self.assertEqual(await self.config(), {b"type": b"feed", b"title": b"x"})

    async def test_missing(self) -> None:
        """
        A feed that does not exist has no options, and gets none.
        """
        await self.refused(self.thoonk.get_config(self.name), FeedDoesNotExist, self.name)
        await self.refused(
            self.thoonk.set_config(self.name, title="x"), FeedDoesNotExist, self.name
        )
        self.assertEqual(await self.keys_of(self.name), {})
        self.assertEqual(await self.news(), [])

    async def test_bad_options(self) -> None:
        """
        An option's value that cannot be is refused at once, and so is an unknown one.
        """
        values: tuple[tuple[dict[str, Any], type[Exception]], ...] = (
            ({"max_length": -1}, ValueError),
            ({"max_length": "many"}, ValueError),
            ({"max_length": True}, TypeError),
            ({"max_length": 1.5}, TypeError),
            ({"clock": "minutes"}, ValueError),
            ({"announce": "perhaps"}, ValueError),
            ({"title": None}, TypeError),
            ({"title": True}, TypeError),
        )
        for options, error in values:
            self.assertRaises(error, self.thoonk.set_config, self.name, **options)
            self.assertRaises(error, self.thoonk.set_config, self.name, options)
        self.assertRaises(TypeError, self.thoonk.set_config, self.name, limit=5)
        self.assertRaises(TypeError, self.thoonk.set_config, self.name, {5: "x"})
        self.assertRaises(TypeError, self.thoonk.set_config, self.name, {"": "x"})
        self.assertEqual(await self.keys_of(self.name), {})

    async def test_values(self) -> None:
        """
        Values are stored as peers read them.
        """
        await self.thoonk.create_feed(
            self.name, {"raw": b"\xff", "number": 7, "serializer": "json"}, type="job"
        )
        await self.thoonk.set_config(self.name, announce=False, clock="ms")
        self.assertEqual(
            await self.config(),
            {b"type": b"job", b"raw": b"\xff", b"number": b"7", b"announce": b"0", b"clock": b"ms"},
        )
        await self.thoonk.set_config(self.name, announce=True)
        self.assertEqual((await self.config())[b"announce"], b"1")
        self.assertEqual((await self.thoonk.get_config(self.name))["raw"], "\udcff")

    async def test_foreign_key(self) -> None:
        """
        Where the options should be something else may be: that fails, naming the feed.
        """
        await self.redis.execute("SADD", "feeds", self.name)
        await self.redis.execute("SET", self.keys.config, "x")
        for call in (
            self.thoonk.get_config(self.name),
            self.thoonk.set_config(self.name, title="x"),
            self.thoonk.feed(self.name).publish("x"),
        ):
            await self.refused(call, WrongKeyType, self.name)


class Pictures(Feed):
    """A type of one's own."""

    def newest(self) -> Any:
        return self.get_ids().addCallback(lambda ids: ids[-1])


class RegisterTests(InstanceCase):
    """register_feedtype."""

    async def test_own_type(self) -> None:
        """
        A class of one's own is a type like the others; the class itself stays as it is.
        """
        self.thoonk.register_feedtype("pictures", Pictures)
        feed: Any = self.thoonk.pictures(self.name, max_length=2)  # type: ignore[attr-defined]  # registered
        self.assertIsInstance(feed, Pictures)
        for id in "abc":
            await feed.publish("x", id=id)
        self.assertEqual(await feed.newest(), "c")
        self.assertEqual(list(await feed.get_all()), ["b", "c"])
        self.assertIs(await feed.retract("b"), True)
        self.assertEqual(await self.config(), {b"type": b"pictures", b"max_length": b"2"})
        self.assertEqual((Pictures.TYPE, Feed.TYPE), ("feed", "feed"))
        await feed.delete()
        again = await self.thoonk.create_feed(self.name, type="pictures")
        self.assertIsInstance(again, Pictures)

    async def test_each_type(self) -> None:
        """
        Each of the four types can be the base of another one.
        """
        for kind, base in TYPES.items():
            self.thoonk.register_feedtype(f"my_{kind}", base)
            handle = getattr(self.thoonk, f"my_{kind}")(self.name)
            put = handle.put if kind in ("queue", "job") else handle.publish
            await put("x")
            self.assertEqual(await handle.length(), 1)
            self.assertEqual((await handle.get_config())["type"], f"my_{kind}")
            self.assertEqual(base.TYPE, kind)
            await handle.delete()

    async def test_instead(self) -> None:
        """
        One of the four types can be replaced, in this instance alone.
        """
        self.thoonk.register_feedtype("feed", Pictures)
        self.assertIsInstance(self.thoonk.feed(self.name), Pictures)
        self.assertIsInstance(await self.thoonk.create_feed(self.name), Pictures)
        self.assertNotIsInstance(Thoonk(self.redis_url).feed(self.name), Pictures)

    async def test_refused(self) -> None:
        """
        What is no type of feed, or would hide a verb of the instance, is refused.
        """
        for other in (object, Feed(self.thoonk, "y"), None):
            self.assertRaises(TypeError, self.thoonk.register_feedtype, "pictures", other)
        for name in ("delete_feed", "redis", "two words", "", "uuid"):
            self.assertRaises(ValueError, self.thoonk.register_feedtype, name, Pictures)

    async def test_channel(self) -> None:
        """
        A message of one's own can be published on any channel.
        """
        listeners = await self.thoonk.publish_channel(f"pictures:{self.name}", "a", "b", "ö")
        self.assertEqual(listeners, 1)
        self.assertEqual(await self.news(), [("pictures", "a\0b\0ö".encode())])
