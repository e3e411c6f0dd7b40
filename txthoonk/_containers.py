"""The commands on lists, hashes, sets and sorted sets, and how named commands are called."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import chain
from math import inf
from typing import Any

from twisted.internet.defer import Deferred

__all__ = ["Argument", "ContainerCommands", "Named"]

Argument = str | bytes | int | float
Key = str | bytes
Members = set[Any]  # inside the classes `set` is the command

_QUEUED = b"QUEUED"


class Named:
    """How a named command becomes :meth:`execute`, and its reply what was asked for."""

    def __init__(self, charset: str | None, errors: str) -> None:
        if charset is not None and "PING".encode(charset) != b"PING":
            raise ValueError(f"charset {charset!r} cannot carry Redis commands")
        self._charset = charset
        self._charset_errors = errors
        self._foreign = charset is not None and codecs.lookup(charset).name != "utf-8"

    def execute(self, *args: Argument) -> Deferred[Any]:
        """Send one command; fires with the reply as Redis gave it."""
        raise NotImplementedError

    def execute_blocking(self, seconds: float, *args: Argument) -> Deferred[Any]:
        """Send a command that Redis may sit on for *seconds*."""
        raise NotImplementedError

    def _call(self, *args: Argument) -> Deferred[Any]:
        """Send a command whose reply holds no text worth decoding."""
        return self.execute(*(self._encoded(args) if self._foreign else args))

    def _text(self, *args: Argument) -> Deferred[Any]:
        """Send a command whose reply is decoded, if there is a charset."""
        reply = self._call(*args)
        return reply if self._charset is None else reply.addCallback(self._decoded)

    def _shaped(self, shape: Callable[[Any], Any], *args: Argument) -> Deferred[Any]:
        """Send a command whose reply is decoded, then shaped; not when MULTI queues it."""

        def shaped(reply: Any) -> Any:
            return self._decoded(reply) if reply == _QUEUED else shape(self._decoded(reply))

        return self._call(*args).addCallback(shaped)

    def _blocking_text(self, seconds: float, *args: Argument) -> Deferred[Any]:
        """Send a command that waits in Redis; 0 seconds are for ever."""
        return self.execute_blocking(seconds or inf, *self._encoded(args)).addCallback(
            self._decoded
        )

    def _encoded(self, args: Iterable[Argument]) -> list[Argument]:
        charset, errors = self._charset or "utf-8", self._charset_errors
        return [arg.encode(charset, errors) if isinstance(arg, str) else arg for arg in args]

    def _decoded(self, reply: Any) -> Any:
        if self._charset is None:
            return reply
        if isinstance(reply, bytes):
            return reply.decode(self._charset, self._charset_errors)
        if isinstance(reply, list):
            return [self._decoded(part) for part in reply]
        return reply


class ContainerCommands(Named):
    """Commands on lists, hashes, sets and sorted sets."""

    # -- lists ------------------------------------------------------------------------------

    def push(
        self, key: Key, value: Argument, tail: bool = False, no_create: bool = False
    ) -> Deferred[int]:
        """LPUSH, or RPUSH at the *tail*; with *no_create* only if the list exists."""
        name = ("RPUSH" if tail else "LPUSH") + ("X" if no_create else "")
        return self._call(name, key, value)

    def lpush(self, key: Key, *values: Argument) -> Deferred[int]:
        return self._call("LPUSH", key, *values)

    def rpush(self, key: Key, *values: Argument) -> Deferred[int]:
        return self._call("RPUSH", key, *values)

    def lpushx(self, key: Key, value: Argument) -> Deferred[int]:
        return self._call("LPUSHX", key, value)

    def rpushx(self, key: Key, value: Argument) -> Deferred[int]:
        return self._call("RPUSHX", key, value)

    def pop(self, key: Key, tail: bool = False) -> Deferred[Any]:
        """LPOP, or RPOP from the *tail*."""
        return self._text("RPOP" if tail else "LPOP", key)

    def lpop(self, key: Key) -> Deferred[Any]:
        return self._text("LPOP", key)

    def rpop(self, key: Key) -> Deferred[Any]:
        return self._text("RPOP", key)

    def bpop(
        self, keys: Iterable[Key], tail: bool = False, timeout: float = 30
    ) -> Deferred[list[Any] | None]:
        """BLPOP, or BRPOP from the *tail*: [key, value], ``None`` after *timeout* seconds."""
        return self._blocking_text(timeout, "BRPOP" if tail else "BLPOP", *keys, timeout)

    def blpop(self, keys: Iterable[Key], timeout: float = 30) -> Deferred[list[Any] | None]:
        """[key, value], or ``None`` after *timeout* seconds; 0 waits for ever."""
        return self.bpop(keys, False, timeout)

    def brpop(self, keys: Iterable[Key], timeout: float = 30) -> Deferred[list[Any] | None]:
        """[key, value], or ``None`` after *timeout* seconds; 0 waits for ever."""
        return self.bpop(keys, True, timeout)

    def rpoplpush(self, srckey: Key, dstkey: Key) -> Deferred[Any]:
        return self._text("RPOPLPUSH", srckey, dstkey)

    def brpoplpush(self, source: Key, destination: Key, timeout: float = 30) -> Deferred[Any]:
        """The value moved, or ``None`` after *timeout* seconds; 0 waits for ever."""
        return self._blocking_text(timeout, "BRPOPLPUSH", source, destination, timeout)

    def llen(self, key: Key) -> Deferred[int]:
        return self._call("LLEN", key)

    def lrange(self, key: Key, start: int, end: int) -> Deferred[list[Any]]:
        return self._text("LRANGE", key, start, end)

    def ltrim(self, key: Key, start: int, end: int) -> Deferred[Any]:
        return self._text("LTRIM", key, start, end)

    def lindex(self, key: Key, index: int) -> Deferred[Any]:
        return self._text("LINDEX", key, index)

    def lset(self, key: Key, index: int, value: Argument) -> Deferred[Any]:
        return self._text("LSET", key, index, value)

    def lrem(self, key: Key, value: Argument, count: int = 0) -> Deferred[int]:
        """LREM; mind the order of the arguments. *count* 0 removes all."""
        return self._call("LREM", key, count, value)

    def linsert(
        self, key: Key, pivot: Argument, value: Argument, before: bool = True
    ) -> Deferred[int]:
        """LINSERT *value* beside *pivot*; the new length, -1 if there is no *pivot*."""
        return self._call("LINSERT", key, "BEFORE" if before else "AFTER", pivot, value)

    # -- hashes -----------------------------------------------------------------------------

    def hset(
        self, key: Key, field: Argument, value: Argument, preserve: bool = False
    ) -> Deferred[int]:
        """HSET, or HSETNX to *preserve* a field that exists; 1 if the field is new."""
        return self._call("HSETNX" if preserve else "HSET", key, field, value)

    def hsetnx(self, key: Key, field: Argument, value: Argument) -> Deferred[int]:
        return self._call("HSETNX", key, field, value)

    def hmset(self, key: Key, in_dict: Mapping[Any, Argument]) -> Deferred[Any]:
        return self._text("HMSET", key, *flattened(in_dict))

    def hget(
        self, key: Key, field: Argument | list[Argument] | tuple[Argument, ...]
    ) -> Deferred[dict[Any, Any] | None]:
        """A dict of the one field, or of the list of fields asked for, as in txredis.

        A missing field gives ``None`` instead of the dict; ``{field: None}`` if a list was given.
        """
        if isinstance(field, (list, tuple)):
            return self._shaped(
                lambda values: dict(zip(field, values, strict=True)), "HMGET", key, *field
            )
        return self._shaped(
            lambda value: None if value is None else {field: value}, "HGET", key, field
        )

    hmget = hget

    def hget_value(self, key: Key, field: Argument) -> Deferred[Any]:
        """HGET: the bare value, or ``None``."""
        return self._text("HGET", key, field)

    def hgetall(self, key: Key) -> Deferred[dict[Any, Any]]:
        return self._shaped(paired, "HGETALL", key)

    def hkeys(self, key: Key) -> Deferred[list[Any]]:
        return self._text("HKEYS", key)

    def hvals(self, key: Key) -> Deferred[list[Any]]:
        return self._text("HVALS", key)

    def hincr(self, key: Key, field: Argument, amount: int = 1) -> Deferred[int]:
        """HINCRBY."""
        return self._call("HINCRBY", key, field, amount)

    hincrby = hincr

    def hexists(self, key: Key, field: Argument) -> Deferred[int]:
        return self._call("HEXISTS", key, field)

    def hdel(self, key: Key, *fields: Argument) -> Deferred[int]:
        return self._call("HDEL", key, *fields)

    hdelete = hdel

    def hlen(self, key: Key) -> Deferred[int]:
        return self._call("HLEN", key)

    # -- sets -------------------------------------------------------------------------------

    def sadd(self, key: Key, *values: Argument) -> Deferred[int]:
        return self._call("SADD", key, *values)

    def srem(self, key: Key, *values: Argument) -> Deferred[int]:
        return self._call("SREM", key, *values)

    def smembers(self, key: Key) -> Deferred[Members]:
        return self._shaped(Members, "SMEMBERS", key)

    def sismember(self, key: Key, value: Argument) -> Deferred[int]:
        return self._call("SISMEMBER", key, value)

    def scard(self, key: Key) -> Deferred[int]:
        return self._call("SCARD", key)

    def spop(self, key: Key) -> Deferred[Any]:
        return self._text("SPOP", key)

    def srandmember(self, key: Key) -> Deferred[Any]:
        return self._text("SRANDMEMBER", key)

    def smove(self, srckey: Key, dstkey: Key, member: Argument) -> Deferred[int]:
        return self._call("SMOVE", srckey, dstkey, member)

    def sinter(self, *keys: Key) -> Deferred[Members]:
        return self._shaped(Members, "SINTER", *keys)

    def sunion(self, *keys: Key) -> Deferred[Members]:
        return self._shaped(Members, "SUNION", *keys)

    def sdiff(self, *keys: Key) -> Deferred[Members]:
        """SDIFF as a set (txredis gave a list)."""
        return self._shaped(Members, "SDIFF", *keys)

    def sinterstore(self, dest: Key, *keys: Key) -> Deferred[int]:
        return self._call("SINTERSTORE", dest, *keys)

    def sunionstore(self, dest: Key, *keys: Key) -> Deferred[int]:
        return self._call("SUNIONSTORE", dest, *keys)

    def sdiffstore(self, dstkey: Key, *keys: Key) -> Deferred[int]:
        return self._call("SDIFFSTORE", dstkey, *keys)

    # -- sorted sets ------------------------------------------------------------------------

    def zadd(self, key: Key, *items: Argument) -> Deferred[int]:
        """``zadd(key, member, score)``, or any number of ``score, member`` pairs, as in txredis.

        Two arguments are (member, score) if the first is text.
        """
        if len(items) == 2 and isinstance(items[0], (str, bytes)):
            items = items[::-1]
        return self._call("ZADD", key, *items)

    def zrem(self, key: Key, *members: Argument) -> Deferred[int]:
        return self._call("ZREM", key, *members)

    def zincr(self, key: Key, member: Argument, incr: float = 1) -> Deferred[float]:
        """ZINCRBY; the new score."""
        return self._shaped(scored, "ZINCRBY", key, incr, member)

    def zscore(self, key: Key, element: Argument) -> Deferred[float | None]:
        return self._shaped(scored, "ZSCORE", key, element)

    def zcard(self, key: Key) -> Deferred[int]:
        return self._call("ZCARD", key)

    def zcount(self, key: Key, min: Argument, max: Argument) -> Deferred[int]:
        return self._call("ZCOUNT", key, min, max)

    def zrank(self, key: Key, member: Argument, reverse: bool = False) -> Deferred[int | None]:
        return self._call("ZREVRANK" if reverse else "ZRANK", key, member)

    def zrevrank(self, key: Key, member: Argument) -> Deferred[int | None]:
        return self._call("ZREVRANK", key, member)

    def zrange(
        self, key: Key, start: int, end: int, withscores: bool = False, reverse: bool = False
    ) -> Deferred[list[Any]]:
        """ZRANGE, or ZREVRANGE; *withscores* a list of (member, float)."""
        return self._ranged(withscores, "ZREVRANGE" if reverse else "ZRANGE", key, start, end)

    def zrevrange(
        self, key: Key, start: int, end: int, withscores: bool = False
    ) -> Deferred[list[Any]]:
        """ZREVRANGE; *withscores* a list of (member, float)."""
        return self.zrange(key, start, end, withscores, reverse=True)

    def zrangebyscore(
        self,
        key: Key,
        min: Argument = "-inf",
        max: Argument = "+inf",
        offset: int = 0,
        count: int | None = None,
        withscores: bool = False,
        reverse: bool = False,
    ) -> Deferred[list[Any]]:
        """ZRANGEBYSCORE, or ZREVRANGEBYSCORE; *withscores* a list of (member, float)."""
        if offset and count is None:
            raise ValueError("an offset needs a count")
        limit: tuple[Argument, ...] = () if count is None else ("LIMIT", offset, count)
        bounds = (max, min) if reverse else (min, max)
        name = "ZREVRANGEBYSCORE" if reverse else "ZRANGEBYSCORE"
        return self._ranged(withscores, name, key, *bounds, *limit)

    def zrevrangebyscore(
        self,
        key: Key,
        min: Argument = "-inf",
        max: Argument = "+inf",
        offset: int = 0,
        count: int | None = None,
        withscores: bool = False,
    ) -> Deferred[list[Any]]:
        """ZREVRANGEBYSCORE, the lower bound first; *withscores* a list of (member, float)."""
        return self.zrangebyscore(key, min, max, offset, count, withscores, reverse=True)

    def zremrangebyrank(self, key: Key, start: int, end: int) -> Deferred[int]:
        return self._call("ZREMRANGEBYRANK", key, start, end)

    def zremrangebyscore(self, key: Key, min: Argument, max: Argument) -> Deferred[int]:
        return self._call("ZREMRANGEBYSCORE", key, min, max)

    def zunionstore(
        self, dstkey: Key, keys: Collection[Key], aggregate: str | None = None
    ) -> Deferred[int]:
        """ZUNIONSTORE of *keys*, or of a dict of keys and weights."""
        return self._stored("ZUNIONSTORE", dstkey, keys, aggregate)

    def zinterstore(
        self, dstkey: Key, keys: Collection[Key], aggregate: str | None = None
    ) -> Deferred[int]:
        """ZINTERSTORE of *keys*, or of a dict of keys and weights."""
        return self._stored("ZINTERSTORE", dstkey, keys, aggregate)

    def _ranged(self, withscores: bool, *args: Argument) -> Deferred[list[Any]]:
        if withscores:
            return self._shaped(with_scores, *args, "WITHSCORES")
        return self._text(*args)

    def _stored(
        self, name: str, dstkey: Key, keys: Collection[Key], aggregate: str | None
    ) -> Deferred[int]:
        args: list[Any] = [name, dstkey, len(keys), *keys]
        if isinstance(keys, Mapping):
            args += ["WEIGHTS", *keys.values()]
        if aggregate is not None:
            args += ["AGGREGATE", aggregate]
        return self._call(*args)


def flattened(mapping: Mapping[Any, Argument]) -> Iterable[Any]:
    """{a: b, c: d} -> a, b, c, d"""
    return chain.from_iterable(mapping.items())


def paired(values: list[Any]) -> dict[Any, Any]:
    """[a, b, c, d] -> {a: b, c: d}"""
    return dict(zip(values[::2], values[1::2], strict=True))


def scored(value: Any) -> float | None:
    """A score as Redis writes it -> float"""
    return None if value is None else float(value)


def with_scores(values: list[Any]) -> list[tuple[Any, float]]:
    """[member, score, ...] -> [(member, float), ...]"""
    return [(member, float(score)) for member, score in zip(values[::2], values[1::2], strict=True)]
