"""``GET thoonk-live.js``: the module that pages follow feeds with, and what it loads."""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files
from typing import Final

from twisted.web.server import Request

from txthoonk.web.access import Access
from txthoonk.web.handling import JsonResource
from txthoonk.web.replies import Body, has_tag, send, unchanged

__all__ = ["MODULES", "ModuleResource"]

MODULES: Final = ("thoonk-live.js", "thoonk-live-sse.js")

#: Browsers ask each time whether it is another one; mostly they have it.
HEADERS: Final = {"Content-Type": "text/javascript; charset=utf-8", "Cache-Control": "no-cache"}


class ModuleResource(JsonResource):
    """The text of a module, for everybody: pages of other sites load it without cookies.

    :param access: who may ask for the rest.
    :param name: of the file.
    """

    def __init__(self, access: Access, name: str) -> None:
        super().__init__(access)
        text = files("txthoonk.web").joinpath(name).read_bytes()
        self._body = Body(text, b'"%b"' % sha256(text).hexdigest()[:16].encode())

    async def get(self, request: Request) -> None:
        """Answer with it, unless the client has it."""
        request.setHeader(b"access-control-allow-origin", b"*")
        if has_tag(request, self._body.etag):
            unchanged(request, self._body.etag, {"Cache-Control": HEADERS["Cache-Control"]})
        else:
            await send(request, self._body, headers=HEADERS)
