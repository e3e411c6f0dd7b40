"""Every verb on a job in every state, and what maintenance finds in no state."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import Clock, deferLater

from tests.helpers import until
from tests.test_job import JobCase
from txthoonk import ItemDoesNotExist, JobNotClaimed, JobNotStalled
from txthoonk.types.maintenance import MOST_SUSPECTS, PAGE, Maintenance

#: States that a job may be in.
STATES: Final = ("available", "handed", "claimed", "stalled", "missing")

#: Verb -> what it does to a job of each state: the state after it, or the error.
EFFECTS: Final[dict[str, dict[str, Any]]] = {
    "finish": {
        "available": JobNotClaimed,
        "handed": JobNotClaimed,
        "claimed": "missing",
        "stalled": JobNotClaimed,
        "missing": JobNotClaimed,
    },
    "cancel": {
        "available": JobNotClaimed,
        "handed": JobNotClaimed,
        "claimed": "available",
        "stalled": JobNotClaimed,
        "missing": JobNotClaimed,
    },
    "release": {
        "available": JobNotClaimed,
        "handed": JobNotClaimed,
        "claimed": "available",
        "stalled": JobNotClaimed,
        "missing": JobNotClaimed,
    },
    "stall": {
        "available": "stalled",
        "handed": "stalled",
        "claimed": "stalled",
        "stalled": JobNotClaimed,
        "missing": ItemDoesNotExist,
    },
    "retry": {
        "available": JobNotStalled,
        "handed": JobNotStalled,
        "claimed": JobNotStalled,
        "stalled": "available",
        "missing": JobNotStalled,
    },
    "retract": {
        "available": "missing",
        "handed": "missing",
        "claimed": "missing",
        "stalled": "missing",
        "missing": "missing",
    },
}


class StateCase(JobCase):
    """Jobs in the state that a test wants them in."""

    async def bring(self, id: str, state: str) -> None:
        """Put a job and let it get into *state*."""
        if state == "missing":
            return
        await self.job.put(f"item {id}", id=id)
        if state == "handed":
            await self.redis.execute("LREM", self.keys.ids, 1, id)
            await self.redis.execute("LPUSH", self.keys.handoff, id)
        elif state != "available":
            await self.redis.execute("LREM", self.keys.ids, 1, id)
            await self.redis.execute("RPUSH", self.keys.ids, id)
            self.assertEqual((await self.job.get()).id, id)
            if state == "stalled":
                await self.job.stall(id)

    async def states(self, id: str) -> list[str]:
        """All states that a job is in: exactly one, if all is well."""
        execute, keys = self.redis.execute, self.keys
        item = await execute("HEXISTS", keys.items, id)
        found = {
            "available": await execute("LPOS", keys.ids, id) is not None,
            "handed": await execute("LPOS", keys.handoff, id) is not None,
            "claimed": await execute("ZSCORE", keys.claimed, id) is not None,
            "stalled": await execute("SISMEMBER", keys.stalled, id),
            "missing": not item,
        }
        # A peer takes a job for retracted that is neither published nor stalled.
        published = await execute("ZSCORE", keys.published, id) is not None
        self.assertEqual(published, not found["stalled"] and not found["missing"])
        return [state for state in STATES if found[state]]


class StateTests(StateCase):
    """Each verb of a worker and of an operator."""

    async def check(self, verb: str) -> None:
        for state in STATES:
            await self.bring(state, state)
            self.assertEqual(await self.states(state), [state])
            await self.news()
            effect = EFFECTS[verb][state]
            call: Deferred[Any] = getattr(self.job, verb)(state)
            if isinstance(effect, str):
                result = await call
                expected = state != "missing" if verb == "retract" else None
                self.assertIs(result, expected)
                self.assertEqual(await self.states(state), [effect], state)
            else:
                await self.refused(call, effect, self.name, state)
                self.assertEqual(await self.states(state), [state])
            # Peers hear nothing that the contract does not have; ours hear what changed.
            changed = isinstance(effect, str) and state != "missing"
            told = [channel for channel, _ in await self.news()]
            expected = [f"tx.feed.{verb}"] if changed else []
            if verb in ("retract", "stall") and state == "claimed":
                expected.append("tx.feed.stop")  # whoever works on it
            self.assertEqual(told, expected)

    async def test_finish(self) -> None:
        """
        Only a claimed job can be finished.
        """
        await self.check("finish")

    async def test_cancel(self) -> None:
        """
        Only a claimed job can be cancelled.
        """
        await self.check("cancel")

    async def test_release(self) -> None:
        """
        Only a claimed job can be released.
        """
        await self.check("release")

    async def test_stall(self) -> None:
        """
        Whatever job is not yet done can be stalled, once.
        """
        await self.check("stall")

    async def test_retry(self) -> None:
        """
        Only a stalled job can be retried.
        """
        await self.check("retry")

    async def test_retract(self) -> None:
        """
        A job can be retracted whatever its state; none of it is left.
        """
        await self.check("retract")
        self.assertEqual(await self.left(), set())

    async def test_stall_says_why(self) -> None:
        """
        A job that cannot be stalled is said to be stalled, or in no state.
        """
        await self.bring("a", "stalled")
        error = await self.assertFailure(self.job.stall("a"), JobNotClaimed)
        self.assertEqual(error.detail, "it is stalled")
        await self.bring("b", "available")
        await self.redis.execute("LREM", self.keys.ids, 1, "b")
        error = await self.assertFailure(self.job.stall("b"), JobNotClaimed)
        self.assertEqual(error.detail, "it is in no state")

    async def test_no_item(self) -> None:
        """
        What a peer left claimed or stalled without an item can be cleared away.
        """
        await self.redis.execute("ZADD", self.keys.claimed, 1, "a", 1, "b")
        await self.redis.execute("SADD", self.keys.stalled, "c", "d")
        await self.job.finish("a")
        self.assertIs(await self.job.retract("b"), True)
        self.assertIs(await self.job.retract("c"), True)
        await self.refused(self.job.retry("d"), ItemDoesNotExist, self.name, "d")
        self.assertIs(await self.job.retract("d"), True)
        self.assertEqual(await self.left(), set())

    async def test_queued_twice(self) -> None:
        """
        A job that a peer's retry queued twice is retracted and stalled with all its copies.
        """
        for verb in ("retract", "stall"):
            await self.bring(verb, "available")
            await self.redis.execute("LPUSH", self.keys.ids, verb)
            await getattr(self.job, verb)(verb)
            self.assertEqual(await self.job.length(), 0)


class MaintenanceTests(StateCase):
    """maintenance."""

    async def lose(self, *ids: str) -> None:
        """Put jobs, and pop them as a peer does that dies before its claim."""
        for id in ids:
            await self.job.put(f"item {id}", id=id)
            popped = await self.redis.execute("RPOP", self.keys.ids)
            self.assertEqual(popped, id.encode())
            self.assertEqual(await self.states(id), [])

    async def test_nothing(self) -> None:
        """
        Where everything is in its state nothing is done.
        """
        for state in STATES:
            await self.bring(state, state)
        self.assertEqual(await self.job.maintenance(lost_grace=0), Maintenance())
        for state in STATES:
            self.assertEqual(await self.states(state), [state])

    async def test_handoff(self) -> None:
        """
        A job that was on its way to a get at two passes is available again, and comes first.
        """
        await self.bring("a", "handed")
        await self.bring("b", "available")
        self.assertEqual(await self.job.maintenance(handoff_grace=0), Maintenance())
        self.assertEqual(await self.job.maintenance(handoff_grace=60), Maintenance())
        done = await self.job.maintenance(handoff_grace=0)
        self.assertEqual((done.handoffs, done.lost), (1, 0))
        self.assertEqual([(await self.job.get()).id for _ in range(2)], ["a", "b"])

    async def test_lost(self) -> None:
        """
        A job that nobody has is queued again, behind the others, by one call.
        """
        await self.lose("a", "b")
        await self.bring("c", "available")
        done = await self.job.maintenance(lost_grace=0.01)
        self.assertEqual((done.handoffs, done.lost), (0, 2))
        ids = [(await self.job.get()).id for _ in range(3)]
        self.assertEqual(ids[0], "c")
        self.assertEqual(set(ids), {"a", "b", "c"})
        self.assertNotIn(self.keys.lost.decode(), await self.keys_of(self.name))

    async def test_several_at_once(self) -> None:
        """
        Any number of processes may do it at once: a job is queued once.
        """
        await self.lose("a", "b", "c")
        others = [(await self.start_thoonk()).job(self.name) for _ in range(3)]
        passes = [job.maintenance(lost_grace=0.01) for job in (self.job, *others)]
        self.assertEqual(sum(done.lost for done in await gatherResults(passes)), 3)
        self.assertEqual(await self.job.length(), 3)

    async def test_retracted_by_a_peer(self) -> None:
        """
        A job that thoonk.js retracted, item and all left behind, does not come back.
        """
        await self.lose("a")
        await self.redis.execute("ZREM", self.keys.published, "a")
        self.assertEqual(await self.job.maintenance(lost_grace=0), Maintenance())
        self.assertEqual(await self.job.length(), 0)

    async def test_peer_at_work(self) -> None:
        """
        A job that a peer has popped and is about to claim is left to it.
        """
        from twisted.internet import reactor

        clock = Clock()
        self.patch(self.thoonk, "get_reactor", lambda: clock)
        await self.lose("popped", "lost")
        maintenance = self.job.maintenance(lost_grace=0.001)
        await until(clock.getDelayedCalls)
        await self.redis.execute("ZADD", self.keys.claimed, 1, "popped")
        await deferLater(reactor, 0.01)  # more than the grace, by the server's clock
        clock.advance(1)
        self.assertEqual(await maintenance, Maintenance(lost=1))
        self.assertEqual(await self.states("popped"), ["claimed"])
        self.assertEqual(await self.states("lost"), ["available"])

    async def test_found_again(self) -> None:
        """
        The suspicion against a job that was found is forgotten.
        """
        clock = Clock()
        self.patch(self.thoonk, "get_reactor", lambda: clock)
        await self.lose("a")
        first = self.job.maintenance(lost_grace=0.001)
        await until(clock.getDelayedCalls)
        self.assertIn(self.keys.lost.decode(), await self.keys_of(self.name))
        await self.redis.execute("LPUSH", self.keys.ids, "a")
        clock.advance(1)
        self.assertEqual(await first, Maintenance())
        self.assertNotIn(self.keys.lost.decode(), await self.keys_of(self.name))

    async def test_many(self) -> None:
        """
        Among more jobs than one look reads the lost ones are found, and only they.
        """
        ids = await self.job.put_many([f"{i}" for i in range(3 * PAGE)])
        lost = await self.redis.execute("RPOP", self.keys.ids, 40)
        claimed = await gatherResults([self.job.get() for _ in range(PAGE)])
        await gatherResults([claim.stall() for claim in claimed[: PAGE // 2]])
        self.assertEqual(await self.job.maintenance(lost_grace=0.001), Maintenance(lost=40))
        queued = (await self.redis.execute("LRANGE", self.keys.ids, 0, -1))[:40]
        self.assertEqual(set(queued), set(lost))
        stats = await self.job.stats()
        self.assertEqual(stats[:4], (len(ids) - PAGE, 0, PAGE // 2, PAGE // 2))

    async def test_all_lost(self) -> None:
        """
        Where more jobs are lost than one call puts right, the next calls do the rest.
        """
        await self.job.put_many([f"{i}" for i in range(MOST_SUSPECTS + 100)])
        await self.redis.execute("DEL", self.keys.ids)
        self.assertEqual(
            await self.job.maintenance(lost_grace=0.001), Maintenance(lost=MOST_SUSPECTS)
        )
        self.assertEqual(await self.job.maintenance(lost_grace=0.001), Maintenance(lost=100))
        self.assertEqual(await self.job.length(), MOST_SUSPECTS + 100)

    async def test_while_working(self) -> None:
        """
        Maintenance without a break beside busy workers does no job a second time.
        """
        await self.job.put_many([f"{i}" for i in range(500)])
        finished: list[str] = []

        async def work() -> None:
            while True:
                claim = await self.job.get()
                finished.append(claim.item)
                await claim.finish()

        workers = [Deferred.fromCoroutine(work()) for _ in range(10)]
        queued = 0
        while len(finished) < 500:
            queued += (await self.job.maintenance(lost_grace=0)).lost
        for worker in workers:
            worker.cancel()
            await self.assertFailure(worker, CancelledError)
        self.assertEqual(queued, 0)
        self.assertEqual(sorted(finished, key=int), [f"{i}" for i in range(500)])
        self.assertEqual(await self.left(), set())
