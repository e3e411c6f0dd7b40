"""Sends garbage to a web process, and looks at what comes back."""

from __future__ import annotations

import gzip
import json
import re
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.task import deferLater
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import CloseConnection, TextMessage

from tests.web_fuzz.making import Maker
from tests.web_helpers import Raw

__all__ = ["Fuzzer"]

HANDSHAKE = (
    b"GET /live/socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n")
TELLTALE = re.compile(rb"Traceback|File \"|line \d+, in |<html|txthoonk|redis", re.IGNORECASE)

#: Seconds that an answer may take.
PATIENCE = 10.0


class Fuzzer:
    """Sends garbage.

    :param port: of the process, on this host.
    :param seed: of the garbage.
    :ivar wrong: what came back that should not.
    :ivar codes: how often which status, or close code, came.
    """

    def __init__(self, port: int, seed: int) -> None:
        from twisted.internet import reactor

        self._reactor: Any = reactor
        self._endpoint = TCP4ClientEndpoint(self._reactor, "127.0.0.1", port)
        self.maker = Maker(seed)
        self.wrong: list[str] = []
        self.codes: dict[Any, int] = {}

    def _count(self, code: Any) -> None:
        self.codes[code] = self.codes.get(code, 0) + 1

    async def _wait(self, waiting: Deferred[Any]) -> bool:
        waiting.addTimeout(PATIENCE, self._reactor)
        try:
            await waiting
        except Exception:
            return False
        return True

    async def request(self) -> None:
        """One request; what is answered has to be JSON, and no fault of the server's."""
        data = self.maker.request()
        raw: Raw = await connectProtocol(self._endpoint, Raw())
        raw.send(data)
        told = await self._wait(raw.when(lambda raw: raw.lost or _is_done(data, raw.received)))
        transport: Any = raw.transport
        if not raw.lost:
            transport.abortConnection()
            await raw.when_lost()
        received = raw.received.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        found = STATUS.match(received)
        if found is None:
            self._count("closed" if told else "waits")  # a body that did not come
            if received:
                self.wrong.append(f"{data[:300]!r} -> {received[:300]!r}")
            return
        code = int(found[1])
        self._count(code)
        head, _, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        body = body[: int(length[1])] if length else body  # another answer may follow
        if b"HEAD " in data[:10]:
            body = b""
        if code >= 500 or TELLTALE.search(head + body):
            if b"thoonk-live" not in data:
                self.wrong.append(f"{data[:500]!r} -> {received[:300]!r}")
        elif length and body and b"application/json" in head:
            body = gzip.decompress(body) if b"Content-Encoding: gzip" in head else body
            try:
                is_told = code < 400 or json.loads(body)["code"] == code
            except (ValueError, KeyError, TypeError):
                is_told = False
            if not is_told:
                self.wrong.append(f"{data[:300]!r} -> {received[:300]!r}")

    async def socket(self, messages: int) -> None:
        """One socket with some messages, until it is closed."""
        raw: Raw = await connectProtocol(self._endpoint, Raw())
        raw.send(HANDSHAKE)
        await raw.when(lambda raw: b"\r\n\r\n" in raw.received or raw.lost)
        data = b""
        for _ in range(messages):
            if raw.lost:
                break
            frame = self.maker.frame()
            data += frame
            raw.send(frame)
            await deferLater(self._reactor, 0)
        ping = b"\x89\x80\x00\x00\x00\x00"
        raw.send(ping)
        await self._wait(raw.when(lambda raw: raw.lost or b"\x8a\x00" in raw.received))
        transport: Any = raw.transport
        if not raw.lost:
            transport.abortConnection()
            await raw.when_lost()
        self._judge(data, raw.received.partition(b"\r\n\r\n")[2])

    def _judge(self, sent: bytes, received: bytes) -> None:
        reader = Connection(ConnectionType.CLIENT)
        text = ""
        try:
            reader.receive_data(received)
            events = list(reader.events())
        except Exception as error:
            self.wrong.append(f"{sent[:300]!r} -> no frames: {error}")
            return
        for event in events:
            if isinstance(event, CloseConnection):
                self._count(event.code)
                if event.code not in (1000, 1001, 1002, 1003, 1007, 1009):
                    self.wrong.append(f"{sent[:500]!r} -> closed with {event.code}")
            elif isinstance(event, TextMessage):
                text += event.data
                if event.message_finished:
                    answer, text = json.loads(text), ""
                    self._count(f"{answer['type']} {answer.get('code', '')}")
                    if answer.get("code", 0) >= 500 or TELLTALE.search(json.dumps(answer).encode()):
                        self.wrong.append(f"{sent[:500]!r} -> {answer}")


def _is_done(sent: bytes, received: bytes) -> bool:
    """Whether an answer is there, or a stream or a socket whose end does not come by itself."""
    received = received.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    if b'"ready"' in received or b" 101 Switching" in received:
        return True
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return False
    length = re.search(rb"Content-Length: (\d+)", head)
    if sent[:4] == b"HEAD" or head[9:12] in (b"204", b"304"):
        return True
    return length is not None and len(body) >= int(length[1])
