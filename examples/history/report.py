"""What there is to tell while commits are counted, and afterwards."""

from __future__ import annotations

import os
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from examples.demo.terminal import Terminal
from examples.history import AUTHORS, COMMITS, FILES, JOBS, TYPED
from txthoonk import JobFinished, Moved, Published, Retracted, Thoonk

__all__ = ["Report", "command_line"]

#: How many lines of a board, and how many differences, are shown.
TOP, MOST_DIFFERENCES = 10, 5


class Report:
    """Hears of what happens, as any other program could, and tells it."""

    def __init__(self, terminal: Terminal) -> None:
        self._say = terminal.say
        self._heard: Counter[str] = Counter()
        self._newest: dict[str, str] = {}
        self._rows: dict[tuple[str, str], str] = {}

    async def listen(self, thoonk: Thoonk) -> None:
        """Subscribe to what is told."""
        await thoonk.feed(COMMITS).subscribe(publish=self._published)
        await thoonk.job(JOBS).subscribe(finish=self._finished)
        await thoonk.feed(TYPED).subscribe(publish=self._typed)
        for board in (AUTHORS, FILES):
            await thoonk.sorted_feed(board).subscribe(
                publish=self._written, position=self._moved, retract=self._gone
            )

    def _published(self, event: Published) -> None:
        self._note("published", event.item)

    def _finished(self, event: JobFinished) -> None:
        self._note("finished", event.result)

    def _written(self, event: Published) -> None:
        self._rows[event.feed, event.id] = event.item

    def _moved(self, event: Moved) -> None:
        row = self._rows.get((event.feed, event.id), event.id)
        self._note("moved", f"in {event.feed}: {row}")

    def _gone(self, event: Retracted) -> None:
        self._rows.pop((event.feed, event.id), None)

    def _typed(self, event: Published) -> None:
        self._say(f"  heard in {event.feed}: {event.item}")

    def _note(self, what: str, text: str) -> None:
        self._heard[what] += 1
        self._newest[what] = text

    # -- telling ----------------------------------------------------------------------------

    def progress(self, total: int, seconds: float, stats: Any) -> None:
        """How far it is, and the newest of each kind of event."""
        rate = stats.finishes / seconds if seconds else 0
        self._say(
            f"{stats.finishes:7,} of {total:,} commits done, {rate:,.0f} a second; "
            f"{stats.available:,} wait, {stats.claimed:,} are claimed"
        )
        for what, text in self._newest.items():
            self._say(f"          {what:9} {text[:100]}")
        self._newest.clear()

    def summary(
        self, total: int, seconds: float, boards: dict[str, list[str]], shares: dict[str, int]
    ) -> None:
        """What came out."""
        self._say()
        self._say(f"{total:,} commits in {seconds:.1f} s, {total / seconds:,.0f} a second.")
        by = ", ".join(f"worker {number} {count:,}" for number, count in sorted(shares.items()))
        self._say(f"Counted by {by}.")
        heard = ", ".join(f"{count:,} {what}" for what, count in self._heard.items())
        self._say(f"Heard of meanwhile: {heard}.")
        for board, rows in boards.items():
            self._say()
            self._say(f"{board}, the first {min(TOP, len(rows))} of {len(rows):,}:")
            for row in rows[:TOP]:
                count, added, deleted, name = row.split(" ", 3)
                self._say(f"  {int(count):7,} {added:>10} {deleted:>10}  {name}")
        self._say()

    def compare(self, boards: dict[str, list[str]], expected: dict[str, list[str]]) -> bool:
        """Whether git counts the same; tells it."""
        for board, rows in expected.items():
            found = boards[board]
            differences = [
                (i, mine, gits)
                for i, (mine, gits) in enumerate(
                    zip(found + [""] * len(rows), rows + [""] * len(found), strict=True)
                )
                if mine != gits
            ]
            for i, mine, gits in differences[:MOST_DIFFERENCES]:
                self._say(f"{board}, line {i + 1}: {mine!r} here, {gits!r} by git")
        same = boards == expected
        sizes = " and ".join(f"{board} ({len(rows):,})" for board, rows in expected.items())
        verdict = "The same" if same else "NOT the same"
        self._say(f"{verdict} as one pass of git log --numstat: {sizes}.")
        return same


def command_line(url: str, *arguments: str) -> str:
    """What to paste into another terminal."""
    program = Path(sys.executable).with_name("thoonk")
    if program.exists():
        relative = os.path.relpath(program)
        command = [str(program) if relative.startswith("..") else relative]
    else:
        command = [sys.executable, "-m", "txthoonk"]
    return shlex.join([*command, "--redis", url, *arguments])
