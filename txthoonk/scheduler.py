"""Firing schedules: any number of processes look at what is due, and each tick comes once."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults

from txthoonk._deferred import first_failure
from txthoonk.keys import FeedKeys, decode, encode
from txthoonk.looking import Looking
from txthoonk.rules import Step, plan, read_rule
from txthoonk.scripts import BoundScript, script
from txthoonk.service import Thoonk

__all__ = ["Scheduler"]

#: How many schedules of each feed, and how many ticks of each of these one look takes on.
SCHEDULES: Final = 100
TICKS: Final = 20


class Scheduler(Looking):
    """Fires the schedules of all feeds of jobs; any number of these may run at a time.

    What time it is Redis alone says: this host's clock may say what it likes, as long as its
    seconds are about as long as Redis's. A tick is one script, which puts the job and moves the
    schedule on, or does neither; so a scheduler may die at any instant.

    :param thoonk: where the feeds are.
    :param reactor: what waits; that of *thoonk* if not given.
    """

    LOOK = 0.5
    DOES = "Firing schedules"
    CANNOT = "Cannot fire"

    def __init__(self, thoonk: Thoonk, reactor: Any = None) -> None:
        super().__init__(thoonk, reactor)
        self._soonest = script("schedule/soonest").bind(self._keys(""), "")

    def _keys(self, name: str) -> FeedKeys:
        return FeedKeys(encode(name), self._thoonk.db)

    def _index(self) -> BoundScript:
        return self._soonest

    async def _do(self, feed: str) -> float:
        return await self._fire(feed, self._keys(feed))

    async def _fire(self, feed: str, keys: FeedKeys) -> float:
        redis, data = self._thoonk.redis, encode(feed)
        look = script("schedule/look").bind(keys, feed)
        now, until, *due = await look(redis, (data, b"%d" % SCHEDULES))
        tick = script("schedule/tick").bind(keys, feed)
        ticking: list[Deferred[int]] = []
        for i in range(0, len(due), 5):
            name, when, rule, missed, grace = due[i : i + 5]
            schedule = decode(name)
            what = f"{feed}, schedule {schedule}"
            try:
                steps = plan(
                    read_rule(decode(rule)),
                    int(float(when)),
                    now,
                    decode(missed),
                    int(grace or 0),
                    TICKS,
                )
            except ValueError as error:
                self._note(what, error)
                continue
            self._note(what, None)
            for step in steps:
                args = (data, name, rule, b"%d" % step.due, b"%d" % step.fire, b"%d" % step.next)
                ticking.append(tick(redis, args, id=schedule))
                ticking[-1].addCallback(self._tell, what, step, now)
        verdicts = await gatherResults(ticking, consumeErrors=True).addErrback(first_failure)
        if not due or any(verdict >= -1 for verdict in verdicts):
            return 0  # something has moved, by us or by another: what is due next is to be asked
        return self._seconds(until)

    def _tell(self, verdict: int, what: str, step: Step, now: int) -> int:
        """Log that ticks were missed, if it was us who noticed."""
        if verdict >= 0 and step.fire != step.due:
            self.log.warn(
                "Missed ticks of {what} from {first} to {now}; made up for: {fire}",
                what=what,
                first=step.due,
                now=now,
                fire=step.fire or "none",
            )
        return verdict
