"""The Redis that vectors are played on: keys are put there, looked at, and removed again."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory

from txthoonk.conformance.symbols import number
from txthoonk.conformance.witness import INSTANCE, Monitor, Witness, told_too_early
from txthoonk.globs import escape_glob
from txthoonk.keys import decode, encode
from txthoonk.link import connect
from txthoonk.redis import Redis
from txthoonk.target import Target

__all__ = ["Stage"]

#: How a key is read, by its type.
READS: Final = {
    "string": ("GET",),
    "list": ("LRANGE", 0, -1),
    "set": ("SMEMBERS",),
    "hash": ("HGETALL",),
    "zset": ("ZRANGE", 0, -1, "WITHSCORES"),
    "stream": ("XRANGE", "-", "+"),
}


class Stage:
    """Looks at what happens to feeds whose names begin with *start*; use :meth:`open`.

    :param reactor: that it runs on.
    :param target: where Redis is.
    :param start: of the names of all feeds.
    """

    def __init__(self, reactor: Any, target: Target, start: str) -> None:
        self._reactor = reactor
        self._target = target
        self.start = start
        #: None where the Redis user may not see commands.
        self.monitor: Monitor | None = None
        self._fences = 0
        self.redis: Redis
        self.witness: Witness

    async def open(self) -> Stage:
        """Connect.

        :raises NotConnected: if nobody is there.
        """
        target = self._target
        endpoint = target.endpoint(self._reactor)
        login: dict[str, Any] = {"password": target.password, "username": target.username}
        self.redis = await connect(endpoint, lambda: Redis(db=target.db, **login))
        self.witness = await connect(endpoint, lambda: Witness(db=target.db, **login))
        glob = escape_glob(encode(self.start))
        await self.witness.psubscribe(b"*" + glob + b"*", *map(encode, INSTANCE))
        words = [target.username, target.password] if target.username else [target.password]
        auth = [("AUTH", *(word for word in words if word))] if target.password else []
        monitor = Monitor(auth)
        await endpoint.connect(Factory.forProtocol(lambda: monitor))
        try:
            self.monitor = await monitor.started
        except Exception:  # it is not for everybody
            self.monitor = None
        return self

    async def close(self) -> None:
        """Leave nothing behind."""
        for name in await self.redis.execute("SMEMBERS", "feeds"):
            if decode(name).startswith(self.start):
                await self.redis.execute("SREM", "feeds", name)
        await self.remove(self.start)
        await self.redis.close()
        await self.witness.close()
        if self.monitor is not None:
            self.monitor.transport.loseConnection()

    async def now(self) -> int:
        """Redis's clock, in milliseconds."""
        seconds, micros = await self.redis.execute("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    # -- keys -------------------------------------------------------------------------------

    async def _names(self, part: str) -> list[bytes]:
        glob = b"*" + escape_glob(encode(part)) + b"*"
        cursor, found = b"0", set()
        while True:
            cursor, some = await self.redis.execute("SCAN", cursor, "MATCH", glob, "COUNT", 10000)
            found.update(some)
            if cursor == b"0":
                return sorted(found)

    async def remove(self, name: str) -> None:
        """Remove all keys of a feed."""
        for key in await self._names(name):
            await self.redis.execute("DEL", key)
        await self.redis.execute("SREM", "feeds", encode(name))
        await self.redis.execute("ZREM", "tx.feed.expiring", encode(name))

    async def prepare(self, given: dict[str, Any]) -> None:
        """Put keys there."""
        for name, stored in given.items():
            for command in _commands(name, stored["type"], stored["value"]):
                await self.redis.execute(*map(encode, command))

    async def look(self, name: str) -> dict[str, Any]:
        """All keys of a feed, as vectors have them."""
        found: dict[str, Any] = {}
        if await self.redis.execute("SISMEMBER", "feeds", encode(name)):
            found["feeds"] = {"type": "set", "value": [name]}
        for key in await self._names(name):
            kind = decode(await self.redis.execute("TYPE", key))
            if kind != "none":
                verb, *rest = READS[kind]
                reply = await self.redis.execute(verb, key, *rest)
                found[decode(key)] = {"type": kind, "value": _value(kind, reply)}
        return found

    # -- what happens -----------------------------------------------------------------------

    def begin(self) -> None:
        """A step begins: what was heard before does not count."""
        self.witness.heard.clear()
        if self.monitor is not None:
            self.monitor.commands.clear()

    async def end(self, name: str) -> tuple[list[tuple[str, str]], list[str]]:
        """A step has ended.

        :returns: messages about the feed, and about those whose names go on with a colon; and what
            is wrong with the order of things.
        """
        self._fences += 1
        fence = (f"{self.start}:fence", str(self._fences))
        seen: list[Awaitable[None]] = [self.witness.when(fence)]
        if self.monitor is not None:
            seen.append(self.monitor.when(lambda words: tuple(words[1:]) == fence))
        await self.redis.execute("PUBLISH", *map(encode, fence))
        for each in seen:
            await each
        told = [
            (channel, payload)
            for channel, payload in self.witness.heard
            if (channel in INSTANCE and payload.partition("\0")[0] == name)
            or channel.endswith(f":{name}")
            or f":{name}:" in channel
            or (
                channel.startswith("tx.feed.under:")
                and (f":{name}\0" in payload or f":{name}:" in payload)
            )
        ]
        early = [] if self.monitor is None else told_too_early(self.monitor.commands, name)
        return told, early

    def pause(self, seconds: float) -> Deferred[None]:
        """Fires after a while."""
        done: Deferred[None] = Deferred()
        self._reactor.callLater(seconds, done.callback, None)
        return done


def _value(kind: str, reply: Any) -> Any:
    if kind == "string":
        return decode(reply)
    if kind == "stream":
        return [[decode(id), dict(_pairs(fields))] for id, fields in reply]
    if kind == "hash":
        return dict(_pairs(reply))
    if kind == "zset":
        return [[member, number(score)] for member, score in _pairs(reply)]
    texts = [decode(each) for each in reply]
    return sorted(texts) if kind == "set" else texts


def _pairs(reply: list[bytes]) -> list[tuple[str, str]]:
    texts = [decode(each) for each in reply]
    return list(zip(texts[::2], texts[1::2], strict=True))


def _commands(key: str, kind: str, value: Any) -> list[list[str]]:
    if kind == "string":
        return [["SET", key, value]]
    if kind == "stream":
        return [
            ["XADD", key, id, *(word for pair in fields.items() for word in pair)]
            for id, fields in value
        ]
    verb = {"hash": "HSET", "list": "RPUSH", "set": "SADD", "zset": "ZADD"}[kind]
    words: list[str] = []
    if kind == "hash":
        words = [word for pair in value.items() for word in pair]
    elif kind == "zset":
        words = [word for member, score in value for word in (score, member)]
    else:
        words = list(value)
    return [[verb, key, *words]]
