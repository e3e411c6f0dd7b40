"""What feeds and sorted feeds share: items that are read by id and taken out again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from twisted.internet.defer import Deferred

from txthoonk.keys import encode
from txthoonk.types.base import FeedBaseType, ItemId, Owner
from txthoonk.types.names import OlderNames

__all__ = ["ItemFeed", "given", "none"]


class ItemFeed(OlderNames, FeedBaseType):
    """A feed whose items can be read and retracted."""

    #: The folder of its scripts.
    SCRIPTS: ClassVar[str]

    def __init__(
        self, pub: Owner, name: str, config: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        super().__init__(pub, name, config, **options)
        self._retract = self._bind(f"{self.SCRIPTS}/retract")
        self._get_all = self._bind(f"{self.SCRIPTS}/get_all")

    def retract(self, id: str | int) -> Deferred[bool]:
        """Take an item out.

        :returns: fires with whether it was there.
        :raises FeedDoesNotExist: (as a failure) if the feed was deleted.
        """
        id = self._id(id)
        return self._run(self._retract, (encode(id),), bool, id=id)

    def get_item(self, id: str | int) -> Deferred[Any]:
        """An item, or None if there is none of that id.

        :raises ItemError: (as a failure) if it cannot be decoded.
        """
        id = self._id(id)
        return self._read("HGET", self.keys.items, encode(id), id=id).addCallback(
            self._decode_or_fail, id
        )

    def get_all(self) -> Deferred[dict[str, Any]]:
        """All items by id, in the feed's order, as of one instant.

        An item that cannot be decoded has an :exc:`ItemError` in its place.
        """
        return self._run(self._get_all, (), self._decode_all)

    def has_id(self, id: str | int) -> Deferred[bool]:
        """Whether there is an item of that id."""
        id = self._id(id)
        return self._read("HEXISTS", self.keys.items, encode(id), id=id).addCallback(bool)


def given(_: object, id: ItemId) -> ItemId:
    """The id that the caller knew already, as the result of a verb."""
    return id


def none(_: object) -> None:
    """Nothing, as the result of a verb."""
