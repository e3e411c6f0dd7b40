"""One feed as it is told to any number of web clients: each message is made once.

A channel numbers its messages. Who is told as they come needs nothing; who is behind, or comes
back with a place, has a cursor: the number of the last message it has, or a text where it has to be
given all that is there, which says why (empty: it had nothing yet).
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final, NamedTuple, Protocol

from twisted.internet.defer import Deferred, succeed

from txthoonk.events import Event, FeedDeleted, Resync
from txthoonk.live import LiveFeed
from txthoonk.messages import encode_message, message_of, snapshot
from txthoonk.positions import pack_place

__all__ = ["Channel", "Counts", "Cursor", "Message", "Stream"]

#: How many messages a channel keeps, and of how many bytes, for those who are behind.
MOST: Final = 1000
LARGEST: Final = 1_000_000
#: How many at most when it has read the history.
FURTHEST: Final = 2 * MOST
#: What all channels of a process keep at most, about: bytes.
ALL: Final = 64_000_000
#: What each may keep in any case.
LEAST: Final = 16_000
#: An old state and so many messages after it are sent rather than a new one is made.
NEAR: Final = 50

#: Number of a message, or why all that is there has to be sent.
Cursor = int | str


class Message(NamedTuple):
    """One message of a channel.

    :ivar text: JSON.
    :ivar at: the place after it; empty where there is none, as the feed is gone.
    """

    text: bytes
    at: str


class Counts:
    """What a process has done for its web clients.

    :ivar streams: that are open.
    :ivar opened: ever.
    :ivar snapshots: states that were sent, first ones and others.
    :ivar resyncs: of these, those that were sent since events were missing.
    :ivar messages: that were made; each is told to many.
    :ivar replayed: messages that were sent to those who were behind or have come back.
    :ivar paused: how often a client did not read as fast as it was sent to.
    :ivar read: how often a feed's history was read.
    :ivar channels: that are there.
    """

    __slots__ = (
        *("channels", "messages", "opened", "paused", "read", "replayed", "resyncs"),
        *("snapshots", "streams"),
    )

    streams: int
    opened: int
    snapshots: int
    resyncs: int
    messages: int
    replayed: int
    paused: int
    read: int
    channels: int

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    def as_dict(self) -> dict[str, int]:
        """All of them by name."""
        return {name: getattr(self, name) for name in sorted(self.__slots__)}


class Stream(Protocol):
    """A client, as channels see it."""

    def fall_behind(self, channel: Channel, cursor: Cursor) -> None:
        """Send from there on."""


class Fan(Protocol):
    """What sends a message to all streams of a kind that are told as it comes."""

    def __call__(self, channel: Channel, message: Message) -> None:
        """Send it."""


class Channel:
    """One feed.

    :param name: of the feed.
    :param counts: of the process.
    :param fan: sends a message to streams.
    :ivar streams: who is told.
    :ivar last: number of the last message.
    :ivar at: the place after it.
    """

    __slots__ = (
        *("_before", "_counts", "_fan", "_first", "_index", "_kept", "_loading", "_lost"),
        *("_messages", "_resumed", "_state", "at", "last", "live", "name", "streams"),
    )

    def __init__(self, name: str, counts: Counts, fan: Fan) -> None:
        self.name = name
        self._counts = counts
        self._fan = fan
        self.live: LiveFeed | None = None
        self.streams: dict[Any, None] = {}
        self.at = ""
        self.last = 0
        #: The messages that are kept; the number of the first; and the place before it.
        self._messages: deque[Message] | None = None
        self._first = 1
        self._before = ""
        self._kept = 0
        #: Place -> number of the message that leads to it; made when it is asked for.
        self._index: dict[str, int] | None = None
        #: A state that was made, and of which message.
        self._state: tuple[bytes, int] | None = None
        #: The same with the reason for which it was sent last.
        self._lost: tuple[str, int, bytes] | None = None
        self._loading: Deferred[None] | None = None
        self._resumed = False
        counts.channels += 1

    def __repr__(self) -> str:
        return f"<Channel {self.name!r}: {len(self.streams)} streams>"

    def begin(self, live: LiveFeed) -> None:
        """The feed is followed: this is what it is."""
        self.live = live
        self.at = self._before = pack_place(live.position)

    def stop(self) -> None:
        """Nobody is told any more."""
        self._counts.channels -= 1
        self._messages = self._state = self._lost = self._index = None

    # -- what happens -----------------------------------------------------------------------

    def handle(self, event: Event) -> None:
        """The feed has changed: tell everybody. To be given to ``follow``."""
        live = self.live
        assert live is not None
        if type(event) is Resync:
            self._restart(event.reason)
            return
        if not self.at and type(event) is not FeedDeleted:
            self._restart("")  # it was not there: all have to know of what kind it is
            return
        at = "" if type(event) is FeedDeleted else pack_place(live.position)
        message = Message(encode_message(message_of(event, at)), at)
        self.last += 1
        self.at = at
        self._keep(message)
        self._counts.messages += 1
        if self.streams:
            self._fan(self, message)

    def _keep(self, message: Message) -> None:
        messages = self._messages
        if messages is None:
            messages = self._messages = deque()
            self._first = self.last
        messages.append(message)
        self._index = None
        self._kept += len(message.text)
        limit = max(LEAST, min(LARGEST, ALL // self._counts.channels))
        while messages and (len(messages) > MOST or self._kept > limit):
            gone = messages.popleft()
            self._kept -= len(gone.text)
            self._first += 1
            self._before = gone.at

    def _restart(self, reason: str) -> None:
        """Events are missing: everybody gets what is there."""
        assert self.live is not None
        # Whatever is read of the history has other numbers than what was there before.
        self.last += 1 + FURTHEST
        self.at = self._before = pack_place(self.live.position)
        self._messages = self._state = self._lost = self._index = None
        self._first, self._kept, self._resumed = self.last + 1, 0, False
        for stream in list(self.streams):
            stream.fall_behind(self, reason)

    # -- who is behind ----------------------------------------------------------------------

    def next(self, cursor: Cursor) -> tuple[Message, int] | None:
        """The message behind a cursor, and the cursor behind that; None if there is none."""
        if isinstance(cursor, str):
            return self._all(cursor)
        if cursor >= self.last:
            return None
        number = cursor + 1
        if number < self._first or self._messages is None:
            return self._all("overflow")
        self._counts.replayed += 1
        return self._messages[number - self._first], number

    def place(self, cursor: Cursor) -> str:
        """The place that a cursor stands for; empty where the client has nothing yet.

        Who has something that cannot be gone on from gets a place that there is not: so it is told
        why, also if it is cut off before, and comes back.
        """
        if cursor == "":
            return ""
        if cursor == self.last:
            return self.at
        if cursor == self._first - 1:
            return self._before
        if isinstance(cursor, str) or cursor < self._first or not self._messages:
            return f"{self.at.partition('-')[0]}-0-1" if self.at else ""
        return self._messages[cursor - self._first].at

    def _all(self, reason: str) -> tuple[Message, int]:
        """All that is there, with why it is sent."""
        self._counts.snapshots += 1
        text, number = self.state()
        if reason:
            self._counts.resyncs += 1
            if self._lost is None or self._lost[:2] != (reason, number):
                lost = b'%b,"reason":%b}' % (text[:-1], encode_message(reason))
                self._lost = reason, number, lost
            text = self._lost[2]
        return Message(text, self.place(number)), number

    def state(self) -> tuple[bytes, int]:
        """A message of all that is there, and the number of the message that it is of."""
        state = self._state
        if state is None or not max(self._first - 1, self.last - NEAR) <= state[1] <= self.last:
            live = self.live
            assert live is not None
            kind = "sorted_feed" if live.is_sorted else "feed"
            message = snapshot(self.name, kind, self.at, live.revision, live.items.items())
            state = self._state = encode_message(message), self.last
        return state

    def forget_state(self) -> None:
        """Nobody has come for a while."""
        self._state = self._lost = None

    def find(self, at: str) -> Deferred[Cursor]:
        """The cursor of who has come to a place.

        Fires at once where that is known here; else the feed's history is read, once for all who
        ask.
        """
        cursor = self._known(at)
        if cursor is not None:
            return succeed(cursor)
        live, why = self.live, self._unknown(at)
        if self._resumed and (live is None or why != "future"):
            return succeed(why)
        # Another process may have been further than this one is.
        waiting = self._load() if live is None or not self._resumed else live.when_synced()
        return waiting.addCallbacks(lambda _: self._find_again(at), lambda _: "epoch")

    def _find_again(self, at: str) -> Cursor:
        cursor = self._known(at)
        return self._unknown(at) if cursor is None else cursor

    def _known(self, at: str) -> Cursor | None:
        if not at:
            return ""
        if at == self.at:
            return self.last
        if at == self._before:
            return self._first - 1
        if self._index is None:
            messages = self._messages or ()
            self._index = {each.at: i for i, each in enumerate(messages, self._first)}
        return self._index.get(at)

    def _unknown(self, at: str) -> str:
        """Why a place is none of these."""
        there, _, rest = at.partition("-")
        here = self.at.partition("-")[0]
        if there != here:
            return "epoch"
        revision = int(rest.partition("-")[0], 36)
        if self.live is not None and revision > self.live.revision:
            return "future"
        if self._messages and revision > _revision(self._messages[0].at):
            return "digest"
        return "trimmed"

    def _load(self) -> Deferred[None]:
        """Read the history, and be as far as it is."""
        waiting: Deferred[None] = Deferred()
        if self._loading is not None:
            self._loading.chainDeferred(waiting)
            return waiting
        loading = self._loading = Deferred()
        loading.chainDeferred(waiting)

        def done(_: object) -> None:
            self._loading = None
            loading.callback(None)

        # Whatever goes wrong, those who wait are given all that is there.
        Deferred.fromCoroutine(self._read()).addErrback(lambda _: None).addCallback(done)
        return waiting

    async def _read(self) -> None:
        live = self.live
        if live is None:
            return
        self._counts.read += 1
        await live.when_synced()
        found = await live.latest(MOST)
        before = _revision(self._before)
        older = [each for each in found if before - each[1].revision >= 0]
        if older and pack_place(older[-1][1]) == self._before:
            messages = self._messages = self._messages or deque()
            if not messages:
                self._first = self.last + 1
            limit = max(LEAST, min(LARGEST, ALL // self._counts.channels))
            for event, position in reversed(older):
                at = pack_place(position)
                message = Message(encode_message(message_of(event, at)), at)
                if self._kept + len(message.text) > limit or len(messages) >= FURTHEST:
                    self._before = at
                    break
                messages.appendleft(message)
                self._kept += len(message.text)
                self._first -= 1
                self._before = ""
            self._index = None
        self._resumed = True


def _revision(at: str) -> int:
    parts = at.split("-")
    return int(parts[1], 36) if len(parts) == 3 else -1
