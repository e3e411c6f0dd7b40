"""A request as something to write to, where its connection has others: HTTP/2."""

from __future__ import annotations

from typing import Any

from twisted.python.failure import Failure

__all__ = ["RequestTransport"]


class RequestTransport:
    """What a stream needs of a transport, done with the request alone.

    :param request: nothing of its answer was written.
    :param protocol: hears when the client has gone.
    """

    def __init__(self, request: Any, protocol: Any) -> None:
        self._request = request
        self._protocol = protocol
        request.notifyFinish().addErrback(self._lost)

    def _lost(self, reason: Failure) -> None:
        self._request = None
        self._protocol.connectionLost(reason)

    def write(self, data: bytes) -> None:
        """Send something, after the head of the answer."""
        if self._request is not None:
            self._request.write(data)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Have something paused while the client does not read."""
        self._request.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """The opposite."""
        if self._request is not None:
            self._request.unregisterProducer()

    def pauseProducing(self) -> None:
        """Nothing comes from the client anyway."""

    def resumeProducing(self) -> None:
        """The same."""

    def loseConnection(self) -> None:
        """End the answer."""
        request, self._request = self._request, None
        if request is not None:
            request.finish()

    def abortConnection(self) -> None:
        """End it at once, whatever was not sent."""
        request, self._request = self._request, None
        if request is not None:
            request.loseConnection()
