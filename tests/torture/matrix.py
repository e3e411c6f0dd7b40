"""Put jobs, kill workers, and check afterwards what became of each job."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.torture.processes import Nursery
from tests.torture.report import ANYWHERE, STOPPED, Report
from tests.torture_worker import POINTS, client_name, effects_key, runs_key
from txthoonk import Thoonk
from txthoonk.events import JobExpired, JobFinished
from txthoonk.testing import unique_name

__all__ = ["Torture"]

#: What jobs are like, and how many of each there are.
KINDS = {"async": 60, "plain": 20, "silent": 15, "slow": 5}

#: How many jobs wait at the most.
BACKLOG = 1500

#: Seconds after which a worker that has not come to its failpoint is killed all the same.
IMPATIENCE = 6.0

#: Every id must be in exactly one state, with an item, and claimed ones with a lease.
STATES = """
local places, bad = {}, {}
local lists = {
  redis.call('LRANGE', KEYS[1], 0, -1), redis.call('LRANGE', KEYS[2], 0, -1),
  redis.call('ZRANGE', KEYS[3], 0, -1), redis.call('SMEMBERS', KEYS[4])}
for i, list in ipairs(lists) do
  for _, id in ipairs(list) do
    places[id] = (places[id] or '') .. i
  end
end
local items = redis.call('HKEYS', KEYS[5])
for _, id in ipairs(items) do
  local place = places[id]
  if not place or #place ~= 1 or not redis.call('ZSCORE', KEYS[6], id)
    or (place == '3') ~= (redis.call('HEXISTS', KEYS[7], id) == 1) then
    bad[#bad + 1] = id .. ' in ' .. (place or 'none')
  end
  places[id] = nil
end
for id, place in pairs(places) do
  bad[#bad + 1] = id .. ' without an item in ' .. place
end
return {#lists[1], #lists[2], #lists[3], #lists[4], bad}
"""


class Torture:
    """One run.

    :param thoonk: the driver's.
    :param jobs: how many are put.
    :param kills: how many workers die, at least.
    :param workers: how many live at a time.
    :param seed: of all that is random in the driver.
    :param lease: seconds, the feed's ``claim_timeout``.
    :param patience: seconds without any job finished after which what is left counts as lost.
    :param points: where workers die.
    :param passes: how often a worker comes by its failpoint, at the most; as often as makes the
        deaths last as long as the jobs if not given.
    :param trickle: how often jobs are put one by one to workers that wait for them, 0 to 1.
    :param kinds: of jobs, with weights.
    :param say: gets a line of progress each second.
    :param options: for the workers.
    """

    def __init__(
        self,
        thoonk: Thoonk,
        *,
        jobs: int,
        kills: int,
        workers: int,
        seed: int,
        lease: float = 1.0,
        patience: float = 20.0,
        points: Sequence[str] = (*POINTS, ANYWHERE),
        passes: int = 0,
        trickle: float = 0.3,
        kinds: Mapping[str, int] = KINDS,
        say: Callable[[str], object] = lambda line: None,
        url: str,
        **options: Any,
    ) -> None:
        self.feed = unique_name("torture")
        self.report = Report(self.feed, jobs, seed=seed, workers=workers)
        self._thoonk, self._reactor = thoonk, thoonk.get_reactor()
        self._jobs, self._kills, self._workers = jobs, kills, workers
        self._lease, self._patience, self._kinds = lease, patience, kinds
        self._most_passes, self._trickling = passes, trickle
        self._random = random.Random(seed)
        self._points = [p for _ in range(kills // len(points) + 1) for p in points]
        self._random.shuffle(self._points)
        self._say = say
        self._options = {"url": url, "feed": self.feed, **options}
        self._journal: dict[str, str] = {}
        self._finished: Counter[str] = Counter()
        self._results: dict[str, Any] = {}
        self._expired: Counter[str] = Counter()
        self._killed: Counter[str] = Counter()
        self._stopped: Counter[str] = Counter()
        self._fell: dict[int, str] = {}
        self._died = 0
        self._progress = (-1, 0.0)
        self._extra = 0.0
        self._over = False
        self._tasks: list[Deferred[Any]] = []

    async def run(self) -> Report:
        """Put, kill, wait, and check."""
        start = time.monotonic()
        redis = self._thoonk.redis
        job = self.job = await self._thoonk.job(
            self.feed, claim_timeout=self._lease, max_attempts=0, result_ttl=0
        )
        await job.subscribe(finish=self._one_finished, expire=self._one_expired)
        self._nursery = nursery = Nursery(self._reactor, **self._options)
        nursery.on_fall = self._fell.__setitem__
        nursery.on_death = self._one_died
        try:
            await nursery.ready
            for _ in range(self._workers):
                self._start(self._spawn())
            self._start(self._watch())
            await self._put_all()
            await self._drained()
        finally:
            self._over = True
            await nursery.stop()
            await gatherResults(self._tasks)
        await job.maintenance()
        await self._settle()
        self.report.seconds = time.monotonic() - start
        await self._check(await job.stats())
        self.report.found("complaints of workers", nursery.complaints)
        await redis.execute("DEL", runs_key(self.feed), effects_key(self.feed))
        await job.delete()
        return self.report

    # -- meanwhile --------------------------------------------------------------------------

    def _start(self, coroutine: Any) -> None:
        self._tasks.append(Deferred.fromCoroutine(coroutine))

    def _sleep(self, seconds: float) -> Deferred[None]:
        return deferLater(self._reactor, seconds)

    def _one_finished(self, event: JobFinished) -> None:
        self._finished[event.id] += 1
        self._results[event.id] = event.result

    def _one_expired(self, event: JobExpired) -> None:
        self._expired[event.id] += 1

    async def _put_all(self) -> None:
        """Put as many as the kills so far allow: floods, and one by one to workers that wait."""
        while (room := self._room()) is not None and not self._is_stuck():
            if room < 1:
                await self._sleep(0.01)
            elif self._random.random() < self._trickling:
                await self._trickle(min(room, self._random.randint(1, 20)))
            else:
                await self._flood(min(room, self._random.choice((10, 50, 200, 400))))

    def _room(self) -> int | None:
        """How many jobs may be put now; None when all are."""
        put = len(self._journal)
        if put >= self._jobs:
            return None
        share = self._jobs / max(1, self._kills)
        allowed = (self._died + self._workers) * share + self._extra
        if allowed - put < 1 and self._idle() > 0.2:
            self._extra += share  # whoever is to die next waits for jobs
        return int(min(self._jobs - put, allowed - put, BACKLOG - put + len(self._finished)))

    async def _flood(self, count: int) -> None:
        kinds = self._random.choices([*self._kinds], [*self._kinds.values()], k=count)
        if self._random.random() < 0.5:
            ids = await self.job.put_many(kinds)
        else:
            ids = await gatherResults([self.job.put(kind) for kind in kinds])
        self._journal.update(zip(ids, kinds, strict=True))

    async def _trickle(self, count: int) -> None:
        for _ in range(count):
            while await self.job.length() and not self._is_stuck():
                await self._sleep(0.01)
            await self._flood(1)
            await self._sleep(0.004)

    async def _drained(self) -> None:
        """Wait until all is done, or nothing is any more."""
        while self._died < self._kills or len(self._finished) < self._jobs:
            if self._is_stuck():
                return
            await self._sleep(0.02)

    def _is_stuck(self) -> bool:
        """Whether nothing has happened for too long."""
        return self._idle() > self._patience

    def _idle(self) -> float:
        """For how long nothing has happened."""
        done, now = len(self._finished) + self._died, time.monotonic()
        if done != self._progress[0]:
            self._progress = (done, now)
        return now - self._progress[1]

    async def _spawn(self) -> None:
        """Start a worker that is to die, while there are deaths to come."""
        point = self._points.pop() if self._points and self._died < self._kills else "-"
        pid = await self._nursery.fork(point if point in POINTS else "-", self._passes(point))
        if point == STOPPED:
            await self._stop_for_a_while(pid)
        if point != "-":
            await self._be_patient(pid, point)

    async def _be_patient(self, pid: int, point: str) -> None:
        """Give a worker its time to come to its end, and kill it then."""
        most = self._random.uniform(0.05, 1.5) if point in (ANYWHERE, STOPPED) else IMPATIENCE
        end = time.monotonic() + most
        while pid in self._nursery.alive and not self._over:
            if time.monotonic() > end:
                self._nursery.signal(pid, "KILL")
                return
            if len(self._finished) == self._jobs:
                end = min(end, time.monotonic() + 0.5)  # it would wait in vain
            await self._sleep(0.03)

    async def _stop_for_a_while(self, pid: int) -> None:
        """Let a worker miss the end of its claims."""
        await self._sleep(self._random.uniform(0.1, 0.5))
        if self._over:
            return
        self._nursery.signal(pid, "STOP")
        try:
            await self._nursery.when_said(f"stopped {pid}")
        except AssertionError:
            return  # it was over in that moment
        self._fell[pid] = STOPPED
        self._stopped.update(await self._held_by(pid))
        await self._sleep(3 * self._lease)
        self._nursery.signal(pid, "CONT")

    def _passes(self, point: str) -> int:
        """How often a worker comes by its failpoint: so that deaths last as long as jobs."""
        if point == "W1h":
            return 1
        if self._most_passes:
            return self._random.randint(1, self._most_passes)
        share = self._jobs / max(1, self._kills) / (4 if point in ("W1", "W2", "W3") else 1)
        if point == "W8":
            share = min(share, 5)
        return self._random.randint(1, max(1, int(1.5 * share)))

    def _one_died(self, pid: int) -> None:
        if not self._over:
            self._died += 1
            self.report.kills[self._fell.get(pid, ANYWHERE)] += 1
            self._start(self._bury(pid))
            self._start(self._spawn())

    async def _bury(self, pid: int) -> None:
        """Note what it had claimed, once Redis has read all that it wrote."""
        redis = self._thoonk.redis
        name = f" name={client_name(pid)} ".encode()
        while name in await redis.execute("CLIENT", "LIST"):
            await self._sleep(0.002)
        self._killed.update(await self._held_by(pid))

    async def _held_by(self, pid: int) -> list[str]:
        """The jobs that a worker has claimed: tokens begin with host and process id."""
        held = await self._thoonk.redis.execute("HGETALL", self.job.keys.lease)
        return [
            id.decode()
            for id, lease in zip(held[::2], held[1::2], strict=True)
            if lease.split(b" ")[0].split(b":")[1] == b"%d" % pid
        ]

    async def _watch(self) -> None:
        """Look at all states at once, each second, and tell how far it is."""
        start, ticks = time.monotonic(), 0
        while not self._over:
            available, handed, claimed, stalled = await self._look()
            if ticks % 10 == 0:
                self._say(
                    f"{time.monotonic() - start:5.1f} s: {len(self._journal)} put, "
                    f"{len(self._finished)} finished, {self._died} kills, {available} available, "
                    f"{handed} handed, {claimed} claimed, {stalled} stalled"
                )
            ticks += 1
            await self._sleep(0.1)

    async def _look(self) -> list[int]:
        keys = self.job.keys
        names = (keys.ids, keys.handoff, keys.claimed, keys.stalled, keys.items)
        *counts, bad = await self._thoonk.redis.execute(
            "EVAL", STATES, 7, *names, keys.published, keys.lease
        )
        self.report.found("ids outside exactly one state", [each.decode() for each in bad])
        self.report.looks += 1
        return counts

    # -- at the end -------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Wait until everything that was published has been heard."""
        thoonk = self._thoonk
        await thoonk.remove_handler(await thoonk.register_handler(self.feed, print))

    async def _check(self, stats: Any) -> None:
        redis, report, keys = self._thoonk.redis, self.report, self.job.keys
        runs: Counter[str] = Counter()
        tokens: Counter[str] = Counter()
        start = 0
        while page := await redis.execute("LRANGE", runs_key(self.feed), start, start + 9999):
            start += len(page)
            for record in page:
                id, token, _ = record.decode().split()
                runs[id] += 1
                tokens[f"{id} {token}"] += 1
        effects = {id.decode() for id in await redis.execute("HKEYS", effects_key(self.feed))}
        left = {id.decode() for id in await redis.execute("HKEYS", keys.items)}
        await self._look()

        broken = self._killed + self._stopped
        late = self._expired - broken
        report.expired, report.late = self._expired.total(), late.total()
        report.stopped_claims = self._stopped.total()
        report.runs, report.killed_claims = runs.total(), self._killed.total()
        report.again = sum(1 for n in runs.values() if n > 1)
        report.most_runs = max(runs.values(), default=0)
        journal, finished = self._journal.keys(), self._finished
        report.found("jobs lost", journal - finished.keys() - left)
        report.found("jobs not finished", left)
        report.found("jobs finished twice", [id for id, n in finished.items() if n > 1])
        report.found(
            "jobs finished with another result",
            [
                f"{id}, {kind}: {self._results[id]!r}"
                for id, kind in self._journal.items()
                if id in self._results and self._results[id] != (None if kind == "silent" else kind)
            ],
        )
        is_wrong = (stats.puts, stats.finishes) != (len(journal), len(finished))
        report.found("counters that are wrong", [stats] if is_wrong else [])
        report.found("jobs that nobody put", (finished.keys() | runs.keys()) - journal)
        report.found("jobs finished without their effect", finished.keys() - effects)
        # A claim that expired though its process ran is no kill, but may lead to a run.
        most = {id: 1 + broken[id] + late[id] for id in runs}
        report.found(
            "jobs run more often than 1 + the kills they were in",
            [f"{id}: {n} runs, {most[id] - 1} kills" for id, n in runs.items() if n > most[id]],
        )
        report.found("runs with the same claim", [each for each, n in tokens.items() if n > 1])
        names = {key for key in await redis.execute("KEYS", "*") if key.endswith(keys.name)}
        report.found("keys left", names - {keys.config, keys.publishes, keys.finishes})
        report.found("faults that fsck finds", await self.job.fsck())
        missing = self._kills - report.kills.total()
        report.found("kills that are missing", [missing] if missing > 0 else [])
