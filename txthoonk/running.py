"""One run of a handler: what becomes of its job."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from txthoonk.errors import (
    ChildFailed,
    ConnectionFailed,
    JobNotClaimed,
    ReadOnly,
    ServerBusy,
    ThoonkError,
)
from txthoonk.types.backoff import DEFAULT
from txthoonk.types.claims import NO_RESULT, Claim

__all__ = ["Retry", "Run", "Stall", "Threads"]

#: Errors that pass: Redis is out of reach, busy, or a replica just now.
NOT_NOW = (ConnectionFailed, ServerBusy, ReadOnly)

#: Seconds between tries to tell Redis what became of a job.
AGAIN = 0.2


class Retry(Exception):
    """Raised by a handler: the job could not be done now. It counts as an attempt.

    :param delay: seconds until the next one; by the feed's ``backoff`` if not given.
    :param why: for the job's history.
    """

    def __init__(self, delay: float | None = None, why: str = "") -> None:
        if delay is not None and not 0 <= delay <= 1e9:  # as in the options; nor NaN
            raise ValueError(f"a delay is 0 or more seconds, at most 1e9, not {delay!r}")
        super().__init__(delay, why)
        self.delay = delay
        self.why = str(why)


class Stall(Exception):
    """Raised by a handler: the job is to be parked until somebody retries it.

    :param reason: for the job's history.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = str(reason)


class Worker(Protocol):
    """Whose runs these are."""

    #: Whether Redis is told until it has heard.
    insists: bool

    def freed(self, feed: Any) -> None:
        """The handler is through."""

    def ended(self, run: Run) -> None:
        """Redis knows what became of the job."""

    def parked(self, feed: str, id: str, reason: str) -> None:
        """It was parked."""


class Run:
    """One claim, its handler, and the verb that ends it.

    It is told by Redis's answer like a Deferred: ``callback`` and ``errback``.

    :ivar is_running: whether its handler has not come to its end.
    """

    __slots__ = (
        "_following",
        "_lost",
        "_stopped",
        "claim",
        "feed",
        "is_running",
        "result",
        "worker",
    )
    log = Logger()
    called = False  # a finish is never cancelled

    def __init__(self, worker: Worker, feed: Any, claim: Claim) -> None:
        self.worker = worker
        self.feed = feed
        self.claim = claim
        self.is_running = True
        self.result = b""
        self._lost = self._stopped = False
        self._following: Deferred[Any] | None = None
        claim.when_taken_away = self.lose

    @property
    def holds_claim(self) -> bool:
        """Whether its handler runs, and has not ended the claim itself."""
        return self.is_running and self.claim.ending is None

    @property
    def is_lost(self) -> bool:
        """Whether the claim has ended without this handler."""
        return self._lost

    def skip(self) -> None:
        """The claim has ended before the handler began."""
        if self._is_through():
            self._ended()

    # -- the handler ------------------------------------------------------------------------

    def follow(self, outcome: Awaitable[Any]) -> None:
        """Wait for a handler that takes its time."""
        following = (
            outcome if isinstance(outcome, Deferred) else Deferred.fromCoroutine(_of(outcome))
        )
        self._following = following
        following.addCallbacks(self.succeeded, self.failed)

    def succeeded(self, result: Any) -> None:
        """The handler has returned: finish the job."""
        claim, job = self.claim, self.feed.job
        if not self._is_through():
            return
        if claim.ending is not None:  # the handler did that itself
            self._after(claim.ending)
            return
        try:
            self.result = job.encode_result(NO_RESULT if result is None else result)
        except Exception:
            self._give_up(Failure())
            return
        job.finish_for(self, claim, self.result)

    def failed(self, failure: Failure) -> None:
        """The handler has failed: the job is tried again, or parked."""
        if not self._is_through():
            return
        if self.claim.ending is not None:
            self._after(self.claim.ending)
            self._tell(failure)
        elif self._stopped:
            self._insist(self.claim.release)
        elif self._lost:
            self._ended()
        else:
            self._give_up(failure)

    def _is_through(self) -> bool:
        """Note that the handler is; says whether its outcome still matters."""
        if not self.is_running:
            return False
        self.is_running = False
        self._following = None
        self.worker.freed(self.feed)
        return True

    def _after(self, ending: Deferred[Any]) -> None:
        """The handler has ended its claim itself; whoever called that verb has its failures."""

        def ended(result: Any) -> Any:
            self._ended()
            return result

        ending.addBoth(ended)

    # -- Redis's answer to a finish ---------------------------------------------------------

    def callback(self, _: object) -> None:
        """The job is finished."""
        self._ended()

    def errback(self, error: Any) -> None:
        """It is not, or not surely."""
        if isinstance(error, Failure):
            error = error.value
        if isinstance(error, NOT_NOW):
            finish = self.feed.job.finish_encoded
            self._insist(lambda: finish(self.claim, self.result))
        else:
            self._note(error)
            self._ended()

    # -- other ends -------------------------------------------------------------------------

    def _give_up(self, failure: Failure) -> None:
        error, claim, job = failure.value, self.claim, self.feed.job
        if isinstance(error, Stall):
            reason = error.reason or "stalled by its handler"
            self._insist(lambda: claim.stall(reason), lambda _: self._parked(reason))
            return
        delay = error.delay if isinstance(error, Retry) else None
        if delay is None:
            delay = (claim.policy.backoff or DEFAULT).seconds(claim.cancelled + 1)
        if isinstance(error, Retry):
            text = error.why or "to be tried again"
        else:
            text = failure.getErrorMessage()
            if not isinstance(error, ChildFailed):  # that names what its handler raised
                text = f"{type(error).__name__}: {text}"
            self._tell(failure)

        def given_up(again: int) -> None:
            if not again:
                self._parked(text)

        self._insist(lambda: job.give_up("failed", claim.id, claim.token, delay, text), given_up)

    def _tell(self, failure: Failure) -> None:
        self.log.warn(
            "Job {id!r} of {feed!r} failed: {error}\n{traceback}",
            id=self.claim.id,
            feed=self.feed.job.name,
            error=failure.getErrorMessage(),
            traceback=getattr(failure.value, "traceback", "")
            or failure.getTraceback(elideFrameworkCode=True),
        )

    def _parked(self, reason: str) -> None:
        self.worker.parked(self.feed.job.name, self.claim.id, reason)

    def release(self) -> None:
        """Give the job back as if it had not been claimed, whatever its handler still does."""
        if self.is_running:
            self.is_running = False
            self._following = None
            self.worker.freed(self.feed)
            if self.claim.ending is None:
                self._insist(self.claim.release)
            else:
                self._after(self.claim.ending)

    def abandon(self) -> None:
        """The worker has to stop: cancel the handler, and give the job back when it is through."""
        if self.is_running:
            self._stopped = True
            if self._following is not None:
                self._following.cancel()

    def lose(self, why: str) -> None:
        """The claim has ended: cancel the handler; what it says is refused anyway."""
        if not self.is_running or self._lost:
            return
        self._lost = True
        self.log.info(
            "Job {id!r} of {feed!r} is not ours any more: {why}",
            id=self.claim.id,
            feed=self.feed.job.name,
            why=why,
        )
        if self._following is not None:
            self._following.cancel()

    # -- telling Redis ----------------------------------------------------------------------

    def _insist(
        self, call: Callable[[], Deferred[Any]], then: Callable[[Any], None] | None = None
    ) -> None:
        """Tell Redis, and again if it cannot be reached, until the claim has ended."""
        telling = Deferred.fromCoroutine(self._tell_redis(call, then))
        telling.addErrback(lambda f: self.log.failure("A job's end failed", failure=f))
        telling.addBoth(lambda _: self._ended())

    async def _tell_redis(
        self, call: Callable[[], Deferred[Any]], then: Callable[[Any], None] | None
    ) -> None:
        while True:
            try:
                result = await call()
            except NOT_NOW as error:
                if not self.worker.insists:
                    self._note(error)
                    return
                await deferLater(self.feed.job.pub.get_reactor(), AGAIN)
            except ThoonkError as error:
                self._note(error)
                return
            else:
                if then is not None:
                    then(result)
                return

    def _ended(self) -> None:
        self.feed.job.forget(self.claim)
        self.worker.ended(self)

    def _note(self, error: Exception) -> None:
        say = self.log.info if isinstance(error, JobNotClaimed) else self.log.error
        say("What was done for {claim!r} does not count: {why}", claim=self.claim.id, why=error)


async def _of(outcome: Awaitable[Any]) -> Any:
    return await outcome


class Threads:
    """Runs handlers that block in threads of their own.

    :param reactor: that waits for them.
    :param handler: called in a thread.
    :param count: of threads.
    """

    def __init__(self, reactor: Any, handler: Callable[[Claim], Any], count: int) -> None:
        self._reactor = reactor
        self._handler = handler
        self._count = count
        self._pool: Any = None

    def start(self) -> None:
        """Get ready; a pool that was stopped cannot be started again."""
        self._pool = ThreadPool(0, self._count, "txthoonk")
        self._pool.start()

    def run(self, claim: Claim) -> Deferred[Any]:
        """Run the handler for a claim; a thread cannot be cancelled."""
        return deferToThreadPool(self._reactor, self._pool, self._handler, claim)

    def stop(self) -> Deferred[None]:
        """Wait for the threads that still run."""
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), self._pool.stop)
