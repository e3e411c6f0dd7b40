"""A hub in memory: what it asks connections for, and what becomes of those who wait."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import Heard
from txthoonk.errors import ConnectionLost, NotConnected, PermissionDenied
from txthoonk.globs import compile_glob
from txthoonk.listener import Listener
from txthoonk.pubsub import Hub


class FakeConnection:
    """A subscriber connection that notes what it is asked for; the test answers."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[bytes], Deferred[None]]] = []
        self.lost: list[Deferred[Exception]] = []

    def when_lost(self) -> Deferred[Exception]:
        self.lost.append(Deferred())
        return self.lost[-1]

    def subscribe(self, *channels: bytes) -> Deferred[None]:
        return self._ask("subscribe", channels)

    def unsubscribe(self, *channels: bytes) -> Deferred[None]:
        return self._ask("unsubscribe", channels)

    def psubscribe(self, *patterns: bytes) -> Deferred[None]:
        return self._ask("psubscribe", patterns)

    def punsubscribe(self, *patterns: bytes) -> Deferred[None]:
        return self._ask("punsubscribe", patterns)

    def _ask(self, verb: str, names: tuple[bytes, ...]) -> Deferred[None]:
        reply: Deferred[None] = Deferred()
        self.asked.append((verb, [*names], reply))
        return reply

    def next(self, verb: str, *names: bytes) -> Deferred[None]:
        """The answer to the oldest question that was not answered, which is this one."""
        asked, what, reply = self.asked.pop(0)
        assert (asked, what) == (verb, [*names]), (asked, what)
        return reply

    def lose(self) -> None:
        """Break, as a connection does: first who observes it is told, then who waits."""
        for observer in self.lost:
            observer.callback(ConnectionLost("broken"))
        for _, _, reply in self.asked:
            reply.errback(ConnectionLost("broken"))
        self.asked = []


class HubTests(SynchronousTestCase):
    """A hub, a clock, and connections that come and go."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.hub = Hub(lambda: self.clock, 10)
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def attach(self) -> tuple[Any, Deferred[Any]]:
        """A new connection, and when it is ready."""
        connection: Any = FakeConnection()
        return connection, self.hub.attach(connection)

    def add(self, *channels: bytes, patterns: tuple[bytes, ...] = ()) -> Any:
        """Someone who wants to hear; gives the Deferred, with what is heard and the listener."""
        heard = Heard()
        listener = Listener(
            dict.fromkeys(channels, (bytes.decode, heard)),
            {pattern: lambda _: (bytes.decode, heard) for pattern in patterns},
        )
        added: Any = self.hub.add(listener)
        added.heard, added.listener = heard, listener
        return added

    def confirmed(self, *channels: bytes) -> Any:
        """Someone who hears already, on a connection that there is."""
        added = self.add(*channels)
        self.connection.next("subscribe", *channels).callback(None)
        self.successResultOf(added)
        return added

    def test_waits_for_a_connection(self) -> None:
        """
        Who comes before there is a connection waits for one, and for Redis's word.
        """
        added = self.add(b"a", b"b", patterns=(b"c*",))
        connection, ready = self.attach()
        connection.next("subscribe", b"a", b"b").callback(None)
        self.assertNoResult(added)
        connection.next("psubscribe", b"c*").callback(None)
        self.successResultOf(added)
        self.assertIs(self.successResultOf(ready), connection)

    def test_nobody(self) -> None:
        """
        A connection that nobody wants anything of is ready at once.
        """
        connection, ready = self.attach()
        self.assertIs(self.successResultOf(ready), connection)

    def test_many(self) -> None:
        """
        A new connection is asked for a thousand channels at a time.
        """
        names = [b"%d" % i for i in range(2500)]
        added = self.add(*names)
        connection, ready = self.attach()
        for start in (0, 1000, 2000):
            connection.next("subscribe", *names[start : start + 1000]).callback(None)
        self.successResultOf(added)
        self.successResultOf(ready)

    def test_late(self) -> None:
        """
        Who waits too long for a connection fails, with the reason where one is known.
        """
        first = self.add(b"a")
        connection, ready = self.attach()
        connection.lose()
        self.failureResultOf(ready, ConnectionLost)
        second = self.add(b"a", b"b")
        self.clock.advance(10)
        self.assertIn("broken", str(self.failureResultOf(first, NotConnected).value))
        self.failureResultOf(second, NotConnected)
        connection, ready = self.attach()
        self.successResultOf(ready)  # nothing is wanted any more

    def test_late_confirmation(self) -> None:
        """
        Who waits too long for Redis's word fails; its channel is given up.
        """
        connection, _ = self.attach()
        added = self.add(b"a")
        self.clock.advance(10)
        self.assertIn("10 seconds", str(self.failureResultOf(added, NotConnected).value))
        confirmation = connection.next("subscribe", b"a")
        connection.next("unsubscribe", b"a")
        confirmation.callback(None)
        self.hub.message(b"a", b"late")
        self.assertEqual(added.heard, [])

    def test_confirmed_once_more(self) -> None:
        """
        Who wants a channel that another has just given up waits for a word of its own.
        """
        connection, _ = self.attach()
        first = self.add(b"a")
        first.cancel()
        self.failureResultOf(first, CancelledError)
        second = self.add(b"a")
        connection.next("subscribe", b"a").callback(None)
        connection.next("unsubscribe", b"a").callback(None)
        self.assertNoResult(second)
        connection.next("subscribe", b"a").callback(None)
        self.successResultOf(second)

    def test_joins(self) -> None:
        """
        Who wants what is asked for, or confirmed, already does not have it asked for again.
        """
        connection, _ = self.attach()
        first, second = self.add(b"a"), self.add(b"a")
        connection.next("subscribe", b"a").callback(None)
        third = self.add(b"a")
        for added in (first, second, third):
            self.successResultOf(added)
        self.assertEqual(connection.asked, [])

    def test_gives_up_another(self) -> None:
        """
        Who is told that it hears may give up another that waits for the same word.
        """
        for refused in (False, True):
            connection, _ = self.attach()
            first, second, third = [self.add(b"a") for _ in range(3)]
            first.addBoth(lambda _, second=second: second.cancel())
            word = connection.next("subscribe", b"a")
            if refused:
                word.errback(PermissionDenied("NOPERM", "no"))
                self.failureResultOf(third, PermissionDenied)
            else:
                word.callback(None)
                self.successResultOf(third)
            self.failureResultOf(second, CancelledError)
            self.hub.remove(third.listener)
            self.hub.remove(first.listener)

    def test_lost_while_restoring(self) -> None:
        """
        A connection that breaks while it takes over is not ready; the next one starts again, and
        whoever waits goes on waiting.
        """
        added = self.add(b"a", patterns=(b"b*",))
        connection, ready = self.attach()
        connection.next("subscribe", b"a").callback(None)
        connection.lose()
        self.failureResultOf(ready, ConnectionLost)
        self.assertNoResult(added)
        connection, ready = self.attach()
        connection.next("subscribe", b"a").callback(None)
        connection.next("psubscribe", b"b*").callback(None)
        self.successResultOf(ready)
        self.successResultOf(added)

    def test_lost_while_asked(self) -> None:
        """
        So it is when the connection breaks just after it was asked for something new.
        """
        connection, _ = self.attach()
        added = self.add(b"a")
        connection.lose()
        self.assertNoResult(added)
        connection, _ = self.attach()
        connection.next("subscribe", b"a").callback(None)
        self.successResultOf(added)

    def test_dropped_while_down(self) -> None:
        """
        What nobody wants any more is not asked for on the next connection.
        """
        self.connection, _ = self.attach()
        added = self.confirmed(b"a")
        self.connection.lose()
        self.hub.remove(added.listener)
        connection, ready = self.attach()
        self.successResultOf(ready)
        self.assertEqual(connection.asked, [])

    def test_older_connection(self) -> None:
        """
        That an older connection ends does not matter to the one that took over.
        """
        older, _ = self.attach()
        self.connection, _ = self.attach()
        older.lose()
        self.assertTrue(self.hub.attached)
        self.confirmed(b"a")

    def test_refused_on_new_connection(self) -> None:
        """
        If Redis refuses some of what was heard before, the rest is heard; the connection is ready
        all the same, and who comes asks again.
        """
        self.connection, _ = self.attach()
        allowed, denied = self.confirmed(b"a"), self.confirmed(b"b")
        self.connection.lose()
        connection, ready = self.attach()
        no = PermissionDenied("NOPERM", "no")
        connection.next("subscribe", b"a", b"b").errback(no)
        connection.next("subscribe", b"a").callback(None)
        connection.next("subscribe", b"b").errback(no)
        self.successResultOf(ready)
        self.hub.message(b"a", b"heard")
        self.assertEqual([allowed.heard, denied.heard], [["heard"], []])
        again = self.add(b"b")
        connection.next("subscribe", b"b").errback(no)
        self.failureResultOf(again, PermissionDenied)

    def test_dropped_while_refused(self) -> None:
        """
        What nobody wants any more when Redis refuses it together with others is not asked again.
        """
        connection, _ = self.attach()
        first, second = self.add(b"a", b"b"), self.add(b"b")
        first.cancel()
        self.failureResultOf(first, CancelledError)
        refusal = connection.next("subscribe", b"a", b"b")
        connection.next("unsubscribe", b"a")
        refusal.errback(PermissionDenied("NOPERM", "no"))
        connection.next("subscribe", b"b").callback(None)
        self.successResultOf(second)
        self.assertEqual(connection.asked, [])

    def test_refused_and_dropped(self) -> None:
        """
        A refusal that comes when nobody wants the channel any more is no event at all.
        """
        connection, _ = self.attach()
        added = self.add(b"a")
        added.cancel()
        self.failureResultOf(added, CancelledError)
        connection.next("subscribe", b"a").errback(PermissionDenied("NOPERM", "no"))
        connection.next("unsubscribe", b"a").callback(None)
        self.assertEqual(connection.asked, [])

    def test_refuses(self) -> None:
        """
        A hub that was told to refuses those who wait, each with its own error, and those who
        come; whoever heard before hears again when it accepts.
        """
        self.connection, _ = self.attach()
        before = self.confirmed(b"a")
        waiting = [self.add(b"b"), self.add(b"b")]
        self.hub.refuse(NotConnected("stopped"))
        errors = [self.failureResultOf(each, NotConnected).value for each in waiting]
        self.assertIsNot(*errors)
        self.failureResultOf(self.add(b"a"), NotConnected)
        self.hub.accept()
        self.connection.lose()
        connection, _ = self.attach()
        connection.next("subscribe", b"a").callback(None)
        self.hub.message(b"a", b"heard")
        self.assertEqual(before.heard, ["heard"])

    def test_unasked_messages(self) -> None:
        """
        A message that nobody wants any more when it comes is dropped.
        """
        self.hub.message(b"a", b"")
        self.hub.pattern_message(b"a*", b"a", b"")


class ListenerTests(SynchronousTestCase):
    """Which of several matches is the one that counts."""

    def test_first(self) -> None:
        """
        Of the channel and the patterns that match a message, exactly one counts.
        """

        def choose(channel: bytes) -> Any:
            return bytes.decode, print

        patterns = dict.fromkeys((b"a*", b"ab*", b"*c"), choose)
        listener = Listener({b"abc": (bytes.decode, print)}, patterns)
        for channel, counts in {
            b"abc": [],  # by the channel itself
            b"ab": [b"a*"],
            b"xc": [b"*c"],
            b"ac": [b"a*"],
        }.items():
            delivered = [each for each in patterns if compile_glob(each).fullmatch(channel)]
            counted = [each for each in delivered if listener.counts(each, channel)]
            self.assertEqual(counted, counts, channel)
