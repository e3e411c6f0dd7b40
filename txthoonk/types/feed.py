"""Feeds: items by the time they were published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred

from txthoonk.keys import decode, encode
from txthoonk.types.base import ItemId, Owner, new_id
from txthoonk.types.committing import FeedChanges
from txthoonk.types.items import ItemFeed, changed

__all__ = ["Feed"]


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
        self, item: Any, id: str | int | None = None, if_revision: int | None = None
    ) -> Deferred[ItemId]:
        """Publish an item; with the id of an item that is there, edit it.

        Either makes it the last item of the feed. A new id leaves ``max_length`` items: the
        oldest are retracted; an edit retracts none.

        :param item: what the feed's serializer takes.
        :param id: made up if not given.
        :param if_revision: of the item (0 where there must be none), or of the feed: only if
            that is the last one.
        :returns: fires with the id, once the item is stored and its event is out; its
            ``revision`` is that of the change.
        :raises Conflict: (as a failure) if it has changed since *if_revision*.
        :raises FeedDoesNotExist: (as a failure) if the feed was deleted; nothing is written.
        :raises ConnectionLost: (as a failure) if the connection broke; the item *may* be there.
        """
        known = ItemId(new_id() if id is None else self._id(id))
        args = (encode(known), self._encode(item))
        if if_revision is None:
            return self._run(self._publish, args, changed, known, id=known)
        return self._change(self._publish, args, if_revision, known, changed, known)

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


def _texts(reply: list[bytes]) -> list[str]:
    return [decode(id) for id in reply]
