"""Schedules: jobs that are put again and again, by an interval or a cron expression."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from itertools import islice
from typing import Any, Final

from twisted.internet.defer import Deferred

from txthoonk._deferred import returns_deferred
from txthoonk.errors import ItemError
from txthoonk.keys import decode, encode
from txthoonk.rules import LATEST, Cron, Every, Rule, at, check_missed, read_rule
from txthoonk.types.producing import Produced
from txthoonk.types.waiting import side

__all__ = ["Schedule", "Scheduled"]

_NUL: Final = b"\x00"


class Schedule:
    """A schedule of a feed of jobs, as it was when it was asked for.

    :ivar feed: name of the feed.
    :ivar name: of the schedule.
    :ivar rule: ``every MILLISECONDS`` or ``cron ZONE EXPRESSION``.
    :ivar item: what is put; an :exc:`ItemError` if it cannot be decoded.
    :ivar missed: what becomes of missed ticks: ``catch-up``, ``latest`` or ``skip``.
    :ivar grace: seconds that a tick may be late and is not missed.
    :ivar priority: whether its jobs come before all others.
    :ivar next: when it is due next, in UTC, by Redis's clock; None while it is paused.
    """

    def __init__(
        self,
        job: Scheduled,
        name: str,
        rule: Rule,
        item: Any,
        missed: str,
        grace: float,
        priority: bool,
        due: int,
    ) -> None:
        self._job = job
        self._rule = rule
        self.set_due(due)
        self.feed = job.name
        self.name = name
        self.rule = str(rule)
        self.item = item
        self.missed = missed
        self.grace = grace
        self.priority = priority

    def set_due(self, due: int) -> None:
        """Know when it is due next: milliseconds, or 0 if it is paused."""
        self._due = due
        self.next: datetime | None = at(due) if due else None

    def __repr__(self) -> str:
        next = "paused" if self.next is None else self.next.isoformat(" ", "milliseconds")
        return f"<Schedule {self.name!r} of {self.feed!r}: {self.rule}, {self.missed}, {next}>"

    @property
    def paused(self) -> bool:
        """Whether it is paused."""
        return not self._due

    def upcoming(self, count: int) -> list[datetime]:
        """The next ticks, in UTC; none while it is paused.

        :param count: how many.
        """
        if not self._due or count < 1:
            return []
        later = islice(self._rule.ticks(self._due), count - 1)
        return [at(tick) for tick in (self._due, *later)]

    def remove(self) -> Deferred[bool]:
        """Remove it; what it has put stays.

        :returns: fires with whether it was there.
        """
        return self._job.unschedule(self.name)

    def pause(self) -> Deferred[Schedule]:
        """Let it rest, until :meth:`resume`; what it had missed is forgotten.

        :returns: fires with this schedule.
        :raises ItemDoesNotExist: (as a failure) if it was removed.
        """

        def paused(_: object) -> Schedule:
            self.set_due(0)
            return self

        return self._job.pause_schedule(self.name).addCallback(paused)

    def resume(self) -> Deferred[Schedule]:
        """Let it go on. What would have been due meanwhile is not missed: it was not wanted.

        :returns: fires with this schedule.
        :raises ItemDoesNotExist: (as a failure) if it was removed.
        """

        def resumed(due: int) -> Schedule:
            self.set_due(due)
            return self

        return self._job.resume_schedule(self.name, self._rule).addCallback(resumed)


class Scheduled(Produced):
    """A feed of jobs, as far as schedules go: a ``Scheduler`` fires them."""

    def every(
        self,
        seconds: float,
        item: Any,
        *,
        name: str,
        first: float | None = None,
        missed: str = LATEST,
        grace: float = 10.0,
        priority: bool = False,
    ) -> Deferred[Schedule]:
        """Put a job again and again: each time its id is *name*, ``@`` and the tick's milliseconds.

        Every program may say this at its start: a schedule that is there with the same interval
        goes on as it was, with what else is given now.

        :param seconds: from tick to tick, at least 0.1; they do not drift.
        :param item: what the feed's serializer takes.
        :param name: of the schedule, in this feed.
        :param first: seconds until the first tick of a new one; *seconds* if not given.
        :param missed: what becomes of ticks at whose time no scheduler ran: ``"catch-up"`` makes
            up for each, in order; ``"latest"`` for the last one; ``"skip"`` for none.
        :param grace: seconds that a tick may be late and is not missed, unless the next one is
            due, too.
        :param priority: ``Job.HIGH``: its jobs come before all others.
        :returns: fires with the schedule, once it is stored.
        :raises FeedDoesNotExist: (as a failure) if the feed was deleted; nothing is written.
        """
        rule = Every.seconds(seconds)
        wait = round(_seconds("first", seconds if first is None else first) * 1000)
        return self._set_schedule(rule, lambda now: now + wait, item, name, missed, grace, priority)

    def cron(
        self,
        expression: str,
        item: Any,
        *,
        name: str,
        timezone: str = "UTC",
        missed: str = LATEST,
        grace: float = 10.0,
        priority: bool = False,
    ) -> Deferred[Schedule]:
        """Put a job whenever a cron expression says so; see :meth:`every`.

        :param expression: minute, hour, day of month, month, day of week as Debian's cron has
            them; with six fields the first is the second. See :class:`~txthoonk.rules.Cron`.
        :param timezone: whose clocks it is about, as ``"Europe/Berlin"``.
        :raises ValueError: if one of them is none, or the expression never matches.
        """
        rule = Cron(expression, timezone)
        return self._set_schedule(
            rule, lambda now: _first_after(rule, now), item, name, missed, grace, priority
        )

    def schedules(self) -> Deferred[list[Schedule]]:
        """The schedules of the feed, by name.

        :raises ItemError: (as a failure) if one was written by a newer version and is unknown
            here.
        """
        return self._run(self._bind("schedule/read"), (), self._read_schedules)

    def schedule(self, name: str) -> Deferred[Schedule | None]:
        """One schedule, or None."""
        args = (encode(self._id(name)),)
        bound = self._bind("schedule/read")
        return self._run(bound, args, lambda reply: next(iter(self._read_schedules(reply)), None))

    def unschedule(self, name: str) -> Deferred[bool]:
        """Remove a schedule; what it has put stays.

        :returns: fires with whether it was there.
        """
        args = (encode(self.name), encode(self._id(name)), b"0")
        return self._run(self._bind("schedule/remove"), args, bool, id=name)

    # -- for schedules ----------------------------------------------------------------------

    def pause_schedule(self, name: str) -> Deferred[bool]:
        """See :meth:`Schedule.pause`; fires with whether it was not paused."""
        args = (encode(self.name), encode(name), b"1")
        return self._run(self._bind("schedule/remove"), args, bool, id=name)

    @returns_deferred
    async def resume_schedule(self, name: str, rule: Rule) -> int:
        """See :meth:`Schedule.resume`; fires with when it is due, in milliseconds."""
        resume = self._bind("schedule/resume")
        due = 0
        while True:
            args = (encode(self.name), encode(name), encode(str(rule)), b"%d" % due)
            done, when, *theirs = await self._run(resume, args, tuple, id=name)
            if done:
                return int(when)
            rule = self._readable_rule(name, theirs[0])
            due = _first_after(rule, when)

    def _set_schedule(
        self,
        rule: Rule,
        begin: Callable[[int], int],
        item: Any,
        name: str,
        missed: str,
        grace: float,
        priority: bool,
    ) -> Deferred[Schedule]:
        name = self._id(name)
        check_missed(missed)
        grace_ms = round(_seconds("grace", grace) * 1000)
        parts = (str(rule), missed, str(grace_ms))
        definition = _NUL.join((*map(encode, parts), side(priority), self._encode(item)))
        schedule = Schedule(self, name, rule, item, missed, grace, bool(priority), 0)
        return self._store(schedule, begin, definition)

    @returns_deferred
    async def _store(
        self, schedule: Schedule, begin: Callable[[int], int], definition: bytes
    ) -> Schedule:
        """Store it; Redis says what time it is, and we when it is due first."""
        bound = self._bind("schedule/set")
        name, rule = encode(schedule.name), encode(schedule.rule)
        due = 0
        while True:
            args = (encode(self.name), name, rule, b"%d" % due, definition)
            done, due = await self._run(bound, args, tuple, id=schedule.name)
            if done:
                schedule.set_due(due)
                return schedule
            due = begin(due)

    def _read_schedules(self, reply: list[bytes]) -> list[Schedule]:
        found = []
        for i in range(0, len(reply), 3):
            name = decode(reply[i])
            try:
                rule, missed, grace, where, item = reply[i + 2].split(_NUL, 4)
                seconds = int(grace) / 1000
            except ValueError:
                raise ItemError(self.name, name, "its schedule cannot be read") from None
            found.append(
                Schedule(
                    self,
                    name,
                    self._readable_rule(name, rule),
                    self.decode(item, name),
                    decode(missed),
                    seconds,
                    where == side(True),
                    int(float(reply[i + 1] or b"0")),
                )
            )
        return found

    def _readable_rule(self, name: str, rule: bytes) -> Rule:
        try:
            return read_rule(decode(rule))
        except ValueError as error:
            raise ItemError(self.name, name, str(error)) from None


def _first_after(rule: Rule, now: int) -> int:
    return next(rule.ticks(now))


def _seconds(name: str, value: float) -> float:
    """A time that was given.

    :raises TypeError: if it is no number.
    :raises ValueError: if it cannot be.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is a number of seconds, not {value!r}")
    if not 0 <= value <= 1e9:
        raise ValueError(f"{name} is from 0 to 1e9 seconds, not {value!r}")
    return value
