"""Two sorted feeds that show the totals, the largest first."""

from __future__ import annotations

from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, gatherResults

from examples.history import AUTHORS, FILES
from txthoonk import SortedFeed, Thoonk

__all__ = ["LIMITS", "Row", "refresh", "totals_keys"]

#: How many rows a board has; 0 is all.
LIMITS = {AUTHORS: 0, FILES: 100}


class Row(NamedTuple):
    """A line of a board."""

    commits: int
    added: int
    deleted: int
    name: bytes

    def text(self) -> str:
        """The item in the sorted feed."""
        name = self.name.decode("utf-8", "surrogateescape")
        return f"{self.commits} +{self.added} -{self.deleted} {name}"


def totals_keys(board: str) -> tuple[str, str]:
    """The keys with a board's totals: name -> commits, and name -> lines."""
    totals = board.replace(".", ":")
    return totals, f"{totals}:lines"


def name_in(text: str) -> str:
    """The name in a row's text."""
    return text.split(" ", 3)[3]


async def read_rows(thoonk: Thoonk, board: str) -> list[Row]:
    """What a board is to show. Ties go by name, the last one first, as ZREVRANGE has it."""
    commits_key, lines_key = totals_keys(board)
    ranked = await thoonk.redis.zrevrange(commits_key, 0, LIMITS[board] - 1, withscores=True)
    rows = []
    for i in range(0, len(ranked), 500):
        some = ranked[i : i + 500]
        fields = [sign + name for name, _ in some for sign in (b"+", b"-")]
        lines = [int(n or 0) for n in await thoonk.redis.execute("HMGET", lines_key, *fields)]
        for (name, commits), added, deleted in zip(some, lines[::2], lines[1::2], strict=True):
            rows.append(Row(int(commits), added, deleted, name))
    return rows


async def refresh(thoonk: Thoonk, board: SortedFeed) -> None:
    """Make a board show what the totals are now, by as few steps as it takes.

    Only one process at a time may do this: its moves are relative to what it has read.
    """
    rows = await read_rows(thoonk, board.name)
    wanted = {name_in(row.text()): row.text() for row in rows}
    shown = await board.get_all()
    ids = {name_in(text): id for id, text in shown.items()}

    # What needs no answer to go on travels together.
    kept = {id for name, id in ids.items() if name in wanted}
    steps: list[Deferred[Any]] = [board.retract(id) for id in shown if id not in kept]
    order = [id for id in shown if id in kept]
    for place, (name, text) in enumerate(wanted.items()):
        here = order[place] if place < len(order) else None
        id = ids.get(name)
        if id is None:
            id = await (board.append(text) if here is None else board.publish_before(here, text))
            order.insert(place, id)
            continue
        if shown[id] != text:
            steps.append(board.edit(id, text))
        if id != here:
            assert here is not None  # everything that is shown is at or behind this place
            steps.append(board.move_before(here, id))
            order.remove(id)
            order.insert(place, id)
    await gatherResults(steps, consumeErrors=True)
