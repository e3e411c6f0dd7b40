"""What the tests of those who follow feeds share: a program that knows no revisions, and a log."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.helpers import Heard, ThoonkTestCase, until
from txthoonk import LivePattern, Thoonk
from txthoonk.keys import FeedKeys, encode
from txthoonk.live import LiveFeed
from txthoonk.redis import Redis

__all__ = ["FollowCase", "FollowHeard", "Foreign", "PatternCase", "RevisionCase"]

#: Some time in 2001, in seconds, for scores of items that were there first.
LONG_AGO = 1_000_000_000


class Foreign:
    """A program that knows the contract's keys and nothing of ours, as thoonk.py 1.0.1.

    :param redis: a connection of its own.
    :param name: of the feed.
    """

    def __init__(self, redis: Redis, name: str) -> None:
        self.redis = redis
        self.keys = FeedKeys(encode(name))

    async def together(self, *commands: tuple[Any, ...]) -> list[Any]:
        """MULTI, commands, EXEC."""
        self.redis.execute("MULTI")
        for command in commands:
            self.redis.execute(*command)
        replies: list[Any] = await self.redis.execute("EXEC")
        return replies

    def tell(self, kind: str, *parts: str) -> tuple[Any, ...]:
        """A message."""
        return "PUBLISH", getattr(self.keys, f"{kind}_channel"), "\0".join(parts)

    # -- feeds ------------------------------------------------------------------------------

    async def publish(self, id: str, item: str, evicts: int = 0, score: str = "") -> None:
        """Publish or edit; *evicts* of the oldest go."""
        keys = self.keys
        gone = []
        if evicts:
            gone = await self.redis.execute("ZRANGE", keys.ids, 0, evicts - 1)
        out = [(verb, key, old) for old in gone for verb, key in self._places()]
        *_, added, _, _ = await self.together(
            *out,
            ("ZADD", keys.ids, score or repr(time.time()), id),
            ("INCR", keys.publishes),
            ("HSET", keys.items, id, item),
        )
        for old in gone:
            await self.redis.execute(*self.tell("retract", old.decode()))
        await self.redis.execute(*self.tell("publish" if added else "edit", id, item))

    def _places(self) -> tuple[tuple[str, bytes], ...]:
        """Where an item of a feed is, and how it is taken out."""
        return ("ZREM", self.keys.ids), ("HDEL", self.keys.items)

    async def retract(self, id: str) -> None:
        """Take an item out of a feed."""
        out = [(verb, key, id) for verb, key in self._places()]
        await self.together(*out, self.tell("retract", id))

    # -- sorted feeds -----------------------------------------------------------------------

    async def append(self, item: str, first: bool = False) -> str:
        """Publish at one end."""
        keys = self.keys
        id = str(await self.redis.execute("INCR", keys.idincr))
        await self.together(
            ("LPUSH" if first else "RPUSH", keys.ids, id),
            ("INCR", keys.publishes),
            ("HSET", keys.items, id, item),
            self.tell("publish", id, item),
            self.tell("position", id, "begin:" if first else ":end"),
        )
        return id

    async def insert(self, item: str, behind: str) -> str:
        """Publish after another item."""
        keys = self.keys
        id = str(await self.redis.execute("INCR", keys.idincr))
        await self.together(
            ("LINSERT", keys.ids, "AFTER", behind, id),
            ("INCR", keys.publishes),
            ("HSET", keys.items, id, item),
            self.tell("publish", id, item),
            self.tell("position", id, f"{behind}:"),
        )
        return id

    async def edit(self, id: str, item: str) -> None:
        """Edit in a sorted feed: told as a publish."""
        keys = self.keys
        await self.together(
            ("HSET", keys.items, id, item),
            ("INCR", keys.publishes),
            self.tell("publish", id, item),
        )

    async def move(self, id: str, behind: str) -> None:
        """Move an item to just after another one."""
        keys = self.keys
        await self.together(
            ("LREM", keys.ids, 1, id),
            ("LINSERT", keys.ids, "AFTER", behind, id),
            self.tell("position", id, f"{behind}:"),
        )

    async def take_out(self, id: str) -> None:
        """Retract in a sorted feed."""
        keys = self.keys
        await self.together(
            ("LREM", keys.ids, 1, id), ("HDEL", keys.items, id), self.tell("retract", id)
        )

    # -- life -------------------------------------------------------------------------------

    async def create(self, kind: str = "feed") -> None:
        """Create the feed."""
        keys = self.keys
        await self.redis.execute("SADD", keys.feeds, keys.name)
        await self.together(
            ("HSET", keys.config, "type", kind),
            ("PUBLISH", keys.newfeed, keys.name + b"\0peer"),
            ("PUBLISH", keys.conffeed, keys.name + b"\0peer"),
        )

    async def delete(self) -> None:
        """Delete the feed; keys of ours stay."""
        keys = self.keys
        await self.together(
            ("SREM", keys.feeds, keys.name),
            ("DEL", keys.ids, keys.items, keys.publishes, keys.config, keys.idincr),
            ("PUBLISH", keys.delfeed, keys.name + b"\0peer"),
        )


class FollowHeard(Heard):
    """A handler that keeps events, in a form that is easily compared."""

    @property
    def short(self) -> list[tuple[Any, ...]]:
        """Class, revision and id of each."""
        return [
            (type(event).__name__, getattr(event, "revision", None), getattr(event, "id", None))
            for event in self
        ]

    @property
    def kinds(self) -> list[str]:
        """Class of each; of a ``Resync`` its reason."""
        return [getattr(event, "reason", type(event).__name__) for event in self]


class FollowCase(ThoonkTestCase):
    """A test case that follows feeds."""

    async def follow(
        self, name: str, thoonk: Thoonk | None = None, **options: Any
    ) -> tuple[LiveFeed, FollowHeard]:
        """Follow a feed, with a handler that keeps what it gets."""
        heard = FollowHeard()
        return await (thoonk or self.thoonk).follow(name, heard, **options), heard

    async def foreign(self, name: str) -> Foreign:
        """A foreign writer of a feed."""
        return Foreign(await self.connect(), name)

    async def revision(self, name: str, redis: Any = None) -> int:
        """The last revision of a feed."""
        found = await (redis or self.redis).execute("HGET", revision_key(name), "revision")
        return int(found or 0)

    async def caught_up(self, *lives: LiveFeed, redis: Any = None) -> None:
        """Wait until copies are as new as what Redis has now."""
        for live in lives:
            last = await self.revision(live.name, redis)
            await until(lambda live=live, last=last: live.revision >= last and live.synced)

    async def same(self, live: LiveFeed, thoonk: Thoonk | None = None) -> None:
        """Check that a copy is what Redis has: ids, order and items."""
        thoonk = thoonk or self.thoonk
        config = await thoonk.get_config(live.name)
        make: Callable[..., Any] = getattr(thoonk, config["type"])
        items = await make(live.name).get_all()
        self.assertEqual(list(live), list(items.items()))
        self.assertEqual(live.ids, list(items))

    async def logged(self, heard: Heard, name: str, since: int, redis: Any = None) -> None:
        """Check that what a handler got is the history, entry by entry."""
        entries = await (redis or self.redis).execute(
            "XRANGE", FeedKeys(encode(name)).history, f"{since + 1}-0", "+"
        )
        self.assertEqual([event.revision for event in heard], [number(id) for id, _ in entries])
        verbs = [fields[1].split(b"\0")[0].split(b" ")[4] for _, fields in entries]
        kinds = [verb.decode().rstrip("+").capitalize() for verb in verbs]
        names = {"Publish": "Published", "Edit": "Edited", "Retract": "Retracted"}
        self.assertEqual(
            [type(event).__name__ for event in heard], [names.get(kind, "Moved") for kind in kinds]
        )

    async def adopted(self, name: str) -> list[bytes]:
        """The verbs of the history that are another program's."""
        entries = await self.redis.execute("XRANGE", FeedKeys(encode(name)).history, "-", "+")
        verbs = [fields[1].split(b"\0")[0].split(b" ")[4] for _, fields in entries]
        return [verb for verb in verbs if verb.endswith(b"+")]


class RevisionCase(ThoonkTestCase):
    """Feeds with revisions."""

    async def setUp(self) -> None:
        await super().setUp()
        self.name = self.feed_name()
        self.keys = FeedKeys(encode(self.name))

    async def head(self) -> tuple[str, int]:
        """Epoch and last revision, as Redis has them."""
        epoch, last = await self.redis.execute("HMGET", self.keys.revision, "epoch", "revision")
        return ("" if epoch is None else epoch.decode()), int(last or 0)

    async def of_items(self) -> dict[str, int]:
        """The last revision of each item, as Redis has them."""
        pairs = await self.redis.execute("HGETALL", self.keys.revisions)
        found = {pairs[i].decode(): int(pairs[i + 1]) for i in range(0, len(pairs), 2)}
        return dict(sorted(found.items()))

    async def kept(self) -> list[int]:
        """The revisions that are in the history."""
        entries = await self.redis.execute("XRANGE", self.keys.history, "-", "+")
        return [int(id.partition(b"-")[0]) for id, _ in entries]


def number(id: bytes) -> int:
    """The revision that an entry of a history has for its id."""
    return int(id.partition(b"-")[0])


def revision_key(name: str) -> bytes:
    """Where the revision of a feed is."""
    return FeedKeys(encode(name)).revision


class PatternCase(FollowCase):
    """Names that begin alike, as no other test's do."""

    async def setUp(self) -> None:
        await super().setUp()
        self.prefix = f"{self.feed_name()}:x"
        self.pattern = f"{self.prefix}:*"

    def name(self, end: object) -> str:
        """The name of a feed that matches."""
        return f"{self.prefix}:{end}"

    async def follow_pattern(
        self, pattern: str | None = None, thoonk: Thoonk | None = None, **options: Any
    ) -> tuple[LivePattern, FollowHeard]:
        """Follow, with a handler that keeps what it gets."""
        heard = FollowHeard()
        live = await (thoonk or self.thoonk).follow_pattern(
            pattern or self.pattern, heard, **options
        )
        return live, heard

    def of(self, heard: FollowHeard, name: str) -> FollowHeard:
        """What was told of one feed."""
        found = FollowHeard()
        found += [event for event in heard if event.feed == name]
        return found

    async def all_same(self, live: LivePattern) -> None:
        """All copies are what Redis has, and none is missing."""
        names = {n for n in await self.thoonk.get_feed_names() if n.startswith(f"{self.prefix}:")}
        self.assertEqual(set(live), names)
        for each in live.values():
            await self.same(each)
