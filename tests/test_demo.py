"""``make demo-history``: the history of a repository, counted by processes, and checked."""

from __future__ import annotations

import os
import pty
import random
import re
import shlex
import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from examples.history import AUTHORS, FILES, JOBS, SHARES
from examples.history.boards import Row, name_in, read_rows, refresh, totals_keys
from examples.history.commits import Commit, GitError, Repository
from examples.history.service import History
from examples.history.worker import Worker
from tests.demo_helpers import DemoProcess
from tests.programs import ROOT
from tests.synthetic import ODD_AUTHORS, ODD_PATHS, make_repository
from txthoonk import LeaseLost, Thoonk
from txthoonk.testing import RedisTestCase

SAME = "The same as one pass of git log --numstat"

#: Runs the demo against a git that counts one line of each board less than there is.
LYING_GIT = """
import sys
import examples.history.service as service
from examples.history.__main__ import main
count = service.count_again
service.count_again = lambda repo: {name: rows[:-1] for name, rows in count(repo).items()}
sys.exit(main())
"""


class Demo(DemoProcess):
    """``make demo-history``."""

    def pids(self) -> list[int]:
        """The numbers behind the word."""
        named = re.findall("process(?:es)? ([0-9, ]+)", self.output)
        return [int(pid) for pid in re.findall(r"\d+", " ".join(named))]


class DemoTestCase(SynchronousTestCase):
    """What all tests of the demo need."""

    def repository(self, commits: int) -> str:
        """A repository with so many commits."""
        path = self.mktemp()
        os.makedirs(path)
        make_repository(path, commits)
        return os.path.abspath(path)

    def demo(self, repository: str, *options: str, stdin: int = subprocess.DEVNULL) -> Demo:
        """A demo that is over when the test is."""
        words = ("--repo", repository, *options)
        demo = Demo("examples.history", *words, stdin=stdin, patience=240)
        self.addCleanup(demo.kill)
        return demo


class CommitsTests(DemoTestCase):
    """How git is read."""

    def test_odd_names(self) -> None:
        """Names that look like git's own columns, lines and headers are read as names."""
        repository = Repository(self.repository(200))
        total = repository.open()
        commits = [Commit.parse(record) for record in repository.records()]
        self.assertEqual([commit.number for commit in commits], list(range(total)))
        self.assertEqual(total, 200)
        paths = {change.path for commit in commits for change in commit.changes}
        self.assertLessEqual(set(ODD_PATHS), paths)
        # git itself cuts spaces off a name
        self.assertLessEqual({name.strip() for name in ODD_AUTHORS}, {c.author for c in commits})
        self.assertIn([], [commit.changes for commit in commits])
        renamed = [path for path in paths if b".moved " in path]
        self.assertTrue(renamed)
        self.assertEqual({len(commit.sha) for commit in commits}, {40})

    def test_reading_stops_early(self) -> None:
        """Whoever stops reading a long history leaves no git behind, and gets no error."""
        repository = Repository(self.repository(2000))
        repository.open()
        records = repository.records()
        next(records)
        (process,) = repository._processes
        records.close()
        self.assertIsNotNone(process.returncode)
        self.assertEqual(repository._processes, set())


class CountingTests(RedisTestCase):
    """How totals are kept, and shown in order."""

    async def start(self) -> Thoonk:
        """An instance with a Redis of its own: the names are the demo's."""
        thoonk = Thoonk((await self.own_server()).url)
        self.addCleanup(thoonk.stopService)
        thoonk.startService()
        return await thoonk.when_connected()

    async def test_done_twice(self) -> None:
        """A job that is done twice, as its worker was taken for dead, is counted once."""
        thoonk = await self.start()
        jobs = thoonk.job(JOBS, serializer="bytes")
        await jobs.put(b"0\0sha\0Ada\0date\0subject\0\n3\t1\ta.txt\0-\t-\tb.bin")
        claim = await jobs.get()
        await claim.cancel()
        for number, mine in (("1", claim), ("2", await jobs.get())):
            result = await Worker(thoonk, number, None).count(mine)
            if mine is claim:
                await self.assertFailure(mine.finish(result), LeaseLost)
            else:
                await mine.finish(result)
        self.assertEqual(await thoonk.redis.hgetall(SHARES), {b"1": b"1", b"all": b"1"})
        rows = [await read_rows(thoonk, board) for board in (AUTHORS, FILES)]
        self.assertEqual(rows[0], [Row(1, 3, 1, b"Ada")])
        self.assertEqual(rows[1], [Row(1, 0, 0, b"b.bin"), Row(1, 3, 1, b"a.txt")])
        self.assertEqual((await jobs.stats()).finishes, 1)

    async def test_board(self) -> None:
        """A board has the largest totals in order, and what stays on it keeps its id."""
        thoonk = await self.start()
        board = await thoonk.sorted_feed(FILES)
        totals, _ = totals_keys(FILES)
        chance = random.Random(5)
        for _ in range(12):
            for _ in range(60):
                name = b"file %d \xff" % chance.randrange(140)
                await thoonk.redis.execute("ZINCRBY", totals, chance.randint(1, 3), name)
            before = {name_in(text): id for id, text in (await board.get_all()).items()}
            await refresh(thoonk, board)
            shown = await board.get_all()
            wanted = [row.text() for row in await read_rows(thoonk, FILES)]
            self.assertEqual(list(shown.values()), wanted)
            for id, text in shown.items():
                self.assertEqual(before.get(name_in(text), id), id)
        self.assertEqual(len(shown), 100)


class DemoTests(DemoTestCase):
    """The whole demo."""

    def test_totals(self) -> None:
        """Three processes count every commit once, git says the same, and the demo ends."""
        demo = self.demo(self.repository(300))
        self.assertEqual(demo.end(), 0, demo.output)
        self.assertEqual(demo.complaints, "")
        self.assertIn(f"{SAME}: history.authors (10) and history.files (", demo.output)
        shares = re.findall(r"worker \d (\d+)", re.findall("Counted by .*", demo.output)[0])
        self.assertEqual(sum(map(int, shares)), 300)
        self.assertEqual(len(shares), 3, "each worker had its share")
        self.assertIn("300 published", demo.output)
        self.assertIn("300 finished", demo.output)
        self.assertEqual(demo.leftovers(), [])

    def test_different(self) -> None:
        """Where git counts something else the demo says what, and ends with status 1."""
        done = subprocess.run(
            [sys.executable, "-c", LYING_GIT, "--repo", self.repository(10)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
        )
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        self.assertIn("NOT the same as one pass of git log --numstat", done.stdout)
        self.assertRegex(
            done.stdout, r"history.files, line \d+: '\d+ \+\d+ -\d+ .*' here, '' by git"
        )

    def test_nothing_to_show(self) -> None:
        """A repository without commits is one clear line and status 1."""
        path = self.repository(0)
        demo = self.demo(path)
        self.assertEqual(demo.end(), 1)
        self.assertRegex(demo.complaints, rf"\AThe demo failed: {path}: .*commits.*\n\Z")

    def test_interrupted(self) -> None:
        """Ctrl-C in the middle of it all ends it at once: status 130, no word, nothing left."""
        demo = self.demo(self.repository(3000))
        demo.read_until("watch")
        demo.interrupt()
        self.assertEqual(demo.end(), 130)
        self.assertNotIn(SAME, demo.output)
        self.assertEqual(demo.complaints, "")
        self.assertEqual(demo.leftovers(), [])

    def test_interrupted_with_its_programs(self) -> None:
        """What a Ctrl-C breaks, as a git that got it too, is no failure: it is not told."""
        history = History(".", stay=False)
        told: list[str] = []
        later: list[tuple[Any, int]] = []
        self.patch(History, "exit_status", 1)
        self.patch(history._terminal, "complain", told.append)
        history._reactor = SimpleNamespace(
            callFromThread=lambda call, status: later.append((call, status)), stop=lambda: None
        )
        history._interrupted(signal.SIGINT, None)
        history._failed(Failure(GitError("git ended with status -2")))
        for call, status in later:
            call(status)
        self.assertEqual((told, History.exit_status), ([], 130))

    def test_interrupted_at_once(self) -> None:
        """Ctrl-C while it starts ends it as well, without a traceback."""
        demo = self.demo(self.repository(10))
        demo.read_until("Redis at")
        demo.interrupt()
        self.assertEqual(demo.end(), 130)
        self.assertEqual(demo.complaints, "")
        self.assertEqual(demo.leftovers(), [])

    def test_workers_die(self) -> None:
        """Workers that are killed are replaced; no commit is lost, none is counted twice."""
        demo = self.demo(self.repository(3000))
        line = demo.read_until("3 workers: processes")
        pids = [int(pid) for pid in re.findall(r"\d{2,}", line)]
        demo.read_until("watch")
        for pid in pids[:2]:
            os.kill(pid, signal.SIGKILL)
        self.assertEqual(demo.end(), 0, demo.output + demo.complaints)
        self.assertEqual(demo.output.count("takes its place"), 2)
        self.assertIn(SAME, demo.output)
        self.assertEqual(demo.leftovers(), [])

    def test_stays(self) -> None:
        """It goes on: what is typed, or published by a command it names, is heard; then Ctrl-C."""
        demo = self.demo(self.repository(10), "--stay", stdin=subprocess.PIPE)
        command = demo.read_until("publish history.typed hello")
        demo.read_until("Ctrl-C ends it.")
        assert demo.process.stdin is not None
        demo.process.stdin.write("typed here\n")
        demo.process.stdin.flush()
        self.assertIn("typed here", demo.read_until("heard in history.typed"))
        subprocess.run(shlex.split(command), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        self.assertIn("hello", demo.read_until("heard in history.typed"))
        demo.interrupt()
        self.assertEqual(demo.end(), 0)
        self.assertEqual(demo.complaints, "")
        self.assertEqual(demo.leftovers(), [])

    def test_terminal(self) -> None:
        """At a terminal it goes on by itself, until Ctrl-D."""
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        demo = self.demo(self.repository(10), stdin=theirs)
        os.close(theirs)
        demo.read_until("Ctrl-C ends it.")
        os.write(ours, b"typed at a terminal\n")
        self.assertIn("typed at a terminal", demo.read_until("heard in history.typed"))
        os.write(ours, b"\x04")
        self.assertEqual(demo.end(), 0)
        self.assertEqual(demo.complaints, "")
        self.assertEqual(demo.leftovers(), [])
