"""Checking feeds: every id in exactly one state, indexes that match the items, nothing left behind.

A check reads the keys of a feed page by page while others work on it, so what it reads does not
fit together; that gives suspects. Scripts look at a few suspects at a time, each look as of one
instant, and what is the same at two looks is a fault: other programs do not write everything at
once. The second look repairs what it finds, if that is wanted. The scripts of ``lua/fsck`` have
the rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from txthoonk._deferred import first_failure
from txthoonk.errors import FeedDoesNotExist, WrongFeedType
from txthoonk.keys import FeedKeys, decode, encode
from txthoonk.paging import Pages
from txthoonk.scripts import Connection, script

__all__ = ["CHECKED", "GRACE", "Check", "Fault", "Survey"]

#: Seconds between the two looks.
GRACE: Final = 1.0

#: How many suspects one script looks at, and how many entries of lists it walks for them.
MOST: Final = 100
WALK: Final = 200_000

_COMMON: Final = {"config": "hash", "items": "hash", "publishes": "string"}
_WAITING: Final = {"ids": "list", "handoff": "list", "seen": "zset"}
_CHANGES: Final = {"revision": "hash", "revisions": "hash", "history": "stream"}
_ANY: Final = ""

#: Type of a feed -> the keys that it may have, as attributes of ``FeedKeys``, with Redis's types.
CHECKED: Final[dict[str, dict[str, str]]] = {
    "feed": {**_COMMON, **_CHANGES, "ids": "zset", "expires": "zset"},
    "sorted_feed": {**_COMMON, **_CHANGES, "ids": "list", "idincr": "string"},
    "queue": {**_COMMON, **_WAITING},
    "job": {
        **_COMMON,
        **_WAITING,
        **dict.fromkeys(("published", "claimed", "delayed", "lost", "due", "ticks"), "zset"),
        **dict.fromkeys(("cancelled", "lease", "errors", "results", "schedules"), "hash"),
        "bridged": "hash",
        "stalled": "set",
        "finishes": "string",
        "running": _ANY,
        "retried": _ANY,
    },
}

_EVERY: Final = tuple(dict.fromkeys(key for keys in CHECKED.values() for key in keys))


class _Fault(NamedTuple):
    """The parts of a fault."""

    kind: str
    id: str | None
    detail: str
    repaired: bool


class Fault(_Fault):
    """Something wrong in a feed: ``kind, id, detail, repaired = fault``.

    :ivar kind: a word or two, the same for all faults of that kind; the guide lists them.
    :ivar id: of the item or job; None if it is about the feed itself.
    :ivar detail: what is wrong.
    :ivar repaired: whether it was repaired.
    :ivar feed: name of the feed.
    """

    feed: str

    def __str__(self) -> str:
        about = f"{self.feed!r}" if self.id is None else f"{self.feed!r}, id {self.id!r}"
        end = " (repaired)" if self.repaired else ""
        return f"feed {about}: {self.kind}: {self.detail}{end}"


class Survey(NamedTuple):
    """What there is of a feed.

    :ivar listed: whether its name is in ``feeds``.
    :ivar stored: the type in its options, if there is one.
    :ivar types: its keys that there are, as attributes of ``FeedKeys``, with Redis's types.
    """

    listed: bool
    stored: str | None
    types: dict[str, str]

    def kind(self) -> str | None:
        """The type of the feed, by its keys where its options do not say it; None if unknown."""
        ids = self.types.get("ids")
        if self.stored in CHECKED and self.stored != "feed":
            return self.stored
        # thoonk.py and thoonk.js write `feed` over other types.
        if ids in (None, "list"):
            if "idincr" in self.types:
                return "sorted_feed"
            if self.types.keys() & {"published", "claimed", "stalled", "finishes"}:
                return "job"
            if ids is not None:
                return "queue"
        return "feed" if ids == "zset" else self.stored if self.stored in CHECKED else None

    def may_be(self, kind: str | None, wanted: str) -> bool:
        """Whether it may be checked as a feed of a type.

        :param kind: whose rules it would be checked by.
        :param wanted: the type's name, which may be that of a type of one's own.
        """
        likely = self.kind()
        if self.stored not in (None, "feed") and self.stored == wanted:
            return True
        if likely == "queue" and self.stored != "queue":  # any list of ids may be one
            return kind != "feed"
        return not wanted or likely in (None, kind)


class Check:
    """A check of one feed.

    :param redis: where commands go.
    :param reactor: whose time passes between the two looks.
    :param keys: of the feed.
    :param repair: whether faults are repaired.
    :param grace: seconds between the two looks.
    :param looked: called with how many more entries were read, if given.
    """

    def __init__(
        self,
        redis: Connection,
        reactor: IReactorTime,
        keys: FeedKeys,
        repair: bool = False,
        grace: float = GRACE,
        looked: Callable[[int], object] | None = None,
    ) -> None:
        self._redis = redis
        self._reactor = reactor
        self._name = name = decode(keys.name)
        self._keys = keys
        self._repair = repair
        self._grace = grace
        self._looked = looked or (lambda _: None)
        self._pages = Pages(redis, name, self._looked)
        self._again: list[Callable[[bytes], Awaitable[list[Fault]]]] = []

    # -- what can be asked ------------------------------------------------------------------

    async def survey(self) -> Survey:
        """What there is of the feed."""
        listed, stored, *types = await self._call("survey", [encode(self._name)])
        every = dict(zip(self._keys.every_key(), types, strict=True))
        found = {attribute: decode(every[getattr(self._keys, attribute)]) for attribute in _EVERY}
        return Survey(
            bool(listed),
            None if stored is None else decode(stored),
            {attribute: kind for attribute, kind in found.items() if kind != "none"},
        )

    async def feed(self, kind: str | None, wanted: str = "") -> list[Fault]:
        """Check a feed, or what there is of it.

        :param kind: one of the four types, whose keys and rules it has; None if that is not
            known, and just what it says of itself can be checked.
        :param wanted: what its options should say it is; whatever they say if not given.
        :raises FeedDoesNotExist: if there is nothing of it.
        :raises WrongFeedType: if it is of another type than wanted.
        """
        there = await self.survey()
        if not there.listed and not there.types:
            raise FeedDoesNotExist(self._name)
        if not there.may_be(kind, wanted):
            raise WrongFeedType(self._name, f"it is a {there.kind()}, not a {wanted}")
        if not there.listed and "config" not in there.types and self._keys.LISTS_ALL:
            return await self.left(repair=False)  # a peer has deleted it
        faults = self._wrong_keys(kind, there)
        if any(fault.kind == "key type" for fault in faults):
            return faults  # no script could look at such keys
        await self._look("config", [encode(self._name), encode(wanted)])
        if kind == "feed":
            await self._look("expires", [encode(self._name)])
            await self._look_at_ids(kind, await self._of_feed())
        elif kind == "sorted_feed":
            await self._look_at_sorted_feed()
        elif kind == "queue":
            await self._look_at_ids(kind, await self._of_queue())
        elif kind == "job":
            await self._look("schedules", [encode(self._name)])
            await self._look_at_ids(kind, await self._of_job())
        return faults + await self._look_again(self._repair)

    async def left(self, repair: bool = True) -> list[Fault]:
        """Find the keys of a feed that does not exist; each of them is a fault.

        :param repair: whether they may be removed, if faults are repaired.
        :raises FeedDoesNotExist: if there are none.
        """
        await self._look("orphans", [encode(self._name)])
        faults = await self._look_again(repair and self._repair)
        if not faults and not (await self.survey()).types:
            raise FeedDoesNotExist(self._name)
        return faults

    # -- looking ----------------------------------------------------------------------------

    def _call(self, verb: str, args: Sequence[bytes]) -> Deferred[Any]:
        bound = script(f"fsck/{verb}").bind(self._keys, self._name)
        return bound(self._redis, args)

    def _fault(
        self, kind: str, detail: str, id: str | None = None, repaired: bool = False
    ) -> Fault:
        fault = Fault(kind, id, detail, repaired)
        fault.feed = self._name
        return fault

    def _faults(self, reply: list[Any]) -> list[Fault]:
        """Faults as a script gave them: id, mark, kind, detail, repaired, ..."""
        return [
            self._fault(decode(kind), decode(detail), decode(id) if id else None, bool(repaired))
            for id, _, kind, detail, repaired in _rows(reply, 5)
        ]

    async def _look(self, verb: str, args: list[bytes]) -> None:
        """Look for the first time at what is about the feed itself."""
        if first := await self._call(verb, [b"0", b"", *args]):

            async def again(repair: bytes) -> list[Fault]:
                return self._faults(await self._call(verb, [repair, first[1], *args]))

            self._again.append(again)

    async def _look_at_ids(self, verb: str, suspects: dict[bytes, int]) -> None:
        """Look for the first time at ids.

        :param suspects: ids, and how often each was seen in lists.
        """
        marks: dict[bytes, bytes] = {}
        for batch in await self._batches(suspects):
            args = [part for id in batch for part in (id, b"%d" % suspects[id], b"")]
            found = _rows(await self._call(verb, [b"0", *args]), 5)
            marks.update((id, mark) for id, mark, *_ in found)
            self._looked(len(batch))

        async def again(repair: bytes) -> list[Fault]:
            faults: list[Fault] = []
            for batch in await self._batches(marks):
                args = [part for id in batch for part in (id, b"%d" % suspects[id], marks[id])]
                faults += self._faults(await self._call(verb, [repair, *args]))
                self._looked(len(batch))
            return faults

        if marks:
            self._again.append(again)

    async def _look_again(self, repair: bool) -> list[Fault]:
        """Look for the second time, if the first time anything seemed wrong."""
        faults: list[Fault] = []
        if self._again:
            await deferLater(self._reactor, self._grace, lambda: None)
        for again in self._again:
            faults += await again(b"1" if repair else b"0")
        return faults

    async def _batches(self, ids: Iterable[bytes]) -> list[list[bytes]]:
        """So few ids for each script that it does not keep Redis from others for long."""
        keys = (self._keys.ids, self._keys.handoff)
        lists = [key for key in keys if await self._pages.read("TYPE", key) == b"list"]
        length = sum([await self._pages.read("LLEN", key) for key in lists])
        size = max(1, min(MOST, WALK // (1 + length)))
        every = list(ids)
        return [every[i : i + size] for i in range(0, len(every), size)]

    # -- suspects ---------------------------------------------------------------------------

    def _wrong_keys(self, kind: str | None, there: Survey) -> list[Fault]:
        """Keys of another type than the feed's, and such as no feed of its type has."""
        faults = []
        expect, a_feed = (_COMMON, "feed") if kind is None else (CHECKED[kind], kind)
        for attribute, stored in there.types.items():
            key = decode(getattr(self._keys, attribute))
            expected = expect.get(attribute)
            if expected is None:
                faults.append(self._fault("orphan", f"a {a_feed} has no {key}"))
            elif expected not in (_ANY, stored):
                faults.append(self._fault("key type", f"{key} is a {stored}, not a {expected}"))
        return faults

    async def _of_feed(self) -> dict[bytes, int]:
        numbered = await self._pages.all("HSCAN", self._keys.revisions)
        ids = await self._pages.all("ZSCAN", self._keys.ids)
        items = await self._pages.all("HSCAN", self._keys.items)
        return dict.fromkeys((ids ^ items) | (numbered - items), 0)

    async def _look_at_sorted_feed(self) -> None:
        numbered = await self._pages.all("HSCAN", self._keys.revisions)
        seen = await self._pages.count(self._keys.ids)
        items = await self._pages.all("HSCAN", self._keys.items)
        highest = max((id for id in items if _is_number(id)), key=_order, default=b"0")
        await self._look("idincr", [highest])
        suspects = {id: seen[id] for id in numbered - items}
        await self._look_at_ids("sorted_feed", suspects | _mismatched(seen, items))

    async def _of_queue(self) -> dict[bytes, int]:
        keys = self._keys
        marked = await self._pages.all("ZSCAN", keys.seen)
        seen = await self._pages.count(keys.ids, keys.handoff)
        items = await self._pages.all("HSCAN", keys.items)
        suspects = _mismatched(seen, items)
        suspects.update((id, seen[id]) for id in marked - items)
        return suspects

    async def _of_job(self) -> dict[bytes, int]:
        keys = self._keys
        noted: set[bytes] = set()
        for verb, several in {
            "SSCAN": (keys.stalled,),
            "ZSCAN": (keys.claimed, keys.published, keys.delayed, keys.seen, keys.lost),
            "HSCAN": (keys.cancelled, keys.lease, keys.errors),
        }.items():
            for key in several:
                noted |= await self._pages.all(verb, key)
        due = await self._pages.all("ZSCAN", keys.due)
        suspects = due ^ await self._pages.all("HSCAN", keys.results)
        seen = await self._pages.count(keys.ids, keys.handoff)
        items: set[bytes] = set()
        async for page in self._pages.scan("HSCAN", keys.items):
            items.update(page)
            suspects.update(await self._odd_jobs(page, seen))
        suspects |= (noted | seen.keys()) - items
        return {id: seen[id] for id in suspects}

    async def _odd_jobs(self, ids: list[bytes], seen: Counter[bytes]) -> list[bytes]:
        """Those of some jobs that do not look right; jobs move while this reads."""
        keys = self._keys
        if not ids:
            return []
        reads = [
            self._pages.read("ZMSCORE", keys.claimed, *ids),
            self._pages.read("SMISMEMBER", keys.stalled, *ids),
            self._pages.read("ZMSCORE", keys.published, *ids),
            self._pages.read("ZMSCORE", keys.delayed, *ids),
            self._pages.read("HMGET", keys.lease, *ids),
            self._pages.read("HMGET", keys.cancelled, *ids),
        ]
        columns = await gatherResults(reads, consumeErrors=True).addErrback(first_failure)
        return [
            id
            for id, *columns_of_it in zip(ids, *columns, strict=True)
            if not _looks_right(seen[id], *columns_of_it)
        ]


def _looks_right(
    listed: int,
    claim: bytes | None,
    stalled: int,
    put: bytes | None,
    later: bytes | None,
    lease: bytes | None,
    cancels: bytes | None,
) -> bool:
    """Whether what was read of a job is of one state; what is not is looked at by the script."""
    if listed + (claim is not None) + stalled != 1 or not _is_count(cancels or b"0"):
        return False
    if claim is not None:
        fits = lease is None or claim in lease.split(b" ")
        return put is not None and later is None and fits
    fits = (put is None) == (later is None) if stalled else put is not None and later is None
    return fits and lease is None


def _mismatched(seen: Counter[bytes], items: set[bytes]) -> dict[bytes, int]:
    """Ids that are in a list without an item, the other way round, or more than once."""
    suspects = {id: seen[id] for id in seen.keys() ^ items}
    suspects.update((id, times) for id, times in seen.items() if times > 1)
    return suspects


def _is_number(id: bytes) -> bool:
    """Whether Redis could have given that id by counting, and could go on from it."""
    return id.isdigit() and not id.startswith(b"0") and len(id) < 19


def _is_count(value: bytes) -> bool:
    """Whether the scripts take that for a counter."""
    return value.isdigit() and len(value) < 16 and b"%d" % int(value) == value


def _order(id: bytes) -> int:
    return int(id)


def _rows(reply: Sequence[Any], width: int) -> list[Sequence[Any]]:
    return [reply[i : i + width] for i in range(0, len(reply), width)]
