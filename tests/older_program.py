"""A trial suite as programs for txThoonk 0.1 have it, run by ``test_from_0_1`` in a process.

It is in the style of its time on purpose: generators, camelCase, positional arguments, a tearDown
that returns something trial does not wait for, a reconnecting factory, time-outs of a second. What
had to be changed for txThoonk 1 is marked ``0.1:``; each is in ``docs/from-0.1.rst``. The port of
its Redis is in the environment.
"""

# ruff: noqa: N802, N815  # camelCase, of its time

import functools
import os

from twisted.internet import defer, reactor
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.trial import unittest

from txthoonk.client import (
    FeedDoesNotExist,
    FeedExists,
    Redis,
    ThoonkPub,
    ThoonkPubFactory,
    ThoonkSub,
    ThoonkSubFactory,
)
from txthoonk.types import Feed, SortedFeed
from txthoonk.types.base import FeedBaseType

HOST, PORT, DB = "localhost", int(os.environ.get("TXTHOONK_OLDER_PORT", "6381")), 1


class Base(unittest.TestCase):
    """Two connections, and what tells when a message was received."""

    timeout = 5

    @defer.inlineCallbacks
    def setUp(self):
        self.called = {}
        # Placeholders, made of no connection.
        self.pub = ThoonkPub(Redis())
        self.sub = ThoonkSub(Redis())
        endpoint = TCP4ClientEndpoint(reactor, HOST, PORT)
        self.pub = yield endpoint.connect(ThoonkPubFactory(db=DB))
        self.pub.redis.flushdb()
        self.sub = yield endpoint.connect(ThoonkSubFactory())
        received = self.sub.redis.messageReceived
        self.message = defer.Deferred()

        def wrapper(*args, **kwargs):
            received(*args, **kwargs)
            waiting, self.message = self.message, defer.Deferred()
            waiting.callback(None)

        self.sub.redis.messageReceived = wrapper

    def tearDown(self):
        def close():
            self.pub.redis.transport.loseConnection()
            self.sub.redis.transport.loseConnection()
            self.assertEqual([name for name, called in self.called.items() if not called], [])

        return reactor.callLater(0, close)

    def must(self, handler):
        """A handler that must be called."""
        self.called[handler.__name__] = False

        @functools.wraps(handler)  # 0.1: was not looked at
        def call(*args):
            self.called[handler.__name__] = True
            return handler(*args)

        return call

    @defer.inlineCallbacks
    def heard(self, call, *args):
        """Call something, and wait until the subscriber has received a message."""
        waiting = self.message
        result = yield call(*args)
        yield waiting
        return result


class Instance(Base):
    """Feeds are made, listed, set up, and deleted."""

    @defer.inlineCallbacks
    def testPing(self):
        answer = yield self.pub.redis.ping()
        self.assertEqual(answer, "PONG")

    @defer.inlineCallbacks
    def testCreateAndNames(self):
        names = yield self.pub.get_feed_names()
        self.assertEqual(names, set())
        for name in ("one", "two"):
            exists = yield self.pub.feed_exists(name)
            self.assertFalse(exists)
            yield self.pub.create_feed(name)
            exists = yield self.pub.feed_exists(name)
            self.assertTrue(exists)
        names = yield self.pub.get_feed_names()
        self.assertEqual(names, {"one", "two"})
        names = yield self.pub.redis.smembers("feeds")
        self.assertEqual(names, {"one", "two"})
        yield self.assertFailure(self.pub.create_feed("one"), FeedExists)

    @defer.inlineCallbacks
    def testHandlers(self):
        @self.must
        def everything(name, *args):
            self.assertEqual(name, "one")

        @self.must
        def both(name, instance):
            self.assertEqual((name, instance), ("one", self.pub.uuid))

        ids = []
        for event in ("create", "delete"):
            for handler in (everything, both):
                id = yield self.sub.register_handler(event, handler)
                ids.append(id)
        self.assertEqual(len(set(ids)), 4)
        yield self.heard(self.pub.create_feed, "one")
        yield self.heard(self.pub.delete_feed, "one")
        for id in ids:
            self.sub.remove_handler(id)
        # Nobody handles it any more; it is received all the same.
        yield self.heard(self.pub.create_feed, "two")

    @defer.inlineCallbacks
    def testConfig(self):
        config = {"blow": "2", "blew": "1"}
        yield self.assertFailure(self.pub.set_config("one", config), FeedDoesNotExist)
        yield self.assertFailure(self.pub.get_config("one"), FeedDoesNotExist)
        yield self.pub.create_feed("one")
        yield self.pub.set_config("one", config)
        config["type"] = "feed"  # 0.1: was not stored
        stored = yield self.pub.redis.hgetall("feed.config:one")
        self.assertEqual(stored, config)
        stored = yield self.pub.get_config("one")
        self.assertEqual(stored, config)

    @defer.inlineCallbacks
    def testBaseType(self):
        yield self.pub.create_feed("one", {})
        feed = FeedBaseType(pub=self.pub, name="one")
        self.assertEqual((feed.pub, feed.name), (self.pub, "one"))
        yield feed.set_config({"max_length": "20"})
        config = yield feed.get_config()
        self.assertEqual(config["max_length"], "20")

    @defer.inlineCallbacks
    def testDelete(self):
        yield self.assertFailure(self.pub.delete_feed("one"), FeedDoesNotExist)
        yield self.pub.create_feed("one", {"name": "feed", "surname": "blow"})
        deleted = yield self.pub.delete_feed("one")
        self.assertTrue(deleted)
        exists = yield self.pub.feed_exists("one")
        self.assertFalse(exists)
        config = yield self.pub.redis.hgetall("feed.config:one")
        self.assertEqual(config, {})

    @defer.inlineCallbacks
    def testTypes(self):
        for kind, method in ((Feed, self.pub.feed), (SortedFeed, self.pub.sorted_feed)):
            feed = yield method("one")
            self.assertIsInstance(feed, kind)
            exists = yield self.pub.feed_exists("one")
            self.assertTrue(exists)
            yield feed.publish("hey")
            yield self.pub.delete_feed("one")
            for key in feed.get_schema():
                left = yield self.pub.redis.exists(key)
                self.assertFalse(left, key)

    @defer.inlineCallbacks
    def testPublishChannel(self):
        parts = ("a", "b", "abc", "", "1")

        @self.must
        def mine(*args):
            self.assertEqual(args, parts)

        yield self.sub.register_handler("mychannel", mine)
        yield self.heard(self.pub.publish_channel, "mychannel", *parts)


class Feeds(Base):
    """A feed."""

    @defer.inlineCallbacks
    def setUp(self):
        yield Base.setUp(self)
        yield self.pub.create_feed("one", {"type": "feed"})
        self.feed = Feed(pub=self.pub, name="one")

    def testNames(self):
        feed = self.feed
        keys = [feed.feed_ids, feed.feed_items, feed.feed_publishes, feed.feed_config]
        self.assertEqual(feed.get_schema(), keys)
        self.assertEqual(
            keys, ["feed.ids:one", "feed.items:one", "feed.publishes:one", "feed.config:one"]
        )
        channels = [feed.channel_retract, feed.channel_edit, feed.channel_publish]
        self.assertEqual(feed.get_channels(), channels)
        self.assertEqual(channels, ["feed.retract:one", "feed.edit:one", "feed.publish:one"])

    @defer.inlineCallbacks
    def testPublish(self):
        feed = self.feed
        count = yield self.pub.redis.get(feed.feed_publishes)
        self.assertFalse(count)
        id = yield feed.publish("my item")
        ids = yield self.pub.redis.zrange(feed.feed_ids, 0, -1)
        self.assertEqual(ids, [id])
        count = yield self.pub.redis.get(feed.feed_publishes)
        self.assertEqual(count, "1")
        item = yield self.pub.redis.hget(feed.feed_items, id)
        self.assertEqual(item[id], "my item")

    @defer.inlineCallbacks
    def testMaxLength(self):
        feed = self.feed
        feed.set_config({"max_length": 20})
        for number in range(40):
            yield feed.publish("x", str(number))
        wanted = {str(number) for number in range(20, 40)}
        for number in (39, 20, 30):
            yield feed.publish("y", str(number))
            ids = yield feed.get_ids()
            self.assertEqual((set(ids), len(ids)), (wanted, 20))
        yield feed.set_config({"max_length": "10"})
        for _ in range(2):
            yield feed.publish("z")
            ids = yield feed.get_ids()
            self.assertEqual(len(ids), 10)

    @defer.inlineCallbacks
    def testEvents(self):
        feed = self.feed

        @self.must
        def publish(id, item):
            self.assertEqual((id, item), ("a", "one"))

        @self.must
        def edit(id, item):
            self.assertEqual((id, item), ("a", "two"))

        @self.must
        def retract(id):
            self.assertEqual(id, "a")

        yield self.sub.register_handler(feed.channel_publish, publish)
        yield self.sub.register_handler(feed.channel_edit, edit)
        yield self.sub.register_handler(feed.channel_retract, retract)
        yield self.heard(feed.publish, "one", "a")
        yield self.heard(feed.publish, "two", "a")
        yield self.heard(feed.retract, "a")
        there = yield feed.has_id("a")
        self.assertFalse(there)

    @defer.inlineCallbacks
    def testReads(self):
        feed = self.feed
        yield feed.publish("my item", "a")
        item = yield feed.get_item("a")
        self.assertEqual(item, "my item")  # 0.1: {"a": "my item"}
        item = yield feed.get_id("b")
        self.assertIsNone(item)
        there = yield feed.has_id("a")
        self.assertTrue(there)
        ids = yield feed.get_ids()
        self.assertEqual(ids, ["a"])
        everything = yield feed.get_all()
        self.assertEqual(everything, {"a": "my item"})


class SortedFeeds(Base):
    """A sorted feed."""

    @defer.inlineCallbacks
    def testPublish(self):
        yield self.pub.create_feed("one", {"type": "sorted_feed"})
        feed = SortedFeed(pub=self.pub, name="one")
        self.assertEqual(feed.feed_id_incr, "feed.idincr:one")
        self.assertEqual(feed.channel_position, "feed.position:one")

        @self.must
        def position(id, place):
            self.assertEqual((id, place), ("1", ":end"))

        yield self.sub.register_handler(feed.channel_position, position)
        id = yield self.heard(feed.publish, "my item")
        ids = yield self.pub.redis.lrange(feed.feed_ids, 0, -1)
        self.assertEqual(ids, [id])
        count = yield self.pub.redis.get(feed.feed_id_incr)
        self.assertEqual(count, "1")
        item = yield self.pub.redis.hget(feed.feed_items, id)
        self.assertEqual(item[id], "my item")


class Reconnecting(unittest.TestCase):
    """A factory that connects again by itself."""

    timeout = 5

    @defer.inlineCallbacks
    def testAgain(self):
        made, received = [], []

        class Pub(ThoonkPub):
            def connectionMade(self):
                ThoonkPub.connectionMade(self)
                made.append(self)

        class PubFactory(ThoonkPubFactory):
            protocol_wrapper = Pub
            initialDelay = 0.01

        class SubFactory(ThoonkSubFactory):
            initialDelay = 0.01

            def buildProtocol(self, addr):
                sub = ThoonkSubFactory.buildProtocol(self, addr)
                made.append(sub)
                return sub

        factories = [PubFactory(db=DB), SubFactory()]
        for factory in factories:
            reactor.connectTCP(HOST, PORT, factory)
        while len(made) < 2:
            yield self.later()
        [sub] = [each for each in made if isinstance(each, ThoonkSub)]
        yield sub.register_handler("mychannel", received.append)
        for each in made[:]:
            each.redis.transport.loseConnection()
        while len(made) < 4:
            yield self.later()
        [pub] = [each for each in made[2:] if isinstance(each, ThoonkPub)]
        while not received:
            yield pub.publish_channel("mychannel", "again")
            yield self.later()
        self.assertEqual(set(received), {"again"})
        for factory in factories:
            factory.stopTrying()
        for each in made[2:]:
            each.redis.transport.loseConnection()
        yield self.later()

    def later(self):
        """A moment."""
        moment = defer.Deferred()
        reactor.callLater(0.01, moment.callback, None)
        return moment
