"""How each Lua script is called in its main paths, for the tests that hold for every script.

A script without an entry here fails ``test_scripts.SampleTests``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from txthoonk.keys import FeedKeys

__all__ = ["KEYS", "NAME", "SAMPLES", "Sample"]

#: The feed they are called for; its name is no pattern, whatever it looks like.
NAME: Final = "a:{b}*"
KEYS: Final = FeedKeys(NAME.encode())

Command = tuple[str | bytes, ...]


@dataclass(frozen=True)
class Sample:
    """One path through a script.

    :ivar before: commands that prepare its keys; their second word is an attribute of ``FeedKeys``.
    :ivar args: of the script, behind the channels.
    :ivar reply: what it answers.
    :ivar error: the code it refuses with, instead.
    :ivar effect: ``grows``: it needs memory; ``shrinks``: it must work without, though it may
        write; ``reads``: it changes nothing.
    :ivar whole: whether it looks at all of its keys; where there is nothing to do it need not.
    """

    before: tuple[Command, ...] = ()
    args: tuple[bytes, ...] = ()
    reply: Any = None
    effect: str = "reads"
    whole: bool = True
    error: str | None = None


def grows(*before: Command, args: tuple[bytes, ...], reply: Any = 1) -> Sample:
    return Sample(before, args, reply, "grows")


def shrinks(
    *before: Command, args: tuple[bytes, ...], reply: Any = 1, whole: bool = True
) -> Sample:
    return Sample(before, args, reply, "shrinks", whole)


def reads(*before: Command, args: tuple[bytes, ...] = (), reply: Any, whole: bool = True) -> Sample:
    return Sample(before, args, reply, "reads", whole)


def refuses(error: str, *before: Command, args: tuple[bytes, ...]) -> Sample:
    return Sample(before, args, error=error)


LISTED: Final = ("SADD", "feeds", NAME)
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
QUEUE: Final = (
    ("HSET", "config", "type", "queue"),
    ("RPUSH", "ids", "b", "a"),
    ("HSET", "items", "a", "A", "b", "B", "c", "C"),
    ("SET", "publishes", "3"),
)
JOBS: Final = (
    ("HSET", "config", "type", "job"),
    ("RPUSH", "ids", "b", "a"),
    ("HSET", "items", "a", "A", "b", "B", "c", "C", "s", "S", "x", "X"),
    ("ZADD", "published", "1", "a", "2", "b", "3", "c", "4", "x"),
    ("ZADD", "claimed", "5", "c"),
    ("HSET", "cancelled", "a", "2", "c", "1"),
    ("SADD", "stalled", "s"),
    ("SET", "publishes", "5"),
    ("SET", "finishes", "7"),
)
#: ``x`` was handed to a get that never took it.
HANDED: Final = (("RPUSH", "handoff", "x"), ("ZADD", "seen", "1", "x"))

WHO: Final = (NAME.encode(), b"instance")

SAMPLES: Final[dict[str, tuple[Sample, ...]]] = {
    "feed/get_all": (
        reads(*FULL[:2], ("HSET", "items", "a", "A"), reply=[b"a", b"A", b"b", None]),
    ),
    "feed/publish": (
        grows(*FULL, args=(b"c", b"C")),
        grows(*FULL, args=(b"a", b"A2"), reply=0),
        grows(("HSET", "config", "type", "feed", "clock", "s"), args=(b"a", b"A")),
        refuses("FEEDNOTFOUND", args=(b"a", b"A")),
    ),
    "feed/retract": (
        shrinks(*FULL, args=(b"a",)),
        reads(*FULL, args=(b"z",), reply=0),
        refuses("FEEDNOTFOUND", args=(b"a",)),
    ),
    "handoff/hand_back": (
        shrinks(("RPUSH", "ids", "a"), *HANDED, args=(b"x",)),
        reads(("RPUSH", "ids", "a"), *HANDED, args=(b"z",), reply=0),
    ),
    "handoff/recover": (
        shrinks(("RPUSH", "ids", "a"), HANDED[0], args=(b"5000", b"500"), reply=0),
        shrinks(("RPUSH", "ids", "a"), *HANDED, args=(b"5000", b"500")),
    ),
    "instance/create": (
        grows(*HANDED, ("ZADD", "lost", "1", "x"), args=(*WHO, b"type", b"feed")),
        refuses("FEEDEXISTS", LISTED, FEED, args=(*WHO, b"type", b"job")),
    ),
    "instance/delete": (
        shrinks(LISTED, *JOBS, *HANDED, args=WHO),
        refuses("FEEDNOTFOUND", args=WHO),
    ),
    "instance/ensure": (
        grows(*HANDED, args=(*WHO, b"feed", b"max_length", b"5")),
        grows(LISTED, FEED, args=(*WHO, b"feed", b"title", b"T", b"max_length", b""), reply=0),
        shrinks(LISTED, *FULL, args=(*WHO, b"feed", b"max_length", b""), reply=0),
        reads(LISTED, FEED, args=(*WHO, b"feed"), reply=0),
        reads(LISTED, FEED, ("RPUSH", "ids", "a"), args=(*WHO, b"job"), reply=0),
        reads(LISTED, FEED, ("SET", "finishes", "1"), args=(*WHO, b"job"), reply=0),
        reads(LISTED, FEED, ("SET", "idincr", "1"), args=(*WHO, b"sorted_feed"), reply=0),
        refuses("WRONGFEEDTYPE", LISTED, *FULL, args=(*WHO, b"job")),
        refuses("WRONGFEEDTYPE", LISTED, FEED, args=(*WHO, b"job")),
        refuses("WRONGFEEDTYPE", LISTED, FEED, ("RPUSH", "ids", "a"), args=(*WHO, b"feed")),
    ),
    "instance/get_config": (
        reads(LISTED, FEED, args=WHO[:1], reply=[b"type", b"feed"]),
        refuses("FEEDNOTFOUND", args=WHO[:1]),
    ),
    "instance/set_config": (
        grows(LISTED, FEED, args=(*WHO, b"title", b"T", b"max_length", b"")),
        shrinks(LISTED, *FULL, args=(*WHO, b"max_length", b"")),
        refuses("FEEDNOTFOUND", args=(*WHO, b"title", b"T")),
        refuses("WRONGFEEDTYPE", LISTED, FEED, args=(*WHO, b"type", b"job")),
    ),
    "job/cancel": (
        shrinks(*JOBS, args=(b"c",)),
        refuses("JOBNOTCLAIMED", *JOBS, args=(b"a",)),
    ),
    "job/claim": (
        shrinks(*JOBS, args=(b"1", b""), reply=[b"a", b"A", 2]),
        shrinks(*JOBS, *HANDED, args=(b"2", b"x"), reply=[b"x", b"X", 0, b"a", b"A", 2]),
        shrinks(*JOBS[:1], ("RPUSH", "ids", "c"), *JOBS[2:], args=(b"9", b""), reply=[]),
        reads(JOBS[0], args=(b"1", b""), reply=[], whole=False),
        refuses("FEEDNOTFOUND", args=(b"1", b"")),
    ),
    "job/finish": (
        shrinks(*JOBS, args=(b"c", b"result")),
        shrinks(*JOBS, args=(b"c",)),
        refuses("JOBNOTCLAIMED", *JOBS, args=(b"a",)),
    ),
    "job/put": (
        grows(*JOBS, args=(b"LPUSH", b"d", b"D")),
        grows(*JOBS, args=(b"RPUSH", b"d", b"D")),
        reads(*JOBS, args=(b"LPUSH", b"a", b"D"), reply=0, whole=False),
        refuses("FEEDNOTFOUND", args=(b"LPUSH", b"d", b"D")),
    ),
    "job/put_many": (
        grows(*JOBS, args=(b"LPUSH", b"d", b"D", b"e", b"E"), reply=2),
        refuses("FEEDNOTFOUND", args=(b"LPUSH", b"d", b"D")),
    ),
    "job/release": (
        shrinks(*JOBS, args=(b"c",)),
        shrinks(*JOBS, args=(b"a", b"c"), reply=1),
        refuses("JOBNOTCLAIMED", *JOBS, args=(b"a",)),
    ),
    "job/requeue_lost": (
        shrinks(*JOBS, args=(b"1000", b"x"), reply=[0, 1]),
        shrinks(*JOBS, ("ZADD", "lost", "1", "x"), args=(b"1000", b"x"), reply=[1, 0]),
        shrinks(*JOBS, ("ZADD", "lost", "1", "a"), args=(b"1000",), reply=[0, 0], whole=False),
    ),
    "job/retract": (
        *(shrinks(*JOBS, *HANDED, args=(id,)) for id in (b"a", b"c", b"s", b"x")),
        reads(*JOBS, *HANDED, args=(b"z",), reply=0),
    ),
    "job/retry": (
        shrinks(*JOBS, args=(b"s",)),
        refuses("JOBNOTSTALLED", *JOBS, args=(b"a",)),
        refuses("ITEMNOTFOUND", ("SADD", "stalled", "s"), args=(b"s",)),
    ),
    "job/stall": (
        *(shrinks(*JOBS, *HANDED, args=(id,)) for id in (b"a", b"c", b"x")),
        refuses("JOBNOTCLAIMED", *JOBS, args=(b"s",)),
        refuses("ITEMNOTFOUND", *JOBS, args=(b"z",)),
    ),
    "job/stats": (reads(*JOBS, *HANDED, reply=[2, 1, 1, 1, 5, 7]),),
    "queue/give_back": (shrinks(*QUEUE, args=(b"d", b"D", b"e", b"E"), reply=2),),
    "queue/put": (
        grows(*QUEUE, args=(b"LPUSH", b"d", b"D")),
        grows(*QUEUE, args=(b"RPUSH", b"d", b"D")),
        refuses("FEEDNOTFOUND", args=(b"LPUSH", b"d", b"D")),
    ),
    "queue/take": (
        shrinks(*QUEUE, args=(b"1", b""), reply=[b"a", b"A"]),
        shrinks(
            *QUEUE,
            ("RPUSH", "handoff", "c"),
            ("ZADD", "seen", "1", "c"),
            args=(b"2", b"c"),
            reply=[b"c", b"C", b"a", b"A"],
        ),
        refuses("FEEDNOTFOUND", args=(b"1", b"")),
    ),
    "sorted_feed/edit": (
        grows(*SORTED, args=(b"2", b"B2")),
        refuses("FEEDNOTFOUND", args=(b"2", b"B2")),
        refuses("ITEMNOTFOUND", *SORTED, args=(b"9", b"B2")),
    ),
    "sorted_feed/get_all": (
        reads(*SORTED[:2], ("HSET", "items", "1", "A"), reply=[b"1", b"A", b"2", None, b"3", None]),
    ),
    "sorted_feed/insert": (
        grows(*SORTED, args=(b"BEFORE", b"2", b"D"), reply=b"4"),
        grows(*SORTED, args=(b"AFTER", b"2", b"D"), reply=b"4"),
        refuses("FEEDNOTFOUND", args=(b"AFTER", b"2", b"D")),
        refuses("ITEMNOTFOUND", *SORTED, args=(b"AFTER", b"9", b"D")),
    ),
    "sorted_feed/move": (
        shrinks(*SORTED, args=(b"2", b"begin", b"")),
        shrinks(*SORTED, args=(b"2", b"end", b"")),
        shrinks(*SORTED, args=(b"2", b"BEFORE", b"1")),
        shrinks(*SORTED, args=(b"2", b"AFTER", b"3")),
        refuses("FEEDNOTFOUND", args=(b"2", b"end", b"")),
        refuses("ITEMNOTFOUND", *SORTED, args=(b"9", b"end", b"")),
        refuses("ITEMNOTFOUND", *SORTED, args=(b"2", b"AFTER", b"9")),
    ),
    "sorted_feed/publish": (
        grows(*SORTED, args=(b":end", b"D"), reply=b"4"),
        grows(*SORTED, args=(b"begin:", b"D"), reply=b"4"),
        grows(SORTED[0], ("HSET", "items", "1", "A"), args=(b":end", b"B"), reply=b"2"),
        refuses("FEEDNOTFOUND", args=(b":end", b"D")),
    ),
    "sorted_feed/retract": (
        shrinks(*SORTED, args=(b"2",)),
        reads(*SORTED, args=(b"9",), reply=0),
        refuses("FEEDNOTFOUND", args=(b"2",)),
    ),
}
