"""What thoonk.py and thoonk.js do with jobs, as raw commands; and a test case beside them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from tests.helpers import ThoonkTestCase
from txthoonk.keys import FeedKeys
from txthoonk.redis import Redis
from txthoonk.types import maintenance

__all__ = ["Peer", "PeerCase"]


class Peer:
    """A program that knows the contract's keys and nothing of ours.

    :param redis: a connection of its own.
    :param keys: of the feed.
    """

    def __init__(self, redis: Redis, keys: FeedKeys) -> None:
        self.redis = redis
        self.keys = keys

    async def _together(self, *commands: tuple[Any, ...]) -> list[Any]:
        """MULTI, commands, EXEC."""
        self.redis.execute("MULTI")
        for command in commands:
            self.redis.execute(*command)
        replies: list[Any] = await self.redis.execute("EXEC")
        return replies

    async def put(self, id: str, item: str) -> None:
        """As both do it."""
        keys = self.keys
        await self._together(
            ("LPUSH", keys.ids, id),
            ("INCR", keys.publishes),
            ("HSET", keys.items, id, item),
            ("ZADD", keys.published, _now(), id),
        )

    async def pop(self) -> str | None:
        """The first half of a get: what it popped is in no state."""
        id = await self.redis.execute("RPOP", self.keys.ids)
        return None if id is None else str(id.decode())

    async def claim(self) -> str | None:
        """A get that does not block."""
        id = await self.pop()
        if id is not None:
            await self._together(
                ("ZADD", self.keys.claimed, _now(), id), ("HGET", self.keys.items, id)
            )
        return id

    async def finish(self, id: str, result: str | None = None) -> None:
        """As both do it."""
        keys = self.keys
        told = [] if result is None else [("PUBLISH", keys.finish_channel, f"{id}\0{result}")]
        await self._together(
            ("ZREM", keys.claimed, id),
            ("HDEL", keys.cancelled, id),
            ("ZREM", keys.published, id),
            ("INCR", keys.finishes),
            *told,
            ("HDEL", keys.items, id),
        )

    async def cancel(self, id: str) -> None:
        """As both do it."""
        keys = self.keys
        await self._together(
            ("HINCRBY", keys.cancelled, id, 1), ("LPUSH", keys.ids, id), ("ZREM", keys.claimed, id)
        )

    async def stall(self, id: str) -> None:
        """As both do it, whether it is claimed or not."""
        keys = self.keys
        await self._together(
            ("ZREM", keys.claimed, id),
            ("HDEL", keys.cancelled, id),
            ("SADD", keys.stalled, id),
            ("ZREM", keys.published, id),
        )

    async def retry(self, id: str) -> None:
        """As thoonk.py does it: seconds, and whether it is stalled or not."""
        keys = self.keys
        await self._together(
            ("SREM", keys.stalled, id),
            ("LPUSH", keys.ids, id),
            ("ZADD", keys.published, repr(time.time()), id),
        )

    async def retract(self, id: str, js: bool = False) -> None:
        """As thoonk.py does it, or as thoonk.js, which leaves the item."""
        keys = self.keys
        await self._together(
            ("HDEL", b"feed:items" if js else keys.items, id),
            ("HDEL", keys.cancelled, id),
            ("ZREM", keys.published, id),
            ("SREM", keys.stalled, id),
            ("ZREM", keys.claimed, id),
            ("LREM", keys.ids, 1, id),
        )

    async def delete(self, js: bool = False) -> None:
        """Delete the feed as thoonk.py does it, or as thoonk.js, which leaves much."""
        keys = self.keys
        gone = [keys.ids, keys.items, keys.publishes, keys.config]
        if not js:
            gone += [keys.claimed, keys.stalled, keys.running, keys.cancelled]
        await self._together(
            ("SREM", keys.feeds, keys.name),
            ("DEL", *gone),
            ("PUBLISH", keys.delfeed, keys.name + b"\0peer"),
        )

    async def create(self) -> None:
        """Create the feed."""
        keys = self.keys
        await self.redis.execute("SADD", keys.feeds, keys.name)
        await self._together(
            ("HSET", keys.config, "type", "job"),
            ("PUBLISH", keys.newfeed, keys.name + b"\0peer"),
            ("PUBLISH", keys.conffeed, keys.name + b"\0peer"),
        )

    async def maintenance(self) -> int:
        """As thoonk.py does it: whatever it finds in no state is queued."""
        keys = self.keys
        items, ids, claimed, stalled = await self._together(
            ("HKEYS", keys.items),
            ("LRANGE", keys.ids, 0, -1),
            ("ZRANGE", keys.claimed, 0, -1),
            ("SMEMBERS", keys.stalled),
        )
        lost = {*items} - {*ids, *claimed, *stalled}
        for id in lost:
            await self.redis.execute("LPUSH", keys.ids, id)
        return len(lost)


def _now() -> int:
    """As peers write it: milliseconds of their own clock."""
    return int(time.time() * 1000)


class PeerCase(ThoonkTestCase):
    """A feed of jobs, ``self.job``; what is published about it, ``self.news()``; a peer."""

    news: Callable[[], Awaitable[list[tuple[str, bytes]]]]

    async def setUp(self) -> None:
        await super().setUp()
        self.patch(maintenance, "spread", lambda: 0.0)  # what expires comes back at once
        self.name = self.feed_name()
        self.job = await self.thoonk.job(self.name)
        self.keys = self.job.keys
        self.peer = Peer(await self.connect(), self.keys)
        self.news = await self.watch(self.name)

    async def other(self, **options: Any) -> Any:
        """The same jobs, seen by another process."""
        return await (await self.start_thoonk()).job(self.name, **options)

    async def stored(self, *but: bytes) -> dict[str, Any]:
        """All that Redis has of the feed, but some keys."""
        reads: dict[str, tuple[Any, ...]] = {
            "string": ("GET",),
            "list": ("LRANGE", 0, -1),
            "hash": ("HGETALL",),
            "set": ("SMEMBERS",),
            "zset": ("ZRANGE", 0, -1, "WITHSCORES"),
        }
        found: dict[str, Any] = {}
        for key, kind in (await self.keys_of(self.name)).items():
            if key.encode() not in but:
                verb, *args = reads[kind]
                reply = await self.redis.execute(verb, key, *args)
                if kind in ("hash", "zset"):
                    reply = dict(zip(reply[::2], reply[1::2], strict=True))
                found[key] = set(reply) if kind == "set" else reply
        return found

    async def left(self) -> set[str]:
        """Keys of the feed, but its options and its counters."""
        kept = {self.keys.config, self.keys.publishes, self.keys.finishes}
        return set(await self.keys_of(self.name)) - {key.decode() for key in kept}

    async def states(self, id: str) -> list[str]:
        """All states that a job is in: exactly one, if all is well; none, if it is not there."""
        execute, keys = self.redis.execute, self.keys
        stalled = await execute("SISMEMBER", keys.stalled, id)
        published = await execute("ZSCORE", keys.published, id) is not None
        delayed = await execute("ZSCORE", keys.delayed, id) is not None
        copies = await execute("LPOS", keys.ids, id, "COUNT", 0)
        found = {
            "available": len(copies) == 1,
            "available twice": len(copies) > 1,
            "handed": await execute("LPOS", keys.handoff, id) is not None,
            "claimed": await execute("ZSCORE", keys.claimed, id) is not None,
            "delayed": stalled and delayed and published,
            "parked": stalled and not (delayed and published),
        }
        there = [state for state, is_so in found.items() if is_so]
        if await execute("HEXISTS", keys.items, id):
            self.assertEqual(published, there != ["parked"], f"{there}, published: {published}")
        elif there:
            there.append("without item")
        return there

    async def now(self) -> int:
        """Milliseconds of Redis's clock."""
        seconds, micros = await self.redis.execute("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    async def age(self, *ids: str) -> None:
        """Let the time of claims be over."""
        for id in ids:
            lease = await self.redis.execute("HGET", self.keys.lease, id)
            token, score, _ = lease.split(b" ")
            await self.redis.execute("HSET", self.keys.lease, id, b" ".join((token, score, b"1")))

    async def come_due(self, *ids: str) -> None:
        """Let delayed jobs be due."""
        for id in ids:
            await self.redis.execute("ZADD", self.keys.delayed, "XX", 1, id)
