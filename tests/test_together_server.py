"""Calls that travel together, as Redis sees them."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, gatherResults

from tests.helpers import ThoonkTestCase, until
from txthoonk import FeedDoesNotExist, JobNotClaimed, LeaseLost, Thoonk
from txthoonk.client import ThoonkPubFactory
from txthoonk.errors import ConnectionLost


class ServerTests(ThoonkTestCase):
    """The same as it looks to Redis."""

    async def setUp(self) -> None:
        """A Redis of our own, which counts."""
        await super().setUp()
        self.server = await self.own_server()
        self.busy = await self.start_thoonk(self.server.url)
        self.name = self.feed_name("together")
        self.job = await self.busy.job(self.name)
        self.counting = await self.connect(self.server.url)

    async def calls(self) -> int:
        """How many scripts were called since the last look."""
        stats = (await self.counting.execute("INFO", "commandstats")).decode()
        await self.counting.execute("CONFIG", "RESETSTAT")
        found = [line for line in stats.splitlines() if line.startswith("cmdstat_evalsha:")]
        return int(found[0].partition("calls=")[2].partition(",")[0]) if found else 0

    async def test_counted(self) -> None:
        """A hundred puts, and a hundred finishes, are three calls each; all happen."""
        await self.calls()
        ids = await gatherResults([self.job.put(f"{i}") for i in range(100)])
        self.assertEqual(await self.calls(), 3)  # 25, 50 and 25 of them
        claims = await gatherResults([self.job.get() for _ in range(100)])
        self.assertEqual([claim.id for claim in claims], ids)
        await self.calls()
        await gatherResults([claim.finish(f"r{claim.item}") for claim in claims])
        self.assertEqual(await self.calls(), 3)
        for i in (0, 57, 99):
            self.assertEqual(await self.job.get_result(ids[i]), (f"{i}", f"r{i}"))
        self.assertEqual((await self.job.stats()).finishes, 100)

    async def test_first_use(self) -> None:
        """Puts on a handle that does not know its feed yet travel together as well."""
        handle = self.busy.job(self.feed_name("first"))
        await self.calls()
        await gatherResults([handle.put(f"{i}") for i in range(25)])
        self.assertEqual(await self.calls(), 2)  # one has made sure that the feed is there
        self.assertEqual(await handle.length(), 25)

    async def test_one_of_many_is_lost(self) -> None:
        """One finish whose claim is gone fails; those beside it do not."""
        await self.job.put_many(f"{i}" for i in range(10))
        claims = await gatherResults([self.job.get() for _ in range(10)])
        lost = claims[4]
        await self.job.retract(lost.id)
        finishing = [claim.finish("done") for claim in claims]
        await self.refused(finishing.pop(4), LeaseLost, self.name, lost.id)
        await gatherResults(finishing)
        self.assertEqual((await self.job.stats()).finishes, 9)

    async def test_one_job_twice(self) -> None:
        """Finishing a job twice in one turn: the first one counts."""
        id = await self.job.put("x")
        claim = await self.job.get()
        first, second = claim.finish("first"), claim.finish("second")
        await first
        await self.refused(second, LeaseLost, self.name, id)
        self.assertEqual(await self.job.get_result(id), ("x", "first"))
        self.assertEqual((await self.job.stats()).finishes, 1)

    async def test_scripts_flushed(self) -> None:
        """A Redis that has forgotten its scripts gets them again; nothing is done twice."""
        await self.counting.execute("SCRIPT", "FLUSH")
        ids = await gatherResults([self.job.put(f"{i}") for i in range(300)])
        self.assertEqual(len(set(ids)), 300)
        stats = await self.job.stats()
        self.assertEqual((stats.available, stats.puts), (300, 300))

    async def test_deleted_feed(self) -> None:
        """Puts on a feed that was deleted fail, each, and write nothing."""
        await self.job.delete()
        for call in [self.job.put(f"{i}") for i in range(5)]:
            await self.refused(call, FeedDoesNotExist, self.name)
        self.assertEqual(await self.counting.execute("DBSIZE"), 0)

    async def test_publisher(self) -> None:
        """It is the same on a ThoonkPub."""
        factory = ThoonkPubFactory(endpoint=self.endpoint(self.server.url))
        pub = await self.endpoint(self.server.url).connect(factory)
        self.addCleanup(pub.close)
        job = await pub.job(self.name)
        await self.calls()
        ids = await gatherResults([job.put(f"{i}") for i in range(20)])
        self.assertEqual(await self.calls(), 1)
        claims = await gatherResults([job.get() for _ in range(20)])
        await self.calls()
        await gatherResults([claim.finish(claim.item) for claim in claims])
        self.assertEqual(await self.calls(), 1)
        self.assertEqual(await self.job.get_result(ids[7]), ("7", "7"))

    async def test_disconnected(self) -> None:
        """What is put while there is no connection travels together when there is one.

        A call that was given up meanwhile does not.
        """
        proxy = self.fault_proxy(self.server.url)
        await proxy.refuse()
        thoonk = Thoonk(proxy.endpoint)
        self.addCleanup(thoonk.stopService)
        thoonk.startService()
        job = thoonk.job(self.name).made()
        calls = [job.put(f"{i}") for i in range(20)]
        finishing = job.finish("nobody's")
        calls[3].cancel()
        await self.assertFailure(calls.pop(3), CancelledError)
        await self.calls()
        proxy.listen()
        await gatherResults(calls)
        await self.refused(finishing, JobNotClaimed, self.name, "nobody's")
        self.assertEqual(await self.calls(), 2)
        items = await self.counting.execute("HVALS", self.job.keys.items)
        self.assertEqual(sorted(map(int, items)), [i for i in range(20) if i != 3])

    async def test_cut(self) -> None:
        """Where the connection is cut under a batch all fail alike, or all have happened."""
        proxy, thoonk = self.behind_proxy(self.server.url)
        job = await thoonk.job(self.name)
        for when in ("at once", "answered"):
            before = await self.job.length()
            calls = [job.put("x") for _ in range(20)]
            if when == "answered":
                proxy.cut_after = 0  # nothing of the reply passes
                for pipe in proxy.connections:
                    pipe.passed = 0
            else:
                proxy.reset()
            for call in calls:
                await self.assertFailure(call, ConnectionLost)
            proxy.cut_after = None
            await thoonk.when_connected()
            self.assertIn(await self.job.length() - before, (0, 20), when)
        await until(lambda: self.job.length().addCallback(lambda length: length % 20 == 0))
        await gatherResults([job.put("y") for _ in range(20)])
