"""Workers: what a handler may be, and what becomes of the jobs it is called for."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import gatherResults
from twisted.internet.task import deferLater

from tests.helpers import Heard, until
from tests.worker_helpers import WorkerTestCase
from txthoonk import Claim, JobFinished, JobWorker, Retry


class HandlerTests(WorkerTestCase):
    """Handlers of every kind."""

    async def test_plain(self) -> None:
        """A handler that is a plain function: what it returns is the result."""
        self.work(lambda claim: claim.item.upper())
        self.assertEqual(await self.job.call("quiet"), "QUIET")

    async def test_deferred(self) -> None:
        """A handler may return a Deferred."""
        from twisted.internet import reactor

        self.work(lambda claim: deferLater(reactor, 0.01, lambda: f"{claim.id} done"))
        id = await self.job.put("x")
        self.assertEqual(await self.job.get_result(id), ("x", f"{id} done"))

    async def test_async(self) -> None:
        """A handler may be async, and fire at once or later."""

        async def handler(claim: Claim) -> str:
            if claim.item == "late":
                await deferLater(self.thoonk.get_reactor(), 0.01)
            return claim.item * 2

        self.work(handler)
        both = gatherResults([self.job.call("late"), self.job.call("now")])
        self.assertEqual(await both, ["latelate", "nownow"])

    async def test_nothing_returned(self) -> None:
        """Returning None finishes the job without a result, and that is told as such."""
        finish = Heard()
        await self.job.subscribe(finish=finish)
        news = await self.watch(self.name)
        self.work(lambda claim: None)
        id = await self.job.put("x")
        self.assertEqual(await self.job.get_result(id), ("x", None))
        await finish.when(1)
        self.assertEqual(finish, [JobFinished(self.name, id, None)])
        channels = [channel for channel, _ in await news()]
        self.assertEqual(channels.count("tx.feed.finish"), 1)
        self.assertNotIn("job.finish", channels)  # peers would take that for a result

    async def test_an_empty_result_is_one(self) -> None:
        """Returning an empty string is a result, other than none."""
        self.work(lambda claim: "")
        self.assertEqual(await self.job.call("x"), "")

    async def test_what_a_claim_tells(self) -> None:
        """The handler gets id, item and how often the job was tried before."""
        seen: list[Any] = []

        def handler(claim: Claim) -> None:
            seen.append(tuple(claim))
            if len(seen) < 3:
                raise Retry(delay=0)

        self.work(handler)
        id = await self.job.put("x")
        await self.job.get_result(id)
        self.assertEqual(seen, [(id, "x", 0), (id, "x", 1), (id, "x", 2)])

    async def test_no_handler(self) -> None:
        """What cannot be called, and options that cannot be, are refused when it is made."""
        for error, handler, options in (
            (ValueError, "no.such:thing", {}),
            (ValueError, print, {"concurrency": 0}),
            (ValueError, print, {"grace": -1}),
            (ValueError, print, {"blocking": True, "processes": 2}),
            (ValueError, print, {"backoff": "sometimes"}),
            (ValueError, print, {"claim_timeout": 0}),
        ):
            with self.assertRaises(error, msg=f"{handler!r} {options}"):
                JobWorker(self.thoonk, self.name, handler, **options)
        for names in ({}, {self.name: 0}, {self.name: -1}):
            with self.assertRaises(ValueError, msg=f"{names!r}"):
                JobWorker(self.thoonk, names, print)


class EndingTests(WorkerTestCase):
    """Handlers that end their claims themselves."""

    async def ended_by(self, handler: Any, **options: Any) -> str:
        """Let a handler end a job, and another job come after it; the state of the first."""
        done = Heard()

        async def both(claim: Claim) -> Any:
            if claim.item == "other":
                done("other")
                return None
            try:
                return await handler(claim)
            finally:
                done(claim.id)

        self.work(both, concurrency=1, **options)
        id = await self.job.put("x")
        await self.job.put("other")
        await done.when(2)  # the slot is free again
        self.assertEqual(done, [id, "other"])
        await until(lambda: self.job.stats().addCallback(lambda stats: not stats.claimed))
        return id

    async def test_finish(self) -> None:
        """What the handler finished with is the result, not what it returns later."""

        async def handler(claim: Claim) -> str:
            await claim.finish("mine")
            return "too late"

        id = await self.ended_by(handler)
        self.assertEqual(await self.job.get_result(id), ("x", "mine"))
        self.assertEqual((await self.job.stats()).finishes, 2)

    async def test_finish_not_waited_for(self) -> None:
        """The same if the handler does not wait for Redis."""

        async def handler(claim: Claim) -> str:
            claim.finish("mine")
            return "too late"

        id = await self.ended_by(handler)
        self.assertEqual(await self.job.get_result(id), ("x", "mine"))

    async def test_cancel(self) -> None:
        """A handler may give the job up for a while."""
        id = await self.ended_by(lambda claim: claim.cancel(delay=60))
        self.assertEqual(await self.state_of(id), "delayed")
        self.assertEqual(await self.job.get_failure_count(id), 1)

    async def test_release(self) -> None:
        """A handler may give the job back; no attempt is spent."""
        seen = []

        async def handler(claim: Claim) -> None:
            seen.append(claim.cancelled)
            if len(seen) < 3:
                await claim.release()

        self.work(handler, concurrency=1)
        id = await self.job.put("x")
        await self.job.get_result(id)
        self.assertEqual(seen, [0, 0, 0])

    async def test_stall(self) -> None:
        """A handler may park the job, with a reason that stays in its history."""
        id = await self.ended_by(lambda claim: claim.stall("bad weather"))
        self.assertEqual(await self.state_of(id), "parked")
        self.assertEqual([a.error for a in await self.job.get_attempts(id)], ["bad weather"])

    async def test_by_the_feed(self) -> None:
        """The verbs of the feed end the claim as well as those of the claim."""

        async def handler(claim: Claim) -> None:
            await self.job.finish(claim.id, "mine")

        id = await self.ended_by(handler)
        self.assertEqual(await self.job.get_result(id), ("x", "mine"))

    async def test_ended_and_failed(self) -> None:
        """An exception after the handler has finished its job changes nothing."""

        async def handler(claim: Claim) -> None:
            await claim.finish("mine")
            raise ValueError("after the end")

        id = await self.ended_by(handler)
        self.assertEqual(await self.job.get_result(id), ("x", "mine"))
        self.assertEqual(await self.job.get_failure_count(id), 0)
        self.assertEqual(await self.state_of(id), "finished")

    async def test_goes_on_after_the_end(self) -> None:
        """A handler that has finished its job may tidy up for longer than the claim would hold."""
        through = Heard()

        async def handler(claim: Claim) -> None:
            await claim.finish("mine")
            try:
                await deferLater(self.thoonk.get_reactor(), 0.7)
            except BaseException as error:
                through(error)
                raise
            through("tidy")

        self.work(handler, claim_timeout=0.2)
        id = await self.job.put("x")
        self.assertEqual(await self.job.get_result(id), ("x", "mine"))
        await through.when(1)
        self.assertEqual(through, ["tidy"])
