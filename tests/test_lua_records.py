"""The records of thoonk-jobs 1.0, replayed in dialect ``lua``; and by the peer of our own tests.

Each file of ``vectors/thoonk_jobs_1_0`` is one operation of thoonk-jobs 1.0.0 on thoonk.js 1.0.0.
It is done with txThoonk as ``test_records`` does those of thoonk.py; where txThoonk means to differ
a row of :data:`DIFFERENCES` says why. ``lua_peer.JobsPeer``, which the other tests of this dialect
have beside them, has no differences: not even in the commands that it sends.

One thing is different in all of them, by :data:`TYPED`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import connectProtocol
from twisted.protocols.basic import LineOnlyReceiver
from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import Heard, ThoonkTestCase, until
from tests.lua_peer import PEER_ERRORS, JobsPeer, Refused
from tests.replay import GONE, call, dump, expectation, plain, replaced, symbols
from tests.test_records import Row, differing

FOLDER: Final = Path(__file__).parent / "vectors" / "thoonk_jobs_1_0"
RECEIVED: Final = "receive"
RECORDS: Final[dict[str, dict[str, Any]]] = {
    path.stem: json.loads(path.read_text("utf-8"))
    for path in sorted(FOLDER.iterdir())
    if path.stem != RECEIVED
}
CASES: Final = json.loads((FOLDER / f"{RECEIVED}.json").read_text("utf-8"))["cases"]

CONFIG: Final = "job.config:f1"
PUBLISHED: Final = "job.published:f1"

#: In all of them: key -> what it has besides.
TYPED: Final = {CONFIG: {"type": "job"}}

DIFFERENCES: Final = (
    Row(
        "An id without item is no job, and is not claimed: the next one is waited for.",
        ("job_get_item_gone",),
        after={"job.claimed:f1": GONE},
        raised="Empty",
    ),
    Row(
        "A job that somebody works on is not handed out again: the next one is waited for.",
        ("job_get_already_claimed",),
        raised="Empty",
    ),
    Row(
        "A job that was never cancelled was cancelled 0 times.",
        ("job_failure_count_none",),
        returned="0",
    ),
    Row(
        "An empty result is a result.",
        ("job_finish_empty_result",),
        messages=[["event.job.finish:f1", "<id:a>\0"]],
    ),
    Row(
        "What is there already is not queued again, nor its item replaced: edit does that.",
        ("job_put_same_id",),
        after={
            "job.ids:f1": ["mine"],
            "job.items:f1": {"mine": '"new"'},
            "job.publishes:f1": "1",
        },
    ),
    Row(
        "A stalled job is not published: thoonk-jobs misspells that key.",
        ("job_stall",),
        after={PUBLISHED: GONE},
    ),
    Row(
        "The same, in what is stalled beforehand.",
        ("job_retract_stalled",),
        before={PUBLISHED: GONE},
    ),
    Row(
        "The same, in what is stalled beforehand.",
        ("job_retry",),
        before={PUBLISHED: [["<id:b>", "milliseconds"]]},
    ),
    Row(
        "stall takes available jobs too.",
        ("job_stall_unclaimed",),
        after={"job.ids:f1": GONE, PUBLISHED: GONE, "job.stalled:f1": {"<id:a>"}},
        raised=GONE,
        returned=None,
    ),
    Row(
        "What is not there is taken out by nobody, which is no error: retract fires with False.",
        ("job_retract_missing",),
        raised=GONE,
        returned=False,
    ),
)


def told(record: dict[str, Any]) -> tuple[Any, Any]:
    """What a caller is to be told in our words: the name of an error, and a result."""
    error, *values = record["returned"]["value"]
    if error is not None:
        return PEER_ERRORS.get(error, error), values
    operation = record["operation"]
    if operation == "job.get":
        return GONE, [values[1], None if values[0] is None else json.loads(values[0])]
    if operation == "job.put":
        return GONE, values[1]
    if operation == "job.failure_count":
        return GONE, values[0]
    return GONE, True if operation == "job.retract" else None


def expected_of(name: str, typed: bool) -> dict[str, Any]:
    """What a record says, in our words.

    :param typed: whether options have a type.
    """
    record = RECORDS[name]
    expected = expectation(record)
    raised, returned = told(record)
    names = {value: f"<{name}>" for name, value in symbols(record).items()}
    expected |= {"raised": raised, "returned": replaced(returned, names)}
    for keys in (expected["before"], expected["after"]):
        if typed and "jobs" in keys:
            # Ours has no feed without a type; thoonk-jobs does not read its options.
            keys |= {key: {**keys.get(key, {}), **more} for key, more in TYPED.items()}
    return expected


class _Replaying(ThoonkTestCase):
    """A server of its own, and an instance that speaks the dialect."""

    async def setUp(self) -> None:
        server = await self.own_server()
        self.redis_url = server.url
        self.thoonk = await self.start_thoonk(dialect="lua")
        self.redis = self.thoonk.redis

    async def replay(self, name: str, expected: dict[str, Any], do: Any) -> None:
        """Do the setup and the operation of a record, and compare.

        :param do: does an operation; fires with its result, or raises.
        """
        record = RECORDS[name]
        names: dict[str, str] = {}
        ids: dict[str, str] = {}
        recorded = symbols(record)
        unmade = sorted(each for each in recorded if each not in ("instance", "id:new"))
        for operation, arguments in record["setup"]:
            result = await do(operation, replaced(arguments, ids))
            if operation == "job.put" and "id" not in arguments:
                ids[recorded[unmade[0]]] = result
                names[result] = f"<{unmade.pop(0)}>"
        self.assertEqual(unmade, [], "ids that the record speaks of")
        before = await dump(self.redis, names, expected["before"])
        heard = await self.listen("*")
        commands = await self.monitor()
        raised, returned = GONE, GONE
        try:
            returned = await do(record["operation"], replaced(record["arguments"], ids))
        except Refused as error:
            raised = PEER_ERRORS.get(str(error), str(error))
        except Exception as error:
            raised = type(error).__name__
        if isinstance(returned, str) and len(returned) >= 32:
            names.setdefault(returned, "<id:new>")
        after = await dump(self.redis, names, expected["after"])
        end = ("tx.end", b"")
        await self.redis.execute("PUBLISH", *end)
        await until(lambda: end in heard)
        messages = [
            [channel, replaced(payload.decode(), names)]
            for channel, payload in heard
            if not channel.startswith("tx.")
        ]
        self.assertEqual(before, expected["before"])
        self.assertEqual(after, expected["after"])
        self.assertEqual(messages, expected["messages"])
        self.assertEqual(raised, expected["raised"])
        if raised is GONE:
            self.assertEqual(replaced(plain(returned), names), expected["returned"])
        if "commands" in expected:
            sent = [[replaced(part, names) for part in each] for each in commands()]
            self.assertEqual(sent, expected["commands"])

    async def monitor(self) -> Any:
        """Watch commands; what is returned gives those up to the DUMPs of the test."""
        monitor = _Monitor()
        await connectProtocol(self.endpoint(), monitor)
        self.addCleanup(monitor.close)
        monitor.sendLine(b"MONITOR")
        await monitor.begun
        return monitor.commands


class RecordTests(_Replaying):
    """One test for each record: txThoonk does what thoonk-jobs does."""

    async def do(self, operation: str, arguments: Any) -> Any:
        """By our API."""
        if operation == "redis":
            return await self.redis.execute(*arguments)
        if operation == "create":
            await self.thoonk.create_feed(
                arguments["feed"], arguments.get("config"), type=arguments.get("type", "job")
            )
            return None
        result = await call(self.thoonk, operation, arguments)
        return list(result[:2]) if operation == "job.get" else result

    async def replay_ours(self, name: str) -> None:
        expected = expected_of(name, typed=True)
        for row in DIFFERENCES:
            if name in row.records:
                expected = differing(expected, row)
        await self.replay(name, expected, self.do)


class PeerTests(_Replaying):
    """The peer of our tests is thoonk-jobs, to the last command."""

    async def do(self, operation: str, arguments: Any) -> Any:
        """By the peer."""
        if operation == "redis":
            return await self.redis.execute(*arguments)
        arguments = dict(arguments)
        peer = JobsPeer(self.peer, arguments.pop("feed"))
        arguments.pop("type", None)
        if "config" in arguments:
            arguments.update(arguments.pop("config"))
        result = await getattr(peer, operation.rpartition(".")[2])(**arguments)
        if operation == "job.get":
            return [result[0], None if result[1] is None else json.loads(result[1])]
        return True if operation == "job.retract" else result

    async def replay_peer(self, name: str) -> None:
        self.peer = await self.connect()
        record = RECORDS[name]
        expected = expected_of(name, typed=False)
        names = {value: f"<{symbol}>" for symbol, value in symbols(record).items()}
        expected["commands"] = [
            [
                part if str(i) not in sent.get("time", {}) else "<clock>"
                for i, part in enumerate(replaced(sent["command"], names))
            ]
            for sent in record["commands"]
            if sent["command"][0] != "info"
        ]
        for sent in expected["commands"]:
            if sent[0] == "EVALSHA":
                sent[1] = "<sha>"
        await self.replay(name, expected, self.do)


class ReceiveTests(ThoonkTestCase):
    """Messages of thoonk-jobs, and what our handlers make of them."""

    async def test_received(self) -> None:
        """
        A finish is heard with and without its NUL, and nothing of the other dialect is.
        """
        thoonk = await self.start_thoonk(dialect="lua")
        heard, everything = Heard(), Heard()
        await thoonk.subscribe("j1", finish=heard)
        await thoonk.register_handler("event.job.finish:j1", everything)
        for case in CASES:
            channel, payload = case["message"]
            await self.redis.execute("PUBLISH", channel, payload)
        await self.redis.execute("PUBLISH", "event.job.finish:j1", "end")
        await until(lambda: len(heard) and heard[-1].id == "end")
        self.assertEqual(
            [[event.id, event.result] for event in heard[:-1]],
            # thoonk.js cuts at the second NUL.
            [["mine", "result"], ["mine", None], ["mine", "a\0b"]],
        )
        self.assertEqual(everything[0], ("mine", "result"))


class TableTests(SynchronousTestCase):
    """Nothing is left out by accident."""

    def test_rows(self) -> None:
        """
        Each row is about records that are there, and each record is replayed, by both.
        """
        named = {name for row in DIFFERENCES for name in row.records}
        self.assertEqual(named - RECORDS.keys(), set())
        for tests in (RecordTests, PeerTests):
            self.assertEqual({n for n in RECORDS if hasattr(tests, f"test_{n}")}, RECORDS.keys())
        self.assertEqual(len(RECORDS), 37)
        self.assertTrue(all(row.why for row in DIFFERENCES))


class _Monitor(LineOnlyReceiver):
    """A connection that is told every command."""

    def __init__(self) -> None:
        self.begun: Deferred[None] = Deferred()
        self._gone: Deferred[None] = Deferred()
        self._lines: list[str] = []

    def lineReceived(self, line: bytes) -> None:
        if self.begun.called:
            self._lines.append(line.decode())
        else:
            self.begun.callback(None)

    def connectionLost(self, reason: Any = None) -> None:
        self._gone.callback(None)

    def close(self) -> Deferred[None]:
        """Hear no more."""
        self.transport.loseConnection()
        return self._gone

    def commands(self) -> list[list[str]]:
        """Those up to the first that looks at all keys, without clocks and digests."""
        found = []
        for line in self._lines:
            words = [_unescaped(part) for part in re.findall(r'"((?:[^"\\]|\\.)*)"', line)]
            if words[0] == "KEYS":
                break
            if words[0] == "SCRIPT":
                continue
            if words[0] == "EVALSHA":
                words[1] = "<sha>"
            found.append([re.sub(r"^1[0-9]{12}$", "<clock>", word) for word in words])
        return found


def _unescaped(text: str) -> str:
    """As MONITOR shows bytes."""
    return re.sub(
        r"\\(x[0-9a-f]{2}|.)",
        lambda m: chr(int(m[1][1:], 16)) if len(m[1]) == 3 else {"n": "\n"}.get(m[1], m[1]),
        text,
    )


def _add_tests(name: str) -> None:
    async def ours(self: RecordTests) -> None:
        await self.replay_ours(name)

    async def peers(self: PeerTests) -> None:
        await self.replay_peer(name)

    for tests, test in ((RecordTests, ours), (PeerTests, peers)):
        test.__doc__ = f"As recorded: {name.replace('_', ' ')}."
        test.__name__ = f"test_{name}"
        setattr(tests, test.__name__, test)


for _name in RECORDS:
    _add_tests(_name)
