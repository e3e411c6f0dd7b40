"""When what recurs is due: by an interval or a cron expression, and what a missed tick comes to.

No clock is asked here. All times are milliseconds since 1970 that somebody else has read, and a
tick depends on nothing but its rule and the one before it: every scheduler comes to the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone, tzinfo
from itertools import islice
from typing import Final, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

__all__ = [
    "CATCH_UP",
    "LATEST",
    "SKIP",
    "Cron",
    "Every",
    "Rule",
    "Step",
    "Tick",
    "at",
    "check_missed",
    "plan",
    "read_rule",
    "tick_of",
]

#: What becomes of missed ticks: each is made up for, in order; the last of them is; none is.
CATCH_UP: Final = "catch-up"
LATEST: Final = "latest"
SKIP: Final = "skip"

#: Between a schedule's name and the time of a tick, in the id of its job.
AT: Final = "@"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)


def at(milliseconds: int) -> datetime:
    """A time of Redis's as one of Python's, in UTC."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


class Rule(Protocol):
    """When something is due."""

    def __str__(self) -> str:
        """As Redis holds it; :func:`read_rule` is the opposite."""

    def ticks(self, after: int) -> Iterator[int]:
        """All ticks after a time, or after a tick, from the first one on."""

    def last(self, due: int, now: int) -> int:
        """The last tick up to now, where *due* is one of them."""


class Every:
    """Due again and again after the same time.

    :param interval: milliseconds.
    """

    def __init__(self, interval: int) -> None:
        self.interval = interval

    @classmethod
    def seconds(cls, seconds: float) -> Every:
        """The rule for an interval.

        :raises TypeError: if that is no number.
        :raises ValueError: if it is shorter than 0.1 seconds, or longer than 1e9.
        """
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise TypeError(f"an interval is a number of seconds, not {seconds!r}")
        if not 0.1 <= seconds <= 1e9:
            raise ValueError(f"an interval is from 0.1 to 1e9 seconds, not {seconds!r}")
        return cls(round(seconds * 1000))

    def __str__(self) -> str:
        return f"every {self.interval}"

    def ticks(self, after: int) -> Iterator[int]:
        """See :class:`Rule`; *after* is a tick, or when it began."""
        while True:
            after += self.interval
            yield after

    def last(self, due: int, now: int) -> int:
        """See :class:`Rule`."""
        return due + (now - due) // self.interval * self.interval


class Cron:
    """Due where a clock on the wall matches a cron expression.

    The rules are those of Debian's cron. Five fields; with six the first is the second. Where
    clocks are put forward, a tick at a time that is left out comes right after that; where they
    are put back, one at a time that comes twice comes the first time. What is due by ``*`` in
    minutes or hours, or has six fields, goes by the time that really passes.

    :param expression: of five or six fields.
    :param zone: name of a time zone, as ``Europe/Berlin``.
    :raises ValueError: if one of them is none, or the expression never matches.
    """

    def __init__(self, expression: str, zone: str = "UTC") -> None:
        if not isinstance(expression, str) or not isinstance(zone, str):
            raise TypeError(f"an expression and a zone are texts, not {expression!r}, {zone!r}")
        self.expression = " ".join(expression.split())
        self.zone = zone
        self._zone: tzinfo = timezone.utc
        try:
            if zone != "UTC":
                self._zone = ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"no time zone {zone!r} is known here") from None
        try:
            matches = next(CronSim(self.expression, _EPOCH.astimezone(self._zone)), None)
        except (CronSimError, AssertionError) as error:
            why = f": {error}" if str(error) else ""
            raise ValueError(f"{expression!r} is no cron expression{why}") from None
        if matches is None:
            raise ValueError(f"{expression!r} never comes")

    def __str__(self) -> str:
        return f"cron {self.zone} {self.expression}"

    def ticks(self, after: int) -> Iterator[int]:
        """See :class:`Rule`."""
        for when in CronSim(self.expression, datetime.fromtimestamp(after // 1000, self._zone)):
            tick = int(when.timestamp()) * 1000
            # Of an hour that comes twice the second one is, on the wall, before what was first.
            if tick > after:
                after = tick
                yield tick

    def last(self, due: int, now: int) -> int:
        """See :class:`Rule`."""
        last, low, high = due, due // 1000, now // 1000
        while low < high:
            middle = (low + high) // 2
            tick = next(self.ticks(middle * 1000), now + 1)
            if tick <= now:
                last, low = tick, max(middle + 1, tick // 1000)
            else:
                high = middle
        return last


def read_rule(text: str) -> Rule:
    """The rule that Redis holds.

    :raises ValueError: if it cannot be read here.
    """
    kind, _, rest = text.partition(" ")
    if kind == "every" and rest.isdecimal() and int(rest) > 0:
        return Every(int(rest))
    zone, _, expression = rest.partition(" ")
    if kind == "cron" and expression:
        return Cron(expression, zone)
    raise ValueError(f"{text!r} is no rule of a schedule")


def check_missed(missed: str) -> str:
    """A policy for missed ticks.

    :raises ValueError: if it is none.
    """
    if missed not in (CATCH_UP, LATEST, SKIP):
        raise ValueError(f"missed is {CATCH_UP!r}, {LATEST!r} or {SKIP!r}, not {missed!r}")
    return missed


class Step(NamedTuple):
    """One move of a schedule: what one script does.

    :ivar due: when it is due, before the step.
    :ivar fire: the tick whose job is put, or 0.
    :ivar next: when it is due, after the step.
    """

    due: int
    fire: int
    next: int


def plan(rule: Rule, due: int, now: int, missed: str, grace: int, most: int) -> list[Step]:
    """The steps that a schedule makes which is due; the first *most* of them.

    A tick is missed if it is later than *grace*, or the next one is due, too.

    :param due: when it is due: not after *now*.
    :param now: what time it is.
    :param grace: milliseconds.
    :raises ValueError: if it is never due again.
    """
    if missed == CATCH_UP:
        steps = []
        for following in islice(rule.ticks(due), most):
            steps.append(Step(due, due, following))
            due = following
            if due > now:
                break
    else:
        last = rule.last(due, now)
        fire = last if missed == LATEST or now - last <= grace else 0
        steps = [Step(due, fire, following) for following in islice(rule.ticks(last), 1)]
    if not steps:
        raise ValueError(f"{rule} never comes again")
    return steps


class Tick(NamedTuple):
    """Which tick a job is of.

    :ivar schedule: name of the schedule.
    :ivar time: when it was due, in UTC.
    """

    schedule: str
    time: datetime


def tick_of(id: str) -> Tick | None:
    """The tick that a job is of, by its id; None if no schedule has put it.

    :param id: ``claim.id``: the schedule's name, ``@``, milliseconds.
    """
    name, _, milliseconds = id.rpartition(AT)
    if not name or not (milliseconds.isascii() and milliseconds.isdecimal()):
        return None
    try:
        return Tick(name, at(int(milliseconds)))
    except (OverflowError, ValueError):
        return None
