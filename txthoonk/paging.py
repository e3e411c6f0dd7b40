"""Reading the keys of a feed page by page, however large they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txthoonk.errors import ServerError
from txthoonk.keys import FEEDS, FeedKeys, decode
from txthoonk.scripts import Connection
from txthoonk.verdicts import script_error

__all__ = ["PAGE", "Pages", "orphan_names"]

#: How many entries one command reads, and about how many bytes.
PAGE: Final = 1000
PAGE_BYTES: Final = 1_000_000


class Pages:
    """Reads keys of one feed.

    :param redis: where commands go.
    :param name: of the feed, for errors.
    :param looked: called with how many more entries were read.
    """

    def __init__(self, redis: Connection, name: str, looked: Callable[[int], object]) -> None:
        self._redis = redis
        self._name = name
        self._looked = looked

    def read(self, *command: str | bytes | int) -> Deferred[Any]:
        """Send a command; an error of Redis's names the feed."""
        return self._redis.execute(*command).addErrback(self._named)

    def _named(self, failure: Failure) -> Failure:
        if isinstance(failure.value, ServerError):
            raise script_error(failure.value, self._name, None) from None
        return failure

    async def entries(self, key: bytes) -> AsyncIterator[list[bytes]]:
        """The entries of a list; what moves meanwhile comes twice, or not at all."""
        start = 0
        while page := await self.read("LRANGE", key, start, start + PAGE - 1):
            self._looked(len(page))
            yield page
            start += PAGE

    async def scan(self, verb: str, key: bytes) -> AsyncIterator[list[bytes]]:
        """The ids in a hash, set or zset; some may come more than once.

        :param verb: ``HSCAN``, ``SSCAN`` or ``ZSCAN``.
        """
        cursor: bytes = b"0"
        count, step = 10, 1 if verb == "SSCAN" else 2
        while True:
            cursor, entries = await self.read(verb, key, cursor, "COUNT", count)
            if entries:  # items may be large
                size = 1 + sum(map(len, entries)) * step // len(entries)
                count = max(1, min(PAGE, PAGE_BYTES // size, 10 * count))
            self._looked(len(entries) // step)
            yield entries[::step]
            if cursor == b"0":
                return

    async def all(self, verb: str, key: bytes) -> set[bytes]:
        """All ids in a hash, set or zset."""
        return {id async for page in self.scan(verb, key) for id in page}

    async def count(self, *lists: bytes) -> Counter[bytes]:
        """How often each id is in some lists."""
        counted: Counter[bytes] = Counter()
        for key in lists:
            async for page in self.entries(key):
                counted.update(page)
        return counted


async def orphan_names(
    redis: Connection, looked: Callable[[int], object] | None = None
) -> set[str]:
    """Find names of feeds that do not exist, but have keys.

    This looks at the name of every key in the database; they may be many.

    :param redis: where commands go.
    :param looked: called with how many more entries were read, if given.
    """
    kinds = set(FeedKeys(b"").every_key())
    known: dict[bytes, bool] = {}
    cursor = b"0"
    while True:
        cursor, page = await redis.execute("SCAN", cursor, "MATCH", "*feed.*:*", "COUNT", PAGE)
        parts = (key.partition(b":") for key in page)
        names = {name for kind, colon, name in parts if name and kind + colon in kinds}
        if new := list(names - known.keys()):
            known.update(zip(new, await redis.execute("SMISMEMBER", FEEDS, *new), strict=True))
        if looked is not None:
            looked(len(page))
        if cursor == b"0":
            return {decode(name) for name, listed in known.items() if not listed}
