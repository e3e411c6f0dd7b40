"""The same totals once more, from git alone: no Redis, no jobs, one process, one pass."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from examples.history import AUTHORS, FILES
from examples.history.boards import LIMITS, Row
from examples.history.commits import Repository

__all__ = ["count_again"]

_COMMIT = re.compile(rb"commit [0-9a-f]{40,64}")
_FILE = re.compile(rb"\n?(\d+|-)\t(\d+|-)\t(.*)", re.DOTALL)


def count_again(repository: Repository) -> dict[str, list[str]]:
    """What each board should show, by one pass of ``git log --numstat``; this blocks."""
    totals: dict[str, dict[bytes, list[int]]] = {
        board: defaultdict(lambda: [0, 0, 0]) for board in LIMITS
    }
    author = b""
    found: Iterator[bytes] = repository.log("commit %H%x00%an")
    for token in found:
        if _COMMIT.fullmatch(token):
            author = next(found)
            totals[AUTHORS][author][0] += 1
            continue
        match = _FILE.fullmatch(token)
        assert match is not None, token
        path = match[3]
        if not path:
            next(found)
            path = next(found)
        added, deleted = (0 if match[n] == b"-" else int(match[n]) for n in (1, 2))
        for total in (totals[AUTHORS][author], totals[FILES][path]):
            total[1] += added
            total[2] += deleted
        totals[FILES][path][0] += 1
    boards = {}
    for board, limit in LIMITS.items():
        ranked = sorted(totals[board].items(), key=lambda each: (each[1][0], each[0]), reverse=True)
        shown = ranked[:limit] if limit else ranked
        rows = [Row(total[0], total[1], total[2], name) for name, total in shown]
        boards[board] = [row.text() for row in rows]
    return boards
