"""The life of a demo under twistd: it begins, may fail, and leaves nothing behind."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any, ClassVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from examples.demo.processes import Process, Processes, ProcessesFailed
from examples.demo.terminal import Terminal
from txthoonk import Thoonk, ThoonkError
from txthoonk.embedded import EmbeddedRedis

__all__ = ["DemoFailed", "DemoService", "run_twistd"]


class DemoFailed(Exception):
    """The demo cannot go on; the text says why."""


class DemoService(Service):
    """A demo: :meth:`_run` is what it does.

    :param redis: configuration of its Redis.
    :cvar exit_status: what the process should end with.
    :cvar foreseen: what is told in a line when it ends the demo, as no fault of the demo's own.
    """

    log = Logger()
    exit_status: ClassVar[int] = 1
    foreseen: ClassVar[tuple[type[Exception], ...]] = (DemoFailed, ProcessesFailed, ThoonkError)

    def __init__(self, **redis: str) -> None:
        from twisted.internet import reactor

        self._reactor: Any = reactor
        self._terminal = Terminal(lambda: self._end(128 + signal.SIGPIPE))
        self._redis = EmbeddedRedis(config=redis)
        self._thoonk: Thoonk | None = None  # as soon as _run() has made one
        self._processes = Processes(reactor, self._replaced)
        self._tasks: list[Deferred[Any]] = []
        #: Whether a Ctrl-C is how it is ended now, and no failure.
        self._complete = False
        self._stopped = False  # by Ctrl-C, which the reactor hears of a little later
        self._ending = False

    async def _run(self) -> None:
        """Be the demo."""
        raise NotImplementedError

    def startService(self) -> None:
        """Begin, as soon as the reactor runs."""
        super().startService()
        signal.signal(signal.SIGINT, self._interrupted)
        self._reactor.callWhenRunning(lambda: self._task(self._run()))

    def _task(self, coroutine: Any) -> Deferred[Any]:
        """Something that a stop cancels, and whose failure ends the demo."""
        task = Deferred.fromCoroutine(coroutine)
        self._tasks.append(task)
        return task.addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        if self._ending or self._stopped:
            return  # whatever a cancelled task ends with, or a program that got the Ctrl-C too
        if failure.check(*self.foreseen):
            self._terminal.complain(f"The demo failed: {failure.getErrorMessage()}")
        else:
            self.log.failure("The demo failed", failure)
        self._end(1)

    def _interrupted(self, number: int, _: object) -> None:
        """Ctrl-C, at any instant; all else happens in the reactor."""
        self._stopped = True
        self._reactor.callFromThread(self._end, 0 if self._complete else 128 + number)

    def _end(self, status: int = 0) -> None:
        if not self._ending:
            self._ending = True
            type(self).exit_status = status
            self._reactor.stop()

    def stopService(self) -> Deferred[None]:
        """End everything: what is under way, the other processes, Redis, in this order.

        :returns: fires when no process and no folder is left.
        """
        super().stopService()
        self._ending = True
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._processes.stop()
        if self._thoonk is not None:
            await self._thoonk.stopService()
        await self._redis.stop()

    def _replaced(self, process: Process, pid: int) -> None:
        self._terminal.say(f"  {process.name} ({pid}) died; process {process.pid} takes its place")

    def _sleep(self, seconds: float) -> Deferred[None]:
        return deferLater(self._reactor, seconds)


def run_twistd(application: Path) -> None:
    """Run a demo's ``.tac`` file, until it ends."""
    from twisted.scripts.twistd import ServerOptions, runApp  # type: ignore[attr-defined]  # chosen by platform

    twistd = ServerOptions()
    twistd.parseOptions(["--nodaemon", "--no_save", "--pidfile=", f"--python={application}"])
    runApp(twistd)
