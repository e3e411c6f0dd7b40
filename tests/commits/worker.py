"""Workers that raise a counter by commits, and the process they are forked from.

See ``tests.torture_worker``: this has other failpoints, and the same lines.
"""

from __future__ import annotations

import os
import random
from typing import Any

from twisted.internet.task import deferLater

from tests.torture_worker import Victim, main, wrap
from txthoonk import Claim, Conflict, Job, LeaseLost
from txthoonk.errors import JobNotClaimed
from txthoonk.running import NOT_NOW

__all__ = ["POINTS", "Counting", "names"]

#: Where a worker kills itself.
POINTS = {
    "C4": "the counter was read",
    "C5": "before a commit",
    "C6": "commit sent, no reply read",
    "C7": "after the commit was confirmed",
}

#: Seconds before a try again while Redis does not answer.
AGAIN = 0.02


def names(feed: str) -> tuple[str, str, str]:
    """The feed of the counter, that of all that was counted, and a hash of what workers met."""
    return f"{feed}:counter", f"{feed}:events", f"commits:{feed}:met"


class Counting(Victim):
    """One worker.

    :param options: beside the others ``history`` (events) and ``cut``: of so many commits one loses
        its connection when it is sent, so that it happens and nobody hears of it.
    """

    def __init__(self, options: dict[str, Any], point: str, passes: int) -> None:
        super().__init__(options, point, passes)
        counter, events, self._met = names(self.feed)
        keep = options["history"]
        self.counter = self.thoonk.feed(counter, history=keep)
        self.events = self.thoonk.feed(events, history=keep)
        self._cut = options["cut"]
        self._random = random.Random(os.getpid())
        wrap(Job, "commit_claimed", self._commit)

    def arm(self) -> None:
        """It comes by its failpoints anyway."""

    def _commit(self, commit: Any, *args: Any) -> Any:
        self.come_to("C5")
        done = commit(*args)
        self.come_to("C6")
        if self._random.randrange(self._cut) == 0:
            self.cut()
        return done

    def cut(self) -> None:
        """Let every byte leave that was to leave, and read no reply."""
        redis: Any = self.thoonk.redis._redis
        if redis is not None:
            self.flush()
            redis.transport.abortConnection()

    def met(self, what: str) -> None:
        """Count, as well as can be, what came in between."""
        self.thoonk.redis.execute("HINCRBY", self._met, what, 1).addErrback(lambda _: None)

    async def handle(self, claim: Claim) -> None:  # type: ignore[override]  # it may be either
        """Raise the counter by one, and say so in another feed."""
        self.met("runs")
        while True:
            try:
                await self.count(claim)
                self.come_to("C7")
                return
            except Conflict:
                self.met("conflicts")
            except (LeaseLost, JobNotClaimed):
                self.met("lost leases")
                return
            except NOT_NOW as error:
                self.met(type(error).__name__)
                await deferLater(self.reactor, AGAIN)

    async def count(self, claim: Claim) -> None:
        """Try it once."""
        seen = await self.counter.snapshot()
        self.come_to("C4")
        number = int(seen.items.get("count", "0 -").split()[0]) + 1
        done = await claim.commit(
            self.counter.change.publish(f"{number} {claim.id}", "count", seen.revision),
            self.events.change.publish(f"{number}", claim.id),
            result=f"{number}",
        )
        if [str(id) for id in done] != ["count", claim.id]:
            raise AssertionError(f"a commit answered {done}")


if __name__ == "__main__":
    main(Counting)
