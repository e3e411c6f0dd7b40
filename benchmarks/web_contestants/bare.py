"""The limit on Twisted: a WebSocket's handshake, then one packed frame to each connection.

VARIANT ``direct``: the frame goes to the socket at once where nothing is buffered, instead of
waiting for the reactor to say that it is writable.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import Any

from twisted.internet import protocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from benchmarks.web_contestants import common

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Socket(protocol.Protocol):
    """A client's connection; nothing that it sends after its request is looked at."""

    def __init__(self) -> None:
        self._head = b""

    def dataReceived(self, data: bytes) -> None:
        """Answer the request."""
        if self in sockets:
            return
        self._head += data
        if b"\r\n\r\n" not in self._head:
            return
        lines = [line.split(b": ", 1) for line in self._head.split(b"\r\n") if b": " in line]
        key = {name.lower(): value for name, value in lines}[b"sec-websocket-key"]
        self._head = b""
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        assert self.transport is not None
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        sockets.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It has gone."""
        sockets.discard(self)


sockets: set[Socket] = set()


def framed(message: bytes) -> bytes:
    """The message in a text frame."""
    size = len(message)
    head = bytes([size]) if size < 126 else b"\x7e" + struct.pack(">H", size)
    return b"\x81" + head + message


def write(message: bytes) -> None:
    """Leave it to the reactor when it is sent."""
    frame = framed(message)
    for each in sockets:
        each.transport.write(frame)  # type: ignore[union-attr]  # they are connected


def write_directly(message: bytes) -> None:
    """Send it now, if nothing waits to be sent."""
    frame = framed(message)
    for each in list(sockets):
        transport: Any = each.transport
        if transport.dataBuffer or transport._tempDataBuffer or transport.disconnecting:
            transport.write(frame)
            continue
        sent = transport.writeSomeData(frame)
        if isinstance(sent, Exception):
            transport.connectionLost(Failure(sent))
        elif sent < len(frame):
            transport.write(frame[sent:])


if __name__ == "__main__":
    factory = protocol.Factory.forProtocol(Socket)
    common.serve(factory, write_directly if common.VARIANT == "direct" else write)
