"""What the programs on Twisted share."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.internet.task import deferLater, react

from benchmarks.job_contestants import common
from benchmarks.orders import reactor


def _gather(*coroutines: Coroutine[Any, Any, Any]) -> Deferred[list[Any]]:
    return gatherResults([ensureDeferred(each) for each in coroutines])


def _sleep(seconds: float) -> Deferred[None]:
    return deferLater(reactor, seconds)


#: That of ``common``, on the reactor.
produce = partial(common.produce, gather=_gather, sleep=_sleep)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a program."""
    react(lambda _: ensureDeferred(main()))
