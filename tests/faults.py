"""Healthy feeds, each fault that there is, and what its repair leaves, as tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["BROKEN", "HEALTHY", "Broken", "Command"]

Command = tuple[str | bytes | int, ...]

#: The last change of a feed or sorted feed.
CHANGED: Final[tuple[Command, ...]] = (
    ("HSET", "revision", "epoch", 5, "revision", 2, "digest", 9),
    ("XADD", "history", "2-0", "e", "2 5 9 0 retract\0\0z"),
)

#: What is in a healthy feed of each type; the second word is an attribute of ``FeedKeys``.
HEALTHY: Final[dict[str, tuple[Command, ...]]] = {
    "feed": (
        ("HSET", "config", "type", "feed"),
        ("ZADD", "ids", 1, "a", 2, "b"),
        ("HSET", "items", "a", "A", "b", "B"),
        ("SET", "publishes", 7),
        *CHANGED,
        ("HSET", "revisions", "a", 1, "b", 2),
    ),
    "sorted_feed": (
        ("HSET", "config", "type", "sorted_feed"),
        ("RPUSH", "ids", 3, 1, 2),
        ("HSET", "items", 1, "A", 2, "B", 3, "C"),
        ("SET", "publishes", 7),
        ("SET", "idincr", 3),
        *CHANGED,
        ("HSET", "revisions", 3, 2),
    ),
    "queue": (
        ("HSET", "config", "type", "queue"),
        ("RPUSH", "ids", "b", "a"),
        ("RPUSH", "handoff", "h"),
        ("ZADD", "seen", 1, "h"),
        ("HSET", "items", "a", "A", "b", "B", "h", "H"),
        ("SET", "publishes", 7),
    ),
    # Available, handed, claimed by us and by a peer, stalled, delayed; and a result.
    "job": (
        ("HSET", "config", "type", "job", "result_ttl", 100),
        ("RPUSH", "ids", "b", "a"),
        ("RPUSH", "handoff", "h"),
        ("ZADD", "seen", 1, "h"),
        ("ZADD", "claimed", 1000, "c", 2000, "p"),
        ("HSET", "lease", "c", "me:1 1000 99999999999999"),
        ("HSET", "cancelled", "c", 2, "a", 0),
        ("HSET", "errors", "c", "1\tme\twhy\n", "s", "1\tme\twhy\n"),
        ("SADD", "stalled", "s", "d"),
        ("ZADD", "delayed", 99999999999999, "d"),
        ("ZADD", "published", 1, "a", 2, "b", 3, "h", 4, "c", 5, "p", 6, "d"),
        ("HSET", "items", *(part for id in "abhcpsd" for part in (id, id.upper()))),
        ("HSET", "results", "r", "1:R+done", "n", "1:N-"),
        ("ZADD", "due", 99999999999999, "r", 99999999999999, "n"),
        ("SET", "publishes", 7),
        ("SET", "finishes", 2),
    ),
}


@dataclass
class Broken:
    """A fault.

    :ivar what: commands that make it.
    :ivar found: kinds and ids that are named.
    :ivar after: commands, and what they answer when it is repaired.
    :ivar told: words of its detail.
    """

    what: tuple[Command, ...]
    found: list[tuple[str, str | None]]
    after: dict[Command, Any] = field(default_factory=dict)
    told: str = ""


def broken(
    kind: str,
    id: str | None,
    *what: Command,
    told: str = "",
    after: dict[Command, Any] | None = None,
) -> Broken:
    return Broken(what, [(kind, id)], after or {}, told)


BROKEN: Final[dict[str, tuple[Broken, ...]]] = {
    "feed": (
        broken("no item", "x", ("ZADD", "ids", 3, "x"), after={("ZCARD", "ids"): 2}),
        broken("no id", "x", ("HSET", "items", "x", "X"), after={("HLEN", "items"): 2}),
        broken("no item", "a", ("HDEL", "items", "a"), after={("HKEYS", "revisions"): [b"b"]}),
        broken("no id", "a", ("ZREM", "ids", "a"), after={("HKEYS", "revisions"): [b"b"]}),
        broken(
            "leftover",
            "a",
            ("HDEL", "items", "a"),
            ("ZREM", "ids", "a"),
            told="revisions",
            after={("HKEYS", "revisions"): [b"b"], ("ZCARD", "ids"): 1},
        ),
        broken("counter", None, ("SET", "publishes", "many"), after={("GET", "publishes"): b"2"}),
        broken("unlisted", None, ("SREM", "feeds")),
        broken(
            "untyped", None, ("HDEL", "config", "type"), after={("HGET", "config", "type"): b"feed"}
        ),
        Broken(
            (("ZADD", "ids", 3, "x", 4, "y"), ("HDEL", "items", "a"), ("HSET", "items", "z", "Z")),
            [("no item", "x"), ("no item", "y"), ("no item", "a"), ("no id", "z")],
            {("ZRANGE", "ids", 0, -1): [b"b"], ("HGETALL", "items"): [b"b", b"B"]},
        ),
    ),
    "sorted_feed": (
        broken("no item", "9", ("RPUSH", "ids", 9), after={("LLEN", "ids"): 3}),
        broken("no item", "9", ("RPUSH", "ids", 9, 9), after={("LLEN", "ids"): 3}),
        broken("no id", "x", ("HSET", "items", "x", "X"), after={("HLEN", "items"): 3}),
        broken("no item", "3", ("HDEL", "items", 3), after={("HLEN", "revisions"): 0}),
        broken("no id", "3", ("LREM", "ids", 0, 3), after={("HLEN", "revisions"): 0}),
        broken(
            "leftover",
            "9",
            ("HSET", "revisions", 9, 1),
            told="revisions",
            after={("HKEYS", "revisions"): [b"3"], ("LLEN", "ids"): 3},
        ),
        broken(
            "twice",
            "3",
            ("RPUSH", "ids", 3, 3),
            told="3 times",
            after={
                ("LRANGE", "ids", 0, -1): [b"3", b"1", b"2"],
                ("HKEYS", "revisions"): [b"3"],
            },
        ),
        broken(
            "counter",
            None,
            ("SET", "idincr", 2),
            told="below the id 3",
            after={("GET", "idincr"): b"3"},
        ),
        broken("counter", None, ("DEL", "idincr"), after={("GET", "idincr"): b"3"}),
        broken("counter", None, ("SET", "idincr", "x"), after={("GET", "idincr"): b"3"}),
        broken(
            "mistyped",
            None,
            ("HSET", "config", "type", "feed"),
            after={("HGET", "config", "type"): b"sorted_feed"},
        ),
    ),
    "queue": (
        broken("no item", "x", ("RPUSH", "ids", "x"), after={("LLEN", "ids"): 2}),
        broken(
            "no item",
            "x",
            ("RPUSH", "handoff", "x"),
            told="handoff",
            after={("LLEN", "handoff"): 1},
        ),
        broken("no id", "x", ("HSET", "items", "x", "X"), after={("HLEN", "items"): 3}),
        broken("twice", "a", ("LPUSH", "ids", "a"), after={("LRANGE", "ids", 0, -1): [b"b", b"a"]}),
        broken(
            "twice",
            "h",
            ("LPUSH", "ids", "h"),
            after={("LRANGE", "ids", 0, -1): [b"b", b"a"], ("LLEN", "handoff"): 1},
        ),
        broken(
            "twice", "h", ("LPUSH", "handoff", "h"), after={("LRANGE", "handoff", 0, -1): [b"h"]}
        ),
        broken("leftover", "x", ("ZADD", "seen", 1, "x"), after={("ZCARD", "seen"): 1}),
        broken("unlisted", None, ("SREM", "feeds")),
    ),
    "job": (
        # in no state
        broken(
            "no state", "a", ("LREM", "ids", 0, "a"), after={("LRANGE", "ids", 0, -1): [b"a", b"b"]}
        ),
        broken(
            "no state",
            "d",
            ("SREM", "stalled", "d"),
            after={("LRANGE", "ids", 0, -1): [b"d", b"b", b"a"], ("ZCARD", "delayed"): 0},
        ),
        broken(
            "no state",
            "c",
            ("ZREM", "claimed", "c"),
            after={("LRANGE", "ids", 0, -1): [b"c", b"b", b"a"], ("HLEN", "lease"): 0},
        ),
        broken(
            "retracted",
            "a",
            ("LREM", "ids", 0, "a"),
            ("ZREM", "published", "a"),
            after={("HEXISTS", "items", "a"): 0, ("HEXISTS", "cancelled", "a"): 0},
        ),
        # in several
        broken(
            "several states",
            "c",
            ("LPUSH", "ids", "c"),
            told="claimed and available: claimed",
            after={("LPOS", "ids", "c"): None, ("ZSCORE", "claimed", "c"): b"1000"},
        ),
        broken(
            "several states",
            "p",
            ("LPUSH", "handoff", "p"),
            told="claimed and handed: claimed",
            after={("LPOS", "handoff", "p"): None, ("ZSCORE", "claimed", "p"): b"2000"},
        ),
        broken(
            "several states",
            "h",
            ("LPUSH", "ids", "h"),
            told="handed and available: handed",
            after={("LPOS", "ids", "h"): None, ("LLEN", "handoff"): 1},
        ),
        broken(
            "several states",
            "s",
            ("LPUSH", "ids", "s", "s"),
            told="stalled and available: stalled",
            after={("LLEN", "ids"): 2},
        ),
        broken(
            "several states",
            "d",
            ("LPUSH", "ids", "d"),
            told="delayed and available: delayed",
            after={("LLEN", "ids"): 2, ("ZCARD", "delayed"): 1},
        ),
        broken(
            "several states",
            "c",
            ("SADD", "stalled", "c"),
            told="claimed and stalled: claimed",
            after={("SISMEMBER", "stalled", "c"): 0, ("HLEN", "lease"): 1},
        ),
        broken(
            "several states",
            "p",
            ("SADD", "stalled", "p"),
            told="claimed and stalled: stalled",
            after={("ZSCORE", "claimed", "p"): None, ("ZSCORE", "published", "p"): None},
        ),
        broken(
            "several states",
            "c",
            ("SADD", "stalled", "c"),
            ("HSET", "lease", "c", "me:1 1000 1001"),
            told=": stalled",
            after={("ZSCORE", "claimed", "c"): None, ("HLEN", "lease"): 0},
        ),
        broken(
            "several states",
            "d",
            ("ZADD", "claimed", 3000, "d"),
            told="claimed and delayed: delayed",
            after={("ZSCORE", "claimed", "d"): None, ("ZCARD", "delayed"): 1},
        ),
        Broken(
            (("LPUSH", "ids", "a", "b"), ("LPUSH", "handoff", "h")),
            [("twice", "a"), ("twice", "b"), ("twice", "h")],
            {("LRANGE", "ids", 0, -1): [b"b", b"a"], ("LRANGE", "handoff", 0, -1): [b"h"]},
        ),
        # without an item
        *(
            broken(
                "no item",
                id,
                ("HDEL", "items", id),
                told=state,
                after={
                    ("ZSCORE", "published", id): None,
                    ("ZSCORE", "claimed", id): None,
                    ("SISMEMBER", "stalled", id): 0,
                    ("HEXISTS", "lease", id): 0,
                },
            )
            for id, state in zip(
                "abhcpsd",
                ("available", "available", "handed", "claimed", "claimed", "stalled", "delayed"),
                strict=True,
            )
        ),
        # what does not fit the state
        broken("unpublished", "a", ("ZREM", "published", "a"), told="available"),
        broken("unpublished", "h", ("ZREM", "published", "h"), told="handed"),
        broken("unpublished", "c", ("ZREM", "published", "c"), told="claimed"),
        broken(
            "delayed",
            "d",
            ("ZREM", "published", "d"),
            told="stalled",
            after={("ZCARD", "delayed"): 0},
        ),
        broken(
            "published",
            "s",
            ("ZADD", "published", 1, "s"),
            after={("ZSCORE", "published", "s"): None},
        ),
        broken(
            "delayed",
            "a",
            ("ZADD", "delayed", 1, "a"),
            told="available",
            after={("ZCARD", "delayed"): 1},
        ),
        broken(
            "delayed",
            "c",
            ("ZADD", "delayed", 1, "c"),
            told="claimed",
            after={("ZCARD", "delayed"): 1},
        ),
        broken(
            "lease",
            "a",
            ("HSET", "lease", "a", "me:1 1000 2000"),
            told="available",
            after={("HLEN", "lease"): 1},
        ),
        broken(
            "lease",
            "p",
            ("HSET", "lease", "p", "me:1 1999 99999999999999"),
            told="another claim",
            after={("HLEN", "lease"): 1},
        ),
        broken("lease", "p", ("HSET", "lease", "p", "nonsense"), after={("HLEN", "lease"): 1}),
        broken(
            "counter",
            "b",
            ("HSET", "cancelled", "b", "often"),
            told="often",
            after={("HGET", "cancelled", "b"): None},
        ),
        # left behind
        *(
            broken(
                "leftover", "x", command, told=str(command[1]), after={(count, command[1]): left}
            )
            for command, count, left in (
                (("ZADD", "published", 1, "x"), "ZCARD", 6),
                (("ZADD", "delayed", 1, "x"), "ZCARD", 1),
                (("ZADD", "seen", 1, "x"), "ZCARD", 1),
                (("ZADD", "lost", 1, "x"), "ZCARD", 0),
                (("HSET", "cancelled", "x", 1), "HLEN", 2),
                (("HSET", "lease", "x", "me:1 1 1"), "HLEN", 1),
                (("HSET", "errors", "x", "1\tme\twhy\n"), "HLEN", 2),
            )
        ),
        # results
        broken("result", "r", ("ZREM", "due", "r"), told="never dropped"),
        broken("result", "r", ("HDEL", "results", "r"), after={("ZCARD", "due"): 1}),
        # counters and options
        broken("counter", None, ("SET", "publishes", "007"), after={("GET", "publishes"): b"7"}),
        broken("counter", None, ("SET", "finishes", "x"), after={("GET", "finishes"): b"0"}),
        broken(
            "mistyped",
            None,
            ("HSET", "config", "type", "feed"),
            after={("HGET", "config", "type"): b"job"},
        ),
        broken(
            "untyped", None, ("HDEL", "config", "type"), after={("HGET", "config", "type"): b"job"}
        ),
        broken("unlisted", None, ("SREM", "feeds")),
    ),
}
