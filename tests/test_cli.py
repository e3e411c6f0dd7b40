"""The command line, as somebody types it."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import redirect_stderr

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import Heard, ThoonkTestCase
from txthoonk import __version__
from txthoonk._verbs import Output, Progress
from txthoonk.cli import make_parser

COMMAND = (sys.executable, "-m", "txthoonk")


def thoonk(url: str, *words: str | bytes, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """What a command did."""
    return subprocess.run(
        [*COMMAND, *words],
        input=stdin,
        capture_output=True,
        timeout=60,
        env={**os.environ, "THOONK_REDIS": url},
    )


class Watch:
    """A ``thoonk watch`` that runs, or another command that goes on."""

    def __init__(self, url: str, *names: str, verb: str = "watch", tells: str = "watching") -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "--redis", url, verb, *names],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        # One that hangs fails its test rather than the whole run.
        alarm = threading.Timer(60, self.process.kill)
        alarm.daemon = True
        alarm.start()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdout, self.stderr = self.process.stdout, self.process.stderr
        self.told(tells)

    def told(self, words: str) -> bytes:
        """The next line on standard error with these words."""
        for line in self.stderr:
            if words.encode() in line:
                return line
        raise AssertionError(f"it never told {words!r}")

    def lines(self, count: int) -> list[bytes]:
        """The next lines that it prints."""
        return [self.stdout.readline() for _ in range(count)]

    def end(self, number: int = signal.SIGINT) -> tuple[int, bytes, bytes]:
        """Stop it: the exit status, and what else it said."""
        self.process.send_signal(number)
        out, err = self.process.communicate()
        return self.process.returncode, out, err


class CommandTestCase(ThoonkTestCase):
    """What tests of commands need."""

    def ok(self, *words: str | bytes, stdin: bytes = b"") -> list[list[bytes]]:
        """The columns that a command printed, which went well and said nothing else."""
        done = thoonk(self.redis_url, *words, stdin=stdin)
        self.assertEqual((done.returncode, done.stderr), (0, b""), words)
        return [line.split(b"\t") for line in done.stdout.splitlines()]

    def fails(self, *words: str, status: int = 1) -> str:
        """The one line in which a command told why it failed."""
        done = thoonk(self.redis_url, *words)
        self.assertEqual((done.returncode, done.stdout), (status, b""), done.stderr)
        *usage, line = done.stderr.decode().splitlines()
        self.assertEqual(bool(usage), status == 2, usage)
        self.assertRegex(line, r"^thoonk( \w+)?: ")
        return line

    def watch(self, *names: str, url: str | None = None) -> Watch:
        """A watch that is over when the test is."""
        watch = Watch(url or self.redis_url, *names)
        self.addCleanup(lambda: watch.process.poll() is None and watch.end(signal.SIGKILL))
        return watch


class VerbTests(CommandTestCase):
    """Commands that do one thing and end."""

    async def test_publish(self) -> None:
        """Items are published, found again in order, and edited by their id."""
        name = self.feed_name()
        [[first]] = self.ok("publish", name, "hello")
        self.assertEqual(self.ok("publish", name, "there", "--id", "my id"), [[b"my id"]])
        self.assertEqual(self.ok("items", name), [[first, b"hello"], [b"my id", b"there"]])
        self.ok("publish", name, "hello again", "--id", first.decode())
        self.assertEqual(self.ok("items", name), [[b"my id", b"there"], [first, b"hello again"]])
        self.assertIn([name.encode(), b"feed", b"2"], self.ok("feeds"))

    async def test_sorted_feed(self) -> None:
        """A sorted feed keeps the order of its items when one is replaced by its id."""
        name = self.feed_name()
        self.ok("publish", name, "a", "--type", "sorted_feed")
        self.ok("publish", name, "b")
        self.assertEqual(self.ok("publish", name, "A", "--id", "1"), [[b"1"]])
        self.assertEqual(self.ok("items", name), [[b"1", b"A"], [b"2", b"b"]])
        self.assertIn("There is no such item", self.fails("publish", name, "c", "--id", "7"))
        self.assertIn("of another type", self.fails("publish", name, "c", "--type", "feed"))

    async def test_queue(self) -> None:
        """A queue is made, filled at either end, and shown in the order of its takers."""
        name = self.feed_name()
        self.ok("publish", name, "1", "--type", "queue")
        self.ok("put", name, "2")
        self.ok("put", name, "0", "--priority")
        self.assertEqual([item for _, item in self.ok("items", name)], [b"0", b"1", b"2"])
        self.assertIn("leave out --id", self.fails("put", name, "x", "--id", "x"))
        self.assertEqual(await self.thoonk.queue(name).get(), "0")

    async def test_delayed_jobs(self) -> None:
        """A job that waits until it is due is shown as delayed, not as parked."""
        name = self.feed_name()
        job = self.thoonk.job(name)
        await job.put("later", id="later", delay=600)
        await job.put("parked", id="parked")
        await job.stall("parked")
        self.assertEqual(
            self.ok("jobs", name, "--ids"), [[b"delayed", b"later"], [b"stalled", b"parked"]]
        )

    async def test_jobs(self) -> None:
        """Jobs are put, counted by state, and named by state."""
        name = self.feed_name()
        [[first]] = self.ok("put", name, "do this")
        self.assertEqual(self.ok("put", name, "and that", "--id", "x", "--priority"), [[b"x"]])
        self.ok("put", name, "and those", "--id", "y")
        job = self.thoonk.job(name)
        await job.get()
        await job.stall("y")
        counts = {state: int(count) for state, count in self.ok("jobs", name)}
        states = {b"available": 1, b"handed": 0, b"claimed": 1, b"stalled": 1}
        self.assertEqual(counts, states | {b"delayed": 0, b"puts": 3, b"finishes": 0})
        self.assertEqual(
            self.ok("jobs", name, "--ids"),
            [[b"available", first], [b"claimed", b"x"], [b"stalled", b"y"]],
        )
        self.assertEqual(
            sorted(self.ok("items", name)),
            sorted([[first, b"do this"], [b"x", b"and that"], [b"y", b"and those"]]),
        )

    async def test_fsck(self) -> None:
        """Faults are lines, and status 1 until they are repaired; then all is silent."""
        name = self.feed_name()
        for id in ("a", "b", "c\td"):
            self.ok("put", name, "do this", "--id", id)
        self.assertEqual(self.ok("fsck", name), [])
        keys = self.thoonk.job(name).keys
        await self.redis.execute("LREM", keys.ids, 0, "c\td")
        await self.redis.execute("SET", keys.publishes, "x")
        done = thoonk(self.redis_url, "fsck", name, name)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, b"thoonk: 2 faults remain\n")
        lines = [line.split(b"\t") for line in done.stdout.splitlines()]
        self.assertEqual(
            [line[:4] for line in lines],
            [
                [name.encode(), b"counter", b"", b"remains"],
                [name.encode(), b"no state", b"c\\td", b"remains"],
            ],
        )
        self.assertEqual(
            [(line[3], line[4]) for line in self.ok("fsck", "--repair", name)],
            [(b"repaired", line[4]) for line in lines],
        )
        self.assertEqual(self.ok("fsck", name), [])
        self.assertIn("There is no such feed", self.fails("fsck", name, name + "x"))

    async def test_fsck_all(self) -> None:
        """All feeds are checked where none is named; what is left of others must be named to go."""
        server = await self.own_server()
        here = await self.start_thoonk(server.url)
        await here.redis.execute("SET", "feed.publishes:gone", 1)
        await here.redis.execute("SADD", "feeds", "odd", "work")
        await here.redis.execute("HSET", "feed.config:odd", "type", "odd")
        await here.redis.execute("HSET", "feed.config:work", "type", "queue")
        await here.feed("news").publish("x")
        await here.redis.execute("HSET", "feed.items:news", "y", "y")

        def fsck(*words: str) -> tuple[int, list[bytes], bytes]:
            done = thoonk(server.url, "fsck", *words)
            firsts = [b" ".join(line.split(b"\t")[:4]) for line in done.stdout.splitlines()]
            return done.returncode, firsts, done.stderr

        odd = b"thoonk: The feed is of another type: 'odd' (it is a odd, which cannot be checked)\n"
        status, lines, told = fsck("--repair")
        self.assertEqual(lines, [b"news no id y repaired", b"gone orphan  remains"])
        self.assertEqual((status, told), (1, odd + b"thoonk: 1 fault remains\n"))
        self.assertEqual(fsck("gone", "news")[:2], (1, [b"gone orphan  remains"]))
        self.assertEqual(fsck("--repair", "gone"), (0, [b"gone orphan  repaired"], b""))
        self.assertEqual(fsck(), (0, [], odd))
        self.assertEqual(fsck("odd"), (1, [], odd))

    async def test_progress(self) -> None:
        """What takes long says on standard error how far it is, every other second."""
        clock, told = Clock(), Heard()
        out = Output()
        self.patch(out, "tell", told)
        progress = Progress(out, clock)
        for _ in range(50):
            clock.advance(0.1)
            progress(1000)
        self.assertEqual(told, [f"{count},000 entries read, now of all keys" for count in (20, 40)])

    async def test_bytes(self) -> None:
        """Bytes that are no UTF-8 go in and come out as they are; controls show as escapes."""
        name = self.feed_name()
        odd = b"\xff\xc3\xa9 \xfe"
        self.ok("publish", name.encode() + odd, odd, "--id", odd)
        self.ok(
            "publish", name.encode() + odd, "-", "--id", "in", stdin=b"\xff\n\0\t\x1b[2J\r\xc2\x85"
        )
        keys = self.thoonk.feed(name + odd.decode("utf-8", "surrogateescape")).keys
        self.assertEqual(
            await self.redis.hgetall(keys.items), {odd: odd, b"in": b"\xff\n\0\t\x1b[2J\r\xc2\x85"}
        )
        self.assertEqual(
            self.ok("items", name.encode() + odd),
            [[odd, odd], [b"in", b"\xff\\n\\0\\t\\x1b[2J\\r\\x85"]],
        )

    async def test_failures(self) -> None:
        """What cannot be done is one line that says so, and status 1; nothing is created."""
        name = self.feed_name()
        self.assertIn("There is no such feed", self.fails("items", name))
        self.assertIn("There is no such feed", self.fails("jobs", name))
        await self.thoonk.feed(name)
        self.assertIn("it is a feed, not a job", self.fails("jobs", name))
        self.assertIn("it is a feed, not a job or queue", self.fails("put", name, "x"))
        await self.redis.hset(self.thoonk.feed(name).keys.config, "type", "pyqueue")
        self.assertIn("it is a pyqueue", self.fails("items", name))
        await self.thoonk.delete_feed(name)
        self.assertFalse(await self.thoonk.feed_exists(name))

    async def test_no_redis(self) -> None:
        """A Redis that is not there is told at once, without the password."""
        for url, place in (
            ("redis://:secret@localhost:1/0", "localhost:1"),
            ("redis+unix:///nowhere/s", "/nowhere/s"),
            ("tcp:localhost:1", "tcp:localhost:1"),
        ):
            line = self.fails("--redis", url, "feeds")
            self.assertIn(f"no Redis at {place}: ", line)
            self.assertNotIn("secret", line)
        self.assertIn("no Redis at ", self.fails("--redis", "redis://localhost:1", "watch", "x"))
        self.assertIn("what:ever", self.fails("--redis", "what:ever", "feeds"))

    async def test_refused(self) -> None:
        """Redis's own refusals are told in its words."""
        server = await self.own_server(requirepass="secret")
        line = self.fails("--redis", server.url, "feeds")
        self.assertIn("NOAUTH", line)
        done = thoonk(server.url + "&password=secret", "feeds")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))

    async def test_usage(self) -> None:
        """Wrong usage is told with the right one, and status 2."""
        self.assertIn("FEED", self.fails("items", status=2))
        self.assertIn("no way to Redis", self.fails("--redis", "http://x", "feeds", status=2))

    async def test_nobody_reads(self) -> None:
        """A reader that goes away early ends a command without a word: status 141."""
        await self.thoonk.feed(self.feed_name())
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [*COMMAND, "--redis", self.redis_url, "feeds"], stdout=writer, stderr=subprocess.PIPE
        )
        os.close(writer)
        self.assertEqual((done.returncode, done.stderr), (128 + signal.SIGPIPE, b""))


class WatchTests(CommandTestCase):
    """The command that goes on."""

    async def test_watch(self) -> None:
        """Every kind of event is a line that is there at once; Ctrl-C ends with 130, silently."""
        feed, row, job, queue = (self.feed_name(word) for word in ("feed", "row", "job", "queue"))
        watch = self.watch(feed, row, job, feed)
        await self.thoonk.queue(queue).put("not watched")
        news = self.thoonk.feed(feed)
        await news.publish("\udcff new\nline", id="1")
        await news.publish("other", id="1")
        await news.retract("1")
        await news.set_config(title="News")
        await news.delete()
        name = feed.encode()
        self.assertEqual(
            watch.lines(7),
            [
                b"create\t%b\n" % name,
                b"config\t%b\n" % name,
                b"publish\t%b\t1\t\xff new\\nline\n" % name,
                b"edit\t%b\t1\tother\n" % name,
                b"retract\t%b\t1\n" % name,
                b"config\t%b\n" % name,
                b"delete\t%b\n" % name,
            ],
        )
        ordered = self.thoonk.sorted_feed(row)
        await ordered.append("a")
        lines = watch.lines(4)[2:]
        self.assertEqual(lines[0], b"publish\t%b\t1\ta\n" % row.encode())
        self.assertEqual(lines[1], b"position\t%b\t1\t:end\n" % row.encode())
        work = self.thoonk.job(job)
        await work.put("do", id="x")
        await work.get()
        await work.finish("x", "done")
        self.assertEqual(
            watch.lines(5)[2:],
            [
                b"put\t%b\tx\tdo\n" % job.encode(),
                b"claim\t%b\tx\n" % job.encode(),
                b"finish\t%b\tx\tdone\n" % job.encode(),
            ],
        )
        self.assertEqual(watch.end(), (130, b"", b""))

    async def test_patterns(self) -> None:
        """Patterns match feeds born later, and what matches twice is shown once."""
        name = self.feed_name()
        watch = self.watch(f"{name}.*", f"{name}.a?", f"{name}.b", f"{name}\\*")
        for end in (".a1", ".b", "*", "-"):
            await self.thoonk.feed(name + end).publish("here", id="1")
        await self.thoonk.feed(f"{name}.last").publish("here", id="1")
        seen = watch.lines(12)
        self.assertEqual(
            [line.split()[:2] for line in seen],
            [
                [kind, name.encode() + end]
                for end in (b".a1", b".b", b"*", b".last")
                for kind in (b"create", b"config", b"publish")
            ],
        )

    async def test_plain_star(self) -> None:
        """A backslash makes a star a letter: only the feed of that very name is watched."""
        name = self.feed_name()
        watch = self.watch(f"{name}\\*")
        await self.thoonk.feed(f"{name}x").publish("no")
        await self.thoonk.feed(f"{name}*").publish("yes", id="1")
        self.assertEqual(watch.lines(1), [b"create\t%b*\n" % name.encode()])

    async def test_outage(self) -> None:
        """An outage is told, and watching goes on when Redis is back."""
        server = await self.own_server()
        watch = self.watch("news", url=server.url)
        await server.kill()
        watch.told("No connection to Redis")
        await server.start()
        watch.told("Connected to Redis again")
        while True:  # either of its two connections may have been the first one back
            done = thoonk(server.url, "publish", "news", "back", "--id", "1")
            self.assertEqual(done.returncode, 0)
            counted = await self.redis_of(server.url, "PUBSUB", "NUMSUB", "feed.publish:news")
            if counted[1]:
                break
        thoonk(server.url, "publish", "news", "again", "--id", "1")
        for line in watch.stdout:
            if line == b"edit\tnews\t1\tagain\n":
                break
        self.assertEqual(watch.end()[0], 130)

    async def redis_of(self, url: str, *command: str) -> list[bytes]:
        """Ask another server."""
        other = await self.start_thoonk(url)
        reply: list[bytes] = await other.redis.execute(*command)
        await other.stopService()
        return reply

    async def test_terminated(self) -> None:
        """SIGTERM ends it as Ctrl-C does, with a status of its own."""
        self.assertEqual(self.watch("x").end(signal.SIGTERM), (143, b"", b""))

    async def test_nobody_reads(self) -> None:
        """When its reader goes away it ends with the next event, without a word."""
        name = self.feed_name()
        watch = self.watch(name)
        watch.stdout.close()
        await self.thoonk.feed(name).publish("x")
        self.assertEqual(watch.process.wait(), 141)
        self.assertEqual(watch.stderr.read(), b"")


class HelpTests(SynchronousTestCase):
    """What can be asked without a Redis."""

    def test_version(self) -> None:
        """The version is the package's."""
        done = thoonk("", "--version")
        self.assertEqual(done.stdout.decode(), f"thoonk {__version__}\n")

    def test_help(self) -> None:
        """Every verb is listed with a word about it, and explains itself."""
        done = thoonk("", "--help")
        verbs = ("feeds", "items", "publish", "watch", "put", "jobs", "fsck")
        for verb in verbs:
            self.assertRegex(done.stdout.decode(), rf"\n +{verb} +[A-Z]")
        self.assertIn("redis://localhost:6379/0", done.stdout.decode())

    def test_default_url(self) -> None:
        """Without --redis the environment says where Redis is, else it is the usual place."""
        self.patch(os, "environ", {"THOONK_REDIS": "redis://example:1/2"})
        self.assertEqual(make_parser().parse_args(["feeds"]).redis, "redis://example:1/2")
        self.patch(os, "environ", {})
        url = make_parser().parse_args(["feeds"]).redis
        self.assertTrue(re.fullmatch(r"redis://localhost:6379/0", url))

    def test_nonsense(self) -> None:
        """What makes no sense is not even tried."""
        for words in (
            [],
            ["nonsense"],
            ["items", ""],
            ["publish", "x"],
            ["publish", "x", "y", "--id", ""],
            ["publish", "x", "y", "--type", "list"],
            ["watch"],
            ["--redis", "redis://localhost:port", "feeds"],
        ):
            said = io.StringIO()
            with redirect_stderr(said):
                error = self.assertRaises(SystemExit, make_parser().parse_args, words)
            self.assertEqual(error.code, 2)
            self.assertRegex(said.getvalue(), "(?s)^usage: thoonk .*error: ")
