"""Jobs in dialect ``lua``: beside thoonk-jobs, and with all that jobs have in the other dialect."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import gatherResults

from tests.helpers import Heard, ThoonkTestCase, until
from tests.lua_peer import JobsPeer
from txthoonk import (
    Empty,
    FeedExists,
    JobFinished,
    JobNotStalled,
    JobWorker,
    LeaseLost,
    NotInDialect,
    Retry,
    WrongFeedType,
)
from txthoonk.errors import FeedDoesNotExist
from txthoonk.types import maintenance


class LuaCase(ThoonkTestCase):
    """An instance of each dialect, jobs in ``lua``, and thoonk-jobs beside them."""

    async def setUp(self) -> None:
        await super().setUp()
        self.patch(maintenance, "spread", lambda: 0.0)
        self.lua = await self.start_thoonk(dialect="lua")
        self.name = self.feed_name()
        self.job = self.lua.job(self.name)
        self.peer = JobsPeer(await self.connect(), self.name)

    async def finishes(self) -> list[tuple[str, bytes]]:
        """What thoonk-jobs hears from now on."""
        return await self.listen(f"event.job.finish:{self.name}")


class BesideTests(LuaCase):
    """A program on thoonk-jobs and one of ours work on the same jobs."""

    async def test_ours_does(self) -> None:
        """
        thoonk-jobs puts; a worker of ours does the job; thoonk-jobs hears of the result.
        """
        heard = await self.finishes()
        items: list[Any] = []

        def handler(claim: Any) -> Any:
            items.append(claim.item)
            return {"text": "done", "object": {"b": [1]}, "none": None}[claim.item["want"]]

        self.worker(handler)
        ids = [await self.peer.put({"want": want}) for want in ("text", "object", "none")]
        await until(lambda: len(heard) == 3)
        self.assertEqual([item["want"] for item in items], ["text", "object", "none"])
        self.assertEqual(
            dict(payload.decode().partition("\0")[::2] for _, payload in heard),
            dict(zip(ids, ("done", '{"b":[1]}', ""), strict=True)),
        )
        self.assertIn(ids[2].encode(), [payload for _, payload in heard])  # no NUL: no result

    async def test_theirs_does(self) -> None:
        """
        We put and wait; thoonk-jobs does the job; we get its result.
        """
        calls = [self.job.call({"n": n}, timeout=20) for n in range(2)]
        id, item = await self.peer.get(5)
        self.assertEqual(json.loads(str(item)), {"n": 0})
        await self.peer.finish(id, "a drawing")
        id, _ = await self.peer.get(5)
        await self.peer.finish(id)
        self.assertEqual(await gatherResults(calls), ["a drawing", None])

    async def test_their_claims(self) -> None:
        """
        A job that one cancels or parks is there for the other, with its count.
        """
        id = await self.peer.put("a")
        claim = await self.job.get(5)
        await claim.cancel()
        self.assertEqual(await self.peer.failure_count(id), "1")
        self.assertEqual((await self.peer.get(5))[0], id)
        await self.peer.cancel(id)
        self.assertEqual(await self.job.get_failure_count(id), 2)
        claim = await self.job.get(5)
        self.assertEqual((claim.id, claim.cancelled), (id, 2))
        await claim.stall("broken")
        await self.peer.retry(id)
        self.assertEqual((await self.peer.get(5))[0], id)
        await self.peer.stall(id)
        self.assertEqual(await self.job.get_stalled(), {id})
        await self.job.retry(id)
        claim = await self.job.get(5)
        await self.refused(self.job.retry(id), JobNotStalled, self.name, id)
        await self.peer.cancel(id)
        await self.refused(claim.finish(), LeaseLost, self.name, id)
        await self.peer.retract(id)
        self.assertEqual(await self.job.get_ids(), [])

    async def test_share(self) -> None:
        """
        200 jobs, half of them put by each, are done once each by both.
        """
        done: list[str] = []
        self.worker(lambda claim: done.append(claim.id), concurrency=5)
        ids = [await self.peer.put(n) for n in range(100)]
        ids += await self.job.put_many(range(100))
        theirs = JobsPeer(await self.connect(), self.name)
        while len(done) < 200:
            try:
                id, _ = await theirs.get(1)
            except Exception:
                break
            await theirs.finish(id)
            done.append(id)
        await until(lambda: len(done) == 200)
        self.assertEqual(sorted(done), sorted(ids))
        await until(lambda: self._left())
        self.assertEqual(await self.redis.execute("GET", f"job.finishes:{self.name}"), b"200")

    async def _left(self) -> bool:
        counters = {f"job.{kind}:{self.name}" for kind in ("config", "publishes", "finishes")}
        kept = {f"tx.job.{kind}:{self.name}" for kind in ("results", "due")}
        return set(await self.keys_of(self.name)) == counters | kept

    async def test_no_cross_talk(self) -> None:
        """
        The same name in the contract's dialect is another feed: no job, no message crosses.
        """
        other = await self.thoonk.job(self.name)
        heard, lua_heard, wire = Heard(), Heard(), await self.finishes()
        await other.subscribe(put=heard, finish=heard, claim=heard)
        await self.job.subscribe(put=lua_heard, finish=lua_heard, claim=lua_heard)
        id = await self.peer.put("theirs")
        mine = await other.put("contract")
        await self.refused(other.get(0.1).addCallback(lambda c: other.get(0.1)), Empty, self.name)
        self.assertEqual((await self.job.get(5)).id, id)
        await self.job.finish(id, "r")
        await other.finish(mine, "r")
        await until(lambda: len(wire) == 1)
        await self.settle()
        await self.settle(self.lua)
        self.assertEqual({event.id for event in heard}, {mine})
        self.assertEqual({event.id for event in lua_heard}, {id})
        await self.thoonk.delete_feed(self.name)
        self.assertEqual(await self.lua.get_feed_names() & {self.name}, {self.name})

    def worker(self, handler: Any, **options: Any) -> JobWorker:
        """A worker of ours."""
        worker = JobWorker(self.lua, self.name, handler, **options)
        worker.startService()
        self.addCleanup(worker.stopService)
        return worker


class EverythingTests(LuaCase):
    """What jobs have in the contract's dialect they have here."""

    async def test_put_and_results(self) -> None:
        """
        put with delay, priority and id; get_result with the query; a result that is read late.
        """
        await self.job.put("last", delay=0.05)
        await self.job.put({"x": 1}, id="given")
        await self.job.put("first", priority=True)
        for want in ("first", {"x": 1}):
            claim = await self.job.get(5)
            self.assertEqual(claim.item, want)
            await claim.finish("r")
        self.assertEqual(await self.job.get_result("given"), ({"x": 1}, "r"))

        async def promoted() -> bool:
            return (await self.job.maintenance()).promoted == 1

        await until(promoted)
        self.assertEqual((await self.job.get(5)).item, "last")

    async def test_leases(self) -> None:
        """
        A claim that expires comes back by maintenance; the one that had it is refused.
        """
        job = await self.lua.job(self.name, claim_timeout=0.05)
        await job.put("a")
        claim = await job.get(5)

        async def expired() -> bool:
            return (await job.maintenance()).expired == 1

        await until(expired)
        await self.refused(claim.finish(), LeaseLost, self.name, claim.id)
        self.assertEqual((await job.get(5)).cancelled, 1)

    async def test_events(self) -> None:
        """
        Every kind of event of jobs, those too that thoonk-jobs does not have; in order.
        """
        heard = Heard()
        kinds = (
            "put",
            "claim",
            "finish",
            "cancel",
            "stall",
            "retry",
            "progress",
            "retract",
            "edit",
        )
        await self.job.subscribe(**dict.fromkeys(kinds, heard))
        created = Heard()
        await self.lua.subscribe(self.name, create=created, delete=created)
        await self.job.put("a", id="a")
        claim = await self.job.get(5)
        await claim.progress(0.5)
        await claim.cancel()
        claim = await self.job.get(5)
        await claim.finish("text")
        await self.job.put("b", id="b")
        await self.job.edit("b", "B")
        await self.job.stall("b", "why")
        await self.job.retry("b")
        await self.job.retract("b")
        await self.job.delete()
        await created.when(2)
        told = [type(event).__name__.removeprefix("Job") for event in heard]
        want = "Published Claimed Progress Cancelled Claimed Finished Published Edited Stalled"
        self.assertEqual(told, [*want.split(), "Retried", "Retracted"])
        self.assertEqual(heard[5], JobFinished(self.name, "a", "text"))
        self.assertEqual(heard[0].item, "a")

    async def test_pattern(self) -> None:
        """
        Finishes of all jobs that match are heard once, with a result and without.
        """
        heard = Heard()
        await self.lua.subscribe_pattern(f"{self.name}*", finish=heard)
        for result in ((), ("r",)):
            await self.job.put("a")
            await (await self.job.get(5)).finish(*result)
        await heard.when(2)
        await self.settle(self.lua)
        self.assertEqual([event.result for event in heard], [None, "r"])

    async def test_worker(self) -> None:
        """
        Workers retry, park and give results; stats and attempts say so.
        """
        worker = JobWorker(self.lua, self.name, self._work, max_attempts=2)
        worker.startService()
        self.addCleanup(worker.stopService)
        self.assertEqual(await self.job.call("good", timeout=20), "good")
        bad = await self.job.put("bad")
        again = await self.job.put("again")
        await until(lambda: self._parked({bad, again}))
        self.assertEqual((await self.job.stats()).stalled, 2)
        self.assertIn("bad", (await self.job.get_attempts(bad))[-1].error)

    def _work(self, claim: Any) -> Any:
        if claim.item == "bad":
            raise ValueError("bad")
        if claim.item == "again":
            raise Retry(delay=0)
        return claim.item

    async def _parked(self, ids: set[str]) -> bool:
        return await self.job.get_stalled() == ids

    async def test_fsck(self) -> None:
        """
        A job in two states is found and repaired; what thoonk-jobs has not listed is no leftover.
        """
        await self.peer.put("a", id="a")
        await self.refused(self.lua.fsck(self.name), FeedDoesNotExist, self.name)
        await self.job
        self.assertEqual(await self.lua.fsck(self.name, grace=0.01), [])
        await self.peer.get(5)
        await self.peer.stall("a")
        await self.redis.execute("LPUSH", f"job.ids:{self.name}", "a")
        faults = await self.job.fsck(repair=True, grace=0.01)
        self.assertEqual({(fault.id, fault.repaired) for fault in faults}, {("a", True)})
        self.assertEqual(await self.job.fsck(grace=0.01), [])

    async def test_serializer(self) -> None:
        """
        Whoever names a serializer has items and results in it.
        """
        job = self.lua.job(self.name, serializer="json")
        asked = job.call([1], timeout=20)
        claim = await job.get(5)
        await claim.finish({"a": 1})
        self.assertEqual((claim.item, await asked), ([1], {"a": 1}))
        text = self.lua.job(self.name, serializer="text")
        await text.put("no JSON")
        self.assertEqual((await text.get(5)).item, "no JSON")


class NamesTests(LuaCase):
    """Feeds and jobs of one name are two things here."""

    async def test_same_name(self) -> None:
        """
        A verb that has only the name to go by refuses to guess.
        """
        await self.job
        feed = await self.lua.feed(self.name)
        await self.refused(self.lua.get_config(self.name), WrongFeedType, self.name)
        self.assertEqual((await self.lua.get_config(self.name, type="job"))["type"], "job")
        await self.refused(self.lua.create_feed(self.name, type="job"), FeedExists, self.name)
        await self.lua.delete_feed(self.name, type="job")
        await self.refused(self.job.delete(), FeedDoesNotExist, self.name)
        self.assertEqual((await feed.get_config())["type"], "feed")
        self.assertTrue(await self.lua.feed_exists(self.name))
        await self.lua.delete_feed(self.name)
        self.assertEqual(await self.keys_of(self.name), {})
        self.assertFalse(await self.lua.feed_exists(self.name))

    async def test_refused(self) -> None:
        """
        What the dialect does not have is refused at once, by a typed error that names the feed.
        """
        lua, heard = self.lua, Heard()
        for wrong in (
            lambda: lua.sorted_feed(self.name),
            lambda: lua.queue(self.name),
            lambda: lua.feed(self.name, clock="s"),
            lambda: lua.set_config(self.name, clock="s"),
            lambda: lua.create_feed(self.name, type="queue"),
            lambda: lua.subscribe(self.name, position=heard),
            lambda: lua.subscribe(self.name, move=heard),
            lambda: lua.subscribe_pattern(self.name, position=heard),
        ):
            error: Any = self.assertRaises(NotInDialect, wrong)
            self.assertEqual(error.feed, self.name)
            self.assertIn("'lua'", str(error))
        self.assertRaises(NotInDialect, lua.register_handler, "position", heard)
        self.assertEqual(await self.keys_of(self.name), {})
