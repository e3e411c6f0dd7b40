"""Actions that come too late: what their user saw has changed."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import gatherResults

from tests.action_helpers import ActionTestCase
from txthoonk import Conflict
from txthoonk.actions import Act, Actions, anybody
from txthoonk.positions import Position, pack_place, read_place


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
        if user == "odd":
            raise KeyError("teams")
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

    async def test_deleted_in_between(self) -> None:
        """A feed that is gone by then has changed, and the action does not bring it back."""
        other = await self.thoonk.feed(self.feed_name("other"))
        await other.publish("x")
        seen = await other.snapshot()
        revisions = {other.name: pack_place(Position(seen.revision, seen.epoch))}
        self.before = other.delete
        answer = await self.move(self.ids[2], revisions=revisions)
        self.assertEqual((answer["code"], list(answer["changed"])), (409, [other.name]))
        self.assertNotIn(other.name, await self.thoonk.get_feed_names())
        self.assertEqual(await self.feed.get_ids(), self.ids)

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
        answer = await self.move(self.ids[2], "odd", revisions={self.tasks: at})
        self.assertEqual((answer["code"], "changed" in answer), (403, False))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
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
