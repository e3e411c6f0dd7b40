"""Firing schedules: any number of processes look at what is due, and each tick comes once."""

from __future__ import annotations

import random
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredSemaphore,
    gatherResults,
    succeed,
)
from twisted.internet.task import deferLater
from twisted.logger import Logger

from txthoonk._deferred import first_failure, ignore, returns_deferred
from txthoonk.errors import FeedDoesNotExist, ThoonkError
from txthoonk.keys import FeedKeys, decode, encode
from txthoonk.rules import Step, plan, read_rule
from txthoonk.scripts import script
from txthoonk.service import Thoonk

__all__ = ["Scheduler"]

#: Seconds between two looks, at the most: a new schedule may be due sooner than all others.
LOOK: Final = 0.5

#: Seconds by which schedulers look at different times: most then find that nothing is left to do.
SPREAD: Final = 0.02

#: How many feeds, how many schedules of each, and how many ticks of each of these one look takes
#: on; and how many feeds at a time.
FEEDS: Final = 1000
SCHEDULES: Final = 100
TICKS: Final = 20
AT_ONCE: Final = 20


class Scheduler(Service):
    """Fires the schedules of all feeds of jobs; any number of these may run at a time.

    What time it is Redis alone says: this host's clock may say what it likes, as long as its
    seconds are about as long as Redis's. A tick is one script, which puts the job and moves the
    schedule on, or does neither; so a scheduler may die at any instant.

    :param thoonk: where the feeds are.
    :param reactor: what waits; that of *thoonk* if not given.
    """

    log = Logger()

    def __init__(self, thoonk: Thoonk, reactor: Any = None) -> None:
        self._thoonk = thoonk
        self._reactor = thoonk.get_reactor() if reactor is None else reactor
        self._soonest = script("schedule/soonest").bind(self._keys(""), "")
        self._some = DeferredSemaphore(AT_ONCE)
        self._problems: dict[str, str] = {}
        self._looping: Deferred[None] | None = None

    def _keys(self, name: str) -> FeedKeys:
        return FeedKeys(encode(name), self._thoonk.db)

    def startService(self) -> None:
        """Begin with a look."""
        if self.running:
            return
        super().startService()
        self.log.info("Firing schedules")
        self._thoonk.add_worker(self)
        self._looping = self._loop()
        self._looping.addErrback(lambda failure: failure.trap(CancelledError))

    def stopService(self) -> Deferred[None]:
        """Look no more; a tick that is on its way may be fired or not, and is never lost.

        :returns: fires when this has ended.
        """
        super().stopService()
        self._thoonk.remove_worker(self)
        looping, self._looping = self._looping, None
        if looping is None:
            return succeed(None)
        looping.cancel()
        return looping.addBoth(ignore)

    @returns_deferred
    async def _loop(self) -> None:
        while True:
            wait = LOOK
            try:
                wait = await self._look()
                self._note("", None)
            except CancelledError:
                raise
            except ThoonkError as error:
                self._note("", error)
            except Exception:
                self.log.failure("Cannot look for what is due")
            await deferLater(self._reactor, wait, lambda: None)

    async def _look(self) -> float:
        """Fire what is due; fires with how many seconds to wait."""
        until, *due = await self._soonest(self._thoonk.redis, (b"%d" % FEEDS,))
        waits = [_seconds(until)]
        if due:
            looking = [self._some.run(self._look_at, decode(name)) for name in due]
            waits += await gatherResults(looking, consumeErrors=True).addErrback(first_failure)
        wait = min(waits)
        return wait + random.uniform(0.001, SPREAD) if wait > 0 else 0.0

    @returns_deferred
    async def _look_at(self, name: str) -> float:
        """Fire what is due of a feed; fires with how many seconds to wait then."""
        try:
            wait = await self._fire(name, FeedKeys(encode(name), self._thoonk.db))
        except FeedDoesNotExist:
            return LOOK  # deleted meanwhile: the next look takes its schedules away
        except CancelledError:
            raise
        except ThoonkError as error:
            self._note(name, error)
            return LOOK
        self._note(name, None)
        return wait

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
        return _seconds(until)

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

    def _note(self, what: str, error: Exception | None) -> None:
        """Tell each problem once."""
        why = None if error is None else str(error)
        if why is None:
            self._problems.pop(what, None)
        elif self._problems.get(what) != why:
            self._problems[what] = why
            self.log.warn("Cannot fire {what}: {why}", what=what or "anything", why=why)


def _seconds(until: int) -> float:
    """How long to wait for what is due in so many milliseconds, or -1 if nothing is."""
    return LOOK if until < 0 else min(LOOK, until / 1000)
