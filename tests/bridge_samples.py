"""How the scripts of bridges are called; as ``samples`` has it."""

from __future__ import annotations

from typing import Final

from tests.sampling import Command, Sample, grows, reads, refuses, shrinks

__all__ = ["BRIDGE_SAMPLES"]

JOBS: Final = (("HSET", "config", "type", "job"), ("HSET", "origin_config", "type", "job"))
#: ``a`` and ``b`` are available at their origin; ``b`` is an id in use here, ``g`` came from here.
PUT: Final = (
    ("RPUSH", "origin_ids", "g", "b", "a"),
    ("HSET", "origin_items", "a", '"A"', "b", "B", "g", "G"),
    ("HSET", "origin_cancelled", "a", "2"),
    ("HSET", "origin_bridged", "g", "3.5"),
    ("HSET", "items", "b", "other"),
)
#: ``a`` is away.
AWAY: Final = (
    ("HSET", "origin_items", "a", "A"),
    ("ZADD", "origin_claimed", "3.5", "a"),
    ("ZADD", "origin_published", "1", "a"),
    ("HSET", "origin_lease", "a", "bridge:contract 3.5 99999999999999"),
    ("SET", "origin_finishes", "7"),
)
HERE: Final = (*AWAY, ("HSET", "bridged", "a", "3.5"))
ITEM: Final = (("HSET", "items", "a", "A"), ("ZADD", "published", "2", "a"))
CLAIMED: Final = (*ITEM, ("ZADD", "claimed", "4.5", "a"), ("HSET", "lease", "a", "tok 4.5 9"))
TOKEN: Final = b"bridge:contract"


def settles(*before: Command, heard: bytes = b"", reply: bytes) -> Sample:
    """One job is ended."""
    return shrinks(*JOBS, *before, args=(TOKEN, b"a", heard), reply=[reply])


BRIDGE_SAMPLES: Final[dict[str, tuple[Sample, ...]]] = {
    "bridge/cross": (
        grows(*JOBS, *PUT, args=(TOKEN, b"0", b"5", b"5"), reply=[b"a"]),
        grows(*JOBS, *PUT, args=(TOKEN, b"1", b"1", b"5"), reply=[b"a"]),
        reads(*JOBS, args=(TOKEN, b"1", b"5", b"5"), reply=[], whole=False),
        refuses("FEEDNOTFOUND", JOBS[0], args=(TOKEN, b"1", b"5", b"5")),
    ),
    "bridge/settle": (
        settles(*HERE, heard=b"+R", reply=b"finished"),
        settles(*HERE, heard=b"-", reply=b"finished"),
        settles(*HERE, ("HSET", "results", "a", "1:A+R"), reply=b"finished"),
        settles(*HERE, heard=b"x", reply=b"retracted"),
        settles(
            *HERE,
            *ITEM,
            ("SADD", "stalled", "a"),
            ("HSET", "errors", "a", "1\tw\twhy\n"),
            reply=b"parked",
        ),
        settles(*HERE, *ITEM, ("RPUSH", "ids", "a"), heard=b"<", reply=b"released"),
        settles(*AWAY, reply=b"released"),
        settles(*CLAIMED, ("HSET", "bridged", "a", "3.5"), reply=b"dropped"),
        reads(*JOBS, *HERE, args=(TOKEN, b"a", b""), reply=[b"gone"]),
        reads(*JOBS, *HERE, *ITEM, args=(TOKEN, b"a", b""), reply=[b"waiting"]),
        reads(*JOBS, *HERE, *CLAIMED, args=(TOKEN, b"a", b"+R"), reply=[b"claimed"]),
        reads(*JOBS, args=(TOKEN, b"a", b"+R"), reply=[b"nothing"]),
    ),
}
