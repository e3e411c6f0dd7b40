"""Actions: what users do, checked before any code runs."""

from __future__ import annotations

from typing import Any

from tests.action_helpers import ActionTestCase
from tests.helpers import until
from txthoonk.actions import Actions, ActionWorker, Refused, anybody, job_id, user_id


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
        await self.work()
        elsewhere, theirs = Actions(self.group), await self.start_thoonk()
        self.assertEqual(
            await self.actions.answer(self.thoonk, "ping", id), {"code": 200, "result": "pong"}
        )
        await self.declared("ping")
        self.assertEqual(
            await elsewhere.answer(theirs, "ping", id), {"code": 200, "result": "pong"}
        )
        self.assertEqual((await elsewhere.answer(theirs, "ping", "nobody's"))["code"], 404)

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
                job_id("a", id)  # type: ignore[arg-type]

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
            self.actions.action("x", authorize=True)  # type: ignore[arg-type]
        with self.assertRaises(TypeError):
            ActionWorker(self.thoonk, self.actions, processes=2)
