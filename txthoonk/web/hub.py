"""What all web clients of a process share: each feed is followed once, each message made once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._deferred import first_failure, ignore
from txthoonk.messages import deleted
from txthoonk.positions import read_place
from txthoonk.serializers import Serializer
from txthoonk.service import Thoonk
from txthoonk.web.admitting import Admitting
from txthoonk.web.channel import Channel, Counts, Cursor, Message
from txthoonk.web.followed import Followed
from txthoonk.web.stream import PART, ClientStream
from txthoonk.web.topics import (
    FeedTopic,
    Key,
    PatternTopic,
    Topic,
    keys_of,
    refused,
    why_may_not,
)

__all__ = ["Hub", "Reader"]

#: Seconds for which a feed is followed that nobody looks at any more: pages are loaded again.
LINGER: Final = 10.0

#: Seconds between two ticks of the clock that all heartbeats share.
TICK: Final = 1.0

#: A channel of a topic, from where on it is told, and the place that the client has said.
_Found = tuple[Topic, Channel, Cursor, "str | None"]


class Reader(Protocol):
    """Who says what may be read."""

    async def may_read(self, user: Any, feed: str) -> bool:
        """Whether a user may read a feed."""

    async def may_follow(self, user: Any, pattern: str) -> bool:
        """Whether a user may ask for a pattern."""


class Hub:
    """The web clients of one process.

    :param thoonk: where feeds are.
    :param reader: who says what a client may read.
    :param serializer: for items.
    :param foreign_patterns: whether other programs' changes are listened for under patterns.
    :param heartbeat: seconds between two signs of life to each client.
    :param patience: seconds a client need not read or answer.
    :ivar counts: what was done.
    :ivar streams: who is connected.
    :ivar admitting: lets them in.
    """

    log = Logger()

    def __init__(
        self,
        thoonk: Thoonk,
        reader: Reader,
        serializer: str | Serializer = "text",
        foreign_patterns: bool = False,
        heartbeat: float = 15.0,
        patience: float = 60.0,
    ) -> None:
        self.thoonk = thoonk
        self.serializer = serializer
        self.foreign_patterns = foreign_patterns
        self.counts = Counts()
        self.streams: dict[ClientStream, None] = {}
        #: Grows with each message; whatever is made of where all channels are is as old as that.
        self.stamp = 0
        self._reader = reader
        self._heartbeat = heartbeat
        self._patience = patience
        self._reactor: Any = thoonk.get_reactor()
        self.followed = Followed(self)
        self._beats = LoopingCall(self._beat)
        self._beats.clock = self._reactor
        self._round: list[ClientStream] = []
        #: Who is sent something at the end of this turn of the reactor.
        self._holding: list[ClientStream] = []
        #: Who was sent the last that there is, and since when that is on its way.
        self.ending: dict[ClientStream, float] = {}
        self.admitting = Admitting()
        self._is_cut = False
        thoonk.call_when_cut(self._cut)
        thoonk.call_when_heard_again(self._heard_again)

    def now(self) -> float:
        """The reactor's clock, seconds."""
        return float(self._reactor.seconds())

    # -- clients ----------------------------------------------------------------------------

    def opened(self, stream: ClientStream) -> None:
        """A client has come."""
        self.streams[stream] = None
        self.counts.opened += 1
        self.counts.streams += 1
        if not self._beats.running:
            self._beats.start(TICK, now=False).addErrback(
                lambda f: self.log.failure("Heartbeats failed", failure=f)
            )

    def closed(self, stream: ClientStream) -> None:
        """It has gone."""
        if self.streams.pop(stream, False) is None:
            self.counts.streams -= 1
        for channel in list(stream.channels.values()):
            channel.streams.pop(stream, None)
        stream.channels = {}
        for topic in list(stream.topics):
            self.followed.release(topic, stream)
        stream.topics = {}

    def end(self, user_id: str, last: Mapping[str, Any] | None = None) -> int:
        """End the streams of a user; says how many there were.

        :param last: what they are told before.
        """
        self.admitting.ended(user_id)
        mine = [each for each in self.streams if each.user_id == user_id]
        for stream in mine:
            stream.close(b"" if last is None else stream.answer(last))
        return len(mine)

    def end_all(self) -> None:
        """End the streams of all users."""
        self.admitting.ended()
        for stream in list(self.streams):
            stream.close()

    def stop(self) -> None:
        """End all streams, and follow nothing any more."""
        self.admitting.stop()
        self.thoonk.call_no_more(self._cut)
        self.thoonk.call_no_more(self._heard_again)
        if self._beats.running:
            self._beats.stop()
        for stream in list(self.streams):
            stream.close()
        self.followed.stop()

    def _beat(self) -> None:
        now = self.now()
        if not self._round:
            self._round = list(self.streams)
            self.followed.tidy(now - LINGER)
            for stream in [each for each, at in self.ending.items() if now - at > LINGER]:
                del self.ending[stream]
                stream.transport.abortConnection()  # it does not read
            if not (self._round or self.followed or self.ending):
                self._beats.stop()
        for _ in range(int(len(self.streams) * TICK / self._heartbeat) + 1):
            if not self._round:
                break
            stream = self._round.pop()
            if not stream.closed:
                stream.beat(now, self._patience)

    def _cut(self) -> None:
        """Redis is out of reach: what clients have may be old."""
        if not self._is_cut:
            self._is_cut = True
            self._tell_all({"type": "stale"})

    def _heard_again(self) -> None:
        if self._is_cut:
            self._is_cut = False
            waiting = [
                channel.live.when_synced().addErrback(ignore)  # one may have ended meanwhile
                for topic in self.followed
                for channel in topic.channels.values()
                if channel.live is not None
            ]
            gatherResults(waiting).addCallback(
                lambda _: None if self._is_cut else self._tell_all({"type": "fresh"})
            )

    def _tell_all(self, message: Mapping[str, Any]) -> None:
        for stream in list(self.streams):
            stream.say(message)

    @property
    def is_cut(self) -> bool:
        """Whether Redis is out of reach."""
        return self._is_cut

    # -- what they are told -----------------------------------------------------------------

    def fan(self, channel: Channel, message: Message) -> None:
        """Send a message to everybody who is told as it comes; the others know where they are.

        It is sent at the end of this turn of the reactor, with the others that came in it: a system
        call for each client is most of what a message costs.
        """
        self.stamp += 1
        holding = self._holding
        was_idle = not holding
        made: dict[Any, bytes] = {}
        cursor, is_large = channel.last - 1, len(message.text) > PART
        for stream in tuple(channel.streams):
            behind = stream.behind
            if behind is not None:
                if channel not in behind:
                    behind[channel] = cursor
                continue
            if is_large:
                stream.fall_behind(channel, cursor)
                continue
            data = made.get(stream.group)
            if data is None:
                data = made[stream.group] = stream.data(channel, message)
            held = stream.held
            if not held:
                stream.held = data
                holding.append(stream)
            elif len(held) < PART:
                stream.held = held + data
            else:
                stream.flush()
                stream.held = data
        if was_idle and holding:
            self._reactor.callLater(0, self._flush)

    def _flush(self) -> None:
        """Send what is held."""
        holding, self._holding = self._holding, []
        for stream in holding:
            held = stream.held
            if held:
                stream.held = b""
                try:
                    stream.send(held)
                except Exception:  # the others are to be sent theirs
                    self.log.failure("Cannot send to a client")
                    stream.close()

    async def subscribe(
        self,
        stream: ClientStream,
        feeds: Mapping[str, str | None],
        patterns: Mapping[str, Mapping[str, str] | None],
    ) -> None:
        """Tell a client of feeds.

        :param feeds: each with the place that the client knows, or None.
        :param patterns: each with the places in the feeds that the client knows, or None.
        """
        asked: set[Key] = {*keys_of(feeds, patterns)}
        stream.asked = [*(stream.asked or ()), asked]
        try:
            ready = [
                Deferred.fromCoroutine(self._feed(stream, name, feeds[name], asked))
                for name in feeds
            ]
            ready += [
                Deferred.fromCoroutine(self._pattern(stream, glob, patterns[glob] or {}, asked))
                for glob in patterns
            ]
            found = await gatherResults(ready, consumeErrors=True).addErrback(first_failure)
        finally:
            stream.asked = [each for each in stream.asked if each is not asked] or None
        joined: dict[str, tuple[Channel, Cursor]] = {}
        for topic, channel, cursor, at in (each for several in found for each in several):
            name = channel.name
            if topic.key not in asked or name in stream.channels:
                continue  # it was unsubscribed meanwhile, or is there in another way
            if topic.channels.get(name) is channel:
                joined.setdefault(name, (channel, cursor))
            elif at and name not in topic.channels:  # one that was born since is told by itself
                stream.say(deleted(name))
        stream.join(list(joined.values()))

    def unsubscribe(self, stream: ClientStream, feeds: list[str], patterns: list[str]) -> None:
        """Tell a client of feeds no more; of those that it has subscribed to otherwise, still."""
        for key in keys_of(feeds, patterns):
            for asked in stream.asked or ():
                asked.discard(key)
            topic = self.followed.get(key)
            if topic is None or topic not in stream.topics:
                continue
            del stream.topics[topic]
            for name, channel in list(topic.channels.items()):
                if stream.channels.get(name) is channel:
                    at = channel.place(stream.cursor(channel))
                    stream.leave(channel)
                    for other in stream.topics:
                        if name in other.channels:
                            Deferred.fromCoroutine(self._join_other(stream, other, name, at))
                            break
            self.followed.release(topic, stream)

    async def _join_other(self, stream: ClientStream, topic: Topic, name: str, at: str) -> None:
        channel = topic.channels[name]
        cursor = await channel.find(at)
        is_there = topic.channels.get(name) is channel
        if is_there and name not in stream.channels and topic in stream.topics:
            stream.join([(channel, cursor)])

    async def _feed(
        self, stream: ClientStream, name: str, at: str | None, asked: set[Key]
    ) -> list[_Found]:
        why = await why_may_not(self._reader.may_read(stream.user, name), "read this feed")
        if why:
            stream.say(refused("feed", name, *why))
            return []
        topic = await self.followed.open(stream, (FeedTopic, name), asked)
        if topic is None:
            return []
        channel = topic.channels[name]
        if not channel.at:
            stream.say(deleted(name) if at else refused("feed", name, 404, "no such feed"))
        cursor = await channel.find(_place(at)) if channel.at else channel.last
        return [(topic, channel, cursor, at)]

    async def _pattern(
        self, stream: ClientStream, glob: str, places: Mapping[str, str], asked: set[Key]
    ) -> list[_Found]:
        why = await why_may_not(self._reader.may_follow(stream.user, glob), "follow this pattern")
        if why:
            stream.say(refused("pattern", glob, *why))
            return []
        topic = await self.followed.open(stream, (PatternTopic, glob), asked)
        if topic is None:
            return []
        finding = [
            Deferred.fromCoroutine(self._allowed(stream, topic, name, places.get(name)))
            for name in {**topic.channels, **places}
        ]
        found = await gatherResults(finding, consumeErrors=True).addErrback(first_failure)
        return [each for each in found if each is not None]

    async def _allowed(
        self, stream: ClientStream, topic: Topic, name: str, at: str | None
    ) -> _Found | None:
        channel = topic.channels.get(name)
        why = await why_may_not(self._reader.may_read(stream.user, name), "read this feed")
        if why:
            if at:
                stream.say(refused("feed", name, *why))
            return None
        if channel is None:
            if name not in topic.channels:
                stream.say(deleted(name))
            return None
        return topic, channel, await channel.find(_place(at)), at

    def born(self, topic: PatternTopic, channel: Channel) -> None:
        """A pattern has one more feed: clients are told what it is, as its events do not say."""
        for stream in list(topic.streams):
            told = Deferred.fromCoroutine(self._tell_of(stream, topic, channel))
            # It comes back, and is told then.
            told.addErrback(self._give_up, stream)

    def _give_up(self, why: Failure, stream: ClientStream) -> None:
        stream.close()

    async def _tell_of(self, stream: ClientStream, topic: PatternTopic, channel: Channel) -> None:
        why = await why_may_not(self._reader.may_read(stream.user, channel.name), "read this feed")
        is_there = topic.channels.get(channel.name) is channel and topic in stream.topics
        if not why and is_there and channel.name not in stream.channels:
            stream.join([(channel, "")])


def _place(at: str | None) -> str:
    """A place that a client has sent; empty if it is none."""
    try:
        return at if at and read_place(at) else ""
    except ValueError:
        return ""
