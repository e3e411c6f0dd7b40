"""A server, an instance that writes, and one that follows through two ports that fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.follow_helpers import FollowHeard, Foreign
from tests.helpers import until
from tests.proxy import FaultProxy
from txthoonk import LiveFeed, Thoonk
from txthoonk.embedded import EmbeddedRedis
from txthoonk.keys import FeedKeys, encode
from txthoonk.link import connect
from txthoonk.redis import Redis
from txthoonk.target import Target

__all__ = ["AOF", "Scene", "Subject", "soon"]

reactor: Any = global_reactor

#: Directives for a server that has everything on its disk at once, as commands.
AOF: dict[str, Any] = {
    "appendonly": "yes",
    "appendfsync": "always",
    "aof-use-rdb-preamble": "no",
    "auto-aof-rewrite-percentage": "0",
}


async def soon(look: Callable[[], Any], patience: float = 15.0) -> bool:
    """Whether something is there before patience ends; *look* may return a Deferred."""
    end = reactor.seconds() + patience
    while True:
        seen = look()
        if isinstance(seen, (Deferred, Awaitable)):
            seen = await seen
        if seen:
            return True
        if reactor.seconds() > end:
            return False
        await deferLater(reactor, 0.005)


class Subject:
    """A feed, and somebody who follows it.

    :param handle: of an instance that writes.
    :ivar wants: which reasons of a ``Resync`` are right; None: there must be none.
    """

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.name: str = handle.name
        self.heard = FollowHeard()
        self.since = 0
        self.token = ""
        self.wants: set[str] | None = None
        self.began = 0.0
        self._live: LiveFeed | None = None
        self._count = 0

    @property
    def live(self) -> LiveFeed:
        """What is followed."""
        assert self._live is not None
        return self._live

    async def follow(self, thoonk: Thoonk, **options: Any) -> None:
        """Follow it from now on, or from a token."""
        self.heard.clear()
        self._live = await thoonk.follow(self.name, self.heard, **options)
        self.since = self._live.revision

    def stop(self) -> None:
        """Follow it no more."""
        if self._live is not None:
            self._live.stop()

    async def change(self, count: int = 1) -> None:
        """So many changes, of a revision each."""
        calls = []
        for _ in range(count):
            self._count += 1
            item = f"item {self._count}"
            if self.handle.TYPE == "feed":
                calls.append(self.handle.publish(item, id=f"{self._count}"))
            else:
                calls.append(self.handle.append(item))
        for call in calls:
            await call

    async def revision(self) -> int:
        """The last one in Redis."""
        key = FeedKeys(encode(self.name)).revision
        return int(await self.handle.pub.redis.execute("HGET", key, "revision") or 0)

    def resyncs(self) -> list[str]:
        """The reasons of those that were told."""
        return [event.reason for event in self.heard if type(event).__name__ == "Resync"]

    async def differs(self) -> str:
        """How the copy differs from what Redis has."""
        there = list((await self.handle.get_all()).items())
        return "" if list(self.live) == there else f"{list(self.live)} is not {there}"

    async def log_differs(self) -> str:
        """How what was told, since it was followed, differs from the history."""
        key = FeedKeys(encode(self.name)).history
        entries = await self.handle.pub.redis.execute("XRANGE", key, f"{self.since + 1}-0", "+")
        there = [entry(fields[1]) for _, fields in entries]
        told = [
            (each.revision, type(each).__name__, each.id)
            if hasattr(each, "id")
            else (getattr(each, "revision", -1), str(each), "")
            for each in self.heard
        ]
        if told == there:
            return ""
        wrong = next(
            (i for i, pair in enumerate(zip(told, there, strict=False)) if pair[0] != pair[1]), None
        )
        return f"{len(told)} told, {len(there)} kept; first that differs: {wrong}"


#: Classes of events by verbs of the history.
VERBS = {b"publish": "Published", b"edit": "Edited", b"retract": "Retracted", b"position": "Moved"}


def entry(change: bytes) -> tuple[int, str, str]:
    """Revision, class and id of an entry of a history."""
    head, _, rest = change.split(b"\0", 2)
    number, _, _, _, verb = head.split(b" ")
    return int(number), VERBS[verb.rstrip(b"+")], rest.split(b"\0")[0].decode()


class Scene:
    """A server of its own; ``ours`` writes, ``far`` follows.

    :param config: directives for the server.
    :param options: of the instance that follows.
    :ivar commands: where its commands go through.
    :ivar messages: where its messages come through.
    """

    def __init__(self, config: dict[str, Any] | None = None, **options: Any) -> None:
        self.server = EmbeddedRedis(config=config or {})
        self._options = options
        self._instances: list[Thoonk] = []
        self._connections: list[Redis] = []
        self._number = 0

    async def start(self) -> Scene:
        """Begin."""
        await self.server.start()
        target = Target.parse(self.server.url).endpoint(reactor)
        self.commands, self.messages = FaultProxy(reactor, target), FaultProxy(reactor, target)
        for proxy in (self.commands, self.messages):
            proxy.listen()
        self.ours = await self.instance()
        self.far = Thoonk(self.commands.endpoint, **self._options)
        self._instances.append(self.far)
        self.far.startService()
        self.far._wants_messages = True
        self.far._messages.start(self.messages.endpoint)
        await self.far.when_connected()
        await until(lambda: self.far._hub.attached)
        return self

    async def instance(self, **options: Any) -> Thoonk:
        """Another one, without a proxy."""
        thoonk = Thoonk(self.server.url, **options)
        self._instances.append(thoonk)
        thoonk.startService()
        await thoonk.when_connected()
        return thoonk

    async def stop(self) -> None:
        """End all."""
        for redis in self._connections:
            await redis.close()
        for thoonk in reversed(self._instances):
            await thoonk.stopService()
        for proxy in (self.commands, self.messages):
            await proxy.stop()
        await self.server.stop()

    async def connect(self) -> Redis:
        """A raw connection."""
        redis = await connect(Target.parse(self.server.url).endpoint(reactor), Redis)
        self._connections.append(redis)
        return redis

    def foreign(self, name: str) -> Foreign:
        """A program that knows no revisions."""
        redis: Any = self.ours.redis
        return Foreign(redis, name)

    async def subjects(self, count: int, changes: int = 3, **options: Any) -> list[Subject]:
        """Feeds and sorted feeds in turn, with some items."""
        found = []
        for n in range(count):
            self._number += 1
            make = (self.ours.feed, self.ours.sorted_feed)[n % 2]
            found.append(Subject(await make(f"trial:{self._number}", **options)))
            await found[-1].change(changes)
        return found

    async def followed(self, count: int, changes: int = 3, **options: Any) -> list[Subject]:
        """The same, followed."""
        found = await self.subjects(count, changes, **options)
        for each in found:
            await each.follow(self.far)
        for each in found:
            await each.live.when_synced()
        return found

    async def cut(self) -> None:
        """Cut both connections; new ones are refused."""
        for proxy in (self.commands, self.messages):
            await proxy.refuse()
            proxy.reset()
        await until(lambda: not self.far.hears)

    async def heal(self) -> None:
        """Let it connect again."""
        for proxy in (self.commands, self.messages):
            if not proxy.is_listening:
                proxy.listen()
        await until(lambda: self.far.hears)
