"""What the programs on Twisted share: one bare subscription, and what the driver asks for."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hiredis
from twisted.internet import endpoints, protocol

from benchmarks.orders import Obey, obey_orders, reactor

HOST, PORT = sys.argv[1], int(sys.argv[2])
CHANNEL = sys.argv[3]
VARIANT = "".join(sys.argv[4:5])


class Subscription(protocol.Protocol):
    """Hears what is published, and hands it on as it is.

    :param hear: gets each message.
    """

    def __init__(self, hear: Callable[[bytes], None]) -> None:
        self._hear = hear
        self._reader = hiredis.Reader()

    def connectionMade(self) -> None:
        """Subscribe."""
        assert self.transport is not None
        self.transport.write(hiredis.pack_command(("SUBSCRIBE", CHANNEL)))

    def dataReceived(self, data: bytes) -> None:
        """Something was published."""
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            if reply[0] == b"message":
                self._hear(reply[2])


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def serve(factory: protocol.Factory, hear: Callable[[bytes], None] | None = None) -> None:
    """Run until there are no more orders.

    :param factory: of the connections that clients make.
    :param hear: gets each message of the channel; ``None`` has a subscription of its own.
    """

    async def prepare() -> Obey:
        if hear is not None:
            redis = endpoints.TCP4ClientEndpoint(reactor, HOST, PORT)
            await endpoints.connectProtocol(redis, Subscription(hear))
        listening = reactor.listenTCP(0, factory, backlog=4096, interface="127.0.0.1")

        async def obey(order: dict[str, Any]) -> dict[str, Any]:
            if order["collect"]:
                gc.collect()
            return {"port": listening.getHost().port, "bytes": resident()}

        return obey

    obey_orders(prepare)
