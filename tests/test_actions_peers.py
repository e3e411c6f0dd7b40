"""Actions and programs in other languages, and whatever else may be in a job."""

from __future__ import annotations

import json

from tests.action_helpers import ActionTestCase
from tests.helpers import until


class OtherProgramsTests(ActionTestCase):
    """Callers in other languages."""

    async def test_raw(self) -> None:
        """
        A program that has nothing but Redis commands puts an action as a job, and reads its answer.
        """
        await self.work()
        await until(lambda: self.thoonk.feed(f"actions:{self.group}").has_id("ship"))
        peer = await self.connect()
        entry = json.loads(await peer.execute("HGET", f"feed.items:actions:{self.group}", "ship"))
        self.assertEqual(entry["feed"], self.group)
        self.assertIn("team", json.dumps(entry["schema"]))
        heard = await self.listen(f"job.finish:{entry['feed']}")
        item = {"action": "ship", "user": self.ALICE, "payload": {"team": "a", "id": "7"}}
        feed, id = entry["feed"], "theirs"
        await peer.execute("INCR", f"feed.publishes:{feed}")
        await peer.execute("HSET", f"feed.items:{feed}", id, json.dumps(item))
        await peer.execute("ZADD", f"feed.published:{feed}", "1", id)
        await peer.execute("LPUSH", f"feed.ids:{feed}", id)
        await until(lambda: heard)
        theirs, _, answer = heard[0][1].partition(b"\0")
        expected = {"code": 200, "result": {"shipped": "7", "by": "alice"}}
        self.assertEqual((theirs, json.loads(answer)), (b"theirs", expected))
        kept = await peer.execute("HGET", f"tx.feed.results:{feed}", id)
        length, _, rest = kept.partition(b":")
        self.assertEqual(rest[int(length) :][:1], b"+")
        self.assertEqual(json.loads(rest[int(length) + 1 :]), expected)

    async def test_their_worker(self) -> None:
        """An answer that another program gave is an answer; what is none is said to be none."""
        job = await self.thoonk.job(self.group, serializer="json")
        for result, answer in (
            ({"code": 403, "error": "no"}, {"code": 403, "error": "no"}),
            (None, {"code": 200, "result": None}),
            ("done", {"code": 500, "error": "The answer cannot be read."}),
            ({"code": "200"}, {"code": 500, "error": "The answer cannot be read."}),
        ):
            doing = self.actions.do(self.thoonk, self.ALICE, "ping", {})
            claim = await job.get(5)
            self.assertEqual(claim.item["action"], "ping")
            await (claim.finish() if result is None else claim.finish(result))
            self.assertEqual(await doing, answer)

    async def test_no_answer(self) -> None:
        """What is no JSON at all is said to be no answer, whoever waits and whoever looks."""
        job = await self.thoonk.job(self.group, serializer="bytes")
        cannot = {"code": 500, "error": "The answer cannot be read."}
        for result in (b"{", b"\xff", b'{"code": 200'):
            id = await self.actions.put(self.thoonk, self.ALICE, "ping", {})
            waiting = self.actions.answer(self.thoonk, "ping", id)
            await (await job.get(5)).finish(result)
            self.assertEqual(await waiting, cannot)
            self.assertEqual(await self.actions.look(self.thoonk, "ping", id), cannot)
        await self.redis.execute("HSET", job.keys.results, id, "x")
        self.assertEqual(await self.actions.look(self.thoonk, "ping", id), cannot)
        self.assertEqual(await self.actions.answer(self.thoonk, "ping", id), cannot)

    async def test_hostile(self) -> None:
        """
        Whatever is in a job's item, its result says what is wrong, no attempt is spent, and what
        is very large is not kept for long.
        """
        await self.work(max_attempts=1)
        job = await self.thoonk.job(self.group, serializer="bytes")
        ship = b'{"action":"ship","user":{"id":1,"teams":["a"]},"payload":%b}'
        fine = b'{"team":"a","id":"7"}'
        for item, code in (
            (b"", 400),
            (b"\xff\x00", 400),
            (b"[" * 200_000, 400),
            (b'{"a":' * 40_000, 400),
            (b"x" * 64 * 2**20, 413),
            (ship % (b"[%b]" % fine), 422),
            (ship % b"NaN", 400),
            (ship % b'{"team":"a","id":"\\ud800"}', 400),
            (ship % (b'{"team":"a","team":"a","id":"7"}'), 400),
            (ship % (b'{"team":"a","id":%b}' % (b"7" * 5000)), 400),
            (b'{"action":"ship","payload":%b}' % fine, 400),
            (b'{"action":"ship","user":[["a"]],"payload":%b}' % fine, 403),
            (b'{"action":"shop","user":null,"payload":{}}', 404),
            (ship % fine, 200),
        ):
            id = await job.put(item)
            _, data = await job.get_result(id, 20)
            answer = json.loads(data)
            self.assertEqual(answer["code"], code, item[:100])
            kept = await self.redis.execute("ZSCORE", job.keys.due, id)
            seconds, micros = await self.redis.execute("TIME")
            left = float(kept) / 1000 - int(seconds) - int(micros) / 1e6
            self.assertLess(left, 31 if code == 413 else 3601)
        self.assertEqual((await job.stats())[:5], (0, 0, 0, 0, 0))
        self.assertEqual(len(self.done), 1)
