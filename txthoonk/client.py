"""ThoonkPub and ThoonkSub: the API of txThoonk 0.1, one connection each.

A factory makes them: ``endpoint.connect(ThoonkPubFactory(db=1))`` fires with a publisher, and
``ClientService(endpoint, ThoonkSubFactory())``, or ``reactor.connectTCP`` as ever, keeps one
connected; the handlers of a :class:`ThoonkSubFactory` belong to it and are subscribed again on
each new connection. For new programs there is :class:`~txthoonk.service.Thoonk`, which does all
this by itself. ``docs/from-0.1.rst`` has what is different from 0.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import Signature, signature
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IAddress, IProtocol, IStreamClientEndpoint, ITransport
from twisted.internet.protocol import ReconnectingClientFactory, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txthoonk._deferred import ignore
from txthoonk.errors import (
    AuthenticationFailed,
    FeedDoesNotExist,
    FeedExists,
    NoEndpoint,
    PermissionDenied,
    ThoonkError,
)
from txthoonk.instance import Instance
from txthoonk.keys import DELFEED, NEWFEED, decode
from txthoonk.link import connect
from txthoonk.pubsub import Hub
from txthoonk.redis import Redis, RedisSubscriber
from txthoonk.scripts import load
from txthoonk.subscriptions import Handlers
from txthoonk.types.base import FeedBaseType

__all__ = [
    "FeedDoesNotExist",
    "FeedExists",
    "Redis",
    "RedisSubscriber",
    "ThoonkBase",
    "ThoonkPub",
    "ThoonkPubFactory",
    "ThoonkSub",
    "ThoonkSubFactory",
]


@implementer(IProtocol)
class ThoonkBase:
    """A protocol that leaves the bytes to a :class:`Redis`."""

    SEPARATOR = "\x00"

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @property
    def redis(self) -> Redis:
        """The connection."""
        return self._redis

    @property
    def transport(self) -> ITransport | None:
        """The connection's transport."""
        return self.redis.transport

    def makeConnection(self, transport: ITransport) -> None:
        """As :class:`IProtocol` has it."""
        self.redis.makeConnection(transport)
        self.connectionMade()

    def connectionMade(self) -> None:
        """As :class:`IProtocol` has it."""

    def dataReceived(self, data: bytes) -> None:
        """As :class:`IProtocol` has it."""
        self.redis.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """As :class:`IProtocol` has it."""
        self.redis.connectionLost(reason)

    def close(self) -> Deferred[None]:
        """Close the connection; fires when it is closed."""
        return self.redis.close()


class ThoonkPub(ThoonkBase, Instance):
    """A publisher on one connection.

    :param redis: the connection.
    :param endpoint: where a ``get`` that blocks makes its own connection.
    :param make: makes the protocol of such a connection.
    """

    def __init__(
        self,
        redis: Redis,
        endpoint: IStreamClientEndpoint | None = None,
        make: Callable[[], Redis] = Redis,
    ) -> None:
        Instance.__init__(self)
        ThoonkBase.__init__(self, redis)
        self.db = redis.db or 0
        self._endpoint = endpoint
        self._make = make
        for name, feed_type in self.feed_types.items():
            setattr(self, name, self._maker(feed_type))

    def block_at(self, endpoint: IStreamClientEndpoint | None, make: Callable[[], Redis]) -> None:
        """Where a ``get`` that blocks makes its own connection, and what makes its protocol."""
        self._endpoint = endpoint
        self._make = make

    feed: Callable[..., Deferred[Any]]
    sorted_feed: Callable[..., Deferred[Any]]
    queue: Callable[..., Deferred[Any]]
    job: Callable[..., Deferred[Any]]

    def connectionMade(self) -> None:
        """Let Redis have the scripts."""
        load(self.redis)
        self.redis.when_lost().addCallback(self.stop_waiting)

    def _maker(self, feed_type: type[FeedBaseType]) -> Callable[..., Deferred[Any]]:
        def make(
            name: str, config: Mapping[str, Any] | None = None, **options: Any
        ) -> Deferred[FeedBaseType]:
            return feed_type(self, name, config, **options).ensure()

        return make

    def open_connection(self) -> Deferred[Redis]:
        """A connection for gets that block.

        :raises NoEndpoint: (as a failure) if none was given.
        """
        if self._endpoint is None:
            return fail(NoEndpoint("a get that blocks needs the factory's endpoint="))
        return connect(self._endpoint, self._make)

    def get_reactor(self) -> Any:
        """The reactor this connection runs on."""
        return self.redis.get_clock()


class ThoonkSub(ThoonkBase):
    """A subscriber on one connection.

    :param redis: the connection.
    :param handlers: those of earlier connections; of its own if not given.
    """

    def __init__(self, redis: Redis, handlers: Handlers | None = None) -> None:
        super().__init__(redis)
        # What was heard once goes on coming to ``redis.messageReceived``, as in 0.1.
        self.handlers = handlers or Handlers(
            Hub(redis.get_clock, Instance.connect_timeout, stays=True)
        )

    def connectionMade(self) -> None:
        """Subscribe to what is wanted already."""
        if isinstance(self.redis, RedisSubscriber):
            # If this connection breaks, the next one does it again; if there is one.
            self.handlers.hub.attach(self.redis).addErrback(ignore)
            self.redis.when_lost().addCallback(self._lost)

    def _lost(self, why: ThoonkError) -> None:
        if isinstance(why, (AuthenticationFailed, PermissionDenied)):
            self.handlers.hub.give_up(why)  # no other connection will fare better

    def register_handler(self, evt: str, handler: Callable[..., object]) -> Deferred[int]:
        """Call *handler* for messages; the forms are those of ``Thoonk.register_handler``.

        One for ``create`` or ``delete`` that cannot do with the name alone gets the instance too,
        which 0.1 gave them.

        :returns: fires with an id for :meth:`remove_handler`, once Redis has confirmed.
        :raises NotConnected: (as a failure) if that took longer than 10 seconds.
        :raises AuthenticationFailed: (as a failure) if Redis does not let us in.
        """
        return self.handlers.register(_event_for(evt, handler), handler)

    def remove_handler(self, id: int) -> Deferred[bool]:
        """Call a handler no more; fires with whether there was one."""
        return succeed(self.handlers.remove(id))


#: Events by the names that 0.1 gave them, and the channels they came on.
_CHANNELS = {"create": decode(NEWFEED), "delete": decode(DELFEED)}


def _event_for(evt: str, handler: Callable[..., object]) -> str:
    """The channel instead of the event, for a handler that needs all parts of its messages."""
    channel = _CHANNELS.get(evt)
    if channel is None:
        return evt
    try:
        accepts = signature(handler)
    except (TypeError, ValueError):  # it does not say
        return evt
    return channel if _takes(accepts, 2) and not _takes(accepts, 1) else evt


def _takes(accepts: Signature, count: int) -> bool:
    try:
        accepts.bind(*[None] * count)
    except TypeError:
        return False
    return True


class ThoonkPubFactory(ReconnectingClientFactory):
    """Makes a :class:`ThoonkPub` for each connection.

    :param endpoint: for gets that block; without it they fail with ``NoEndpoint``.
    :param args: for :class:`Redis`: ``db``, ``password``, ``charset`` (``"utf8"`` if not given,
        as in txredis), ...
    """

    protocol: Callable[..., Redis] = Redis
    protocol_wrapper: Callable[[Redis], ThoonkPub] = ThoonkPub
    noisy = False

    def __init__(
        self, *args: Any, endpoint: IStreamClientEndpoint | None = None, **kwargs: Any
    ) -> None:
        self._args = args
        self._kwargs = kwargs if len(args) > 2 else {"charset": "utf8", **kwargs}
        self._endpoint = endpoint

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A publisher for a new connection."""
        self.resetDelay()
        pub = self.protocol_wrapper(self._make())
        pub.block_at(self._endpoint, self._make)
        return pub

    def _make(self) -> Redis:
        return self.protocol(*self._args, **self._kwargs)


class ThoonkSubFactory(ReconnectingClientFactory):
    """Makes a :class:`ThoonkSub` for each connection.

    One that comes after another was lost has the handlers of that one; those that are connected
    at the same time have their own.

    :param args: for :class:`RedisSubscriber`: ``db``, ``password``, ...
    """

    protocol: Callable[..., Redis] = RedisSubscriber
    protocol_wrapper: Callable[[Redis], ThoonkSub] = ThoonkSub
    noisy = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._args = args
        self._kwargs = kwargs
        self._handlers: list[Handlers] = []

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A subscriber for a new connection."""
        self.resetDelay()
        sub = self.protocol_wrapper(self.protocol(*self._args, **self._kwargs))
        for handlers in self._handlers:
            if not handlers.hub.attached:
                sub.handlers = handlers
                return sub
        self._handlers.append(sub.handlers)
        return sub
