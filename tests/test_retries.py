"""Options of jobs, jobs that are tried again, and what an operator does with those that failed."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import gatherResults

from tests.helpers import until
from tests.peer_jobs import PeerCase
from txthoonk import (
    Attempt,
    Claim,
    ItemDoesNotExist,
    ItemError,
    JobDelayed,
    JobNotClaimed,
    JobNotStalled,
    JobRetried,
    JobStalled,
)
from txthoonk.types.backoff import DEFAULT, Backoff
from txthoonk.types.claims import one_line, read_attempts, worker_name

#: Option -> values, as they are given and as they are stored.
GOOD: Final[dict[str, tuple[tuple[Any, str], ...]]] = {
    "claim_timeout": ((30, "30"), (0.25, "0.25"), ("12.5", "12.5"), (1e9, "1000000000")),
    "max_attempts": ((5, "5"), ("3", "3"), (0, "0"), (10**6, "1000000")),
    "backoff": (
        (5, "5"),
        (0.5, "0.5"),
        ("0", "0"),
        ("5:jitter", "5:jitter"),
        ("fixed:2", "fixed:2"),
        ("fixed:2.5:jitter", "fixed:2.5:jitter"),
        ("exponential:1", "exponential:1"),
        ("exponential:0.1:60", "exponential:0.1:60"),
        ("exponential:1:60:jitter", "exponential:1:60:jitter"),
    ),
    "peer_timeout": ((60, "60"), (0.1, "0.1")),
    "result_ttl": ((60, "60"), (0, "0"), ("0.5", "0.5")),
}

#: Option -> values that cannot be.
BAD: Final[dict[str, tuple[Any, ...]]] = {
    "claim_timeout": (0, -1, "soon", "", "nan", float("inf"), 2e9, True, b"5", [], "1 s"),
    "max_attempts": (-1, "many", "", "1.5", 1.5, True, b"5", [], float("nan")),
    "backoff": (
        *(-1, "", "soon", "fixed", "fixed:", "fixed:1:2", "exponential", "exponential:1:2:3"),
        *("jitter", "fixed:jitter", "5:jitter:jitter", "linear:5", "exponential:-1", "5:"),
        *("nan", "inf", float("nan"), 1e9, True, b"5", [], "exponential:1:nan", ":5", "5 s"),
    ),
    "peer_timeout": (0, -0.5, "never", "", float("nan"), True, b"5"),
    "result_ttl": (-1, "", "long", float("inf"), False, b"5"),
}


class OptionTests(PeerCase):
    """The options of jobs."""

    async def test_good(self) -> None:
        """
        Each option is stored as others read it, whichever way it is given.
        """
        for name, values in GOOD.items():
            for value, stored in values:
                for way in ("set_config", "config", "handle", "create"):
                    if way == "set_config":
                        await self.job.set_config(**{name: value})
                    elif way == "config":
                        await self.job.set_config({name: value})
                    elif way == "handle":
                        await self.thoonk.job(self.name, **{name: value})
                    else:
                        await self.job.delete()
                        await self.thoonk.create_feed(self.name, {"type": "job"}, **{name: value})
                    config = await self.job.get_config()
                    self.assertEqual(config.pop(name), stored, f"{way} {name}={value!r}")
                    self.assertEqual(config, {"type": "job"})
                    await self.job.set_config({name: None})

    async def test_none(self) -> None:
        """
        None takes an option away, whichever way it is given; others stay.
        """
        for name, ((value, _), *_) in GOOD.items():
            for way in ("set_config", "config", "handle", "create"):
                await self.job.set_config(**{name: value}, title="Jobs")
                if way == "set_config":
                    await self.job.set_config(**{name: None})
                elif way == "config":
                    await self.job.set_config({name: None})
                elif way == "handle":
                    await self.thoonk.job(self.name, **{name: None})
                else:
                    await self.job.delete()
                    options = {name: None, "title": "Jobs"}
                    await self.thoonk.create_feed(self.name, {"type": "job"}, **options)
                self.assertEqual(await self.job.get_config(), {"type": "job", "title": "Jobs"})
        await self.job.set_config(**dict.fromkeys(GOOD))
        self.assertEqual(await self.job.get_config(), {"type": "job", "title": "Jobs"})

    async def test_bad(self) -> None:
        """
        What cannot be is refused at once, by name, and nothing is set.
        """
        for name, values in BAD.items():
            for value in values:
                given = {name: value, "title": "T"}
                for call in (
                    lambda given=given: self.job.set_config(**given),
                    lambda given=given: self.job.set_config(given),
                    lambda given=given: self.thoonk.job(self.name, **given),
                    lambda given=given: self.thoonk.create_feed("x", {"type": "job"}, **given),
                ):
                    error = self.assertRaises((TypeError, ValueError), call)
                    self.assertIn(name, str(error), f"{name}={value!r}")
        self.assertEqual(await self.job.get_config(), {"type": "job"})

    async def test_of_jobs_alone(self) -> None:
        """
        Other types have none of them.
        """
        for name, ((value, _), *_) in GOOD.items():
            for make in (self.thoonk.feed, self.thoonk.queue, self.thoonk.sorted_feed):
                self.assertRaises(ValueError, make, self.feed_name(), **{name: value})

    async def test_as_claims_see_them(self) -> None:
        """
        A claim knows what the feed said when it was made; what a peer wrote that cannot be is as
        if it were not there.
        """
        await self.job.set_config(claim_timeout=7, max_attempts=3, backoff="exponential:2:9")
        await self.job.put_many(["x"] * 3)
        claim = await self.job.get()
        await self.job.set_config(claim_timeout=None, max_attempts=None, backoff=None)
        self.assertEqual(claim.policy, (7.0, 3, Backoff(2.0, 9.0)))
        self.assertEqual((await self.job.get()).policy, (30.0, None, None))
        for name, value in (("claim_timeout", "x"), ("max_attempts", "-1"), ("backoff", "\xff:")):
            await self.redis.execute("HSET", self.keys.config, name, value)
        self.assertEqual((await self.job.get()).policy, (30.0, None, None))


class BackoffTests(PeerCase):
    """How long the pauses are."""

    def test_parse(self) -> None:
        """
        A number, or a kind with its numbers, and jitter behind any of them.
        """
        for text, expected in (
            ("5", Backoff(5.0)),
            ("0.5:jitter", Backoff(0.5, None, True)),
            ("fixed:5", Backoff(5.0)),
            ("fixed:5:jitter", Backoff(5.0, None, True)),
            ("exponential:1:60", Backoff(1.0, 60.0)),
            ("exponential:1:60:jitter", Backoff(1.0, 60.0, True)),
        ):
            self.assertEqual(Backoff.parse(text), expected)

    def test_seconds(self) -> None:
        """
        A fixed pause is always the same; an exponential one doubles, up to its limit, however
        many attempts there were.
        """
        for text, pauses in (
            ("3", (3, 3, 3, 3, 3)),
            ("exponential:1", (1, 2, 4, 8, 16)),
            ("exponential:1:5", (1, 2, 4, 5, 5)),
            ("exponential:8:5", (5, 5, 5, 5, 5)),
            ("exponential:0", (0, 0, 0, 0, 0)),
            ("0", (0, 0, 0, 0, 0)),
        ):
            backoff = Backoff.parse(text)
            self.assertEqual(tuple(backoff.seconds(n) for n in range(1, 6)), pauses, text)
        for attempts in (50, 64, 65, 10**6, 10**9):
            self.assertEqual(Backoff.parse("exponential:1").seconds(attempts), 31 * 86400)
            self.assertEqual(DEFAULT.seconds(attempts), 300)

    def test_jitter(self) -> None:
        """
        With jitter a pause is anything from a half up of what it would be.
        """
        backoff = Backoff.parse("exponential:10:15:jitter")
        first = [backoff.seconds(1) for _ in range(500)]
        self.assertTrue(5 <= min(first) < 6 and 9 < max(first) <= 10, (min(first), max(first)))
        second = [backoff.seconds(2) for _ in range(500)]
        self.assertTrue(min(second) >= 7.5 and max(second) <= 15)


class LaterCase(PeerCase):
    """Jobs that wait for their next attempt."""

    async def claimed(self, id: str = "a") -> Claim:
        """A claim of ours."""
        if not await self.states(id):
            await self.job.put(f"item {id}", id=id)
        claim = await self.job.get()
        self.assertEqual(claim.id, id)
        return claim

    async def delay_of(self, id: str = "a") -> float:
        """Seconds until a job is due, about."""
        self.assertEqual(await self.states(id), ["delayed"])
        due = await self.redis.execute("ZSCORE", self.keys.delayed, id)
        return (int(due) - await self.now()) / 1000


class CancelTests(LaterCase):
    """cancel."""

    async def test_delay(self) -> None:
        """
        A job that is cancelled for later is nobody's until it is due, and counted.
        """
        await self.claimed()
        await self.news()
        await self.job.cancel("a", delay=50)
        delay = await self.delay_of()
        self.assertTrue(49 < delay <= 50, delay)
        due = await self.redis.execute("ZSCORE", self.keys.delayed, "a")
        self.assertEqual(await self.news(), [("tx.feed.delay", b"a\0" + due)])
        self.assertEqual(await self.job.get_failure_count("a"), 1)
        self.assertEqual(await self.job.length(), 0)
        self.assertEqual((await self.job.maintenance()).promoted, 0)
        self.assertEqual((await self.job.stats())[:5], (0, 0, 0, 0, 1))
        self.assertEqual(await self.job.get_attempts("a"), [])

    async def test_backoff(self) -> None:
        """
        A claim that is cancelled without a delay waits by the feed's back-off, ever longer.
        """
        await self.job.set_config(backoff="exponential:10:35")
        for pause in (10, 20, 35, 35):
            claim = await self.claimed()
            await claim.cancel()
            self.assertTrue(pause - 1 < await self.delay_of() <= pause)
            await self.job.retry("a")
        await (await self.claimed()).cancel(delay=0)
        self.assertEqual(await self.states("a"), ["available"])
        await self.claimed()
        await self.job.cancel("a")  # by its id: the same claim
        self.assertTrue(34 < await self.delay_of() <= 35)

    async def test_backoff_of_others(self) -> None:
        """
        Where a process cancels what another has claimed, the job is available at once, as where
        the feed has no back-off.
        """
        await self.claimed()
        await self.job.cancel("a")
        self.assertEqual(await self.states("a"), ["available"])
        await self.job.set_config(backoff=10)
        await self.claimed()
        await (await self.other()).cancel("a")
        self.assertEqual(await self.states("a"), ["available"])

    async def test_limit(self) -> None:
        """
        Where the feed has ``max_attempts`` a job that was cancelled as often is parked, not
        delayed; where it has none, or 0, cancels go on for ever.
        """
        for limit in (None, 0):
            await self.job.set_config(max_attempts=limit)
            for _ in range(12):
                await (await self.claimed()).cancel()
            self.assertEqual(await self.states("a"), ["available"])
            self.assertEqual(await self.job.get_failure_count("a"), 12)
            await self.job.retract("a")
        await self.job.set_config(max_attempts=3, backoff=10)
        for _ in range(2):
            await (await self.claimed()).cancel(delay=0)
        await self.claimed()
        await self.news()
        await self.job.cancel("a")
        self.assertEqual(await self.states("a"), ["parked"])
        self.assertEqual(await self.news(), [("tx.feed.stall", b"a\0")])
        self.assertEqual(await self.job.get_failure_count("a"), 0)
        self.assertEqual(await self.job.get_stalled(), {"a"})

    async def test_bad_delay(self) -> None:
        """
        A delay that cannot be is refused at once, and nothing is written.
        """
        claim = await self.claimed()
        before = await self.stored()
        for delay in (-1, -0.001, float("nan"), float("inf"), 1e30):
            self.assertRaises(ValueError, claim.cancel, delay)
            self.assertRaises(ValueError, self.job.cancel, "a", delay)
            self.assertRaises(ValueError, self.job.put, "x", delay=delay)
            self.assertRaises(ValueError, claim.finish, "x", delay)
        self.assertEqual(await self.stored(), before)
        await claim.finish()

    async def test_published_anew(self) -> None:
        """
        A job that a peer took out of ``feed.published`` is in it again once it is cancelled.
        """
        for delay in (0, 60):
            claim = await self.claimed()
            await self.redis.execute("ZREM", self.keys.published, "a")
            await claim.cancel(delay)
            self.assertEqual(await self.states("a"), ["delayed" if delay else "available"])
            await self.job.retract("a")


class HistoryTests(LaterCase):
    """What is known of attempts that came to nothing."""

    async def fails(self, text: str) -> int:
        """An attempt that fails, as a worker reports it."""
        claim = await self.claimed()
        again = await self.job.give_up("failed", "a", claim.token, 0, text)
        self.job.forget(claim)
        return again

    async def test_history(self) -> None:
        """
        Each attempt that failed is there with its time, its worker and what went wrong, oldest
        first; those that were only cancelled or released are not.
        """
        await self.job.set_config(max_attempts=0)
        before = await self.now()
        self.assertEqual(await self.fails("first"), 1)
        await (await self.claimed()).cancel()
        await (await self.claimed()).release()
        self.assertEqual(await self.fails("second"), 1)
        attempts = await self.job.get_attempts("a")
        self.assertEqual([each.error for each in attempts], ["first", "second"])
        self.assertEqual({each.worker for each in attempts}, {worker_name()})
        whens = [each.when for each in attempts]
        self.assertEqual(whens, sorted(whens))
        self.assertTrue(before <= whens[0] and whens[1] <= await self.now())
        self.assertEqual(await self.job.get_attempts("none"), [])

    async def test_bounded(self) -> None:
        """
        The last ten are kept, through parking and retrying, until the job has ended.
        """
        await self.job.set_config(max_attempts=0)
        for i in range(1, 24):
            await self.fails(f"number {i}")
            expected = [f"number {n}" for n in range(max(1, i - 9), i + 1)]
            self.assertEqual([a.error for a in await self.job.get_attempts("a")], expected)
        await self.job.stall("a", "no more")
        await self.job.retry("a")
        errors = [each.error for each in await self.job.get_attempts("a")]
        self.assertEqual(errors, [*(f"number {n}" for n in range(15, 24)), "no more"])
        await (await self.claimed()).finish()
        self.assertEqual(await self.job.get_attempts("a"), [])

    async def test_parked(self) -> None:
        """
        A job that fails once too often is parked with all of it; the limit is 5 unless the feed
        says otherwise.
        """
        for limit, most in ((None, 5), (3, 3), (1, 1)):
            await self.job.set_config(max_attempts=limit)
            for i in range(1, most):
                self.assertEqual(await self.fails(f"number {i}"), 1)
            await self.news()
            self.assertEqual(await self.fails(f"number {most}"), 0)
            told = ("tx.feed.stall", b"a\0number %d" % most)
            self.assertIn(told, await self.news())
            self.assertEqual(await self.states("a"), ["parked"])
            self.assertEqual(len(await self.job.get_attempts("a")), most)
            await self.job.retract("a")
            self.assertEqual(await self.job.get_attempts("a"), [])

    async def test_one_line(self) -> None:
        """
        Whatever an error says is one line of a bounded length, and harms no other line.
        """
        await self.job.set_config(max_attempts=0)
        nasty = {
            "two\nlines\r\nand more": "two lines and more",
            "tabs\tand\x0bothers\x1c\x85\u2028\u2029.": "tabs and others .",
            "x" * 600: "x" * 497 + "...",
            "nul \0 in it": "nul \0 in it",
            "h\xe4\u20ac\U0001f600": "h\xe4\u20ac\U0001f600",
            "lone \ud800": "lone \\ud800",
            "byte \udcff": "byte \\udcff",
            "%d %s": "%d %s",
        }
        for text, line in nasty.items():
            self.assertEqual(one_line(text), line)
            await self.fails(text)
        self.assertEqual([a.error for a in await self.job.get_attempts("a")], [*nasty.values()])

    async def test_nothing_said(self) -> None:
        """
        An attempt of which nothing is said counts, and leaves no line.
        """
        await self.job.set_config(max_attempts=0)
        await self.fails(" \n ")
        self.assertEqual(await self.job.get_attempts("a"), [])
        self.assertEqual(await self.job.get_failure_count("a"), 1)

    def test_foreign_lines(self) -> None:
        """
        Lines that somebody else wrote into a history are left out.
        """
        history = b"5\thost:1\twhy\nnonsense\n\n\t\t\nx\ty\tz\n7\tonly\n-1\ta\tb\n8\t\xff\t\xfe\n"
        expected = [Attempt(5, "host:1", "why"), Attempt(8, "\udcff", "\udcfe")]
        self.assertEqual(read_attempts(history), expected)

    async def test_of_an_earlier_life(self) -> None:
        """
        What a job of the same id went through, which a peer ended, is not held against a new one.
        """
        for how in ("finish", "retract", "js"):
            await self.job.set_config(max_attempts=0)
            for _ in range(4):
                await self.fails("old")
            await self.claimed()
            if how == "js":
                await self.peer.retract("a", js=True)
                await self.redis.execute("HSET", self.keys.cancelled, "a", 4)  # as its delete does
            else:
                await getattr(self.peer, how)("a")
            await self.job.put("new", id="a")
            self.assertEqual(await self.job.get_attempts("a"), [], how)
            self.assertEqual(await self.job.get_failure_count("a"), 0, how)
            await self.job.retract("a")


class OperatorTests(LaterCase):
    """get_stalled, edit, retry, retry_all, retract, stall."""

    async def test_get_stalled(self) -> None:
        """
        What is parked is listed, what is delayed is not.
        """
        await self.job.put("x", id="parked")
        await self.job.stall("parked")
        await self.job.put("x", id="delayed", delay=60)
        await self.job.put("x", id="by a peer")
        await self.peer.stall("by a peer")
        self.assertEqual(await self.job.get_stalled(), {"parked", "by a peer"})
        await self.peer.stall("delayed")
        self.assertEqual(await self.states("delayed"), ["parked"])
        self.assertEqual(await self.job.get_stalled(), {"parked", "by a peer", "delayed"})
        self.assertEqual((await self.job.stats())[3:5], (3, 0))

    async def test_get_stalled_many(self) -> None:
        """
        However many there are.
        """
        ids = [f"job {i}" for i in range(12_000)]
        await self.redis.execute("SADD", self.keys.stalled, *ids)
        later = [part for id in ids[::2] for part in (1, id)]
        await self.redis.execute("ZADD", self.keys.delayed, *later)
        await self.redis.execute("ZADD", self.keys.published, *later)
        self.assertEqual(await self.job.get_stalled(), {*ids[1::2]})

    async def test_edit(self) -> None:
        """
        The item of a job can be replaced in whatever state it is; a claim has the old one.
        """
        for state in ("available", "delayed", "parked", "claimed", "handed"):
            await self.job.put("old", id="a", delay=60 if state == "delayed" else None)
            if state == "parked":
                await self.job.stall("a")
            elif state == "claimed":
                claim = await self.job.get()
            elif state == "handed":
                await self.redis.execute(
                    *("LMOVE", self.keys.ids, self.keys.handoff, "RIGHT", "LEFT")
                )
            before = await self.stored(self.keys.items)
            await self.news()
            self.assertIsNone(await self.job.edit("a", "new\0item"))
            self.assertEqual(await self.news(), [("tx.feed.edit", b"a\0new\0item")])
            self.assertEqual(await self.stored(self.keys.items), before)
            self.assertEqual(await self.states("a"), [state])
            if state == "claimed":
                self.assertEqual(claim.item, "old")
                await claim.finish("result")
                self.assertEqual(await self.job.get_result("a"), ("new\0item", "result"))
            else:
                self.assertEqual(
                    await self.redis.execute("HGET", self.keys.items, "a"), b"new\0item"
                )
            await self.job.retract("a")
        await self.refused(self.job.edit("a", "x"), ItemDoesNotExist, self.name, "a")
        self.assertRaises(TypeError, self.job.edit, "a", b"bytes")
        self.assertEqual(await self.redis.execute("EXISTS", self.keys.items), 0)

    async def test_edit_a_poisoned_job(self) -> None:
        """
        A job that nobody can read is parked with the reason, and done once it was edited.
        """
        json = self.thoonk.job(self.name, serializer="json")
        await self.job.put("{no json", id="a")
        await self.refused(json.get(), ItemError, self.name, "a")
        [attempt] = await json.get_attempts("a")
        self.assertIn("The item cannot be read", attempt.error)
        await json.edit("a", ["json"])
        await json.retry("a")
        self.assertEqual((await json.get()).item, ["json"])

    async def test_retry(self) -> None:
        """
        A parked job starts anew behind the others, its count at zero, its history kept; a delayed
        one comes before its time.
        """
        await self.job.set_config(max_attempts=1)
        claim = await self.claimed()
        await self.job.give_up("failed", "a", claim.token, 0, "why")
        await self.job.put("item b", id="b", delay=60)
        await self.job.put("item c", id="c")
        await self.news()
        await self.job.retry("a")
        await self.job.retry("b")
        self.assertEqual(await self.news(), [("tx.feed.retry", b"a"), ("tx.feed.retry", b"b")])
        claims = [await self.job.get() for _ in range(3)]
        self.assertEqual(
            [tuple(claim) for claim in claims],
            [("c", "item c", 0), ("a", "item a", 0), ("b", "item b", 0)],
        )
        self.assertEqual([each.error for each in await self.job.get_attempts("a")], ["why"])
        self.assertNotIn(self.keys.delayed.decode(), await self.left())
        for id in ("a", "none"):
            await self.refused(self.job.retry(id), JobNotStalled, self.name, id)

    async def test_retry_all(self) -> None:
        """
        All parked jobs are available again, and counted; the delayed ones wait on.
        """
        self.assertEqual(await self.job.retry_all(), 0)
        ids = await self.job.put_many(["x"] * 1200)
        await gatherResults([self.job.stall(id) for id in ids])
        await self.job.put("x", id="delayed", delay=60)
        await self.redis.execute("SADD", self.keys.stalled, "without item")
        self.assertEqual(await self.job.retry_all(), 1200)
        self.assertEqual(await self.job.length(), 1200)
        self.assertEqual(await self.states("delayed"), ["delayed"])

    async def test_retry_all_at_once(self) -> None:
        """
        Two operators at once retry each job once.
        """
        ids = await self.job.put_many(["x"] * 300)
        await gatherResults([self.job.stall(id) for id in ids])
        other = await self.other()
        counts = await gatherResults([self.job.retry_all(), other.retry_all()])
        self.assertEqual(sum(counts), 300)
        self.assertEqual(await self.job.length(), 300)

    async def test_retract(self) -> None:
        """
        A job is taken out of whatever state it is in, with all that is known of it; whoever runs
        it is told to stop.
        """
        for state in ("available", "delayed", "parked", "claimed", "handed"):
            await self.job.set_config(max_attempts=0)
            await self.job.put("x", id="a")
            claim = await self.job.get()
            await self.job.give_up("failed", "a", claim.token, 0, "why")
            self.job.forget(claim)
            if state in ("claimed", "delayed"):
                claim = await self.job.get()
            if state == "delayed":
                await claim.cancel(delay=60)
            elif state == "parked":
                await self.job.stall("a")
            elif state == "handed":
                await self.redis.execute(
                    *("LMOVE", self.keys.ids, self.keys.handoff, "RIGHT", "LEFT")
                )
            self.assertEqual(await self.states("a"), [state])
            await self.news()
            self.assertIs(await self.job.retract("a"), True)
            told = [("tx.feed.retract", b"a")]
            if state == "claimed":
                told.append(("tx.feed.stop", b"a\0" + claim.token))
            self.assertEqual(await self.news(), told)
            self.assertEqual(await self.left(), set(), state)
            self.assertIs(await self.job.retract("a"), False)
            self.assertEqual(await self.news(), [])

    async def test_stall(self) -> None:
        """
        What is available, delayed or claimed can be parked, once, with a reason; what is done or
        parked cannot.
        """
        for state in ("available", "delayed", "claimed"):
            await self.job.put("x", id="a", delay=60 if state == "delayed" else None)
            claim = await self.job.get() if state == "claimed" else None
            await self.news()
            await (await self.other()).stall("a", "not\nnow")
            told = [("tx.feed.stall", b"a\0not now")]
            if claim is not None:
                told.append(("tx.feed.stop", b"a\0" + claim.token))
            self.assertEqual(await self.news(), told)
            self.assertEqual(await self.states("a"), ["parked"])
            self.assertEqual([a.error for a in await self.job.get_attempts("a")], ["not now"])
            error = await self.refused(
                (await self.other()).stall("a"), JobNotClaimed, self.name, "a"
            )
            self.assertEqual(error.detail, "it is stalled")
            await self.job.retract("a")
        await self.refused((await self.other()).stall("a"), ItemDoesNotExist, self.name, "a")

    async def test_cancel_running(self) -> None:
        """
        Only what is claimed can be cancelled while it runs; it is parked, and its worker told.
        """
        await self.refused(self.job.cancel_running("a"), ItemDoesNotExist, self.name, "a")
        for state in ("available", "delayed", "stalled"):
            await self.job.put("x", id="a", delay=60 if state == "delayed" else None)
            if state == "stalled":
                await self.job.stall("a")
            error = await self.refused(self.job.cancel_running("a"), JobNotClaimed, self.name, "a")
            self.assertEqual(error.detail, f"it is {state}")
            await self.job.retract("a")
        claim = await self.claimed()
        await self.news()
        await self.job.cancel_running("a")
        why = b"a\0cancelled while it ran"
        stop = ("tx.feed.stop", b"a\0" + claim.token)
        self.assertEqual(await self.news(), [("tx.feed.stall", why), stop])
        self.assertEqual(await self.states("a"), ["parked"])

    async def test_events(self) -> None:
        """
        Subscribers hear of delays, stalls and retries as objects.
        """
        heard: list[Any] = []
        await self.job.subscribe(delay=heard.append, stall=heard.append, retry=heard.append)
        await self.job.put("x", id="a", delay=60)
        due = int(await self.redis.execute("ZSCORE", self.keys.delayed, "a"))
        await self.job.retry("a")
        await self.job.stall("a")
        await self.job.retry("a")
        await self.job.stall("a", "why")
        await until(lambda: len(heard) == 5)
        self.assertEqual(
            heard,
            [
                JobDelayed(self.name, "a", due),
                JobRetried(self.name, "a"),
                JobStalled(self.name, "a", ""),
                JobRetried(self.name, "a"),
                JobStalled(self.name, "a", "why"),
            ],
        )


class PutTests(LaterCase):
    """Ids of one's own, and jobs for later."""

    async def test_delay(self) -> None:
        """
        A job that is put for later is there, and available when it is due.
        """
        self.assertEqual(await self.job.put("item a", id="a", delay=50.5), "a")
        self.assertTrue(49.5 < await self.delay_of() <= 50.5)
        due = await self.redis.execute("ZSCORE", self.keys.delayed, "a")
        self.assertEqual(
            await self.news(),
            [("feed.publishes", b"a\0item a"), ("tx.feed.delay", b"a\0" + due)],
        )
        self.assertEqual((await self.job.stats()), (0, 0, 0, 0, 1, 1, 0))
        self.assertEqual(await self.job.get_ids(), ["a"])
        id = await self.job.put("x", delay=60)
        self.assertEqual(await self.states(id), ["delayed"])

    async def test_no_delay(self) -> None:
        """
        A delay of nothing, or of less than a millisecond, is none.
        """
        for delay in (None, 0, 0.0, 0.0004):
            for id in (None, "a"):
                known = await self.job.put("x", id=id, delay=delay)
                self.assertEqual(await self.states(known), ["available"])
                self.assertEqual([c for c, _ in await self.news()], ["feed.publishes"])
                await self.job.retract(known)
                await self.news()

    async def test_silent(self) -> None:
        """
        With ``announce=False`` the put of a delayed job is not told; that it waits, is.
        """
        await self.job.set_config(announce=False)
        await self.news()
        await self.job.put("x", id="a", delay=60)
        self.assertEqual([channel for channel, _ in await self.news()], ["tx.feed.delay"])

    async def test_idempotent(self) -> None:
        """
        While a job of that id lives, in whatever state, a put of it changes nothing and tells
        nothing, with a delay or without.
        """
        for state in (
            "available",
            "handed",
            "claimed",
            "cancelled",
            "delayed",
            "due",
            "parked",
            "delayed by a cancel",
            "popped by a peer",
            "claimed by a peer",
        ):
            await self.job.put("old", id="a", delay=60 if state in ("delayed", "due") else None)
            if state == "handed":
                await self.redis.execute(
                    *("LMOVE", self.keys.ids, self.keys.handoff, "RIGHT", "LEFT")
                )
            elif "cancel" in state or state == "claimed":
                claim = await self.job.get()
                if "cancel" in state:
                    await claim.cancel(60 if "delayed" in state else None)
            elif state == "due":
                await self.come_due("a")
            elif state == "parked":
                await self.job.stall("a", "why")
            elif "popped" in state:
                await self.peer.pop()
            elif "peer" in state:
                await self.peer.claim()
            before = await self.stored()
            await self.news()
            for delay in (None, 0, 60):
                for first in (False, True):
                    known = await self.job.put("new", first, id="a", delay=delay)
                    self.assertEqual(known, "a")
                    self.assertEqual(await self.stored(), before, state)
            self.assertEqual(await self.news(), [], state)
            await self.job.retract("a")

    async def test_after_the_end(self) -> None:
        """
        The id of a job that was finished, retracted or lost its feed is free again, and the old
        result is not taken for the new job's.
        """
        for end in ("finish", "retract", "peer", "delete"):
            for delay in (None, 60):
                await self.job.put("old", id="a", delay=delay)
                if delay:
                    await self.job.retry("a")
                claim = await self.job.get()
                if end == "finish":
                    await claim.finish("old result")
                elif end == "retract":
                    await self.job.retract("a")
                elif end == "peer":
                    await self.peer.finish("a", "old result")
                else:
                    await self.job.delete()
                    await self.job.ensure()
                await self.job.put("new", id="a", delay=delay)
                self.assertEqual(await self.states("a"), ["delayed" if delay else "available"], end)
                left = await self.left()
                self.assertNotIn(self.keys.results.decode(), left)
                self.assertNotIn(self.keys.due.decode(), left)
                await self.job.retract("a")

    async def test_at_once(self) -> None:
        """
        Many puts of one id at once, by several processes, put one job.
        """
        jobs = [self.job, await self.other(), await self.other()]
        puts = [
            job.put(f"{i}", id="a", delay=60 if i % 2 else None) for i in range(20) for job in jobs
        ]
        self.assertEqual(set(await gatherResults(puts)), {"a"})
        self.assertEqual((await self.job.stats()).puts, 1)
        self.assertEqual(len(await self.states("a")), 1)
