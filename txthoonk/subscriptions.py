"""What users subscribe to, in words: handlers by kind of event, by the older names, by channel."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred

from txthoonk.dialects import CONTRACT, Dialect
from txthoonk.events import KINDS, Event, Kind, reader, split
from txthoonk.globs import compile_glob
from txthoonk.keys import check_name, decode, encode
from txthoonk.listener import Choose, Listener, Read
from txthoonk.pubsub import Hub
from txthoonk.serializers import Serializer, get_serializer

__all__ = ["Handlers", "Subscription"]

#: Handlers get one event each.
EventHandler = Callable[[Any], object]

#: Keywords that mean another one.
ALIASES: Final = {"move": "position"}

#: ``register_handler``'s older names: kinds of event, and the attributes that the handler gets.
OLDER: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "create": (("create",), ("feed",)),
    "delete": (("delete",), ("feed",)),
    "publish": (("publish", "put"), ("feed", "item", "id")),
    "edit": (("edit",), ("feed", "item", "id")),
    "retract": (("retract",), ("feed", "id")),
    "position": (("position",), ("feed", "id", "position")),
    "finish": (("finish",), ("feed", "id", "result")),
}
OLDER.update(
    {
        "create_notice": OLDER["create"],
        "delete_notice": OLDER["delete"],
        "publish_notice": OLDER["publish"],
        "retract_notice": OLDER["retract"],
    }
)


class Subscription:
    """Handlers that are called until :meth:`stop`.

    :ivar id: a number of its own, for ``remove_handler``.
    """

    def __init__(self, handlers: Handlers, listener: Listener, id: int) -> None:
        self._handlers = handlers
        self.listener = listener
        self.id = id

    def stop(self) -> None:
        """Call the handlers no more, from this moment."""
        self._handlers.remove(self.id)


class Handlers:
    """What makes listeners of users' handlers; an instance with a subscriber connection has one.

    :param hub: where they listen.
    :param dialect: the names of the channels.
    """

    def __init__(self, hub: Hub, dialect: Dialect = CONTRACT) -> None:
        self.hub = hub
        self._dialect = dialect
        self._numbers = itertools.count(1)
        self._subscriptions: dict[int, Subscription] = {}

    def subscribe(
        self, name: str, handlers: Mapping[str, EventHandler], serializer: str | Serializer
    ) -> Deferred[Subscription]:
        """Call *handlers* for events of one feed; see ``Thoonk.subscribe``."""
        check_name(name)
        decoder = get_serializer(serializer)
        channels: dict[bytes, Any] = {}
        for kind, handler in self._kinds(handlers, name):
            call = _only(name, handler) if kind.form == "feed" else handler
            for channel in self._dialect.channels(kind.channel, encode(name)):
                # The first one reads what both may say, where two kinds share a channel.
                channels.setdefault(channel, (reader(kind, name, decoder), call))
        return self._add(Listener(channels))

    def subscribe_pattern(
        self,
        patterns: str | Iterable[str],
        handlers: Mapping[str, EventHandler],
        serializer: str | Serializer,
    ) -> Deferred[Subscription]:
        """Call *handlers* for events of all feeds that match; see ``Thoonk.subscribe_pattern``."""
        globs = [
            encode(check_name(p)) for p in ([patterns] if isinstance(patterns, str) else patterns)
        ]
        if not globs:
            raise ValueError("no pattern was given")
        decoder = get_serializer(serializer)
        channels: dict[bytes, Any] = {}
        by_pattern: dict[bytes, Any] = {}
        for kind, handler in self._kinds(handlers, decode(globs[0])):
            if kind.form == "feed":
                call = _matching(globs, handler)
                for channel in self._dialect.channels(kind.channel):
                    channels[channel] = (reader(kind, "", decoder), call)
                continue
            for glob in globs:
                for channel in self._dialect.channels(kind.channel, glob):
                    prefix = len(channel) - len(glob)
                    by_pattern.setdefault(channel, _reading(kind, prefix, decoder, handler))
        return self._add(Listener(channels, by_pattern))

    def register(self, event: str, handler: Callable[..., object]) -> Deferred[int]:
        """Call *handler* in one of the older forms; see ``Thoonk.register_handler``."""
        if not isinstance(event, str) or not event:
            raise ValueError(f"an event is the name of a kind or of a channel, not {event!r}")
        if event in OLDER:
            listener = self._older(*OLDER[event], handler)
        else:
            channel = encode(event)
            arguments = _arguments(channel, self._dialect)
            listener = Listener({channel: (arguments, lambda args: handler(*args))})
        return self._add(listener).addCallback(lambda subscription: subscription.id)

    def _older(
        self, kinds: tuple[str, ...], attributes: tuple[str, ...], handler: Callable[..., object]
    ) -> Listener:
        text = get_serializer("text")
        channels: dict[bytes, Any] = {}
        patterns: dict[bytes, Choose] = {}

        def call(event: Event) -> object:
            return handler(*(getattr(event, attribute) for attribute in attributes))

        for name in kinds:
            self._dialect.check_event(name, "*")
            kind = KINDS[name]
            for channel in self._dialect.channels(kind.channel):
                if kind.form == "feed":
                    channels[channel] = (reader(kind, "", text), call)
                else:
                    patterns[channel + b"*"] = _reading(kind, len(channel), text, call)
        return Listener(channels, patterns)

    def _kinds(
        self, handlers: Mapping[str, EventHandler], name: str
    ) -> list[tuple[Kind, EventHandler]]:
        """Kinds of messages with their handlers; what the dialect does not have is refused."""
        for keyword in handlers:
            self._dialect.check_event(keyword, name)
        return _kinds(handlers)

    def remove(self, id: int) -> bool:
        """Forget a handler or subscription; says whether it was there."""
        subscription = self._subscriptions.pop(id, None)
        if subscription is None:
            return False
        self.hub.remove(subscription.listener)
        return True

    def _add(self, listener: Listener) -> Deferred[Subscription]:
        def added(_: object) -> Subscription:
            subscription = Subscription(self, listener, next(self._numbers))
            self._subscriptions[subscription.id] = subscription
            return subscription

        return self.hub.add(listener).addCallback(added)


def _kinds(handlers: Mapping[str, EventHandler]) -> list[tuple[Kind, EventHandler]]:
    found: dict[str, tuple[Kind, EventHandler]] = {}
    for keyword, handler in handlers.items():
        name = ALIASES.get(keyword, keyword)
        if name not in KINDS:
            raise TypeError(f"no kind of event {keyword!r}; there are {', '.join(KINDS)}")
        if not callable(handler):
            raise TypeError(f"a handler is called with an event, {handler!r} cannot be called")
        if name in found:
            raise TypeError(f"two handlers for {name}")
        found[name] = (KINDS[name], handler)
    if not found:
        raise TypeError(f"no handler was given; there are {', '.join(KINDS)}")
    return [
        (each, handler)
        for kind, handler in found.values()
        for each in (kind, kind.also)
        if each is not None
    ]


def _only(name: str, handler: EventHandler) -> EventHandler:
    """Of the events of all feeds, those of one."""
    return lambda event: handler(event) if event.feed == name else None


def _matching(globs: list[bytes], handler: EventHandler) -> EventHandler:
    """Of the events of all feeds, those whose name matches."""
    compiled = [compile_glob(glob) for glob in globs]

    def call(event: Event) -> object:
        name = encode(event.feed)
        return handler(event) if any(glob.fullmatch(name) for glob in compiled) else None

    return call


def _reading(kind: Kind, prefix: int, serializer: Serializer, handler: EventHandler) -> Choose:
    """A handler for channels that name the feed behind a prefix."""

    def choose(channel: bytes) -> tuple[Read, EventHandler]:
        return reader(kind, decode(channel[prefix:]), serializer), handler

    return choose


def _arguments(channel: bytes, dialect: Dialect) -> Callable[[bytes], tuple[str | None, ...]]:
    """What 0.1's handlers got of a message: its parts.

    Only the first NUL divides what the contract knows; on a channel of one's own each does.
    """
    all_kinds = (each for kind in KINDS.values() for each in (kind, kind.also) if each)
    kinds: dict[bytes, Kind] = {}
    for each in all_kinds:
        for name in dialect.channels(each.channel):
            kinds.setdefault(name, each)
    kind = kinds.get(channel) or kinds.get(channel[: channel.find(b":") + 1])
    form = kind.form if kind is not None else "other"

    def read(payload: bytes) -> tuple[str | None, ...]:
        if form == "id":
            return (decode(payload),)
        if form == "other":
            return tuple(decode(payload).split("\x00"))
        first, second = split(payload)
        return (decode(first), None if second is None else decode(second))

    return read
