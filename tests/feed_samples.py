"""How the Lua scripts of feeds and sorted feeds are called in their main paths."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha1
from itertools import chain
from types import MappingProxyType
from typing import Final
from unittest.mock import ANY

from tests.sampling import NAME, Sample, conflicts, grows, reads, refuses, shrinks

__all__ = ["CHANGED", "FEED", "FEED_SAMPLES", "FULL", "PLACED", "SORTED", "known"]

FEED: Final = ("HSET", "config", "type", "feed")
FULL: Final = (
    ("HSET", "config", "type", "feed", "max_length", "2"),
    ("ZADD", "ids", "1", "a", "2", "b"),
    ("HSET", "items", "a", "A", "b", "B"),
    ("SET", "publishes", "2"),
)
SORTED: Final = (
    ("HSET", "config", "type", "sorted_feed"),
    ("RPUSH", "ids", "1", "2", "3"),
    ("HSET", "items", "1", "A", "2", "B", "3", "C"),
    ("SET", "publishes", "3"),
    ("SET", "idincr", "3"),
)
#: The last two changes of each.
CHANGED: Final = (
    ("HSET", "revision", "epoch", "5", "revision", "7", "digest", "99"),
    ("XADD", "history", "6-0", "e", "6 5 88 1 publish\0\0a\0A"),
    ("XADD", "history", "7-0", "e", "7 5 99 2 publish\0\0b\0B"),
    ("HSET", "revisions", "a", "6", "b", "7"),
)
PLACED: Final = (
    ("HSET", "revision", "epoch", "5", "revision", "7", "digest", "99"),
    ("XADD", "history", "6-0", "e", "6 5 88 3 publish\0:end\x003\0C"),
    ("XADD", "history", "7-0", "e", "7 5 99 4 edit\0\x002\0B"),
    ("HSET", "revisions", "2", "7", "3", "6"),
)
#: Of FULL: item a is over since long ago, b will be.
OVER: Final = (("ZADD", "expires", "5", "1\0a"), ("ZADD", "expiring", "5", NAME))
LATER: Final = (("ZADD", "expires", "9e12", "2\0b"), ("ZADD", "expiring", "9e12", NAME))
#: Far too many that are gone.
MANY: Final = ("ZADD", "expires", *chain.from_iterable((f"{n}", f"1\0{n}") for n in range(200)))
NAME_ARG: Final = NAME.encode()
FOR: Final = (NAME_ARG, b"60000")
SIXTH, SEVENTH = (each[4].encode() for each in CHANGED[1:3])
#: What is believed of items: what they are, or not any more.
AS_IT_IS: Final = {"a": "A", "b": "B"}
OLDER: Final = {"a": "older"}


def known(
    *ids: str,
    epoch: str = "5",
    at: int = 7,
    rebirth: str = "",
    publishes: int = 2,
    doubts: Mapping[str, str] = MappingProxyType({}),
) -> tuple[bytes, ...]:
    """What ``live/adopt`` is told: what a feed is known to be."""
    pairs = [(id.encode(), sha1(item.encode()).hexdigest().encode()) for id, item in doubts.items()]
    counted = b"%d" % publishes
    head = (epoch.encode(), b"%d" % at, rebirth.encode(), counted, counted)
    return (*head, b"%d" % len(pairs), *chain.from_iterable(pairs), *(id.encode() for id in ids))


def looks(
    epoch: str = "",
    since: str = "",
    digest: str = "",
    most: int = 9,
    page: int = 0,
    behind: str = "",
    proof: int = 0,
) -> tuple[bytes, ...]:
    """What ``live/read`` is asked."""
    numbers = (b"%d" % most, b"%d" % page, behind.encode(), b"%d" % proof)
    return (epoch.encode(), since.encode(), digest.encode(), *numbers)


def looks_since(
    *events: bytes,
    lost: bytes = b"",
    epoch: str = "5",
    since: str,
    digest: str = "",
    most: int = 9,
) -> Sample:
    """A look at what has changed since a position."""
    state = [b"zset", b"feed", b"5", b"7", b"99", b"2", 2, 2]
    return reads(
        *FULL,
        *CHANGED,
        args=looks(epoch, since, digest, most),
        reply=[*state, lost, list(events), None, b""],
    )


FEED_SAMPLES: Final[dict[str, tuple[Sample, ...]]] = {
    "feed/expire": (
        shrinks(*FULL, *OVER, args=(NAME_ARG, b"9"), reply=[1, -1]),
        shrinks(*FULL, *CHANGED, *OVER, *LATER, args=(NAME_ARG, b"1"), reply=[1, ANY]),
        # Published anew, retracted, unreadable.
        shrinks(
            *FULL,
            ("ZADD", "expires", "5", "0.5\0a", "5", "7\0z", "5", "q"),
            args=(NAME_ARG, b"9"),
            reply=[0, -1],
        ),
        shrinks(*OVER, args=(NAME_ARG, b"9"), reply=[0, -1], whole=False),
        shrinks(*SORTED, *OVER, args=(NAME_ARG, b"9"), reply=[0, -1], whole=False),
        shrinks(*FULL, *LATER, ("ZADD", "expiring", "5", NAME), args=(NAME_ARG, b"9"), reply=ANY),
        reads(*FULL, args=(NAME_ARG, b"9"), reply=[0, -1]),
    ),
    "feed/expiring": (
        reads(args=(b"9",), reply=[-1]),
        reads(
            ("ZADD", "expiring", "5", "a", "6", "b", "9e12", "c"), args=(b"1",), reply=[ANY, b"a"]
        ),
    ),
    "feed/get_all": (
        reads(*FULL[:2], ("HSET", "items", "a", "A"), reply=[b"a", b"A", b"b", None]),
    ),
    "feed/publish": (
        grows(*FULL, args=(b"c", b"C"), reply=2),
        grows(*FULL, args=(b"a", b"A2")),
        grows(("HSET", "config", "type", "feed", "clock", "s"), args=(b"a", b"A")),
        grows(*FULL, *CHANGED, ("ZADD", "ids", "9e12", "z"), args=(b"c", b"C"), reply=10),
        grows(FEED, ("HSET", "config", "history", "0"), *CHANGED, args=(b"a", b"A"), reply=8),
        grows(*FULL, *CHANGED, args=(b"a", b"A2", b"6"), reply=8),
        grows(*FULL, *CHANGED, args=(b"a", b"A2", b"7"), reply=8),
        grows(FEED, *CHANGED, args=(b"c", b"C", b"0"), reply=8),
        conflicts(*FULL, *CHANGED, args=(b"a", b"A2", b"5"), found=(b"7", b"6", b"A")),
        conflicts(*FULL, *CHANGED, args=(b"c", b"C", b"6"), found=(b"7", b"0", None)),
        conflicts(*FULL, *CHANGED[:1], args=(b"a", b"A2", b"0"), found=(b"7", b"7", b"A")),
        refuses("FEEDNOTFOUND", args=(b"a", b"A")),
    ),
    "feed/publish_for": (
        grows(*FULL, *LATER, args=(*FOR, b"c", b"C"), reply=2),
        grows(*FULL, *OVER, args=(*FOR, b"a", b"A2")),
        grows(*FULL, *CHANGED, args=(*FOR, b"a", b"A2", b"6"), reply=8),
        grows(FEED, MANY, args=(*FOR, b"a", b"A")),
        conflicts(*FULL, *CHANGED, args=(*FOR, b"a", b"A2", b"5"), found=(b"7", b"6", b"A")),
        refuses("FEEDNOTFOUND", args=(*FOR, b"a", b"A")),
    ),
    "feed/retract": (
        shrinks(*FULL, args=(b"a",)),
        shrinks(*FULL, *CHANGED, args=(b"a", b"6"), reply=8),
        shrinks(*FULL, *CHANGED, args=(b"a", b"7"), reply=8),
        reads(*FULL, args=(b"z",), reply=0),
        conflicts(*FULL, *CHANGED, args=(b"a", b"5"), found=(b"7", b"6", b"A")),
        conflicts(*FULL, *CHANGED, args=(b"z", b"6"), found=(b"7", b"0", None)),
        refuses("FEEDNOTFOUND", args=(b"a",)),
    ),
    "live/adopt": (
        # Nobody did anything that is not known, or will be when the events since are read.
        reads(*FULL, *CHANGED, args=known("a", "b"), reply=[b"5", b"7", 0, [], ANY], whole=False),
        reads(
            *SORTED, *PLACED, args=known("1", "2", "3"), reply=[b"5", b"7", 0, [], ANY], whole=False
        ),
        reads(
            *FULL, *CHANGED, args=known("a", "b", doubts=AS_IT_IS), reply=[b"5", b"7", 0, [], ANY]
        ),
        reads(*FULL, *CHANGED, args=known("a", at=5, doubts=OLDER), reply=[b"5", b"7", 0, [], ANY]),
        reads(
            *(*SORTED, *PLACED),
            args=known("1", "2", at=5, doubts={"2": "older"}),
            reply=[b"5", b"7", 0, [], ANY],
        ),
        # Others did: publish, retract, edit, all of it; publish, move and retract, edit.
        grows(*FULL, *CHANGED, args=known("a"), reply=[b"5", b"8", 1, ANY, ANY]),
        grows(
            *FULL,
            *CHANGED,
            args=known("z", "a", "b", doubts=AS_IT_IS),
            reply=[b"5", b"8", 1, ANY, ANY],
        ),
        grows(
            *FULL,
            *CHANGED,
            args=known("b", "a", doubts={"b": "x"}),
            reply=[b"5", b"8", 1, ANY, ANY],
        ),
        grows(*FULL, args=known(epoch="", at=0), reply=[ANY, b"2", 2, ANY, ANY]),
        grows(*SORTED, *PLACED, args=known("1", "2"), reply=[b"5", b"8", 1, ANY, ANY]),
        grows(
            *(*SORTED, *PLACED),
            args=known("3", "1", "2", "9", doubts={"1": "A"}),
            reply=[b"5", b"9", 2, ANY, ANY],
        ),
        grows(
            *(*SORTED, *PLACED),
            args=known("1", "2", "3", doubts={"2": "x"}),
            reply=[b"5", b"8", 1, ANY, ANY],
        ),
        # What was done since is not known.
        *(
            reads(
                *FULL, *CHANGED, args=known("a", **of), reply=[b"5", b"7", -2, [], ANY], whole=False
            )
            for of in ({"at": 1}, {"at": 8}, {"epoch": "4"}, {"epoch": "", "at": 5})
        ),
        reads(args=known(epoch="", at=0), reply=[b"", b"0", -2, [], ANY], whole=False),
        # It is another feed; the last one is not.
        grows(*FULL, *CHANGED, args=known("a", rebirth="gone"), reply=[ANY, b"0", -1, [], ANY]),
        grows(*FULL, *CHANGED, args=known("x", "y", rebirth="cut"), reply=[ANY, b"0", -1, [], ANY]),
        grows(
            *(*FULL, *CHANGED),
            args=known("a", rebirth="cut", publishes=1),
            reply=[b"5", b"8", 1, ANY, ANY],
        ),
    ),
    "live/forget": (
        shrinks(*FULL, *CHANGED, args=(b"5",)),
        reads(*FULL, *CHANGED, args=(b"6",), reply=0),
        reads(args=(b"5",), reply=0),
    ),
    "live/read": (
        reads(
            args=looks("", "0", page=9, proof=1),
            reply=[b"none", b"", b"", b"0", b"0", b"0", 0, 0, b"", [], [], b""],
        ),
        *(
            reads(
                *(*FULL, *CHANGED),
                args=looks(page=page, behind=behind, proof=1),
                reply=[b"zset", b"feed", b"5", b"7", b"99", b"2", 2, 2, b"", [], found, b""],
            )
            for page, behind, found in (
                (9, "", [b"a", b"A", b"b", b"B"]),
                (1, "", [b"a", b"A"]),
                (1, "a", [b"b", b"B"]),
                (1, "b", []),
                (1, "z", None),
            )
        ),
        *(
            reads(
                *(*SORTED, *PLACED),
                args=looks(page=page, behind=behind, proof=1),
                reply=[
                    *(b"list", b"sorted_feed", b"5", b"7", b"99", b"3", 3, 3, b"", [], found),
                    sha1(b"1\0002\0003").hexdigest().encode(),
                ],
            )
            for page, behind, found in (
                (2, "", [b"1", b"A", b"2", b"B"]),
                (2, "2", [b"3", b"C"]),
                (2, "9", None),
            )
        ),
        reads(
            *(*FULL, *CHANGED, ("ZADD", "ids", "9e12", "no item")),
            args=looks(proof=2),
            reply=[
                *(b"zset", b"feed", b"5", b"7", b"99", b"2", 3, 2, b"", [], None),
                sha1(b"a\0A\0b\0B\0no item\0").hexdigest().encode(),
            ],
        ),
        reads(
            *(*SORTED, *PLACED),
            args=looks(proof=2),
            reply=[
                *(b"list", b"sorted_feed", b"5", b"7", b"99", b"3", 3, 3, b"", [], None),
                sha1(b"1\0A\0002\0B\0003\0C").hexdigest().encode(),
            ],
        ),
        looks_since(since="7", digest="99"),
        looks_since(since="7"),
        looks_since(SEVENTH, since="6", digest="88"),
        looks_since(SIXTH, SEVENTH, since="5", epoch="*"),
        looks_since(SIXTH, since="5", most=1),
        looks_since(SIXTH, SEVENTH, since="5", digest="77", lost=b"unproved"),
        looks_since(since="4", lost=b"trimmed"),
        looks_since(since="4", digest="66", lost=b"trimmed"),
        looks_since(since="0", epoch="", lost=b"trimmed"),
        looks_since(since="7", digest="98", lost=b"digest"),
        looks_since(since="6", digest="87", lost=b"digest"),
        looks_since(since="8", lost=b"future"),
        looks_since(since="6", epoch="4", lost=b"epoch"),
        looks_since(since="6", epoch="", lost=b"epoch"),
    ),
    "sorted_feed/edit": (
        grows(*SORTED, args=(b"2", b"B2")),
        grows(*SORTED, *PLACED, args=(b"3", b"C2", b"6"), reply=8),
        conflicts(*SORTED, *PLACED, args=(b"3", b"C2", b"5"), found=(b"7", b"6", b"C")),
        refuses("FEEDNOTFOUND", args=(b"2", b"B2")),
        refuses("ITEMNOTFOUND", *SORTED, args=(b"9", b"B2")),
    ),
    "sorted_feed/get_all": (
        reads(*SORTED[:2], ("HSET", "items", "1", "A"), reply=[b"1", b"A", b"2", None, b"3", None]),
    ),
    "sorted_feed/insert": (
        grows(*SORTED, args=(b"BEFORE", b"2", b"D"), reply=[b"4", 1]),
        grows(*SORTED, args=(b"AFTER", b"2", b"D"), reply=[b"4", 1]),
        grows(*SORTED, *PLACED, args=(b"AFTER", b"3", b"D", b"6"), reply=[b"4", 8]),
        conflicts(*SORTED, *PLACED, args=(b"AFTER", b"3", b"D", b"5"), found=(b"7", b"6", b"C")),
        refuses("FEEDNOTFOUND", args=(b"AFTER", b"2", b"D")),
        refuses("ITEMNOTFOUND", *SORTED, args=(b"AFTER", b"9", b"D")),
    ),
    "sorted_feed/move": (
        shrinks(*SORTED, args=(b"2", b"begin", b"")),
        shrinks(*SORTED, args=(b"2", b"end", b"")),
        shrinks(*SORTED, args=(b"2", b"BEFORE", b"1")),
        shrinks(*SORTED, args=(b"2", b"AFTER", b"3")),
        shrinks(*SORTED, *PLACED, args=(b"3", b"begin", b"", b"7"), reply=8),
        conflicts(*SORTED, *PLACED, args=(b"3", b"begin", b"", b"5"), found=(b"7", b"6", b"C")),
        refuses("FEEDNOTFOUND", args=(b"2", b"end", b"")),
        refuses("ITEMNOTFOUND", *SORTED, args=(b"9", b"end", b"")),
        refuses("ITEMNOTFOUND", *SORTED, args=(b"2", b"AFTER", b"9")),
    ),
    "sorted_feed/publish": (
        grows(*SORTED, args=(b":end", b"D"), reply=[b"4", 1]),
        grows(*SORTED, args=(b"begin:", b"D"), reply=[b"4", 1]),
        grows(SORTED[0], ("HSET", "items", "1", "A"), args=(b":end", b"B"), reply=[b"2", 1]),
        grows(*SORTED, *PLACED, args=(b":end", b"D", b"7"), reply=[b"4", 8]),
        conflicts(*SORTED, *PLACED, args=(b":end", b"D", b"6"), found=(b"7", b"7")),
        conflicts(*SORTED, *PLACED, args=(b":end", b"D", b"0"), found=(b"7", b"7")),
        refuses("FEEDNOTFOUND", args=(b":end", b"D")),
    ),
    "sorted_feed/retract": (
        shrinks(*SORTED, args=(b"2",)),
        shrinks(*SORTED, *PLACED, args=(b"3", b"6"), reply=8),
        reads(*SORTED, args=(b"9",), reply=0),
        conflicts(*SORTED, *PLACED, args=(b"3", b"5"), found=(b"7", b"6", b"C")),
        refuses("FEEDNOTFOUND", args=(b"2",)),
    ),
}
