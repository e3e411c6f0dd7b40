"""A child process, as its parent sees it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall, IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from txthoonk import _child
from txthoonk.errors import ChildDied, ChildFailed

__all__ = ["Child", "Pool", "Run"]

#: Seconds that a child has to end by itself, before it is killed.
END: Final = 1.0
#: Seconds that a dead child's pipes are read on, where something that it started holds them.
DRAIN: Final = 0.5


class Pool(Protocol):
    """What a child tells about itself."""

    def idle(self, child: Child) -> None:
        """It has nothing to do."""

    def not_idle(self, child: Child) -> None:
        """It cannot be given anything any more."""

    def ended(self, child: Child) -> None:
        """It is gone."""


class Run:
    """A job that waits for a child, or is with one.

    :ivar result: fires with what the handler returned.
    :ivar child: which runs it; ``None`` while it waits.
    """

    def __init__(self, id: str, parts: list[bytes], give_up: Callable[[Run], None]) -> None:
        self.id = id
        self.parts = parts
        self.child: Child | None = None
        self.result: Deferred[Any] = Deferred(lambda _: give_up(self))


class Child(ProcessProtocol):
    """A child process: it starts, is idle or runs a job, and ends.

    :ivar failures: how many before it ended before they had run anything, in a row.
    :ivar runs: how many jobs it was given.
    :ivar ending: whether the pool has no more use for it.
    :ivar killed: whether we killed it.
    :ivar how: how it ended, in words; and so ``traceback``, ``status``, ``signal``.
    """

    transport: IProcessTransport | None = None

    def __init__(self, pool: Pool, reactor: Any, handler: str, failures: int) -> None:
        self.failures = failures
        self.runs = 0
        self.ending = False
        self.killed = False
        self.how = ""
        self.traceback = ""
        self.status: int | None = None
        self.signal: str | None = None
        self._pool = pool
        self._reactor = reactor
        self._handler = handler
        self._run: Run | None = None
        self._data = bytearray()
        self._timer: IDelayedCall | None = None
        self._gone = False
        self._waiting_for_end: list[Deferred[None]] = []

    def spawn(self) -> None:
        """Start the process."""
        words = [sys.executable, "-c", _child.BOOT, _child.__file__, self._handler]
        with _nothing() as null, _signals_held():
            output = 2 if _is_open(2) else null
            streams = {0: null, 1: output, 2: output, _child.JOBS: "w", _child.ANSWERS: "r"}
            try:
                self._reactor.spawnProcess(self, words[0], words, env=None, childFDs=streams)
                return
            except OSError as error:
                self.how = f"the system refused to start it: {error}"
        self._finish()

    @property
    def pid(self) -> int | None:
        """The process id, until the process is reaped."""
        return None if self.transport is None else self.transport.pid

    def connectionMade(self) -> None:
        """It is started, and needs to be told what to run."""
        self._write(_child.pack_setup(os.getpid(), self._handler))

    def give(self, run: Run) -> None:
        """Let it run a job."""
        self.runs += 1
        self._run = run
        run.child = self
        self._write(run.parts)
        run.parts = []

    def end(self) -> Deferred[None]:
        """Let it end, by force if it takes longer than a second.

        :returns: fires once it is reaped.
        """
        ended: Deferred[None] = Deferred()
        self._waiting_for_end.append(ended)
        if not self.ending:
            self.ending = True
            self._close(_child.JOBS)
            self._later(END, self._kill)
        return ended

    def abandon(self) -> None:
        """Kill it: its job concerns nobody any more."""
        self._run = None
        self._kill()

    # -- what the process does --------------------------------------------------------------

    def childDataReceived(self, childFD: int, data: bytes) -> None:  # noqa: N803  # Twisted's name
        """It answers, in pieces."""
        if self.killed:
            return
        self._data += data
        if len(self._data) < 4:
            return
        size = int.from_bytes(self._data[:4], "big")
        if len(self._data) < 4 + size <= _child.LARGEST_MESSAGE:
            return
        # It says one thing at a time.
        answer, self._data = self._data, bytearray()
        view = memoryview(answer)
        if len(view) != 4 + size or not self._told(bytes(view[4:5]), view[5:]):
            self.how = f"it said what is no answer: {bytes(view[:40])!r}"
            self._kill()

    def childConnectionLost(self, childFD: int) -> None:  # noqa: N803  # Twisted's name
        """It has closed a pipe, most likely because it has ended."""
        self._pool.not_idle(self)
        if self.pid is not None:
            self._later(END, self._kill)

    def processExited(self, reason: Failure) -> None:
        """It is reaped; what it had said is still on its way."""
        error: Any = reason.value
        self.status = error.exitCode
        self.signal = None if error.signal is None else _signal_name(error.signal)
        self._later(DRAIN, self._drop)

    def processEnded(self, reason: Failure) -> None:
        """It is gone, and all it said is read."""
        self._finish()

    def _drop(self) -> None:
        """It is gone, and its pipes are held by what it started."""
        self._close(_child.JOBS)
        self._close(_child.ANSWERS)
        self._finish()

    def _finish(self) -> None:
        if self._gone:
            return
        self._gone = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.how:
            self.how = self.signal or f"exit status {self.status}"
            if self.signal == "SIGKILL" and not self.killed:
                self.how += ", as a system sends it that is out of memory"
        run, self._run = self._run, None
        self._pool.ended(self)
        if run is not None:
            text = f"The child process ended while it ran job {run.id!r}: {self.how}"
            run.result.errback(ChildDied(text, self.status, self.signal))
        waiting, self._waiting_for_end = self._waiting_for_end, []
        for ended in waiting:
            ended.callback(None)

    # -- what it says -----------------------------------------------------------------------

    def _told(self, kind: bytes, rest: memoryview) -> bool:
        """Make something of an answer.

        :returns: whether it is one.
        """
        if self._run is None:
            if self.runs:
                return False
            if kind == _child.BROKEN:
                error = _failed(rest)
                self.how, self.traceback = str(error), error.traceback
            elif kind == _child.READY:
                self._pool.idle(self)
            return kind in (_child.BROKEN, _child.READY)
        outcome = _outcome(kind, rest)
        if outcome is None:
            return False
        run, self._run = self._run, None
        self._pool.idle(self)
        outcome.chainDeferred(run.result)
        return True

    # -- means ------------------------------------------------------------------------------

    def _write(self, parts: list[bytes]) -> None:
        assert self.transport is not None
        for part in parts:
            with contextlib.suppress(KeyError):  # the pipe has just broken: it has ended
                self.transport.writeToChild(_child.JOBS, part)

    def _kill(self) -> None:
        self.killed = True
        if self.pid is not None and self.transport is not None:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except OSError:  # it has only just started, and has no group yet
                with contextlib.suppress(ProcessExitedAlready):
                    self.transport.signalProcess("KILL")

    def _close(self, pipe: int) -> None:
        if self.transport is not None:
            self.transport.closeChildFD(pipe)

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        """Do the last thing that there is to do, unless it ends before."""
        if self._timer is not None:
            self._timer.cancel()

        def now() -> None:
            self._timer = None
            call()

        self._timer = self._reactor.callLater(seconds, now)


def _outcome(kind: bytes, rest: memoryview) -> Deferred[Any] | None:
    """What an answer to a job says; ``None`` if it is none."""
    outcome: Deferred[Any] = Deferred()
    try:
        if kind == _child.DONE:
            outcome.callback(_child.unpack(rest))
        elif kind == _child.FAILED:
            outcome.errback(_failed(rest))
        elif kind in (_child.RETRY, _child.STALL):
            outcome.errback(_word(kind, str(rest, "utf-8")))
        elif kind == _child.UNFIT:
            name, _, text = str(rest, "utf-8").partition("\0")
            outcome.errback({"ValueError": ValueError}.get(name, TypeError)(text))
        else:
            return None
    except Exception:  # it is no answer, whatever is wrong with it
        return None
    return outcome


def _word(kind: bytes, text: str) -> Exception:
    """The exception that the handler raised to say what is to become of its job."""
    from txthoonk.worker import Retry, Stall  # which imports us

    if kind == _child.STALL:
        return Stall(text)
    delay, _, why = text.partition("\0")
    return Retry(float(delay) if delay else None, why)


def _failed(rest: memoryview) -> ChildFailed:
    name, text, traceback, *_ = (*str(rest, "utf-8").split("\0"), "", "")
    return ChildFailed(name, text, traceback)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


# -- around a start -----------------------------------------------------------------------------


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Let no child be hit by a Ctrl-C before it is deaf to it: what is blocked stays so in it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _child.SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _nothing() -> Iterator[int]:
    null = os.open(os.devnull, os.O_RDWR)
    try:
        yield null
    finally:
        os.close(null)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
