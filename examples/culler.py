"""Keeps a feed to what is younger than some seconds: everything older is retracted.

``max_length`` bounds a feed by number; this bounds it by age. It needs nothing of the feed but
its order and the times in it, so it may run anywhere, once or several times.

Run: python examples/culler.py FEED SECONDS [redis URL]
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, react

from txthoonk import Thoonk


async def cull(thoonk, feed, seconds):
    """Retract what is older than *seconds* by Redis's clock; says how many."""
    now, _ = await thoonk.redis.execute("TIME")
    oldest = (int(now) - seconds) * 1000  # scores of a feed are milliseconds
    old = await thoonk.redis.execute("ZRANGEBYSCORE", feed.keys.ids, "-inf", f"({oldest}")
    for id in old:
        await feed.retract(id.decode())
    return len(old)


async def main(reactor, name, seconds, target):
    async with Thoonk(target) as thoonk:
        feed = thoonk.feed(name)
        await feed.subscribe(retract=lambda event: print("retracted", event.id, flush=True))

        def work():
            return Deferred.fromCoroutine(cull(thoonk, feed, int(seconds)))

        await LoopingCall(work).start(1)  # until Ctrl-C, or Redis is gone for too long


if __name__ == "__main__":
    target = (*sys.argv[3:], "redis://localhost:6379/0")[0]
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:3], target)))
