"""Workers that stop: nothing is claimed any more, and no job that runs is lost."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.helpers import Heard
from tests.worker_helpers import WorkerTestCase
from txthoonk import Claim, JobWorker


class StopTests(WorkerTestCase):
    """One worker, stopped on its own."""

    async def setUp(self) -> None:
        """A handler that waits until it is told to go on."""
        await super().setUp()
        self.started, self.ended = Heard(), Heard()
        self.hold: Deferred[None] = Deferred()

    async def handler(self, claim: Claim) -> str:
        """Wait."""
        self.started(claim.id)
        waiting: Deferred[None] = Deferred()
        self.hold.addCallback(lambda _: None if waiting.called else waiting.callback(None))
        try:
            await waiting
        except CancelledError:
            self.ended("cancelled")
            raise
        self.ended("done")
        return "done"

    async def test_grace(self) -> None:
        """Jobs that run get their time; others are not claimed meanwhile."""
        worker = self.work(self.handler, grace=30, concurrency=1)
        id = await self.job.put("x")
        await self.started.when(1)
        other = await self.job.put("y")
        claims = Heard()
        await self.job.subscribe(claim=claims)
        stopping = worker.stopService()
        another = await self.job.put("z")
        await deferLater(self.thoonk.get_reactor(), 0.2)
        self.assertFalse(stopping.called)
        self.hold.callback(None)
        await stopping
        self.assertEqual(await self.state_of(id), "finished")
        await self.settle()
        self.assertEqual(claims, [])
        for waiting in (other, another):
            self.assertEqual(await self.state_of(waiting), "available")

    async def test_confirmed(self) -> None:
        """When it has stopped, Redis knows what became of each job."""
        proxy, theirs = self.behind_proxy()
        worker = self.work(self.handler, thoonk=theirs, grace=30, concurrency=10)
        ids = await self.job.put_many(["x"] * 10)
        await self.started.when(10)
        proxy.latency = 0.15
        stopping = worker.stopService()
        self.hold.callback(None)
        await stopping
        self.assertEqual([await self.state_of(id) for id in ids], ["finished"] * 10)

    async def test_after_the_grace(self) -> None:
        """What still runs then is cancelled and given back: no attempt is spent."""
        worker = self.work(self.handler, grace=0.1, concurrency=3)
        ids = await self.job.put_many(["x"] * 5)
        await self.started.when(3)
        news = await self.watch(self.name)
        await worker.stopService()
        self.assertEqual(self.ended, ["cancelled"] * 3)
        self.assertEqual([await self.state_of(id) for id in ids], ["available"] * 5)
        self.assertEqual([await self.job.get_failure_count(id) for id in ids], [0] * 5)
        self.assertEqual([await self.job.get_attempts(id) for id in ids], [[]] * 5)
        channels = [channel for channel, _ in await news()]
        self.assertEqual(channels.count("tx.feed.release"), 3)
        for other in ("tx.feed.cancel", "tx.feed.delay", "feed.claimed"):
            self.assertNotIn(other, channels)
        # They are the next ones, in their order.
        self.work(lambda claim: self.ended(claim.id), concurrency=1)
        await self.ended.when(8)
        self.assertEqual(sorted(self.ended[3:6]), sorted(ids[:3]))
        self.assertEqual(self.ended[6:], ids[3:])

    async def test_a_result_at_the_last_moment(self) -> None:
        """A handler that is cancelled may still come to its end."""

        async def handler(claim: Claim) -> str:
            self.started(claim.id)
            try:
                await Deferred()
            except CancelledError:
                await deferLater(self.thoonk.get_reactor(), 0.05)
            return "just so"

        worker = self.work(handler)
        id = await self.job.put("x")
        await self.started.when(1)
        await worker.stopService()
        self.assertEqual(await self.job.get_result(id), ("x", "just so"))

    async def test_a_handler_that_goes_on(self) -> None:
        """A handler that will not be cancelled is left alone; its job is given back."""
        hold: Deferred[None] = Deferred()

        async def deaf(claim: Claim) -> str:
            self.started(claim.id)
            try:
                await Deferred()
            except CancelledError:
                await hold
            return "too late"

        worker = self.work(deaf)
        id = await self.job.put("x")
        await self.started.when(1)
        stopping = worker.stopService().addTimeout(2.5, self.thoonk.get_reactor())
        await stopping
        self.assertEqual(await self.state_of(id), "available")
        hold.callback(None)
        await self.settle()
        self.assertEqual(await self.state_of(id), "available")

    async def test_a_handler_that_goes_on_after_its_end(self) -> None:
        """The same where it had finished its job itself: the worker does not wait for ever."""
        hold: Deferred[None] = Deferred()

        async def deaf(claim: Claim) -> None:
            await claim.finish("mine")
            self.started(claim.id)
            try:
                await Deferred()
            except CancelledError:
                await hold

        worker = self.work(deaf)
        id = await self.job.put("x")
        await self.started.when(1)
        await worker.stopService().addTimeout(2.5, self.thoonk.get_reactor())
        self.assertEqual(await self.job.get_result(id), ("x", "mine"))
        hold.callback(None)

    async def test_a_take_on_its_way(self) -> None:
        """Jobs that were on their way to a worker as it stopped are given back, or not claimed."""
        proxy, theirs = self.behind_proxy()
        runs = Heard()
        worker = self.work(lambda claim: runs(claim.id), thoonk=theirs)
        await self.job.call("warm")
        claims = Heard()
        await self.job.subscribe(claim=claims)
        proxy.latency = 0.1
        ids = await self.job.put_many(["x"] * 50)
        await claims.when(1)  # Redis has claimed; the answer is on its way
        await worker.stopService()
        await theirs.stopService()
        done = len(runs) - 1
        states = [await self.state_of(id) for id in ids]
        self.assertEqual(states.count("available") + states.count("finished"), 50, states)
        self.assertEqual(states.count("finished"), done)
        self.assertEqual([await self.job.get_failure_count(id) for id in ids], [0] * 50)

    async def test_a_take_on_its_way_alone(self) -> None:
        """The same for a worker whose instance goes on: once it has stopped nothing is claimed."""
        proxy, theirs = self.behind_proxy()
        runs, claims = Heard(), Heard()
        worker = self.work(lambda claim: runs(claim.id), thoonk=theirs)
        await self.job.call("warm")
        await self.job.subscribe(claim=claims)
        proxy.latency = 0.1
        ids = await self.job.put_many(["x"] * 50)
        await claims.when(1)
        await worker.stopService()
        states = [await self.state_of(id) for id in ids]
        self.assertNotIn("claimed", states)
        self.assertEqual(states.count("finished"), len(runs) - 1)
        self.assertEqual([await self.job.get_failure_count(id) for id in ids], [0] * 50)

    async def test_twice(self) -> None:
        """Stopping twice, or what does not run, is no error; both fire when it is done."""
        worker = self.work(self.handler, grace=30)
        await self.job.put("x")
        await self.started.when(1)
        first, second = worker.stopService(), worker.stopService()
        self.assertFalse(first.called or second.called)
        self.hold.callback(None)
        await gatherResults([first, second])
        await worker.stopService()
        await JobWorker(self.thoonk, self.name, print).stopService()

    async def test_started_again_while_it_stops(self) -> None:
        """Started in its grace it goes on afterwards; stopped again it does not."""
        worker = self.work(self.handler, grace=30)
        first = await self.job.put("x")
        await self.started.when(1)
        stopping = worker.stopService()
        worker.startService()
        other = await self.job.put("y")
        await self.settle()
        self.assertEqual(await self.state_of(other), "available")
        self.hold.callback(None)
        await stopping
        for id in (first, other):
            self.assertEqual((await self.job.get_result(id, 5))[1], "done")

    async def test_stopped_again_while_it_stops(self) -> None:
        """Stopped, started and stopped in one grace: it is stopped."""
        worker = self.work(self.handler, grace=30)
        await self.job.put("x")
        await self.started.when(1)
        worker.stopService()
        worker.startService()
        stopping = worker.stopService()
        self.hold.callback(None)
        await stopping
        other = await self.job.put("y")
        await deferLater(self.thoonk.get_reactor(), 0.2)
        self.assertEqual(await self.state_of(other), "available")
        self.assertFalse(worker.running)

    async def test_threads(self) -> None:
        """A thread cannot be stopped: the worker waits for it, and its job is nobody else's."""
        import threading

        go, entered = threading.Event(), Heard()

        def handler(claim: Claim) -> str:
            self.thoonk.get_reactor().callFromThread(entered, claim.id)
            go.wait(20)
            return "too late"

        worker = self.work(handler, blocking=True)
        id = await self.job.put("x")
        await entered.when(1)
        stopping = worker.stopService()
        await deferLater(self.thoonk.get_reactor(), 0.3)
        self.assertEqual(await self.state_of(id), "claimed")
        go.set()
        await stopping
        self.assertEqual(await self.state_of(id), "finished")
