"""The other end of :class:`benchmarks.tools.Process`: orders come in, numbers go out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.internet.stdio import StandardIO
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

#: Each of these programs runs on the global reactor, as an application would.
reactor: Any = _reactor

Obey = Callable[[dict[str, Any]], Coroutine[Any, Any, dict[str, Any]]]


def say(**numbers: Any) -> None:
    """Answer."""
    sys.stdout.write(json.dumps(numbers) + "\n")
    sys.stdout.flush()


class Orders(LineReceiver):
    """Obeys one order after another; ends the program when there are no more."""

    delimiter = b"\n"

    def __init__(self, obey: Obey) -> None:
        self._obey = obey

    def lineReceived(self, line: bytes) -> None:
        """An order came."""
        done = Deferred.fromCoroutine(self._obey(json.loads(line)))
        done.addCallbacks(lambda numbers: say(**numbers), end)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """There are no more."""
        if reactor.running:
            reactor.stop()


def end(failure: Failure) -> None:
    """Something went wrong: the driver sees that this program has gone."""
    failure.printTraceback(sys.stderr)
    if reactor.running:
        reactor.stop()


def obey_orders(prepare: Callable[[], Coroutine[Any, Any, Obey]]) -> None:
    """Run until there are no more orders.

    :param prepare: makes ready, and returns what obeys.
    """

    async def start() -> None:
        obey = await prepare()
        StandardIO(Orders(obey), reactor=reactor)
        say(ready=True)

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(start()).addErrback(end))
    reactor.run()
