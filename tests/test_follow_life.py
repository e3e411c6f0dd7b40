"""Following feeds: what cannot be followed, feeds that go and come, followers that end."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.follow_helpers import FollowCase, FollowHeard
from tests.helpers import until
from txthoonk import FeedDoesNotExist, NotConnected, Thoonk, WrongFeedType
from txthoonk.events import FeedDeleted, Resync
from txthoonk.keys import FeedKeys, encode

reactor: Any = global_reactor


class BeginningTests(FollowCase):
    """What cannot be followed, and what ends before it has begun."""

    async def nothing_left(self, name: str) -> None:
        """Nobody listens for the feed any more."""
        keys = FeedKeys(encode(name))
        await self.settle()
        channels = (keys.event_channel, keys.publish_channel, keys.retract_channel)
        for channel in channels:
            _, count = await self.redis.execute("PUBSUB", "NUMSUB", channel)
            self.assertEqual(count, 0, channel)

    async def test_no_such_feed(self) -> None:
        """
        What is not there cannot be followed, and nothing listens for it afterwards.
        """
        name = self.feed_name()
        await self.refused(self.thoonk.follow(name, print), FeedDoesNotExist, name)
        await self.nothing_left(name)
        await self.thoonk.feed(name)
        await self.follow(name)

    async def test_wrong_type(self) -> None:
        """
        Queues and jobs cannot be followed.
        """
        for kind in ("queue", "job"):
            name = self.feed_name()
            await self.thoonk.create_feed(name, type=kind)
            await self.refused(self.thoonk.follow(name, print), WrongFeedType, name)
            await self.nothing_left(name)

    async def test_wrong_arguments(self) -> None:
        """
        What cannot be is refused at once.
        """
        name = self.feed_name()
        await self.thoonk.feed(name)
        follow: Any = self.thoonk.follow
        for arguments, options in (
            ((name, None), {}),
            ((name, "handler"), {}),
            (("", print), {}),
            ((7, print), {}),
            ((name, print), {"serializer": "none"}),
            ((name, print), {"max_events": 0}),
            ((name, print), {"max_bytes": 0}),
            ((name, print), {"token": "garbage"}),
            ((name, print), {"token": 7}),
            ((name, print), {"wrong": 7}),
        ):
            with self.assertRaises((TypeError, ValueError)):
                await follow(*arguments, **options)
        await self.nothing_left(name)

    async def test_not_connected(self) -> None:
        """
        Who does not get a connection in time is told so, and is not followed for later.
        """
        server = await self.own_server()
        thoonk = await self.start_thoonk(server.url, connect_timeout=0.1)
        await thoonk.feed("a")
        await server.kill()
        await self.assertFailure(thoonk.follow("a", print), NotConnected)
        await self.assertFailure(thoonk.follow_pattern("a*", print), NotConnected)
        await server.start()
        peer = await self.start_thoonk(server.url)
        await peer.feed("a")
        heard = FollowHeard()

        async def again() -> Any:
            try:
                return [await thoonk.follow("a", heard)]
            except NotConnected:
                return None

        [live] = await until(again)
        await peer.feed("a").publish("x")
        await heard.when(1)
        live.stop()

    async def test_two_while_there_is_no_connection(self) -> None:
        """
        That one gives up waiting for a connection costs another one nothing.
        """
        server = await self.own_server(appendonly="yes", appendfsync="always")
        thoonk = await self.start_thoonk(server.url, connect_timeout=0.4)
        await thoonk.feed("a")
        await server.kill()
        first = thoonk.follow("a", print)
        await deferLater(reactor, 0.25)
        heard = FollowHeard()
        second = thoonk.follow("a", heard)
        await self.assertFailure(first, NotConnected)
        await server.start()
        try:
            live = await second
        except NotConnected:  # the machine was too slow for this to be a test
            return
        await thoonk.delete_feed("a")
        await heard.when(1)
        self.assertEqual(heard.kinds, ["FeedDeleted"])
        live.stop()

    async def test_cancelled(self) -> None:
        """
        Who wants it no more before it has begun may say so.
        """
        name = self.feed_name()
        await self.thoonk.feed(name)
        call = self.thoonk.follow(name, print)
        call.cancel()
        await self.assertFailure(call, CancelledError)
        await self.nothing_left(name)


class LifeTests(FollowCase):
    """Feeds that go and come, followers that end."""

    async def test_deleted(self) -> None:
        """
        A delete is told, and the copy is empty; what is created under the name later is told as
        something new, and followed.
        """
        for make in ("feed", "sorted_feed"):
            name = self.feed_name()
            feed = await getattr(self.thoonk, make)(name)
            await feed.publish("x")
            live, heard = await self.follow(name)
            for _ in range(3):
                heard.clear()
                await self.thoonk.delete_feed(name)
                await heard.when(1)
                self.assertEqual(heard[-1], FeedDeleted(name))
                self.assertEqual((len(live), live.revision, live.epoch), (0, 0, ""))
                await live.when_synced()
                await self.thoonk.create_feed(name, type=make)
                await heard.when(2)
                self.assertEqual(heard[-1], Resync(name, "deleted", 0))
                id = await getattr(self.thoonk, make)(name).publish("again")
                await heard.when(3)
                self.assertEqual((heard[-1].id, heard[-1].revision), (id, 1))
                await self.same(live)
            live.stop()

    async def test_deleted_and_created_at_once(self) -> None:
        """
        Whatever is seen of it in between: in the end the copy is the new feed, and that it is
        another one was told.
        """
        for _ in range(20):
            name = self.feed_name()
            feed = await self.thoonk.feed(name)
            await feed.publish("old", id="old")
            live, heard = await self.follow(name)
            calls: list[Deferred[Any]] = [
                self.thoonk.delete_feed(name),
                self.thoonk.create_feed(name),
                self.thoonk.feed(name).publish("new", id="new"),
            ]
            await gatherResults(calls)
            await until(lambda live=live: live.ids == ["new"] and live.synced)
            self.assertNotEqual(heard.kinds[0], "Published")
            live.stop()

    async def test_deleted_by_another_program(self) -> None:
        """
        thoonk.py leaves keys of ours when it deletes a feed, and does not know them when it
        creates one: both are told all the same.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name)
        await feed.publish("x", id="1")
        live, heard = await self.follow(name)
        peer = await self.foreign(name)
        await peer.delete()
        await heard.when(1)
        self.assertEqual(heard, [FeedDeleted(name)])
        await peer.create()
        await heard.when(2)
        self.assertEqual(heard.kinds[1:], ["deleted"])
        self.assertEqual(len(live), 0)
        await peer.publish("2", "y")
        await heard.when(3)
        await self.same(live)
        self.assertEqual(list(live), [("2", "y")])

    async def test_verify_of_what_is_gone(self) -> None:
        """
        That a feed is gone can be verified.
        """
        name = self.feed_name()
        await self.thoonk.feed(name)
        live, heard = await self.follow(name)
        await self.thoonk.delete_feed(name)
        await heard.when(1)
        self.assertIs(await live.verify(), True)
        self.assertEqual(len(heard), 1)

    async def test_messages_about_what_is_gone(self) -> None:
        """
        A program that publishes into a feed that is gone disturbs nobody.
        """
        name = self.feed_name()
        await self.thoonk.feed(name)
        live, heard = await self.follow(name)
        await self.thoonk.delete_feed(name)
        await heard.when(1)
        peer = await self.foreign(name)
        await peer.publish("1", "x")
        await self.settle()
        await live.when_synced()
        self.assertEqual((len(heard), len(live)), (1, 0))

    async def test_gone_without_a_word(self) -> None:
        """
        That the data are gone is seen within the interval of checks.
        """
        thoonk = await self.start_thoonk(check_interval=0.05)
        name = self.feed_name()
        feed = await self.thoonk.feed(name)
        await feed.publish("x")
        live, heard = await self.follow(name, thoonk)
        await self.redis.execute("DEL", *(await self.keys_of(name)))
        await heard.when(1)
        self.assertEqual(heard, [Resync(name, "deleted", 0)])
        self.assertEqual(len(live), 0)

    async def test_key_is_lost(self) -> None:
        """
        Where the revision has gone the next change is a new beginning, and told as such.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name)
        live, heard = await self.follow(name)
        await feed.publish("x", id="1")
        await self.redis.execute("DEL", FeedKeys(encode(name)).revision)
        await feed.publish("y", id="2")
        await heard.when(2)
        self.assertEqual(heard.kinds, ["Published", "epoch"])
        await feed.publish("z", id="3")
        await heard.when(3)
        self.assertEqual(heard.short[2], ("Published", 2, "3"))
        await self.same(live)

    async def test_stop(self) -> None:
        """
        From the moment of a stop on nothing is told, and nobody listens; others go on.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name)
        live, heard = await self.follow(name)
        other, other_heard = await self.follow(name)
        await feed.publish("a")
        await heard.when(1)
        waiting = feed.publish("b")
        live.stop()
        await waiting
        await other_heard.when(2)
        self.assertEqual((len(heard), live.synced), (1, False))
        await self.assertFailure(live.when_synced(), CancelledError)
        await self.assertFailure(live.verify(), CancelledError)
        live.stop()
        self.assertEqual((len(live), len(other)), (1, 2))
        other.stop()
        await self.settle()
        channel = FeedKeys(encode(name)).event_channel
        _, count = await self.redis.execute("PUBSUB", "NUMSUB", channel)
        self.assertEqual(count, 0)

    async def test_service_stops(self) -> None:
        """
        A stop of the instance ends nothing for good: started again it goes on where it was.
        """
        thoonk: Thoonk = await self.start_thoonk()
        name = self.feed_name()
        feed = await self.thoonk.feed(name)
        live, heard = await self.follow(name, thoonk)
        await feed.publish("a")
        await heard.when(1)
        for _ in range(2):
            await thoonk.stopService()
            self.assertIs(live.synced, False)
            await feed.publish("b")
            thoonk.startService()
            await thoonk.when_connected()
            await self.caught_up(live)
        await self.logged(heard, name, 0)
        self.assertEqual(len(heard), 3)
        await self.same(live)

    async def test_other_database(self) -> None:
        """
        A feed of the same name in another database is another one.
        """
        name = self.feed_name()
        feed = await self.thoonk.feed(name)
        live, heard = await self.follow(name)
        other = await self.start_thoonk(self.redis_url.replace("db=0", "db=1"))
        there = await other.feed(name)
        _, there_heard = await self.follow(name, other)
        await there.publish("there", id="1")
        await feed.publish("here", id="2")
        await gatherResults([heard.when(1), there_heard.when(1)])
        await other.delete_feed(name)
        await there_heard.when(2)
        await self.settle()
        await live.when_synced()
        self.assertEqual((heard.short, live.ids), ([("Published", 1, "2")], ["2"]))
        self.assertEqual(there_heard.kinds, ["Published", "FeedDeleted"])

    async def test_synced_after_publish(self) -> None:
        """
        Who waits for it has what was published before.
        """
        name = self.feed_name()
        other = await self.start_thoonk()
        feed = await other.feed(name)
        live, _ = await self.follow(name)
        for _ in range(300):
            id = await feed.publish("x")
            await live.when_synced()
            self.assertEqual(live.revision, id.revision)
