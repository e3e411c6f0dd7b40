"""fsck on feeds that are large, or at work."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock

from tests.faults import BROKEN, Command
from tests.fsck_helpers import SHORT, FsckCase
from tests.helpers import until
from txthoonk import Empty
from txthoonk.fsck import GRACE, WALK
from txthoonk.paging import PAGE


class LiveTests(FsckCase):
    """On a system that is at work."""

    async def test_many(self) -> None:
        """
        Among more entries than one command reads each fault is found, and nothing else.
        """
        count = 3 * PAGE
        job = await self.thoonk.job(self.feed_name())
        ids = await job.put_many([f"{i}" for i in range(count)])
        self.assertEqual(await self.found(job), [])
        await self.redis.execute("LREM", job.keys.ids, 1, ids[7])
        await self.redis.execute("LPUSH", job.keys.ids, ids[9], ids[count - 1])
        await self.redis.execute("HDEL", job.keys.items, *ids[1000:1300])
        expected = {("no state", ids[7]), ("twice", ids[9]), ("twice", ids[count - 1])}
        expected |= {("no item", id) for id in ids[1000:1300]}
        found = await self.found(job)
        self.assertEqual(len(found), len(expected))
        self.assertEqual(set(found), expected)
        self.assertEqual(set(await self.found(job, repair=True)), expected)
        self.assertEqual(await self.found(job), [])
        self.assertEqual(await job.length(), count - 300)

    async def test_large_items(self) -> None:
        """
        Items that are large are read a few at a time: no reply is much larger than a megabyte.
        """
        feed = self.thoonk.feed(self.feed_name())
        await gatherResults([feed.publish("x" * 100_000) for _ in range(200)])
        await self.redis.execute("ZADD", feed.keys.ids, 1, "x")
        sizes: list[int] = []
        execute = self.redis.execute

        def measured(*command: Any) -> Any:
            done = execute(*command)
            if command[0] == "HSCAN":
                done.addCallback(lambda reply: sizes.append(sum(map(len, reply[1]))) or reply)
            return done

        self.patch(self.redis, "execute", measured)
        self.assertEqual(await self.found(feed), [("no item", "x")])
        self.assertGreaterEqual(sum(sizes), 20_000_000)
        self.assertLess(max(sizes), 4_000_000)

    async def test_few_at_a_time(self) -> None:
        """
        Where lists are long a script looks at few suspects: it keeps Redis from nobody.
        """
        queue = await self.thoonk.queue(self.feed_name())
        ids = [f"{i}" for i in range(WALK // 4)]
        await self.redis.execute("RPUSH", queue.keys.ids, *ids)
        await self.redis.execute("HSET", queue.keys.items, *(p for id in ids for p in (id, "x")))
        await self.redis.execute("LPUSH", queue.keys.ids, *ids[:10])
        await self.redis.execute("CONFIG", "RESETSTAT")
        self.assertEqual(len(await self.found(queue, repair=True)), 10)
        stats = await self.redis.execute("INFO", "commandstats")
        calls = int(stats.partition(b"cmdstat_evalsha:calls=")[2].partition(b",")[0])
        self.assertGreaterEqual(calls, 2 * 3)  # 10 suspects, 3 at a time, two looks
        self.assertEqual(await self.found(queue), [])

    async def between(self, check: Deferred[Any], clock: Clock, *commands: Command) -> Any:
        """What a check finds when something happens between its two looks."""
        await until(clock.getDelayedCalls)
        await gatherResults([self.redis.execute(*command) for command in commands])
        clock.advance(GRACE)
        return [fault[:2] for fault in await check]

    async def test_transient(self) -> None:
        """
        A job that a peer has popped and then claims is no fault; one that nobody claims is.
        """
        clock = Clock()
        self.patch(self.thoonk, "get_reactor", lambda: clock)
        job = await self.make("job")
        self.assertEqual(await self.redis.execute("RPOP", job.keys.ids, 2), [b"a", b"b"])
        claim = ("ZADD", job.keys.claimed, 5000, "a")
        found = await self.between(job.fsck(repair=True), clock, claim)
        self.assertEqual(found, [("no state", "b")])
        self.assertEqual(await self.redis.execute("LRANGE", job.keys.ids, 0, -1), [b"b"])

    async def test_popped_again(self) -> None:
        """
        A job that was cancelled, or stalled and retried, and popped again was not lost.
        """
        clock = Clock()
        self.patch(self.thoonk, "get_reactor", lambda: clock)
        job = await self.make("job")
        await self.redis.execute("RPOP", job.keys.ids, 2)
        cancel = ("HINCRBY", job.keys.cancelled, "a", 1)
        retry = ("ZADD", job.keys.published, 9999, "b")
        self.assertEqual(await self.between(job.fsck(repair=True), clock, cancel, retry), [])
        self.assertEqual(await job.length(), 0)

    async def test_extended(self) -> None:
        """
        A lease that is extended between the looks hides no fault of its job.
        """
        clock = Clock()
        self.patch(self.thoonk, "get_reactor", lambda: clock)
        job = await self.make("job")
        await self.run_commands(job, [("LPUSH", "ids", "c")])
        extend = ("HSET", job.keys.lease, "c", "me:1 1000 99999999999998")
        found = await self.between(job.fsck(repair=True), clock, extend)
        self.assertEqual(found, [("several states", "c")])

    async def test_marks(self) -> None:
        """
        What maintenance has just marked, and what ended since, is no fault yet.
        """
        seconds, _ = await self.redis.execute("TIME")
        for kind, keys in (("job", ("seen", "lost")), ("queue", ("seen",))):
            for key in keys:
                for age, found in ((50, []), (70, [("leftover", "x")])):
                    handle = await self.make(kind)
                    mark = (int(seconds) - age) * 1000
                    await self.run_commands(handle, [("ZADD", key, mark, "x")])
                    self.assertEqual(await self.found(handle), found)

    async def test_items_transient(self) -> None:
        """
        An item that a peer stores after its id, or takes after its id, is no fault.
        """
        clock = Clock()
        self.patch(self.thoonk, "get_reactor", lambda: clock)
        for kind in ("feed", "sorted_feed", "queue"):
            handle = await self.make(kind)
            keys = handle.keys
            add = ("ZADD", keys.ids, 1, 7) if kind == "feed" else ("RPUSH", keys.ids, 7)
            await gatherResults(
                [self.redis.execute(*add), self.redis.execute("HSET", keys.items, 0, "x")]
            )
            after = (("HSET", keys.items, 7, "stored"), ("HDEL", keys.items, 0))
            self.assertEqual(await self.between(handle.fsck(repair=True), clock, *after), [])

    async def test_at_work(self) -> None:
        """
        Passes without a break beside busy workers, peers among them, find nothing.
        """
        job = await self.thoonk.job(self.feed_name(), max_attempts=0)
        keys = job.keys
        done = 0
        over: list[bool] = []

        async def put() -> None:
            while not over:
                await job.put("x")
                await job.put_many(["y"] * 5)
                await job.put("z", priority=True)
                await until(has_room)

        async def has_room() -> bool:
            return bool(over) or await job.length() < 50

        async def work(number: int) -> None:
            nonlocal done
            while not over:
                try:
                    claim = await job.get(timeout=0.5)
                except Empty:
                    continue
                done += 1
                end = (done + number) % 7
                if end == 0:
                    await claim.cancel()
                elif end == 1:
                    await claim.release()
                elif end == 2:
                    await claim.stall()
                    await job.retry(claim.id)
                elif end == 3:
                    await job.retract(claim.id)
                elif end == 4:
                    await claim.cancel(delay=0.01)
                else:
                    await claim.finish("result")

        async def peer() -> None:
            """As thoonk.py does it: a pop, then a claim, then a transaction."""
            nonlocal done
            redis = await self.connect()
            while not over:
                popped = await redis.execute("BRPOP", keys.ids, 1)
                if popped is None:
                    continue
                id = popped[1]
                await redis.execute("ZADD", keys.claimed, 1, id)
                end: tuple[Command, ...] = (
                    ("HDEL", keys.cancelled, id),
                    ("ZREM", keys.published, id),
                    ("HDEL", keys.items, id),
                )
                if done % 2:
                    end = (("HINCRBY", keys.cancelled, id, 1), ("LPUSH", keys.ids, id))
                for command in (("MULTI",), ("ZREM", keys.claimed, id), *end, ("EXEC",)):
                    await redis.execute(*command)
                done += 1

        async def maintain() -> None:
            while not over:
                await job.maintenance(lost_grace=0.5)

        loops = [put(), put(), peer(), peer(), maintain(), *map(work, range(6))]
        running = [Deferred.fromCoroutine(loop) for loop in loops]
        passes = 0
        while done < 3000 or passes < 20:
            self.assertEqual(await job.fsck(repair=passes % 2 == 1, grace=0.05), [])
            passes += 1
        over.append(True)
        await gatherResults(running)

    async def test_items_at_work(self) -> None:
        """
        The same beside feeds, sorted feeds and queues that change all the time.
        """
        feed = self.thoonk.feed(self.feed_name("feed"), max_length=50)
        row = self.thoonk.sorted_feed(self.feed_name("row"))
        queue = self.thoonk.queue(self.feed_name("queue"))
        count = 0
        over: list[bool] = []

        async def publish() -> None:
            nonlocal count
            while not over:
                count += 1
                await feed.publish("x", id=f"{count % 80}")
                await feed.retract(f"{count % 31}")

        async def order() -> None:
            while not over:
                first, second = await row.append("a"), await row.prepend("b")
                await row.move_before(first, second)
                await row.publish_after(second, "c")
                if len(ids := await row.get_ids()) > 30:
                    for id in ids[5:20]:
                        await row.retract(id)

        async def put() -> None:
            while not over:
                for _ in range(5):
                    await queue.put("x")
                for _ in range(5):
                    await queue.get()

        running = [Deferred.fromCoroutine(loop) for loop in (publish(), order(), put(), put())]
        passes = 0
        while count < 1000 or passes < 20:
            for handle in (feed, row, queue):
                self.assertEqual(await handle.fsck(repair=passes % 2 == 1, grace=0.02), [])
            passes += 1
        over.append(True)
        await gatherResults(running)

    async def test_no_memory(self) -> None:
        """
        On a server at its maxmemory everything is repaired all the same.
        """
        server = await self.own_server()
        thoonk = await self.start_thoonk(server.url)
        self.redis = thoonk.redis
        self.thoonk = thoonk
        for kind, cases in BROKEN.items():
            for case in cases:
                handle = await self.make(kind)
                await self.run_commands(handle, case.what)
                await self.redis.execute("CONFIG", "SET", "maxmemory", 1)
                faults = await handle.fsck(repair=True, grace=SHORT)
                self.assertTrue(faults and all(fault.repaired for fault in faults), case)
                await self.redis.execute("CONFIG", "SET", "maxmemory", 0)
                self.assertEqual(await self.found(handle), [])
