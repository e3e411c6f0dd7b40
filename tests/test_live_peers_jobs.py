"""Queues and jobs that pass between ours and the real thoonk.py."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import gatherResults

from tests.helpers import Heard, until
from tests.peers.process import LivePeerCase, PeerRaised
from tests.peers.shared import share
from txthoonk import Empty
from txthoonk.errors import ItemDoesNotExist, JobNotClaimed, JobNotStalled, LeaseLost, ThoonkError
from txthoonk.events import JobFinished, JobPublished

#: As many as are told of in ``docs/peers.rst``.
JOBS = 3_000


class QueueTests(LivePeerCase):
    """REPORT 4.5: what one puts the other gets, in order."""

    async def test_both_ways(self) -> None:
        """
        First in first out, and priority before all others; nothing is left but the counter.
        """
        name = self.feed_name()
        queue = await self.thoonk.queue(name)
        peer = await self.peer()
        for item in "123":
            await queue.put(item)
        await queue.put("first\0", priority=True)
        got = [await peer.of("queue", name, "get", 1) for _ in range(4)]
        self.assertEqual(got, ["first\0", "1", "2", "3"])
        for item in ("1", "", "ü"):
            await peer.of("queue", name, "put", item)
        self.assertEqual([await queue.get(timeout=5) for _ in range(3)], ["1", "", "ü"])
        self.assertEqual(
            await self.keys_of(name),
            {f"feed.config:{name}": "hash", f"feed.publishes:{name}": "string"},
        )
        # Empty for both; and thoonk.py cannot put with priority at all.
        failure = await self.assertFailure(peer.of("queue", name, "get", 1), PeerRaised)
        self.assertEqual(failure.kind, "Empty")
        await self.assertFailure(queue.get(timeout=0.05), Empty)
        failure = await self.assertFailure(peer.of("queue", name, "put", "x", True), PeerRaised)
        self.assertEqual(failure.kind, "TypeError")

    async def test_blocked(self) -> None:
        """
        A get that waits in either is served by the other's put.
        """
        name = self.feed_name()
        queue = await self.thoonk.queue(name)
        peer = await self.peer()
        theirs = peer.of("queue", name, "get", 10)
        await until(self.somebody_waits)
        await queue.put("for them")
        self.assertEqual(await theirs, "for them")
        ours = queue.get(timeout=10)
        await until(self.somebody_waits)
        await peer.of("queue", name, "put", "for us")
        self.assertEqual(await ours, "for us")

    async def somebody_waits(self) -> bool:
        """Whether a command blocks in Redis."""
        return b"blocked_clients:0\r\n" not in await self.redis.execute("INFO", "clients")


class JobCase(LivePeerCase):
    """A feed of jobs, and a thoonk.py that listens and works."""

    async def setUp(self) -> None:
        await super().setUp()
        self.name = self.feed_name()
        self.job = await self.thoonk.job(self.name)
        self.peer_ = await self.peer(listen=True)

    def theirs(self, verb: str, *args: Any) -> Any:
        """thoonk.py's job does it."""
        return self.peer_.of("job", self.name, verb, *args)

    async def states(self, id: str) -> dict[str, bool]:
        """In which of the contract's keys a job is."""
        keys, execute = self.job.keys, self.redis.execute
        return {
            "available": await execute("LPOS", keys.ids, id) is not None,
            "claimed": await execute("ZSCORE", keys.claimed, id) is not None,
            "stalled": bool(await execute("SISMEMBER", keys.stalled, id)),
            "published": await execute("ZSCORE", keys.published, id) is not None,
            "item": bool(await execute("HEXISTS", keys.items, id)),
        }


class ResultTests(JobCase):
    """REPORT 4.6: a job of one, finished by the other."""

    async def test_theirs_finished_by_ours(self) -> None:
        """
        thoonk.py's ``finish`` handler gets the result; its claims and puts are told to ours.
        """
        told = Heard()
        await self.job.subscribe(put=told, finish=told)
        for result in ("done", "", "a\0b", "ü"):
            id = await self.theirs("put", "work\0")
            claim = await self.job.get(timeout=5)
            self.assertEqual(claim, (id, "work\0", 0))
            await claim.finish(result)
            self.assertIn(["finish", self.name, id, result], await self.hears(self.peer_))
            await told.when(2)
            self.assertEqual(
                told, [JobPublished(self.name, id, "work\0"), JobFinished(self.name, id, result)]
            )
            told.clear()

    async def test_ours_finished_by_theirs(self) -> None:
        """
        Who waits for the result gets it, with what was put.
        """
        for result in ("done", "", "a\0b", "ü"):
            id = await self.job.put("work\0")
            waiting = self.job.get_result(id, timeout=10)
            self.assertEqual(await self.theirs("get", 5), [id, "work\0", 0])
            # Nobody stores thoonk.py's results: who waits has to be subscribed.
            channel = self.job.keys.finish_channel
            await until(
                lambda channel=channel: self.redis.execute("PUBSUB", "NUMSUB", channel).addCallback(
                    lambda reply: reply[1] == 2
                )
            )
            await self.theirs("finish", id, result)
            self.assertEqual(await waiting, ("work\0", result))

    async def test_without_result(self) -> None:
        """
        A finish without a result is told to no listener of thoonk.py, which would end; and
        thoonk.py's is told to nobody: who waits for one learns that the job is gone.
        """
        id = await self.theirs("put", "work")
        await (await self.job.get(timeout=5)).finish()
        # Its put alone.
        self.assertEqual(await self.hears(self.peer_), [["publish", self.name, "work", id]])
        self.assertEqual(await self.theirs("get_ids"), [])

        id = await self.job.put("work")
        await self.theirs("get", 5)
        await self.theirs("finish", id)
        await self.assertFailure(self.job.get_result(id, timeout=10), ItemDoesNotExist)

    async def test_called(self) -> None:
        """
        ``call``, which waits from before the put, gets what thoonk.py makes of it.
        """
        called = self.job.call("work", timeout=10)
        (id, item, _) = await self.theirs("get", 5)
        await self.theirs("finish", id, item + "ed")
        self.assertEqual(await called, "worked")


class StateTests(JobCase):
    """REPORT 4.7: what one does to a job's state, the other sees."""

    async def test_cancel(self) -> None:
        """
        Cancels by either are counted together; the job comes back.
        """
        id = await self.job.put("work")
        await (await self.job.get(timeout=5)).cancel()
        self.assertEqual(await self.theirs("get_failure_count", id), 1)
        self.assertEqual(await self.theirs("get", 5), [id, "work", 1])
        await self.theirs("cancel", id)
        self.assertEqual(await self.job.get_failure_count(id), 2)
        claim = await self.job.get(timeout=5)
        self.assertEqual(claim, (id, "work", 2))
        # Whoever cancels what ours works on: ours is refused, and the job is nobody's but the next.
        await self.theirs("cancel", id)
        await self.assertFailure(claim.finish("late"), LeaseLost)
        self.assertEqual(await self.theirs("get", 5), [id, "work", 3])
        await self.theirs("finish", id, "done")
        await self.assertFailure(claim.finish("late"), LeaseLost)
        self.assertEqual((await self.job.stats()).finishes, 1)

    async def test_claimed_again_by_the_same_millisecond(self) -> None:
        """
        thoonk.py cancels a claim of ours and claims it itself: ours is refused all the same.
        """
        for _ in range(20):
            id = await self.job.put("work")
            claim = await self.job.get(timeout=5)
            await gatherResults([self.theirs("cancel", id), self.theirs("get", 5)])
            for verb in (claim.finish, claim.cancel, claim.release, claim.extend):
                await self.assertFailure(verb(), LeaseLost)
            await self.theirs("finish", id)

    async def test_stall_and_retry(self) -> None:
        """
        What one parks the other retries; thoonk.py's retry writes seconds, and ours take the job.
        """
        parked = {"available": False, "claimed": False, "stalled": True, "published": False}
        available = {"available": True, "claimed": False, "stalled": False, "published": True}
        for stall, retry in (("ours", "theirs"), ("theirs", "ours"), ("theirs", "theirs")):
            id = await self.job.put("work")
            if stall == "ours":
                await (await self.job.get(timeout=5)).stall("why")
            else:
                await self.theirs("get", 5)
                await self.theirs("stall", id)
            self.assertEqual(await self.states(id), {**parked, "item": True})
            self.assertEqual(await self.job.get_stalled(), {id})
            await (self.job.retry(id) if retry == "ours" else self.theirs("retry", id))
            self.assertEqual(await self.states(id), {**available, "item": True})
            score = float(await self.redis.execute("ZSCORE", self.job.keys.published, id))
            self.assertEqual(score < 1e11, retry == "theirs")
            claim = await self.job.get(timeout=5)
            self.assertEqual(claim.id, id)
            await claim.finish()

    async def test_retried_twice(self) -> None:
        """
        thoonk.py's retry of what is not stalled queues it twice: ours take it once, and drop the
        other copy; ours refuse such a retry.
        """
        id = await self.job.put("work")
        await self.assertFailure(self.job.retry(id), JobNotStalled)
        await self.theirs("retry", id)
        self.assertEqual(await self.redis.execute("LLEN", self.job.keys.ids), 2)
        claim = await self.job.get(timeout=5)
        await self.assertFailure(self.job.get(timeout=0.2), Empty)
        await claim.finish("done")
        self.assertEqual(await self.redis.execute("LLEN", self.job.keys.ids), 0)
        self.assertEqual((await self.job.stats()).finishes, 1)

        # A copy that thoonk.py takes after ours finished the other has no item; ours clean it up.
        id = await self.job.put("work")
        await self.theirs("retry", id)
        claim = await self.job.get(timeout=5)
        await claim.finish("done")
        self.assertEqual(await self.theirs("get", 5), [id, None, 0])
        await self.theirs("finish", id)
        self.assertEqual((await self.job.stats()).claimed, 0)

    async def test_delayed(self) -> None:
        """
        thoonk.py leaves a delayed job alone; it retries it as if it were parked, and retracts it.
        """
        early, gone = await self.job.put("a", delay=60), await self.job.put("b", delay=60)
        failure = await self.assertFailure(self.theirs("get", 1), PeerRaised)
        self.assertEqual(failure.kind, "Empty")
        await self.theirs("retry", early)
        await self.theirs("retract", gone)
        self.assertEqual(await self.theirs("get", 5), [early, "a", 0])
        await self.theirs("finish", early)
        await self.job.maintenance()
        stats = await self.job.stats()
        self.assertEqual((stats.delayed, stats.available, stats.claimed), (0, 0, 0))

    async def test_retract(self) -> None:
        """
        A job that one takes out is gone for the other, in whatever state it was.
        """
        for ours in (True, False):
            waiting, claimed, stalled = [await self.job.put(item) for item in "abc"]
            await self.job.stall(stalled)
            await self.redis.execute("LREM", self.job.keys.ids, 0, claimed)
            await self.redis.execute("RPUSH", self.job.keys.ids, claimed)
            claim = await self.job.get(timeout=5)
            self.assertEqual(claim.id, claimed)
            for id in (waiting, claimed, stalled):
                await (self.job.retract(id) if ours else self.theirs("retract", id))
                self.assertEqual(set((await self.states(id)).values()), {False})
            await self.assertFailure(claim.finish(), ThoonkError)
            await self.job.maintenance()
        self.assertEqual(
            await self.contract_keys(self.name),
            {f"feed.config:{self.name}", f"feed.publishes:{self.name}"},
        )

    async def test_lost_by_theirs(self) -> None:
        """
        A thoonk.py that dies between its pop and its claim leaves a job in no state: maintenance
        of ours brings it back. thoonk.py's own cannot: it fails.
        """
        id = await self.theirs("put", "work")
        await self.redis.execute("RPOP", self.job.keys.ids)  # as far as it came
        failure = await self.assertFailure(self.theirs("maintenance"), PeerRaised)
        self.assertEqual(failure.kind, "TypeError")
        self.assertEqual((await self.job.maintenance(lost_grace=0.05)).lost, 1)
        self.assertEqual(await self.theirs("get", 5), [id, "work", 0])

    async def test_claimed_by_the_dead(self) -> None:
        """
        What thoonk.py had claimed when it died comes back where the feed has a ``peer_timeout``.
        """
        await self.job.set_config(peer_timeout=0.05)
        worker = await self.peer()
        id = await self.job.put("work")
        await worker.of("job", self.name, "get", 5)
        await worker.kill()
        await until(lambda: self.job.maintenance().addCallback(lambda done: done.expired))
        # An expiry is a failed attempt; the count is read by all.
        claim = await self.job.get(timeout=5)
        self.assertEqual(claim, (id, "work", 1))
        self.assertEqual(await self.theirs("get_failure_count", id), 1)

    async def test_unclaimed(self) -> None:
        """
        What is not claimed: ours say so, thoonk.py says nothing, and nothing is written.
        """
        id = await self.job.put("work")
        before = await self.redis.execute("LRANGE", self.job.keys.ids, 0, -1)
        for verb in ("finish", "cancel"):
            self.assertIsNone(await self.theirs(verb, id))
            await self.refused(getattr(self.job, verb)(id), JobNotClaimed, self.name, id=id)
        self.assertEqual(await self.redis.execute("LRANGE", self.job.keys.ids, 0, -1), before)
        self.assertEqual((await self.job.stats()).finishes, 0)


class SharingTests(LivePeerCase):
    """REPORT 4.8: workers of several makes on the same jobs."""

    timeout = 240

    async def test_three_workers(self) -> None:
        """
        Ours, thoonk.py and a bare BRPOP loop: each job is done once, by all three, the counters
        are right, and no key is left but options and counters.
        """
        peers = [await self.peer(), await self.peer()]
        shared = await share(self.thoonk, *peers, await self.connect(), JOBS)
        self.assertEqual(shared.problems(), [])
        # The results of our worker were kept for who asks, and went when they were due.
        self.assertLessEqual(shared.kept.keys(), {"tx.feed.results", "tx.feed.due"})


class DeletedTests(LivePeerCase):
    """REPORT 4.9: feeds that one deletes."""

    async def fill(self, name: str) -> Any:
        """A feed of jobs with something in each of its keys."""
        job = await self.thoonk.job(name)
        peer = await self.peer()
        for item in "abcdef":
            await job.put(item)
        await job.put("g", delay=60)
        await (await job.get(timeout=5)).finish("result")
        await (await job.get(timeout=5)).stall("why")
        await (await job.get(timeout=5)).cancel()
        await job.get(timeout=5)
        await peer.of("job", name, "get", 5)
        await peer.of("job", name, "put", "h")
        self.assertGreater(len(await self.keys_of(name)), 12)
        return job, peer

    async def test_by_ours(self) -> None:
        """
        No key is left; a thoonk.py that still works on it is no trouble for whoever is next.
        """
        name = self.feed_name()
        job, peer = await self.fill(name)
        await job.delete()
        self.assertEqual(await self.keys_of(name), {})
        # thoonk.py does not look whether the feed is there: its keys come back, without the name.
        await peer.of("job", name, "put", "late")
        self.assertIs(await self.thoonk.feed_exists(name), False)
        self.assertNotEqual(await self.keys_of(name), {})
        await self.assertFailure(job.put("x"), ThoonkError)
        again = await self.thoonk.job(name)
        self.assertEqual((await again.stats()).available, 1)
        claim = await again.get(timeout=5)
        self.assertEqual(claim.item, "late")
        await claim.finish()
        await again.delete()
        self.assertEqual(await self.keys_of(name), {})

    async def test_published_into(self) -> None:
        """
        The same of a feed, that somebody follows.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name, max_length=2)
        peer = await self.peer()
        await peer.of("feed", name, "publish", "x", "a")
        live = await self.thoonk.follow(name, lambda event: None)
        await feed.delete()
        self.assertEqual(await self.keys_of(name), {})
        await peer.of("feed", name, "publish", "y", "b")
        await self.assertFailure(feed.publish("z"), ThoonkError)
        again = await self.thoonk.feed(name)
        await again.publish("z", id="c")
        self.assertIn("c", await again.get_ids())
        live.stop()
        await again.delete()
        self.assertEqual(await self.keys_of(name), {})

    async def test_by_theirs(self) -> None:
        """
        thoonk.py leaves what it does not know of; the next feed of that name begins anew all the
        same, and deleting it leaves nothing.
        """
        name = self.feed_name()
        _, peer = await self.fill(name)
        await peer.verb("delete_feed", name)
        left = await self.keys_of(name)
        self.assertIn(f"feed.published:{name}", left)
        again = await self.thoonk.job(name)
        stats = await again.stats()
        self.assertEqual(tuple(stats)[:5], (0, 0, 0, 0, 0), stats)
        await again.put("new")
        self.assertEqual((await again.get(timeout=5))[1:], ("new", 0))
        await again.delete()
        self.assertEqual(await self.keys_of(name), {})
