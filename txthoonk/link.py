"""One connection to Redis that comes back by itself, and the calls that wait for it."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from typing import Any, Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk.commands import Commands
from txthoonk.errors import NotConnected, ThoonkError
from txthoonk.redis import Redis, pack
from txthoonk.together import Sink, Together

__all__ = ["Link", "connect"]

R = TypeVar("R", bound=Redis)
T = TypeVar("T")

#: Seconds between attempts to connect: the first, the last, and how fast they grow.
FIRST, LAST, GROWTH = 0.05, 2.0, 1.7

#: Seconds that a closing connection may take for the replies that are due.
LINGER = 1.0


def backoff(failures: int) -> float:
    """Seconds until the next attempt; jitter keeps many processes from coming back as one."""
    return float(min(LAST, FIRST * GROWTH ** min(failures, 50)) * random.uniform(0.5, 1.0))


def connect(endpoint: IStreamClientEndpoint, make: Callable[[], R]) -> Deferred[R]:
    """One attempt to connect and log in; cancelling it leaves nothing open.

    :returns: fires with a connection that is ready.
    :raises NotConnected: (as a failure) if there is nobody there.
    :raises ThoonkError: (as a failure) as :meth:`Redis.when_ready`.
    """

    def unreachable(failure: Failure) -> Failure:
        if failure.check(CancelledError, ConnectingCancelledError):
            return Failure(CancelledError())
        return Failure(NotConnected(failure.getErrorMessage()))

    def connected(redis: Any) -> Any:
        return redis.when_ready().addErrback(_close_and_fail, redis)

    factory = Factory()
    factory.noisy = False
    factory.buildProtocol = lambda _: make()  # type: ignore[method-assign,assignment]  # an address
    connecting: Deferred[Any] = endpoint.connect(factory)
    return connecting.addCallbacks(connected, unreachable)


def _close_and_fail(failure: Failure, redis: Redis) -> Deferred[Any]:
    return redis.close(abort=True).addCallback(lambda _: failure)


class _Pending:
    """A call that waits for a connection."""

    def __init__(self, link: Link[Any]) -> None:
        self.ready: Deferred[Any] = Deferred(self._gone)
        self._link = link
        seconds = link.connect_timeout
        self._timer = link.reactor.callLater(seconds, self._timed_out)

    def fire(self, redis: Redis) -> None:
        self._timer.cancel()
        self.ready.callback(redis)

    def fail(self, error: Exception) -> None:
        if self._timer.active():
            self._timer.cancel()
        self.ready.errback(error)

    def _timed_out(self) -> None:
        self._link.forget(self)
        self.fail(self._link.not_connected())

    def _gone(self, _: object) -> None:
        self._timer.cancel()
        self._link.forget(self)


class Link(Commands, Generic[R]):
    """A connection that is made again whenever it breaks.

    While there is none calls wait, at most *max_pending* of them and at most *connect_timeout*
    seconds each; then they fail with ``NotConnected``: nothing was sent. What was in flight when
    the connection broke fails with ``ConnectionLost``: it may have happened.

    :param reactor: to connect with.
    :param make: makes a connection's protocol.
    :param prepare: gets each new connection when it is logged in; calls wait until what it
        returns has fired.
    :param connect_timeout: seconds.
    :param max_pending: calls.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        make: Callable[[], R],
        prepare: Callable[[R], Deferred[Any]],
        connect_timeout: float,
        max_pending: int,
    ) -> None:
        super().__init__(None, "strict")
        self.reactor = reactor
        self.connect_timeout = connect_timeout
        self._make = make
        self._prepare = prepare
        self._max_pending = max_pending
        self._redis: R | None = None
        self._pending: deque[_Pending] = deque()
        self._problem: Exception | None = None
        self._refusal: Exception | None = None
        # Not a ClientService: it logs an error whenever a connection ends before it was prepared,
        # and that is what a wrong password and a Redis that loads its data look like.
        self._running: Deferred[None] | None = None
        self._stopping = False

    # -- life -------------------------------------------------------------------------------

    @property
    def started(self) -> bool:
        """Whether it is connected, or tries to be."""
        return self._running is not None

    def start(self, endpoint: IStreamClientEndpoint) -> None:
        """Connect, and go on connecting."""
        self._stopping = False
        self._problem = None
        self._running = Deferred.fromCoroutine(self._run(endpoint))

    def stop(self) -> Deferred[None]:
        """Wait for the replies that are due, though not for long; then close, and stay away.

        :returns: fires when the connection is closed.
        """
        stopped: Deferred[None] = Deferred()
        if self._running is None:
            stopped.callback(None)
            return stopped
        running = self._running
        if not self._stopping:
            self._stopping = True
            redis, self._redis = self._redis, None
            if redis is None:
                running.cancel()
            else:
                redis.execute("PING").addBoth(lambda _: redis.close("stopped"))
                late = self.reactor.callLater(LINGER, redis.close, "stopped", abort=True)
                running.addBoth(lambda _: late.active() and late.cancel())
        running.addBoth(lambda _: stopped.callback(None))
        return stopped

    def refuse(self, error: Exception) -> None:
        """Fail all that waits for a connection, and all that comes, until :meth:`accept`."""
        self._refusal = error
        while self._pending:
            self._pending.popleft().fail(copy(error))

    def accept(self) -> None:
        """Let what comes wait for a connection."""
        self._refusal = None

    async def _run(self, endpoint: IStreamClientEndpoint) -> None:
        failures = 0
        while not self._stopping:
            try:
                redis = await connect(endpoint, self._make)
                why: Exception = await self._use(redis)
                failures = 0
            except Exception as error:  # an endpoint may fail with whatever it likes
                why = error
                failures += 1
            if not self._stopping:
                self._note(why)
                with suppress(CancelledError):  # by stop
                    await deferLater(self.reactor, backoff(failures))
        self._running = None

    async def _use(self, redis: R) -> ThoonkError:
        """Serve calls for as long as the connection lasts; returns why it does not."""
        try:
            await self._prepare(redis)
            if self._stopping:
                raise CancelledError
        except Exception:
            await redis.close(abort=True)
            raise
        if self._problem is not None:
            self.log.info("Connected to Redis again")
        self._problem = None
        self._redis = redis
        # Whoever is called back may give up another one that waits.
        while self._pending:
            self._pending.popleft().fire(redis)
        why = await redis.when_lost()
        self._redis = None
        return why

    def _note(self, why: Exception) -> None:
        """Keep the reason of the last failure, for whoever waits in vain."""
        if str(why) != str(self._problem):
            self.log.warn("No connection to Redis: {why}", why=why)
        self._problem = why

    # -- calls ------------------------------------------------------------------------------

    def send(self, command: bytes) -> Deferred[Any]:
        """Send one packed command, when there is a connection.

        :raises NotConnected: (as a failure) if there was none in time; nothing was sent.
        :raises ConnectionLost: (as a failure) if it broke before the reply.
        """
        redis = self._redis
        if redis is not None:
            return redis.send(command)
        return self.when_connected().addCallback(lambda redis: redis.send(command))

    def gather(self, together: Together, args: Sequence[bytes], result: T, id: str) -> Deferred[T]:
        """Let an item travel with others; see :meth:`Redis.gather`; else as :meth:`send`."""
        redis = self._redis
        if redis is not None:
            return redis.gather(together, args, result, id)
        return self.when_connected().addCallback(lambda r: r.gather(together, args, result, id))

    def gather_for(
        self, sink: Sink, together: Together, args: Sequence[bytes], result: Any, id: str
    ) -> None:
        """The same for whoever needs no Deferred: *sink* is told."""
        redis = self._redis
        if redis is not None:
            redis.gather_for(sink, together, args, result, id)
        else:
            done = self.when_connected()
            done.addCallback(lambda r: r.gather_for(sink, together, args, result, id))
            done.addErrback(sink.errback)

    def execute(self, *args: str | bytes | int | float) -> Deferred[Any]:
        """Send one command; else as :meth:`send`."""
        return self.send(pack(args or ("EXEC",)))

    def execute_blocking(self, seconds: float, *args: str | bytes | int | float) -> Deferred[Any]:
        """Refused: it would hold up everyone else on this connection."""
        raise ValueError(f"{args[0]!r} would hold up all calls on this connection")

    def when_connected(self) -> Deferred[R]:
        """Fires with the connection when there is one; else as :meth:`send`."""
        if self._redis is not None:
            return succeed(self._redis)
        if self._refusal is not None:
            return fail(copy(self._refusal))
        if len(self._pending) >= self._max_pending:
            return fail(NotConnected(f"{self._max_pending} calls wait for Redis already"))
        pending = _Pending(self)
        self._pending.append(pending)
        return pending.ready

    def forget(self, pending: _Pending) -> None:
        """A call no longer waits."""
        self._pending.remove(pending)

    def not_connected(self) -> Exception:
        """Why a call has to fail."""
        if self._problem is None:
            return NotConnected("no connection to Redis yet: was the service started?")
        return NotConnected(f"no connection to Redis: {self._problem}")
