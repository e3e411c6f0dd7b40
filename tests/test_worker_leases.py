"""Workers and the claims of the jobs they run: kept for as long as that takes, or taken away."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.helpers import Heard, until
from tests.worker_helpers import WorkerTestCase
from txthoonk import Claim, ItemDoesNotExist, JobFailed, JobNotClaimed, LeaseLost


class LeaseTests(WorkerTestCase):
    """Claims are extended while handlers run."""

    async def test_twenty_leases(self) -> None:
        """Jobs that take twenty times as long as a claim holds run once, and spend no attempt."""
        runs = Heard()

        async def handler(claim: Claim) -> str:
            runs(claim.id)
            await deferLater(self.thoonk.get_reactor(), 4)
            return "done"

        self.work(handler, claim_timeout=0.2)
        second = await self.start_thoonk()
        self.work(handler, thoonk=second)  # its maintenance too would take what is late
        expired = Heard()
        await self.job.subscribe(expire=expired, stall=expired)
        results = await gatherResults([self.job.call(f"{i}") for i in range(15)])
        self.assertEqual(results, ["done"] * 15)
        self.assertEqual((len(runs), len(set(runs)), expired), (15, 15, []))

    async def test_feeds_with_claims_of_different_length(self) -> None:
        """One worker's feeds may differ in how long their claims hold."""
        short = self.feed_name("short")
        await self.thoonk.job(self.name, claim_timeout=30)
        job = await self.thoonk.job(short, claim_timeout=0.3)
        runs = Heard()

        async def handler(claim: Claim) -> None:
            runs(claim.item)
            await deferLater(self.thoonk.get_reactor(), 2)

        self.work(handler, {self.name: 1, short: 1})
        long_one = self.job.call("long")
        await runs.when(1)
        await gatherResults([job.call("short"), long_one])
        self.assertEqual(runs, ["long", "short"])

    async def test_blocking_handlers_too(self) -> None:
        """A handler in a thread keeps its claim as well."""
        import time

        runs = Heard()

        def handler(claim: Claim) -> str:
            runs(claim.id)
            time.sleep(1.2)
            return "slept"

        self.work(handler, blocking=True, claim_timeout=0.2)
        self.assertEqual(await self.job.call("x"), "slept")
        self.assertEqual(len(runs), 1)

    async def test_lost(self) -> None:
        """A handler whose claim is gone is cancelled; what it says counts no more."""
        started, cancelled = Heard(), Heard()

        async def handler(claim: Claim) -> str:
            started(claim)
            if len(started) > 1:
                return "second"
            try:
                await Deferred()
            except CancelledError:
                cancelled(claim.id)
            return "first"

        self.work(handler, claim_timeout=0.3, concurrency=1)
        id = await self.job.put("x")
        await started.when(1)
        # A peer gives it up, who knows of no leases.
        keys = self.job.keys
        await self.redis.execute("ZREM", keys.claimed, id)
        await self.redis.execute("LPUSH", keys.ids, id)
        await cancelled.when(1)
        self.assertEqual(await self.job.get_result(id, 5), ("x", "second"))
        self.assertEqual((cancelled, len(started)), ([id], 2))
        self.assertEqual((await self.job.stats()).finishes, 1)

    async def test_blocked_reactor(self) -> None:
        """A handler that blocks the reactor for longer than its claim holds: one result stands."""
        import time

        second = await self.start_thoonk()
        runs: list[Claim] = []

        def handler(claim: Claim) -> str:
            runs.append(claim)
            return "slow"

        self.work(handler, claim_timeout=0.2)
        id = await self.job.put("x")
        await self.job.get_result(id)
        claimed = await self.job.put("y", id="late")
        await until(lambda: len(runs) == 2)
        await self.job.get_result(claimed)
        # The same as it looks to Redis: a claim that is finished after somebody else took the job.
        plain = self.thoonk.job(self.feed_name("late"), claim_timeout=0.2)
        id = await plain.put("x")
        claim = await plain.get()
        time.sleep(0.3)  # no reactor, no extension
        done = await second.job(plain.name).maintenance()
        self.assertEqual(done.expired, 1)
        self.work(lambda claim: "fast", plain.name)
        self.assertEqual(await plain.get_result(id), ("x", "fast"))
        await self.refused(claim.finish("slow"), LeaseLost, plain.name, id)
        self.assertEqual(await plain.get_result(id), ("x", "fast"))


class TakenAwayTests(WorkerTestCase):
    """Jobs that are stopped while they run."""

    async def setUp(self) -> None:
        """An operator somewhere else, and a handler that runs until it is cancelled."""
        await super().setUp()
        self.operator = (await self.start_thoonk()).job(self.name)
        await self.operator
        self.started, self.cancelled = Heard(), Heard()

    async def handler(self, claim: Claim) -> str:
        """Run until it is cancelled."""
        self.started(claim.id)
        if claim.item == "short":
            return "short"
        try:
            await Deferred()
        finally:
            self.cancelled(self.thoonk.get_reactor().seconds())
        return "never"

    async def stop(self, call: Any) -> str:
        """Let the operator do something to a job that runs; it reaches the handler at once."""
        reactor = self.thoonk.get_reactor()
        self.work(self.handler, concurrency=1)
        id = await self.job.put("x")
        await self.started.when(1)
        news = await self.watch(self.name)
        before = reactor.seconds()
        await call(id)
        await self.cancelled.when(1)
        self.assertLess(self.cancelled[0] - before, 0.1)
        # The slot is free, and its job's end is Redis's business no more.
        self.assertEqual(await self.job.call("short", 5), "short")
        channels = [channel for channel, _ in await news()]
        for silent in ("tx.feed.cancel", "tx.feed.release", "tx.feed.delay", "tx.feed.expire"):
            self.assertNotIn(silent, channels)
        self.assertEqual(channels.count("tx.feed.stop"), 1)
        self.assertEqual((await self.job.stats()).claimed, 0)
        self.assertEqual(len(self.started), 2)
        return id

    async def test_cancel_running(self) -> None:
        """An operator in another process stops a job: it is parked, and says why."""
        stalled = Heard()
        await self.job.subscribe(stall=stalled)
        id = await self.stop(self.operator.cancel_running)
        self.assertEqual(await self.state_of(id), "parked")
        self.assertEqual([s.id for s in stalled], [id])
        failure = await self.refused(self.operator.get_result(id), JobFailed, self.name, id)
        self.assertEqual(failure.attempts[-1].error, "cancelled while it ran")

    async def test_stall(self) -> None:
        """The same by parking it."""
        id = await self.stop(lambda job: self.operator.stall(job, "enough"))
        self.assertEqual(await self.state_of(id), "parked")
        self.assertEqual([a.error for a in await self.operator.get_attempts(id)], ["enough"])

    async def test_retract(self) -> None:
        """A job that is taken out stops, and nothing of it is left."""
        id = await self.stop(self.operator.retract)
        self.assertEqual(await self.state_of(id), "gone")
        await self.refused(self.job.get_result(id), ItemDoesNotExist, self.name, id)

    async def test_from_the_same_process(self) -> None:
        """The operator may be the process that runs the job."""
        id = await self.stop(self.job.cancel_running)
        self.assertEqual(await self.state_of(id), "parked")

    async def test_names_of_any_kind(self) -> None:
        """Feeds and jobs may be called anything that Redis can hold."""
        name = self.feed_name("a *[b]: \u00fc \udcff")
        job = await self.thoonk.job(name)
        self.work(self.handler, name)
        id = await job.put("x", id="1 2\t\udcfe*")
        await self.started.when(1)
        await (await self.start_thoonk()).job(name).cancel_running(id)
        await self.cancelled.when(1)
        self.assertEqual(await self.state_of(id, job), "parked")

    async def test_only_what_runs(self) -> None:
        """A job that does not run is left alone by cancel_running."""
        id = await self.job.put("x")
        await self.refused(self.operator.cancel_running(id), JobNotClaimed, self.name, id)
        self.assertEqual(await self.state_of(id), "available")
        missing = self.operator.cancel_running("nobody")
        await self.refused(missing, ItemDoesNotExist, self.name, "nobody")

    async def test_one_of_many(self) -> None:
        """The other jobs that run go on."""
        self.work(self.handler, concurrency=5)
        ids = await self.job.put_many(["x"] * 5)
        await self.started.when(5)
        await self.operator.cancel_running(ids[2])
        await self.cancelled.when(1)
        await self.settle()
        self.assertEqual(len(self.cancelled), 1)
        self.assertEqual((await self.job.stats()).claimed, 4)

    async def test_a_handler_that_does_not_listen(self) -> None:
        """A handler that goes on has its slot until it is through; its result is refused."""
        hold: Deferred[None] = Deferred()

        async def deaf(claim: Claim) -> str:
            self.started(claim.id)
            if claim.item == "x":
                try:
                    await Deferred()
                except CancelledError:
                    self.cancelled(claim.id)
                    await hold
            return "done"

        self.work(deaf, concurrency=1)
        id = await self.job.put("x")
        await self.started.when(1)
        await self.operator.cancel_running(id)
        await self.cancelled.when(1)
        other = await self.job.put("y")
        await self.settle()
        self.assertEqual(await self.state_of(other), "available")
        hold.callback(None)
        self.assertEqual(await self.job.get_result(other, 5), ("y", "done"))
        self.assertEqual(await self.state_of(id), "parked")

    async def test_retried_while_the_old_run_ends(self) -> None:
        """A job that is stopped and retried runs again; the first run's end does not count."""
        id = await self.stop(self.operator.cancel_running)
        await self.operator.edit(id, "short")
        await self.operator.retry(id)
        self.assertEqual(await self.job.get_result(id, 5), ("short", "short"))
