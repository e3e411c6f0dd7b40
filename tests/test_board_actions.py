"""What can be done on the board, by whom, and how it is taken back."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase

from examples.board import Team, actions
from examples.board.actions import board, bulk
from examples.board.people import clean_name, member_id, read_cookie, sign
from examples.board.rules import may_read
from tests.helpers import ThoonkTestCase, until
from txthoonk import Thoonk
from txthoonk.actions import ActionWorker

ADA, BOB, EVE = ({"id": name.lower(), "name": name} for name in ("Ada", "Bob", "Eve"))


class ActionTests(ThoonkTestCase):
    """A team with Ada and Bob in it; Eve is in none."""

    async def start_thoonk(self, url: str | None = None, **options: Any) -> Thoonk:
        """On a server of its own: the names are the board's."""
        return await super().start_thoonk(url or (await self.own_server()).url, **options)

    async def setUp(self) -> None:
        await super().setUp()
        for group in (board, bulk):
            ActionWorker(self.thoonk, group, concurrency=10).startService()
        self.team = (await self.do(ADA, "create", 200, name="Party"))["team"]
        await self.do(BOB, "join", 200, team=self.team)
        self.names = Team(self.team)

    async def do(self, user: Any, action: str, code: int, /, **payload: Any) -> Any:
        """Take an action, which is answered with a code: its result, or why not."""
        answer = await board.do(self.thoonk, user, action, payload)
        self.assertEqual(answer["code"], code, (action, payload, answer))
        return answer["result"] if code == 200 else answer["error"]

    async def mine(self, user: Any, action: str, code: int, /, **payload: Any) -> Any:
        """The same, in one's own list."""
        return await self.do(user, action, code, team=self.team, member=user["id"], **payload)

    async def rows(self, user: Any = ADA) -> list[tuple[str, str]]:
        """A list: ids and texts."""
        tasks = self.thoonk.sorted_feed(self.names.tasks(user["id"]), serializer="json")
        return [(id, item["text"]) for id, item in (await tasks.get_all()).items()]

    async def texts(self, user: Any = ADA) -> list[str]:
        """A list: the texts."""
        return [text for _, text in await self.rows(user)]

    async def shipped(self) -> list[str]:
        """What Ada has done."""
        feed = self.thoonk.feed(self.names.shipped("ada"), serializer="json")
        return [item["text"] for item in (await feed.get_all()).values()]

    async def add(self, *texts: str) -> list[str]:
        """Ada adds tasks; the ids in the order of her list, the last one first."""
        for text in texts:
            await self.mine(ADA, "add", 200, text=text)
        return [id for id, _ in await self.rows()]

    async def undo(self, user: Any = ADA, code: int = 200) -> Any:
        """Take back what somebody did last."""
        feed = self.thoonk.feed(self.names.undo(user["id"]))
        last = (await feed.get_ids())[-1]
        return await self.do(user, "undo", code, team=self.team, act=last)

    async def test_rights(self) -> None:
        """Members may add and move anywhere; only whose list it is ships; others do nothing."""
        (id,) = await self.add("cake")
        task = {"team": self.team, "member": "ada", "id": id}
        await self.do(BOB, "ship", 403, **task)
        await self.do(BOB, "edit", 403, **task, changes={"text": "Bob's"})
        await self.do(BOB, "retract", 403, **task)
        await self.do(BOB, "delegate", 403, **task, to="bob")
        await self.do(BOB, "move", 200, **task, position=":end")
        await self.do(BOB, "add", 200, team=self.team, member="ada", text="from Bob")
        his, _ = (await self.rows())[0]
        await self.do(BOB, "edit", 200, **{**task, "id": his}, changes={"text": "of Bob"})
        self.assertEqual(await self.texts(), ["of Bob", "cake"])
        for name, more in (
            ("add", {"text": "x"}),
            ("move", {"id": id, "position": ":end"}),
            ("import", {"text": "x"}),
        ):
            await self.do(EVE, name, 403, team=self.team, member="ada", **more)
        await self.do(EVE, "say", 403, team=self.team, text="x")
        await self.do(EVE, "here", 403, team=self.team)
        await self.mine(ADA, "delegate", 403, id=id, to="eve")
        await self.do(ADA, "add", 404, team=self.team, member="eve", text="x")
        await self.do(EVE, "join", 404, team="1")
        for name, can in (("ship", [True, False, False]), ("move", [True, True, False])):
            payload = {**task, "position": ":end"} if name == "move" else task
            asked = [board.can(self.thoonk, who, name, payload) for who in (ADA, BOB, EVE)]
            self.assertEqual(await gatherResults(asked), can, name)

    async def test_reading(self) -> None:
        """Members see their team's feeds, and nobody another one's undo, or anything else."""
        for user, feed, right in (
            (ADA, self.names.chat, True),
            (ADA, f"team:{self.team}:*", True),
            (ADA, self.names.undo("ada"), True),
            (ADA, "teams", True),
            (EVE, "teams", True),
            (EVE, self.names.chat, False),
            (EVE, f"team:{self.team}:*", False),
            (BOB, self.names.undo("ada"), False),
            (ADA, "team:*", False),
            (ADA, "team:*:chat", False),
            (ADA, "*", False),
            (ADA, "board", False),
        ):
            self.assertIs(await may_read(self.thoonk, user, feed), right, (user, feed))

    async def test_shapes(self) -> None:
        """What would name another feed, or is no place or text, never gets as far as the board."""
        for name, payload in (
            ("add", {"member": "ada:tasks", "text": "x"}),
            ("add", {"member": "ada", "text": ""}),
            ("add", {"member": "ada", "text": "x" * 501}),
            ("add", {"member": "ada", "text": "x", "user": "bob"}),
            ("move", {"member": "ada", "id": "1", "position": "2"}),
            ("ship", {"member": "ada", "id": "one"}),
            ("edit", {"member": "ada", "id": "1", "changes": {"by": "bob"}}),
        ):
            await self.do(ADA, name, 422, team=self.team, **payload)
        await self.do(ADA, "say", 422, team="1:2", text="x")

    async def test_undo(self) -> None:
        """Each action can be taken back, and the lists are as they were; then nothing is left."""
        first, second, third = await self.add("one", "two", "three")
        before = ["three", "two", "one"]
        task = {"id": second}
        for name, payload, after in (
            ("add", {"text": "four", "position": f"{second}:"}, ["three", "two", "four", "one"]),
            ("edit", {**task, "changes": {"text": "2"}}, ["three", "2", "one"]),
            ("move", {**task, "position": "begin:"}, ["two", "three", "one"]),
            ("move", {"id": first, "position": f"{third}:"}, ["two", "one", "three"]),
            ("import", {"text": "- [ ] five\n- [x] six"}, [*before, "five"]),
        ):
            await self.mine(ADA, name, 200, **payload)
            self.assertEqual(await self.texts(), after, name)
            await self.undo()
            self.assertEqual(await self.texts(), before, name)
            self.assertEqual(await self.shipped(), [], name)
        # Those that come back do so as new tasks, at their old places.
        for name, payload in (("ship", {}), ("delegate", {"to": "bob"}), ("retract", {})):
            id = (await self.rows())[1][0]
            await self.mine(ADA, name, 200, id=id, **payload)
            self.assertEqual(await self.texts(), ["three", "one"], name)
            await self.undo()
            self.assertEqual(await self.texts(), before, name)
            self.assertEqual((await self.texts(BOB), await self.shipped()), ([], []), name)
        await self.do(ADA, "say", 200, team=self.team, text="hello")
        await self.undo()
        self.assertEqual(await self.thoonk.feed(self.names.chat).get_ids(), [])
        for _ in before:
            await self.undo()
        self.assertEqual(await self.texts(), [])
        self.assertEqual(await self.thoonk.feed(self.names.undo("ada")).get_ids(), [])

    async def test_undo_too_late(self) -> None:
        """What somebody else has changed since stays as it is, and it is told who that was."""
        await self.do(BOB, "add", 200, team=self.team, member="ada", text="cake")
        ((id, _),) = await self.rows()
        await self.mine(ADA, "edit", 200, id=id, changes={"text": "two cakes"})
        self.assertIn("Ada has changed it", await self.undo(BOB, 409))
        await self.add("other")
        await self.do(BOB, "move", 200, team=self.team, member="ada", id=id, position="begin:")
        await self.mine(ADA, "move", 200, id=id, position=":end")
        self.assertIn("moved it since", await self.undo(BOB, 409))
        await self.mine(ADA, "delegate", 200, id=id, to="bob")
        ((id, _),) = await self.rows(BOB)
        await self.mine(BOB, "edit", 200, id=id, changes={"text": "three cakes"})
        await self.undo(ADA, 409)
        self.assertEqual((await self.texts(BOB), await self.texts()), (["three cakes"], ["other"]))
        # And nobody takes back what another one did.
        (last, *_) = await self.thoonk.feed(self.names.undo("bob")).get_ids()
        await self.do(ADA, "undo", 409, team=self.team, act=last)

    async def test_undo_twice(self) -> None:
        """Two windows that take the same thing back at once take it back once."""
        ids = await self.add("one", "two")
        await self.mine(ADA, "retract", 200, id=ids[0])
        (*_, last) = await self.thoonk.feed(self.names.undo("ada")).get_ids()
        payload = {"team": self.team, "act": last}
        both = [board.do(self.thoonk, ADA, "undo", payload) for _ in range(2)]
        self.assertEqual(sorted(each["code"] for each in await gatherResults(both)), [200, 409])
        self.assertEqual(await self.texts(), ["two", "one"])

    async def test_edited_meanwhile(self) -> None:
        """An edit of a text that is not there any more changes nothing, and tells what is."""
        (id,) = await self.add("cake")
        await self.mine(ADA, "edit", 200, id=id, changes={"text": "bread"}, was="cake")
        why = await self.mine(ADA, "edit", 409, id=id, changes={"text": "wine"}, was="cake")
        self.assertIn("bread", why)
        self.assertEqual(await self.texts(), ["bread"])

    async def test_at_once(self) -> None:
        """Of many who change one list at the same instant nobody's change is lost or done twice."""
        ids = await self.add(*map(str, range(20)))
        calls = [self.mine(ADA, "ship", 200, id=id) for id in ids[:10]]
        calls += [self.mine(ADA, "edit", 200, id=id, changes={"text": "x"}) for id in ids[10:]]
        calls += [self.do(BOB, "add", 200, team=self.team, member="ada", text="new")]
        await gatherResults(map(Deferred.fromCoroutine, calls))
        self.assertEqual(sorted(await self.shipped(), key=int), [str(n) for n in range(10, 20)])
        self.assertEqual(sorted(await self.texts()), ["new", *["x"] * 10])

    async def test_same_task_shipped_twice(self) -> None:
        """A task that is shipped in two windows is shipped once."""
        (id,) = await self.add("cake")
        payload = {"team": self.team, "member": "ada", "id": id}
        both = [board.do(self.thoonk, ADA, "ship", payload) for _ in range(2)]
        codes = sorted(each["code"] for each in await gatherResults(both))
        self.assertEqual((codes, await self.shipped()), ([200, 404], ["cake"]))

    async def test_teams(self) -> None:
        """Teams that are founded at the same time have numbers of their own."""
        calls = [board.do(self.thoonk, EVE, "create", {"name": f"team {n}"}) for n in range(8)]
        teams = {each["result"]["team"] for each in await gatherResults(calls)}
        self.assertEqual(teams, {str(353 + n) for n in range(1, 9)})
        for team in teams:
            members = await self.thoonk.feed(Team(team).members).get_ids()
            self.assertEqual(members, ["eve"])
        await self.do(EVE, "join", 200, team=self.team)
        await self.do(EVE, "join", 200, team=self.team)
        members = await self.thoonk.feed(self.names.members).get_ids()
        self.assertEqual(members, ["ada", "bob", "eve"])

    async def test_gone(self) -> None:
        """Who gives no sign of life is gone after a while, whatever became of their window."""
        self.patch(actions, "HERE", 0.2)
        presence = self.thoonk.feed(self.names.presence)
        live = await presence.follow(lambda event: None)
        await self.do(ADA, "here", 200, team=self.team)
        self.assertEqual(list(live.items), ["ada"])
        await until(lambda: not live.items)

    async def test_import(self) -> None:
        """A file is imported as a whole or not at all."""
        text = "\n".join(f"- [{'x' if n % 2 else ' '}] task {n}" for n in range(100))
        found = await self.mine(ADA, "import", 200, text=text)
        self.assertEqual(found, {"tasks": 50, "shipped": 50})
        self.assertEqual(len(await self.texts()), 50)
        self.assertEqual(len(await self.shipped()), 50)
        await self.mine(ADA, "import", 422, text="# nothing", name="a.md")
        too_many = "\n".join(f"task {n}" for n in range(501))
        await self.mine(ADA, "import", 422, text=too_many)
        self.assertEqual(len(await self.texts()), 50)
        await self.mine(ADA, "import", 422, text="x\x00\n")
        await self.undo()
        self.assertEqual((await self.texts(), await self.shipped()), ([], []))

    async def test_import_what_is_done(self) -> None:
        """The list of what was done last year is imported, and taken back, as a whole."""
        text = "\n".join(f"x task {n}" for n in range(500))
        found = await self.mine(ADA, "import", 200, text=text)
        self.assertEqual(found, {"tasks": 0, "shipped": 500})
        self.assertEqual(await self.shipped(), [f"task {n}" for n in range(400, 500)])
        await self.undo()
        self.assertEqual(await self.shipped(), [])

    async def test_nobody(self) -> None:
        """Whoever is not signed in may nothing, which is no failure of a rule."""
        for name, more in (("here", {}), ("say", {"text": "x"}), ("undo", {"act": "x"})):
            await self.do(None, name, 403, team=self.team, **more)
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_programs(self) -> None:
        """Programs have jobs of their own; what they do is not told, nor to be taken back."""
        program = {"id": "ada", "name": "Ada's program", "program": True}
        payload = {"team": self.team, "member": "ada", "text": "cake"}
        answer = await bulk.do(self.thoonk, program, "add", payload)
        self.assertEqual(answer["code"], 200)
        self.assertEqual(await self.texts(), ["cake"])
        self.assertEqual(await self.thoonk.feed(self.names.undo("ada")).get_ids(), [])


class PeopleTests(SynchronousTestCase):
    """Who somebody is."""

    def test_ids(self) -> None:
        """A name makes an id that can be part of feeds' names and paths, whatever is in it."""
        for name, id in (
            ("Ada", "ada"),
            ("  ada ", "ada"),
            ("José Núñez", "jose-nunez"),
            ("Ada L. 2", "ada-l-2"),
            ("team:1:*", "team-1"),
            ("../..", "u-2e2e2f2e2e"),
            ("Анна", "u-d0b0d0bdd0bdd0b0"),
            ("Zoë 👩‍👩‍👧", "zoe"),
            ("Ada Анна", "u-61646120d0b0d0bdd0bdd0b0"),
        ):
            self.assertEqual(member_id(name), id)
        for name in ("x" * 500, "я" * 500, "💃", "-" * 100):
            self.assertRegex(member_id(name), r"\A[a-z0-9-]{1,40}\Z")
        alike = ("Александр Иванов", "Александр Петров", "山田太郎さん一号", "山田太郎さん二号")
        self.assertEqual(len({member_id(name) for name in alike}), 4, "nobody is somebody else")
        self.assertEqual(clean_name(" Ada \n\x00 Lovelace "), "Ada Lovelace")
        self.assertEqual(clean_name("a\u00a0b \u202e👩‍👩‍👧"), "a b 👩‍👩‍👧")
        self.assertEqual(clean_name("\u200d \u200d"), "")

    def test_cookies(self) -> None:
        """A cookie that was not made here says nothing."""
        cookie = sign(b"secret", ADA)
        self.assertEqual(read_cookie(b"secret", cookie), ADA)
        forged = sign(b"guess", BOB)
        value, _, signature = cookie.partition(b".")
        for each in (None, b"", b".", forged, value, value + b".", b"x" + cookie, cookie + b"x"):
            self.assertIsNone(read_cookie(b"secret", each), each)
        other = forged.partition(b".")[0] + b"." + signature
        self.assertIsNone(read_cookie(b"secret", other))
