"""A process of a trial, that answers in lines."""

from __future__ import annotations

import os
import sys
from typing import Any

from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.protocol import ProcessProtocol

from tests.torture.processes import CHECKOUT

__all__ = ["Child"]


class Child(ProcessProtocol):
    """A module of ours that runs in another process.

    :ivar lines: what it says.
    """

    transport: Any

    def __init__(self, reactor: Any, module: str, *args: str) -> None:
        self.lines: DeferredQueue[str] = DeferredQueue()
        self.ended: Deferred[None] = Deferred()
        self._rest = b""
        self._errors = b""
        command = [sys.executable, "-m", module, *args]
        environment = {**os.environ, "PYTHONPATH": CHECKOUT}
        reactor.spawnProcess(self, sys.executable, command, env=environment)

    @property
    def pid(self) -> int:
        """Its number."""
        return int(self.transport.pid)

    def say(self, line: str) -> None:
        """Tell it something."""
        self.transport.write(f"{line}\n".encode())

    def close(self) -> None:
        """There is no more to say to it."""
        self.transport.closeStdin()

    def outReceived(self, data: bytes) -> None:
        """Lines."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self.lines.put(line.decode())

    def errReceived(self, data: bytes) -> None:
        """It complains."""
        self._errors += data

    def processEnded(self, reason: Any) -> None:
        """It is gone."""
        if reason.value.exitCode:
            self.lines.put("")
            sys.stderr.write(self._errors.decode())
        self.ended.callback(None)

    def kill(self) -> Deferred[None]:
        """End it; fires when it is gone."""
        if not self.ended.called:
            self.transport.signalProcess("KILL")
        gone: Deferred[None] = Deferred()
        self.ended.addBoth(lambda _: gone.callback(None))
        return gone
