"""A process whose users are there as long as it lives.

``python -m tests.presence URL FEED TTL ID...`` publishes each id for TTL seconds, three times as
often; it says ``here`` once all are there.
"""

from __future__ import annotations

import sys
from typing import Any


def main(url: str, feed: str, ttl: str, *ids: str) -> None:
    """Be there, for ever."""
    from twisted.internet import reactor as its
    from twisted.internet.defer import Deferred, gatherResults
    from twisted.internet.task import LoopingCall

    from txthoonk import Thoonk

    reactor: Any = its  # the module is the reactor
    thoonk = Thoonk(url)
    thoonk.startService()
    thoonk.expirer()
    users = thoonk.feed(feed)

    async def renew() -> None:
        await gatherResults([users.publish("here", id=id, ttl=float(ttl)) for id in ids])
        sys.stdout.write("here\n")
        sys.stdout.flush()

    LoopingCall(lambda: Deferred.fromCoroutine(renew())).start(float(ttl) / 3)
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
