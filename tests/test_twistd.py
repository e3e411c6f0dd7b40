"""``twistd thoonk`` as one process: what it does, and how it ends."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from typing import Any

from twisted.internet.defer import gatherResults

from tests.helpers import Heard, until
from tests.programs import ROOT
from tests.twistd import HANDLERS, TwistdTestCase

#: A worker that fails where it must not.
BROKEN = """
import txthoonk.worker


class Broken(txthoonk.worker.JobWorker):
    def {verb}(self, *args, **options):
        raise RuntimeError("stuck")


txthoonk.worker.JobWorker = Broken
"""


class OneProcessTests(TwistdTestCase):
    """Without --workers."""

    async def test_stopped_in_the_middle(self) -> None:
        """SIGTERM in the middle of 500 jobs: each is finished or available, no attempt is spent."""
        for name in ("TERM", "INT"):
            jobs, finished = await self.jobs()
            await jobs.put_many(["wait", "wait"])
            await jobs.put_many([f"item {number}" for number in range(498)])
            job = f"--job={jobs.name}=handlers:quick"
            program = self.twistd(job, "--grace=0.2", "--concurrency=10")
            await finished.when(100)
            await self.stop(program, name)
            await self.settle()
            stats = await jobs.stats()
            self.assertEqual(len({event.id for event in finished}), len(finished))
            self.assertEqual(len(finished) + stats.available, 500)
            self.assertGreaterEqual(stats.available, 2)
            self.assertEqual(stats.finishes, len(finished))
            self.assertEqual((stats.handed, stats.claimed, stats.stalled), (0, 0, 0))
            await self.nothing_spent(jobs)
            # They were started before all others, and are the next ones.
            self.assertIn("wait", [(await jobs.get()).item, (await jobs.get()).item])

    async def test_signalled_twice(self) -> None:
        """Another Ctrl-C while jobs have their grace changes nothing."""
        jobs, _ = await self.jobs()
        taken = Heard()
        await jobs.subscribe(claim=taken)
        program = self.twistd(f"--job={jobs.name}=handlers:quick", "--grace=0.5")
        await jobs.put("wait")
        await taken.when(1)
        program.process.signalProcess("INT")
        await program.says("SIGINT: stopping")
        program.process.signalProcess("INT")
        await program.says("SIGINT: stopping already")
        await self.stop(program)
        self.assertEqual((await jobs.stats()).available, 1)

    async def test_several_feeds(self) -> None:
        """Each feed's jobs are done by its own handler."""
        (quick, quickly), (things, thus) = await self.jobs(), await self.jobs()
        program = self.twistd(
            f"--job={quick.name}=handlers:quick",
            f"--job={things.name}=handlers:Things.handle",
            "--claim-timeout=7",
            "--max-attempts=2",
        )
        await gatherResults([quick.put("a"), things.put("b")])
        await gatherResults([quickly.when(1), thus.when(1)])
        self.assertEqual(quickly[0].result, str(program.process.pid))
        self.assertEqual(thus[0].result, "b")
        config = await self.thoonk.get_config(things.name)
        self.assertEqual((config["claim_timeout"], config["max_attempts"]), ("7", "2"))
        await self.stop(program)

    async def test_example(self) -> None:
        """The example's handler does what it says, and the systemd unit's options are right."""
        shutil.copy(ROOT / "examples" / "resize.py", self.folder)
        unit = (ROOT / "examples" / "txthoonk-worker.service").read_text().replace("\\\n", "")
        line = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
        words = shlex.split(line.partition(" thoonk ")[2].replace("resize=", "{0}="))
        jobs, finished = await self.jobs()
        program = self.twistd(*(word.format(jobs.name) for word in words))
        await jobs.put_many(["a.png", "notes.txt"])
        await finished.when(1)
        self.assertEqual(finished[0].result, "small a.png")
        parked = await until(jobs.get_stalled)
        self.assertIn("this is no picture", str(await jobs.get_attempts(*parked)))
        await until(lambda: program.output.count("Working on") == 2)
        await self.stop(program)

    async def test_threads_and_processes(self) -> None:
        """Handlers run where they were told to: in threads, or in child processes."""
        jobs, finished = await self.jobs()
        await jobs.put("item")
        program = self.twistd(f"--job={jobs.name}=handlers:in_thread", "--blocking")
        await finished.when(1)
        self.assertIn("PoolThread-txthoonk", finished[0].result)
        await self.stop(program)
        await jobs.put("item")
        program = self.twistd(f"--job={jobs.name}=handlers:in_child", "--processes=1")
        await finished.when(2)
        self.assertEqual(finished[1].result, str(program.process.pid))
        await self.stop(program)

    async def test_what_nobody_thought_of(self) -> None:
        """An error in a worker's start or stop makes the status 1, and the log has all of it."""
        for verb, when, why in (
            ("__init__", "Cannot work", "raise RuntimeError"),
            ("stopService", "A worker did not stop as it should", "RuntimeError: stuck"),
        ):
            (self.folder / "handlers.py").write_text(f"{HANDLERS}{BROKEN.format(verb=verb)}")
            program = self.twistd("--job=a=handlers:quick")
            await program.says("Working on a" if verb == "stopService" else "Server Shut Down")
            if verb == "stopService":
                program.process.signalProcess("TERM")
            self.assertEqual(await program.ended, 1)
            self.assertIn(when, program.output)
            self.assertIn(why, program.output)

    async def test_wrong_usage(self) -> None:
        """What is wrong is the last line, and the status is 1."""
        program = self.twistd("--job=a=handlers:quik")
        self.assertEqual(await program.ended, 1)
        self.assertIn("the module 'handlers' has no 'quik'", program.output.splitlines()[-1])

    async def test_refused(self) -> None:
        """A Redis that refuses for good ends it with status 1, and the log says why."""
        server = await self.own_server(requirepass="right")
        wrong = server.url.replace("redis+unix://", "redis+unix://:wrong@")
        right = wrong.replace("wrong", "right").replace("db=0", "db=99")
        for url, workers, why in (
            (wrong, 1, "WRONGPASS"),
            (server.url, 1, "NOAUTH"),
            (right, 1, "DB index is out of range"),
            (wrong, 2, "WRONGPASS"),
        ):
            program = self.twistd("--job=a=handlers:quick", f"--workers={workers}", url=url)
            self.assertEqual(await program.ended, 1, program.output)
            self.assertRegex(program.output, f"Cannot work: .*{why}")
            self.assertIn("Server Shut Down", program.output)
            self.assertEqual(program.workers(), [])
            self.assertFalse((self.folder / program.pid_file).exists())

    async def test_no_feed_of_jobs(self) -> None:
        """A feed of another type ends it with status 1."""
        feed = await self.thoonk.feed(self.feed_name())
        program = self.twistd(f"--job={feed.name}=handlers:quick")
        self.assertEqual(await program.ended, 1)
        self.assertRegex(program.output, f"Cannot work: .*another type.*{feed.name}.*it is a feed")
        await self.redis.execute("SET", "feed.config:" + (spoilt := self.feed_name()), "no hash")
        await self.redis.execute("SADD", "feeds", spoilt)
        self.addCleanup(self.redis.execute, "SREM", "feeds", spoilt)
        program = self.twistd(f"--job={spoilt}=handlers:quick")
        self.assertEqual(await program.ended, 1)
        self.assertRegex(program.output, f"Cannot work: .*WRONGTYPE.*{spoilt}")

    async def test_unreachable(self) -> None:
        """A Redis that is not there yet is waited for; a stop meanwhile is a stop."""
        server = await self.own_server()
        await server.kill()
        programs = [
            self.twistd("--job=a=handlers:quick", f"--workers={workers}", url=server.url)
            for workers in (1, 2, 1, 2)
        ]
        for program in programs:
            await program.says("No connection to Redis")
        for program in programs[:2]:
            await self.stop(program)
            self.assertNotIn("Working", program.output)
        await server.start()
        for program in programs[2:]:
            await program.says("Working on a")
            await self.stop(program)

    async def test_unreachable_at_the_end(self) -> None:
        """Where nobody knows what became of the last jobs, the status is 1."""
        server = await self.own_server()
        thoonk = await self.start_thoonk(server.url)
        jobs, finished = await self.jobs(thoonk)
        program = self.twistd(f"--job={jobs.name}=handlers:quick", url=server.url)
        await jobs.put("item")
        await finished.when(1)
        await server.kill()
        await program.says("No connection to Redis")
        program.process.signalProcess("TERM")
        self.assertEqual(await program.ended, 1)
        self.assertIn("Redis is out of reach", program.output)

    async def test_embedded(self) -> None:
        """Without a word about Redis one is started, the log says so, and it goes with us."""
        for workers in (1, 2):
            program = self.twistd("--job=a=handlers:quick", f"--workers={workers}", url=None)
            await program.says("No --redis was given: starting an embedded one")
            await program.says("Working on a")
            url: Any = re.search(r"serves at (redis\S+)", program.output)
            thoonk = await self.start_thoonk(url[1])
            finished = Heard()
            await thoonk.job("a").subscribe(finish=finished)
            await thoonk.job("a").put("item")
            await finished.when(1)
            await thoonk.stopService()
            await self.stop(program)
            self.assertFalse(os.path.exists(re.sub(r".*//|/s\?.*", "", url[1])))

    async def test_embedded_fails(self) -> None:
        """An embedded Redis that cannot be started ends it with status 1."""
        for server, why in (("/nowhere", "is no program"), ("/bin/false", "did not start")):
            for workers in (1, 2):
                program = self.twistd(
                    "--job=a=handlers:quick",
                    f"--workers={workers}",
                    url=None,
                    TXTHOONK_REDIS_SERVER=server,
                )
                self.assertEqual(await program.ended, 1, program.output)
                self.assertRegex(program.output, f"Cannot work: .*{why}")

    async def test_schedule(self) -> None:
        """Schedules are fired by each such process that there is; one of them may end."""
        server = await self.own_server()
        thoonk = await self.start_thoonk(server.url)
        jobs = await thoonk.job("resize")
        await jobs.every(0.2, "work", name="often", missed="catch-up")
        programs = [self.twistd("--schedule", url=server.url) for _ in range(2)]
        for program in programs:
            await until(lambda program=program: "Firing schedules" in program.output)
        ticks = [(await jobs.get()).id]
        await self.stop(programs[0])
        while len(ticks) < 10:
            ticks.append((await jobs.get()).id)
        first = int(ticks[0].rpartition("@")[2])
        self.assertEqual(ticks, [f"often@{first + 200 * i}" for i in range(10)])
        await self.stop(programs[1])

    async def test_maintain(self) -> None:
        """What nobody works on is maintained: the job of a worker that is gone comes back."""
        server = await self.own_server()
        dead = await self.start_thoonk(server.url)
        jobs = await dead.job("resize", claim_timeout=0.2)
        feed = await dead.feed("news")
        await jobs.put("work")
        await jobs.get()
        await dead.stopService()
        programs = [self.twistd("--maintain", url=server.url) for _ in range(2)]
        thoonk = await self.start_thoonk(server.url)
        claim = await thoonk.job("resize").get()
        self.assertEqual((claim.item, claim.cancelled), ("work", 1))
        # Feeds that come and go are no trouble, nor are those that hold no jobs.
        await thoonk.delete_feed("resize")
        await (await thoonk.job("later", claim_timeout=0.2)).put("more")
        await thoonk.job("later").get()
        self.assertEqual((await thoonk.job("later").get()).item, "more")
        self.assertEqual(await thoonk.get_feed_names(), {"news", "later"})
        self.assertEqual(await thoonk.feed(feed.name).get_ids(), [])
        for program in programs:
            await self.stop(program)
            self.assertNotIn("Cannot maintain", program.output)
