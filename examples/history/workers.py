"""The worker processes, as the service sees them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet.task import deferLater

from txthoonk import Thoonk

__all__ = ["Workers", "WorkersFailed", "client_name"]

ROOT = Path(__file__).parents[2]

#: How often workers that died are replaced before the demo gives up.
MOST_REPLACED = 10
#: Seconds that the workers may take to finish what they have claimed.
PATIENCE = 5.0


def client_name(number: int | str) -> str:
    """What a worker is called in Redis."""
    return f"history-worker-{number}"


class WorkersFailed(Exception):
    """Workers die as soon as they are started."""


class Workers:
    """As many processes as wanted, replaced when they die.

    :param url: of the Redis they share.
    :param count: how many.
    """

    def __init__(self, reactor: Any, url: str, count: int) -> None:
        self._reactor = reactor
        self._url = url
        self._replaced = 0
        self._running = {number: self._start(number) for number in range(1, count + 1)}

    @property
    def pids(self) -> list[int]:
        """Their process ids."""
        return [process.pid for process in self._running.values()]

    async def when_connected(self, thoonk: Thoonk) -> None:
        """Return once each has said its name to Redis, so that all get their share.

        :raises WorkersFailed: if they die instead.
        """
        names = {b"name=%b " % client_name(number).encode() for number in self._running}
        while True:
            clients = await thoonk.redis.execute("CLIENT", "LIST")
            if all(name in clients for name in names):
                return
            self.replace_dead()
            await deferLater(self._reactor, 0.02)

    def replace_dead(self) -> list[tuple[int, int]]:
        """Start a new process for each that has died; says their numbers and process ids.

        :raises WorkersFailed: if that happens too often.
        """
        dead = [n for n, process in self._running.items() if process.poll() is not None]
        for number in dead:
            self._replaced += 1
            if self._replaced > MOST_REPLACED:
                status = self._running[number].returncode
                raise WorkersFailed(f"worker {number} ended with status {status}, once too often")
            _close(self._running[number])
            self._running[number] = self._start(number)
        return [(number, self._running[number].pid) for number in dead]

    async def stop(self) -> None:
        """Let them finish what they have claimed, and end."""
        for process in self._running.values():
            _close(process)
        deadline = self._reactor.seconds() + PATIENCE
        while any(process.poll() is None for process in self._running.values()):
            if self._reactor.seconds() > deadline:
                for process in self._running.values():
                    process.kill()
            await deferLater(self._reactor, 0.01)

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        # In a session of its own: a Ctrl-C is for the service, which then ends its workers.
        return subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.worker", self._url, str(number)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            start_new_session=True,
        )


def _close(process: subprocess.Popen[bytes]) -> None:
    """End a worker's standard input: it takes nothing more."""
    assert process.stdin is not None
    process.stdin.close()
