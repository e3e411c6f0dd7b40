"""Delayed jobs: they become available when they are due, whatever is done with them before."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import gatherResults

from tests.helpers import until
from tests.peer_jobs import PeerCase
from txthoonk import Empty, JobNotClaimed, JobNotStalled, LeaseLost
from txthoonk.types.maintenance import DUE, DUE_CALLS


class DelayedCase(PeerCase):
    """Delayed jobs."""

    async def delayed(self, id: str = "a", due: bool = False) -> None:
        """A delayed job; one that is due waits for nothing but maintenance."""
        await self.job.put(f"item {id}", id=id, delay=3600)
        if due:
            await self.come_due(id)
        self.assertEqual(await self.states(id), ["delayed"])
        await self.news()

    async def promoted(self) -> int:
        """How many a pass of maintenance makes available; it must find nothing else to do."""
        done = await self.job.maintenance(lost_grace=0.001)
        self.assertEqual((*done[:4], done.swept), (0, 0, 0, 0, 0))
        return done.promoted

    async def nothing_left(self) -> None:
        """There is no trace of any job, and none comes back."""
        for _ in range(2):
            self.assertFalse(any(await self.job.maintenance(handoff_grace=0, lost_grace=0.001)))
        self.assertEqual(await self.left(), set())

    async def worked_off(self, *ids: str) -> None:
        """These are there, each once, and done; then there is no trace of any job."""
        claims = [await self.job.get(5) for _ in ids]
        self.assertEqual([claim.id for claim in claims], [*ids])
        await self.refused(self.job.get(0.01), Empty, self.name)
        await gatherResults([claim.finish("done", ttl=0) for claim in claims])
        await self.nothing_left()


class ReleasedTests(DelayedCase):
    """Claims that are given back for later."""

    async def test_released(self) -> None:
        """
        A claim that is given back for later does not count, and its job comes back when it is due.
        """
        await self.job.put("item a", id="a")
        claim = await self.job.get(5)
        await claim.release(delay=3600)
        self.assertEqual(await self.states("a"), ["delayed"])
        with self.assertRaises(LeaseLost):
            await claim.release(delay=3600)
        self.assertEqual(await self.job.get_failure_count("a"), 0)
        await self.come_due("a")
        self.assertEqual(await self.promoted(), 1)
        await self.worked_off("a")

    async def test_soon(self) -> None:
        """
        However short the time is, the job is behind those that are there.
        """
        for id in ("a", "b"):
            await self.job.put(f"item {id}", id=id)
        claim = await self.job.get(5)
        await claim.release(delay=0.0001)
        self.assertEqual((await self.job.get(5)).id, "b")
        await until(self.promoted)
        self.assertEqual((await self.job.get(5)).id, "a")
        for delay in (-1, float("nan"), 1e10):
            with self.assertRaises(ValueError):
                claim.release(delay=delay)


class PromotionTests(DelayedCase):
    """What is due."""

    async def test_when_due(self) -> None:
        """
        A job for later is available when its time has come, by Redis's clock, and not before.
        """
        await self.job.put("x", id="a", delay=0.08)
        due = int(await self.redis.execute("ZSCORE", self.keys.delayed, "a"))
        await self.news()
        await until(self.promoted)
        self.assertTrue(await self.now() >= due)
        self.assertEqual(await self.news(), [("tx.feed.retry", b"a")])
        self.assertEqual(await self.states("a"), ["available"])
        await self.worked_off("a")

    async def test_after_cancel(self) -> None:
        """
        One that was cancelled for later comes back with its count.
        """
        await self.job.put("x", id="a")
        await (await self.job.get()).cancel(delay=0.02)
        await until(self.promoted)
        self.assertEqual(tuple(await self.job.get()), ("a", "x", 1))

    async def test_wakes(self) -> None:
        """
        A get that waits gets the job as soon as it is due.
        """
        await self.delayed(due=True)
        waiting = (await self.other()).get()
        self.assertEqual(await self.promoted(), 1)
        claim = await waiting
        self.assertEqual(claim.id, "a")
        await claim.finish()

    async def test_order(self) -> None:
        """
        What was due first comes first, behind those that wait already.
        """
        await self.job.put("x", id="waits")
        for i, id in ((3, "c"), (1, "a"), (2, "b")):
            await self.delayed(id)
            await self.redis.execute("ZADD", self.keys.delayed, "XX", i, id)
        await self.delayed("later")
        self.assertEqual(await self.promoted(), 3)
        self.assertEqual([(await self.job.get()).id for _ in range(4)], ["waits", "a", "b", "c"])
        self.assertEqual(await self.states("later"), ["delayed"])

    async def test_next_due(self) -> None:
        """
        A pass says when the next job will be due, for whoever runs the passes.
        """
        self.assertEqual(await self.promoted(), 0)
        self.assertEqual(self.job.next_due, -1)
        await self.delayed("b")
        await self.job.put("x", id="a", delay=50)
        await self.promoted()
        self.assertTrue(49_000 < self.job.next_due <= 50_000, self.job.next_due)
        await self.come_due("a")
        self.assertEqual(await self.promoted(), 1)
        self.assertTrue(3_500_000 < self.job.next_due <= 3_600_000)

    async def test_many(self) -> None:
        """
        A pass promotes so many and no more; the next one goes on.
        """
        most = DUE * DUE_CALLS
        ids = [f"job {i:04}" for i in range(most + 250)]
        await gatherResults([self.job.put("x", id=id, delay=3600) for id in ids])
        await self.come_due(*ids)
        sent: list[Any] = []
        send = self.thoonk.redis.send
        self.patch(self.thoonk.redis, "send", lambda command: sent.append(1) or send(command))
        self.assertEqual(await self.promoted(), most)
        self.assertTrue(len(sent) < DUE_CALLS + 8, len(sent))
        self.assertEqual((await self.job.stats())[:5], (most, 0, 0, 0, 250))
        self.assertEqual(await self.promoted(), 250)
        self.assertEqual(await self.promoted(), 0)
        queued = await self.redis.execute("LRANGE", self.keys.ids, 0, -1)
        self.assertEqual([id.decode() for id in reversed(queued)], ids)

    async def test_copies(self) -> None:
        """
        Several processes at once promote each job once.
        """
        ids = [f"job {i}" for i in range(350)]
        await gatherResults([self.job.put("x", id=id, delay=3600) for id in ids])
        await self.come_due(*ids)
        jobs = [self.job, await self.other(), await self.other()]
        await self.news()
        passes = await gatherResults([job.maintenance() for job in jobs])
        self.assertEqual(sum(done.promoted for done in passes), 350)
        self.assertEqual(await self.job.length(), 350)
        told = await self.news()
        self.assertEqual(sorted(told), sorted(("tx.feed.retry", id.encode()) for id in ids))

    async def test_not_taken_before(self) -> None:
        """
        A delayed job is nobody's: it can be neither claimed nor finished, cancelled, released.
        """
        await self.delayed()
        before = await self.stored()
        await self.refused(self.job.get(0.01), Empty, self.name)
        for verb in ("finish", "cancel", "release", "cancel_running"):
            await self.refused(getattr(self.job, verb)("a"), JobNotClaimed, self.name, "a")
        await self.redis.execute("RPUSH", self.keys.ids, "a")  # nor by a copy that a peer queued
        await self.refused(self.job.get(0.01), Empty, self.name)
        self.assertEqual(await self.stored(), before)


class PeerRaceTests(DelayedCase):
    """What peers, who know no delays, do with a delayed job."""

    async def test_retry(self) -> None:
        """
        A peer's retry makes it available at once; when it is due it is not queued again.
        """
        await self.delayed()
        await self.peer.retry("a")
        self.assertEqual(await self.states("a"), ["available"])
        self.assertEqual((await self.job.stats())[:5], (1, 0, 0, 0, 0))
        await self.come_due("a")
        self.assertEqual(await self.promoted(), 0)
        self.assertEqual(await self.news(), [])
        self.assertEqual(await self.states("a"), ["available"])
        await self.worked_off("a")

    async def test_retry_and_claim(self) -> None:
        """
        The same where it is claimed, and where it is done, by the time it was to be due.
        """
        for who in ("peer", "ours"):
            for done in (False, True):
                await self.delayed()
                await self.peer.retry("a")
                if who == "ours":
                    finish: Any = partial((await self.job.get()).finish, ttl=0)
                else:
                    finish = partial(self.peer.finish, await self.peer.claim())
                if done:
                    await finish()
                await self.come_due("a")
                self.assertEqual(await self.promoted(), 0)
                self.assertEqual(await self.states("a"), [] if done else ["claimed"])
                if not done:
                    await finish()
                    await self.job.maintenance()
                await self.nothing_left()

    async def test_retry_after_promotion(self) -> None:
        """
        A peer that retries what we have just promoted queues it twice; it is done once.
        """
        await self.delayed(due=True)
        self.assertEqual(await self.promoted(), 1)
        await self.peer.retry("a")
        self.assertEqual(await self.states("a"), ["available twice"])
        await self.worked_off("a")

    async def test_retry_and_delay_anew(self) -> None:
        """
        Retried by a peer, claimed and cancelled for later, it waits for the new time.
        """
        await self.delayed()
        await self.peer.retry("a")
        await self.come_due("a")
        await (await self.job.get()).cancel(delay=3600)
        self.assertEqual(await self.promoted(), 0)
        self.assertEqual(await self.states("a"), ["delayed"])
        await self.come_due("a")
        self.assertEqual(await self.promoted(), 1)
        await self.worked_off("a")

    async def test_retract_of_thoonk_py(self) -> None:
        """
        What thoonk.py retracts does not come back when it is due.
        """
        await self.delayed()
        await self.peer.retract("a")
        self.assertEqual(await self.left(), {self.keys.delayed.decode()})
        await self.come_due("a")
        self.assertEqual(await self.promoted(), 0)
        await self.nothing_left()

    async def test_retract_of_thoonk_js(self) -> None:
        """
        Nor does what thoonk.js retracts, though it leaves the item; the id can be put again.
        """
        await self.delayed()
        await self.peer.retract("a", js=True)
        await self.come_due("a")
        self.assertEqual(await self.promoted(), 0)
        for _ in range(2):
            self.assertFalse(any(await self.job.maintenance(lost_grace=0)))
        self.assertEqual(await self.left(), {self.keys.items.decode()})
        await self.job.put("again", id="a")
        await self.worked_off("a")

    async def test_retracted_and_put_anew(self) -> None:
        """
        What a peer retracted can be put again before the old one was due: the new time counts,
        or none.
        """
        for js in (False, True):
            for delay in (None, 3600):
                await self.delayed(due=True)
                await self.peer.retract("a", js)
                await self.job.put("again", id="a", delay=delay)
                self.assertEqual(await self.promoted(), 0)
                if delay:
                    self.assertEqual(await self.states("a"), ["delayed"])
                    await self.come_due("a")
                    self.assertEqual(await self.promoted(), 1)
                await self.worked_off("a")

    async def test_retract_after_promotion(self) -> None:
        """
        What is promoted and then retracted by a peer is gone.
        """
        await self.delayed(due=True)
        self.assertEqual(await self.promoted(), 1)
        await self.peer.retract("a")
        await self.nothing_left()

    async def test_stall(self) -> None:
        """
        What a peer stalls is parked: its time comes and goes, until it is retried.
        """
        for who in (self.peer, self.job):
            await self.delayed()
            await self.peer.stall("a")
            self.assertEqual(await self.states("a"), ["parked"])
            self.assertEqual(await self.job.get_stalled(), {"a"})
            await self.come_due("a")
            self.assertEqual(await self.promoted(), 0)
            self.assertEqual(await self.news(), [])
            self.assertEqual(await self.states("a"), ["parked"])
            await who.retry("a")
            await self.worked_off("a")

    async def test_stall_after_promotion(self) -> None:
        """
        What is promoted and then stalled by a peer, which leaves it queued, is parked.
        """
        await self.delayed(due=True)
        self.assertEqual(await self.promoted(), 1)
        await self.peer.stall("a")
        await self.refused(self.job.get(0.01), Empty, self.name)
        self.assertEqual(await self.states("a"), ["parked"])
        await self.job.retry("a")
        await self.worked_off("a")

    async def test_maintenance_of_thoonk_py(self) -> None:
        """
        thoonk.py's maintenance takes a delayed job for a stalled one, and leaves it alone.
        """
        await self.delayed()
        for due in (False, True):
            if due:
                await self.come_due("a")
            before = await self.stored()
            self.assertEqual(await self.peer.maintenance(), 0)
            self.assertEqual(await self.stored(), before)
        self.assertEqual(await self.promoted(), 1)
        self.assertEqual(await self.peer.maintenance(), 0)
        await self.worked_off("a")

    async def test_maintenance_of_thoonk_py_and_handoff(self) -> None:
        """
        Where it queues a promoted job again that is on its way to a get, it is done once.
        """
        await self.delayed(due=True)
        self.assertEqual(await self.promoted(), 1)
        await self.redis.execute("LMOVE", self.keys.ids, self.keys.handoff, "RIGHT", "LEFT")
        self.assertEqual(await self.peer.maintenance(), 1)
        [claim] = await self.job.take(5, "a")
        await claim.finish(ttl=0)
        await self.refused(self.job.get(0.01), Empty, self.name)
        await self.nothing_left()

    async def test_maintenance_after_js_retract(self) -> None:
        """
        thoonk.py brings back what thoonk.js retracted: it is a job like any other then.
        """
        await self.delayed(due=True)
        await self.peer.retract("a", js=True)
        self.assertEqual(await self.peer.maintenance(), 1)
        self.assertEqual(await self.promoted(), 0)
        await self.worked_off("a")

    async def test_deleted_by_us(self) -> None:
        """
        A feed that we delete takes its delayed jobs with it.
        """
        await self.delayed(due=True)
        await self.job.delete()
        self.assertEqual(await self.keys_of(self.name), {})
        self.assertFalse(any(await self.job.maintenance()))
        self.assertEqual(await self.keys_of(self.name), {})

    async def test_deleted_by_peers(self) -> None:
        """
        A feed that a peer deletes, which knows nothing of delays, and creates anew has none of
        the old jobs, whenever they would have been due.
        """
        for js in (False, True):
            await self.delayed()
            await self.peer.delete(js)
            await self.peer.create()
            await self.news()
            await self.come_due("a")
            self.assertEqual(await self.promoted(), 0)
            self.assertEqual(await self.news(), [])
            self.assertEqual(await self.job.get_stalled(), set())
            self.assertEqual(await self.job.length(), 0)
            left = {self.keys.published.decode()}  # which neither deletes
            self.assertEqual(await self.left(), left)
            await self.redis.execute("DEL", self.keys.published)

    async def test_deleted_by_peers_created_by_us(self) -> None:
        """
        The same where we create it anew, before or after the time; old ids can be put.
        """
        for js in (False, True):
            for delay in (None, 3600):
                await self.delayed(due=True)
                await self.peer.delete(js)
                await self.job.ensure()
                self.assertNotIn(self.keys.delayed.decode(), await self.left())
                await self.job.put("again", id="a", delay=delay)
                self.assertEqual(await self.promoted(), 0)
                self.assertEqual(await self.states("a"), ["delayed" if delay else "available"])
                if delay:
                    await self.come_due("a")
                    self.assertEqual(await self.promoted(), 1)
                await self.worked_off("a")

    async def test_second_copy(self) -> None:
        """
        A peer that claims a second copy of the id, which an earlier peer had queued, runs it
        before its time; it is not run again, and nothing is left.
        """
        for finishes in ("before", "after"):
            await self.job.put("x", id="a")
            await self.peer.retry("a")  # though it is not stalled
            await (await self.job.get()).cancel(delay=3600)
            self.assertEqual(await self.peer.claim(), "a")
            if finishes == "before":
                await self.peer.finish("a")
            await self.come_due("a")
            self.assertEqual(await self.promoted(), 0)
            if finishes == "after":
                self.assertEqual(await self.states("a"), ["claimed"])
                await self.peer.finish("a")
            await self.job.maintenance()
            await self.nothing_left()

    async def test_put_by_a_peer(self) -> None:
        """
        thoonk.js puts an id again that is there: what is delayed stays so.
        """
        await self.delayed()
        await self.peer.put("a", "of a peer")
        await self.refused(self.job.get(0.01), Empty, self.name)
        self.assertEqual(await self.states("a"), ["delayed"])
        await self.come_due("a")
        self.assertEqual(await self.promoted(), 1)
        await self.worked_off("a")


class OwnRaceTests(DelayedCase):
    """What our own verbs do with a job that is just due, before, after and at the same time."""

    async def race(self, verb: Callable[[Any, str], Any], *refusals: type[Exception]) -> list[str]:
        """
        Let maintenance and a verb of another process meet on many jobs that are due.

        :returns: the states they are in afterwards.
        """
        ids = [f"job {i}" for i in range(100)]
        await gatherResults([self.job.put("x", id=id, delay=3600) for id in ids])
        await self.come_due(*ids)
        other = await self.other()
        calls = [verb(other, id) for id in reversed(ids)]
        for call in calls:
            call.addErrback(lambda failure: failure.trap(*refusals))
        working = [self.job.maintenance(), other.maintenance()]
        await gatherResults([*calls, *working])
        return [" ".join(await self.states(id)) for id in ids]

    async def test_retry(self) -> None:
        """
        Retried before it is promoted, or after: it is available once, and who was too late is
        told.
        """
        await self.delayed(due=True)
        await self.job.retry("a")
        self.assertEqual(await self.promoted(), 0)
        self.assertEqual(await self.news(), [("tx.feed.retry", b"a")])
        await self.worked_off("a")
        await self.delayed(due=True)
        self.assertEqual(await self.promoted(), 1)
        await self.refused(self.job.retry("a"), JobNotStalled, self.name, "a")
        self.assertEqual(await self.news(), [("tx.feed.retry", b"a")])
        await self.worked_off("a")
        states = await self.race(lambda job, name: job.retry(name), JobNotStalled)
        self.assertEqual(states, ["available"] * 100)
        self.assertEqual(await self.job.length(), 100)
        self.assertEqual(len([c for c, _ in await self.news() if c == "tx.feed.retry"]), 100)

    async def test_retract(self) -> None:
        """
        Retracted before it is promoted, or after: it is gone.
        """
        await self.delayed(due=True)
        self.assertIs(await self.job.retract("a"), True)
        await self.nothing_left()
        await self.delayed(due=True)
        self.assertEqual(await self.promoted(), 1)
        self.assertIs(await self.job.retract("a"), True)
        await self.nothing_left()
        states = await self.race(lambda job, name: job.retract(name))
        self.assertEqual(states, [""] * 100)
        await self.nothing_left()

    async def test_stall(self) -> None:
        """
        Stalled before it is promoted, or after: it is parked.
        """
        for due in (False, True):
            await self.delayed(due=True)
            self.assertEqual(await self.promoted() if due else 0, int(due))
            await self.news()
            await self.job.stall("a", "why")
            self.assertEqual(await self.news(), [("tx.feed.stall", b"a\0why")])
            self.assertEqual(await self.promoted(), 0)
            self.assertEqual(await self.states("a"), ["parked"])
            self.assertNotIn(self.keys.delayed.decode(), await self.left())
            await self.job.retry("a")
            await self.worked_off("a")
        states = await self.race(lambda job, name: job.stall(name))
        self.assertEqual(states, ["parked"] * 100)
        self.assertEqual(len(await self.job.get_stalled()), 100)

    async def test_put(self) -> None:
        """
        Put again before it is promoted, or after: the first one counts, at its own time.
        """
        for delay in (None, 3600):
            await self.delayed()
            await self.job.put("again", id="a", delay=delay)
            self.assertEqual(await self.states("a"), ["delayed"])
            await self.come_due("a")
            await self.job.put("again", id="a", delay=delay)
            self.assertEqual(await self.promoted(), 1)
            await self.job.put("again", id="a", delay=delay)
            self.assertEqual(await self.states("a"), ["available"])
            claim = await self.job.get()
            self.assertEqual(claim.item, "item a")
            await claim.finish(ttl=0)
            await self.nothing_left()
        states = await self.race(lambda job, name: job.put("again", id=name, delay=3600))
        self.assertEqual(states, ["available"] * 100)

    async def test_delete(self) -> None:
        """
        A feed that is deleted while its jobs are promoted is gone altogether.
        """
        ids = [f"job {i}" for i in range(300)]
        await gatherResults([self.job.put("x", id=id, delay=3600) for id in ids])
        await self.come_due(*ids)
        other = await self.other()
        await gatherResults([self.job.maintenance(), other.delete(), other.maintenance()])
        self.assertEqual(await self.keys_of(self.name), {})
