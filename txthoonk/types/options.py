"""Options of feeds, as users give them and as ``feed.config:[feed]`` holds them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from txthoonk.keys import encode
from txthoonk.types.backoff import Backoff

__all__ = ["ANY_TYPE", "LOCAL", "encode_options"]


def _number(name: str, of: str, zero: str) -> Callable[[Any], bytes]:
    """Encodes a whole number; ``None`` takes the option away.

    :param of: what it is a number of.
    :param zero: what 0 means.
    """

    def encode_number(value: Any) -> bytes:
        if value is None:
            return b""
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise TypeError(f"{name} is a number of {of}, not {value!r}")
        try:
            number = int(value)
        except ValueError:
            raise ValueError(f"{name} is a number of {of}, not {value!r}") from None
        if not 0 <= number <= 10**12:
            raise ValueError(f"{name} is 0 ({zero}) or more, at most 10^12, not {number}")
        return b"%d" % number

    return encode_number


def _max_length(value: Any) -> bytes:
    """No limit is no entry at all: peers take ``0`` for a limit (contract REPORT, feed)."""
    number = _items(value)
    return b"" if number == b"0" else number


_items = _number("max_length", "items", "no limit")


def _seconds(name: str, zero: bool = False) -> Callable[[Any], bytes]:
    """Encodes seconds; ``None`` takes the option away.

    :param zero: whether 0 is allowed.
    """

    def encode_seconds(value: Any) -> bytes:
        if value is None:
            return b""
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise TypeError(f"{name} is a number of seconds, not {value!r}")
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f"{name} is a number of seconds, not {value!r}") from None
        if not 0 <= number <= 1e9 or (number == 0 and not zero):
            least = "0 or more" if zero else "more than 0"
            raise ValueError(f"{name} is {least} seconds, at most 1e9, not {value!r}")
        return b"%.15g" % number

    return encode_seconds


def _backoff(value: Any) -> bytes:
    if value is None:
        return b""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError(f"backoff is a number of seconds or a text, not {value!r}")
    text = str(value)
    Backoff.parse(text)
    return encode(text)


def _clock(value: Any) -> bytes:
    if value not in ("ms", "s"):
        raise ValueError(f"clock is 'ms' or 's', not {value!r}")
    return encode(value)


def _flag(value: Any) -> bytes:
    if value in (True, "1"):
        return b"1"
    if value in (False, "0"):
        return b"0"
    raise ValueError(f"announce is True or False, not {value!r}")


def _text(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return encode(str(value))
    raise TypeError(f"a configuration value is a str or a number, not {value!r}")


_ENCODERS: Final[dict[str, Callable[[Any], bytes]]] = {
    "max_length": _max_length,
    "clock": _clock,
    "announce": _flag,
    "title": _text,
    "claim_timeout": _seconds("claim_timeout"),
    "max_attempts": _number("max_attempts", "attempts", "no limit"),
    "history": _number("history", "events", "none are kept"),
    "backoff": _backoff,
    "peer_timeout": _seconds("peer_timeout"),
    "result_ttl": _seconds("result_ttl", zero=True),
}

#: Those of all types together.
ANY_TYPE: Final = frozenset(_ENCODERS)

#: Options that stay in this process.
LOCAL: Final = frozenset({"serializer"})


def encode_options(
    allowed: Iterable[str], options: Mapping[str, Any], config: Mapping[str, Any] | None
) -> list[bytes]:
    """Options as the scripts take them: name, value, name, value, ...

    :param allowed: the options that a feed's type has.
    :param options: given as keywords; each must be one of *allowed*.
    :param config: given as a mapping; what is no option is stored as text.
    :raises TypeError: if a keyword is no option.
    :raises ValueError: if a value cannot be, or the type has no such option.
    """
    allowed = frozenset(allowed)
    for name in options:
        if name not in allowed:
            if name in _ENCODERS:
                raise ValueError(f"this type of feed has no {name}")
            raise TypeError(f"no option {name!r}; there are {', '.join(sorted(allowed))}")
    pairs: list[bytes] = []
    for name, value in {**(config or {}), **options}.items():
        if name in LOCAL:
            continue
        if name in _ENCODERS and name not in allowed:
            raise ValueError(f"this type of feed has no {name}")
        if not isinstance(name, str) or not name:
            raise TypeError(f"the name of an option is a str, not {name!r}")
        pairs += (encode(name), _ENCODERS.get(name, _text)(value))
    return pairs
