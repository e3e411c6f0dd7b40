"""What thoonk.py does with feeds and sorted feeds, as raw commands."""

from __future__ import annotations

import time
from typing import Any

from txthoonk.keys import FeedKeys
from txthoonk.redis import Redis

__all__ = ["Peer"]


class Peer:
    """A program that knows the contract's keys and nothing of ours.

    :param redis: a connection of its own: nobody else's commands come between.
    """

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        #: Feed and id of each item that this has taken out.
        self.removed: set[tuple[str, str]] = set()

    def _took(self, keys: FeedKeys, *ids: str) -> None:
        self.removed.update((keys.name.decode(), id) for id in ids)

    async def _together(self, *commands: tuple[Any, ...]) -> list[Any] | None:
        """MULTI, commands, EXEC; None if what was watched has changed."""
        self.redis.execute("MULTI")
        for command in commands:
            self.redis.execute(*command)
        replies: list[Any] | None = await self.redis.execute("EXEC")
        return replies

    # -- feeds ------------------------------------------------------------------------------

    async def publish(self, keys: FeedKeys, id: str, item: str, js: bool = False) -> None:
        """Publish or edit, as thoonk.py does it: seconds; or as thoonk.js: milliseconds."""
        now = str(int(time.time() * 1000)) if js else f"{time.time():.2f}"
        while True:
            await self.redis.execute("WATCH", keys.ids)
            limit = await self.redis.execute("HGET", keys.config, "max_length")
            trim: list[tuple[Any, ...]] = []
            gone = []
            if limit and int(limit) > 0:
                for old in await self.redis.execute("ZRANGE", keys.ids, 0, -int(limit)):
                    if js or old != id.encode():
                        gone.append(old.decode())
                        trim.append(("ZREM", keys.ids, old))
                        trim.append(("HDEL", keys.items, old))
                        trim.append(("PUBLISH", keys.retract_channel, old))
            replies = await self._together(
                *trim,
                ("ZADD", keys.ids, now, id),
                ("INCR", keys.publishes),
                ("HSET", keys.items, id, item),
            )
            if replies is not None:
                break
        self._took(keys, *gone)
        channel = keys.publish_channel if replies[-3] else keys.edit_channel
        await self.redis.execute("PUBLISH", channel, f"{id}\0{item}")

    async def retract(self, keys: FeedKeys, id: str, js: bool = False) -> None:
        """As thoonk.py does it; thoonk.js also says so of what is not there."""
        while True:
            await self.redis.execute("WATCH", keys.ids)
            if await self.redis.execute("ZRANK", keys.ids, id) is None and not js:
                await self.redis.execute("UNWATCH")
                return
            if await self._together(
                ("ZREM", keys.ids, id),
                ("HDEL", keys.items, id),
                ("PUBLISH", keys.retract_channel, id),
            ):
                self._took(keys, id)
                return

    # -- sorted feeds -----------------------------------------------------------------------

    async def push(self, keys: FeedKeys, item: str, first: bool = False) -> None:
        """Append or prepend."""
        id = str(await self.redis.execute("INCR", keys.idincr))
        await self._together(
            ("LPUSH" if first else "RPUSH", keys.ids, id),
            ("INCR", keys.publishes),
            ("HSET", keys.items, id, item),
            ("PUBLISH", keys.publish_channel, f"{id}\0{item}"),
            ("PUBLISH", keys.position_channel, f"{id}\0{'begin:' if first else ':end'}"),
        )

    async def insert(self, keys: FeedKeys, pivot: str, item: str, before: bool) -> None:
        """Publish beside another item; publishes are not counted then."""
        id = str(await self.redis.execute("INCR", keys.idincr))
        position = f":{pivot}" if before else f"{pivot}:"
        while await self._watch(keys, pivot):
            if await self._together(
                ("LINSERT", keys.ids, "BEFORE" if before else "AFTER", pivot, id),
                ("HSET", keys.items, id, item),
                ("PUBLISH", keys.publish_channel, f"{id}\0{item}"),
                ("PUBLISH", keys.position_channel, f"{id}\0{position}"),
            ):
                return

    async def edit(self, keys: FeedKeys, id: str, item: str, js: bool = False) -> None:
        """Replace an item; thoonk.js alone says so on the channel of edits."""
        channel = keys.edit_channel if js else keys.publish_channel
        while await self._watch(keys, id):
            if await self._together(
                ("HSET", keys.items, id, item),
                ("INCR", keys.publishes),
                ("PUBLISH", channel, f"{id}\0{item}"),
            ):
                return

    async def move(self, keys: FeedKeys, id: str, position: str) -> None:
        """Give an item another place."""
        pivot = position.strip(":")
        if position in ("begin:", ":end"):
            put: tuple[Any, ...] = ("LPUSH" if position == "begin:" else "RPUSH", keys.ids, id)
            watched = [id]
        else:
            side = "BEFORE" if position.startswith(":") else "AFTER"
            put, watched = ("LINSERT", keys.ids, side, pivot, id), [id, pivot]
        while await self._watch(keys, *watched):
            if await self._together(
                ("LREM", keys.ids, 1, id),
                put,
                ("PUBLISH", keys.position_channel, f"{id}\0{position}"),
            ):
                return

    async def take_out(self, keys: FeedKeys, id: str) -> None:
        """Retract."""
        while await self._watch(keys, id):
            if await self._together(
                ("LREM", keys.ids, 1, id),
                ("HDEL", keys.items, id),
                ("PUBLISH", keys.retract_channel, id),
            ):
                self._took(keys, id)
                return

    async def _watch(self, keys: FeedKeys, *ids: str) -> bool:
        """Whether these are there; from now on a change is noticed."""
        await self.redis.execute("WATCH", keys.items)
        for id in ids:
            if not await self.redis.execute("HEXISTS", keys.items, id):
                await self.redis.execute("UNWATCH")
                return False
        return True

    # -- both -------------------------------------------------------------------------------

    async def create(self, keys: FeedKeys, **config: str) -> None:
        """Create a feed, unless it is there."""
        if not await self.redis.execute("SADD", keys.feeds, keys.name):
            return
        options = [("HSET", keys.config, name, value) for name, value in config.items()]
        await self._together(*options)
        await self.redis.execute("PUBLISH", keys.newfeed, keys.name + b"\0peer")
        await self.redis.execute("PUBLISH", keys.conffeed, keys.name + b"\0peer")

    async def delete(self, keys: FeedKeys) -> None:
        """Delete a feed: what is ours stays."""
        while True:
            await self.redis.execute("WATCH", keys.feeds)
            if not await self.redis.execute("SISMEMBER", keys.feeds, keys.name):
                await self.redis.execute("UNWATCH")
                return
            if await self._together(
                ("SREM", keys.feeds, keys.name),
                ("DEL", keys.ids, keys.items, keys.publishes, keys.config, keys.idincr),
                ("PUBLISH", keys.delfeed, keys.name + b"\0peer"),
            ):
                return
