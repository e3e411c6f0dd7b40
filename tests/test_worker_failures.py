"""Workers whose handlers fail: jobs are tried again, or parked with their history."""

from __future__ import annotations

import itertools
import sys

from tests.helpers import Heard, until
from tests.worker_helpers import WorkerTestCase
from txthoonk import Claim, JobFailed, Retry, Stall


class FailureTests(WorkerTestCase):
    """Handlers that fail."""

    async def test_parked(self) -> None:
        """A job that fails each time is parked after max_attempts; on_stalled is called once."""
        runs: list[int] = []
        stalled = Heard()

        async def handler(claim: Claim) -> None:
            runs.append(claim.cancelled)
            raise KeyError(f"no {claim.item}")

        self.work(handler, max_attempts=3, backoff=0.02, on_stalled=stalled)
        news = await self.watch(self.name)
        id = await self.job.put("teapot")
        failure = await self.refused(self.job.get_result(id), JobFailed, self.name, id)
        self.assertEqual(runs, [0, 1, 2])
        await stalled.when(1)
        self.assertEqual(await self.state_of(id), "parked")
        self.assertEqual(await self.job.get_stalled(), {id})
        errors = [attempt.error for attempt in failure.attempts]
        self.assertEqual(errors, ["KeyError: 'no teapot'"] * 3)
        self.assertEqual([(s.feed, s.id, s.reason) for s in stalled], [(self.name, id, errors[0])])
        channels = [channel for channel, _ in await news()]
        told = [c for c in channels if c in ("tx.feed.delay", "tx.feed.retry", "tx.feed.stall")]
        self.assertEqual(told, ["tx.feed.delay", "tx.feed.retry"] * 2 + ["tx.feed.stall"])
        self.assertEqual(await self.job.length(), 0)

    async def test_a_parked_job_begins_anew(self) -> None:
        """A parked job that is retried has all its attempts before it, and its history behind."""
        fail = [True]

        def handler(claim: Claim) -> str:
            if fail[0]:
                raise ValueError("no")
            return f"after {claim.cancelled}"

        self.work(handler, max_attempts=2, backoff=0)
        id = await self.job.put("x")
        await self.refused(self.job.get_result(id), JobFailed, self.name)
        fail[0] = False
        await self.job.retry(id)
        self.assertEqual(await self.job.get_result(id), ("x", "after 0"))

    async def test_on_stalled_fails(self) -> None:
        """A handler for parked jobs that fails hurts nobody, plain or async."""

        async def failing(_: object) -> None:
            raise RuntimeError("nobody listens")

        def handler(claim: Claim) -> str:
            if claim.item == "bad":
                raise Stall
            return "fine"

        for on_stalled in (failing, lambda _: 1 / 0):
            worker = self.work(handler, on_stalled=on_stalled)
            id = await self.job.put("bad")
            await self.refused(self.job.get_result(id), JobFailed, self.name)
            self.assertEqual(await self.job.call("good"), "fine")
            await until(lambda: self.flushLoggedErrors(RuntimeError, ZeroDivisionError))
            await worker.stopService()

    async def test_backoff_grows(self) -> None:
        """Pauses between attempts are those of the feed's backoff."""
        times: list[float] = []

        def handler(claim: Claim) -> None:
            times.append(self.thoonk.get_reactor().seconds())
            raise ValueError

        self.work(handler, max_attempts=4, backoff="exponential:0.1:0.2")
        id = await self.job.put("x")
        await self.refused(self.job.get_result(id), JobFailed, self.name)
        pauses = [b - a for a, b in itertools.pairwise(times)]
        for pause, expected in zip(pauses, (0.1, 0.2, 0.2), strict=True):
            self.assertGreaterEqual(pause, expected - 0.005)
            self.assertLess(pause, expected + 5)  # maintenance comes about once a second

    async def test_retry(self) -> None:
        """A handler may say when it wants to be called again; that is an attempt, and is told."""
        times: list[float] = []

        async def handler(claim: Claim) -> None:
            times.append(self.thoonk.get_reactor().seconds())
            if not claim.cancelled:
                raise Retry(delay=0.3, why="the line is busy")

        self.work(handler)
        id = await self.job.put("x")
        await until(lambda: self.job.get_failure_count(id))
        self.assertEqual(await self.state_of(id), "delayed")
        self.assertEqual([a.error for a in await self.job.get_attempts(id)], ["the line is busy"])
        await self.job.get_result(id)
        self.assertEqual(len(times), 2)
        self.assertGreaterEqual(times[1] - times[0], 0.295)
        self.assertLess(times[1] - times[0], 5)  # maintenance comes about once a second

    async def test_retry_has_its_limit(self) -> None:
        """Retry too is parked past max_attempts."""
        runs = Heard()

        def handler(claim: Claim) -> None:
            runs(claim.cancelled)
            raise Retry(delay=0)

        self.work(handler, max_attempts=4)
        id = await self.job.put("x")
        await self.refused(self.job.get_result(id), JobFailed, self.name)
        self.assertEqual(runs, [0, 1, 2, 3])

    async def test_stall(self) -> None:
        """A handler may have its job parked at once, with a reason."""
        stalled = Heard()

        def handler(claim: Claim) -> None:
            raise Stall("not for us")

        self.work(handler, on_stalled=stalled)
        id = await self.job.put("x")
        await stalled.when(1)
        self.assertEqual(stalled[0].reason, "not for us")
        self.assertEqual(await self.state_of(id), "parked")

    async def test_undecodable_item(self) -> None:
        """What the serializer cannot read is parked, without a call; the next job is done."""
        name = self.feed_name("json")
        job = await self.thoonk.job(name, serializer="json")
        seen, stalled = Heard(), Heard()
        self.work(
            lambda claim: seen(claim.item),
            name,
            serializer="json",
            on_stalled=stalled,
            concurrency=1,
        )
        bad = await self.thoonk.job(name).put("{")
        self.assertIsNone(await job.call(["good"]))
        await stalled.when(1)
        self.assertEqual((stalled[0].id, seen), (bad, [["good"]]))
        self.assertEqual(await self.state_of(bad, job), "parked")
        self.assertIn("DecodeError", (await job.get_attempts(bad))[0].error)

    async def test_unencodable_result(self) -> None:
        """A result that the serializer cannot write is a failure like any other."""
        name = self.feed_name("json")
        job = await self.thoonk.job(name, serializer="json")
        self.work(lambda claim: object(), name, serializer="json", max_attempts=2, backoff=0)
        id = await job.put("x")
        failure = await self.refused(job.get_result(id), JobFailed, name, id)
        self.assertEqual(len(failure.attempts), 2)
        self.assertEqual(await self.state_of(id, job), "parked")

    async def test_errors_that_cannot_be_told(self) -> None:
        """An exception whose text cannot be had, or be encoded, still counts as an attempt."""

        class Mute(Exception):
            def __str__(self) -> str:
                raise RuntimeError("no words")

        for error in (Mute(), ValueError("\ud800 \udcff"), Stall("\ud800"), Retry(0, "\ud800")):

            async def handler(claim: Claim, error: Exception = error) -> None:
                raise error

            worker = self.work(handler, max_attempts=1, concurrency=1)
            id = await self.job.put("x")
            await self.refused(self.job.get_result(id, 5), JobFailed, self.name, id)
            stopping = worker.stopService().addTimeout(1, self.thoonk.get_reactor())
            await stopping  # nothing is left running
        self.flushLoggedErrors(UnicodeEncodeError)  # trial's log file cannot take these texts

    async def test_exit(self) -> None:
        """A handler that calls sys.exit has failed, and no other job suffers."""

        def handler(claim: Claim) -> str:
            if claim.item == "exit":
                sys.exit("enough")
            return "done"

        self.work(handler, max_attempts=1, maintain=False)
        id = await self.job.put("exit")
        self.assertEqual(await self.job.call("other", 5), "done")
        failure = await self.refused(self.job.get_result(id, 5), JobFailed, self.name, id)
        self.assertEqual(failure.attempts[0].error, "SystemExit: enough")
