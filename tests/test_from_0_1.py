"""Programs that were written for txThoonk 0.1, and what ``docs/from-0.1.rst`` says of them."""

from __future__ import annotations

import functools
import os
import re
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase

import txthoonk.types.feed
import txthoonk.types.sorted_feed
from tests.helpers import Heard, ThoonkTestCase, until
from tests.wire import free_port
from txthoonk import client, errors
from txthoonk.client import Redis, ThoonkPub, ThoonkPubFactory, ThoonkSub, ThoonkSubFactory
from txthoonk.errors import ItemDoesNotExist, WrongFeedType
from txthoonk.types import Feed, SortedFeed
from txthoonk.types.base import FeedBaseType

ROOT = Path(__file__).parent.parent


class OlderProgramTests(ThoonkTestCase):
    """``older_program.py``: a suite in the style of 0.1."""

    async def test_suite(self) -> None:
        """
        It passes, with a tearDown that nobody waits for, and a factory that connects again.
        """
        port = free_port()
        await self.own_server(port=f"{port}", bind=("127.0.0.1", "::1"))
        output, _, status = await getProcessOutputAndValue(
            sys.executable,
            ["-m", "twisted.trial", "--temp-directory", self.mktemp(), "tests.older_program"],
            env={**os.environ, "PYTHONPATH": str(ROOT), "TXTHOONK_OLDER_PORT": f"{port}"},
        )
        self.assertIn(b"PASSED (successes=15)", output, output.decode())
        self.assertEqual(status, 0)


class PageTests(SynchronousTestCase):
    """The page."""

    def test_names(self) -> None:
        """
        Whatever it says is there is there.
        """
        page = (ROOT / "docs" / "from-0.1.rst").read_text("utf-8")
        stays = page[page.index("What stays") : page.index("What is different")]
        rows = re.split(r"\n(?=\S)", stays[stays.index("\n===") :])
        named = {
            row.split("  ")[0].strip("`"): " ".join(re.findall(r"``([^`]*)``", row[32:]))
            for row in rows
        }
        for name in named["txthoonk.client"].split():
            self.assertTrue(hasattr(client, name), name)
        for name in named["ThoonkPub"].split():
            self.assertTrue(hasattr(ThoonkPub(Redis()), name), name)
        for name in named["ThoonkSub"].split():
            self.assertTrue(hasattr(ThoonkSub(Redis()), name), name)
        feed, sorted_feed = (kind(ThoonkPub(Redis()), "a") for kind in (Feed, SortedFeed))
        names = [name for name in named["feeds"].split() if name.isidentifier()]
        self.assertGreater(len(names), 20)
        for name in names:
            self.assertTrue(hasattr(feed, name), name)
            self.assertTrue(hasattr(sorted_feed, name), name)
        self.assertIs(txthoonk.types.feed.Feed, Feed)
        self.assertIs(txthoonk.types.sorted_feed.SortedFeed, SortedFeed)
        self.assertIs(errors.FeedExists, client.FeedExists)


class OlderCase(ThoonkTestCase):
    """A publisher and a subscriber."""

    async def setUp(self) -> None:
        await super().setUp()
        self.pub = await self.join(ThoonkPubFactory())
        self.sub = await self.join(ThoonkSubFactory())
        self.name = self.feed_name()

    async def join(self, factory: Any) -> Any:
        """A new connection."""
        joined: Any = await self.endpoint().connect(factory)
        self.addCleanup(joined.close)
        return joined


class HandlerTests(OlderCase):
    """What handlers get."""

    async def test_create_and_delete(self) -> None:
        """
        The name; and the instance, if they cannot do without.
        """
        told = Heard()
        wrapped = functools.wraps(lambda name, instance: None)(
            lambda *args: told(("wrapped", *args))
        )
        handlers = (
            lambda name: told(("name", name)),
            lambda name, instance: told(("both", name, instance)),
            lambda name, instance=None: told(("default", name, instance)),
            lambda *args: told(("any", *args)),
            lambda name, *args: told(("rest", name, *args)),
            wrapped,
        )
        for event in ("create", "delete"):
            for handler in handlers:
                await self.sub.register_handler(event, handler)
        for change in (self.pub.create_feed, self.pub.delete_feed):
            await change(self.name)
            await told.when(6)
            self.assertEqual(
                sorted(told),
                [
                    ("any", self.name),
                    ("both", self.name, self.pub.uuid),
                    ("default", self.name, None),
                    ("name", self.name),
                    ("rest", self.name),
                    ("wrapped", self.name, self.pub.uuid),
                ],
            )
            told.clear()

    async def test_not_saying(self) -> None:
        """
        A handler that does not say what it takes gets the name.
        """
        names: list[str] = []
        await self.sub.register_handler("create", names.append)
        seen: dict[Any, Any] = {}
        await self.sub.register_handler("create", seen.pop)  # logged: there is no such key
        await self.pub.create_feed(self.name)
        await until(lambda: names)
        self.assertEqual(names, [self.name])
        await until(lambda: self.flushLoggedErrors(KeyError))

    async def test_nul(self) -> None:
        """
        An item with NULs is one argument, as it was published; on a channel of one's own each NUL
        divides.
        """
        told = Heard()
        feed = await self.pub.feed(self.name)
        await self.sub.register_handler(feed.channel_publish, lambda *args: told(args))
        await self.sub.register_handler(self.name, lambda *args: told(args))
        await feed.publish("a\0b\0", "x")
        await self.pub.publish_channel(self.name, "a", "b", "")
        await told.when(2)
        self.assertEqual(told, [("x", "a\0b\0"), ("a", "b", "")])

    async def test_stays_subscribed(self) -> None:
        """
        What was subscribed once is received without handlers too, on the next connection as well;
        what was never confirmed is not.
        """
        received = Heard()
        for handler in (print, str):
            id = await self.sub.register_handler(self.name, handler)
            await self.sub.remove_handler(id)
        self.sub.redis.messageReceived = received
        await self.redis.execute("PUBLISH", self.name, "x")
        await received.when(1)
        self.assertEqual(received, [(self.name.encode(), b"x")])
        told = Heard()
        await self.sub.register_handler(self.name, told)

        factory = ThoonkSubFactory()
        first = await self.join(factory)
        await first.remove_handler(await first.register_handler(self.name, told))
        self.assertEqual(await self.subscribers(), 2)
        await first.close()
        await until(lambda: self.subscribers().addCallback(lambda count: count == 1))
        again = await self.join(factory)
        await until(lambda: self.subscribers().addCallback(lambda count: count == 2))
        await again.register_handler(self.name, told)

        early = ThoonkSub(client.RedisSubscriber())
        waiting = early.register_handler(self.name, told)
        waiting.cancel()
        await self.assertFailure(waiting, CancelledError)
        self.assertEqual(early.handlers.hub._channels, {})

    def subscribers(self) -> Any:
        """How many Redis has for the channel of that name."""
        return self.redis.execute("PUBSUB", "NUMSUB", self.name).addCallback(lambda reply: reply[1])


class DifferenceTests(OlderCase):
    """The rows of the page that no other test is about."""

    async def test_items(self) -> None:
        """
        An item is given as it is, as text; bytes where that is asked for.
        """
        feed = await self.pub.feed(self.name)
        await feed.publish("é", "a")
        self.assertEqual(await feed.get_item("a"), "é")
        self.assertEqual(await feed.get_id("a"), "é")
        self.assertIsNone(await feed.get_item("b"))
        self.assertEqual(await self.pub.redis.hget(feed.feed_items, "a"), {"a": "é"})
        raw = await self.pub.feed(self.name, serializer="bytes")
        self.assertEqual(await raw.get_item("a"), "é".encode())

    async def test_errors(self) -> None:
        """
        What cannot be done fails.
        """
        feed = await self.pub.sorted_feed(self.name)
        for call in (feed.edit("1", "x"), feed.move(":end", "1"), feed.publish_before("1", "x")):
            await self.refused(call, ItemDoesNotExist, self.name, id="1")
        await self.refused(self.pub.feed(self.name), WrongFeedType, self.name)
        self.assertRaises(ValueError, self.pub.sorted_feed, self.name, {"max_length": 5})
        self.assertRaises(TypeError, feed.publish, "x", id_="a")

    async def test_options(self) -> None:
        """
        Options of a feed that is there are set, and told; its type is among them.
        """
        told = Heard()
        await self.pub.feed(self.name, {"max_length": "5"})
        await self.sub.register_handler("conffeed", lambda name, instance: told(name))
        await self.pub.feed(self.name, {"max_length": 7})
        config = await self.pub.get_config(self.name)
        self.assertEqual(config, {"type": "feed", "max_length": "7"})
        await self.pub.set_config(self.name, {"max_length": 0})
        self.assertEqual(await self.pub.get_config(self.name), {"type": "feed"})
        await told.when(2)
        self.assertEqual(told, [self.name] * 2)

    async def test_base_type(self) -> None:
        """
        A handle of the base class takes the options of whatever type.
        """
        await self.pub.create_feed(self.name)
        feed = FeedBaseType(self.pub, self.name)
        await feed.set_config({"max_length": "20", "colour": "blue"})
        await feed.set_config(claim_timeout=5)
        self.assertRaises(ValueError, feed.set_config, {"max_length": "many"})
        self.assertRaises(TypeError, feed.set_config, colour="blue")
        config = await feed.get_config()
        self.assertEqual(
            config, {"type": "feed", "max_length": "20", "colour": "blue", "claim_timeout": "5"}
        )
        self.assertIn(feed.keys.ids.decode(), feed.get_schema())

    async def test_replies(self) -> None:
        """
        What verbs fire with.
        """
        feed = await self.pub.create_feed(self.name, {"type": "feed"})
        self.assertIsInstance(feed, Feed)
        self.assertIsNone(await feed.set_config({"title": "T"}))
        await feed.publish("x", "a")
        self.assertEqual([await feed.retract("a") for _ in range(2)], [True, False])
        self.assertIs(await self.pub.feed_exists(self.name), True)
        self.assertIs(await self.pub.delete_feed(self.name), True)
        self.assertIs(await self.sub.remove_handler(17), False)

    async def test_wrapped(self) -> None:
        """
        A factory makes what its ``protocol`` and ``protocol_wrapper`` say, of a Redis alone.
        """

        class Mine(client.ThoonkPub):
            def __init__(self, redis: client.Redis) -> None:
                super().__init__(redis)

        class Counted(client.Redis):
            pass

        class Factory(ThoonkPubFactory):
            protocol = Counted
            protocol_wrapper = Mine

        pub = await self.join(Factory(endpoint=self.endpoint()))
        self.assertIsInstance(pub, Mine)
        self.assertIsInstance(pub.redis, Counted)
        queue = await pub.queue(self.name)
        getting = queue.get(timeout=5)
        await (await self.pub.queue(self.name)).put("x")
        self.assertEqual(await getting, "x")
