"""All that a process follows for its web clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from txthoonk.errors import ConnectionFailed, NotConnected, ServerBusy, ThoonkError
from txthoonk.web.topics import FeedTopic, Key, Topic, refused, why_not

if TYPE_CHECKING:
    from txthoonk.web.hub import Hub
    from txthoonk.web.stream import ClientStream

__all__ = ["Followed"]

#: Seconds between two tries to follow something while Redis is away.
AGAIN: Final = 0.5


class Followed:
    """What is followed, each once.

    :param hub: of the process.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._topics: dict[Key, Topic] = {}
        self._pauses: dict[Deferred[None], None] = {}
        self._stopped = False

    def __len__(self) -> int:
        return len(self._topics)

    def __iter__(self) -> Iterator[Topic]:
        return iter(list(self._topics.values()))

    def get(self, key: Key) -> Topic | None:
        """What is followed, if it is."""
        return self._topics.get(key)

    async def open(self, stream: ClientStream, key: Key, asked: set[Key]) -> Topic | None:
        """Have something followed for a client; None where that cannot be, which it is told.

        :param asked: what the client still wants.
        """
        if stream.closed or key not in asked:
            return None  # it has gone meanwhile, or unsubscribed
        kind, name = key
        what = "feed" if kind is FeedTopic else "pattern"
        topic = self._topics.get(key)
        if topic is None:
            topic = self._topics[key] = kind(self._hub, name)
        topic.streams[stream] = None
        stream.topics[topic] = None
        try:
            await self._opened(stream, topic)
        except (ThoonkError, ValueError) as error:
            if stream.topics.pop(topic, False) is None:
                self.release(topic, stream)
            stream.say(refused(what, name, *why_not(error)))
            return None
        except CancelledError:
            if topic in stream.topics:
                raise
            return None  # it was unsubscribed, and given up; whatever else was asked for is not
        return topic if topic in stream.topics else None  # closed, or unsubscribed meanwhile

    async def _opened(self, stream: ClientStream, topic: Topic) -> None:
        """Wait until it is, also while Redis is away or busy: not every client asks twice."""
        while topic in stream.topics:
            try:
                await topic.opened()
                return
            except (ConnectionFailed, ServerBusy):
                if self._stopped:
                    raise
            pause: Deferred[None] = deferLater(self._hub.thoonk.get_reactor(), AGAIN)
            self._pauses[pause] = None
            try:
                await pause
            except CancelledError:
                raise NotConnected("stopped") from None
            finally:
                del self._pauses[pause]

    def release(self, topic: Topic, stream: ClientStream) -> None:
        """A client wants it no more."""
        topic.streams.pop(stream, None)
        if not topic.streams:
            topic.unused_since = self._hub.now()
            if topic.failed:
                self._forget(topic)

    def tidy(self, before: float) -> None:
        """Follow no more what nobody wants since then, and keep no states that nobody came for."""
        for topic in self:
            if not topic.streams and topic.unused_since < before:
                self._forget(topic)
            for channel in topic.channels.values():
                channel.forget_state()

    def stop(self) -> None:
        """Follow nothing any more."""
        self._stopped = True
        for pause in list(self._pauses):
            pause.cancel()
        for topic in self:
            self._forget(topic)

    def _forget(self, topic: Topic) -> None:
        if self._topics.get(topic.key) is topic:
            del self._topics[topic.key]
        topic.stop()
