"""Feeds: items by the time they were published."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, Final

from twisted.internet.defer import Deferred

from txthoonk._deferred import returns_deferred
from txthoonk.keys import decode, encode
from txthoonk.types.base import ItemId, Owner, new_id
from txthoonk.types.committing import FeedChanges
from txthoonk.types.items import ItemFeed, changed

__all__ = ["Feed"]

#: How many items go in one call of maintenance.
MOST: Final = 100


class Feed(ItemFeed):
    """A stored list of items in the order of their publication, with an upper bound if wanted.

    Options: ``max_length`` (items; the oldest are retracted), ``serializer`` (``text``,
    ``bytes``, ``json`` or an object), ``title``, ``clock`` (``ms``; ``s`` writes scores in
    seconds, for sites where thoonk.py publishes into the same feed), ``history`` (how many events
    are kept; if not given twice ``max_length``, or 1,000 where there is no limit; 0 keeps none).
    """

    TYPE = SCRIPTS = "feed"
    OPTIONS = ItemFeed.OPTIONS | {"max_length", "clock"}
    CHANNELS = ("retract_channel", "edit_channel", "publish_channel")

    def __init__(
        self, pub: Owner, name: str, config: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        super().__init__(pub, name, config, **options)
        self._publish = self._bind("feed/publish")

    def publish(
        self,
        item: Any,
        id: str | int | None = None,
        if_revision: int | None = None,
        ttl: float | None = None,
    ) -> Deferred[ItemId]:
        """Publish an item; with the id of an item that is there, edit it.

        Either makes it the last item of the feed. A new id leaves ``max_length`` items: the
        oldest are retracted; an edit retracts none.

        :param item: what the feed's serializer takes.
        :param id: made up if not given.
        :param if_revision: of the item (0 where there must be none), or of the feed: only if
            that is the last one.
        :param ttl: seconds; then the item is retracted, by :meth:`maintenance` or whoever else
            does it, unless the id is published anew before: with *ttl* that counts from then,
            without the item stays for good.
        :returns: fires with the id, once the item is stored and its event is out; its
            ``revision`` is that of the change.
        :raises Conflict: (as a failure) if it has changed since *if_revision*.
        :raises FeedDoesNotExist: (as a failure) if the feed was deleted; nothing is written.
        :raises ConnectionLost: (as a failure) if the connection broke; the item *may* be there.
        :raises ValueError: if *ttl* is no time above 0, at most 1e9 seconds.
        """
        known = ItemId(new_id() if id is None else self._id(id))
        if ttl is not None:
            bound = self._bind("feed/publish_for")
            for_ms = _milliseconds(ttl, self.name, known)
            whole = (encode(self.name), for_ms, encode(known), self._encode(item))
            return self._change(bound, whole, if_revision, known, changed, known)
        args = (encode(known), self._encode(item))
        if if_revision is None:
            return self._run(self._publish, args, changed, known, id=known)
        return self._change(self._publish, args, if_revision, known, changed, known)

    @returns_deferred
    async def maintenance(self) -> int:
        """Retract the items whose time is over: those published with *ttl*.

        Any number of processes may do this at any time; ``thoonk.expirer()``, workers and
        ``twistd thoonk --maintain`` do it of all feeds.

        :returns: fires with how many went, each with its event.
        """
        expire, gone, until = self._bind("feed/expire"), 0, 0
        while until == 0:
            more, until = await self._run(expire, (encode(self.name), b"%d" % MOST), tuple)
            gone += more
        return gone

    @property
    def change(self) -> FeedChanges:
        """Makes changes for :meth:`Claim.commit`, by the names of the verbs; sends nothing."""
        return FeedChanges(self)

    def get_ids(self) -> Deferred[list[str]]:
        """All ids, the oldest first."""
        return self._read("ZRANGE", self.keys.ids, 0, -1).addCallback(_texts)

    def length(self) -> Deferred[int]:
        """How many items there are."""
        return self._read("ZCARD", self.keys.ids)


def _milliseconds(ttl: float, feed: str, id: str) -> bytes:
    """How long an item stays, as the script is told.

    :raises ValueError: if it cannot be.
    """
    if isinstance(ttl, bool) or not isinstance(ttl, (int, float)) or not 0 < ttl <= 1e9:
        raise ValueError(
            f"ttl is above 0 and at most 1e9 seconds, not {ttl!r} (feed {feed!r}, id {id!r})"
        )
    return b"%d" % ceil(ttl * 1000)


def _texts(reply: list[bytes]) -> list[str]:
    return [decode(id) for id in reply]
