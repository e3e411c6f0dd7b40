"""What tests of the web package need: a real site on a real port, and clients of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Server
from twisted.python.failure import Failure
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool, readBody
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource
from twisted.web.server import Site

from tests.helpers import ThoonkTestCase, until

__all__ = ["Answer", "Raw", "WebTestCase"]


class Answer:
    """What came back.

    :ivar code: the status.
    :ivar headers: ``get(name)`` gives the last value as text, or an empty one.
    :ivar length: that the headers gave.
    :ivar data: the body as it came.
    """

    def __init__(self, code: int, headers: Headers, length: Any, data: bytes) -> None:
        self.code = code
        self._headers = headers
        self.length = length
        self.data = data

    def get(self, name: str) -> str:
        """A header, or an empty text."""
        found = self._headers.getRawHeaders(name) or [""]
        return ", ".join(found)

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.data)


class Raw(Protocol):
    """A connection without any knowledge of HTTP."""

    def __init__(self) -> None:
        self.received = b""
        self.lost = False
        self._looks: list[tuple[Callable[[Raw], Any], Deferred[Raw]]] = []

    def send(self, data: bytes) -> None:
        """Write something."""
        assert self.transport is not None
        self.transport.write(data)

    def when(self, look: Callable[[Raw], Any]) -> Deferred[Raw]:
        """Fires when *look* says so; it is asked whenever something came."""
        waiter: Deferred[Raw] = Deferred()
        self._looks.append((look, waiter))
        self._look()
        return waiter

    def when_lost(self) -> Deferred[Raw]:
        """Fires when the other side has closed."""
        return self.when(lambda raw: raw.lost)

    def dataReceived(self, data: bytes) -> None:
        """Something came."""
        self.received += data
        self._look()

    def connectionLost(self, reason: Failure = Failure(Exception())) -> None:  # noqa: B008  # Twisted's own default
        """The other side has closed."""
        self.lost = True
        self._look()

    def _look(self) -> None:
        looks, self._looks = self._looks, []
        for look, waiter in looks:
            if look(self):
                waiter.callback(self)
            else:
                self._looks.append((look, waiter))


class WebTestCase(ThoonkTestCase):
    """A test case with sites on ports of their own, and an HTTP client."""

    def listen_http(self, site: Site) -> int:
        """Let a site listen until the test ends; gives the port."""
        from twisted.internet import reactor

        real: Any = reactor
        port = real.listenTCP(0, site, interface="127.0.0.1")

        self.addCleanup(lambda: Deferred.fromCoroutine(until(lambda: not self.connections(number))))
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    def connections(self, port: Any = None) -> list[Any]:
        """The connections that a site has, or all sites have, on this side."""
        from twisted.internet import reactor

        real: Any = reactor
        there = {*real.getReaders(), *real.getWriters()}
        mine = [each for each in there if isinstance(each, Server)]
        return [each for each in mine if port in (None, each.getHost().port)]

    def serve(self, resource: IResource, change: Callable[[Site], object] = bool) -> str:
        """Serve a resource; gives the URL of the root."""
        site = Site(resource, timeout=20)
        change(site)
        self.port = self.listen_http(site)
        return f"http://127.0.0.1:{self.port}"

    async def ask(
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        """Ask over HTTP, without a pool.

        :param body: is sent as JSON.
        :param raw: is sent as it is.
        """
        from twisted.internet import reactor

        sent = Headers({k: [v] for k, v in (headers or {}).items()})
        data = json.dumps(body).encode() if body is not None else raw
        if body is not None and not sent.hasHeader("content-type"):
            sent.setRawHeaders("content-type", ["application/json"])
        producer: Any = None
        if data is not None:
            from io import BytesIO

            producer = FileBodyProducer(BytesIO(data))
        agent = Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False))
        response = await agent.request(method.encode(), url.encode(), sent, producer)
        data = await readBody(response) if response.length else b""
        return Answer(response.code, response.headers, response.length, data)

    async def raw(self, port: int | None = None) -> Raw:
        """A bare connection; it is closed when the test ends."""
        from twisted.internet import reactor

        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port or self.port)
        raw: Raw = await connectProtocol(endpoint, Raw())

        async def close() -> None:
            if not raw.lost and raw.transport is not None:
                raw.transport.loseConnection()
                await raw.when_lost()

        self.addCleanup(lambda: Deferred.fromCoroutine(close()))
        return raw
