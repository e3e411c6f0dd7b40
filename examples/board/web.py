"""One of the web processes: ``python -m examples.board.web NUMBER``.

It shares its listening socket, descriptor ``BOARD_LISTEN``, with the others: whichever is free
takes the next connection, and while one of them is started again its clients come to the others.
It listens on a socket of its own as well, ``BOARD_OWN``: ``/debug`` has the counters of just this
process.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from twisted.web.resource import NoResource, Resource
from twisted.web.server import Request, Site
from twisted.web.static import Data, File
from twisted.web.util import Redirect

from examples.board import rules
from examples.board.actions import board
from examples.board.member import run
from examples.board.people import COOKIE, clean_name, member_id, read_cookie, sign
from txthoonk import Thoonk
from txthoonk.web import LiveResource, WebError

PAGE = Path(__file__).with_name("page")

#: What a page of ours may do: load what is here, and talk to us.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class Page(File):
    """Files of the page, with what keeps it safe."""

    def render_GET(self, request: Request) -> Any:
        """Send one."""
        for name, value in HEADERS.items():
            request.setHeader(name, value)
        return super().render_GET(request)


class Front(Resource):
    """Everything that is at the URL.

    :param number: of this process.
    """

    def __init__(self, thoonk: Thoonk, secret: bytes, number: int) -> None:
        super().__init__()
        self.secret = secret
        self.number = number
        self.live = LiveResource(
            thoonk,
            may_read=lambda user, feed: rules.may_read(thoonk, user, feed),
            authenticate=self.authenticate,
            actions=board,
            serializer="json",
        )
        page = Page(str(PAGE))
        page.contentTypes = {**File.contentTypes, ".js": "text/javascript", ".svg": "image/svg+xml"}
        module = files("txthoonk.web").joinpath("thoonk-live.js")
        page.putChild(b"thoonk-live.js", Page(str(module), defaultType="text/javascript"))
        self.putChild(b"", Page(str(PAGE / "sign-in.html")))
        self.putChild(b"page", page)
        self.putChild(b"favicon.ico", Page(str(PAGE / "favicon.svg"), defaultType="image/svg+xml"))
        self.putChild(b"sign-in", SignIn(self))
        self.putChild(b"as", Everybody(self))
        self.putChild(b"debug", Debug(self))

    def user(self, request: Request) -> Any:
        """Who asks: the one whose cookie it is, at the path of just that one; or None."""
        user = read_cookie(self.secret, request.getCookie(COOKIE))
        if user is None or request.prepath[:2] != [b"as", user["id"].encode()]:
            return None
        return {**user, "web": self.number}

    def authenticate(self, request: Request) -> Any:
        """The same, of whoever may follow and act: a page of a board that is over may not."""
        user = self.user(request)
        if user is None:
            raise WebError(401, "sign in first")
        return user


class SignIn(Resource):
    """Takes a name, and gives a cookie."""

    isLeaf = True

    def __init__(self, front: Front) -> None:
        super().__init__()
        self._front = front

    def render_POST(self, request: Request) -> bytes:
        """Sign somebody in."""
        given = (request.args or {}).get(b"name", [b""])[0].decode("utf-8", "replace")
        name = clean_name(given)
        if not name:
            request.redirect(b"/")
            return b""
        user = {"id": member_id(name), "name": name}
        path = b"/as/%b/" % user["id"].encode()
        cookie = sign(self._front.secret, user)
        request.addCookie(COOKIE, cookie, path=path, httpOnly=True, sameSite="strict")
        request.setResponseCode(303)
        request.setHeader("Location", path)
        return b""


class Everybody(Resource):
    """``/as/ada/`` for everybody."""

    def __init__(self, front: Front) -> None:
        super().__init__()
        self._front = front

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Somebody's board, or the way to it."""
        if not path:
            return Redirect(b"/")
        return Somebody(self._front)


class Somebody(Resource):
    """The board of whoever is signed in at this path."""

    def __init__(self, front: Front) -> None:
        super().__init__()
        self._front = front
        self.putChild(b"live", front.live)

    def getChild(self, path: bytes, request: Request) -> Resource:
        """The page; without a cookie, the sign-in."""
        user = self._front.user(request)
        if user is None:
            return Redirect(b"/")
        if path == b"me":
            return Data(json.dumps(user).encode(), "application/json")
        return Page(str(PAGE / "board.html")) if path == b"" else NoResource()

    def render_GET(self, request: Request) -> bytes:
        """Without the slash at the end."""
        request.redirect(b"/".join([b"", *request.prepath, b""]))
        return b""


class Debug(Resource):
    """What this process has done."""

    isLeaf = True

    def __init__(self, front: Front) -> None:
        super().__init__()
        self._front = front

    def render_GET(self, request: Request) -> bytes:
        """The counters, as JSON."""
        counts = self._front.live.hub.counts.as_dict()
        request.setHeader("Content-Type", "application/json")
        return json.dumps({"web": self._front.number, "pid": os.getpid(), **counts}).encode()


def serve(reactor: Any, thoonk: Thoonk, number: int) -> None:
    """Answer whoever comes."""
    front = Front(thoonk, bytes.fromhex(os.environ["BOARD_SECRET"]), number)
    site = Site(front)
    site.displayTracebacks = False
    reactor.adoptStreamPort(int(os.environ["BOARD_LISTEN"]), socket.AF_INET, site)
    own = os.environ["BOARD_OWN"]
    if os.path.exists(own):
        os.unlink(own)
    reactor.listenUNIX(own, site)


if __name__ == "__main__":
    run("web", int(sys.argv[1]), serve)
