"""``twistd thoonk``: what may be typed, and what is said against it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from twisted.python.usage import UsageError
from twisted.trial.unittest import TestCase

from txthoonk.tap import Options, find_handler

HANDLERS = """
async def quick(claim):
    pass


class Things:
    @staticmethod
    def handle(claim):
        pass


number = 3
"""


class FolderTestCase(TestCase):
    """A folder with modules in it, and we in that folder, as a user of twistd is."""

    def setUp(self) -> None:
        here, path = os.getcwd(), [*sys.path]
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        # Each test imports modules of its own.
        self.module = f"handlers_{self.id().rpartition('.')[2]}"
        self.write(self.module, HANDLERS)
        os.chdir(self.folder)

        def back() -> None:
            os.chdir(here)
            sys.path[:] = path

        self.addCleanup(back)

    def write(self, module: str, text: str) -> str:
        """Make a module; its name."""
        (self.folder / f"{module}.py").write_text(text)
        return module


class OptionsTests(FolderTestCase):
    """Each option is checked before anything runs."""

    def options(self, *arguments: str, job: bool = True) -> Options:
        """What was typed, with a job unless told."""
        options = Options()
        known = [f"--job=a={self.module}:quick"] if job else []
        options.parseOptions([*known, *arguments])
        return options

    def refused(self, *arguments: str, job: bool = True) -> str:
        """What is said against it."""
        with self.assertRaises(UsageError) as caught:
            self.options(*arguments, job=job)
        return str(caught.exception)

    def test_defaults(self) -> None:
        """With a job and nothing else, everything has a value that works."""
        self.patch(os, "environ", {})
        options = self.options()
        self.assertEqual([*options.handlers], ["a"])
        self.assertEqual(options["redis"], None)
        self.assertEqual(
            (options["concurrency"], options["grace"], options["workers"]), (10, 10, 1)
        )
        self.assertEqual((options["claim-timeout"], options["max-attempts"]), (None, None))
        self.assertEqual(options["dialect"], "contract")

    def test_bridge(self) -> None:
        """A bridge is two processes unless told; each of them is one, and bridges the same."""
        options = self.options("--bridge=a", "--bridge=b", "--bridge=a", job=False)
        self.assertEqual((options.bridges, options["workers"]), (["a", "b"], 2))
        arguments = options.arguments()
        self.assertEqual([a for a in arguments if "bridge" in a], ["--bridge=a", "--bridge=b"])
        child = Options()
        child.parseOptions(arguments[arguments.index("thoonk") + 1 :])
        self.assertEqual((child.bridges, child["workers"]), (["a", "b"], 1))
        self.assertEqual(self.options("--bridge=a", "--workers=1", job=False)["workers"], 1)
        self.assertIn("--bridge", self.refused("--bridge=", job=False))

    def test_dialect(self) -> None:
        """The dialect is one of two, and each process is told."""
        self.assertIn("--dialect=lua", self.options("--dialect=lua").arguments())
        self.assertIn("'contract', 'lua'", self.refused("--dialect=clj"))

    def test_redis(self) -> None:
        """The URL is the one that was given, else the environment's, else none: an embedded one."""
        self.patch(os, "environ", {"THOONK_REDIS": "redis://elsewhere"})
        self.assertEqual(self.options()["redis"], "redis://elsewhere")
        self.assertEqual(self.options("--redis", "redis://here/1")["redis"], "redis://here/1")
        self.assertEqual(self.options("--redis", "embedded:")["redis"], None)

    def test_bad_redis(self) -> None:
        """A URL that is none is refused, and its password is not told."""
        self.assertIn("http:// is no way to Redis", self.refused("--redis", "http://localhost"))
        for bad in ("redis://:secret@localhost:port/0", "redis://:secret@localhost/zero"):
            said = self.refused("--redis", bad)
            self.assertIn("--redis: redis://localhost", said)
            self.assertIn("redis://localhost:6379/0", said)
            self.assertNotIn("secret", said)
        self.assertIn("nor an endpoint", self.refused("--redis", "localhost"))
        missing = "rediss://localhost?ssl_ca_certs=missing.pem"
        self.assertIn("missing.pem", self.refused("--redis", missing))
        self.patch(os, "environ", {"THOONK_REDIS": "here"})
        self.assertIn("THOONK_REDIS: ", self.refused())

    def test_nothing_to_do(self) -> None:
        """Without a job, --maintain and --schedule there is nothing to do."""
        said = self.refused(job=False)
        self.assertIn("--job NAME=package.module:handler", said)
        self.assertIn("--maintain", said)
        self.assertIn("--schedule", said)
        for flag in ("--maintain", "--schedule"):
            options = self.options(flag, job=False)
            self.assertEqual(options.handlers, {})
            self.assertIn(flag, options.arguments())

    def test_numbers(self) -> None:
        """Numbers have a range, which is told."""
        for option, bad, good in (
            ("concurrency", ("0", "-1", "1.5", "many", ""), "1"),
            ("workers", ("0", "x", "1001"), "1000"),
            ("processes", ("-1", "x"), "0"),
            ("max-attempts", ("-1", "x"), "0"),
        ):
            for value in bad:
                said = self.refused(f"--{option}={value}")
                self.assertIn(f"--{option} takes a whole number from ", said)
                self.assertIn(repr(value), said)
            self.assertEqual(self.options(f"--{option}={good}")[option], int(good))
        for option, bad, good in (
            ("grace", ("-1", "nan", "inf", "soon", "1e9"), "0"),
            ("claim-timeout", ("0", "-1", "nan", "inf", "x", "1e9"), "0.5"),
        ):
            for value in bad:
                said = self.refused(f"--{option}={value}")
                self.assertIn(f"--{option} takes a number of seconds", said)
            self.assertEqual(self.options(f"--{option}={good}")[option], float(good))

    def test_blocking_and_processes(self) -> None:
        """Threads or child processes, not both."""
        self.assertIn("give one of them", self.refused("--blocking", "--processes=2"))
        plain = f"--job=a={self.module}:Things.handle"
        options = self.options(plain, "--blocking", "--processes=0", job=False)
        self.assertTrue(options["blocking"])
        self.assertEqual(self.options(plain, "--processes=2", job=False)["processes"], 2)

    def test_plain_functions(self) -> None:
        """Threads and child processes run plain functions."""
        for option in ("--blocking", "--processes=2"):
            said = self.refused(option)
            self.assertIn(f"{option[:10]}", said)
            self.assertIn(f"'{self.module}:quick' is async", said)

    def test_no_argument(self) -> None:
        """What is no option is not silently ignored."""
        self.assertIn("'b=handlers:quick' is no option", self.refused("b=handlers:quick"))

    def test_jobs(self) -> None:
        """Several feeds may be worked on, each once; a name may have about anything in it."""
        spec = f"{self.module}:quick"
        options = self.options("--job", f"team:1:x=y={spec}", "--job", f"naïve={spec}")
        self.assertEqual([*options.handlers], ["a", "team:1:x=y", "naïve"])
        self.assertIn("'a' was given twice", self.refused("--job", f"a={spec}"))

    def test_malformed_job(self) -> None:
        """A job that cannot be read is refused with the form that can."""
        for bad, why in (
            ("handlers:quick", "no '='"),
            ("=handlers:quick", "no NAME"),
            ("b=handlers", "'handlers' is no package.module:handler"),
            ("b=handlers:", "is no package.module:handler"),
            ("b=:quick", "is no package.module:handler"),
            ("b=hand lers:quick", "is no package.module:handler"),
            ("b=.handlers:quick", "is no package.module:handler"),
        ):
            said = self.refused("--job", bad)
            self.assertIn(why, said)
            self.assertIn("NAME=package.module:handler", said)
        self.assertIn("NUL", self.refused("--job", f"b\0c={self.module}:quick"))

    def test_unknown_module(self) -> None:
        """A module that is not there is told apart from one that a module there misses."""
        said = self.refused("--job", "b=nowhere.at.all:quick")
        self.assertIn("there is no module 'nowhere'", said)
        self.assertIn(str(self.folder), said)
        inside = self.write(f"{self.module}_inside", "import nowhere_else\n")
        said = self.refused("--job", f"b={inside}:quick")
        self.assertIn(f"the module '{inside}' cannot be imported: ModuleNotFoundError", said)
        self.assertIn("nowhere_else", said)

    def test_broken_module(self) -> None:
        """What a module raises when it is imported is told, and where."""
        for number, (text, why) in enumerate(
            (
                ("\nraise ValueError('not today')\n", "ValueError: not today"),
                ("def :\n", "SyntaxError"),
                ("import sys; sys.exit('enough')\n", "SystemExit: enough"),
            )
        ):
            broken = self.write(f"{self.module}_{number}", text)
            said = self.refused("--job", f"b={broken}:quick")
            self.assertIn(f"'{broken}' cannot be imported: {why}", said)
        first = self.refused("--job", f"b={self.module}_0:quick")
        self.assertIn(f"{self.module}_0.py, line 2)", first)

    def test_no_such_handler(self) -> None:
        """A handler that is not there is refused with those that are; so is what is no handler."""
        said = self.refused("--job", f"b={self.module}:quik")
        self.assertIn(f"'{self.module}' has no 'quik'; there is ", said)
        self.assertIn("quick", said)
        said = self.refused("--job", f"b={self.module}:number")
        self.assertIn("3, which cannot be called", said)
        self.assertIn(
            "has no 'Things.other'", self.refused("--job", f"b={self.module}:Things.other")
        )

    def test_find_handler(self) -> None:
        """A handler may be an attribute of something in the module."""
        self.assertEqual(find_handler(f"{self.module}:Things.handle").__name__, "handle")
