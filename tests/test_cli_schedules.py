"""Schedules from the command line."""

from __future__ import annotations

from tests.helpers import ThoonkTestCase
from tests.test_cli import thoonk


class ScheduleTests(ThoonkTestCase):
    """schedule, schedules and unschedule."""

    def say(self, *words: str) -> tuple[int, str, str]:
        """What a command did: its status, what it said, and what went wrong."""
        done = thoonk(self.server.url, *words)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    async def setUp(self) -> None:
        await super().setUp()
        self.server = await self.own_server()

    async def test_set(self) -> None:
        """
        A schedule is set, listed, set anew, and removed.
        """
        status, said, _ = self.say("schedule", "resize", "a", "the item", "--every", "90")
        self.assertEqual(status, 0)
        self.assertRegex(said, r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\n$")
        due = said.strip()
        line = f"resize\ta\t{due}\tlatest\tevery 90000\tthe item\n"
        self.assertEqual(self.say("schedules", "resize"), (0, line, ""))
        cron = ("--cron", "30 2 * * *", "--timezone", "Europe/Berlin", "--missed", "catch-up")
        status, said, _ = self.say("schedule", "resize", "b", "x", "--priority", *cron)
        other = f"resize\tb\t{said.strip()}\tcatch-up\tcron Europe/Berlin 30 2 * * *\tx\n"
        self.assertEqual(self.say("schedules"), (0, line + other, ""))
        self.assertEqual(self.say("unschedule", "resize", "a"), (0, "", ""))
        pub = await self.start_thoonk(self.server.url)
        schedule = await pub.job("resize").schedule("b")
        assert schedule is not None
        self.assertTrue(schedule.priority)
        await schedule.pause()
        self.assertEqual(
            self.say("schedules", "resize"), (0, other.replace(said.strip(), "paused"), "")
        )

    async def test_wrong(self) -> None:
        """
        What cannot be is said in a line; other feeds do not matter where none is named.
        """
        pub = await self.start_thoonk(self.server.url)
        await pub.feed("news")
        broken = await pub.job("broken")
        await pub.redis.execute("HSET", broken.keys.schedules, "odd", "often")
        status, said, wrong = self.say("schedules")
        self.assertEqual((status, said), (0, ""))
        self.assertIn("'odd' in feed 'broken'", wrong)
        for words, expected in (
            (("schedules", "news"), "it is a feed, not a job"),
            (("unschedule", "broken", "even"), "no such schedule"),
            (("schedule", "jobs", "a", "x", "--every", "0"), "an interval is from 0.1"),
            (("schedule", "jobs", "a", "x", "--cron", "* *"), "no cron expression"),
        ):
            status, said, wrong = self.say(*words)
            self.assertEqual((status, said, wrong.count("\n")), (1, "", 1), wrong)
            self.assertIn(expected, wrong)
        self.assertEqual(self.say("schedule", "jobs", "a", "x")[0], 2)
