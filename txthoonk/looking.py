"""Services that look for what is due in any feed: any number of processes may do so."""

from __future__ import annotations

import random
from typing import Any, ClassVar, Final

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
from txthoonk.errors import FeedDoesNotExist, ThoonkError
from txthoonk.keys import decode
from txthoonk.scripts import BoundScript
from txthoonk.service import Thoonk

__all__ = ["Looking"]

#: Seconds by which processes look at different times: most then find that nothing is left to do.
SPREAD: Final = 0.02

#: How many feeds one look takes on, and how many at a time.
FEEDS: Final = 1000
AT_ONCE: Final = 20


class Looking(Service):
    """Looks again and again, and does what is due.

    What time it is Redis alone says. One look is one call, however many feeds there are: an index
    says when the first of each is due.

    :param thoonk: where the feeds are.
    :param reactor: what waits; that of *thoonk* if not given.
    """

    log = Logger()

    #: Seconds between two looks, at the most: something new may be due sooner than all else.
    LOOK: ClassVar[float]
    #: What it does: said when it begins, and of what it cannot do.
    DOES: ClassVar[str]
    CANNOT: ClassVar[str]

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
        self.log.info("{does}", does=self.DOES)
        self._thoonk.add_worker(self)
        self._looping = self._loop()
        self._looping.addErrback(lambda failure: failure.trap(CancelledError))

    def stopService(self) -> Deferred[None]:
        """Look no more; what is on its way may be done or not, and is never lost.

        :returns: fires when this has ended.
        """
        super().stopService()
        self._thoonk.remove_worker(self)
        looping, self._looping = self._looping, None
        if looping is None:
            return succeed(None)
        looping.cancel()
        return looping.addBoth(ignore)

    def _index(self) -> BoundScript:
        """What says in how many milliseconds something is due, and in which feeds it is."""
        raise NotImplementedError

    async def _do(self, feed: str) -> float:
        """Do what is due of a feed; fires with how many seconds to wait then."""
        raise NotImplementedError

    @returns_deferred
    async def _loop(self) -> None:
        while True:
            wait = self.LOOK
            try:
                wait = await self._look()
                self._note("", None)
            except CancelledError:
                raise
            except ThoonkError as error:
                self._note("", error)
            except Exception:
                self.log.failure("{cannot} anything", cannot=self.CANNOT)
            await deferLater(self._reactor, wait, lambda: None)

    async def _look(self) -> float:
        """Do what is due; fires with how many seconds to wait."""
        until, *due = await self._index()(self._thoonk.redis, (b"%d" % FEEDS,))
        waits = [self._seconds(until)]
        if due:
            looking = [self._some.run(self._look_at, decode(name)) for name in due]
            waits += await gatherResults(looking, consumeErrors=True).addErrback(first_failure)
        wait = min(waits)
        return wait + random.uniform(0.001, SPREAD) if wait > 0 else 0.0

    @returns_deferred
    async def _look_at(self, feed: str) -> float:
        try:
            wait = await self._do(feed)
        except FeedDoesNotExist:
            return self.LOOK  # deleted meanwhile: the next look takes it out of the index
        except CancelledError:
            raise
        except ThoonkError as error:
            self._note(feed, error)
            return self.LOOK
        self._note(feed, None)
        return wait

    def _seconds(self, until: int) -> float:
        """How long to wait for what is due in so many milliseconds, or -1 if nothing is."""
        return self.LOOK if until < 0 else min(self.LOOK, until / 1000)

    def _note(self, what: str, error: Exception | None) -> None:
        """Tell each problem once."""
        why = None if error is None else str(error)
        if why is None:
            self._problems.pop(what, None)
        elif self._problems.get(what) != why:
            self._problems[what] = why
            self.log.warn(
                "{cannot} {what}: {why}", cannot=self.CANNOT, what=what or "anything", why=why
            )
