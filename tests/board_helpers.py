"""The board as a process, for tests of it."""

from __future__ import annotations

import re
import subprocess

from tests.demo_helpers import DemoProcess

__all__ = ["BoardProcess"]


class BoardProcess(DemoProcess):
    """``make demo``.

    :param options: of ``python -m examples.board``.
    """

    def __init__(
        self, *options: str, stdin: int = subprocess.DEVNULL, patience: float = 240
    ) -> None:
        super().__init__("examples.board", *options, stdin=stdin, patience=patience)

    def up(self) -> tuple[str, str]:
        """Wait until it can be used; the URLs of the board and of its Redis."""
        self.read_until("Ctrl-C ends it")
        url = re.search(r"http://\S+/", self.output)
        redis = re.search(r"redis\+unix://\S+", self.output)
        assert url, self.output
        assert redis, self.output
        return url[0], redis[0]

    def pids(self) -> list[int]:
        """The numbers of all lines that name processes."""
        lines = "\n".join(line for line in self.output.split("\n") if "process" in line)
        return [int(pid) for pid in re.findall(r"\b\d{2,}\b", lines)]
