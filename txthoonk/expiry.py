"""Items whose time is over (``Feed.publish(ttl=)``): any number of processes retract them."""

from __future__ import annotations

import random
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredSemaphore,
    gatherResults,
    succeed,
)
from twisted.internet.task import deferLater
from twisted.logger import Logger

from txthoonk._deferred import first_failure, ignore, returns_deferred
from txthoonk.errors import ConnectionFailed, ServerBusy, ThoonkError
from txthoonk.keys import decode, encode
from txthoonk.scripts import BoundScript, script
from txthoonk.service import Thoonk

__all__ = ["Expirer"]

#: Seconds between two looks, at the most: a new item may be over sooner than all others.
LOOK: Final = 1.0

#: Seconds by which processes look at different times: most then find that nothing is left to do.
SPREAD: Final = 0.02

#: How many feeds one look takes on, and how many at a time; how many items go in one call.
FEEDS: Final = 1000
AT_ONCE: Final = 20
MOST: Final = 100


class Expirer(Service):
    """Retracts the items of all feeds whose time is over; any number of these may run at a time.

    What time it is Redis alone says. One look a second is one call, however many feeds there are;
    an item that is over goes at that time, or within a second of it if it was published for less
    than a second.

    :param thoonk: where the feeds are.
    :param reactor: what waits; that of *thoonk* if not given.
    """

    log = Logger()

    def __init__(self, thoonk: Thoonk, reactor: Any = None) -> None:
        self._thoonk = thoonk
        self._reactor = thoonk.get_reactor() if reactor is None else reactor
        self._some = DeferredSemaphore(AT_ONCE)
        self._problems: dict[str, str] = {}
        self._looping: Deferred[None] | None = None

    def startService(self) -> None:
        """Begin with a look."""
        if self.running:
            return
        super().startService()
        self._thoonk.add_worker(self)
        self._looping = self._loop()
        self._looping.addErrback(lambda failure: failure.trap(CancelledError))

    def stopService(self) -> Deferred[None]:
        """Look no more; what is on its way may be done or not.

        :returns: fires when this has ended.
        """
        super().stopService()
        self._thoonk.remove_worker(self)
        looping, self._looping = self._looping, None
        if looping is None:
            return succeed(None)
        looping.cancel()
        return looping.addBoth(ignore)

    @returns_deferred
    async def _loop(self) -> None:
        while True:
            wait = LOOK
            try:
                wait = await self._look()
                self._note("", None)
            except CancelledError:
                raise
            except ThoonkError as error:
                self._note("", error)
            except Exception:
                self.log.failure("Cannot look for what is over")
            await deferLater(self._reactor, wait, lambda: None)

    async def _look(self) -> float:
        """Retract what is over; fires with how many seconds to wait."""
        until, *over = await self._bound("expiring", "")(self._thoonk.redis, (b"%d" % FEEDS,))
        waits = [_seconds(until)]
        if over:
            looking = [self._some.run(self._expire, decode(name)) for name in over]
            waits += await gatherResults(looking, consumeErrors=True).addErrback(first_failure)
        return min(waits) + random.uniform(0.001, SPREAD)

    @returns_deferred
    async def _expire(self, name: str) -> float:
        """Retract what is over of a feed; fires with how many seconds to wait then."""
        expire, until = self._bound("expire", name), 0
        try:
            while until == 0:
                args = (encode(name), b"%d" % MOST)
                _, until = await expire(self._thoonk.redis, args)
        except CancelledError:
            raise
        except ThoonkError as error:
            self._note(name, error)
            return LOOK
        self._note(name, None)
        return _seconds(until)

    def _bound(self, verb: str, name: str) -> BoundScript:
        keys = self._thoonk.dialect.keys("feed", encode(name), self._thoonk.db)
        return script(f"feed/{verb}").bind(keys, name)

    def _note(self, feed: str, error: Exception | None) -> None:
        """Tell each problem once; of the connection others tell."""
        why = None if error is None else str(error)
        if why is None:
            self._problems.pop(feed, None)
        elif self._problems.get(feed) != why and not isinstance(
            error, (ConnectionFailed, ServerBusy)
        ):
            self._problems[feed] = why
            self.log.warn(
                "Cannot retract what is over of {feed}: {why}", feed=feed or "any feed", why=why
            )


def _seconds(until: int) -> float:
    """How long to wait for what is over in so many milliseconds, or -1 if nothing will be."""
    return LOOK if until < 0 else min(LOOK, until / 1000)
