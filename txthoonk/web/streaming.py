"""``GET stream``: feeds and patterns as Server-Sent Events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.web.server import Request

from txthoonk.globs import compile_glob
from txthoonk.keys import decode, encode
from txthoonk.positions import read_place
from txthoonk.web.access import Access, user_id
from txthoonk.web.handling import JsonResource, name_of
from txthoonk.web.hub import Hub
from txthoonk.web.replies import WebError, is_gone
from txthoonk.web.sse import EventStream, Groups, read_places

__all__ = ["StreamResource"]

#: How soon an EventSource comes back after a break, milliseconds.
RETRY: Final = 500


class StreamResource(JsonResource):
    """The stream of what a URL names: ``?feed=NAME&feed=NAME&pattern=GLOB``.

    :param hub: of the process.
    :param most: how many feeds and patterns one may name.
    """

    log = Logger()
    has_head = False

    def __init__(self, access: Access, hub: Hub, most: int) -> None:
        super().__init__(access)
        self._hub = hub
        self._most = most
        self._groups = Groups()

    async def get(self, request: Request) -> None:
        """Begin to stream."""
        user = await self._hub.admitting.admit(lambda: self.access.admit(request))
        feeds = [name_of(each) for each in dict.fromkeys(request.args.get(b"feed", ()))]
        globs = [
            name_of(each, "pattern") for each in dict.fromkeys(request.args.get(b"pattern", ()))
        ]
        if not feeds and not globs:
            raise WebError(400, "name what to follow: ?feed=NAME or ?pattern=GLOB")
        if len(feeds) + len(globs) > self._most:
            raise WebError(400, f"at most {self._most} feeds and patterns in a stream")
        is_one = len(feeds) == 1 and not globs
        places = _places(request, feeds[0] if is_one else None)
        self.access.charge(user, len(globs), len(feeds) + len(places), request)
        end = self.access.begin_stream(user, request)
        if is_gone(request):
            end()
            return
        stream = EventStream(self._hub, user, user_id(user), self._groups, is_one)
        stream.on_end = end
        stream.take_over(request, _head(request), b"retry: %d\n\n" % RETRY)
        if self._hub.is_cut:
            stream.say({"type": "stale"})
        try:
            known = {name: places.get(name) for name in feeds}
            await self._hub.subscribe(stream, known, _under(globs, feeds, places))
        except CancelledError:
            stream.close()  # the client has gone, or the resource was stopped
        except Exception:
            # The request has no connection any more that could be answered on.
            if not stream.closed:
                self.log.failure("A stream could not begin")
                stream.close()
        stream.ready()


def _head(request: Request) -> bytes:
    """The beginning of the answer; it ends with the connection, so that nothing is in pieces."""
    headers = request.responseHeaders
    for name, value in (
        (b"content-type", b"text/event-stream"),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),  # nginx: pass on what comes
        (b"x-content-type-options", b"nosniff"),
    ):
        headers.setRawHeaders(name, [value])
    fields = [(name, value) for name, values in headers.getAllRawHeaders() for value in values]
    fields += [(b"Set-Cookie", cookie) for cookie in request.cookies]
    lines = [b"%b: %b\r\n" % field for field in (*fields, (b"Connection", b"close"))]
    return b"%b 200 OK\r\n%b\r\n" % (request.clientproto, b"".join(lines))


def _places(request: Request, only: str | None) -> dict[str, str]:
    """Where the client was: in its one feed, or in several; nowhere if it does not say."""
    header = request.getHeader(b"last-event-id") or request.args.get(b"token", (b"",))[0]
    token = decode(header)
    if not token:
        return {}
    try:
        if only is not None and not token.startswith("m"):
            read_place(token)
            return {only: token}
        return read_places(token)
    except ValueError:
        return {}  # of another server, or another version: all that is there is sent


def _under(
    globs: list[str], feeds: list[str], places: Mapping[str, str]
) -> dict[str, Mapping[str, str] | None]:
    """What the client knows of the feeds of each pattern: the one that it names first."""
    named = set(feeds)
    left = {name: at for name, at in places.items() if name not in named}
    found: dict[str, Mapping[str, str] | None] = {}
    for glob in globs:
        matches = compile_glob(encode(glob)).fullmatch
        found[glob] = {name: at for name, at in left.items() if matches(encode(name))}
    return found
