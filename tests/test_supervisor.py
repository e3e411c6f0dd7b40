"""``twistd thoonk --workers``: processes that are watched, replaced, and stopped together."""

from __future__ import annotations

import os
import signal
import sys

from tests.helpers import until
from tests.twistd import HANDLERS, Twistd, TwistdTestCase
from txthoonk import Job


class SeveralProcessesTests(TwistdTestCase):
    """With --workers."""

    async def several(
        self, jobs: Job, *arguments: str, count: int = 3, twistd: tuple[str, ...] = ()
    ) -> Twistd:
        """A supervisor whose workers all work."""
        job = f"--job={jobs.name}=handlers:quick"
        arguments = (job, f"--workers={count}", "--claim-timeout=1", *arguments)
        program = self.twistd(*arguments, twistd=twistd)
        await until(lambda: program.output.count("Working on") == count)
        return program

    async def test_killed_worker(self) -> None:
        """One of three workers is killed: another takes its place, and no job is lost."""
        jobs, finished = await self.jobs()
        program = await self.several(jobs)
        killed = program.workers()[1]
        await jobs.put_many([f"item {number}" for number in range(3000)])
        await until(lambda: str(killed) in {event.result for event in finished})
        os.kill(killed, signal.SIGKILL)
        await program.says(f"Worker 2 (process {killed}) was ended by signal 9")
        await until(lambda: len(program.workers()) == 4)
        replacement = program.workers()[3]
        await finished.when(3000)
        await until(lambda: program.output.count("Working on") == 4)
        await jobs.put_many([f"item {number}" for number in range(100)])
        await until(lambda: str(replacement) in {event.result for event in finished})
        await finished.when(3100)
        self.assertEqual(len({event.id for event in finished}), 3100)
        self.assertEqual((await jobs.stats())[:4], (0, 0, 0, 0))
        await self.stop(program)

    async def test_rolling(self) -> None:
        """Each worker is stopped in its turn under load: nothing is lost, no attempt is spent."""
        jobs, finished = await self.jobs()
        program = await self.several(jobs)
        await jobs.put_many([f"item {number}" for number in range(3000)])
        for number, pid in enumerate(program.workers(), 1):
            await until(lambda pid=pid: str(pid) in {event.result for event in finished})
            os.kill(pid, signal.SIGTERM)
            await program.says(f"Worker {number} (process {pid}) ended with status 0")
            await until(lambda n=number: program.output.count("Working on") == 3 + n)
            await jobs.put_many(["more"] * 500)
        await finished.when(4500)
        self.assertEqual(len({event.id for event in finished}), 4500)
        self.assertEqual((await jobs.stats())[:4], (0, 0, 0, 0))
        await self.nothing_spent(jobs)
        await self.stop(program, "INT")

    async def test_workers_stopped_in_the_middle(self) -> None:
        """SIGTERM to the supervisor: every job of every worker is finished or available."""
        jobs, finished = await self.jobs()
        program = await self.several(jobs, "--grace=0.2")
        await jobs.put_many(["wait"] * 3 + [f"item {number}" for number in range(1497)])
        await finished.when(100)
        await self.stop(program)
        await self.settle()
        stats = await jobs.stats()
        self.assertEqual(len(finished) + stats.available, 1500)
        self.assertEqual((stats.handed, stats.claimed, stats.stalled), (0, 0, 0))
        await self.nothing_spent(jobs)

    async def test_supervisor_killed(self) -> None:
        """Workers whose supervisor is killed stop by themselves, in order."""
        jobs, _ = await self.jobs()
        for reactor in ("epoll", "select") if sys.platform == "linux" else ("select",):
            program = await self.several(jobs, count=2, twistd=(f"--reactor={reactor}",))
            program.process.signalProcess("KILL")
            # Not before the last of them has closed its standard output.
            self.assertEqual(await program.ended, -signal.SIGKILL)
            self.assertEqual(program.output.count("The supervisor is gone: stopping"), 2)
            self.assertEqual(program.output.count("Server Shut Down"), 2)
            self.assertEqual(program.output.count(f"{reactor}reactor"), 3)

    async def test_worker_that_dies_at_once(self) -> None:
        """One that cannot live is started again after a growing pause, and that is no good end."""
        jobs, _ = await self.jobs()
        program = await self.several(jobs, count=2)
        (self.folder / "handlers.py").write_text("raise ValueError('a bad release')\n")
        os.kill(program.workers()[0], signal.SIGKILL)
        for pause in ("0.1", "0.2", "0.4"):
            await program.says(f"another one follows in {pause} seconds")
        self.assertIn("ValueError: a bad release", program.output)
        await until(lambda: program.output.count("follows in") == 3)
        await self.stop(program, status=1)

    async def test_worker_that_does_not_stop(self) -> None:
        """One that does not stop in time is killed, and that is no good end."""
        impatient = "import txthoonk._supervisor\ntxthoonk._supervisor.MARGIN = 0.1\n"
        (self.folder / "handlers.py").write_text(impatient + HANDLERS)
        jobs, _ = await self.jobs()
        program = await self.several(jobs, "--grace=0.1", count=2)
        os.kill(program.workers()[1], signal.SIGSTOP)
        await self.stop(program, status=1)
        self.assertIn("Worker 1 (process", program.output)
        self.assertIn("Worker 2 does not stop: killing it", program.output)

    async def test_log_in_a_file(self) -> None:
        """Where the supervisor logs into a file, so do its workers, by way of it."""
        jobs, finished = await self.jobs()
        job = f"--job={jobs.name}=handlers:quick"
        # A folder to run in does not change where the handlers are.
        (self.folder / "run").mkdir()
        program = self.twistd(job, "--workers=2", twistd=("--logfile=log", "--rundir=run"))
        await jobs.put("item")
        await finished.when(1)
        program.process.signalProcess("TERM")
        self.assertEqual(await program.ended, 0)
        self.assertEqual(program.output, "")
        log = (self.folder / "log").read_text()
        self.assertRegex(log, r"worker [12]: .*Working on")
        self.assertRegex(log, r"worker [12]: .*Server Shut Down")
