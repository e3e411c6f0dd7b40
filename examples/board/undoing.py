"""Taking one's own last action back, unless somebody has changed the same thing since."""

from __future__ import annotations

from typing import Any

from examples.board.groups import noted, place
from examples.board.rules import Feeds
from txthoonk import Conflict, Edited, HistoryLost, Moved, Published
from txthoonk.actions import Act, Refused

#: How far back in a feed's history an action can be: the feeds keep so many events, or fewer.
FAR = 990


class Past:
    """What a feed's history has about its items.

    :param feed: a handle.
    """

    def __init__(self, feed: Any) -> None:
        self.feed = feed
        self.items: dict[str, Any] = {}
        self._events: list[Any] = []

    async def read(self) -> Past:
        """Read it."""
        snapshot = await self.feed.snapshot()
        self.items = snapshot.items
        config = await self.feed.get_config()
        kept = int(config.get("history") or 2 * int(config.get("max_length") or FAR))
        since = max(0, snapshot.revision - min(kept, FAR) + 10)
        try:
            self._events = await self.feed.history(since)
        except HistoryLost:
            self._events = []
        return self

    def made_by(self, act: str) -> list[str]:
        """The ids of items that an action has made, or changed last."""
        return [id for id, item in self.items.items() if item.get("act") == act]

    def now_of(self, act: str) -> Any:
        """What has become of an item that an action has made; None if it is gone."""
        for event in self._events:
            if isinstance(event, Published) and event.item.get("act") == act:
                return self.items.get(event.id)
        return None

    def since(self, id: str, *kinds: type) -> tuple[Any, int]:
        """The last event of some kinds about an item, and the item's revision.

        :raises Refused: 409 if that is too long ago.
        """
        events = [event for event in self._events if getattr(event, "id", None) == id]
        last = next((event for event in reversed(events) if isinstance(event, kinds)), None)
        if last is None:
            raise Refused(409, "That is too long ago to be taken back.")
        return last, events[-1].revision


def changed(what: str = "Somebody has changed it since: it stays as it is now.") -> Refused:
    """What is told if it is not ours to take back any more."""
    return Refused(409, what)


async def changed_by(feeds: Feeds, item: Any) -> Refused:
    """The same, with the name of who it was."""
    who = (item or {}).get("edited") or (item or {}).get("from")
    member = await feeds.members.get_item(who) if who else None
    if member is None:
        return changed()
    return changed(f"{member['name']} has changed it since: it stays as it is now.")


async def undo(act: Act) -> None:
    """Take back one's own last action."""
    feeds = Feeds(act.thoonk, act.payload.team)
    recipes = await Past(feeds.undo(act.user["id"])).read()
    found = recipes.items.get(act.payload.act)
    if found is None:
        raise Refused(409, "That was taken back already.")
    _, revision = recipes.since(act.payload.act, Published)
    changes = await _KINDS[found["kind"]](feeds, found)
    try:
        await act.commit(
            *changes,
            # On condition: in two windows at once it is taken back once.
            recipes.feed.change.retract(act.payload.act, if_revision=revision),
            *noted(act, "undo", found["what"]),
            result={"kind": found["kind"], "what": found["what"]},
        )
    except Conflict:
        raise changed() from None


async def add(feeds: Feeds, found: Any) -> list[Any]:
    """What was added goes again."""
    changes = []
    for feed in (feeds.tasks(found["member"]), feeds.shipped(found["member"])):
        past = await Past(feed).read()
        for id in past.made_by(found["act"]):
            _, revision = past.since(id, Published, Edited)
            changes.append(feed.change.retract(id, if_revision=revision))
    if not changes:
        past = await Past(feeds.tasks(found["member"])).read()
        raise await changed_by(feeds, past.now_of(found["act"]))
    return changes


async def say(feeds: Feeds, found: Any) -> list[Any]:
    """What was said goes again."""
    past = await Past(feeds.chat).read()
    _, revision = past.since(found["act"], Published)
    return [feeds.chat.change.retract(found["act"], if_revision=revision)]


async def edit(feeds: Feeds, found: Any) -> list[Any]:
    """The text that was there comes back."""
    past = await Past(feeds.tasks(found["member"])).read()
    if found["id"] not in past.made_by(found["act"]):
        raise await changed_by(feeds, past.items.get(found["id"]))
    _, revision = past.since(found["id"], Published, Edited)
    return [past.feed.change.edit(found["id"], found["item"], if_revision=revision)]


async def move(feeds: Feeds, found: Any) -> list[Any]:
    """The task goes back to where it was."""
    past = await Past(feeds.tasks(found["member"])).read()
    if found["id"] not in past.items:
        raise changed("The task is not there any more.")
    last, revision = past.since(found["id"], Moved)
    if last.position != found["position"]:
        raise changed("Somebody has moved it since: it stays where it is now.")
    back = found["back"]
    if back.strip(":").isdigit() and back.strip(":") not in past.items:
        back = "begin:"
    return [past.feed.change.move(back, found["id"], if_revision=revision)]


async def ship(feeds: Feeds, found: Any) -> list[Any]:
    """A task is to be done after all."""
    past = await Past(feeds.shipped(found["member"])).read()
    item = past.items.get(found["id"])
    if item is None or item.get("ship") != found["act"]:
        raise changed()
    _, revision = past.since(found["id"], Published, Edited)
    return [
        past.feed.change.retract(found["id"], if_revision=revision),
        *await retract(feeds, found),
    ]


async def delegate(feeds: Feeds, found: Any) -> list[Any]:
    """A task comes back from another member."""
    past = await Past(feeds.tasks(found["to"])).read()
    ids = past.made_by(found["act"])
    if not ids:
        raise changed()
    _, revision = past.since(ids[0], Published, Edited)
    return [
        past.feed.change.retract(ids[0], if_revision=revision),
        *await retract(feeds, found),
    ]


async def retract(feeds: Feeds, found: Any) -> list[Any]:
    """A task that was taken out comes back, to where it was."""
    tasks = feeds.tasks(found["member"])
    return [place(tasks, found["back"], found["item"], await tasks.get_ids())]


_KINDS = {
    "add": add,
    "import": add,
    "say": say,
    "edit": edit,
    "move": move,
    "ship": ship,
    "delegate": delegate,
    "retract": retract,
}
