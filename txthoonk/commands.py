"""Redis's commands under the names, and with the argument order, that txredis gave them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from txthoonk._containers import Argument, ContainerCommands, Key, flattened, paired

__all__ = ["Commands"]


class Commands(ContainerCommands):
    """One method for each common command; :meth:`execute` sends any other.

    Where a method has no description, it does what the Redis command of its name does, and fires
    with that command's reply: bytes, or ``str`` if there is a charset; int; ``None``. Flags are 1
    or 0. Between :meth:`multi` and ``execute()`` every method fires with ``QUEUED``; ``execute()``
    then fires with the list of plain replies.

    :param charset: decodes what comes in replies, and encodes ``str`` arguments; ``None`` leaves
        replies bytes, and arguments UTF-8.
    :param errors: what to do with what *charset* cannot carry, as in ``bytes.decode``.
    """

    # -- strings ----------------------------------------------------------------------------

    def set(
        self,
        key: Key,
        value: Argument,
        preserve: bool = False,
        getset: bool = False,
        expire: int | None = None,
    ) -> Deferred[Any]:
        """Set a value.

        :param preserve: leave a key that exists; fires with 1 if it was set, else 0.
        :param getset: fire with the value it replaced.
        :param expire: seconds until the key goes away; ``None`` is never.
        """
        if preserve and getset:
            raise ValueError("preserve and getset exclude each other")
        lifetime: tuple[Argument, ...] = () if expire is None else ("EX", expire)
        if preserve:
            return self._shaped(
                lambda reply: int(reply is not None), "SET", key, value, "NX", *lifetime
            )
        if getset:
            return self._text("SET", key, value, "GET", *lifetime)
        return self._text("SET", key, value, *lifetime)

    def setnx(self, key: Key, value: Argument) -> Deferred[int]:
        return self._call("SETNX", key, value)

    def setex(self, key: Key, seconds: int, value: Argument) -> Deferred[Any]:
        return self._text("SETEX", key, seconds, value)

    def get(self, key: Key) -> Deferred[Any]:
        return self._text("GET", key)

    def getset(self, key: Key, value: Argument) -> Deferred[Any]:
        return self._text("GETSET", key, value)

    def mget(self, *keys: Key) -> Deferred[list[Any]]:
        return self._text("MGET", *keys)

    def mset(self, mapping: Mapping[Any, Argument], preserve: bool = False) -> Deferred[Any]:
        """MSET; or MSETNX, to *preserve* keys that exist: all are set (1) or none (0)."""
        return self._text("MSETNX" if preserve else "MSET", *flattened(mapping))

    def msetnx(self, mapping: Mapping[Any, Argument]) -> Deferred[int]:
        return self._call("MSETNX", *flattened(mapping))

    def append(self, key: Key, value: Argument) -> Deferred[int]:
        return self._call("APPEND", key, value)

    def strlen(self, key: Key) -> Deferred[int]:
        return self._call("STRLEN", key)

    def getrange(self, key: Key, start: int, end: int) -> Deferred[Any]:
        return self._text("GETRANGE", key, start, end)

    substr = getrange

    def incr(self, key: Key, amount: int = 1) -> Deferred[int]:
        """INCRBY."""
        return self._call("INCRBY", key, amount)

    incrby = incr

    def decr(self, key: Key, amount: int = 1) -> Deferred[int]:
        """DECRBY."""
        return self._call("DECRBY", key, amount)

    decrby = decr

    # -- keys -------------------------------------------------------------------------------

    def exists(self, key: Key) -> Deferred[int]:
        return self._call("EXISTS", key)

    def delete(self, key: Key, *keys: Key) -> Deferred[int]:
        """DEL; how many there were."""
        return self._call("DEL", key, *keys)

    def get_type(self, key: Key) -> Deferred[Any]:
        """TYPE, such as ``list``; ``None`` if there is no such key."""
        return self._shaped(lambda kind: None if kind in (b"none", "none") else kind, "TYPE", key)

    def get_object(
        self, key: Key, refcount: bool = False, encoding: bool = False, idletime: bool = False
    ) -> Deferred[Any]:
        """OBJECT IDLETIME (seconds), ENCODING or REFCOUNT: the first of these that is asked for."""
        asked = {"IDLETIME": idletime, "ENCODING": encoding, "REFCOUNT": refcount}
        for subcommand, wanted in asked.items():
            if wanted:
                return self._text("OBJECT", subcommand, key)
        raise ValueError("one of refcount, encoding and idletime is needed")

    def keys(self, pattern: Key) -> Deferred[list[Any]]:
        """KEYS, sorted. Redis does nothing else meanwhile; see :meth:`scan`."""
        return self._shaped(sorted, "KEYS", pattern)

    def scan(
        self, cursor: int = 0, pattern: Key | None = None, count: int | None = None
    ) -> Deferred[tuple[int, list[Any]]]:
        """SCAN; (next cursor, keys). The next cursor is 0 after the last keys."""
        match: tuple[Argument, ...] = () if pattern is None else ("MATCH", pattern)
        limit: tuple[Argument, ...] = () if count is None else ("COUNT", count)
        return self._shaped(lambda reply: (int(reply[0]), reply[1]), "SCAN", cursor, *match, *limit)

    def randomkey(self) -> Deferred[Any]:
        return self._text("RANDOMKEY")

    def rename(self, src: Key, dst: Key, preserve: bool = False) -> Deferred[Any]:
        """RENAME; or RENAMENX, to *preserve* a *dst* that exists."""
        return self._text("RENAMENX" if preserve else "RENAME", src, dst)

    def move(self, key: Key, db: int) -> Deferred[int]:
        return self._call("MOVE", key, db)

    def expire(self, key: Key, time: int) -> Deferred[int]:
        """EXPIRE in *time* seconds."""
        return self._call("EXPIRE", key, time)

    def expireat(self, key: Key, time: int) -> Deferred[int]:
        """EXPIREAT a UNIX timestamp."""
        return self._call("EXPIREAT", key, time)

    def persist(self, key: Key) -> Deferred[int]:
        return self._call("PERSIST", key)

    def ttl(self, key: Key) -> Deferred[int]:
        """Seconds the key has left; -1 if it stays, -2 if there is none."""
        return self._call("TTL", key)

    def sort(
        self,
        key: Key,
        by: Key | None = None,
        get: Key | Sequence[Key] | None = None,
        start: int | None = None,
        num: int | None = None,
        desc: bool = False,
        alpha: bool = False,
    ) -> Deferred[list[Any]]:
        """SORT; *get* may be a list of patterns, *start* and *num* go together."""
        if (start is None) != (num is None):
            raise ValueError("start and num go together")
        args: list[Argument] = ["SORT", key]
        if by is not None:
            args += ["BY", by]
        if start is not None and num is not None:
            args += ["LIMIT", start, num]
        for pattern in [get] if isinstance(get, (str, bytes)) else get or ():
            args += ["GET", pattern]
        return self._text(*args, *["DESC"] * desc, *["ALPHA"] * alpha)

    # -- publishing, scripts, transactions --------------------------------------------------

    def publish(self, channel: Key, message: Argument) -> Deferred[int]:
        """PUBLISH; how many received it."""
        return self._call("PUBLISH", channel, message)

    def eval(
        self, source: Key, keys: Sequence[Key] = (), args: Iterable[Argument] = ()
    ) -> Deferred[Any]:
        return self._text("EVAL", source, len(keys), *keys, *args)

    def evalsha(
        self, sha1: Key, keys: Sequence[Key] = (), args: Iterable[Argument] = ()
    ) -> Deferred[Any]:
        return self._text("EVALSHA", sha1, len(keys), *keys, *args)

    def script_load(self, source: Key) -> Deferred[Any]:
        """SCRIPT LOAD; the SHA1 for :meth:`evalsha`."""
        return self._text("SCRIPT", "LOAD", source)

    def script_exists(self, *sha1s: Key) -> Deferred[list[int]]:
        return self._call("SCRIPT", "EXISTS", *sha1s)

    def script_flush(self) -> Deferred[Any]:
        return self._text("SCRIPT", "FLUSH")

    def script_kill(self) -> Deferred[Any]:
        return self._text("SCRIPT", "KILL")

    def multi(self) -> Deferred[Any]:
        """Begin a transaction; ``execute()`` carries it out."""
        return self._text("MULTI")

    def discard(self) -> Deferred[Any]:
        return self._text("DISCARD")

    def watch(self, *keys: Key) -> Deferred[Any]:
        return self._text("WATCH", *keys)

    def unwatch(self) -> Deferred[Any]:
        return self._text("UNWATCH")

    # -- connection and server --------------------------------------------------------------

    def ping(self) -> Deferred[Any]:
        return self._text("PING")

    def echo(self, msg: Argument) -> Deferred[Any]:
        return self._text("ECHO", msg)

    def auth(self, passwd: Key) -> Deferred[Any]:
        return self._text("AUTH", passwd)

    def select(self, db: int) -> Deferred[Any]:
        return self._text("SELECT", db)

    def quit(self) -> Deferred[Any]:
        return self._text("QUIT")

    def dbsize(self) -> Deferred[int]:
        return self._call("DBSIZE")

    def flush(self, all_dbs: bool = False) -> Deferred[Any]:
        """FLUSHDB, or FLUSHALL."""
        return self._text("FLUSHALL" if all_dbs else "FLUSHDB")

    def flushdb(self) -> Deferred[Any]:
        return self._text("FLUSHDB")

    def flushall(self) -> Deferred[Any]:
        return self._text("FLUSHALL")

    def info(self, *sections: str) -> Deferred[dict[str, Any]]:
        """INFO as a dict of ``str`` and int, whatever the charset."""
        return self._call("INFO", *sections).addCallback(_information)

    def get_config(self, pattern: Key) -> Deferred[dict[Any, Any]]:
        """CONFIG GET as a dict."""
        return self._shaped(paired, "CONFIG", "GET", pattern)

    def set_config(self, parameter: Key, value: Argument) -> Deferred[Any]:
        """CONFIG SET."""
        return self._text("CONFIG", "SET", parameter, value)

    def save(self, background: bool = False) -> Deferred[Any]:
        """SAVE, or BGSAVE."""
        return self._text("BGSAVE" if background else "SAVE")

    def bgsave(self) -> Deferred[Any]:
        return self._text("BGSAVE")

    def bgrewriteaof(self) -> Deferred[Any]:
        return self._text("BGREWRITEAOF")

    def lastsave(self) -> Deferred[int]:
        """UNIX timestamp of the last save."""
        return self._call("LASTSAVE")

    def slaveof(self, host: str, port: int | str) -> Deferred[Any]:
        """Follow another server; ``slaveof("NO", "ONE")`` follows none."""
        return self._text("SLAVEOF", host, port)

    def shutdown(self) -> Deferred[Any]:
        """SHUTDOWN; fails with ``ConnectionLost``, as Redis answers by closing."""
        return self._text("SHUTDOWN")


def _information(reply: bytes) -> dict[str, Any] | bytes:
    if reply == b"QUEUED":
        return reply
    found: dict[str, Any] = {}
    for line in reply.decode("utf-8", "replace").splitlines():
        name, colon, value = line.partition(":")
        if colon and not name.startswith("#"):
            found[name] = int(value) if value.isdigit() else value
    return found
