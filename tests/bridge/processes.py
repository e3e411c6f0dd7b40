"""Real bridge processes, ``twistd thoonk --bridge NAME``, one of which is killed now and then."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

__all__ = ["Bridges"]

CHECKOUT: Final = str(Path(__file__).parent.parent.parent)
#: Seconds that a bridge may take to carry back what it has heard.
LAG: Final = 0.5

TWISTD: Final = "from twisted.scripts.twistd import run; run()"


class _Process(ProcessProtocol):
    """One bridge."""

    def __init__(self, bridges: Bridges) -> None:
        self._bridges = bridges
        self.is_open = False
        self.opened = 0.0
        self.ended: Deferred[None] = Deferred()
        self.said = b""

    def outReceived(self, data: bytes) -> None:
        self.said += data
        if not self.is_open and b"is open" in self.said:
            self.is_open, self.opened = True, self._bridges.now()

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        self.is_open = False
        self._bridges.ended(self)
        self.ended.callback(None)


class Bridges:
    """Some processes; one that ends is started again, as the supervisor of ``--workers`` does it.

    :param url: of Redis.
    :param name: of the feed.
    :param count: of processes.
    :param seed: of what is done at random.
    """

    def __init__(self, reactor: Any, url: str, name: str, count: int, seed: int) -> None:
        self._reactor = reactor
        self._random = random.Random(seed)
        command = ["-n", "--pidfile=", "thoonk", f"--redis={url}", f"--bridge={name}"]
        self._command = [sys.executable, "-c", TWISTD, *command, "--workers=1"]
        self._count = count
        self._running: list[_Process] = []
        self._going = True
        self._killing: Deferred[None] | None = None
        self.kills = 0
        #: What any of them has said of something that broke down.
        self.complaints: list[str] = []

    def start(self) -> None:
        """Start them, and begin to kill."""
        for _ in range(self._count):
            self._start()
        self._killing = Deferred.fromCoroutine(self._kill())

    def _start(self) -> None:
        process = _Process(self)
        self._running.append(process)
        environment = {**os.environ, "PYTHONPATH": CHECKOUT}
        self._reactor.spawnProcess(process, sys.executable, self._command, env=environment)

    def ended(self, process: _Process) -> None:
        """One was killed, or worse."""
        text = process.said.decode(errors="replace")
        if "Traceback" in text or "broke down" in text:
            self.complaints.append(text)
        self._running.remove(process)
        if self._going:
            self._start()

    async def _kill(self) -> None:
        """Kill any one at any instant; of several only while another one has heard it all.

        What was told before the other one listened only the first one knows.
        """
        while self._going:
            # Mostly one at work: else few would ever live so long.
            at_work = self._random.random() < 0.9
            while self._going and at_work and len(self._open()) < min(2, self._count):
                await deferLater(self._reactor, 0.01)
            await deferLater(self._reactor, self._random.uniform(0.0, 0.8))
            victims = [
                each
                for each in self._running
                if (each.is_open or not at_work)
                and (self._count == 1 or any(o is not each for o in self._open(LAG)))
            ]
            if self._going and victims:
                victim: Any = self._random.choice(victims)
                self.kills += victim.is_open
                try:
                    victim.transport.signalProcess("KILL")
                except ProcessExitedAlready:
                    continue

    def now(self) -> float:
        """The time, in seconds."""
        seconds: float = self._reactor.seconds()
        return seconds

    def _open(self, since: float = 0.0) -> list[_Process]:
        """Those that have been open for so many seconds."""
        return [p for p in self._running if p.is_open and p.opened <= self.now() - since]

    async def stop(self) -> None:
        """Kill all."""
        self._going = False
        if self._killing is not None:
            await self._killing
        for process in list(self._running):
            victim: Any = process
            victim.transport.signalProcess("KILL")
            await process.ended
