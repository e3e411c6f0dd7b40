"""What the tests of fsck share."""

from __future__ import annotations

from typing import Any, Final

from tests.faults import HEALTHY
from tests.helpers import ThoonkTestCase

__all__ = ["SHORT", "FsckCase"]

#: Seconds between two looks in these tests.
SHORT: Final = 0.005


class FsckCase(ThoonkTestCase):
    """Feeds that are made, and broken, by raw commands."""

    async def make(self, kind: str) -> Any:
        """A healthy feed: a handle on it that has not spoken yet."""
        name = self.feed_name(kind)
        await self.redis.execute("SADD", "feeds", name)
        handle = getattr(self.thoonk, kind)(name)
        await self.run_commands(handle, HEALTHY[kind])
        return handle

    async def run_commands(self, handle: Any, commands: Any) -> list[Any]:
        """Run commands whose second word is a key of the feed."""
        replies = []
        for verb, key, *rest in commands:
            if (verb, key) == ("SREM", "feeds"):
                rest = [handle.name]
            replies.append(await self.redis.execute(verb, getattr(handle.keys, key), *rest))
        return replies

    async def dump(self, handle: Any) -> dict[str, bytes]:
        """All that there is of a feed."""
        keys = await self.keys_of(handle.name)
        everything = {key: await self.redis.execute("DUMP", key) for key in keys}
        listed = await self.redis.execute("SISMEMBER", "feeds", handle.name)
        return everything | {"listed": b"%d" % listed}

    async def found(self, handle: Any, **options: Any) -> list[tuple[str, str | None]]:
        """Kinds and ids of the faults."""
        return [fault[:2] for fault in await handle.fsck(grace=SHORT, **options)]
