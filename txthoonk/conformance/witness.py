"""What Redis was told during a step: messages, and in which order things were done."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from txthoonk.conformance.vectors import is_ours
from txthoonk.connection import pack
from txthoonk.keys import decode
from txthoonk.redis import RedisSubscriber

__all__ = ["INSTANCE", "Monitor", "Witness", "told_too_early"]

#: Channels of all feeds; their payloads begin with the feed's name.
INSTANCE: Final = ("newfeed", "conffeed", "delfeed")

#: Commands that change what is stored.
WRITES: Final = frozenset(
    {
        *(
            "append",
            "set",
            "setex",
            "setnx",
            "getset",
            "getdel",
            "incr",
            "incrby",
            "decr",
            "decrby",
        ),
        *("hset", "hmset", "hsetnx", "hincrby", "hdel", "sadd", "srem", "smove", "spop"),
        *("zadd", "zincrby", "zpopmin", "zrem", "zremrangebyrank", "zremrangebyscore"),
        *("lpush", "rpush", "lpop", "rpop", "lset", "linsert", "lrem", "ltrim", "lmove", "blmove"),
        *("rpoplpush", "brpoplpush", "blpop", "brpop", "xadd", "xdel", "xtrim"),
        *("del", "unlink", "expire", "pexpire", "rename"),
    }
)

_LINE: Final = re.compile(r"\+\d+\.\d+ \[\d+ ([^\]]*)\] (.*)")
_WORD: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE: Final = re.compile(r"\\(x[0-9a-fA-F]{2}|.)")
_SHORT: Final = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b"}


def _unescaped(word: str) -> str:
    def one(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] == "x" and len(code) == 3:
            return chr(int(code[1:], 16))
        return _SHORT.get(code, code)

    return decode(_ESCAPE.sub(one, word).encode("latin-1"))


class Monitor(LineOnlyReceiver):
    """A connection in MONITOR mode.

    :param login: commands before that.
    """

    transport: Any
    delimiter = b"\r\n"
    MAX_LENGTH = 1 << 24

    def __init__(self, login: Iterable[tuple[str, ...]]) -> None:
        self._login = list(login)
        self._answers = len(self._login) + 1
        #: Each command: unit, its words. What is done in one script, or between MULTI and EXEC,
        #: is one unit.
        self.commands: list[tuple[int, list[str]]] = []
        self.started: Deferred[Monitor] = Deferred()
        self._unit = 0
        self._open: dict[str, int] = {}
        self._look: Callable[[], None] | None = None

    def connectionMade(self) -> None:
        """Log in, and begin."""
        for command in (*self._login, ("MONITOR",)):
            self.transport.write(pack(tuple(each.encode() for each in command)))

    def when(self, seen: Callable[[list[str]], bool]) -> Deferred[None]:
        """Fires when a command was done for which *seen* is true."""
        done: Deferred[None] = Deferred()

        def look() -> None:
            if any(seen(words) for _, words in self.commands):
                self._look = None
                done.callback(None)

        self._look = look
        look()
        return done

    def lineReceived(self, line: bytes) -> None:
        """A command was done."""
        text = line.decode("latin-1")
        if self._answers:
            if text.startswith("-"):
                self.started.errback(ConnectionDone(text))
                self.transport.loseConnection()
            self._answers -= 1
            if not self._answers and not self.started.called:
                self.started.callback(self)
            return
        found = _LINE.fullmatch(text)
        if not found:
            return
        who, words = found[1], [_unescaped(word) for word in _WORD.findall(found[2])]
        verb = words[0].lower()
        if who not in self._open and who != "lua":
            self._unit += 1
        if verb == "multi":
            self._open[who] = self._unit
        self.commands.append((self._open.get(who, self._unit), words))
        if verb in ("exec", "discard"):
            self._open.pop(who, None)
        if self._look is not None:
            self._look()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It has gone."""
        if not self.started.called:
            self.started.errback(reason)


def told_too_early(commands: list[tuple[int, list[str]]], name: str) -> list[str]:
    """What was told before all of it was written.

    Whoever hears a message looks at the feed. Within a script, or between MULTI and EXEC, the
    order does not matter: nobody sees the middle.

    :param name: of the feed.
    """
    first: tuple[int, str] | None = None
    for unit, words in commands:
        verb = words[0].lower()
        if verb == "publish" and len(words) == 3:
            channel, payload = words[1:]
            about = channel.endswith(f":{name}") and not is_ours(channel)
            if about or (channel in INSTANCE and payload.startswith(f"{name}\0")):
                first = first or (unit, channel)
        elif verb in WRITES and first and unit > first[0]:
            keys = [word for word in words[1:3] if word == "feeds" or word.endswith(f":{name}")]
            if keys and not is_ours(keys[0]):
                return [f"tells {first[1]} before {words[0].upper()} {keys[0]}"]
    return []


class Witness(RedisSubscriber):
    """Hears all messages about feeds whose names begin alike.

    :ivar heard: channel and payload, in order.
    """

    def __init__(self, **login: Any) -> None:
        super().__init__(**login)
        self.heard: list[tuple[str, str]] = []
        self._look: Callable[[], None] | None = None

    def patternMessageReceived(self, pattern: bytes, channel: bytes, message: bytes) -> None:
        """A message came."""
        self.heard.append((decode(channel), decode(message)))
        if self._look is not None:
            self._look()

    def when(self, message: tuple[str, str]) -> Deferred[None]:
        """Fires when that message was heard."""
        done: Deferred[None] = Deferred()

        def look() -> None:
            if message in self.heard:
                self._look = None
                done.callback(None)

        self._look = look
        look()
        return done
