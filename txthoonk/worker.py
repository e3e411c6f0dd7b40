"""Workers: services that claim jobs, run a handler for each, and finish them.

A claim holds for the feed's ``claim_timeout``, and is extended while its handler runs. Whatever a
handler does, its job ends finished, available again, or parked; and if this process dies, the
maintenance of any other one returns its jobs when their claims expire.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, gatherResults, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._deferred import ignore
from txthoonk.errors import ConnectionFailed, ServerBusy, ThoonkError
from txthoonk.events import JobStalled
from txthoonk.running import Retry, Run, Stall
from txthoonk.serializers import Serializer
from txthoonk.types.blocked import Blocked
from txthoonk.types.claims import Claim
from txthoonk.types.job import Job

if TYPE_CHECKING:
    from txthoonk.service import Thoonk

__all__ = ["JobWorker", "Retry", "Stall"]

#: Seconds between two passes of maintenance, about.
MAINTENANCE = 1.0

#: Seconds that a handler that was cancelled gets to come to its end.
LAST_WORDS = 1.0

Handler = Callable[[Any], Any]


class _Feed:
    """One feed that a worker takes from: a taker of its jobs.

    :ivar share: how many slots are its own when every feed has more than it can take.
    """

    def __init__(self, worker: JobWorker, job: Job, share: int) -> None:
        self.job = job
        self.share = share
        self.busy = 0
        self._worker = worker
        self._complaint = ""

    @property
    def wants(self) -> int:
        """How many jobs there is room for."""
        return self._worker.room_for(self)

    def taken(self, claims: list[Claim]) -> None:
        """Run them."""
        self._complaint = ""
        self._worker.run_all(self, claims)

    @property
    def hungry(self) -> bool:
        """Whether there is more of it than is being done."""
        return not self._worker.blocked(self).is_waiting

    def not_taken(self, error: Exception) -> None:
        """Tell once why there is nothing."""
        if str(error) != self._complaint and not isinstance(error, ConnectionFailed):
            self._worker.log.error("No jobs of {feed}: {why}", feed=self.job.name, why=error)
        self._complaint = str(error)


class JobWorker(Service):
    """Runs a handler for each job of a feed, or of several.

    The handler gets a :class:`Claim`. It may be plain, return a Deferred, or be ``async``; what it
    returns is the job's result, ``None`` finishes the job without one. It may end the claim itself.
    ``raise Retry(delay=5)`` gives the job up for now, ``raise Stall("why")`` parks it; any other
    exception is an attempt that failed: the job waits by the feed's ``backoff`` (without one 1, 2,
    4 ... 300 seconds), and is parked after ``max_attempts`` (without them 5), with the history of
    its attempts. A handler whose claim is lost or taken away, or that runs when the worker has to
    stop, has its Deferred cancelled.

    :param thoonk: the instance that speaks with Redis. It stops its workers before it stops.
    :param names: name of the feed, or names with weights: where there is more than can be done,
        slots are divided by these.
    :param handler: called with a claim; with ``processes`` also by name, ``"package.module:name"``.
    :param concurrency: how many jobs run at a time.
    :param claim_timeout: max_attempts: backoff: set as options of the feed if given; see
        :class:`Job`.
    :param grace: seconds that running jobs get when the worker is stopped.
    :param blocking: run handlers in threads, *concurrency* of them.
    :param processes: run handlers in so many child processes; a handler is called with ``id, item,
        cancelled`` there, and one that crashes costs the job one attempt.
    :param on_stalled: called with a ``JobStalled`` for each job that this worker parks.
    :param maintain: whether to run ``maintenance()`` about once a second.
    :param serializer: of the feeds.
    :raises ValueError: if an option cannot be.
    """

    log = Logger()

    def __init__(
        self,
        thoonk: Thoonk,
        names: str | Mapping[str, float],
        handler: Handler | str,
        *,
        concurrency: int = 10,
        claim_timeout: float | None = None,
        max_attempts: int | None = None,
        backoff: float | str | None = None,
        grace: float = 10.0,
        blocking: bool = False,
        processes: int = 0,
        on_stalled: Callable[[JobStalled], object] | None = None,
        maintain: bool = True,
        serializer: str | Serializer = "text",
    ) -> None:
        _check(concurrency, grace, blocking, processes)
        self._thoonk = thoonk
        self._reactor: Any = thoonk.get_reactor()
        self._concurrency = processes or concurrency
        self._grace = grace
        self._on_stalled = on_stalled
        self._maintains = maintain
        weights = {names: 1.0} if isinstance(names, str) else dict(names)
        if not weights or not all(weight > 0 for weight in weights.values()):
            raise ValueError(f"a worker has feeds, each with a weight above 0, not {names!r}")
        given = {"claim_timeout": claim_timeout, "max_attempts": max_attempts, "backoff": backoff}
        options = {name: value for name, value in given.items() if value is not None}
        whole = sum(weights.values())
        self._feeds = [
            _Feed(
                self,
                thoonk.job(name, serializer=serializer, **options),
                max(1, round(self._concurrency * weight / whole)),
            )
            for name, weight in weights.items()
        ]
        self._busy = 0
        self._taking = False
        self._runs: dict[Run, None] = {}
        self._idle: list[Deferred[None]] = []
        self._starting: Deferred[Any] | None = None
        self._stopping: Deferred[None] | None = None
        self._handlers: list[int] = []
        self._tick: Any = None
        self._beat: Any = None
        self._period = 0.0
        self._maintaining: Deferred[Any] = succeed(None)
        self._call, self._pool = self._way_to_run(handler, blocking, processes)

    def _way_to_run(
        self, handler: Handler | str, blocking: bool, processes: int
    ) -> tuple[Handler, Any]:
        """How handlers are called, and what has to be started for it."""
        if processes:
            from txthoonk.children import Children

            children = Children(self._reactor, handler, processes)
            return lambda claim: children.run(*claim), children
        if not callable(handler):
            raise ValueError(f"a handler is called with a claim, {handler!r} cannot be called")
        if blocking:
            from txthoonk.running import Threads

            threads = Threads(self._reactor, handler, self._concurrency)
            return threads.run, threads
        return handler, None

    # -- life -------------------------------------------------------------------------------

    def startService(self) -> None:
        """Begin to take jobs as soon as there is a connection."""
        if self.running:
            return
        super().startService()
        self._thoonk.add_worker(self)
        if self._stopping is None:
            self._begin()

    def _begin(self) -> None:
        if self._pool is not None:
            self._pool.start()
        self._starting = gatherResults([self._attach(feed) for feed in self._feeds])
        self._starting.addErrback(ignore)  # told, and tried again
        if self._maintains:
            self._tick = self._reactor.callLater(0, self._maintain)

    async def _prepare(self, feed: _Feed) -> None:
        """Make sure that the feed is there, and hear whose claims are taken away."""
        while self.running:
            try:
                await feed.job
                channel = feed.job.get_stop_channel()
                stopped = partial(self._taken_away, feed)
                self._handlers.append(await self._thoonk.register_handler(channel, stopped))
                return
            except ThoonkError as error:
                feed.not_taken(error)
                await deferLater(self._reactor, MAINTENANCE)

    def _attach(self, feed: _Feed) -> Deferred[None]:
        def prepared(_: object) -> None:
            if self.running and self._stopping is None:
                self.blocked(feed).attach(feed)

        return Deferred.fromCoroutine(self._prepare(feed)).addCallback(prepared)

    def stopService(self) -> Deferred[None]:
        """Claim nothing more, give running jobs their grace, and release those that are left.

        :returns: fires when Redis has confirmed what became of each job.
        """
        if self._stopping is not None:
            super().stopService()  # it may have been started again meanwhile
            return _also(self._stopping)
        if not self.running:
            return succeed(None)
        super().stopService()
        for feed in self._feeds:
            self.blocked(feed).detach(feed)
        stopping = self._stopping = Deferred()
        done = _also(stopping)
        through = Deferred.fromCoroutine(self._stop())
        through.addErrback(lambda failure: self.log.failure("Stopping failed", failure=failure))
        through.addBoth(self._stopped)
        return done

    async def _stop(self) -> None:
        if self._tick is not None and self._tick.active():
            self._tick.cancel()
        if self._starting is not None:
            self._starting.cancel()
        await self._wait(self._grace)
        left = list(self._runs)
        for run in left:
            run.abandon()
        await self._wait(LAST_WORDS)
        for run in list(self._runs):
            run.release()
        await self._wait(self._thoonk.connect_timeout)
        if self._beat is not None and self._beat.active():
            self._beat.cancel()
        self._maintaining.cancel()
        for handler in self._handlers:
            self._thoonk.remove_handler(handler)
        self._handlers.clear()
        if self._pool is not None:
            await self._pool.stop()

    def _stopped(self, _: object) -> None:
        stopping, self._stopping = self._stopping, None
        self._thoonk.remove_worker(self)
        if self.running:  # started again meanwhile
            self._thoonk.add_worker(self)
            self._begin()
        if stopping is not None:
            stopping.callback(None)

    def _wait(self, seconds: float) -> Deferred[None]:
        """Fires when nothing runs any more, or when the time is over."""
        idle: Deferred[None] = Deferred()
        if not self._runs:
            idle.callback(None)
            return idle
        self._idle.append(idle)
        idle.addTimeout(seconds, self._reactor, lambda *_: None)
        return idle

    # -- running ----------------------------------------------------------------------------

    def room_for(self, feed: _Feed) -> int:
        """How many more jobs of a feed may run."""
        room = self._concurrency - self._busy
        if len(self._feeds) == 1:
            return room if self.running else 0
        if not self.running:
            return 0
        # Its own share in any case; beyond that what the others leave, if anything.
        others = sum(max(0, f.share - f.busy) for f in self._feeds if f is not feed and f.hungry)
        return max(feed.share - feed.busy if room > 0 else 0, room - others, 0)

    def blocked(self, feed: _Feed) -> Blocked[Claim]:
        """What takes jobs of a feed."""
        return self._thoonk.blocked(feed.job)

    def run_all(self, feed: _Feed, claims: list[Claim]) -> None:
        """Run the handler for each claim."""
        self._taking = True  # whoever gave us these sees by itself what there is room for
        try:
            for claim in claims:
                self._run(feed, claim)
        finally:
            self._taking = False
        if len(self._feeds) > 1:
            self._wake()

    def _wake(self) -> None:
        for feed in self._feeds:
            self.blocked(feed).wake()

    def _run(self, feed: _Feed, claim: Claim) -> None:
        self._busy += 1
        feed.busy += 1
        run = Run(self, feed, claim)
        self._runs[run] = None
        if isinstance(claim.item, Exception):
            run.failed(Failure(Stall(str(claim.item))))
            return
        try:
            outcome = self._call(claim)
        except BaseException:  # also SystemExit: as in an async handler, it ends one job only
            run.failed(Failure())
            return
        if outcome is None or not isawaitable(outcome):
            run.succeeded(outcome)
        else:
            self._follow(run, outcome)

    def _follow(self, run: Run, outcome: Awaitable[Any]) -> None:
        """Wait for a handler, and extend its claim until it is through."""
        seconds = run.claim.policy.claim_timeout / 3
        if self._beat is None or not self._beat.active():
            self._beat_in(seconds)
        elif seconds < self._period:  # its feed has shorter claims than those that run
            self._beat.cancel()
            self._beat_in(seconds)
        run.follow(outcome)

    def freed(self, feed: _Feed) -> None:
        """A handler came to its end: there is room for another job."""
        self._busy -= 1
        feed.busy -= 1
        if not self._taking and self.running and self._stopping is None:
            self._wake()

    def ended(self, run: Run) -> None:
        """Redis knows what became of a job."""
        del self._runs[run]
        if not self._runs:
            idle, self._idle = self._idle, []
            for each in idle:
                each.callback(None)

    def parked(self, feed: str, id: str, reason: str) -> None:
        """A job was parked by this worker."""
        self.log.warn("Job {id!r} of {feed!r} is parked: {why}", id=id, feed=feed, why=reason)
        if self._on_stalled is not None:
            try:
                outcome = self._on_stalled(JobStalled(feed, id, reason))
                if isawaitable(outcome):
                    Deferred.fromCoroutine(_awaited(outcome)).addErrback(self._complain)
            except Exception:
                self._complain(Failure())

    def _complain(self, failure: Failure) -> None:
        self.log.failure("on_stalled failed", failure=failure)

    # -- leases -----------------------------------------------------------------------------

    def _beat_in(self, seconds: float) -> None:
        self._period = seconds
        self._beat = self._reactor.callLater(seconds, self._extend)

    def _extend(self) -> None:
        """Extend the claims of all handlers that run."""
        periods = []
        for feed in self._feeds:
            runs = [run for run in self._runs if run.feed is feed and run.holds_claim]
            for i in range(0, len(runs), 500):
                some = runs[i : i + 500]
                extending = feed.job.extend([run.claim for run in some])
                extending.addCallback(self._extended, some).addErrback(self._not_extended)
            periods += [run.claim.policy.claim_timeout / 3 for run in runs]
        if periods:
            self._beat_in(min(periods))

    def _extended(self, outcomes: list[Exception | None], runs: list[Run]) -> None:
        for run, error in zip(runs, outcomes, strict=True):
            if error is not None and run.holds_claim:
                run.lose(str(error))

    def _not_extended(self, failure: Failure) -> None:
        error = failure.value
        if not isinstance(error, (ConnectionFailed, ServerBusy)):
            self.log.error("Claims were not extended: {why}", why=error)
        if self._beat is not None and self._beat.active():
            left = self._beat.getTime() - self._reactor.seconds()
            self._beat.reset(min(left, max(0.05, left / 3)))  # soon again: a lease is at stake

    def _taken_away(self, feed: _Feed, id: str, token: str) -> None:
        """Somebody has parked or retracted a job that was claimed with this token."""
        for run in tuple(self._runs):
            if run.claim.id == id and run.feed is feed and run.claim.token == token.encode():
                run.lose("it was taken away")

    # -- maintenance ------------------------------------------------------------------------

    def _maintain(self) -> None:
        """One pass for each feed; any number of processes does the same."""
        self._maintaining = Deferred.fromCoroutine(self._maintain_all())
        self._maintaining.addErrback(lambda failure: failure.trap(CancelledError))

    async def _maintain_all(self) -> None:
        pause = MAINTENANCE * random.uniform(0.8, 1.0)
        for feed in self._feeds:
            try:
                parked = partial(self.parked, feed.job.name)
                done = await feed.job.maintenance(on_parked=parked, gentle=True)
                if any(done[:4]):
                    self.log.info("Maintenance of {feed}: {done}", feed=feed.job.name, done=done)
                if feed.job.next_due >= 0:
                    pause = min(pause, feed.job.next_due / 1000 + 0.002)
            except ThoonkError as error:
                feed.not_taken(error)
            if self.running:
                self.blocked(feed).wake()
        if self.running:
            self._tick = self._reactor.callLater(pause, self._maintain)


def _check(concurrency: int, grace: float, blocking: bool, processes: int) -> None:
    if concurrency < 1:
        raise ValueError(f"concurrency is 1 or more jobs at a time, not {concurrency!r}")
    if grace < 0:
        raise ValueError(f"grace is 0 or more seconds, not {grace!r}")
    if processes < 0:
        raise ValueError(f"processes is 0 (none) or more, not {processes!r}")
    if blocking and processes:
        raise ValueError("handlers run in threads (blocking) or in processes, not in both")


def _also(stopping: Deferred[None]) -> Deferred[None]:
    """Another Deferred that fires when that one does."""
    done: Deferred[None] = Deferred()
    stopping.addBoth(lambda _: done.callback(None))
    return done


async def _awaited(outcome: Awaitable[Any]) -> Any:
    return await outcome
