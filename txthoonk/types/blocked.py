"""Waiting for something to take: the gets of one feed in this process share one connection.

A get first asks a script for what is there. If nothing is, one ``BLMOVE ids handoff RIGHT LEFT``
waits for all gets of the feed: Redis wakes one waiting process for each id, peers that use BRPOP
get their share, and a process that dies in between leaves the id in ``handoff``, where
maintenance finds it. The script that takes the id takes as many more as there are gets waiting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._deferred import ignore
from txthoonk.errors import (
    ConnectionFailed,
    Empty,
    NotConnected,
    OutOfMemory,
    ServerBusy,
    ServerError,
    ThoonkError,
    script_error,
)
from txthoonk.keys import decode
from txthoonk.redis import Redis
from txthoonk.types.base import FeedBaseType, Owner

__all__ = ["Blocked", "Source"]

T = TypeVar("T")

#: Seconds that a connection is kept for the next get.
IDLE = 5.0

#: Errors after which it is sure that nothing was changed.
NOTHING_DONE = (NotConnected, ServerBusy)

#: Seconds between looks at a server that has no memory left for BLMOVE.
POLL = 0.5


class Source(Protocol[T]):
    """What a type says of how its items are taken."""

    def take(self, count: int, handed: str) -> Deferred[list[T]]:
        """Take at most *count*, *handed* among them if it is not empty."""

    def give_back(self, taken: list[T]) -> Deferred[Any]:
        """Undo a take, for gets that were cancelled meanwhile."""

    def hand_back(self, id: str) -> Deferred[Any]:
        """Put back an id that came when no get waited any more."""


class _Waiter(Generic[T]):
    """One get."""

    def __init__(self, blocked: Blocked[T], timeout: float) -> None:
        self.done: Deferred[T] = Deferred(self._gone)
        self._blocked = blocked
        self._timer: Any = None
        if timeout:
            reactor = blocked.owner.get_reactor()
            self._timer = reactor.callLater(timeout, self._timed_out)

    def succeed(self, result: T) -> None:
        self._stop_timer()
        self.done.callback(result)

    def fail(self, error: Exception | Failure) -> None:
        self._stop_timer()
        self.done.errback(error)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _timed_out(self) -> None:
        self._blocked.leave(self)
        self.done.errback(Empty(self._blocked.feed.name))

    def _gone(self, _: object) -> None:
        self._stop_timer()
        self._blocked.leave(self)


class Blocked(Generic[T]):
    """The waiting gets of one feed in one process.

    :param owner: gives connections and the clock.
    :param feed: what is waited for.
    :param source: how it is taken.
    """

    log = Logger()

    def __init__(self, owner: Owner, feed: FeedBaseType, source: Source[T]) -> None:
        self.owner = owner
        self.feed = feed
        self._source = source
        self._waiters: deque[_Waiter[T]] = deque()
        self._running: Deferred[None] | None = None
        self._connection: Redis | None = None
        self._client_id = 0
        self._in_block = False
        self._sleeping: Deferred[None] | None = None
        self._idle: Any = None
        self._joining = 0
        self._down_since: float | None = None
        self._stopped = False

    def get(self, timeout: float, made: Deferred[None] | None = None) -> Deferred[T]:
        """Fires with what was taken.

        :param timeout: seconds; ``0`` waits for ever.
        :param made: fires when the feed is known to be there, if that is to be waited for.
        :raises Empty: (as a failure) when nothing came in time.
        :raises NotConnected: (as a failure) when Redis could not be reached for
            ``connect_timeout`` seconds.
        :raises ConnectionLost: (as a failure) if the connection broke during a take: something
            *may* have been taken.
        """
        if timeout < 0:
            raise ValueError(f"a time-out is 0 (wait for ever) or more seconds, not {timeout!r}")
        waiter = _Waiter(self, timeout)
        if made is None:
            self._join(waiter)
        else:
            self._joining += 1
            made.addBoth(self._made, waiter)
        return waiter.done

    def _made(self, result: object, waiter: _Waiter[T]) -> None:
        self._joining -= 1
        if waiter.done.called:
            self._rest()
        elif isinstance(result, Failure):
            waiter.fail(result)
            self._rest()
        else:
            self._join(waiter)

    def _join(self, waiter: _Waiter[T]) -> None:
        self._waiters.append(waiter)
        if self._idle is not None and self._idle.active():
            self._idle.cancel()
        if self._stopped:
            self._fail(NotConnected("stopped"))
        elif self._running is None:
            self._running = Deferred.fromCoroutine(self._run())
            self._running.addBoth(self._ran)

    def leave(self, waiter: _Waiter[T]) -> None:
        """A get no longer waits."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        if not self._waiters and self._in_block:
            self._unblock()

    def stop(self, error: Exception | None = None) -> Deferred[None]:
        """Fail what waits, and close the connection.

        :param error: what it fails with; ``NotConnected`` if not given.
        :returns: fires when nothing of this is left.
        """
        self._stopped = True
        if self._idle is not None and self._idle.active():
            self._idle.cancel()
        self._fail(error or NotConnected("stopped"))
        if self._running is None:
            return self._close()
        done: Deferred[None] = Deferred()
        running = self._running
        reactor = self.owner.get_reactor()
        # An id may be on its way to us: it is handed back, if Redis answers.
        patience = reactor.callLater(1.0, running.cancel)

        def ran(_: object) -> None:
            if patience.active():
                patience.cancel()
            self._close().addBoth(done.callback)

        running.addBoth(ran)
        if self._in_block:
            self._unblock()
        elif self._sleeping is not None:
            self._sleeping.cancel()
        return done

    # -- the loop ---------------------------------------------------------------------------

    async def _run(self) -> None:
        handed = ""
        while self._waiters or handed:
            if not self._waiters:
                await self._undo(partial(self._source.hand_back, handed))
                handed = ""
                continue
            again, handed = await self._take(handed)
            if self._waiters and not again:
                handed = await self._block()

    def _ran(self, result: Any) -> None:
        self._running = self._down_since = None
        self._rest()
        error = getattr(result, "value", None)
        if error is None or isinstance(error, CancelledError):
            return
        if not isinstance(error, ThoonkError):
            self.log.failure("Waiting for {feed} failed", failure=result, feed=self.feed.name)
        if self._waiters:
            self._fail(error)

    async def _take(self, handed: str) -> tuple[bool, str]:
        """Take for all that wait.

        Says whether to ask again rather than to wait, and what is still *handed*.
        """
        asked = len(self._waiters)
        try:
            taken = await self._source.take(asked, handed)
        except ThoonkError as error:
            self._fail(error, asked)
            return True, handed if isinstance(error, NOTHING_DONE) else ""
        surplus: list[T] = []
        for one in taken:
            if self._waiters:
                self._waiters.popleft().succeed(one)
            else:
                surplus.append(one)
        if surplus:
            await self._undo(partial(self._source.give_back, surplus))
        return len(taken) >= asked, ""

    async def _undo(self, call: Callable[[], Deferred[Any]]) -> None:
        """Put something back, for as long as it takes; what becomes of it is nobody's error."""
        while True:
            try:
                await call()
                return
            except NOTHING_DONE as error:
                if self._stopped:
                    return
                self._fail(error)
                await self._sleep(POLL)
            except ThoonkError as error:
                # Somebody else has it (JobNotClaimed), or it may be done (ConnectionLost).
                self.log.debug("Not put back: {why}", why=error)
                return

    async def _block(self) -> str:
        """Wait for an id; empty if it is time to look again."""
        keys = self.feed.keys
        # A connection that Redis sits on cannot be pinged: that this returns is its ping.
        seconds = self.owner.ping_interval
        try:
            connection = await self._connect()
            if not self._waiters:
                return ""
            self._in_block = True
            try:
                id = await connection.execute_blocking(
                    seconds, "BLMOVE", keys.ids, keys.handoff, "RIGHT", "LEFT", seconds
                )
            finally:
                self._in_block = False
            self._down_since = None
        except OutOfMemory:
            await self._sleep(POLL)
            return ""
        except (ConnectionFailed, ServerBusy) as error:
            await self._outage(error)
            return ""
        except ServerError as error:
            raise script_error(error, self.feed.name, None) from None
        return "" if id is None else decode(id)

    async def _connect(self) -> Redis:
        if self._connection is None:
            connection = await self.owner.open_connection()
            try:
                self._client_id = await connection.execute("CLIENT", "ID")
            except Exception:
                await connection.close(abort=True)
                raise
            self._connection = connection
            connection.when_lost().addCallback(self._disconnected)
            self._down_since = None
        return self._connection

    def _disconnected(self, _: object) -> None:
        self._connection = None

    async def _outage(self, error: ThoonkError) -> None:
        """Nothing is lost by waiting again; but nobody waits for ever on a dead server."""
        now = self.owner.get_reactor().seconds()
        if self._down_since is None:
            self._down_since = now
        if now - self._down_since >= self.owner.connect_timeout:
            self._down_since = None
            self._fail(NotConnected(f"no connection to wait on: {error}"))
        await self._sleep(min(1.0, 0.1 + (now - (self._down_since or now)) / 4))

    async def _sleep(self, seconds: float) -> None:
        self._sleeping = deferLater(self.owner.get_reactor(), seconds)
        try:
            await self._sleeping
        finally:
            self._sleeping = None

    def _unblock(self) -> None:
        self.owner.redis.execute("CLIENT", "UNBLOCK", self._client_id).addBoth(ignore)

    def _fail(self, error: Exception, most: int | None = None) -> None:
        for _ in range(len(self._waiters) if most is None else min(most, len(self._waiters))):
            self._waiters.popleft().fail(copy(error))  # each get has an exception of its own

    def _rest(self) -> None:
        """Nobody waits: a connection is kept for a while, and then nothing."""
        if self._running is not None or self._joining or self._waiters or self._stopped:
            return
        if self._idle is not None and self._idle.active():
            self._idle.cancel()
        if self._connection is None:
            self.owner.forget_blocked(self)
        else:
            self._idle = self.owner.get_reactor().callLater(IDLE, self._expire)

    def _expire(self) -> None:
        self._stopped = True
        self.owner.forget_blocked(self)
        self._close()

    def _close(self) -> Deferred[None]:
        if self._connection is None:
            done: Deferred[None] = Deferred()
            done.callback(None)
            return done
        return self._connection.close(abort=True)
