"""The contract as a thing of its own: our driver keeps it, and whoever does not is found out."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase

from tests.conformance_helpers import RunCase, failing
from tests.helpers import ThoonkTestCase
from txthoonk.conformance import runner
from txthoonk.conformance.command import OURS
from txthoonk.conformance.compare import compare_keys, compare_messages
from txthoonk.conformance.digests import wrong_digests
from txthoonk.conformance.driver import Does
from txthoonk.conformance.protocol import DriverFailed
from txthoonk.conformance.runner import Report, Result
from txthoonk.conformance.stage import Stage
from txthoonk.conformance.symbols import Symbols
from txthoonk.conformance.table import rows, table
from txthoonk.conformance.values import from_json, to_json
from txthoonk.conformance.vectors import ANY, PARTS, all_vectors
from txthoonk.conformance.witness import told_too_early
from txthoonk.target import Target

ROOT: Final = Path(__file__).parent.parent


class OwnDriverTests(RunCase):
    """Ours."""

    async def test_all(self) -> None:
        """
        Our own driver offers every verb there is, keeps the whole contract, and nothing is left.
        """
        report = await self.play(OURS)
        self.assertEqual([r for r in report.results if r.differs], [])
        self.assertEqual((len(report.results), report.left_out), (len(all_vectors()), {}))
        self.assertEqual(report.notes, [])
        left = [key for key in await self.redis.execute("KEYS", "*") if b"conformance:" in key]
        self.assertEqual(left, [])
        names = await self.redis.execute("SMEMBERS", "feeds")
        self.assertFalse([name for name in names if name.startswith(b"conformance:")])

    async def test_others_stay(self) -> None:
        """
        Feeds of others in the same database are not touched.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name)
        await feed.publish("item", id="1")
        before = await self.keys_of(name)
        report = await self.play(OURS, [v for v in all_vectors() if v.verb == "delete"])
        self.assertEqual(failing(report), set())
        self.assertEqual(await feed.get_all(), {"1": "item"})
        self.assertEqual(await self.keys_of(name), before)


class BadDriverTests(RunCase):
    """Drivers that are none."""

    async def test_no_program(self) -> None:
        """
        A command that starts nothing is an error, in words.
        """
        error = await self.assertFailure(
            Deferred.fromCoroutine(self.play("/nowhere/driver")), DriverFailed
        )
        self.assertIn("driver", str(error))

    async def test_no_command(self) -> None:
        """
        So is an empty one.
        """
        await self.assertFailure(Deferred.fromCoroutine(self.play("  ")), DriverFailed)

    async def test_nonsense(self) -> None:
        """
        What answers with something else than a line of JSON is no driver.
        """
        for said in ("hello", "[]", "{}", '{\\"id\\": 7}'):
            command = self.script(f'import sys\nsys.stdin.readline()\nprint("{said}")\ninput()')
            error = await self.assertFailure(
                Deferred.fromCoroutine(self.play(command)), DriverFailed
            )
            self.assertIn("answered", str(error))

    async def test_silent(self) -> None:
        """
        One that does not answer in time is ended.
        """
        self.patch(runner, "PATIENCE", 0.3)
        command = self.script("import sys, time\nsys.stdin.readline()\ntime.sleep(600)")
        error = await self.assertFailure(Deferred.fromCoroutine(self.play(command)), DriverFailed)
        self.assertIn("did not answer hello within 0.3 seconds", str(error))

    async def test_no_verbs(self) -> None:
        """
        One whose hello says nothing of verbs is told so; one that has none has an empty table.
        """
        for said, expected in (("3", DriverFailed), ('{\\"verbs\\": []}', None)):
            reply = f'{{\\"id\\": 1, \\"returned\\": {said}}}'
            command = self.script(
                f'import sys\ninput()\nprint("{reply}", flush=True)\nsys.stdin.read()'
            )
            playing = Deferred.fromCoroutine(self.play(command))
            if expected is not None:
                await self.assertFailure(playing, expected)
            else:
                self.assertEqual((await playing).results, [])

    async def test_dies(self) -> None:
        """
        A driver that dies of a request fails in that row, and is started again for the next one.
        """
        command = self.script(
            "import json, os, sys\n"
            "for line in sys.stdin:\n"
            "    request = json.loads(line)\n"
            "    verb, reply = request['verb'], {'id': request['id']}\n"
            "    if verb == 'exists': os._exit(3)\n"
            "    offered = {'verbs': ['exists', 'feed.get_ids']}\n"
            "    reply['returned'] = offered if verb == 'hello' else []\n"
            "    print(json.dumps(reply), flush=True)\n"
        )
        vectors = [v for v in all_vectors() if v.verb in ("exists", "feed.get_ids", "create")]
        report = await self.play(command, vectors)
        shown = {(verb, count, passed) for _, verb, count, passed, _ in rows(report)}
        self.assertEqual(shown, {("exists", 2, 0), ("feed.get_ids", 2, 1)})
        self.assertIn("the driver ended", report.results[0].differs[0])
        self.assertEqual(report.left_out[("contract", "create")], 8)
        self.assertIn("revisions", {part for part, _ in report.left_out})
        self.assertIn("not offered", "\n".join(table(report)))


class StageTests(ThoonkTestCase):
    """What the runner sees of a real Redis."""

    async def stage(self, url: str) -> Stage:
        """Somebody who looks."""
        from twisted.internet import reactor

        stage = await Stage(reactor, Target.parse(url), f"conformance:{self.feed_name()}").open()
        self.addCleanup(lambda: Deferred.fromCoroutine(stage.close()))
        return stage

    async def test_too_early(self) -> None:
        """
        A message before its write is seen on the wire, unless both are in one script or one MULTI;
        what others do meanwhile does not count.
        """
        stage = await self.stage(self.redis_url)
        name = f"{stage.start}:0001"
        tell = ("PUBLISH", f"feed.publish:{name}", "1\0x")
        write = ("HSET", f"feed.items:{name}", "1", "x")
        script = (
            f"redis.call('PUBLISH', '{tell[1]}', 'x') redis.call('HSET', '{write[1]}', 'a', 'b')"
        )
        early = [f"tells {tell[1]} before HSET {write[1]}"]
        raw, other = await self.connect(), await self.connect()
        for commands, expected in (
            ([write, tell], []),
            ([tell, write], early),
            ([("MULTI",), tell, write, ("EXEC",)], []),
            ([("MULTI",), tell, ("EXEC",), write], early),
            ([("EVAL", script, 0)], []),
            ([("EVAL", script, 0), write], early),
        ):
            stage.begin()
            for command in commands:
                await raw.execute(*command)
                await other.execute("SET", "unrelated", "1")
            told, seen = await stage.end(name)
            self.assertEqual(seen, expected, commands)
            self.assertEqual([channel for channel, _ in told], [tell[1]])
        await other.execute("DEL", "unrelated")

    async def test_password(self) -> None:
        """
        A Redis with users: the runner logs in; one who may not use MONITOR is told what is missing.
        """
        server = await self.own_server()
        raw = await self.connect(server.url)
        for rule, sees in (("+@all", True), ("-monitor", False)):
            await raw.execute("ACL", "SETUSER", "me", "on", ">pass", "~*", "&*", "+@all", rule)
            url = server.url.replace("redis+unix://", "redis+unix://me:pass@")
            self.assertNotEqual(url, server.url)
            stage = await self.stage(url)
            self.assertEqual(stage.monitor is not None, sees)
            stage.begin()
            await raw.execute("PUBLISH", f"feed.retract:{stage.start}:0001", "1")
            told, _ = await stage.end(f"{stage.start}:0001")
            self.assertEqual(told, [(f"feed.retract:{stage.start}:0001", "1")])

    async def test_keys(self) -> None:
        """
        Keys of every type are put there, seen as they were put, and removed.
        """
        stage = await self.stage(self.redis_url)
        name = f"{stage.start}:0001"
        given = {
            "feeds": {"type": "set", "value": [name]},
            f"a:{name}": {"type": "string", "value": "\udcff\0"},
            f"b:{name}": {"type": "hash", "value": {"é": "☃"}},
            f"c:{name}": {"type": "list", "value": ["2", "1"]},
            f"d:{name}": {"type": "zset", "value": [["x", "1.5"], ["y", "1795200000000"]]},
            f"e:{name}": {"type": "stream", "value": [["7-0", {"e": "x"}]]},
            f"f:{name}": {"type": "set", "value": ["a", "b"]},
        }
        await stage.prepare(given)
        self.assertEqual(await stage.look(name), given)
        await stage.remove(name)
        self.assertEqual(await stage.look(name), {})


class CommandTests(ThoonkTestCase):
    """``thoonk conformance``."""

    timeout = 240

    async def thoonk_says(self, *args: str) -> tuple[str, int]:
        """What the command line prints, and its exit status."""
        command = ["-m", "txthoonk", "conformance", "--redis", self.redis_url, *args]
        out, _, status = await getProcessOutputAndValue(sys.executable, command, env=None)
        return out.decode(), status

    async def test_table(self) -> None:
        """
        It prints a row for each verb, and exits with 0 if all passed.
        """
        out, status = await self.thoonk_says("--only", "feed.get_*", "--only", "delete")
        lines = out.splitlines()
        self.assertEqual(lines[0].split()[:3], ["verb", "vectors", "passed"])
        self.assertIn(["delete", "5", "5"], [line.split() for line in lines])
        self.assertIn("vectors passed (100 %)", lines[-1])
        self.assertEqual(status, 0)

    async def test_differs(self) -> None:
        """
        It says what differs, exits with 1, and shows all of it if asked to.
        """
        faulty = shlex.join([sys.executable, "-m", "tests.faulty_driver", "wrong score unit"])
        out, status = await self.thoonk_says("--driver", faulty, "--only", "feed.publish")
        self.assertEqual(status, 1)
        self.assertIn("the first item: feed.ids:[feed] is", out)
        self.assertRegex(out, r"\n +and \d+ more\n")
        out, status = await self.thoonk_says("--driver", faulty, "--only", "feed.publish", "--all")
        self.assertNotRegex(out, r"\n +and \d+ more\n")

    async def test_nothing_to_do(self) -> None:
        """
        A verb that does not exist is an error, not a success.
        """
        self.assertEqual((await self.thoonk_says("--only", "feed.jump"))[1], 1)


class VectorTests(SynchronousTestCase):
    """What ships."""

    def test_every_verb(self) -> None:
        """
        Each verb that a driver may offer has vectors.
        """
        self.assertEqual({v.verb for v in all_vectors()}, set(Does().verbs))

    def test_parts(self) -> None:
        """
        Those of the contract say nothing of what is ours alone; each says what its rule is.
        """
        seen = set()
        for vector in all_vectors():
            self.assertIn(vector.part, PARTS)
            self.assertTrue(vector.says and vector.steps, vector.name)
            known_as = (vector.part, vector.verb, vector.name)
            self.assertNotIn(known_as, seen)
            seen.add(known_as)
            if vector.part == "contract":
                keys = [*vector.given, *(k for s in vector.steps for k in s.after or {})]
                told = [channel for step in vector.steps for channel, _ in step.messages]
                self.assertFalse([k for k in keys + told if k.startswith("tx.")], vector.name)

    def test_something_is_compared(self) -> None:
        """
        Each has an outcome: an answer, an error, or what a listener made of a message.
        """
        for vector in all_vectors():
            last = vector.steps[-1]
            outcome = (
                last.returned is not ANY or last.raised or last.contains or last.heard or last.after
            )
            self.assertTrue(outcome, (vector.verb, vector.name))

    def test_ships(self) -> None:
        """
        The wheel has the vectors, the Lua tree and its manifest.
        """
        listed = (ROOT / "setup.py").read_text()
        for pattern in ("conformance/vectors/*/*.json", "lua/*.json", "lua/*/*.lua"):
            self.assertIn(pattern, listed)


class CompareTests(SynchronousTestCase):
    """What is the same, and what is not."""

    def setUp(self) -> None:
        self.symbols = Symbols({"feed": "f"}, 1795200000000)
        self.symbols.window = (1795200000000, 1795200000100)

    def test_clocks(self) -> None:
        """
        A clock must be in its unit, and of now; what was given must be as it was given.
        """
        for expected, actual, same in (
            ("<now>", "1795200000050", True),
            ("<now>", "1795200000050.123", True),
            ("<now>", "1795200000.05", False),
            ("<now>", "1795200009000", False),
            ("<now s>", "1795200000.05", True),
            ("<now s>", "1795200000050", False),
            ("<now+60000>", "1795200060050", True),
            ("<now+60000>", "1795200000050", False),
            ("<then-5000>", "1795199995000", True),
            ("<then-5000>", "1795199995001", False),
            ("<then-5000 s>", "1795199995", True),
            ("<then+3600000.001>", "1795203600000.001", True),
        ):
            self.assertEqual(self.symbols.match_score(expected, actual), same, (expected, actual))

    def test_names(self) -> None:
        """
        A symbol stands for the same thing everywhere in a vector.
        """
        self.assertTrue(self.symbols.match("<id:1>", "abc"))
        self.assertTrue(self.symbols.match(["<id:1>\0x"], ["abc\0x"]))
        self.assertFalse(self.symbols.match("<id:1>", "abd"))
        self.assertTrue(self.symbols.match({"<id:1>": "<feed>"}, {"abc": "f"}))
        self.assertFalse(self.symbols.match("<id:2>\0", "has a space\0"))
        self.assertFalse(self.symbols.match(1, True))

    def test_messages(self) -> None:
        """
        Messages are compared in order, and what is missing or too many is named.
        """
        a, b = ["a:<feed>", "1"], ["b:<feed>", "2"]
        compare = compare_messages
        self.assertEqual(compare([a, b], [("a:f", "1"), ("b:f", "2")], self.symbols), [])
        swapped = compare([a, b], [("b:f", "2"), ("a:f", "1")], self.symbols)
        self.assertEqual(swapped, ['tells in the order ["b:f", "a:f"]'])
        self.assertEqual(compare([a], [], self.symbols), ['does not tell ["a:f", "1"]'])
        self.assertEqual(compare([], [("a:f", "1")], self.symbols), ['tells ["a:f", "1"]'])

    def test_keys(self) -> None:
        """
        A key too many, one that is missing, one of another type: each is named.
        """
        text: dict[str, Any] = {"type": "string", "value": "1"}
        other: dict[str, Any] = {"type": "list", "value": ["1"]}
        self.assertEqual(compare_keys({"k:<feed>": text}, {"k:f": text}, self.symbols), [])
        for expected, actual, said in (
            ({}, {"k:f": text}, 'leaves k:f "1"'),
            ({"k:<feed>": text}, {}, "k:f is not there"),
            ({"k:<feed>": text}, {"k:f": other}, "k:f is a list, not a string"),
            ({"k:<feed>": text}, {"k:f": {**text, "value": "2"}}, 'k:f is "2", not "1"'),
        ):
            self.assertEqual(compare_keys(expected, actual, self.symbols), [said])

    def test_too_early(self) -> None:
        """
        What is told before it is written is seen, whatever way a program writes; inside of one
        transaction the order does not matter.
        """
        publish = ["PUBLISH", "feed.publish:f", "1\0x"]
        write = ["HSET", "feed.items:f", "1", "x"]
        self.assertEqual(told_too_early([(1, write), (2, publish)], "f"), [])
        self.assertEqual(told_too_early([(1, publish), (1, write)], "f"), [])
        early = told_too_early([(1, publish), (2, write)], "f")
        self.assertEqual(early, ["tells feed.publish:f before HSET feed.items:f"])
        for harmless in (["HGET", "feed.items:f", "1"], ["HSET", "tx.feed.lease:f", "1", "x"]):
            self.assertEqual(told_too_early([(1, publish), (2, harmless)], "f"), [])

    def test_digests(self) -> None:
        """
        A digest is right only if what it is made of was.
        """
        now = 1795200000050
        micros, before = now * 1000, 77
        right = (31 * before + micros + 3) % 99999999999973
        for digest, wrong in ((right, 0), (right + 9_000_000, 1)):
            change = f"4 1 {digest} 1 publish\0\x001\0x"
            found, _ = wrong_digests([("tx.feed.event:0:f", change)], before, (now, now))
            self.assertEqual(len(found), wrong)

    def test_bytes(self) -> None:
        """
        Text and bytes go through JSON and come back.
        """
        for data in (b"", b"a\0b", "é☃".encode(), b"\xff\xfe\0"):
            text = data.decode("utf-8", "surrogateescape")
            self.assertEqual(
                from_json(json.loads(json.dumps(to_json({"k": [data]})))), {"k": [text]}
            )


class TableTests(SynchronousTestCase):
    """What is printed."""

    def test_other_verb(self) -> None:
        """
        What goes wrong on the way to a verb is in the row of the verb it goes wrong in.
        """
        vector = next(v for v in all_vectors() if v.verb == "job.extend")
        report = Report("D", [Result(vector, ("returns 1",), "job.get"), Result(vector)])
        self.assertEqual(
            rows(report),
            [
                ("jobs", "job.extend", 2, 1, []),
                ("jobs", "job.get", 0, 0, [f"{vector.name}: returns 1"]),
            ],
        )
        self.assertEqual(list(table(report))[-1], "D: 1 of 2 vectors passed (50 %)")
