"""Actions that fail: their functions, their rules, or what is around them."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.defer import Deferred

from tests.action_helpers import ActionTestCase
from tests.helpers import until
from txthoonk import Retry, Stall
from txthoonk.actions import Act, Actions, Refused, anybody, job_id
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
        known = job_id(self.ALICE, "1")
        self.assertEqual(await self.actions.look(self.thoonk, "fail", known), answer)
        self.assertNotIn("Traceback", str(answer))
        self.outcome = "at last"
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
                Refused(code, "x")  # type: ignore[arg-type]  # wrong on purpose

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
