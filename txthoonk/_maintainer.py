"""Maintenance of all feeds there are, about once a second."""

from __future__ import annotations

from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from txthoonk._deferred import returns_deferred
from txthoonk.errors import FeedDoesNotExist, ThoonkError, WrongFeedType
from txthoonk.expiry import Expirer
from txthoonk.service import Thoonk
from txthoonk.types import Job

__all__ = ["Maintainer"]

#: Seconds from the start of one pass to the next one, unless a pass takes longer.
INTERVAL: Final = 1.0

#: How many feeds are looked at at a time.
AT_ONCE: Final = 20

#: After so many passes the types of all feeds are asked for again: one may have been deleted, and
#: created with another type.
FRESH: Final = 60


class Maintainer(Service):
    """Runs ``maintenance()`` of every feed of jobs; any number of these may run at a time.

    Items of feeds whose time is over are retracted, too.

    :param thoonk: where the feeds are.
    :param reactor: what waits.
    """

    log = Logger()

    def __init__(self, thoonk: Thoonk, reactor: Any) -> None:
        self._thoonk = thoonk
        self._feeds: dict[str, Job | None] = {}
        self._passes = 0
        self._problems: dict[str, str] = {}
        self._some = DeferredSemaphore(AT_ONCE)
        self._loop = LoopingCall(self._pass)
        self._loop.clock = reactor
        self._expirer = Expirer(thoonk, reactor)
        self._looping: Deferred[Any] | None = None

    def startService(self) -> None:
        """Begin with the first pass."""
        super().startService()
        self._looping = self._loop.start(INTERVAL)
        self._expirer.startService()

    def stopService(self) -> Deferred[None]:
        """Begin no more passes.

        :returns: fires when the last one is done.
        """
        super().stopService()
        expiring = self._expirer.stopService()
        looping, self._looping = self._looping, None
        if looping is None:
            return succeed(None)
        self._loop.stop()
        return looping.addBoth(lambda _: expiring)

    @returns_deferred
    async def _pass(self) -> None:
        try:
            names = await self._thoonk.get_feed_names()
        except ThoonkError as error:
            self._note("", error)
            return
        self._note("", None)
        if self._passes % FRESH == 0:
            self._feeds.clear()
        self._passes += 1
        for gone in (self._feeds.keys() | self._problems.keys()) - names - {""}:
            self._feeds.pop(gone, None)
            self._problems.pop(gone, None)
        await gatherResults([self._some.run(self._maintain, name) for name in names])

    @returns_deferred
    async def _maintain(self, name: str) -> None:
        if not self.running:
            return
        try:
            if name not in self._feeds:
                config = await self._thoonk.get_config(name, type=Job.TYPE)
                # As it is known to be there: the first verb of a new handle would create it.
                is_job = config.get("type") == Job.TYPE
                self._feeds[name] = self._thoonk.job(name).made() if is_job else None
            job = self._feeds[name]
            if job is None:
                return
            done = await job.maintenance(gentle=True)
        except (FeedDoesNotExist, WrongFeedType):
            self._feeds.pop(name, None)  # deleted meanwhile
        except ThoonkError as error:
            self._note(name, error)
        except Exception:
            self.log.failure("Cannot maintain {feed}", feed=name)
        else:
            self._note(name, None)
            if any(done[:4]):  # the rest is routine
                self.log.info("Maintained {feed}: {done}", feed=name, done=done)

    def _note(self, name: str, error: Exception | None) -> None:
        """Tell each problem once."""
        why = None if error is None else str(error)
        if why is None:
            self._problems.pop(name, None)
        elif self._problems.get(name) != why:
            self._problems[name] = why
            self.log.warn("Cannot maintain {what}: {why}", what=name or "anything", why=why)
