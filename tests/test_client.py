"""ThoonkPub and ThoonkSub, the way programs for 0.1 use them."""

from __future__ import annotations

from typing import Any

from twisted.application.internet import ClientService
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.fakes import FakeServer
from tests.helpers import Heard, ThoonkTestCase, until
from txthoonk.client import Redis, ThoonkPub, ThoonkPubFactory, ThoonkSub, ThoonkSubFactory
from txthoonk.errors import (
    AuthenticationFailed,
    ConnectionLost,
    FeedDoesNotExist,
    FeedExists,
    NoEndpoint,
    NotConnected,
)
from txthoonk.redis import RedisSubscriber
from txthoonk.types import Feed, Job, Queue, SortedFeed
from txthoonk.types.base import FeedBaseType

reactor: Any = global_reactor


class ClientCase(ThoonkTestCase):
    """A publisher in database 1, and a subscriber."""

    async def setUp(self) -> None:
        self.server = await self.own_server()
        self.redis_url = self.server.url
        self.pub = await self.join(ThoonkPubFactory(db=1))
        self.sub = await self.join(ThoonkSubFactory())

    async def join(self, factory: Any) -> Any:
        """A new connection."""
        client: Any = await self.endpoint().connect(factory)
        self.addCleanup(client.close)
        return client


class OlderTests(ClientCase):
    """What 0.1 could do."""

    async def test_example(self) -> None:
        """
        A feed is made, heard, published to, edited and retracted from; and deleted.
        """
        heard: list[tuple[Any, ...]] = []
        feed = await self.pub.feed("test", {"max_length": "5"})
        for event in ("create", "newfeed", "delfeed", *feed.get_channels()):
            await self.sub.register_handler(
                event, lambda *args, event=event: heard.append((event, *args))
            )
        id = await feed.publish("new item")
        await feed.publish("another item", "someid")
        await feed.publish("replaced item", "someid")
        self.assertEqual(await feed.get_id("someid"), "replaced item")
        await feed.retract(id)
        self.assertIs(await self.pub.delete_feed("test"), True)
        await self.assertFailure(self.pub.create_feed("test2").addCallback(again), FeedExists)
        await self.assertFailure(self.pub.delete_feed("test"), FeedDoesNotExist)
        await until(lambda: len(heard) == 7)
        self.assertEqual(
            heard,
            [
                ("feed.publish:test", id, "new item"),
                ("feed.publish:test", "someid", "another item"),
                ("feed.edit:test", "someid", "replaced item"),
                ("feed.retract:test", id),
                ("delfeed", "test", self.pub.uuid),
                ("create", "test2"),
                ("newfeed", "test2", self.pub.uuid),
            ],
        )

    async def test_types(self) -> None:
        """
        A type's method fires with a handle on a feed that is there then, in Redis and by name.
        """
        for kind, name in ((Feed, "feed"), (SortedFeed, "sorted_feed"), (Queue, "queue")):
            handle = await getattr(self.pub, name)(name)
            self.assertIsInstance(handle, kind)
            self.assertIs(await self.pub.feed_exists(name), True)
            self.assertEqual((await handle.get_config())["type"], name)
        self.assertEqual(await self.pub.get_feed_names(), {"feed", "sorted_feed", "queue"})

        class Stack(Queue):
            """One of one's own."""

        self.pub.register_feedtype("stack", Stack)
        self.assertIsInstance(await self.pub.stack("mine"), Stack)

    async def test_names(self) -> None:
        """
        A handle tells the names of its keys and channels.
        """
        feed = await self.pub.sorted_feed("a:b")
        for attribute, name in {
            "feed_ids": "feed.ids:a:b",
            "feed_items": "feed.items:a:b",
            "feed_publishes": "feed.publishes:a:b",
            "feed_config": "feed.config:a:b",
            "feed_id_incr": "feed.idincr:a:b",
            "channel_publish": "feed.publish:a:b",
            "channel_edit": "feed.edit:a:b",
            "channel_retract": "feed.retract:a:b",
            "channel_position": "feed.position:a:b",
        }.items():
            self.assertEqual(getattr(feed, attribute), name)

    async def test_base_type(self) -> None:
        """
        A handle of the base class reads and sets the options of a feed.
        """
        await self.pub.create_feed("a")
        handle = FeedBaseType(pub=self.pub, name="a")
        await handle.set_config({"title": "A"})
        self.assertEqual(await handle.get_config(), {"type": "feed", "title": "A"})

    async def test_text(self) -> None:
        """
        The publisher's raw commands give text, in the charset that was asked for.
        """
        await self.pub.redis.set("a", "é")
        self.assertEqual(await self.pub.redis.get("a"), "é")
        latin = await self.join(ThoonkPubFactory(1, None, "latin-1"))
        self.assertEqual(await latin.redis.get("a"), "Ã©")
        raw = await self.join(ThoonkPubFactory(db=1, charset=None))
        self.assertEqual(await raw.redis.get("a"), "é".encode())

    async def test_message_received(self) -> None:
        """
        The method that messages come to may be wrapped.
        """
        heard, seen = Heard(), Heard()
        original = self.sub.redis.messageReceived

        def wrapper(*args: Any) -> None:
            original(*args)
            seen(*args)

        self.sub.redis.messageReceived = wrapper
        await self.sub.register_handler("mychannel", heard)
        await self.pub.publish_channel("mychannel", "a", "", "b")
        await seen.when(1)
        self.assertEqual(seen, [(b"mychannel", b"a\0\0b")])
        self.assertEqual(heard, [("a", "", "b")])

    async def test_removed(self) -> None:
        """
        A handler is removed by its id, which is no other's.
        """
        first, second = Heard(), Heard()
        ids = [await self.sub.register_handler("a", handler) for handler in (first, second)]
        self.assertNotEqual(*ids)
        self.assertIs(await self.sub.remove_handler(ids[0]), True)
        self.assertIs(await self.sub.remove_handler(ids[0]), False)
        await self.pub.publish_channel("a", "x")
        await second.when(1)
        self.assertEqual(first, [])


def again(feed: Any) -> Any:
    """Create a feed that is there."""
    return feed.pub.create_feed(feed.name)


class GetTests(ClientCase):
    """Gets that wait, which need a connection of their own."""

    async def test_no_endpoint(self) -> None:
        """
        Without an endpoint what is there may be taken; to wait is an error that says what to do.
        """
        job = await self.pub.job("a")
        await job.put("work")
        self.assertEqual((await job.get()).item, "work")
        for getting in (job.get(), job.get(timeout=5)):
            self.assertIn("endpoint=", str(await self.assertFailure(getting, NoEndpoint)))

    async def test_endpoint(self) -> None:
        """
        With one they wait, in the publisher's database.
        """
        pub = await self.join(ThoonkPubFactory(db=1, endpoint=self.endpoint()))
        job = await pub.job("a")
        self.assertIsInstance(job, Job)
        getting = job.get()
        await until(lambda: self.blocked(pub))
        await (await self.pub.job("a")).put("work")
        self.assertEqual((await getting).item, "work")

    async def blocked(self, pub: Any) -> bool:
        """Whether a get waits in Redis."""
        return b"blocked_clients:1\r\n" in await pub.redis.execute("INFO", "clients")

    async def test_lost(self) -> None:
        """
        When the publisher's connection is gone so is everything that waited; what comes then
        fails at once, and nothing is left open.
        """
        pub = await self.join(ThoonkPubFactory(db=1, endpoint=self.endpoint()))
        job = await pub.job("a")
        getting = job.get()
        await until(lambda: self.blocked(pub))
        await pub.close()
        await self.assertFailure(getting, ConnectionLost)
        for late in (job.get(), job.put("work"), pub.feed("b"), pub.redis.ping()):
            await self.assertFailure(late, NotConnected)
        clients = self.pub.redis.execute
        await until(lambda: clients("CLIENT", "LIST").addCallback(lambda c: c.count(b"id=") == 2))

    async def test_subscribe(self) -> None:
        """
        A publisher's handles do not subscribe, and say who does.
        """
        feed = await self.pub.feed("a")
        error = self.assertRaises(NotImplementedError, feed.subscribe, publish=print)
        self.assertIn("ThoonkSub", str(error))


class SubscriberTests(ClientCase):
    """Subscribers whose connection breaks, or never works."""

    async def test_client_service(self) -> None:
        """
        Under a ClientService the handlers of a factory are heard again on each new connection.
        """
        service = ClientService(
            self.endpoint(), ThoonkSubFactory(), retryPolicy=lambda failures: 0.01
        )
        service.startService()
        self.addCleanup(service.stopService)
        heard, every, removed = Heard(), Heard(), Heard()
        sub: Any = await service.whenConnected()
        await sub.register_handler("a", heard)
        await sub.register_handler("retract", every)
        await sub.remove_handler(await sub.register_handler("a", removed))
        await self.sub.close()
        execute = self.pub.redis.execute
        for number in "012":
            await until(lambda n=number: execute("PUBLISH", "a", n))
            await until(lambda n=number: execute("PUBLISH", "feed.retract:x", n))
            await execute("CLIENT", "KILL", "TYPE", "pubsub")
            await until(lambda: execute("PUBSUB", "NUMPAT"))
        newest: Any = await service.whenConnected()
        self.assertIsNot(newest, sub)
        await newest.register_handler("b", print)
        await sub.register_handler("c", print)
        self.assertEqual(heard, ["0", "1", "2"])
        self.assertEqual(every, [("x", "0"), ("x", "1"), ("x", "2")])
        self.assertEqual(removed, [])

    async def test_at_the_same_time(self) -> None:
        """
        Two connections of one factory are two subscribers: each has its own handlers.
        """
        factory = ThoonkSubFactory()
        subs = [await self.join(factory) for _ in range(2)]
        heard = [Heard(), Heard()]
        for sub, handler in zip(subs, heard, strict=True):
            await sub.register_handler("a", handler)
        await self.pub.publish_channel("a", "both")
        for handler in heard:
            await handler.when(1)
        await subs[0].close()
        await self.pub.publish_channel("a", "one")
        await heard[1].when(2)
        self.assertEqual(heard, [["both"], ["both", "one"]])
        # The next one takes up what the one that was closed has left.
        await (await self.join(factory)).register_handler("b", print)
        await self.pub.publish_channel("a", "again")
        await heard[0].when(2)
        await heard[1].when(3)
        self.assertEqual(heard, [["both", "again"], ["both", "one", "again"]])

    async def test_password(self) -> None:
        """
        Where Redis does not let us in the handlers that wait are told so at once.
        """
        await self.pub.redis.execute("CONFIG", "SET", "requirepass", "secret")
        for factory in (ThoonkSubFactory(password="wrong"), ThoonkSubFactory()):
            sub = await self.join(factory)
            await self.assertFailure(sub.register_handler("a", print), AuthenticationFailed)
        pub = await self.join(ThoonkPubFactory(password="wrong"))
        await self.assertFailure(pub.feed("a"), AuthenticationFailed)
        sub = await self.join(ThoonkSubFactory(password="secret"))
        self.assertTrue(await sub.register_handler("a", print))

    async def test_loading(self) -> None:
        """
        While Redis loads its data they wait for the next connection.
        """

        def answer(connection: int, command: bytes) -> bytes:
            if command == b"SUBSCRIBE":
                return b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
            return b"+PONG\r\n" if connection else b"-LOADING\r\n"

        server = FakeServer(reactor, answer)
        self.addCleanup(lambda: Deferred.fromCoroutine(server.stop()))
        service = ClientService(
            server.endpoint, ThoonkSubFactory(), retryPolicy=lambda failures: 0.01
        )
        service.startService()
        self.addCleanup(service.stopService)
        sub: Any = await service.whenConnected()
        self.assertTrue(await sub.register_handler("a", print))


class UnconnectedTests(SynchronousTestCase):
    """Before there is a connection."""

    def test_made(self) -> None:
        """
        Both may be made of a connection to be; what is asked of them waits, or fails.
        """
        pub = ThoonkPub(Redis())
        self.failureResultOf(pub.feed("a"), NotConnected)
        self.assertIsNone(pub.transport)
        for each in (pub, ThoonkSub(Redis())):
            verifyObject(IProtocol, each)
            self.assertEqual(each.SEPARATOR, "\0")

    def test_nobody_connects(self) -> None:
        """
        A handler that waits for a connection in vain fails.
        """
        clock = Clock()
        sub = ThoonkSub(RedisSubscriber(reactor=clock))
        registered = sub.register_handler("a", print)
        clock.advance(10)
        self.assertIn("none was made", str(self.failureResultOf(registered, NotConnected).value))
        self.assertEqual(clock.getDelayedCalls(), [])
