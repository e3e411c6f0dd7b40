"""Samples of the scripts of schedules and of recurring tasks."""

from __future__ import annotations

from typing import Final
from unittest.mock import ANY

from tests.sampling import KEYS, NAME, Sample, grows, reads, refuses, shrinks

__all__ = ["SCHEDULE_SAMPLES"]

FEED: Final = NAME.encode()
JOB: Final = ("HSET", "config", "type", "job")

#: A rule, and schedules by it: ``s`` is due since long ago, ``p`` is paused.
RULE: Final = b"every 60000"
DEFINITION: Final = RULE + b"\0latest\x0010000\0LPUSH\0item"
SET: Final = (
    JOB,
    ("HSET", "schedules", "s", DEFINITION, "p", DEFINITION),
    ("ZADD", "ticks", "5000", "s"),
    ("ZADD", "scheduled", "5000", NAME),
)
FAR: Final = 9_000_000_000_000
AHEAD: Final = (
    ("ZADD", "ticks", f"{FAR}", "s"),
    ("ZADD", "scheduled", f"{FAR}", NAME),
)
OTHER: Final = b"every 5\0skip\x000\0RPUSH\0other"
DUE: Final = (b"s", b"5000", RULE, b"latest", b"10000")
TICK: Final = (FEED, b"s", RULE, b"5000", b"5000", b"65000")

LEFT: Final = b"no schedule q, left in %b" % KEYS.ticks
LATE: Final = b"in %b it is due too late, or never" % KEYS.scheduled
BROKEN: Final = b"cannot be read: q"

CONFIG: Final = ("HSET", "recurring_config", "timeout", "1000")
TASKS: Final = ("ZADD", "recurring", "5", "task", "9e12", "later")

SCHEDULE_SAMPLES: Final[dict[str, tuple[Sample, ...]]] = {
    "fsck/schedules": (
        reads(*SET, args=(b"1", b"", FEED), reply=[]),
        shrinks(
            *SET,
            ("ZADD", "ticks", "7", "q"),
            args=(b"1", b"leftover " + LEFT, FEED),
            reply=[b"", b"leftover " + LEFT, b"leftover", LEFT, 1],
        ),
        shrinks(
            *SET,
            ("ZADD", "scheduled", "5001", NAME),
            args=(b"1", b"unscheduled " + LATE, FEED),
            reply=[b"", b"unscheduled " + LATE, b"unscheduled", LATE, 1],
        ),
        reads(
            *SET,
            ("HSET", "schedules", "q", "sometimes\0latest\x000\0LPUSH\0item"),
            args=(b"1", b"", FEED),
            reply=[b"", b"schedule " + BROKEN, b"schedule", BROKEN, 0],
        ),
    ),
    "recurring/add": (
        grows(args=(b"task", b"7"), reply=[1, b"7"]),
        reads(TASKS, args=(b"task", b"7"), reply=[0, b"5"]),
    ),
    "recurring/create": (
        grows(args=(FEED, b"timeout", b"1000")),
        grows(("SADD", "recurrings", NAME), CONFIG, args=(FEED, b"timeout", b"5"), reply=0),
    ),
    "recurring/get": (
        grows(CONFIG, TASKS, args=(b"",), reply=[b"task", b"5"]),
        reads(CONFIG, TASKS, args=(b"4",), reply=[b"", b"5"]),
        reads(CONFIG, args=(b"",), reply=[]),
        refuses("FEEDNOTFOUND", TASKS, args=(b"",)),
    ),
    "recurring/update": (
        grows(TASKS, args=(b"task", b"new"), reply=b"5"),
        grows(TASKS, args=(b"task", b"task"), reply=b"5"),
        refuses("ITEMNOTFOUND", TASKS, args=(b"tasks", b"new")),
    ),
    "schedule/look": (
        reads(*SET, args=(FEED, b"9"), reply=[ANY, -1, *DUE]),
        reads(*SET, args=(FEED, b"0"), reply=[ANY, -1]),
        shrinks(JOB, *SET[3:], args=(FEED, b"9"), reply=[ANY, -1]),
        shrinks(*SET[:3], args=(FEED, b"9"), reply=[ANY, -1, *DUE]),
        shrinks(*SET[1:], args=(FEED, b"9"), reply=[ANY, -1]),
    ),
    "schedule/read": (
        reads(*SET, reply=[b"p", b"", DEFINITION, b"s", b"5000", DEFINITION]),
        reads(*SET, args=(b"s", b"no"), reply=[b"s", b"5000", DEFINITION]),
    ),
    "schedule/remove": (
        shrinks(*SET, args=(FEED, b"s", b"0")),
        shrinks(*SET, ("ZADD", "ticks", "7", "p"), args=(FEED, b"s", b"1")),
        shrinks(*SET, args=(FEED, b"p", b"1"), reply=0),
        shrinks(*SET, args=(FEED, b"no", b"0"), reply=0),
        refuses("ITEMNOTFOUND", *SET, args=(FEED, b"no", b"1")),
    ),
    "schedule/resume": (
        grows(*SET, args=(FEED, b"p", RULE, b"%d" % FAR), reply=[1, FAR]),
        reads(*SET, args=(FEED, b"p", RULE, b"0"), reply=[0, ANY, RULE]),
        reads(*SET, args=(FEED, b"p", b"every 5", b"%d" % FAR), reply=[0, ANY, RULE]),
        reads(*SET, args=(FEED, b"s", RULE, b"%d" % FAR), reply=[1, 5000]),
        refuses("ITEMNOTFOUND", *SET, args=(FEED, b"no", RULE, b"%d" % FAR)),
    ),
    "schedule/set": (
        grows(*SET, args=(FEED, b"n", RULE, b"%d" % FAR, DEFINITION), reply=[1, FAR]),
        grows(*SET, args=(FEED, b"s", b"every 5", b"%d" % FAR, OTHER), reply=[1, FAR]),
        grows(*SET, args=(FEED, b"s", RULE, b"0", DEFINITION), reply=[1, 5000]),
        grows(*SET, args=(FEED, b"p", RULE, b"0", DEFINITION), reply=[1, 0]),
        reads(*SET, args=(FEED, b"n", RULE, b"0", DEFINITION), reply=[0, ANY]),
        reads(*SET, args=(FEED, b"s", b"every 5", b"1", OTHER), reply=[0, ANY]),
        refuses("FEEDNOTFOUND", args=(FEED, b"n", RULE, b"0", DEFINITION)),
    ),
    "schedule/soonest": (
        reads(reply=[-1], args=(b"9",)),
        reads(SET[3], reply=[-1, FEED], args=(b"9",)),
    ),
    "schedule/tick": (
        grows(*SET, args=TICK),
        grows(*SET, ("HSET", "config", "announce", "0"), args=TICK),
        grows(*SET, args=(*TICK[:4], b"0", b"65000"), reply=0),
        grows(*SET, ("HSET", "items", "s@5000", "item"), args=TICK, reply=0),
        reads(*SET, args=(*TICK[:3], b"4000", b"4000", b"65000"), reply=-1, whole=False),
        reads(*SET, args=(*TICK[:2], b"every 5", *TICK[3:]), reply=-1, whole=False),
        reads(
            *SET[:3],
            *AHEAD,
            args=(*TICK[:3], b"%d" % FAR, b"5000", b"%d" % (FAR + 1)),
            reply=-2,
            whole=False,
        ),
        reads(*SET, args=(*TICK[:5], b"5000"), reply=-2, whole=False),
        refuses("FEEDNOTFOUND", *SET[1:], args=TICK),
    ),
}
