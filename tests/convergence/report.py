"""What came of a run, for people and for tests."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = [
    "COMPLAINT",
    "EARLY",
    "END",
    "FAULTS",
    "HISTORY",
    "MISSING",
    "MISTAKEN",
    "OTHER",
    "RESYNC",
    "TWICE",
    "WRONG",
    "Report",
]

#: What networks do, in words.
FAULTS: Final = {
    "drop": "connections ended (FIN)",
    "reset": "connections reset (RST)",
    "one": "one connection of the two reset",
    "cut": "reset within a message or a reply",
    "between": "reset between a change and its message of the contract",
    "stall": "nothing passed",
    "slices": "one byte at a time",
    "refuse": "reset, and nobody answered",
}

#: What must not be.
END: Final = "followers that were not right in the end"
MISSING: Final = "events missing"
TWICE: Final = "events told twice, or too late"
OTHER: Final = "events that are not what happened"
EARLY: Final = "events before follow had fired"
WRONG: Final = "copies that were wrong at an event"
RESYNC: Final = "Resyncs without need"
HISTORY: Final = "faults of histories and revisions"
MISTAKEN: Final = "changes of ours taken for the peer's"
COMPLAINT: Final = "complaints logged"

KINDS: Final = (END, MISSING, TWICE, OTHER, EARLY, WRONG, RESYNC, HISTORY, MISTAKEN, COMPLAINT)

#: What comes of a change instead.
OUTCOMES: Final = ("missing", "refused")

#: Cases of a fault that are shown, and how much of each line.
SHOWN, WIDTH = 5, 700

#: What makes long items long.
LONG: Final = re.compile(r"(é|\\+u00e9)+")


@dataclass
class Report:
    """What came of it.

    :ivar cuts: what was done to networks.
    :ivar done: what was done to feeds, by whom.
    :ivar told: what handlers were told.
    :ivar heard: messages of the contract that followers heard, by what they are; see ``twins``.
    :ivar revisions: own, adopted, and reissued: of those adopted, our items whose places alone
        were given anew.
    :ivar slowest: seconds from healing until everything was right.
    :ivar latest: seconds by which the reactor was late.
    :ivar faults: how many there are of each kind.
    :ivar problems: some cases of each.
    """

    followers: int = 0
    patterns: int = 0
    sites: int = 0
    seconds: float = 0.0
    writing: float = 0.0
    rounds: int = 0
    cuts: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    done: Counter[tuple[str, str]] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    heard: Counter[str] = field(default_factory=Counter)
    revisions: Counter[str] = field(default_factory=Counter)
    passed_on: int = 0
    anew: int = 0
    compared: int = 0
    marks: int = 0
    entries: int = 0
    slowest: float = 0.0
    latest: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    problems: dict[str, list[str]] = field(default_factory=dict)

    def found(self, what: str, cases: Iterable[Any]) -> None:
        """Note cases of a fault, if there are any."""
        for case in cases:
            self.faults[what] += 1
            shown = self.problems.setdefault(what, [])
            if len(shown) < SHOWN:
                lines = LONG.sub("...", str(case)).splitlines()
                shown.append("\n".join(line[:WIDTH] for line in lines))

    def _changes(self) -> Iterator[str]:
        for who, name in (("ours", "4 writers of ours"), ("peer", "1 peer")):
            done = {verb: n for (whose, verb), n in sorted(self.done.items()) if whose == who}
            tried = sum(n for verb, n in done.items() if verb not in OUTCOMES)
            rate = tried / max(self.writing, 0.001)
            yield f"{name}: {tried} changes tried, {rate:.0f} a second"
            yield "  " + ", ".join(f"{verb} {n}" for verb, n in done.items())

    def lines(self) -> list[str]:
        """For people."""
        told, heard = self.told, self.heard
        events = {n for n in told if n[0].isupper()}
        resyncs = {reason: n for reason, n in sorted(told.items()) if reason not in events}
        revisions = self.revisions
        lines = [
            f"{self.seconds:.0f} s, {self.rounds} rounds",
            f"{self.followers} followers ({self.patterns} of patterns) at {self.sites} sites",
            *self._changes(),
            f"revisions: {revisions['own']} own, {revisions['adopted']} adopted",
            f"  of these, items of ours with another place: {revisions['reissued']}",
            f"networks failed: {self.cuts.total()} times; {self.connections} connections",
            *(f"  {self.cuts[fault]:6} {what}" for fault, what in FAULTS.items()),
            f"followers stopped, and gone on from their tokens: {self.passed_on}",
            f"followers stopped, and begun anew: {self.anew}",
            f"events told: {sum(told[name] for name in events)}",
            *(f"  {told[name]:9} {name}" for name in sorted(events)),
            f"Resyncs told, where they had to be: {sum(resyncs.values())}",
            *(f"  {n:9} {reason}" for reason, n in resyncs.items()),
            f"messages of the contract heard: {heard.total() - heard['half']}",
            f"  {heard['pair']:9} right behind their events",
            f"  {heard['ours']:9} of ours, without their events",
            f"  {heard['peer']:9} of the peer",
            f"  {heard['other']:9} alone, of either: without an item",
            f"events whose message of the contract did not get through: {heard['half']}",
            f"followers compared with Redis: {self.compared}",
            f"copies compared at an event: {self.marks}",
            f"entries of histories compared: {self.entries}",
            f"until all was right: {self.slowest:.1f} s at most",
            f"reactor late by {self.latest:.1f} s at most",
            *(f"{what}: {self.faults[what]}" for what in KINDS),
        ]
        for what, some in self.problems.items():
            lines += [f"  {what}: {case}" for case in some]
        return [line.rstrip() for line in lines]
