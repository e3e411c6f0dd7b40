"""Connections to test: in memory, with made-up replies, and to a real server."""

from __future__ import annotations

import socket
from typing import Any, TypeVar

import hiredis
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    UNIXClientEndpoint,
    connectProtocol,
)
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txthoonk.embedded import EmbeddedRedis
from txthoonk.redis import Redis, RedisSubscriber
from txthoonk.testing import RedisTestCase

R = TypeVar("R", bound=Redis)

#: What a connection asks to see that it is logged in.
PING = [b"PING"]


class Wire(StringTransport):
    """A transport in memory; closing it is told one turn later, as by the real ones."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.protocol: Any = None
        self.commands = hiredis.Reader()

    def sent(self) -> list[list[bytes]]:
        """The commands written since the last look."""
        self.clock.advance(0)
        self.commands.feed(self.value())
        self.clear()
        return list(iter(self.commands.gets, False))

    def loseConnection(self) -> None:
        """Close, in the reactor's next turn."""
        self._end(ConnectionDone())

    def abortConnection(self) -> None:  # Twisted's name
        """Close at once, which is the reactor's next turn too."""
        self.disconnected = True
        self._end(ConnectionAborted())

    def _end(self, reason: Exception) -> None:
        if not self.disconnecting:
            self.disconnecting = True
            self.clock.callLater(0, self.end, reason)

    def end(self, reason: Exception | None = None) -> None:
        """The connection is gone."""
        if self.connected:
            self.connected = False
            self.disconnecting = True
            self.protocol.connectionLost(Failure(reason or ConnectionDone()))


class WireCase(SynchronousTestCase):
    """A connection in memory, and a clock that must be empty when the test ends."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.addCleanup(self.finish)

    def connect(self, redis: R, *, login: bool = True) -> R:
        """Connect *redis*; answer its login."""
        self.redis = redis
        self.wire = Wire(self.clock)
        self.wire.protocol = redis
        redis.makeConnection(self.wire)
        if login:
            self.answer("+OK\r\n" * (len(self.wire.sent()) - 1) + "+PONG\r\n")
            self.assertIs(self.successResultOf(redis.when_ready()), redis)
            self.assertEqual(self.wire.sent(), [])
        return redis

    def simple(self, **options: Any) -> Redis:
        """A logged-in connection."""
        return self.connect(Redis(reactor=self.clock, **options))

    def subscriber(self, kind: type[RedisSubscriber] = RedisSubscriber) -> RedisSubscriber:
        """A logged-in connection that can subscribe."""
        return self.connect(kind(reactor=self.clock))

    def answer(self, reply: str | bytes) -> None:
        """Let bytes come from the server."""
        self.redis.dataReceived(reply.encode() if isinstance(reply, str) else reply)

    def finish(self) -> None:
        """Nothing may stay in the reactor once the connection is gone."""
        if hasattr(self, "wire"):
            self.wire.end()
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])


def confirmation(kind: str, channel: str, count: int = 1) -> str:
    """What Redis says to (UN)SUBSCRIBE."""
    return f"*3\r\n${len(kind)}\r\n{kind}\r\n${len(channel)}\r\n{channel}\r\n:{count}\r\n"


def message(channel: str, text: str) -> str:
    """What Redis sends to subscribers of a channel."""
    return f"*3\r\n$7\r\nmessage\r\n${len(channel)}\r\n{channel}\r\n${len(text)}\r\n{text}\r\n"


class Recorder(RedisSubscriber):
    """Keeps what it receives; chokes on what says so."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.received: list[tuple[bytes, ...]] = []

    def messageReceived(self, channel: bytes, message: bytes) -> None:
        """Keep it."""
        if message == b"bad":
            raise ValueError("I cannot read this")
        self.received.append((channel, message))

    def patternMessageReceived(self, pattern: bytes, channel: bytes, message: bytes) -> None:
        """Keep it."""
        self.received.append((pattern, channel, message))


def free_port() -> int:
    """A TCP port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ServerCase(RedisTestCase):
    """Connections to a real server, closed when the test ends."""

    async def join(self, endpoint: IStreamClientEndpoint, redis: R) -> R:
        """Connect *redis* and wait until it is logged in."""
        await connectProtocol(endpoint, redis)
        self.addCleanup(redis.close, abort=True)
        await redis.when_ready()
        return redis

    async def connect(self, server: EmbeddedRedis, redis: R) -> R:
        """Connect *redis* to a server of ours."""
        return await self.join(self.endpoint(server), redis)

    def endpoint(self, server: EmbeddedRedis) -> IStreamClientEndpoint:
        """Where a server of ours listens."""
        from twisted.internet import reactor

        return UNIXClientEndpoint(reactor, server.socket_path)

    async def wait(self, seconds: float) -> None:
        """Let time pass."""
        from twisted.internet import reactor

        await deferLater(reactor, seconds)

    async def fails(self, kind: type[Exception], waiting: Deferred[Any]) -> Any:
        """The error that *waiting* fails with."""
        return await self.assertFailure(waiting, kind)
