"""Streams on connections that have others too."""

from __future__ import annotations

import json

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    connectProtocol,
    serverFromString,
    wrapClientTLS,
)
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Site

from tests.helpers import until
from tests.stream_helpers import Mirror, StreamCase
from tests.tls import make_certificate
from txthoonk.web import LiveResource


class Pages(Protocol):
    """A browser that speaks HTTP/2: several streams on one connection."""

    def connectionMade(self) -> None:
        """Begin to speak."""
        from h2.connection import H2Connection

        self.wire = H2Connection()
        self.wire.initiate_connection()
        self.mirrors: dict[int, Mirror] = {}
        self.ended: list[int] = []
        self._data: dict[int, bytes] = {}
        self.flush()

    def flush(self) -> None:
        """Send what there is."""
        assert self.transport is not None
        self.transport.write(self.wire.data_to_send())

    def get(self, path: str) -> int:
        """Begin a stream; gives its number."""
        number: int = self.wire.get_next_available_stream_id()
        head = {":method": "GET", ":path": path, ":scheme": "https", ":authority": "localhost"}
        self.wire.send_headers(number, list(head.items()), end_stream=True)
        self.mirrors[number], self._data[number] = Mirror(), b""
        self.flush()
        return number

    def reset(self, number: int) -> None:
        """Give a stream up."""
        self.wire.reset_stream(number)
        self.flush()

    def dataReceived(self, data: bytes) -> None:
        """Something came."""
        from h2.events import DataReceived, StreamEnded, StreamReset

        for event in self.wire.receive_data(data):
            if isinstance(event, DataReceived):
                number = event.stream_id
                self.wire.acknowledge_received_data(event.flow_controlled_length, number)
                self._data[number] += event.data
                while b"\n\n" in self._data[number]:
                    block, _, self._data[number] = self._data[number].partition(b"\n\n")
                    for line in block.split(b"\n"):
                        if line.startswith(b"data: "):
                            self.mirrors[number].take(json.loads(line[6:]))
            elif isinstance(event, StreamEnded | StreamReset):
                self.ended.append(event.stream_id)
        self.flush()

    def connectionLost(self, reason: Failure = Failure(Exception())) -> None:  # noqa: B008  # Twisted's own default
        """The connection has ended."""
        self.ended.append(0)


class Http2Tests(StreamCase):
    """Over TLS, as browsers speak it."""

    async def test_streams(self) -> None:
        """
        Several streams on one connection get their feeds; one that ends leaves the others alone.
        """
        from twisted.internet import reactor
        from twisted.internet.ssl import (
            Certificate,
            optionsForClientTLS,
            trustRootFromCertificates,
        )

        one, two = self.thoonk.feed(self.feed_name()), self.thoonk.feed(self.feed_name())
        await one.publish("a" * 300_000, id="a")
        await two.publish("b", id="b")
        live = LiveResource(self.thoonk, lambda user, feed: True)
        self.addCleanup(live.stop)
        root = Resource()
        root.putChild(b"live", live)
        certificate, key = make_certificate(self)
        spoken = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
        port = await serverFromString(reactor, spoken).listen(Site(root))
        self.addCleanup(port.stopListening)
        with open(certificate) as pem:
            trusted = trustRootFromCertificates([Certificate.loadPEM(pem.read())])
        options = optionsForClientTLS("localhost", trusted, acceptableProtocols=[b"h2"])
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
        pages: Pages = await connectProtocol(wrapClientTLS(options, endpoint), Pages())
        self.addCleanup(lambda: Deferred.fromCoroutine(until(lambda: 0 in pages.ended)))
        self.addCleanup(lambda: pages.transport.loseConnection())

        first, second = (pages.get(f"/live/stream?feed={feed.name}") for feed in (one, two))
        await until(lambda: pages.mirrors[first].feeds and pages.mirrors[second].feeds)
        self.assertEqual(pages.mirrors[first].feeds, {one.name: {"a": "a" * 300_000}})
        pages.reset(first)
        await until(lambda: len(live.hub.streams) == 1)
        await two.publish("c", id="c")
        await until(lambda: "c" in pages.mirrors[second].feeds[two.name])
        socket = pages.get("/live/socket")
        await until(lambda: socket in pages.ended)
        self.assertEqual(live.hub.end("None"), 1)
        await until(lambda: second in pages.ended)
        self.assertEqual(pages.mirrors[second].wrong, [])
