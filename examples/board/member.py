"""What all processes beside the service have in common: a Redis, a name, a beginning and an end."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.internet.task import react
from twisted.logger import LogLevel, globalLogBeginner

from examples.board import PROCESSES
from examples.demo.processes import when_stdin_ends
from examples.demo.terminal import observer
from txthoonk import Thoonk, ThoonkError

__all__ = ["run"]


def run(kind: str, number: int, begin: Callable[[Any, Thoonk, int], object]) -> None:
    """Be a process of the board, until standard input ends.

    :param kind: what this is; with *number* it makes the name that it tells of itself.
    :param begin: starts what it is for.
    """
    # That Redis comes and goes is no news here.
    globalLogBeginner.beginLoggingTo([observer(LogLevel.error)], redirectStandardIO=False)
    react(main, (f"{kind} {number}", number, begin))


async def main(
    reactor: Any, name: str, number: int, begin: Callable[[Any, Thoonk, int], object]
) -> None:
    """Begin, tell of it in the feed ``processes``, and wait for the end."""
    ended = when_stdin_ends(reactor)
    thoonk = Thoonk(os.environ["THOONK_REDIS"], client_name=f"board-{name.replace(' ', '-')}")
    try:
        async with thoonk:
            begin(reactor, thoonk, number)
            told = thoonk.feed(PROCESSES, serializer="json").publish({"pid": os.getpid()}, id=name)
            told.addErrback(lambda failure: failure.trap(ThoonkError))
            await ended
    except ThoonkError as error:
        raise SystemExit(f"{name}: {error}") from None
