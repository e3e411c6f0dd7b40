"""Publishes when the clients ask for it: into a feed, or to a channel.

``python -m benchmarks.web_publisher HOST PORT CLIENTS``: the port on which the clients listen. An
order tells where to: ``{"feed": name}``, or ``{"channel": name, "wrap": "socket.io"}``; or asks
when everything was ``sent`` since then.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet import endpoints, protocol
from twisted.internet.defer import Deferred, gatherResults

from benchmarks.bare import Bare, connect
from benchmarks.orders import Obey, obey_orders, reactor
from benchmarks.tools import Record
from benchmarks.web_load import MARK
from txthoonk import Thoonk

#: As long as the items elsewhere.
ITEM = "m" * 99 + MARK.decode()
#: How many items a feed gets, one after another: it stays as small as that.
ITEMS = 10


def wrapped(wrap: str) -> bytes:
    """The message as they publish it."""
    if wrap != "socket.io":
        return ITEM.encode()
    packet = {"type": 2, "data": ["m", ITEM], "nsp": "/"}
    options: dict[str, Any] = {"rooms": [], "except": [], "flags": {}}
    return msgspec.msgpack.encode(["benchmark", packet, options])


class Asked(protocol.Protocol):
    """Publishes for each byte.

    :ivar publish: does it.
    """

    def __init__(self) -> None:
        self.publish: Callable[[int], Deferred[Any]]
        self.sent: list[int] = []
        self.replies: list[Deferred[Any]] = []

    def dataReceived(self, data: bytes) -> None:
        """So many are wanted."""
        for _ in data:
            self.sent.append(time.monotonic_ns())
            self.replies.append(self.publish(len(self.sent)))


def main() -> None:
    """Be the publisher."""
    host, port, clients = sys.argv[1:]

    async def prepare() -> Obey:
        thoonk = Thoonk(f"redis://{host}:{port}")
        thoonk.startService()
        await thoonk.when_connected()
        bare = await connect(Bare("bare-direct"), host, int(port))
        asked = Asked()
        place = endpoints.TCP4ClientEndpoint(reactor, "127.0.0.1", int(clients))
        await endpoints.connectProtocol(place, asked)

        async def obey(order: Record) -> Record:
            if "sent" in order:
                await gatherResults(asked.replies, consumeErrors=True)
            sent = asked.sent
            asked.sent, asked.replies = [], []
            if "feed" in order:
                feed = thoonk.feed(order["feed"])
                asked.publish = lambda number: feed.publish(ITEM, str(number % ITEMS))
            elif "channel" in order:
                channel, message = order["channel"].encode(), wrapped(order["wrap"])
                asked.publish = lambda _: bare.command(b"PUBLISH", channel, message)
            return {"sent": sent}

        return obey

    obey_orders(prepare)


if __name__ == "__main__":
    main()
