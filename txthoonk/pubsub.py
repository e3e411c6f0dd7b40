"""Handlers for messages, and the subscriptions in Redis that they need.

A :class:`Hub` knows what its users want to hear, whatever connection there is: it subscribes when
the first handler of a channel comes, unsubscribes when the last goes, and does it all again on a
new connection. Who else listens to the same channel makes no difference to anyone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from inspect import iscoroutine
from typing import Any

from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._deferred import first_failure, ignore
from txthoonk.errors import NotConnected, ServerError
from txthoonk.events import TextReader
from txthoonk.listener import Handler, Hears, Read, Wish, as_it_is
from txthoonk.redis import RedisSubscriber

__all__ = ["Hub"]

#: Channels of one SUBSCRIBE when a connection takes over.
BATCH = 1000


class Hub:
    """What is heard on one subscriber connection after another.

    :param get_reactor: gives the clock.
    :param timeout: seconds that a subscription waits for a connection.
    :param not_connected: says why there is no connection.
    :param stays: whether what was subscribed stays so when nobody listens any more.
    """

    log = Logger()

    def __init__(
        self,
        get_reactor: Callable[[], IReactorTime],
        timeout: float,
        not_connected: Callable[[], Exception] | None = None,
        stays: bool = False,
    ) -> None:
        self._get_reactor = get_reactor
        self._timeout = timeout
        self._not_connected = not_connected or self._lost
        self._stays = stays
        self._connection: RedisSubscriber | None = None
        self._why: Exception | None = None
        self._refusal: Exception | None = None
        #: What Redis has confirmed, with one listener, is that listener alone: most are so.
        self._channels: dict[bytes, Wish | Hears] = {}
        self._patterns: dict[bytes, Wish | Hears] = {}
        #: Channels with one listener, who reads text: class of the events, feed, handler.
        self._direct: dict[bytes, tuple[Callable[..., Any], str, Handler]] = {}
        #: The same for one that reads nothing.
        self._raw: dict[bytes, Handler] = {}
        #: Called whenever a connection has confirmed all that is wanted, and when it is lost.
        self.when_attached: dict[Callable[[], object], None] = {}
        self.when_detached: dict[Callable[[], object], None] = {}

    # -- connections ------------------------------------------------------------------------

    @property
    def attached(self) -> bool:
        """Whether it has a connection."""
        return self._connection is not None

    def heard(self) -> Deferred[Any]:
        """Fires when every message that was published before has come.

        :raises ConnectionFailed: (as a failure) if the connection broke, or there is none.
        """
        connection = self._connection
        return fail(self._lost()) if connection is None else connection.execute("PING")

    def attach(self, connection: RedisSubscriber) -> Deferred[Any]:
        """Use this connection from now on.

        :returns: fires with it when Redis has answered for everything that is wanted. What it
            refuses is logged, and asked for again on the next connection.
        :raises ConnectionFailed: (as a failure) if the connection broke.
        """
        connection.messageReceived = self.message  # type: ignore[method-assign,assignment]  # no keywords
        connection.patternMessageReceived = self.pattern_message  # type: ignore[method-assign,assignment]  # no keywords
        connection.raw = self._raw
        self._connection = connection
        connection.when_lost().addCallback(self._detach, connection)
        steps = []
        for wishes in (self._channels, self._patterns):
            wanted = self._wishes(wishes)
            batches = [wanted[i : i + BATCH] for i in range(0, len(wanted), BATCH)]
            steps += [self._ask(connection, wishes, batch) for batch in batches]
        return gatherResults(steps, consumeErrors=True).addCallbacks(
            self._attached, first_failure, (connection,)
        )

    def _attached(self, _: object, connection: RedisSubscriber) -> RedisSubscriber:
        for handler in tuple(self.when_attached):
            handler()
        return connection

    def _detach(self, why: Exception, connection: RedisSubscriber) -> None:
        if self._connection is connection:
            self._connection = None
            self._why = why
            for wishes in (self._channels, self._patterns):
                for name in list(wishes):
                    wish = self._wish(wishes, name)
                    wish.asked = wish.confirmed = False
            for handler in tuple(self.when_detached):
                handler()

    def _lost(self) -> Exception:
        return NotConnected(f"no connection to Redis: {self._why or 'none was made yet'}")

    @staticmethod
    def _wishes(wishes: dict[bytes, Wish | Hears]) -> list[Wish]:
        """Those that are more than their listener."""
        return [each for each in wishes.values() if isinstance(each, Wish)]

    @staticmethod
    def _wish(wishes: dict[bytes, Wish | Hears], name: bytes) -> Wish:
        """A channel or pattern that someone wants to hear, made if nobody did."""
        wish = wishes.get(name)
        if not isinstance(wish, Wish):
            listener, wish = wish, Wish(name)
            wishes[name] = wish
            if listener is not None:
                wish.listeners = (listener,)
                wish.asked = wish.confirmed = True
        return wish

    def _ask(
        self,
        connection: RedisSubscriber,
        wishes: dict[bytes, Wish | Hears],
        wanted: list[Wish],
    ) -> Deferred[Any]:
        """Subscribe; fires when Redis has answered, fails if the connection broke instead."""

        def confirmed(_: object) -> None:
            for wish in wanted:
                wish.confirm()
                if len(wish.listeners) == 1 and wishes.get(wish.name) is wish:
                    wishes[wish.name] = wish.listeners[0]

        def refused(failure: Failure) -> Any:
            error = failure.value
            if not isinstance(error, ServerError) or self._connection is not connection:
                return failure  # the next connection asks again
            if len(wanted) > 1:
                # One that is not allowed has Redis refuse them all.
                singly = [self._ask(connection, wishes, [w]) for w in wanted if w.listeners]
                return gatherResults(singly, consumeErrors=True).addErrback(first_failure)
            wish = wanted[0]
            wish.asked = False
            if not wish.refuse(error) and wish.listeners:
                self.log.error("Redis refuses {channel!r}: {why}", channel=wish.name, why=error)
            return None

        for wish in wanted:
            wish.asked = True
        plain = wishes is self._channels
        subscribe = connection.subscribe if plain else connection.psubscribe
        return subscribe(*[wish.name for wish in wanted]).addCallbacks(confirmed, refused)

    # -- what is wanted ---------------------------------------------------------------------

    def add(self, listener: Hears) -> Deferred[Any]:
        """Let *listener* hear.

        :returns: fires with it when Redis has confirmed all it wants; what is published from
            then on reaches it.
        :raises NotConnected: (as a failure) if that took longer than the time-out.
        :raises PermissionDenied: (as a failure) if the Redis user may not.
        """
        if self._refusal is not None:
            return fail(copy(self._refusal))
        wishes = [
            *self._want(self._channels, listener.channels, listener),
            *self._want(self._patterns, listener.patterns, listener),
        ]

        def failed(failure: Failure) -> Failure:
            self.remove(listener)
            return first_failure(failure)

        confirmed = gatherResults([wish.when_confirmed() for wish in wishes], consumeErrors=True)
        confirmed.addTimeout(self._timeout, self._get_reactor(), self._late)
        return confirmed.addCallbacks(lambda _: listener, failed)

    def keep(self, listener: Hears) -> None:
        """Let *listener* hear whenever there is a connection, whether or not there is one now."""
        self._want(self._channels, listener.channels, listener)
        self._want(self._patterns, listener.patterns, listener)

    def _late(self, _: object, seconds: float) -> Any:
        if self._connection is None:
            raise self._not_connected()
        raise NotConnected(f"Redis has not confirmed the subscription in {seconds:g} seconds")

    def remove(self, listener: Hears) -> None:
        """Let *listener* hear no more, from this moment."""
        self._drop(self._channels, listener.channels, listener)
        self._drop(self._patterns, listener.patterns, listener)

    def refuse(self, error: Exception) -> None:
        """Fail all that wait for Redis, and all that come, until :meth:`accept`."""
        self._refusal = error
        self.give_up(error)

    def give_up(self, error: Exception) -> None:
        """Fail all that wait for Redis."""
        for wish in (*self._wishes(self._channels), *self._wishes(self._patterns)):
            wish.refuse(error)

    def accept(self) -> None:
        """Let those that come wait."""
        self._refusal = None

    def _want(
        self, wishes: dict[bytes, Wish | Hears], names: Iterable[bytes], listener: Hears
    ) -> list[Wish]:
        wanted, new = [], []
        for name in names:
            wish = self._wish(wishes, name)
            if not wish.asked:
                new.append(wish)
            wish.listeners = (*wish.listeners, listener)
            self._regroup(wish)
            wanted.append(wish)
        if new and self._connection is not None:
            self._ask(self._connection, wishes, new).addErrback(ignore)
        return wanted

    def _drop(
        self, wishes: dict[bytes, Wish | Hears], names: Iterable[bytes], listener: Hears
    ) -> None:
        unwanted = []
        for name in names:
            if name not in wishes:
                continue
            wish = self._wish(wishes, name)
            if listener not in wish.listeners:
                continue
            wish.listeners = tuple(each for each in wish.listeners if each is not listener)
            self._regroup(wish)
            if not wish.listeners and not (self._stays and wish.confirmed):
                del wishes[name]
                unwanted.append(name)
        connection = self._connection
        if unwanted and connection is not None:
            plain = wishes is self._channels
            unsubscribe = connection.unsubscribe if plain else connection.punsubscribe
            unsubscribe(*unwanted).addErrback(ignore)

    def _regroup(self, wish: Wish) -> None:
        """Others listen now."""
        wish.calls = None
        self._direct.pop(wish.name, None)
        self._raw.pop(wish.name, None)

    # -- messages ---------------------------------------------------------------------------

    def message(self, channel: bytes, payload: bytes) -> None:
        """A message came on a channel."""
        direct = self._direct.get(channel)
        if direct is None:
            raw = self._raw.get(channel)
            if raw is not None:
                raw(payload)
            else:
                self._message(channel, payload)
            return
        # What follows is TextReader and _handle, without their calls: most messages come here.
        event, feed, handler = direct
        id, nul, text = payload.decode("utf-8", "surrogateescape").partition("\x00")
        try:
            outcome = handler(event(feed, id, text) if nul else event(feed, id))
            if outcome is not None:
                self._follow(outcome, channel)
        except Exception:
            self._failed(Failure(), channel)

    def _message(self, channel: bytes, payload: bytes) -> None:
        """The same for any number of listeners, who read it in any way."""
        wish = self._channels.get(channel)
        if wish is None:
            return
        if not isinstance(wish, Wish):
            how, handler = wish.channels[channel]
            self._remember(channel, how, handler)
            self._handle(handler, how(payload), channel)
            return
        calls = wish.calls
        if calls is None:
            calls = wish.group()
            if len(calls) == 1:
                self._remember(channel, *calls[0][:2])
        for read, handler, listener in calls:
            if read is not None:
                event = read(payload)
            if wish.calls is not calls and listener not in wish.listeners:
                continue  # the handler before has stopped this one
            self._handle(handler, event, channel)

    def _remember(self, channel: bytes, read: Read | None, handler: Handler) -> None:
        """Know the only listener of a channel, if that is how most of them read."""
        if isinstance(read, TextReader):
            self._direct[channel] = (read.event, read.feed, handler)
        elif read is as_it_is:
            self._raw[channel] = handler

    def pattern_message(self, pattern: bytes, channel: bytes, payload: bytes) -> None:
        """A message came on a channel that matches a pattern."""
        wish = self._patterns.get(pattern)
        if wish is None:
            return
        if not isinstance(wish, Wish):
            if wish.counts(pattern, channel):
                read, handler = wish.patterns[pattern](channel)
                self._handle(handler, read(payload), channel)
            return
        for listener in tuple(wish.listeners):
            if listener in wish.listeners and listener.counts(pattern, channel):
                read, handler = listener.patterns[pattern](channel)
                self._handle(handler, read(payload), channel)

    def _handle(self, handler: Handler, event: Any, channel: bytes) -> None:
        """Call a handler; whatever becomes of it is its own affair."""
        try:
            outcome = handler(event)
            if outcome is not None:
                self._follow(outcome, channel)
        except Exception:
            self._failed(Failure(), channel)

    def _follow(self, outcome: object, channel: bytes) -> None:
        """A handler may be ``async`` or return a Deferred: its failure is logged."""
        if iscoroutine(outcome):
            outcome = Deferred.fromCoroutine(outcome)
        if isinstance(outcome, Deferred):
            outcome.addErrback(self._failed, channel)

    def _failed(self, failure: Failure, channel: bytes) -> None:
        self.log.failure("A handler of {channel!r} failed", failure=failure, channel=channel)
