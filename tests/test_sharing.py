"""Many processes share one feed of jobs, among them one that knows nothing of txThoonk."""

from __future__ import annotations

import contextlib
import os
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from tests.helpers import ThoonkTestCase, until
from tests.share_worker import CONCURRENCY
from txthoonk import Job
from txthoonk.events import JobFinished

#: The whole proof takes a minute; by default a short one runs.
TORTURE = bool(os.environ.get("TXTHOONK_TORTURE"))
JOBS = 20_000 if TORTURE else 4_000
PROCESSES = 8
#: How often some processes are killed, each time one or two of ours or the peer.
KILLS = 100 if TORTURE else 16

_CHECKOUT = str(Path(__file__).parent.parent)


class Worker(ProcessProtocol):
    """A process that works until it is killed.

    :ivar ready: fires when it is connected; fails if it ended before.
    :ivar ended: fires with how it ended: by which signal, or with which status.
    """

    transport: IProcessTransport

    def __init__(self, who: str, url: str, feed: str) -> None:
        from twisted.internet import reactor

        self.who = who
        self.ready: Deferred[None] = Deferred()
        self.ended: Deferred[int] = Deferred()
        self._told = b""
        self._complaint = b""
        reactor.spawnProcess(  # type: ignore[attr-defined]  # the module is the reactor
            self,
            sys.executable,
            [sys.executable, "-m", "tests.share_worker", who, url, feed],
            env={**os.environ, "PYTHONPATH": _CHECKOUT},
        )

    def outReceived(self, data: bytes) -> None:
        """It says that it is ready."""
        self._told += data
        if self._told == b"ready\n" and not self.ready.called:
            self.ready.callback(None)

    def errReceived(self, data: bytes) -> None:
        """It complains."""
        self._complaint += data

    def processEnded(self, reason: Failure) -> None:
        """It was killed, or failed."""
        error: Any = reason.value
        if self._complaint or reason.check(ProcessDone):
            error = AssertionError(f"{self.who} ended by itself: {self._complaint.decode()}")
            self.ended.errback(error)
        else:
            self.ended.callback(error.signal)
        if not self.ready.called:
            self.ready.errback(error)

    def kill(self) -> Deferred[int]:
        """End it without giving it time for anything."""
        with contextlib.suppress(ProcessExitedAlready):
            self.transport.signalProcess("KILL")
        return self.ended


class SharingTests(ThoonkTestCase):
    """No job is lost or done twice, whoever dies when."""

    timeout = 600 if TORTURE else 240

    async def setUp(self) -> None:
        """A feed, and whoever works on it."""
        await super().setUp()
        seed = int(os.environ.get("TXTHOONK_SEED") or random.randrange(10**6))
        self.tell(f"TXTHOONK_SEED={seed}")
        self.random = random.Random(seed)
        self.name = self.feed_name("shared")
        self.jobs: Job = await self.thoonk.job(self.name)
        self.finished: Counter[str] = Counter()
        self.shares: Counter[str] = Counter()
        self.recovered: Counter[str] = Counter()
        self.addCleanup(self.jobs.delete)
        await self.jobs.subscribe(finish=self.job_finished)
        self.workers: list[Worker] = []
        self.addCleanup(self.kill_all)
        self.ids: list[str] = []

    def tell(self, text: str) -> None:
        """Say something that helps whoever sees this fail."""
        sys.stdout.write(f"\n{text} ")
        sys.stdout.flush()

    def job_finished(self, event: JobFinished) -> None:
        """A job was finished."""
        self.finished[event.id] += 1
        self.shares[event.result] += 1

    async def start(self, who: str) -> None:
        """Start a process, and wait until it works."""
        worker = Worker(who, self.redis_url, self.name)
        self.workers.append(worker)
        await worker.ready

    def kill_all(self) -> Deferred[list[int]]:
        """Kill every process."""
        workers, self.workers = self.workers, []
        return gatherResults([worker.kill() for worker in workers])

    async def replace_some(self) -> None:
        """Kill one or two of ours, or the peer, and start others in their place."""
        from twisted.internet import reactor

        await deferLater(reactor, self.random.uniform(0, 0.05))
        victims = self.random.sample(self.workers, self.random.choice((1, 1, 2)))
        for victim in victims:
            self.workers.remove(victim)
        killed = [victim.kill() for victim in victims]
        self.assertEqual(await gatherResults(killed), [9] * len(victims))
        await gatherResults([Deferred.fromCoroutine(self.start(v.who)) for v in victims])

    async def put(self, count: int) -> None:
        """Put jobs in bursts; between two of them everybody comes to wait for the next one."""
        while count:
            burst = min(count, self.random.randint(1, 60))
            count -= burst
            self.ids += await gatherResults([self.jobs.put("x") for _ in range(burst)])
            await until(lambda: self.jobs.length().addCallback(lambda length: not length))

    async def maintain(self) -> bool:
        """One pass of maintenance, much hastier than usual.

        :returns: whether nothing was left to do, for maintenance and for workers.
        """
        done = await self.jobs.maintenance(handoff_grace=0.5, lost_grace=0.1)
        self.recovered.update(done._asdict())
        stats = await self.jobs.stats()
        return not any((*done, stats.available, stats.handed))

    async def states(self) -> dict[str, list[str]]:
        """The ids in each state, and those that have an item."""
        keys = self.jobs.keys
        reads = {
            "available": ("LRANGE", keys.ids, 0, -1),
            "handed": ("LRANGE", keys.handoff, 0, -1),
            "claimed": ("ZRANGE", keys.claimed, 0, -1),
            "stalled": ("SMEMBERS", keys.stalled),
            "items": ("HKEYS", keys.items),
        }
        found = {state: await self.redis.execute(*read) for state, read in reads.items()}
        return {state: [id.decode() for id in ids] for state, ids in found.items()}

    async def test_jobs_survive_the_processes_that_share_them(self) -> None:
        """Workers that die at random lose no job, do none twice, and starve nobody.

        What a process had claimed when it died stays claimed.
        """
        await gatherResults(
            [Deferred.fromCoroutine(self.start(who)) for who in (*["ours"] * PROCESSES, "peer")]
        )
        for number in range(KILLS):
            tasks = [self.put(JOBS // KILLS), self.replace_some()]
            if number % 4 == 3:
                tasks.append(self.maintain())
            await gatherResults([Deferred.fromCoroutine(task) for task in tasks])
        await until(self.maintain)
        await self.kill_all()
        await self.settle()

        states = await self.states()
        items = set(states.pop("items"))
        places = Counter(id for ids in (self.finished, *states.values()) for id in ids)
        self.assertEqual(len(set(self.ids)), KILLS * (JOBS // KILLS))
        self.assertEqual({id: places[id] for id in self.ids if places[id] != 1}, {})
        self.assertEqual(places.keys() - set(self.ids), set())
        self.assertEqual(items, set(self.ids) - self.finished.keys())
        # Everything is finished but what died with its worker.
        self.assertEqual(items, set(states["claimed"]))
        self.assertLessEqual(len(items), (2 * KILLS + PROCESSES + 1) * CONCURRENCY)

        self.assertEqual(set(self.finished.values()), {1})
        stats = await self.jobs.stats()
        self.assertEqual((stats.puts, stats.finishes), (len(self.ids), len(self.finished)))
        for who in ("ours", "peer"):
            self.assertGreater(self.shares[who], 0.02 * len(self.ids), self.shares)
        self.tell(f"{dict(self.shares)}, {len(items)} claimed by the dead, {dict(self.recovered)}")
