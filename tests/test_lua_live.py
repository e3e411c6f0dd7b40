"""thoonk-jobs 1.0 itself, on node, beside ours; skipped where it is not to be had.

No package registry has it: ``THOONK_JOBS`` names a folder whose ``node_modules`` has ``thoonk``
1.0, ``thoonk-jobs`` and what they need.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import gatherResults

from tests.helpers import ThoonkTestCase
from tests.programs import Program
from tests.wire import free_port
from txthoonk import JobWorker
from txthoonk.bridge import Bridge

FOLDER: Final = os.environ.get("THOONK_JOBS", "")
NODE: Final = shutil.which("node")
PROGRAM: Final = Path(__file__).parent / "thoonk_jobs_peer.js"


class LiveTests(ThoonkTestCase):
    """Both ways, and over a bridge."""

    timeout = 240

    if NODE is None:
        skip = "there is no node"
    elif not (Path(FOLDER) / "node_modules" / "thoonk-jobs").is_dir():
        skip = "THOONK_JOBS names no folder with thoonk-jobs: npm does not have it"

    async def setUp(self) -> None:
        self.port = free_port()
        await self.own_server(port=str(self.port), bind="127.0.0.1")
        self.redis_url = f"redis://127.0.0.1:{self.port}/0"
        self.thoonk = await self.start_thoonk()
        self.lua = await self.start_thoonk(dialect="lua")
        self.name = self.feed_name()

    def node(self, what: str, count: int) -> Program:
        """thoonk-jobs at work."""
        program = Program()
        command = (str(NODE), str(PROGRAM), str(self.port), self.name, what, str(count))
        program.start(self, *command, env={"NODE_PATH": str(Path(FOLDER) / "node_modules")})
        return program

    async def done(self, program: Program) -> list[Any]:
        """All that it said, once it has ended."""
        self.assertEqual(await program.ended, 0, program.output)
        return [json.loads(line) for line in program.output.splitlines() if line.startswith("[")]

    async def test_round_trip(self) -> None:
        """
        What it puts we do, and what we put it does; each result goes where it belongs.
        """
        worker = JobWorker(self.lua, self.name, lambda claim: f"ours did {claim.item['n']}")
        worker.startService()
        self.addCleanup(worker.stopService)
        told = await self.done(self.node("put", 20))
        self.assertEqual(sorted(told), sorted(["result", n, f"ours did {n}"] for n in range(20)))
        await worker.stopService()
        program = self.node("work", 20)
        job = self.lua.job(self.name)
        calls = [job.call({"n": n}, id=f"py{n}", timeout=30) for n in range(20)]
        self.assertEqual(await gatherResults(calls), [f"js did py{n}" for n in range(20)])
        told = await self.done(program)
        self.assertEqual(sorted(told), sorted(["item", f"py{n}", {"n": n}] for n in range(20)))

    async def test_bridge(self) -> None:
        """
        The same with a program of ours that speaks the contract, over a bridge.
        """
        bridge = Bridge(self.thoonk, self.lua, self.name)
        bridge.startService()
        self.addCleanup(bridge.stopService)
        worker = JobWorker(self.thoonk, self.name, lambda claim: f"ours did {claim.item}")
        worker.startService()
        self.addCleanup(worker.stopService)
        told = await self.done(self.node("put", 20))
        want = sorted(["result", n, f'ours did {{"n":{n}}}'] for n in range(20))
        self.assertEqual(sorted(told), want)
        await worker.stopService()
        program = self.node("work", 20)
        job = self.thoonk.job(self.name)
        calls = [job.call(json.dumps({"n": n}), id=f"py{n}", timeout=30) for n in range(20)]
        self.assertEqual(await gatherResults(calls), [f"js did py{n}" for n in range(20)])
        await self.done(program)
