"""Jobs that are put again and again: setting schedules, and firing them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from twisted.internet.defer import gatherResults
from twisted.logger import globalLogPublisher

from tests.helpers import Heard, ThoonkTestCase, until
from txthoonk import FeedDoesNotExist, ItemDoesNotExist, ItemError, Job, Thoonk
from txthoonk.fsck import Fault
from txthoonk.redis import Redis
from txthoonk.rules import tick_of
from txthoonk.scheduler import Scheduler
from txthoonk.types.scheduling import Schedule

#: Seconds between the two looks of a check.
SHORT = 0.05


class ScheduleCase(ThoonkTestCase):
    """A server of this test's own, for schedules are fired whosever they are."""

    async def setUp(self) -> None:
        await super().setUp()
        self.server = await self.own_server()
        self.thoonk = await self.start_thoonk(self.server.url)
        self.redis = self.thoonk.redis
        self.jobs = self.thoonk.job(self.feed_name())
        self.warned: list[str] = []
        globalLogPublisher.addObserver(self.note)
        self.addCleanup(globalLogPublisher.removeObserver, self.note)

    def note(self, event: dict[str, Any]) -> None:
        """Keep what the log says against it."""
        if event.get("log_namespace", "").endswith("Scheduler") and "why" in event:
            self.warned.append(f"{event['what']}: {event['why']}")

    async def now(self) -> datetime:
        """What time it is for Redis."""
        seconds, microseconds = await self.redis.execute("TIME")
        return datetime.fromtimestamp(int(seconds) + int(microseconds) / 1e6, timezone.utc)

    async def later(self, schedule: Schedule, ago: float) -> int:
        """Let a schedule be due since some seconds, as if nobody had looked."""
        due = int(((await self.now()).timestamp() - ago) * 1000) // 1000 * 1000
        await self.redis.execute("ZADD", self.jobs.keys.ticks, due, schedule.name)
        await self.redis.execute("ZADD", self.jobs.keys.scheduled, due, self.jobs.name)
        return due

    async def ticks(self, count: int) -> list[int]:
        """Wait for so many jobs; when the ticks were that they are of, milliseconds."""
        await until(lambda: self.jobs.length().addCallback(lambda length: length >= count))
        ids = await self.jobs.get_ids()
        ticks = [tick_of(id) for id in ids]
        return [int(tick.time.timestamp() * 1000) for tick in ticks if tick is not None]


class SettingTests(ScheduleCase):
    """every, cron, and what can be asked and said of a schedule."""

    async def test_every(self) -> None:
        """
        An interval begins when it is set, by Redis's clock.
        """
        schedule = await self.jobs.every(60, "shrink", name="a")
        now = await self.now()
        assert schedule.next is not None
        self.assertLess(abs((schedule.next - now).total_seconds() - 60), 10)
        first, second = schedule.upcoming(2)
        self.assertEqual((first, second - first), (schedule.next, timedelta(seconds=60)))
        self.assertEqual((schedule.feed, schedule.name), (self.jobs.name, "a"))
        self.assertEqual((schedule.rule, schedule.item), ("every 60000", "shrink"))
        self.assertEqual(schedule.upcoming(0), [])
        self.assertIn("'a'", repr(schedule))
        soon = await self.jobs.every(60, "shrink", name="soon", first=0)
        assert soon.next is not None
        self.assertLess(abs((soon.next - now).total_seconds()), 10)

    async def test_cron(self) -> None:
        """
        A cron expression is about the clocks of its time zone.
        """
        schedule = await self.jobs.cron("30 14 * * *", "x", name="a", timezone="Asia/Kathmandu")
        assert schedule.next is not None
        self.assertEqual((schedule.next.hour, schedule.next.minute), (8, 45))
        self.assertLess(await self.now(), schedule.next)
        self.assertEqual(schedule.rule, "cron Asia/Kathmandu 30 14 * * *")

    async def test_again(self) -> None:
        """
        Each program says at its start what there is to be: the same rule goes on, with what else
        is new; another rule begins anew.
        """
        before = await self.jobs.every(60, "one", name="a", first=5)
        same = await self.jobs.every(60, "two", name="a", missed="skip", grace=1.5, priority=True)
        self.assertEqual(same.next, before.next)
        [stored] = await self.jobs.schedules()
        self.assertEqual((stored.next, stored.item, stored.missed), (before.next, "two", "skip"))
        self.assertEqual((stored.grace, stored.priority, stored.paused), (1.5, True, False))
        other = await self.jobs.every(90, "two", name="a")
        assert other.next is not None and before.next is not None
        self.assertGreater(other.next, before.next)
        cron = await self.jobs.cron("0 0 1 1 *", "two", name="a")
        [stored] = await self.jobs.schedules()
        self.assertEqual((stored.next, stored.rule), (cron.next, "cron UTC 0 0 1 1 *"))

    async def test_pause(self) -> None:
        """
        A paused schedule stays so, whatever is set, until it goes on; nothing is missed then.
        """
        every = await self.jobs.every(60, "x", name="a")
        await self.later(every, 3600)
        self.assertIs(await every.pause(), every)
        self.assertEqual((every.next, every.paused, every.upcoming(3)), (None, True, []))
        self.assertIn("paused", repr(every))
        self.assertTrue((await self.jobs.every(60, "y", name="a")).paused)
        self.assertTrue((await self.jobs.every(70, "y", name="a")).paused)
        await every.pause()
        self.assertEqual(await self.redis.execute("EXISTS", self.jobs.keys.scheduled), 0)
        resumed = await every.resume()
        assert resumed.next is not None
        wait = (resumed.next - await self.now()).total_seconds()
        self.assertLess(abs(wait - 70), 1)  # by the rule it has now
        await every.resume()
        stored = await self.jobs.schedule("a")
        assert stored is not None
        self.assertEqual(stored.next, resumed.next)

    async def test_remove(self) -> None:
        """
        A removed schedule is gone; it says so to whoever goes on with it.
        """
        schedule = await self.jobs.every(60, "x", name="a")
        other = await self.jobs.cron("* * * * *", "x", name="b")
        self.assertIs(await schedule.remove(), True)
        self.assertIs(await schedule.remove(), False)
        self.assertIsNone(await self.jobs.schedule("a"))
        await self.refused(schedule.pause(), ItemDoesNotExist, self.jobs.name, "a")
        await self.refused(schedule.resume(), ItemDoesNotExist, self.jobs.name, "a")
        self.assertEqual([each.name for each in await self.jobs.schedules()], ["b"])
        self.assertIs(await self.jobs.unschedule(other.name), True)
        self.assertEqual(await self.redis.execute("KEYS", "tx.feed.*"), [])

    async def test_wrong(self) -> None:
        """
        What cannot be is refused at once, and nothing is written.
        """
        every: Any = self.jobs.every
        for wrong in (
            {"name": ""},
            {"name": "a\0b"},
            {"name": "a", "missed": "sometimes"},
            {"name": "a", "grace": -1},
            {"name": "a", "first": float("nan")},
        ):
            self.assertRaises(ValueError, every, 60, "x", **wrong)
        for wrong in ({"name": None}, {"name": "a", "grace": "1"}, {"name": "a", "first": True}):
            self.assertRaises(TypeError, every, 60, "x", **wrong)
        self.assertRaises(TypeError, every, 60, object(), name="a")
        self.assertRaises(ValueError, every, 0, "x", name="a")
        self.assertRaises(ValueError, self.jobs.cron, "* * *", "x", name="a")
        self.assertRaises(ValueError, self.jobs.cron, "* * * * *", "x", name="a", timezone="?")
        self.assertEqual(await self.redis.execute("KEYS", "*"), [])

    async def test_deleted(self) -> None:
        """
        The schedules of a feed go with it, and cannot be set where it is gone.
        """
        schedule = await self.jobs.every(60, "x", name="a")
        await self.jobs.delete()
        self.assertEqual(await self.keys_of(self.jobs.name), {})
        await self.refused(self.jobs.every(60, "x", name="a"), FeedDoesNotExist, self.jobs.name)
        await self.refused(schedule.pause(), ItemDoesNotExist, self.jobs.name, "a")

    async def test_odd(self) -> None:
        """
        Names and items may be of any bytes; an item that cannot be decoded fails alone.
        """
        odd = "Über @\n:\udcff"
        jobs = self.thoonk.job(self.jobs.name, serializer="json")
        await jobs.every(60, {"a": "\0b\0"}, name=odd)
        [schedule] = await jobs.schedules()
        self.assertEqual((schedule.name, schedule.item), (odd, {"a": "\0b\0"}))
        await self.thoonk.job(self.jobs.name).every(60, "no JSON", name=odd)
        [schedule] = await jobs.schedules()
        self.assertIsInstance(schedule.item, ItemError)

    async def test_unknown(self) -> None:
        """
        A schedule that is not understood here is named.
        """
        await self.jobs
        for stored in ("often", "weekly 1\0latest\x000\0LPUSH\0item"):
            await self.redis.execute("HSET", self.jobs.keys.schedules, "a", stored)
            await self.refused(self.jobs.schedules(), ItemError, self.jobs.name, "a")


class FiringTests(ScheduleCase):
    """A scheduler of this process, and others beside it."""

    def start(self, thoonk: Thoonk | None = None) -> Scheduler:
        """One that runs."""
        scheduler = Scheduler(thoonk or self.thoonk)
        self.addCleanup(scheduler.stopService)
        scheduler.startService()
        return scheduler

    async def test_worked_on(self) -> None:
        """
        A job of a tick is a job as any other, and says which tick it is of.
        """
        self.thoonk.scheduler()
        done = Heard()

        @self.thoonk.worker(self.jobs.name)
        def handle(claim: Any) -> None:
            done(claim)

        schedule = await self.jobs.every(0.2, "work", name="often", missed="catch-up")
        await done.when(5)
        self.assertEqual({claim.item for claim in done}, {"work"})
        assert schedule.next is not None
        expected = [schedule.next + timedelta(seconds=0.2) * i for i in range(5)]
        ticks = [tick_of(claim.id) for claim in done[:5]]
        self.assertEqual(ticks, [("often", time) for time in expected])

    async def test_together(self) -> None:
        """
        Of several schedulers that see a tick at the same time one fires it.
        """
        others = [await self.start_thoonk(self.server.url) for _ in range(3)]
        for thoonk in (self.thoonk, *others):
            self.start(thoonk)
        schedules = [await self.jobs.every(0.1, "x", name=str(i)) for i in range(5)]
        cron = await self.jobs.cron("* * * * * *", "x", name="cron")
        await until(lambda: self.jobs.length().addCallback(lambda length: length >= 60))
        await gatherResults([each.remove() for each in (*schedules, cron)])
        ids = await self.jobs.get_ids()
        self.assertEqual(len(ids), len(set(ids)))
        self.assertEqual((await self.jobs.stats()).puts, len(ids))
        for schedule in schedules:
            ticks = sorted(id for id in ids if id.startswith(f"{schedule.name}@"))
            times = [int(id.partition("@")[2]) for id in ticks]
            self.assertEqual(times, list(range(times[0], times[-1] + 1, 100)))

    async def test_priority(self) -> None:
        """
        The jobs of a schedule may come before all others.
        """
        await self.jobs.put("waits")
        schedule = await self.jobs.every(60, "urgent", name="a", priority=True)
        await self.later(schedule, 0.5)
        self.start()
        await self.ticks(1)
        await until(lambda: self.jobs.length().addCallback(lambda length: length == 2))
        self.assertEqual((await self.jobs.get()).item, "urgent")

    async def test_catch_up(self) -> None:
        """
        Every tick at whose time no scheduler ran is made up for, in order.
        """
        schedule = await self.jobs.cron("* * * * * *", "x", name="a", missed="catch-up")
        due = await self.later(schedule, 150)
        self.start()
        ticks = await self.ticks(150)
        self.assertEqual(ticks, [due + 1000 * i for i in range(len(ticks))])

    async def test_latest(self) -> None:
        """
        However many ticks were missed, the last of them is made up for.
        """
        schedule = await self.jobs.every(60, "x", name="a", missed="latest")
        due = await self.later(schedule, 86_400 * 365 + 30)
        self.start()
        self.assertEqual(await self.ticks(1), [due + 86_400 * 365 * 1000])
        stored = await self.jobs.schedule("a")
        assert stored is not None and stored.next is not None
        self.assertLess(await self.now(), stored.next)

    async def test_skip(self) -> None:
        """
        No tick that was missed is made up for; one that is hardly late is none.
        """
        late = await self.jobs.every(60, "x", name="late", missed="skip")
        hardly = await self.jobs.every(60, "x", name="hardly", missed="skip")
        await self.later(late, 30)
        due = await self.later(hardly, 3)
        self.start()
        self.assertEqual(await self.ticks(1), [due])
        for schedule in (late, hardly):
            stored = await self.jobs.schedule(schedule.name)
            assert stored is not None and stored.next is not None
            self.assertLess(await self.now(), stored.next)
        self.assertEqual(await self.jobs.length(), 1)

    async def test_there_already(self) -> None:
        """
        A tick whose job is there, or has its result, is not put once more, wherever it comes from.
        """
        schedule = await self.jobs.every(1, "x", name="a", missed="catch-up")
        due = await self.later(schedule, 2)
        await self.jobs.put("first", id=f"a@{due}")
        await self.jobs.put("second", id=f"a@{due + 1000}")
        for _ in range(2):
            claim = await self.jobs.get()
            if claim.item == "first":
                await claim.finish("done")
        self.start()
        ticks = await self.ticks(2)  # the second is claimed
        self.assertEqual(ticks[:2], [due + 1000, due + 2000])
        self.assertEqual((await self.jobs.stats()).claimed, 1)

    async def test_feed_that_went(self) -> None:
        """
        Schedules of a feed that another program has deleted end, and do not bring it back.
        """
        await self.jobs.every(0.1, "x", name="a")
        await self.redis.execute("SREM", "feeds", self.jobs.name)
        await self.redis.execute("DEL", *self.jobs.keys.of_contract())
        self.start()
        await until(lambda: self.redis.execute("KEYS", "*").addCallback(lambda keys: not keys))

    async def test_feed_that_came_back(self) -> None:
        """
        What another program creates anew has no schedules of the feed that was there before, if
        ours have deleted that one; nor is it looked for again and again.
        """
        await self.jobs.every(0.1, "x", name="a")
        await self.jobs.delete()
        await self.redis.execute("SADD", "feeds", self.jobs.name)
        await self.redis.execute("HSET", self.jobs.keys.config, "type", "job")
        self.start()
        key = self.jobs.keys.scheduled
        await until(lambda: self.redis.execute("EXISTS", key).addCallback(lambda there: not there))
        self.assertEqual(await self.jobs.length(), 0)

    async def test_one_that_cannot_be_fired(self) -> None:
        """
        A schedule that is not understood is told once, and keeps no other from its time.
        """
        await self.jobs.every(0.2, "x", name="good")
        stored = "cron Mars/Olympus * * * * *\0latest\x000\0LPUSH\0item"
        await self.redis.execute("HSET", self.jobs.keys.schedules, "bad", stored)
        await self.redis.execute("ZADD", self.jobs.keys.ticks, 5, "bad")
        bad = self.thoonk.job(self.feed_name())
        await bad.every(0.1, "x", name="a")
        await self.redis.execute("DEL", bad.keys.items)
        await self.redis.execute("SET", bad.keys.items, "foreign")
        self.start()
        await self.ticks(3)
        self.assertEqual(len(self.warned), len(set(self.warned)))
        told = "\n".join(self.warned)
        self.assertIn(f"{self.jobs.name}, schedule bad: no time zone 'Mars/Olympus'", told)
        self.assertIn(f"{bad.name}: ", told)
        self.assertIn("WRONGTYPE", told)

    async def test_full_memory(self) -> None:
        """
        What is due while Redis has no memory left is fired when it has some again.
        """
        schedule = await self.jobs.every(1, "x", name="a", missed="catch-up")
        due = await self.later(schedule, 3)
        await self.redis.execute("CONFIG", "SET", "maxmemory", "1")
        self.start()
        await until(lambda: self.warned)
        self.assertIn("OOM", self.warned[0])
        self.assertEqual(await self.jobs.length(), 0)
        await self.redis.execute("CONFIG", "SET", "maxmemory", "0")
        self.assertEqual((await self.ticks(3))[:3], [due, due + 1000, due + 2000])

    async def test_stopped(self) -> None:
        """
        A scheduler that was stopped fires nothing, and may be started again; one that stops with
        its instance leaves nothing open.
        """
        scheduler = self.start()
        scheduler.startService()
        await self.jobs.every(0.1, "x", name="a", missed="catch-up")
        first = (await self.ticks(1))[0]
        await scheduler.stopService()
        await scheduler.stopService()
        count = await self.jobs.length()
        await until(lambda: self._later_than(first + 1000))
        self.assertEqual(await self.jobs.length(), count)
        scheduler.startService()
        ticks = await self.ticks(count + 3)
        self.assertEqual(ticks, [first + 100 * i for i in range(len(ticks))])
        await self.thoonk.stopService()

    async def _later_than(self, milliseconds: int) -> bool:
        return (await self.now()).timestamp() * 1000 > milliseconds


class FsckTests(ScheduleCase):
    """What a check says of schedules."""

    async def faults(self, repair: bool = False) -> list[Fault]:
        """What is wrong."""
        return await self.jobs.fsck(repair, grace=SHORT)

    async def test_faults(self) -> None:
        """
        Ticks without a schedule are dropped, a feed that would never be looked at is noted again.
        """
        await self.jobs.every(60, "x", name="a")
        self.assertEqual(await self.faults(), [])
        await self.redis.execute("ZADD", self.jobs.keys.ticks, 1, "gone")
        await self.redis.execute("DEL", self.jobs.keys.scheduled)
        await self.redis.execute("HSET", self.jobs.keys.schedules, "odd", "often")
        found = await self.faults(repair=True)
        self.assertEqual(
            {(fault.kind, fault.repaired) for fault in found},
            {("leftover", True), ("schedule", False), ("unscheduled", True)},
        )
        [left] = await self.faults(repair=True)
        self.assertIn("odd", left.detail)
        await self.jobs.unschedule("odd")
        self.assertEqual(await self.faults(), [])
        self.assertEqual(await self.redis.execute("ZCARD", self.jobs.keys.ticks), 1)

    async def test_moving(self) -> None:
        """
        Nothing is wrong while schedules are fired.
        """
        self.thoonk.scheduler()
        for i in range(10):
            await self.jobs.every(0.1, "x", name=str(i))
        for _ in range(5):
            self.assertEqual(await self.faults(), [])


class PeerTests(ScheduleCase):
    """Beside programs that know of no schedules."""

    async def test_brpop(self) -> None:
        """
        A worker of another program takes the job of a tick as any other.
        """
        self.thoonk.scheduler()
        await self.jobs.every(60, "item", name="a", first=0)
        peer: Redis = await self.connect(self.server.url)
        _, id = await peer.execute("BRPOP", self.jobs.keys.ids, 5)
        self.assertEqual(await peer.execute("HGET", self.jobs.keys.items, id), b"item")
        self.assertIsNotNone(await peer.execute("ZSCORE", self.jobs.keys.published, id))
        self.assertEqual(Job.TYPE, (await self.jobs.get_config())["type"])
