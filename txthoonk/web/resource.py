"""The resource that applications mount."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from twisted.web.server import Request

from txthoonk.serializers import Serializer
from txthoonk.service import Thoonk
from txthoonk.web.access import Access
from txthoonk.web.handling import JsonResource
from txthoonk.web.hub import Hub
from txthoonk.web.socket import SocketResource
from txthoonk.web.streaming import StreamResource

__all__ = ["LiveResource"]

REVOKED: Final = {"type": "revoked"}


class LiveResource(JsonResource):
    """Feeds and actions for web pages; to be put anywhere in a site.

    :param thoonk: where feeds are; its service is started by whoever made it.
    :param may_read: authenticate: origins: limits: see :class:`~txthoonk.web.access.Access`.
    :param serializer: for items: ``text``, or ``json`` where they are JSON.
    :param foreign_patterns: whether changes by other programs, which know of no revisions, are
        listened for under patterns; see ``Thoonk.follow_pattern``.
    :param heartbeat: seconds between two signs of life on each stream.
    :param patience: seconds until a client is given up that neither reads nor answers.
    :param max_feeds: how many feeds and patterns a stream may name.
    :param max_message: how large a message from a WebSocket may be, characters.
    :ivar hub: counts what is done.
    """

    def __init__(
        self,
        thoonk: Thoonk,
        may_read: Callable[[Any, str], Any],
        *,
        authenticate: Callable[[Request], Any] | None = None,
        origins: Iterable[str] = (),
        serializer: str | Serializer = "text",
        foreign_patterns: bool = False,
        heartbeat: float = 15.0,
        patience: float = 60.0,
        max_feeds: int = 1000,
        max_message: int = 1_000_000,
        **limits: Any,
    ) -> None:
        access = Access(may_read, authenticate, origins, reactor=thoonk.get_reactor(), **limits)
        super().__init__(access)
        self.hub = Hub(thoonk, access, serializer, foreign_patterns, heartbeat, patience)
        self.putChild(b"stream", StreamResource(access, self.hub, max_feeds))
        self.putChild(
            b"socket", SocketResource(access, self.hub, max_feeds, max_message, self._command)
        )

    async def _command(self, user: Any, message: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"code": 404, "error": "there are no actions here"}

    def stop(self) -> None:
        """End all streams, and follow nothing any more."""
        self.hub.stop()
