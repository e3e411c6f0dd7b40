"""What all processes beside the service have in common: a Redis, a name, a beginning and an end."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.logger import ILogObserver, LogLevel, formatEvent, globalLogBeginner
from zope.interface import implementer

from examples.board import PROCESSES
from txthoonk import Thoonk, ThoonkError

__all__ = ["run"]


def run(kind: str, number: int, begin: Callable[[Any, Thoonk, int], object]) -> None:
    """Be a process of the board, until standard input ends.

    :param kind: what this is; with *number* it makes the name that it tells of itself.
    :param begin: starts what it is for.
    """
    globalLogBeginner.beginLoggingTo([observe], redirectStandardIO=False)
    react(main, (f"{kind} {number}", number, begin))


async def main(
    reactor: Any, name: str, number: int, begin: Callable[[Any, Thoonk, int], object]
) -> None:
    """Begin, tell of it in the feed ``processes``, and wait for the end."""
    ended: Deferred[None] = Deferred()

    def wait_for_the_end() -> None:
        while os.read(0, 1024):
            pass
        reactor.callFromThread(ended.callback, None)

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    thoonk = Thoonk(os.environ["THOONK_REDIS"], client_name=f"board-{name.replace(' ', '-')}")
    try:
        async with thoonk:
            begin(reactor, thoonk, number)
            told = thoonk.feed(PROCESSES, serializer="json").publish({"pid": os.getpid()}, id=name)
            told.addErrback(lambda failure: failure.trap(ThoonkError))
            await ended
    except ThoonkError as error:
        raise SystemExit(f"{name}: {error}") from None


@implementer(ILogObserver)
def observe(event: Any) -> None:
    """What goes wrong, on standard error; that Redis comes and goes is no news here."""
    if event["log_level"] < LogLevel.error:
        return
    text = formatEvent(event)
    if (failure := event.get("log_failure")) is not None:
        text = f"{text}: {failure.getTraceback()}"
    sys.stderr.write(f"{text}\n")
