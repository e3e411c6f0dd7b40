"""What came of a run, for people and for tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.torture_worker import POINTS

__all__ = ["ANYWHERE", "STOPPED", "Findings", "Report"]

#: Not failpoints: the driver kills at some time; stops for longer than claims hold, and kills then.
ANYWHERE, STOPPED = "anywhere", "stopped"

_MORE_POINTS = {ANYWHERE: "by the driver", STOPPED: "and woken again, then by the driver"}


@dataclass(kw_only=True)
class Findings:
    """What was found that must not be.

    :ivar faults: what that is, and each case of it.
    """

    faults: dict[str, list[str]] = field(default_factory=dict)

    def found(self, what: str, cases: Iterable[Any]) -> None:
        """Note cases of a fault; none is worth noting too."""
        self.faults[what] = [*self.faults.get(what, ()), *map(str, cases)]

    @property
    def problems(self) -> dict[str, list[str]]:
        """The faults that there are."""
        return {what: cases[:5] for what, cases in self.faults.items() if cases}

    def fault_lines(self) -> list[str]:
        """For people: how many there are of each, and some of them."""
        return [
            *(f"{what}: {len(cases)}" for what, cases in self.faults.items()),
            *(f"  {what}: {case}" for what, some in self.problems.items() for case in some),
        ]


@dataclass
class Report(Findings):
    """What came of it.

    :ivar kills: by where workers died.
    :ivar shares: how many jobs were finished by whom.
    :ivar killed_claims: claims that workers held when they died.
    :ivar stopped_claims: the same of workers that were stopped.
    :ivar late: claims that expired though their process ran: the machine was too slow for them.
    """

    feed: str
    jobs: int = 0
    seconds: float = 0.0
    seed: int = 0
    workers: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    shares: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    killed_claims: int = 0
    again: int = 0
    most_runs: int = 0
    stopped_claims: int = 0
    expired: int = 0
    late: int = 0
    looks: int = 0

    def lines(self) -> list[str]:
        """For people."""
        lines = [f"{self.jobs} jobs, {self.workers} workers, {self.seconds:.0f} s"]
        if self.shares:
            lines += [f"finished by {who}: {n}" for who, n in sorted(self.shares.items())]
            lines += [f"runs: {self.runs}"]
        else:
            lines += [
                f"kills: {self.kills.total()}",
                *(
                    f"  {n:5} {p:8} {POINTS.get(p, _MORE_POINTS.get(p, ''))}"
                    for p, n in sorted(self.kills.items())
                ),
                f"claims that were held at a kill: {self.killed_claims}",
                *([f"claims held at a stop: {self.stopped_claims}"] if self.stopped_claims else ()),
                f"runs: {self.runs}",
                f"jobs that ran more than once: {self.again}; most runs: {self.most_runs}",
                f"claims that expired: {self.expired}",
                f"claims that expired though their process ran: {self.late}",
                f"looks at the states of all jobs meanwhile: {self.looks}",
            ]
        return [line.rstrip() for line in (*lines, *self.fault_lines())]
