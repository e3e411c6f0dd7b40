"""Web clients of feeds, as small as they can be, and what they make of what they are told."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, Request, TextMessage

from tests.web_helpers import WebTestCase
from txthoonk.web import LiveResource

__all__ = ["Mirror", "SocketClient", "StreamCase", "StreamClient"]


class Mirror:
    """What a page has of feeds, by what it was told; complains of what cannot be.

    :ivar feeds: name -> (id -> item), in order.
    :ivar log: all messages.
    :ivar wrong: what was missing or came twice.
    """

    def __init__(self) -> None:
        self.feeds: dict[str, dict[str, Any]] = {}
        self.at: dict[str, str] = {}
        self.revisions: dict[str, int] = {}
        self.kinds: dict[str, str] = {}
        self.log: list[dict[str, Any]] = []
        self.wrong: list[str] = []

    def take(self, message: dict[str, Any]) -> None:
        """Be told something."""
        self.log.append(message)
        kind, feed = message["type"], message.get("feed", "")
        if kind == "snapshot":
            if feed in self.feeds and "reason" not in message:
                self.wrong.append(f"{feed}: a second state without a reason")
            self.feeds[feed] = dict(message["items"])
            self.kinds[feed] = message["kind"]
        elif kind == "deleted":
            self.feeds.pop(feed, None)
            self.at.pop(feed, None)
            return
        elif kind in ("publish", "edit", "retract", "move"):
            # A feed that is born is told from its first change on.
            known = self.revisions.get(feed, 0)
            if message["revision"] != known + 1:
                self.wrong.append(f"{feed}: {message['revision']} after {known}")
            self._apply(self.feeds.setdefault(feed, {}), message)
        else:
            return
        self.at[feed], self.revisions[feed] = message["at"], message["revision"]

    def _apply(self, items: dict[str, Any], message: dict[str, Any]) -> None:
        id, kind = message["id"], message["type"]
        if kind == "retract":
            items.pop(id, None)
            return
        is_sorted = self.kinds.get(message["feed"]) == "sorted_feed"
        item = message.get("item", items.get(id))
        if kind == "edit" and is_sorted and id in items:
            items[id] = item
            return
        items.pop(id, None)
        ids, position = list(items), message.get("position", ":end")
        place = len(ids)
        if position == "begin:":
            place = 0
        elif position != ":end" and position[:-1] in ids:
            place = ids.index(position[:-1]) + 1
        elif position != ":end" and position[1:] in ids:
            place = ids.index(position[1:])
        ids.insert(place, id)
        items[id] = item
        ordered = {each: items[each] for each in ids}
        items.clear()
        items.update(ordered)

    def types(self, feed: str) -> list[str]:
        """Of the messages of a feed."""
        return [each["type"] for each in self.log if each.get("feed") == feed]


class _Client(Protocol):
    """What both kinds of clients have in common."""

    def __init__(self, mirror: Mirror | None = None) -> None:
        self.mirror = mirror or Mirror()
        self.lost = False
        self.head = b""
        self._data = b""
        self._looks: list[tuple[Callable[[], Any], Deferred[None]]] = []

    def when(self, look: Callable[[], Any]) -> Deferred[None]:
        """Fires when *look* says so."""
        done: Deferred[None] = Deferred()
        self._looks.append((look, done))
        self._look()
        return done

    def when_told(self, kind: str, **parts: Any) -> Deferred[None]:
        """Fires when such a message was there, since the beginning."""

        def look() -> bool:
            wanted = {"type": kind, **parts}.items()
            return any(wanted <= _flat(each).items() for each in self.mirror.log)

        return self.when(look)

    def when_lost(self) -> Deferred[None]:
        """Fires when the connection has ended."""
        return self.when(lambda: self.lost)

    def _look(self) -> None:
        looks, self._looks = self._looks, []
        for look, done in looks:
            if look():
                done.callback(None)
            else:
                self._looks.append((look, done))

    def connectionLost(self, reason: Failure = Failure(Exception())) -> None:  # noqa: B008  # Twisted's own default
        """The connection has ended."""
        self.lost = True
        self._look()

    @property
    def unsent(self) -> int:
        """Bytes that wait here for the server to read."""
        transport: Any = self.transport
        return int(len(transport.dataBuffer) - transport.offset + transport._tempDataLen)

    def cut(self) -> None:
        """Break the connection, without a word."""
        transport: Any = self.transport
        transport.abortConnection()

    def stop_reading(self) -> None:
        """Take nothing from the socket."""
        transport: Any = self.transport
        transport.pauseProducing()

    def read_again(self) -> None:
        """The opposite."""
        transport: Any = self.transport
        transport.resumeProducing()


def _flat(message: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in message.items() if not isinstance(v, (list, dict))}


class StreamClient(_Client):
    """An EventSource.

    :ivar last_id: as it is given back.
    :ivar ids: the same behind each message, by its place.
    """

    last_id = ""

    def __init__(self, mirror: Mirror | None = None) -> None:
        super().__init__(mirror)
        self.ids: dict[str, str] = {}

    def ask(self, path: str, headers: dict[str, str]) -> None:
        """Send the request."""
        lines = [f"GET {path} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        assert self.transport is not None
        self.transport.write("\r\n".join([*lines, "", ""]).encode())

    def dataReceived(self, data: bytes) -> None:
        """Something came."""
        self._data += data
        if not self.head:
            if b"\r\n\r\n" not in self._data:
                return
            self.head, _, self._data = self._data.partition(b"\r\n\r\n")
        while b"\n\n" in self._data:
            block, _, self._data = self._data.partition(b"\n\n")
            texts = []
            for line in block.split(b"\n"):
                name, _, value = line.partition(b": ")
                if name == b"id":
                    self.last_id = value.decode()
                elif name == b"data":
                    texts.append(value)
            if texts:
                message = json.loads(b"\n".join(texts))
                self.ids[message.get("at", "")] = self.last_id
                self.mirror.take(message)
        self._look()


class SocketClient(_Client):
    """A WebSocket.

    :ivar closed_by: the code that the other side closed with.
    """

    closed_by = 0

    def ask(self, path: str, headers: dict[str, str]) -> None:
        """Send the request."""
        self._wire = WSConnection(ConnectionType.CLIENT)
        extra = [(name.encode(), value.encode()) for name, value in headers.items()]
        self.send_raw(self._wire.send(Request("localhost", path, extra_headers=extra)))

    def send_raw(self, data: bytes) -> None:
        """Send bytes."""
        assert self.transport is not None
        self.transport.write(data)

    def send(self, message: Any) -> None:
        """Send a message."""
        text = message if isinstance(message, str) else json.dumps(message)
        self.send_raw(self._wire.send(TextMessage(text)))

    def dataReceived(self, data: bytes) -> None:
        """Something came."""
        self._wire.receive_data(data)
        for event in self._wire.events():
            if isinstance(event, AcceptConnection):
                self.head = b"101"
            elif isinstance(event, TextMessage):
                self._data += event.data.encode("utf-8", "surrogatepass")
                if event.message_finished:
                    text, self._data = self._data, b""
                    self.mirror.take(json.loads(text))
            elif isinstance(event, Ping):
                self.send_raw(self._wire.send(event.response()))
            elif isinstance(event, CloseConnection):
                self.closed_by = event.code
        self._look()


class StreamCase(WebTestCase):
    """A test case with a site that has feeds at ``/live``."""

    async def setUp(self) -> None:
        """Have a Thoonk."""
        await super().setUp()
        self.thoonk = await self.start_thoonk()

    def serve_live(self, **options: Any) -> LiveResource:
        """Serve feeds; anybody may read all, if nothing else is said."""
        options.setdefault("may_read", lambda user, feed: True)
        live = LiveResource(self.thoonk, **options)
        self.addCleanup(live.stop)
        root = Resource()
        root.putChild(b"live", live)
        self.serve(root)
        return live

    async def _connect(self, client: Any, path: str, headers: dict[str, str]) -> Any:
        from twisted.internet import reactor

        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port)
        await connectProtocol(endpoint, client)
        client.ask(path, headers)

        async def end() -> None:
            client.cut()
            await client.when_lost()

        self.addCleanup(lambda: Deferred.fromCoroutine(end()))
        return client

    async def stream(
        self, query: str, last_id: str = "", mirror: Mirror | None = None, **headers: str
    ) -> StreamClient:
        """An EventSource on ``/live/stream?query``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if last_id:
            named["Last-Event-ID"] = last_id
        client: StreamClient = await self._connect(
            StreamClient(mirror), f"/live/stream?{query}", named
        )
        return client

    async def socket(self, mirror: Mirror | None = None, **headers: str) -> SocketClient:
        """A WebSocket on ``/live/socket``, connected."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        client: SocketClient = await self._connect(SocketClient(mirror), "/live/socket", named)
        await client.when(lambda: client.head or client.lost)
        return client

    @staticmethod
    def rss() -> int:
        """What this process has in memory: bytes."""
        with open(f"/proc/{os.getpid()}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
