"""Another language adopts the scripts: the driver in ``examples/javascript``, on npm's redis."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SkipTest

from tests.conformance_helpers import RunCase
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
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise SkipTest("there is no node, or no npm, on this machine")
    version, _, _ = await getProcessOutputAndValue(node, ["--version"], env=None)
    if int(version.decode().lstrip("v").partition(".")[0]) < 18:
        raise SkipTest(f"node is {version.decode().strip()}, older than the 18 that redis needs")
    mark = FOLDER / "node_modules" / ".package-lock.json"
    lock = FOLDER / "package-lock.json"
    if not mark.exists() or mark.stat().st_mtime < lock.stat().st_mtime:
        out, err, status = await getProcessOutputAndValue(
            npm, ["ci", "--no-audit", "--no-fund"], env=os.environ, path=str(FOLDER)
        )
        if status:
            raise SkipTest(f"npm cannot install redis here: {(out + err).decode()[-500:]}")
        mark.touch()
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
