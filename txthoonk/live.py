"""What users hold who follow a feed: a local copy that is what Redis holds, at every change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from twisted.internet.defer import Deferred

from txthoonk.changes import SortedCopy
from txthoonk.delivery import Budget
from txthoonk.events import Event
from txthoonk.followers import Followers
from txthoonk.following import Follower
from txthoonk.positions import Position, pack_position, read_position
from txthoonk.serializers import Serializer

__all__ = ["LiveFeed", "OnEvent", "follow"]

OnEvent = Callable[[Any], object]


class LiveFeed:
    """A feed that is followed: what it is now, as far as the handler has been told.

    Iterating gives pairs of id and item, in order.

    :ivar name: of the feed.
    """

    __slots__ = ("_follower", "_followers", "name")

    def __init__(self, followers: Followers, follower: Follower) -> None:
        self._followers = followers
        self._follower = follower
        self.name = follower.name

    def __repr__(self) -> str:
        return f"<LiveFeed {self.name!r} at revision {self.revision}>"

    @property
    def items(self) -> Mapping[str, Any]:
        """All items by id, in order; for looking at.

        An item that cannot be decoded has an :exc:`ItemError` in its place.
        """
        return self._follower.copy.in_order()

    @property
    def ids(self) -> list[str]:
        """All ids, in order."""
        return self._follower.copy.ids

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(list(self._follower.copy.in_order().items()))

    def __len__(self) -> int:
        return len(self._follower.copy.items)

    def __contains__(self, id: object) -> bool:
        return id in self._follower.copy.items

    @property
    def revision(self) -> int:
        """Of the last change that the handler was told of; 0 before the first there ever was."""
        return self._follower.revision

    @property
    def epoch(self) -> str:
        """Of the revision; empty before the first."""
        return self._follower.position().epoch or ""

    @property
    def position(self) -> Position:
        """Where the handler is, as it is stored; for those who keep places of their own."""
        return self._follower.position()

    @property
    def is_sorted(self) -> bool:
        """Whether it is a sorted feed, as far as anything shows it."""
        return isinstance(self._follower.copy, SortedCopy)

    @property
    def synced(self) -> bool:
        """Whether this is what the feed is, as far as anybody has said."""
        return self._followers.place.hears and self._follower.synced

    @property
    def token(self) -> str:
        """Where the handler is, for ``follow(token=...)`` in this process or another."""
        return pack_position(self._follower.signed())

    def latest(self, most: int) -> Deferred[list[tuple[Event, Position]]]:
        """The last events that the history has, the oldest first, each with where it leads to.

        Only those that follow each other.

        :param most: how many of them.
        """
        return self._follower.latest(most)

    def when_synced(self) -> Deferred[None]:
        """Fires when nothing that was published before is missing; at once if that is so.

        :raises CancelledError: (as a failure) if this was stopped.
        """
        return self._followers.when_synced([self._follower])

    def verify(self) -> Deferred[bool]:
        """Compare all ids, their order and all items with what Redis has.

        :returns: fires with whether they were the same; where not, they are now, and the handler
            was told what was missing.
        :raises CancelledError: (as a failure) if this was stopped.
        """
        return self._followers.verify([self._follower])

    def stop(self) -> None:
        """Call the handler no more, from this moment."""
        self._followers.stop_following(self._follower)


async def follow(
    followers: Followers,
    name: str,
    handler: OnEvent,
    serializer: Serializer,
    budget: Budget,
    foreign: bool,
    token: str | None,
) -> LiveFeed:
    """Follow one feed; see ``Thoonk.follow``."""
    resume = None if token is None else read_position(token)
    followers.begin()
    follower = Follower(followers.place, name, handler, serializer, budget, foreign, resume)
    try:
        await followers.add(follower, listens=True)
        await follower.start()
    except BaseException:
        followers.stop_following(follower)
        raise
    return LiveFeed(followers, follower)
