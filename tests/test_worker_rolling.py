"""Processes that are replaced while they work: by order, or because a job kills them."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from tests.helpers import Heard, until
from tests.stop_worker import CONCURRENCY
from tests.worker_helpers import WorkerTestCase
from txthoonk.events import JobFinished

__all__ = ["Process", "ProcessTestCase"]

#: The whole proof takes a minute; by default a short one runs.
TORTURE = bool(os.environ.get("TXTHOONK_TORTURE"))
PROCESSES = 8 if TORTURE else 4
SECONDS = 60 if TORTURE else 5

_CHECKOUT = str(Path(__file__).parent.parent)


class Process(ProcessProtocol):
    """A process with a worker.

    :ivar ready: fires when its worker takes jobs.
    :ivar ended: fires with its status, or minus the signal that ended it.
    """

    transport: IProcessTransport

    def __init__(self, url: str, feed: str, grace: float) -> None:
        from twisted.internet import reactor

        self.ready: Deferred[None] = Deferred()
        self.ended: Deferred[int] = Deferred()
        self.complaint = b""
        self.is_ready = self.has_ended = False
        reactor.spawnProcess(
            self,
            sys.executable,
            [sys.executable, "-m", "tests.stop_worker", url, feed, str(grace)],
            env={**os.environ, "PYTHONPATH": _CHECKOUT},
        )
        self.pid: int = self.transport.pid

    def outReceived(self, data: bytes) -> None:
        """It says that it is ready."""
        if not self.is_ready:
            self.is_ready = True
            self.ready.callback(None)

    def errReceived(self, data: bytes) -> None:
        """It complains."""
        self.complaint += data

    def processEnded(self, reason: Failure) -> None:
        """It has ended."""
        how: Any = reason.value
        self.has_ended = True
        if not self.is_ready:
            self.is_ready = True
            self.ready.errback(AssertionError(f"{how}: {self.complaint.decode()}"))
        self.ended.callback(-how.signal if how.signal else how.exitCode)

    def signal(self, name: str) -> None:
        """Send it a signal, if it is there."""
        with contextlib.suppress(ProcessExitedAlready):
            self.transport.signalProcess(name)


class ProcessTestCase(WorkerTestCase):
    """A test case with worker processes, of which none outlives it."""

    async def setUp(self) -> None:
        """No processes yet."""
        await super().setUp()
        self.processes: list[Process] = []
        self.addCleanup(self.kill_all)

    async def kill_all(self) -> None:
        """End what is left."""
        for process in self.processes:
            process.signal("KILL")
        await gatherResults([process.ended for process in self.processes if not process.has_ended])

    async def start(self, grace: float = 10) -> Process:
        """A process, once its worker takes jobs."""
        process = Process(self.redis_url, self.name, grace)
        self.processes.append(process)
        await process.ready
        return process

    def tell(self, text: str) -> None:
        """Say something that helps whoever sees this fail."""
        sys.stdout.write(f"\n{text} ")
        sys.stdout.flush()


class RollingTests(ProcessTestCase):
    """All processes are replaced, one after the other, under load."""

    timeout = 300

    async def setUp(self) -> None:
        """What is claimed and finished is noted, as Redis tells it."""
        await super().setUp()
        self.finished: Counter[str] = Counter()
        self.shares: Counter[str] = Counter()
        self.claims: list[tuple[float, str]] = []
        self.ends = Heard()
        await self.job.subscribe(
            finish=self.job_finished, cancel=self.ends, expire=self.ends, stall=self.ends
        )
        self.ids: list[str] = []

    def job_finished(self, event: JobFinished) -> None:
        """A job is done; its result says by whom."""
        self.finished[event.id] += 1
        self.shares[event.result.split(":")[1]] += 1

    async def load(self) -> None:
        """Keep more jobs there than are done."""
        while self.loading:
            stats = await self.job.stats()
            if stats.available < 200:
                self.ids += await self.job.put_many(f"{1 + i % 20}" for i in range(100))
            await deferLater(self.thoonk.get_reactor(), 0.01)

    async def watch_claims(self) -> None:
        """Note which process has claimed what and when, by what Redis holds of each claim."""
        while self.loading:
            for lease in await self.redis.execute("HVALS", self.job.keys.lease):
                token, score, _ = lease.decode().split(" ")
                self.claims.append((float(score), token.split(":")[1]))
            await deferLater(self.thoonk.get_reactor(), 0.002)

    async def now(self) -> int:
        """Redis's clock, milliseconds."""
        seconds, more = await self.redis.execute("TIME")
        return int(seconds) * 1000 + int(more) // 1000

    async def replace(self, old: Process, pause: float) -> tuple[str, int]:
        """Start another process, then tell an old one to stop; the old one, and when."""
        await self.start()
        told = await self.now()
        old.signal("TERM")
        self.assertEqual(await old.ended, 0, old.complaint)
        self.assertEqual(old.complaint, b"")
        await deferLater(self.thoonk.get_reactor(), pause)
        return str(old.pid), told

    async def test_rolling_restart(self) -> None:
        """Each process is told to stop in turn: no job lost, no attempt spent, none claimed late.

        Nothing else makes up for a loss here: no claim expires before this is over.
        """
        await self.job.set_config(claim_timeout=600)
        first = await gatherResults(
            [Deferred.fromCoroutine(self.start()) for _ in range(PROCESSES)]
        )
        self.loading = True
        tasks = [Deferred.fromCoroutine(task) for task in (self.load(), self.watch_claims())]
        stopped = dict([await self.replace(p, SECONDS / PROCESSES) for p in first])
        self.loading = False
        await gatherResults(tasks)
        await until(lambda: len(self.finished) >= len(self.ids))

        self.assertEqual(self.finished.keys(), set(self.ids))
        self.assertEqual(set(self.finished.values()), {1})
        self.assertEqual(self.ends, [])
        stats = await self.job.stats()
        self.assertEqual((stats.finishes, sum(stats[:5])), (len(self.ids), 0))
        late = max(
            (claimed - stopped[who] for claimed, who in self.claims if who in stopped),
            default=None,
        )
        self.assertIsNotNone(late)
        assert late is not None
        self.assertLessEqual(late, 50)
        for who in stopped:
            self.assertGreater(self.shares[who], 0)
        self.tell(f"{len(self.ids)} jobs by {len(self.shares)} processes, last claim {late:.0f} ms")

    async def test_short_grace(self) -> None:
        """A process whose jobs take longer than its grace gives them back, and ends in time."""
        process = await self.start(grace=0.2)
        ids = await self.job.put_many(["60000"] * (CONCURRENCY + 3))
        await until(
            lambda: self.job.stats().addCallback(lambda stats: stats.claimed == CONCURRENCY)
        )
        process.signal("TERM")
        ended = process.ended.addTimeout(3, self.thoonk.get_reactor())
        self.assertEqual(await ended, 0, process.complaint)
        self.assertEqual([await self.state_of(id) for id in ids], ["available"] * len(ids))
        self.assertEqual([await self.job.get_failure_count(id) for id in ids], [0] * len(ids))
