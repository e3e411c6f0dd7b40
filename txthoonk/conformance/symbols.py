"""What differs each time: names, ids, clocks; in vectors they are words between ``<`` and ``>``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

__all__ = ["Symbols", "number"]

#: A symbol: kind, how many milliseconds later, whether in seconds, its name.
SYMBOL: Final = re.compile(r"<([a-z]+)([+-]\d+(?:\.\d+)?)?( s)?(?::(\w+))?>")

#: What a symbol may stand for, by its kind.
KINDS: Final = {
    "id": r"[0-9A-Za-z-]{1,64}",
    "instance": r"[^\0]+",
    "token": r"\S+",
    "worker": r"[^\t\n]+",
    "epoch": r"\d+",
    "digest": r"\d+",
    "now": r"\d+(?:\.\d+)?",
}

#: How many milliseconds a clock may be off.
TOLERANCE: Final = 2000


def number(text: str) -> str:
    """A score as shortest text, so that two of them can be compared."""
    value = float(text)
    return str(int(value)) if value.is_integer() else repr(value)


class Symbols:
    """What the symbols of one vector stand for.

    :param known: ``feed``, ``start``, ``db`` and so on.
    :param base: milliseconds: ``<then>``.
    """

    def __init__(self, known: Mapping[str, str], base: int) -> None:
        self._known = dict(known)
        self._base = base
        #: The time of the step, in milliseconds: from, to.
        self.window = (base, base)

    def fill(self, value: Any) -> Any:
        """The same with all symbols replaced that are known."""
        if isinstance(value, str):
            return SYMBOL.sub(self._filled, value)
        if isinstance(value, dict):
            return {self.fill(key): self.fill(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.fill(each) for each in value]
        return value

    def _filled(self, match: re.Match[str]) -> str:
        kind, offset, seconds, _ = match.groups()
        if kind == "then":
            return clock(self._base, offset, seconds)
        return self._known.get(match[0][1:-1], match[0])

    def match(self, expected: Any, actual: Any) -> bool:
        """Whether something is what is expected; symbols that were free are known afterwards."""
        if isinstance(expected, str) and isinstance(actual, str):
            return self._match_text(expected, actual)
        if isinstance(expected, dict) and isinstance(actual, dict):
            filled = self.fill(expected)
            return filled.keys() == actual.keys() and all(
                self.match(each, actual[key]) for key, each in filled.items()
            )
        if isinstance(expected, list) and isinstance(actual, list):
            return len(expected) == len(actual) and all(map(self.match, expected, actual))
        return type(expected) is type(actual) and bool(expected == actual)

    def match_score(self, expected: str, actual: str) -> bool:
        """The same of a score: numbers are compared as such."""
        expected = self.fill(expected)
        if "<" not in expected:
            return number(expected) == number(actual)
        return self._match_text(expected, number(actual))

    def _match_text(self, expected: str, actual: str) -> bool:
        expected = self.fill(expected)
        if "<" not in expected:
            return expected == actual
        pattern, free, end = "", [], 0
        for symbol in SYMBOL.finditer(expected):
            if symbol[1] not in KINDS:
                continue
            pattern += re.escape(expected[end : symbol.start()]) + f"({KINDS[symbol[1]]})"
            free.append(symbol)
            end = symbol.end()
        found = re.fullmatch(pattern + re.escape(expected[end:]), actual, re.DOTALL)
        if not found:
            return False
        bound: dict[str, str] = {}
        for symbol, text in zip(free, found.groups(), strict=True):
            kind, offset, seconds, name = symbol.groups()
            if kind == "now" and not self._is_now(text, offset, seconds):
                return False
            if (kind != "now" or name) and bound.setdefault(symbol[0][1:-1], text) != text:
                return False
        self._known |= bound
        return True

    def _is_now(self, text: str, offset: str | None, seconds: str | None) -> bool:
        try:
            value = Decimal(text) * (1000 if seconds else 1) - Decimal(offset or 0)
        except InvalidOperation:
            return False
        start, end = self.window
        return start - TOLERANCE <= value <= end + TOLERANCE


def clock(base: int, offset: str | None, seconds: str | None) -> str:
    """A time as text: milliseconds, or seconds with what is left of them behind the point."""
    value = Decimal(base) + Decimal(offset or 0)
    return f"{(value / 1000 if seconds else value).normalize():f}"
