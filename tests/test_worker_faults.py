"""Workers go on when Redis goes away, is full, or loses the feed."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.helpers import Heard, until
from tests.worker_helpers import WorkerTestCase
from txthoonk import Claim, FeedDoesNotExist, Thoonk
from txthoonk.errors import OutOfMemory


class OutageTests(WorkerTestCase):
    """Connections that break."""

    async def test_started_before_redis(self) -> None:
        """A worker that starts before there is a Redis begins as soon as there is one."""
        from twisted.internet import reactor

        proxy = self.fault_proxy()
        await proxy.refuse()
        thoonk = Thoonk(proxy.endpoint, connect_timeout=0.3)
        self.addCleanup(thoonk.stopService)
        self.work(lambda claim: "at last", thoonk=thoonk, max_attempts=7)
        thoonk.startService()
        id = await self.job.put("x")
        await deferLater(reactor, 0.8)  # some attempts
        proxy.listen()
        self.assertEqual(await self.job.get_result(id, 10), ("x", "at last"))
        self.assertEqual((await self.job.get_config())["max_attempts"], "7")

    async def test_started_before_its_instance(self) -> None:
        """The order in which a worker and its instance are started does not matter."""
        thoonk = Thoonk(self.redis_url)
        self.addCleanup(thoonk.stopService)
        self.work(lambda claim: "done", thoonk=thoonk)
        thoonk.startService()
        self.assertEqual(await self.job.call("x", 10), "done")

    async def test_connections_are_cut(self) -> None:
        """Jobs whose worker is cut off from Redis now and then are done, each once.

        Two runs are what a cut in the middle of a claim costs: the claim has to expire.
        """
        runs: Counter[str] = Counter()
        finishes: Counter[str] = Counter()
        await self.job.subscribe(finish=lambda event: finishes.update([event.id]))
        theirs = await self.start_thoonk(client_name=self.name)

        async def handler(claim: Claim) -> None:
            runs[claim.id] += 1
            await deferLater(self.thoonk.get_reactor(), 0.002)

        # Long claims would only make this test long.
        self.work(handler, thoonk=theirs, claim_timeout=1, concurrency=20)
        ids: list[Any] = []
        for number in range(12):
            ids += await self.job.put_many(["x"] * 100)
            await until(partial(self.are_there, finishes, 100 * number + 40))
            await self.cut(self.name)
        await until(lambda: len(finishes) == len(ids))
        self.assertEqual(set(finishes), set(ids))
        self.assertEqual(set(finishes.values()), {1})
        self.assertLessEqual(max(runs.values()), 3)
        self.assertEqual(theirs.claims_of(self.name), {})
        stats = await self.job.stats()
        self.assertEqual((stats.finishes, sum(stats[:5])), (len(ids), 0))
        left = await self.keys_of(self.name)
        counters = {"feed.config", "feed.publishes", "feed.finishes"}
        ours = {f"tx.feed.{key}" for key in ("results", "due")}
        self.assertEqual({key.partition(":")[0] for key in left} - counters - ours, set())

    def are_there(self, some: Counter[str], count: int) -> bool:
        """Whether there are so many."""
        return len(some) >= count

    async def cut(self, name: str) -> None:
        """Have Redis close all connections of that name."""
        clients = (await self.redis.execute("CLIENT", "LIST")).decode().splitlines()
        for client in clients:
            its = dict(part.partition("=")[::2] for part in client.split(" "))
            if its["name"] == name:
                await self.redis.execute("CLIENT", "KILL", "ID", its["id"])

    async def test_cut_while_handlers_run(self) -> None:
        """A cut during a handler costs nothing: its result is told when Redis is back."""
        theirs = await self.start_thoonk(client_name=self.name)
        started, runs = Heard(), Heard()
        hold: Deferred[None] = Deferred()

        async def handler(claim: Claim) -> str:
            started(claim.id)
            await hold
            runs(claim.id)
            return f"{claim.item} done"

        self.work(handler, thoonk=theirs, concurrency=30)
        ids = await self.job.put_many([f"{i}" for i in range(30)])
        await started.when(30)
        await self.cut(self.name)
        hold.callback(None)
        results = await gatherResults([self.job.get_result(id, 10) for id in ids])
        self.assertEqual(results, [(f"{i}", f"{i} done") for i in range(30)])
        self.assertEqual(len(runs), 30)

    async def test_stop_is_heard_after_a_cut(self) -> None:
        """A worker whose connections were cut is still told to stop a job."""
        theirs = await self.start_thoonk(client_name=self.name)
        started, ended = Heard(), Heard()

        async def handler(claim: Claim) -> None:
            started(claim.id)
            try:
                await Deferred()
            finally:
                ended(claim.id)

        self.work(handler, thoonk=theirs)
        id = await self.job.put("x")
        await started.when(1)
        await self.cut(self.name)
        await self.settle(theirs)
        await self.job.cancel_running(id)
        await ended.when(1)

    async def test_stopped_during_a_cut(self) -> None:
        """A job that was stopped while its worker was cut off is noticed at the next extension."""
        proxy, theirs = self.behind_proxy()
        started, ended = Heard(), Heard()

        async def handler(claim: Claim) -> None:
            started(claim.id)
            try:
                await Deferred()
            finally:
                ended(claim.id)

        self.work(handler, thoonk=theirs, claim_timeout=1.5, maintain=False)
        id = await self.job.put("x")
        await started.when(1)
        await proxy.refuse()
        proxy.reset()
        await self.job.cancel_running(id)
        self.assertEqual(ended, [])
        proxy.listen()
        await ended.when(1)
        self.assertEqual(await self.state_of(id), "parked")

    async def test_redis_is_restarted(self) -> None:
        """Redis ends and comes back with its data: all jobs are done, and more to come."""
        server = await self.own_server(appendonly="yes", appendfsync="always")
        theirs = await self.start_thoonk(server.url)
        job = await theirs.job(self.name)
        runs: Counter[str] = Counter()
        held: Deferred[None] = Deferred()
        started = Heard()

        async def handler(claim: Claim) -> str:
            runs[claim.id] += 1
            if claim.item == "held":
                started(claim.id)
                await held
            return "done"

        self.work(handler, thoonk=theirs, claim_timeout=2)
        id = await job.put("held")
        await started.when(1)
        waiting = [job.put(f"{i}") for i in range(5)]
        await gatherResults(waiting)
        await server.kill()
        held.callback(None)
        await server.start()
        self.assertEqual(await job.get_result(id, 10), ("held", "done"))
        self.assertEqual(await job.call("new", 10), "done")
        self.assertEqual(runs[id], 1)
        stats = await job.stats()
        self.assertEqual((stats.finishes, sum(stats[:5])), (7, 0))


class FeedTests(WorkerTestCase):
    """Feeds that go away."""

    async def test_deleted_and_made_again(self) -> None:
        """A worker outlives its feed, and goes on with one of the same name."""
        self.work(lambda claim: "done")
        self.assertEqual(await self.job.call("x"), "done")
        await self.job.delete()
        await self.refused(self.job.put("nowhere"), FeedDoesNotExist, self.name)
        other = await self.start_thoonk()
        again = await other.job(self.name)
        self.assertEqual(await again.call("y", 10), "done")
        # The same while it looked for the feed in vain.
        await again.delete()
        await deferLater(self.thoonk.get_reactor(), 0.7)
        again = await (await self.start_thoonk()).job(self.name)
        self.assertEqual(await again.call("z", 10), "done")

    async def test_deleted_while_a_job_runs(self) -> None:
        """The job's end is refused; the worker's slot is free, and the feed stays deleted."""
        started = Heard()
        hold: Deferred[None] = Deferred()

        async def handler(claim: Claim) -> str:
            started(claim.id)
            if claim.item == "x":
                await hold
            return "done"

        worker = self.work(handler, concurrency=1)
        await self.job.put("x")
        await started.when(1)
        await self.job.delete()
        hold.callback(None)
        await self.settle()
        left = await self.keys_of(self.name)
        self.assertEqual(left, {})
        again = await (await self.start_thoonk()).job(self.name)
        self.assertEqual(await again.call("y", 10), "done")
        await worker.stopService()

    async def test_one_of_several_cannot_be_had(self) -> None:
        """A feed of the wrong type, or one that was deleted, takes no slots from the others."""
        wrong, gone = self.feed_name("wrong"), self.feed_name("gone")
        await self.thoonk.feed(wrong)
        started = Heard()
        hold: Deferred[None] = Deferred()

        async def handler(claim: Claim) -> None:
            started(claim.id)
            await hold

        self.work(handler, {wrong: 6, gone: 3, self.name: 1}, concurrency=10)
        await until(lambda: self.thoonk.feed_exists(gone))
        await self.thoonk.delete_feed(gone)
        await self.job.put_many(["x"] * 10)
        await started.when(10)
        hold.callback(None)

    async def test_started_while_its_instance_is_stopped(self) -> None:
        """A worker that is started before its instance is started again works then."""
        theirs = await self.start_thoonk()
        job = await theirs.job(self.name)
        worker = self.work(lambda claim: "done", thoonk=theirs)
        self.assertEqual(await job.call("x"), "done")
        await theirs.stopService()
        self.assertFalse(worker.running)
        worker.startService()
        await deferLater(theirs.get_reactor(), 0.1)
        theirs.startService()
        self.assertEqual(await self.job.call("y", 10), "done")


class MemoryTests(WorkerTestCase):
    """A Redis that is full."""

    async def test_at_maxmemory(self) -> None:
        """Where nothing can be put any more, workers go on draining, new ones too."""
        server = await self.own_server(maxmemory="3mb", maxmemory_policy="noeviction")
        full = await self.start_thoonk(server.url)
        job = await full.job(self.name, claim_timeout=5, max_attempts=2, backoff=0.01)
        ids: list[Any] = []
        failing = await job.put("fail")
        while True:
            try:
                ids += await job.put_many(["x" * 500] * 50)
            except OutOfMemory:
                break
        # Fill the rest, so that not even a small write fits.
        filled = 0
        try:
            while True:
                await full.redis.execute("SET", f"ballast{filled}", "y" * 100)
                filled += 1
        except OutOfMemory:
            pass
        finishes: Counter[str] = Counter()
        await job.subscribe(finish=lambda event: finishes.update([event.id]))

        async def handler(claim: Claim) -> str:
            if claim.item == "fail":
                raise ValueError("at maxmemory")
            await deferLater(full.get_reactor(), 0.001)
            return "r" * 500

        self.work(handler, thoonk=full, concurrency=50, backoff=0.01)  # options as they are
        await until(lambda: len(finishes) == len(ids))
        self.assertEqual(set(finishes), set(ids))
        await until(lambda: job.get_stalled().addCallback(lambda parked: failing in parked))
