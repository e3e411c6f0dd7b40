"""Gets on several handles, what is put back after them, and connections that are given up."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.helpers import ThoonkTestCase, until
from tests.test_waiting import WaitingCase
from txthoonk import Empty, FeedDoesNotExist, WrongFeedType
from txthoonk.errors import WrongKeyType
from txthoonk.keys import encode
from txthoonk.types import blocked


class HandleTests(ThoonkTestCase):
    """A get is that of its own handle."""

    async def test_after_delete(self) -> None:
        """
        A new handle's get creates the feed again, whatever became of an older handle.
        """
        name = self.feed_name()
        first = self.thoonk.job(name)
        await self.assertFailure(first.get(0.01), Empty)
        await first.delete()
        await self.assertFailure(first.get(0.01), FeedDoesNotExist)
        await self.assertFailure(self.thoonk.job(name).get(0.05), Empty)
        self.assertTrue(await self.thoonk.feed_exists(name))

    async def test_options(self) -> None:
        """
        A get gives the feed the options of its handle, also where another handle came first.
        """
        name = self.feed_name()
        await self.assertFailure(self.thoonk.job(name).get(0.01), Empty)
        await self.assertFailure(self.thoonk.job(name, announce=False).get(0.01), Empty)
        config = await self.thoonk.get_config(name)
        self.assertEqual(config, {"type": "job", "announce": "0"})

    async def test_delete_creates_nothing(self) -> None:
        """
        Deleting by a new handle what is not there fails, and announces nothing.
        """
        name = self.feed_name()
        await self.assertFailure(self.thoonk.feed(name).delete(), FeedDoesNotExist)
        self.assertFalse(await self.thoonk.feed_exists(name))

    async def test_type_stays(self) -> None:
        """
        Setting options never makes a feed one of another type.
        """
        feed = await self.thoonk.feed(self.feed_name())
        await self.assertFailure(feed.set_config({"type": "job"}), WrongFeedType)
        await feed.set_config({"type": "feed", "max_length": "5"})
        self.assertEqual(await feed.get_config(), {"type": "feed", "max_length": "5"})

    async def test_error_names_the_item(self) -> None:
        """
        What Redis refuses names the feed and the item.
        """
        feed = await self.thoonk.feed(self.feed_name())
        await self.redis.execute("SET", feed.keys.items, "no hash")
        for verb in (feed.get_item, feed.has_id):
            error = await self.assertFailure(verb("a"), WrongKeyType)
            self.assertEqual((error.feed, error.id), (feed.name, "a"))


class EndTests(WaitingCase):
    """What a get that is over leaves behind: nothing."""

    async def test_connection_is_closed(self) -> None:
        """
        Some time after the last get its connection is closed; the next get makes another.
        """
        self.patch(blocked, "IDLE", 0.05)
        before = len(await self.clients())
        waiting = self.queue.get()
        await self.blocked(1)
        await self.far.put("a")
        self.assertEqual(await waiting, "a")

        async def as_before() -> bool:
            return len(await self.clients()) == before

        await until(as_before)
        waiting = self.queue.get()
        await self.blocked(1)
        await self.far.put("b")
        self.assertEqual(await waiting, "b")

    async def test_connection_is_kept(self) -> None:
        """
        The gets of one taker after another use the same connection.
        """
        ids = set()
        for item in ("a", "b", "c"):
            waiting = self.queue.get()
            ids.add((await self.blocked(1))[0]["id"])
            await self.far.put(item)
            self.assertEqual(await waiting, item)
        self.assertEqual(len(ids), 1)

    async def test_order_of_the_abandoned(self) -> None:
        """
        What was on its way to processes that died is taken in the order it was put.
        """
        for item in ("a", "b", "c"):
            await self.far.put(item)
            await self.redis.execute("LMOVE", self.keys.ids, self.keys.handoff, "RIGHT", "LEFT")
        await self.far.maintenance(0)
        self.assertEqual(await self.far.maintenance(0), 3)
        self.assertEqual([await self.far.get(1) for _ in range(3)], ["a", "b", "c"])

    async def test_put_back_in_vain(self) -> None:
        """
        Whether a job can be put back for a get that was cancelled is no other get's affair.
        """
        from twisted.internet import reactor

        job = await self.thoonk.job(self.feed_name())
        id = await job.put("a")
        claim, claimed = job.take, Deferred[None]()

        def take(count: int, handed: str) -> Deferred[list[tuple[str, bytes, int]]]:
            def stalled(taken: list[tuple[str, bytes, int]]) -> Deferred[object]:
                first.cancel()
                done: Deferred[object] = job.stall(id)
                return done.addCallback(lambda _: taken)

            job.take = claim  # type: ignore[method-assign]  # a hook
            taking = claim(count, handed)
            taking.addCallback(stalled).addCallback(lambda taken: claimed.callback(None) or taken)
            return taking

        job.take = take  # type: ignore[method-assign]  # a hook
        first = job.get()
        first.addErrback(lambda _: None)
        await claimed
        await deferLater(reactor, 0)  # its release is on its way
        second = job.get()
        await job.put("b")
        self.assertEqual((await second).item, "b")

    async def test_put_back_into_nothing(self) -> None:
        """
        What was taken from a queue that was deleted meanwhile does not bring its keys back.
        """
        await self.queue.put("a")
        taken = await self.queue.take(1, "")
        await self.queue.delete()
        await self.queue.give_back(taken)
        self.assertEqual(await self.redis.execute("EXISTS", *self.keys.every_key()), 0)

    async def test_many_suspects(self) -> None:
        """
        Maintenance queues every lost job again, also where there are many.
        """
        job = await self.thoonk.job(self.feed_name())
        ids = await job.put_many([str(i) for i in range(100)])
        await self.redis.execute("LTRIM", job.keys.ids, 0, 9)
        done = await job.maintenance(lost_grace=0.05)
        self.assertEqual(done.lost, 90)
        queued = await self.redis.execute("LRANGE", job.keys.ids, 0, -1)
        self.assertEqual(sorted(queued), sorted(map(encode, ids)))
