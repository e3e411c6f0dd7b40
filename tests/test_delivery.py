"""Events on their way to one handler: their order, and how many may wait."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import TestCase

from tests.follow_helpers import FollowCase, FollowHeard
from tests.helpers import until
from txthoonk.delivery import OVERHEAD, Budget, Inbox
from txthoonk.events import Published, Resync


class BudgetTests(TestCase):
    """How much may wait."""

    def test_events(self) -> None:
        """
        So many events, and no more; those that wait no more make room.
        """
        budget = Budget(2, 1000)
        self.assertEqual([budget.take(1) for _ in range(3)], [True, True, False])
        budget.give_back(1, 1)
        self.assertEqual([budget.take(1) for _ in range(2)], [True, False])

    def test_bytes(self) -> None:
        """
        So many bytes, and no more; one that is too large leaves room for a smaller one.
        """
        budget = Budget(100, 10)
        found = [budget.take(size) for size in (6, 5, 4, 1)]
        self.assertEqual(found, [True, False, True, False])
        budget.give_back(1, 6)
        self.assertEqual([budget.take(7), budget.take(6)], [False, True])

    @given(st.lists(st.integers(0, 50)), st.integers(1, 5), st.integers(1, 100))
    def test_whatever(self, sizes: list[int], events: int, most: int) -> None:
        """
        What is given back is what was taken: in the end there is as much room as before.
        """
        budget, taken = Budget(events, most), list[int]()
        for size in sizes:
            if budget.take(size):
                taken.append(size)
            self.assertLessEqual(len(taken), events)
            self.assertLessEqual(sum(taken), most)
        budget.give_back(len(taken), sum(taken))
        self.assertTrue(budget.take(most))


class InboxTests(TestCase):
    """One after the other."""

    def setUp(self) -> None:
        self.got: list[Any] = []
        self.idle = 0
        #: What the handler returns, by what it gets.
        self.answers: dict[Any, Any] = {}

    def inbox(self, events: int = 100, size: int = 100_000) -> Inbox:
        """An inbox for the handler."""
        return Inbox(self.receiver(self.deliver), Budget(events, size))

    def receiver(self, deliver: Any) -> Any:
        """Whose inbox it is."""
        return SimpleNamespace(_deliver=deliver, _work=self.be_idle, _be_slow=lambda: None)

    def deliver(self, item: Any) -> Any:
        self.got.append(item)
        return self.answers.get(item)

    def be_idle(self) -> None:
        self.idle += 1

    def test_at_once(self) -> None:
        """
        A handler that returns nothing is called at once.
        """
        inbox = self.inbox()
        for item in "abc":
            inbox.put(item)
        self.assertEqual((self.got, inbox.busy), (["a", "b", "c"], False))

    def test_one_at_a_time(self) -> None:
        """
        While a handler is at work the others wait, and come in their order.
        """
        first, third = Deferred[None](), Deferred[None]()
        self.answers = {"a": first, "c": third}
        inbox = self.inbox()
        for item in "abcde":
            inbox.put(item)
        self.assertEqual((self.got, inbox.busy), (["a"], True))
        first.callback(None)
        self.assertEqual((self.got, inbox.busy), (["a", "b", "c"], True))
        inbox.put("f")
        third.callback(None)
        self.assertEqual((self.got, inbox.busy), ([*"abcdef"], False))
        self.assertEqual(self.idle, 1)

    def test_coroutine(self) -> None:
        """
        A handler may be a coroutine.
        """
        waiting = Deferred[None]()

        async def work() -> None:
            await waiting
            self.got.append("done")

        self.answers = {"a": work()}
        inbox = self.inbox()
        inbox.put("a")
        inbox.put("b")
        waiting.callback(None)
        self.assertEqual(self.got, ["a", "done", "b"])

    def test_put_while_it_delivers(self) -> None:
        """
        What a handler puts itself comes behind what waits.
        """
        first = Deferred[None]()
        inbox = self.inbox()

        def deliver(item: Any) -> Any:
            self.got.append(item)
            if item == "b":
                inbox.put("e")
            return first if item == "a" else None

        inbox._receiver._deliver = deliver
        for item in "abcd":
            inbox.put(item)
        first.callback(None)
        self.assertEqual(self.got, ["a", "b", "c", "d", "e"])

    def test_many_that_are_through_already(self) -> None:
        """
        However many wait, and whatever the handler returns for them, all get their turn.
        """
        first = Deferred[None]()
        inbox = self.inbox(10_000, 10**9)

        def deliver(item: Any) -> Any:
            self.got.append(item)
            return first if item == 0 else succeed(None)

        inbox._receiver._deliver = deliver
        for item in range(5000):
            inbox.put(item)
        first.callback(None)
        self.assertEqual(len(self.got), 5000)
        self.assertEqual(self.got, list(range(5000)))
        self.assertEqual((inbox.busy, self.idle), (False, 1))

    def test_too_many(self) -> None:
        """
        What is too much is not kept, nor is what waited; the handler finishes what it is at.
        """
        first = Deferred[None]()
        self.answers = {"a": first}
        inbox = self.inbox(events=2)
        for item in "abc":
            inbox.put(item)
        self.assertIs(inbox.overflown, False)
        inbox.put("d")
        inbox.put("e")
        self.assertIs(inbox.overflown, True)
        first.callback(None)
        self.assertEqual((self.got, inbox.busy, self.idle), (["a"], False, 1))
        inbox.overflown = False
        for item in "xy":
            inbox.put(item)
        self.assertEqual(self.got, ["a", "x", "y"])

    def test_too_large(self) -> None:
        """
        The same of bytes; each event counts for a little more than it is long.
        """
        first = Deferred[None]()
        self.answers = {"a": first}
        inbox = self.inbox(size=2 * OVERHEAD + 10)
        inbox.put("a", 10_000)  # it need not wait
        inbox.put("b", 5)
        inbox.put("c", 5)
        self.assertIs(inbox.overflown, False)
        inbox.put("d", 0)
        self.assertIs(inbox.overflown, True)
        first.callback(None)

    def test_room_again(self) -> None:
        """
        What has been delivered, and what was forgotten, leave all the room there was.
        """
        inbox = self.inbox(events=3, size=4 * OVERHEAD)
        for _ in range(5):
            for forgets in (False, True):
                first = Deferred[None]()
                self.answers = {"a": first}
                for item in "abcd":
                    inbox.put(item, 20)
                self.assertIs(inbox.overflown, False)
                if forgets:
                    inbox.clear()
                first.callback(None)
        self.assertEqual("".join(self.got), "abcda" * 5)

    def test_shared_budget(self) -> None:
        """
        Two that share a budget: what waits for the one leaves less for the other.
        """
        budget = Budget(3, 10_000)
        one, other = Deferred[None](), Deferred[None]()
        got: list[str] = []

        def deliver(item: str) -> Any:
            got.append(item)
            return {"a0": one, "b0": other}.get(item)

        first = Inbox(self.receiver(deliver), budget)
        second = Inbox(self.receiver(deliver), budget)
        for item in ("a0", "a1", "a2"):
            first.put(item)
        for item in ("b0", "b1"):
            second.put(item)
        second.put("b2")
        self.assertEqual((first.overflown, second.overflown), (False, True))
        first.put("a3")  # what waited for the other has gone
        self.assertIs(first.overflown, False)
        one.callback(None)
        other.callback(None)
        self.assertEqual(got, ["a0", "b0", "a1", "a2", "a3"])


class Slow(FollowHeard):
    """A handler that works on each event until it is told that it is through."""

    def __init__(self) -> None:
        super().__init__()
        self.working = Deferred[None]()
        self.is_slow = True

    def __call__(self, *args: Any) -> Any:
        super().__call__(*args)
        return self.working if self.is_slow else None

    def finish(self) -> None:
        """All that comes is quickly done from now on."""
        self.is_slow = False
        self.working.callback(None)


class SlowTests(FollowCase):
    """Handlers that are slower than what they follow."""

    async def test_all_in_order(self) -> None:
        """
        A slow handler gets all events in the end, in order; its copy is as old as it is.
        """
        name, slow = self.feed_name(), Slow()
        feed = await self.thoonk.feed(name)
        live = await self.thoonk.follow(name, slow)
        for n in range(50):
            await feed.publish(f"{n}", id=f"{n}")
        await self.settle()
        self.assertEqual((len(slow), len(live), live.revision, live.synced), (1, 1, 1, False))
        slow.finish()
        self.assertEqual([event.revision for event in slow], list(range(1, 51)))
        self.assertEqual((len(live), live.revision), (50, 50))
        await live.when_synced()
        await self.same(live)

    async def test_too_many(self) -> None:
        """
        Who does not keep up is told so once he has finished: the events that waited are gone,
        what there is now is there, and what comes after is told again.
        """
        name, slow = self.feed_name(), Slow()
        feed = await self.thoonk.feed(name)
        live = await self.thoonk.follow(name, slow, max_events=5)
        for n in range(20):
            await feed.publish(f"{n}", id=f"{n}")
        await self.settle()
        slow.finish()
        await live.when_synced()
        self.assertEqual([type(event) for event in slow], [Published, Resync])
        self.assertEqual(slow[1], Resync(name, "overflow", 20))
        await self.same(live)
        self.assertEqual(live.revision, 20)
        await feed.publish("more", id="more")
        await until(lambda: len(slow) > 2)
        self.assertEqual(slow[2], Published(name, "more", "more", 21))
        await self.same(live)

    async def test_too_large(self) -> None:
        """
        The same if they are too large rather than too many.
        """
        name, slow = self.feed_name(), Slow()
        feed = await self.thoonk.feed(name)
        live = await self.thoonk.follow(name, slow, max_bytes=3000)
        for n in range(5):
            await feed.publish("x" * 1000, id=f"{n}")
        await self.settle()
        slow.finish()
        await live.when_synced()
        self.assertEqual(slow.kinds, ["Published", "overflow"])
        await self.same(live)

    async def test_changes_while_it_is_read_anew(self) -> None:
        """
        What is published just while a feed is read again is not missing afterwards.
        """
        from txthoonk.reading import Reading

        name, slow = self.feed_name(), Slow()
        feed = await self.thoonk.feed(name)
        live = await self.thoonk.follow(name, slow, max_events=2)
        for n in range(10):
            await feed.publish(f"{n}", id=f"{n}")
        await self.settle()
        load = Reading.load

        async def slow_load(reading: Reading) -> Any:
            loaded = await load(reading)
            await feed.publish("late", id="late")
            await self.settle()
            return loaded

        self.patch(Reading, "load", slow_load)
        slow.finish()
        await until(lambda: live.synced)
        await self.same(live)
        self.assertEqual(slow.kinds, ["Published", "overflow", "Published"])
        self.assertEqual(slow[-1], Published(name, "late", "late", 11))

    async def test_deleted_meanwhile(self) -> None:
        """
        Who does not keep up with a feed that is deleted hears that, too; if it is created again
        he goes on.
        """
        name, slow = self.feed_name(), Slow()
        feed = await self.thoonk.feed(name)
        live = await self.thoonk.follow(name, slow, max_events=2)
        for n in range(10):
            await feed.publish(f"{n}", id=f"{n}")
        await self.thoonk.delete_feed(name)
        await self.settle()
        slow.finish()
        await until(lambda: live.synced)
        self.assertIn(slow.kinds[1:], (["FeedDeleted"], ["overflow", "FeedDeleted"], ["deleted"]))
        self.assertEqual(len(live), 0)
        await self.thoonk.create_feed(name)
        await (await self.thoonk.feed(name)).publish("again", id="again")
        await until(lambda: live.revision == 1)
        await live.when_synced()
        await self.same(live)

    async def test_each_for_himself(self) -> None:
        """
        Of two who follow the same feed a slow one costs the other nothing.
        """
        name, slow = self.feed_name(), Slow()
        feed = await self.thoonk.feed(name)
        slow_one = await self.thoonk.follow(name, slow, max_events=2)
        live, heard = await self.follow(name)
        for n in range(20):
            await feed.publish(f"{n}", id=f"{n}")
        await heard.when(20)
        await self.logged(heard, name, 0)
        self.assertEqual((len(live), len(slow_one)), (20, 1))
        slow.finish()
        await slow_one.when_synced()
        await self.same(slow_one)
        self.assertEqual(len(heard), 20)

    async def test_shared_by_a_pattern(self) -> None:
        """
        What waits for the handler of a pattern is counted over all its feeds.
        """
        prefix, slow = f"{self.feed_name()}:x", Slow()
        feeds = [await self.thoonk.feed(f"{prefix}:{n}") for n in range(2)]
        live = await self.thoonk.follow_pattern(f"{prefix}:*", slow, max_events=6)
        for n in range(5):
            await feeds[0].publish(f"{n}", id=f"{n}")
        await self.settle()
        for n in range(5):
            await feeds[1].publish(f"{n}", id=f"{n}")
        await self.settle()
        slow.finish()
        await live.when_synced()
        told = {name: [e for e in slow if e.feed == name] for name in live}
        self.assertEqual([e.revision for e in told[feeds[0].name]], [1, 2, 3, 4, 5])
        kinds = [type(e) for e in told[feeds[1].name]]
        self.assertEqual(kinds, [Published, Resync])
        for each in live.values():
            await self.same(each)
