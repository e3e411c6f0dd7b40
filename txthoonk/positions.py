"""Where in the history of a feed somebody is, and how that is told to another process."""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Final

import msgspec

from txthoonk.keys import decode, encode

__all__ = [
    *("Position", "pack_place", "pack_position", "pack_positions"),
    *("read_place", "read_position", "read_positions"),
]

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


#: Numbers of 36 digits, and the largest that a place has.
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_MOST: Final = 2**63 - 1
_PLACE: Final = re.compile(r"([0-9a-z]{0,13})-([0-9a-z]{1,13})-([0-9a-z]{0,13})")


def pack_place(position: Position) -> str:
    """A position as web clients have it: ``epoch-revision-digest``, each in base 36.

    An epoch that is no number, as nothing of ours writes it, is left out: whoever comes back with
    that place is told that it is of another epoch. What only servers need is left out too.
    """
    digest = "" if position.digest is None else _base36(position.digest)
    return f"{_epoch(position.epoch or '')}-{_base36(position.revision)}-{digest}"


def read_place(place: str) -> Position:
    """The opposite of :func:`pack_place`; whatever a client sends may be given.

    :raises ValueError: if it is none.
    """
    found = _PLACE.fullmatch(place) if isinstance(place, str) else None
    if found is None:
        raise ValueError(f"this is no place in a feed: {str(place)[:40]!r}")
    epoch, revision, digest = (int(part, 36) if part else None for part in found.groups())
    if max(epoch or 0, revision or 0, digest or 0) > _MOST:
        raise ValueError(f"this is no place in a feed: {place!r}")
    return Position(revision or 0, "" if epoch is None else str(epoch), digest)


@lru_cache(maxsize=4096)
def _epoch(epoch: str) -> str:
    is_number = epoch.isascii() and epoch.isdigit() and len(epoch) < 19
    return _base36(int(epoch)) if is_number and str(int(epoch)) == epoch else ""


def _base36(number: int) -> str:
    digits = ""
    while number >= 36:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return _DIGITS[number] + digits


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
