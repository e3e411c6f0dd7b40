"""A Redis that forgets its scripts again and again, under load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import gatherResults
from twisted.internet.task import LoopingCall

from tests.helpers import ThoonkTestCase, until
from txthoonk import Thoonk
from txthoonk._deferred import returns_deferred

CALLERS = 50
SECONDS = 3.0
EVERY = 0.05

#: The last message.
END = ("end", b"")


class ScriptFlushTests(ThoonkTestCase):
    """SCRIPT FLUSH, by an operator or with a restart, is nothing that a caller notices."""

    async def setUp(self) -> None:
        await super().setUp()
        server = await self.own_server()
        self.busy: Thoonk = await self.start_thoonk(server.url)
        self.operator = await self.connect(server.url)
        self.heard = await self.listen("*", url=server.url)
        #: What callers were told had happened.
        self.told: Counter[str] = Counter()
        self.published: list[str] = []
        self.appended: list[str] = []
        self.taken: list[str] = []

    async def test_flush(self) -> None:
        """
        No call of 50 callers fails, and each is applied once, however often scripts are flushed.
        """
        from twisted.internet import reactor

        clock: Any = reactor
        self.feed = self.busy.feed("feed", max_length=100)
        self.places = self.busy.sorted_feed("places")
        self.jobs = self.busy.job("jobs")
        self.queue = self.busy.queue("queue")
        first = await self.places.append("first")
        self.appended.append(first)
        verbs = (self.publish, self.append, lambda: self.move(first), self.do_job, self.do_item)

        stop_at = clock.seconds() + SECONDS

        @returns_deferred
        async def caller(verb: Callable[[], Awaitable[None]]) -> None:
            while clock.seconds() < stop_at:
                await verb()

        flushing = LoopingCall(self.operator.execute, "SCRIPT", "FLUSH")
        self.addCleanup(lambda: flushing.running and flushing.stop())
        flushed = flushing.start(EVERY)
        await gatherResults([caller(verbs[i % len(verbs)]) for i in range(CALLERS)])
        flushing.stop()
        await flushed

        # Flushes were met: without EVAL the callers would all have failed.
        commands = (await self.operator.execute("INFO", "commandstats")).decode()
        self.assertIn("cmdstat_eval:", commands)
        await self.operator.execute("PUBLISH", *END)
        await until(lambda: self.heard[-1] == END)
        self.messages = Counter(channel for channel, _ in self.heard)
        await self.check_feeds()
        await self.check_jobs()

    # -- what callers do ----------------------------------------------------------------------

    async def publish(self) -> None:
        self.published.append(await self.feed.publish("item"))
        self.told["publish"] += 1

    async def append(self) -> None:
        self.appended.append(await self.places.append("item"))
        self.told["append"] += 1

    async def move(self, id: str) -> None:
        await self.places.move_last(id)
        self.told["move"] += 1

    async def do_job(self) -> None:
        await self.jobs.put("job")
        self.told["put"] += 1
        claim = await self.jobs.get()
        self.taken.append(claim.id)
        await claim.finish()
        self.told["finish"] += 1

    async def do_item(self) -> None:
        await self.queue.put("item")
        self.told["queue put"] += 1
        await self.queue.get()
        self.told["queue get"] += 1

    # -- what must have come of it ------------------------------------------------------------

    async def counter(self, key: bytes) -> int:
        return int(await self.operator.execute("GET", key))

    async def check_feeds(self) -> None:
        self.assertEqual(await self.counter(self.feed.keys.publishes), self.told["publish"])
        self.assertEqual(self.messages["feed.publish:feed"], self.told["publish"])
        self.assertEqual(self.messages["feed.retract:feed"], self.told["publish"] - 100)
        self.assertEqual(len(set(self.published)), self.told["publish"])
        self.assertLess(set(await self.feed.get_ids()), set(self.published))
        self.assertEqual(await self.feed.length(), 100)

        ids = await self.places.get_ids()
        moves = self.messages["feed.position:places"] - len(ids)
        self.assertEqual(moves, self.told["move"])
        self.assertEqual(len(ids), self.told["append"] + 1)
        self.assertEqual(sorted(ids), sorted(self.appended))
        self.assertEqual(await self.counter(self.places.keys.publishes), len(ids))
        self.assertEqual(await self.counter(self.places.keys.idincr), len(ids))

    async def check_jobs(self) -> None:
        stats = await self.jobs.stats()
        done = self.told["finish"]
        self.assertEqual(stats, (0, 0, 0, 0, 0, done, done))
        self.assertEqual((len(self.taken), len(set(self.taken))), (done, done))
        self.assertEqual(self.messages["feed.publishes:jobs"], done)
        self.assertEqual(self.messages["feed.claimed:jobs"], done)
        self.assertEqual(await self.jobs.get_ids(), [])
        self.assertEqual(await self.counter(self.queue.keys.publishes), self.told["queue put"])
        self.assertEqual(self.told["queue get"], self.told["queue put"])
        self.assertEqual(await self.queue.get_ids(), [])
