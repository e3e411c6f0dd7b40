"""Child processes that run handlers: what goes to them, and what comes back."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import textwrap
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, gatherResults
from twisted.internet.task import deferLater

from tests import child_handlers
from tests.child_helpers import ChildrenTestCase
from tests.helpers import until
from tests.programs import runs
from txthoonk import _child
from txthoonk.children import Children
from txthoonk.errors import ChildDied, ChildFailed
from txthoonk.worker import Retry, Stall


class RunTests(ChildrenTestCase):
    """What goes to a child, and what comes back."""

    async def test_job(self) -> None:
        """The handler gets id, item and count, in another process; its result comes back."""
        pool = self.children(child_handlers.echo)
        *job, pid = await pool.run("42", {"a": [1, None]}, 3)
        self.assertEqual(job, ["42", {"a": [1, None]}, 3])
        self.assertEqual({pid}, pool.pids)
        self.assertNotEqual(pid, os.getpid())

    async def test_values(self) -> None:
        """Items and results of all kinds of feeds come over as they are."""
        pool = self.children("tests.child_handlers:same")
        for item in (
            *("", "text", "no UTF-8: \udcff", "\0", b"", b"\0\xff", None, True, 2**64 - 1, -1.5),
            *([], {}, [[b"\xff", {"a": {"b": [None, "é"]}}]], {"1": 1}, ["x"] * 100_000),
        ):
            result = await pool.run("1", item, 0)
            self.assertEqual((type(result), result), (type(item), item))

    async def test_ids(self) -> None:
        """An id may be any text, of bytes that are no UTF-8 too."""
        pool = self.children(child_handlers.echo)
        for id in ("", "é\n\0", "x" * 100_000):
            self.assertEqual((await pool.run(id, "", 0))[0], id)
        error = await self.assertFailure(pool.run("\udcff", "", 0), TypeError)  # in a list
        self.assertIn("of type list", str(error))
        pool = self.children()
        self.assertEqual(await pool.run("\udcff", "result = id", 0), "\udcff")

    async def test_many(self) -> None:
        """Many jobs over few children: each is run once, by one of these."""
        pool = self.children(child_handlers.echo, 3)
        calls = [pool.run(str(i), i, 0) for i in range(300)]
        answers = await gatherResults(calls)
        self.assertEqual([answer[:2] for answer in answers], [[str(i), i] for i in range(300)])
        # One that starts late may find nothing left to do.
        self.assertLessEqual({answer[3] for answer in answers}, pool.pids)
        self.assertEqual(len(pool.pids), 3)

    async def test_order(self) -> None:
        """Jobs that wait for the only child are begun in the order in which they came."""
        pool = self.children()
        await gatherResults([pool.run(str(i), "print(id)", 0) for i in range(20)])
        self.assertEqual(self.printed().split(), [str(i) for i in range(20)])

    async def test_at_the_same_time(self) -> None:
        """Two children run two jobs at once, and the reactor goes on meanwhile."""
        told, word = str(self.folder / "told"), str(self.folder / "word")
        os.mkfifo(told)
        os.mkfifo(word)
        hear = os.open(told, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, hear)
        pool = self.children(child_handlers.meet, 2)
        calls = gatherResults([pool.run(id, [told, word], 0) for id in "ab"])
        heard = b""

        def listen() -> bool:
            nonlocal heard
            with contextlib.suppress(BlockingIOError):
                heard += os.read(hear, 100)
            return len(heard) == 4

        await until(listen)
        self.assertEqual(set(heard.split()), {b"a", b"b"})
        speak = os.open(word, os.O_WRONLY)
        os.close(speak)
        self.assertEqual(await calls, ["", ""])

    async def test_large(self) -> None:
        """Items and results of many megabytes come over whole."""
        pool = self.children("tests.child_handlers:same")
        for item in ("x" * 30_000_000, os.urandom(10_000_000), ["y" * 10_000_000]):
            self.assertTrue(item == await pool.run("1", item, 0))

    async def test_largest(self) -> None:
        """A result of 100 MiB comes over; a byte more is an error that says so."""
        pool = self.children()
        self.assertEqual(len(await pool.run("1", "result = b'x' * (100 * 2**20)", 0)), 100 * 2**20)
        call = pool.run("1", "result = b'x' * (100 * 2**20 + 1)", 0)
        error = await self.assertFailure(call, ValueError)
        self.assertIn("a result of 104857601 bytes is too large", str(error))
        self.assertEqual(await pool.run("1", "result = 1", 0), 1)

    async def test_item_too_large(self) -> None:
        """An item that is too large is an error that says so, and costs no child anything."""
        pool = self.children()
        error = await self.assertFailure(pool.run("1", b"x" * (100 * 2**20 + 1), 0), ValueError)
        self.assertIn("an item of 104857601 bytes is too large", str(error))

    async def test_result_of_wrong_type(self) -> None:
        """What cannot travel is an error that says so, and the child goes on."""
        pool = self.children()
        for source, text in {
            "result = object()": "a result of type object cannot",
            "result = 2**64": "a result of type int cannot",
            "result = ['\\udcff']": "a result of type list cannot",
            "result = []; result.append(result)": "a result of type list cannot",
        }.items():
            error = await self.assertFailure(pool.run("1", source, 0), TypeError)
            self.assertIn(text, str(error))
        pid = await pool.run("1", "result = os.getpid()", 0)
        self.assertEqual(pool.pids, {pid})

    async def test_result_as_json(self) -> None:
        """A result may be of the types that JSON has other forms for."""
        pool = self.children()
        self.assertEqual(await pool.run("1", "result = (1, 2)", 0), [1, 2])

    async def test_item_of_wrong_type(self) -> None:
        """An item that would not arrive as it is is refused, however deep that is hidden."""
        pool = self.children()
        for item in ((1,), {1}, object(), [[1, {"a": (1,)}]], {(1,): 1}, 2**64):
            error = await self.assertFailure(pool.run("1", item, 0), TypeError)
            self.assertIn("cannot go to", str(error))

    async def test_output(self) -> None:
        """What a handler prints is seen at once, on standard error; its input is empty."""
        pool = self.children()
        source = """
            import subprocess
            print("one")
            os.write(1, b"two\\n")
            subprocess.run(["echo", "three"], check=True)
            print("four", file=sys.stderr)
            sys.stdout.write("five")
            result = sys.stdin.read()
        """
        self.assertEqual(await pool.run("1", textwrap.dedent(source), 0), "")
        self.assertEqual(self.printed(), "one\ntwo\nthree\nfour\nfive")

    async def test_output_before_crash(self) -> None:
        """What a handler printed before it crashed is not lost, and the crash has its line."""
        pool = self.children()
        source = "print('before'); import ctypes; ctypes.string_at(0)"
        await self.assertFailure(pool.run("1", source, 0), ChildDied)
        self.assertIn("before\nFatal Python error: Segmentation fault", self.printed())
        self.assertIn("child_handlers.py", self.printed())

    async def test_light(self) -> None:
        """A child imports nothing of Twisted unless its handler does."""
        pool = self.children()
        source = "result = [n for n in sys.modules if n.startswith(('twisted', 'txthoonk'))]"
        self.assertEqual(await pool.run("1", source, 0), ["txthoonk._child"])

    async def test_path(self) -> None:
        """A child imports from where its parent does, folders added at run time included."""
        name = self.module("def handler(*job): return __name__")
        pool = self.children(f"{name}:handler")
        self.assertEqual(await pool.run("1", "", 0), name)


class FailureTests(ChildrenTestCase):
    """What a handler may do to itself and to its process."""

    async def goes_on(self, pool: Children) -> int:
        """See that the pool runs jobs.

        :returns: in which process.
        """
        pid: int = await pool.run("2", "result = os.getpid()", 0)
        self.assertEqual(pool.pids, {pid})
        return pid

    async def test_exception(self) -> None:
        """An exception comes back with name, text and traceback, and the child goes on."""
        pool = self.children()
        pid = await self.goes_on(pool)
        error: Any = await self.assertFailure(pool.run("1", "int('x')", 0), ChildFailed)
        self.assertEqual(error.name, "ValueError")
        self.assertEqual(error.text, "invalid literal for int() with base 10: 'x'")
        self.assertEqual(str(error), f"ValueError: {error.text}")
        self.assertTrue(error.traceback.startswith("Traceback (most recent call last):\n"))
        self.assertTrue(error.traceback.endswith(f"{error}\n"))
        self.assertIn("in do\n", error.traceback)
        self.assertNotIn("_child.py", error.traceback)
        self.assertEqual(await self.goes_on(pool), pid)

    async def test_strange_exceptions(self) -> None:
        """Also an exception with no text, too much of it, or none that can be had comes back."""
        pool = self.children()
        for source, name, text in (
            ("raise Refused('a', 1)", "tests.child_handlers.Refused", "('a', 1)"),
            ("raise Refused", "tests.child_handlers.Refused", ""),
            ("raise Refused('\\udcff\\0')", "tests.child_handlers.Refused", "\\udcff\\0"),
            ("raise Refused('x' * 10**8)", "tests.child_handlers.Refused", "x" * 10_000),
            (
                "raise Unspeakable",
                "tests.child_handlers.Unspeakable",
                "(its text cannot be had: RuntimeError)",
            ),
            ("raise KeyboardInterrupt", "KeyboardInterrupt", ""),
            ("raise MemoryError", "MemoryError", ""),
        ):
            error: Any = await self.assertFailure(pool.run("1", source, 0), ChildFailed)
            self.assertEqual((error.name, error.text), (name, text))
            self.assertLess(len(error.traceback), 51_000)

    async def test_exit(self) -> None:
        """sys.exit() ends the job, as any exception does, and not the child."""
        pool = self.children()
        pid = await self.goes_on(pool)
        error = await self.assertFailure(pool.run("1", "sys.exit(3)", 0), ChildFailed)
        self.assertEqual(str(error), "SystemExit: 3")
        self.assertEqual(await self.goes_on(pool), pid)

    async def test_retry(self) -> None:
        """Retry and Stall come back as what they are."""
        pool = self.children()
        for delay in (None, 0, 2.5):
            source = f"from txthoonk.worker import Retry; raise Retry({delay}, 'later')"
            error: Any = await self.assertFailure(pool.run("1", source, 0), Retry)
            self.assertEqual((type(error), error.delay, error.why), (Retry, delay, "later"))
        source = "from txthoonk.worker import Stall; raise Stall('no é')"
        error = await self.assertFailure(pool.run("1", source, 0), Stall)
        self.assertEqual((type(error), error.reason), (Stall, "no é"))
        await self.goes_on(pool)

    async def test_died(self) -> None:
        """A child that ends in the middle of a job fails that job, saying how, and is replaced."""
        pool = self.children()
        for source, status, name in (
            ("import ctypes; ctypes.string_at(0)", None, "SIGSEGV"),
            ("os._exit(3)", 3, None),
            ("os._exit(0)", 0, None),
            ("os.abort()", None, "SIGABRT"),
            ("os.kill(os.getpid(), signal.SIGKILL)", None, "SIGKILL"),
        ):
            pid = await self.goes_on(pool)
            error: Any = await self.assertFailure(pool.run("1", source, 0), ChildDied)
            self.assertEqual((error.status, error.signal), (status, name))
            self.assertIn(name or f"exit status {status}", str(error))
            self.assertIn("job '1'", str(error))
            self.assertNotEqual(await self.goes_on(pool), pid)
            self.assertFalse(runs(pid))

    async def test_others_go_on(self) -> None:
        """A crash costs nothing but the one job, whatever waits or runs elsewhere."""
        pool = self.children(count=2)
        crash = pool.run("0", "os._exit(1)", 0)
        calls = [pool.run(str(i), "result = id", 0) for i in range(1, 50)]
        await self.assertFailure(crash, ChildDied)
        self.assertEqual(await gatherResults(calls), [str(i) for i in range(1, 50)])

    async def test_died_and_left_something(self) -> None:
        """What a dead child has started, and what holds its pipes, holds up nobody."""
        pool = self.children()
        pid = await pool.run("1", "result = os.getpid()", 0)
        self.addCleanup(os.killpg, pid, signal.SIGKILL)
        await self.assertFailure(pool.run("1", "hold_pipes(); os._exit(1)", 0), ChildDied)
        await self.goes_on(pool)

    async def test_nonsense(self) -> None:
        """A child that writes nonsense where its answers go is replaced."""
        pool = self.children()
        for nonsense in (b"\xff" * 10, b"\0\0\0\1Z", b"\0\0\0\0", b"\0\0\0\2Rxx", b"\0\0\0\2Ax"):
            source = f"os.write({_child.ANSWERS}, {nonsense!r}); signal.pause()"
            error = await self.assertFailure(pool.run("1", source, 0), ChildDied)
            self.assertIn(f"no answer: {nonsense!r}", str(error))
            await self.goes_on(pool)

    async def test_pipe_closed(self) -> None:
        """A child that closes the pipe for its answers does not hang."""
        pool = self.children()
        source = f"os.close({_child.ANSWERS}); signal.pause()"
        await self.assertFailure(pool.run("1", source, 0), ChildDied)
        await self.goes_on(pool)

    async def test_killed_while_idle(self) -> None:
        """A child that is killed while it has nothing to do is replaced, before a job needs it."""
        pool = self.children()
        pid = await self.goes_on(pool)
        os.kill(pid, signal.SIGKILL)
        await until(lambda: pool.pids and pid not in pool.pids)
        await self.goes_on(pool)

    async def test_signals(self) -> None:
        """A child goes on at SIGINT and SIGTERM; a program that it starts does not."""
        pool = self.children()
        source = """
            import subprocess
            for number in (signal.SIGINT, signal.SIGTERM):
                os.kill(os.getpid(), number)
            program = subprocess.Popen(["sleep", "60"])
            program.terminate()
            result = program.wait()
        """
        self.assertEqual(await pool.run("1", textwrap.dedent(source), 0), -signal.SIGTERM)
        for pid in pool.pids:
            os.kill(pid, signal.SIGTERM)
        await self.goes_on(pool)


class CancelTests(ChildrenTestCase):
    """Cancelling."""

    async def test_running(self) -> None:
        """Cancelling a job that would never end kills its child; the next job has another."""
        pool = self.children()
        call = pool.run("1", "spin()", 0)
        await until(lambda: "spinning" in self.printed())
        (pid,) = pool.pids
        call.cancel()
        await self.assertFailure(call, CancelledError)
        other = await pool.run("2", "result = os.getpid()", 0)
        self.assertNotEqual(other, pid)
        self.assertFalse(runs(pid))
        self.assertEqual(self.said(), "")

    async def test_what_it_started(self) -> None:
        """A program that the handler waits for ends with it, so that a job is not done twice."""
        pool = self.children()
        source = "import subprocess; subprocess.run(['sh', '-c', 'echo runs; exec sleep 60'])"
        call = pool.run("1", source, 0)
        await until(lambda: "runs" in self.printed())
        (pid,) = pool.pids
        call.cancel()
        await self.assertFailure(call, CancelledError)
        await until(lambda: not self.of_group(pid))

    def of_group(self, group: int) -> str:
        """The processes of a group that still run."""
        found = subprocess.run(["ps", "-eo", "pgid=,stat="], capture_output=True, text=True)
        lines = [line.split() for line in found.stdout.splitlines()]
        return " ".join(stat for pgid, stat in lines if pgid == str(group) and stat[0] != "Z")

    async def test_waiting(self) -> None:
        """A job that is cancelled before its turn is never begun, and no child is killed."""
        pool = self.children()
        first = pool.run("1", "print('first'); result = os.getpid()", 0)
        second = pool.run("2", "print('second')", 0)
        third = pool.run("3", "print('third'); result = os.getpid()", 0)
        second.cancel()
        await self.assertFailure(second, CancelledError)
        self.assertEqual(await first, await third)
        self.assertEqual(self.printed(), "first\nthird\n")

    async def test_finished(self) -> None:
        """Cancelling what has come back does nothing."""
        pool = self.children()
        call = pool.run("1", "result = os.getpid()", 0)
        pid = await call
        call.cancel()
        self.assertEqual(await pool.run("1", "result = os.getpid()", 0), pid)

    async def test_large_item(self) -> None:
        """Cancelling a job whose item is still on its way leaves nothing behind."""
        pool = self.children("tests.child_handlers:sleep")
        call = pool.run("1", "x" * 50_000_000, 0)
        await deferLater(reactor, 0)
        call.cancel()
        await self.assertFailure(call, CancelledError)
        self.assertIsNone(await pool.run("2", "x", 0))
