"""The Redis protocol in memory: subscriptions and messages."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred

from tests.wire import Recorder, WireCase, confirmation, message
from txthoonk.errors import (
    ConnectionLost,
    NotConnected,
    PermissionDenied,
    ProtocolError,
)


class SubscriberTests(WireCase):
    """Subscriptions and messages."""

    def test_own_confirmations(self) -> None:
        """
        subscribe() fires when its own channels are confirmed, and not for those of another.
        """
        redis = self.subscriber()
        first, second = redis.subscribe(b"a", b"b"), redis.subscribe(b"c")
        self.assertEqual(self.wire.sent(), [[b"subscribe", b"a", b"b"], [b"subscribe", b"c"]])
        self.answer(confirmation("subscribe", "a"))
        self.assertNoResult(first)
        self.answer(confirmation("subscribe", "b", 2))
        self.successResultOf(first)
        self.assertNoResult(second)
        second.addErrback(lambda _: None)  # the connection goes with the test
        self.answer(confirmation("subscribe", "c", 3))
        self.successResultOf(second)

    def test_kinds_apart(self) -> None:
        """
        A pattern and a channel of the same name, and their opposites, are not taken for another.
        """
        redis = self.subscriber()
        calls = {
            "subscribe": redis.subscribe(b"a"),
            "psubscribe": redis.psubscribe(b"a"),
            "unsubscribe": redis.unsubscribe(b"a"),
            "punsubscribe": redis.punsubscribe(b"a"),
        }
        self.assertEqual(self.wire.sent(), [[kind.encode(), b"a"] for kind in calls])
        for kind in reversed(calls):
            self.assertNoResult(calls[kind])
            self.answer(confirmation(kind, "a"))
            self.successResultOf(calls[kind])

    def test_same_channel_twice(self) -> None:
        """
        A channel may be named twice, in one call or in two.
        """
        redis = self.subscriber()
        both, again = redis.subscribe(b"a", b"a"), redis.subscribe(b"a")
        answers = sum(len(channels) for _, *channels in self.wire.sent())
        self.answer(confirmation("subscribe", "a") * answers)
        self.successResultOf(both)
        self.successResultOf(again)
        self.assertFalse(self.wire.disconnecting)

    def test_messages(self) -> None:
        """
        Messages reach their handlers as they were published, also between confirmations.
        """
        redis = self.subscriber(Recorder)
        assert isinstance(redis, Recorder)
        first, second = redis.subscribe(b"a"), redis.psubscribe(b"*")
        self.answer(confirmation("subscribe", "a") + message("a", "1"))
        self.answer(confirmation("psubscribe", "*") + message("a", "\x00\r\n"))
        self.answer("*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\na\r\n$0\r\n\r\n")
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(redis.received, [(b"a", b"1"), (b"a", b"\x00\r\n"), (b"*", b"a", b"")])

    def test_split_anywhere(self) -> None:
        """
        Messages come out the same wherever the network splits them.
        """
        data = message("a", "1") + confirmation("unsubscribe", "a") + message("b", "2")
        for at in range(len(data) + 1):
            redis = self.subscriber(Recorder)
            assert isinstance(redis, Recorder)
            done = redis.unsubscribe(b"a")
            self.answer(data[:at])
            self.answer(data[at:])
            self.successResultOf(done)
            self.assertEqual(redis.received, [(b"a", b"1"), (b"b", b"2")])
            self.wire.end()
            self.clock.advance(0)

    def test_denied(self) -> None:
        """
        A subscription that Redis refuses fails; the others stay.
        """
        redis = self.subscriber()
        first, denied, third = (redis.subscribe(channel) for channel in (b"a", b"b", b"c"))
        self.answer(confirmation("subscribe", "a"))
        self.answer("-NOPERM this user has no permissions to access one of the channels\r\n")
        self.answer(confirmation("subscribe", "c"))
        self.successResultOf(first)
        self.failureResultOf(denied, PermissionDenied)
        self.successResultOf(third)
        self.assertFalse(self.wire.disconnecting)

    def test_bad_message(self) -> None:
        """
        A message that its handler chokes on is logged; the later ones come still.
        """
        redis = self.subscriber(Recorder)
        assert isinstance(redis, Recorder)
        self.answer(message("a", "1") + message("a", "bad") + message("a", "2"))
        self.answer(message("a", "3"))
        self.assertEqual([text for _, text in redis.received], [b"1", b"2", b"3"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertFalse(self.wire.disconnecting)

    def test_many_bad_messages(self) -> None:
        """
        Any number of such messages may come at once.
        """
        redis = self.subscriber(Recorder)
        assert isinstance(redis, Recorder)
        self.answer(message("a", "bad") * 2000 + message("a", "good"))
        self.assertEqual(redis.received, [(b"a", b"good")])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2000)

    def test_handler_may_command(self) -> None:
        """
        A handler may subscribe further; its request leaves at once.
        """
        redis = self.subscriber()
        done: list[Deferred[None]] = []
        redis.messageReceived = (  # type: ignore[method-assign]  # as 0.1's users do
            lambda channel, message: done.append(redis.subscribe(message))
        )
        self.answer(message("a", "b"))
        self.assertEqual(self.wire.sent(), [[b"subscribe", b"b"]])
        self.answer(confirmation("subscribe", "b"))
        self.successResultOf(done[0])

    def test_needs_a_channel(self) -> None:
        """
        Without a channel there is nothing to subscribe to, and nothing is unsubscribed by mistake.
        """
        redis = self.subscriber()
        for method in (redis.subscribe, redis.unsubscribe, redis.psubscribe, redis.punsubscribe):
            self.assertRaises(ValueError, method)

    def test_unasked_confirmation(self) -> None:
        """
        A confirmation that nobody waits for drops the connection.
        """
        redis = self.subscriber()
        done = redis.subscribe(b"a")
        self.answer(confirmation("subscribe", "b"))
        self.assertTrue(self.wire.disconnected)
        self.clock.advance(0)
        self.failureResultOf(done, ProtocolError)

    def test_reply_instead_of_a_confirmation(self) -> None:
        """
        A plain reply where a confirmation is due drops the connection; who waits is told.
        """
        redis = self.subscriber()
        done, later = redis.subscribe(b"a"), redis.subscribe(b"b")
        self.answer("+OK\r\n")
        self.assertTrue(self.wire.disconnected)
        self.clock.advance(0)
        self.failureResultOf(done, ProtocolError)
        self.failureResultOf(later, ProtocolError)

    def test_garbage(self) -> None:
        """
        What is no Redis protocol drops a subscribed connection as well.
        """
        done = self.subscriber().subscribe(b"a")
        self.answer("?\r\n")
        self.clock.advance(0)
        self.failureResultOf(done, ProtocolError)

    def test_loss(self) -> None:
        """
        When the connection breaks, each who waits for a confirmation is told, once.
        """
        redis = self.subscriber()
        waiting = [redis.subscribe(b"a"), redis.unsubscribe(b"a")]
        cancelled = redis.subscribe(b"c")
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.wire.end()
        for each in waiting:
            self.failureResultOf(each, ConnectionLost)
        self.failureResultOf(redis.subscribe(b"b"), NotConnected)

    def test_cancelled(self) -> None:
        """
        Who gives up waiting for a confirmation does not disturb the others.
        """
        redis = self.subscriber()
        first, second = redis.subscribe(b"a"), redis.subscribe(b"b")
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.answer(confirmation("subscribe", "a") + confirmation("subscribe", "b"))
        self.successResultOf(second)

    def test_plain_replies(self) -> None:
        """
        Before its first subscription, such a connection takes any command.
        """
        reply = self.subscriber().execute("ECHO", "hello")
        self.answer("$5\r\nhello\r\n")
        self.assertEqual(self.successResultOf(reply), b"hello")


#: Replies as they come: what packs them, and what they should be read as.
