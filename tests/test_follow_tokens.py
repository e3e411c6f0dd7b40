"""Tokens: going on in another process where one has stopped."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.follow_helpers import FollowCase, FollowHeard
from tests.helpers import until
from txthoonk import HistoryLost
from txthoonk.events import Published, Resync
from txthoonk.keys import FeedKeys, encode


class TokenTests(FollowCase):
    """Each test with several instances, as if they were processes."""

    async def test_go_on(self) -> None:
        """
        Another process is told all that has happened since, in order, once the copy is there;
        then what happens.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name)
        await feed.publish("a", id="1")
        live, heard = await self.follow(name)
        await feed.publish("b", id="2")
        await heard.when(1)
        token = live.token
        live.stop()
        await feed.publish("c", id="1")
        await feed.retract("2")
        fired: list[Any] = []
        heard = FollowHeard()

        def handler(event: Any) -> None:
            self.assertTrue(fired)
            heard(event)

        other = await self.start_thoonk()
        call = other.follow(name, handler, token=token)
        call.addCallback(lambda live: fired.append(live) or live)
        again = await call
        self.assertEqual(list(again), [("1", "c")])
        await heard.when(2)
        self.assertEqual(heard.short, [("Edited", 3, "1"), ("Retracted", 4, "2")])
        await feed.publish("d", id="4")
        await heard.when(3)
        self.assertEqual(heard.short[2], ("Published", 5, "4"))
        await self.same(again)

    async def test_nothing_happened(self) -> None:
        """
        Where nothing has happened since nothing is told; tokens of the same place go on alike.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name)
        live, _ = await self.follow(name)
        for _ in range(2):
            again, heard = await self.follow(name, token=live.token)
            later, later_heard = await self.follow(name, token=again.token)
            self.assertEqual((len(heard), len(later_heard)), (0, 0))
            id = await feed.publish("x")
            for each in (heard, later_heard):
                await each.when(1)
                self.assertEqual(each[0].id, id)
            await self.caught_up(live)
            again.stop()
            later.stop()

    async def test_of_a_snapshot(self) -> None:
        """
        The token of a snapshot is as good as any other one.
        """
        for make in (self.thoonk.feed, self.thoonk.sorted_feed):
            feed: Any = make(self.feed_name())
            for _ in range(2):
                snapshot = await feed.snapshot()
                id = await feed.publish("x")
                live, heard = await self.follow(feed.name, token=snapshot.token)
                await heard.when(1)
                self.assertEqual((heard[0].id, heard[0].revision), (id, snapshot.revision + 1))
                await self.same(live)
                live.stop()

    async def test_each_token(self) -> None:
        """
        From whatever event on: who was told that far is told the rest.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name)
        tokens: list[str] = []
        live = await self.thoonk.follow(name, lambda _: tokens.append(live.token))
        tokens.append(live.token)
        await gatherResults([feed.publish(f"{n}", id=f"{n % 7}") for n in range(20)])
        await until(lambda: len(tokens) == 21)
        for told, token in enumerate(tokens):
            again, heard = await self.follow(name, token=token)
            await heard.when(20 - told)
            await self.logged(heard, name, told)
            self.assertEqual(again.revision, 20)
            again.stop()

    async def test_stops_on_the_way(self) -> None:
        """
        Who stops in the middle of what he missed has a token of that place, not of the end.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name)
        token = (await feed.snapshot()).token
        await gatherResults([feed.publish(f"{n}") for n in range(30)])
        told: list[int] = []
        for _ in range(30):
            some: list[int] = []
            fired: Deferred[Any] = Deferred()
            stopped: Deferred[str] = Deferred()

            def handler(
                event: Any, some: Any = some, fired: Any = fired, end: Any = stopped
            ) -> None:
                some.append(event.revision)
                live = fired.result
                if len(some) == 2 or event.revision == 30:
                    live.stop()
                    end.callback(live.token)

            self.thoonk.follow(name, handler, token=token).chainDeferred(fired)
            token = await stopped
            told += some
            if told[-1] == 30:
                break
        self.assertEqual(told, list(range(1, 31)))

    async def test_slow_handler(self) -> None:
        """
        The token is of what the handler was told, not of what waits for it.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name)
        token = (await feed.snapshot()).token
        await gatherResults([feed.publish(f"{n}") for n in range(10)])
        told: list[int] = []
        working: list[Deferred[None]] = []

        def handler(event: Any) -> Deferred[None]:
            told.append(event.revision)
            working.append(Deferred())
            return working[-1]

        live = await self.thoonk.follow(name, handler, token=token)
        await feed.publish("live")
        await self.settle()
        for revision in range(1, 12):
            await until(lambda revision=revision: told[-1] == revision)
            found = await feed.history(live.token)
            self.assertEqual([e.revision for e in found], list(range(revision + 1, 12)))
            working[-1].callback(None)
        await live.when_synced()
        self.assertEqual(told, list(range(1, 12)))

    async def test_many(self) -> None:
        """
        However many have happened, more than come with one reply: all are told.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name, history=5000)
        token = (await feed.snapshot()).token
        await gatherResults([feed.publish(f"{n}", id=f"{n % 10}") for n in range(3500)])
        live, heard = await self.follow(name, token=token)
        await heard.when(3500)
        await self.logged(heard, name, 0)
        await self.same(live)

    async def test_while_others_write(self) -> None:
        """
        One process after the other, while others write on: together they were told everything,
        once.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name, history=10_000)
        processes = [await self.start_thoonk() for _ in range(2)]
        live, heard = await self.follow(name, processes[0])
        calls = [feed.publish(f"{n}", id=f"{n % 20}") for n in range(2000)]
        told = FollowHeard()
        for turn in range(40):
            await heard.when(random.Random(turn).randrange(30))
            token = live.token
            live.stop()
            told += heard
            live, heard = await self.follow(name, processes[turn % 2], token=token)
        await gatherResults(calls)
        await self.caught_up(live)
        await until(lambda: len(told) + len(heard) >= 2000)
        told += heard
        await self.logged(told, name, 0)
        await self.same(live)


class LostTests(FollowCase):
    """Tokens that are of no use any more."""

    async def resync(self, name: str, token: str, reason: str) -> None:
        """Check that it is said why what was missed cannot be told, and that all goes on."""
        live, heard = await self.follow(name, token=token)
        await heard.when(1)
        self.assertEqual(heard, [Resync(name, reason, live.revision)])
        await self.same(live)
        feed = self.thoonk.feed(name)
        id = await feed.publish("after")
        await heard.when(2)
        self.assertEqual(heard[1], Published(name, str(id), "after", id.revision))
        await self.same(live)
        again, more = await self.follow(name, token=live.token)
        await again.when_synced()
        self.assertEqual(len(more), 0)
        again.stop()
        live.stop()

    async def test_trimmed(self) -> None:
        """
        What is too long ago is not told; from the first event on that is kept everything is.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name, history=5)
        tokens = []
        for n in range(10):
            tokens.append((await feed.snapshot()).token)
            await feed.publish(f"{n}")
        for since in range(5, 10):
            live, heard = await self.follow(name, token=tokens[since])
            await heard.when(10 - since)
            await self.logged(heard, name, since)
            live.stop()
        for since in (4, 0):
            await self.resync(name, tokens[since], "trimmed")

    async def test_epoch(self) -> None:
        """
        A feed that was deleted and created again is another one.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name)
        await feed.publish("x")
        token = (await feed.snapshot()).token
        await self.thoonk.delete_feed(name)
        await self.thoonk.create_feed(name)
        await self.resync(name, token, "epoch")
        await self.resync(name, token, "epoch")

    async def test_future(self) -> None:
        """
        Where data were lost a token may be of what has not happened yet.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name)
        await feed.publish("x")
        keys = FeedKeys(encode(name))
        old = await self.redis.execute("DUMP", keys.revision)
        history = await self.redis.execute("DUMP", keys.history)
        await feed.publish("y", id="y")
        token = (await feed.snapshot()).token
        await self.redis.execute("RESTORE", keys.revision, 0, old, "REPLACE")
        await self.redis.execute("RESTORE", keys.history, 0, history, "REPLACE")
        await self.resync(name, token, "future")
        await self.resync(name, token, "digest")

    async def test_no_history(self) -> None:
        """
        Without a history all that can be told is that something has happened.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name, history=0)
        await feed.publish("x")
        token = (await feed.snapshot()).token
        live, heard = await self.follow(name, token=token)
        live.stop()
        self.assertEqual(len(heard), 0)
        await feed.publish("y")
        await self.resync(name, token, "trimmed")

    async def test_other_programs(self) -> None:
        """
        That a program without revisions has published while nobody followed is told: by name
        if that can be known, or else as a new beginning.
        """
        for verb in ("publish", "edit"):
            name = self.feed_name()
            feed = await self.thoonk.feed(name)
            await feed.publish("x", id="1")
            token = (await feed.snapshot()).token
            peer = await self.foreign(name)
            await peer.publish("2" if verb == "publish" else "1", "theirs")
            await feed.publish("y", id="3")
            live, heard = await self.follow(name, token=token)
            await live.when_synced()
            await self.same(live)
            self.assertTrue("foreign" in heard.kinds or len(heard) == 2, heard)
            live.stop()

    async def test_of_another_feed(self) -> None:
        """
        The token of another feed is no token of this one.
        """
        feeds = [await self.thoonk.feed(self.feed_name()) for _ in range(2)]
        for feed in feeds:
            await feed.publish("x")
        token = (await feeds[0].snapshot()).token
        await self.resync(feeds[1].name, token, "epoch")
        await self.refused(feeds[1].history(token), HistoryLost, feeds[1].name)
