"""A worker for an action that nobody has heard of yet: ``python -m examples.board.star``.

Start it while the board runs (``THOONK_REDIS`` names the Redis, or type ``s`` where ``make demo``
runs): every open page shows the new button, and it works. No other process is started again. Its
jobs are in a feed of their own, so that only workers that know the action take them.
"""

from __future__ import annotations

import sys
from typing import Any

from examples.board import ACTIONS, rules
from examples.board.member import run
from examples.board.rules import Feeds
from examples.board.shapes import OfTask
from txthoonk import Conflict, Thoonk
from txthoonk.actions import Act, Actions, ActionWorker, Refused

more = Actions(ACTIONS)


@more.action("star", OfTask, authorize=rules.is_member, feed="board.star")
async def star(act: Act) -> None:
    """Put a star on a task, or take it off."""
    tasks = Feeds(act.thoonk, act.payload.team).tasks(act.payload.member)
    snapshot = await tasks.snapshot()
    item, revision = snapshot.items.get(act.payload.id), snapshot.revision
    while item is not None:
        new = {**item, "star": not item.get("star"), "act": act.id}
        try:
            await act.commit(
                tasks.change.edit(act.payload.id, new, if_revision=revision),
                result={"star": new["star"]},
            )
            return
        except Conflict as conflict:
            item, revision = conflict.item, conflict.revision
    raise Refused(404, "This task is not there any more.")


def work(reactor: Any, thoonk: Thoonk, number: int) -> None:
    """Do it."""
    ActionWorker(thoonk, more).startService()


if __name__ == "__main__":
    run("star", int((*sys.argv[1:], "1")[0]), work)
