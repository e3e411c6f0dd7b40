"""A process that follows: ``python -m tests.trials.listener URL FEED CLIENT_NAME MAX_BYTES``.

It does what it is told in lines, and answers each with one. Items begin with the time at which
they were published.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.stdio import StandardIO
from twisted.internet.task import react
from twisted.protocols.basic import LineReceiver

from txthoonk import Edited, LiveFeed, Published, Resync, Thoonk

STATUS = Path("/proc/self/status")


class Listener(LineReceiver):
    """Follows one feed, with a handler that sleeps when it is told to."""

    delimiter = b"\n"

    def __init__(self, thoonk: Thoonk, name: str, max_bytes: int) -> None:
        self._thoonk = thoonk
        self._name = name
        self._max_bytes = max_bytes
        self._live: LiveFeed | None = None
        self._asleep: Deferred[None] | None = None
        self._late: list[float] = []
        self._events = 0
        self._resyncs: list[str] = []
        self.ended: Deferred[None] = Deferred()

    def lineReceived(self, line: bytes) -> None:
        """An order."""
        done = Deferred.fromCoroutine(getattr(self, f"do_{line.decode()}")())
        done.addCallback(lambda found: self.sendLine(json.dumps(found).encode()))
        done.addErrback(self._failed)

    def _failed(self, failure: Any) -> None:
        failure.printTraceback()
        self.transport.loseConnection()

    def connectionLost(self, reason: Any = None) -> None:
        """No more orders."""
        self.ended.callback(None)

    def _heard(self, event: Any) -> Deferred[None] | None:
        now = time.monotonic()
        self._events += 1
        if isinstance(event, Resync):
            self._resyncs.append(event.reason)
        elif isinstance(event, (Published, Edited)):
            self._late.append(now - float(event.item[:20]))
        return self._asleep

    async def do_follow(self) -> None:
        """Follow, awake."""
        self._live = await self._thoonk.follow(
            self._name, self._heard, max_bytes=self._max_bytes, foreign=False
        )

    async def do_stop(self) -> None:
        """Follow no more."""
        if self._live is not None:
            self._live.stop()
        self._live = None

    async def do_sleep(self) -> None:
        """The handler takes its time, from the next event on."""
        self._asleep = Deferred()

    async def do_wake(self) -> None:
        """It is through."""
        asleep, self._asleep = self._asleep, None
        if asleep is not None:
            asleep.callback(None)

    async def do_state(self) -> dict[str, Any]:
        """What was told, how late it was, and what memory it took; from now on anew."""
        late, self._late = sorted(self._late), []
        events, self._events = self._events, 0
        resyncs, self._resyncs = self._resyncs, []
        lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
        now, peak = (int(lines[key].split()[0]) / 1000 for key in ("VmRSS", "VmHWM"))
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        return {
            "events": events,
            "resyncs": resyncs,
            "p99": late[len(late) * 99 // 100] if late else 0.0,
            "p50": late[len(late) // 2] if late else 0.0,
            "rss": now,
            "peak": peak,
        }

    async def do_verify(self) -> bool:
        """Whether the copy is what Redis has."""
        assert self._live is not None
        await self._live.when_synced()
        return await self._live.verify()


async def main(url: str, name: str, client: str, max_bytes: str) -> None:
    """Follow."""
    async with Thoonk(url, client_name=client) as thoonk:
        listener = Listener(thoonk, name, int(max_bytes))
        StandardIO(listener)
        await listener.ended


if __name__ == "__main__":
    react(lambda _: Deferred.fromCoroutine(main(*sys.argv[1:])))
