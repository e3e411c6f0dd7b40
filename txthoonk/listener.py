"""Who hears messages, on which channels and patterns, and how the messages are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from types import MappingProxyType
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from txthoonk.globs import compile_glob

__all__ = ["NONE", "Choose", "Handler", "Hears", "Listener", "Read", "Wish", "as_it_is"]

#: Makes of a payload what handlers get; handlers with the same one share what it made.
Read = Callable[[bytes], Any]
#: Gets what a ``Read`` made; may return a Deferred or a coroutine.
Handler = Callable[[Any], object]
#: Says of a channel that matches a pattern how its messages are read, and what is called.
Choose = Callable[[bytes], tuple[Read, Handler]]


def as_it_is(payload: bytes) -> bytes:
    """Reads nothing: the handler gets the payload. It must not raise an exception."""
    return payload


class Hears(Protocol):
    """What a :class:`Listener` is; its channels may be made whenever they are asked for."""

    @property
    def channels(self) -> Mapping[bytes, tuple[Read, Handler]]:
        """Channel -> how its messages are read, and what is called."""

    @property
    def patterns(self) -> Mapping[bytes, Choose]:
        """Pattern -> the same, by channel."""

    def counts(self, pattern: bytes, channel: bytes) -> bool:
        """Whether *pattern* is the one by which it hears of *channel*."""


#: The patterns of most listeners.
NONE: Mapping[bytes, Any] = MappingProxyType({})


class Listener:
    """Someone who hears messages on channels and on patterns of channels.

    A message reaches it once, however many of these match.

    :param channels: channel -> how its messages are read, and what is called.
    :param patterns: pattern -> the same, by channel.
    """

    __slots__ = ("channels", "order", "patterns")

    def __init__(
        self,
        channels: dict[bytes, tuple[Read, Handler]],
        patterns: dict[bytes, Choose] | None = None,
    ) -> None:
        self.channels = channels
        self.patterns: Mapping[bytes, Choose] = patterns or NONE
        #: Redis sends a message once for the channel and once for each pattern: the first of
        #: these that matches is the one that counts.
        self.order = tuple(self.patterns)

    def counts(self, pattern: bytes, channel: bytes) -> bool:
        """Whether *pattern* is the one by which this listener hears of *channel*."""
        if channel in self.channels:
            return False
        if len(self.order) == 1:
            return True
        for each in self.order:
            if each == pattern or compile_glob(each).fullmatch(channel):
                break
        return each == pattern


class Wish:
    """A channel or pattern that someone wants to hear."""

    __slots__ = ("asked", "calls", "confirmed", "listeners", "name", "waiting")

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.listeners: tuple[Hears, ...] = ()
        #: How a message is read (None: as for the one before), what is called, and for whom;
        #: None until it is needed.
        self.calls: tuple[tuple[Read | None, Handler, Hears], ...] | None = None
        #: Whether this connection was asked for it, and has confirmed it.
        self.asked = self.confirmed = False
        self.waiting: list[Deferred[None]] | None = None

    def group(self) -> tuple[tuple[Read | None, Handler, Hears], ...]:
        """Make ``calls``: those who read alike come together."""
        groups: dict[Read, list[tuple[Handler, Hears]]] = {}
        for listener in self.listeners:
            read, handler = listener.channels[self.name]
            groups.setdefault(read, []).append((handler, listener))
        self.calls = tuple(
            (None if i else read, *call)
            for read, calls in groups.items()
            for i, call in enumerate(calls)
        )
        return self.calls

    def when_confirmed(self) -> Deferred[None]:
        """Fires when Redis has confirmed it, at once if it has."""
        done: Deferred[None] = Deferred(self._give_up)
        if self.confirmed:
            done.callback(None)
        else:
            self.waiting = [*(self.waiting or ()), done]
        return done

    def _give_up(self, done: Deferred[None]) -> None:
        if self.waiting and done in self.waiting:
            self.waiting.remove(done)

    def confirm(self) -> None:
        self.confirmed = True
        waiting, self.waiting = self.waiting, None
        for each in waiting or ():
            if not each.called:  # one may give up another
                each.callback(None)

    def refuse(self, error: Exception) -> bool:
        """Fail all that wait for it; says whether there were any."""
        waiting, self.waiting = self.waiting, None
        for each in waiting or ():
            if not each.called:
                each.errback(copy(error))
        return bool(waiting)
