"""Jobs: put, claimed, finished, and everything in between."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import gatherResults

from tests.helpers import ThoonkTestCase
from txthoonk import (
    NO_RESULT,
    Claim,
    Empty,
    FeedDoesNotExist,
    ItemError,
    JobClaimed,
    JobFinished,
    JobPublished,
)
from txthoonk.errors import WrongKeyType
from txthoonk.types.base import ItemId
from txthoonk.types.producing import BATCH, BATCH_BYTES

#: Where peers do not listen: finishes without a result.
DONE = "tx.feed.finish"


class JobCase(ThoonkTestCase):
    """A feed of jobs, ``self.job``, and what is published about it, ``self.news()``."""

    async def setUp(self) -> None:
        await super().setUp()
        self.name = self.feed_name()
        self.job = await self.thoonk.job(self.name, result_ttl=0)
        self.keys = self.job.keys
        self.news = await self.watch(self.name)

    async def left(self) -> set[str]:
        """Keys of the feed, but its options and its counters."""
        kept = {self.keys.config, self.keys.publishes, self.keys.finishes}
        return set(await self.keys_of(self.name)) - {key.decode() for key in kept}


class PutTests(JobCase):
    """Putting jobs."""

    async def test_put(self) -> None:
        """
        A job that was put is available, and announced.
        """
        first = await self.job.put("one")
        second = await self.job.publish("two", id="b")
        self.assertIsInstance(first, ItemId)
        self.assertRegex(first, "^[0-9a-f]{32}$")
        self.assertEqual(second, "b")
        self.assertEqual(set(await self.job.get_ids()), {first, "b"})
        self.assertEqual(await self.job.length(), 2)
        self.assertEqual(await self.job.stats(), (2, 0, 0, 0, 0, 2, 0))
        told = [("feed.publishes", f"{first}\0one".encode()), ("feed.publishes", b"b\0two")]
        self.assertEqual(await self.news(), told)

    async def test_priority(self) -> None:
        """
        What is put with HIGH is claimed before what is there.
        """
        await self.job.put("a")
        await self.job.put("b", self.job.HIGH)
        await self.job.put("c", priority=False)
        await self.job.put_many(["d", "e"], priority=True)
        items = [(await self.job.get()).item for _ in range(5)]
        self.assertEqual(items, ["e", "d", "b", "a", "c"])

    async def test_many(self) -> None:
        """
        5,000 jobs are put in a few calls, in order, each announced.
        """
        items = [f"job {i}" for i in range(5000)]
        ids = await self.job.put_many(iter(items))
        self.assertEqual(len(set(ids)), 5000)
        self.assertIsInstance(ids[0], ItemId)
        self.assertEqual(await self.job.stats(), (5000, 0, 0, 0, 0, 5000, 0))
        told = [(c, p.partition(b"\0")[2].decode()) for c, p in await self.news()]
        self.assertEqual(told, [("feed.publishes", item) for item in items])
        claims = await gatherResults([self.job.get() for _ in range(5000)])
        self.assertEqual([(c.id, c.item) for c in claims], list(zip(ids, items, strict=True)))

    async def test_batches(self) -> None:
        """
        A call has at most so many jobs and so many bytes; a job that is larger has its own.
        """
        calls: list[int] = []
        send = self.thoonk.redis.send
        self.patch(self.thoonk.redis, "send", lambda command: calls.append(1) or send(command))
        for items, expected in (
            ([], 0),
            (["x"], 1),
            (["x"] * BATCH, 1),
            (["x"] * (BATCH + 1), 2),
            (["x" * (BATCH_BYTES // 2)] * 4, 2),
            (["x" * (BATCH_BYTES + 1)] * 3, 3),
        ):
            calls.clear()
            self.assertEqual(len(await self.job.put_many(items)), len(items))
            self.assertEqual(len(calls), expected)

    async def test_silent(self) -> None:
        """
        With ``announce=False`` neither puts nor claims are told, results are.
        """
        job = await self.thoonk.job(self.name, announce=False)
        await self.news()
        await job.put("x")
        await job.put_many(["y", "z"])
        claim = await job.get()
        self.assertEqual(await self.news(), [])
        await claim.finish("done")
        self.assertEqual(await self.news(), [("job.finish", f"{claim.id}\0done".encode())])

    async def test_bad_items(self) -> None:
        """
        What is no job of the feed's kind is refused at once; of many none is put.
        """
        self.assertRaises(TypeError, self.job.put, b"bytes")
        self.assertRaises(TypeError, self.job.put_many, ["good", 5])
        self.assertRaises(ValueError, self.job.put, "x", id="")
        self.assertEqual(await self.job.stats(), (0, 0, 0, 0, 0, 0, 0))

    async def test_deleted(self) -> None:
        """
        A handle on jobs that were deleted does not bring them back.
        """
        await self.job.put("x", id="a")
        await self.job.delete()
        for call in (self.job.put("x"), self.job.put_many(["x"] * 3000), self.job.get()):
            await self.refused(call, FeedDoesNotExist, self.name)
        self.assertEqual(await self.job.get_ids(), [])
        self.assertEqual(await self.keys_of(self.name), {})

    async def test_foreign_key(self) -> None:
        """
        A key of the feed that holds something else fails its verbs, naming the feed.
        """
        await self.redis.execute("SET", self.keys.published, "x")
        for call in (self.job.put("x"), self.job.put_many(["x"])):
            await self.refused(call, WrongKeyType, self.name)
        self.assertEqual(await self.job.length(), 0)


class PutAgainTests(JobCase):
    """Ids of one's own."""

    async def test_idempotent(self) -> None:
        """
        A job that is there, in whatever state, is not put a second time, nor changed, nor told.
        """
        await self.job.put("old", id="a")
        for step in ("available", "claimed", "cancelled", "stalled"):
            if step == "claimed":
                claim = await self.job.get()
            elif step == "cancelled":
                await claim.cancel()
            elif step == "stalled":
                await self.job.stall("a")
            before = await self.job.stats()
            await self.news()
            self.assertEqual(await self.job.put("new", id="a"), "a")
            self.assertEqual(await self.job.stats(), before, step)
            self.assertEqual(await self.news(), [])
        await self.job.retry("a")
        self.assertEqual((await self.job.get()).item, "old")

    async def test_after_the_end(self) -> None:
        """
        The id of a job that was finished or retracted is free again.
        """
        await self.job.put("first", id="a")
        await (await self.job.get()).finish()
        await self.job.put("second", id="a")
        await self.job.retract("a")
        await self.job.put("third", id="a")
        self.assertEqual((await self.job.get()).item, "third")

    async def test_retracted_by_a_peer(self) -> None:
        """
        thoonk.js leaves the item of a job that it retracts; the id is free all the same.
        """
        await self.job.put("old", id="a")
        await self.redis.execute("ZREM", self.keys.published, "a")
        await self.redis.execute("LREM", self.keys.ids, 1, "a")
        await self.job.put("new", id="a")
        self.assertEqual(tuple(await self.job.get(timeout=5)), ("a", "new", 0))

    async def test_deleted_by_a_peer(self) -> None:
        """
        thoonk.js leaves claimed and stalled ids behind: jobs of these ids are put as any other.
        """
        await self.redis.execute("ZADD", self.keys.claimed, 1, "a")
        await self.redis.execute("SADD", self.keys.stalled, "b")
        for id in ("a", "b"):
            await self.job.put("new", id=id)
            self.assertEqual((await self.job.get(timeout=5)).id, id)
        self.assertEqual(await self.job.stats(), (0, 0, 2, 0, 0, 2, 0))


class ClaimTests(JobCase):
    """Claiming and finishing."""

    async def test_claim(self) -> None:
        """
        A claim has the job's id, item and count of cancels; the job is claimed, which is told.
        """
        ids = await self.job.put_many(["one", "two"])
        await self.news()
        claim = await self.job.get()
        self.assertIsInstance(claim, Claim)
        id, item, cancelled = claim
        self.assertEqual((id, item, cancelled), (ids[0], "one", 0))
        self.assertEqual((claim.id, claim.item, claim.cancelled), (ids[0], "one", 0))
        self.assertEqual(await self.job.stats(), (1, 0, 1, 0, 0, 2, 0))
        self.assertEqual(await self.news(), [("feed.claimed", ids[0].encode())])

    async def test_finish(self) -> None:
        """
        A finished job is gone but for the count; its result is told, or just its end.
        """
        results: tuple[tuple[Any, bytes | None], ...] = (
            (NO_RESULT, None),
            ("done", b"done"),
            ("", b""),
            ("x\0y", b"x\0y"),
        )
        for result, told in results:
            await self.job.put("x")
            claim = await self.job.get()
            await self.news()
            self.assertIsNone(await claim.finish(result))
            id = claim.id.encode()
            expected = ("job.finish", id + b"\0" + told) if told is not None else (DONE, id)
            self.assertEqual(await self.news(), [expected])
        self.assertEqual(await self.left(), set())
        self.assertEqual(await self.job.stats(), (0, 0, 0, 0, 0, 4, 4))
        self.assertEqual(repr(NO_RESULT), "NO_RESULT")

    async def test_result_of_the_kind(self) -> None:
        """
        A result is of the kind of the items; what is not is refused at once.
        """
        json = self.thoonk.job(self.name, serializer="json")
        await json.put([1])
        claim = await json.get()
        await self.news()
        await claim.finish(None)
        self.assertEqual(await self.news(), [("job.finish", claim.id.encode() + b"\0null")])
        self.assertRaises(TypeError, self.job.finish, "a", None)

    async def test_cancel(self) -> None:
        """
        A cancelled job is available behind the others, and its cancels are counted.
        """
        await self.job.put("x", id="a")
        await self.job.put("y", id="b")
        await (await self.job.get()).cancel()
        self.assertEqual(await self.job.get_failure_count("a"), 1)
        self.assertEqual(tuple(await self.job.get()), ("b", "y", 0))
        claim = await self.job.get()
        self.assertEqual(tuple(claim), ("a", "x", 1))
        await claim.cancel()
        self.assertEqual(await self.job.get_failure_count("a"), 2)
        self.assertEqual(await self.job.get_failure_count("b"), 0)
        self.assertEqual(await self.job.get_failure_count("none"), 0)
        await (await self.job.get()).finish()
        self.assertEqual(await self.job.get_failure_count("a"), 0)

    async def test_release(self) -> None:
        """
        A released job is the next one, as if it had not been claimed.
        """
        await self.job.put("x", id="a")
        await self.job.put("y", id="b")
        await (await self.job.get()).release()
        self.assertEqual(tuple(await self.job.get()), ("a", "x", 0))

    async def test_stall_and_retry(self) -> None:
        """
        A stalled job waits, uncounted, until it is retried; then it is behind the others.
        """
        await self.job.put("x", id="a")
        await (await self.job.get()).cancel()
        await (await self.job.get()).stall()
        self.assertEqual(await self.job.get_stalled(), {"a"})
        self.assertEqual(await self.job.get_failure_count("a"), 0)
        await self.refused(self.job.get(0.01), Empty, self.name)
        await self.job.put("y", id="b")
        await self.job.retry("a")
        self.assertEqual(await self.job.get_stalled(), set())
        self.assertEqual([(await self.job.get()).id for _ in range(2)], ["b", "a"])

    async def test_events(self) -> None:
        """
        Listeners of a feed of jobs hear of puts, claims and results; publish means put.
        """
        heard: list[Any] = []
        await self.job.subscribe(publish=heard.append, claim=heard.append, finish=heard.append)
        await self.job.put("x", id="a")
        await (await self.job.get()).finish("done")
        await self.news()
        self.assertEqual(
            heard,
            [
                JobPublished(self.name, "a", "x"),
                JobClaimed(self.name, "a"),
                JobFinished(self.name, "a", "done"),
            ],
        )

    async def test_undecodable(self) -> None:
        """
        A job that nobody can read fails its get, named, and is parked; the next one is claimed.
        """
        json = self.thoonk.job(self.name, serializer="json")
        bad = await self.job.put("{no json")
        good = await json.put(["x"])
        await self.refused(json.get(), ItemError, self.name, bad)
        self.assertEqual(await json.get_stalled(), {bad})
        self.assertEqual(tuple(await json.get()), (good, ["x"], 0))
        await json.retry(bad)
        self.assertEqual((await self.job.get()).item, "{no json")

    async def test_what_is_no_job(self) -> None:
        """
        Ids that are claimed, stalled, doubled or without item are passed over.
        """
        await self.job.put_many(["claimed", "stalled"])
        claimed = (await self.job.get()).id
        stalled = (await self.job.get()).id
        await self.job.stall(stalled)
        await self.job.put("x", id="good")
        await self.redis.execute("RPUSH", self.keys.ids, "good", claimed, stalled, "gone")
        self.assertEqual((await self.job.get()).id, "good")
        self.assertEqual(await self.job.stats(), (1, 0, 2, 1, 0, 3, 0))
        await self.refused(self.job.get(0.01), Empty, self.name)
        self.assertEqual(await self.job.stats(), (0, 0, 2, 1, 0, 3, 0))

    async def test_count_of_a_peer(self) -> None:
        """
        Whatever is in place of a count of cancels is no obstacle to a claim; a cancel says so.
        """
        await self.job.put("x", id="a")
        await self.redis.execute("HSET", self.keys.cancelled, "a", "many")
        self.assertEqual(await self.job.get_failure_count("a"), 0)
        claim = await self.job.get()
        self.assertEqual(claim.cancelled, 0)
        await self.refused(claim.cancel(), WrongKeyType, self.name)
        await claim.finish()
        self.assertEqual(await self.left(), set())
