"""What the runner prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from txthoonk.conformance.runner import Report

__all__ = ["MOST", "rows", "table"]

#: How many differences of a verb are shown.
MOST: Final = 4


def rows(report: Report) -> list[tuple[str, str, int, int, list[str]]]:
    """A row for each verb: part, verb, vectors, how many of them passed, what differs."""
    found: dict[tuple[str, str], tuple[list[bool], list[str]]] = {}
    for result in report.results:
        vector = result.vector
        passed, _ = found.setdefault((vector.part, vector.verb), ([], []))
        passed.append(not result.differs)
        # What goes wrong in another verb, on the way, is that verb's.
        row = found.setdefault((vector.part, result.verb or vector.verb), ([], []))
        row[1].extend(f"{vector.name}: {each}" for each in result.differs)
    return [
        (part, verb, len(passed), sum(passed), differs)
        for (part, verb), (passed, differs) in found.items()
    ]


def table(report: Report, most: int = MOST) -> Iterator[str]:
    """The table, line by line.

    :param most: how many differences of a verb are shown.
    """
    yield f"{'verb':<24} {'vectors':>7} {'passed':>7}  what differs"
    last = None
    for part, verb, count, passed, differs in rows(report):
        if part != last:
            yield f"-- {part} --"
            last = part
        first, *others = differs[:most] or [""]
        yield f"{verb:<24} {count:>7} {passed:>7}  {first}".rstrip()
        for each in others:
            yield f"{'':<42}{each}"
        if len(differs) > most:
            yield f"{'':<42}and {len(differs) - most} more"
    for (part, verb), count in report.left_out.items():
        yield f"{verb:<24} {count:>7}       -  not offered ({part})"
    yield from report.notes
    count = len(report.results)
    share = 100 * report.passed // count if count else 0
    yield f"{report.driver}: {report.passed} of {count} vectors passed ({share} %)"
