"""The records of thoonk.py, replayed through our API: the same in Redis, the same on the wire.

Each file of ``vectors/thoonk_py`` is one operation of thoonk.py 1.0.1 on a real Redis: what was
there before and after it, which messages it sent, what its caller got. The test of that name does
the same with txThoonk and compares, after clocks, ids and instances are replaced, without what is
ours alone (``tx.*``). A caller's result is compared where thoonk.py has one. Where txThoonk
means to differ a row of :data:`DIFFERENCES` says why.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import ThoonkTestCase, until
from tests.replay import GONE, READS, TYPES, call, dump, expectation, plain, replaced, symbols

FOLDER: Final = Path(__file__).parent / "vectors" / "thoonk_py"
#: What listeners made of messages: see ``test_received.py``.
RECEIVED: Final = "receive"
RECORDS: Final[dict[str, dict[str, Any]]] = {
    path.stem: json.loads(path.read_text("utf-8"))
    for path in sorted(FOLDER.iterdir())
    if path.stem != RECEIVED
}

SAME: Final = object()  # in a row: as recorded


@dataclass(frozen=True)
class Row:
    """What is different with us, in some records.

    :ivar why: we mean it.
    :ivar records: their names.
    :ivar excluded: they are not replayed at all.
    :ivar milliseconds: key whose clocks are in milliseconds.
    :ivar before: key -> what it holds before the operation, or ``GONE``.
    :ivar after: the same, after it.
    """

    why: str
    records: tuple[str, ...]
    excluded: bool = False
    milliseconds: str | None = None
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    messages: Any = SAME
    raised: Any = SAME
    returned: Any = SAME


DIFFERENCES: Final = (
    Row(
        "A pickle runs whatever its writer wants: no such type is ours.",
        ("create_pyqueue", "pyqueue_put"),
        excluded=True,
    ),
    Row(
        "The contract's clock is milliseconds; thoonk.py writes seconds as scores of feeds.",
        (
            "delete_feed",
            "feed_get_all",
            "feed_get_ids",
            "feed_get_item",
            "feed_max_length_0",
            "feed_max_length_1",
            "feed_max_length_edit_newest_when_full",
            "feed_max_length_edit_oldest_when_full",
            "feed_max_length_lowered",
            "feed_max_length_overflow",
            "feed_max_length_reaches",
            "feed_publish_empty_item",
            "feed_publish_generated_id",
            "feed_publish_given_id",
            "feed_publish_nul_in_item",
            "feed_publish_same_id",
            "feed_publish_unicode",
            "feed_retract",
            "feed_retract_missing",
        ),
        milliseconds="feed.ids:f1",
    ),
    Row(
        "The contract's clock is milliseconds; thoonk.py writes seconds when it retries.",
        ("job_retry",),
        after={"feed.published:f1": [["<id:b>", "milliseconds"], ["<id:a>", "milliseconds"]]},
    ),
    # -- instance ---------------------------------------------------------------------------
    Row(
        "A handle on a feed of another type would do damage: it is refused.",
        ("create_existing_of_other_type", "create_existing_of_other_type_with_config"),
        raised="WrongFeedType",
    ),
    Row(
        "A handle's options are set on a feed that exists, and announced.",
        ("create_existing_with_config",),
        after={"feed.config:f1": {"type": "feed", "max_length": "3"}},
        messages=[["conffeed", "f1\0<instance>"]],
    ),
    Row(
        "A feed without a type, as older programs leave it for an instant, is given its type.",
        ("create_existing_without_config_hash",),
        after={"feed.config:f1": {"type": "feed"}},
        messages=[["conffeed", "f1\0<instance>"]],
        raised=GONE,
        returned="Feed",
    ),
    Row(
        "Setting an option never changes the type.",
        ("set_config_without_type_on_job",),
        after={"feed.config:f1": {"type": "job", "max_length": "5"}},
    ),
    Row(
        "delete leaves no key behind.",
        ("delete_job",),
        after={"feed.published:f1": GONE, "feed.finishes:f1": GONE},
    ),
    # -- feeds ------------------------------------------------------------------------------
    Row(
        "No limit is no entry: thoonk.js takes 0 for a limit, txthoonk 0.1 cannot publish then.",
        ("feed_max_length_0",),
        before={"feed.config:f1": {"type": "feed"}},
        after={"feed.config:f1": {"type": "feed"}},
    ),
    Row(
        "An edit adds nothing, so it evicts nothing.",
        ("feed_max_length_edit_newest_when_full",),
        after={
            "feed.ids:f1": [[id, "milliseconds"] for id in "123"],
            "feed.items:f1": {"1": "item-1", "2": "item-2", "3": "changed"},
        },
        messages=[["feed.edit:f1", "3\0changed"]],
    ),
    # -- sorted feeds -----------------------------------------------------------------------
    Row(
        "Nothing happened, and the caller is told so.",
        ("sorted_edit_missing", "sorted_move_missing_id", "sorted_move_missing_relative"),
        raised="ItemDoesNotExist",
    ),
    Row(
        "Without the other item nothing is published, so no id is used up, and none returned.",
        ("sorted_publish_after_missing", "sorted_publish_before_missing"),
        after={"feed.idincr:f1": "3"},
        raised="ItemDoesNotExist",
    ),
    Row(
        "An item beside itself would be gone from its feed.",
        ("sorted_move_before_itself",),
        after={"feed.ids:f1": ["1", "2", "3"]},
        messages=[],
        raised="ValueError",
    ),
    Row(
        ":begin is understood, and written as the contract has it.",
        ("sorted_move_colon_begin",),
        messages=[["feed.position:f1", "2\0begin:"]],
    ),
    Row(
        "An item beside others is published as any other, so it counts as one.",
        ("sorted_publish_after", "sorted_publish_before"),
        after={"feed.publishes:f1": "4"},
    ),
    # -- queues -----------------------------------------------------------------------------
    Row(
        "A put before all others works.",
        ("queue_put_priority",),
        after={
            "feed.ids:f1": ["<id:old>", "<id:new>"],
            "feed.items:f1": {"<id:old>": "old", "<id:new>": "new"},
            "feed.publishes:f1": "2",
        },
        raised=GONE,
        returned="<id:new>",
    ),
    Row(
        "An id without item is nothing to take: the next one is waited for.",
        ("queue_get_item_gone",),
        raised="Empty",
    ),
    # -- jobs -------------------------------------------------------------------------------
    Row(
        "An id without item is no job, and is not claimed: the next one is waited for.",
        ("job_get_item_gone",),
        after={"feed.claimed:f1": GONE},
        messages=[],
        raised="Empty",
    ),
    Row(
        "A job that somebody works on is not handed out again.",
        ("job_get_already_claimed",),
        messages=[],
        raised="Empty",
    ),
    Row(
        "Nothing happened, and the caller is told so.",
        ("job_cancel_unclaimed", "job_finish_missing", "job_finish_unclaimed"),
        raised="JobNotClaimed",
    ),
    Row(
        "What is not stalled is not queued a second time.",
        ("job_retry_not_stalled",),
        after={
            "feed.ids:f1": ["<id:a>"],
            "feed.published:f1": [["<id:a>", "milliseconds"]],
        },
        raised="JobNotStalled",
    ),
    Row(
        "What is not there is not queued.",
        ("job_retry_missing",),
        after={"feed.ids:f1": GONE, "feed.published:f1": GONE},
        raised="JobNotStalled",
    ),
    Row(
        "stall takes available jobs too.",
        ("job_stall_unclaimed",),
        after={
            "feed.ids:f1": GONE,
            "feed.published:f1": GONE,
            "feed.stalled:f1": {"<id:a>"},
        },
    ),
)


def changes(row: Row) -> list[tuple[str, str | None, Any]]:
    """The differences of a row, one by one: where, at which key, what is there with us."""
    found: list[tuple[str, str | None, Any]] = [
        (what, None, getattr(row, what))
        for what in ("messages", "raised", "returned")
        if getattr(row, what) is not SAME
    ]
    found += [("before", key, value) for key, value in row.before.items()]
    found += [("after", key, value) for key, value in row.after.items()]
    if row.raised not in (SAME, GONE):
        found.append(("returned", None, GONE))
    return found


def differing(expected: dict[str, Any], row: Row) -> dict[str, Any]:
    """What is to be expected where *row* says so; each of its words must be news."""
    changed = {**expected, "before": {**expected["before"]}, "after": {**expected["after"]}}
    if row.milliseconds is not None:
        for keys in (changed["before"], changed["after"]):
            if row.milliseconds in keys:
                members = keys[row.milliseconds]
                keys[row.milliseconds] = [[member, "milliseconds"] for member, _ in members]
        assert changed != expected, f"no clock differs: {row.why}"
    for what, key, value in changes(row):
        holder, name = (changed, what) if key is None else (changed[what], key)
        assert holder.get(name, GONE) != value, f"{what} {key} is no difference: {row.why}"
        holder[name] = value
        if key is not None and value is GONE:
            del holder[name]
    return changed


class RecordTests(ThoonkTestCase):
    """One test for each record; see the module."""

    async def setUp(self) -> None:
        server = await self.own_server()
        self.redis_url = server.url
        self.thoonk = await self.start_thoonk()
        self.redis = self.thoonk.redis

    async def replay(self, name: str) -> None:
        record = RECORDS[name]
        expected = expectation(record)
        for row in DIFFERENCES:
            if name in row.records:
                expected = differing(expected, row)
        names = {self.thoonk.uuid: "<instance>"}
        ids = await self.prepare(record, names)
        before = await dump(self.redis, names, expected["before"])

        heard = await self.listen("*")
        raised, returned = GONE, GONE
        try:
            arguments = replaced(record["arguments"], ids)
            returned = await call(self.thoonk, record["operation"], arguments)
        except Exception as error:
            raised = type(error).__name__
        if isinstance(returned, str) and len(returned) >= 32:
            names.setdefault(returned, "<id:new>")
        after = await dump(self.redis, names, expected["after"])
        messages = await self.messages(heard, names)

        self.assertEqual(before, expected["before"])
        self.assertEqual(after, expected["after"])
        self.assertEqual(messages, expected["messages"])
        self.assertEqual(raised, expected["raised"])
        if expected["returned"] is not None or record["operation"] in READS:
            self.assertEqual(replaced(plain(returned), names), expected["returned"])

    async def prepare(self, record: dict[str, Any], names: dict[str, str]) -> dict[str, str]:
        """Do the operations of the setup.

        :param names: what our ids are called in comparisons; gets those made here.
        :returns: recorded ids, and ours in their place.
        """
        ids = {}
        recorded = symbols(record)
        unmade = sorted(name for name in recorded if name not in ("instance", "id:new"))
        for operation, arguments in record["setup"]:
            arguments = replaced(arguments, ids)
            if operation == "redis":
                await self.redis.execute(*arguments)
            elif operation == "create":
                kind = TYPES[arguments["type"]]
                await self.thoonk.create_feed(arguments["feed"], arguments.get("config"), type=kind)
            else:
                id = await call(self.thoonk, operation, arguments)
                if operation in ("job.put", "queue.put"):
                    ids[recorded[unmade[0]]] = id
                    names[id] = f"<{unmade.pop(0)}>"
        self.assertEqual(unmade, [], "ids that the record speaks of")
        return ids

    async def messages(self, heard: list[tuple[str, bytes]], names: dict[str, str]) -> list[Any]:
        """All messages up to now, but ours alone."""
        end = ("tx.end", b"")
        await self.redis.execute("PUBLISH", *end)
        await until(lambda: end in heard)
        return [
            [channel, replaced(payload.decode(), names)]
            for channel, payload in heard
            if not channel.startswith("tx.")
        ]


class TableTests(SynchronousTestCase):
    """Nothing is left out by accident."""

    def test_rows(self) -> None:
        """
        Each row is about records that are there, and each record is replayed or excluded.
        """
        excluded = {name for row in DIFFERENCES if row.excluded for name in row.records}
        named = {name for row in DIFFERENCES for name in row.records}
        self.assertEqual(named - RECORDS.keys(), set())
        replayed = {name for name in RECORDS if hasattr(RecordTests, f"test_{name}")}
        self.assertEqual(replayed | excluded, RECORDS.keys())
        self.assertEqual(replayed & excluded, set())
        self.assertTrue(all(row.why for row in DIFFERENCES))

    def test_files(self) -> None:
        """
        All records are there, and nothing but records.
        """
        self.assertEqual({name for name in RECORDS if RECORDS[name]["scenario"] != name}, set())
        self.assertEqual({path.suffix for path in FOLDER.iterdir()}, {".json"})
        self.assertEqual(len(RECORDS), 108)

    def test_needless_row(self) -> None:
        """
        A row that says what the record says anyway is refused.
        """
        expected = expectation(RECORDS["feed_retract"])
        for needless in (
            Row("", (), messages=expected["messages"]),
            Row("", (), after={"feeds": {"f1"}}),
            Row("", (), before={"feed.claimed:f1": GONE}),
            Row("", (), raised=GONE),
            Row("", (), milliseconds="feed.published:f1"),
        ):
            self.assertRaises(AssertionError, differing, expected, needless)


def _add_test(name: str) -> None:
    async def test(self: RecordTests) -> None:
        await self.replay(name)

    test.__doc__ = f"As recorded: {name.replace('_', ' ')}."
    test.__name__ = f"test_{name}"
    setattr(RecordTests, test.__name__, test)


_EXCLUDED: Final = {name for row in DIFFERENCES if row.excluded for name in row.records}
for _name in RECORDS.keys() - _EXCLUDED:
    _add_test(_name)
