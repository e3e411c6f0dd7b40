"""Results of jobs: they reach whoever waits, however late, and whatever breaks meanwhile."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, gatherResults
from twisted.internet.task import deferLater

from tests.helpers import ThoonkTestCase, open_now
from txthoonk import (
    Claim,
    ItemDoesNotExist,
    Job,
    JobFailed,
    NotFinished,
)
from txthoonk.client import ThoonkPubFactory
from txthoonk.errors import ItemError, NotConnected


class ResultsTestCase(ThoonkTestCase):
    """A feed of jobs, and somebody else who works on it by hand."""

    async def setUp(self) -> None:
        await super().setUp()
        self.name = self.feed_name("results")
        self.job = await self.thoonk.job(self.name)
        self.other: Job = await (await self.start_thoonk()).job(self.name)

    async def do(self, result: Any = "done", **how: Any) -> Claim:
        """The other one does a job."""
        claim = await self.other.get(5)
        await claim.finish(result, **how)
        return claim

    async def left(self) -> set[str]:
        """What is left of the feed besides its configuration and counters."""
        keys = {key.removesuffix(f":{self.name}") for key in await self.keys_of(self.name)}
        return keys - {"feed.config", "feed.publishes", "feed.finishes"}


class WaitTests(ResultsTestCase):
    """get_result."""

    async def test_before(self) -> None:
        """Whoever waits before a job is finished gets what was put and the result."""
        id = await self.job.put("a cat")
        waiting = self.job.get_result(id)
        await self.do("a drawing")
        self.assertEqual(await waiting, ("a cat", "a drawing"))

    async def test_after(self) -> None:
        """The same for whoever begins afterwards, any number of times, in any process."""
        id = await self.job.put("a cat")
        await self.do("a drawing")
        for job in (self.job, self.other, self.job):
            self.assertEqual(await job.get_result(id), ("a cat", "a drawing"))

    async def test_before_it_is_claimed_and_while(self) -> None:
        """It does not matter in which state the job is when somebody begins to wait."""
        id = await self.job.put("x", delay=60)
        waiting = [self.job.get_result(id)]
        await self.settle()
        await self.job.retry(id)
        waiting.append(self.job.get_result(id))
        claim = await self.other.get(5)
        waiting.append(self.job.get_result(id))
        await claim.cancel(delay=60)
        waiting.append(self.job.get_result(id))
        await self.settle()
        await self.job.retry(id)
        await self.do("y")
        self.assertEqual(await gatherResults(waiting), [("x", "y")] * 4)

    async def test_none(self) -> None:
        """A job that is finished without a result: before and after, the answer is None."""
        id = await self.job.put("x")
        waiting = self.job.get_result(id)
        await (await self.other.get()).finish()
        self.assertEqual(await waiting, ("x", None))
        self.assertEqual(await self.job.get_result(id), ("x", None))

    async def test_bytes_of_any_kind(self) -> None:
        """Query and result come as they were: empty, with colons, NULs and newlines."""
        for query, result in (("", ""), ("1:2", "+3"), ("a\0b\n", "-\0\r\n"), ("5:", "ü" * 9)):
            id = await self.job.put(query)
            waiting = self.job.get_result(id)
            await self.do(result)
            self.assertEqual(await waiting, (query, result))
            self.assertEqual(await self.job.get_result(id), (query, result))

    async def test_serializers(self) -> None:
        """Query and result are in the feed's serializer; what it cannot read is an error."""
        job = await self.thoonk.job(self.feed_name("json"), serializer="json")
        id = await job.put([1, {"two": None}])
        waiting = job.get_result(id)
        await (await job.get()).finish({"three": 3})
        self.assertEqual(await waiting, ([1, {"two": None}], {"three": 3}))
        self.assertEqual(await job.get_result(id), ([1, {"two": None}], {"three": 3}))
        id = await job.put(1)
        waiting = job.get_result(id)
        await self.redis.execute("ZADD", job.keys.claimed, 1, id)
        await self.thoonk.job(job.name).finish(id, "{")
        await self.refused(waiting, ItemError, job.name, id)
        await self.refused(job.get_result(id), ItemError, job.name, id)

    async def test_an_id_that_is_put_again(self) -> None:
        """A result is that of the last job of its id."""
        for n in range(3):
            await self.job.put(f"q{n}", id="again")
            waiting = self.job.get_result("again")
            await self.do(f"r{n}")
            self.assertEqual(await waiting, (f"q{n}", f"r{n}"))
            self.assertEqual(await self.job.get_result("again"), (f"q{n}", f"r{n}"))

    async def test_many_wait_for_one(self) -> None:
        """Any number may wait for the same job; one that gives up hurts no other."""
        id = await self.job.put("x")
        waiting = [self.job.get_result(id) for _ in range(50)]
        await self.settle()
        for some in waiting[::7]:
            some.cancel()
            await self.assertFailure(some, CancelledError)
        await self.do("y")
        others = [some for some in waiting if some not in waiting[::7]]
        self.assertEqual(await gatherResults(others), [("x", "y")] * len(others))

    async def test_parked(self) -> None:
        """A job that is parked, before or after, fails with the history of its attempts."""
        id = await self.job.put("x")
        waiting = self.job.get_result(id)
        claim = await self.other.get(5)
        await claim.stall("no paper")
        for call in (waiting, self.job.get_result(id)):
            failure = await self.refused(call, JobFailed, self.name, id)
            self.assertEqual([attempt.error for attempt in failure.attempts], ["no paper"])
            self.assertIn("no paper", str(failure))

    async def test_missing(self) -> None:
        """There is nothing to wait for where there is no job, or where it is taken out."""
        missing = self.job.get_result("nobody")
        await self.refused(missing, ItemDoesNotExist, self.name, "nobody")
        id = await self.job.put("x")
        waiting = self.job.get_result(id)
        await self.settle()
        await self.other.retract(id)
        await self.refused(waiting, ItemDoesNotExist, self.name, id)
        await self.refused(self.job.get_result(id), ItemDoesNotExist, self.name, id)

    async def test_feed_that_is_deleted(self) -> None:
        """Nobody waits for ever on a feed that is gone, nor creates it."""
        await self.job.delete()
        handle = self.thoonk.job(self.name)
        await self.refused(handle.get_result("x"), ItemDoesNotExist, self.name, "x")
        self.assertFalse(await self.thoonk.feed_exists(self.name))

    async def test_time_out(self) -> None:
        """Whoever has waited long enough is told so; the job goes on."""
        id = await self.job.put("x")
        reactor = self.thoonk.get_reactor()
        before = reactor.seconds()
        await self.refused(self.job.get_result(id, 0.1), NotFinished, self.name, id)
        self.assertLess(reactor.seconds() - before, 5)
        await self.do("y")
        self.assertEqual(await self.job.get_result(id, 0.1), ("x", "y"))
        with self.assertRaises(ValueError):
            self.job.get_result(id, -1)

    async def test_cancel(self) -> None:
        """Waiting may be given up at any moment: at once, or when Redis has been asked."""
        id = await self.job.put("x")
        for pause in (False, True):
            waiting = self.job.get_result(id, 30)
            if pause:
                await self.settle()
            waiting.cancel()
            await self.assertFailure(waiting, CancelledError)
        await self.do("y")
        self.assertEqual(await self.job.get_result(id), ("x", "y"))

    async def test_publisher(self) -> None:
        """A ThoonkPub hears nothing: waiting there fails, each time, and leaves nothing behind."""
        pub: Any = await self.endpoint().connect(ThoonkPubFactory())
        self.addCleanup(pub.close)
        job = await pub.job(self.name)
        for _ in range(2):
            await self.assertFailure(job.get_result("x", 30), NotImplementedError)
            await self.assertFailure(job.call("x", 30), NotImplementedError)
            await self.assertFailure(job.put("x", on_finish=print), NotImplementedError)
        self.assertEqual([c for c in open_now() if "_late" in str(c)], [])

    async def test_stopped(self) -> None:
        """Those that wait are told when their instance stops; no timer is left."""
        theirs = await self.start_thoonk()
        id = await self.job.put("x")
        waiting = theirs.job(self.name).get_result(id, 1000)
        calling = theirs.job(self.name).call("y", 1000)
        await self.settle(theirs)
        await theirs.stopService()
        await self.assertFailure(waiting, NotConnected)
        await self.assertFailure(calling, NotConnected)
        self.assertEqual([c for c in open_now() if "_late" in str(c)], [])


class KeepingTests(ResultsTestCase):
    """How long results are there."""

    async def test_ttl(self) -> None:
        """A result is there for as long as the finish says, or the feed."""
        await self.job.set_config(result_ttl=0.3)
        short = await self.job.put("short")
        long = await self.job.put("long")
        await self.do("a")
        await self.do("b", ttl=60)
        self.assertEqual(await self.job.get_result(short), ("short", "a"))
        await deferLater(self.thoonk.get_reactor(), 0.35)
        await self.refused(self.job.get_result(short), ItemDoesNotExist, self.name, short)
        self.assertEqual(await self.job.get_result(long), ("long", "b"))
        with self.assertRaises(ValueError):
            self.job.finish("x", "y", ttl=-1)

    async def test_default_ttl(self) -> None:
        """Where nothing is said results are kept for a minute."""
        id = await self.job.put("x")
        await self.do()
        due = float(await self.redis.execute("ZSCORE", self.job.keys.due, id))
        now = int((await self.redis.execute("TIME"))[0]) * 1000
        self.assertLess(abs(due - now - 60_000), 5_000)

    async def test_none_kept(self) -> None:
        """Where results are not kept those who wait get them all the same; nothing is stored."""
        await self.job.set_config(result_ttl=0)
        id = await self.job.put("x")
        waiting = self.job.get_result(id)
        await self.settle()
        await self.settle()  # it knows what was put
        await self.do("y")
        self.assertEqual(await waiting, ("x", "y"))
        self.assertEqual(await self.left(), set())
        await self.refused(self.job.get_result(id), ItemDoesNotExist, self.name, id)
        calling = self.job.call("z")
        await self.do("called")
        self.assertEqual(await calling, "called")

    async def test_swept(self) -> None:
        """Maintenance drops results whose time is over, and nothing else."""
        await self.job.set_config(result_ttl=0.01)
        await self.job.put_many(["x"] * 150)
        kept = await self.job.put("kept")
        for _ in range(150):
            await self.do()
        await self.do("here", ttl=60)
        await deferLater(self.thoonk.get_reactor(), 0.02)
        swept = [(await self.job.maintenance()).swept for _ in range(3)]
        self.assertLessEqual(sum(swept), 150)
        self.assertEqual(swept[-1], 0)
        self.assertEqual(await self.redis.execute("HLEN", self.job.keys.results), 1)
        self.assertEqual(await self.job.get_result(kept), ("kept", "here"))
