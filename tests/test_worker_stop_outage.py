"""Workers that stop while Redis is away, and together with their instance."""

from __future__ import annotations

import gc
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.helpers import Heard, until
from tests.proxy import FaultProxy
from tests.worker_helpers import WorkerTestCase
from txthoonk import Claim, JobWorker, Thoonk


class OutageTests(WorkerTestCase):
    """Workers that stop while there is no Redis, or before there was one."""

    async def stopped_in_time(self, worker: JobWorker, seconds: float) -> None:
        """Stop a worker; it takes at most so long."""
        await worker.stopService().addTimeout(seconds, self.thoonk.get_reactor())

    def away(self) -> tuple[FaultProxy, Thoonk]:
        """An instance whose Redis can be taken away."""
        return self.behind_proxy(connect_timeout=1)

    async def test_while_starting(self) -> None:
        """Stopped before it has a connection, with one feed or several: at once, and in silence."""
        proxy, thoonk = self.away()
        await proxy.refuse()
        proxy.reset()
        for names in (self.name, {self.name: 1, self.feed_name(): 2, self.feed_name(): 3}):
            worker = self.work(lambda claim: None, names, thoonk=thoonk)
            await deferLater(thoonk.get_reactor(), 0.05)
            await self.stopped_in_time(worker, 0.5)
        gc.collect()  # what nobody cared for is logged when it is collected
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_at_once(self) -> None:
        """Stopped in the turn in which it was started."""
        worker = self.work(lambda claim: None, {self.name: 1, self.feed_name(): 2})
        await self.stopped_in_time(worker, 0.5)
        id = await self.job.put("x")
        await self.settle()
        self.assertEqual(await self.state_of(id), "available")

    async def test_while_redis_is_away(self) -> None:
        """Jobs that ran then are not waited for longer than a connection; none is lost."""
        for how in ("refused", "silent"):
            proxy, thoonk = self.away()
            started = Heard()
            finish: Deferred[None] = Deferred()

            async def handler(
                claim: Claim, started: Heard = started, finish: Deferred[None] = finish
            ) -> str:
                started(claim.id)
                if claim.item == "ends":
                    await finish
                    return "in vain"
                return str(await Deferred())

            worker = self.work(handler, thoonk=thoonk, claim_timeout=0.5, grace=0.1)
            ids = [await self.job.put(item) for item in ("ends", "runs")]
            await started.when(2)
            if how == "refused":
                await proxy.refuse()
                proxy.reset()
            else:
                proxy.stall()
            finish.callback(None)
            # grace, the second that cancelled handlers get, connect_timeout
            await self.stopped_in_time(worker, 0.1 + 1 + 1 + 0.5)
            await thoonk.stopService().addTimeout(3, self.thoonk.get_reactor())
            await until(lambda: self.job.maintenance().addCallback(lambda done: done.expired))
            other = self.work(lambda claim: "then")
            for id in ids:
                self.assertEqual((await self.job.get_result(id, 10))[1], "then", how)
            await other.stopService()

    async def test_application_while_redis_is_away(self) -> None:
        """The same for a whole application."""
        proxy, thoonk = self.away()
        started = Heard()

        async def handler(claim: Claim) -> None:
            started(claim.id)
            await Deferred()

        self.work(handler, thoonk=thoonk, claim_timeout=30, grace=0.1)
        id = await self.job.put("x")
        await started.when(1)
        proxy.stall()
        await thoonk.stopService().addTimeout(5, self.thoonk.get_reactor())
        self.assertEqual(await self.state_of(id), "claimed")  # until its claim expires


class ApplicationTests(WorkerTestCase):
    """A worker and its instance under one application."""

    async def test_order(self) -> None:
        """Whichever was added first, the worker stops first, with its jobs finished."""
        for worker_first in (True, False):
            application: Any = MultiService()
            thoonk = Thoonk(self.redis_url)
            started = Heard()
            hold: Deferred[None] = Deferred()

            async def handler(
                claim: Claim, started: Heard = started, hold: Deferred[None] = hold
            ) -> str:
                started(claim.id)
                await hold
                return "done"

            worker = JobWorker(thoonk, self.name, handler, grace=30)
            for service in (worker, thoonk) if worker_first else (thoonk, worker):
                service.setServiceParent(application)
            application.startService()
            self.addCleanup(application.stopService)
            id = await self.job.put("x")
            await started.when(1)
            stopping = application.stopService()
            other = await self.job.put("y")
            await deferLater(self.thoonk.get_reactor(), 0.1)
            self.assertFalse(stopping.called)
            hold.callback(None)
            await stopping
            self.assertEqual(await self.state_of(id), "finished")
            self.assertEqual(await self.state_of(other), "available")
            self.assertTrue(await self.job.retract(other))

    async def test_of_many(self) -> None:
        """Workers of several feeds, one of which is the instance's own, stop with it."""
        thoonk = Thoonk(self.redis_url)
        self.addCleanup(thoonk.stopService)
        names = [self.feed_name(f"{i}") for i in range(4)]
        started = Heard()

        async def handler(claim: Claim) -> None:
            started(claim.id)
            await Deferred()

        thoonk.worker(names[0], grace=0)(handler)
        for name in names[1:]:
            JobWorker(thoonk, name, handler, grace=0).startService()
        thoonk.startService()
        ids = [await self.thoonk.job(name).put("x") for name in names]
        await started.when(4)
        await thoonk.stopService()
        for name, id in zip(names, ids, strict=True):
            job = self.thoonk.job(name)
            self.assertEqual(await self.state_of(id, job), "available")

    async def test_embedded(self) -> None:
        """A server of our own ends behind its workers, whose jobs are finished by then."""
        thoonk = Thoonk("embedded:")
        self.addCleanup(thoonk.stopService)
        started, finished = Heard(), Heard()

        @thoonk.worker(self.name, grace=30)
        async def handler(claim: Claim) -> None:
            started(claim.id)
            await deferLater(self.thoonk.get_reactor(), 0.2)
            await claim.finish("done")
            finished(claim.id)

        thoonk.startService()
        id = await thoonk.job(self.name).put("x")
        await started.when(1)
        await thoonk.stopService()
        self.assertEqual(finished, [id])

    async def test_embedded_at_once(self) -> None:
        """It may be stopped, and started again, before its server has begun."""
        thoonk = Thoonk("embedded:")
        self.addCleanup(thoonk.stopService)
        thoonk.worker(self.name, grace=30)(lambda claim: "done")
        for _ in range(2):
            thoonk.startService()
            await thoonk.stopService().addTimeout(5, self.thoonk.get_reactor())
        thoonk.startService()
        stopping = thoonk.stopService()
        thoonk.startService()
        await stopping
        self.assertEqual(await thoonk.job(self.name).call("x", 10), "done")

    async def test_instance_started_again_in_the_grace(self) -> None:
        """An instance that is started while its workers stop goes on, and stops cleanly later."""
        thoonk = Thoonk(self.redis_url, client_name=self.name)
        self.addCleanup(thoonk.stopService)
        started = Heard()
        hold: Deferred[None] = Deferred()

        async def handler(claim: Claim) -> str:
            started(claim.id)
            await hold
            return "done"

        thoonk.worker(self.name, grace=30)(handler)
        thoonk.startService()
        id = await self.job.put("x")
        await started.when(1)
        stopping = thoonk.stopService()
        thoonk.startService()
        hold.callback(None)
        await stopping
        self.assertEqual(await self.job.get_result(id, 5), ("x", "done"))
        self.assertEqual(await self.job.call("y", 5), "done")
        await thoonk.stopService()
        named = f"name={self.name} "
        await until(
            lambda: self.redis.execute("CLIENT", "LIST").addCallback(
                lambda clients: named not in clients.decode()
            )
        )
