"""What queues and jobs share: ids that wait in a list, and gets that wait for ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred

from txthoonk.keys import decode, encode
from txthoonk.types.base import FeedBaseType, Owner

__all__ = ["WaitingFeed"]

#: How many ids on their way one pass of maintenance looks at.
MOST = 500


class WaitingFeed(FeedBaseType):
    """A feed that things are taken from."""

    #: For ``put(item, HIGH)``: taken before what is there.
    HIGH = True

    SCHEMA = (*FeedBaseType.SCHEMA, "handoff", "seen")

    def __init__(
        self, pub: Owner, name: str, config: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        super().__init__(pub, name, config, **options)
        self._hand_back = self._bind("handoff/hand_back")
        self._recover = self._bind("handoff/recover")

    def length(self) -> Deferred[int]:
        """How many are waiting to be taken."""
        return self._read("LLEN", self.keys.ids)

    def _unless_made(self) -> Deferred[None] | None:
        """What a get waits for before it waits with the others; None if for nothing."""
        return None if self._made else self._when_made()

    def hand_back(self, id: str) -> Deferred[Any]:
        """Put back an id that came when no get waited any more."""
        return self._hand_back(self.pub.redis, (encode(id),), id=id)

    def _return_abandoned(self, grace: float) -> Deferred[int]:
        """Return ids that a process which died was handed; see ``handoff/recover``."""
        return self._run(self._recover, (b"%d" % (grace * 1000), b"%d" % MOST), int)


def side(priority: bool) -> bytes:
    """The end of the list that a put goes to; gets take at the right."""
    return b"RPUSH" if priority else b"LPUSH"


def texts(reply: list[bytes]) -> list[str]:
    """Ids as Redis gave them."""
    return [decode(id) for id in reply]
