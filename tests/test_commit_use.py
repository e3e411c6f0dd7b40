"""Commits in a cluster, and by the handlers of workers."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from typing import Any
from unittest import SkipTest

from twisted.internet.defer import gatherResults

from tests.helpers import ThoonkTestCase, until
from tests.worker_helpers import WorkerTestCase
from txthoonk import Claim, Conflict
from txthoonk.embedded import EmbeddedRedis
from txthoonk.errors import (
    CrossSlot,
)


class ClusterTests(ThoonkTestCase):
    """A server in cluster mode, which has all slots."""

    async def setUp(self) -> None:
        await super().setUp()
        program = shutil.which("redis-server")
        if program is None:
            raise SkipTest("no redis-server on PATH")
        ports = []
        for _ in range(2):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                ports.append(str(probe.getsockname()[1]))
        config = {"cluster-enabled": "yes", "port": ports[0], "bind": "127.0.0.1"}
        server = EmbeddedRedis(executable=program, config={**config, "cluster-port": ports[1]})
        self.addCleanup(server.stop)
        await server.start()
        self.raw = await self.connect(server.url)
        await self.raw.execute("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        await until(lambda: self.raw.execute("CLUSTER", "INFO").addCallback(_is_ready))
        self.cluster = await self.start_thoonk(server.url)

    async def make(self, kind: str, name: str) -> Any:
        """A feed; by hand, since the set of all feeds is in one slot and its keys in another."""
        handle = getattr(self.cluster, kind)(name).made()
        await self.raw.execute("HSET", handle.keys.config, "type", kind)
        return handle

    async def test_slots(self) -> None:
        """
        Feeds of one ``{tag}`` are changed together; others are refused, and nothing is done.
        """
        job = await self.make("job", "{team:1}:jobs")
        tasks = await self.make("sorted_feed", "{team:1}:tasks")
        shipped = await self.make("feed", "{team:1}:shipped")
        far = await self.make("feed", "{team:2}:shipped")
        await tasks.append("a task")
        await job.put("ship")
        claim = await job.get()
        error = await self.refused(
            claim.commit(tasks.change.retract("1"), far.change.publish("a task"), result="r"),
            CrossSlot,
            job.name,
            claim.id,
        )
        self.assertEqual(error.code, "CROSSSLOT")
        self.assertEqual(await tasks.get_ids(), ["1"])
        self.assertIsNone(claim.ending)
        done = await claim.commit(
            tasks.change.retract("1"), shipped.change.publish("a task", id="1"), result="r"
        )
        self.assertEqual(done, [True, "1"])
        self.assertEqual(await shipped.get_all(), {"1": "a task"})
        self.assertEqual(await tasks.get_ids(), [])
        self.assertEqual(await job.get_result(claim.id), ("ship", "r"))


def _is_ready(info: bytes) -> bool:
    return b"cluster_state:ok" in info


class WorkerTests(WorkerTestCase):
    """Handlers that commit."""

    async def run_one(self, handler: Callable[[Claim], Any]) -> tuple[str, Any]:
        """Put a job for a worker with that handler: its id, and its result."""
        worker = self.work(handler)
        id = await self.job.put("work")
        _, result = await self.job.get_result(id, timeout=10)
        await worker.stopService()
        self.assertEqual((await self.job.stats()).claimed, 0)
        return id, result

    async def test_commits(self) -> None:
        """
        A handler's commit ends its job: what it returns, or raises, after that does not count.
        """
        feed = await self.thoonk.feed(self.feed_name())

        async def handler(claim: Claim) -> str:
            await claim.commit(feed.change.publish("x", id=claim.id), result="committed")
            return "returned"

        async def fails(claim: Claim) -> str:
            await handler(claim)
            raise ValueError("too late")

        def leaves(claim: Claim) -> None:
            claim.commit(feed.change.publish("x", id=claim.id), result="committed")

        for number, each in enumerate((handler, fails, leaves), 1):
            id, result = await self.run_one(each)
            self.assertEqual((result, await feed.get_item(id)), ("committed", "x"))
            self.assertEqual((await self.job.stats()).finishes, number)
        self.assertEqual(await feed.length(), 3)

    async def test_refused(self) -> None:
        """
        A handler whose commit was refused still has its job, and may answer otherwise: it returns,
        tries again, or fails, by which the job is tried again.
        """
        feed = await self.thoonk.feed(self.feed_name(), history=100)
        runs: list[int] = []

        async def answers(claim: Claim) -> str:
            try:
                await claim.commit(feed.change.publish("x", "a", if_revision=7), result="never")
            except Conflict as conflict:
                return f"it is at {conflict.revision}"
            raise AssertionError("it was not refused")

        async def counts(claim: Claim) -> None:
            while True:
                seen = await feed.snapshot()
                number = int(seen.items.get("count", 0)) + 1
                change = feed.change.publish(str(number), "count", seen.revision)
                try:
                    await claim.commit(change, result=str(number))
                except Conflict:
                    continue
                return

        async def fails(claim: Claim) -> None:
            runs.append(claim.cancelled)
            await claim.commit(feed.change.publish("x", "a", if_revision=claim.cancelled))

        self.assertEqual((await self.run_one(answers))[1], "it is at 0")
        worker = self.work(counts, concurrency=10)
        ids = await self.job.put_many(["work"] * 50)
        results = await gatherResults([self.job.get_result(id, timeout=30) for id in ids])
        self.assertEqual(sorted(int(result) for _, result in results), list(range(1, 51)))
        self.assertEqual(await feed.get_all(), {"count": "50"})
        self.assertEqual([int(event.item) for event in await feed.history(0)], list(range(1, 51)))
        await worker.stopService()
        await self.job.set_config(backoff="0.01")
        await feed.retract("count")
        await feed.delete()
        feed = await self.thoonk.feed(feed.name)
        await feed.publish("w", id="a")
        self.assertEqual((await self.run_one(fails))[1], None)
        self.assertEqual(runs, [0, 1])
        self.assertEqual(await feed.get_all(), {"a": "x"})
