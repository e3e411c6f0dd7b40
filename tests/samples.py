"""How each Lua script is called in its main paths, for the tests that hold for every script.

A script without an entry here fails ``test_scripts.SampleTests``.
"""

from __future__ import annotations

from typing import Final

from tests.bridge_samples import BRIDGE_SAMPLES
from tests.commit_samples import COMMIT_SAMPLES
from tests.feed_samples import FEED, FEED_SAMPLES, FULL, LATER, OVER, SORTED
from tests.sampling import KEYS, NAME, Sample, grows, reads, refuses, shrinks
from tests.schedule_samples import SCHEDULE_SAMPLES

__all__ = ["KEYS", "NAME", "SAMPLES", "Sample"]

LISTED: Final = ("SADD", "feeds", NAME)
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

#: ``c`` is claimed by a lease that is over, or by one that is not.
LEASED: Final = (("HSET", "lease", "c", "tok 5 6"),)
HELD: Final = (("HSET", "lease", "c", "tok 5 9000000000000"),)
#: ``d`` is due.
DELAYED: Final = (
    ("HSET", "items", "d", "D"),
    ("SADD", "stalled", "d"),
    ("ZADD", "published", "5", "d"),
    ("ZADD", "delayed", "6", "d"),
)
#: A result whose time is over.
KEPT: Final = (("HSET", "results", "old", "1:Q-"), ("ZADD", "due", "1", "old"))
#: One whose time is not.
STILL_KEPT: Final = (("HSET", "results", "old", "1:Q-"), ("ZADD", "due", "9000000000000", "old"))
#: What a claim says of the options where there are none.
UNSET: Final = (b"", b"", b"")
NOT: Final = b"JOBNOTCLAIMED"

WHO: Final = (NAME.encode(), b"instance")

#: What fsck says of a feed that is not in ``feeds``, of a revision without an item, and of too low
#: a last id.
UNLISTED_IS: Final = (b"unlisted", b"its name is not in feeds")
UNLISTED: Final = b" ".join(UNLISTED_IS)
UNEXPIRED: Final = (b"unscheduled", b"in %b it is due too late, or never" % KEYS.expiring)
LEFT: Final = b"in %b, without an item" % KEYS.revisions
BELOW: Final = b"%b is 2, below the id 3" % KEYS.idincr


SAMPLES: Final[dict[str, tuple[Sample, ...]]] = {
    "fsck/config": (
        reads(LISTED, *FULL, args=(b"1", b"", WHO[0], b"feed"), reply=[]),
        reads(FEED, args=(b"1", b"", WHO[0], b"feed"), reply=[b"", UNLISTED, *UNLISTED_IS, 0]),
        shrinks(
            FEED, args=(b"1", UNLISTED, WHO[0], b"feed"), reply=[b"", UNLISTED, *UNLISTED_IS, 1]
        ),
    ),
    "fsck/expires": (
        reads(*FULL, *LATER, args=(b"1", b"", WHO[0]), reply=[]),
        reads(*FULL, args=(b"1", b"", WHO[0]), reply=[]),
        shrinks(
            *(*FULL, LATER[0]),
            args=(b"1", b"late", WHO[0]),
            reply=[b"", b"late", *UNEXPIRED, 1],
        ),
        reads(
            *(*FULL, *LATER, OVER[0]),
            args=(b"1", b"", WHO[0]),
            reply=[b"", b"late", *UNEXPIRED, 0],
        ),
    ),
    "fsck/feed": (
        reads(*FULL, args=(b"1", b"a", b"0", b"", b"z", b"0", b""), reply=[]),
        shrinks(
            *FULL,
            ("ZADD", "ids", "3", "c"),
            args=(b"1", b"c", b"0", b"id 3"),
            reply=[b"c", b"id 3", b"no item", b"in %b, without an item" % KEYS.ids, 1],
        ),
        shrinks(
            *FULL,
            ("HSET", "revisions", "c", "3"),
            args=(b"1", b"c", b"0", b"revision"),
            reply=[b"c", b"revision", b"leftover", LEFT, 1],
        ),
    ),
    "fsck/idincr": (
        reads(*SORTED, args=(b"1", b"", b"3"), reply=[]),
        shrinks(
            *SORTED,
            ("SET", "idincr", "2"),
            args=(b"1", BELOW, b"3"),
            reply=[b"", BELOW, b"counter", BELOW, 1],
        ),
    ),
    "fsck/job": (
        reads(*JOBS, args=(b"1", b"a", b"1", b"", b"q", b"0", b""), reply=[]),
        shrinks(
            *JOBS,
            args=(b"1", b"x", b"0", b"true 0 0 false false 4" + 6 * b" false"),
            reply=[
                *(b"x", b"true 0 0 false false 4" + 6 * b" false"),
                *(b"no state", b"not finished, but in no state", 1),
            ],
        ),
        shrinks(
            ("ZADD", "claimed", "5", "q"),
            args=(b"1", b"q", b"0", b"false 0 0 5" + 8 * b" false"),
            reply=[
                *(b"q", b"false 0 0 5" + 8 * b" false"),
                *(b"no item", b"claimed, without an item", 1),
            ],
        ),
    ),
    "fsck/orphans": (
        reads(LISTED, FEED, args=(b"1", b"", WHO[0]), reply=[]),
        shrinks(
            HANDED[0],
            args=(b"1", KEYS.handoff, WHO[0]),
            reply=[b"", KEYS.handoff, b"orphan", b"%b is of no feed" % KEYS.handoff, 1],
        ),
    ),
    "fsck/queue": (
        reads(*QUEUE, args=(b"1", b"a", b"1", b""), reply=[]),
        shrinks(
            *QUEUE,
            args=(b"1", b"c", b"0", b"0 0 item"),
            reply=[b"c", b"0 0 item", b"no id", b"an item that is not in %b" % KEYS.ids, 1],
        ),
    ),
    "fsck/sorted_feed": (
        reads(*SORTED, args=(b"1", b"2", b"1", b""), reply=[]),
        shrinks(
            *SORTED,
            ("RPUSH", "ids", "2"),
            args=(b"1", b"2", b"2", b"2 item"),
            reply=[b"2", b"2 item", b"twice", b"2 times in %b" % KEYS.ids, 1],
        ),
        shrinks(
            *SORTED,
            ("RPUSH", "ids", "9"),
            args=(b"1", b"9", b"1", b"1"),
            reply=[b"9", b"1", b"no item", b"in %b, without an item" % KEYS.ids, 1],
        ),
        shrinks(
            *SORTED,
            ("HSET", "revisions", "9", "3"),
            args=(b"1", b"9", b"0", b"0"),
            reply=[b"9", b"0", b"leftover", LEFT, 1],
        ),
    ),
    "fsck/survey": (
        reads(
            LISTED,
            FEED,
            args=WHO[:1],
            reply=[1, b"feed", b"hash", *[b"none"] * (len(KEYS.every_key()) - 1)],
        ),
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
        shrinks(*JOBS, args=(b"cancelled", b"c", b"", b"0", b"w", b"")),
        shrinks(*JOBS, *LEASED, args=(b"cancelled", b"c", b"tok", b"0", b"w", b"why")),
        shrinks(*JOBS, *LEASED, args=(b"failed", b"c", b"tok", b"5000", b"w", b"why")),
        shrinks(*JOBS, *LEASED, args=(b"expired", b"c", b"tok", b"0", b"w", b"why")),
        shrinks(
            *JOBS,
            *LEASED,
            ("HSET", "config", "max_attempts", "2"),
            args=(b"failed", b"c", b"tok", b"0", b"w", b"why"),
            reply=0,
        ),
        refuses("JOBNOTCLAIMED", *JOBS, args=(b"cancelled", b"a", b"", b"0", b"w", b"")),
        refuses("LEASELOST", *JOBS, args=(b"cancelled", b"a", b"tok", b"0", b"w", b"")),
        refuses("LEASELOST", *JOBS, *LEASED, args=(b"failed", b"c", b"old", b"0", b"w", b"")),
        refuses("LEASELOST", *JOBS, *HELD, args=(b"expired", b"c", b"tok", b"0", b"w", b"")),
    ),
    "job/claim": (
        shrinks(*JOBS, args=(b"1", b"", b"tok"), reply=[*UNSET, b"a", b"A", 2]),
        shrinks(
            *JOBS,
            *HANDED,
            args=(b"2", b"x", b"tok"),
            reply=[*UNSET, b"x", b"X", 0, b"a", b"A", 2],
        ),
        shrinks(
            *JOBS[:1], ("RPUSH", "ids", "c"), *JOBS[2:], args=(b"9", b"", b"tok"), reply=[*UNSET]
        ),
        reads(JOBS[0], args=(b"1", b"", b"tok"), reply=[*UNSET], whole=False),
        refuses("FEEDNOTFOUND", args=(b"1", b"", b"tok")),
    ),
    "job/edit": (
        grows(*JOBS, args=(b"a", b"A2")),
        refuses("ITEMNOTFOUND", *JOBS, args=(b"z", b"Z")),
    ),
    "job/extend": (
        shrinks(*JOBS, *LEASED, args=(b"c", b"tok"), reply=[30_000]),
        reads(*JOBS, *LEASED, args=(b"c", b"old", b"a", b"tok"), reply=[b"LEASELOST"] * 2),
    ),
    "job/finish": (
        shrinks(*JOBS, args=(b"", b"c", b"", b"+result"), reply=[1]),
        shrinks(*JOBS, args=(b"0", b"c", b"", b""), reply=[1]),
        shrinks(*JOBS, *LEASED, args=(b"5", b"c", b"tok", b"+r", b"a", b"", b""), reply=[1, NOT]),
        shrinks(*JOBS, *KEPT, args=(b"", b"c", b"", b"+result"), reply=[1]),
        reads(*JOBS, args=(b"", b"a", b"", b"+r"), reply=[NOT], whole=False),
        reads(*JOBS, args=(b"", b"a", b"tok", b""), reply=[b"LEASELOST"], whole=False),
        reads(*JOBS, *LEASED, args=(b"", b"c", b"old", b""), reply=[b"LEASELOST"], whole=False),
    ),
    "job/look": (
        reads(
            *JOBS,
            *DELAYED,
            *KEPT,
            ("ZADD", "due", "9e12", "new"),
            ("HSET", "results", "new", "1:Q+r"),
            ("HSET", "errors", "s", "1\tw\twhy\n"),
            args=(b"a", b"s", b"d", b"new", b"old", b"z"),
            reply=[
                *(b"unfinished", b"A", b"parked", b"1\tw\twhy\n", b"unfinished", b"D"),
                *(b"finished", b"1:Q+r", b"gone", b"", b"gone", b""),
            ],
        ),
    ),
    "job/parked": (reads(*JOBS, *DELAYED, args=(b"0", b"10"), reply=[b"0", b"s"]),),
    "job/postpone": (
        shrinks(*JOBS, args=(b"c", b"", b"5000")),
        shrinks(*JOBS, *LEASED, args=(b"c", b"tok", b"5000")),
        refuses("JOBNOTCLAIMED", *JOBS, args=(b"a", b"", b"5000")),
        refuses("LEASELOST", *JOBS, *LEASED, args=(b"c", b"old", b"5000")),
    ),
    "job/progress": (
        reads(*JOBS, *LEASED, args=(b"c", b"tok", b"half"), reply=1),
        reads(*JOBS, args=(b"c", b"", b"half"), reply=1),
        refuses("JOBNOTCLAIMED", *JOBS, args=(b"a", b"", b"half")),
        refuses("LEASELOST", *JOBS, args=(b"c", b"tok", b"half")),
    ),
    "job/promote": (
        shrinks(*JOBS, *DELAYED, args=(b"100",), reply=[1, -1]),
        shrinks(*JOBS, ("ZADD", "delayed", "1", "s"), args=(b"100",), reply=[0, -1]),
        reads(*JOBS, args=(b"100",), reply=[0, -1], whole=False),
    ),
    "job/put": (
        grows(*JOBS, args=(b"LPUSH", b"0", b"d", b"D")),
        grows(*JOBS, args=(b"RPUSH", b"0", b"d", b"D")),
        grows(*JOBS, args=(b"LPUSH", b"5000", b"d", b"D")),
        grows(*JOBS, *KEPT, args=(b"LPUSH", b"0", b"old", b"D")),
        grows(*JOBS, *KEPT, args=(b"LPUSH", b"0", b"old", b"D", b"1")),
        reads(*JOBS, args=(b"LPUSH", b"0", b"a", b"D"), reply=0, whole=False),
        reads(*JOBS, *STILL_KEPT, args=(b"LPUSH", b"0", b"old", b"D", b"1"), reply=0, whole=False),
        refuses("FEEDNOTFOUND", args=(b"LPUSH", b"0", b"d", b"D")),
    ),
    "job/put_many": (
        grows(*JOBS, args=(b"LPUSH", b"d", b"D", b"e", b"E"), reply=2),
        refuses("FEEDNOTFOUND", args=(b"LPUSH", b"d", b"D")),
    ),
    "job/release": (
        shrinks(*JOBS, args=(b"c", b""), reply=[1]),
        shrinks(*JOBS, *LEASED, args=(b"a", b"", b"c", b"tok"), reply=[NOT, 1]),
        reads(*JOBS, *LEASED, args=(b"c", b"old"), reply=[b"LEASELOST"]),
    ),
    "job/requeue_lost": (
        shrinks(*JOBS, args=(b"1000", b"x"), reply=[0, 1]),
        shrinks(*JOBS, ("ZADD", "lost", "1", "x"), args=(b"1000", b"x"), reply=[1, 0]),
        shrinks(*JOBS, ("ZADD", "lost", "1", "a"), args=(b"1000",), reply=[0, 0], whole=False),
    ),
    "job/retract": (
        *(shrinks(*JOBS, *HANDED, *LEASED, args=(id,)) for id in (b"a", b"c", b"s", b"x")),
        shrinks(*JOBS, *DELAYED, args=(b"d",)),
        reads(*JOBS, *HANDED, args=(b"z",), reply=0),
    ),
    "job/retry": (
        shrinks(*JOBS, args=(b"s",)),
        shrinks(*JOBS, *DELAYED, args=(b"d",)),
        refuses("JOBNOTSTALLED", *JOBS, args=(b"a",)),
        refuses("ITEMNOTFOUND", ("SADD", "stalled", "s"), args=(b"s",)),
    ),
    "job/stall": (
        *(shrinks(*JOBS, *HANDED, args=(id, b"", b"", b"w", b"")) for id in (b"a", b"c", b"x")),
        shrinks(*JOBS, *LEASED, args=(b"c", b"tok", b"", b"w", b"why")),
        shrinks(*JOBS, *LEASED, args=(b"c", b"", b"claimed", b"w", b"why")),
        shrinks(*JOBS, *DELAYED, args=(b"d", b"", b"", b"w", b"")),
        refuses("JOBNOTCLAIMED", *JOBS, args=(b"s", b"", b"", b"w", b"")),
        refuses("JOBNOTCLAIMED", *JOBS, args=(b"a", b"", b"claimed", b"w", b"")),
        refuses("LEASELOST", *JOBS, *LEASED, args=(b"c", b"old", b"", b"w", b"")),
        refuses("ITEMNOTFOUND", *JOBS, args=(b"z", b"", b"", b"w", b"")),
    ),
    "job/stats": (reads(*JOBS, *HANDED, *DELAYED, reply=[2, 1, 1, 1, 1, 5, 7]),),
    "job/survey": (
        reads(*JOBS, *HANDED, args=(b"0", b"10"), reply=[0, 2, 1]),
        reads(*JOBS, *LEASED, args=(b"0", b"10"), reply=[1, 0, 1, b"c", b"tok"]),
        shrinks(
            *JOBS, ("HSET", "config", "peer_timeout", "5"), args=(b"0", b"10"), reply=[1, 0, 1]
        ),
    ),
    "job/unclaim": (
        shrinks(*JOBS, *LEASED, args=(b"tok",)),
        reads(*JOBS, *LEASED, args=(b"to",), reply=0),
    ),
    "job/sweep": (
        shrinks(
            *JOBS,
            *KEPT,
            ("HSET", "lease", "gone", "t 1 2"),
            ("HSET", "errors", "gone", "1\tw\twhy\n"),
            args=(b"0", b"0", b"100"),
            reply=[3, b"0", b"0"],
        ),
        reads(*JOBS, *LEASED, args=(b"0", b"0", b"100"), reply=[0, b"0", b"0"]),
    ),
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
    **FEED_SAMPLES,
    **BRIDGE_SAMPLES,
    **COMMIT_SAMPLES,
    **SCHEDULE_SAMPLES,
}
