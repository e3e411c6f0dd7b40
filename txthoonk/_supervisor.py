"""Worker processes that are started, watched, started again, and stopped together."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._daemon import SUPERVISED, Daemon
from txthoonk.service import Thoonk

__all__ = ["REDIS", "Supervisor"]

#: In the environment: the URL of Redis, where none is on the command line.
REDIS: Final = "THOONK_REDIS"

#: Seconds until another process takes the place of one that ended: the first pause, and the last;
#: each is twice the one before. A process that ran for *STEADY* seconds starts afresh.
FIRST, LAST, STEADY = 0.1, 30.0, 10.0

#: Seconds beyond the grace that a worker may take to stop; without Redis it takes a dozen.
MARGIN: Final = 20.0

#: Ends that are as good as status 0 for a process that was told to stop: it had not taken the
#: signals over yet.
_STOPPED: Final = {0, -signal.SIGTERM, -signal.SIGINT}

_TWISTD: Final = "from twisted.scripts.twistd import run; run()"


class Supervisor(Daemon):
    """Keeps a number of worker processes running; SIGTERM and SIGINT stop them all.

    The exit status is 0 if at the end all of them stopped with status 0. They stop by themselves
    if this process is killed.

    :param count: of processes.
    :param arguments: what follows ``twistd``; the URL of Redis travels in the environment, where
        other users do not see its password.
    :param directory: to start them in.
    :param grace: seconds that they may take, and :data:`MARGIN` more, before they are killed.
    :param relay: whether to put what they say into our log, rather than let them say it.
    :param dialect: of the wire.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        url: str | None,
        feeds: Sequence[str],
        *,
        count: int,
        arguments: Sequence[str],
        directory: str,
        grace: float,
        relay: bool,
        dialect: str = "contract",
    ) -> None:
        super().__init__(reactor, url, feeds, dialect)
        self.command = [os.fsencode(each) for each in (sys.executable, "-c", _TWISTD, *arguments)]
        self.directory = directory
        self.grace = grace
        self.relay = relay
        self._places = [_Place(self, number) for number in range(1, count + 1)]

    async def begin(self, thoonk: Thoonk) -> None:
        """Start them; the connection was made to see whether Redis takes us."""
        await thoonk.stopService()
        for place in self._places:
            place.start()

    async def end(self) -> None:
        """Stop them, and wait for them."""
        ends = await gatherResults([place.stop() for place in self._places])
        self.failed = self.failed or not all(ends)


class _Place:
    """One of the workers, whichever process that is just now."""

    def __init__(self, supervisor: Supervisor, number: int) -> None:
        self.log = supervisor.log
        self._supervisor = supervisor
        self._reactor = supervisor.reactor
        self._number = number
        self._process: Any = None
        self._started_at = 0.0
        self._pause = FIRST
        self._timer: Any = None
        self._well = True
        self._stopped: Deferred[bool] | None = None

    def start(self) -> None:
        """Start a process."""
        self._timer = None
        self._started_at = self._reactor.seconds()
        environment = {
            **os.environb,  # in bytes: what is no UTF-8 goes through, too
            REDIS.encode(): os.fsencode(self._supervisor.url or ""),
            SUPERVISED.encode(): b"%d" % self._number,
        }
        # It watches its standard input, whose other end we hold: that ends however we end.
        say: Any = "r" if self._supervisor.relay else None
        files = {0: "w", 1: say or 1, 2: say or 2}
        try:
            self._process = self._reactor.spawnProcess(
                _Process(self),
                self._supervisor.command[0],
                self._supervisor.command,
                environment,
                self._supervisor.directory,
                childFDs=files,
            )
        except OSError as error:  # no memory, no room for processes
            self._start_again(f"could not be started: {error}")
        else:
            pid = self._process.pid
            self.log.info("Worker {number} is process {pid}", number=self._number, pid=pid)

    def said(self, line: bytes) -> None:
        """A line of its log."""
        text = line.decode(errors="replace")
        self.log.info("worker {number}: {text}", number=self._number, text=text)

    def ended(self, pid: int, status: int) -> None:
        """The process has ended: *status*, or minus the number of the signal."""
        self._process = None
        how = f"(process {pid}) ended with status {status}"
        if status < 0:
            how = f"(process {pid}) was ended by signal {-status}"
        if self._stopped is None:
            self._well = status == 0
            if self._reactor.seconds() - self._started_at >= STEADY:
                self._pause = FIRST
            self._start_again(how)
            return
        if self._timer.active():
            self._timer.cancel()
        self._well = status in _STOPPED
        self.log.info("Worker {number} {how}", number=self._number, how=how)
        self._stopped.callback(self._well)

    def _start_again(self, how: str) -> None:
        pause, self._pause = self._pause, min(LAST, 2 * self._pause)
        self.log.warn(
            "Worker {number} {how}; another one follows in {pause:g} seconds",
            number=self._number,
            how=how,
            pause=pause,
        )
        self._timer = self._reactor.callLater(pause, self.start)

    def stop(self) -> Deferred[bool]:
        """Stop the process, and start no more.

        :returns: fires with whether it ended well, when it has ended.
        """
        self._stopped = Deferred()
        if self._process is None:
            if self._timer is not None:
                self._timer.cancel()
            self._stopped.callback(self._well)
        else:
            self._signal("TERM")
            self._timer = self._reactor.callLater(self._supervisor.grace + MARGIN, self._kill)
        return self._stopped

    def _kill(self) -> None:
        self.log.error("Worker {number} does not stop: killing it", number=self._number)
        self._signal("KILL")

    def _signal(self, name: str) -> None:
        with suppress(ProcessExitedAlready):  # we are about to hear of it
            self._process.signalProcess(name)


class _Process(ProcessProtocol):
    """A process in a place."""

    def __init__(self, place: _Place) -> None:
        self._place = place
        self._process: Any = None
        self._pid = 0
        self._line = b""

    def connectionMade(self) -> None:
        self._process = self.transport
        self._pid = self._process.pid  # None when it has ended

    def childDataReceived(self, fd: int, data: bytes) -> None:  # Twisted's name
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._place.said(line)

    def processExited(self, reason: Failure) -> None:
        # Not processEnded: that waits for children of its own which outlive it, if they have
        # inherited what we talk through.
        self._process.closeStdin()
        status: Any = reason.value
        self._place.ended(self._pid, -status.signal if status.signal else status.exitCode or 0)
