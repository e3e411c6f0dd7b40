"""The events of a scripted object: one subscription, and who is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk.keys import decode
from txthoonk.listener import Listener, as_it_is

__all__ = ["ALL", "ObjectEvents"]

#: The name under which handlers hear all events.
ALL: Final = "all"


class ObjectEvents:
    """A subscription to the events of one object.

    :param listen: lets a listener hear, and gives what lets it hear no more.
    :param channels: channel -> name of the event.
    :param first: called with channel and message before all handlers.
    """

    log = Logger()

    def __init__(
        self,
        listen: Callable[[Listener], tuple[Deferred[Any], Callable[[], None]]],
        channels: Mapping[bytes, str],
        first: Callable[[str, str], object],
    ) -> None:
        self._listen = listen
        self._first = first
        self._handlers: dict[str, list[Callable[..., object]]] = {
            name: [] for name in (*channels.values(), ALL)
        }
        self._listener = Listener(
            {
                channel: (as_it_is, partial(self._heard, decode(channel), entry))
                for channel, entry in channels.items()
            }
        )
        self._forget: Callable[[], None] | None = None
        self._confirmed = not channels
        self._waiting: list[Deferred[ObjectEvents]] = []
        #: Whether it was stopped.
        self.stopped = False

    # -- handlers -----------------------------------------------------------------------------

    def on(self, entry: str, handler: Callable[..., object]) -> None:
        """Call *handler* with each message of an event; of ``"all"`` with event and message.

        :raises ValueError: if there is no such event.
        :raises TypeError: if *handler* cannot be called.
        """
        if not callable(handler):
            raise TypeError(f"a handler is called with a message, {handler!r} cannot be called")
        if entry not in self._handlers:
            raise ValueError(f"no event {entry!r}; there are {', '.join(self._handlers)}")
        self._handlers[entry].append(handler)

    def off(self, entry: str, handler: Callable[..., object]) -> bool:
        """Call *handler* no more; says whether it was called before."""
        handlers = self._handlers.get(entry, [])
        if handler not in handlers:
            return False
        handlers.remove(handler)
        return True

    def stop(self) -> None:
        """Hear no more, from this moment."""
        self.stopped = True
        if self._forget is not None:
            self._forget()
            self._forget = None

    # -- subscribing --------------------------------------------------------------------------

    def when_subscribed(self) -> Deferred[ObjectEvents]:
        """Subscribe, if that is not done; fires when Redis has confirmed it."""
        if self._confirmed:
            return succeed(self)
        waiter: Deferred[ObjectEvents] = Deferred(self._given_up)
        self._waiting.append(waiter)
        if self._forget is None:
            adding, self._forget = self._listen(self._listener)
            adding.addCallbacks(self._subscribed, self._refused)
        return waiter

    def _subscribed(self, _: object) -> None:
        self._confirmed = True
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.called:  # one may give up another
                each.callback(self)

    def _refused(self, failure: Failure) -> None:
        self._forget = None
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.called:
                each.errback(copy(failure.value))

    def _given_up(self, waiter: Deferred[ObjectEvents]) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)

    # -- messages -----------------------------------------------------------------------------

    def _heard(self, channel: str, entry: str, payload: bytes) -> None:
        message = decode(payload)
        self._call(self._first, channel, message)
        for handler in tuple(self._handlers[entry]):
            self._call(handler, message)
        for handler in tuple(self._handlers[ALL]):
            self._call(handler, entry, message)

    def _call(self, handler: Callable[..., object], *args: str) -> None:
        if not self.stopped:
            outcome: Deferred[Any] = maybeDeferred(handler, *args)
            outcome.addErrback(self._failed, args[0])

    def _failed(self, failure: Failure, about: str) -> None:
        self.log.failure("A handler of {about!r} failed", failure=failure, about=about)
