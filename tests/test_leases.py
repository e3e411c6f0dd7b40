"""Claims that hold for a while: what they allow, how they end, and who is refused then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults

from tests.helpers import until
from tests.peer_jobs import PeerCase
from txthoonk import NO_RESULT, Claim, Job, LeaseLost
from txthoonk.errors import ThoonkError
from txthoonk.types.claims import worker_name

#: What a claim can be asked for.
VERBS: Final[dict[str, Callable[[Claim], Deferred[Any]]]] = {
    "finish": lambda claim: claim.finish(),
    "finish with a result": lambda claim: claim.finish("result"),
    "finish with a ttl": lambda claim: claim.finish("result", ttl=5),
    "cancel": lambda claim: claim.cancel(),
    "cancel for later": lambda claim: claim.cancel(delay=60),
    "release": lambda claim: claim.release(),
    "stall": lambda claim: claim.stall(),
    "stall with a reason": lambda claim: claim.stall("reason"),
    "extend": lambda claim: claim.extend(),
    "progress": lambda claim: claim.progress("half"),
}

#: As many claims as one look of maintenance takes in, twice and a half.
MANY: Final = 2500


#: What tells our claimed scores from those of peers, in milliseconds.
HALF = 0.5


class LeaseCase(PeerCase):
    """Claims, and what becomes of them."""

    async def claimed(self, id: str = "a", **options: Any) -> Claim:
        """A claim of ours."""
        if options:
            await self.job.set_config(**options)
        await self.job.put(f"item {id}", id=id)
        claim = await self.job.get()
        self.assertEqual(claim.id, id)
        return claim

    async def lease(self, id: str = "a") -> tuple[str, float, int]:
        """Token, claimed score and end of a lease."""
        lease = (await self.redis.execute("HGET", self.keys.lease, id)).decode()
        token, score, end = lease.split(" ")
        return token, float(score), int(end)

    async def expired(self, count: int = 1) -> list[Any]:
        """Run maintenance until so many claims have come to their end."""
        passes: list[Any] = []

        async def look() -> bool:
            passes.append(await self.job.maintenance())
            return sum(done.expired + done.parked for done in passes) >= count

        await until(look)
        return passes

    async def refused_all(self, claim: Claim, why: str) -> None:
        """Nothing that a lost claim says counts, or changes or tells anything."""
        before = await self.stored()
        await self.news()
        for verb, call in VERBS.items():
            failure = await self.refused(call(claim), LeaseLost, self.name, claim.id)
            self.assertEqual(type(failure), LeaseLost, f"{why}: {verb}")
            self.assertEqual(await self.stored(), before, f"{why}: {verb}")
            self.assertEqual(await self.news(), [], f"{why}: {verb}")


class HoldTests(LeaseCase):
    """How long a claim holds."""

    async def test_default(self) -> None:
        """
        A claim holds for 30 seconds of Redis's clock, from the instant it was made.
        """
        before = await self.now()
        claim = await self.claimed()
        token, score, end = await self.lease()
        self.assertTrue(before <= score < await self.now() + 1)
        self.assertEqual(end - score, 30_000 - HALF)
        self.assertEqual(float(await self.redis.execute("ZSCORE", self.keys.claimed, "a")), score)
        self.assertEqual(token.encode(), claim.token)
        self.assertRegex(token, "^[^ ]+:[0-9a-f]{16,}$")
        self.assertEqual(token.rpartition(":")[0], worker_name())

    async def test_claim_timeout(self) -> None:
        """
        The feed says how long, to everybody who claims, as of each claim.
        """
        other = await self.other(claim_timeout=7.25)
        for job, seconds in ((self.job, 7.25), (other, 7.25), (self.job, 0.5)):
            if seconds == 0.5:
                await other.set_config(claim_timeout=0.5)
            await self.job.put("x", id="a")
            claim = await job.get()
            _, score, end = await self.lease()
            self.assertEqual(end - score, seconds * 1000 - HALF)
            self.assertEqual(claim.policy.claim_timeout, seconds)
            await claim.finish()
        self.assertEqual(await self.redis.execute("EXISTS", self.keys.lease), 0)

    async def test_nonsense(self) -> None:
        """
        Whatever somebody has written for a time-out, claims hold and end.
        """
        for nonsense in ("", "soon", "0", "-5", "nan", "inf", "1e10", "12 seconds"):
            await self.redis.execute("HSET", self.keys.config, "claim_timeout", nonsense)
            claim = await self.claimed()
            _, score, end = await self.lease()
            self.assertEqual(
                (end - score, claim.policy.claim_timeout), (30_000 - HALF, 30), nonsense
            )
            await claim.extend()
            self.assertTrue(30_000 <= (await self.lease())[2] - score + HALF < 60_000)
            await claim.finish()

    async def test_ends_not_before(self) -> None:
        """
        Maintenance without a break ends a claim when its time is over, by Redis's clock.
        """
        await self.claimed(claim_timeout=0.08)
        _, _, end = await self.lease()
        await self.expired()
        late = await self.now() - end
        self.assertTrue(late >= 0, late)
        self.assertEqual(await self.states("a"), ["available"])

    async def test_expiry(self) -> None:
        """
        What was not finished in time is available behind the others, at once, whatever the
        back-off; it counts as an attempt, and its history says who held it.
        """
        await self.claimed(claim_timeout=0.01, backoff=60)
        await self.job.put("item b", id="b")
        other = await self.other()
        await self.news()
        await self.expired()
        passes = await other.maintenance(), await self.job.maintenance()
        self.assertEqual([done.expired for done in passes], [0, 0])
        self.assertEqual(await self.news(), [("tx.feed.expire", b"a\x001")])
        self.assertEqual([tuple(await self.job.get()) for _ in range(2)][-1], ("a", "item a", 1))
        [attempt] = await self.job.get_attempts("a")
        self.assertEqual(attempt.error, f"not finished in time by {worker_name()}")
        self.assertEqual(attempt.worker, worker_name())
        self.assertTrue(0 <= await self.now() - attempt.when < 60_000)

    async def test_late_but_not_lost(self) -> None:
        """
        A claim whose time is over counts as long as nobody has taken it away.
        """
        claim = await self.claimed()
        await self.age("a")
        await claim.finish("late")
        self.assertEqual((await self.job.maintenance()).expired, 0)
        self.assertEqual(await self.job.get_result("a"), ("item a", "late"))

    async def test_extend(self) -> None:
        """
        An extended claim holds for another whole time-out from then on.
        """
        claim = await self.claimed(claim_timeout=20)
        before = await self.now()
        await self.age("a")
        await self.news()
        await claim.extend()
        token, score, end = await self.lease()
        self.assertEqual(token.encode(), claim.token)
        self.assertEqual(float(await self.redis.execute("ZSCORE", self.keys.claimed, "a")), score)
        self.assertTrue(before + 20_000 <= end <= await self.now() + 20_000)
        self.assertEqual((await self.job.maintenance()).expired, 0)
        self.assertEqual(await self.news(), [])
        await claim.finish()

    async def test_extend_for_long(self) -> None:
        """
        A job that takes many time-outs stays claimed while it is extended, and runs once.
        """
        claim = await self.claimed(claim_timeout=0.3)
        first = (await self.lease())[1]

        async def extended() -> bool:
            await claim.extend()
            self.assertEqual((await self.job.maintenance()).expired, 0)
            return await self.now() - first > 5 * 300

        await until(extended)
        await claim.finish()
        self.assertEqual(await self.job.get_failure_count("a"), 0)

    async def test_extend_several(self) -> None:
        """
        Of several claims that are extended in one call each has an outcome of its own.
        """
        claims = [await self.claimed(id) for id in "abcd"]
        await claims[1].cancel()
        await self.peer.cancel("d")
        outcomes = await self.job.extend(claims)
        self.assertEqual([type(each) for each in outcomes], [type(None), LeaseLost] * 2)
        self.assertEqual([each.id for each in outcomes if each is not None], ["b", "d"])

    async def test_first_end_counts(self) -> None:
        """
        Of several verbs on one claim in one turn the first counts, the others are refused.
        """
        for first in VERBS:
            if first in ("extend", "progress"):
                continue
            claim = await self.claimed()
            done = VERBS[first](claim)
            rest = [call(claim) for call in VERBS.values()]
            await done
            for call in rest:
                await self.refused(call, LeaseLost, self.name, "a")
            await self.job.retract("a")


class LostTests(LeaseCase):
    """Claims that were lost."""

    async def lose(self, how: str) -> Claim:
        """A claim, lost in one of many ways."""
        claim = await self.claimed()
        await self.ways[how](self)
        return claim

    async def _expire(self) -> None:
        await self.age("a")
        self.assertEqual((await self.job.maintenance()).expired, 1)

    async def _expire_and_claim(self) -> None:
        await self._expire()
        self.assertEqual((await (await self.other()).get()).id, "a")

    async def _expire_and_claim_here(self) -> None:
        await self._expire()
        self.assertEqual((await self.job.get()).id, "a")

    async def _expire_and_park(self) -> None:
        await self.job.set_config(max_attempts=1)
        await self.age("a")
        self.assertEqual((await self.job.maintenance()).parked, 1)
        await self.job.set_config(max_attempts=None)

    async def _expire_and_delay(self) -> None:
        await self._expire_and_claim_here()
        await self.job.cancel("a", delay=60)

    async def _peer_cancels(self) -> None:
        await self.peer.cancel("a")

    async def _peer_takes(self) -> None:
        await self.peer.cancel("a")
        score = await self.redis.execute("ZSCORE", self.keys.claimed, "a")
        self.assertIsNone(score)
        _, ours, _ = await self.lease()  # peers leave it
        await until(lambda: self._after(ours))
        self.assertEqual(await self.peer.claim(), "a")

    async def _peer_takes_marked(self) -> None:
        await self.job.set_config(peer_timeout=60)
        await self._peer_takes()
        await self.job.maintenance()
        await self.job.set_config(peer_timeout=None)

    async def _peer_retakes(self) -> None:
        """It popped a second copy of the id, and claims without looking."""
        _, ours, _ = await self.lease()
        await until(lambda: self._after(ours))
        await self.redis.execute("RPUSH", self.keys.ids, "a")
        self.assertEqual(await self.peer.claim(), "a")

    async def _peer_finishes(self) -> None:
        await self.peer.finish("a")

    async def _peer_stalls(self) -> None:
        await self.peer.stall("a")

    async def _peer_retracts(self) -> None:
        await self.peer.retract("a")

    async def _js_retracts(self) -> None:
        await self.peer.retract("a", js=True)

    async def _other_finishes(self) -> None:
        await (await self.other()).finish("a", "other")

    async def _other_releases(self) -> None:
        await (await self.other()).release("a")

    async def _other_cancels_and_takes(self) -> None:
        other = await self.other()
        await other.cancel("a")
        await other.get()

    async def _parked(self) -> None:
        await (await self.other()).stall("a", "no more")

    async def _cancelled_while_it_ran(self) -> None:
        await self.job.cancel_running("a")

    async def _retracted(self) -> None:
        await self.job.retract("a")

    async def _put_anew(self) -> None:
        await self.job.retract("a")
        await self.job.put("new", id="a")
        self.assertEqual((await (await self.other()).get()).item, "new")

    async def _deleted(self) -> None:
        await (await self.other()).delete()

    async def _after(self, instant: int) -> bool:
        return await self.now() > instant + 1

    ways: Final[dict[str, Callable[[Any], Awaitable[None]]]] = {
        "expired": _expire,
        "expired, claimed by another process": _expire_and_claim,
        "expired, claimed by the same process": _expire_and_claim_here,
        "expired once too often": _expire_and_park,
        "expired, claimed, cancelled for later": _expire_and_delay,
        "cancelled by a peer": _peer_cancels,
        "cancelled by a peer, taken by a peer's worker": _peer_takes,
        "the same, and the peer's claim has a time-out": _peer_takes_marked,
        "claimed a second time by a peer": _peer_retakes,
        "finished by a peer": _peer_finishes,
        "stalled by a peer": _peer_stalls,
        "retracted by thoonk.py": _peer_retracts,
        "retracted by thoonk.js": _js_retracts,
        "finished by its id": _other_finishes,
        "released by its id": _other_releases,
        "cancelled by its id and claimed": _other_cancels_and_takes,
        "parked by an operator": _parked,
        "cancelled while it ran": _cancelled_while_it_ran,
        "retracted": _retracted,
        "retracted, put anew and claimed": _put_anew,
        "the feed was deleted": _deleted,
    }

    async def test_by_ourselves(self) -> None:
        """
        Who was too late, or whose job was taken away, is refused whatever it says.
        """
        for how in self.ways:
            if "peer" not in how and "thoonk" not in how and "feed" not in how:
                await self.refused_all(await self.lose(how), how)
                await self.job.retract("a")

    async def test_by_peers(self) -> None:
        """
        A peer that takes our job away knows nothing of leases; what we say is refused all the
        same, and the peer's claim stays as it is.
        """
        for how in self.ways:
            if "peer" in how or "thoonk" in how:
                await self.refused_all(await self.lose(how), how)
                await self.job.retract("a")
        self.assertEqual(await self.left(), set())

    async def test_deleted(self) -> None:
        """
        A claim of a feed that was deleted is lost; it does not bring back any key.
        """
        await self.refused_all(await self.lose("the feed was deleted"), "deleted")
        self.assertEqual(await self.keys_of(self.name), {})

    async def test_by_id(self) -> None:
        """
        A worker's verb by id stands for this instance's claim: if that was lost, it is refused.
        """
        verbs: tuple[Callable[[Job], Deferred[Any]], ...] = (
            lambda job: job.finish("a"),
            lambda job: job.finish("a", "x", ttl=1),
            lambda job: job.cancel("a"),
            lambda job: job.release("a"),
        )
        for verb in verbs:
            await self.lose("expired, claimed by another process")
            before = await self.stored()
            await self.news()
            # Another handle of this process knows the claim too.
            await self.refused(verb(self.thoonk.job(self.name)), LeaseLost, self.name, "a")
            self.assertEqual(await self.stored(), before)
            self.assertEqual(await self.news(), [])
            await self.job.retract("a")

    async def test_by_id_of_the_newer(self) -> None:
        """
        Where this process has claimed a job a second time, a verb by id stands for that claim.
        """
        old = await self.lose("expired, claimed by the same process")
        await self.refused(old.finish("old"), LeaseLost, self.name, "a")
        await self.job.finish("a", "new")
        self.assertEqual(await self.job.get_result("a"), ("item a", "new"))

    async def test_by_id_as_a_peer(self) -> None:
        """
        Who has no claim of the job finishes, cancels, releases or stalls it as a peer does.
        """
        other = await self.other()
        for verb, state in (
            ("finish", []),
            ("cancel", ["available"]),
            ("release", ["available"]),
            ("stall", ["parked"]),
        ):
            claim = await self.claimed()
            await getattr(other, verb)("a")
            self.assertEqual(await self.states("a"), state)
            await self.refused(claim.finish(), LeaseLost, self.name, "a")
            await self.job.retract("a")
        self.assertEqual(await self.left(), set())

    async def test_peer_finishes_ours(self) -> None:
        """
        A peer that finishes a job that we claimed leaves a lease and a history, for a while.
        """
        claim = await self.claimed()
        await self.age("a")
        await self.job.maintenance()
        await self.job.get()
        await self.peer.finish("a", "done")
        self.assertEqual(await self.left(), {self.keys.lease.decode(), self.keys.errors.decode()})
        self.assertEqual((await self.job.maintenance()).swept, 2)
        self.assertEqual(await self.left(), set())
        await self.refused(claim.finish(), LeaseLost, self.name, "a")


class PeerTests(LeaseCase):
    """Claims of programs that know no leases."""

    async def peer_claims(self) -> None:
        await self.job.put("item a", id="a")
        self.assertEqual(await self.peer.claim(), "a")

    async def test_for_ever(self) -> None:
        """
        Where the feed does not say how long a peer's claim holds, it holds.
        """
        await self.peer_claims()
        await self.redis.execute("ZADD", self.keys.claimed, 1, "a")
        before = await self.stored()
        self.assertFalse(any(await self.job.maintenance()))
        self.assertEqual(await self.stored(), before)

    async def test_peer_timeout(self) -> None:
        """
        Where it does, that counts from when maintenance first saw the claim, by Redis's clock.
        """
        await self.job.set_config(peer_timeout=0.1)
        await self.peer_claims()
        await self.redis.execute("ZADD", self.keys.claimed, 1, "a")
        before = await self.now()
        self.assertFalse(any(await self.job.maintenance()))
        token, score, end = await self.lease()
        self.assertEqual((token, score), ("", 1))
        self.assertTrue(before + 100 <= end <= await self.now() + 100)
        await self.news()
        await self.expired()
        self.assertTrue(await self.now() >= end)
        self.assertEqual(await self.news(), [("tx.feed.expire", b"a\x001")])
        self.assertEqual(await self.states("a"), ["available"])
        [attempt] = await self.job.get_attempts("a")
        self.assertEqual(attempt.error, "not finished in time by a peer")

    async def test_claimed_again(self) -> None:
        """
        A peer's next claim of the same job has its own time.
        """
        await self.job.set_config(peer_timeout=60)
        await self.peer_claims()
        await self.job.maintenance()
        await self.age("a")
        await self.peer.cancel("a")
        await self.redis.execute("ZADD", self.keys.claimed, 2, "a")
        await self.redis.execute("LREM", self.keys.ids, 0, "a")
        self.assertEqual((await self.job.maintenance()).expired, 0)
        self.assertEqual((await self.lease())[1], 2)
        await self.age("a")
        self.assertEqual((await self.job.maintenance()).expired, 1)
        self.assertEqual(await self.job.get_failure_count("a"), 2)

    async def test_peers_verbs(self) -> None:
        """
        The mark on a peer's claim hinders nobody: peers go on, and so do operators.
        """
        await self.job.set_config(peer_timeout=60)
        for verb, state in (("finish", []), ("cancel", ["available"]), ("stall", ["parked"])):
            for who in (self.peer, self.job):
                await self.peer_claims()
                await self.job.maintenance()
                await getattr(who, verb)("a")
                self.assertEqual(await self.states("a"), state, verb)
                await self.job.maintenance()
                self.assertNotIn(self.keys.lease.decode(), await self.left())
                await self.job.retract("a")

    async def test_parked(self) -> None:
        """
        A job that kills each peer that claims it is parked too.
        """
        await self.job.set_config(peer_timeout=60, max_attempts=2)
        await self.job.put("item a", id="a")
        for parked in (0, 1):
            self.assertEqual(await self.peer.claim(), "a")
            await self.job.maintenance()
            await self.age("a")
            done = await self.job.maintenance()
            self.assertEqual((done.expired, done.parked), (1 - parked, parked))
        self.assertEqual(await self.states("a"), ["parked"])


class CountTests(LeaseCase):
    """Attempts."""

    async def test_exact(self) -> None:
        """
        What was given up, failed or expired counts once each; what was released or extended
        does not count.
        """
        await self.job.set_config(max_attempts=0)
        await self.job.put("item a", id="a")
        expected = 0
        for step in ("cancel", "release", "fail", "extend", "expire", "peer", "release") * 3:
            claim = await self.job.get()
            self.assertEqual(claim.cancelled, expected, step)
            expected += 1
            if step == "cancel":
                await claim.cancel()
            elif step == "fail":
                await self.job.give_up("failed", "a", claim.token, 0, "it failed")
            elif step == "expire":
                await self.age("a")
                await self.job.maintenance()
            elif step == "peer":
                await self.peer.cancel("a")
            else:
                expected -= 1
                await claim.extend()
                await claim.release()
            self.assertEqual(await self.job.get_failure_count("a"), expected, step)
            self.assertEqual(await self.states("a"), ["available"])

    async def test_limit(self) -> None:
        """
        Without a word of the feed's five claims that expire park a job; 0 is no limit.
        """
        for limit, parked_at in ((None, 5), (2, 2), (1, 1), (0, None)):
            await self.job.set_config(max_attempts=limit)
            await self.job.put("item a", id="a")
            for attempt in range(1, 8):
                await self.job.get()
                await self.age("a")
                await self.news()
                done = await self.job.maintenance()
                if attempt == parked_at:
                    self.assertEqual((done.expired, done.parked), (0, 1))
                    [(channel, payload)] = await self.news()
                    self.assertEqual(channel, "tx.feed.stall")
                    self.assertTrue(payload.startswith(b"a\0not finished in time by "))
                    self.assertEqual(await self.states("a"), ["parked"])
                    self.assertEqual(await self.job.get_failure_count("a"), 0)
                    self.assertEqual(len(await self.job.get_attempts("a")), attempt)
                    break
                self.assertEqual((done.expired, done.parked), (1, 0))
                self.assertEqual(await self.news(), [("tx.feed.expire", b"a\0%d" % attempt)])
            else:
                self.assertIsNone(parked_at)
            await self.job.retract("a")

    async def test_told(self) -> None:
        """
        Whoever runs maintenance is told which jobs it parked, and why.
        """
        await self.claimed(max_attempts=1)
        await self.age("a")
        told: list[tuple[str, str]] = []
        await self.job.maintenance(on_parked=lambda *each: told.append(each))
        self.assertEqual(told, [("a", f"not finished in time by {worker_name()}")])

    async def test_nonsense(self) -> None:
        """
        Whatever stands in place of a count of cancels, the claim expires, and so do the others.
        """
        for id in "abc":
            await self.claimed(id)
        await self.redis.execute("HSET", self.keys.cancelled, "a", "many", "b", "1.5")
        await self.age("a", "b", "c")
        self.assertEqual((await self.job.maintenance()).expired, 3)
        for id in "abc":
            self.assertEqual(await self.job.get_failure_count(id), 1)
            self.assertEqual(await self.states(id), ["available"])


class CopiesTests(LeaseCase):
    """Maintenance in several processes at once."""

    async def copies(self) -> list[Job]:
        """Three."""
        return [self.job, await self.other(), await self.other()]

    async def test_everything_once(self) -> None:
        """
        Three copies at once do everything that is to be done, and each thing once.
        """
        copies = await self.copies()
        await self.job.set_config(max_attempts=2)
        count = 40
        ids = [
            f"{kind}{i}" for kind in ("expire", "park", "live", "due", "lost") for i in range(count)
        ]
        for id in ids:
            await self.job.put("x", id=id)
        claims = {claim.id: claim for claim in [await self.job.get() for _ in ids]}
        await gatherResults([claims[f"due{i}"].cancel(delay=60) for i in range(count)])
        await self.come_due(*(f"due{i}" for i in range(count)))
        for i in range(count):
            await self.redis.execute("HSET", self.keys.cancelled, f"park{i}", 1)
            await self.redis.execute("ZREM", self.keys.claimed, f"lost{i}")
        await self.age(*(f"{kind}{i}" for kind in ("expire", "park") for i in range(count)))
        await self.news()

        passes = await gatherResults(
            [job.maintenance(lost_grace=0.05) for job in copies], consumeErrors=True
        )
        total = [sum(each) for each in zip(*passes, strict=True)]
        # Somebody has swept the leases of the lost ones, and of none else.
        self.assertEqual(total, [0, count, count, count, count, count])
        told = sorted(await self.news())
        why = f"not finished in time by {worker_name()}"
        self.assertEqual(
            told,
            sorted(
                [("tx.feed.expire", f"expire{i}\x001".encode()) for i in range(count)]
                + [("tx.feed.stall", f"park{i}\0{why}".encode()) for i in range(count)]
                + [("tx.feed.retry", f"due{i}".encode()) for i in range(count)]
                + [("tx.feed.retry", f"lost{i}".encode()) for i in range(count)]
            ),
        )
        stats = await self.job.stats()
        self.assertEqual(stats[:5], (3 * count, 0, count, count, 0))
        for id in (f"{kind}0" for kind in ("expire", "due", "lost")):
            self.assertEqual(await self.states(id), ["available"])

    async def test_against_the_holders(self) -> None:
        """
        Where claims expire while they are finished, cancelled or extended, one side wins, and
        the other is refused.
        """
        copies = await self.copies()
        await self.job.set_config(max_attempts=0)
        ids = await self.job.put_many(["x"] * 240)
        claims = [await self.job.get() for _ in ids]
        await self.age(*ids)
        verbs: list[Callable[[Claim], Deferred[Any]]] = [
            lambda claim: claim.finish(),
            lambda claim: claim.cancel(),
            lambda claim: claim.extend(),
            lambda claim: claim.stall(),
        ]
        working = [job.maintenance() for job in copies]
        won: list[int] = []
        for i, claim in enumerate(reversed(claims)):  # until both meet
            try:
                await verbs[i % 4](claim)
                won.append(i)
            except LeaseLost:
                pass
        expired = sum(done.expired for done in await gatherResults(working))
        self.assertEqual(expired + len(won), 240)
        self.assertTrue(won)
        self.assertTrue(expired)
        by_verb = [sum(1 for i in won if i % 4 == verb) for verb in range(4)]
        stats = await self.job.stats()
        self.assertEqual(stats.finishes, by_verb[0])
        self.assertEqual(stats.available, expired + by_verb[1])
        self.assertEqual(stats.claimed, by_verb[2])
        self.assertEqual(stats.stalled, by_verb[3])
        counts = await self.redis.execute("HVALS", self.keys.cancelled)
        self.assertEqual(sorted(counts), [b"1"] * (expired + by_verb[1]))

    async def test_many(self) -> None:
        """
        Maintenance looks at claims a page at a time; where nothing is to be done it costs a few
        calls, and among live claims it finds all that have expired.
        """
        ids = await self.job.put_many(["x"] * MANY)
        await gatherResults([self.job.get() for _ in ids])
        sent: list[Any] = []
        send = self.thoonk.redis.send
        self.patch(self.thoonk.redis, "send", lambda command: sent.append(1) or send(command))
        self.assertFalse(any(await self.job.maintenance()))
        self.assertTrue(len(sent) <= 8, len(sent))
        await self.age(*ids[::5], *ids[-3:])
        late = len({*ids[::5], *ids[-3:]})
        sent.clear()
        self.assertEqual((await self.job.maintenance()).expired, late)
        self.assertTrue(len(sent) <= late + 8, len(sent))
        stats = await self.job.stats()
        self.assertEqual(stats[:5], (late, 0, MANY - late, 0, 0))

    async def test_many_of_peers(self) -> None:
        """
        The same for the claims of peers: all are marked at one pass, and end at another.
        """
        await self.job.set_config(peer_timeout=60)
        ids = await self.job.put_many(["x"] * MANY)
        await gatherResults([self.job.get() for _ in ids])
        await self.redis.execute("DEL", self.keys.lease)
        self.assertFalse(any(await self.job.maintenance()))
        self.assertEqual(await self.redis.execute("HLEN", self.keys.lease), MANY)
        await self.age(*ids)
        copies = await self.copies()
        passes = await gatherResults([job.maintenance() for job in copies])
        self.assertEqual(sum(done.expired for done in passes), MANY)
        stats = await self.job.stats()
        self.assertEqual(stats[:5], (MANY, 0, 0, 0, 0))
        counts = await self.redis.execute("HVALS", self.keys.cancelled)
        self.assertEqual(counts, [b"1"] * MANY)

    async def test_leftovers_of_many(self) -> None:
        """
        What peers leave of our notes is swept little by little, a bounded part with each pass.
        """
        ids = await self.job.put_many(["x"] * 1000)
        await gatherResults([self.job.get() for _ in ids])
        await gatherResults([self.job.cancel(id) for id in ids[:100]])
        for id in ids[100:]:
            await self.peer.finish(id)
        passes: list[Any] = []

        async def look() -> Any:
            passes.append((await self.job.maintenance()).swept)
            return self.keys.lease.decode() not in await self.left()

        await until(look)
        self.assertEqual(sum(passes), 900)
        self.assertTrue(len(passes) > 1)


class ResultTests(LeaseCase):
    """What a refused finish must not leave."""

    async def test_one_result(self) -> None:
        """
        Where two processes ran a job one result stands: that of the claim that held.
        """
        old = await self.claimed()
        await self.age("a")
        await self.job.maintenance()
        other = await self.other()
        new = await other.get()
        await self.refused(old.finish("old"), LeaseLost, self.name, "a")
        await new.finish("new")
        await self.refused(old.finish("old"), LeaseLost, self.name, "a")
        self.assertEqual(await other.get_result("a"), ("item a", "new"))
        self.assertEqual((await self.job.stats()).finishes, 1)

    async def test_together(self) -> None:
        """
        In one call of many finishes those of lost claims are refused, the others are done.
        """
        claims = [await self.claimed(f"{i}") for i in range(50)]
        lost = claims[::3]
        await self.age(*(claim.id for claim in lost))
        await self.job.maintenance()
        failed: list[str] = []

        def refused(failure: Any, id: str) -> None:
            failure.trap(LeaseLost)
            self.assertEqual(failure.value.id, id)
            failed.append(id)

        calls = [
            claim.finish("x" if int(claim.id) % 2 else NO_RESULT).addErrback(refused, claim.id)
            for claim in claims
        ]
        await gatherResults(calls)
        self.assertEqual(failed, [claim.id for claim in lost])
        self.assertEqual((await self.job.stats()).finishes, len(claims) - len(lost))
        for claim in lost:
            self.assertEqual(await self.states(claim.id), ["available"])
            self.assertIsInstance(await self.assertFailure(claim.finish(), LeaseLost), ThoonkError)
