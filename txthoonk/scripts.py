"""The Lua scripts: found, read, and called by EVALSHA.

Each file under ``lua/`` is one verb of one type. Its header names its keys, its arguments, what
it returns, how it fails and what it publishes; the names of keys and channels are attributes of
:class:`~txthoonk.keys.FeedKeys`, so a script is bound to a feed by its header alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Final, Protocol, TypeVar

import hiredis
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txthoonk.errors import ScriptMissing, ServerError
from txthoonk.keys import FeedKeys
from txthoonk.verdicts import script_error

T = TypeVar("T")

__all__ = ["BoundScript", "Connection", "Parameter", "Script", "all_scripts", "load", "script"]


class Connection(Protocol):
    """What a script is called on: anything that sends packed commands."""

    def send(self, command: bytes) -> Deferred[Any]:
        """Fires with the reply to one packed command."""

    def execute(self, *args: str | bytes | int | float) -> Deferred[Any]:
        """Fires with the reply to one command."""

    def gather(self, together: Any, args: Sequence[bytes], result: T, id: str) -> Deferred[T]:
        """Let an item travel with others; fires with *result* when that was done."""

    def gather_for(
        self, sink: Any, together: Any, args: Sequence[bytes], result: Any, id: str
    ) -> None:
        """The same for whoever needs no Deferred."""


@dataclass(frozen=True)
class Parameter:
    """One line of a header: a key or an argument.

    :param name: of the local variable; of keys and channels also the attribute of ``FeedKeys``.
    :param kind: type of a key, unit of an argument.
    :param meaning: what is left of the line.
    """

    name: str
    kind: str
    meaning: str


_PARAMETER: Final = re.compile(r"-- (KEYS|ARGV)\[(\d+)\] +(\w+) +(\w+) *(.*)")
_FIELD: Final = re.compile(r"-- (Returns|Errors|Publishes): (.+)")


@dataclass(frozen=True)
class Script:
    """One verb of one type.

    :param name: type and verb, as in ``feed/publish``.
    :param source: what Redis gets.
    """

    name: str
    source: bytes
    sha: bytes = field(init=False)
    keys: tuple[Parameter, ...] = field(init=False)
    arguments: tuple[Parameter, ...] = field(init=False)
    errors: tuple[str, ...] = field(init=False)
    publishes: tuple[str, ...] = field(init=False)
    returns: str = field(init=False)

    def __post_init__(self) -> None:
        parameters: dict[str, list[Parameter]] = {"KEYS": [], "ARGV": []}
        fields = {}
        for line in self._header():
            if match := _PARAMETER.fullmatch(line):
                kind, number, *rest = match.groups()
                parameters[kind].append(Parameter(*rest))
                if len(parameters[kind]) != int(number):
                    raise ValueError(f"{self.name}: {kind}[{number}] is out of order")
            elif match := _FIELD.fullmatch(line):
                fields[match[1]] = match[2]
        missing = {"Returns", "Errors", "Publishes"} - fields.keys()
        if missing:
            raise ValueError(f"{self.name}: the header lacks {', '.join(sorted(missing))}")
        errors = () if fields["Errors"] == "none" else tuple(fields["Errors"].split(", "))
        published = fields["Publishes"]
        for name, value in {
            "sha": hashlib.sha1(self.source).hexdigest().encode(),
            "keys": tuple(parameters["KEYS"]),
            "arguments": tuple(parameters["ARGV"]),
            "returns": fields["Returns"],
            "errors": errors,
            "publishes": () if published == "nothing" else tuple(published.split("; ")),
        }.items():
            object.__setattr__(self, name, value)

    def _header(self) -> Iterator[str]:
        for line in self.source.decode().splitlines():
            if not line.startswith("--"):
                return
            yield line

    @property
    def comment(self) -> str:
        """The header, as it is written."""
        return "".join(f"{line}\n" for line in self._header())

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels it publishes on, and of groups; they are its first arguments."""
        return tuple(a.name for a in self.arguments if a.kind in ("channel", "channels"))

    def bind(self, keys: FeedKeys, feed: str) -> BoundScript:
        """This script for one feed.

        :param keys: of the feed.
        :param feed: its name, for errors.
        """

        def names(parameters: Sequence[Parameter]) -> list[bytes]:
            bound: list[bytes] = []
            for each in parameters:
                name = getattr(keys, each.name)
                if each.kind in ("keys", "channels"):  # several
                    bound += name()
                else:
                    bound.append(name)
            return bound

        channels = self.arguments[: len(self.channels)]
        return BoundScript(self, feed, names(self.keys), names(channels))


def _same(reply: Any) -> Any:
    return reply


class BoundScript:
    """A script with the keys and channels of one feed; calling it sends it.

    What is the same in every call is packed once.
    """

    __slots__ = (
        *("_by_sha", "_by_source", "_count", "_with_two"),
        *("channels", "feed", "keys", "script"),
    )

    def __init__(
        self, script: Script, feed: str, keys: Sequence[bytes], channels: Sequence[bytes]
    ) -> None:
        self.script = script
        self.feed = feed
        self.keys = tuple(keys)
        self.channels = tuple(channels)
        fixed = (b"%d" % len(keys), *keys, *channels)
        self._by_sha = _bulks((b"EVALSHA", script.sha, *fixed))
        self._by_source = (b"EVAL", script.source, *fixed)
        self._count = 2 + len(fixed)
        head = b"*%d\r\n%b" % (self._count + 2, self._by_sha)
        self._with_two = head.replace(b"%", b"%%") + 2 * b"$%d\r\n%b\r\n"

    def __call__(
        self,
        redis: Connection,
        args: Sequence[bytes] = (),
        shape: Callable[..., Any] = _same,
        *shape_args: object,
        id: str | None = None,
    ) -> Deferred[Any]:
        """Call it; where Redis does not have it, send it, however often that happens.

        :param args: behind the channels.
        :param shape: makes the result of the reply; gets *shape_args* too.
        :param id: named in errors.
        :returns: fires with what *shape* returned.
        :raises FeedError: or :exc:`ItemError` (as a failure), by the script's verdict;
            otherwise as :meth:`Redis.execute <txthoonk.redis.Redis.execute>`.
        """
        if len(args) == 2:  # most calls: one step is half the cost of joining parts
            one, two = args
            command = self._with_two % (len(one), one, len(two), two)
        else:
            head = b"*%d\r\n" % (self._count + len(args))
            command = b"".join((head, self._by_sha, _bulks(args)))
        done = redis.send(command)
        return done.addCallbacks(
            shape, self._failed, shape_args, {}, (redis, args, shape, shape_args, id)
        )

    def _failed(
        self,
        failure: Failure,
        redis: Connection | None,
        args: Sequence[bytes],
        shape: Callable[..., Any],
        shape_args: tuple[object, ...],
        id: str | None,
    ) -> Any:
        error = failure.value
        if isinstance(error, ScriptMissing) and redis is not None:
            done = redis.execute(*self._by_source, *args)
            return done.addCallbacks(
                shape, self._failed, shape_args, {}, (None, args, shape, shape_args, id)
            )
        if isinstance(error, ServerError):
            raise script_error(error, self.feed, id) from None
        return failure


def _bulks(args: Sequence[bytes]) -> bytes:
    """Arguments as they follow each other in a command."""
    packed: bytes = hiredis.pack_command(tuple(args))  # type: ignore[arg-type]  # as in redis
    return packed[packed.index(b"\n") + 1 :]


_INCLUDE: Final = re.compile(rb"^-- include (\w+)\n", re.MULTILINE)
_SCRIPT: Final = re.compile(rb"^-- script (\w+)/(\w+)\n", re.MULTILINE)


def _body(source: bytes) -> bytes:
    """What is behind the comment that a file begins with."""
    lines = source.splitlines(keepends=True)
    start = next(i for i, line in enumerate(lines) if not line.startswith(b"--"))
    return b"".join(lines[start:])


@cache
def script(name: str) -> Script:
    """The script of that name: type and verb, as in ``feed/publish``.

    A line ``-- include change`` stands for what is in ``lua/change.lua``, without its comment. A
    line ``-- script feed/publish`` stands for that script as a function, ``feed_publish(KEYS,
    ARGV, redis)``, which answers what the script would.
    """
    folder = files("txthoonk") / "lua"
    kind, verb = name.split("/")

    def included(match: re.Match[bytes]) -> bytes:
        return _body((folder / f"{match[1].decode()}.lua").read_bytes())

    def function(match: re.Match[bytes]) -> bytes:
        kind, verb = match.groups()
        body = _body(script(f"{kind.decode()}/{verb.decode()}").source)
        head = b"local function %b_%b(KEYS, ARGV, redis)\n" % (kind, verb)
        return b"%b%bend -- %b/%b\n" % (head, body, kind, verb)

    source = (folder / kind / f"{verb}.lua").read_bytes()
    return Script(name, _SCRIPT.sub(function, _INCLUDE.sub(included, source)))


@cache
def all_scripts() -> tuple[Script, ...]:
    """Every script there is."""
    folders = sorted((files("txthoonk") / "lua").iterdir(), key=lambda f: f.name)
    return tuple(
        script(f"{folder.name}/{file.name.removesuffix('.lua')}")
        for folder in folders
        if folder.is_dir()
        for file in sorted(folder.iterdir(), key=lambda f: f.name)
        if file.name.endswith(".lua")
    )


def load(redis: Connection) -> None:
    """Let Redis have every script before the first call.

    Otherwise the first calls on a fresh server would each be sent twice, and a later one of
    another verb could overtake them. A server that refuses is not an error: each call brings
    its script where needed.
    """
    for each in all_scripts():
        redis.execute("SCRIPT", "LOAD", each.source).addErrback(lambda _: None)
