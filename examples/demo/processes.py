"""The other processes of a demo: started, watched, and started again when they die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

__all__ = ["Process", "Processes", "ProcessesFailed", "when_stdin_ends"]

ROOT = Path(__file__).parents[2]

#: Seconds between two looks at whether all still run.
LOOK = 0.1
#: A process that ran for so many seconds was well; one that ends sooner so often is not.
STEADY, MOST_ILL = 3.0, 5
#: Seconds that they may take to end by themselves.
PATIENCE = 5.0


class ProcessesFailed(Exception):
    """A process dies as soon as it is started."""


class Process:
    """One of them.

    :ivar name: what it is called: ``web 1``.
    :ivar restarts: how often another process took its place.
    """

    def __init__(self, reactor: Any, name: str, command: Sequence[str], **options: Any) -> None:
        self._reactor = reactor
        self.name = name
        self.restarts = 0
        self._command, self._options = command, options
        self._ill = 0
        self._start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    @property
    def ended(self) -> bool:
        """Whether it runs no more."""
        return self._popen.poll() is not None

    def _start(self) -> None:
        # In a session of its own: a Ctrl-C is for the service, which then ends the others. They
        # end by themselves when their standard input does, so none of them outlives us.
        self._since = self._reactor.seconds()
        self._popen = subprocess.Popen(
            self._command, cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True, **self._options
        )

    def start_again(self) -> None:
        """Start another one in its place.

        :raises ProcessesFailed: if that was in vain too often.
        """
        self.close()
        status = self._popen.returncode
        # Whoever kills it, as the demo invites to, says nothing of how it is.
        well = status == -signal.SIGKILL or self._reactor.seconds() - self._since > STEADY
        self._ill = 0 if well else self._ill + 1
        if self._ill > MOST_ILL:
            raise ProcessesFailed(f"{self.name} ended with status {status}, once too often")
        self.restarts += 1
        self._start()

    def close(self) -> None:
        """Ask it to end."""
        assert self._popen.stdin is not None
        with suppress(OSError):
            self._popen.stdin.close()

    def kill(self) -> None:
        """End it by force, as ``kill -9`` does."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


class Processes:
    """Keeps them running.

    :param replaced: called with each process that took the place of one that died, and the
        process id of that.
    """

    def __init__(self, reactor: Any, replaced: Callable[[Process, int], object]) -> None:
        self._reactor = reactor
        self._replaced = replaced
        self._all: list[Process] = []
        self._stopping = False

    def __iter__(self) -> Iterator[Process]:
        return iter(self._all)

    def start(
        self,
        name: str,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Process:
        """Start another one: ``python -m`` and *arguments*.

        :param env: what it finds in its environment, beyond what is in ours.
        :param pass_fds: descriptors that it shares with us.
        """
        command = (sys.executable, "-m", *arguments)
        known = {**os.environ, **(env or {})}
        process = Process(self._reactor, name, command, env=known, pass_fds=pass_fds)
        self._all.append(process)
        return process

    async def watch(self) -> None:
        """Look after them until the stop.

        :raises ProcessesFailed: if one of them cannot be kept running.
        """
        while not self._stopping:
            for process in self._all:
                if process.ended:
                    pid = process.pid
                    process.start_again()
                    self._replaced(process, pid)
            await deferLater(self._reactor, LOOK)

    async def stop(self) -> None:
        """End all of them."""
        self._stopping = True
        for process in self._all:
            process.close()
        deadline = self._reactor.seconds() + PATIENCE
        while any(not process.ended for process in self._all):
            if self._reactor.seconds() > deadline:
                for process in self._all:
                    process.kill()
            await deferLater(self._reactor, 0.01)


def when_stdin_ends(reactor: Any) -> Deferred[None]:
    """For the processes themselves: fires when they are asked to end, or nobody can do so."""
    ended: Deferred[None] = Deferred()

    def wait() -> None:
        while os.read(0, 1024):
            pass
        reactor.callFromThread(ended.callback, None)

    threading.Thread(target=wait, daemon=True).start()
    return ended
