"""What a worker does beside running handlers: it extends their claims, and maintains its feeds."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk.errors import ConnectionFailed, ServerBusy, ThoonkError
from txthoonk.expiry import Expirer
from txthoonk.running import Run
from txthoonk.service import Thoonk
from txthoonk.types.job import Job

__all__ = ["Caretaker", "Heartbeat"]

#: Seconds between two passes of maintenance, about; and between two looks at what is due, at least.
MAINTENANCE: Final = 1.0
DUE: Final = 0.05

#: Seconds between two signs of life.
PULSE: Final = 0.25

#: How many claims one call extends.
MANY: Final = 500


class Heartbeat:
    """Extends the claims of all handlers that run, three times as often as they would expire.

    :param reactor: for the clock.
    :param runs: all there are.
    """

    log = Logger()

    def __init__(self, reactor: Any, runs: Iterable[Run]) -> None:
        self._reactor = reactor
        self._runs = runs
        self._period = 0.0
        self._beat: Any = None
        self._pulse: Any = None
        self._alive = self._paused = 0.0

    def start(self) -> None:
        """Notice from now on when this process is held up."""
        self._alive = self._reactor.seconds()
        self._pulse = self._reactor.callLater(PULSE, self._beats)

    def _beats(self) -> None:
        if self._reactor.seconds() - self._alive > 2 * PULSE:
            self._paused = self._reactor.seconds()
        self.start()

    def has_paused(self, since: float) -> bool:
        """Whether this process was held up since then."""
        return since < self._paused or self._reactor.seconds() - self._alive > 2 * PULSE

    def begins(self, run: Run) -> None:
        """A handler runs, or waits for its turn."""
        seconds = run.claim.policy.claim_timeout / 3
        if self._beat is None or not self._beat.active():
            self._beat_in(seconds)
        elif seconds < self._period:  # its feed has shorter claims than those that run
            self._beat.cancel()
            self._beat_in(seconds)

    def stop(self) -> None:
        """No handler runs any more."""
        if self._pulse is not None and self._pulse.active():
            self._pulse.cancel()
        if self._beat is not None and self._beat.active():
            self._beat.cancel()

    def _beat_in(self, seconds: float) -> None:
        self._period = seconds
        self._beat = self._reactor.callLater(seconds, self._extend)

    def _extend(self) -> None:
        by_feed: dict[Job, list[Run]] = {}
        for run in self._runs:
            if run.holds_claim:
                by_feed.setdefault(run.feed.job, []).append(run)
        for job, runs in by_feed.items():
            for i in range(0, len(runs), MANY):
                self.extend(job, runs[i : i + MANY])
        if by_feed:
            self._beat_in(self._shortest())

    def extend(self, job: Job, runs: list[Run]) -> Deferred[Any]:
        """Extend the claims of some handlers; those whose claim has ended are told."""
        extending = job.extend([run.claim for run in runs])
        return extending.addCallback(self._extended, runs).addErrback(self._not_extended)

    def _shortest(self) -> float:
        return min(run.claim.policy.claim_timeout / 3 for run in self._runs if run.holds_claim)

    def _extended(self, outcomes: list[Exception | None], runs: list[Run]) -> None:
        for run, error in zip(runs, outcomes, strict=True):
            if error is not None and run.holds_claim:
                run.lose(str(error))
        for run in runs:
            if run.holds_claim:
                self.begins(run)  # the feed's claim_timeout may have become shorter

    def _not_extended(self, failure: Failure) -> None:
        error = failure.value
        if not isinstance(error, (ConnectionFailed, ServerBusy)):
            self.log.error("Claims were not extended: {why}", why=error)
        if self._beat is not None and self._beat.active():
            left = self._beat.getTime() - self._reactor.seconds()
            self._beat.reset(min(left, max(0.05, left / 3)))  # soon again: a lease is at stake


class Caretaker:
    """Runs maintenance of some feeds about once a second, and promotes what is due in time.

    Beside that items of any feed whose time is over are retracted.

    :param thoonk: where the feeds are.
    :param reactor: for the clock.
    :param feeds: whose they are; each is told of what cannot be done.
    :param parked: called with feed, id and reason of each job that is parked.
    :param after: called with a feed after each pass.
    """

    log = Logger()

    def __init__(
        self,
        thoonk: Thoonk,
        reactor: Any,
        feeds: Iterable[Any],
        parked: Callable[[str, str, str], object],
        after: Callable[[Any], object],
    ) -> None:
        self._reactor = reactor
        self._feeds = feeds
        self._parked = parked
        self._after = after
        self._going = False
        self._timers: dict[str, Any] = {}
        self._passes: dict[str, Deferred[Any]] = {}
        self._expirer = Expirer(thoonk, reactor)

    def start(self) -> None:
        """Begin at once."""
        self._going = True
        self._soon("all", 0, self._maintain)
        self._expirer.startService()

    def stop(self) -> None:
        """Do nothing more; what is under way is given up."""
        self._going = False
        self._expirer.stopService()
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        for each in self._passes.values():
            each.cancel()

    def _soon(self, what: str, seconds: float, do: Callable[[], Any]) -> None:
        timer = self._timers.get(what)
        if timer is not None and timer.active():
            timer.cancel()
        if self._going:
            self._timers[what] = self._reactor.callLater(seconds, self._run, what, do)

    def _run(self, what: str, do: Callable[[], Any]) -> None:
        self._passes[what] = passing = Deferred.fromCoroutine(do())
        passing.addErrback(lambda failure: failure.trap(CancelledError))

    async def _maintain(self) -> None:
        for feed in self._feeds:
            try:
                parked = partial(self._parked, feed.job.name)
                done = await feed.job.maintenance(on_parked=parked, gentle=True)
                if any(done[:4]):
                    self.log.info("Maintenance of {feed}: {done}", feed=feed.job.name, done=done)
            except ThoonkError as error:
                feed.not_taken(error)
            self._after(feed)
        self._wait_for_due()
        self._soon("all", MAINTENANCE * random.uniform(0.8, 1.0), self._maintain)

    async def _promote(self) -> None:
        for feed in self._feeds:
            if feed.job.next_due >= 0:
                try:
                    await feed.job.promote_due()
                except ThoonkError as error:
                    feed.not_taken(error)
        self._wait_for_due()

    def _wait_for_due(self) -> None:
        """Between two passes delayed jobs are looked after alone."""
        due = [feed.job.next_due / 1000 for feed in self._feeds if feed.job.next_due >= 0]
        if due and min(due) < MAINTENANCE:
            self._soon("due", max(DUE, min(due) + 0.002), self._promote)
