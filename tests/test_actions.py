"""Actions: what users do, checked before any code runs."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.defer import gatherResults

from tests.action_helpers import ActionTestCase
from tests.helpers import until
from txthoonk.actions import (
    Act,
    Actions,
    ActionWorker,
    Refused,
    acts,
    anybody,
    job_id,
    running,
    user_id,
)


class AnswerTests(ActionTestCase):
    """Actions that are put, done and answered."""

    async def test_done(self) -> None:
        """What somebody may do is done, and the answer has the function's result."""
        await self.work()
        answer = await self.actions.do(self.thoonk, self.ALICE, "ship", {"team": "a", "id": "7"})
        self.assertEqual(answer, {"code": 200, "result": {"shipped": "7", "by": "alice"}})
        (act,) = self.done
        self.assertEqual((act.name, act.user, act.payload.team), ("ship", self.ALICE, "a"))

    async def test_put_and_answer(self) -> None:
        """Whoever puts an action may ask for its answer later, in another process."""
        id = await self.actions.put(self.thoonk, self.ALICE, "ping", {})
        pending = await self.actions.answer(self.thoonk, "ping", id, timeout=0.05)
        self.assertEqual(pending, {"code": 202, "id": id})
        self.assertEqual(await self.actions.look(self.thoonk, "ping", id), pending)
        await self.work()
        elsewhere, theirs = Actions(self.group), await self.start_thoonk()
        self.assertEqual(
            await self.actions.answer(self.thoonk, "ping", id), {"code": 200, "result": "pong"}
        )
        await self.declared("ping")
        self.assertEqual(
            await elsewhere.answer(theirs, "ping", id), {"code": 200, "result": "pong"}
        )
        self.assertEqual(await elsewhere.look(theirs, "ping", id), {"code": 200, "result": "pong"})
        for ask in (elsewhere.answer, elsewhere.look):
            self.assertEqual((await ask(theirs, "ping", "nobody's"))["code"], 404)
            self.assertEqual((await ask(theirs, "nothing", id))["code"], 404)

    async def declared(self, name: str) -> None:
        registry = self.thoonk.feed(f"actions:{self.group}")
        await until(lambda: registry.has_id(name))

    async def test_shape(self) -> None:
        """A payload of another shape never reaches the function; the answer says where it is."""
        await self.work()
        wrong: list[tuple[str, Any, str]] = [
            ("ship", {"team": "a", "id": 7}, "$.id"),
            ("ship", {"team": "a"}, "$"),
            ("ship", {"team": "a", "id": "7", "extra": 1}, "$"),
            ("ship", {"team": "a", "id": "a\0b"}, "$.id"),
            ("ship", ["a", "7"], "$"),
            ("ping", {"x": 1}, "$"),
            ("edit", {"id": "1", "changes": {"title": "t", "owner": "me"}}, "$.changes"),
            ("edit", {"id": "1", "changes": {"title": 1}}, "$.changes[...]"),
            ("edit", {"id": "1", "changes": ["title"]}, "$.changes"),
        ]
        for name, payload, path in wrong:
            answer = await self.actions.do(self.thoonk, self.ALICE, name, payload)
            self.assertEqual((answer["code"], answer["path"]), (422, path), answer)
            with self.assertRaises(Refused) as caught:
                await self.actions.put(self.thoonk, self.ALICE, name, payload)
            self.assertEqual(caught.exception.answer, answer)
        self.assertEqual(self.done, [])
        answer = await self.actions.do(
            self.thoonk, self.ALICE, "edit", {"id": "1", "changes": {"notes": "n"}}
        )
        self.assertEqual(answer, {"code": 200, "result": ["notes"]})

    async def test_rights(self) -> None:
        """Who may not is told so, and the function is not called."""
        await self.work()
        payload = {"team": "a", "id": "7"}
        answer = await self.actions.do(self.thoonk, self.BOB, "ship", payload)
        self.assertEqual(answer, {"code": 403, "error": "you may not do this"})
        forged = {**payload, "user": self.ALICE}
        answer = await self.actions.do(self.thoonk, self.BOB, "ship", forged)
        self.assertEqual(answer["code"], 422)
        self.assertEqual(self.done, [])
        self.assertFalse(await self.actions.can(self.thoonk, self.BOB, "ship", payload))
        self.assertTrue(await self.actions.can(self.thoonk, self.ALICE, "ship", payload))

    async def test_refused(self) -> None:
        """A function may refuse, with whatever else its answer is to say."""
        await self.work()
        answer = await self.actions.do(self.thoonk, self.ALICE, "refuse", {})
        self.assertEqual(answer, {"code": 409, "error": "not now", "after": "lunch"})

    async def test_unknown(self) -> None:
        """An action that nobody has declared is refused, and leaves no key behind."""
        actions = Actions(self.feed_name("other"))
        answer = await actions.do(self.thoonk, self.ALICE, "ship", {})
        self.assertEqual(answer["code"], 404)
        self.assertFalse(await actions.can(self.thoonk, self.ALICE, "ship", {}))
        self.assertEqual((await actions.answer(self.thoonk, "ship", "1"))["code"], 404)
        self.assertEqual(await self.redis.execute("KEYS", f"*{actions.group}*"), [])

    async def test_once(self) -> None:
        """An id that a user has given before is not done again; another user's is another one."""
        await self.work()
        for _ in range(3):
            answer = await self.actions.do(self.thoonk, self.ALICE, "ping", {}, id="1")
            self.assertEqual(answer["code"], 200)
        self.assertEqual(len(self.done), 1)
        await self.actions.do(self.thoonk, self.BOB, "ping", {}, id="1")
        self.assertEqual([act.user["id"] for act in self.done], ["alice", "bob"])

    def test_ids(self) -> None:
        """The id of a job tells whose it is, and nobody can give another one's."""
        self.assertEqual([user_id(u) for u in ({"id": 7}, "7", 7)], ["7"] * 3)
        one = job_id({"id": "a"}, "b")
        self.assertTrue(one.endswith(":b"))
        self.assertNotEqual(one, job_id({"id": "a:b"}, "b"))
        for id in ("", "x" * 201, "a\0", "a\n", "\ud800", 7):
            with self.assertRaises(Refused):
                job_id("a", id)  # type: ignore[arg-type]  # wrong on purpose

    async def test_elsewhere(self) -> None:
        """A process without the code puts an action, and asks who may, once a worker is there."""
        theirs, web = await self.start_thoonk(), Actions(self.group)
        self.assertEqual((await web.do(theirs, self.ALICE, "ping", {}))["code"], 404)
        await self.work()
        await self.declared("refuse")
        self.assertEqual(
            await web.do(theirs, self.ALICE, "ping", {}), {"code": 200, "result": "pong"}
        )
        payload = {"team": "a", "id": "7"}
        self.assertTrue(await web.can(theirs, self.ALICE, "ship", payload))
        self.assertFalse(await web.can(theirs, self.BOB, "ship", payload))
        self.assertEqual([act.name for act in self.done], ["ping"])
        answer = await web.do(theirs, self.ALICE, "edit", {"id": "1", "changes": {"owner": "me"}})
        self.assertEqual(answer["code"], 422)

    def test_declaring(self) -> None:
        """What cannot be an action is told when it is declared."""
        with self.assertRaises(ValueError):
            self.actions.action("ship", authorize=anybody)
        with self.assertRaises(ValueError):
            self.actions.action("", authorize=anybody)
        with self.assertRaises(TypeError):
            self.actions.action("x", authorize=lambda: True)
        with self.assertRaises(TypeError):
            self.actions.action("x", authorize=True)  # type: ignore[arg-type]  # wrong on purpose
        with self.assertRaises(TypeError):
            ActionWorker(self.thoonk, self.actions, processes=2)


class SeveralTests(ActionTestCase):
    """Several workers, of several programs."""

    def newer(self) -> Actions:
        """The same group, in a program that has one action, and not the others."""
        actions = Actions(self.group)

        @actions.action("new", authorize=anybody)
        def new(act: Act) -> str:
            self.done.append(act)
            return "new"

        return actions

    async def test_another_program(self) -> None:
        """
        A worker for a new action is started while others run: its action can be put at once, and
        what one worker has not the code for is done by the other, whoever takes it first.
        """
        await self.work(maintain=True)
        web, theirs = Actions(self.group), await self.start_thoonk()
        self.assertEqual((await web.do(theirs, "me", "new", {}))["code"], 404)
        await self.work(self.newer(), await self.start_thoonk())
        await until(lambda: self.thoonk.feed(f"actions:{self.group}").has_id("new"))
        asked = [web.do(theirs, "me", name, {}) for name in ("new", "ping") * 10]
        answers = [answer["result"] for answer in await gatherResults(asked)]
        self.assertEqual(answers, ["new", "pong"] * 10)
        self.assertEqual(len(self.done), 20)
        began = self.thoonk.get_reactor().seconds()
        for _ in range(20):
            await web.do(theirs, "me", "new", {})
        self.assertLess(self.thoonk.get_reactor().seconds() - began, 5)

    async def test_nobody_there(self) -> None:
        """
        Jobs of an action whose workers are gone wait for the next one, hold up nobody, and spend
        no attempt.
        """
        self.patch(acts, "ELSEWHERE", 0.1)
        self.patch(acts, "LONGEST", 0.5)
        self.patch(acts, "REMEMBERED", 20)
        newer, theirs = self.newer(), await self.start_thoonk()
        worker = await self.work(newer, theirs, max_attempts=1)
        await until(lambda: self.thoonk.feed(f"actions:{self.group}").has_id("new"))
        await worker.stopService()
        ids = [await newer.put(theirs, "me", "new", {}) for _ in range(30)]
        await self.work(concurrency=2)
        for _ in range(5):
            answer = await self.actions.do(self.thoonk, "me", "ping", {}, timeout=5)
            self.assertEqual(answer["code"], 200)
        job = self.thoonk.job(self.group)
        await until(lambda: job.stats().addCallback(lambda s: s.delayed > 0))
        counts = [await job.get_failure_count(id) for id in ids]
        self.assertEqual(counts, [0] * 30)
        await self.work(newer, theirs)
        for id in ids:
            self.assertEqual((await newer.answer(theirs, "new", id, 30))["code"], 200)
        self.assertEqual([act.name for act in self.done].count("new"), 30)

    async def test_feed_of_its_own(self) -> None:
        """
        An action may have a job feed of its own. A job in another one is done by whoever has its
        function, and refused by whoever has not.
        """
        feed = self.feed_name("slow")

        @self.actions.action("slow", authorize=anybody, feed=feed)
        def slow(act: Act) -> str:
            return f"done in {act.claim.job.name}" if act.claim else ""

        worker = await self.work()
        await until(lambda: self.thoonk.feed(f"actions:{self.group}").has_id("slow"))
        web = Actions(self.group)
        answer = await web.do(await self.start_thoonk(), "me", "slow", {})
        self.assertEqual(answer["result"], f"done in {feed}")
        item = {"action": "slow", "user": "me", "payload": {}}
        group = self.thoonk.job(self.group, serializer="json")
        self.assertEqual((await group.call(item, 5))["result"], f"done in {self.group}")
        await worker.stopService()
        await self.work(self.newer(), await self.start_thoonk())
        self.assertEqual((await group.call(item, 5))["code"], 404)

    async def test_declared_again(self) -> None:
        """
        A worker declares what it can once; what is there of another version is left, and what is
        missing comes back.
        """
        self.patch(running, "DECLARE", 0.05)
        registry = self.thoonk.feed(f"actions:{self.group}")
        await registry.publish('{"feed": "elsewhere"}', id="ping")
        await self.work()
        await until(lambda: registry.length().addCallback(lambda length: length == 4))
        entry = await registry.get_item("ping")
        self.assertIn(self.group, entry)
        await registry.publish('{"feed": "of a newer one"}', id="ping")
        self.assertTrue(await self.actions.withdraw(self.thoonk, "ship"))
        await until(lambda: registry.has_id("ship"))
        self.assertEqual(await registry.get_item("ping"), '{"feed": "of a newer one"}')
        revision = (await registry.snapshot()).revision
        await self.work()
        await until(lambda: registry.get_item("ping").addCallback(lambda item: item == entry))
        self.assertEqual((await registry.snapshot()).revision, revision + 1)

    async def test_odd_registry(self) -> None:
        """What somebody else wrote into the registry is no action, and hurts nobody."""
        registry = self.thoonk.feed(f"actions:{self.group}")
        for id, item in (
            ("a", "no json"),
            ("b", "[]"),
            ("c", '{"feed": ""}'),
            ("d", '{"feed": "\\u0000"}'),
        ):
            await registry.publish(item, id=id)
            answer = await self.actions.do(self.thoonk, "me", id, {})
            self.assertEqual(answer["code"], 404)
        # A schema that nobody can check here: its worker will.
        entry = '{"feed": "%s", "schema": {"type": "nonsense"}}' % self.group  # noqa: UP031  # braces are JSON here
        await registry.publish(entry, id="e")
        answer = await self.actions.do(self.thoonk, "me", "e", {}, timeout=0.05)
        self.assertEqual(answer["code"], 202)

    async def test_user_shape(self) -> None:
        """A group may say what users are; a job of any other user is refused."""

        class User(msgspec.Struct):
            id: int

        actions = Actions(self.feed_name("users"), user=User)
        actions.action("who", authorize=lambda user, payload: user.id == 7)(
            lambda act: f"user {act.user.id}"
        )
        await self.work(actions)
        do = actions.do
        self.assertEqual((await do(self.thoonk, {"id": 7}, "who", {}))["result"], "user 7")
        self.assertEqual((await do(self.thoonk, {"id": 8}, "who", {}))["code"], 403)
        self.assertEqual((await do(self.thoonk, {"id": "7"}, "who", {}))["code"], 400)
        self.assertEqual((await do(self.thoonk, None, "who", {}))["code"], 400)

    async def test_many(self) -> None:
        """Thousands that are put at once are all answered, by several workers."""
        for _ in range(2):
            await self.work(thoonk=await self.start_thoonk())
        asked = [
            self.actions.do(self.thoonk, self.ALICE, "ping", {}, id=str(n), timeout=60)
            for n in range(3000)
        ]
        answers = await gatherResults(asked)
        self.assertEqual({answer["code"] for answer in answers}, {200})
        self.assertEqual(len({act.id for act in self.done}), 3000)
        self.assertEqual(len(self.done), 3000)
