"""Items whose time is over (``Feed.publish(ttl=)``): any number of processes retract them."""

from __future__ import annotations

from typing import Final

from txthoonk.errors import ConnectionFailed, ServerBusy
from txthoonk.keys import encode
from txthoonk.looking import Looking
from txthoonk.scripts import BoundScript, script

__all__ = ["Expirer"]

#: How many items go in one call.
MOST: Final = 100


class Expirer(Looking):
    """Retracts the items of all feeds whose time is over; any number of these may run at a time.

    What time it is Redis alone says. One look a second is one call, however many feeds there are;
    an item that is over goes at that time, or within a second of it if it was published for less
    than a second.

    :param thoonk: where the feeds are.
    :param reactor: what waits; that of *thoonk* if not given.
    """

    LOOK = 1.0
    DOES = "Retracting what is over"
    CANNOT = "Cannot retract what is over of"

    def _index(self) -> BoundScript:
        return self._bound("expiring", "")

    async def _do(self, feed: str) -> float:
        expire, until = self._bound("expire", feed), 0
        while until == 0:
            _, until = await expire(self._thoonk.redis, (encode(feed), b"%d" % MOST))
        return self._seconds(until)

    def _bound(self, verb: str, name: str) -> BoundScript:
        keys = self._thoonk.dialect.keys("feed", encode(name), self._thoonk.db)
        return script(f"feed/{verb}").bind(keys, name)

    def _note(self, what: str, error: Exception | None) -> None:
        """Tell each problem once; of the connection others tell."""
        if not isinstance(error, (ConnectionFailed, ServerBusy)):
            super()._note(what, error)
