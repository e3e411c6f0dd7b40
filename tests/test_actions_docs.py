"""The page about actions: its example does what it says."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

from twisted.application.service import MultiService

from tests.helpers import ThoonkTestCase
from txthoonk.actions import job_id

PAGE = Path(__file__).parent.parent / "docs" / "actions.rst"


class PageTests(ThoonkTestCase):
    """docs/actions.rst."""

    async def run_page(self, **names: Any) -> dict[str, Any]:
        """Run the first example of the page, on feeds of names of our own."""
        found = re.search(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)", PAGE.read_text())
        assert found is not None
        text = dedent(found[1])
        for name in ("board", "members"):
            text = text.replace(f'"{name}"', f'"{self.names[name]}"')
        text = text.replace('f"team:', f'f"{self.names["board"]}:team:')
        code = compile(text, str(PAGE), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, True)
        running = eval(code, names)
        if inspect.iscoroutine(running):
            await running
        return names

    async def test_example(self) -> None:
        """
        The example ships a task for a member, and for nobody else, and says so.
        """
        self.names = {name: self.feed_name(name) for name in ("board", "members")}
        await self.redis.execute("HSET", self.names["members"], "a", "7")
        self.addCleanup(self.redis.execute, "DEL", self.names["members"])
        tasks = self.thoonk.sorted_feed(f"{self.names['board']}:team:a:tasks", serializer="json")
        ids = [await tasks.append({"text": f"task {n}"}) for n in range(7)]
        self.assertEqual(ids[-1], "7")
        application = MultiService()
        application.startService()
        self.addCleanup(application.stopService)
        names = await self.run_page(
            thoonk=self.thoonk,
            application=application,
            user={"id": 7},
            may_read=lambda user, feed: True,
        )
        self.assertEqual(names["answer"], {"code": 200, "result": {"shipped": "7"}})
        shipped = self.thoonk.feed(f"{self.names['board']}:team:a:shipped", serializer="json")
        self.assertEqual(await shipped.get_all(), {"7": {"text": "task 6"}})
        self.assertFalse(await tasks.has_id("7"))
        do = names["actions"].do
        payload = {"team": "a", "id": "7"}
        self.assertEqual((await do(self.thoonk, {"id": 8}, "ship", payload))["code"], 403)
        self.assertEqual((await do(self.thoonk, {"id": 7}, "ship", payload))["code"], 404)

    def test_job_id(self) -> None:
        """
        The id of a job is made as the page says.
        """
        self.assertIn("first 32 hexadecimal digits of SHA-256(user id)", PAGE.read_text())
        # sha256sum of "7"
        self.assertEqual(job_id({"id": 7}, "x"), "7902699be42c8a8e46fbbb4501726517:x")
