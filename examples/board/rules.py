"""Who may do what, and the feeds of a team as handles."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from examples.board import TEAMS, Team
from txthoonk import Feed, SortedFeed, Thoonk
from txthoonk.actions import Act

__all__ = [
    "MOST_SHIPPED",
    "Feeds",
    "is_author",
    "is_member",
    "is_owner",
    "is_signed_in",
    "may_delegate",
    "may_read",
    "member_of",
]

#: How many items stay.
MOST_SAID, MOST_SHIPPED, MOST_UNDONE = 200, 100, 20

_ALL: WeakKeyDictionary[Thoonk, dict[str, Any]] = WeakKeyDictionary()


class Feeds:
    """The feeds of a team: handles, each created before its first use.

    :param thoonk: where they are.
    :param team: its number, as text.
    """

    def __init__(self, thoonk: Thoonk, team: str) -> None:
        self._thoonk = thoonk
        self._names = Team(team)

    def tasks(self, member: str) -> SortedFeed:
        """What a member is to do."""
        return self._get("sorted_feed", self._names.tasks(member))

    def shipped(self, member: str) -> Feed:
        """What a member has done."""
        name = self._names.shipped(member)
        return self._get("feed", name, max_length=MOST_SHIPPED, history=5 * MOST_SHIPPED)

    def undo(self, member: str) -> Feed:
        """How to take back what a member did last."""
        name = self._names.undo(member)
        return self._get("feed", name, max_length=MOST_UNDONE, history=5 * MOST_UNDONE)

    @property
    def members(self) -> Feed:
        """Who is in the team."""
        return self._get("feed", self._names.members)

    @property
    def chat(self) -> Feed:
        """What was said."""
        return self._get("feed", self._names.chat, max_length=MOST_SAID)

    @property
    def log(self) -> Feed:
        """What was done, and by whom."""
        return self._get("feed", self._names.log, max_length=MOST_SAID)

    @property
    def presence(self) -> Feed:
        """Who is here."""
        return self._get("feed", self._names.presence)

    @property
    def teams(self) -> Feed:
        """All teams."""
        return self._get("feed", TEAMS)

    async def create(self, member: str) -> None:
        """Make sure that all feeds of a member are there."""
        for feed in (self.members, self.chat, self.log, self.presence, self.undo(member)):
            await feed
        await self.tasks(member)
        await self.shipped(member)

    def _get(self, kind: str, name: str, **options: Any) -> Any:
        handles = _ALL.setdefault(self._thoonk, {})
        if name not in handles:
            make = getattr(self._thoonk, kind)
            handles[name] = make(name, serializer="json", **options)
        return handles[name]


async def member_of(thoonk: Thoonk, team: str, member: str) -> bool:
    """Whether somebody is a member of a team."""
    feed = thoonk.feed(Team(team).members)
    return bool(await thoonk.redis.execute("HEXISTS", feed.keys.items, member))


def is_signed_in(act: Act) -> bool:
    """Whoever told a name."""
    return act.user is not None


async def is_member(act: Act) -> bool:
    """Members of the team may."""
    return act.user is not None and await member_of(act.thoonk, act.payload.team, act.user["id"])


async def is_owner(act: Act) -> bool:
    """Only whose list it is may."""
    return await is_member(act) and bool(act.payload.member == act.user["id"])


async def is_author(act: Act) -> bool:
    """Whose list it is may, and who wrote the task."""
    payload = act.payload
    if not await is_member(act):
        return False
    if payload.member == act.user["id"]:
        return True
    item = await Feeds(act.thoonk, payload.team).tasks(payload.member).get_item(payload.id)
    return item is None or item.get("by") == act.user["id"]


async def may_delegate(act: Act) -> bool:
    """Whose list it is may, and who wrote the task; only members can be given any."""
    return await is_author(act) and await member_of(act.thoonk, act.payload.team, act.payload.to)


async def may_read(thoonk: Thoonk, user: Any, feed: str) -> bool:
    """Whether somebody may see a feed, or all feeds that a pattern takes."""
    area, _, rest = feed.partition(":")
    team, _, rest = rest.partition(":")
    if area == "undo":
        return bool(rest == user["id"])
    if area == "team":
        return team.isdigit() and await member_of(thoonk, team, user["id"])
    return feed in (TEAMS, "processes", "actions:board")
