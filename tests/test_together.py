"""Calls that travel together: puts and finishes of one turn of the reactor are one command."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from tests.wire import WireCase
from txthoonk import FeedDoesNotExist, Job, JobNotClaimed, LeaseLost, ThoonkPub
from txthoonk.errors import ConnectionFailed, ConnectionLost, NotConnected, OutOfMemory
from txthoonk.redis import Redis
from txthoonk.scripts import script
from txthoonk.together import FIRST, MOST, MOST_BYTES

PUT = script("job/put_many").sha
FINISH = script("job/finish").sha


class WireTests(WireCase):
    """What goes over the wire, byte by byte."""

    def setUp(self) -> None:
        """A handle on a feed that is there, on a connection that has the scripts."""
        super().setUp()
        self.pub = ThoonkPub(self.simple())
        self.job = Job(self.pub, "f").made()

    def put(self, *items: str, **how: Any) -> list[Deferred[Any]]:
        """Put some jobs."""
        return [self.job.put(item, **how) for item in items]

    def items(self, command: list[bytes]) -> list[str]:
        """What a put_many puts; another command's name."""
        if command[0] != b"EVALSHA":
            return [command[0].decode()]
        self.assertEqual(command[1], PUT)
        head = 3 + int(command[2]) + 2  # keys, channel, side
        self.assertEqual(len(command[head:]) % 2, 0)
        return [item.decode() for item in command[head + 1 :: 2]]

    def sent(self) -> list[list[str]]:
        """The items of each call that was sent since the last look."""
        return [self.items(command) for command in self.wire.sent()]

    def fired(self, calls: list[Deferred[Any]]) -> list[Any]:
        """What calls have fired with."""
        return [self.successResultOf(call) for call in calls]

    def test_one_turn(self) -> None:
        """What is put in one turn is one command; each call fires with its own id."""
        calls = self.put("a", "b", "c")
        self.assertEqual(self.wire.value(), b"")
        command = self.wire.sent()
        self.assertEqual([self.items(each) for each in command], [["a", "b", "c"]])
        self.answer(":3\r\n")
        ids = self.fired(calls)
        self.assertEqual([id.encode() for id in ids], command[0][-6::2])
        self.assertEqual(len(set(ids)), 3)

    def test_turns(self) -> None:
        """Another turn, another command, without waiting for the reply."""
        first = self.put("a", "b")
        self.assertEqual(self.sent(), [["a", "b"]])
        second = self.put("c")
        self.assertEqual(self.sent(), [["c"]])
        self.answer(":2\r\n")
        self.fired(first)
        self.assertNoResult(second[0])
        self.answer(":1\r\n")
        self.fired(second)

    def test_most(self) -> None:
        """The first calls leave early, and none has more items than Redis is to be held up for."""
        calls = self.put(*[f"{i}" for i in range(2 * MOST + 50)])
        sent = self.sent()
        sizes = [FIRST, 2 * FIRST, 4 * FIRST, MOST, 75]
        self.assertEqual([len(items) for items in sent], sizes)
        self.assertEqual(
            [item for items in sent for item in items], [f"{i}" for i in range(2 * MOST + 50)]
        )
        self.assertEqual((FIRST, MOST), (25, 200))
        self.answer("".join(f":{size}\r\n" for size in sizes))
        self.fired(calls)

    def test_bytes(self) -> None:
        """Nor more bytes, unless one item alone has more."""
        self.assertEqual(MOST_BYTES, 1_000_000)
        large, huge = "x" * 400_000, "y" * 3_000_000
        calls = self.put(large, large, large, "s", huge, "t", large)
        sent = [[item[:1] for item in items] for items in self.sent()]
        self.assertEqual(sent, [["x", "x"], ["x", "s"], ["y"], ["t", "x"]])
        self.answer(":2\r\n:2\r\n:1\r\n:2\r\n")
        self.fired(calls)

    def test_order(self) -> None:
        """The wire keeps the order of the calls, whatever comes in between."""
        calls = self.put("a", "b")
        get = self.pub.redis.execute("GET", "k")
        calls += self.put("c")
        calls += self.put("d", priority=True)
        calls += self.put("e")
        other = Job(self.pub, "g").made()
        calls.append(other.put("f"))
        calls += self.put("g", "h")
        self.assertEqual(self.sent(), [["a", "b"], ["GET"], ["c"], ["d"], ["e"], ["f"], ["g", "h"]])
        self.answer(":2\r\n$1\r\nv\r\n:1\r\n:1\r\n:1\r\n:1\r\n:2\r\n")
        self.fired(calls)
        self.assertEqual(self.successResultOf(get), b"v")

    def test_two_handles(self) -> None:
        """Handles on one feed do not mix their replies up."""
        other = Job(self.pub, "f").made()
        calls = [*self.put("a"), other.put("b"), *self.put("c")]
        self.assertEqual([item for items in self.sent() for item in items], ["a", "b", "c"])
        self.answer(":1\r\n:1\r\n:1\r\n")
        self.assertEqual(len(set(self.fired(calls))), 3)

    def test_cancelled_before(self) -> None:
        """A call that is given up before it was sent is not sent; the others are."""
        calls = self.put("a", "b", "c")
        calls[1].cancel()
        self.failureResultOf(calls.pop(1), CancelledError)
        self.assertEqual(self.sent(), [["a", "c"]])
        self.answer(":2\r\n")
        self.fired(calls)

    def test_all_cancelled(self) -> None:
        """Where all are given up nothing is sent."""
        calls = self.put("a", "b")
        for call in calls:
            call.cancel()
            self.failureResultOf(call, CancelledError)
        self.assertEqual(self.sent(), [])
        later = self.put("c")
        self.assertEqual(self.sent(), [["c"]])
        self.answer(":1\r\n")
        self.fired(later)

    def test_cancelled_after(self) -> None:
        """Giving up what was sent is harmless: later replies keep their places."""
        calls = self.put("a", "b")
        self.sent()
        calls[0].cancel()
        self.failureResultOf(calls.pop(0), CancelledError)
        get = self.pub.redis.execute("GET", "k")
        self.sent()
        self.answer(":2\r\n$1\r\nv\r\n")
        self.fired(calls)
        self.assertEqual(self.successResultOf(get), b"v")

    def test_put_when_told(self) -> None:
        """What replies lead to is put in one command, in the same turn."""
        first = self.put("a", "b")
        self.sent()
        later: list[Deferred[Any]] = []
        for call in first:
            call.addCallback(lambda _: later.extend(self.put("after")))
        self.answer(":2\r\n")
        # Not a turn later: it has left with the replies.
        self.wire.commands.feed(self.wire.value())
        self.wire.clear()
        self.assertEqual(self.items(self.wire.commands.gets()), ["after", "after"])
        self.answer(":2\r\n")
        self.fired(later)

    def test_close(self) -> None:
        """What was put before the connection is closed is sent before."""
        calls = self.put("a", "b")
        self.pub.redis.close()
        self.assertEqual(self.sent(), [["a", "b"]])
        self.clock.advance(0)
        for call in calls:
            self.failureResultOf(call, ConnectionLost)

    def test_no_script(self) -> None:
        """Where Redis has lost the script it is sent along, once for all of them."""
        calls = self.put("a", "b")
        self.sent()
        self.answer("-NOSCRIPT No matching script. Please use EVAL.\r\n")
        command = self.wire.sent()
        self.assertEqual([each[:2] for each in command], [[b"EVAL", script("job/put_many").source]])
        self.assertEqual(command[0][-3::2], [b"a", b"b"])
        self.answer(":2\r\n")
        self.fired(calls)

    def test_error_for_all(self) -> None:
        """An error of the whole command is each call's, with its own id and exception."""
        for reply, error in (
            ("-ERR FEEDNOTFOUND", FeedDoesNotExist),
            ("-OOM command not allowed when used memory > 'maxmemory'.", OutOfMemory),
        ):
            calls = self.put("a", "b")
            ids = self.wire.sent()[0][-4::2]
            self.answer(f"{reply}\r\n")
            failures: list[Any] = [self.failureResultOf(call, error).value for call in calls]
            self.assertIsNot(failures[0], failures[1])
            self.assertEqual([failure.feed for failure in failures], ["f", "f"])
            if error is OutOfMemory:
                self.assertEqual([failure.id.encode() for failure in failures], ids)

    def test_verdicts(self) -> None:
        """Finishes are told one by one what became of them."""
        calls = [self.job.finish(id, f"result of {id}") for id in "abcd"]
        command = self.wire.sent()
        self.assertEqual([each[1] for each in command], [FINISH])
        self.assertEqual(command[0][-12::3], [b"a", b"b", b"c", b"d"])
        self.answer("*4\r\n:1\r\n$9\r\nLEASELOST\r\n$13\r\nJOBNOTCLAIMED\r\n:1\r\n")
        self.successResultOf(calls[0])
        lost: Any = self.failureResultOf(calls[1], LeaseLost).value
        other: Any = self.failureResultOf(calls[2], JobNotClaimed).value
        self.assertEqual([(e.feed, e.id) for e in (lost, other)], [("f", "b"), ("f", "c")])
        self.successResultOf(calls[3])

    def test_finish_with_ttl(self) -> None:
        """A finish with a time of its own goes alone, in its place."""
        calls = [self.job.finish("a", "1"), self.job.finish("b", "2", ttl=5)]
        calls.append(self.job.finish("c", "3"))
        sent = self.wire.sent()
        self.assertEqual([each[-3] for each in sent], [b"a", b"b", b"c"])
        self.answer("*1\r\n:1\r\n" * 3)
        for call in calls:
            self.successResultOf(call)

    def test_a_callback_that_fails(self) -> None:
        """A caller whose callback fails keeps nobody else from being told."""
        calls = self.put("a", "b")
        calls[0].addCallback(lambda _: 1 / 0)
        self.sent()
        self.answer(":2\r\n")
        self.successResultOf(calls[1])
        self.failureResultOf(calls[0], ZeroDivisionError)

    def test_lost_unsent(self) -> None:
        """What had not left when the connection broke fails too."""
        calls = self.put("a", "b")
        self.wire.end()
        for call in calls:
            self.failureResultOf(call, ConnectionFailed)
        self.failureResultOf(self.job.put("c"), NotConnected)

    def test_lost_sent(self) -> None:
        """What was on its way may have happened."""
        calls = self.put("a", "b")
        self.sent()
        self.wire.end()
        failures = [self.failureResultOf(call, ConnectionLost).value for call in calls]
        self.assertIsNot(failures[0], failures[1])

    def test_put_when_lost(self) -> None:
        """A caller that puts again when told of the loss is told again, not forgotten."""
        calls = self.put("a")
        self.sent()
        again: list[Deferred[Any]] = []
        calls[0].addErrback(lambda _: again.extend(self.put("b")))
        self.wire.end()
        self.failureResultOf(again[0], NotConnected)


class LoginTests(WireCase):
    """Before the connection is logged in."""

    def test_before_login(self) -> None:
        """What is put before the login leaves behind it, in one command."""
        redis = self.connect(Redis(password="secret", reactor=self.clock), login=False)
        job = Job(ThoonkPub(redis), "f").made()
        calls = [job.put("a"), job.put("b")]
        self.assertEqual([each[0] for each in self.wire.sent()], [b"AUTH", b"PING"])
        self.answer("+OK\r\n+PONG\r\n")
        sent = self.wire.sent()
        self.assertEqual([each[1] for each in sent], [PUT])
        self.answer(":2\r\n")
        for call in calls:
            self.successResultOf(call)
