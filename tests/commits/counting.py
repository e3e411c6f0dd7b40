"""Let workers count by commits, kill them and Redis, and look at what came of it."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.commits.worker import POINTS, names
from tests.torture.processes import Nursery
from tests.torture.report import Findings
from txthoonk import Thoonk
from txthoonk.embedded import EmbeddedRedis
from txthoonk.errors import ThoonkError
from txthoonk.running import NOT_NOW

__all__ = ["ALWAYS", "Count", "count"]

#: What Redis has acknowledged is on its disk.
ALWAYS: Final = {"appendonly": "yes", "appendfsync": "always"}

#: Where a worker is killed that comes to no failpoint: anywhere, by the driver.
ANYWHERE: Final = "anywhere"

#: Seconds that claims hold, and between two looks at how far it is.
LEASE: Final = 1.0
LOOK: Final = 0.25


@dataclass
class Count(Findings):
    """What came of it.

    :ivar kills: of workers, by where they died.
    :ivar met: what workers met: runs, conflicts, lost leases, and errors by their names.
    """

    jobs: int
    seed: int
    seconds: float = 0.0
    counter: int = 0
    restarts: int = 0
    stops: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    met: dict[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"{self.jobs} jobs, {self.seconds:.0f} s, seed {self.seed}",
            f"counter: {self.counter}",
            f"restarts of Redis by SIGKILL: {self.restarts}",
            f"stops of workers for three leases: {self.stops}",
            f"kills of workers: {self.kills.total()}",
            *(f"  {n:5} {POINTS.get(p, p)}" for p, n in sorted(self.kills.items())),
            *(f"{what}: {n}" for what, n in sorted(self.met.items())),
            *self.fault_lines(),
        ]


class _Counting:
    """One run; see :func:`count`."""

    def __init__(self, thoonk: Thoonk, redis: EmbeddedRedis, report: Count, feed: str) -> None:
        self.thoonk, self.redis, self.report, self.feed = thoonk, redis, report, feed
        self.reactor: Any = thoonk.get_reactor()
        self.random = random.Random(report.seed)
        self.job = thoonk.job(feed, claim_timeout=LEASE, max_attempts=0, result_ttl=86400)
        counter, events, self.met_key = names(feed)
        self.counter, self.events = thoonk.feed(counter), thoonk.feed(events)
        self.over = False

    async def insist(self, call: Callable[[], Any]) -> Any:
        """Read, however often Redis is killed."""
        while True:
            try:
                return await call()
            except NOT_NOW:
                await self.pause(0.05)

    def pause(self, seconds: float) -> Deferred[None]:
        """Wait."""
        return deferLater(self.reactor, seconds, lambda: None)

    async def fork(self, nursery: Nursery, points: bool) -> None:
        """One more worker; half of them die at a failpoint."""
        if points and self.random.random() < 0.5:
            point, passes = self.random.choice(sorted(POINTS)), self.random.randint(1, 60)
            await nursery.fork(point, passes)
        else:
            await nursery.fork()

    async def kill_workers(self, nursery: Nursery, every: float) -> None:
        """Kill some worker, again and again."""
        while not self.over:
            await self.pause(self.random.expovariate(1 / every))
            if nursery.alive and not self.over:
                nursery.signal(self.random.choice(sorted(nursery.alive)), "KILL")

    async def stop_workers(self, nursery: Nursery, every: float) -> None:
        """Stop some worker for three leases, again and again: its jobs are others' then."""
        while not self.over:
            await self.pause(every * self.random.uniform(0.5, 1.5))
            if nursery.alive and not self.over:
                pid = self.random.choice(sorted(nursery.alive))
                nursery.signal(pid, "STOP")
                await self.pause(3 * LEASE)
                nursery.signal(pid, "CONT")
                self.report.stops += 1

    async def kill_redis(self, every: float) -> None:
        """Kill Redis and start it again, again and again."""
        while not self.over:
            await self.pause(every * self.random.uniform(0.5, 1.5))
            if not self.over:
                await self.redis.kill()
                await self.pause(self.random.uniform(0, 0.3))
                await self.redis.start()
                self.report.restarts += 1

    async def when_done(self, say: Callable[[str], object], patience: float) -> None:
        """Wait until all jobs are finished, or nothing moves any more."""
        last, since, told = -1, time.monotonic(), time.monotonic()
        while True:
            stats = await self.insist(self.job.stats)
            now = time.monotonic()
            if stats.finishes != last:
                last, since = stats.finishes, now
            if now - told > 10:
                told = now
                say(f"{last} of {self.report.jobs} jobs, {self.report.kills.total()} kills")
            left = stats.available + stats.claimed + stats.delayed + stats.stalled
            if (last >= self.report.jobs and not left) or now - since > patience:
                return
            await self.pause(LOOK)

    async def look(self, ids: list[str]) -> None:
        """What there is at the end."""
        report, n = self.report, self.report.jobs
        items = await self.counter.get_all()
        report.counter = int(items.get("count", "0 -").split()[0])
        report.found("counter that is wrong", [items] if report.counter != n else [])
        for feed in (self.counter, self.events):
            history = await feed.history(0)
            revisions = [event.revision for event in history]
            is_wrong = revisions != list(range(1, n + 1))
            detail = f"{feed.name}: {len(revisions)}, {revisions[:1]}..{revisions[-1:]}"
            report.found("revisions that are not 1 to the number of jobs", [detail] * is_wrong)
            if feed is self.counter:
                said = [event.item.split() for event in history]
            else:
                said = [[event.item, event.id] for event in history]
            numbers, by = [int(number) for number, _ in said], Counter(id for _, id in said)
            report.found("counts that are not the next one", _not_next(numbers))
            report.found("events that are there twice", [id for id, k in by.items() if k > 1])
            report.found("events that are not there", set(ids) - by.keys())
        events = await self.events.get_all()
        report.found("jobs that left no item", set(ids) - events.keys())
        for id in ids:
            try:
                _, result = await self.job.get_result(id, timeout=5)
            except ThoonkError as error:
                report.found("results that are wrong", [error])
            else:
                report.found("results that are wrong", [id] * (result != events.get(id)))
        stats = await self.job.stats()
        is_wrong = (stats.finishes, stats.claimed, stats.available, stats.stalled) != (n, 0, 0, 0)
        report.found("numbers of jobs that are wrong", [stats] * is_wrong)
        met = await self.thoonk.redis.execute("HGETALL", self.met_key)
        report.met = {met[i].decode(): int(met[i + 1]) for i in range(0, len(met), 2)}
        for handle in (self.job, self.counter, self.events):
            report.found("faults that fsck finds", await handle.fsck())


def _not_next(numbers: list[int]) -> list[str]:
    return [f"{a} after {b}" for b, a in zip([0, *numbers], numbers, strict=False) if a != b + 1]


async def count(
    reactor: Any,
    *,
    jobs: int,
    seed: int,
    workers: int = 4,
    kill_every: float = 0.5,
    restart_every: float = 4.0,
    stop_every: float = 2.0,
    cut: int = 50,
    points: bool = True,
    off: str | None = None,
    patience: float = 60.0,
    say: Callable[[str], object] = lambda line: None,
) -> Count:
    """Let *jobs* jobs raise a counter by one each, and look whether each did so once.

    :param workers: processes, each with room for two jobs.
    :param kill_every: seconds between two SIGKILLs of workers by the driver; 0 is never.
    :param restart_every: the same of Redis, which is started again on its data.
    :param stop_every: the same of workers that are stopped, for longer than claims hold.
    :param cut: of so many commits one loses its connection when it is sent.
    :param points: whether half of the workers die at a failpoint.
    :param off: a safeguard that is switched off.
    :param patience: seconds without a finished job after which it is over.
    """
    report, feed = Count(jobs, seed), "counting"
    redis = EmbeddedRedis(reactor=reactor, config=ALWAYS)
    await redis.start()
    start = time.monotonic()
    nursery = None
    try:
        async with Thoonk(redis.url, reactor=reactor) as thoonk:
            counting = _Counting(thoonk, redis, report, feed)
            ids = [str(id) for id in await counting.job.put_many(["count"] * jobs)]
            nursery = Nursery(
                reactor,
                "tests.commits.worker",
                url=redis.url,
                feed=feed,
                history=jobs + 1000,
                concurrency=2,
                cut=cut,
                maintenance=0.2,
                off=off,
            )
            at: dict[int, str] = {}
            nursery.on_fall = lambda pid, point: at.update({pid: point})

            def died(pid: int) -> None:
                report.kills[at.pop(pid, ANYWHERE)] += 1
                if not counting.over:
                    Deferred.fromCoroutine(counting.fork(nursery, points)).addErrback(failed)

            def failed(failure: Any) -> None:
                report.found("the driver failed", [failure.getTraceback()])

            nursery.on_death = died
            await nursery.ready
            for _ in range(workers):
                await counting.fork(nursery, points)
            killers = []
            if kill_every:
                killers.append(counting.kill_workers(nursery, kill_every))
            if stop_every:
                killers.append(counting.stop_workers(nursery, stop_every))
            if restart_every:
                killers.append(counting.kill_redis(restart_every))
            running = [Deferred.fromCoroutine(each).addErrback(failed) for each in killers]
            await counting.when_done(say, patience)
            counting.over = True
            for each in running:
                await each
            nursery.on_death = lambda pid: None
            await nursery.stop()
            report.found("complaints of workers", nursery.complaints)
            await thoonk.when_connected()
            await counting.look(ids)
    finally:
        if nursery is not None:
            await nursery.stop()
        await redis.stop()
    report.seconds = time.monotonic() - start
    return report
