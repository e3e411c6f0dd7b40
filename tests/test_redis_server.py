"""The Redis protocol against a real server: payloads, logins, faults, TLS."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    connectProtocol,
    wrapClientTLS,
)

from tests.proxy import FaultProxy
from tests.tls import tls_server
from tests.wire import R, Recorder, ServerCase
from txthoonk.errors import (
    AuthenticationFailed,
    ConnectionLost,
    NotConnected,
    PermissionDenied,
    ServerError,
    ThoonkError,
)
from txthoonk.redis import Redis, RedisSubscriber


class PayloadTests(ServerCase):
    """What is stored comes back."""

    async def test_payloads(self) -> None:
        """
        NUL, nothing, no UTF-8, line ends and 10 MB come back as they were, piped in any order.
        """
        redis = await self.connect(await self.own_server(), Redis())
        payloads = [b"\x00", b"", b"\xff\xfe\x80", b"\r\n$5\r\n", b"x" * 10_000_000, b"007"]
        for number, payload in enumerate(payloads):
            redis.set(f"k{number}", payload)
        replies = [redis.get(f"k{number}") for number in range(len(payloads))]
        for reply, payload in zip(replies, payloads, strict=True):
            self.assertTrue(await reply == payload, payload[:10])

    async def test_published(self) -> None:
        """
        What is published reaches subscribers of the channel and of patterns, as it was.
        """
        server = await self.own_server()
        redis = await self.connect(server, Redis())
        subscriber = await self.connect(server, Recorder())
        await subscriber.subscribe(b"a", b"b*")
        await subscriber.psubscribe(b"?")
        payload = b"\x00\xff" * 500_000
        self.assertEqual(await redis.publish("a", payload), 2)
        self.assertEqual(await redis.publish("bb", "not for a pattern"), 0)
        await subscriber.execute("PING")
        self.assertEqual(subscriber.received, [(b"a", payload), (b"?", b"a", payload)])
        await subscriber.unsubscribe(b"a")
        self.assertEqual(await redis.publish("a", ""), 1)
        await subscriber.unsubscribe(b"b*")
        await subscriber.punsubscribe(b"?")
        self.assertEqual(await redis.publish("a", ""), 0)
        self.assertEqual(await subscriber.ping(), b"PONG")

    async def test_many_in_flight(self) -> None:
        """
        Thousands of commands at once get their own replies.
        """
        redis = await self.connect(await self.own_server(), Redis())
        replies = [redis.echo(number) for number in range(20_000)]
        for number, reply in enumerate(replies):
            self.assertEqual(await reply, b"%d" % number)


class LoginOnServerTests(ServerCase):
    """Logging in to a real server."""

    async def test_password(self) -> None:
        """
        The right password lets one in; the wrong one, or none, fails when_ready().
        """
        server = await self.own_server(requirepass="secret")
        redis = await self.connect(server, Redis(password="secret", db=2, client_name="me"))
        self.assertIn(b"name=me", await redis.execute("CLIENT", "LIST"))
        self.assertIn(b" db=2 ", await redis.execute("CLIENT", "LIST"))
        for wrong in ("wrong", None):
            denied = Redis(password=wrong)
            await connectProtocol(self.endpoint(server), denied)
            command = denied.set("a", 1)
            await self.fails(AuthenticationFailed, denied.when_ready())
            await self.fails(AuthenticationFailed, command)
        self.assertEqual(await redis.exists("a"), 0)

    async def test_user(self) -> None:
        """
        A user gets in with their password; they may do what they may, and not subscribe elsewhere.
        """
        server = await self.own_server(
            user=[
                "me",
                "on",
                ">secret",
                "+@all",
                "-flushall",
                "~mine:*",
                "resetchannels",
                "&mine:*",
            ]
        )
        login: dict[str, Any] = {"username": "me", "password": "secret"}
        redis = await self.connect(server, Redis(**login))
        self.assertEqual(await redis.set("mine:a", 1), b"OK")
        await self.fails(PermissionDenied, redis.set("other", 1))
        await self.fails(PermissionDenied, redis.flushall())
        subscriber = await self.connect(server, Recorder(**login))
        allowed, denied = subscriber.subscribe(b"mine:b"), subscriber.subscribe(b"other")
        await allowed
        await self.fails(PermissionDenied, denied)
        await redis.publish("mine:b", "x")
        await subscriber.execute("PING")
        self.assertEqual(subscriber.received, [(b"mine:b", b"x")])
        wrong = Redis(username="me", password="wrong")
        await connectProtocol(self.endpoint(server), wrong)
        await self.fails(AuthenticationFailed, wrong.when_ready())

    async def test_password_that_nobody_asked_for(self) -> None:
        """
        A password for a server without one is a mistake, and said to be one.
        """
        redis = Redis(password="secret")
        await connectProtocol(self.endpoint(await self.own_server()), redis)
        await self.fails(AuthenticationFailed, redis.when_ready())

    async def test_database_out_of_range(self) -> None:
        """
        A database that does not exist fails the login, and no command reaches another one.
        """
        server = await self.own_server()
        redis = Redis(db=99)
        await connectProtocol(self.endpoint(server), redis)
        command = redis.set("a", 1)
        await self.fails(ServerError, redis.when_ready())
        await self.fails(ServerError, command)
        self.assertEqual(await (await self.connect(server, Redis())).keys("*"), [])


class FaultTests(ServerCase):
    """A network that fails between us and a real server."""

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        """Start the server, and a proxy in front of it."""
        from twisted.internet import reactor

        await super().setUp()
        self.reactor: Any = reactor
        self.server = await self.own_server()
        self.proxy = FaultProxy(reactor, self.endpoint(self.server))
        self.proxy.listen()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.proxy.stop()))

    async def through(self, redis: R) -> R:
        """Connect *redis* through the proxy."""
        return await self.join(self.proxy.endpoint, redis)

    async def lost_after(self, redis: Redis) -> float:
        """How long it takes to notice that the connection is gone, in seconds."""
        start = self.reactor.seconds()
        await redis.when_lost().addTimeout(10, self.reactor)
        seconds: float = self.reactor.seconds() - start
        return seconds

    async def test_half_open(self) -> None:
        """
        A peer that vanished without a word is noticed within ping_interval + ping_timeout.
        """
        redis = await self.through(Redis(ping_interval=0.2, ping_timeout=0.1))
        subscriber = await self.through(RedisSubscriber(ping_interval=0.2, ping_timeout=0.1))
        await subscriber.subscribe(b"a")
        await self.wait(1)
        self.assertEqual(await redis.ping(), b"PONG")
        self.proxy.stall()
        reply = redis.get("a")
        took = await self.lost_after(redis) + await self.lost_after(subscriber)
        self.assertLess(took, 0.2 + 0.1 + 5)  # for a machine that is busy
        await self.fails(ConnectionLost, reply)

    async def test_latency(self) -> None:
        """
        A slow network is no broken one.
        """
        self.proxy.latency = 0.06
        redis = await self.through(Redis(ping_interval=0.1, ping_timeout=1))
        replies = [redis.echo(number) for number in range(100)]
        self.assertEqual([int(await reply) for reply in replies], list(range(100)))
        await self.wait(0.5)
        self.assertEqual(await redis.ping(), b"PONG")

    async def test_slices(self) -> None:
        """
        Replies that come byte by byte come out whole.
        """
        self.proxy.slice = 1
        redis = await self.through(Redis())
        await redis.mset({f"k{number}": "x" * number for number in range(20)})
        values = await redis.mget(*(f"k{number}" for number in range(20)))
        self.assertEqual(values, [b"x" * number for number in range(20)])

    async def test_reset(self) -> None:
        """
        A connection that is reset fails what waits for a reply, at once.
        """
        redis = await self.through(Redis())
        reply = redis.bpop(["nothing"])
        await self.wait(0.05)
        self.proxy.reset()
        await self.fails(ConnectionLost, reply)
        await self.fails(NotConnected, redis.get("a"))

    async def test_cut_inside_a_reply(self) -> None:
        """
        A reply of which only a part came is a lost one; no part of it is handed out.
        """
        redis = await self.through(Redis())
        await redis.set("a", "x" * 1000)
        self.proxy.cut_after = 500
        first, second = redis.get("a"), redis.get("a")
        await self.fails(ConnectionLost, first)
        await self.fails(ConnectionLost, second)

    async def test_server_ends(self) -> None:
        """
        A server that ends is noticed at once.
        """
        redis = await self.through(Redis())
        await self.server.stop()
        self.assertLess(await self.lost_after(redis), 1)

    async def test_peer_that_does_not_read(self) -> None:
        """
        A server that takes nothing any more is given up, however much waits to be sent to it.
        """
        redis = await self.through(Redis(ping_interval=0.2, ping_timeout=0.1))
        self.proxy.stall()
        reply = redis.set("a", b"x" * 20_000_000)
        closing = redis.close()
        self.assertLess(await self.lost_after(redis), 1)
        await closing
        await self.fails(ConnectionLost, reply)


class TLSTests(ServerCase):
    """An encrypted connection."""

    async def test_tls(self) -> None:
        """
        All works the same over TLS.
        """
        from twisted.internet import reactor

        server, port, certificate = await tls_server(self)
        from twisted.internet.ssl import Certificate, optionsForClientTLS

        with open(certificate, "rb") as file:
            trusted = Certificate.loadPEM(file.read())
        endpoint = wrapClientTLS(
            optionsForClientTLS("localhost", trustRoot=trusted),
            TCP4ClientEndpoint(reactor, "127.0.0.1", port),
        )
        redis = await self.join(endpoint, Redis())
        payload = b"\x00\xff" * 500_000
        await redis.set("a", payload)
        replies = [redis.get("a") for _ in range(5)]
        for reply in replies:
            self.assertTrue(await reply == payload)
        subscriber = await self.join(endpoint, Recorder())
        await subscriber.subscribe(b"a")
        await redis.publish("a", "x")
        await subscriber.execute("PING")
        self.assertEqual(subscriber.received, [(b"a", b"x")])
        lost = redis.when_lost()
        await server.stop()
        self.assertIsInstance(await lost, ThoonkError)
