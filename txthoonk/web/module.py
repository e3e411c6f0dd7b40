"""``GET thoonk-live.js``: the module that pages follow feeds with."""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files
from typing import Final

from twisted.web.server import Request

from txthoonk.web.access import Access
from txthoonk.web.handling import JsonResource
from txthoonk.web.replies import Body, has_tag, send, unchanged

__all__ = ["ModuleResource"]

#: Browsers ask each time whether it is another one; mostly they have it.
HEADERS: Final = {"Content-Type": "text/javascript; charset=utf-8", "Cache-Control": "no-cache"}


class ModuleResource(JsonResource):
    """The text of ``thoonk-live.js``, for everybody: pages load modules without cookies.

    :param access: who may ask for the rest.
    """

    def __init__(self, access: Access) -> None:
        super().__init__(access)
        text = files("txthoonk.web").joinpath("thoonk-live.js").read_bytes()
        self._body = Body(text, b'"%b"' % sha256(text).hexdigest()[:16].encode())

    async def get(self, request: Request) -> None:
        """Answer with it, unless the client has it."""
        request.setHeader(b"access-control-allow-origin", b"*")
        if has_tag(request, self._body.etag):
            unchanged(request, self._body.etag, {"Cache-Control": HEADERS["Cache-Control"]})
        else:
            await send(request, self._body, headers=HEADERS)
