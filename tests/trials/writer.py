"""A process that writes: ``python -m tests.trials.writer URL FEEDS RATE``.

It changes feeds ``storm:0`` and so on, every second one of them sorted, until its input is closed;
then it says how often.
"""

from __future__ import annotations

import random
import sys
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Protocol
from twisted.internet.stdio import StandardIO
from twisted.internet.task import LoopingCall, react

from txthoonk import Thoonk
from txthoonk.errors import ItemDoesNotExist

reactor: Any = global_reactor

#: Seconds between bunches of changes, and how many of these are on their way at most.
TICK = 0.02
MOST = 2000


class Writer(Protocol):
    """Writes at a rate, as far as Redis can.

    :param rate: changes a second.
    """

    def __init__(self, thoonk: Thoonk, feeds: int, rate: float) -> None:
        self._thoonk = thoonk
        self._feeds = feeds
        self._rate = rate
        self._chance = random.Random(rate)
        self._ids: list[list[str]] = [[] for _ in range(feeds)]
        self._begin = reactor.seconds()
        self._due = 0
        self._waiting: set[Deferred[Any]] = set()
        self.sent = self.failed = 0
        self.ended: Deferred[None] = Deferred()
        self._loop = LoopingCall(self._write)
        self._loop.start(TICK).addErrback(self.ended.errback)

    def connectionLost(self, reason: Any = None) -> None:
        """Enough."""
        self.seconds = reactor.seconds() - self._begin
        self._loop.stop()
        gatherResults(list(self._waiting)).addCallback(lambda _: self.ended.callback(None))

    def _write(self) -> None:
        due = int((reactor.seconds() - self._begin) * self._rate)
        count = min(due - self._due, MOST - len(self._waiting))
        self._due = due
        for _ in range(count):
            call = self._change(self._chance.randrange(self._feeds))
            self._waiting.add(call)
            call.addErrback(self._failed).addBoth(lambda _, c=call: self._waiting.discard(c))
            self.sent += 1

    def _change(self, number: int) -> Deferred[Any]:
        """One change, and one call of a script, of a feed that only this process changes."""
        name, chance = f"storm:{number}", self._chance
        known = self._ids[number]
        what = chance.random()
        if number % 2 == 0:
            feed = self._thoonk.feed(name)
            id = f"{chance.randrange(10)}"
            return feed.publish(f"item {what}", id=id) if what < 0.8 else feed.retract(id)
        items = self._thoonk.sorted_feed(name)
        if what < 0.5 or not known:
            return items.append(f"item {what}").addCallback(known.append)
        if what < 0.8:
            return items.edit(chance.choice(known), f"edited {what}")
        return items.retract(known.pop(0))

    def _failed(self, failure: Any) -> None:
        failure.trap(ItemDoesNotExist)
        self.failed += 1


async def main(url: str, feeds: str, rate: str) -> None:
    """Write."""
    async with Thoonk(url, max_pending=100_000) as thoonk:
        await thoonk.redis.execute("PING")
        writer = Writer(thoonk, int(feeds), float(rate))
        StandardIO(writer)
        await writer.ended
    sys.stdout.write(f"{writer.sent} {writer.seconds}\n")


if __name__ == "__main__":
    react(lambda _: Deferred.fromCoroutine(main(*sys.argv[1:])))
