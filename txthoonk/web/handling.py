"""Resources whose answers and errors are JSON."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from txthoonk._deferred import ignore
from txthoonk.keys import decode
from txthoonk.web.access import Access
from txthoonk.web.replies import WebError, cut, is_gone, refuse, set_headers, web_error

__all__ = ["LONGEST_NAME", "JsonResource", "NotFound", "name_of"]

#: Of a feed, an action or an id in a path: bytes.
LONGEST_NAME: Final = 1024

#: What pages of listed origins may send: seconds that browsers remember it, and headers.
REMEMBERED: Final = b"600"
SENT: Final = b"Authorization, Content-Type, If-None-Match, Last-Event-ID, Prefer"

_log: Final = Logger()


class JsonResource(Resource):
    """Answers with ``async def get(request)`` and ``async def post(request)``.

    Both write the answer themselves, or raise a :class:`WebError`. They are cancelled when the
    client goes away. What is not there is 404, other methods are 405, what goes wrong is 500, all
    in JSON; a page of a listed origin is told beforehand that it may ask (CORS, preflight).

    :param access: who may ask.
    """

    #: Whether ``HEAD`` is answered, which takes a ``get`` that comes to an end.
    has_head = True

    def __init__(self, access: Access) -> None:
        super().__init__()
        self.access = access

    def getChild(self, path: bytes, request: Request) -> IResource:
        """Nothing is there that was not put there."""
        return NotFound(self.access)

    @property
    def methods(self) -> list[str]:
        """What can be asked of it."""
        methods = ["OPTIONS"]
        if hasattr(self, "get"):
            methods += ["GET", "HEAD"] if self.has_head else ["GET"]
        if hasattr(self, "post"):
            methods += ["POST"]
        return sorted(methods)

    def render(self, request: Request) -> Any:
        """Begin to answer."""
        method = request.method.decode("latin-1")
        handle = self._options
        if method not in self.methods:
            handle = self._no_such_method
        elif method != "OPTIONS":
            handle = getattr(self, "post" if method == "POST" else "get")
        run(request, handle(request))
        return NOT_DONE_YET

    async def _no_such_method(self, request: Request) -> None:
        allowed = ", ".join(self.methods)
        raise WebError(405, f"this can be asked with {allowed} only", {"Allow": allowed})

    async def _options(self, request: Request) -> None:
        allowed = ", ".join(self.methods)
        self.access.check_origin(request)
        set_headers(request, 204, {"Allow": allowed})
        request.responseHeaders.removeHeader(b"content-type")
        if request.responseHeaders.hasHeader(b"access-control-allow-origin"):
            request.setHeader(b"access-control-allow-methods", allowed.encode())
            request.setHeader(b"access-control-allow-headers", SENT)
            request.setHeader(b"access-control-max-age", REMEMBERED)
        request.write(b"")
        request.finish()


class NotFound(JsonResource):
    """Nothing, and nothing below it."""

    def render(self, request: Request) -> Any:
        """Say so."""
        run(request, self._not_found(request))
        return NOT_DONE_YET

    async def _not_found(self, request: Request) -> None:
        raise WebError(404, "there is nothing here")


def run(request: Request, answering: Any) -> None:
    """Let a coroutine answer a request; it is cancelled when the client goes away."""
    answer: Deferred[Any] = Deferred.fromCoroutine(answering)
    if not is_gone(request):
        request.notifyFinish().addErrback(lambda _: answer.cancel())
    answer.addErrback(_failed, request)
    answer.addErrback(lambda failure: _log.failure("An answer failed", failure=failure))


def _failed(failure: Failure, request: Request) -> Any:
    error: Any = failure.value
    if is_gone(request):
        if failure.check(CancelledError) is None:
            web_error(error)  # logged, if it is our fault
        return None
    if request.startedWriting:
        _log.failure("An answer ended half-way", failure=failure)
        cut(request)
        return None
    if failure.check(CancelledError):
        answer = WebError(503, "this process stops", {"Retry-After": "2"})
    else:
        answer = web_error(error)
    for name in (b"etag", b"content-encoding", b"content-length", b"preference-applied"):
        request.responseHeaders.removeHeader(name)
    return Deferred.fromCoroutine(refuse(request, answer)).addCallback(ignore)


def name_of(segment: bytes, what: str = "feed") -> str:
    """The name that one segment of a path says, as it is after percent-decoding.

    Any bytes may be in it but NUL: slashes and colons, and what is no UTF-8.

    :raises WebError: 400, if it is none; 414, if it is too long.
    """
    if not segment or b"\x00" in segment:
        raise WebError(400, f"this is no name of {_articles.get(what, 'a')} {what}")
    if len(segment) > LONGEST_NAME:
        raise WebError(414, f"the name of the {what} is too long")
    return decode(segment)


_articles: Final = {"action": "an", "id": "an"}
