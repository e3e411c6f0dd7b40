"""Each example, run as a reader would run it."""

from __future__ import annotations

import sys

from twisted.trial.unittest import TestCase

from tests.programs import ROOT, Program
from txthoonk import Thoonk
from txthoonk.embedded import EmbeddedRedis


class ExampleTests(TestCase):
    """The programs in examples/."""

    timeout = 240

    def run_example(self, *command: str) -> Program:
        """Start it."""
        program = Program()
        program.start(self, sys.executable, *command, env={"PYTHONUNBUFFERED": "1"})
        return program

    async def complete(self, *command: str) -> list[str]:
        """Run it to its end; its lines."""
        program = self.run_example(*command)
        self.assertEqual(await program.ended, 0, program.output)
        return program.output.splitlines()

    async def server(self) -> EmbeddedRedis:
        """A Redis for this example alone: it may use whatever names it likes."""
        server = EmbeddedRedis()
        self.addCleanup(server.stop)
        return await server.start()

    async def thoonk(self, server: EmbeddedRedis) -> Thoonk:
        """Someone else on the same Redis."""
        thoonk = Thoonk(server.url)
        thoonk.startService()
        self.addCleanup(thoonk.stopService)
        return await thoonk.when_connected()

    async def test_pictures(self) -> None:
        """The README's first example shows thumbs, and ends cleanly at Ctrl-C."""
        twistd = "import sys; from twisted.scripts.twistd import run; sys.exit(run())"
        program = self.run_example("-c", twistd, "-ny", "examples/pictures.tac", "--pidfile=")
        for text in ("shown: small a.png", "done: resized a.png", "done: resized b.png"):
            await program.says(text)
        program.process.signalProcess("INT")
        await program.ended
        self.assertIn("Server Shut Down", program.output)
        self.assertNotIn("Traceback", program.output)
        self.assertNotIn("Unhandled", program.output)

    def test_readme(self) -> None:
        """The README's first example is the one that is run here, to the letter."""
        lines = (ROOT / "examples" / "pictures.tac").read_text().splitlines()
        block = "\n".join(f"    {line}" if line else "" for line in lines)
        self.assertIn(block, (ROOT / "README.rst").read_text())

    async def test_feedpubsub(self) -> None:
        """0.1's example: what is published, edited and retracted is heard, in order."""
        server = await self.server()
        command = ("-c", _OVER_UNIX, server.socket_path)
        lines = await self.complete(*command)
        kinds = [line.split()[0] for line in lines]
        self.assertEqual(
            kinds, ["newfeed", "publish", "publish", "edit", "retract", "retract", "delfeed"]
        )
        self.assertIn("edit someid replaced item", lines)

    async def test_id_set(self) -> None:
        """A set made of ids only tells who came and who went, and holds each once."""
        lines = await self.complete("examples/id_set.py")
        self.assertEqual(sorted(lines)[:2], ["ada came", "ada is online: True"])
        self.assertIn("ada went", lines)
        self.assertIn("online: grace", lines)
        self.assertEqual(lines.count("ada came"), 1)

    async def test_culler(self) -> None:
        """The culler retracts what is too old, and nothing else."""
        server = await self.server()
        thoonk = await self.thoonk(server)
        feed = thoonk.feed("news")
        await feed.publish("old", id="old")
        await thoonk.redis.execute("ZADD", "feed.ids:news", 1000, "old")
        await feed.publish("new", id="new")
        program = self.run_example("examples/culler.py", "news", "3600", server.url)
        await program.says("retracted old")
        self.assertEqual(await feed.get_ids(), ["new"])

    async def test_preindexer(self) -> None:
        """The index holds what was there before it, and follows every change."""
        server = await self.server()
        thoonk = await self.thoonk(server)
        feed = thoonk.feed("news")
        await feed.publish("red apples", id="1")
        program = self.run_example("examples/preindexer.py", "news", server.url)
        await program.says("ready")
        await feed.publish("green apples", id="2")
        await program.says("indexed 2 apples green")
        self.assertEqual(await thoonk.feed("news:word:apples").get_ids(), ["1", "2"])
        await feed.publish("red pears", id="1")
        await program.says("indexed 1 pears red")
        self.assertEqual(await thoonk.feed("news:word:apples").get_ids(), ["2"])
        await feed.retract("2")
        await program.says("forgot 2")
        self.assertEqual(await thoonk.feed("news:word:green").get_ids(), [])

    async def test_shared_queue(self) -> None:
        """Two processes share a queue: both get something, each item goes to one."""
        lines = await self.complete("examples/shared_queue.py")
        words = lines[0].split()
        self.assertGreater(min(int(words[4]), int(words[-1])), 0, lines)
        self.assertEqual(lines[1], "each once: True")


#: examples/feedpubsub.py takes a TCP port; the server of a test has a socket in the file system.
_OVER_UNIX = """
import sys
from twisted.internet import endpoints, task
import examples.feedpubsub as example
example.TCP4ClientEndpoint = lambda reactor, *_: endpoints.UNIXClientEndpoint(reactor, sys.argv[1])
task.react(example.main)
"""
