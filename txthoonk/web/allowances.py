"""How much each may have: per second, and at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

__all__ = ["Allowance", "Counts"]

#: Buckets that are kept at most; those that were not asked for longest go first.
MOST_BUCKETS: Final = 100_000


class Allowance:
    """A token bucket for each of many: so much per second, and so much at once.

    Whoever has asked for nothing for as long as a bucket takes to fill is forgotten.

    :param rate: how much comes back per second; 0: there is no limit.
    :param burst: how much there is at most.
    :param clock: tells the time in seconds.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        if rate < 0 or rate != rate or (rate and burst < 1):
            raise ValueError(f"a rate is 0 or more and a burst 1 or more, not {rate!r}, {burst!r}")
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def take(self, who: str, cost: float = 1) -> float:
        """Take something.

        :param cost: how much; of what is more than a full bucket, a full one has to be there.
        :returns: 0 if it was there; else nothing was taken, and so many seconds are to wait.
        """
        if not self._rate:
            return 0
        left, now = self._look(who)
        missing = min(cost, self._burst) - left
        enough = missing < 1e-9  # who has waited as long as told may be a rounding short
        self._left[who] = left - cost if enough else left, now
        return 0 if enough else missing / self._rate

    def owe(self, who: str, cost: float) -> None:
        """Take what may not be there: nobody gets anything more before it has come back.

        :param cost: how much.
        """
        if self._rate and cost:
            left, now = self._look(who)
            self._left[who] = left - cost, now

    def _look(self, who: str) -> tuple[float, float]:
        now = self._clock()
        self._forget(now)
        left, at = self._left.pop(who, (self._burst, now))
        return min(self._burst, left + (now - at) * self._rate), now

    def _forget(self, now: float) -> None:
        buckets = self._left
        while buckets:
            who, (left, at) = next(iter(buckets.items()))
            if left + (now - at) * self._rate < self._burst and len(buckets) < MOST_BUCKETS:
                break
            del buckets[who]


class Counts:
    """How many of something each has at a time.

    :param most: that each may have.
    """

    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError(f"at least one has to be allowed, not {most!r}")
        self._most = most
        self._count: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._count)

    def begin(self, who: str) -> Callable[[], None] | None:
        """Have one more.

        :returns: what is to be called when it ends, once or more; None if there are too many.
        """
        count = self._count.get(who, 0)
        if count >= self._most:
            return None
        self._count[who] = count + 1
        return _End(self._count, who)


class _End:
    """Ends one of what is counted; each idle stream has one, so it is small."""

    __slots__ = ("_count", "_who")

    def __init__(self, count: dict[str, int], who: str) -> None:
        self._count: dict[str, int] | None = count
        self._who = who

    def __call__(self) -> None:
        count, self._count = self._count, None
        if count is None:
            return
        left = count[self._who] - 1
        if left:
            count[self._who] = left
        else:
            del count[self._who]
