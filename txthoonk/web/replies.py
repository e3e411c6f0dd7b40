"""Answers over HTTP: JSON with the right headers, errors too, and never a traceback."""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from twisted.cred.error import LoginFailed
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.error import Error
from twisted.web.http import RESPONSES
from twisted.web.server import Request
from zope.interface import implementer

from txthoonk.actions import Refused
from txthoonk.errors import (
    ConnectionFailed,
    FeedDoesNotExist,
    OutOfMemory,
    ReadOnly,
    ServerBusy,
    ThoonkError,
    WrongFeedType,
)
from txthoonk.messages import encode_message

__all__ = [
    "Body",
    "WebError",
    "accepts_gzip",
    "has_tag",
    "refuse",
    "reply",
    "send",
    "send_error",
    "too_many",
    "unchanged",
    "web_error",
]

_log: Final = Logger()

JSON: Final = b"application/json"

#: Smaller answers are not compressed, and larger ones not in the reactor's thread: bytes.
LEAST: Final = 1024
MUCH: Final = 256 * 1024

#: What is handed to a connection at a time, and how long it may take nothing: bytes, seconds.
PIECE: Final = 64 * 1024
PATIENCE: Final = 60.0

#: When one may try again that data cannot be reached: seconds.
AGAIN: Final = 2


class WebError(ThoonkError):
    """A request is answered with an error.

    :param code: the HTTP status.
    :param error: why, for people.
    :param headers: of the answer.
    :param more: members of the answer beside ``code`` and ``error``.
    """

    def __init__(
        self, code: int, error: str = "", headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        error = error or RESPONSES.get(code, b"refused").decode().lower()
        super().__init__(code, error)
        self.code = code
        self.error = error
        self.headers = dict(headers or {})
        self.more = more

    def __str__(self) -> str:
        return f"{self.code}: {self.error}"

    @property
    def answer(self) -> dict[str, Any]:
        """The same as a JSON object."""
        return {**self.more, "code": self.code, "error": self.error}


def too_many(wait: float, error: str = "too many requests") -> WebError:
    """The error of who has to wait.

    :param wait: seconds.
    """
    headers = {"Retry-After": str(max(1, math.ceil(wait)))}
    return WebError(429, error, headers, retry_after=round(wait, 3))


def web_error(error: BaseException) -> WebError:
    """What somebody outside may know of an error; what is nobody's fault but ours is logged.

    What an :exc:`~txthoonk.actions.Refused` says is told, and what a
    :class:`twisted.web.error.Error` says with a status of 400 to 499.
    """
    if isinstance(error, WebError):
        return error
    if isinstance(error, LoginFailed):
        return WebError(401, "nobody is signed in")
    if isinstance(error, FeedDoesNotExist):
        return WebError(404, "there is no such feed")
    if isinstance(error, WrongFeedType):
        return WebError(404, "there is no such feed to follow")
    if isinstance(error, ConnectionFailed | ServerBusy | ReadOnly | OutOfMemory):
        headers = {"Retry-After": str(AGAIN)}
        return WebError(503, "the data cannot be reached at the moment", headers)
    if isinstance(error, Error) and error.status.isdigit() and 400 <= int(error.status) < 500:
        return WebError(int(error.status), _text(error.response or error.message))
    if isinstance(error, Refused):
        return WebError(error.code, error.error, None, **_tellable(error.more))
    _log.failure("A request failed", failure=Failure(error))
    return WebError(500, "something went wrong here")


def _tellable(more: Mapping[str, Any]) -> dict[str, Any]:
    """What is told beside code and error, without what would be taken for something else."""
    return {k: v for k, v in more.items() if k not in ("code", "error", "headers")}


def _text(said: Any) -> str:
    if isinstance(said, bytes):
        return said.decode("utf-8", "replace")
    return str(said or "")


# -- what a client accepts ----------------------------------------------------------------------

_CODING: Final = re.compile(r"\s*([^\s;,]+)\s*(?:;\s*[qQ]\s*=\s*([0-9.]+)\s*)?\s*\Z")


def accepts_gzip(request: Request) -> bool:
    """Whether a client takes gzip (RFC 9110 §12.5.3)."""
    wanted: dict[str, float] = {}
    for line in request.requestHeaders.getRawHeaders(b"accept-encoding", ()):
        for part in line.decode("latin-1").split(","):
            found = _CODING.match(part)
            if found is not None:
                name, weight = found.groups()
                try:
                    wanted[name.lower()] = float(weight) if weight else 1.0
                except ValueError:
                    wanted[name.lower()] = 0.0
    for name in ("gzip", "x-gzip", "*"):
        if name in wanted:
            return wanted[name] > 0
    return False


_TAG: Final = re.compile(rb'(?:W/)?("[^"]*")')


def has_tag(request: Request, etag: bytes) -> bool:
    """Whether ``If-None-Match`` names what there is (RFC 9110 §13.1.2, weak comparison)."""
    for line in request.requestHeaders.getRawHeaders(b"if-none-match", ()):
        if line.strip() == b"*" or etag in _TAG.findall(line):
            return True
    return False


# -- answers ------------------------------------------------------------------------------------


class Body:
    """The body of an answer, compressed once for all who want it so.

    :param data: what it is.
    :param etag: of what it says, with its quotes; empty: it has none.
    """

    __slots__ = ("_waiting", "_zipped", "data", "etag")

    def __init__(self, data: bytes, etag: bytes = b"") -> None:
        self.data = data
        self.etag = etag
        self._zipped: bytes | None = None
        self._waiting: list[Deferred[None]] = []

    @property
    def size(self) -> int:
        """How much it holds in memory: bytes."""
        return len(self.data) + len(self._zipped or b"")

    async def zipped(self, reactor: Any) -> bytes:
        """The same in gzip; a large one does not hold up the reactor."""
        if self._zipped is None and len(self.data) < MUCH:
            self._zipped = _zip(self.data)
        if self._zipped is None:
            waiter: Deferred[None] = Deferred()
            self._waiting.append(waiter)
            if len(self._waiting) == 1:
                work = deferToThreadPool(reactor, reactor.getThreadPool(), _zip, self.data)
                work.addBoth(self._done)
            await waiter
        return self._zipped if self._zipped is not None else self.data

    def _done(self, zipped: Any) -> None:
        if isinstance(zipped, bytes):
            self._zipped = zipped
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(None) if isinstance(zipped, bytes) else waiter.errback(zipped)


def _zip(data: bytes) -> bytes:
    return gzip.compress(data, 6 if len(data) < MUCH else 1, mtime=0)


def set_headers(request: Request, code: int, headers: Mapping[str, str] | None = None) -> None:
    """The headers that all our answers have; nothing of them is kept by anybody on the way."""
    request.setResponseCode(code)
    request.setHeader(b"content-type", JSON)
    request.setHeader(b"cache-control", b"no-store")
    request.setHeader(b"x-content-type-options", b"nosniff")
    for name, value in (headers or {}).items():
        request.setHeader(name.lower().encode("latin-1"), value.encode("latin-1", "replace"))


def is_gone(request: Request) -> bool:
    """Whether nobody can be answered any more."""
    return bool(request._disconnected or request.finished)


async def send(
    request: Request,
    body: Body,
    code: int = 200,
    headers: Mapping[str, str] | None = None,
    reactor: Any = None,
) -> None:
    """Answer a request.

    Compressed if it is worth it and the client takes it. What is large goes piece by piece, as
    the client takes it: one that does not read holds no copy, and is cut off after a minute.

    :param headers: beside those of all answers; a ``Cache-Control`` among them replaces ours.
    """
    if reactor is None:
        from twisted.internet import reactor
    set_headers(request, code, headers)
    data = body.data
    add_vary(request, b"accept-encoding")
    if len(data) >= LEAST and accepts_gzip(request):
        zipped = await body.zipped(reactor)
        if is_gone(request):
            return
        if len(zipped) < len(data):
            data = zipped
            request.setHeader(b"content-encoding", b"gzip")
            if body.etag:
                # The bytes are others, what they say is the same (RFC 9110 §8.8.1).
                request.setHeader(b"etag", b"W/" + body.etag)
    if body.etag and not request.responseHeaders.hasHeader(b"etag"):
        request.setHeader(b"etag", body.etag)
    request.setHeader(b"content-length", b"%d" % len(data))
    if is_gone(request):
        return
    if request.method == b"HEAD":
        request.write(b"")
        request.finish()
    elif len(data) <= PIECE:
        request.write(data)
        request.finish()
    else:
        _Sending(request, data, reactor).start()


def unchanged(request: Request, etag: bytes, headers: Mapping[str, str] | None = None) -> None:
    """Answer that the client has what there is."""
    set_headers(request, 304, headers)
    request.responseHeaders.removeHeader(b"content-type")
    add_vary(request, b"accept-encoding")
    request.setHeader(b"etag", etag)
    request.write(b"")
    request.finish()


def add_vary(request: Request, name: bytes) -> None:
    """Tell caches that the answer depends on a header of the request."""
    there = request.responseHeaders.getRawHeaders(b"vary", ())
    if name not in [each.lower() for each in there]:
        request.responseHeaders.addRawHeader(b"vary", name)


async def reply(
    request: Request, answer: Any, code: int = 200, headers: Mapping[str, str] | None = None
) -> None:
    """Answer with a JSON value.

    :raises TypeError: if there is something in it that JSON has not.
    """
    await send(request, Body(encode_message(answer)), code, headers)


async def refuse(request: Request, error: WebError) -> None:
    """Answer with an error."""
    try:
        body = Body(encode_message(error.answer))
    except Exception:
        _log.failure("An error has members that are no JSON")
        body = Body(encode_message({"code": error.code, "error": error.error}))
    await send(request, body, error.code, error.headers)


def send_error(request: Request, error: WebError) -> None:
    """The same, from what is no coroutine."""
    sending = Deferred.fromCoroutine(refuse(request, error))
    sending.addErrback(lambda failure: _log.failure("An answer failed", failure=failure))


@implementer(IPushProducer)
class _Sending:
    """One answer on its way, as fast as the client takes it."""

    def __init__(self, request: Request, data: bytes, reactor: Any) -> None:
        self._request = request
        self._data = memoryview(data)
        self._reactor = reactor
        self._sent = 0
        self._paused = False
        self._stalled: Any = None

    def start(self) -> None:
        """Begin."""
        request = self._request
        self._stalled = self._reactor.callLater(PATIENCE, self._give_up)
        request.notifyFinish().addBoth(self._ended)
        request.registerProducer(self, True)
        self.resumeProducing()

    def pauseProducing(self) -> None:
        """The client does not read."""
        self._paused = True

    def resumeProducing(self) -> None:
        """It does."""
        self._paused = False
        request = self._request
        if self._stalled is None:
            return
        self._stalled.reset(PATIENCE)
        while not self._paused and not is_gone(request):
            piece = self._data[self._sent : self._sent + PIECE]
            self._sent += len(piece)
            if not piece:
                request.unregisterProducer()
                request.finish()
                return
            request.write(bytes(piece))

    def stopProducing(self) -> None:
        """The connection is gone."""
        self._paused = True

    def _give_up(self) -> None:
        self._stalled = None
        cut(self._request)

    def _ended(self, _: object) -> None:
        self._paused = True
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


def cut(request: Request) -> None:
    """Close a connection at once, with what it has not taken."""
    channel = getattr(request, "channel", None)
    abort = getattr(channel, "forceAbortClient", None) or getattr(channel, "loseConnection", None)
    if abort is not None:
        abort()
