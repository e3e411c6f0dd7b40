"""Real ``twistd thoonk`` processes for tests, and modules of handlers for them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.helpers import Heard, ThoonkTestCase
from tests.programs import Program
from txthoonk import Job, Thoonk

__all__ = ["HANDLERS", "Twistd", "TwistdTestCase"]

HANDLERS = '''
"""Handlers that the tests name on the command line."""

import os
import threading

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater


async def quick(claim):
    """Done in an instant; "wait" is never done."""
    from twisted.internet import reactor

    await (Deferred() if claim.item == "wait" else deferLater(reactor, 0.005))
    return str(os.getpid())


class Things:
    @staticmethod
    def handle(claim):
        return claim.item


def in_child(id, item, cancelled):
    return str(os.getppid())


def in_thread(claim):
    return threading.current_thread().name


number = 3
'''


class Twistd(Program):
    """A twistd that runs."""

    pid_file = ""

    def workers(self) -> list[int]:
        """The processes that its supervisor has started, in that order."""
        return [int(pid) for pid in re.findall(r"Worker \d+ is process (\d+)", self.output)]


class TwistdTestCase(ThoonkTestCase):
    """Real twistd processes on a real Redis, each test in a folder with a module ``handlers``."""

    timeout = 240

    async def setUp(self) -> None:
        await super().setUp()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        (self.folder / "handlers.py").write_text(HANDLERS)
        self._programs = 0

    def twistd(
        self,
        *arguments: str,
        url: str | None = "",
        twistd: tuple[str, ...] = (),
        **environment: str,
    ) -> Twistd:
        """Start it; on the Redis of this test unless told, None for no word about Redis."""
        program = Twistd()
        where = [] if url is None else [f"--redis={url or self.redis_url}"]
        command = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
        self._programs += 1
        program.pid_file = f"{self._programs}.pid"
        command += ["-n", f"--pidfile={program.pid_file}", *twistd, "thoonk", *where, *arguments]
        env = {"THOONK_REDIS": None, **environment}
        # If it is killed in the end, its workers see that, and end too.
        program.start(self, *command, folder=self.folder, env=env)
        return program

    async def stop(self, program: Twistd, name: str = "TERM", status: int = 0) -> None:
        """Stop it as a supervisor of processes would, and see that it ends well."""
        program.process.signalProcess(name)
        self.assertEqual(await program.ended, status, program.output)
        self.assertIn("Server Shut Down", program.output)
        self.assertNotIn("Traceback", program.output)
        self.assertNotIn("Unhandled", program.output)
        self.assertFalse((self.folder / program.pid_file).exists())

    async def jobs(self, thoonk: Thoonk | None = None) -> tuple[Job, Heard]:
        """A feed of jobs, and what is finished in it."""
        jobs = await (thoonk or self.thoonk).job(self.feed_name())
        finished = Heard()
        await jobs.subscribe(finish=finished)
        return jobs, finished

    async def nothing_spent(self, jobs: Job) -> None:
        """No job counts as failed, and none has a history."""
        ids = await jobs.get_ids()
        self.assertEqual({await jobs.get_failure_count(id) for id in ids} - {0}, set())
        self.assertEqual(await self.redis.execute("HLEN", jobs.keys.errors), 0)
