"""The board as a process, for tests of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

__all__ = ["ROOT", "BoardProcess", "runs"]

ROOT = Path(__file__).resolve().parents[1]


class BoardProcess:
    """``make demo`` without make: what it says is read line by line.

    :param options: of ``python -m examples.board``.
    :param stdin: of the board.
    :param patience: seconds after which one that hangs is killed.
    """

    def __init__(
        self, *options: str, stdin: int = subprocess.DEVNULL, patience: float = 110
    ) -> None:
        self.output = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "examples.board", *options],
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

    def up(self) -> tuple[str, str]:
        """Wait until it can be used; the URLs of the board and of its Redis."""
        self.read_until("Ctrl-C ends it")
        url = re.search(r"http://\S+/", self.output)
        redis = re.search(r"redis\+unix://\S+", self.output)
        assert url, self.output
        assert redis, self.output
        return url[0], redis[0]

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

    def leftovers(self) -> list[str]:
        """What is still there of all that the output names: processes, folders."""
        lines = "\n".join(line for line in self.output.split("\n") if "process" in line)
        left = [pid for pid in re.findall(r"\b\d{2,}\b", lines) if runs(int(pid))]
        folders = set(re.findall(r"redis\+unix://(/\S+)/s\?", self.output))
        return left + [folder for folder in folders if os.path.exists(folder)]


def runs(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
