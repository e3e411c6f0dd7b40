"""A demo as a process, for tests of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading

from tests.programs import ROOT, runs

__all__ = ["DemoProcess"]


class DemoProcess:
    """A demo without make: what it says is read line by line. Everything here blocks.

    :param module: what ``make`` would run.
    :param options: of the module.
    :param stdin: of the demo.
    :param patience: seconds after which one that hangs is killed, and fails its test.
    :ivar output: what was read of what it says.
    :ivar complaints: all that it has said on standard error, once it has ended.
    """

    def __init__(
        self,
        module: str,
        *options: str,
        stdin: int = subprocess.DEVNULL,
        patience: float,
    ) -> None:
        self.output = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *options],
            cwd=ROOT,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # for a Ctrl-C, which reaches the whole group
        )
        alarm = threading.Timer(patience, self.process.kill)
        alarm.daemon = True
        alarm.start()

    def read_until(self, words: str) -> str:
        """The first line with these words."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            if words in line:
                return line
        raise AssertionError(f"{words!r} was not said, but:\n{self.output}{self.errors()}")

    def errors(self) -> str:
        """What was said on standard error."""
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> int:
        """Wait for the end; the exit status."""
        out, self.complaints = self.process.communicate()
        self.output += out
        return self.process.returncode

    def kill(self) -> None:
        """End it, if it has not ended."""
        if self.process.returncode is None:
            self.process.kill()
            self.end()

    def pids(self) -> list[int]:
        """The processes that the output names."""
        raise NotImplementedError

    def leftovers(self) -> list[int | str]:
        """What is still there of all that the output names: processes, folders."""
        folders = set(re.findall(r"redis\+unix://(/\S+)/s\?", self.output))
        assert folders, self.output
        left: list[int | str] = [pid for pid in self.pids() if runs(pid)]
        return left + [folder for folder in folders if os.path.exists(folder)]
