"""One of the worker processes: ``python -m examples.history.worker URL NUMBER``.

It ends when its standard input does, so it never outlives the service that started it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.task import deferLater, react
from twisted.python.failure import Failure

from examples.history import AUTHORS, BOARDS, COUNTED, FILES, JOBS, SHARES, SHOWN
from examples.history.boards import refresh, totals_keys
from examples.history.commits import Commit
from examples.history.workers import client_name
from txthoonk import Claim, Job, JobNotClaimed, Thoonk, ThoonkError

#: How many jobs are claimed at the same time.
IN_FLIGHT = 4
#: Seconds between two looks at the boards.
PACE = 0.2

TALLY = Path(__file__).with_name("tally.lua").read_bytes()
KEYS = (COUNTED, SHARES, *totals_keys(AUTHORS), *totals_keys(FILES))


class Worker:
    """Counts commits, and keeps the boards whenever that is its turn.

    :param thoonk: connected.
    :param number: who it is among the workers.
    """

    def __init__(self, thoonk: Thoonk, number: str, reactor: Any) -> None:
        self._thoonk = thoonk
        self._number = number
        self._reactor = reactor
        self._boards = [thoonk.sorted_feed(name) for name in (AUTHORS, FILES)]
        self.stopping = False
        self._gets: set[Deferred[Claim]] = set()

    async def run(self) -> None:
        """Work until :meth:`stop`.

        :raises Exception: whatever ended one of the loops.
        """
        commits = self._thoonk.job(JOBS, serializer="bytes")
        loops = [self._loop(commits, self._count) for _ in range(IN_FLIGHT)]
        loops.append(self._loop(self._thoonk.job(BOARDS), self._rank))
        running = [Deferred.fromCoroutine(loop).addBoth(self._ended) for loop in loops]
        for fine, result in await DeferredList(running, consumeErrors=True):
            if not fine:
                result.raiseException()

    def stop(self) -> None:
        """Claim nothing more; what is claimed is finished."""
        self.stopping = True
        for each in tuple(self._gets):
            each.cancel()

    def _ended(self, result: Any) -> Any:
        """One loop has ended, for whatever reason: so do the others."""
        self.stop()
        cancelled = isinstance(result, Failure) and result.check(CancelledError)
        return None if cancelled else result

    async def _loop(self, job: Job, do: Callable[[Claim], Awaitable[None]]) -> None:
        while not self.stopping:
            get = job.get()
            self._gets.add(get)
            try:
                claim = await get
            finally:
                self._gets.discard(get)
            await do(claim)

    async def _count(self, claim: Claim) -> None:
        """Do the job of one commit."""
        commit = Commit.parse(claim.item)
        changes = [part for change in commit.changes for part in change]
        await self._thoonk.redis.execute(
            *("EVAL", TALLY, len(KEYS), *KEYS, commit.number, self._number, commit.author),
            *changes,
        )
        # It was taken from us if the service took us for dead; counted it is, once.
        with suppress(JobNotClaimed):
            result = f"worker {self._number}: {commit.extent()} by "
            await claim.finish(result.encode() + commit.author)

    async def _rank(self, claim: Claim) -> None:
        """Bring the boards up to date, then let another worker do so."""
        try:
            # First how much was counted, then the totals: these can only be newer.
            counted = await self._thoonk.redis.hget_value(SHARES, "all")
            if counted != await self._thoonk.redis.get(SHOWN):
                for board in self._boards:
                    await refresh(self._thoonk, board)
                await self._thoonk.redis.set(SHOWN, counted)
            await deferLater(self._reactor, PACE)
        finally:
            with suppress(JobNotClaimed):
                await claim.release()


async def main(reactor: Any, url: str, number: str) -> None:
    """Work at a URL until standard input ends."""
    thoonk = Thoonk(url, client_name=client_name(number))
    worker = Worker(thoonk, number, reactor)

    def wait_for_the_end() -> None:
        while os.read(0, 1024):
            pass
        reactor.callFromThread(worker.stop)

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    try:
        async with thoonk:
            await worker.run()
    except ThoonkError as error:
        if not worker.stopping:
            raise SystemExit(f"worker {number}: {error}") from None


if __name__ == "__main__":
    react(main, sys.argv[1:])
