"""Subscriptions against a real server: who hears what, and what Redis is asked for."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed

from tests.helpers import Heard, ThoonkTestCase, until
from txthoonk import Thoonk
from txthoonk.errors import PermissionDenied
from txthoonk.events import FeedCreated, FeedDeleted, Published


class PatternTests(ThoonkTestCase):
    """Subscriptions to all feeds whose name matches."""

    async def publish(self, *names: str) -> list[Published]:
        """Publish in each feed, and wait until that was heard; returns the events."""
        for name in names:
            await self.thoonk.feed(name).publish("item", "1")
        await self.settle()
        return [Published(name, "1", "item") for name in names]

    async def test_once(self) -> None:
        """
        A message is handled once, however many of a subscription's patterns match.
        """
        prefix = self.feed_name()
        heard, other = Heard(), Heard()
        patterns = [f"{prefix}*", f"{prefix}:a*", f"{prefix}:?b", f"{prefix}*"]
        await self.thoonk.subscribe_pattern(patterns, publish=heard)
        await self.thoonk.subscribe_pattern(patterns[1], publish=other)
        events = await self.publish(f"{prefix}:ab", f"{prefix}:a", f"{prefix}:xb", prefix)
        self.assertEqual(heard, events)
        self.assertEqual(other, events[:2])

    async def test_each_subscription(self) -> None:
        """
        A subscription by name and one by pattern are two: each hears the message.
        """
        name = self.feed_name()
        by_name, by_pattern, by_channel = Heard(), Heard(), Heard()
        await self.thoonk.subscribe(name, publish=by_name)
        await self.thoonk.subscribe_pattern(name, publish=by_pattern)
        await self.thoonk.register_handler(f"feed.publish:{name}", by_channel)
        events = await self.publish(name)
        self.assertEqual([by_name, by_pattern, by_channel], [events, events, [("1", "item")]])

    async def test_wildcards(self) -> None:
        """
        Patterns are Redis's own, also for notices of feeds, which we match ourselves.
        """
        prefix = self.feed_name()
        matches = {
            "?": "a",
            "[ab]x": "ax bx",
            "[^a]x": "bx *x",
            "[a-b]x": "ax bx",
            "\\*x": "*x",
            "*:*": "a:b",
        }
        names = ["a", "ax", "bx", "*x", "a:b"]
        heard = {pattern: Heard() for pattern in matches}
        created = {pattern: Heard() for pattern in matches}
        for pattern in matches:
            await self.thoonk.subscribe_pattern(
                prefix + pattern, publish=heard[pattern], create=created[pattern]
            )
        await self.publish(*[prefix + name for name in names])
        for pattern, expected in matches.items():
            full = [prefix + name for name in expected.split()]
            full.sort(key=lambda name: names.index(name.removeprefix(prefix)))
            self.assertEqual([event.feed for event in heard[pattern]], full, pattern)
            self.assertEqual([event.feed for event in created[pattern]], full, pattern)

    async def test_born_later(self) -> None:
        """
        A feed that is created later is heard from its first event to its last.
        """
        prefix = self.feed_name()
        heard, name = Heard(), f"{prefix}:new"
        await self.thoonk.subscribe_pattern(
            f"{prefix}:*", create=heard, publish=heard, delete=heard
        )
        peer = await self.start_thoonk()
        feed = await peer.feed(name)
        await feed.publish("item", "1")
        await feed.delete()
        await self.settle()
        who = peer.uuid
        self.assertEqual(
            heard, [FeedCreated(name, who), Published(name, "1", "item"), FeedDeleted(name, who)]
        )

    async def test_stopped(self) -> None:
        """
        A subscription that was stopped hears no more, by none of its patterns.
        """
        name = self.feed_name()
        heard = Heard()
        subscription = await self.thoonk.subscribe_pattern([name, f"{name}*"], publish=heard)
        subscription.stop()
        subscription.stop()
        await self.publish(name)
        self.assertEqual(heard, [])


class InRedisTests(ThoonkTestCase):
    """What Redis is subscribed to on our behalf."""

    async def setUp(self) -> None:
        self.server = await self.own_server()
        self.redis_url = self.server.url
        self.thoonk = await self.start_thoonk()
        self.redis = self.thoonk.redis

    async def subscribers(self, *channels: str) -> list[int]:
        """How many connections are subscribed to each channel."""
        return (await self.redis.execute("PUBSUB", "NUMSUB", *channels))[1::2]

    async def test_unsubscribed(self) -> None:
        """
        Redis is unsubscribed from a channel when its last handler goes, and not before.
        """
        first = await self.thoonk.subscribe("a", publish=print, edit=print)
        second = await self.thoonk.register_handler("feed.publish:a", print)
        channels = ("feed.publish:a", "feed.edit:a")
        self.assertEqual(await self.subscribers(*channels), [1, 1])
        first.stop()
        await self.settle()
        self.assertEqual(await self.subscribers(*channels), [1, 0])
        await self.thoonk.remove_handler(second)
        await self.settle()
        self.assertEqual(await self.subscribers(*channels), [0, 0])

    async def test_unsubscribed_patterns(self) -> None:
        """
        So it is with patterns, and with the channels that all feeds share.
        """
        first = await self.thoonk.subscribe_pattern(["a*", "b*"], publish=print, create=print)
        second = await self.thoonk.subscribe_pattern("a*", publish=print)
        third = await self.thoonk.subscribe("x", create=print)
        self.assertEqual(await self.redis.execute("PUBSUB", "NUMPAT"), 2)
        first.stop()
        await self.settle()
        self.assertEqual(await self.redis.execute("PUBSUB", "NUMPAT"), 1)
        self.assertEqual(await self.subscribers("newfeed"), [1])
        second.stop()
        third.stop()
        await self.settle()
        self.assertEqual(await self.redis.execute("PUBSUB", "NUMPAT"), 0)
        self.assertEqual(await self.subscribers("newfeed"), [0])

    async def test_cancelled(self) -> None:
        """
        A subscription that is given up before Redis has confirmed it leaves nothing behind.
        """
        heard = Heard()
        cancelled = self.thoonk.subscribe("a", publish=heard)
        cancelled.cancel()
        await self.assertFailure(cancelled, CancelledError)
        await self.settle()
        self.assertEqual(await self.subscribers("feed.publish:a"), [0])
        await self.thoonk.feed("a").publish("item")
        await self.settle()
        self.assertEqual(heard, [])

    async def test_cancelled_by_one_of_two(self) -> None:
        """
        Who gives up takes nothing from another who wants the same.
        """
        heard = Heard()
        cancelled = self.thoonk.subscribe("a", publish=print)
        wanted = self.thoonk.subscribe("a", publish=heard)
        cancelled.cancel()
        await self.assertFailure(cancelled, CancelledError)
        await wanted
        await self.thoonk.feed("a").publish("item", "1")
        await heard.when(1)
        self.assertEqual(await self.subscribers("feed.publish:a"), [1])

    async def test_databases(self) -> None:
        """
        Redis's messages cross its databases: a listener hears the feed of that name in each, once
        a change, as from any other Thoonk; items stay apart. Our own messages name the database.
        """
        url = self.server.url.replace("db=0", "db=1")
        elsewhere = await self.start_thoonk(url)
        heard = Heard()
        await elsewhere.subscribe("a", publish=heard, edit=heard, retract=heard)
        everything = await self.listen("*", url=url)
        feed = self.thoonk.feed("a")
        await feed.publish("item", "1")
        await self.settle(elsewhere)
        await until(lambda: len(everything) >= 5)
        self.assertEqual(heard, [Published("a", "1", "item")])
        channels = [channel for channel, _ in everything]
        ours = ["tx.feed.event:0:a", "tx.feed.under:0:a"]
        self.assertEqual(channels, ["newfeed", "conffeed", *ours, "feed.publish:a"])
        self.assertEqual(await elsewhere.feed("a").get_ids(), [])


class HandlerTests(ThoonkTestCase):
    """Handlers that do what they should not, or what they may."""

    async def after(self, bad: Any) -> Heard:
        """Subscribe *bad* and a good handler behind it; publish two items."""
        name, heard = self.feed_name(), Heard()
        await self.thoonk.subscribe(name, publish=bad)
        await self.thoonk.subscribe_pattern(name, publish=bad)
        await self.thoonk.subscribe(name, publish=heard)
        feed = self.thoonk.feed(name)
        await feed.publish("item", "1")
        await feed.publish("item", "2")
        await self.settle()
        self.assertEqual([event.id for event in heard], ["1", "2"])
        return heard

    async def test_raises(self) -> None:
        """
        A handler that raises is logged each time, and called the next time too.
        """

        def bad(event: Published) -> None:
            raise ValueError(event.id)

        await self.after(bad)
        logged = self.flushLoggedErrors(ValueError)
        self.assertEqual([str(failure.value) for failure in logged], ["1", "1", "2", "2"])

    async def test_fails_later(self) -> None:
        """
        So it is with one whose Deferred fails.
        """
        await self.after(lambda event: fail(ValueError(event.id)))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 4)

    async def test_async(self) -> None:
        """
        Handlers may be ``async``; they run, and what they raise is logged.
        """
        waited: list[str] = []

        async def bad(event: Published) -> None:
            await succeed(None)
            waited.append(event.id)
            raise ValueError(event.id)

        await self.after(bad)
        self.assertEqual(waited, ["1", "1", "2", "2"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 4)

    async def test_outcome_does_not_matter(self) -> None:
        """
        What else a handler returns is nobody's business.
        """
        await self.after(lambda event: event)
        await self.after(lambda event: Deferred())

    async def test_stops_itself(self) -> None:
        """
        A handler may stop its own subscription; others of the channel hear the message.
        """
        name, heard, once = self.feed_name(), Heard(), Heard()

        def only_once(event: Published) -> None:
            once(event)
            subscription.stop()

        subscription = await self.thoonk.subscribe(name, publish=only_once)
        await self.thoonk.subscribe(name, publish=heard)
        feed = self.thoonk.feed(name)
        await feed.publish("item", "1")
        await feed.publish("item", "2")
        await self.settle()
        self.assertEqual([len(once), len(heard)], [1, 2])

    async def test_stops_another(self) -> None:
        """
        A subscription that a handler stops does not hear even the message at hand.
        """
        await self.stops_another(self.thoonk.subscribe)
        await self.stops_another(self.thoonk.subscribe_pattern)

    async def stops_another(self, subscribe: Any) -> None:
        """Subscribe twice; the first handler stops the other."""
        name, calls, heard = self.feed_name(), Heard(), Heard()

        def stop(event: Published) -> None:
            calls(event)
            other.stop()

        await subscribe(name, publish=stop)
        other = await subscribe(name, publish=heard)
        await self.thoonk.feed(name).publish("item")
        await self.settle()
        self.assertEqual([len(calls), len(heard)], [1, 0])

    async def test_subscribes(self) -> None:
        """
        A handler may subscribe to further feeds, and to the very same one: it hears what follows.
        """
        name, heard = self.feed_name(), Heard()
        further: list[Deferred[Any]] = []

        def follow(event: Published) -> None:
            if not further:
                further.append(self.thoonk.subscribe(name, publish=heard))
                further.append(self.thoonk.subscribe(event.item, publish=heard))

        await self.thoonk.subscribe(name, publish=follow)
        feed, other = self.thoonk.feed(name), self.thoonk.feed(self.feed_name())
        await feed.publish(other.name, "1")
        await until(lambda: further)
        for subscribed in further:
            await subscribed
        await feed.publish("item", "2")
        await other.publish("item", "3")
        await heard.when(2)
        self.assertEqual([event.id for event in heard], ["2", "3"])


class DeniedTests(ThoonkTestCase):
    """A Redis user who may not hear everything."""

    async def setUp(self) -> None:
        server = await self.own_server()
        self.redis_url = server.url
        self.thoonk = await self.start_thoonk()
        self.redis = self.thoonk.redis
        await self.allow("feed.*:mine*", "newfeed")
        self.url = server.url + "&username=me&password=secret"
        self.me = await self.start_thoonk(self.url)

    async def allow(self, *channels: str) -> None:
        """Say which channels the user may hear."""
        may = [f"&{channel}" for channel in channels]
        await self.redis.execute(
            *("ACL", "SETUSER", "me", "on", ">secret", "~*", "+@all", "resetchannels", *may)
        )

    async def heard(self, thoonk: Thoonk, heard: Heard) -> None:
        """Publish in a feed that the user may hear, and see that it is heard."""
        heard.clear()
        await self.thoonk.feed("mine").publish("item")
        await heard.when(1)

    async def test_denied(self) -> None:
        """
        A subscription that is not allowed fails alone, by name, by pattern and by channel.
        """
        heard = Heard()
        await self.me.subscribe("mine", publish=heard)
        for denied in (
            self.me.subscribe("yours", publish=print),
            self.me.subscribe_pattern("y*", publish=print),
            self.me.subscribe_pattern("mine*", publish=print),  # patterns are allowed literally
            self.me.register_handler("job.finish:mine", print),
        ):
            await self.assertFailure(denied, PermissionDenied)
        await self.heard(self.me, heard)

    async def test_denied_in_part(self) -> None:
        """
        One channel that is denied fails the subscription as a whole, and no other one that wants
        the channels that are allowed.
        """
        heard = Heard()
        denied = self.me.subscribe("mine", publish=print, retract=print, finish=print)
        allowed = self.me.subscribe("mine", publish=heard)
        await self.assertFailure(denied, PermissionDenied)
        await allowed
        await self.heard(self.me, heard)
        numbers = await self.redis.execute(
            "PUBSUB", "NUMSUB", "feed.publish:mine", "feed.retract:mine", "job.finish:mine"
        )
        self.assertEqual(numbers[1::2], [1, 0, 0])

    async def test_denied_together(self) -> None:
        """
        Two who want the same denied channel both fail, each with an error of its own.
        """
        first = self.me.subscribe("yours", publish=print, edit=print)
        second = self.me.subscribe("yours", edit=print, retract=print)
        errors = [await self.assertFailure(each, PermissionDenied) for each in (first, second)]
        self.assertIsNot(*errors)

    async def test_denied_later(self) -> None:
        """
        Where a permission is taken away the others are heard as before; asking again is refused,
        and after it was given back the channel is heard once there is a new connection.
        """
        mine, created = Heard(), Heard()
        await self.me.subscribe("mine", publish=mine)
        await self.me.subscribe("mine", create=created)
        await self.allow("feed.*:mine*")  # Redis closes the connection of who heard the other
        await until(self.subscribed_to_mine_only)
        await self.heard(self.me, mine)
        denied = self.me.register_handler("newfeed", print)
        await self.assertFailure(denied, PermissionDenied)
        await self.allow("feed.*:mine*", "newfeed")
        await self.redis.execute("CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: self.redis.execute("PUBLISH", "newfeed", "mine\0me"))
        await created.when(1)
        self.assertEqual(created[-1], FeedCreated("mine", "me"))

    async def subscribed_to_mine_only(self) -> bool:
        """Whether the user's second connection is ready."""
        numbers = await self.redis.execute("PUBSUB", "NUMSUB", "feed.publish:mine", "newfeed")
        return numbers[1::2] == [1, 0]
