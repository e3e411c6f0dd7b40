"""The Redis protocol: in memory, with made-up replies, and against a real server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from typing import Any, TypeVar

import hiredis
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    UNIXClientEndpoint,
    connectProtocol,
    wrapClientTLS,
)
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.proxy import FaultProxy
from txthoonk.embedded import EmbeddedRedis, find_redis_server
from txthoonk.errors import (
    AuthenticationFailed,
    ConnectionLost,
    NotConnected,
    OutOfMemory,
    PermissionDenied,
    ProtocolError,
    ReadOnly,
    ScriptMissing,
    ServerBusy,
    ServerError,
    ServerFailed,
    ThoonkError,
    WrongKeyType,
)
from txthoonk.redis import Redis, RedisSubscriber
from txthoonk.testing import RedisTestCase

R = TypeVar("R", bound=Redis)

#: What a connection asks to see that it is logged in.
PING = [b"PING"]


class Wire(StringTransport):
    """A transport in memory; closing it is told one turn later, as by the real ones."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.protocol: Any = None
        self.commands = hiredis.Reader()

    def sent(self) -> list[list[bytes]]:
        """The commands written since the last look."""
        self.clock.advance(0)
        self.commands.feed(self.value())
        self.clear()
        return list(iter(self.commands.gets, False))

    def loseConnection(self) -> None:
        """Close, in the reactor's next turn."""
        self._end(ConnectionDone())

    def abortConnection(self) -> None:  # noqa: N802  # Twisted's name
        """Close at once, which is the reactor's next turn too."""
        self.disconnected = True
        self._end(ConnectionAborted())

    def _end(self, reason: Exception) -> None:
        if not self.disconnecting:
            self.disconnecting = True
            self.clock.callLater(0, self.end, reason)

    def end(self, reason: Exception | None = None) -> None:
        """The connection is gone."""
        if self.connected:
            self.connected = False
            self.disconnecting = True
            self.protocol.connectionLost(Failure(reason or ConnectionDone()))


class WireCase(SynchronousTestCase):
    """A connection in memory, and a clock that must be empty when the test ends."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.addCleanup(self.finish)

    def connect(self, redis: R, *, login: bool = True) -> R:
        """Connect *redis*; answer its login."""
        self.redis = redis
        self.wire = Wire(self.clock)
        self.wire.protocol = redis
        redis.makeConnection(self.wire)
        if login:
            self.answer("+OK\r\n" * (len(self.wire.sent()) - 1) + "+PONG\r\n")
            self.assertIs(self.successResultOf(redis.when_ready()), redis)
            self.assertEqual(self.wire.sent(), [])
        return redis

    def simple(self, **options: Any) -> Redis:
        """A logged-in connection."""
        return self.connect(Redis(reactor=self.clock, **options))

    def subscriber(self, kind: type[RedisSubscriber] = RedisSubscriber) -> RedisSubscriber:
        """A logged-in connection that can subscribe."""
        return self.connect(kind(reactor=self.clock))

    def answer(self, reply: str | bytes) -> None:
        """Let bytes come from the server."""
        self.redis.dataReceived(reply.encode() if isinstance(reply, str) else reply)

    def finish(self) -> None:
        """Nothing may stay in the reactor once the connection is gone."""
        if hasattr(self, "wire"):
            self.wire.end()
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ReplyTests(WireCase):
    """Replies find the Deferred that waits for them."""

    def test_one_reply_each(self) -> None:
        """
        Each reply fires the oldest Deferred that waits, and that one only.
        """
        redis = self.simple()
        first, second = redis.execute("GET", "a"), redis.execute("GET", "b")
        self.assertEqual(self.wire.sent(), [[b"GET", b"a"], [b"GET", b"b"]])
        self.answer("$1\r\n1\r\n")
        self.assertEqual(self.successResultOf(first), b"1")
        self.assertNoResult(second)
        self.answer(":7\r\n")
        self.assertEqual(self.successResultOf(second), 7)

    def test_one_write_a_turn(self) -> None:
        """
        What is asked for in one turn of the reactor leaves in one write, in order.
        """
        redis = self.simple()
        writes: list[bytes] = []
        redis._to_wire = writes.append
        for number in range(3):
            redis.execute("ECHO", number).addCallback(lambda _: redis.execute("ECHO", "next"))
        self.assertEqual(writes, [])
        self.clock.advance(0)
        self.assertEqual([write.count(b"ECHO") for write in writes], [3])
        self.answer(":0\r\n:1\r\n:2\r\n")
        self.assertEqual([write.count(b"ECHO") for write in writes], [3, 3])
        self.answer(":0\r\n:1\r\n:2\r\n")

    def test_split_anywhere(self) -> None:
        """
        Replies come out the same wherever the network splits them.
        """
        replies = b"$5\r\nab\r\nc\r\n*3\r\n:1\r\n$-1\r\n*1\r\n$0\r\n\r\n-ERR no\r\n:42\r\n"
        for at in range(len(replies) + 1):
            redis = self.simple()
            waiting = [redis.execute("X") for _ in range(4)]
            self.answer(replies[:at])
            self.answer(replies[at:])
            self.assertEqual(self.successResultOf(waiting[0]), b"ab\r\nc")
            self.assertEqual(self.successResultOf(waiting[1]), [1, None, [b""]])
            self.assertEqual(str(self.failureResultOf(waiting[2], ServerError).value), "ERR no")
            self.assertEqual(self.successResultOf(waiting[3]), 42)
            self.wire.end()
            self.clock.advance(0)

    def test_nothing_is_guessed(self) -> None:
        """
        What looks like a number, or is no UTF-8, comes back as the bytes it was.
        """
        redis = self.simple()
        for payload in (b"007", b"1e5", b"\xff\xfe", b"", b"\x00", b"none", b"QUEUED"):
            reply = redis.get("x")
            self.answer(b"$%d\r\n%s\r\n" % (len(payload), payload))
            self.assertEqual(self.successResultOf(reply), payload)

    def test_cancelled(self) -> None:
        """
        Who gives up on a reply does not get somebody else's, nor does anyone get theirs.
        """
        redis = self.simple()
        first, second, third = (redis.execute("GET", key) for key in "abc")
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.answer("+1\r\n+2\r\n+3\r\n")
        self.assertEqual(self.successResultOf(first), b"1")
        self.assertEqual(self.successResultOf(third), b"3")

    def test_cancelled_and_lost(self) -> None:
        """
        A reply that was given up is not failed a second time when the connection breaks.
        """
        reply = self.simple().execute("GET", "a")
        reply.cancel()
        self.failureResultOf(reply, CancelledError)
        self.wire.end()

    def test_errors_by_meaning(self) -> None:
        """
        An error of Redis is an exception named after its meaning, and keeps Redis's words.
        """
        denied = "user executing the script can't run this command or subcommand"
        no_key = "WRONGTYPE Operation against a key holding the wrong kind of value"
        for text, kind in {
            "ERR syntax error": ServerError,
            no_key: WrongKeyType,
            "OOM command not allowed when used memory > 'maxmemory'.": OutOfMemory,
            "NOPERM this user has no permissions to run the 'get' command": PermissionDenied,
            "NOAUTH Authentication required.": AuthenticationFailed,
            "WRONGPASS invalid username-password pair": AuthenticationFailed,
            "READONLY You can't write against a read only replica.": ReadOnly,
            "MISCONF Redis is configured to save RDB snapshots": ReadOnly,
            "LOADING Redis is loading the dataset in memory": ServerBusy,
            "BUSY Redis is busy running a script.": ServerBusy,
            "NOSCRIPT No matching script. Please use EVAL.": ScriptMissing,
            # 6.2, a command inside a script; then the same of 7.0.
            f"ERR Error running script (call to f_1234): @user_script: 3: {no_key}": WrongKeyType,
            f"ERR Error running script (call to f_1234): @user_script:3: -{no_key}": WrongKeyType,
            f"{no_key} script: 1234, on @user_script:3.": WrongKeyType,
            "ERR Error running script (call to f_1): @user_script:1: @user_script: 1: "
            "-OOM command not allowed when used memory > 'maxmemory'.": OutOfMemory,
            f"ERR Error running script (call to f_1): @user_script:1: @user_script: 1: "
            f"-{denied} script": PermissionDenied,
            f"ERR {denied.capitalize()} script: 1, on @user_script:1.": PermissionDenied,
        }.items():
            reply = self.simple().execute("X")
            self.answer(f"-{text}\r\n")
            error = self.failureResultOf(reply).value
            self.assertIs(type(error), kind, text)
            self.assertEqual(error.message, text)
            self.assertIn(text, str(error))
            self.wire.end()
            self.clock.advance(0)

    def test_error_inside_a_reply(self) -> None:
        """
        An error among the replies of a transaction stands in its place in the list.
        """
        reply = self.simple().execute()
        self.assertEqual(self.wire.sent(), [[b"EXEC"]])
        self.answer("*2\r\n+OK\r\n-WRONGTYPE no\r\n")
        ok, error = self.successResultOf(reply)
        self.assertEqual((ok, type(error)), (b"OK", WrongKeyType))

    def test_error_in_bad_encoding(self) -> None:
        """
        An error whose text is no UTF-8 is an error like any other.
        """
        reply = self.simple().execute("X")
        self.answer(b"-ERR \xff\xfe\r\n")
        self.assertEqual(self.failureResultOf(reply, ServerError).value.code, "ERR")

    def test_wrong_argument(self) -> None:
        """
        What Redis cannot be told is a TypeError at once, and leaves the connection in order.
        """
        redis = self.simple()
        argument: Any = None
        self.assertRaises(TypeError, redis.execute, "GET", argument)
        reply = redis.get("a")
        self.answer("+1\r\n")
        self.assertEqual(self.successResultOf(reply), b"1")


class LoginTests(WireCase):
    """The login comes first."""

    def logging_in(self, **options: Any) -> Redis:
        """A connection whose login is not answered yet."""
        return self.connect(Redis(reactor=self.clock, **options), login=False)

    def test_order(self) -> None:
        """
        AUTH, CLIENT SETNAME and SELECT reach Redis before the first command.
        """
        redis = self.logging_in(db=3, username="me", password="secret", client_name="web")
        reply, ready = redis.get("a"), redis.when_ready()
        login = [
            [b"AUTH", b"me", b"secret"],
            [b"CLIENT", b"SETNAME", b"web"],
            [b"SELECT", b"3"],
            PING,
        ]
        self.assertEqual(self.wire.sent(), login)
        self.assertNoResult(ready)
        self.answer("+OK\r\n+OK\r\n+OK\r\n+PONG\r\n")
        self.assertIs(self.successResultOf(ready), redis)
        self.assertEqual(self.wire.sent(), [[b"GET", b"a"]])
        self.answer("+1\r\n")
        self.assertEqual(self.successResultOf(reply), b"1")

    def test_password_only(self) -> None:
        """
        Without a username the password is that of Redis's default user; without a password there
        is no AUTH.
        """
        self.logging_in(password="secret")
        self.assertEqual(self.wire.sent(), [[b"AUTH", b"secret"], PING])
        self.answer("+OK\r\n+PONG\r\n")
        self.wire.end()
        self.logging_in()
        self.assertEqual(self.wire.sent(), [PING])

    def test_refused(self) -> None:
        """
        A refused password fails when_ready() and the commands that wait, and ends the connection.
        """
        redis = self.logging_in(password="wrong", db=1)
        lost, ready, reply = redis.when_lost(), redis.when_ready(), redis.get("a")
        again = redis.when_ready()
        self.assertEqual(self.wire.sent(), [[b"AUTH", b"wrong"], [b"SELECT", b"1"], PING])
        self.answer("-WRONGPASS invalid username-password pair\r\n" + "-NOAUTH no\r\n" * 2)
        self.clock.advance(0)
        for waiting in (ready, again, reply, redis.when_ready()):
            self.failureResultOf(waiting, AuthenticationFailed)
        self.failureResultOf(redis.get("a"), NotConnected)
        self.assertIsInstance(self.successResultOf(lost), AuthenticationFailed)

    def test_no_command_in_the_wrong_database(self) -> None:
        """
        A command never reaches Redis if the database could not be selected.
        """
        redis = self.logging_in(db=99)
        reply = redis.set("a", 1)
        self.assertEqual(self.wire.sent(), [[b"SELECT", b"99"], PING])
        self.answer("-ERR DB index is out of range\r\n+PONG\r\n")
        self.assertEqual(self.wire.sent(), [])
        self.clock.advance(0)
        self.failureResultOf(redis.when_ready(), ServerError)
        self.failureResultOf(reply, ServerError)

    def test_loading(self) -> None:
        """
        A server that is still loading its data is not ready.
        """
        ready = self.logging_in().when_ready()
        self.answer("-LOADING Redis is loading the dataset in memory\r\n")
        self.clock.advance(0)
        self.failureResultOf(ready, ServerBusy)

    def test_lost_meanwhile(self) -> None:
        """
        A connection that breaks during the login fails when_ready(), once.
        """
        ready = self.logging_in(password="x").when_ready()
        self.wire.end()
        self.failureResultOf(ready, ConnectionLost)

    def test_no_answer(self) -> None:
        """
        A server that accepts and then says nothing is given up.
        """
        redis = self.logging_in(ping_interval=10, ping_timeout=5)
        ready = redis.when_ready()
        self.clock.pump([10, 5, 0])
        self.failureResultOf(ready, ConnectionLost)

    def test_not_connected(self) -> None:
        """
        Before there is a connection, a command fails and nothing is sent.
        """
        self.failureResultOf(Redis(reactor=self.clock).get("a"), NotConnected)

    def test_closed_before_it_is_connected(self) -> None:
        """
        A connection that was closed before it came about is dropped when it does.
        """
        redis = Redis(reactor=self.clock)
        closed, ready = redis.close(), redis.when_ready()
        self.connect(redis, login=False)
        self.clock.advance(0)
        self.successResultOf(closed)
        self.failureResultOf(ready, ConnectionLost)


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


def confirmation(kind: str, channel: str, count: int = 1) -> str:
    """What Redis says to (UN)SUBSCRIBE."""
    return f"*3\r\n${len(kind)}\r\n{kind}\r\n${len(channel)}\r\n{channel}\r\n:{count}\r\n"


def message(channel: str, text: str) -> str:
    """What Redis sends to subscribers of a channel."""
    return f"*3\r\n$7\r\nmessage\r\n${len(channel)}\r\n{channel}\r\n${len(text)}\r\n{text}\r\n"


class Recorder(RedisSubscriber):
    """Keeps what it receives; chokes on what says so."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.received: list[tuple[bytes, ...]] = []

    def messageReceived(self, channel: bytes, message: bytes) -> None:
        """Keep it."""
        if message == b"bad":
            raise ValueError("I cannot read this")
        self.received.append((channel, message))

    def patternMessageReceived(self, pattern: bytes, channel: bytes, message: bytes) -> None:
        """Keep it."""
        self.received.append((pattern, channel, message))


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
        redis.messageReceived = (  # type: ignore[method-assign]
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
replies = st.recursive(
    st.one_of(
        st.none(),
        st.integers(-(2**63), 2**63 - 1),
        st.binary(max_size=40),
    ),
    lambda parts: st.lists(parts, max_size=5),
    max_leaves=20,
)


def pack(reply: Any) -> bytes:
    """A reply as Redis sends it."""
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, bytes):
        return b"$%d\r\n%s\r\n" % (len(reply), reply)
    return b"*%d\r\n%s" % (len(reply), b"".join(map(pack, reply)))


def depth(reply: Any) -> int:
    """How deep lists are nested."""
    return 1 + max(map(depth, reply), default=0) if isinstance(reply, list) else 0


class AnyReplyTests(SynchronousTestCase):
    """Replies of any shape, however they are sliced."""

    @settings(deadline=None, derandomize=True, max_examples=200)
    @given(st.lists(replies.filter(lambda reply: depth(reply) < 7), max_size=8), st.data())
    def test_any_reply(self, trees: list[Any], data: st.DataObject) -> None:
        """
        Whatever Redis replies comes out the same, however the network slices it.
        """
        stream = b"".join(map(pack, trees))
        cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12).map(sorted))
        case = WireCase()
        case.setUp()
        redis = case.simple()
        waiting = [redis.execute("X") for _ in trees]
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            redis.dataReceived(stream[start:end])
        self.assertEqual([self.successResultOf(each) for each in waiting], trees)
        self.assertFalse(case.wire.disconnecting)
        case.finish()


def free_port() -> int:
    """A TCP port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ServerCase(RedisTestCase):
    """Connections to a real server, closed when the test ends."""

    async def join(self, endpoint: IStreamClientEndpoint, redis: R) -> R:
        """Connect *redis* and wait until it is logged in."""
        await connectProtocol(endpoint, redis)
        self.addCleanup(redis.close, abort=True)
        await redis.when_ready()
        return redis

    async def connect(self, server: EmbeddedRedis, redis: R) -> R:
        """Connect *redis* to a server of ours."""
        return await self.join(self.endpoint(server), redis)

    def endpoint(self, server: EmbeddedRedis) -> IStreamClientEndpoint:
        """Where a server of ours listens."""
        from twisted.internet import reactor

        return UNIXClientEndpoint(reactor, server.socket_path)

    async def wait(self, seconds: float) -> None:
        """Let time pass."""
        from twisted.internet import reactor

        await deferLater(reactor, seconds)

    async def fails(self, kind: type[Exception], waiting: Deferred[Any]) -> Any:
        """The error that *waiting* fails with."""
        return await self.assertFailure(waiting, kind)


class PayloadTests(ServerCase):
    """What is stored comes back."""

    async def test_payloads(self) -> None:
        """
        NUL, nothing, no UTF-8, line ends and 10 MB come back as they were, piped in any order.
        """
        redis = await self.connect(await self.own_server(), Redis())
        payloads = [b"\x00", b"", b"\xff\xfe\x80", b"\r\n$5\r\n", b"x" * 10_000_000, b"007"]
        for number, payload in enumerate(payloads):
            redis.set(f"k{number}", payload)
        replies = [redis.get(f"k{number}") for number in range(len(payloads))]
        for reply, payload in zip(replies, payloads, strict=True):
            self.assertTrue(await reply == payload, payload[:10])

    async def test_published(self) -> None:
        """
        What is published reaches subscribers of the channel and of patterns, as it was.
        """
        server = await self.own_server()
        redis = await self.connect(server, Redis())
        subscriber = await self.connect(server, Recorder())
        await subscriber.subscribe(b"a", b"b*")
        await subscriber.psubscribe(b"?")
        payload = b"\x00\xff" * 500_000
        self.assertEqual(await redis.publish("a", payload), 2)
        self.assertEqual(await redis.publish("bb", "not for a pattern"), 0)
        await subscriber.execute("PING")
        self.assertEqual(subscriber.received, [(b"a", payload), (b"?", b"a", payload)])
        await subscriber.unsubscribe(b"a")
        self.assertEqual(await redis.publish("a", ""), 1)
        await subscriber.unsubscribe(b"b*")
        await subscriber.punsubscribe(b"?")
        self.assertEqual(await redis.publish("a", ""), 0)
        self.assertEqual(await subscriber.ping(), b"PONG")

    async def test_many_in_flight(self) -> None:
        """
        Thousands of commands at once get their own replies.
        """
        redis = await self.connect(await self.own_server(), Redis())
        replies = [redis.echo(number) for number in range(20_000)]
        for number, reply in enumerate(replies):
            self.assertEqual(await reply, b"%d" % number)


class LoginOnServerTests(ServerCase):
    """Logging in to a real server."""

    async def test_password(self) -> None:
        """
        The right password lets one in; the wrong one, or none, fails when_ready().
        """
        server = await self.own_server(requirepass="secret")
        redis = await self.connect(server, Redis(password="secret", db=2, client_name="me"))
        self.assertIn(b"name=me", await redis.execute("CLIENT", "LIST"))
        self.assertIn(b" db=2 ", await redis.execute("CLIENT", "LIST"))
        for wrong in ("wrong", None):
            denied = Redis(password=wrong)
            await connectProtocol(self.endpoint(server), denied)
            command = denied.set("a", 1)
            await self.fails(AuthenticationFailed, denied.when_ready())
            await self.fails(AuthenticationFailed, command)
        self.assertEqual(await redis.exists("a"), 0)

    async def test_user(self) -> None:
        """
        A user gets in with their password; they may do what they may, and not subscribe elsewhere.
        """
        server = await self.own_server(
            user=[
                "me",
                "on",
                ">secret",
                "+@all",
                "-flushall",
                "~mine:*",
                "resetchannels",
                "&mine:*",
            ]
        )
        login: dict[str, Any] = {"username": "me", "password": "secret"}
        redis = await self.connect(server, Redis(**login))
        self.assertEqual(await redis.set("mine:a", 1), b"OK")
        await self.fails(PermissionDenied, redis.set("other", 1))
        await self.fails(PermissionDenied, redis.flushall())
        subscriber = await self.connect(server, Recorder(**login))
        allowed, denied = subscriber.subscribe(b"mine:b"), subscriber.subscribe(b"other")
        await allowed
        await self.fails(PermissionDenied, denied)
        await redis.publish("mine:b", "x")
        await subscriber.execute("PING")
        self.assertEqual(subscriber.received, [(b"mine:b", b"x")])
        wrong = Redis(username="me", password="wrong")
        await connectProtocol(self.endpoint(server), wrong)
        await self.fails(AuthenticationFailed, wrong.when_ready())

    async def test_password_that_nobody_asked_for(self) -> None:
        """
        A password for a server without one is a mistake, and said to be one.
        """
        redis = Redis(password="secret")
        await connectProtocol(self.endpoint(await self.own_server()), redis)
        await self.fails(AuthenticationFailed, redis.when_ready())

    async def test_database_out_of_range(self) -> None:
        """
        A database that does not exist fails the login, and no command reaches another one.
        """
        server = await self.own_server()
        redis = Redis(db=99)
        await connectProtocol(self.endpoint(server), redis)
        command = redis.set("a", 1)
        await self.fails(ServerError, redis.when_ready())
        await self.fails(ServerError, command)
        self.assertEqual(await (await self.connect(server, Redis())).keys("*"), [])


class FaultTests(ServerCase):
    """A network that fails between us and a real server."""

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        """Start the server, and a proxy in front of it."""
        from twisted.internet import reactor

        await super().setUp()
        self.reactor: Any = reactor
        self.server = await self.own_server()
        self.proxy = FaultProxy(reactor, self.endpoint(self.server))
        self.proxy.listen()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.proxy.stop()))

    async def through(self, redis: R) -> R:
        """Connect *redis* through the proxy."""
        return await self.join(self.proxy.endpoint, redis)

    async def lost_after(self, redis: Redis) -> float:
        """How long it takes to notice that the connection is gone, in seconds."""
        start = self.reactor.seconds()
        await redis.when_lost().addTimeout(10, self.reactor)
        seconds: float = self.reactor.seconds() - start
        return seconds

    async def test_half_open(self) -> None:
        """
        A peer that vanished without a word is noticed within ping_interval + ping_timeout.
        """
        redis = await self.through(Redis(ping_interval=0.2, ping_timeout=0.1))
        subscriber = await self.through(RedisSubscriber(ping_interval=0.2, ping_timeout=0.1))
        await subscriber.subscribe(b"a")
        await self.wait(1)
        self.assertEqual(await redis.ping(), b"PONG")
        self.proxy.stall()
        reply = redis.get("a")
        took = await self.lost_after(redis) + await self.lost_after(subscriber)
        self.assertLess(took, 0.2 + 0.1 + 0.5)  # half a second is for a slow machine
        await self.fails(ConnectionLost, reply)

    async def test_latency(self) -> None:
        """
        A slow network is no broken one.
        """
        self.proxy.latency = 0.06
        redis = await self.through(Redis(ping_interval=0.1, ping_timeout=1))
        replies = [redis.echo(number) for number in range(100)]
        self.assertEqual([int(await reply) for reply in replies], list(range(100)))
        await self.wait(0.5)
        self.assertEqual(await redis.ping(), b"PONG")

    async def test_slices(self) -> None:
        """
        Replies that come byte by byte come out whole.
        """
        self.proxy.slice = 1
        redis = await self.through(Redis())
        await redis.mset({f"k{number}": "x" * number for number in range(20)})
        values = await redis.mget(*(f"k{number}" for number in range(20)))
        self.assertEqual(values, [b"x" * number for number in range(20)])

    async def test_reset(self) -> None:
        """
        A connection that is reset fails what waits for a reply, at once.
        """
        redis = await self.through(Redis())
        reply = redis.bpop(["nothing"])
        await self.wait(0.05)
        self.proxy.reset()
        await self.fails(ConnectionLost, reply)
        await self.fails(NotConnected, redis.get("a"))

    async def test_cut_inside_a_reply(self) -> None:
        """
        A reply of which only a part came is a lost one; no part of it is handed out.
        """
        redis = await self.through(Redis())
        await redis.set("a", "x" * 1000)
        self.proxy.cut_after = 500
        first, second = redis.get("a"), redis.get("a")
        await self.fails(ConnectionLost, first)
        await self.fails(ConnectionLost, second)

    async def test_server_ends(self) -> None:
        """
        A server that ends is noticed at once.
        """
        redis = await self.through(Redis())
        await self.server.stop()
        self.assertLess(await self.lost_after(redis), 1)

    async def test_peer_that_does_not_read(self) -> None:
        """
        A server that takes nothing any more is given up, however much waits to be sent to it.
        """
        redis = await self.through(Redis(ping_interval=0.2, ping_timeout=0.1))
        self.proxy.stall()
        reply = redis.set("a", b"x" * 20_000_000)
        closing = redis.close()
        self.assertLess(await self.lost_after(redis), 1)
        await closing
        await self.fails(ConnectionLost, reply)


class TLSTests(ServerCase):
    """An encrypted connection."""

    async def test_tls(self) -> None:
        """
        All works the same over TLS.
        """
        from twisted.internet import reactor

        try:
            from twisted.internet.ssl import Certificate, optionsForClientTLS
        except ImportError:
            raise SkipTest("pyOpenSSL is not installed") from None
        server, port, pem = await self.tls_server()
        endpoint = wrapClientTLS(
            optionsForClientTLS("localhost", trustRoot=Certificate.loadPEM(pem)),
            TCP4ClientEndpoint(reactor, "127.0.0.1", port),
        )
        redis = await self.join(endpoint, Redis())
        payload = b"\x00\xff" * 500_000
        await redis.set("a", payload)
        replies = [redis.get("a") for _ in range(5)]
        for reply in replies:
            self.assertTrue(await reply == payload)
        subscriber = await self.join(endpoint, Recorder())
        await subscriber.subscribe(b"a")
        await redis.publish("a", "x")
        await subscriber.execute("PING")
        self.assertEqual(subscriber.received, [(b"a", b"x")])
        lost = redis.when_lost()
        await server.stop()
        self.assertIsInstance(await lost, ThoonkError)

    async def tls_server(self) -> tuple[EmbeddedRedis, int, bytes]:
        """A server that speaks TLS, its port and its certificate."""
        openssl = shutil.which("openssl")
        if openssl is None:
            raise SkipTest("there is no openssl program to make a certificate with")
        certificate, key = self.mktemp(), self.mktemp()
        subprocess.run(
            [
                *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
                *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
                *("-keyout", key, "-out", certificate),
            ],
            check=True,
            capture_output=True,
        )
        with open(certificate, "rb") as file:
            pem = file.read()
        for program in _servers():
            port = free_port()
            server = EmbeddedRedis(
                executable=program,
                config={
                    "tls-port": str(port),
                    "tls-cert-file": os.path.abspath(certificate),
                    "tls-key-file": os.path.abspath(key),
                    "tls-auth-clients": "no",
                },
            )
            self.addCleanup(server.stop)
            try:
                await server.start()
            except ServerFailed:
                continue
            return server, port, pem
        raise SkipTest("no redis-server here was built with TLS")


def _servers() -> list[str]:
    """The redis-server programs of this machine."""
    system = shutil.which("redis-server", path=os.defpath)
    return list(dict.fromkeys(filter(None, (find_redis_server(), system))))
