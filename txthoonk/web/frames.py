"""Messages as they stand on the wire of Server-Sent Events and of WebSocket."""

from __future__ import annotations

from typing import Final

from wsproto.frame_protocol import FrameProtocol

__all__ = ["COMMENT", "PING", "are_whole", "close_frame", "event", "frame", "pong"]

#: A server masks nothing and has negotiated nothing: its frames are the same for every client.
_FRAMES: Final = FrameProtocol(client=False, extensions=[])

#: What tells an EventSource, and whatever stands in between, that the stream is alive.
COMMENT: Final = b":\n\n"

PING: Final = bytes(_FRAMES.ping(b""))


def event(text: bytes, id: str | None) -> bytes:
    """A message as an event of a stream.

    :param text: JSON, which has no line ends.
    :param id: what the client gives back as ``Last-Event-ID``; None: the one that it has stands.
    """
    if id is None:
        return b"data: %b\n\n" % text
    return b"id: %b\ndata: %b\n\n" % (id.encode(), text)


def frame(text: bytes) -> bytes:
    """A message as a text frame."""
    # What FrameProtocol makes of it, which copies a large one several times.
    size = len(text)
    if size < 126:
        return b"\x81%c%b" % (size, text)
    if size < 65536:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), text)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), text)


def close_frame(code: int, reason: str = "") -> bytes:
    """What ends a connection.

    :param code: of RFC 6455, section 7.4.
    """
    return bytes(_FRAMES.close(code, reason))


def pong(payload: bytes) -> bytes:
    """The answer to a ping."""
    return bytes(_FRAMES.pong(payload))


def are_whole(data: bytes) -> bool:
    """Whether these frames of a client need no others: none is cut off, none part of a message."""
    start, end = 0, len(data)
    while start < end:
        if end - start < 2 or data[start] < 0x80 or not data[start] & 0x0F:
            return False
        size = data[start + 1] & 0x7F
        head = 6 if data[start + 1] & 0x80 else 2
        if size > 125:
            more = 2 if size == 126 else 8
            size = int.from_bytes(data[start + 2 : start + 2 + more], "big")
            head += more
        start += head + size
    return start == end
