"""Workers and many jobs: so many at a time, from several feeds, by several workers."""

from __future__ import annotations

import threading
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.helpers import Heard, until
from tests.worker_helpers import WorkerTestCase
from txthoonk import Claim, JobFailed


class ManyTests(WorkerTestCase):
    """Several jobs, feeds and workers at a time."""

    async def test_concurrency(self) -> None:
        """No more jobs run at a time than were asked for, and as many if there are enough."""
        running, most, done = set[str](), [0], Heard()

        async def handler(claim: Claim) -> None:
            running.add(claim.id)
            most[0] = max(most[0], len(running))
            await deferLater(self.thoonk.get_reactor(), 0.001 * (len(done) % 5))
            running.discard(claim.id)
            done(claim.id)

        self.work(handler, concurrency=7)
        ids = await self.job.put_many(["x"] * 100)
        ids += await gatherResults([self.job.put("y") for _ in range(100)])
        await done.when(200)
        self.assertEqual(sorted(done), sorted(ids))
        self.assertEqual(most, [7])
        await until(lambda: not self.thoonk.claims_of(self.name))  # nothing is kept of them

    async def test_claims_no_more_than_it_runs(self) -> None:
        """Jobs that this worker has no room for stay available for others."""
        started = Heard()
        hold: Deferred[None] = Deferred()

        async def handler(claim: Claim) -> None:
            started(claim.id)
            await hold

        self.work(handler, concurrency=3)
        await self.job.put_many(["x"] * 10)
        await started.when(3)
        await self.settle()
        stats = await self.job.stats()
        self.assertEqual((stats.claimed, stats.available, stats.handed), (3, 7, 0))
        hold.callback(None)
        await until(lambda: self.job.stats().addCallback(lambda stats: stats.finishes == 10))

    async def test_blocking(self) -> None:
        """Handlers that block run in threads, several at a time, and fail like others."""
        together = threading.Barrier(4, timeout=10)

        def handler(claim: Claim) -> str:
            if claim.item == "bad":
                raise ValueError("in a thread")
            together.wait()
            return threading.current_thread().name

        worker = self.work(handler, blocking=True, concurrency=4, max_attempts=1)
        names = await gatherResults([self.job.call(f"{i}", 20) for i in range(4)])
        self.assertEqual(len(set(names)), 4)
        self.assertNotIn(threading.current_thread().name, names)
        id = await self.job.put("bad")
        failure = await self.refused(self.job.get_result(id), JobFailed, self.name)
        self.assertEqual(failure.attempts[0].error, "ValueError: in a thread")
        await worker.stopService()
        self.assertEqual([t for t in threading.enumerate() if t.name in names], [])
        worker.startService()
        again = await gatherResults([self.job.call(f"{i}", 5) for i in range(4)])
        self.assertEqual(len(set(again)), 4)

    async def test_weights(self) -> None:
        """Where each of three feeds has more than can be done, they get their shares."""
        names = {self.feed_name(f"w{weight}"): weight for weight in (3, 2, 1)}
        jobs = {name: await self.thoonk.job(name) for name in names}
        for job in jobs.values():
            await job.put_many(["x"] * 1500)
        done: dict[str, int] = dict.fromkeys(names, 0)
        enough: Deferred[None] = Deferred()

        async def handler(claim: Claim) -> None:
            await deferLater(self.thoonk.get_reactor(), 0.01)
            done[claim.job.name] += 1
            if sum(done.values()) == 1200:
                enough.callback(None)

        worker = self.work(handler, names, concurrency=30)
        await enough
        share = {names[name]: count / 1200 * 6 for name, count in done.items()}
        await worker.stopService()
        for weight, got in share.items():
            self.assertLess(abs(got / weight - 1), 0.05, share)

    async def test_weights_leave_no_slot_idle(self) -> None:
        """What one feed does not use the other ones may."""
        names = {self.feed_name("idle"): 9, self.name: 1}
        together, most = Heard(), [0]
        hold: Deferred[None] = Deferred()

        async def handler(claim: Claim) -> None:
            together(claim.id)
            await hold

        self.work(handler, names, concurrency=10)
        await self.job.put_many(["x"] * 20)
        await together.when(10)
        hold.callback(None)
        await together.when(20)
        self.assertEqual(most, [0])

    async def test_fewer_slots_than_feeds(self) -> None:
        """With one slot for three feeds each one is served, one job at a time."""
        names = {self.feed_name(f"f{i}"): 1 for i in range(3)}
        running, done = set[str](), Heard()

        async def handler(claim: Claim) -> None:
            self.assertEqual(running, set())
            running.add(claim.id)
            await deferLater(self.thoonk.get_reactor(), 0.002)
            running.remove(claim.id)
            done(claim.job.name)

        for name in names:
            await self.thoonk.job(name).put_many(["x"] * 20)
        self.work(handler, names, concurrency=1)
        await done.when(60)
        self.assertEqual({name: done.count(name) for name in names}, dict.fromkeys(names, 20))

    async def test_two_workers_on_one_feed(self) -> None:
        """Two workers of one process share a feed; when one stops the other one has it all."""
        first, second = Heard(), Heard()

        def counting(heard: Heard) -> Any:
            async def handler(claim: Claim) -> None:
                await deferLater(self.thoonk.get_reactor(), 0.002)
                heard(claim.id)

            return handler

        one = self.work(counting(first), concurrency=2, grace=5)
        self.work(counting(second), concurrency=2)
        ids = await self.job.put_many(["x"] * 60)
        await first.when(5)
        await second.when(5)
        await one.stopService()
        stopped_at = len(first)
        await until(lambda: len(first) + len(second) >= 60)
        self.assertEqual(len(first), stopped_at)
        self.assertEqual(sorted([*first, *second]), sorted(ids))
        await self.job.put_many(["y"] * 10)
        await until(lambda: len(first) + len(second) == 70)
        self.assertEqual(len(first), stopped_at)

    async def test_many_workers_in_one_instance(self) -> None:
        """Workers of many feeds in one instance do not mix their jobs up."""
        names = [self.feed_name(f"m{i}") for i in range(20)]
        for name in names:
            self.work(lambda claim, name=name: f"{name} {claim.item}", name, maintain=False)
        calls = [self.thoonk.job(name).call(f"{i}") for i in range(5) for name in names]
        results = await gatherResults(calls)
        self.assertEqual(results, [f"{name} {i}" for i in range(5) for name in names])

    async def test_decorator(self) -> None:
        """A decorated function is a worker that starts and stops with its instance."""
        late = self.feed_name("late")

        @self.thoonk.worker(late, concurrency=2)
        def second(claim: Claim) -> str:
            return f"second {claim.item}"

        self.assertEqual(await self.thoonk.job(late).call("x"), "second x")
        self.assertEqual(second(Claim("id", "direct", 0)), "second direct")
        await self.thoonk.stopService()
        putter = await self.start_thoonk()
        waiting = await putter.job(late).put("y")
        self.assertEqual((await putter.job(late).stats()).claimed, 0)
        self.thoonk.startService()
        self.assertEqual(await putter.job(late).get_result(waiting, 10), ("y", "second y"))

    async def test_started_again(self) -> None:
        """A worker that was stopped goes on when it is started again."""
        worker = self.work(lambda claim: "done")
        self.assertEqual(await self.job.call("x"), "done")
        for _ in range(3):
            await worker.stopService()
            id = await self.job.put("y")
            await self.settle()
            self.assertEqual(await self.state_of(id), "available")
            worker.startService()
            self.assertEqual(await self.job.get_result(id, 5), ("y", "done"))

    async def test_started_twice(self) -> None:
        """Starting a worker that runs changes nothing."""
        runs = Heard()
        worker = self.work(lambda claim: runs(claim.id))
        worker.startService()
        await self.job.call("x")
        self.assertEqual(len(runs), 1)
