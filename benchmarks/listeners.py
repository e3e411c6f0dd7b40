"""Contestants that listen, each in a process of its own.

``python -m benchmarks.listeners WHO HOST PORT CHANNELS``; an order ``{"messages": 100000}`` is
answered at once, and once more when so many have reached their handlers.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import hiredis

from benchmarks.orders import obey_orders, reactor, say
from benchmarks.tools import ITEM, Record, pack

Listen = Callable[["Count", str, int, int], Coroutine[Any, Any, None]]


def feed_of(who: str, number: int) -> str:
    """The feed of a contestant's channel; all names are equally long."""
    return f"benchmark-{who}-{number:05d}"


def publishes(who: str, channels: int, messages: int) -> list[bytes]:
    """Packed PUBLISH commands, one channel after another."""
    payload = b"0" * 32 + b"\0" + ITEM.encode()
    commands = [
        pack("PUBLISH", f"feed.publish:{feed_of(who, number)}", payload)
        for number in range(channels)
    ]
    return [commands[number % channels] for number in range(messages)]


class Count:
    """Counts what the handlers get."""

    def __init__(self) -> None:
        self._left = 0
        self._cpu = self._wall = 0.0

    async def obey(self, order: Record) -> Record:
        """Measure from now on."""
        self._left = order["messages"]
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return {"listening": True}

    def handler(self) -> Callable[[object], None]:
        """A handler of its own for each channel."""

        def handle(_: object) -> None:
            self._left -= 1
            if not self._left:
                say(wall=time.perf_counter() - self._wall, cpu=time.process_time() - self._cpu)

        return handle


async def bare(count: Count, host: str, port: int, channels: int) -> None:
    """The least there is: parse, look the channel up, call."""
    names = [f"feed.publish:{feed_of('bare', number)}".encode() for number in range(channels)]
    await listen(count, host, port, names)


async def listen(count: Count, host: str, port: int, channels: Sequence[bytes]) -> None:
    """The same on whatever channels."""
    from twisted.internet import endpoints, protocol
    from twisted.internet.defer import Deferred

    handlers = {channel: count.handler() for channel in channels}
    subscribed: Deferred[None] = Deferred()

    class Bare(protocol.Protocol):
        def connectionMade(self) -> None:
            self.reader = hiredis.Reader()
            self.confirmed = 0
            assert self.transport is not None
            self.transport.write(pack("SUBSCRIBE", *handlers))

        def dataReceived(self, data: bytes) -> None:
            self.reader.feed(data)
            gets = self.reader.gets
            reply = gets()
            while reply is not False:
                if reply[0] == b"message":
                    handlers[reply[1]](reply[2])
                else:
                    self.confirmed += 1
                    if self.confirmed == len(channels):
                        subscribed.callback(None)
                reply = gets()

    endpoint = endpoints.TCP4ClientEndpoint(reactor, host, port)
    await endpoint.connect(protocol.Factory.forProtocol(Bare))
    await subscribed


async def subscribe(count: Count, host: str, port: int, channels: int) -> None:
    """Ours: ``Thoonk.subscribe``; handlers get events with id and decoded item."""
    from twisted.internet.defer import gatherResults

    from txthoonk import Thoonk

    thoonk = Thoonk(f"redis://{host}:{port}")
    thoonk.startService()
    await gatherResults(
        [
            thoonk.subscribe(feed_of("ours", number), publish=count.handler())
            for number in range(channels)
        ]
    )


CONTESTANTS: dict[str, Listen] = {"bare": bare, "ours": subscribe}


def main() -> None:
    """Be one contestant."""
    who, host, port, channels = sys.argv[1:]

    async def prepare() -> Callable[[Record], Coroutine[Any, Any, Record]]:
        count = Count()
        await CONTESTANTS[who](count, host, int(port), int(channels))
        return count.obey

    obey_orders(prepare)


if __name__ == "__main__":
    main()
