"""Child processes that run handlers: which ones, how they start, and how they end."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import textwrap
from pathlib import Path
from types import FunctionType
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, gatherResults
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from tests import child_handlers
from tests.child_helpers import DO, ChildrenTestCase
from tests.helpers import open_now, until
from tests.programs import runs
from txthoonk._child_process import END
from txthoonk.children import Children
from txthoonk.errors import ChildDied, ChildNotStarted


class StartTests(ChildrenTestCase):
    """Children that cannot start."""

    async def test_import_error(self) -> None:
        """What is wrong with the handler's module fails the jobs that wait, and is logged."""
        name = self.module("import no_such_module_at_all")
        pool = self.children(f"{name}:handler", 2)
        calls = [pool.run(str(i), "", 0) for i in range(5)]
        for call in calls:
            error: Any = await self.assertFailure(call, ChildNotStarted)
            self.assertIn("No module named 'no_such_module_at_all'", str(error))
            self.assertIn(f"{name}:handler", str(error))
        self.assertIn("No module named 'no_such_module_at_all'", self.said())
        self.assertIn(f'{name}.py", line 1', self.said())

    async def test_mended(self) -> None:
        """As soon as the module is mended, children come up by themselves."""
        name = self.module("raise Exception('broken')")
        pool = self.children(f"{name}:handler")
        await self.assertFailure(pool.run("1", "", 0), ChildNotStarted)
        self.module("def handler(*job): return 'mended'")
        self.assertEqual(await pool.run("1", "", 0), "mended")

    async def test_other_reasons(self) -> None:
        """Whatever keeps a child from starting is told."""
        for source, text in {
            "": "has no attribute 'handler'",
            "handler = 1": "is no function, but of type int",
            "async def handler(*job): pass": "is async",
            "import os; os._exit(4)": "exit status 4",
            "import sys; sys.exit('no licence')": "SystemExit: no licence",
            "import ctypes; ctypes.string_at(0)": "SIGSEGV",
            "handler = (": "SyntaxError",
            "import os; os.write(4, b'Hello, world')": "no answer: b",
        }.items():
            # Written the instant before: what is compiled might be taken for current.
            with self.subTest(source):
                pool = self.children(f"{self.module(source)}:handler")
                error = await self.assertFailure(pool.run("1", "", 0), ChildNotStarted)
                self.assertIn(text, str(error))
                await pool.stop()

    async def test_no_program(self) -> None:
        """A system that refuses to start processes is told of, and asked again."""
        with self.a_python_that_is_none():
            pool = self.children()
            error = await self.assertFailure(pool.run("1", "", 0), ChildNotStarted)
        self.assertIn("/no/such/python", str(error))
        self.assertEqual(await pool.run("1", "result = 1", 0), 1)

    @contextlib.contextmanager
    def a_python_that_is_none(self) -> Any:
        """Let there be no Python for a while."""
        before, sys.executable = sys.executable, "/no/such/python"
        yield
        sys.executable = before

    def test_pauses(self) -> None:
        """Children that do not come up are tried more and more seldom, then every 10 seconds."""

        class Refusing(Clock):
            tries: list[float] = []

            def spawnProcess(self, *args: Any, **kwargs: Any) -> None:  # noqa: N802  # Twisted's name
                self.tries.append(self.seconds())
                raise OSError("no")

        clock: Any = Refusing()
        pool = Children(clock, DO, 1)
        pool.start()
        for _ in range(9):
            (call,) = clock.getDelayedCalls()
            clock.advance(call.getTime() - clock.seconds())
        pauses = [round(b - a, 3) for a, b in zip(clock.tries, clock.tries[1:], strict=False)]
        self.assertEqual(pauses, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10])
        self.successResultOf(pool.stop())
        self.assertEqual(clock.getDelayedCalls(), [])

    async def test_starts_children(self) -> None:
        """A module that starts children when it is imported fails, rather than without end."""
        name = self.module(
            """
            from txthoonk.children import Children
            def handler(*job): pass
            Children(None, handler, 1).start()
            """
        )
        pool = self.children(f"{name}:handler")
        error = await self.assertFailure(pool.run("1", "", 0), ChildNotStarted)
        self.assertIn("starts children when it is imported", str(error))


class StopTests(ChildrenTestCase):
    """The end of the children."""

    async def test_stopped(self) -> None:
        """Stopping leaves no process, no zombie, no open file and no call to be made."""
        await deferLater(reactor, 0)  # the reactor has opened all that it needs
        files, reactors = set(os.listdir("/dev/fd")), open_now()
        pool = self.children(count=3)
        await gatherResults([pool.run("1", "result = 1", 0) for _ in range(10)])
        pids = pool.pids
        await gatherResults([pool.stop(), pool.stop()])
        await pool.stop()
        self.assertEqual(pool.pids, set())
        self.assertEqual([pid for pid in pids if runs(pid)], [])
        self.assertEqual(set(os.listdir("/dev/fd")), files)
        self.assertEqual(open_now(), reactors)

    async def test_by_themselves(self) -> None:
        """Children end by themselves, and what a module has to do at exit is done."""
        pool = self.children()
        await pool.run("1", "import atexit; atexit.register(print, 'goodbye')", 0)
        await pool.stop()
        self.assertEqual(self.printed(), "goodbye\n")

    async def test_running(self) -> None:
        """A job that runs has a second to finish; then its child is killed. None is begun."""
        pool = self.children(count=2)
        short = pool.run("1", "print('short'); import time; time.sleep(0.1); result = 1", 0)
        endless = pool.run("2", "spin()", 0)
        waiting = pool.run("3", "print('begun')", 0)
        await until(lambda: "short" in self.printed() and "spinning" in self.printed())
        began = reactor.seconds()
        stopped = pool.stop()
        await self.assertFailure(waiting, CancelledError)
        self.assertEqual(await short, 1)
        error: Any = await self.assertFailure(endless, ChildDied)
        self.assertEqual(error.signal, "SIGKILL")
        await stopped
        self.assertLess(reactor.seconds() - began, END + 5)
        self.assertNotIn("begun", self.printed())

    async def test_while_starting(self) -> None:
        """Children may be stopped before they are up."""
        pool = self.children(count=2)
        pids = pool.pids
        waiting = pool.run("1", "", 0)
        stopped = pool.stop()
        await self.assertFailure(waiting, CancelledError)
        await stopped
        self.assertEqual([pid for pid in pids if runs(pid)], [])

    async def test_again(self) -> None:
        """Stopped children may be started again, also before they have ended."""
        pool = self.children()
        first = await pool.run("1", "result = os.getpid()", 0)
        stopped = pool.stop()
        pool.start()
        pool.start()
        self.assertNotEqual(await pool.run("1", "result = os.getpid()", 0), first)
        await stopped
        self.assertEqual(len(pool.pids), 1)
        self.assertFalse(runs(first))

    async def test_not_started(self) -> None:
        """Children that were never started, or are stopped, run nothing."""
        pool = Children(None, DO, 1)
        await self.assertFailure(pool.run("1", "", 0), CancelledError)
        await pool.stop()
        pool = self.children()
        await pool.stop()
        await self.assertFailure(pool.run("1", "", 0), CancelledError)


class ParentTests(ChildrenTestCase):
    """A parent that ends without stopping its children."""

    PROGRAM = """
        import os, sys
        from twisted.internet import reactor
        from txthoonk.children import Children
        sys.path[:0] = sys.argv[1:]
        children = Children(reactor, "tests.child_handlers:do", 2)
        children.start()
        children.run("1", "spin()", 0)
        children.run("2", "idle()", 0)
        reactor.run()
    """

    async def orphaned(self, *path: str) -> None:
        """Kill a program that has a busy child and an idle one, and wait until all are gone."""
        program = self.program(self.PROGRAM, *path)
        await program.lines.when(2)
        self.assertEqual(sorted(line.split()[0] for line in program.lines), ["idle", "spinning"])
        pids = [int(line.split()[1]) for line in program.lines]
        self.assertEqual([pid for pid in pids if not runs(pid)], [])
        program.kill()
        await program.ended

    async def test_killed(self) -> None:
        """No child outlives a parent that is killed, though it is in an endless loop."""
        await self.orphaned()

    async def test_killed_without_linux(self) -> None:
        """The same where Linux's help is not to be had."""
        (self.folder / "ctypes.py").write_text("raise ImportError")
        await self.orphaned(str(self.folder))

    async def test_interrupted(self) -> None:
        """Ctrl-C is for the parent: children go on, also those that are only just starting."""
        source = """
            import os, signal, sys
            from twisted.internet import reactor
            from txthoonk.children import Children
            os.setpgid(0, 0)  # as a shell does it with what it starts
            interrupts = []
            signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
            children = Children(reactor, "tests.child_handlers:do", 2)
            children.start()
            before = children.pids
            os.killpg(0, signal.SIGINT)
            call = children.run("1", "result = os.getpid()", 0)
            def came(pid):
                print(len(interrupts), pid in before == children.pids, file=sys.stderr)
                return children.stop()
            call.addCallback(came).addBoth(lambda _: reactor.stop())
            reactor.run()
        """
        program = self.program(source)
        await program.ended
        self.assertEqual(program.lines, ["1 True"])

    async def test_no_standard_error(self) -> None:
        """A parent without standard streams has children that run."""
        source = """
            import os
            from twisted.internet import reactor
            from txthoonk.children import Children
            for number in range(3):
                os.close(number)
            children = Children(reactor, "tests.child_handlers:do", 2)
            children.start()
            call = children.run("1", "print('nobody hears'); result = 'done'", 0)
            call.addBoth(lambda result: os.write(5, str(result).encode()))
            call.addBoth(lambda _: children.stop()).addBoth(lambda _: reactor.stop())
            reactor.run()
        """
        hear, tell = os.pipe()
        program = self.program(source, childFDs={0: "w", 1: "r", 2: "r", 5: tell})
        os.close(tell)
        await program.ended
        with open(hear, "rb") as pipe:
            self.assertEqual(pipe.read(), b"done")


class HandlerTests(SynchronousTestCase):
    """Which handlers a child can run."""

    def path(self, handler: Any) -> str:
        """The name by which children know a handler."""
        return Children(None, handler, 1).handler

    def refused(self, handler: Any, text: str, error: type[Exception] = ValueError) -> None:
        """See that a handler is refused, saying why."""
        refusal = self.assertRaises(error, self.path, handler)
        self.assertIn(text, str(refusal))

    def test_function(self) -> None:
        """A function of a module goes by its name."""
        self.assertEqual(self.path(child_handlers.do), DO)
        self.assertEqual(self.path(DO), DO)
        self.assertEqual(self.path("json.tool:main"), "json.tool:main")

    def test_not_importable(self) -> None:
        """A function that another process cannot import is refused at once."""

        def nested(*job: Any) -> None:
            """Here only."""

        self.refused(lambda *job: None, "a lambda")
        self.refused(nested, "a function within a function")
        self.refused(functools.partial(child_handlers.do), "a function of a module")
        self.refused(Children(None, DO, 1).run, "is not that")
        other: Any = FunctionType(nested.__code__, {"__name__": "builtins"}, "resize")
        other.__qualname__ = "resize"
        self.refused(other, ".tac")
        other.__module__ = "__main__"
        self.refused(other, "__main__")
        self.refused("__main__:resize", "__main__")

    def test_name(self) -> None:
        """A name that cannot be right is refused at once."""
        for name in ("", "tests", "tests:", ":do", "tests.:do", "a b:c", "tests:do:do", "x:1"):
            self.refused(name, "package.module:name")
        self.refused("no_such_package_at_all:do", "no module 'no_such_package_at_all'")
        self.refused("tests.child_handlers:no_such", "no function")
        self.refused("tests.child_handlers:__doc__", "no function")

    def test_async(self) -> None:
        """An async handler is refused at once."""
        self.refused(child_handlers.wait, "async")
        self.refused("tests.child_handlers:wait", "async")

    def test_types(self) -> None:
        """What is no handler, or no number, is refused at once."""
        self.refused(None, "a function or its name", TypeError)
        for count in (0, -1):
            self.assertRaises(ValueError, Children, None, DO, count)
        for strange in (None, "1", 1.0, True):
            self.assertRaises(TypeError, Children, None, DO, strange)

    def test_decorated(self) -> None:
        """A decorator may make children of a function while its module is being imported."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        source = """
            from txthoonk.children import Children
            def worker(function):
                pools.append(Children(None, function, 1))
                return function
            def lost(function):
                pools.append(Children(None, function, 1))
            pools = []
            @worker
            def resize(*job): pass
            @lost
            def crop(*job): pass
        """
        (folder / "decorated_handlers.py").write_text(textwrap.dedent(source))
        sys.path.insert(0, str(folder))
        self.addCleanup(sys.path.remove, str(folder))
        module: Any = __import__("decorated_handlers")
        self.addCleanup(sys.modules.pop, "decorated_handlers")
        resize, crop = module.pools
        self.assertEqual(resize.handler, "decorated_handlers:resize")
        # What the decorator swallowed is found missing at the start.
        self.assertRaises(ValueError, crop.start)
