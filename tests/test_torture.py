"""Workers that are killed, stopped and late, short of what ``make torture`` does."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from tests.helpers import Heard, ThoonkTestCase, until
from tests.torture.matrix import Torture
from tests.torture.mixed import share
from tests.torture.processes import Nursery
from tests.torture.report import ANYWHERE, STOPPED, Report
from tests.torture_worker import runs_key, switched_off
from txthoonk import Claim, Job, LeaseLost

#: Seconds between two passes of maintenance, and that an id may be on its way: to save time.
HASTE: dict[str, Any] = {"maintenance": 0.25, "handoff_grace": 0.5}

#: Seconds that a claim holds where a process is stopped for three times as long.
LEASE = 0.4


class KillTests(ThoonkTestCase):
    """Workers die at every instant there is."""

    timeout = 240

    def setUp(self) -> Any:
        """Say what would make a failure happen again."""
        self.seed = int(os.environ.get("TXTHOONK_SEED") or random.randrange(10**6))
        sys.stdout.write(f"\nTXTHOONK_SEED={self.seed} ")
        sys.stdout.flush()
        return super().setUp()

    async def kill(self, **options: Any) -> Report:
        """A run that is small if not told otherwise."""
        options = {"jobs": 20, "kills": 2, "workers": 2, "lease": 0.5, "patience": 30} | options
        options = {"seed": self.seed, "url": self.redis_url} | HASTE | options
        return await Torture(self.thoonk, **options).run()

    def all_well(self, report: Report) -> None:
        """Nothing was lost, done twice or left behind."""
        self.assertEqual(report.problems, {}, "\n".join(report.lines()))

    async def test_matrix(self) -> None:
        """
        Jobs survive workers that die before, in and after each step, and at random.
        """
        report = await self.kill(jobs=1000, kills=30, workers=4, lease=0.8, patience=20)
        self.all_well(report)
        self.assertGreaterEqual(report.kills.total(), 30)
        self.assertGreater(report.killed_claims, 0)

    async def test_stops(self) -> None:
        """
        The same where others are stopped for longer than their claims hold, and go on then.
        """
        points = ("W4", STOPPED, ANYWHERE)
        self.all_well(await self.kill(jobs=150, kills=6, lease=0.4, points=points, passes=3))

    async def test_expiry(self) -> None:
        """
        What a worker had claimed when it died is done by another one: claims expire.
        """
        self.all_well(await self.kill(points=("W3",), passes=1))

    async def test_without_expiry(self) -> None:
        """
        The matrix sees it if they do not.
        """
        report = await self.kill(points=("W3",), passes=1, patience=1.5, off="expiry")
        self.assertTrue(report.problems.get("jobs not finished"), report.lines())

    async def test_handoff(self) -> None:
        """
        An id that was on its way to a worker when that died is found by maintenance.
        """
        report = await self.kill(points=("W1h",), trickle=1.0)
        self.assertGreater(report.kills["W1h"], 0)
        self.all_well(report)

    async def test_without_handoff(self) -> None:
        """
        The matrix sees it if nobody looks for such ids.
        """
        report = await self.kill(points=("W1h",), trickle=1.0, patience=1.5, off="handoff")
        self.assertGreater(report.kills["W1h"], 0)
        self.assertTrue(report.problems.get("jobs not finished"), report.lines())

    async def test_peer(self) -> None:
        """
        A peer that works by BRPOP gets its share of the jobs; each is done once, nothing is left.
        """
        report = await share(self.thoonk, self.redis_url, 1000, 2, self.seed)
        self.all_well(report)
        # One job at a time where ours do four: a fifth would be fair.
        self.assertGreater(report.shares["peer"], 50, report.shares)


class ZombieTests(ThoonkTestCase):
    """Workers that come back from the dead."""

    async def setUp(self) -> None:
        """A feed, and a process that forks workers."""
        await super().setUp()
        self.name = self.feed_name("zombie")
        self.job: Job = await self.thoonk.job(self.name, claim_timeout=LEASE, result_ttl=0)
        self.addCleanup(self.job.delete)
        self.finished = Heard()
        await self.job.subscribe(finish=self.finished)

    async def start_nursery(self, **options: Any) -> None:
        """Let workers be forked, each of which does one job at a time."""
        from twisted.internet import reactor

        options = {"url": self.redis_url, "feed": self.name, "concurrency": 1} | HASTE | options
        self.nursery = Nursery(reactor, **options)
        self.addCleanup(self.nursery.stop)
        await self.nursery.ready

    async def runs(self) -> list[int]:
        """The numbers of the attempts that were begun."""
        records = await self.redis.execute("LRANGE", runs_key(self.name), 0, -1)
        return [int(record.split()[2]) for record in records]

    async def one_result_stands(self, zombie: int) -> None:
        """The late worker is refused while another one is at it, whose result counts."""
        refusal = await self.nursery.when_said(f"log {zombie} info What was done for")
        self.assertIn(LeaseLost.sentence, refusal)
        self.assertEqual(self.finished, [])
        await self.redis.execute("SET", f"torture:{self.name}:go", "1")
        await self.finished.when(1)
        await self.settle()
        self.assertEqual([event.result for event in self.finished], ["second"])
        self.assertEqual(await self.runs(), [1, 2])
        self.assertEqual((await self.job.stats()).finishes, 1)
        self.assertEqual(self.nursery.complaints, [])
        await self.end()

    async def end(self) -> None:
        """Leave nothing behind."""
        await self.nursery.stop()
        await self.redis.execute("DEL", runs_key(self.name), f"torture:{self.name}:go")

    async def test_stopped(self) -> None:
        """
        A worker that was stopped (SIGSTOP) for three leases cannot finish what another one does.
        """
        await self.start_nursery()
        zombie = await self.wake_zombie()
        await self.one_result_stands(zombie)

    async def test_without_fence(self) -> None:
        """
        Without the checks of token and score its finish would count, and the other one's not.
        """
        await self.start_nursery(off="fence")
        await self.wake_zombie()
        await self.finished.when(1)
        self.assertEqual(self.finished[0].result, "first")
        await self.end()

    async def wake_zombie(self) -> int:
        """Let a worker begin with a job, miss three leases, and go on while another one is at it.

        :returns: its process id.
        """
        zombie = await self.nursery.fork()
        await self.job.put("stop")
        await self.nursery.when_said(f"stopped {zombie}")
        await self.nursery.fork()
        await until(self.second_run)
        await self.sleep(3 * LEASE)
        self.nursery.signal(zombie, "CONT")
        return zombie

    async def test_busy(self) -> None:
        """
        Nor can one whose handler has blocked its reactor for three leases.
        """
        await self.start_nursery()
        zombie = await self.nursery.fork()
        await self.job.put("spin")
        await until(self.runs)
        await self.nursery.fork()
        await until(self.second_run)
        await self.one_result_stands(zombie)

    async def second_run(self) -> bool:
        """Whether another worker has begun."""
        return len(await self.runs()) == 2

    async def sleep(self, seconds: float) -> None:
        """What is tested is that this time passes."""
        from twisted.internet import reactor
        from twisted.internet.task import deferLater

        await deferLater(reactor, seconds)


class StaleFinishTests(ThoonkTestCase):
    """A finish that comes when the job is somebody else's."""

    async def is_refused(self, meanwhile: Callable[[Job, Claim], Awaitable[object]]) -> bool:
        """Claim a job, let something happen, and finish: whether that is refused.

        If so, nothing must have been written.
        """
        job = self.thoonk.job(self.feed_name(), result_ttl=0, announce=False)
        self.addCleanup(job.delete)
        id = await job.put("work")
        claim = await job.get()
        await meanwhile(job, claim)
        before = await self.redis.execute("ZSCORE", job.keys.claimed, id)
        self.assertIsNotNone(before)
        try:
            await claim.finish("stale")
        except LeaseLost:
            self.assertEqual(await self.redis.execute("ZSCORE", job.keys.claimed, id), before)
            self.assertEqual(await self.redis.execute("HGET", job.keys.items, id), b"work")
            self.assertEqual((await job.stats()).finishes, 0)
            return True
        return False

    async def peer_takes(self, job: Job, claim: Claim) -> None:
        """A peer cancels our claim, and a peer's worker takes the job; neither knows of leases."""
        keys, run = job.keys, self.redis.execute
        score = int(float(await run("ZSCORE", keys.claimed, claim.id)))
        await run("ZREM", keys.claimed, claim.id)
        await run("HINCRBY", keys.cancelled, claim.id, 1)
        await run("LPUSH", keys.ids, claim.id)
        self.assertEqual(await run("RPOP", keys.ids), claim.id.encode())
        await run("ZADD", keys.claimed, score + 1, claim.id)

    async def ours_takes(self, job: Job, claim: Claim) -> None:
        """Our claim expires, and another of our processes claims with the same score."""
        keys, run = job.keys, self.redis.execute
        score = (await run("ZSCORE", keys.claimed, claim.id)).decode()
        await run("HSET", keys.lease, claim.id, f"{claim.token.decode()} {score} 1")
        other = (await self.start_thoonk()).job(job.name)
        self.assertEqual((await other.maintenance()).expired, 1)
        theirs = await other.get()
        _, _, end = (await run("HGET", keys.lease, claim.id)).decode().split()
        await run("ZADD", keys.claimed, score, claim.id)
        await run("HSET", keys.lease, claim.id, f"{theirs.token.decode()} {score} {end}")

    async def test_score(self) -> None:
        """
        What a peer has taken from us cannot be finished by us; without the check of the claimed
        score it could.
        """
        self.assertTrue(await self.is_refused(self.peer_takes))
        with switched_off("score"):
            self.assertFalse(await self.is_refused(self.peer_takes))
        with switched_off("token"):
            self.assertTrue(await self.is_refused(self.peer_takes))

    async def test_token(self) -> None:
        """
        Nor what another of our processes has claimed in the same millisecond; without the check
        of the token it could.
        """
        self.assertTrue(await self.is_refused(self.ours_takes))
        with switched_off("token"):
            self.assertFalse(await self.is_refused(self.ours_takes))
        with switched_off("score"):
            self.assertTrue(await self.is_refused(self.ours_takes))
