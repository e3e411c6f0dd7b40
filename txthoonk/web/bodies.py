"""Requests and their bodies: bounded before they are kept, and strictly JSON."""

from __future__ import annotations

import re
from io import BytesIO
from typing import Any, Final, TypeVar

import msgspec
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, _GenericHTTPChannelProtocol
from twisted.web.server import Request, Site

from txthoonk.messages import encode_message
from txthoonk.web.replies import WebError, send_error

__all__ = ["DEEPEST", "LARGEST", "limit_requests", "read_json", "strict_json"]

#: Of a body, of JSON in it, and of arrays and objects in each other: bytes, levels.
LARGEST: Final = 64 * 1024
DEEPEST: Final = 64

#: How long a request may take to arrive, and how long what was refused is read on: seconds.
SLOWEST: Final = 30.0
LINGER: Final = 5.0

S = TypeVar("S", bound=Site)

#: What a header has that is read as text.
_PLAIN: Final = re.compile(rb"[\t -~]*")


# -- what arrives -------------------------------------------------------------------------------


def limit_requests(site: S, max_body: int = LARGEST, timeout: float = SLOWEST) -> S:
    """Bound what requests to a site cost before any resource sees them.

    Twisted keeps a whole body before it looks for the resource: in memory up to 100 kB, else in a
    file, however long it is; forms it reads into memory. Its time-out begins anew with each byte.
    On this site a body that is said to be too long, or grows too long, is answered with 413 and
    the connection closed; a request that has not arrived in time has its connection closed. That
    is so for all there is on the site: uploads elsewhere on it want a larger bound.

    :param site: any, before it listens.
    :param max_body: bytes.
    :param timeout: seconds from the first byte of a request to its last one.
    :returns: the same site.
    """
    limited: Any = site
    made = limited.requestFactory
    base = made if isinstance(made, type) and issubclass(made, Request) else Request
    limited.requestFactory = type("BoundedRequest", (_Bounded, base), {"max_body": max_body})

    def protocol() -> Any:
        channel = _Timed()
        channel.slowest = timeout
        return _GenericHTTPChannelProtocol(channel)

    limited.protocol = protocol
    return site


class _Bounded(Request):
    """A request that does not keep a body longer than it may be."""

    max_body: int = LARGEST
    _length = 0
    _refused = False
    _lingering: Any = None
    channel: Any

    def gotLength(self, length: int | None) -> None:
        """All headers are there."""
        if length is not None and length > self.max_body:
            self.content = BytesIO()
            self._refuse()
        elif self.max_body <= 2**20 and not hasattr(self.channel.site, "getContentFile"):
            self.content = BytesIO()  # Twisted takes a file if it does not know the length
        else:
            super().gotLength(length)

    def handleContentChunk(self, data: bytes) -> None:
        """Some of the body is there."""
        self._length += len(data)
        if self._refused:
            return
        if self._length > self.max_body:
            self._refuse()
        else:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """All of the body is there."""
        if not self._refused:
            kinds = self.requestHeaders.getRawHeaders(b"content-type", ())
            if not all(_PLAIN.fullmatch(kind) for kind in kinds):
                self._parsePOSTFormSubmission = False  # Twisted fails where it reads such
            super().requestReceived(command, path, version)
        elif isinstance(self.channel, HTTPChannel):
            transport: Any = self.channel.transport
            transport.loseConnection()
        else:  # a stream of HTTP/2, which others share the connection with
            self.method, self.uri, self.clientproto = command, path, version
            send_error(self, WebError(413, _too_long(self.max_body)))

    def connectionLost(self, reason: Failure) -> None:
        """The client has gone."""
        lingering, self._lingering = self._lingering, None
        if lingering is not None:
            lingering.cancel()
        super().connectionLost(reason)

    def _refuse(self) -> None:
        """Answer now; what still comes is read on for a while, or the answer would be lost."""
        self._refused = True
        self.content = BytesIO()
        channel = self.channel
        if not isinstance(channel, HTTPChannel):
            return
        self.requestHeaders.removeHeader(b"expect")
        body = encode_message(WebError(413, _too_long(self.max_body)).answer)
        head = (
            b"HTTP/1.1 413 Content Too Large\r\nContent-Type: application/json\r\n"
            b"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n"
        )
        transport: Any = channel.transport
        transport.write(head % len(body) + body)
        self._lingering = channel.callLater(LINGER, self._late)
        if not isinstance(transport, ProtocolWrapper):  # TLS cannot be closed by half
            half_close = getattr(transport, "loseWriteConnection", None)
            if half_close is not None:
                half_close()

    def _late(self) -> None:
        self._lingering = None
        if self.channel is not None:
            self.channel.transport.abortConnection()


def _too_long(most: int) -> str:
    return f"a body here is at most {most} bytes"


class _Timed(HTTPChannel):
    """A connection whose requests have to arrive in time."""

    slowest: float = SLOWEST
    _arriving: Any = None

    def dataReceived(self, data: bytes) -> None:
        """Some of a request is there."""
        if self._arriving is None and not self._handlingRequest:
            self._arriving = self.callLater(self.slowest, self._too_slow)
        super().dataReceived(data)

    def allContentReceived(self) -> None:
        """All of it is."""
        self._arrived()
        super().allContentReceived()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # Twisted gives it a default
        """The client has gone."""
        self._arrived()
        super().connectionLost(reason)

    def _arrived(self) -> None:
        arriving, self._arriving = self._arriving, None
        if arriving is not None:
            arriving.cancel()

    def _too_slow(self) -> None:
        self._arriving = None
        transport: Any = self.transport
        transport.abortConnection()


# -- what is in it ------------------------------------------------------------------------------


def read_json(request: Request, most: int = LARGEST) -> Any:
    """The body of a request as a JSON value.

    :param most: bytes that it may have.
    :raises WebError: 415, if it is said to be something else, as forms of other sites have to say;
        413; 400.
    """
    headers = request.requestHeaders
    kinds = headers.getRawHeaders(b"content-type", ())
    kind = kinds[0].partition(b";")[0].strip().lower() if len(kinds) == 1 else b""
    if kind != b"application/json":
        wanted = {"Accept": "application/json"}
        raise WebError(415, "a body here is said to be application/json", wanted)
    coding = b",".join(headers.getRawHeaders(b"content-encoding", ())).strip().lower()
    if coding not in (b"", b"identity"):
        raise WebError(415, "a body here is not compressed", {"Accept-Encoding": "identity"})
    content: Any = request.content
    data: bytes = content.read(most + 1)
    if len(data) > most:
        raise WebError(413, _too_long(most))
    return strict_json(data)


#: Brackets, and strings to leave out those in them; one without an end goes to the end.
_MARKS: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}]', re.DOTALL)

#: What JSON may have and Python, or other programs, cannot say again: half characters, and
#: numbers of more than 64 bits.
_ODD: Final = re.compile(rb"\\u[dD]|\d{19}")


def strict_json(data: bytes | str, deepest: int = DEEPEST) -> Any:
    """A JSON value (RFC 8259) that can be passed on as it is.

    :raises WebError: 400, if it is none, or too deep.
    """
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    if data.count(b"[") + data.count(b"{") > deepest:
        depth = 0
        for found in _MARKS.finditer(data):
            mark = found[0]
            if mark in (b"[", b"{"):
                depth += 1
                if depth > deepest:
                    raise WebError(400, f"JSON here is at most {deepest} levels deep")
            elif mark in (b"]", b"}"):
                depth -= 1
    try:
        value = msgspec.json.decode(data)
        if _ODD.search(data):
            msgspec.json.encode(value)
    except OverflowError:
        raise WebError(400, "numbers here have at most 64 bits") from None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise WebError(400, "this is no JSON") from None
    return value
