"""The least that pipelines on Twisted: what everything of ours is measured beside."""

from __future__ import annotations

from collections import deque
from typing import Any

import hiredis
from twisted.internet import endpoints, protocol
from twisted.internet.defer import Deferred

from benchmarks.orders import reactor


class Bare(protocol.Protocol):
    """hiredis, a deque of Deferreds, one write a turn of the reactor.

    :param how: ``bare`` leaves the writing to the reactor; ``bare-direct`` hands the bytes to the
        socket, which saves a turn; ``bare-inline`` does so at the end of ``dataReceived`` already.
    """

    def __init__(self, how: str) -> None:
        self.direct = how != "bare"
        self.inline = how == "bare-inline"
        self.waiting: deque[Deferred[Any]] = deque()
        self.out: list[bytes] = []
        self.reader = hiredis.Reader()
        self.receiving = False

    def command(self, *args: bytes) -> Deferred[Any]:
        """Send a command with the others of this turn; fires with its reply."""
        reply: Deferred[Any] = Deferred()
        self.waiting.append(reply)
        if not self.out and not self.receiving:
            reactor.callLater(0, self.flush)
        self.out.append(hiredis.pack_command(args))  # type: ignore[arg-type]  # any tuple
        return reply

    def flush(self) -> None:
        """Write what has come together."""
        data, self.out = b"".join(self.out), []
        transport: Any = self.transport
        if self.direct and not transport.dataBuffer and not transport._tempDataBuffer:
            sent = transport.writeSomeData(data)
            data = data[sent:] if isinstance(sent, int) else data
            if not data:
                return
        transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        """Replies came, in the order of the commands."""
        self.reader.feed(data)
        gets, waiting = self.reader.gets, self.waiting
        inline = self.receiving = self.inline
        reply = gets()
        while reply is not False:
            waiting.popleft().callback(reply)
            reply = gets()
        if inline:
            self.receiving = False
            if self.out:
                self.flush()


async def connect(made: protocol.Protocol, host: str, port: int) -> Any:
    """Connect this protocol.

    :returns: the same, connected.
    """
    endpoint = endpoints.TCP4ClientEndpoint(reactor, host, port)
    await endpoints.connectProtocol(endpoint, made)
    transport: Any = made.transport
    transport.setTcpNoDelay(True)
    return made
