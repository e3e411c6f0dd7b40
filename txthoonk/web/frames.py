"""Messages as they stand on the wire of Server-Sent Events and of WebSocket."""

from __future__ import annotations

from typing import Final

from wsproto.frame_protocol import FrameProtocol

__all__ = [
    *("COMMENT", "EVENT_END", "PING", "are_whole", "close_frame"),
    *("event", "event_head", "frame", "frame_head", "pong"),
]

#: A server masks nothing and has negotiated nothing: its frames are the same for every client.
_FRAMES: Final = FrameProtocol(client=False, extensions=[])

#: What tells an EventSource, and whatever stands in between, that the stream is alive.
COMMENT: Final = b":\n\n"

EVENT_END: Final = b"\n\n"

PING: Final = bytes(_FRAMES.ping(b""))


def event(text: bytes, id: str | None) -> bytes:
    """A message as an event of a stream.

    :param text: JSON, which has no line ends.
    :param id: what the client gives back as ``Last-Event-ID``; None: the one that it has stands.
    """
    return event_head(id) + text + EVENT_END


def event_head(id: str | None) -> bytes:
    """What comes before the text of an event; :data:`EVENT_END` is behind it."""
    return b"data: " if id is None else b"id: %b\ndata: " % id.encode()


def frame(text: bytes) -> bytes:
    """A message as a text frame."""
    return frame_head(len(text)) + text


def frame_head(size: int) -> bytes:
    """What comes before a text of that size, bytes, in its frame."""
    # What FrameProtocol makes of it, which copies a large one several times.
    if size < 126:
        return b"\x81%c" % size
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2, "big")
    return b"\x81\x7f" + size.to_bytes(8, "big")


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
