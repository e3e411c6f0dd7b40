"""What the numbers say: medians, spreads, and the ratios that txThoonk promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.tools import Record, spread

#: Metric -> its unit, and whether more of it is better.
METRICS = {
    "per_second": ("per second", True),
    "client_us": ("us of client CPU", False),
    "redis_us": ("us of Redis CPU", False),
}

#: What is measured -> its title, and the metric that counts.
TITLES = {
    "calls/100": ("Publishing, 100 callers", "per_second"),
    "calls/1": ("Publishing, one caller", "per_second"),
    "script": ("The publish script, per call", "redis_us"),
    "events": ("Receiving on 1,000 channels, per message", "client_us"),
    "waiters": ("A job put, claimed and finished where idle workers wait", "redis_us"),
}


@dataclass(frozen=True)
class Claim:
    """A promise: how one contestant compares with the strongest of some others.

    :ivar bound: of the ratio of the metric that counts: at least, where more is better, else at
        most.
    """

    what: str
    who: str
    others: tuple[str, ...]
    bound: float


BARE = ("bare", "bare-direct", "bare-inline")

CLAIMS = (
    Claim("calls/100", "feed.publish", BARE, 0.75),
    Claim("calls/100", "feed.publish", ("txredisapi", "txredisapi-protocol"), 2.0),
    Claim("calls/1", "feed.publish", BARE, 0.9),
    Claim("script", "ours", ("bare",), 1.3),
    Claim("events", "ours", ("bare",), 2.5),
    Claim("waiters", "500 connections", ("1 connections",), 1.5),
    Claim("waiters", "500 instances", ("1 instances",), 1.5),
)


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    :ivar against: the strongest of the others.
    :ivar ratio: median of the rounds' ratios.
    :ivar spread: of these.
    """

    claim: Claim
    against: str
    ratio: float
    spread: float

    @property
    def holds(self) -> bool:
        """Whether the ratio is within the bound."""
        if _more_is_better(self.claim.what):
            return self.ratio >= self.claim.bound
        return self.ratio <= self.claim.bound

    def __str__(self) -> str:
        claim = self.claim
        bound = "at least" if _more_is_better(claim.what) else "at most"
        return (
            f"{'holds' if self.holds else 'FAILS':6}{claim.what:10} {claim.who} is "
            f"{self.ratio:.2f} x {self.against} (+-{self.spread / 2:.0%}); "
            f"promised: {bound} {claim.bound:g}"
        )


class Report:
    """The values of one run.

    :param records: as they were measured, round by round.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records

    def whats(self) -> list[str]:
        """What was measured."""
        return list(dict.fromkeys(r["what"] for r in self._records))

    def whos(self, what: str) -> list[str]:
        """Who took part in it."""
        return list(dict.fromkeys(r["who"] for r in self._records if r["what"] == what))

    def values(self, what: str, who: str, metric: str) -> list[float]:
        """One value a round."""
        mine = (r for r in self._records if (r["what"], r["who"]) == (what, who))
        return [r[metric] for r in mine if metric in r]

    def table(self, what: str) -> list[str]:
        """Lines to print: the median of each value, and how far the rounds lie apart."""
        lines = [TITLES[what][0]]
        for who in self.whos(what):
            cells = []
            for metric, (unit, _) in METRICS.items():
                if values := self.values(what, who, metric):
                    middle = (
                        f"{median(values):,.0f}"
                        if metric == "per_second"
                        else (f"{median(values):.2f}")
                    )
                    cells.append(f"{middle:>9} {unit} (+-{spread(values) / 2:3.0%})")
            lines.append(f"  {who:20}" + "  ".join(cells))
        return lines

    def verdicts(self) -> list[Verdict]:
        """The claims that this run can judge."""
        return [v for v in map(self._judge, CLAIMS) if v is not None]

    def _judge(self, claim: Claim) -> Verdict | None:
        what, metric = claim.what, TITLES.get(claim.what, ("", ""))[1]
        mine = self.values(what, claim.who, metric)
        others = {who: self.values(what, who, metric) for who in claim.others}
        others = {who: values for who, values in others.items() if values}
        if not mine or not others:
            return None
        best = max if _more_is_better(what) else min
        against = best(others, key=lambda who: median(others[who]))
        ratios = [a / b for a, b in zip(mine, others[against], strict=True)]
        return Verdict(claim, against, median(ratios), spread(ratios))


def _more_is_better(what: str) -> bool:
    return METRICS[TITLES[what][1]][1]
