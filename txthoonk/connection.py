"""One connection to Redis: RESP2 over :mod:`hiredis`.

A :class:`Redis` connection pipelines by nature: each command is one :class:`Deferred` in a
deque, each reply fires the oldest. What one reactor turn asks for travels in one write, in the
order of the calls.

Replies are bytes (or int, None, list); nothing is guessed from their content.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from copy import copy
from typing import Any, Final, TypeVar

import hiredis
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._deferred import ignore
from txthoonk.commands import Commands
from txthoonk.errors import ConnectionLost, NotConnected, ProtocolError, ServerError, ThoonkError
from txthoonk.liveness import Watch
from txthoonk.together import FIRST, MOST, Batch, Sink, Together
from txthoonk.verdicts import server_error
from txthoonk.writing import writer

__all__ = ["NO_MORE", "Redis", "pack"]

NO_MORE: Final = object()  # what the reader says when it has no whole reply
pack: Final[Any] = hiredis.pack_command  # its stub knows of tuples with one item only

Argument = str | bytes | int | float
T = TypeVar("T")


class Redis(Commands, Protocol):
    """One connection to Redis.

    Commands may be given at once: they are sent behind the login. If that fails they fail with
    its error, and the connection is closed.

    :param db: database to SELECT; ``None`` stays in 0.
    :param password: sent with AUTH when given.
    :param charset: decodes the replies of the named methods (``get``, ``hgetall``, ...) to
        ``str``; ``None`` leaves them bytes. :meth:`execute` never decodes.
    :param errors: what to do with bytes that *charset* cannot decode, as in ``bytes.decode``.
    :param username: of an ACL user; ``None`` is Redis's default user.
    :param client_name: shown by ``CLIENT LIST``; without spaces.
    :param ping_interval: seconds without a byte from the server after which, at the latest, it is
        pinged.
    :param ping_timeout: seconds that a ping may take before the connection is given up.
    :param reactor: for the clock; the global one if not given.
    """

    log = Logger()

    def __init__(
        self,
        db: int | None = None,
        password: str | None = None,
        charset: str | None = None,
        errors: str = "strict",
        *,
        username: str | None = None,
        client_name: str | None = None,
        ping_interval: float = 10.0,
        ping_timeout: float = 5.0,
        reactor: IReactorTime | None = None,
    ) -> None:
        super().__init__(charset, errors)
        #: Number of the database that was asked for.
        self.db = db
        self._password = password
        self._username = username
        self._client_name = client_name
        self._ping_interval = ping_interval
        self._ping_timeout = ping_timeout
        self._clock = reactor
        self._reader = _reader()
        self._waiting: deque[Any] = deque()
        self._out: list[bytes] = []
        self._batch: Batch | None = None
        self._most = FIRST
        self._in_turn = False  # a flush is on its way
        self._blocking: list[tuple[Deferred[Any], float]] = []
        self._watch: Watch | None = None
        self._error: ThoonkError | None = NotConnected("not connected yet")
        self._reason: ThoonkError | None = None
        self._ready: list[Deferred[Redis]] | None = []
        self._lost: list[Deferred[ThoonkError]] = []

    # -- commands ---------------------------------------------------------------------------

    def execute(self, *args: Argument) -> Deferred[Any]:
        """Send one command, whatever it is: ``execute("HGETALL", key)``.

        Without arguments it is EXEC, as in txredis. Cancelling gives up the reply, not the
        command; later replies keep their places.

        :returns: fires with the reply as Redis gave it: bytes, int, None or a list of them.
        :raises ServerError: (as a failure) if Redis answered with an error; see its subclasses.
        :raises NotConnected: (as a failure) if there is no connection; nothing was sent.
        :raises ConnectionLost: (as a failure) if the connection broke before the reply; the
            command *may* have been carried out.
        """
        return self.send(pack(args or ("EXEC",)))

    def send(self, command: bytes) -> Deferred[Any]:
        """Send one command that is packed already; else as :meth:`execute`."""
        if self._error is not None:
            return fail(copy(self._error))
        if self._batch is not None:
            self._send_batch()
        reply: Deferred[Any] = Deferred()
        self._waiting.append(reply)
        self._write(command)
        return reply

    def gather(self, together: Together, args: Sequence[bytes], result: T, id: str) -> Deferred[T]:
        """Let an item travel with others that follow in this turn of the reactor.

        :param together: the script, and what its calls have in common.
        :param args: of this item.
        :param id: of this item, for errors.
        :returns: fires with *result* when it was done. Cancelling takes the item out, unless it
            was sent.
        :raises ThoonkError: (as a failure) by the script's verdict; else as :meth:`execute`.
        """
        if self._error is not None:
            return fail(copy(self._error))
        batch = self._batch_for(together, args)
        done: Deferred[T] = Deferred()
        batch.add(args, done, result, id)
        return done

    def gather_for(
        self, sink: Sink, together: Together, args: Sequence[bytes], result: Any, id: str
    ) -> None:
        """The same for whoever needs no Deferred: *sink* is told."""
        if self._error is not None:
            sink.errback(copy(self._error))
        else:
            self._batch_for(together, args).add(args, sink, result, id)

    def _batch_for(self, together: Together, args: Sequence[bytes]) -> Batch:
        batch = self._batch
        if batch is not None and batch.together is not together:
            self._send_batch()
            batch = None
        elif batch is not None and not batch.has_room(args):
            self._send_batch()
            self._most = min(MOST, 2 * self._most)
            self._write_out()  # Redis works on these while the others come
            batch = None
        if batch is None:
            batch = self._batch = Batch(together, self._most)
            batch.has_room(args)
            self._flush_soon()
        return batch

    def _send_batch(self) -> None:
        batch, self._batch = self._batch, None
        if batch is not None:
            batch.send(self)

    def execute_blocking(self, seconds: float, *args: Argument) -> Deferred[Any]:
        """Send a command that Redis may sit on for *seconds*, such as BLMOVE.

        The connection is given up if nothing came ``ping_timeout`` seconds after that.
        """
        start = max(self._blocked_until(), self.get_clock().seconds())  # one waits behind the other
        reply = self.execute(*args)
        self._blocking.append((reply, start + seconds))
        return reply

    def _write(self, command: bytes) -> None:
        self._out.append(command)
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._in_turn:
            self._in_turn = True
            self.get_clock().callLater(0, self._flush)

    def _flush(self) -> None:
        if self._batch is not None:
            self._in_turn = True
            self._send_batch()
        self._in_turn = False
        self._most = FIRST
        self._write_out()

    def _write_out(self) -> None:
        if self._out and self._ready is None and self._error is None:
            out, self._out = self._out, []
            self._to_wire(out[0] if len(out) == 1 else b"".join(out))

    # -- life -------------------------------------------------------------------------------

    def when_ready(self) -> Deferred[Redis]:
        """Fires with this connection when it is logged in.

        :raises ThoonkError: (as a failure) why it is not: ``AuthenticationFailed``,
            ``ServerBusy`` while Redis loads its data, ``ConnectionLost``, ...
        """
        ready: Deferred[Redis] = Deferred()
        if self._ready is not None:
            self._ready.append(ready)
        elif self._error is not None:
            ready.errback(copy(self._reason or self._error))
        else:
            ready.callback(self)
        return ready

    def when_lost(self) -> Deferred[ThoonkError]:
        """Fires with the reason when the connection is gone, at once if it is."""
        lost: Deferred[ThoonkError] = Deferred()
        if self._error is not None and self._ready is None:
            lost.callback(self._reason or self._error)
        else:
            self._lost.append(lost)
        return lost

    def close(self, reason: str = "closed by us", *, abort: bool = False) -> Deferred[None]:
        """Close the connection; what still waits for a reply fails with ``ConnectionLost``.

        :param reason: told to whoever still waits.
        :param abort: do not wait for what is still to be written.
        :returns: fires when it is closed.
        """
        if self._reason is None:
            self._reason = ConnectionLost(reason)
        gone = self.when_lost().addCallback(ignore)
        if abort:
            self._abort()
        else:
            self._flush()
            self._lose()
        return gone

    def connectionMade(self) -> None:
        """Log in, then let commands through."""
        transport = self.transport
        assert transport is not None
        self._error = None
        if self._reason is not None:  # closed before it came about
            self._abort()
            return
        self._to_wire = writer(transport)
        steps = []
        if self._password is not None:
            user = () if self._username is None else (self._username,)
            steps.append(self.execute("AUTH", *user, self._password))
        if self._client_name is not None:
            steps.append(self.execute("CLIENT", "SETNAME", self._client_name))
        if self.db is not None:
            steps.append(self.execute("SELECT", self.db))
        steps.append(self.execute("PING"))  # asks for a login, and whether data is loading
        for step in steps[:-1]:
            step.addErrback(self._login_failed)
        steps[-1].addCallbacks(self._logged_in, self._login_failed)
        # Commands stay here until then: they must not run as another user, or on other data.
        out, self._out = self._out, []
        self._to_wire(b"".join(out))
        self._watch = Watch(
            self.get_clock(),
            self._ping_interval,
            self._ping_timeout,
            ping=lambda: self.execute("PING").addBoth(ignore),
            blocked_until=self._blocked_until,
            give_up=self._give_up,
        )

    def _logged_in(self, _: object) -> None:
        if self._reason is not None:  # an earlier step failed
            return
        ready, self._ready = self._ready or [], None
        for waiter in ready:
            waiter.callback(self)

    def _login_failed(self, failure: Failure) -> None:
        if self._reason is None and isinstance(failure.value, ThoonkError):
            self._reason = failure.value
        self._lose()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell everyone who waits for a reply, each once."""
        why = self._reason = self._reason or ConnectionLost(reason.getErrorMessage())
        self._send_batch()  # it waits for a reply like the others, and none will come
        self._error = NotConnected(f"the connection is gone: {why}")
        if self._watch is not None:
            self._watch.stop()
        waiting, self._waiting = self._waiting, deque()
        ready, self._ready = self._ready or [], None
        lost, self._lost = self._lost, []
        self._out.clear()
        # Observers first: whoever calls again when told must not be sent to this connection.
        for observer in lost:
            observer.callback(why)
        for reply in waiting:
            reply.errback(copy(why))  # each has an exception, and so a traceback, of its own
        for waiter in ready:
            waiter.errback(copy(why))

    # -- replies ----------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Fire a waiting Deferred for each whole reply in what has come."""
        if self._watch is not None:
            self._watch.heard = True
        reader, waiting = self._reader, self._waiting
        reader.feed(data)
        outer, self._in_turn = self._in_turn, True  # what replies lead to leaves in one write
        try:
            while (reply := reader.gets()) is not NO_MORE:
                if not waiting:
                    if self._error is None:
                        raise ProtocolError("a reply came that nobody had asked for")
                    return
                if isinstance(reply, ServerError):
                    waiting.popleft().errback(reply)
                else:
                    waiting.popleft().callback(reply)
                if waiting is not self._waiting:
                    return  # the connection was lost meanwhile
        except ProtocolError as error:
            self._broken(error)
        finally:
            self._in_turn = outer
            if not outer:
                self._flush()

    def _broken(self, error: ProtocolError) -> None:
        if self._reason is None:
            self._reason = error
        self.log.error("Redis sent what is no reply: {error}", error=error)
        self._abort()

    # A TLS transport must not be told to close once it has closed.

    def _abort(self) -> None:
        transport: Any = self.transport
        if self._error is None:
            transport.abortConnection()

    def _lose(self) -> None:
        transport: Any = self.transport
        if self._error is None:
            transport.loseConnection()

    # -- liveness ---------------------------------------------------------------------------

    def _give_up(self, reason: str) -> None:
        if self._reason is None:
            self._reason = ConnectionLost(reason)
        self._abort()

    def _blocked_until(self) -> float:
        """When Redis must have answered what it may sit on; 0 if there is nothing."""
        waiting = self._waiting
        self._blocking = [each for each in self._blocking if each[0] in waiting]
        return self._blocking[-1][1] if self._blocking else 0.0

    def get_clock(self) -> Any:
        """The reactor this connection runs on."""
        if self._clock is None:
            from twisted.internet import reactor

            self._clock = reactor  # the module is the reactor
        return self._clock


def _reader() -> Any:
    return hiredis.Reader(
        protocolError=ProtocolError, replyError=server_error, notEnoughData=NO_MORE
    )
