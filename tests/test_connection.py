"""Connections that fail: what becomes of calls, and how soon there is another connection."""

from __future__ import annotations

import contextlib  # trial takes a `suppress` in a test module for its own
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import formatEvent, globalLogPublisher
from zope.interface import implementer

from tests.fakes import FakeServer
from tests.helpers import Heard, ThoonkTestCase, until
from txthoonk import ConnectionLost, NotConnected, Thoonk
from txthoonk.link import backoff, connect
from txthoonk.redis import Redis

reactor: Any = global_reactor

LOADING = b"-LOADING Redis is loading the dataset in memory\r\n"


async def connected(thoonk: Thoonk) -> None:
    """Wait until there is a connection, however short the instance's own patience is."""
    while True:
        with contextlib.suppress(NotConnected):
            await thoonk.when_connected()
            return


@implementer(IStreamClientEndpoint)
class Switch:
    """An endpoint that may lead elsewhere from now on."""

    def __init__(self, now: IStreamClientEndpoint) -> None:
        self.now = now

    def connect(self, factory: Any) -> Deferred[Any]:
        return self.now.connect(factory)


class ProxyCase(ThoonkTestCase):
    """An instance whose connections go through a network that fails when told to."""

    timeout = 240

    async def setUp(self) -> None:
        await super().setUp()
        self.proxy = self.fault_proxy()

    async def through(self, **options: Any) -> Thoonk:
        """An instance behind the proxy."""
        thoonk = Thoonk(self.proxy.endpoint, **options)
        self.addCleanup(thoonk.stopService)
        thoonk.startService()
        await thoonk.when_connected()
        return thoonk

    async def cut(self) -> None:
        """Reset all connections, and accept no others."""
        await self.proxy.refuse()
        self.proxy.reset()
        await until(lambda: not self.proxy.connections)


class WaitingTests(ProxyCase):
    """Calls while there is no connection."""

    async def test_wait(self) -> None:
        """
        Calls that are made while the connection is down are carried out, in their order, when it
        is back.
        """
        thoonk = await self.through()
        name = self.feed_name()
        await self.cut()
        calls = [thoonk.redis.rpush(name, number) for number in range(100)]
        subscribing = thoonk.subscribe(name, publish=Heard())
        self.proxy.listen()
        self.assertEqual([await call for call in calls], list(range(1, 101)))
        await subscribing
        expected = [b"%d" % number for number in range(100)]
        self.assertEqual(await self.redis.lrange(name, 0, -1), expected)

    async def test_wait_in_vain(self) -> None:
        """
        They wait for connect_timeout seconds and then fail, saying why; nothing was sent.
        """
        thoonk = await self.through(connect_timeout=0.2)
        name = self.feed_name()
        await self.cut()
        start = reactor.seconds()
        calls = [
            thoonk.redis.rpush(name, 1),
            thoonk.feed(name).publish("item"),
            thoonk.job(f"{name}:job").get(),
            thoonk.subscribe(name, publish=Heard()),
            thoonk.subscribe_pattern(name, publish=Heard()),
            thoonk.register_handler("create", print),
            thoonk.when_connected(),
        ]
        for call in calls:
            error = await self.assertFailure(call, NotConnected)
            self.assertIn("refused", str(error))
        self.assertGreaterEqual(reactor.seconds() - start, 0.19)
        self.proxy.listen()
        await connected(thoonk)
        self.assertEqual(await self.redis.execute("KEYS", f"*{name}*"), [])

    async def test_get_that_waited_already(self) -> None:
        """
        A get that was blocked when the connection broke waits on, but not for ever.
        """
        thoonk = await self.through(connect_timeout=0.3)
        getting = thoonk.job(self.feed_name()).get()
        await until(lambda: len(self.proxy.connections) == 2)
        await self.cut()
        self.assertIn("refused", str(await self.assertFailure(getting, NotConnected)))

    async def test_max_pending(self) -> None:
        """
        Of the calls that wait there are so many at the most: one more fails at once.
        """
        thoonk = await self.through(max_pending=2)
        await self.cut()
        waiting = [thoonk.redis.ping() for _ in range(2)]
        self.assertIn("2 calls", str(self.failureResultOf(thoonk.redis.ping()).value))
        cancelled = waiting.pop()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        waiting.append(thoonk.redis.ping())
        self.assertNoResult(waiting[-1])
        self.proxy.listen()
        self.assertEqual([await call for call in waiting], [b"PONG", b"PONG"])

    async def test_cancelled(self) -> None:
        """
        A call that is cancelled while it waits is not sent.
        """
        thoonk = await self.through()
        name = self.feed_name()
        await self.cut()
        calls = [thoonk.redis.rpush(name, number) for number in range(3)]
        publishing = thoonk.feed(f"{name}:feed").publish("item")
        for call in (calls[1], publishing):
            call.cancel()
            self.failureResultOf(call, CancelledError)
        self.proxy.listen()
        await calls[0]
        await calls[2]
        self.assertEqual(await self.redis.lrange(name, 0, -1), [b"0", b"2"])
        self.assertEqual(await self.redis.exists(f"feed.ids:{name}:feed"), 0)

    async def test_cancelled_by_another(self) -> None:
        """
        Whoever is told first that there is a connection may cancel another who waits; the rest
        are carried out.
        """
        thoonk = await self.through()
        await self.cut()
        first, second, third = [thoonk.when_connected() for _ in range(3)]
        first.addCallback(lambda _: second.cancel())
        self.proxy.listen()
        await third
        self.failureResultOf(second, CancelledError)

    async def test_in_flight(self) -> None:
        """
        What was on its way when the connection broke fails: it may have happened. Doing it again
        at once waits for the next connection.
        """
        thoonk = await self.through()
        name = self.feed_name()

        async def insist() -> None:
            try:
                await thoonk.redis.rpush(name, "once")
            except ConnectionLost:
                outcome.append("lost")
                await thoonk.redis.rpush(name, "again")

        outcome: list[str] = []
        self.proxy.stall()
        done = Deferred.fromCoroutine(insist())
        await self.cut()
        self.assertEqual(outcome, ["lost"])
        self.assertNoResult(done)
        self.proxy.resume()
        self.proxy.listen()
        await done
        self.assertEqual((await self.redis.lrange(name, 0, -1))[-1], b"again")

    async def test_before_the_start(self) -> None:
        """
        Calls may be made before it is started; those that nothing comes of say so.
        """
        thoonk = Thoonk(self.redis_url, connect_timeout=0.1)
        self.addCleanup(thoonk.stopService)
        name = self.feed_name()
        for call in (thoonk.redis.ping(), thoonk.subscribe(name, publish=Heard())):
            self.assertIn("started?", str(await self.assertFailure(call, NotConnected)))
        calls = [thoonk.redis.ping(), thoonk.open_connection()]
        thoonk.startService()
        self.assertEqual(await calls[0], b"PONG")
        await (await calls[1]).close()

    async def test_no_blocking(self) -> None:
        """
        A command that blocks would hold up everyone: it has a connection of its own.
        """
        call: Callable[[], object] = lambda: self.redis.bpop(["a"])  # noqa: E731  # one of several calls in turn
        self.assertRaises(ValueError, call)


class HalfOpenTests(ProxyCase):
    """A network that swallows everything and says nothing."""

    async def test_all_three(self) -> None:
        """
        Each connection is given up within ping_interval + ping_timeout and replaced: the one for
        commands, the one for messages, and the one on which a get is blocked.
        """
        name, heard = self.feed_name(), Heard()
        endpoint = Switch(self.proxy.endpoint)
        thoonk = Thoonk(endpoint, client_name=name, ping_interval=0.3, ping_timeout=0.2)
        self.addCleanup(thoonk.stopService)
        thoonk.startService()
        job = await thoonk.job(name)
        await job.subscribe(put=heard)
        getting = job.get()
        await until(lambda: self.clients(f"name={name} ", 3))
        await until(lambda: self.clients("cmd=blmove", 1))
        self.proxy.stall()
        endpoint.now = self.endpoint()
        start = reactor.seconds()
        # Redis still has those that the network has swallowed.
        await until(lambda: self.clients(f"name={name} ", 6))
        # The rest is for the attempt to connect, and for a machine that is busy.
        self.assertLess(reactor.seconds() - start, 0.3 + 0.2 + 5)
        await until(lambda: self.redis.execute("PUBLISH", f"feed.publishes:{name}", "1\0x"))
        await heard.when(1)
        # By now Redis has ended the BLMOVE of the old connection: it takes nothing from the new.
        await job.put("work")
        self.assertEqual((await getting).item, "work")

    async def clients(self, words: str, count: int) -> bool:
        """Whether the server has so many connections of that description."""
        clients = (await self.redis.execute("CLIENT", "LIST")).decode()
        return clients.count(words) >= count

    async def test_idle_is_not_replaced(self) -> None:
        """
        A connection that has nothing to say, or is blocked for long, stays.
        """
        thoonk = await self.through(ping_interval=0.1, ping_timeout=1)
        await thoonk.subscribe(self.feed_name(), publish=Heard())
        getting = thoonk.job(self.feed_name()).get(timeout=0.8)
        await self.assertFailure(getting, Exception)
        self.assertEqual(self.proxy.accepted, 3)

    async def test_slow_login(self) -> None:
        """
        A login that takes its time is no failure; one that takes too long is given up.
        """
        self.proxy.latency = 0.1
        thoonk = await self.through(ping_interval=0.3, ping_timeout=0.3)
        self.assertEqual(await thoonk.redis.ping(), b"PONG")
        self.assertEqual(self.proxy.accepted, 1)
        self.proxy.latency = 30
        other = Thoonk(self.proxy.endpoint, ping_interval=0.2, ping_timeout=0.1)
        self.addCleanup(other.stopService)
        other.startService()
        await until(lambda: self.proxy.accepted >= 3)
        self.proxy.latency = 0
        await other.when_connected()


class KilledTests(ThoonkTestCase):
    """Redis closes connections."""

    async def setUp(self) -> None:
        server = await self.own_server()
        self.redis_url = server.url
        self.thoonk = await self.start_thoonk()
        self.redis = self.thoonk.redis

    async def test_subscriptions(self) -> None:
        """
        All channels and patterns are heard again on a new connection, and nothing twice.
        """
        by_name = {f"name{i}": Heard() for i in range(30)}
        by_pattern = {f"glob{i}": Heard() for i in range(30)}
        for name, heard in by_name.items():
            await self.thoonk.subscribe(name, publish=heard)
        for name, heard in by_pattern.items():
            await self.thoonk.subscribe_pattern(f"{name}:*", publish=heard)
        stopped = await self.thoonk.subscribe("stopped", publish=print)
        stopped.stop()
        await self.settle()
        killer = await self.start_thoonk()
        for kind, count in (("pubsub", 1), ("normal", 1), ("pubsub", 1)):
            killed = await killer.redis.execute("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
            self.assertEqual(killed, count)
            await until(lambda: self.all_there(killer))
            await self.thoonk.when_connected()
            for name in (*by_name, *[f"{name}:x" for name in by_pattern]):
                await killer.feed(name).publish("item")
            await self.settle()
        for heard in (*by_name.values(), *by_pattern.values()):
            self.assertEqual(len(heard), 3)

    async def all_there(self, thoonk: Thoonk) -> bool:
        """Whether Redis has all subscriptions."""
        channels = await thoonk.redis.execute("PUBSUB", "CHANNELS")
        return (len(channels), await thoonk.redis.execute("PUBSUB", "NUMPAT")) == (30, 30)

    async def test_blocked_get(self) -> None:
        """
        A get whose connection is killed goes on waiting on another, and gets its job.
        """
        job = self.thoonk.job("a")
        getting = job.get()
        killer = await self.start_thoonk()
        for _ in range(3):
            await until(lambda: self.is_blocked(killer))
            await killer.redis.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await killer.job("a").put("work")
        self.assertEqual((await getting).item, "work")

    async def test_logged(self) -> None:
        """
        Each outage is noted in the log, and its end.
        """
        logged: list[str] = []

        def keep(event: Any) -> None:
            if event["log_namespace"] == "txthoonk.link.Link":
                logged.append(formatEvent(event))

        globalLogPublisher.addObserver(keep)
        self.addCleanup(globalLogPublisher.removeObserver, keep)
        killer = await self.connect()
        for outages in (1, 2):
            await killer.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await until(lambda outages=outages: len(logged) == 2 * outages)
        # The reason depends on what the kernel has seen first.
        self.assertEqual(
            [line.partition(":")[0] for line in logged],
            ["No connection to Redis", "Connected to Redis again"] * 2,
        )

    async def is_blocked(self, thoonk: Thoonk) -> bool:
        """Whether a get waits in Redis."""
        return b"cmd=blmove" in await thoonk.redis.execute("CLIENT", "LIST")


class FakeTests(ThoonkTestCase):
    """Servers that do not what Redis does."""

    def fake(self, answer: Callable[[int, bytes], bytes | None]) -> FakeServer:
        """A server of that behaviour."""
        server = FakeServer(reactor, answer)
        self.addCleanup(lambda: Deferred.fromCoroutine(server.stop()))
        return server

    async def test_loading(self) -> None:
        """
        While Redis loads its data calls wait, and those that do so in vain say what for; it is
        noted in the log once.
        """
        loaded = False
        logged: list[str] = []

        def answer(connection: int, command: bytes) -> bytes:
            if command == b"PING":
                return b"+PONG\r\n" if loaded else LOADING
            return b"+OK\r\n"

        def keep(event: Any) -> None:
            logged.append(formatEvent(event))

        globalLogPublisher.addObserver(keep)
        self.addCleanup(globalLogPublisher.removeObserver, keep)
        thoonk = Thoonk(self.fake(answer).endpoint, connect_timeout=0.3)
        self.addCleanup(thoonk.stopService)
        thoonk.startService()
        error = await self.assertFailure(thoonk.redis.ping(), NotConnected)
        self.assertIn("LOADING", str(error))
        loaded = True
        await connected(thoonk)
        self.assertEqual(await thoonk.redis.ping(), b"PONG")
        self.assertEqual(len([line for line in logged if "LOADING" in line]), 1)
        self.assertIn("Connected to Redis again", logged)

    async def test_hangs_up(self) -> None:
        """
        A server that hangs up on a login, or sends garbage, is tried again.
        """
        answers = {0: None, 1: b"garbage\r\n", 2: b"-ERR max number of clients reached\r\n"}
        server = self.fake(lambda connection, command: answers.get(connection, b"+OK\r\n"))
        thoonk = Thoonk(server.endpoint)
        self.addCleanup(thoonk.stopService)
        thoonk.startService()
        await thoonk.when_connected()
        self.assertEqual(server.accepted, 4)

    async def test_connect_given_up(self) -> None:
        """
        One attempt to connect may be given up at any time; nothing is left of it.
        """
        server = self.fake(lambda connection, command: b"")
        attempt = connect(server.endpoint, Redis)
        await until(lambda: server.commands)
        attempt.cancel()
        await self.assertFailure(attempt, CancelledError)
        attempt = connect(server.endpoint, Redis)
        attempt.cancel()
        await self.assertFailure(attempt, CancelledError)

    def test_backoff(self) -> None:
        """
        Attempts come quickly at first, then every other second, however many there were.
        """
        self.assertLessEqual(backoff(0), 0.05)
        for failures in (20, 10_000):
            self.assertTrue(1 <= backoff(failures) <= 2)
