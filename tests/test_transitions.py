"""Every transition of a job is told once; and a long walk through all of them beside a model."""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import gatherResults

from tests.helpers import ThoonkTestCase, until
from tests.job_model import DUE, Model
from tests.peer_jobs import PeerCase
from txthoonk import NO_RESULT, Claim
from txthoonk.types.backoff import Backoff
from txthoonk.types.claims import worker_name

#: The walk is longer on demand; by default it takes some seconds.
STEPS = 50_000 if os.environ.get("TXTHOONK_TORTURE") else 3_000

#: The same walk again.
SEED = os.environ.get("TXTHOONK_SEED")

#: Seconds that nobody waits for here.
LONG = 3600


class EventTests(PeerCase):
    """One event for each transition."""

    async def told(self, *expected: tuple[str, bytes]) -> None:
        """Exactly this was told since the last time."""
        self.assertEqual(await self.news(), list(expected))

    async def due(self) -> bytes:
        """When the delayed job is due."""
        due: bytes = await self.redis.execute("ZSCORE", self.keys.delayed, "a")
        return due

    async def claim(self) -> Claim:
        """Claim the job."""
        claim = await self.job.get()
        await self.told(("feed.claimed", b"a"))
        return claim

    async def test_life(self) -> None:
        """
        From its put to its end a job is told of at each step, once.
        """
        stop = lambda claim: ("tx.feed.stop", b"a\0" + claim.token)  # noqa: E731  # a word
        await self.job.put("item", id="a", delay=LONG)
        delayed = ("tx.feed.delay", b"a\0" + await self.due())
        await self.told(("feed.publishes", b"a\0item"), delayed)
        await self.come_due("a")
        await self.job.maintenance()
        await self.told(("tx.feed.retry", b"a"))
        await (await self.claim()).release()
        await self.told(("tx.feed.release", b"a"))
        await (await self.claim()).cancel()
        await self.told(("tx.feed.cancel", b"a\x001"))
        await (await self.claim()).cancel(delay=LONG)
        await self.told(("tx.feed.delay", b"a\0" + await self.due()))
        await self.job.retry("a")
        await self.told(("tx.feed.retry", b"a"))
        claim = await self.claim()
        await claim.extend()
        await self.told()
        await claim.progress("half")
        await self.told(("tx.feed.progress", b"a\0half"))
        await self.age("a")
        await self.job.maintenance()
        await self.told(("tx.feed.expire", b"a\x003"))
        claim = await self.claim()
        await self.job.give_up("failed", "a", claim.token, LONG, "why")
        await self.told(("tx.feed.delay", b"a\0" + await self.due()))
        self.job.forget(claim)
        await self.job.stall("a", "enough")
        await self.told(("tx.feed.stall", b"a\0enough"))
        await self.job.edit("a", "edited")
        await self.told(("tx.feed.edit", b"a\0edited"))
        await self.job.retry("a")
        await self.told(("tx.feed.retry", b"a"))
        claim = await self.claim()
        await (await self.other()).cancel_running("a")
        await self.told(("tx.feed.stall", b"a\0cancelled while it ran"), stop(claim))
        await self.job.retry("a")
        await self.told(("tx.feed.retry", b"a"))
        claim = await self.claim()
        await claim.stall()
        await self.told(("tx.feed.stall", b"a\0"))
        await self.job.retry("a")
        await self.told(("tx.feed.retry", b"a"))
        claim = await self.claim()
        await self.job.retract("a")
        await self.told(("tx.feed.retract", b"a"), stop(claim))

    async def test_ends(self) -> None:
        """
        A result travels on the contract's channel, and the end of a job without one on ours, for
        a message without its NUL ends thoonk.py's listener.
        """
        for result, message in (
            ("done", ("job.finish", b"a\0done")),
            ("", ("job.finish", b"a\0")),
            (NO_RESULT, ("tx.feed.finish", b"a")),
        ):
            for ttl in (None, 0, 5):
                await self.job.put("item", id="a")
                await self.news()
                await (await self.claim()).finish(result, ttl)
                await self.told(message)

    async def test_parked(self) -> None:
        """
        One attempt too many is told as a stall alone, however it failed.
        """
        await self.job.set_config(max_attempts=1)
        for why in ("cancelled", "failed", "expired"):
            await self.job.put("item", id="a")
            await self.news()
            claim = await self.claim()
            await self.age("a")
            await self.job.give_up(why, "a", claim.token, LONG, "text")
            await self.told(("tx.feed.stall", b"a\0text"))
            await self.job.retract("a")

    async def test_lost_and_handed(self) -> None:
        """
        A job that a peer lost is told when it is available again; one that was on its way to a
        get had been available all the time.
        """
        await self.job.put("item", id="a")
        await self.peer.pop()
        await self.news()
        await self.job.maintenance(lost_grace=0)
        await self.told(("tx.feed.retry", b"a"))
        await self.redis.execute("LMOVE", self.keys.ids, self.keys.handoff, "RIGHT", "LEFT")
        for _ in range(2):
            await self.job.maintenance(handoff_grace=0)
        self.assertEqual(await self.states("a"), ["available"])
        await self.told()

    async def test_nothing(self) -> None:
        """
        What changes nothing tells nothing.
        """
        await self.job.put("item", id="a")
        await self.news()
        await self.job.put("again", id="a", delay=5)
        await self.job.retract("none")
        await self.job.maintenance()
        await self.job.retry_all()
        await self.told()

    async def test_silent(self) -> None:
        """
        With ``announce=False`` puts and claims alone are not told.
        """
        await self.job.set_config(announce=False)
        await self.news()
        await self.job.put("item", id="a")
        claim = await self.job.get()
        await self.told()
        await claim.cancel(delay=LONG)
        await self.told(("tx.feed.delay", b"a\0" + await self.due()))
        await self.job.retry("a")
        await self.told(("tx.feed.retry", b"a"))
        await (await self.job.get()).finish()
        await self.told(("tx.feed.finish", b"a"))


class Walk:
    """A random walk of two processes and a peer through one feed of jobs.

    :param case: what it happens in.
    :param jobs: the feed as two processes have it.
    :param seed: of what happens.
    """

    def __init__(self, case: WalkTests, jobs: list[Any], seed: int) -> None:
        self.case = case
        self.jobs = jobs
        self.random = random.Random(seed)
        self.model = Model()
        self.trail: list[str] = []
        #: What each process takes for its claim of a job.
        self.known: list[dict[str, Claim]] = [{}, {}]
        #: All claims there ever were, lost ones too, with their process.
        self.claims: list[tuple[int, Claim]] = []
        self.when = 0
        self.age = 0
        self.ended: list[str] = []
        self.order: dict[str, int] = {}
        self.steps: list[Callable[[], Awaitable[None]]] = []
        for weight, step in (
            *((8, self.put), (1, self.put_many), (14, self.take), (2, self.hand), (3, self.taken)),
            *((8, self.finish), (8, self.cancel), (4, self.fail), (4, self.release)),
            *((4, self.stall), (1, self.cancel_running), (6, self.retry), (1, self.retry_all)),
            *((2, self.retract), (2, self.edit), (2, self.extend), (2, self.progress)),
            *((3, self.grow_late), (3, self.come_due), (1, self.grow_old), (5, self.maintain)),
            *((1, self.configure), (2, self.hand_back), (5, self.say_late)),
            *((3, self.peer_claims), (2, self.peer_finishes), (2, self.peer_cancels)),
            *((2, self.peer_stalls), (2, self.peer_retries), (1, self.peer_retracts)),
            (1, self.peer_loses),
        ):
            self.steps += [step] * weight

    async def step(self) -> None:
        """Do something, and compare all of Redis with the model."""
        await self.random.choice(self.steps)()
        await self.compare()

    def note(self, *what: object) -> None:
        """Remember what was done, for who reads of a failure."""
        self.trail.append(" ".join(map(str, what)))

    def some(self, *ids: str) -> str | None:
        """One of these, if there is any; the same one for the same seed, whatever its name."""
        for id in self.model.items:
            self.order.setdefault(id, len(self.order))
        some = sorted(ids, key=lambda each: self.order.get(each, -1))
        return self.random.choice(some) if some else None

    def any_id(self) -> str:
        """Any job, now and then one that has ended, or never was."""
        if self.ended and self.random.random() < 0.1:
            return self.random.choice(self.ended[-10:])
        return self.some(*self.model.items) or "none"

    async def outcome(self, call: Any, expected: Any, id: str, claim: Claim | None = None) -> None:
        """A call must succeed, or fail, as the model says."""
        found = None
        try:
            await call
        except Exception as error:
            found = type(error)
        self.note("  ->", found)
        self.case.assertEqual(found, expected)
        if claim is not None and found is None:  # one that was lost is kept in mind
            for known in self.known:
                if known.get(id) is claim:
                    del known[id]
        if id not in self.model.items and id not in self.ended:
            self.ended.append(id)

    def pick_claim(self) -> tuple[Any, str, str, Claim | None]:
        """A verb's way to a job: a claim, held or lost, or an id and a process.

        :returns: what has the verbs, the id, the token that counts, and the claim.
        """
        held = [
            claim
            for _, claim in self.claims
            if self.model.claimed.get(claim.id) == claim.token.decode()
        ]
        if held and self.random.random() < 0.6:
            claim = self.random.choice(held)
            return claim, claim.id, claim.token.decode(), claim
        process = self.random.randrange(2)
        id = self.some(*self.model.claimed) if self.random.random() < 0.7 else None
        id = id or self.any_id()
        known = self.known[process].get(id)
        return self.jobs[process], id, "" if known is None else known.token.decode(), known

    async def verb(self, name: str, args: tuple[Any, ...], predict: Callable[..., Any]) -> None:
        """Call a verb by a claim or by id; *predict* asks the model, by id, token and claim."""
        through, id, token, claim = self.pick_claim()
        self.note(name, id, args, "by", token or "id", type(through).__name__)
        by_id = through is not claim
        expected = predict(id, "" if name == "stall" and by_id else token, claim)
        method = getattr(through, name)
        call = method(*args) if through is claim else method(id, *args)
        if name == "stall" and by_id:
            claim = None  # an operator's; whoever has claimed the job is to hear of it
        await self.outcome(call, expected, id, claim)

    # -- steps ------------------------------------------------------------------------------

    async def put(self) -> None:
        if len(self.model.items) > 40:
            return
        job, item = self.random.choice(self.jobs), f"item {len(self.trail)}"
        first, delay = self.random.random() < 0.2, self.random.choice((0, 0, LONG))
        ids = (None, f"job {len(self.trail)}", self.any_id())
        id = await job.put(item, first, id=self.random.choice(ids), delay=delay or None)
        self.note("put", id, item, first, delay)
        self.model.put(id, item, first, delay)

    async def put_many(self) -> None:
        if len(self.model.items) > 40:
            return
        ids = await self.jobs[0].put_many(["x", "y", "z"])
        self.note("put_many", ids)
        for id, item in zip(ids, "xyz", strict=True):
            self.model.put(id, item)

    async def take(self, handed: str = "") -> None:
        process, count = self.random.randrange(2), self.random.choice((1, 1, 1, 3))
        expected = self.model.take(count, handed)
        self.note("take", count, handed, "->", expected)
        if len(expected) == count == 1 and not handed:
            claims = [await self.jobs[process].get()]
        else:
            claims = await self.jobs[process].take(count, handed)
        found = [tuple(claim) for claim in claims]
        model = self.model
        counts = [(id, model.items[id], model.cancelled.get(id, 0)) for id in expected]
        self.case.assertEqual(found, counts)
        for claim in claims:
            model.hold(claim.id, claim.token.decode())
            self.known[process][claim.id] = claim
            self.claims.append((process, claim))

    async def hand(self) -> None:
        keys, model = self.case.keys, self.model
        if model.queue:
            id = model.queue.pop()
            model.handoff.insert(0, id)
            self.note("hand", id)
            await self.case.redis.execute("LMOVE", keys.ids, keys.handoff, "RIGHT", "LEFT")

    async def taken(self) -> None:
        if handed := self.some(*self.model.handoff):
            await self.take(handed)

    async def hand_back(self) -> None:
        if id := self.some(*self.model.handoff):
            self.note("hand back", id)
            self.model.handoff.remove(id)
            self.model.queue.append(id)
            await self.jobs[0].hand_back(id)

    async def finish(self) -> None:
        result = self.random.choice((None, "", "result"))
        kept = self.random.choice((None, None, 0, LONG))
        args = (NO_RESULT if result is None else result, kept)
        keeps = self.keeps if kept is None else bool(kept)
        await self.verb(
            "finish", args, lambda known, token, _: self.model.finish(known, token, result, keeps)
        )

    async def cancel(self) -> None:
        delay = self.random.choice((None, None, 0, LONG))

        def predict(id: str, token: str, claim: Claim | None) -> Any:
            pause = delay
            if pause is None:
                backoff = None if claim is None else self.backoffs.get(token)
                pause = (
                    0 if backoff is None or claim is None else backoff.seconds(claim.cancelled + 1)
                )
            return self.model.cancel("cancel", id, token, pause)

        await self.verb("cancel", (delay,), predict)

    async def fail(self) -> None:
        _, id, token, claim = self.pick_claim()
        if claim is None:
            return
        delay, text = self.random.choice((0, LONG)), self.random.choice(("", f"why {self.when}"))
        self.note("fail", id, token, delay, text)
        expected = self.model.cancel("fail", id, token, delay, text)
        call = self.jobs[0].give_up("failed", id, claim.token, delay, text)
        await self.outcome(call, expected, id)
        for job, known in zip(self.jobs, self.known, strict=True):  # as a worker does
            job.forget(claim)
            if known.get(id) is claim:
                del known[id]

    async def release(self) -> None:
        await self.verb("release", (), lambda known, token, _: self.model.release(known, token))

    async def stall(self) -> None:
        reason = self.random.choice(("", f"reason {self.when}"))
        await self.verb(
            "stall", (reason,), lambda job, token, _: self.model.stall(job, token, reason)
        )

    async def cancel_running(self) -> None:
        id = self.any_id()
        self.note("cancel_running", id)
        expected = self.model.stall(id, "", "cancelled while it ran", True)
        await self.outcome(self.jobs[1].cancel_running(id), expected, id)

    async def retry(self) -> None:
        id = self.some(*self.model.stalled) or self.any_id()
        id = self.any_id() if self.random.random() < 0.2 else id
        self.note("retry", id)
        await self.outcome(self.jobs[0].retry(id), self.model.retry(id), id)

    async def retry_all(self) -> None:
        parked = {id for id in self.model.items if self.model.states(id) == ["parked"]}
        self.note("retry_all", sorted(parked))
        self.case.assertEqual(await self.jobs[1].get_stalled(), parked)
        if len(parked) < 2:  # of more nobody knows the order
            for id in parked:
                self.model.retry(id)
            self.case.assertEqual(await self.jobs[1].retry_all(), len(parked))

    async def retract(self) -> None:
        id = self.any_id()
        self.note("retract", id)
        self.case.assertIs(await self.jobs[1].retract(id), self.model.retract(id))
        self.ended.append(id)

    async def edit(self) -> None:
        id, item = self.any_id(), f"edited {self.when}"
        self.note("edit", id)
        await self.outcome(self.jobs[0].edit(id, item), self.model.edit(id, item), id)

    async def extend(self) -> None:
        process_and_claims = self.claims[-20:]
        if process_and_claims:
            _, claim = self.random.choice(process_and_claims)
            self.note("extend", claim.id, claim.token)
            expected = self.model.extend(claim.id, claim.token.decode())
            await self.outcome(claim.extend(), expected, claim.id)

    async def progress(self) -> None:
        if self.claims:
            _, claim = self.random.choice(self.claims[-20:])
            self.note("progress", claim.id, claim.token)
            expected = self.model.progress(claim.id, claim.token.decode(), "half")
            await self.outcome(claim.progress("half"), expected, claim.id)

    async def say_late(self) -> None:
        """Whoever has lost a claim is refused, whatever it says, and nothing changes."""
        lost = [
            claim
            for _, claim in self.claims
            if self.model.claimed.get(claim.id) != claim.token.decode()
        ]
        if lost:
            claim = self.random.choice(lost)
            name = self.random.choice(("finish", "cancel", "release", "stall", "extend"))
            self.note("late", name, claim.id, claim.token)
            fence = self.model.extend(claim.id, claim.token.decode())
            ends = None if name == "extend" else claim
            await self.outcome(getattr(claim, name)(), fence, claim.id, ends)

    async def grow_late(self) -> None:
        model = self.model
        ours = [id for id, token in model.claimed.items() if token and id not in model.late]
        if id := self.some(*ours):
            self.note("late", id)
            model.late[id] = None
            await self.case.age(id)

    async def come_due(self) -> None:
        model = self.model
        if id := self.some(*(model.delayed.keys() - model.due.keys())):
            self.note("due", id)
            self.age += 1
            model.due[id] = None
            await self.case.redis.execute("ZADD", self.case.keys.delayed, self.age, id)

    async def grow_old(self) -> None:
        model = self.model
        if id := self.some(*(model.results.keys() - model.old.keys())):
            self.note("old", id)
            self.age += 1
            model.old[id] = None
            await self.case.redis.execute("ZADD", self.case.keys.due, self.age, id)

    async def maintain(self) -> None:
        order = await self.case.redis.execute("ZRANGE", self.case.keys.claimed, 0, -1)
        why = f"not finished in time by {worker_name()}"
        expected = self.model.maintenance([id.decode() for id in order], why)
        self.note("maintenance", expected)
        job = self.random.choice(self.jobs)
        self.case.assertEqual(await job.maintenance(handoff_grace=0, lost_grace=0), expected)

    async def configure(self) -> None:
        """Other options; what is claimed already keeps the back-off of its claim."""
        attempts = self.random.choice((None, 0, 2, 3))
        backoff = self.random.choice((None, "1000", "exponential:1000:3000"))
        keeps = self.random.choice((True, False))
        announce = self.random.random() < 0.8
        self.note("configure", attempts, backoff, keeps, announce)
        await self.jobs[0].set_config(
            max_attempts=attempts,
            backoff=backoff,
            result_ttl=LONG if keeps else 0,
            announce=announce,
        )
        self.model.max_attempts, self.model.announce = attempts, announce
        self.keeps = keeps
        self.backoff = None if backoff is None else Backoff.parse(backoff)

    # -- steps of a peer --------------------------------------------------------------------

    async def peer_claims(self) -> None:
        if self.model.queue:
            # A peer's claim in the very millisecond of ours would pass for ours.
            await until(self.next_millisecond)
            id = self.model.queue.pop()
            self.note("peer claims", id)
            self.model.hold(id, "")
            self.case.assertEqual(await self.case.peer.claim(), id)

    async def next_millisecond(self) -> bool:
        return await self.case.now() > self.when

    async def peer_finishes(self) -> None:
        if id := self.some(*self.model.claimed):
            result = self.random.choice((None, "of a peer"))
            self.note("peer finishes", id)
            self.model.peer_finish(id, result)
            self.ended.append(id)
            await self.case.peer.finish(id, result)

    async def peer_cancels(self) -> None:
        if id := self.some(*self.model.claimed):
            self.note("peer cancels", id)
            self.model.peer_cancel(id)
            await self.case.peer.cancel(id)

    async def peer_stalls(self) -> None:
        later = [id for id in self.model.items if self.model.states(id) == ["delayed"]]
        if id := self.some(*self.model.claimed, *later):
            self.note("peer stalls", id)
            self.model.peer_stall(id)
            await self.case.peer.stall(id)

    async def peer_retries(self) -> None:
        if id := self.some(*self.model.stalled):
            self.note("peer retries", id)
            self.model.peer_retry(id)
            await self.case.peer.retry(id)

    async def peer_retracts(self) -> None:
        if id := self.some(*(self.model.items.keys() - {*self.model.handoff})):
            self.note("peer retracts", id)
            self.model.peer_retract(id)
            self.ended.append(id)
            await self.case.peer.retract(id)

    async def peer_loses(self) -> None:
        if self.model.queue and not self.model.lost():
            self.note("peer loses", self.model.queue[-1])
            self.case.assertEqual(await self.case.peer.pop(), self.model.queue.pop())

    # -- comparing --------------------------------------------------------------------------

    keeps = True
    backoff: Backoff | None = None

    @property
    def backoffs(self) -> dict[str, Backoff | None]:
        """What each claim knows of back-off."""
        return {claim.token.decode(): claim.policy.backoff for _, claim in self.claims}

    async def compare(self) -> None:
        """Redis has what the model has, in every key."""
        model, keys, equal = self.model, self.case.keys, self.case.assertEqual
        got = await gatherResults(
            [
                self.case.redis.execute(*command)
                for command in (
                    ("TIME",),
                    ("LRANGE", keys.ids, 0, -1),
                    ("LRANGE", keys.handoff, 0, -1),
                    ("HGETALL", keys.items),
                    ("ZRANGE", keys.claimed, 0, -1, "WITHSCORES"),
                    ("SMEMBERS", keys.stalled),
                    ("ZRANGE", keys.published, 0, -1),
                    ("HGETALL", keys.cancelled),
                    ("HGETALL", keys.lease),
                    ("HGETALL", keys.errors),
                    ("ZRANGE", keys.delayed, 0, -1, "WITHSCORES"),
                    ("HGETALL", keys.results),
                    ("ZRANGE", keys.due, 0, -1),
                    ("ZRANGE", keys.seen, 0, -1),
                    ("ZRANGE", keys.lost, 0, -1),
                    ("GET", keys.publishes),
                    ("GET", keys.finishes),
                )
            ]
        )
        time, ids, handoff, items, claimed, stalled, published, cancelled = map(_text, got[:8])
        lease, errors, delayed, results, due, seen, lost, puts, finishes = map(_text, got[8:])
        for id in model.items:
            equal(len(model.states(id)), 1, f"{id}: {model.states(id)}")
        equal(ids, model.queue)
        equal(handoff, model.handoff)
        equal(_dict(items), model.items)
        scores = _dict(claimed)
        equal(scores.keys(), model.claimed.keys())
        equal(set(stalled), model.stalled)
        equal(set(published), model.published)
        equal(_dict(cancelled), {id: str(count) for id, count in model.cancelled.items()})
        leases = {id: each.split(" ") for id, each in _dict(lease).items()}
        equal({id: token for id, (token, _, _) in leases.items()}, model.lease)
        for id, token in model.claimed.items():
            if token:
                equal(leases[id][:2], [token, scores[id]])
                equal(leases[id][2] == "1", id in model.late)
        histories = {
            id: [line.split("\t") for line in history.splitlines()]
            for id, history in _dict(errors).items()
        }
        equal({i: [text for _, _, text in lines] for i, lines in histories.items()}, model.errors)
        equal({who for lines in histories.values() for _, who, _ in lines} - {worker_name()}, set())
        now = int(time[0]) * 1000 + int(time[1]) // 1000
        self.tell(_dict(delayed), now)
        equal(_dict(results), model.results)
        equal(set(due), model.results.keys())
        equal(set(seen), model.seen)
        equal(lost, [])
        equal((puts or "0", finishes or "0"), (str(model.puts), str(model.finishes)))
        self.when = now

    def tell(self, delayed: dict[str, str], now: int) -> None:
        """Put in when a delayed job is due, which must be so long from now."""
        model = self.model
        self.case.assertEqual(delayed.keys(), model.delayed.keys())
        for i, (channel, id, text) in enumerate(model.told):
            if text is DUE:
                due, seconds = int(delayed[id]), model.delayed[id]
                self.case.assertTrue(self.when <= due - seconds * 1000 <= now, (id, due, seconds))
                model.told[i] = (channel, id, delayed[id])


class WalkTests(PeerCase):
    """A long walk."""

    timeout = 600 if STEPS > 10_000 else 240

    async def test_walk(self) -> None:
        """
        After each of some thousand steps of two processes and a peer, whatever they do, every job
        is in the one state that it should be in, and each transition was told once.
        """
        seed = int(SEED) if SEED else random.SystemRandom().randrange(10**9)
        walk = Walk(self, [self.job, await self.other()], seed)
        walk.when = await self.now()
        await self.news()
        try:
            for i in range(STEPS):
                await walk.step()
                if i % 50 == 49:
                    await self.hear(walk)
        except Exception as error:
            trail = "\n".join(walk.trail[-40:])
            raise self.failureException(f"TXTHOONK_SEED={seed}: {error}\n{trail}") from error

    async def hear(self, walk: Walk) -> None:
        """What was told is what the model told."""
        told = [
            (channel, id.encode() + (b"" if text is None else b"\0" + text.encode()))
            for channel, id, text in walk.model.told
        ]
        walk.model.told.clear()
        news = [each for each in await self.news() if each[0] != "conffeed"]
        self.assertEqual(news, told)


class ModelTests(ThoonkTestCase):
    """The walk's own safeguards."""

    def test_model(self) -> None:
        """
        The model tells apart what must be told apart.
        """
        model = Model()
        model.put("a", "x", delay=5)
        self.assertEqual(model.states("a"), ["delayed"])
        model.peer_stall("a")
        self.assertEqual(model.states("a"), ["parked"])
        model.peer_retry("a")
        self.assertEqual(model.states("a"), ["available"])
        self.assertEqual(model.take(1), ["a"])
        self.assertEqual(model.states("a"), ["lost"])


def _text(reply: Any) -> Any:
    """A reply as text."""
    if isinstance(reply, list):
        return [_text(each) for each in reply]
    return reply.decode() if isinstance(reply, bytes) else reply


def _dict(reply: list[str]) -> dict[str, str]:
    """Name, value, ..."""
    return dict(zip(reply[::2], reply[1::2], strict=True))
