"""Whatever anybody does on the board: who may, and what it changes.

An action that a person took can be taken back by them: what is needed for that is published into
their ``undo`` feed by the very commit that changes the board.
"""

from __future__ import annotations

from typing import Any

from examples.board import rules, undoing
from examples.board.groups import action, board, bulk, noted, now, place, place_of, with_task
from examples.board.importing import read_tasks
from examples.board.rules import Feeds
from examples.board.shapes import (
    Add,
    Create,
    Delegate,
    Edit,
    Import,
    Move,
    OfTask,
    OfTeam,
    Say,
    Undo,
)
from txthoonk import Conflict, ItemDoesNotExist
from txthoonk.actions import Act, Refused

__all__ = ["board", "bulk"]

#: Seconds that somebody stays here without a sign of life.
HERE = 25
#: Tasks that one import may bring.
MOST_IMPORTED = 500
#: The first team's number.
FIRST = 353

action("undo", Undo, rules.is_member)(undoing.undo)


@action("create", Create, rules.is_signed_in)
async def create(act: Act) -> None:
    """Found a team, and be its first member."""
    teams = Feeds(act.thoonk, "0").teams
    id = FIRST + await teams.length()
    while True:
        feeds = Feeds(act.thoonk, str(id))
        await feeds.create(act.user["id"])
        founder = {"name": act.user["name"], "at": now()}
        team = {"name": act.payload.name.strip() or "?", "by": act.user["id"], "at": now()}
        try:
            await act.commit(
                teams.change.publish(team, id=str(id), if_revision=0),
                feeds.members.change.publish(founder, id=act.user["id"]),
                result={"team": str(id)},
            )
            return
        except Conflict:  # somebody has just taken that number
            id += 1


@action("join", OfTeam, rules.is_signed_in)
async def join(act: Act) -> None:
    """Become a member of a team."""
    feeds = Feeds(act.thoonk, act.payload.team)
    if not await feeds.teams.has_id(act.payload.team):
        raise Refused(404, "There is no such team.")
    await feeds.create(act.user["id"])
    member = {"name": act.user["name"], "at": now()}
    change = feeds.members.change.publish(member, id=act.user["id"], if_revision=0)
    try:
        await act.commit(change, *noted(act, "join", ""), result={"team": act.payload.team})
    except Conflict:  # a member already
        await act.commit(result={"team": act.payload.team})


@action("here", OfTeam, rules.is_member)
async def here(act: Act) -> None:
    """A sign of life: whoever gives none is gone after :data:`HERE` seconds."""
    presence = Feeds(act.thoonk, act.payload.team).presence
    item = {"name": act.user["name"], "web": act.user.get("web"), "at": now()}
    await act.commit(presence.change.publish(item, id=act.user["id"], ttl=HERE), result={})


@action("say", Say, rules.is_member)
async def say(act: Act) -> None:
    """Tell the team something."""
    chat = Feeds(act.thoonk, act.payload.team).chat
    item = {"text": act.payload.text, "by": act.user["id"], "at": now(), "act": act.id}
    await act.commit(
        chat.change.publish(item, id=act.id),
        *noted(act, "say", act.payload.text),
        result={},
    )


@action("add", Add, rules.is_member)
async def add(act: Act) -> None:
    """A new task, in one's own list or another member's."""
    payload = act.payload
    feeds = Feeds(act.thoonk, payload.team)
    if not await rules.member_of(act.thoonk, payload.team, payload.member):
        raise Refused(404, "There is no such member in this team.")
    tasks = feeds.tasks(payload.member)
    item = {"text": payload.text, "by": act.user["id"], "at": now(), "act": act.id}
    await act.commit(
        place(tasks, payload.position, item, await tasks.get_ids()),
        *noted(act, "add", payload.text, member=payload.member),
        result={},
    )


@action("edit", Edit, rules.is_author, editable=("text",))
async def edit(act: Act) -> None:
    """Another text. If it is not the one that was seen any more, nothing is changed."""
    payload = act.payload
    tasks = Feeds(act.thoonk, payload.team).tasks(payload.member)

    def make(item: Any, revision: int, _: list[str]) -> list[Any]:
        if payload.was is not None and payload.was != item["text"]:
            raise Refused(409, f"Meanwhile it says “{item['text']}”.", item=item)
        new = {**item, **payload.changes, "act": act.id, "edited": act.user["id"], "at": now()}
        more = {"member": payload.member, "id": payload.id, "item": item}
        change = tasks.change.edit(payload.id, new, if_revision=revision)
        return [change, *noted(act, "edit", new["text"], **more)]

    await with_task(act, make)


@action("move", Move, rules.is_member)
async def move(act: Act) -> None:
    """Another place in the list."""
    payload = act.payload
    tasks = Feeds(act.thoonk, payload.team).tasks(payload.member)
    there = await tasks.get_all()
    ids = list(there)
    if payload.id not in ids:
        raise Refused(404, "This task is not there any more.")
    other = payload.position.strip(":")
    if other == payload.id or (other.isdigit() and other not in ids):
        raise Refused(409, "The task beside it is not there any more.")
    more = {"member": payload.member, "id": payload.id, "position": payload.position}
    try:
        await act.commit(
            tasks.change.move(payload.position, payload.id),
            *noted(act, "move", there[payload.id]["text"], back=place_of(ids, payload.id), **more),
            result={},
        )
    except ItemDoesNotExist:
        raise Refused(404, "The task, or the one beside it, is not there any more.") from None


@action("ship", OfTask, rules.is_owner)
async def ship(act: Act) -> None:
    """A task is done."""
    payload = act.payload
    feeds = Feeds(act.thoonk, payload.team)
    tasks, shipped = feeds.tasks(payload.member), feeds.shipped(payload.member)

    def make(item: Any, revision: int, ids: list[str]) -> list[Any]:
        done = {**item, "at": now(), "ship": act.id}
        back = place_of(ids, payload.id)
        more = {"member": payload.member, "id": payload.id, "item": item, "back": back}
        return [
            tasks.change.retract(payload.id, if_revision=revision),
            shipped.change.publish(done, id=payload.id),
            *noted(act, "ship", item["text"], **more),
        ]

    await with_task(act, make)


@action("delegate", Delegate, rules.may_delegate)
async def delegate(act: Act) -> None:
    """A task for another member."""
    payload = act.payload
    feeds = Feeds(act.thoonk, payload.team)
    tasks, others = feeds.tasks(payload.member), feeds.tasks(payload.to)
    there = await others.get_ids()
    if payload.to == payload.member:
        raise Refused(422, "It is theirs already.")

    def make(item: Any, revision: int, ids: list[str]) -> list[Any]:
        given = {**item, "from": act.user["id"], "at": now(), "act": act.id}
        back = place_of(ids, payload.id)
        more = {"member": payload.member, "to": payload.to, "item": item, "back": back}
        return [
            tasks.change.retract(payload.id, if_revision=revision),
            place(others, payload.position, given, there),
            *noted(act, "delegate", item["text"], **more),
        ]

    await with_task(act, make)


@action("retract", OfTask, rules.is_author)
async def retract(act: Act) -> None:
    """A task that nobody needs to do."""
    payload = act.payload
    tasks = Feeds(act.thoonk, payload.team).tasks(payload.member)

    def make(item: Any, revision: int, ids: list[str]) -> list[Any]:
        back = place_of(ids, payload.id)
        more = {"member": payload.member, "item": item, "back": back}
        return [
            tasks.change.retract(payload.id, if_revision=revision),
            *noted(act, "retract", item["text"], **more),
        ]

    await with_task(act, make)


@action("import", Import, rules.is_member)
async def import_(act: Act) -> None:
    """All tasks of a file at once; what is done there is shipped here."""
    payload = act.payload
    feeds = Feeds(act.thoonk, payload.team)
    if not await rules.member_of(act.thoonk, payload.team, payload.member):
        raise Refused(404, "There is no such member in this team.")
    tasks, shipped = feeds.tasks(payload.member), feeds.shipped(payload.member)
    found = read_tasks(payload.text, payload.name)
    if not found:
        raise Refused(422, "No task was found in it: neither todo.txt nor a check-list.")
    if len(found) > MOST_IMPORTED:
        raise Refused(422, f"These are {len(found)} tasks; {MOST_IMPORTED} is the most.")
    changes = []
    done = sum(task.done for task in found)
    pushed_out = done - rules.MOST_SHIPPED  # the first ones, by those after them
    for number, task in enumerate(found):
        item = {"text": task.text, "by": act.user["id"], "at": now(), "act": act.id}
        item |= {
            name: value
            for name in ("section", "created", "completed")
            if (value := getattr(task, name))
        }
        if not task.done:
            changes.append(tasks.change.append(item))
        elif pushed_out > 0:
            pushed_out -= 1
        else:
            changes.append(shipped.change.publish(item, id=f"{act.id}-{number}"))
    await act.commit(
        *changes,
        *noted(act, "import", f"{len(found)} tasks", member=payload.member),
        result={"tasks": len(found) - done, "shipped": done},
    )
