"""One folder of Lua for a Node program and a Twisted one: examples/counter, on one Redis."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import Any, Final

from twisted.internet.defer import gatherResults
from twisted.trial.unittest import SkipTest

from examples.counter.counters import Counter, LimitReached, SafeCounter
from tests.helpers import Heard, ThoonkTestCase, until
from tests.programs import ROOT, Program
from tests.wire import free_port

FOLDER: Final = ROOT / "examples" / "counter"


def node(*, real: bool = False) -> str:
    """The program, or the reason why there is none to test with.

    :param real: with the thoonk.js that ``THOONK_JS`` in the environment names.
    """
    program = shutil.which("node")
    if program is None:
        raise SkipTest("there is no node on PATH")
    if real:
        if not os.environ.get("THOONK_JS"):
            raise SkipTest("THOONK_JS names no thoonk.js 1.0, which npm does not have everywhere")
        return program
    found = subprocess.run(
        [program, "-e", "require('redis')"], cwd=FOLDER, capture_output=True, check=False
    )
    if found.returncode:
        raise SkipTest("npm's redis is not there: (cd examples/counter && npm install)")
    return program


class SharedFolderTests(ThoonkTestCase):
    """The programs of the example, as their readers would run them."""

    async def setUp(self) -> None:
        await super().setUp()
        self.port = str(free_port())
        self.server = await self.own_server(port=self.port, bind="127.0.0.1")
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.name = self.feed_name()

    def start(self, *command: str, **environment: str) -> Program:
        """Run a program."""
        program = Program()
        env = {"THOONK_JS": None, "PYTHONUNBUFFERED": "1", **environment}
        program.start(self, *command, env=env)
        return program

    async def check(self, in_node: list[str], **environment: str) -> None:
        """Let both programs count, and both watch; each command has the same answer from both."""
        script = [*in_node, str(FOLDER / "counter.js"), self.port]
        in_python = [sys.executable, "-m", "examples.counter", self.url]
        watchers = [
            self.start(*program, "watch", self.name, **environment)
            for program in (script, in_python)
        ]
        for watcher in watchers:
            await watcher.says("ready")
        raw = await self.connect(self.url)
        numsub = ("PUBSUB", "NUMSUB", f"event.counter.changed:{self.name}")
        await until(lambda: raw.execute(*numsub).addCallback(lambda reply: reply[1] == 2))
        programs = {"node": script, "python": in_python}
        for which, command, answer in (
            ("node", ("add", "5"), "answer 5"),
            ("python", ("add", "7"), "answer 12"),
            ("python", ("limit", "14"), "answer null"),
            ("node", ("add", "3"), "error LIMIT: 12 of 14"),
            ("python", ("add", "3"), "error LIMIT: 12 of 14"),
            ("node", ("get",), "answer 12 14"),
            ("python", ("get",), "answer 12 14"),
            ("node", ("limit", ""), "answer null"),
            ("python", ("reset",), "answer 12"),
        ):
            verb, *args = command
            program = self.start(*programs[which], verb, self.name, *args, **environment)
            status = await program.ended
            self.assertEqual((program.output.strip(), status), (answer, 0), (which, command))
        events = ["changed 5", "changed 12", "limited 14", "limited", "changed 0"]
        await gatherResults([watcher.says("changed 0\n") for watcher in watchers])
        for watcher in watchers:
            lines = [line.strip() for line in watcher.output.splitlines()]
            self.assertEqual(lines, ["ready", *events])

    async def test_node(self) -> None:
        """
        A Node program on npm's redis and a Twisted program serve the same counters by the same
        scripts: answers, errors with their values, and events are the same on both sides.
        """
        await self.check([node()])

    async def test_thoonk_js(self) -> None:
        """
        The same with the real thoonk.js, where it is installed.
        """
        program = node(real=True)
        await self.check([program], THOONK_JS=os.environ["THOONK_JS"])

    async def test_python(self) -> None:
        """
        The example's Twisted program by itself: it counts, and says what the limit is.
        """
        in_python = [sys.executable, "-m", "examples.counter", self.url]
        for command, answer in (
            (("add", self.name, "5"), "answer 5"),
            (("limit", self.name, "6"), "answer null"),
            (("add", self.name, "2"), "error LIMIT: 5 of 6"),
        ):
            program = self.start(*in_python, *command)
            self.assertEqual((await program.ended, program.output.strip()), (0, answer))
        program = self.start(*in_python)
        self.assertEqual(await program.ended, 1)
        self.assertIn("watch visits", program.output)

    async def test_safe(self) -> None:
        """
        The safe form of the counter has the same keys, events and errors as the shared one.
        """
        thoonk = await self.start_thoonk(self.url)
        counter = thoonk.register_object("Counter", Counter)(self.name)
        safe = thoonk.register_object("SafeCounter", SafeCounter)(self.name)
        heard = Heard()
        await counter.on("changed", heard)
        self.assertEqual(await safe.add(5), 5)
        self.assertEqual(await counter.add(5), 10)
        await safe.limit(12)
        for one in (safe, counter):
            error: Any = await self.assertFailure(one.add(5), LimitReached)
            self.assertEqual((error.name, error.verb), (self.name, "add"))
        self.assertEqual(await safe.get(), 10)
        self.assertEqual(await counter.get(), (10, 12))
        self.assertEqual(await counter.reset(), 10)
        await heard.when(3)
        self.assertEqual(heard, ["5", "10", "0"])
        with self.assertRaises(TypeError):
            safe.add("5")

    def test_docs(self) -> None:
        """
        The class and the scripts that docs/objects.rst shows are those of the example.
        """
        page = (ROOT / "docs" / "objects.rst").read_text()
        example = (FOLDER / "counters.py").read_text()
        shown = example[example.index("class Counter") : example.index("class SafeCounter")].strip()
        scripts = [FOLDER / "lua" / "add.lua", FOLDER / "declared" / "add.lua"]
        for text in (shown, *(script.read_text() for script in scripts)):
            block = "\n".join(f"    {line}" if line else "" for line in text.splitlines())
            self.assertIn(block, page)
