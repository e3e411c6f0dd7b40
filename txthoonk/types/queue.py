"""Queues: each item goes to one taker, once at the most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred

from txthoonk.keys import decode, encode
from txthoonk.types.base import ItemId, Owner, given, new_id
from txthoonk.types.waiting import WaitingFeed, side, texts

__all__ = ["Queue"]


class Queue(WaitingFeed):
    """Items that are handed out one by one, in the order they were put.

    What is taken is gone, whether its taker lives or dies; a job is for what must not be lost.
    Options: ``serializer`` and ``title``.
    """

    TYPE = FAMILY = "queue"

    def __init__(
        self, pub: Owner, name: str, config: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        super().__init__(pub, name, config, **options)
        self._put = self._bind("queue/put")
        self._take = self._bind("queue/take")
        self._give_back = self._bind("queue/give_back")

    def put(self, item: Any, priority: bool = False) -> Deferred[ItemId]:
        """Put an item.

        :param priority: ``Queue.HIGH``: before all others.
        :returns: fires with its id, once it is stored.
        :raises FeedDoesNotExist: (as a failure) if the queue was deleted; nothing is written.
        """
        id = ItemId(new_id())
        args = (side(priority), encode(id), self._encode(item))
        return self._run(self._put, args, given, id, id=id)

    def get(self, timeout: float = 0) -> Deferred[Any]:
        """Take the next item.

        :param timeout: seconds; ``0`` waits for ever.
        :returns: fires with the item. Cancelling gives up the wait; nothing is lost.
        :raises Empty: (as a failure) if nothing came in time.
        :raises ItemError: (as a failure) if the item cannot be decoded; it is gone.
        :raises FeedDoesNotExist: (as a failure) if the queue was deleted.
        :raises ConnectionLost: (as a failure) if the connection broke while an item was taken:
            one *may* be gone.
        """
        taken: Deferred[tuple[str, bytes]] = self.pub.blocked(self).get(
            timeout, self._unless_made()
        )
        return taken.addCallback(self._item)

    def get_ids(self) -> Deferred[list[str]]:
        """The ids of all that wait, the next one to be taken last."""
        return self._read("LRANGE", self.keys.ids, 0, -1).addCallback(texts)

    def maintenance(self, handoff_grace: float = 5.0) -> Deferred[int]:
        """Return what was on its way to a process that died.

        :param handoff_grace: seconds that an id may be on its way, between two calls of this.
        :returns: fires with how many were returned.
        """
        return self._return_abandoned(handoff_grace)

    # -- for the waiting gets ---------------------------------------------------------------

    def take(self, count: int, handed: str) -> Deferred[list[tuple[str, bytes]]]:
        """Take at most *count* items, the one that was *handed* first."""
        args = (b"%d" % count, encode(handed))
        return self._take(self.pub.redis, args, _taken, id=handed)

    def give_back(self, taken: list[tuple[str, bytes]]) -> Deferred[Any]:
        """Put back what nobody waits for any more."""
        args = [part for id, data in taken for part in (encode(id), data)]
        return self._give_back(self.pub.redis, args)

    def _item(self, taken: tuple[str, bytes]) -> Any:
        id, data = taken
        return self._decode_or_fail(data, id)


def _taken(reply: list[bytes]) -> list[tuple[str, bytes]]:
    return [(decode(reply[i]), reply[i + 1]) for i in range(0, len(reply), 2)]
