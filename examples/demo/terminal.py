"""What a demo says, and what is typed."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable
from typing import Any

from twisted.logger import ILogObserver, formatEvent
from zope.interface import implementer

__all__ = ["Terminal", "observer"]

#: Seconds to wait for a line where nobody sits at a terminal.
PATIENCE = 1.0


class Terminal:
    """Lines for whoever watches; twistd has taken ``sys.stdout`` for its log.

    :param gone: called once nobody reads any more.
    """

    def __init__(self, gone: Callable[[], object]) -> None:
        self._gone = gone
        self.interactive = os.isatty(0)

    def say(self, text: str = "") -> None:
        """Print a line."""
        out = sys.__stdout__
        assert out is not None
        try:
            out.buffer.write(printable(text))
            out.buffer.flush()
        except OSError:  # a pipe without reader, a terminal that was closed
            os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
            self._gone()

    def complain(self, text: str) -> None:
        """Print a line on standard error."""
        assert sys.__stderr__ is not None
        sys.__stderr__.buffer.write(printable(text))
        sys.__stderr__.buffer.flush()

    def read(
        self,
        reactor: Any,
        line: Callable[[str], object],
        end: Callable[[], object],
        *,
        patient: bool,
    ) -> None:
        """Call *line* with each line that is typed, and *end* when there are no more.

        :param patient: also wait for lines where there is no terminal.
        """

        # A thread: the reactor would make the terminal non-blocking, for the shell behind it too.
        # And os.read(), which holds no lock while it waits and the interpreter ends.
        def work() -> None:
            rest = b""
            while data := self._read(patient):
                *lines, rest = (rest + data).split(b"\n")
                for each in lines:
                    reactor.callFromThread(line, each.decode("utf-8", "surrogateescape"))
            reactor.callFromThread(line, rest.decode("utf-8", "surrogateescape"))
            reactor.callFromThread(end)

        threading.Thread(target=work, daemon=True).start()

    def _read(self, patient: bool) -> bytes:
        """What is typed; empty at the end, or where nothing comes and nobody could type it."""
        try:
            if patient or self.interactive or select.select([0], [], [], PATIENCE)[0]:
                return os.read(0, 65536)
        except OSError:  # standard input is closed
            pass
        return b""


def printable(text: str) -> bytes:
    """A line that leaves the terminal in order."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text).encode() + b"\n"


def observer(least: Any) -> Any:
    """Twisted's log on standard error, as an ``ILogObserver``.

    :param least: the lowest level that is told, of ``twisted.logger.LogLevel``.
    """

    @implementer(ILogObserver)
    def observe(event: Any) -> None:
        if event["log_level"] < least:
            return
        text = formatEvent(event)
        if (failure := event.get("log_failure")) is not None:
            text = f"{text}: {failure.getTraceback()}"
        assert sys.__stderr__ is not None
        sys.__stderr__.write(f"{text}\n")

    return observe
