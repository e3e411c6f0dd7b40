"""Idle workers: real instances that wait for jobs, all in one process.

``python -m benchmarks.waiters HOST PORT FEED``; an order ``{"instances": 500}`` leaves so many
waiting. Each has connections of its own, as if it were a process of its own; it finishes what it
gets with a result, which tells the driver that it is done, and waits again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred

from benchmarks.orders import obey_orders
from benchmarks.tools import Record, allow_many_files
from txthoonk import Thoonk
from txthoonk.errors import NotConnected


def main() -> None:
    """Wait for orders, and for jobs."""
    host, port, feed = sys.argv[1:]
    waiting: list[tuple[Thoonk, Deferred[None]]] = []

    async def wait(thoonk: Thoonk) -> None:
        jobs = thoonk.job(feed)
        while True:
            try:
                claim = await jobs.get()
            except NotConnected:  # it was stopped
                return
            await claim.finish("done")

    async def obey(order: Record) -> Record:
        while len(waiting) > order["instances"]:
            thoonk, worker = waiting.pop()
            await thoonk.stopService()
            await worker
        while len(waiting) < order["instances"]:
            thoonk = Thoonk(f"redis://{host}:{port}")
            thoonk.startService()
            await thoonk.when_connected()
            waiting.append((thoonk, Deferred.fromCoroutine(wait(thoonk))))
        return {"instances": len(waiting)}

    async def prepare() -> Callable[[Record], Coroutine[Any, Any, Record]]:
        return obey

    allow_many_files()
    obey_orders(prepare)


if __name__ == "__main__":
    main()
