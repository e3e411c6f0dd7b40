"""Gets that wait: shared, fair, and losing nothing whenever they end."""

from __future__ import annotations

import random
from itertools import chain
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.python.failure import Failure

from tests.helpers import ThoonkTestCase, until
from txthoonk import (
    Empty,
    FeedDoesNotExist,
    NotConnected,
)


class WaitingCase(ThoonkTestCase):
    """A process, ``self.thoonk``, whose gets wait, and another one that puts."""

    async def setUp(self) -> None:
        await super().setUp()
        self.name = self.feed_name()
        self.client_name = self.feed_name("client")
        self.thoonk = await self.start_thoonk(client_name=self.client_name)
        self.queue = await self.thoonk.queue(self.name)
        self.keys = self.queue.keys
        self.other = await self.start_thoonk()
        self.redis = self.other.redis
        self.far = await self.other.queue(self.name)

    async def clients(self, name: str | None = None) -> list[dict[str, str]]:
        """The connections of a process, as Redis sees them."""
        lines = (await self.redis.execute("CLIENT", "LIST")).decode().splitlines()
        clients = [dict(word.split("=", 1) for word in line.split()) for line in lines]
        return [client for client in clients if client["name"] == (name or self.client_name)]

    async def blocked(self, count: int, name: str | None = None) -> list[dict[str, str]]:
        """Wait until so many connections of a process wait in Redis; they are the result."""

        async def look() -> Any:
            clients = await self.clients(name)
            blocked = [c for c in clients if c["cmd"] == "blmove" and "b" in c["flags"]]
            return len(blocked) == count and (blocked, clients)

        found = await until(look)
        return found[0]

    async def no_clients(self) -> bool:
        """Whether all connections of the process are closed."""
        return not await self.clients()

    async def no_ids(self) -> bool:
        """Whether every id was taken off its list."""
        return not await self.redis.execute("EXISTS", self.keys.ids, self.keys.handoff)


class SharedTests(WaitingCase):
    """All waiting gets of a process and feed share one connection."""

    async def test_one_connection(self) -> None:
        """
        A hundred waiting gets cost Redis one connection more; they are served in their order.
        """
        before = len(await self.clients())
        gets = [self.queue.get() for _ in range(100)]
        await self.blocked(1)
        self.assertEqual(len(await self.clients()), before + 1)
        await gatherResults([self.far.put(f"{i}") for i in range(100)])
        self.assertEqual(await gatherResults(gets), [f"{i}" for i in range(100)])
        self.assertEqual(len(await self.clients()), before + 1)

    async def test_connection_each_feed(self) -> None:
        """
        Gets of several feeds wait on a connection each, and do not hold each other up.
        """
        names = [self.feed_name() for _ in range(3)]
        gets = [self.thoonk.queue(name).get() for name in names]
        await self.blocked(3)
        for name in reversed(names):
            await self.other.queue(name).put(f"for {name}")
        self.assertEqual(await gatherResults(gets), [f"for {name}" for name in names])

    async def test_put_here(self) -> None:
        """
        A waiting get does not hold up the other calls of its process.
        """
        get = self.queue.get()
        await self.blocked(1)
        await self.queue.put("x")
        self.assertEqual(await get, "x")

    async def test_put_of_a_peer(self) -> None:
        """
        A waiting get is served by what a peer puts.
        """
        get = self.queue.get()
        await self.blocked(1)
        await self.redis.execute("MULTI")
        await self.redis.execute("LPUSH", self.keys.ids, "a")
        await self.redis.execute("HSET", self.keys.items, "a", "x")
        await self.redis.execute("EXEC")
        self.assertEqual(await get, "x")
        self.assertEqual(await self.redis.execute("EXISTS", self.keys.handoff), 0)

    async def test_put_without_item(self) -> None:
        """
        An id without an item wakes nobody for good: the get goes on waiting.
        """
        get = self.queue.get()
        await self.blocked(1)
        await self.redis.execute("LPUSH", self.keys.ids, "gone")
        await until(self.no_ids)
        await self.blocked(1)
        self.assertNoResult(get)
        await self.far.put("x")
        self.assertEqual(await get, "x")

    async def test_fair(self) -> None:
        """
        Processes of ours and a peer that uses BRPOP take turns.
        """
        third = await self.start_thoonk(client_name=f"{self.client_name}-3")
        peer = await self.connect()
        await peer.execute("CLIENT", "SETNAME", f"{self.client_name}-peer")
        jobs = [thoonk.job(self.feed_name("job")) for thoonk in (self.thoonk, third)]
        job = await self.other.job(jobs[0].name)
        jobs[1] = third.job(jobs[0].name)
        taken: dict[str, list[str]] = {"ours": [], "third": [], "peer": []}

        async def work(who: str, job: Any) -> None:
            while True:
                claim = await job.get()
                taken[who].append(claim.id)
                await claim.finish()

        async def peer_work() -> None:
            while True:
                _, id = await peer.execute_blocking(60, "BRPOP", job.keys.ids, 60)
                taken["peer"].append(id.decode())

        working = [
            Deferred.fromCoroutine(work("ours", jobs[0])),
            Deferred.fromCoroutine(work("third", jobs[1])),
            Deferred.fromCoroutine(peer_work()),
        ]
        ids = []
        for _ in range(60):
            await until(self._three_wait)
            ids.append(await job.put("x"))
        await until(lambda: sum(map(len, taken.values())) == 60)
        for worker in working:
            worker.cancel()
            await self.assertFailure(worker, CancelledError)
        self.assertEqual(sorted(chain(*taken.values())), sorted(ids))
        for who, got in taken.items():
            self.assertGreater(len(got), 10, who)

    async def _three_wait(self) -> bool:
        lines = (await self.redis.execute("CLIENT", "LIST")).decode().splitlines()
        waiting = [line for line in lines if f"name={self.client_name}" in line]
        return sum(" flags=b" in line for line in waiting) == 3


class EndTests(WaitingCase):
    """Gets that end without an item."""

    async def test_time_out(self) -> None:
        """
        Of several waiting gets the one whose time is up fails; the others go on.
        """
        first, second, third = self.queue.get(), self.queue.get(0.05), self.queue.get(60)
        await self.refused(second, Empty, self.name)
        await self.blocked(1)
        await self.far.put("x")
        await self.far.put("y")
        self.assertEqual(await gatherResults([first, third]), ["x", "y"])

    async def test_cancelled(self) -> None:
        """
        A get that is cancelled no longer waits in Redis, and takes nothing from anybody.
        """
        get = self.queue.get()
        await self.blocked(1)
        get.cancel()
        await self.assertFailure(get, CancelledError)
        await self.blocked(0)
        await self.far.put("x")
        self.assertEqual(await self.far.length(), 1)
        self.assertEqual(await self.far.get(), "x")

    async def test_timed_out(self) -> None:
        """
        The same holds for a get whose time is up.
        """
        await self.refused(self.queue.get(0.05), Empty, self.name)
        await self.blocked(0)
        await self.far.put("x")
        self.assertEqual(await self.queue.get(), "x")

    async def test_one_of_several_cancelled(self) -> None:
        """
        A cancelled get leaves its place in the row to the next one.
        """
        gets = [self.queue.get() for _ in range(3)]
        await self.blocked(1)
        gets[0].cancel()
        await self.assertFailure(gets[0], CancelledError)
        await self.far.put("x")
        await self.far.put("y")
        self.assertEqual(await gatherResults(gets[1:]), ["x", "y"])

    async def test_cancelled_too_late(self) -> None:
        """
        What was taken for a get that is cancelled at that moment goes back to where it was.
        """
        await self.queue.put("x")
        await self.queue.put("y")
        gets = [self.queue.get(), self.queue.get()]
        for get in gets:
            get.cancel()
            await self.assertFailure(get, CancelledError)
        await self.thoonk.redis.execute("PING")  # the take was before it
        self.assertEqual(await self.queue.length(), 2)
        self.assertEqual([await self.queue.get(), await self.queue.get()], ["x", "y"])

    async def test_job_cancelled_too_late(self) -> None:
        """
        A job that was claimed for a get that is cancelled at that moment is released.
        """
        job = await self.thoonk.job(self.feed_name("job"))
        await job.put_many(["x", "y"])
        gets = [job.get(), job.get()]
        for get in gets:
            get.cancel()
            await self.assertFailure(get, CancelledError)
        await self.thoonk.redis.execute("PING")  # the take was before it
        self.assertEqual(await job.length(), 2)
        claims = [await job.get(), await job.get()]
        self.assertEqual([(c.item, c.cancelled) for c in claims], [("x", 0), ("y", 0)])

    async def test_handed_too_late(self) -> None:
        """
        An id that Redis hands over when no get waits any more is handed back.
        """
        # As if the order to give up the wait came to Redis after the put.
        self.patch(self.thoonk.blocked(self.queue), "_unblock", lambda: None)
        get = self.queue.get()
        await self.blocked(1)
        get.cancel()
        await self.assertFailure(get, CancelledError)
        await self.far.put("x")
        self.assertEqual(await self.far.get(10), "x")
        self.assertEqual(await self.redis.execute("EXISTS", self.keys.handoff), 0)

    async def test_cancelled_at_random(self) -> None:
        """
        Gets that are cancelled whenever it may be lose nothing and take nothing twice.
        """
        rng = random.Random(7)
        taken: list[str] = []
        for i in range(150):
            gets = [self.queue.get() for _ in range(rng.randrange(1, 4))]
            for _ in range(rng.randrange(4)):
                await self.redis.execute("PING")
            puts = [self.far.put(f"{i}-{j}") for j in range(rng.randrange(4))]
            for _ in range(rng.randrange(3)):
                await self.redis.execute("PING")
            for get in gets:
                get.addCallbacks(taken.append, lambda f: f.trap(CancelledError))
                get.cancel()
            await gatherResults(puts)
        while True:
            try:
                taken.append(await self.queue.get(0.2))
            except Empty:
                break
        self.assertEqual(len(taken), len(set(taken)))
        puts_so_far = int(await self.redis.execute("GET", self.keys.publishes))
        self.assertEqual(len(taken), puts_so_far)
        self.assertEqual(await self.redis.execute("EXISTS", self.keys.handoff), 0)

    async def test_deleted(self) -> None:
        """
        A get that waits when its feed is deleted fails as soon as something wakes it.
        """
        get = self.queue.get()
        await self.blocked(1)
        await self.other.delete_feed(self.name)
        await self.redis.execute("LPUSH", self.keys.ids, "a")
        await self.refused(get, FeedDoesNotExist, self.name)

    async def test_born_again(self) -> None:
        """
        A get that waits when its feed is deleted and created again is served by the new one.
        """
        get = self.queue.get()
        await self.blocked(1)
        await self.other.delete_feed(self.name)
        await self.other.queue(self.name).put("x")
        self.assertEqual(await get, "x")


class StopTests(WaitingCase):
    """The instance stops."""

    async def test_stop(self) -> None:
        """
        Stopping fails the gets that wait, ends their wait in Redis, and loses nothing.
        """
        gets = [self.queue.get() for _ in range(3)]
        await self.blocked(1)
        stopping = self.thoonk.stopService()
        for get in gets:
            await self.assertFailure(get, NotConnected)
        await stopping
        await until(self.no_clients)
        await self.far.put("x")
        self.assertEqual(await self.far.get(), "x")
        await self.assertFailure(self.queue.get(), NotConnected)

    async def test_stop_while_taking(self) -> None:
        """
        What was being taken when the instance stopped goes back.
        """
        await self.far.put("x")
        get = self.queue.get()
        stopping = self.thoonk.stopService()
        await self.assertFailure(get, NotConnected)
        await stopping
        self.assertEqual(await self.far.get(10), "x")

    async def test_start_again(self) -> None:
        """
        An instance that was stopped and started again waits again.
        """
        get = self.queue.get()
        await self.blocked(1)
        await self.thoonk.stopService()
        await self.assertFailure(get, NotConnected)
        self.thoonk.startService()
        await self.thoonk.when_connected()
        get = self.queue.get()
        await self.blocked(1)
        await self.far.put("x")
        self.assertEqual(await get, "x")

    async def test_stop_at_any_instant(self) -> None:
        """
        Whatever the gets are at when the instance stops, they fail, and nothing is lost.
        """
        await self.far.put("x")
        for commands in range(12):
            thoonk = await self.start_thoonk()
            queue = thoonk.queue(self.name)
            # All but the first ones have nothing to take, and connect to wait.
            gets = [queue.get() for _ in range(3)]
            for get in gets:
                get.addErrback(_stopped)
            for _ in range(commands):
                await self.redis.execute("PING")
            await thoonk.stopService()
            taken = [item for item in await gatherResults(gets) if item is not None]
            self.assertEqual(taken + ["x"] * await self.far.length(), ["x"])
            if taken:
                await self.far.put("x")
        self.assertEqual(await self.redis.execute("EXISTS", self.keys.handoff), 0)


def _stopped(failure: Failure) -> None:
    failure.trap(NotConnected)
