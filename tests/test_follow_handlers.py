"""Handlers of those who follow, and what they do to each other: nothing."""

from __future__ import annotations

import gc
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, fail, gatherResults, succeed
from twisted.internet.task import deferLater

from tests.follow_helpers import FollowCase, FollowHeard
from tests.helpers import until
from txthoonk import LiveFeed

reactor: Any = global_reactor


class HandlerTests(FollowCase):
    """A feed; someone who follows it as anybody would, ``self.heard``; and a special handler."""

    async def setUp(self) -> None:
        await super().setUp()
        self.name = self.feed_name()
        self.feed = await self.thoonk.feed(self.name, history=5000)
        self.live, self.heard = await self.follow(self.name)
        self.told: list[int] = []

    async def publish(self, count: int) -> None:
        """Publish, and wait until it was told, and the other one was told it too."""
        before = len(self.heard)
        await gatherResults([self.feed.publish(f"{n}") for n in range(count)])
        await self.heard.when(before + count)
        await self.settle()

    async def unharmed(self) -> None:
        """The other one was told everything."""
        await self.logged(self.heard, self.name, 0)
        await self.same(self.live)

    async def test_raises(self) -> None:
        """
        A handler that raises an exception is told the next event all the same; it is logged.
        """

        def handler(event: Any) -> None:
            self.told.append(event.revision)
            raise KeyError(event.revision)

        live = await self.thoonk.follow(self.name, handler)
        await self.publish(5)
        self.assertEqual(self.told, [1, 2, 3, 4, 5])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 5)
        await self.same(live)
        await self.unharmed()

    async def test_fails_later(self) -> None:
        """
        So it is with one whose Deferred fails, sooner or later, or whose coroutine does.
        """
        waiting: list[Deferred[None]] = []

        def handler(event: Any) -> Any:
            self.told.append(event.revision)
            if event.revision % 3 == 0:
                return fail(KeyError())
            if event.revision % 3 == 1:
                waiting.append(Deferred())
                return waiting[-1]

            async def work() -> None:
                await succeed(None)
                raise KeyError

            return work()

        live = await self.thoonk.follow(self.name, handler)
        await self.publish(7)
        while not live.synced:
            waiting.pop().errback(KeyError())
        self.assertEqual(self.told, [1, 2, 3, 4, 5, 6, 7])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 7)
        await self.same(live)
        await self.unharmed()

    async def test_in_order(self) -> None:
        """
        However long a handler takes for each event, it is at one at a time, in order.
        """
        at_work = 0

        async def handler(event: Any) -> None:
            nonlocal at_work
            self.assertEqual(at_work, 0)
            at_work += 1
            await deferLater(reactor, 0.001 * (event.revision % 3))
            at_work -= 1
            self.told.append(event.revision)

        live = await self.thoonk.follow(self.name, handler)
        await self.publish(30)
        await live.when_synced()
        self.assertEqual(self.told, list(range(1, 31)))
        await self.same(live)
        await self.unharmed()

    async def test_async_that_never_waits(self) -> None:
        """
        An ``async`` handler that has nothing to wait for is as good as any other, however many
        events have waited for it.
        """
        first: Deferred[None] = Deferred()

        async def handler(event: Any) -> None:
            if event.revision == 1:
                await first
            self.told.append(event.revision)

        live = await self.thoonk.follow(self.name, handler)
        await self.publish(3000)
        first.callback(None)
        await live.when_synced()
        self.assertEqual(self.told, list(range(1, 3001)))
        await self.same(live)
        await self.unharmed()

    async def test_returns_anything(self) -> None:
        """
        What a handler returns that is neither Deferred nor coroutine means nothing.
        """

        def handler(event: Any) -> Any:
            self.told.append(event.revision)
            return [False, 0, "", self, iter(())][event.revision % 5]

        await self.thoonk.follow(self.name, handler)
        await self.publish(10)
        self.assertEqual(self.told, list(range(1, 11)))

    async def test_stops_itself(self) -> None:
        """
        A handler that stops itself is called no more, though more was on its way with that event.
        """
        lives: list[LiveFeed] = []

        def handler(event: Any) -> None:
            self.told.append(event.revision)
            if event.revision == 3:
                lives[0].stop()

        lives.append(await self.thoonk.follow(self.name, handler))
        await self.publish(10)
        self.assertEqual(self.told, [1, 2, 3])
        self.assertEqual((lives[0].revision, len(lives[0])), (3, 3))
        await self.unharmed()

    async def test_stops_while_at_work(self) -> None:
        """
        One that is stopped while it is at work finishes that, and is called no more.
        """
        working: Deferred[None] = Deferred()

        async def handler(event: Any) -> None:
            self.told.append(event.revision)
            await working
            self.told.append(-event.revision)

        live = await self.thoonk.follow(self.name, handler)
        await self.publish(10)
        live.stop()
        working.callback(None)
        await self.publish(1)
        self.assertEqual(self.told, [1, -1])
        await self.unharmed()

    async def test_stops_another(self) -> None:
        """
        One that stops another one, whose turn is next, stops it.
        """
        other, other_heard = await self.follow(self.name)

        def handler(event: Any) -> None:
            self.told.append(event.revision)
            other.stop()
            last.stop()

        await self.thoonk.follow(self.name, handler)
        last, last_heard = await self.follow(self.name)
        await self.publish(5)
        self.assertEqual(self.told, [1, 2, 3, 4, 5])
        self.assertLessEqual(len(other_heard), 1)
        self.assertEqual(len(last_heard), 0)
        await self.unharmed()

    async def test_follows_inside(self) -> None:
        """
        A handler may follow the same feed, or another one, and wait for that.
        """
        second = await self.thoonk.feed(self.feed_name())
        inner: list[tuple[LiveFeed, FollowHeard, int]] = []

        async def handler(event: Any) -> None:
            self.told.append(event.revision)
            if event.revision <= 3:
                live, heard = await self.follow(self.name)
                inner.append((live, heard, live.revision))
                self.assertGreaterEqual(live.revision, event.revision)
                await self.follow(second.name)

        live = await self.thoonk.follow(self.name, handler)
        await self.publish(10)
        await live.when_synced()
        await self.publish(10)
        self.assertEqual(self.told, list(range(1, 21)))
        self.assertEqual(len(inner), 3)
        for each, heard, since in inner:
            await self.logged(heard, self.name, since)
            await self.same(each)
        await self.unharmed()

    async def test_publishes_inside(self) -> None:
        """
        A handler may publish into the feed that it follows, and wait for that.
        """

        async def handler(event: Any) -> None:
            self.told.append(event.revision)
            if len(self.told) < 20:
                await self.feed.publish("another")

        live = await self.thoonk.follow(self.name, handler)
        await self.feed.publish("first")
        await until(lambda: len(self.told) == 20)
        await self.heard.when(20)
        self.assertEqual(self.told, list(range(1, 21)))
        await self.same(live)
        await self.unharmed()

    async def test_many(self) -> None:
        """
        Any number of handlers in any number of instances: each is told everything.
        """
        instances = [self.thoonk, *[await self.start_thoonk() for _ in range(3)]]
        followed = [await self.follow(self.name, each) for each in instances for _ in range(10)]
        await self.publish(50)
        for live, heard in followed:
            await heard.when(50)
            await self.logged(heard, self.name, 0)
            await self.same(live)
        for live, _ in followed[::2]:
            live.stop()
        await self.publish(5)
        for i, (_, heard) in enumerate(followed):
            if i % 2:
                await heard.when(55)
            self.assertEqual(len(heard), 55 if i % 2 else 50)

    async def test_dropped(self) -> None:
        """
        Who keeps no ``LiveFeed`` is told all the same.
        """
        heard = FollowHeard()
        await self.thoonk.follow(self.name, heard)
        gc.collect()
        await self.publish(5)
        self.assertEqual(len(heard), 5)
