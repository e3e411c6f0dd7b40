"""What the tests of child processes need."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import TestCase

from tests.helpers import Heard
from tests.programs import ROOT
from txthoonk.children import Children

__all__ = ["DO", "ChildrenTestCase", "Program"]

DO = "tests.child_handlers:do"


class Program(ProcessProtocol):
    """A program that has children of its own.

    :ivar lines: what it, or a child, wrote on standard error.
    :ivar ended: fires when all of them are gone: each has standard error open.
    """

    def __init__(self, source: str, *words: str, **streams: Any) -> None:
        self.lines = Heard()
        self._rest = ""
        self.ended: Deferred[None] = Deferred()
        reactor.spawnProcess(
            self,
            sys.executable,
            [sys.executable, "-c", textwrap.dedent(source), *words],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            **streams,
        )

    def kill(self) -> None:
        """End the program without giving it time for anything."""
        with contextlib.suppress(ProcessExitedAlready):
            self.transport.signalProcess("KILL")  # type: ignore[union-attr]  # it runs

    def errReceived(self, data: bytes) -> None:
        """It writes."""
        *lines, self._rest = (self._rest + data.decode()).split("\n")
        for line in lines:
            self.lines(line)

    def processEnded(self, reason: Any) -> None:
        """It is gone, and whoever shares its standard error."""
        self.ended.callback(None)


class ChildrenTestCase(TestCase):
    """A test case that collects what children print, and finds what they leave behind."""

    timeout = 240

    def setUp(self) -> None:
        """Put a file in the place of standard error, which the children inherit."""
        self.folder = Path(tempfile.mkdtemp(dir="."), "").absolute()
        self.output = open(self.folder / "stderr", "w+b")  # noqa: SIM115  # closed by the cleanup
        self.addCleanup(self.output.close)
        before = os.dup(2)
        os.dup2(self.output.fileno(), 2)
        self.addCleanup(os.close, before)
        self.addCleanup(os.dup2, before, 2)
        self.logged: list[LogEvent] = []
        observer: Any = self.logged.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def program(self, source: str, *words: str, **streams: Any) -> Program:
        """A program that is ended after the test, if it has not ended."""
        program = Program(source, *words, **streams)
        self.addCleanup(lambda: program.ended)
        self.addCleanup(program.kill)
        return program

    def printed(self) -> str:
        """What the children wrote so far."""
        self.output.seek(0)
        return self.output.read().decode()

    def children(self, handler: Any = DO, count: int = 1) -> Children:
        """Children that run, and are stopped after the test."""
        pool = Children(reactor, handler, count)
        self.addCleanup(pool.stop)
        pool.start()
        return pool

    def module(self, source: str) -> str:
        """A module for the children to import.

        :returns: its name.
        """
        name = f"handlers_{self.folder.name}"
        (self.folder / f"{name}.py").write_text(textwrap.dedent(source))
        if str(self.folder) not in sys.path:
            sys.path.insert(0, str(self.folder))
            self.addCleanup(sys.path.remove, str(self.folder))
        return name

    def said(self) -> str:
        """What was logged about children."""
        about = [each for each in self.logged if "children" in each.get("log_namespace", "")]
        return "\n".join(f"{each['how']} {each['traceback']}" for each in about)
