"""A whole process that works on jobs under twistd: how it begins, and how it ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, NoReturn, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.defer import TimeoutError as TimedOut
from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txthoonk._maintainer import Maintainer
from txthoonk.embedded import EmbeddedRedis
from txthoonk.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    FeedDoesNotExist,
    PermissionDenied,
    ReadOnly,
    ServerBusy,
    ServerError,
    ThoonkError,
    WrongFeedType,
)
from txthoonk.service import Thoonk
from txthoonk.types import Job

__all__ = ["SUPERVISED", "Daemon", "StoppableWorker", "Worker", "reach"]

#: In the environment of a worker that was started by a supervisor: its number. The supervisor
#: holds the other end of its standard input.
SUPERVISED: Final = "TXTHOONK_WORKER"

#: Seconds between two attempts to reach Redis at the start.
INTERVAL: Final = 1.0

#: Seconds in which Redis must answer at the end, or nobody knows what became of the last jobs.
LAST_WORD: Final = 1.0

#: Errors that come again however often one tries: a wrong password or database, protected mode.
_FOR_GOOD: Final = (AuthenticationFailed, PermissionDenied)
_FOR_GOOD_WORDS: Final = ("DENIED ", "ERR DB index", "ERR invalid DB")


class StoppableWorker(Protocol):
    """What a JobWorker is to the process it runs in."""

    def startService(self) -> None: ...
    def stopService(self) -> Any: ...


class _Status:
    """An exit status that is not 0, where twistd looks for the signal that ended it.

    twistd has no way to say it: what services and triggers raise is caught and logged, and
    ``run`` returns None. But when all is over, the pid file removed and the log closed, both
    twistd and twist end themselves by the signal ``reactor._exitSignal``, if there is one. That
    it is asked for its number is the one moment at which SystemExit goes through. The alternative
    is ``os._exit`` in a trigger: it would leave the pid file, skip ``atexit`` and cut the log.
    """

    def __init__(self, status: int) -> None:
        self.status = status

    def __index__(self) -> NoReturn:
        raise SystemExit(self.status)


@implementer(IReadDescriptor)
class _Leash:
    """Tells when nobody holds the other end of standard input any more."""

    def __init__(self, reactor: Any, gone: Callable[[], None]) -> None:
        self._reactor = reactor
        self._gone = gone
        reactor.addReader(self)

    def fileno(self) -> int:
        return 0

    def logPrefix(self) -> str:
        return "supervisor"

    def doRead(self) -> None:
        # Some reactors let us read the end of a pipe, others tell it by connectionLost at once.
        if not os.read(0, 4096):
            self.let_go()
            self._gone()

    def let_go(self) -> None:
        """Look no more."""
        self._reactor.removeReader(self)

    def connectionLost(self, reason: Failure) -> None:
        self._gone()


class Daemon(Service):
    """A process that begins with Redis, ends at SIGTERM or SIGINT, and says how it went.

    The exit status is 0 after a signal (or if somebody stopped the reactor) when all that ran
    could be stopped as it should; 1 if Redis refuses for good at the start, if an embedded one
    does not start, if Redis is out of reach at the end, or if something did not stop well. A Redis
    that is out of reach at the start, or meanwhile, is waited for.

    :param reactor: to run on.
    :param url: of Redis; None starts an embedded one.
    :param feeds: names of the feeds of jobs that will be worked on.
    :param dialect: of the wire.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        url: str | None,
        feeds: Sequence[str] = (),
        dialect: str = "contract",
    ) -> None:
        self.reactor = reactor
        self.url = url
        self.feeds = feeds
        self.dialect = dialect
        self.failed = False
        self._embedded: EmbeddedRedis | None = None
        self._thoonk: Thoonk | None = None
        self._beginning: Deferred[None] | None = None
        self._leaving = False
        self._leash: _Leash | None = None

    # -- what subclasses do -------------------------------------------------------------------

    async def begin(self, thoonk: Thoonk) -> None:
        """Redis is there, and takes us."""
        raise NotImplementedError

    async def end(self) -> None:
        """Stop what :meth:`begin` has begun, if it has."""
        raise NotImplementedError

    # -- life ---------------------------------------------------------------------------------

    def startService(self) -> None:
        """Wait for Redis, then begin; the reactor's handlers of signals are replaced by ours."""
        super().startService()
        self.reactor.callWhenRunning(self._take_signals)
        if os.environ.pop(SUPERVISED, None) is not None:
            self._leash = _Leash(self.reactor, self._supervisor_gone)
        self._beginning = Deferred.fromCoroutine(self._begin())
        self._beginning.addErrback(self._cannot)

    async def _begin(self) -> None:
        if self.url is None:
            self.log.info("No --redis was given: starting an embedded one, gone when this goes")
            self._embedded = EmbeddedRedis(reactor=self.reactor)
            self.url = (await self._embedded.start()).url
            self.log.info("The embedded Redis serves at {url}", url=self.url)
        self._thoonk = Thoonk(self.url, reactor=self.reactor, dialect=self.dialect)
        self._thoonk.startService()
        await reach(self._thoonk, self.feeds)
        await self.begin(self._thoonk)

    def _cannot(self, failure: Failure) -> None:
        if not self.running:
            return  # stopped meanwhile
        if failure.check(ThoonkError):
            self.log.critical("Cannot work: {why}", why=failure.getErrorMessage())
        else:
            self.log.failure("Cannot work", failure)
        self.failed = True
        self.leave()

    def leave(self) -> None:
        """End this process, in order."""
        if self._leaving:
            return
        self._leaving = True

        def stop() -> None:
            with suppress(ReactorNotRunning):  # somebody else has stopped it
                self.reactor.stop()

        self.reactor.callWhenRunning(stop)

    def stopService(self) -> Deferred[None]:
        """Stop what runs, then what it runs on.

        :returns: fires when nothing is left.
        """
        super().stopService()
        self._leaving = True
        if self._leash is not None:
            self._leash.let_go()
        if self._beginning is not None:
            self._beginning.cancel()
        return Deferred.fromCoroutine(self._end())

    async def _end(self) -> None:
        try:
            await self.end()
        except Exception:
            self.log.failure("Could not stop as it should")
            self.failed = True
        for each in (self._thoonk, self._embedded):
            if each is not None:
                await (each.stopService() if isinstance(each, Thoonk) else each.stop())
        if self.failed:
            self.reactor._exitSignal = _Status(1)

    # -- signals ------------------------------------------------------------------------------

    def _take_signals(self) -> None:
        # The reactor's handlers stop it just as well, but make twistd end itself by that signal
        # afterwards, which to a supervisor looks like a death. Where it has not installed its
        # own, somebody else has reasons to: nohup, a debugger.
        for number, handler in (
            (signal.SIGINT, self.reactor.sigInt),
            (signal.SIGTERM, self.reactor.sigTerm),
        ):
            if signal.getsignal(number) == handler:
                signal.signal(number, self._signalled)

    def _signalled(self, number: int, _: object) -> None:
        self.reactor.callFromThread(self._stop_for, signal.Signals(number).name)

    def _stop_for(self, name: str) -> None:
        if self._leaving:
            self.log.info("{name}: stopping already", name=name)
        else:
            self.log.info("{name}: stopping", name=name)
            self.leave()

    def _supervisor_gone(self) -> None:
        self.log.warn("The supervisor is gone: stopping")
        self.leave()


class Worker(Daemon):
    """The process in which jobs are done, or feeds maintained, or both.

    :param make: makes the workers, once Redis is there.
    :param maintain: whether to maintain all feeds of jobs there are.
    :param dialect: of the wire.
    """

    def __init__(
        self,
        reactor: Any,
        url: str | None,
        feeds: Sequence[str],
        make: Callable[[Thoonk], Iterable[StoppableWorker]],
        maintain: bool,
        dialect: str = "contract",
    ) -> None:
        super().__init__(reactor, url, feeds, dialect)
        self._make = make
        self._maintain = maintain
        self._running: list[StoppableWorker] = []

    async def begin(self, thoonk: Thoonk) -> None:
        """Start the workers."""
        workers = [*self._make(thoonk)]
        if self._maintain:
            workers.append(Maintainer(thoonk, self.reactor))
        for worker in workers:
            self._running.append(worker)
            worker.startService()
        if self.feeds:
            self.log.info("Working on {feeds}", feeds=", ".join(self.feeds))
        if self._maintain:
            self.log.info("Maintaining all feeds of jobs")

    async def end(self) -> None:
        """Stop them all at the same time."""
        stopping = [maybeDeferred(worker.stopService) for worker in self._running]
        for done, result in await DeferredList(stopping, consumeErrors=True):
            if not done:
                self.log.failure("A worker did not stop as it should", result)
                self.failed = True
        if self._running and self.feeds and self._thoonk is not None:
            try:
                await self._thoonk.redis.execute("PING").addTimeout(LAST_WORD, self.reactor)
            except (ThoonkError, TimedOut):
                self.log.error("Redis is out of reach: jobs may come back only when claims expire")
                self.failed = True


async def reach(thoonk: Thoonk, feeds: Sequence[str]) -> None:
    """Wait until Redis takes us, for ever if need be; Thoonk logs why it does not.

    :raises ServerError: if it refuses us for good: password, rights, database.
    :raises WrongFeedType: if one of *feeds* is there, and holds no jobs.
    """
    while not (await _connects(thoonk) and await _has_jobs(thoonk, feeds)):
        await deferLater(thoonk.get_reactor(), INTERVAL)


async def _connects(thoonk: Thoonk) -> bool:
    try:
        redis = await thoonk.open_connection()
    except ServerError as error:
        if isinstance(error, _FOR_GOOD) or str(error).startswith(_FOR_GOOD_WORDS):
            raise
        return False
    except ThoonkError:
        return False
    await redis.close()
    return True


async def _has_jobs(thoonk: Thoonk, feeds: Sequence[str]) -> bool:
    try:
        for name in feeds:
            with suppress(FeedDoesNotExist):
                kind = (await thoonk.get_config(name, type=Job.TYPE)).get("type")
                if kind != Job.TYPE:
                    raise WrongFeedType(name, f"it is a {kind}")
    except (ConnectionFailed, ServerBusy, ReadOnly):
        return False
    return True
