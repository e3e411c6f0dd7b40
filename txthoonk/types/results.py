"""Waiting for the results of jobs: all that wait for those of one feed share a subscription.

Messages may be missed, what Redis stores may not: whoever begins to wait looks there once the
subscription is confirmed, and looks again whenever it had to be made anew.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any, Final, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk.errors import (
    ConnectionFailed,
    ItemDoesNotExist,
    ItemError,
    JobFailed,
    NotFinished,
    ServerBusy,
    ThoonkError,
)
from txthoonk.events import JobFinished, JobProgress, JobRetracted, JobStalled
from txthoonk.keys import encode
from txthoonk.scripts import script
from txthoonk.types.claims import read_attempts

if TYPE_CHECKING:
    from txthoonk.types.job import Job

__all__ = ["Results", "read_kept"]

T = TypeVar("T")

#: How many jobs one script looks at.
PAGE: Final = 500

#: Seconds between looks at what peers may have ended without a word.
POLL: Final = 10.0

#: Seconds until the next try where looking failed.
AGAIN: Final = 0.5

#: Seconds that the subscription outlives the last that waits.
IDLE: Final = 5.0


def read_kept(data: bytes) -> tuple[bytes, bytes | None]:
    """What was put, and its result, or None if there was none, as they are kept together.

    :raises ValueError: if somebody else wrote that.
    """
    length, _, rest = data.partition(b":")
    end = int(length)
    return rest[:end], rest[end + 1 :] if rest[end : end + 1] == b"+" else None


class _Waiter:
    """Someone who waits for the result of one job."""

    def __init__(self, results: Results, id: str, on_progress: Callable[[Any], object] | None):
        self.done: Deferred[tuple[Any, Any]] = Deferred(lambda _: self.leave())
        self.id = id
        self.query: Any = None
        #: Whether the query is known: otherwise a result that is announced is not all.
        self.knows_query = False
        self.on_progress = on_progress
        self._results = results
        self._timer: Any = None

    def give(self, seconds: float) -> None:
        """Wait no longer than that; 0 is for ever."""
        if seconds:
            self._timer = self._results.reactor.callLater(seconds, self._late)

    def _late(self) -> None:
        self._results.leave(self)
        self.done.errback(NotFinished(self._results.job.name, self.id))

    def leave(self) -> None:
        """Wait no longer."""
        self._stop()
        self._results.leave(self)

    def _stop(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def succeed(self, result: Any) -> None:
        self._stop()
        if not self.done.called:
            self.done.callback((self.query, result))

    def fail(self, error: Exception | Failure) -> None:
        self._stop()
        if not self.done.called:
            self.done.errback(error)


class Results:
    """All that wait for results of one feed's jobs, in one process.

    :param job: a handle on the feed; results are in its serializer.
    """

    log = Logger()

    def __init__(self, job: Job) -> None:
        self.job = job
        self.reactor: Any = job.pub.get_reactor()
        self._waiters: dict[str, list[_Waiter]] = {}
        self._at_end: dict[str, list[Callable[[Any], object]]] = {}
        #: Ids of jobs that are being put, and how often: what Redis says of them may be of before.
        self._unput: dict[str, int] = {}
        #: Results that were announced before it was known what was asked.
        self._heard: dict[str, Any] = {}
        self._look = script("job/look").bind(job.keys, job.name)
        self._to_look: dict[str, None] = {}
        self._looking: Any = None
        self._subscription: Any = None
        self._subscribing: list[Deferred[None]] | None = None
        self._poll: Any = None
        self._idle: Any = None

    # -- waiting ----------------------------------------------------------------------------

    def get(
        self, id: str, timeout: float, on_progress: Callable[[Any], object] | None
    ) -> Deferred[tuple[Any, Any]]:
        """Wait for a job that may be finished already; see ``Job.get_result``."""
        waiter = self._add(id, timeout, on_progress)

        def failed(failure: Failure) -> None:
            self.leave(waiter)
            waiter.fail(failure)

        self.listen().addCallbacks(lambda _: self._look_at(id), failed)
        return waiter.done

    def wait(
        self, id: str, query: Any, timeout: float, on_progress: Callable[[Any], object] | None
    ) -> Deferred[tuple[Any, Any]]:
        """Wait for a job that will be put once :meth:`listen` has fired; see :meth:`putting`."""
        waiter = self._add(id, timeout, on_progress)
        waiter.query, waiter.knows_query = query, True

        def failed(failure: Failure) -> Failure:  # also if it could not be put
            waiter.leave()
            return failure

        return waiter.done.addErrback(failed)

    def putting(self, id: str, put: Callable[[], Deferred[T]], made_up: bool) -> Deferred[T]:
        """Put a job whose end is waited for.

        :param made_up: whether nobody else can have put a job of this id.
        """
        self._unput[id] = self._unput.get(id, 0) + 1

        def is_put(result: T) -> T:
            self._unput[id] -= 1
            if not self._unput[id]:
                del self._unput[id]
                if not made_up and (id in self._waiters or id in self._at_end):
                    self._look_at(id)  # it may have been there, and be parked
            return result

        return maybeDeferred(put).addBoth(is_put)

    def _add(self, id: str, timeout: float, on_progress: Callable[[Any], object] | None) -> _Waiter:
        if timeout < 0:
            raise ValueError(f"a time-out is 0 (wait for ever) or more seconds, not {timeout!r}")
        waiter = _Waiter(self, id, on_progress)
        waiter.give(timeout)
        self._waiters.setdefault(id, []).append(waiter)
        return waiter

    def leave(self, waiter: _Waiter) -> None:
        """Somebody waits no longer."""
        waiters = self._waiters.get(waiter.id, [])
        if waiter in waiters:
            waiters.remove(waiter)
            if not waiters:
                del self._waiters[waiter.id]
                self._heard.pop(waiter.id, None)
        self._rest()

    def call_at_end(self, id: str, handler: Callable[[Any], object]) -> None:
        """Call a handler with the event that ends a job."""
        self._at_end.setdefault(id, []).append(handler)

    def forget(self, id: str, handler: Callable[[Any], object]) -> None:
        """The opposite of :meth:`call_at_end`."""
        handlers = self._at_end.get(id, [])
        if handler in handlers:
            handlers.remove(handler)
            if not handlers:
                del self._at_end[id]
        self._rest()

    def stop(self, error: Exception) -> None:
        """Fail all that wait."""
        waiters = [each for several in self._waiters.values() for each in several]
        self._waiters.clear()
        self._at_end.clear()
        self._unsubscribe()
        for waiter in waiters:
            waiter.fail(error)

    # -- listening --------------------------------------------------------------------------

    def listen(self) -> Deferred[None]:
        """Fires when what ends jobs from now on will be heard."""
        done: Deferred[None] = Deferred()
        if self._subscription is not None:
            done.callback(None)
        elif self._subscribing is not None:
            self._subscribing.append(done)
        else:
            self._subscribing = [done]
            events: dict[str, Callable[[Any], object]] = {
                "finish": self._finished,
                "stall": self._stalled,
                "retract": self._retracted,
                "progress": self._progressed,
            }
            maybeDeferred(self.job.subscribe, **events).addBoth(self._listening)
        return done

    def _listening(self, result: Any) -> None:
        waiting, self._subscribing = self._subscribing or [], None
        if not isinstance(result, Failure):
            self._subscription = result
            self.job.pub.call_when_heard_again(self._heard_again)
            self._poll = self.reactor.callLater(POLL, self._look_at_all, True)
        for each in waiting:
            each.callback(None if not isinstance(result, Failure) else result)
        self._rest()

    def _rest(self) -> None:
        """Once nobody waits for a while, stop listening."""
        if self._waiters or self._at_end or self._subscription is None:
            if self._idle is not None and self._idle.active():
                self._idle.cancel()
        elif self._idle is None or not self._idle.active():
            self._idle = self.reactor.callLater(IDLE, self._expire)

    def _expire(self) -> None:
        if not self._waiters and not self._at_end:
            self._unsubscribe()

    def _unsubscribe(self) -> None:
        for timer in (self._poll, self._idle, self._looking):
            if timer is not None and timer.active():
                timer.cancel()
        self._looking = None
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            self.job.pub.call_no_more(self._heard_again)
            subscription.stop()

    # -- what is heard ----------------------------------------------------------------------

    def _finished(self, event: JobFinished) -> None:
        self._ended(event.id, event)
        waiters = self._waiters.get(event.id)
        if waiters is None:
            return
        if isinstance(event.result, Exception):  # it cannot be decoded
            self._fail(event.id, event.result)
            return
        if all(waiter.knows_query for waiter in waiters):
            self._succeed(event.id, event.result)
        else:
            # Redis has both, unless results are not kept: then this is all there is.
            self._heard[event.id] = event.result
            self._look_at(event.id)

    def _stalled(self, event: JobStalled) -> None:
        self._ended(event.id, event)
        if event.id in self._waiters:
            self._look_at(event.id)  # for the history; and it may have been retried

    def _retracted(self, event: JobRetracted) -> None:
        self._ended(event.id, event)
        self._fail(event.id, ItemDoesNotExist(self.job.name, event.id, "it was retracted"))

    def _progressed(self, event: JobProgress) -> None:
        for waiter in tuple(self._waiters.get(event.id, ())):
            if waiter.on_progress is not None:
                self._call(waiter.on_progress, event.value)

    def _ended(self, id: str, event: Any) -> None:
        for handler in self._at_end.pop(id, ()):
            self._call(handler, event)
        self._rest()

    def _call(self, handler: Callable[[Any], object], argument: Any) -> None:
        """Call a handler; whatever becomes of it is its own affair."""

        def failed(failure: Failure) -> None:
            self.log.failure("A handler of {feed!r} failed", failure=failure, feed=self.job.name)

        maybeDeferred(handler, argument).addErrback(failed)

    def _succeed(self, id: str, result: Any, **query: Any) -> None:
        self._heard.pop(id, None)
        for waiter in self._waiters.pop(id, ()):
            if "query" in query:
                waiter.query = query["query"]
            waiter.succeed(result)
        self._rest()

    def _fail(self, id: str, error: Exception) -> None:
        self._heard.pop(id, None)
        for waiter in self._waiters.pop(id, ()):
            waiter.fail(copy(error))
        self._rest()

    # -- looking ----------------------------------------------------------------------------

    def _heard_again(self) -> None:
        """The subscription was made anew: what was published meanwhile was missed."""
        self._look_at_all()

    def _look_at_all(self, polled: bool = False) -> None:
        for id in (*self._waiters, *self._at_end):
            self._look_at(id)
        if polled and self._subscription is not None:
            self._poll = self.reactor.callLater(POLL, self._look_at_all, True)

    def _look_at(self, id: str, later: float = 0) -> None:
        """Look what has become of a job; what is asked for in one turn is looked at together."""
        self._to_look[id] = None
        if self._looking is None:
            self._looking = self.reactor.callLater(later, self._look_now)

    def _look_now(self) -> None:
        self._looking = None
        ids = [id for id in self._to_look if id in self._waiters or id in self._at_end]
        self._to_look.clear()
        for i in range(0, len(ids), PAGE):
            some = ids[i : i + PAGE]
            looked = self._look(self.job.pub.redis, [encode(id) for id in some])
            looked.addCallbacks(self._looked, self._not_looked, (some,), {}, (some,))
            looked.addErrback(lambda f: self.log.failure("Looking for results failed", failure=f))

    def _not_looked(self, failure: Failure, ids: list[str]) -> None:
        failure.trap(ThoonkError)
        error: Any = failure.value
        if not isinstance(error, (ConnectionFailed, ServerBusy)):
            for id in ids:
                self._fail(id, error)
        elif self._subscription is not None:  # once the outage is over, we look again
            for id in ids:
                self._look_at(id, AGAIN)

    def _looked(self, reply: list[bytes], ids: list[str]) -> None:
        for i, id in enumerate(ids):
            try:
                self._saw(id, reply[2 * i], reply[2 * i + 1])
            except ValueError as error:  # somebody else wrote that
                self._fail(id, ItemError(self.job.name, id, f"no result: {error}"))

    def _saw(self, id: str, state: bytes, data: bytes) -> None:
        name, decode_item = self.job.name, self.job.decode
        if id in self._unput:
            return  # it was not there yet, or this is about an earlier one
        if state == b"finished":
            query, result = read_kept(data)
            value = None if result is None else self.job.decode_result(result, id)
            self._ended(id, JobFinished(name, id, value))
            if isinstance(value, Exception):
                self._fail(id, value)
            else:
                self._succeed(id, value, query=decode_item(query, id))
        elif state == b"parked":
            attempts = read_attempts(data)
            why = attempts[-1].error if attempts else ""
            self._ended(id, JobStalled(name, id, why))
            self._fail(id, JobFailed(name, id, why, attempts))
        elif state == b"unfinished":
            for waiter in self._waiters.get(id, ()):
                if not waiter.knows_query:
                    waiter.query, waiter.knows_query = decode_item(data, id), True
            if id in self._heard:  # it was not finished yet when Redis looked
                self._succeed(id, self._heard[id])
        else:
            self._gone(id)

    def _gone(self, id: str) -> None:
        """Neither the job is there nor its result: its end may have been announced, at least."""
        if id in self._heard:
            self._succeed(id, self._heard[id])
            return
        self._ended(id, JobRetracted(self.job.name, id))
        self._fail(id, ItemDoesNotExist(self.job.name, id, "neither a job nor a result any more"))
