"""Workers: services that claim jobs, run a handler for each, and finish them.

A claim holds for the feed's ``claim_timeout``, and is extended while its handler runs. Whatever a
handler does, its job ends finished, available again, or parked; and if this process dies, the
maintenance of any other one returns its jobs when their claims expire.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from inspect import isawaitable, iscoroutinefunction
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._deferred import ignore
from txthoonk._intake import Intake
from txthoonk._upkeep import Caretaker, Heartbeat
from txthoonk.errors import ThoonkError
from txthoonk.events import JobStalled
from txthoonk.running import Retry, Run, Stall
from txthoonk.serializers import Serializer
from txthoonk.types.blocked import Blocked
from txthoonk.types.claims import Claim

if TYPE_CHECKING:
    from txthoonk.service import Thoonk

__all__ = ["JobWorker", "Retry", "Stall"]

#: Seconds between two tries to get at a feed.
AGAIN = 1.0

#: Seconds that handlers may keep the reactor from anything else, where there are several.
TURN = 0.05

#: Seconds that a handler that was cancelled gets to come to its end.
LAST_WORDS = 1.0

Handler = Callable[[Any], Any]


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
    :param claim_timeout: max_attempts: backoff: result_ttl: set as options of the feed if given;
        see :class:`Job`.
    :param grace: seconds that running jobs get when the worker is stopped.
    :param blocking: run handlers in threads, *concurrency* of them.
    :param processes: run handlers in so many child processes; a handler is called with ``id, item,
        cancelled`` there, and one that crashes costs the job one attempt.
    :param on_stalled: called with a ``JobStalled`` for each job that this worker parks.
    :param maintain: whether to run ``maintenance()`` about once a second.
    :param serializer: of the feeds; the usual one of the dialect if not given.
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
        result_ttl: float | None = None,
        grace: float = 10.0,
        blocking: bool = False,
        processes: int = 0,
        on_stalled: Callable[[JobStalled], object] | None = None,
        maintain: bool = True,
        serializer: str | Serializer | None = None,
    ) -> None:
        _check(concurrency, grace, blocking, processes)
        self._thoonk = thoonk
        self._reactor: Any = thoonk.get_reactor()
        self._concurrency = processes or concurrency
        self._grace = grace
        self._on_stalled = on_stalled
        weights = {names: 1.0} if isinstance(names, str) else dict(names)
        if not weights or not all(weight > 0 for weight in weights.values()):
            raise ValueError(f"a worker has feeds, each with a weight above 0, not {names!r}")
        given = {
            "claim_timeout": claim_timeout,
            "max_attempts": max_attempts,
            "backoff": backoff,
            "result_ttl": result_ttl,
        }
        options = {name: value for name, value in given.items() if value is not None}
        self._has_options = bool(options)
        spoken = {} if serializer is None else {"serializer": serializer}
        whole = sum(weights.values())
        self._feeds = [
            Intake(
                self,
                thoonk.job(name, **spoken, **options),
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
        #: Claims whose handlers have not begun: those before them take their time.
        self._ready: deque[Run] = deque()
        self._in_turn: Any = None
        self._heartbeat = Heartbeat(self._reactor, self._runs)
        self._caretaker = (
            Caretaker(thoonk, self._reactor, self._feeds, self.parked, self._maintained)
            if maintain
            else None
        )
        self._can_cancel = not blocking
        #: Whether Redis is told of what became of jobs until it has heard.
        self.insists = True
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
            if iscoroutinefunction(handler):
                raise ValueError(f"a handler in a thread is a plain function, not {handler!r}")
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
        self.insists = True
        self._heartbeat.start()
        if self._pool is not None:
            self._pool.start()
        attaching = [self._attach(feed) for feed in self._feeds]
        self._starting = gatherResults(attaching, consumeErrors=True)
        self._starting.addErrback(ignore)  # told, and tried again
        if self._caretaker is not None:
            self._caretaker.start()

    async def _prepare(self, feed: Intake) -> None:
        """Make sure that the feed is there, and hear whose claims are taken away."""
        while self.running:
            try:
                await feed.job
                channel = feed.job.get_stop_channel()
                stopped = partial(self._taken_away, feed)
                self._handlers.append(await self._thoonk.register_handler(channel, stopped))
                if self._has_options:
                    again = partial(self._created, feed)
                    subscription = await self._thoonk.subscribe(feed.job.name, create=again)
                    self._handlers.append(subscription.id)
                return
            except ThoonkError as error:
                feed.not_taken(error)
                await deferLater(self._reactor, AGAIN)

    def _created(self, feed: Intake, _: object) -> None:
        """The feed was deleted, and created anew: it shall have our options again."""
        feed.job.ensure().addCallbacks(ignore, lambda failure: feed.not_taken(failure.value))

    def _attach(self, feed: Intake) -> Deferred[None]:
        def prepared(_: object) -> None:
            if self.is_taking:
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
        leaving = [self.blocked(feed).detach(feed) for feed in self._feeds]
        stopping = self._stopping = Deferred()
        done = _also(stopping)
        through = Deferred.fromCoroutine(self._stop(gatherResults(leaving, consumeErrors=True)))
        through.addErrback(lambda failure: self.log.failure("Stopping failed", failure=failure))
        through.addBoth(self._stopped)
        return done

    async def _stop(self, leaving: Deferred[Any]) -> None:
        leaving.addTimeout(LAST_WORDS, self._reactor, lambda *_: None)  # what was on its way
        if self._caretaker is not None:
            self._caretaker.stop()
        if self._starting is not None:
            self._starting.cancel()
        if self._in_turn is not None:
            self._in_turn.cancel()
            self._in_turn = None
        while self._ready:
            self._ready.popleft().release()
        await self._wait(self._grace)
        if not self._can_cancel:
            await self._wait(None)  # for the threads: what they work on is nobody else's
        for run in list(self._runs):
            run.abandon()
        await self._wait(LAST_WORDS)
        for run in list(self._runs):
            run.release()
        await self._wait(self._thoonk.connect_timeout)
        self.insists = False
        await leaving
        self._heartbeat.stop()
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

    def _wait(self, seconds: float | None) -> Deferred[None]:
        """Fires when nothing runs any more, or when the time is over, if it ever is."""
        idle: Deferred[None] = Deferred()
        if not self._runs:
            idle.callback(None)
            return idle
        self._idle.append(idle)
        if seconds is not None:
            idle.addTimeout(seconds, self._reactor, lambda *_: None)
        return idle

    # -- running ----------------------------------------------------------------------------

    def room_for(self, feed: Intake) -> int:
        """How many more jobs of a feed may run."""
        room = self._concurrency - self._busy
        if len(self._feeds) == 1:
            return room if self.running else 0
        if not self.running:
            return 0
        # Its own share in any case; beyond that what the others leave, if anything.
        others = sum(max(0, f.share - f.busy) for f in self._feeds if f is not feed and f.hungry)
        return max(min(feed.share - feed.busy, room), room - others, 0)

    def blocked(self, feed: Intake) -> Blocked[Claim]:
        """What takes jobs of a feed."""
        return self._thoonk.blocked(feed.job)

    def run_all(self, feed: Intake, claims: list[Claim]) -> None:
        """Run the handler for each claim."""
        self._busy += len(claims)
        feed.busy += len(claims)
        runs = [Run(self, feed, claim) for claim in claims]
        self._runs.update(dict.fromkeys(runs))
        if self._heartbeat.has_paused(claims[0].renewed):
            # The process was stopped, or a handler has blocked it: who knows how old these are.
            self._heartbeat.extend(feed.job, runs).addBoth(lambda _: self._begin_runs(runs))
        else:
            self._begin_runs(runs)

    def _begin_runs(self, runs: list[Run]) -> None:
        self._ready.extend(runs)
        if self._in_turn is None:
            # Whoever gave us these sees by itself what there is room for.
            self._run_ready(wake=len(self._feeds) > 1)

    def _run_ready(self, wake: bool = True) -> None:
        """Run handlers for a while. Where they block, the reactor has its turn in between."""
        self._in_turn = None
        seconds, ready = self._reactor.seconds, self._ready
        stop = seconds() + TURN
        self._taking = True
        try:
            while ready:
                self._run(ready.popleft())
                if ready and seconds() > stop:
                    for run in ready:
                        self._heartbeat.begins(run)
                    self._in_turn = self._reactor.callLater(0, self._run_ready)
                    break
        finally:
            self._taking = False
        if wake:
            self._wake()

    @property
    def is_taking(self) -> bool:
        """Whether it takes jobs: it runs, and an earlier stop is through."""
        return bool(self.running) and self._stopping is None

    def _wake(self) -> None:
        if self.is_taking:
            for feed in self._feeds:
                self.blocked(feed).wake()

    def _run(self, run: Run) -> None:
        claim = run.claim
        if not run.holds_claim or run.is_lost:  # while it waited for its turn
            run.skip()
            return
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
        self._heartbeat.begins(run)
        run.follow(outcome)

    def freed(self, feed: Intake) -> None:
        """A handler came to its end: there is room for another job."""
        self._busy -= 1
        feed.busy -= 1
        if not self._taking:
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

    def _maintained(self, feed: Intake) -> None:
        if self.is_taking:
            self.blocked(feed).wake()

    def _taken_away(self, feed: Intake, id: str, token: str) -> None:
        """Somebody has parked or retracted a job that was claimed with this token."""
        for run in tuple(self._runs):
            if run.claim.id == id and run.feed is feed and run.claim.token == token.encode():
                run.lose("it was taken away")


def _check(concurrency: int, grace: float, blocking: bool, processes: int) -> None:
    if not isinstance(concurrency, int) or concurrency < 1:
        raise ValueError(f"concurrency is 1 or more jobs at a time, not {concurrency!r}")
    if not 0 <= grace < float("inf"):
        raise ValueError(f"grace is 0 or more seconds, not {grace!r}")
    if not isinstance(processes, int) or processes < 0:
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
