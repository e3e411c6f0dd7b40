"""How bytes reach the socket.

``transport.write`` leaves the bytes for the reactor's next turn: it registers the socket for
writing, waits for the poll that says it is writable, writes, and registers it off again. A socket
with nothing buffered takes a command at once, which saves two system calls and a turn of the
reactor for each batch.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
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

    return MethodType(_write_at_once, transport)  # smaller than a closure: each web client has one


def _write_at_once(transport: Any, data: bytes) -> None:
    if (
        transport.dataBuffer
        or transport._tempDataBuffer
        or transport.disconnecting
        or not transport.connected
        or transport.TLS
    ):
        transport.write(data)
        return
    try:
        sent = transport.socket.send(data)
    except OSError:
        # It takes none just now; or the reactor's own turn meets the error, and reports it.
        transport.write(data)
    else:
        if sent < len(data):
            transport.write(data[sent:])
