"""Redis is killed and comes back, again and again, under load."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.helpers import Heard, ThoonkTestCase, until
from txthoonk import ConnectionLost, NotConnected, Thoonk

reactor: Any = global_reactor

#: Seconds after which, once Redis answers again, everything has to work again.
PATIENCE = 5

CHANNELS, PATTERNS, PUBLISHERS, WORKERS = 40, 20, 8, 4


class Outcomes:
    """What became of calls, by the id that each was about."""

    def __init__(self) -> None:
        self.done: set[str] = set()
        self.not_sent: set[str] = set()
        self.unknown: set[str] = set()

    async def of(self, call: Deferred[Any], id: str) -> bool:
        """Wait for a call; what it may not fail with fails the test."""
        try:
            await call
        except NotConnected:
            self.not_sent.add(id)
        except ConnectionLost:
            self.unknown.add(id)
        else:
            self.done.add(id)
            return True
        return False


class OutageTests(ThoonkTestCase):
    """A Redis that writes everything to its disk, killed by SIGKILL."""

    timeout = 240

    async def setUp(self) -> None:
        self.server = await self.own_server(appendonly="yes", appendfsync="always")
        self.redis_url = self.server.url
        self.thoonk = await self.start_thoonk()
        self.redis = self.thoonk.redis
        #: One that does not wait for long.
        self.hasty = await self.start_thoonk(connect_timeout=0.1)
        self.working = True

    async def crash(self, rounds: int, again: Callable[[], Any]) -> None:
        """Kill Redis and start it again; *again* is true when everything has worked again."""
        for _ in range(rounds):
            await self.server.kill()
            for _ in range(3):
                await self.assertFailure(self.hasty.redis.ping(), NotConnected, ConnectionLost)
            await self.server.start()
            start = reactor.seconds()
            await until(again)
            self.assertLess(reactor.seconds() - start, PATIENCE)

    async def test_publishers(self) -> None:
        """
        Publishing goes on by itself, what was acknowledged is there, and of what failed as not
        sent nothing is.
        """
        feed = await self.thoonk.feed("a")
        outcomes, hasty = Outcomes(), Outcomes()
        load = [self.publish(self.thoonk, f"{n}", outcomes) for n in range(PUBLISHERS)]
        load.append(self.publish(self.hasty, "hasty", hasty))
        await until(lambda: len(outcomes.done) > 100)

        def again() -> bool:
            return len(outcomes.done) > before + 100

        for _ in range(3):
            before = len(outcomes.done)
            await self.crash(1, again)
        self.working = False
        await gatherResults(load)
        ids = set(await feed.get_ids())
        for each in (outcomes, hasty):
            self.assertEqual(each.done - ids, set())
            self.assertEqual(each.not_sent & ids, set())
        self.assertEqual(outcomes.not_sent, set())  # Redis was back in time
        self.assertTrue(hasty.not_sent)
        self.assertTrue(outcomes.unknown)
        self.assertEqual(set(await feed.get_all()), ids)

    def publish(self, thoonk: Thoonk, prefix: str, outcomes: Outcomes) -> Deferred[None]:
        """Publish one item after the other, whatever becomes of them."""

        async def load() -> None:
            feed, number = thoonk.feed("a"), 0
            while self.working:
                number += 1
                id = f"{prefix}-{number}"
                await outcomes.of(feed.publish("item", id), id)

        return Deferred.fromCoroutine(load())

    async def test_subscribers(self) -> None:
        """
        All channels and patterns are heard again, each message once, and none that nobody wants.
        """
        heard = {f"name{n}": Heard() for n in range(CHANNELS)}
        for name, handler in heard.items():
            await self.thoonk.subscribe(name, publish=handler)
        for n in range(PATTERNS):
            handler = heard[f"glob{n}:x"] = Heard()
            await self.thoonk.subscribe_pattern(f"glob{n}:*", publish=handler)
        unwanted = await self.thoonk.subscribe("unwanted", publish=print)
        peer = await self.start_thoonk()
        feeds = {name: await peer.feed(name) for name in heard}

        async def again() -> bool:
            for handler in heard.values():
                handler.clear()
            calls = [feed.publish("item").addErrback(ignored) for feed in feeds.values()]
            await gatherResults(calls)
            await self.settle()
            lengths = {len(handler) for handler in heard.values()}
            self.assertLessEqual(lengths, {0, 1})
            return lengths == {1}

        def ignored(failure: Any) -> None:
            failure.trap(ConnectionLost)

        self.assertTrue(await again())
        unwanted.stop()
        await self.crash(3, again)
        channels = await self.redis.execute("PUBSUB", "CHANNELS")
        self.assertEqual(len(channels), CHANNELS)
        self.assertEqual(await self.redis.execute("PUBSUB", "NUMPAT"), PATTERNS)

    async def test_blocked_gets(self) -> None:
        """
        Gets that were blocked when Redis died get what is put when it is back, each once.
        """
        job, queue = await self.thoonk.job("a"), await self.thoonk.queue("b")
        claims = [job.get() for _ in range(3)]
        items = [queue.get() for _ in range(3)]
        # Before Redis has seen them wait, in the first round; after it has, in the next ones.
        peer = await self.start_thoonk()
        await self.crash(3, lambda: self.blocked(2))
        await peer.job("a").put_many(["1", "2", "3"])
        for number in range(3):
            await peer.queue("b").put(f"{number}")
        self.assertEqual({(await claim).item for claim in claims}, {"1", "2", "3"})
        self.assertEqual({await item for item in items}, {"0", "1", "2"})

    async def blocked(self, count: int) -> bool:
        """Whether so many connections wait in Redis."""
        info = await self.redis.execute("INFO", "clients")
        return f"blocked_clients:{count}\r\n".encode() in info

    async def test_workers(self) -> None:
        """
        Jobs are put, claimed and finished again by themselves; none that was put is gone unless
        it was finished, and none that was finished is there.
        """
        job = await self.thoonk.job("a")
        puts, finishes, claimed = Outcomes(), Outcomes(), Heard()
        load = [self.put(f"{n}", puts) for n in range(PUBLISHERS)]
        load += [self.work(finishes, claimed) for _ in range(WORKERS)]
        await until(lambda: len(finishes.done) > 50)

        def again() -> bool:
            return len(puts.done) > before[0] + 50 and len(finishes.done) > before[1] + 50

        for _ in range(3):
            before = len(puts.done), len(finishes.done)
            await self.crash(1, again)
        self.working = False
        await job.put_many([""] * WORKERS)
        await gatherResults(load)
        ids = set(await job.get_ids())
        gone = puts.done - ids
        self.assertEqual(gone - finishes.done - finishes.unknown, set())
        self.assertEqual(finishes.done & ids, set())
        self.assertEqual(len(claimed), len(set(claimed)), "a job was handed out twice")

    def put(self, prefix: str, outcomes: Outcomes) -> Deferred[None]:
        """Put one job after the other."""

        async def load() -> None:
            job, number = self.thoonk.job("a"), 0
            while self.working:
                number += 1
                id = f"{prefix}-{number}"
                await outcomes.of(job.put("work", id=id), id)

        return Deferred.fromCoroutine(load())

    def work(self, outcomes: Outcomes, claimed: Heard) -> Deferred[None]:
        """Claim and finish one job after the other."""

        async def load() -> None:
            job = self.thoonk.job("a")
            while self.working:
                try:
                    claim = await job.get()
                except (NotConnected, ConnectionLost):
                    await deferLater(reactor, 0)
                    continue
                claimed(claim.id)
                await outcomes.of(claim.finish(), claim.id)

        return Deferred.fromCoroutine(load())
