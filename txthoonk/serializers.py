"""Items to bytes and back."""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec

__all__ = ["SERIALIZERS", "Serializer", "get_serializer", "of_results"]


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


class _JobsResults:
    """Text as it is, and anything else as JSON; read as text."""

    def encode(self, item: Any) -> bytes:
        return (_TEXT if isinstance(item, str) else _JSON).encode(item)

    def decode(self, data: bytes) -> str:
        return _TEXT.decode(data)


class _Jobs(_Json):
    """As thoonk-jobs has it: items are JSON, results are not."""

    results = _JobsResults()


_TEXT: Final = _Text()
_JSON: Final = _Json()

SERIALIZERS: Final[dict[str, Serializer]] = {
    "text": _TEXT,
    "bytes": _Bytes(),
    "json": _JSON,
    "thoonk-jobs": _Jobs(),
}


def of_results(serializer: Serializer) -> Serializer:
    """What results of jobs pass: the same as items, unless the serializer has another one."""
    found: Serializer = getattr(serializer, "results", serializer)
    return found


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
