"""The processes of the kill matrix, as the driver sees them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

__all__ = ["CHECKOUT", "Nursery", "Peer"]

CHECKOUT = str(Path(__file__).parent.parent.parent)


class Nursery(ProcessProtocol):
    """The process that forks workers, as the driver sees it.

    :param module: what is run.
    :param options: for it.
    :ivar ready: fires when it can fork; fails if it ended before.
    :ivar ended: fires when it is gone, and all it has forked.
    :ivar complaints: errors that workers have logged, or written.
    """

    transport: IProcessTransport

    def __init__(self, reactor: Any, module: str = "tests.torture_worker", **options: Any) -> None:
        self.ready: Deferred[None] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self.complaints: list[str] = []
        self.alive: set[int] = set()
        self.on_fall: Callable[[int, str], object] = lambda pid, point: None
        self.on_death: Callable[[int], object] = lambda pid: None
        self._born: list[Deferred[int]] = []
        self._awaited: list[tuple[str, Deferred[str]]] = []
        self._said: list[str] = []
        self._rest = b""
        self._errors = b""
        self._stopping = False
        command = [sys.executable, "-m", module, json.dumps(options)]
        environment = {**os.environ, "PYTHONPATH": CHECKOUT}
        reactor.spawnProcess(self, sys.executable, command, env=environment)

    def fork(self, point: str = "-", passes: int = 0) -> Deferred[int]:
        """Fork a worker that dies when it comes to *point* for the *passes* th time."""
        born: Deferred[int] = Deferred()
        self._born.append(born)
        self._tell(f"fork {point} {passes}")
        return born

    def signal(self, pid: int, name: str) -> None:
        """Send a worker ``KILL``, ``STOP`` or ``CONT``, if it is alive."""
        self._tell(f"{name} {pid}")

    def when_said(self, text: str) -> Deferred[str]:
        """Fires with the first line, from the beginning, in which *text* is; fails at the end."""
        said: Deferred[str] = Deferred()
        self._awaited.append((text, said))
        self._look()
        return said

    def stop(self) -> Deferred[None]:
        """Kill all; fires when they are gone."""
        self._stopping = True
        if not self.ended.called:
            self.transport.closeStdin()  # type: ignore[attr-defined]  # a process's
        gone: Deferred[None] = Deferred()
        self.ended.addBoth(lambda _: gone.callback(None))
        return gone

    def _tell(self, line: str) -> None:
        self.transport.write(f"{line}\n".encode())

    def outReceived(self, data: bytes) -> None:
        """Lines."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            text = line.decode()
            self._said.append(text)
            word, _, rest = text.partition(" ")
            pid, _, rest = rest.partition(" ")
            if word == "ready":
                self.ready.callback(None)
            elif word == "born":
                self.alive.add(int(pid))
                self._born.pop(0).callback(int(pid))
            elif word == "at":
                self.on_fall(int(pid), rest)
            elif word == "died":
                self.alive.discard(int(pid))
                if rest != "-9":
                    self.complaints.append(f"worker {pid} ended with {rest}")
                self.on_death(int(pid))
            elif word == "log" and not rest.startswith("info"):
                self.complaints.append(rest)
        self._look()

    def _look(self) -> None:
        for text, said in tuple(self._awaited):
            for line in self._said:
                if text in line:
                    self._awaited.remove((text, said))
                    said.callback(line)
                    break

    def errReceived(self, data: bytes) -> None:
        """It complains."""
        self._errors += data

    def processEnded(self, reason: Failure) -> None:
        """It is gone."""
        if self._errors or not self._stopping:
            self.complaints.append(f"{reason.value} {self._errors.decode()}")
        if not self.ready.called:
            self.ready.errback(AssertionError(self.complaints[-1]))
        ended = AssertionError("the process that forks workers has ended")
        for born in self._born:
            born.errback(ended)
        for _, said in self._awaited:
            said.errback(ended)
        self.ended.callback(None)


class Peer(ProcessProtocol):
    """A process that works by BRPOP and MULTI, as thoonk.py does."""

    transport: IProcessTransport

    def __init__(self, reactor: Any, url: str, feed: str) -> None:
        self.ready: Deferred[None] = Deferred()
        self._ended: Deferred[None] = Deferred()
        command = [sys.executable, "-m", "tests.share_worker", "peer", url, feed]
        environment = {**os.environ, "PYTHONPATH": CHECKOUT}
        reactor.spawnProcess(self, sys.executable, command, env=environment)

    def outReceived(self, data: bytes) -> None:
        """It is ready."""
        self.ready.callback(None)

    def processEnded(self, reason: Failure) -> None:
        """It is gone."""
        if not self.ready.called:
            self.ready.errback(reason)
        self._ended.callback(None)

    def stop(self) -> Deferred[None]:
        """Kill it."""
        if not self._ended.called:
            self.transport.signalProcess("KILL")
        return self._ended
