"""The groups that all actions are in, and what most of them do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from examples.board import ACTIONS, BULK
from examples.board.rules import Feeds
from examples.board.shapes import Shape
from txthoonk import Conflict, ItemDoesNotExist
from txthoonk.actions import Act, Actions, Refused

__all__ = ["action", "board", "bulk", "noted", "now", "place", "place_of", "with_task"]

#: What people wait for, and what programs put.
board = Actions(ACTIONS)
bulk = Actions(BULK)

#: How often an action is tried on an item that others change meanwhile.
TRIES = 50


def action(name: str, shape: type[Shape], authorize: Any, **options: Any) -> Callable[[Any], Any]:
    """Declare an action for people and for programs."""

    def declare(function: Any) -> Any:
        for group in (board, bulk):
            group.action(name, shape, authorize=authorize, **options)(function)
        return function

    return declare


def now() -> int:
    """Milliseconds since 1970, for people to read."""
    return int(time.time() * 1000)


def place(tasks: Any, position: str, item: Any, there: list[str] | None = None) -> Any:
    """The change that publishes an item at a place; at the top if what it names is gone."""
    other = position.strip(":")
    if position == ":end":
        return tasks.change.append(item)
    if not other.isdigit() or (there is not None and other not in there):
        return tasks.change.prepend(item)
    if position.startswith(":"):
        return tasks.change.publish_before(other, item)
    return tasks.change.publish_after(other, item)


def place_of(ids: list[str], id: str) -> str:
    """Where an item is, as a position that brings it back there."""
    at = ids.index(id)
    return f"{ids[at - 1]}:" if at else "begin:"


def noted(act: Act, did: str, what: str, **recipe: Any) -> list[Any]:
    """The changes that tell everybody what was done, and how it can be taken back.

    What programs do is not told: there may be any amount of it.

    :param did: the kind of thing.
    :param what: a task's text, or so.
    """
    if act.user.get("program"):
        return []
    feeds = Feeds(act.thoonk, act.payload.team)
    what = what if len(what) <= 60 else what[:59] + "…"
    seen = {name: recipe[name] for name in ("member", "id", "to") if name in recipe}
    log = {"by": act.user["id"], "did": did, "what": what, "at": now(), **seen}
    changes = [feeds.log.change.publish(log, id=act.id)]
    if did not in ("join", "undo"):
        item = {"kind": did, "what": what, "act": act.id, **recipe}
        changes.append(feeds.undo(act.user["id"]).change.publish(item, id=act.id))
    return changes


async def with_task(act: Act, make: Callable[[Any, int, list[str]], list[Any]]) -> None:
    """Commit what is to happen to a task, made of what it is at that very moment.

    :param make: is given the item, a revision for ``if_revision`` and all ids in order.
    """
    payload = act.payload
    tasks = Feeds(act.thoonk, payload.team).tasks(payload.member)
    snapshot = await tasks.snapshot()
    item, revision = snapshot.items.get(payload.id), snapshot.revision
    for _ in range(TRIES):
        if item is None:
            raise Refused(404, "This task is not there any more.")
        try:
            await act.commit(*make(item, revision, snapshot.ids), result={})
            return
        except ItemDoesNotExist:
            item = None  # or the one beside its new place, which is then looked up anew
        except Conflict as conflict:
            # Something in the list has changed, be it this task or another one: it says what the
            # task is now, and its own revision.
            item, revision = conflict.item, conflict.revision
    raise Refused(409, "Others change this task all the time.")
