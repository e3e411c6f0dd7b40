"""The Redis protocol in memory: connections that break, or say nothing."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.wire import PING, WireCase
from txthoonk.errors import (
    ConnectionLost,
    NotConnected,
    ProtocolError,
)
from txthoonk.redis import RedisSubscriber


class BrokenTests(WireCase):
    """What the server should not send, and connections that end."""

    def assert_broken(self, *waiting: Deferred[Any]) -> None:
        """The connection was dropped, and everyone told why."""
        self.assertTrue(self.wire.disconnected)
        self.clock.advance(0)
        for each in waiting:
            self.failureResultOf(each, ProtocolError)
        self.failureResultOf(self.redis.execute("X"), NotConnected)

    def test_garbage(self) -> None:
        """
        What is no Redis protocol drops the connection; each who waits is told so, once.
        """
        redis = self.simple()
        waiting = [redis.execute("X") for _ in range(3)]
        self.answer("+1\r\nHTTP/1.1 400 Bad Request\r\n\r\n")
        self.assertEqual(self.successResultOf(waiting[0]), b"1")
        self.assert_broken(*waiting[1:])

    def test_unexpected_reply(self) -> None:
        """
        A reply that nobody had asked for drops the connection, as all later ones would be wrong.
        """
        redis = self.simple()
        lost = redis.when_lost()
        self.answer("+1\r\n")
        self.assert_broken()
        self.assertIsInstance(self.successResultOf(lost), ProtocolError)

    def test_loss(self) -> None:
        """
        When the connection breaks, each who waits is told, once, with an exception of its own.
        """
        redis = self.simple()
        lost = redis.when_lost()
        waiting = [redis.execute("X") for _ in range(3)]
        self.wire.end()
        errors = [self.failureResultOf(each, ConnectionLost).value for each in waiting]
        self.assertEqual(len({id(error) for error in errors}), 3)
        self.assertIsInstance(self.successResultOf(lost), ConnectionLost)
        self.assertIsInstance(self.successResultOf(redis.when_lost()), ConnectionLost)

    def test_execute_from_an_errback(self) -> None:
        """
        Trying again from the errback of a broken connection fails; it does not hang or loop.
        """
        redis = self.simple()
        retried: list[Deferred[Any]] = []
        redis.execute("X").addErrback(lambda _: retried.append(redis.execute("Y")))
        after = redis.execute("Z")
        self.wire.end()
        self.failureResultOf(retried[0], NotConnected)
        self.failureResultOf(after, ConnectionLost)

    def test_execute_from_an_error_reply(self) -> None:
        """
        A command may be given from the errback of another; both get their own replies.
        """
        redis = self.simple()
        retried = redis.execute("X").addErrback(lambda _: redis.execute("Y"))
        self.answer("-ERR no\r\n")
        self.assertEqual(self.wire.sent(), [[b"X"], [b"Y"]])
        self.answer("+1\r\n")
        self.assertEqual(self.successResultOf(retried), b"1")

    def test_lost_from_a_callback(self) -> None:
        """
        A connection closed from within a callback hands out no further replies.
        """
        redis = self.simple()
        redis.execute("X").addCallback(lambda _: self.wire.end())
        second = redis.execute("Y")
        self.answer("+1\r\n+2\r\n")
        self.failureResultOf(second, ConnectionLost)

    def test_close(self) -> None:
        """
        close() sends what was asked for before, tells its reason, and fires when all is over.
        """
        redis = self.simple()
        reply = redis.execute("X")
        closed = redis.close("going home")
        self.assertNoResult(closed)
        self.assertEqual(self.wire.sent(), [[b"X"]])
        self.successResultOf(closed)
        self.assertIn("going home", str(self.failureResultOf(reply, ConnectionLost).value))
        self.successResultOf(redis.close())

    def test_abort(self) -> None:
        """
        close(abort=True) does not wait for what is still to be written.
        """
        closed = self.simple().close(abort=True)
        self.assertTrue(self.wire.disconnected)
        self.clock.advance(0)
        self.successResultOf(closed)


class SilenceTests(WireCase):
    """Peers that vanish are noticed."""

    def test_pinged_and_dropped(self) -> None:
        """
        A connection that is silent for ping_interval is pinged; ping_timeout later it is dropped.
        """
        redis = self.simple(ping_interval=10, ping_timeout=5)
        reply = redis.execute("X")
        self.wire.sent()
        self.clock.pump([5, 4.9])
        self.assertEqual(self.wire.sent(), [])
        self.clock.advance(0.1)
        self.assertEqual(self.wire.sent(), [PING])
        self.clock.advance(4.9)
        self.assertNoResult(reply)
        self.clock.advance(0.2)
        self.assertTrue(self.wire.disconnected)
        self.clock.advance(0)
        self.failureResultOf(reply, ConnectionLost)

    def test_answered_ping(self) -> None:
        """
        A connection that answers its pings stays, and its pings disturb nobody's replies.
        """
        redis = self.simple(ping_interval=10, ping_timeout=5)
        self.clock.advance(10)
        for _ in range(20):
            self.clock.advance(5)
            self.answer("+PONG\r\n" * self.wire.sent().count(PING))
        self.assertFalse(self.wire.disconnecting)
        reply = redis.get("a")
        self.answer("+1\r\n")
        self.assertEqual(self.successResultOf(reply), b"1")

    def test_busy_is_not_pinged(self) -> None:
        """
        As long as replies come there are no pings.
        """
        redis = self.simple(ping_interval=10, ping_timeout=5)
        for _ in range(10):
            redis.execute("X")
            self.clock.advance(7)
            self.answer("+1\r\n")
        self.assertNotIn(PING, self.wire.sent())

    def test_blocked(self) -> None:
        """
        A connection that waits in Redis is dropped only once its reply is ping_timeout late.
        """
        redis = self.simple(ping_interval=10, ping_timeout=5)
        reply = redis.execute_blocking(60, "BLMOVE", "a", "b", "LEFT", "RIGHT", 60)
        self.clock.pump([1] * 64)
        self.assertFalse(self.wire.disconnected)
        self.assertNoResult(reply)
        self.clock.pump([1] * 2)
        self.assertTrue(self.wire.disconnected)
        self.clock.advance(0)
        self.failureResultOf(reply, ConnectionLost)

    def test_blocked_for_ever(self) -> None:
        """
        A connection that waits in Redis without a time-out is not dropped.
        """
        reply = self.simple(ping_interval=10, ping_timeout=5).bpop(["a"], timeout=0)
        self.clock.pump([10] * 100)
        self.assertFalse(self.wire.disconnecting)
        self.assertEqual(self.wire.sent(), [[b"BLPOP", b"a", b"0"]])
        self.answer("*2\r\n$1\r\na\r\n$1\r\n1\r\n")
        self.assertEqual(self.successResultOf(reply), [b"a", b"1"])

    def test_no_longer_blocked(self) -> None:
        """
        Once the reply came, the connection is watched as closely as before.
        """
        redis = self.simple(ping_interval=10, ping_timeout=5)
        redis.execute_blocking(3600, "BLPOP", "a", 3600)
        self.clock.advance(3)
        self.answer("*2\r\n$1\r\na\r\n$1\r\n1\r\n")
        reply = redis.execute("X")
        self.clock.pump([1] * 16)
        self.failureResultOf(reply, ConnectionLost)

    def test_blocked_twice(self) -> None:
        """
        Commands that wait in Redis one behind the other may take the time of both.
        """
        redis = self.simple(ping_interval=10, ping_timeout=5)
        first = redis.execute_blocking(30, "BLPOP", "a", 30)
        second = redis.execute_blocking(30, "BLPOP", "b", 30)
        self.clock.pump([1] * 30)
        self.answer("*-1\r\n")
        self.assertIsNone(self.successResultOf(first))
        self.clock.pump([1] * 29)
        self.assertFalse(self.wire.disconnecting)
        self.assertNoResult(second)
        second.addErrback(lambda _: None)  # the connection goes with the test

    def test_silent_subscriber(self) -> None:
        """
        A subscribed connection on which nothing is published is pinged, and dropped, as any other.
        """
        redis = self.connect(RedisSubscriber(reactor=self.clock, ping_interval=10, ping_timeout=5))
        done = redis.subscribe(b"a")
        self.answer("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")
        self.successResultOf(done)
        self.wire.sent()
        self.clock.pump([5, 5])
        self.assertEqual(self.wire.sent(), [PING])
        self.answer("*2\r\n$4\r\npong\r\n$0\r\n\r\n")
        self.clock.pump([5, 5])
        self.assertFalse(self.wire.disconnecting)
        self.assertEqual(self.wire.sent(), [PING])
        self.clock.advance(5)
        self.assertTrue(self.wire.disconnected)
