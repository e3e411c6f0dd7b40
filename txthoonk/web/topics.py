"""What is followed for web clients: a feed, or all feeds of a pattern."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from txthoonk.errors import FeedDoesNotExist, WrongFeedType
from txthoonk.events import Event, FeedDeleted
from txthoonk.live import LiveFeed
from txthoonk.live_pattern import LivePattern
from txthoonk.messages import deleted
from txthoonk.web.channel import Channel
from txthoonk.web.replies import WebError

if TYPE_CHECKING:
    from txthoonk.web.hub import Hub
    from txthoonk.web.stream import ClientStream

__all__ = [
    *("FeedTopic", "Key", "PatternTopic", "Topic"),
    *("keys_of", "refused", "why_may_not", "why_not"),
]


class Topic:
    """Something that is followed once, for however many clients.

    :param hub: of the process.
    :param name: of the feed, or the pattern.
    :ivar streams: who has subscribed to it.
    :ivar channels: its feeds, by name.
    :ivar failed: whether it cannot be followed.
    :ivar unused_since: when the last client left it, by the reactor's clock.
    """

    def __init__(self, hub: Hub, name: str) -> None:
        self.hub = hub
        self.name = name
        self.streams: dict[ClientStream, None] = {}
        self.channels: dict[str, Channel] = {}
        self.failed = False
        self.unused_since = 0.0
        self._stopped = False
        self._opening: Deferred[None] | None = None
        self._waiting: list[Deferred[None]] | None = []

    @property
    def key(self) -> Key:
        """What it is."""
        kind: Any = type(self)
        return kind, self.name

    def opened(self) -> Deferred[None]:
        """Fires when it is followed; fails as ``follow`` does."""
        if self._waiting is None:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        if self._opening is None:
            self._opening = Deferred.fromCoroutine(self._open())
            self._opening.addBoth(self._is_open)
        return waiting

    def _is_open(self, outcome: Failure | None) -> None:
        waiting, self._waiting = self._waiting or [], None
        if isinstance(outcome, Failure):
            self.failed = True
            self._waiting, self._opening = [], None  # whoever comes next may try again
        for each in waiting:
            if isinstance(outcome, Failure):
                each.errback(outcome)
            else:
                each.callback(None)

    async def _open(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        """Follow it no more."""
        self._stopped = True
        if self._opening is not None:
            self._opening.addErrback(lambda _: None).cancel()
        for channel in self.channels.values():
            channel.stop()
        self.channels = {}
        self._stop()

    def _stop(self) -> None:
        raise NotImplementedError


class FeedTopic(Topic):
    """One feed."""

    _live: LiveFeed | None = None

    async def _open(self) -> None:
        channel = Channel(self.name, self.hub.counts, self.hub.fan)
        try:
            live: LiveFeed = await self.hub.thoonk.follow(
                self.name, channel.handle, serializer=self.hub.serializer
            )
        except BaseException:
            channel.stop()
            raise
        self._live = live
        channel.begin(live)
        self.failed = False
        self.channels = {self.name: channel}

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()


class PatternTopic(Topic):
    """All feeds whose names match a pattern, those that are born later too."""

    _live: LivePattern | None = None

    async def _open(self) -> None:
        live: LivePattern = await self.hub.thoonk.follow_pattern(
            self.name,
            self._handle,
            serializer=self.hub.serializer,
            foreign=self.hub.foreign_patterns,
        )
        self._live = live
        self.failed = False
        for name, each in live.items():
            self.channels[name] = channel = Channel(name, self.hub.counts, self.hub.fan)
            channel.begin(each)

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()

    def _handle(self, event: Any) -> None:
        """Something happened to one of the feeds."""
        live = self._live
        if live is None or self._stopped:
            return
        name = event.feed
        channel, feed = self.channels.get(name), live.get(name)
        if feed is None:
            # It is gone, whether anybody said so or not.
            if channel is not None:
                self._gone(channel, FeedDeleted(name))
        elif channel is not None and channel.live is feed:
            channel.handle(event)
        else:
            if channel is not None:
                self._gone(channel, FeedDeleted(name))
            self._born(feed, event)

    def _born(self, feed: LiveFeed, event: Event) -> None:
        channel = Channel(feed.name, self.hub.counts, self.hub.fan)
        channel.live = feed
        self.channels[feed.name] = channel
        channel.handle(event)
        self.hub.born(self, channel)

    def _gone(self, channel: Channel, event: FeedDeleted) -> None:
        del self.channels[channel.name]
        for stream in list(channel.streams):
            stream.leave(channel)
            stream.say(deleted(event.feed))
            # Who has asked for it by name, too, is told of the next one by that.
            named = self.hub.followed.get((FeedTopic, channel.name))
            if named is not None and named in stream.topics and channel.name in named.channels:
                other = named.channels[channel.name]
                stream.join([(other, "" if other.at else other.last)])
        channel.stop()


#: What may be subscribed to: a feed or a pattern, and its name.
Key = tuple["type[FeedTopic] | type[PatternTopic]", str]


def keys_of(feeds: Iterable[str], patterns: Iterable[str]) -> list[Key]:
    """What these names are of."""
    return [*((FeedTopic, each) for each in feeds), *((PatternTopic, each) for each in patterns)]


def why_not(error: Exception) -> tuple[int, str]:
    """Why something cannot be followed: a code as of HTTP, and a text."""
    if isinstance(error, FeedDoesNotExist):
        return 404, "no such feed"
    if isinstance(error, WrongFeedType):
        return 404, "this is no feed or sorted feed"
    if isinstance(error, ValueError):
        return 400, str(error)
    return 503, "the feeds are out of reach just now"


async def why_may_not(asking: Awaitable[bool], what: str) -> tuple[int, str] | None:
    """Why a client may not do something, as a refusal says it; None if it may.

    Where a hook fails at one feed, that is no other feed's affair; only where Redis is away
    (503) all is to be asked again.
    """
    try:
        return None if await asking else (403, f"you may not {what}")
    except WebError as error:
        if error.code == 503:
            raise
        return error.code, error.error


def refused(what: str, name: str, code: int, error: str) -> dict[str, Any]:
    """The message that a feed or pattern is not told."""
    return {"type": "refused", what: name, "code": code, "error": error}
