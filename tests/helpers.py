"""What several test modules need."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.internet.tcp import BaseClient

from tests.proxy import FaultProxy
from txthoonk import Thoonk, ThoonkError
from txthoonk.globs import escape_glob
from txthoonk.keys import FeedKeys
from txthoonk.link import connect
from txthoonk.redis import Redis, RedisSubscriber
from txthoonk.target import Target
from txthoonk.testing import RedisTestCase

__all__ = ["EVENTS", "Heard", "NamedTestCase", "ThoonkTestCase", "open_now", "until"]

#: What channels begin with on which changes come with their revisions.
EVENTS: Final = ("tx.feed.event:", "tx.feed.under:")


async def until(look: Callable[[], Any]) -> Any:
    """Look again and again until something is there; trial's time-out ends a vain wait.

    :param look: may return a Deferred or a coroutine; what is true ends the wait.
    :returns: what was seen.
    """
    from twisted.internet import reactor

    while True:
        seen = look()
        if hasattr(seen, "__await__"):
            seen = await seen
        if seen:
            return seen
        await deferLater(reactor, 0.005)


def open_now() -> set[Any]:
    """Connections, and what the reactor is to call later; trial's own time-out is not ours."""
    from twisted.internet import reactor

    real: Any = reactor
    sockets = {*real.getReaders(), *real.getWriters()}
    clients = {each for each in sockets if isinstance(each, BaseClient)}
    return clients | {call for call in real.getDelayedCalls() if "onTimeout" not in str(call)}


class Heard(list[Any]):
    """A handler that keeps what it is called with: the argument, or a tuple if there are more."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[tuple[int, Deferred[None]]] = []

    def __call__(self, *args: Any) -> None:
        self.append(args[0] if len(args) == 1 else args)
        waiting, self._waiting = self._waiting, []
        for count, waiter in waiting:
            if len(self) >= count:
                waiter.callback(None)
            else:
                self._waiting.append((count, waiter))

    def when(self, count: int) -> Deferred[None]:
        """Fires when it was called so often, since it was made or cleared."""
        waiter: Deferred[None] = Deferred()
        if len(self) >= count:
            waiter.callback(None)
        else:
            self._waiting.append((count, waiter))
        return waiter


class ThoonkTestCase(RedisTestCase):
    """A test case with an instance, ``self.thoonk``, and raw commands, ``self.redis.execute``."""

    timeout = 240

    async def setUp(self) -> None:
        await super().setUp()
        self.thoonk = await self.start_thoonk()
        self.redis = self.thoonk.redis

    async def start_thoonk(self, url: str | None = None, **options: Any) -> Thoonk:
        """Another instance, connected to the shared server or to that of *url*."""
        thoonk = Thoonk(url or self.redis_url, **options)
        self.addCleanup(thoonk.stopService)
        thoonk.startService()
        await thoonk.when_connected()
        return thoonk

    def endpoint(self, url: str | None = None) -> IStreamClientEndpoint:
        """Where the shared server, or that of *url*, is."""
        from twisted.internet import reactor

        return Target.parse(url or self.redis_url).endpoint(reactor)

    def fault_proxy(self, url: str | None = None) -> FaultProxy:
        """A network that can fail, before the shared server or that of *url*."""
        from twisted.internet import reactor

        proxy = FaultProxy(reactor, self.endpoint(url))
        self.addCleanup(proxy.stop)
        proxy.listen()
        return proxy

    def behind_proxy(self, url: str | None = None, **options: Any) -> tuple[FaultProxy, Thoonk]:
        """Such a network, and another instance behind it, which connects from now on."""
        proxy = self.fault_proxy(url)
        thoonk = Thoonk(proxy.endpoint, **options)
        self.addCleanup(thoonk.stopService)
        thoonk.startService()
        return proxy, thoonk

    async def connect(self, url: str | None = None) -> Redis:
        """A raw connection, for what a peer would do."""
        redis = await connect(self.endpoint(url), Redis)
        self.addCleanup(redis.close)
        return redis

    async def listen(self, *patterns: str, url: str | None = None) -> list[tuple[str, bytes]]:
        """What is published from now on, as (channel, payload), on channels that match."""
        heard: list[tuple[str, bytes]] = []
        redis = await connect(self.endpoint(url), RedisSubscriber)
        self.addCleanup(redis.close)
        # As 0.1's users do, whatever the type checker says of it.
        redis.patternMessageReceived = lambda _, channel, payload: heard.append(  # type: ignore[method-assign]  # a recorder in its place
            (channel.decode(), payload)
        )
        await redis.psubscribe(*(pattern.encode() for pattern in patterns))
        return heard

    async def watch(self, name: str) -> Callable[[], Awaitable[list[tuple[str, bytes]]]]:
        """What is published about a feed on the channels of the contract.

        :returns: each call gives what is new since the last one: channels, without the feed's
            name, and payloads.
        """
        heard = await self.listen(f"*:{escape_glob(name.encode()).decode()}", "*feed")
        suffix = f":{name}"

        async def news() -> list[tuple[str, bytes]]:
            end = (f"end{suffix}", b"")
            await self.redis.execute("PUBLISH", *end)
            await until(lambda: end in heard)
            about = [
                (channel.removesuffix(suffix), payload)
                for channel, payload in heard[: heard.index(end)]
                if (channel.endswith(suffix) or payload.startswith(f"{name}\0".encode()))
                and not channel.startswith(EVENTS)
            ]
            heard.clear()
            return about

        return news

    async def refused(
        self, call: Deferred[Any], error: type[ThoonkError], feed: str, id: str | None = None
    ) -> Any:
        """Wait for a call to fail as it should, with the feed and the id named."""
        failure: Any = await self.assertFailure(call, error)
        self.assertEqual(failure.feed, feed)
        if id is not None:
            self.assertEqual(failure.id, id)
        self.assertIn(repr(feed), str(failure))
        return failure

    async def settle(self, thoonk: Thoonk | None = None) -> None:
        """Wait until an instance has heard all that was published before."""
        thoonk = thoonk or self.thoonk
        # Redis confirms behind the messages that came first.
        await thoonk.remove_handler(await thoonk.register_handler(self.feed_name(), print))

    async def keys_of(self, name: str) -> dict[str, str]:
        """All keys there are of a feed, ours too, with their types."""
        keys = [k for k in await self.redis.execute("KEYS", "*") if k.endswith(f":{name}".encode())]
        types = [await self.redis.execute("TYPE", key) for key in keys]
        return {k.decode(): t.decode() for k, t in zip(keys, types, strict=True)}


class NamedTestCase(ThoonkTestCase):
    """A name, ``self.name``, of which there is no feed yet, and what is told of it.

    :ivar about: payload of what peers are told when our instance creates or changes the feed.
    :ivar news: see :meth:`watch`.
    """

    async def setUp(self) -> None:
        await super().setUp()
        self.name = self.feed_name()
        self.keys = FeedKeys(self.name.encode())
        self.about = f"{self.name}\0{self.thoonk.uuid}".encode()
        self.news = await self.watch(self.name)
