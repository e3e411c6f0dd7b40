"""Following by pattern from where another process stopped, and beside other programs."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.follow_helpers import FollowHeard, PatternCase
from tests.helpers import until
from txthoonk.events import FeedDeleted, Published, Resync


class TokenTests(PatternCase):
    """Tokens of all feeds together."""

    async def test_go_on(self) -> None:
        """
        All that has happened since is told, feed by feed in order: in those that were there, in
        those that were born meanwhile, and of those that have gone.
        """
        old = [await self.thoonk.feed(self.name(f"old {n}")) for n in range(3)]
        live, heard = await self.follow_pattern()
        await gatherResults([feed.publish("x") for feed in old])
        await heard.when(3)
        token = live.token
        live.stop()
        for n in range(4):
            await old[0].publish(f"{n}")
        new = await self.thoonk.sorted_feed(self.name("new"))
        for n in range(4):
            await new.append(f"{n}")
        await self.thoonk.delete_feed(old[1].name)
        await self.thoonk.queue(self.name("queue"))
        again, heard = await self.follow_pattern(thoonk=await self.start_thoonk(), token=token)
        await until(lambda: len(heard) >= 9)
        await again.when_synced()
        self.assertEqual(len(heard), 9)
        await self.logged(self.of(heard, old[0].name), old[0].name, 1)
        await self.logged(self.of(heard, new.name), new.name, 0)
        self.assertEqual(self.of(heard, old[1].name), [FeedDeleted(old[1].name)])
        await self.thoonk.delete_feed(self.name("queue"))
        await self.all_same(again)
        await new.append("more")
        await heard.when(10)

    async def test_nothing_happened(self) -> None:
        """
        Where nothing has happened nothing is told, whichever instance takes the token.
        """
        for n in range(20):
            await (await self.thoonk.feed(self.name(n))).publish("x")
        live, _ = await self.follow_pattern()
        other = await self.start_thoonk()
        for thoonk in (self.thoonk, other, self.thoonk):
            again, heard = await self.follow_pattern(thoonk=thoonk, token=live.token)
            await again.when_synced()
            self.assertEqual((len(heard), len(again)), (0, 20))
            live.stop()
            live = again

    async def test_created_again(self) -> None:
        """
        A feed that is another one of the same name is told as such.
        """
        name = self.name("a")
        feed = await self.thoonk.feed(name)
        await feed.publish("x")
        live, _ = await self.follow_pattern()
        token = live.token
        live.stop()
        await self.thoonk.delete_feed(name)
        await (await self.thoonk.feed(name)).publish("y", id="1")
        again, heard = await self.follow_pattern(token=token)
        await again.when_synced()
        self.assertEqual(heard, [Resync(name, "epoch", 1)])
        await self.all_same(again)

    async def test_no_feed_yet(self) -> None:
        """
        A token of no feed at all is one, too: all that comes is news.
        """
        live, _ = await self.follow_pattern()
        token = live.token
        live.stop()
        await (await self.thoonk.feed(self.name("a"))).publish("x", id="1")
        _, heard = await self.follow_pattern(token=token)
        await heard.when(1)
        self.assertEqual(heard, [Published(self.name("a"), "1", "x", 1)])

    async def test_trimmed(self) -> None:
        """
        Where the history does not go back so far, that is told of that feed alone.
        """
        feeds = [await self.thoonk.feed(self.name(n), history=3) for n in range(2)]
        live, _ = await self.follow_pattern()
        token = live.token
        live.stop()
        await gatherResults([feeds[0].publish("x") for _ in range(3)])
        await gatherResults([feeds[1].publish("x") for _ in range(4)])
        again, heard = await self.follow_pattern(token=token)
        await again.when_synced()
        self.assertEqual([e.revision for e in self.of(heard, feeds[0].name)], [1, 2, 3])
        self.assertEqual(self.of(heard, feeds[1].name).kinds, ["trimmed"])
        await self.all_same(again)

    async def test_odd_names(self) -> None:
        """
        The name of a feed may have bytes that are no UTF-8.
        """
        name = self.prefix + b":\xff\xfe".decode("utf-8", "surrogateescape")
        feed = await self.thoonk.feed(name)
        live, heard = await self.follow_pattern()
        await feed.publish("x")
        await heard.when(1)
        token = live.token
        await feed.publish("y")
        _, again = await self.follow_pattern(token=token)
        await again.when(1)
        self.assertEqual((again[0].feed, again[0].revision), (name, 2))

    async def test_not_before(self) -> None:
        """
        Nothing is told before the mapping is there; what was missed, and what happens meanwhile,
        is told then.
        """
        feeds = [await self.thoonk.feed(self.name(n)) for n in range(30)]
        live, _ = await self.follow_pattern()
        token = live.token
        live.stop()
        gone = await self.thoonk.feed(self.name("gone"))
        for _ in range(3):
            await gatherResults([feed.publish("x") for feed in feeds])
        await self.thoonk.delete_feed(gone.name)
        heard, fired = FollowHeard(), list[Any]()

        def handler(event: Any) -> None:
            self.assertTrue(fired, "told before it fired")
            heard(event)

        calls: list[Deferred[Any]] = []
        for given in (token, None):
            call = self.thoonk.follow_pattern(self.pattern, handler, token=given)
            call.addCallback(lambda live: fired.append(live) or live)
            calls += [feed.publish("y") for feed in feeds for _ in range(3)]
            live = await call
            await gatherResults(calls)
            await live.when_synced()
            self.assertEqual(self.flushLoggedErrors(), [])
            await self.all_same(live)
            if given:
                for feed in feeds:
                    await self.logged(self.of(heard, feed.name), feed.name, 0)
            live.stop()
            fired.clear()

    async def test_stops_as_soon_as_it_begins(self) -> None:
        """
        Who stops as soon as it has fired is told nothing of what was missed.
        """
        feed = await self.thoonk.feed(self.name("a"))
        live, _ = await self.follow_pattern()
        token = live.token
        live.stop()
        await feed.publish("x")
        heard = FollowHeard()
        call = self.thoonk.follow_pattern(self.pattern, heard, token=token)
        call.addCallback(lambda live: live.stop())
        await call
        await self.settle()
        self.assertEqual(len(heard), 0)

    async def test_each_token(self) -> None:
        """
        From whatever event on: who was told that far is told the rest, of each feed.
        """
        feeds = [await self.thoonk.feed(self.name(n)) for n in range(3)]
        tokens: list[tuple[str, dict[str, int]]] = []
        told: dict[str, int] = {}

        def handler(event: Any) -> None:
            told[event.feed] = event.revision
            tokens.append((live.token, dict(told)))

        live = await self.thoonk.follow_pattern(self.pattern, handler)
        await gatherResults([feed.publish(f"{n}") for n in range(8) for feed in feeds])
        await until(lambda: len(tokens) == 24)
        for token, before in tokens:
            again, heard = await self.follow_pattern(token=token)
            await again.when_synced()
            for feed in feeds:
                await self.logged(self.of(heard, feed.name), feed.name, before.get(feed.name, 0))
            again.stop()


class ForeignTests(PatternCase):
    """Programs without revisions."""

    async def test_wanted(self) -> None:
        """
        Who wants to listen for them is told of their changes, of all feeds, with revisions.
        """
        feed = await self.thoonk.feed(self.name("a"))
        ordered = await self.thoonk.sorted_feed(self.name("b"))
        await ordered.append("x")
        others = [self.thoonk, await self.start_thoonk()]
        followed = [await self.follow_pattern(thoonk=each, foreign=True) for each in others]
        followed += [await self.follow_pattern(f"{self.prefix}*", foreign=True)]
        peer, other = await self.foreign(feed.name), await self.foreign(ordered.name)
        await peer.publish("1", "theirs")
        await other.append("theirs")
        await feed.publish("ours", id="2")
        await peer.publish("1", "edited")
        await other.move("1", behind="2")
        await peer.retract("2")
        await ordered.append("ours")
        for live, heard in followed:
            await until(lambda live=live: live[feed.name].ids == ["1"])
            await until(lambda live=live: live[ordered.name].ids == ["2", "1", "3"])
            await live.when_synced()
            await self.logged(self.of(heard, feed.name), feed.name, 0)
            await self.logged(self.of(heard, ordered.name), ordered.name, 1)
            await self.all_same(live)

    async def test_born_of_them(self) -> None:
        """
        So are feeds that they create, whatever they do first.
        """
        live, heard = await self.follow_pattern(foreign=True)
        for n in range(5):
            peer = await self.foreign(self.name(n))
            await peer.create()
            await peer.publish("1", "theirs")
            await until(lambda n=n: self.name(n) in live and len(live[self.name(n)]) == 1)
        await live.when_synced()
        expected = [Published(self.name(n), "1", "theirs", 1) for n in range(5)]
        found = [Published(e.feed, e.id, e.item, e.revision) for e in heard]
        self.assertEqual(found, expected)

    async def test_only_ours(self) -> None:
        """
        Changes of ours are never taken for theirs.
        """
        feeds: list[Any] = [await self.thoonk.feed(self.name(n), max_length=5) for n in range(5)]
        live, heard = await self.follow_pattern(foreign=True)
        ordered = await self.thoonk.sorted_feed(self.name("sorted"))
        calls: list[Deferred[Any]] = []
        for n in range(50):
            calls += [feed.publish(f"{n}") for feed in feeds]
            calls += [ordered.append("x"), ordered.prepend("y"), ordered.move_first("1")]
        await gatherResults(calls)
        await self.settle()
        await live.when_synced()
        for feed in [*feeds, ordered]:
            self.assertEqual(await self.adopted(feed.name), [])
            own = self.of(heard, feed.name)
            last = await self.revision(feed.name)
            self.assertEqual([e.revision for e in own], list(range(1, last + 1)))
        await self.all_same(live)

    async def test_not_wanted(self) -> None:
        """
        Who does not listen for them hears of them within the interval of checks.
        """
        thoonk = await self.start_thoonk(check_interval=0.05)
        name = self.name("a")
        await self.thoonk.feed(name)
        live, heard = await self.follow_pattern(thoonk=thoonk)
        peer = await self.foreign(name)
        await peer.publish("1", "theirs")
        await heard.when(1)
        self.assertEqual(heard.short, [("Published", 1, "1")])
        await self.all_same(live)

    async def test_verify(self) -> None:
        """
        Or when everything is compared.
        """
        names = [self.name(n) for n in range(5)]
        for name in names:
            await (await self.thoonk.feed(name)).publish("x", id="1")
        live, heard = await self.follow_pattern()
        self.assertIs(await live.verify(), True)
        peer = await self.foreign(names[2])
        await peer.publish("2", "theirs")
        self.assertIs(await live.verify(), False)
        self.assertEqual([(e.feed, e.id) for e in heard], [(names[2], "2")])
        self.assertIs(await live.verify(), True)
        await self.all_same(live)
