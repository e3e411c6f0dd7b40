"""Thoonk as a service: it starts, it stops, whenever that is, and leaves nothing open."""

from __future__ import annotations

from typing import Any

from twisted.application.service import Application, IService, MultiService
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.fakes import FakeServer, SilentEndpoint
from tests.helpers import Heard, ThoonkTestCase, open_now, until
from tests.proxy import FaultProxy
from txthoonk import ConnectionLost, NotConnected, Thoonk
from txthoonk.testing import RedisTestCase

#: Where nobody is.
NOWHERE = "redis+unix:///nowhere"


class LifeTests(ThoonkTestCase):
    """Starting and stopping, in every order."""

    async def test_under_an_application(self) -> None:
        """
        It starts and stops with the application that it belongs to.
        """
        application: Any = Application("pictures")
        thoonk = Thoonk(self.redis_url)
        thoonk.setServiceParent(application)
        service = IService(application)
        service.startService()
        id = await thoonk.feed(self.feed_name()).publish("item")
        self.assertTrue(id)
        await service.stopService()
        await self.assertFailure(thoonk.redis.ping(), NotConnected)

    async def test_added_and_removed(self) -> None:
        """
        It may be given to services that run, and taken from them.
        """
        services = MultiService()
        services.startService()
        thoonk = Thoonk(self.redis_url)
        thoonk.setServiceParent(services)
        self.assertIs(await thoonk.when_connected(), thoonk)
        await thoonk.disownServiceParent()
        await self.assertFailure(thoonk.when_connected(), NotConnected)
        await services.stopService()

    async def test_async_with(self) -> None:
        """
        For the length of a block it is connected; what the block raises is raised.
        """
        before = open_now()
        with self.assertRaises(KeyError):
            async with Thoonk(self.redis_url) as thoonk:
                self.assertEqual(await thoonk.redis.ping(), b"PONG")
                raise KeyError
        self.assertFalse(thoonk.running)
        self.assertEqual(open_now() - before, set())

    async def test_async_with_nobody(self) -> None:
        """
        A block without a server is not entered, and nothing is left of the attempt.
        """
        before = open_now()
        thoonk = Thoonk(NOWHERE, connect_timeout=0.1)
        with self.assertRaises(NotConnected):
            async with thoonk:
                self.fail("entered")
        self.assertFalse(thoonk.running)
        self.assertEqual(open_now() - before, set())

    async def test_started_twice(self) -> None:
        """
        Starting what runs changes nothing.
        """
        name = self.feed_name()
        thoonk = await self.start_thoonk(client_name=name)
        thoonk.startService()
        await thoonk.feed(name).publish("item")
        clients = await self.redis.execute("CLIENT", "LIST")
        self.assertEqual(clients.decode().count(f"name={name} "), 1)

    async def test_again(self) -> None:
        """
        After a stop it may be started again; subscriptions and handles go on.
        """
        thoonk = Thoonk(self.redis_url)
        heard, feed = Heard(), thoonk.feed(self.feed_name())
        before = open_now()
        await thoonk.stopService()
        for number in range(3):
            thoonk.startService()
            if not number:
                await feed.subscribe(publish=heard)
            await self.settle(thoonk)
            await feed.publish(f"item {number}")
            await heard.when(number + 1)
            await thoonk.stopService()
            await thoonk.stopService()
            self.assertEqual(open_now() - before, set())
        self.assertEqual([event.item for event in heard], ["item 0", "item 1", "item 2"])

    async def test_in_one_breath(self) -> None:
        """
        Starts and stops that do not wait for each other are done in their order: what was asked
        for last holds, and calls made after the last start wait for it.
        """
        before = open_now()
        thoonk = Thoonk(self.redis_url)
        job = thoonk.job(self.feed_name())
        thoonk.startService()
        getting = job.get()
        await thoonk.subscribe("a", publish=Heard())
        thoonk.stopService()
        await self.assertFailure(getting, NotConnected)
        thoonk.startService()
        thoonk.stopService()
        thoonk.startService()
        await job.put("work")
        await thoonk.subscribe(job.name, claim=Heard())
        self.assertEqual((await job.get()).item, "work")
        thoonk.stopService()
        thoonk.startService()
        await thoonk.stopService()
        self.assertEqual(open_now() - before, set())

    async def test_on_its_way(self) -> None:
        """
        What was sent before the stop is answered, and what answers lead to is not sent.
        """
        thoonk = await self.start_thoonk()
        name = self.feed_name()
        calls = [thoonk.redis.rpush(name, number) for number in range(1000)]
        late = calls[-1].addCallback(lambda _: thoonk.redis.rpush(name, "late"))
        await thoonk.stopService()
        self.assertEqual([await call for call in calls[:-1]], list(range(1, 1000)))
        await self.assertFailure(late, NotConnected)
        self.assertEqual(await self.redis.llen(name), 1000)

    async def test_stopped_from_a_callback(self) -> None:
        """
        A handler, or whoever was told of the connection, may stop it.
        """
        before = open_now()
        thoonk = Thoonk(self.redis_url)
        thoonk.startService()
        stopped = await thoonk.when_connected().addCallback(lambda _: [thoonk.stopService()])
        await stopped[0]
        thoonk.startService()
        feed = thoonk.feed(self.feed_name())
        confirmed = feed.subscribe(publish=lambda _: stopped.append(thoonk.stopService()))
        await confirmed
        publishing = feed.publish("item")
        await until(lambda: len(stopped) == 2)
        await stopped[1]
        await publishing
        self.assertEqual(open_now() - before, set())

    async def test_stopped_when_confirmed(self) -> None:
        """
        So may whoever was told that it hears now, in the middle of a new connection's start.
        """
        before = open_now()
        thoonk = Thoonk(self.redis_url)
        confirmed = thoonk.subscribe("a", publish=Heard())
        stopped = confirmed.addCallback(lambda _: [thoonk.stopService()])
        thoonk.startService()
        await (await stopped)[0]
        self.assertEqual(open_now() - before, set())

    async def test_stopped(self) -> None:
        """
        What waits when it stops fails at once, and so does whatever is asked for then.
        """
        thoonk = await self.start_thoonk()
        job = await thoonk.job(self.feed_name())
        getting = [job.get(), job.get(timeout=30)]
        await until(lambda: self.redis.execute("PING"))
        stopping = thoonk.stopService()
        for each in (*getting, job.get()):
            await self.assertFailure(each, NotConnected)
        await stopping
        for late in (
            job.get(),
            job.put("work"),
            thoonk.redis.ping(),
            thoonk.when_connected(),
            thoonk.open_connection(),
            thoonk.subscribe("a", publish=Heard()),
        ):
            self.assertIn("stopped", str(await self.assertFailure(late, NotConnected)))


class StopTests(RedisTestCase):
    """Stopping while something is under way leaves nothing open."""

    timeout = 240

    async def stopped(self, thoonk: Thoonk, *waiting: Deferred[Any]) -> None:
        """Stop, and see that nothing is left, and that what waited has failed."""
        await thoonk.stopService()
        await deferLater(reactor, 0)  # in which attempts that were given up see that they were
        self.assertEqual(open_now() - self.before, set())
        for each in waiting:
            await self.assertFailure(each, NotConnected, ConnectionLost)

    async def start(self, target: Any, **options: Any) -> tuple[Thoonk, list[Deferred[Any]]]:
        """An instance that was told to start, and calls of each kind that wait."""
        self.before = open_now()
        thoonk = Thoonk(target, **options)
        thoonk.startService()
        return thoonk, [
            thoonk.redis.ping(),
            thoonk.feed(self.feed_name()).publish("item"),
            thoonk.job(self.feed_name()).get(),
            thoonk.subscribe(self.feed_name(), publish=Heard()),
            thoonk.when_connected(),
        ]

    async def fake(self, answer: Any) -> FakeServer:
        """A server of that behaviour."""
        server = FakeServer(reactor, answer)
        self.addCleanup(lambda: Deferred.fromCoroutine(server.stop()))
        return server

    async def test_at_once(self) -> None:
        """
        In the very turn in which it was started.
        """
        thoonk, waiting = await self.start(self.redis_url)
        await self.stopped(thoonk, *waiting)

    async def test_not_started(self) -> None:
        """
        Before it was ever started.
        """
        self.before = open_now()
        thoonk = Thoonk(self.redis_url)
        await self.stopped(thoonk, thoonk.redis.ping(), thoonk.subscribe("a", publish=Heard()))

    async def test_connecting(self) -> None:
        """
        While the connections do not come about; the attempts are given up.
        """
        endpoint = SilentEndpoint()
        thoonk, waiting = await self.start(endpoint)
        await self.stopped(thoonk, *waiting)
        self.assertEqual((endpoint.attempts, endpoint.cancelled), (2, 2))

    async def test_nobody_there(self) -> None:
        """
        Between two attempts to reach a server that is not there.
        """
        thoonk, waiting = await self.start(NOWHERE)
        await until(lambda: "No such file" in str(thoonk.redis.not_connected()))
        await self.stopped(thoonk, *waiting)

    async def test_login(self) -> None:
        """
        While the server says nothing to the login.
        """
        server = await self.fake(lambda connection, command: b"")
        thoonk, waiting = await self.start(server.endpoint)
        await until(lambda: len(server.commands) == 4)
        await self.stopped(thoonk, *waiting)

    async def test_subscribing(self) -> None:
        """
        While a new connection waits for the word that it hears what is wanted.
        """
        answers = {b"CLIENT": b"+OK\r\n", b"PING": b"+PONG\r\n", b"SUBSCRIBE": b""}
        server = await self.fake(lambda connection, command: answers.get(command, b""))
        thoonk, waiting = await self.start(server.endpoint)
        await until(lambda: (1, b"SUBSCRIBE") in server.commands)
        connected = waiting.pop()
        self.assertIs(await connected, thoonk)
        await self.stopped(thoonk, *waiting)

    async def test_waiting_gets(self) -> None:
        """
        While gets wait in Redis, also if they have only begun to.
        """
        thoonk, waiting = await self.start(self.redis_url)
        job = thoonk.job(self.feed_name())
        for get in (thoonk.queue(self.feed_name()).get(), job.get(), job.get(timeout=9)):
            waiting.append(get)
        await waiting.pop(4)
        await waiting.pop(3)
        await waiting.pop(1)
        await waiting.pop(0)
        await self.stopped(thoonk, *waiting)

    async def test_network_is_gone(self) -> None:
        """
        While the network takes nothing any more: it takes a second or two.
        """
        from txthoonk.target import Target

        proxy = FaultProxy(reactor, Target.parse(self.redis_url).endpoint(reactor))
        proxy.listen()
        self.addCleanup(lambda: Deferred.fromCoroutine(proxy.stop()))
        thoonk, waiting = await self.start(proxy.endpoint)
        for each in (waiting[0], waiting[1], waiting[3]):
            await each
        await until(lambda: len(proxy.connections) == 3)
        proxy.stall()
        real: Any = reactor
        start = real.seconds()
        sending = thoonk.feed(self.feed_name()).publish("x" * 20_000_000)
        stopping = thoonk.stopService()
        await self.assertFailure(waiting[2], NotConnected)
        await stopping
        await self.assertFailure(sending, ConnectionLost)
        self.assertLess(real.seconds() - start, 10)
