"""Another language adopts the scripts: the driver in ``examples/javascript``, on npm's redis."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred

from tests.conformance_helpers import RunCase
from tests.node import node_with
from txthoonk.conformance.protocol import DriverFailed
from txthoonk.conformance.runner import Report
from txthoonk.conformance.table import table
from txthoonk.conformance.vectors import Vector, all_vectors

ROOT: Final = Path(__file__).parent.parent
FOLDER: Final = ROOT / "examples" / "javascript"
LUA: Final = ROOT / "txthoonk" / "lua"

#: What it does not offer: what needs our own additions to jobs, and a few that only read.
LEFT_OUT: Final = {
    *("feed.has_id", "feed.length", "sorted.has_id", "sorted.length", "queue.length"),
    *("job.get_stalled", "job.maintenance", "job.put_many", "job.retry_all"),
    *("feed.history", "sorted.history", "feed.snapshot", "sorted.snapshot"),
}


async def installed() -> str:
    """Install what the lock file names, unless it is there; the command that starts the driver.

    :raises SkipTest: if node, or the package, cannot be had here.
    """
    node = await node_with(FOLDER)
    return shlex.join([node, str(FOLDER / "driver.js")])


class JavaScriptTests(RunCase):
    """The driver that knows no key and no channel but by the manifest."""

    async def setUp(self) -> None:
        await super().setUp()
        self.command = await installed()
        # One that has never seen our scripts.
        self.redis_url = (await self.own_server()).url

    async def adopt(self, lua: Path, vectors: list[Vector] | None = None) -> Report:
        """Put it through vectors, with the scripts of a folder."""
        return await self.play(f"{self.command} {shlex.quote(str(lua))}", vectors)

    async def test_all(self) -> None:
        """
        It keeps the contract, and the revisions, in every verb it offers, which are nearly all.
        """
        report = await self.adopt(LUA)
        self.assertEqual([r for r in report.results if r.differs], [], "\n".join(table(report)))
        left_out = {verb for part, verb in report.left_out if part != "jobs"}
        self.assertEqual(left_out, LEFT_OUT)
        self.assertGreater(len(report.results), 200)

    async def test_changed_script(self) -> None:
        """
        A script that is not the one the manifest is about is not used.
        """
        lua = Path(self.mktemp()).resolve()
        shutil.copytree(LUA, lua)
        script = lua / "feed" / "retract.lua"
        script.write_text(script.read_text().replace("ZREM", "ZADD"))
        only: Any = [v for v in all_vectors() if v.verb == "exists"]
        adopting = Deferred.fromCoroutine(self.adopt(lua, only))
        await self.assertFailure(adopting, DriverFailed)
