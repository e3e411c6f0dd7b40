"""What the verbs of ``thoonk`` do: each is a function of what was typed and of where to write."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from txthoonk.errors import FeedDoesNotExist, NotConnected, ThoonkError, WrongFeedType
from txthoonk.events import (
    KINDS,
    Edited,
    Event,
    FeedConfigured,
    FeedCreated,
    FeedDeleted,
    Moved,
    Published,
    Resync,
    Retracted,
)
from txthoonk.globs import escape_glob
from txthoonk.keys import FeedKeys, decode, encode
from txthoonk.target import Target

__all__ = [
    "TYPES",
    "Output",
    "feeds",
    "follow",
    "fsck",
    "items",
    "jobs",
    "publish",
    "visible",
    "watch",
]

TYPES: Final = ("feed", "sorted_feed", "queue", "job")

#: Seconds between two words on how far a command has come.
EVERY: Final = 2.0

#: How many items one command to Redis reads.
PAGE: Final = 1000

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_GLOB: Final = re.compile(r"[*?\[\\]")
_SHORT: Final = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\x00": "\\0"}


class Output:
    """Lines for standard output, as bytes, each of them on its way when the call returns."""

    def line(self, *columns: object) -> None:
        """Write one line.

        :raises BrokenPipeError: if nobody reads any more.
        """
        text = "\t".join(visible(str(column)) for column in columns)
        sys.stdout.buffer.write(encode(text) + b"\n")
        sys.stdout.buffer.flush()

    def tell(self, text: str) -> None:
        """Say something about the command itself: on standard error."""
        sys.stderr.write(f"thoonk: {visible(text)}\n")
        sys.stderr.flush()


class Progress:
    """Tells how far a long command has come, every other second.

    :ivar what: what it is about just now.
    """

    def __init__(self, out: Output, clock: Any) -> None:
        self.what = "all keys"
        self._out = out
        self._clock = clock
        self._next = clock.seconds() + EVERY
        self._looked = 0

    def __call__(self, more: int) -> None:
        """So many more entries were looked at."""
        self._looked += more
        if self._clock.seconds() >= self._next:
            self._next = self._clock.seconds() + EVERY
            self._out.tell(f"{self._looked:,} entries read, now of {self.what}")


def visible(text: str) -> str:
    """*text* without control characters."""
    return _CONTROL.sub(lambda c: _SHORT.get(c[0], f"\\x{ord(c[0]):02x}"), text)


# -- the verbs ------------------------------------------------------------------------------------


async def feeds(options: argparse.Namespace, out: Output) -> None:
    """All feeds: name, type, number of items."""
    async with Client(options.redis) as pub:
        for name in sorted(await pub.get_feed_names()):
            keys = FeedKeys(encode(name))
            kind = await pub.redis.execute("HGET", keys.config, "type")
            count = await pub.redis.execute("HLEN", keys.items)
            out.line(name, "?" if kind is None else decode(kind), count)


async def items(options: argparse.Namespace, out: Output) -> None:
    """The items of a feed in its order; of a queue, the next one first."""
    async with Client(options.redis) as pub:
        kind = await stored_type(pub, options.feed)
        handle = await handle_on(pub, options.feed, kind)
        if kind in ("feed", "sorted_feed"):
            for id, item in (await handle.get_all()).items():
                out.line(id, item)
            return
        ids = await handle.get_ids()
        if kind == "queue":
            ids.reverse()  # the next one is the last of the list
        for i in range(0, len(ids), PAGE):
            page = ids[i : i + PAGE]
            data = await pub.redis.execute("HMGET", handle.keys.items, *map(encode, page))
            for id, item in zip(page, data, strict=True):
                if item is not None:  # taken meanwhile
                    out.line(id, decode(item))


async def publish(options: argparse.Namespace, out: Output) -> None:
    """Publish an item, in the way of the feed's type; the id is printed."""
    item = options.item
    if item == "-":
        item = decode(sys.stdin.buffer.read())
    async with Client(options.redis) as pub:
        try:
            kind = options.type or await stored_type(pub, options.feed)
        except FeedDoesNotExist:
            kind = options.new_type
        handle = await handle_on(pub, options.feed, kind, options.types)
        if options.id is not None and kind == "queue":
            raise ThoonkError("a queue gives its items ids of its own: leave out --id")
        if kind in ("queue", "job"):
            extra = {} if options.id is None else {"id": options.id}
            id = await handle.put(item, priority=options.priority, **extra)
        elif kind == "sorted_feed":
            # Redis counts its ids: one that is given can only be one that is there.
            write = handle.publish if options.id is None else partial(handle.edit, options.id)
            id = await write(item)
        else:
            id = await handle.publish(item, id=options.id)
        out.line(id)


async def jobs(options: argparse.Namespace, out: Output) -> None:
    """How many jobs are in which state, or their ids."""
    async with Client(options.redis) as pub:
        job = await handle_on(pub, options.feed, await stored_type(pub, options.feed), ("job",))
        if not options.ids:
            for state, count in (await job.stats())._asdict().items():
                out.line(state, count)
            return
        keys = job.keys
        await pub.redis.execute("MULTI")
        states = {
            "available": ("LRANGE", keys.ids, 0, -1),
            "handed": ("LRANGE", keys.handoff, 0, -1),
            "claimed": ("ZRANGE", keys.claimed, 0, -1),
            # A delayed job is stalled too, and has not been taken out of `published`.
            "delayed": ("ZINTER", 3, keys.delayed, keys.stalled, keys.published),
            "stalled": ("SMEMBERS", keys.stalled),
        }
        for command in states.values():
            await pub.redis.execute(*command)
        found = dict(zip(states, await pub.redis.execute("EXEC"), strict=True))
        delayed = frozenset(found["delayed"])
        found["stalled"] = [id for id in found["stalled"] if id not in delayed]
        for state, ids in found.items():
            for id in reversed(ids) if state == "available" else ids:
                out.line(state, decode(id))


async def fsck(options: argparse.Namespace, out: Output) -> None:
    """Check feeds: one line for each fault."""
    from txthoonk.paging import orphan_names

    async with Client(options.redis) as pub:
        progress = Progress(out, pub.get_reactor())
        remain, feeds = 0, list(dict.fromkeys(options.feed))
        repair = dict.fromkeys(feeds, options.repair)
        if not feeds:
            repair = dict.fromkeys(sorted(await pub.get_feed_names()), options.repair)
            # Only whoever names what is left of a feed says that it may go.
            left = sorted(await orphan_names(pub.redis, progress))
            repair |= dict.fromkeys((name for name in left if name not in repair), False)
        for name, may_repair in repair.items():
            progress.what = name
            try:
                faults = await pub.fsck(name, may_repair, looked=progress)
            except FeedDoesNotExist:
                if feeds:
                    raise
                continue  # deleted meanwhile
            except WrongFeedType as error:
                if feeds:
                    raise
                out.tell(str(error))
                continue
            for fault in faults:
                state = "repaired" if fault.repaired else "remains"
                out.line(name, fault.kind, fault.id or "", state, fault.detail)
                remain += not fault.repaired
    if remain:
        raise ThoonkError(f"{remain} fault{'s' * (remain > 1)} remain{'s' * (remain == 1)}")


async def watch(options: argparse.Namespace, out: Output) -> None:
    """Print what happens, until interrupted."""
    from twisted.internet.defer import Deferred

    from txthoonk.service import Thoonk

    log_to(out)
    async with Client(options.redis):
        pass  # whoever mistyped the URL hears it at once; later, an outage is waited for
    stopped: Deferred[None] = Deferred()

    def show(kind: str, event: Event) -> None:
        try:
            out.line(kind, event.feed, *details(event))
        except OSError as error:
            if not stopped.called:
                stopped.errback(error)

    handlers: dict[str, Any] = {kind: partial(show, kind) for kind in KINDS}
    async with Thoonk(options.redis, client_name="thoonk-watch") as thoonk:
        names = list(dict.fromkeys(options.feed))
        if any(_GLOB.search(name) for name in names):
            # All of them as patterns of one subscription: an event is shown once.
            globs = [
                name if _GLOB.search(name) else decode(escape_glob(encode(name))) for name in names
            ]
            await thoonk.subscribe_pattern(globs, **handlers)
        else:
            for name in names:
                await thoonk.subscribe(name, **handlers)
        out.tell(f"watching {' '.join(names)} (Ctrl-C ends it)")
        await stopped


#: How ``follow`` calls what it is told.
FOLLOWED: Final[dict[type[Event], str]] = {
    Published: "publish",
    Edited: "edit",
    Retracted: "retract",
    Moved: "position",
    Resync: "resync",
    FeedDeleted: "delete",
}


async def follow(options: argparse.Namespace, out: Output) -> None:
    """Print what is there, then every change with its revision, until interrupted."""
    from twisted.internet.defer import Deferred

    from txthoonk.service import Thoonk

    log_to(out)
    async with Client(options.redis):
        pass  # as in watch
    stopped: Deferred[None] = Deferred()
    followed: list[Mapping[str, Any]] = []

    def items_of(name: str) -> None:
        for live in (feeds[name] for feeds in followed if name in feeds):
            for id, item in live:
                out.line("item", name, live.revision, id, item)
            return

    def show(event: Any) -> None:
        try:
            if isinstance(event, Resync):
                out.line("resync", event.feed, event.revision, event.reason)
                items_of(event.feed)
                return
            revision = [] if isinstance(event, FeedDeleted) else [event.revision]
            out.line(FOLLOWED[type(event)], event.feed, *revision, *details(event))
        except OSError as error:
            if not stopped.called:
                stopped.errback(error)

    async with Thoonk(options.redis, client_name="thoonk-follow") as thoonk:
        names = list(dict.fromkeys(options.feed))
        for name in names:
            if _GLOB.search(name):
                followed.append(await thoonk.follow_pattern(name, show, foreign=True))
            else:
                followed.append({name: await thoonk.follow(name, show)})
            for each in followed[-1]:
                items_of(each)
        out.tell(f"following {' '.join(names)} (Ctrl-C ends it)")
        await stopped


def details(event: Event) -> list[str]:
    """What there is to show of an event beside its kind and its feed."""
    if isinstance(event, (FeedCreated, FeedConfigured, FeedDeleted)):
        return []
    fields = event.__struct_fields__
    known = (
        getattr(event, name) for name in ("id", "item", "position", "result") if name in fields
    )
    return [str(value) for value in known if value is not None]


# -- what they stand on ---------------------------------------------------------------------------


class Client:
    """One connection for one command: who cannot be reached now is told so now."""

    def __init__(self, url: str) -> None:
        self._target = Target.parse(url)

    async def __aenter__(self) -> Any:
        from twisted.internet import reactor

        from txthoonk.client import ThoonkPub
        from txthoonk.link import connect
        from txthoonk.redis import Redis

        target = self._target
        try:
            self._redis = await connect(
                target.endpoint(reactor),
                lambda: Redis(target.db, target.password, username=target.username),
            )
        except (ValueError, OSError) as error:  # no TLS here, no such certificate
            raise ThoonkError(str(error)) from error
        except NotConnected as error:
            raise NotConnected(f"no Redis at {place(target)}: {error}") from error
        return ThoonkPub(self._redis)

    async def __aexit__(self, *error: object) -> None:
        await self._redis.close()


def place(target: Target) -> str:
    """Where that is, without any password."""
    if isinstance(target.place, str):
        return target.place  # an endpoint string has none
    scheme, host, port = target.place
    return host if scheme == "unix" else f"{host}:{port}"


async def stored_type(pub: Any, name: str) -> str:
    """The type of a feed that exists.

    :raises FeedDoesNotExist: if it does not.
    """
    config: dict[str, str] = await pub.get_config(name)
    return config.get("type", "feed")


async def handle_on(pub: Any, name: str, kind: str, wanted: Sequence[str] = TYPES) -> Any:
    """A handle on a feed.

    :raises WrongFeedType: if it is none of the types that are wanted.
    """
    if kind not in wanted:
        raise WrongFeedType(name, f"it is a {kind}, not a {' or '.join(wanted)}")
    return await getattr(pub, kind)(name)


def log_to(out: Output) -> None:
    """Show the library's own warnings, each once in a row."""
    from twisted.logger import ILogObserver, LogLevel, formatEvent, globalLogBeginner
    from zope.interface import implementer

    last = ""

    @implementer(ILogObserver)
    def observe(event: Any) -> None:
        nonlocal last
        text = formatEvent(event)
        ours = str(event.get("log_namespace")).startswith("txthoonk.")
        if ours and event["log_level"] >= LogLevel.info and text != last:
            last = text
            out.tell(text)

    globalLogBeginner.beginLoggingTo([observe], discardBuffer=True, redirectStandardIO=False)
