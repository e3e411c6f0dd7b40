"""What became of the ticks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["PROMPT", "Report"]

#: Milliseconds that a tick may be late where a scheduler is there.
PROMPT = 1000


@dataclass
class Report:
    """One run.

    :ivar strict: whether a scheduler was there all the time, so that each tick must be prompt.
    :ivar clocks: seconds by which each host's clock was off, as it said itself.
    :ivar kinds: policies -> schedules.
    :ivar kills: where processes died -> how often.
    :ivar expected: policies -> ids of all ticks from the first due to the last.
    :ivar fired: ids -> times by Redis's clock at which each was put, milliseconds.
    :ivar puts: how many jobs were put, by the feed's own counter.
    :ivar stuck: schedules that were overdue at the end.
    :ivar errors: what processes have written on standard error.
    """

    strict: bool
    clocks: list[float] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    expected: dict[str, set[str]] = field(default_factory=dict)
    fired: dict[str, set[int]] = field(default_factory=dict)
    puts: int = 0
    stuck: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def late(self) -> list[int]:
        """By how many milliseconds each tick was late."""
        return [
            min(times) - int(id.rpartition("@")[2]) for id, times in self.fired.items() if times
        ]

    @property
    def skipped(self) -> set[str]:
        """Ticks that were to be made up for, and were not."""
        return self.expected.get("catch-up", set()) - self.fired.keys()

    @property
    def twice(self) -> int:
        """How often a job was put for a tick that had one."""
        return self.puts - len(self.fired)

    @property
    def problems(self) -> dict[str, object]:
        """What must not be."""
        every = set().union(*self.expected.values())
        found: dict[str, object] = {
            "skipped": sorted(self.skipped),
            "twice": self.twice,
            "seen at two times": [id for id, times in self.fired.items() if len(times) > 1],
            "of no tick": sorted(self.fired.keys() - every),
            "before its time": [ms for ms in self.late if ms < 0],
            "late": [ms for ms in self.late if ms > PROMPT] if self.strict else [],
            "overdue at the end": self.stuck,
            "complaints": self.errors,
            "faults": self.faults,
        }
        return {what: some for what, some in found.items() if some}

    def lines(self) -> list[str]:
        """For whoever reads it."""
        late = sorted(self.late) or [0]
        share = ", ".join(f"{count} {kind}" for kind, count in self.kinds.items())
        lines = [f"schedules {self.kinds.total()}: {share}"]
        if self.clocks:
            clocks = " ".join(f"{round(clock) + 0:+d}" for clock in sorted(self.clocks))
            lines.append(f"clocks of the hosts, seconds off: {clocks}")
        if self.kills:
            share = ", ".join(f"{count} {where}" for where, count in self.kills.items())
            lines.append(f"killed or cut {self.kills.total()}: {share}")
        for policy, ids in self.expected.items():
            fired = len(ids & self.fired.keys())
            lines.append(f"ticks under {policy}: due {len(ids)}, fired {fired}")
        middle, most = late[len(late) // 2], late[-1]
        lines += [
            f"skipped under catch-up {len(self.skipped)}, twice {self.twice}",
            f"late: half of them at most {middle} ms, all at most {most} ms",
            f"late by more than {PROMPT} ms: {sum(ms > PROMPT for ms in late)}",
        ]
        return lines + [f"WRONG {what}: {some}"[:400] for what, some in self.problems.items()]
