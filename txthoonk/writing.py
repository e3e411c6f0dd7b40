"""How bytes reach the socket.

``transport.write`` leaves the bytes for the reactor's next turn: it registers the socket for
writing, waits for the poll that says it is writable, writes, and registers it off again. A socket
with nothing buffered takes a command at once, which saves two system calls and a turn of the
reactor for each batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import ITransport

__all__ = ["writer"]


def writer(transport: ITransport) -> Callable[[bytes], None]:
    """The quickest way to write to *transport* that keeps the order of the bytes.

    Small commands leave at once (no Nagle), and the kernel looks after a silent peer as well.

    Plain TCP and UNIX sockets of Twisted's own are written to at once, where nothing is buffered
    yet; every other transport (TLS, tests, other reactors) gets ``transport.write``.
    """
    from twisted.internet import tcp

    for name in ("setTcpNoDelay", "setTcpKeepAlive"):
        setter: Callable[[bool], None] | None = getattr(transport, name, None)
        if setter is not None:
            setter(True)
    if not isinstance(transport, tcp.Connection) or not hasattr(transport, "_tempDataBuffer"):
        return transport.write

    socket: Any = transport

    def write(data: bytes) -> None:
        if (
            socket.dataBuffer
            or socket._tempDataBuffer
            or socket.disconnecting
            or not socket.connected
            or socket.TLS
        ):
            socket.write(data)
            return
        try:
            sent = socket.socket.send(data)
        except OSError:
            # It takes none just now; or the reactor's own turn meets the error, and reports it.
            socket.write(data)
        else:
            if sent < len(data):
                socket.write(data[sent:])

    return write
