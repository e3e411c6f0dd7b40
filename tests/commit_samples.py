"""How the Lua script that commits is called in its main paths: with one other feed."""

from __future__ import annotations

from typing import Final

from tests.feed_samples import CHANGED, FULL, PLACED, SORTED
from tests.sampling import Command, Sample, grows, reads, refuses, shrinks

__all__ = ["COMMIT_SAMPLES"]

#: ``c`` is claimed.
CLAIMED: Final = (
    ("HSET", "config", "type", "job"),
    ("HSET", "items", "c", "C"),
    ("ZADD", "published", "3", "c"),
    ("ZADD", "claimed", "5", "c"),
    ("HSET", "cancelled", "c", "1"),
    ("HSET", "lease", "c", "tok 5 9000000000000"),
    ("SET", "finishes", "7"),
)


def of_other(commands: tuple[Command, ...]) -> tuple[Command, ...]:
    """Commands that prepare the feed that is changed."""
    return tuple((verb, f"changed_{key}", *rest) for verb, key, *rest in commands)  # type: ignore[misc]  # the parts are of a sample, whose types differ


#: ``c`` is claimed, and a feed or a sorted feed is at revision 7.
FEED: Final = (*CLAIMED, *of_other((*FULL, *CHANGED)))
LIST: Final = (*CLAIMED, *of_other((*SORTED, *PLACED)))


def call(
    kind: str, *changes: tuple[str, ...], id: str = "c", token: str = "tok", result: str = "+r"
) -> tuple[bytes, ...]:
    """The arguments: each change is a script, a condition and the script's arguments."""
    args = ["", id, token, result, kind]
    for verb, condition, *rest in changes:
        args += ["1", verb, condition, str(len(rest)), *rest]
    return tuple(arg.encode() for arg in args)


COMMIT_SAMPLES: Final[dict[str, tuple[Sample, ...]]] = {
    "job/commit": (
        grows(*FEED, args=call("feed", ("feed/publish", "", "c", "C")), reply=[0, 9]),
        grows(*FEED, args=call("feed", ("feed/publish", "6", "a", "A2")), reply=[0, 8]),
        grows(
            *FEED,
            args=call(
                "feed",
                ("expect", "7", "5"),
                ("feed/retract", "", "z"),
                ("feed/retract", "7", "b"),
                ("feed/publish", "7", "a", "A2"),
                result="",
            ),
            reply=[0, 1, 0, 8, 9],
        ),
        grows(
            *FEED,
            args=call("feed", ("feed/publish_for", "6", "other", "60000", "a", "A2")),
            reply=[0, 8],
        ),
        shrinks(*FEED, args=call("feed", ("feed/retract", "", "a")), reply=[0, 8]),
        shrinks(*FEED, args=call("feed", ("expect", "7", "")), reply=[0, 1], whole=False),
        shrinks(*CLAIMED, args=call("feed"), reply=[0], whole=False),
        grows(
            *LIST,
            args=call(
                "sorted_feed",
                ("sorted_feed/publish", "7", ":end", "D"),
                ("sorted_feed/insert", "6", "AFTER", "3", "E"),
                ("sorted_feed/edit", "7", "2", "B2"),
                ("sorted_feed/move", "", "2", "AFTER", "1"),
                ("sorted_feed/retract", "", "3"),
            ),
            reply=[0, [b"4", 8], [b"5", 9], 10, 11, 12],
        ),
        shrinks(
            *LIST,
            args=call("sorted_feed", ("sorted_feed/move", "", "2", "begin", "")),
            reply=[0, 8],
        ),
        # The second one is refused: nothing was done.
        *(
            reads(
                *FEED,
                args=call("feed", ("feed/publish", "", "c", "C"), change),
                reply=[2, b"CONFLICT", *found],
                whole=False,
            )
            for change, *found in (
                (("feed/publish", "5", "a", "A2"), b"7", b"6", b"A"),
                (("feed/retract", "1", "z"), b"7", b"0", None),
                (("expect", "6", ""), b"7", b"7", None, b"5"),
                (("expect", "7", "4"), b"7", b"7", None, b"5"),
            )
        ),
        *(
            reads(*before, args=call("sorted_feed", *changes), reply=reply, whole=False)
            for before, changes, reply in (
                (FEED, [("expect", "7", "5")], [1, b"WRONGFEEDTYPE"]),
                (CLAIMED, [("sorted_feed/edit", "", "1", "A")], [1, b"FEEDNOTFOUND"]),
                (LIST, [("sorted_feed/edit", "", "9", "A")], [1, b"ITEMNOTFOUND"]),
                (
                    LIST,
                    [("sorted_feed/retract", "", "1"), ("sorted_feed/edit", "", "1", "A")],
                    [2, b"ITEMNOTFOUND"],
                ),
                (
                    LIST,
                    [("sorted_feed/retract", "", "1"), ("sorted_feed/move", "", "2", "AFTER", "1")],
                    [2, b"ITEMNOTFOUND"],
                ),
            )
        ),
        refuses("LEASELOST", *FEED, args=call("feed", ("feed/retract", "", "a"), token="old")),
        refuses("JOBNOTCLAIMED", *FEED, args=call("feed", id="z", token="")),
    ),
}
