"""The names that 0.1 gave to the keys and channels of its two types."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred

from txthoonk.keys import FeedKeys, decode

__all__ = ["OlderNames"]


class _HasKeys(Protocol):
    @property
    def keys(self) -> FeedKeys:
        """Of the feed."""


class _Name:
    """A key or channel as text; *attribute* is what ``FeedKeys`` calls it."""

    def __init__(self, attribute: str) -> None:
        self._attribute = attribute

    def __get__(self, feed: _HasKeys, kind: type[Any]) -> str:
        return decode(getattr(feed.keys, self._attribute))


class OlderNames:
    """What programs written for 0.1 ask feeds and sorted feeds for."""

    feed_ids = _Name("ids")
    feed_items = _Name("items")
    feed_publishes = _Name("publishes")
    feed_config = _Name("config")
    feed_id_incr = _Name("idincr")
    channel_publish = _Name("publish_channel")
    channel_edit = _Name("edit_channel")
    channel_retract = _Name("retract_channel")
    channel_position = _Name("position_channel")

    def get_id(self, id: str | int) -> Deferred[Any]:
        """As ``get_item``."""
        item: Deferred[Any] = self.get_item(id)  # type: ignore[attr-defined]  # of the types
        return item
