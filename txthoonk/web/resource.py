"""The resource that applications mount."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.web.server import Request

from txthoonk.actions import Actions, user_id
from txthoonk.serializers import Serializer
from txthoonk.service import Thoonk
from txthoonk.web.access import Access
from txthoonk.web.calls import LONGEST_WAIT, ActionsResource, Calls, CanResource
from txthoonk.web.handling import JsonResource
from txthoonk.web.hub import Hub
from txthoonk.web.module import MODULES, ModuleResource
from txthoonk.web.revocations import Revocations
from txthoonk.web.snapshots import Feeds, Snapshots
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
    :param actions: what may be done; nothing if not given.
    :param longest_wait: for an answer to an action, seconds.
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
        actions: Actions | None = None,
        serializer: str | Serializer = "text",
        foreign_patterns: bool = False,
        heartbeat: float = 15.0,
        patience: float = 60.0,
        max_feeds: int = 1000,
        max_message: int = 1_000_000,
        longest_wait: float = LONGEST_WAIT,
        **limits: Any,
    ) -> None:
        access = Access(may_read, authenticate, origins, reactor=thoonk.get_reactor(), **limits)
        super().__init__(access)
        self.hub = Hub(thoonk, access, serializer, foreign_patterns, heartbeat, patience)
        for name in MODULES:
            self.putChild(name.encode(), ModuleResource(access, name))
        self.putChild(b"stream", StreamResource(access, self.hub, max_feeds))
        self.putChild(
            b"socket", SocketResource(access, self.hub, max_feeds, max_message, self._command)
        )
        self.putChild(b"feeds", Feeds(access, Snapshots(thoonk, serializer)))
        self._calls = None
        if actions is not None:
            self._calls = Calls(access, actions, thoonk, longest_wait)
            self.putChild(b"actions", ActionsResource(self._calls))
            self.putChild(b"can", CanResource(self._calls))
        self._revocations = Revocations(thoonk, self._revoked, self.hub.end_all)
        self._revocations.start()

    async def _command(
        self, user: Any, message: Mapping[str, Any], address: str
    ) -> Mapping[str, Any]:
        if self._calls is None:
            return {"code": 404, "error": "there are no actions here"}
        return await self._calls.command(user, message, address)

    def revoke(self, user: Any) -> Deferred[None]:
        """A user's rights have changed: end the streams of that user, in all web processes.

        Those who may still come back are asked who they are, and what they may read, anew.

        :param user: as ``authenticate`` gives it, or its id.
        :returns: fires when all processes that can be reached were told; the others learn it when
            they have reached Redis again.
        :raises ThoonkError: (as a failure) if Redis cannot be told; streams here have ended.
        """
        self.hub.end(user_id(user), REVOKED)
        return self._revocations.revoke(user_id(user))

    def _revoked(self, user_id: str, is_new: bool) -> None:
        """Somebody's rights have changed; if not just now, they may have been given back."""
        self.hub.end(user_id, REVOKED if is_new else None)

    def stop(self) -> None:
        """End all streams, and follow nothing any more."""
        self._revocations.stop()
        self.hub.stop()
