"""Jobs that are put by who wants their result: call, on_finish, progress."""

from __future__ import annotations

from twisted.internet.defer import gatherResults
from twisted.internet.task import deferLater

from tests.helpers import Heard, open_now, until
from tests.test_results import ResultsTestCase
from txthoonk import (
    FeedDoesNotExist,
    JobFailed,
    JobFinished,
    JobRetracted,
    JobStalled,
    NotFinished,
)


class CallTests(ResultsTestCase):
    """call, put(on_finish=) and progress."""

    async def test_call(self) -> None:
        """call puts and waits; the first use of a handle too."""
        handle = (await self.start_thoonk()).job(self.name)
        calling = handle.call("x")
        await self.do("y")
        self.assertEqual(await calling, "y")

    async def test_call_creates_the_feed(self) -> None:
        """The very first call of an instance, on a feed that was not there."""
        name = self.feed_name("new")
        theirs = await self.start_thoonk()
        calling = theirs.job(name).call("x")
        claim = await self.thoonk.job(name).get(5)
        await claim.finish("y")
        self.assertEqual(await calling, "y")

    async def test_call_fails(self) -> None:
        """call fails as get_result does, within its time."""
        calling = self.job.call("x")
        claim = await self.other.get(5)
        await claim.stall("bad")
        await self.refused(calling, JobFailed, self.name, claim.id)
        await self.refused(self.job.call("x", 0.05), NotFinished, self.name)
        with self.assertRaises(TypeError):
            self.job.call("x", patience=3)

    async def test_call_that_cannot_be_put(self) -> None:
        """What cannot be put fails at once, once, and leaves no timer behind."""
        job = await self.thoonk.job(self.feed_name("json"), serializer="json")
        with self.assertRaises(TypeError):
            job.call(object(), 0.2)
        await job.delete()
        await self.refused(job.call("x", 0.2), FeedDoesNotExist, job.name)
        self.assertEqual([call for call in open_now() if "_late" in str(call)], [])
        await deferLater(self.thoonk.get_reactor(), 0.25)

    async def test_call_of_an_id_that_was_there(self) -> None:
        """A call of an id that has an old result gets the new one; of a parked job, its failure."""
        await self.job.put("old", id="x")
        await self.do("old result")
        self.assertEqual(await self.job.get_result("x"), ("old", "old result"))
        calling = self.job.call("new", id="x")
        await self.do("new result")
        self.assertEqual(await calling, "new result")
        await self.job.put("bad", id="y")
        await (await self.other.get()).stall("parked before")
        calling = self.job.call("again", 5, id="y")
        await self.refused(calling, JobFailed, self.name, "y")

    async def test_put_once(self) -> None:
        """A job that is put once is not put again while its result is kept, whoever puts it."""
        await self.job.put("old", id="x", once=True)
        await self.do("result", ttl=0.3)
        await self.other.put("new", id="x", once=True)
        end = Heard()
        await self.job.put("new", id="x", once=True, on_finish=end)
        self.assertEqual(await self.job.call("new", 5, id="x", once=True), "result")
        await end.when(1)
        self.assertEqual(end, [JobFinished(self.name, "x", "result")])
        self.assertEqual((await self.job.stats()).puts, 1)
        self.assertEqual(await self.job.get_result("x"), ("old", "result"))
        await deferLater(self.thoonk.get_reactor(), 0.35)
        await self.job.put("new", id="x", once=True)
        self.assertEqual((await self.do()).item, "new")
        await self.job.put("whoever does not say so", id="x")
        self.assertEqual((await self.do()).item, "whoever does not say so")

    async def test_call_with_delay_and_priority(self) -> None:
        """call takes what put takes."""
        late = self.job.call("late", delay=0.05)
        low, high = self.job.call("low"), None
        await until(lambda: self.job.length())
        high = self.job.call("high", priority=True)
        await until(lambda: self.job.length().addCallback(lambda length: length == 2))
        self.assertEqual([(await self.do()).item for _ in range(2)], ["high", "low"])
        await gatherResults([low, high])
        await deferLater(self.thoonk.get_reactor(), 0.06)
        await self.job.maintenance()
        await self.do("at last")
        self.assertEqual(await late, "at last")

    async def test_on_finish(self) -> None:
        """Whoever puts a job may be called at its end, once: finished, parked or retracted."""
        ends: dict[str, Heard] = {}
        ids = {}
        for how in ("finished", "silent", "parked", "retracted"):
            ends[how] = Heard()
            ids[how] = await self.job.put(how, on_finish=ends[how])
        await self.do("result")
        await (await self.other.get()).finish()
        await (await self.other.get()).stall("why")
        await self.other.retract(ids["retracted"])
        for heard in ends.values():
            await heard.when(1)
        self.assertEqual(
            {how: heard[0] for how, heard in ends.items()},
            {
                "finished": JobFinished(self.name, ids["finished"], "result"),
                "silent": JobFinished(self.name, ids["silent"], None),
                "parked": JobStalled(self.name, ids["parked"], "why"),
                "retracted": JobRetracted(self.name, ids["retracted"]),
            },
        )
        await self.job.retry(ids["parked"])
        await self.do("after all")
        await self.settle()
        self.assertEqual([len(heard) for heard in ends.values()], [1] * 4)

    async def test_on_finish_not_put(self) -> None:
        """Where a job cannot be put nobody is called."""
        end = Heard()
        await self.job.delete()
        putting = self.job.put("x", id="x", on_finish=end)
        await self.refused(putting, FeedDoesNotExist, self.name)
        self.job = await self.thoonk.job(self.name)
        await self.job.put("y", id="x")
        await self.do()
        await self.settle()
        self.assertEqual(end, [])

    async def test_on_finish_fails(self) -> None:
        """A handler that fails is logged, and hurts no other."""
        end = Heard()

        async def failing(_: object) -> None:
            raise RuntimeError("on_finish")

        await self.job.put("x", id="x", on_finish=failing)
        await self.job.put("y", id="x", on_finish=end)
        await self.do()
        await end.when(1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    async def test_progress(self) -> None:
        """Those that wait hear how far a job is, in the order in which it was told."""
        seen, called = Heard(), Heard()
        id = await self.job.put("x")
        waiting = self.job.get_result(id, on_progress=seen)
        calling = self.job.call("y", on_progress=called)
        await self.settle()
        claim = await self.other.get()
        for percent in range(0, 100, 20):
            await claim.progress(f"{percent} %")
        await claim.finish("done")
        await self.do()
        await waiting
        await calling
        self.assertEqual(seen, ["0 %", "20 %", "40 %", "60 %", "80 %"])
        self.assertEqual(called, [])

    async def test_progress_fails(self) -> None:
        """A handler of progress that fails hurts nobody."""
        id = await self.job.put("x")
        waiting = self.job.get_result(id, on_progress=lambda value: 1 / 0)
        await self.settle()
        claim = await self.other.get()
        await claim.progress("half")
        await claim.finish("done")
        self.assertEqual(await waiting, ("x", "done"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
