"""Servers that do what no Redis should."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hiredis
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["FakeServer", "SilentEndpoint"]


class FakeServer:
    """A server that answers each command as it is told to.

    :param answer: gets the number of the connection, from 0, and the command in capitals;
        gives the reply as it goes over the wire, b"" for none, None to hang up.
    """

    def __init__(self, reactor: Any, answer: Callable[[int, bytes], bytes | None]) -> None:
        self.answer = answer
        #: All commands, with the number of their connection.
        self.commands: list[tuple[int, bytes]] = []
        self.accepted = 0
        self._open: set[Protocol] = set()
        factory = Factory()
        factory.noisy = False
        factory.buildProtocol = self._build  # type: ignore[method-assign,assignment]  # a fake
        self._port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self._port.getHost().port)

    def _build(self, _: object) -> Protocol:
        self.accepted += 1
        return _Connection(self, self.accepted - 1, self._open)

    async def stop(self) -> None:
        """Close everything."""
        await self._port.stopListening()
        for connection in list(self._open):
            connection.transport.abortConnection()  # type: ignore[union-attr]  # it is connected


class _Connection(Protocol):
    def __init__(self, server: FakeServer, number: int, connections: set[Protocol]) -> None:
        self._server = server
        self._number = number
        self._open = connections
        self._reader = hiredis.Reader()

    def connectionMade(self) -> None:
        self._open.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._open.discard(self)

    def dataReceived(self, data: bytes) -> None:
        self._reader.feed(data)
        while (command := self._reader.gets()) is not False:
            verb = command[0].upper()
            self._server.commands.append((self._number, verb))
            reply = self._server.answer(self._number, verb)
            assert self.transport is not None
            if reply is None:
                self.transport.loseConnection()
                return
            self.transport.write(reply)


@implementer(IStreamClientEndpoint)
class SilentEndpoint:
    """An endpoint whose connections never come about; says whether one was given up."""

    def __init__(self) -> None:
        self.attempts = 0
        self.cancelled = 0

    def connect(self, factory: Any) -> Deferred[Any]:
        self.attempts += 1
        return Deferred(self._cancelled)

    def _cancelled(self, _: object) -> None:
        self.cancelled += 1
