"""What the numbers say: medians, spreads, and the ratios that txThoonk promises."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.tools import Record, Server, spread

#: Where the results are kept.
RESULTS = Path(__file__).parent / "results"

#: Where and with what something was measured.
Circumstances = dict[str, str | int | None]


class Metric(NamedTuple):
    """What a number means.

    :ivar more: whether more of it is better.
    :ivar digits: of it that say something, behind the point.
    """

    unit: str
    more: bool
    digits: int = 2

    def show(self, value: float) -> str:
        """As it is printed."""
        return f"{value:,.{self.digits}f}"


METRICS = {
    "per_second": Metric("per second", True, 0),
    "server_us": Metric("us of server CPU", False),
    "client_us": Metric("us of client CPU", False),
    "redis_us": Metric("us of Redis CPU", False),
    "cpu_us": Metric("us of all CPU", False),
    "p50_ms": Metric("ms p50", False),
    "p99_ms": Metric("ms p99", False),
    "all_p99_ms": Metric("ms p99 of the last", False),
    "bytes": Metric("bytes", False, 1),
    "collected_bytes": Metric("bytes without garbage", False, 1),
    "keys": Metric("keys", False, 3),
    "seconds": Metric("s until all are there", False, 1),
    "commands": Metric("commands to Redis", False, 0),
    "busy": Metric("% of a processor", False, 1),
}

#: What is measured -> its title, and the metric that counts.
Titles = Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class Claim:
    """A promise: how one contestant compares with the strongest of some others.

    :ivar others: none if the value itself is promised.
    :ivar bound: of the ratio of the metric that counts: at least, where more is better, else at
        most.
    :ivar metric: that counts here, if not the one that counts for all of it.
    """

    what: str
    who: str
    others: tuple[str, ...]
    bound: float
    metric: str = ""


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    :ivar metric: that counted.
    :ivar against: the strongest of the others; empty if there are none to be.
    :ivar ratio: median of the rounds' ratios, or values.
    :ivar low: the lowest of these.
    :ivar high: the highest.
    """

    claim: Claim
    metric: str
    against: str
    ratio: float
    low: float
    high: float

    @property
    def holds(self) -> bool:
        """Whether the ratio is within the bound."""
        if METRICS[self.metric].more:
            return self.ratio >= self.claim.bound
        return self.ratio <= self.claim.bound

    def __str__(self) -> str:
        claim, metric = self.claim, METRICS[self.metric]
        what = f"{claim.what} {claim.metric.partition('_')[0]}".strip()
        show = "{:.2f}".format if self.against else metric.show
        value = f"x {self.against}" if self.against else metric.unit
        return (
            f"{'holds' if self.holds else 'FAILS':6}{what:12} {claim.who} is "
            f"{show(self.ratio)} {value} ({show(self.low)} to {show(self.high)}); "
            f"promised: {'at least' if metric.more else 'at most'} {claim.bound:g}"
        )


class Report:
    """The values of one run.

    :param records: as they were measured, round by round.
    :param titles: of all that can be measured.
    :param claims: to judge.
    """

    def __init__(
        self, records: Sequence[Record], titles: Titles, claims: Sequence[Claim] = ()
    ) -> None:
        self._records = records
        self._claims = claims
        self.titles = titles

    def whats(self) -> list[str]:
        """What was measured."""
        return list(dict.fromkeys(r["what"] for r in self._records))

    def whos(self, what: str) -> list[str]:
        """Who took part in it."""
        return list(dict.fromkeys(r["who"] for r in self._records if r["what"] == what))

    def values(self, what: str, who: str, metric: str) -> list[float]:
        """One value a round."""
        return list(self._rounds(what, who, metric).values())

    def _rounds(self, what: str, who: str, metric: str) -> dict[int, float]:
        mine = (r for r in self._records if (r["what"], r["who"]) == (what, who))
        return {r["round"]: r[metric] for r in mine if metric in r}

    def table(self, what: str) -> list[str]:
        """Lines to print: the median of each value, and how far the rounds lie apart."""
        lines = [self.titles[what][0]]
        for who in self.whos(what):
            cells = []
            for name, metric in METRICS.items():
                if values := self.values(what, who, name):
                    middle = metric.show(median(values))
                    cells.append(f"{middle:>9} {metric.unit} ({_apart(values, metric)})")
            lines.append(f"  {who:20}" + "  ".join(cells))
        return lines

    def verdicts(self) -> list[Verdict]:
        """The claims that this run can judge."""
        return [v for v in map(self._judge, self._claims) if v is not None]

    def _judge(self, claim: Claim) -> Verdict | None:
        what = claim.what
        metric = claim.metric or self.titles[what][1]
        mine = self._rounds(what, claim.who, metric)
        if mine and not claim.others:
            values = list(mine.values())
            return Verdict(claim, metric, "", median(values), min(values), max(values))
        others = {who: self._rounds(what, who, metric) for who in claim.others}
        # Each round by itself, as the machine's speed drifts from one to the next.
        both = {who: mine.keys() & rounds.keys() for who, rounds in others.items()}
        others = {who: rounds for who, rounds in others.items() if both[who]}
        if not others:
            return None
        best = max if METRICS[metric].more else min
        against = best(others, key=lambda who: median(others[who].values()))
        ratios = [mine[number] / others[against][number] for number in sorted(both[against])]
        return Verdict(claim, metric, against, median(ratios), min(ratios), max(ratios))


def _apart(values: Sequence[float], metric: Metric) -> str:
    """How far the rounds lie apart: of differences, which may be none, from where to where."""
    if min(values) <= 0:
        return f"{metric.show(min(values))} to {metric.show(max(values))}"
    return f"+-{spread(values) / 2:3.0%}"


def circumstances(server: Server, packages: Sequence[str]) -> Circumstances:
    """Where and with what this is measured.

    :param packages: whose versions matter.
    """
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "redis-server": server.version,
        **{name: version(name) for name in packages if find_spec(name.lower())},
    }


def caption(where: Circumstances) -> str:
    """The circumstances in a line."""
    return ", ".join(f"{key} {value}" for key, value in where.items())


def show(report: Report, head: str, judge: bool) -> None:
    """Print tables, and verdicts if this run can judge."""
    print(f"\n{head}")
    for what in report.whats():
        print("", *report.table(what), sep="\n")
    if judge:
        print("", *report.verdicts(), sep="\n")


def keep(folder: Path, name: str, kept: Mapping[str, object], plots: Mapping[str, str]) -> None:
    """Leave all values as JSON, and plots beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")
    for plot, drawn in plots.items():
        (folder / f"{plot}.svg").write_text(drawn)
    drawn = " and ".join(f"{plot}.svg" for plot in plots)
    print(f"\nAll values are in {folder / name}.json, {drawn} beside it.")
