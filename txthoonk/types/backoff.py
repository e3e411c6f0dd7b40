"""How long a job that failed waits for its next attempt."""

from __future__ import annotations

import random
from functools import lru_cache
from typing import Final, NamedTuple

__all__ = ["DEFAULT", "Backoff"]


class Backoff(NamedTuple):
    """Seconds before the next attempt.

    :ivar base: before the second attempt.
    :ivar most: the longest pause; ``None`` if it is always *base*.
    :ivar jitter: whether each pause is a random part, from a half up, of what it would be.
    """

    base: float
    most: float | None = None
    jitter: bool = False

    @staticmethod
    @lru_cache(maxsize=128)
    def parse(text: str) -> Backoff:
        """Read ``"5"``, ``"fixed:5"``, ``"exponential:1"``, ``"exponential:1:60"``; each of them
        with ``":jitter"`` behind it if wanted.

        :raises ValueError: if it is none of these.
        """
        words = text.split(":")
        jitter = words[-1] == "jitter"
        if jitter:
            words.pop()
        kind = words.pop(0) if words and words[0] in ("fixed", "exponential") else "fixed"
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            numbers = []
        fits = len(numbers) in ((1,) if kind == "fixed" else (1, 2))
        if not fits or not all(0 <= number <= _LONGEST for number in numbers):
            raise ValueError(
                f"backoff is a number of seconds, 'fixed:S' or 'exponential:BASE[:MAX]', each "
                f"with ':jitter' behind it if wanted, not {text!r}"
            )
        if kind == "fixed":
            return Backoff(numbers[0], None, jitter)
        return Backoff(numbers[0], numbers[1] if len(numbers) == 2 else _LONGEST, jitter)

    def seconds(self, attempts: int) -> float:
        """How long to wait after so many attempts."""
        if self.most is None:
            pause = self.base
        else:
            pause = min(self.most, self.base * 2.0 ** min(attempts - 1, 64))
        return pause * random.uniform(0.5, 1.0) if self.jitter else pause


#: No pause is longer, whatever a peer has written: a month, in seconds.
_LONGEST: Final = 31 * 86400.0

#: After an attempt that failed, where the feed does not say.
DEFAULT: Final = Backoff(1.0, 300.0)
