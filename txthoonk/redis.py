"""The Redis protocol on Twisted, as txredis has it: :class:`Redis` and :class:`RedisSubscriber`.

The second is a connection in subscriber mode, where confirmations are matched by (kind, channel)
and messages go to its handlers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from twisted.internet.defer import Deferred, fail

from txthoonk.connection import NO_MORE, Redis, pack
from txthoonk.errors import ProtocolError, ServerError

__all__ = ["Redis", "RedisSubscriber", "pack"]


@dataclass(slots=True)
class _Confirmation:
    """What (UN)SUBSCRIBE waits for: one confirmation a channel."""

    kind: bytes
    channels: set[bytes]
    done: Deferred[None]

    def errback(self, error: Exception) -> None:
        self.done.errback(error)

    def callback(self, reply: object) -> None:
        error = ProtocolError(f"expected a confirmation of {self.kind!r}, got {reply!r}")
        self.done.errback(copy(error))
        raise error


class RedisSubscriber(Redis):
    """A connection in subscriber mode: it receives what is published on its channels.

    Assign :attr:`messageReceived` and :attr:`patternMessageReceived`, or override them.
    """

    #: Channel -> what gets the payload instead of :attr:`messageReceived`; it must not fail.
    raw: Mapping[bytes, Callable[[bytes], object]] = MappingProxyType({})

    def messageReceived(self, channel: bytes, message: bytes) -> None:
        """A message came on a channel that was subscribed to."""

    def patternMessageReceived(self, pattern: bytes, channel: bytes, message: bytes) -> None:
        """A message came on a channel that matches a pattern that was subscribed to."""

    def subscribe(self, *channels: bytes) -> Deferred[None]:
        """Subscribe to *channels*; a channel's name is never taken for a pattern.

        :returns: fires when Redis has confirmed each of them.
        :raises PermissionDenied: (as a failure) if the Redis user may not; and as
            :meth:`Redis.execute`.
        """
        return self._change(b"subscribe", channels)

    def unsubscribe(self, *channels: bytes) -> Deferred[None]:
        """The opposite of :meth:`subscribe`."""
        return self._change(b"unsubscribe", channels)

    def psubscribe(self, *patterns: bytes) -> Deferred[None]:
        """Subscribe to all channels that match *patterns*; else as :meth:`subscribe`."""
        return self._change(b"psubscribe", patterns)

    def punsubscribe(self, *patterns: bytes) -> Deferred[None]:
        """The opposite of :meth:`psubscribe`."""
        return self._change(b"punsubscribe", patterns)

    def _change(self, kind: bytes, channels: Sequence[bytes]) -> Deferred[None]:
        if not channels:
            raise ValueError(f"{kind.decode()} needs at least one channel")
        if self._error is not None:
            return fail(copy(self._error))
        done: Deferred[None] = Deferred()
        self._waiting.append(_Confirmation(kind, set(channels), done))
        self._write(pack((kind, *dict.fromkeys(channels))))
        return done

    def dataReceived(self, data: bytes) -> None:
        """Hand messages to their handlers, confirmations and replies to those who wait."""
        if self._watch is not None:
            self._watch.heard = True
        reader = self._reader
        reader.feed(data)
        outer, self._in_turn = self._in_turn, True
        gets, received, more = reader.gets, self.messageReceived, NO_MORE
        raw = self.raw
        try:
            while (reply := gets()) is not more:
                if type(reply) is list and reply:
                    kind = reply[0]
                    try:  # one bad handler or message must not end the connection
                        if kind == b"message":
                            handler = raw.get(reply[1])
                            if handler is not None:
                                handler(reply[2])
                            else:
                                received(reply[1], reply[2])
                            continue
                        if kind == b"pmessage":
                            self.patternMessageReceived(reply[1], reply[2], reply[3])
                            continue
                    except Exception:
                        self.log.failure("A message could not be handled")
                        continue
                self._replied(reply)
                if self._ready is None and self._error is not None:
                    return  # the connection was lost meanwhile
        except ProtocolError as error:
            self._broken(error)
        finally:
            self._in_turn = outer
            if not outer:
                self._flush()

    def _replied(self, reply: Any) -> None:
        waiting = self._waiting
        if isinstance(reply, list) and len(reply) == 3 and reply[0] in _KINDS:
            self._confirmed(reply[0], reply[1])
            return
        if isinstance(reply, list) and reply[:1] == [b"pong"]:
            reply = reply[0]
        if not waiting:
            raise ProtocolError(f"a reply came that nobody had asked for: {reply!r}")
        waiter = waiting.popleft()
        if isinstance(reply, ServerError):
            waiter.errback(reply)
        else:
            waiter.callback(reply)

    def _confirmed(self, kind: bytes, channel: bytes) -> None:
        for pending in self._waiting:
            if isinstance(pending, _Confirmation) and pending.kind == kind:
                if channel not in pending.channels:
                    continue
                pending.channels.discard(channel)
                if not pending.channels:
                    self._waiting.remove(pending)
                    pending.done.callback(None)
                return
        raise ProtocolError(f"{kind.decode()} of {channel!r} was confirmed, nobody had asked")


_KINDS: Final = frozenset({b"subscribe", b"unsubscribe", b"psubscribe", b"punsubscribe"})
