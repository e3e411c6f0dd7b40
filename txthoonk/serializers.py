"""Items to bytes and back."""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec

__all__ = ["SERIALIZERS", "Serializer", "get_serializer"]


class Serializer(Protocol):
    """What turns an item into bytes and back; any object with these two methods will do."""

    def encode(self, item: Any) -> bytes:
        """:raises TypeError: or ``ValueError`` if *item* cannot be stored."""

    def decode(self, data: bytes) -> Any:
        """:raises Exception: whichever, if *data* is no such item."""

    def __hash__(self) -> int:
        """Channels that are read alike are read once."""


class _Text:
    """``str``; bytes that are no UTF-8 come and go as surrogates."""

    def encode(self, item: Any) -> bytes:
        if type(item) is not str and not isinstance(item, str):
            raise TypeError(
                f"items of this feed are text, not {type(item).__name__}; "
                "another serializer may be given: serializer='bytes' or 'json'"
            )
        return item.encode("utf-8", "surrogateescape")

    def decode(self, data: bytes) -> str:
        return data.decode("utf-8", "surrogateescape")


class _Bytes:
    """``bytes`` as they are."""

    def encode(self, item: Any) -> bytes:
        if not isinstance(item, (bytes, bytearray, memoryview)):
            raise TypeError(f"items of this feed are bytes, not {type(item).__name__}")
        return bytes(item)

    def decode(self, data: bytes) -> bytes:
        return data


class _Json:
    """Whatever JSON can say."""

    _encoder = msgspec.json.Encoder()
    _decoder = msgspec.json.Decoder()

    def encode(self, item: Any) -> bytes:
        return self._encoder.encode(item)

    def decode(self, data: bytes) -> Any:
        return self._decoder.decode(data)


SERIALIZERS: Final[dict[str, Serializer]] = {"text": _Text(), "bytes": _Bytes(), "json": _Json()}


def get_serializer(serializer: str | Serializer) -> Serializer:
    """The serializer of that name, or the object itself if it is one.

    :raises ValueError: if there is none of that name.
    :raises TypeError: if it is neither.
    """
    if isinstance(serializer, str):
        try:
            return SERIALIZERS[serializer]
        except KeyError:
            known = ", ".join(SERIALIZERS)
            raise ValueError(f"no serializer {serializer!r}; there are {known}") from None
    if callable(getattr(serializer, "encode", None)) and callable(
        getattr(serializer, "decode", None)
    ):
        hash(serializer)  # raises TypeError; a dataclass, say, has to be frozen
        return serializer
    raise TypeError(f"a serializer has encode and decode, {serializer!r} has not")
