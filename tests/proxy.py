"""A TCP port in front of a server, on which the network fails as a test tells it to."""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IAddress, IDelayedCall, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

__all__ = ["FaultProxy"]


class FaultProxy:
    """Passes bytes between its port and *target*, as badly as it is told.

    The attributes may be changed at any time; they are about all connections.

    :param reactor: a real one.
    :param target: where the server is.
    """

    #: Seconds by which each piece of data is late, either way.
    latency = 0.0
    #: Bytes of the server that pass at a time; ``None`` passes what has come.
    slice: int | None = None
    #: Bytes of the server that pass before the connection is reset; ``None`` never does.
    cut_after: int | None = None

    def __init__(self, reactor: Any, target: IStreamClientEndpoint) -> None:
        self.reactor = reactor
        self.target = target
        self.stalled = False
        self.connections: list[_Pipe] = []
        #: How many connections were made to the port.
        self.accepted = 0
        self.number = 0
        self._port: Any = None
        self._idle: list[Deferred[None]] = []

    @property
    def endpoint(self) -> TCP4ClientEndpoint:
        """Where to connect instead of to the server."""
        return TCP4ClientEndpoint(self.reactor, "127.0.0.1", self.number, timeout=5)

    def listen(self) -> None:
        """Accept connections; again on the same port after :meth:`refuse`."""
        self._port = self.reactor.listenTCP(self.number, _PortFactory(self), interface="127.0.0.1")
        self.number = self._port.getHost().port

    @property
    def is_listening(self) -> bool:
        """Whether it accepts connections."""
        return self._port is not None

    async def refuse(self) -> None:
        """Refuse new connections, as a server that is down; those there are stay."""
        port, self._port = self._port, None
        if port is not None:
            await port.stopListening()

    def stall(self) -> None:
        """Let nothing pass, and say nothing: the cable is cut. New connections are accepted."""
        self.stalled = True
        for pipe in self.connections:
            pipe.update()

    def resume(self) -> None:
        """Let everything pass that was held up."""
        self.stalled = False
        for pipe in self.connections:
            pipe.update()

    def reset(self, *some: _Pipe) -> None:
        """Reset (RST) some connections, or all, as a server that crashed."""
        for pipe in some or list(self.connections):
            pipe.abort()

    def drop(self, *some: _Pipe) -> None:
        """End some connections, or all, in order (FIN), as a server that has no use for them."""
        for pipe in some or list(self.connections):
            pipe.drop()

    def cut_in(self, count: int) -> None:
        """Reset each connection that there is once so many more bytes of the server passed."""
        for pipe in self.connections:
            pipe.cut_at = pipe.passed + count

    def cut_before(self, text: bytes) -> None:
        """Reset each connection that there is where the server next says this.

        That it comes in two pieces is not seen.
        """
        for pipe in self.connections:
            pipe.cut_before = text

    async def stop(self) -> None:
        """Refuse new connections and end those there are."""
        await self.refuse()
        for pipe in list(self.connections):
            pipe.abort()
        if self.connections:
            idle: Deferred[None] = Deferred()
            self._idle.append(idle)
            await idle

    def gone(self, pipe: _Pipe) -> None:
        """A connection has ended on both sides."""
        self.connections.remove(pipe)
        if not self.connections:
            waiting, self._idle = self._idle, []
            for idle in waiting:
                idle.callback(None)


class _PortFactory(Factory):
    noisy = False

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        self.proxy.accepted += 1
        return _Pipe(self.proxy).client


class _Pipe:
    """One connection through the proxy: a client's side and the server's."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.client = _Side(self)
        self.server = _Side(self)
        self.passed = 0
        #: What ``cut_in`` said, in bytes since the beginning.
        self.cut_at: int | None = None
        #: What ``cut_before`` said.
        self.cut_before: bytes | None = None
        self._connecting: Deferred[Any] | None = None
        proxy.connections.append(self)

    def connected(self, side: _Side) -> None:
        if side is self.client:
            factory = Factory.forProtocol(lambda: self.server)
            factory.noisy = False
            self._connecting = self.proxy.target.connect(factory)
            self._connecting.addErrback(lambda _: self.abort())
        self.update()

    def update(self) -> None:
        for side in (self.client, self.server):
            side.update()

    @property
    def limit(self) -> int | None:
        """How many bytes of the server may pass before the connection is reset."""
        return self.proxy.cut_after if self.cut_at is None else self.cut_at

    def drop(self) -> None:
        self.client.queue.clear()
        if self.client.state == "open":
            self.client.transport.loseConnection()

    def abort(self) -> None:
        if self.server.state == "new" and self._connecting is not None:
            self.server.state = "lost"
            self._connecting.cancel()
        for side in (self.client, self.server):
            if side.state == "open":
                side.transport.abortConnection()
        self.ended()

    def ended(self) -> None:
        if {self.client.state, self.server.state} == {"lost"} and self in self.proxy.connections:
            self.proxy.gone(self)


class _Side(Protocol):
    """One side of a connection; *queue* holds what has to go out here, and when it may."""

    transport: Any

    def __init__(self, pipe: _Pipe) -> None:
        self.pipe = pipe
        self.state = "new"
        self.queue: deque[tuple[float, bytes]] = deque()
        self.ending = False
        self._call: IDelayedCall | None = None

    @property
    def other(self) -> _Side:
        return self.pipe.server if self is self.pipe.client else self.pipe.client

    def connectionMade(self) -> None:
        self.state = "open"
        if isinstance(self.transport.getPeer(), IPv4Address):
            self.transport.setTcpNoDelay(True)
        self.pipe.connected(self)

    def dataReceived(self, data: bytes) -> None:
        proxy = self.pipe.proxy
        self.other.queue.append((proxy.reactor.seconds() + proxy.latency, data))
        self.other.update()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.state = "lost"
        if self._call is not None and self._call.active():
            self._call.cancel()
        if self.other.state == "new":
            self.pipe.abort()
        self.other.ending = True
        self.other.update()
        self.pipe.ended()

    def update(self) -> None:
        """Pass on what may pass now, and come back for the rest."""
        if self.state != "open" or (self._call is not None and self._call.active()):
            return
        proxy = self.pipe.proxy
        if proxy.stalled:
            self.transport.pauseProducing()
            return
        self.transport.resumeProducing()
        if not self.queue:
            if self.ending:
                self.transport.loseConnection()
            return
        due, data = self.queue[0]
        late = due - proxy.reactor.seconds()
        if late <= 0:
            self.queue.popleft()
            late = 0
            if self._write(due, data):
                # Not in this turn: a reset would overtake what was written.
                self._call = proxy.reactor.callLater(0.01, self.pipe.abort)
                return
        if self.queue or self.ending:
            self._call = proxy.reactor.callLater(late, self.update)

    def _write(self, due: float, data: bytes) -> bool:
        """Write one piece; tell whether the connection ends with it."""
        proxy, pipe = self.pipe.proxy, self.pipe
        if self is pipe.client:
            if proxy.slice is not None and len(data) > proxy.slice:
                self.queue.appendleft((due, data[proxy.slice :]))
                data = data[: proxy.slice]
            limit = pipe.limit
            if pipe.cut_before is not None and pipe.cut_before in data:
                limit = pipe.passed + data.index(pipe.cut_before)
            if limit is not None and pipe.passed + len(data) >= limit:
                self.transport.write(data[: max(0, limit - pipe.passed)])
                self.queue.clear()
                return True
            pipe.passed += len(data)
        self.transport.write(data)
        return False
