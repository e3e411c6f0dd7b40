"""autobahn's WebSockets on Twisted; a message is framed once, by ``prepareMessage``."""

from __future__ import annotations

from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol

from benchmarks.web_contestants import common

sockets: set[Any] = set()


class Socket(WebSocketServerProtocol):  # type: ignore[misc]  # untyped
    """A client's connection."""

    def onOpen(self) -> None:  # noqa: N802  # autobahn's name
        """It is open."""
        sockets.add(self)

    def onClose(self, *why: Any) -> None:  # noqa: N802  # autobahn's name
        """It has gone."""
        sockets.discard(self)


def hear(message: bytes) -> None:
    """Send it to all."""
    prepared = factory.prepareMessage(message, isBinary=False)
    for each in sockets:
        each.sendPreparedMessage(prepared)


factory = WebSocketServerFactory()
factory.protocol = Socket

if __name__ == "__main__":
    common.serve(factory, hear)
