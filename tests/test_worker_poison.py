"""A job that kills the process that runs it."""

from __future__ import annotations

from collections import Counter
from signal import SIGTERM

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.test_worker_rolling import TORTURE, Process, ProcessTestCase
from txthoonk import JobFailed

OTHERS = 10_000 if TORTURE else 500
PROCESSES = 3
ATTEMPTS = 3


class PoisonTests(ProcessTestCase):
    """Processes die of a job, and are started again."""

    timeout = 600 if TORTURE else 240

    async def keep_up(self) -> None:
        """As a supervisor does: start another process for each one that ends."""
        while self.going:
            process = Process(self.redis_url, self.name, 10)
            process.ready.addErrback(lambda _: None)  # it may die before it says so
            self.processes.append(process)
            self.deaths[await process.ended] += 1

    async def test_poison(self) -> None:
        """It is parked after max_attempts, with who died of it; the other jobs are all done."""
        self.going = True
        self.deaths: Counter[int] = Counter()
        finished: Counter[str] = Counter()
        await self.job.subscribe(finish=lambda event: finished.update([event.id]))
        await self.job.set_config(claim_timeout=1, max_attempts=ATTEMPTS)
        half = OTHERS // 2
        ids = await self.job.put_many(["1"] * half)
        poison = await self.job.put("die")
        ids += await self.job.put_many(["1"] * (OTHERS - half))
        keeping = [Deferred.fromCoroutine(self.keep_up()) for _ in range(PROCESSES)]
        failure = await self.refused(self.job.get_result(poison, 60), JobFailed, self.name, poison)
        while len(finished) < OTHERS:
            parked = await self.job.get_stalled()
            self.assertEqual(parked, {poison})
            self.assertFalse(any(each.called for each in keeping), "no process is left")
            await deferLater(self.thoonk.get_reactor(), 0.05)
        self.going = False
        for process in self.processes:
            process.signal("TERM")
        await gatherResults(keeping)

        self.assertEqual(await self.state_of(poison), "parked")
        self.assertEqual(await self.job.get_stalled(), {poison})
        self.assertEqual(self.deaths[9], ATTEMPTS)
        self.assertLessEqual(self.deaths.keys(), {0, 9, -SIGTERM})  # one was just starting
        dead = {str(p.pid) for p in self.processes}
        self.assertEqual(len(failure.attempts), ATTEMPTS)
        for attempt in failure.attempts:
            self.assertRegex(attempt.error, r"^not finished in time by [^ ]+:\d+$")
            self.assertIn(attempt.error.rpartition(":")[2], dead)
        self.assertEqual(len({attempt.error for attempt in failure.attempts}), ATTEMPTS)
        # What died beside it was done by others, each once as far as anybody can see.
        self.assertEqual(finished.keys(), set(ids))
        self.assertEqual(set(finished.values()), {1})
        self.tell(f"{OTHERS} others, {len(self.processes)} processes")
