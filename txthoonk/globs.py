"""Redis's patterns, matched here as Redis matches them there."""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["compile_glob", "escape_glob"]


@lru_cache(maxsize=1024)
def compile_glob(pattern: bytes) -> re.Pattern[bytes]:
    """A regular expression that matches (``fullmatch``) what Redis's PSUBSCRIBE would.

    ``*`` is any bytes, ``?`` any byte, ``[a-c]`` one of some, ``[^a]`` any other, and a
    backslash takes the next one literally. Ranges are of ASCII: how Redis orders other bytes
    depends on its machine.
    """
    parts: list[list[bytes]] = [[]]  # those between the stars; each matches one byte after another
    i = 0
    while i < len(pattern):
        byte = pattern[i : i + 1]
        i += 1
        if byte == b"*":
            parts.append([])
        elif byte == b"?":
            parts[-1].append(b".")
        elif byte == b"[":
            charset, i = _charset(pattern, i)
            parts[-1].append(charset)
        else:
            if byte == b"\\" and i < len(pattern):
                byte = pattern[i : i + 1]
                i += 1
            parts[-1].append(re.escape(byte))
    first, *rest = (b"".join(part) for part in parts)
    *middle, last = rest or [b""]
    out = [first]
    # Where a part is found first is as good as any later place: what is captured is not tried
    # again, or a pattern of many stars would take longer than anybody lives.
    for number, part in enumerate(filter(None, middle)):
        out.append(b"(?=(?P<p%d>.*?%b))(?P=p%d)" % (number, part, number))
    if rest:
        out += [b".*", last]
    return re.compile(b"".join(out), re.DOTALL)


def _charset(pattern: bytes, i: int) -> tuple[bytes, int]:
    """What follows a ``[``; one that is never closed ends with the pattern, as in Redis."""
    negated = pattern[i : i + 1] == b"^"
    i += negated
    allowed: set[int] = set()
    while i < len(pattern) and pattern[i] != ord("]"):
        if pattern[i] == ord("\\") and i + 1 < len(pattern):
            allowed.add(pattern[i + 1])
            i += 2
        elif pattern[i + 1 : i + 2] == b"-" and i + 2 < len(pattern):
            low, high = sorted((pattern[i], pattern[i + 2]))
            allowed.update(range(low, high + 1))
            i += 3
        else:
            allowed.add(pattern[i])
            i += 1
    chosen = set(range(256)) - allowed if negated else allowed
    if not chosen:
        return b"(?!)", i + 1
    return b"[" + b"".join(b"\\x%02x" % each for each in sorted(chosen)) + b"]", i + 1


def escape_glob(text: bytes) -> bytes:
    """A pattern that matches *text* alone."""
    return re.sub(rb"([*?\[\]\\^])", rb"\\\1", text)
