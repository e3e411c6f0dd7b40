"""When what recurs is due: pure arithmetic, over any stretch of time."""

from __future__ import annotations

from datetime import datetime, timezone
from itertools import islice
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txthoonk.rules import CATCH_UP, LATEST, SKIP, Cron, Every, Step, at, plan, read_rule, tick_of

#: Expressions of all sorts, and zones whose clocks change at other hours and by other times.
EXPRESSIONS = (
    *("* * * * *", "*/7 * * * *", "30 2 * * *", "0,30 1-3 * * *", "15 */2 * * *", "0 0 1 * *"),
    *("5 4 * * SUN", "0 12 L * *", "59 23 29 2 *", "*/20 * * * * *", "10 30 2 * * *"),
)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")

#: From 2026 to 2029, milliseconds.
TIMES = st.integers(1_767_225_600_000, 1_861_920_000_000)


def milliseconds(*when: int, zone: str = "UTC", fold: int = 0) -> int:
    """What a clock on the wall shows."""
    return int(datetime(*when, tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1000)  # type: ignore[misc,arg-type]  # six numbers


def shown(ticks: list[int]) -> list[str]:
    """Ticks as one reads them, in UTC."""
    return [f"{at(tick):%m-%d %H:%M}" for tick in ticks]


class CronTests(SynchronousTestCase):
    """Cron expressions, in zones with and without changes of clocks."""

    def ticks(self, expression: str, count: int, *begin: int, zone: str = "UTC") -> list[str]:
        """The first ticks after a time of the wall."""
        rule = Cron(expression, zone)
        return shown(list(islice(rule.ticks(milliseconds(*begin, zone=zone)), count)))

    def test_spring(self) -> None:
        """
        What is due at 2:30 on the day that has no 2:30 comes once: when it is 3:00.
        """
        got = self.ticks("30 2 * * *", 3, 2026, 3, 28, 12, zone="Europe/Berlin")
        self.assertEqual(got, ["03-29 01:00", "03-30 00:30", "03-31 00:30"])

    def test_autumn(self) -> None:
        """
        What is due at 2:30 on the day that has it twice comes once: the first time.
        """
        got = self.ticks("30 2 * * *", 3, 2026, 10, 24, 12, zone="Europe/Berlin")
        self.assertEqual(got, ["10-25 00:30", "10-26 01:30", "10-27 01:30"])
        second = milliseconds(2026, 10, 25, 2, 10, zone="Europe/Berlin", fold=1)
        following = next(Cron("30 2 * * *", "Europe/Berlin").ticks(second))
        self.assertEqual(shown([following]), ["10-26 01:30"])

    def test_often(self) -> None:
        """
        What is due every half hour is so through all changes of clocks.
        """
        for begin in ((2026, 3, 29), (2026, 10, 25)):
            start = milliseconds(*begin, zone="Europe/Berlin")
            got = islice(Cron("*/30 * * * *", "Europe/Berlin").ticks(start), 12)
            self.assertEqual(list(got), [start + 1_800_000 * i for i in range(1, 13)])

    def test_days(self) -> None:
        """
        Day of month and day of week are either, unless one of them is a star; 0 and 7 are Sunday.
        """
        self.assertEqual(
            self.ticks("0 0 13 * 5", 3, 2026, 1, 1), ["01-02 00:00", "01-09 00:00", "01-13 00:00"]
        )
        for sunday in ("0", "7", "sun"):
            self.assertEqual(self.ticks(f"0 9 * * {sunday}", 1, 2026, 1, 1), ["01-04 09:00"])

    def test_wrong(self) -> None:
        """
        What is no expression, never comes, or is about a zone that is not known is refused.
        """
        for wrong in (
            "",
            "* * * *",
            "60 * * * *",
            "* * * * * * *",
            "a b c d e",
            "@daily",
            "5/0 * * * *",
        ):
            self.assertRaisesRegex(ValueError, "is no cron expression", Cron, wrong)
        self.assertRaisesRegex(ValueError, "30 2", Cron, "0 0 30 2 *")
        self.assertRaisesRegex(ValueError, "never comes", Cron, "* * */20 * 1L")
        for zone in ("Europe/Nowhere", "", "../etc/passwd", "/etc/localtime", "Europe"):
            self.assertRaisesRegex(ValueError, "no time zone", Cron, "* * * * *", zone)
        self.assertRaises(TypeError, Cron, 5)

    @settings(max_examples=150, deadline=None)
    @given(st.sampled_from(EXPRESSIONS), st.sampled_from(ZONES), TIMES)
    def test_no_memory(self, expression: str, zone: str, begin: int) -> None:
        """
        A tick depends on the one before it alone, so that all schedulers come to the same.
        """
        rule = Cron(expression, zone)
        ticks = list(islice(rule.ticks(begin), 6))
        self.assertEqual(ticks, sorted(set(ticks)))
        for tick, following in zip([begin, *ticks], ticks, strict=False):
            self.assertEqual(next(rule.ticks(tick)), following)
            self.assertEqual(next(rule.ticks((tick + following) // 2)), following)
            self.assertEqual(next(rule.ticks(following - 1)), following)

    @settings(max_examples=100, deadline=None)
    @given(st.sampled_from(EXPRESSIONS), st.sampled_from(ZONES), TIMES, st.integers(0, 20))
    def test_last(self, expression: str, zone: str, begin: int, count: int) -> None:
        """
        The last tick before a time is found without going through all of them.
        """
        rule = Cron(expression, zone)
        ticks = list(islice(rule.ticks(begin), count + 2))
        for now in (ticks[-2], ticks[-1] - 1, (ticks[-2] + ticks[-1]) // 2):
            self.assertEqual(rule.last(ticks[0], now), ticks[-2])

    def test_last_of_many(self) -> None:
        """
        The last of a year of seconds is found at once.
        """
        rule, year = Cron("* * * * * *"), 31_536_000_000
        self.assertEqual(rule.last(1_000_000_000_000, 1_000_000_000_999 + year), 10**12 + year)


class EveryTests(SynchronousTestCase):
    """Intervals."""

    def test_no_drift(self) -> None:
        """
        The thousandth tick is a thousand intervals after the first.
        """
        rule = Every.seconds(0.333)
        *_, last = islice(rule.ticks(5), 1000)
        self.assertEqual(last, 5 + 333 * 1000)
        self.assertEqual(rule.last(5, last + 332), last)

    def test_wrong(self) -> None:
        """
        An interval is a number of seconds, and no shorter than schedulers can tell.
        """
        for wrong in (0, -1, 0.09, 1e10, float("nan"), float("inf")):
            self.assertRaises(ValueError, Every.seconds, wrong)
        for wrong in ("60", None, True):
            self.assertRaises(TypeError, Every.seconds, wrong)


class PlanTests(SynchronousTestCase):
    """What a schedule does that is due."""

    def test_on_time(self) -> None:
        """
        A tick that is on time is fired, whatever the policy.
        """
        for missed in (CATCH_UP, LATEST, SKIP):
            steps = plan(Every(1000), 5000, 5400, missed, 500, 9)
            self.assertEqual(steps, [Step(5000, 5000, 6000)])

    def test_missed(self) -> None:
        """
        Of five ticks that are due at once all are fired, in order; or the last; or none, if that
        one is later than it may be.
        """
        for rule, due in ((Every(1000), 5000), (Cron("* * * * * *"), 5000)):
            now = 9700
            steps = plan(rule, due, now, CATCH_UP, 500, 9)
            self.assertEqual(steps, [Step(t, t, t + 1000) for t in range(5000, 10_000, 1000)])
            self.assertEqual(plan(rule, due, now, CATCH_UP, 500, 2), steps[:2])
            self.assertEqual(plan(rule, due, now, LATEST, 500, 9), [Step(5000, 9000, 10_000)])
            self.assertEqual(plan(rule, due, now, SKIP, 500, 9), [Step(5000, 0, 10_000)])
            self.assertEqual(plan(rule, due, now, SKIP, 700, 9), [Step(5000, 9000, 10_000)])


class TextTests(SynchronousTestCase):
    """Rules as Redis holds them, and ids of jobs."""

    def test_rules(self) -> None:
        """
        A rule that was stored is the same when it is read.
        """
        for rule in (
            "every 1",
            "every 60000",
            "cron UTC * * * * *",
            "cron Europe/Berlin 5 4 * * SUN",
        ):
            self.assertEqual(str(read_rule(rule)), rule)
        self.assertEqual(str(Cron(" *  * * *\t* ")), "cron UTC * * * * *")
        for wrong in ("", "every", "every 0", "every -5", "every x", "cron UTC", "weekly 1"):
            self.assertRaises(ValueError, read_rule, wrong)

    def test_tick_of(self) -> None:
        """
        The id of a job says which tick it is of; other ids say that they are of none.
        """
        time = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
        for name in ("backup", "a@b", "a b:c"):
            self.assertEqual(tick_of(f"{name}@{milliseconds(2026, 3, 1, 12)}"), (name, time))
        for wrong in ("backup", "@5", "a@", "a@b", "a@-5", "a@²", "a@" + "9" * 30):
            self.assertIsNone(tick_of(wrong))
