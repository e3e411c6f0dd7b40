"""Actions that fail, conflict, or ask for what is not there; and those of other programs."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, gatherResults

from tests.action_helpers import ActionTestCase
from tests.helpers import until
from txthoonk import Conflict, Retry, Stall
from txthoonk.actions import Act, Actions, Refused, anybody, job_id
from txthoonk.positions import Position, pack_place, read_place
from txthoonk.types.base import ItemId

#: Until the next attempt, in tests: seconds.
SOON = 0.01


class FailingTests(ActionTestCase):
    """Functions that fail."""

    def declare(self, actions: Actions) -> None:
        super().declare(actions)
        self.attempts = 0
        self.outcome: Any = None

        @actions.action("fail", authorize=anybody)
        async def fail(act: Act) -> Any:
            self.attempts += 1
            if isinstance(self.outcome, BaseException):
                raise self.outcome
            if isinstance(self.outcome, Deferred):
                await self.outcome
            return self.outcome

    def do(self, **how: Any) -> Deferred[dict[str, Any]]:
        """The answer; attempts are counted anew."""
        self.attempts = 0
        return self.actions.do(self.thoonk, self.ALICE, "fail", {}, **how)

    async def test_retried_and_parked(self) -> None:
        """
        A function that fails is tried again by the feed's policy, then parked; whoever waits is
        told so without a word of why, and an operator's retry brings the answer after all.
        """
        await self.work(max_attempts=3, backoff=SOON)
        self.outcome = KeyError("secret")
        answer = await self.do(id="1")
        self.assertEqual((answer["code"], self.attempts), (500, 3))
        self.assertNotIn("secret", str(answer))
        self.assertNotIn("Traceback", str(answer))
        self.outcome = "at last"
        known = job_id(self.ALICE, "1")
        self.assertEqual((await self.do(id="1"))["code"], 500)
        await self.thoonk.job(self.group).retry(known)
        answer = await self.actions.answer(self.thoonk, "fail", known)
        self.assertEqual(answer, {"code": 200, "result": "at last"})
        self.assertEqual(await self.do(id="1"), answer)

    async def test_fails_once(self) -> None:
        """Who waits for an action whose first attempt fails gets the answer of the second."""
        await self.work(backoff=SOON)
        self.outcome = Retry(delay=SOON)
        doing = self.do()
        await until(lambda: self.attempts)
        self.outcome = "done"
        self.assertEqual(await doing, {"code": 200, "result": "done"})

    async def test_what_is_a_failure(self) -> None:
        """
        A slip of the function's own is a failure, not the client's fault: errors of msgspec, and
        results that are no JSON.
        """
        await self.work(max_attempts=1)
        for outcome in (
            msgspec.ValidationError("Expected `int`"),
            ValueError("no"),
            RecursionError(),
            Stall("for an operator"),
            object(),
            {"text": "\ud800", "more": {1, object()}},
        ):
            self.outcome = outcome
            answer = await self.do()
            self.assertEqual(answer["code"], 500, outcome)

    async def test_results(self) -> None:
        """Whatever JSON can say is a result."""
        await self.work(max_attempts=1)
        for outcome in (None, False, 0, "", [], {"a": [1, 2.5, None, "ü"]}, "\udcff", ItemId("7")):
            self.outcome = outcome
            self.assertEqual(await self.do(), {"code": 200, "result": outcome})

    async def test_retracted(self) -> None:
        """An action that an operator has taken out is answered as one that is not there."""
        doing = self.do(id="1")
        job = self.thoonk.job(self.group)
        await until(lambda: job.length())
        await job.retract(job_id(self.ALICE, "1"))
        self.assertEqual((await doing)["code"], 404)

    async def test_job_feed_deleted(self) -> None:
        """The job feed may be deleted while a web process runs: actions are put as before."""
        await self.work()
        self.outcome = 1
        self.assertEqual((await self.do())["code"], 200)
        for _ in range(2):
            await self.thoonk.job(self.group).delete()
            self.assertEqual((await self.do())["code"], 200)
            await self.thoonk.job(self.group).delete()
            id = await self.actions.put(self.thoonk, self.ALICE, "fail", {})
            answer = await self.actions.answer(self.thoonk, "fail", id)
            self.assertEqual(answer["code"], 200)
        await until(
            lambda: (
                self.thoonk.job(self.group)
                .get_config()
                .addCallback(lambda config: config.get("result_ttl") == "3600")
            )
        )

    async def test_rule_fails(self) -> None:
        """A rule that fails, or says neither yes nor no, has not said yes; that is no attempt."""
        says: list[Any] = []

        def rule(user: Any, payload: Any) -> Any:
            says.append(user)
            if user == "fails":
                raise KeyError("teams")
            return self.say(True) if user == "coroutine" else {"yes": True, "maybe": 1}.get(user)

        self.actions.action("guarded", authorize=rule)(lambda act: "done")
        await self.work()
        codes = [
            (await self.actions.do(self.thoonk, user, "guarded", {}))["code"]
            for user in ("yes", "coroutine", "fails", "maybe", "nobody")
        ]
        self.assertEqual(codes, [200, 200, 403, 403, 403])
        self.assertEqual(len(says), 5)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    async def say(self, what: bool) -> bool:
        return what

    async def test_rule_refuses(self) -> None:
        """A rule may refuse in its own words, by any code; it may take the whole act."""

        def rule(act: Act) -> bool:
            raise Refused(404, f"no {act.name} for {act.user} of {act.thoonk is self.thoonk}")

        self.actions.action("guarded", authorize=rule)(lambda act: "done")
        await self.work()
        answer = await self.actions.do(self.thoonk, "me", "guarded", {})
        self.assertEqual(answer, {"code": 404, "error": "no guarded for me of True"})

    def test_codes(self) -> None:
        """A refusal has a code of those that say whose fault it is."""
        for code in (200, 399, 500, True, "403", 403.0):
            with self.assertRaises(ValueError):
                Refused(code, "x")  # type: ignore[arg-type]

    async def test_stop(self) -> None:
        """A worker that stops gives back what it has not done; another one does it."""
        worker = await self.work(grace=0)
        self.outcome = Deferred()
        started = self.do()
        await until(lambda: self.attempts)
        await worker.stopService()
        self.outcome = "by another"
        await self.work(thoonk=await self.start_thoonk())
        self.assertEqual(await started, {"code": 200, "result": "by another"})


class ConflictTests(ActionTestCase):
    """Actions that say what their user saw."""

    def declare(self, actions: Actions) -> None:
        super().declare(actions)
        self.before: Any = None

        async def member(user: Any, payload: Any) -> bool:
            return user != "stranger"

        @actions.action("move", schema={"type": "object"}, authorize=member)
        async def move(act: Act) -> Any:
            self.done.append(act)
            if self.before is not None:
                await self.before()
            tasks = self.thoonk.sorted_feed(self.tasks)
            await act.commit(
                tasks.change.move_first(act.payload["id"], act.payload.get("if_revision")),
                self.thoonk.feed(self.log_name).change.publish("moved", id=act.id),
                result={"moved": act.payload["id"]},
            )

    async def setUp(self) -> None:
        self.tasks, self.log_name = self.feed_name("tasks"), self.feed_name("log")
        await super().setUp()
        self.actions.may_read = self.may_read
        self.feed = await self.thoonk.sorted_feed(self.tasks)
        self.ids = [await self.feed.append(text) for text in ("one", "two", "three")]
        await self.work()

    async def may_read(self, user: Any, name: str) -> bool:
        return user != "blind"

    async def at(self, name: str | None = None) -> str:
        """The place that a user sees."""
        snapshot = await self.thoonk.sorted_feed(name or self.tasks).snapshot()
        return pack_place(Position(snapshot.revision, snapshot.epoch))

    async def move(self, id: str, user: Any = "alice", **more: Any) -> dict[str, Any]:
        payload = {"id": id, **more.pop("payload", {})}
        answer: dict[str, Any] = await self.actions.do(self.thoonk, user, "move", payload, **more)
        return answer

    async def test_as_seen(self) -> None:
        """What is as the user saw it is changed, and answered, in one step."""
        at = await self.at()
        answer = await self.move(self.ids[2], revisions={self.tasks: at})
        self.assertEqual(answer, {"code": 200, "result": {"moved": self.ids[2]}})
        self.assertEqual(await self.feed.get_ids(), [self.ids[2], *self.ids[:2]])
        self.assertEqual(self.done[0].revisions, {self.tasks: at})

    async def test_changed(self) -> None:
        """What has changed since is not done, and the user is told what it was."""
        at = await self.at()
        await self.feed.edit(self.ids[0], "ONE")
        await self.feed.retract(self.ids[1])
        answer = await self.move(self.ids[2], revisions={self.tasks: at})
        self.assertEqual(answer["code"], 409)
        self.assertEqual(self.done, [])
        told = answer["changed"][self.tasks]
        self.assertEqual(
            [(m["type"], m["id"], m["revision"]) for m in told["events"]],
            [("edit", self.ids[0], 4), ("retract", self.ids[1], 5)],
        )
        self.assertEqual(told["events"][0]["item"], "ONE")
        self.assertEqual(told["events"][-1]["at"], told["at"])
        now = read_place(told["at"])
        self.assertEqual((now.revision, now.epoch), (5, read_place(at).epoch))
        answer = await self.move(self.ids[2], revisions={self.tasks: told["at"]})
        self.assertEqual(answer["code"], 200)

    async def test_in_between(self) -> None:
        """Nothing slips in between the look and the change: that is a conflict, too."""
        at = await self.at()

        async def before() -> None:
            await self.feed.edit(self.ids[0], "ONE")

        self.before = before
        answer = await self.move(self.ids[2], revisions={self.tasks: at})
        self.assertEqual(answer["code"], 409)
        (event,) = answer["changed"][self.tasks]["events"]
        self.assertEqual((event["type"], event["item"]), ("edit", "ONE"))
        self.assertEqual(await self.feed.get_ids(), self.ids)
        self.assertFalse(await self.thoonk.feed(self.log_name).length())

    async def test_another_feed(self) -> None:
        """A feed that the action does not change must be as it was seen, too."""
        other = await self.thoonk.feed(self.feed_name("other"))
        await other.publish("x")
        seen = await other.snapshot()
        revisions = {other.name: pack_place(Position(seen.revision, seen.epoch))}

        async def before() -> None:
            await other.publish("y", id="y")

        self.before = before
        answer = await self.move(self.ids[2], revisions=revisions)
        self.assertEqual((answer["code"], list(answer["changed"])), (409, [other.name]))
        self.before = None
        answer = await self.move(
            self.ids[2], revisions={other.name: answer["changed"][other.name]["at"]}
        )
        self.assertEqual(answer["code"], 200)

    async def test_not_there(self) -> None:
        """A feed that was not there when the user looked must not have come up; none is made."""
        name = self.feed_name("new")
        answer = await self.move(self.ids[2], revisions={name: "-0-"})
        self.assertEqual(answer["code"], 200)
        self.assertEqual(await self.redis.execute("KEYS", f"*{name}*"), [])
        await self.thoonk.feed(name).publish("x", id="x")
        answer = await self.move(self.ids[1], revisions={name: "-0-"})
        self.assertEqual(answer["code"], 409)
        self.assertEqual([m["id"] for m in answer["changed"][name]["events"]], ["x"])

    async def test_long_ago(self) -> None:
        """Where the history does not go back so far, or is another one, there are no events."""
        at = await self.at()
        await self.feed.set_config(history=1)
        for _ in range(3):
            await self.feed.edit(self.ids[0], "x")
        seen = read_place(at)
        for revisions in (
            {self.tasks: at},
            {self.tasks: pack_place(Position(seen.revision, "123"))},
            {self.tasks: pack_place(Position(999, seen.epoch))},
        ):
            answer = await self.move(self.ids[2], revisions=revisions)
            told = answer["changed"][self.tasks]
            self.assertEqual((answer["code"], told["events"]), (409, None))
            self.assertEqual(read_place(told["at"]).revision, 6)

    async def test_too_much(self) -> None:
        """What would be too much to tell is not told: a client takes the state anew."""
        at = await self.at()
        await self.feed.edit(self.ids[0], "x" * 70_000)
        answer = await self.move(self.ids[2], revisions={self.tasks: at})
        self.assertEqual((answer["code"], answer["changed"][self.tasks]["events"]), (409, None))
        at = answer["changed"][self.tasks]["at"]
        await gatherResults([self.feed.edit(self.ids[0], "x") for _ in range(101)])
        answer = await self.move(self.ids[2], revisions={self.tasks: at})
        self.assertEqual((answer["code"], answer["changed"][self.tasks]["events"]), (409, None))

    async def test_who_may_see(self) -> None:
        """Revisions are no way to read what one may not; nor is asking before one's rights."""
        at = await self.at()
        await self.feed.edit(self.ids[0], "secret")
        answer = await self.move(self.ids[2], "blind", revisions={self.tasks: at})
        self.assertEqual((answer["code"], "changed" in answer), (403, False))
        answer = await self.move(self.ids[2], "stranger", revisions={self.tasks: at})
        self.assertEqual((answer["code"], "changed" in answer), (403, False))
        self.actions.may_read = None
        answer = await self.move(self.ids[2], revisions={self.tasks: at})
        self.assertEqual((answer["code"], answer["changed"][self.tasks]["events"]), (409, None))

    async def test_condition_of_an_item(self) -> None:
        """A condition of the function's own that does not hold is a conflict."""
        answer = await self.move(self.ids[2], payload={"if_revision": 1})
        self.assertEqual((answer["code"], list(answer["changed"])), (409, [self.tasks]))
        self.assertIsNone(answer["changed"][self.tasks]["events"])
        answer = await self.move("999")
        self.assertEqual(answer, {"code": 404, "error": "There is no such item"})

    async def test_wrong_revisions(self) -> None:
        """Revisions that cannot be are refused before anything is looked at."""
        jobs = await self.thoonk.job(self.feed_name("jobs"))
        wrong: list[Any] = [
            {self.tasks: 3},
            {self.tasks: "three"},
            {"": "-0-"},
            {"a\0b": "-0-"},
            {f"f{n}": "-0-" for n in range(33)},
            {jobs.name: "-0-"},
        ]
        for revisions in wrong:
            answer = await self.move(self.ids[2], revisions=revisions)
            self.assertEqual(answer["code"], 422, revisions)
        self.assertEqual(self.done, [])

    async def test_conflict_of_its_own(self) -> None:
        """A Conflict that the function lets pass is an answer, not a failure."""

        @self.actions.action("edit it", authorize=anybody)
        async def edit(act: Act) -> None:
            await self.feed.edit(self.ids[0], "x", if_revision=999)

        answer = await self.actions.do(self.thoonk, "a", "edit it", {})
        self.assertEqual((answer["code"], list(answer["changed"])), (409, [self.tasks]))
        self.assertTrue(issubclass(Conflict, Exception))


class OtherProgramsTests(ActionTestCase):
    """Callers in other languages."""

    async def test_raw(self) -> None:
        """
        A program that has nothing but Redis commands puts an action as a job, and reads its answer.
        """
        await self.work()
        await until(lambda: self.thoonk.feed(f"actions:{self.group}").has_id("ship"))
        peer = await self.connect()
        entry = json.loads(await peer.execute("HGET", f"feed.items:actions:{self.group}", "ship"))
        self.assertEqual(entry["feed"], self.group)
        self.assertIn("team", json.dumps(entry["schema"]))
        heard = await self.listen(f"job.finish:{entry['feed']}")
        item = {"action": "ship", "user": self.ALICE, "payload": {"team": "a", "id": "7"}}
        feed, id = entry["feed"], "theirs"
        await peer.execute("INCR", f"feed.publishes:{feed}")
        await peer.execute("HSET", f"feed.items:{feed}", id, json.dumps(item))
        await peer.execute("ZADD", f"feed.published:{feed}", "1", id)
        await peer.execute("LPUSH", f"feed.ids:{feed}", id)
        await until(lambda: heard)
        theirs, _, answer = heard[0][1].partition(b"\0")
        expected = {"code": 200, "result": {"shipped": "7", "by": "alice"}}
        self.assertEqual((theirs, json.loads(answer)), (b"theirs", expected))
        kept = await peer.execute("HGET", f"tx.feed.results:{feed}", id)
        length, _, rest = kept.partition(b":")
        self.assertEqual(rest[int(length) :][:1], b"+")
        self.assertEqual(json.loads(rest[int(length) + 1 :]), expected)

    async def test_their_worker(self) -> None:
        """An answer that another program gave is an answer; what is none is said to be none."""
        job = await self.thoonk.job(self.group, serializer="json")
        for result, answer in (
            ({"code": 403, "error": "no"}, {"code": 403, "error": "no"}),
            (None, {"code": 200, "result": None}),
            ("done", {"code": 500, "error": "The answer cannot be read."}),
            ({"code": "200"}, {"code": 500, "error": "The answer cannot be read."}),
        ):
            doing = self.actions.do(self.thoonk, self.ALICE, "ping", {})
            claim = await job.get(5)
            self.assertEqual(claim.item["action"], "ping")
            await (claim.finish() if result is None else claim.finish(result))
            self.assertEqual(await doing, answer)
