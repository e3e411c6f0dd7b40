"""Programs that tests run beside them: what they say, and their end."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

__all__ = ["ROOT", "Program", "runs"]

ROOT: Final = Path(__file__).resolve().parent.parent


def runs(pid: int) -> bool:
    """Whether there is such a process of ours, one that nobody has reaped included."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


class Program(ProcessProtocol):
    """A program that runs: its lines as they come, and its end.

    :ivar output: all that it has said, on either stream.
    :ivar ended: fires with its exit status; if a signal ended it, that is negative.
    """

    def __init__(self) -> None:
        self.output = ""
        self.ended: Deferred[int] = Deferred()
        self.process: Any = None
        self._waiting: list[tuple[str, Deferred[None]]] = []

    def start(
        self,
        test: TestCase,
        *command: str,
        folder: Path = ROOT,
        env: Mapping[str, str | None] | None = None,
    ) -> None:
        """Start it; it is gone when the test is.

        :param folder: in which it runs; it can import what is in this checkout in any case.
        :param env: what differs from our environment; ``None`` takes a name out.
        """
        from twisted.internet import reactor

        spawn: Any = reactor
        wanted = {**os.environ, **(env or {}), "PYTHONPATH": str(ROOT)}
        there = {name: value for name, value in wanted.items() if value is not None}
        self.process = spawn.spawnProcess(self, command[0], command, there, str(folder))
        test.addCleanup(lambda: Deferred.fromCoroutine(self._kill()))

    async def _kill(self) -> None:
        if not self.ended.called:
            self.process.signalProcess("KILL")
        await self.ended

    def childDataReceived(self, fd: int, data: bytes) -> None:  # Twisted's name
        """Whatever it says, on either stream."""
        self.output += data.decode(errors="replace")
        waiting, self._waiting = self._waiting, []
        for text, done in waiting:
            if text in self.output:
                done.callback(None)
            else:
                self._waiting.append((text, done))

    def says(self, text: str) -> Deferred[None]:
        """Fires once it has said *text*."""
        done: Deferred[None] = Deferred()
        if text in self.output:
            done.callback(None)
        else:
            self._waiting.append((text, done))
        return done

    def processEnded(self, reason: Failure) -> None:
        """It is gone: who still waits for a word of it waits in vain."""
        for text, done in self._waiting:
            done.errback(AssertionError(f"it never said {text!r}, but:\n{self.output}"))
        status: Any = reason.value
        self.ended.callback(status.exitCode if status.exitCode is not None else -status.signal)
