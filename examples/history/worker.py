"""One of the worker processes: ``python -m examples.history.worker URL NUMBER``.

It ends when its standard input does, so it never outlives the service that started it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.internet.task import deferLater, react

from examples.demo.processes import when_stdin_ends
from examples.history import AUTHORS, BOARDS, COUNTED, FILES, JOBS, SHARES, SHOWN
from examples.history.boards import refresh, totals_keys
from examples.history.commits import Commit
from txthoonk import Claim, JobWorker, Thoonk, ThoonkError

#: How many jobs are done at the same time.
IN_FLIGHT = 4
#: Seconds that the jobs of a worker that was killed wait for another one.
LEASE = 2.0
#: Seconds between two looks at the boards.
PACE = 0.2

TALLY = Path(__file__).with_name("tally.lua").read_bytes()
KEYS = (COUNTED, SHARES, *totals_keys(AUTHORS), *totals_keys(FILES))


def client_name(number: int | str) -> str:
    """What a worker is called in Redis."""
    return f"history-worker-{number}"


class Worker:
    """Counts commits, and keeps the boards whenever that is its turn.

    :param thoonk: the Redis with the jobs; stops the work when it stops.
    :param number: who it is among the workers.
    """

    def __init__(self, thoonk: Thoonk, number: str, reactor: Any) -> None:
        self._thoonk = thoonk
        self._number = number
        self._reactor = reactor
        self._boards = [thoonk.sorted_feed(name) for name in (AUTHORS, FILES)]

    def start(self) -> None:
        """Work from now on, until the instance stops."""
        for feed, handler in ((JOBS, self.count), (BOARDS, self.rank)):
            JobWorker(
                self._thoonk,
                feed,
                handler,
                concurrency=IN_FLIGHT if feed == JOBS else 1,
                claim_timeout=LEASE,
                serializer="bytes",
            ).startService()

    async def count(self, claim: Claim) -> bytes:
        """Do the job of one commit. If it was done by somebody who was killed, it counts once."""
        commit = Commit.parse(claim.item)
        changes = [part for change in commit.changes for part in change]
        await self._thoonk.redis.execute(
            *("EVAL", TALLY, len(KEYS), *KEYS, commit.number, self._number, commit.author),
            *changes,
        )
        return f"worker {self._number}: {commit.extent()} by ".encode() + commit.author

    async def rank(self, claim: Claim) -> None:
        """Bring the boards up to date, then let another worker do so."""
        # First how much was counted, then the totals: these can only be newer.
        counted = await self._thoonk.redis.hget_value(SHARES, "all")
        if counted != await self._thoonk.redis.get(SHOWN):
            for board in self._boards:
                await refresh(self._thoonk, board)
            await self._thoonk.redis.set(SHOWN, counted)
        await deferLater(self._reactor, PACE)
        await claim.release()


async def main(reactor: Any, url: str, number: str) -> None:
    """Work at a URL until standard input ends."""
    thoonk = Thoonk(url, client_name=client_name(number))
    Worker(thoonk, number, reactor).start()
    ended = when_stdin_ends(reactor)
    try:
        async with thoonk:
            await ended
    except ThoonkError as error:
        raise SystemExit(f"worker {number}: {error}") from None


if __name__ == "__main__":
    react(main, sys.argv[1:])
