"""Waiting for something to take: all that wait in this process for one feed share one connection.

Whoever waits is a get, which takes one thing, or a taker such as a worker, which takes as many as
it has room for. Each first asks a script for what is there. If nothing is, one ``BLMOVE ids
handoff RIGHT LEFT`` waits for all of them: Redis wakes one waiting process for each id, peers that
use BRPOP get their share, and a process that dies in between leaves the id in ``handoff``, where
maintenance finds it. The script that takes the id takes as many more as there is room for; that of
jobs travels right behind the BLMOVE, so that Redis claims a job in the moment there is one. Where
more is there than was asked for, two takes are under way at a time: while one is answered, the
other is worked on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from functools import partial
from typing import Any, Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._deferred import ignore
from txthoonk.errors import (
    ConnectionFailed,
    NotConnected,
    OutOfMemory,
    ReadOnly,
    ServerBusy,
    ServerError,
    ThoonkError,
)
from txthoonk.keys import decode
from txthoonk.redis import Redis
from txthoonk.types.base import FeedBaseType, Owner
from txthoonk.types.taking import Source, Taker, Waiter
from txthoonk.verdicts import script_error

__all__ = ["Blocked", "Source", "Taker"]

T = TypeVar("T")

#: Seconds that a connection is kept for the next get.
IDLE = 5.0

#: Errors after which it is sure that nothing was changed.
NOTHING_DONE = (NotConnected, ServerBusy, ReadOnly)

#: Seconds between looks at a server that has no memory left for BLMOVE.
POLL = 0.5

#: Seconds until a taker's next try, where one failed.
PAUSE = 0.5

#: So few are not worth two takes.
SMALL = 8


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
        self._take_handed = getattr(source, "take_handed", None)
        #: Why a take that went along with a wait has failed.
        self._refused: ThoonkError | None = None
        self._waiters: deque[Waiter[T]] = deque()
        self._takers: list[Taker[T]] = []
        self._asked = 0
        self._running: Deferred[None] | None = None
        self._leaving: list[Deferred[None]] = []
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
        waiter = Waiter(self, timeout)
        if made is None:
            self._join(waiter)
        else:
            self._joining += 1
            made.addBoth(self._made, waiter)
        return waiter.done

    def _made(self, result: object, waiter: Waiter[T]) -> None:
        self._joining -= 1
        if waiter.done.called:
            self._rest()
        elif isinstance(result, Failure):
            waiter.fail(result)
            self._rest()
        else:
            self._join(waiter)

    @property
    def is_waiting(self) -> bool:
        """Whether there is nothing to take: Redis is to tell when there is."""
        return self._in_block

    def attach(self, taker: Taker[T]) -> None:
        """Let *taker* take, until :meth:`detach`."""
        self._takers.append(taker)
        self.wake()

    def detach(self, taker: Taker[T]) -> Deferred[None]:
        """The opposite; what is on its way to it is given back, or to others that wait.

        :returns: fires when that is done.
        """
        if taker in self._takers:
            self._takers.remove(taker)
        if not self._wanted() and self._in_block:
            self._unblock()
        elif self._sleeping is not None and not self._wanted():
            self._sleeping.cancel()
        self._rest()
        left: Deferred[None] = Deferred()
        self._leaving.append(left)
        if self._running is None or self._wanted():
            self._let_leave()
        return left

    def _let_leave(self) -> None:
        leaving, self._leaving = self._leaving, []
        for left in leaving:
            left.callback(None)

    def _wanted(self) -> int:
        """How much those who wait have room for."""
        return len(self._waiters) + sum(taker.wants for taker in self._takers)

    def _join(self, waiter: Waiter[T]) -> None:
        self._waiters.append(waiter)
        self.wake()

    def wake(self) -> None:
        """Somebody wants something."""
        if self._leaving and self._wanted():
            self._let_leave()  # to them goes what is on its way
        if self._idle is not None and self._idle.active():
            self._idle.cancel()
        if self._stopped:
            self._fail(NotConnected("stopped"))
        elif self._running is None and self._wanted():
            self._running = Deferred.fromCoroutine(self._run())
            self._running.addBoth(self._ran)

    def leave(self, waiter: Waiter[T]) -> None:
        """A get no longer waits."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        if not self._wanted() and self._in_block:
            self._unblock()

    def stop(self, error: Exception | None = None) -> Deferred[None]:
        """Fail what waits, and close the connection.

        :param error: what it fails with; ``NotConnected`` if not given.
        :returns: fires when nothing of this is left.
        """
        self._stopped = True
        if self._idle is not None and self._idle.active():
            self._idle.cancel()
        self._takers.clear()
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
        while self._wanted() or handed:
            if not self._wanted():
                await self._undo(partial(self._source.hand_back, handed))
                handed = ""
                continue
            try:
                again, handed = await self._take(self._wanted(), handed)
                if again:
                    again = await self._drain()
                if self._wanted() and not again and not handed:
                    handed = await self._block()
            except ThoonkError as error:
                if not self._takers:
                    raise
                self._fail(error)
                await self._sleep(PAUSE)

    def _ran(self, result: Any) -> None:
        self._running = self._down_since = None
        self._let_leave()
        self._rest()
        error = getattr(result, "value", None)
        if error is not None and not isinstance(error, CancelledError):
            if not isinstance(error, ThoonkError):
                self.log.failure("Waiting for {feed} failed", failure=result, feed=self.feed.name)
            self._fail(error)
        elif not self._stopped and self._wanted():
            self.wake()  # somebody came as it ended

    async def _drain(self) -> bool:
        """While there is more than is asked for, let two takes be under way.

        Says whether there may be more.
        """
        other = Deferred.fromCoroutine(self._pump())
        more = others = False
        try:
            more = await self._pump()
        finally:
            if self._stopped:
                other.cancel()
            with suppress(CancelledError):
                others = await other
        return more and others

    async def _pump(self) -> bool:
        again = True
        while again and (wanted := self._wanted() - self._asked) > 0:
            # Each takes about a half, so that there is something to work on meanwhile.
            count = wanted if self._asked or wanted < SMALL else (wanted + 1) // 2
            again, _ = await self._take(count, "")
        return again

    async def _take(self, asked: int, handed: str) -> tuple[bool, str]:
        """Take at most so many.

        Says whether to ask again rather than to wait, and what is still *handed*.
        """
        self._asked += asked
        try:
            taken = await self._source.take(asked, handed)
        except ThoonkError as error:
            self._fail(error, asked)
            if self._takers and not self._waiters:
                await self._sleep(PAUSE)
            return True, handed if isinstance(error, NOTHING_DONE) else ""
        finally:
            self._asked -= asked
        if surplus := self._deliver(taken):
            await self._undo(partial(self._source.give_back, surplus))
        return len(taken) >= asked, ""

    def _deliver(self, taken: list[T]) -> list[T]:
        """Hand out what was taken; returns what nobody wants any more."""
        start = 0
        while self._waiters and start < len(taken):
            self._waiters.popleft().succeed(taken[start])
            start += 1
        for taker in tuple(self._takers):
            if start < len(taken) and (room := taker.wants):
                some, start = taken[start : start + room], start + room
                taker.taken(some)
        return taken[start:]

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
        """Wait for an id, and take it where the source can do that in one go.

        Says which is still to be taken; empty if it is time to look again.
        """
        keys = self.feed.keys
        # A connection that Redis sits on cannot be pinged: that this returns is its ping.
        seconds = self.owner.ping_interval
        while asked := self._wanted():
            taking: Deferred[list[T]] | None = None
            try:
                connection = await self._connect()
                if not (asked := self._wanted()):
                    return ""
                self._in_block = True
                moving = connection.execute_blocking(
                    seconds, "BLMOVE", keys.ids, keys.handoff, "RIGHT", "LEFT", seconds
                )
                if self._take_handed is not None:
                    taking = self._take_handed(asked, connection)
                    taking.addErrback(self._keep_error)
                try:
                    id = await moving
                finally:
                    self._in_block = False
                self._down_since = None
            except OutOfMemory:
                await self._sleep(POLL)
                id = None
            except (ConnectionFailed, ServerBusy) as error:
                await self._outage(error)
                return ""
            except ServerError as error:
                raise script_error(error, self.feed.name, None) from None
            if taking is None:
                return "" if id is None else decode(id)
            taken = await taking
            refused, self._refused = self._refused, None
            if refused is not None:
                raise refused
            if surplus := self._deliver(taken):
                await self._undo(partial(self._source.give_back, surplus))
            if not 0 < len(taken) < asked:
                break
        return ""

    def _keep_error(self, failure: Failure) -> list[T]:
        """A take that went along with a wait has failed; whoever still waits is told."""
        error = failure.value
        if isinstance(error, ThoonkError) and not isinstance(error, ConnectionFailed):
            self._refused = error
        return []

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
        for taker in tuple(self._takers):
            taker.not_taken(error)
        for _ in range(len(self._waiters) if most is None else min(most, len(self._waiters))):
            self._waiters.popleft().fail(copy(error))  # each get has an exception of its own

    def _rest(self) -> None:
        """Nobody waits: a connection is kept for a while, and then nothing."""
        if self._running is not None or self._joining or self._stopped:
            return
        if self._waiters or self._takers:
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
