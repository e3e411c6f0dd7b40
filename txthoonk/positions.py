"""Where in the history of a feed somebody is, and how that is told to another process."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from txthoonk.keys import decode, encode

__all__ = ["Position", "pack_position", "pack_positions", "read_position", "read_positions"]

#: How much of the server's replication id a token has: characters.
SERVER: Final = 12


class Position(msgspec.Struct, frozen=True, array_like=True):
    """A revision, and how to tell whether it still is what it was.

    :ivar revision: the last one that is known.
    :ivar epoch: of the revision, empty before the first; None: whichever there is.
    :ivar digest: of all events up to it; None: not known.
    :ivar publishes: the contract's counter; -1: not known.
    :ivar server: replication id of the server that said so.
    """

    revision: Annotated[int, msgspec.Meta(ge=0)]
    epoch: str | None = None
    digest: int | None = None
    publishes: int = -1
    server: str = ""


_ENCODER: Final = msgspec.msgpack.Encoder()
_ONE: Final = msgspec.msgpack.Decoder(Position)
#: Names as Redis has them: not each is UTF-8.
_MANY: Final = msgspec.msgpack.Decoder(dict[bytes, Position])


def pack_position(position: Position) -> str:
    """A token of one position."""
    return "p" + _text(_ENCODER.encode(position))


def pack_positions(positions: Mapping[str, Position]) -> str:
    """A token of the positions in several feeds."""
    by_name = {encode(name): position for name, position in positions.items()}
    return "m" + _text(zlib.compress(_ENCODER.encode(by_name)))


def read_position(token: str) -> Position:
    """The opposite of :func:`pack_position`.

    :raises ValueError: if it is no such token.
    """
    try:
        return _ONE.decode(_data("p", token))
    except (ValueError, msgspec.MsgspecError):
        raise ValueError(f"this is no token of a feed: {str(token)[:40]!r}") from None


def read_positions(token: str) -> dict[str, Position]:
    """The opposite of :func:`pack_positions`.

    :raises ValueError: if it is no such token.
    """
    try:
        by_name = _MANY.decode(_decompress(_data("m", token)))
    except (ValueError, msgspec.MsgspecError, zlib.error):
        raise ValueError(f"this is no token of a pattern: {str(token)[:40]!r}") from None
    return {decode(name): position for name, position in by_name.items()}


#: A token that is larger when it is unpacked is none of ours: bytes.
_LARGEST: Final = 256 * 2**20


def _decompress(data: bytes) -> bytes:
    machine = zlib.decompressobj()
    unpacked = machine.decompress(data, _LARGEST)
    if not machine.eof:
        raise ValueError("too large, or cut off")
    return unpacked


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _data(kind: str, token: str) -> bytes:
    if not isinstance(token, str) or token[:1] != kind:
        raise ValueError("of another kind")
    text = token[1:].encode("ascii", "replace")
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
