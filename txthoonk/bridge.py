"""One feed of jobs, served in both dialects: what is put in one may be done in the other.

A job that crosses keeps its id. At its origin it is claimed for as long as it is away, by a lease
that does not end by itself; what becomes of it on the other side is carried back. Each step is one
script, and all that has to be remembered is in Redis: a bridge may die between any two of them, and
any number of them may run at a time.

A result of a program that is not txThoonk is in a message and nowhere else: somebody has to hear
it. So at least two processes should run for each feed, as ``twistd thoonk --bridge`` does.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._deferred import first_failure, ignore, returns_deferred
from txthoonk.dialects import DIALECTS
from txthoonk.errors import FeedDoesNotExist, ThoonkError
from txthoonk.keys import FeedKeys, decode, encode
from txthoonk.scripts import BoundScript, script
from txthoonk.service import Thoonk
from txthoonk.types import Job
from txthoonk.types.base import new_id

__all__ = ["Bridge", "BridgeKeys", "bridge"]

#: What tells a lease of a bridge from others, in front of the dialect that the job was brought to.
TOKEN: Final = "bridge:"

#: How many jobs may wait on a side before more are brought there.
AHEAD: Final = 100

#: Seconds between two looks for jobs, while there are none and while there are some.
IDLE: Final = 0.1
BUSY: Final = 0.005

#: Seconds that a job waits on the other side before it is taken back, and that none crosses then.
STALE: Final = 1.0
PAUSE: Final = 0.5
LONGEST: Final = 5.0

#: Seconds between two looks at all that is away.
SWEEP: Final = 1.0

#: Seconds after which a job that has gone without a word is finished without a result.
SILENT: Final = 1.0

#: How many jobs one call settles.
MANY: Final = 200


class BridgeKeys:
    """The keys of a feed in two dialects, for scripts that work on both.

    :param origin: where jobs come from; its attributes have ``origin_`` in front here.
    :param here: where they are brought.
    """

    def __init__(self, origin: FeedKeys, here: FeedKeys) -> None:
        self.origin = origin
        self.here = here

    def __getattr__(self, name: str) -> Any:
        if name.startswith("origin_"):
            return getattr(self.origin, name.removeprefix("origin_"))
        return getattr(self.here, name)


class _Way:
    """From one dialect to the other.

    :param origin: the feed whose jobs are brought.
    :param here: the feed that they are brought to.
    :param heard_since: gives the time since when all messages are heard.
    """

    def __init__(self, origin: Job, here: Job, heard_since: Callable[[], float]) -> None:
        self.heard_since = heard_since
        self.origin = origin
        self.here = here
        self.pub: Any = here.pub
        self.reactor: Any = here.pub.get_reactor()
        dialect = here.pub.dialect.name
        self._token = f"{TOKEN}{dialect}".encode()
        self._json = b"1" if dialect == "lua" else b"0"
        keys: Any = BridgeKeys(origin.keys, here.keys)
        self._cross: BoundScript = script("bridge/cross").bind(keys, here.name)
        self._settle: BoundScript = script("bridge/settle").bind(keys, here.name)
        #: How many may be brought at a time: more and more while they are taken.
        self._credit = 1
        self._pause = PAUSE
        self._not_before = 0.0
        #: When jobs were first seen to wait here, and to be gone.
        self._waiting: dict[str, float] = {}
        self._gone: dict[str, float] = {}
        self._heard: dict[str, bytes] = {}
        self._telling = False

    # -- there ------------------------------------------------------------------------------

    async def cross(self) -> int:
        """Bring jobs over, as many as those here seem to want; says how many."""
        now = self.reactor.seconds()
        if now < self._not_before:
            return 0
        args = (self._token, self._json, b"%d" % self._credit, b"%d" % AHEAD)
        moved = await self._cross(self.here.pub.redis, args)
        if len(moved) == self._credit:
            self._credit = min(AHEAD, 2 * self._credit)
        for id in moved:
            self._waiting[decode(id)] = now
        return len(moved)

    # -- and back ---------------------------------------------------------------------------

    def finished(self, event: Any) -> None:
        """A job was finished here, one that was brought or another."""
        self._tell(event.id, b"-" if event.result is None else b"+" + event.result)

    def retracted(self, event: Any) -> None:
        """A job was taken out here."""
        self._tell(event.id, b"x")

    def _tell(self, id: str, heard: bytes) -> None:
        self._heard[id] = heard
        if not self._telling:
            self._telling = True
            self.reactor.callLater(0, self._tell_now)

    @returns_deferred
    async def _tell_now(self) -> None:
        """Settle what was heard; what cannot be is kept until it can."""
        while self._heard:
            some = dict(list(self._heard.items())[:MANY])
            try:
                await self.settle(some)
            except ThoonkError:
                await deferLater(self.reactor, IDLE, ignore, None)
                continue
            for id, heard in some.items():
                if self._heard.get(id) == heard:
                    del self._heard[id]
        self._telling = False

    async def settle(self, heard: dict[str, bytes]) -> dict[str, str]:
        """Say what was heard of some jobs.

        :returns: what became of each.
        """
        verdicts: dict[str, str] = {}
        every = list(heard.items())
        for i in range(0, len(every), MANY):
            some = every[i : i + MANY]
            args = (self._token, *(part for id, what in some for part in (encode(id), what)))
            reply = await self._settle(self.here.pub.redis, args)
            verdicts.update(
                (id, decode(verdict)) for (id, _), verdict in zip(some, reply, strict=True)
            )
        for id, verdict in verdicts.items():
            if verdict != "waiting":
                self._waiting.pop(id, None)
            if verdict != "gone":
                self._gone.pop(id, None)
            if verdict in ("finished", "claimed"):
                self._pause = PAUSE  # there are those who work here
        return verdicts

    async def sweep(self) -> None:
        """Look at all that is away: what has ended without a word, and what nobody here wants."""
        away = dict.fromkeys(await self._away(), b"")
        now = self.reactor.seconds()
        for kept in (self._waiting, self._gone):
            for id in kept.keys() - away.keys():
                del kept[id]
        verdicts = await self.settle({id: b"" for id in away if id not in self._heard})
        for id, verdict in verdicts.items():
            if verdict == "gone":
                self._gone.setdefault(id, now)
            elif verdict == "waiting":
                self._waiting.setdefault(id, now)
        silent = now - SILENT
        gone = [id for id, since in self._gone.items() if since <= silent]
        if gone:
            # Redis confirms behind the messages that came first, if they come at all.
            pub = self.pub
            await pub.remove_handler(await pub.register_handler(f"tx.bridge:{new_id()}", ignore))
            if self.heard_since() <= silent:
                await self.settle({id: b"-" for id in gone if id not in self._heard})
        stale = [id for id, since in self._waiting.items() if since <= now - STALE]
        if stale:
            back = await self.settle(dict.fromkeys(stale, b"<"))
            if "released" in back.values():
                self._credit = 1
                self._not_before = now + self._pause * random.uniform(0.8, 1.2)
                self._pause = min(LONGEST, 2 * self._pause)

    async def _away(self) -> set[str]:
        """All jobs that are here, or that their origin takes to be."""
        away: set[str] = set()
        for redis_key, wanted in (
            (self.here.keys.bridged, b""),
            (self.origin.keys.lease, self._token),
        ):
            cursor = b"0"
            while True:
                reply = await self.here.pub.redis.execute("HSCAN", redis_key, cursor, "COUNT", 1000)
                cursor, pairs = reply
                away.update(
                    decode(id)
                    for id, value in zip(pairs[::2], pairs[1::2], strict=True)
                    if not wanted or value.startswith(wanted + b" ")
                )
                if cursor == b"0":
                    break
        return away


class Bridge(Service):
    """Serves one feed of jobs in both dialects.

    :param one: an instance of either dialect, which is started and stopped by somebody else.
    :param other: one of the other dialect, on the same database.
    :param name: of the feed.
    :raises ValueError: if both speak the same dialect.
    """

    log = Logger()

    def __init__(self, one: Thoonk, other: Thoonk, name: str) -> None:
        if one.dialect is other.dialect:
            raise ValueError(f"a bridge has two dialects, not {one.dialect.name!r} on both sides")
        self.feed = name
        self._sides = (one, other)
        jobs = [side.job(name, serializer="bytes") for side in self._sides]
        self._jobs = jobs
        self._heard_since = 0.0
        there, back = ((jobs[0], jobs[1]), (jobs[1], jobs[0]))
        self._ways = (_Way(*there, self._since), _Way(*back, self._since))
        self._reactor: Any = one.get_reactor()
        self._subscriptions: list[Any] = []
        self._is_open = False
        self._work: Deferred[Any] | None = None
        self._problem = ""
        self._next_sweep = 0.0

    def startService(self) -> None:
        """Begin, as soon as Redis is there."""
        if self.running:
            return
        super().startService()
        for side in self._sides:
            side.call_when_heard_again(self._hears_again)
        self._work = Deferred.fromCoroutine(self._bridge())
        self._work.addErrback(self._ended)

    def stopService(self) -> Deferred[None]:
        """Bring nothing more over. What is away stays away until a bridge runs again.

        :returns: fires when the last step is done.
        """
        super().stopService()
        for side in self._sides:
            side.call_no_more(self._hears_again)
        for subscription in self._subscriptions:
            subscription.stop()
        self._subscriptions.clear()
        work, self._work = self._work, None
        return succeed(None) if work is None else work.addBoth(ignore)

    def _ended(self, failure: Failure) -> None:
        self.log.failure("The bridge of {feed!r} broke down", failure, feed=self.feed)

    def _since(self) -> float:
        return self._heard_since

    def _hears_again(self) -> None:
        self._heard_since = self._reactor.seconds()

    async def _bridge(self) -> None:
        while self.running:
            try:
                moved = await self._pass()
            except ThoonkError as error:
                moved = 0
                self._note(str(error))
                if isinstance(error, FeedDoesNotExist):
                    self._is_open = False  # make it again
            else:
                self._note("")
            await deferLater(self._reactor, BUSY if moved else IDLE, ignore, None)

    async def _pass(self) -> int:
        if not self._is_open:
            # What is away from a feed that was deleted goes home before there is a new one.
            for way in self._ways:
                await way.sweep()
            for job in self._jobs:
                await job.ensure()
            if not self._subscriptions:
                await self._listen()
                self._heard_since = self._reactor.seconds()
            self._is_open = True
            self.log.info("The bridge of {feed!r} is open", feed=self.feed)
        moved = sum([await way.cross() for way in self._ways])
        now = self._reactor.seconds()
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP * random.uniform(0.3, 1.0)
            for way in self._ways:
                await way.sweep()
        return moved

    def _listen(self) -> Deferred[Any]:
        """Hear how jobs end, on both sides, before any crosses."""
        subscribing: Iterable[Deferred[Any]] = [
            way.here.subscribe(finish=way.finished, retract=way.retracted) for way in self._ways
        ]
        every = gatherResults(subscribing, consumeErrors=True).addErrback(first_failure)
        return every.addCallback(self._subscriptions.extend)

    def _note(self, problem: str) -> None:
        """Tell each problem once."""
        if problem and problem != self._problem:
            self.log.warn("The bridge of {feed!r} waits: {why}", feed=self.feed, why=problem)
        self._problem = problem


class _WithOther(Bridge):
    """A bridge that starts and stops one of its instances itself."""

    def startService(self) -> None:
        """Begin, as soon as Redis is there."""
        self._sides[1].startService()
        super().startService()

    def stopService(self) -> Deferred[None]:
        """Bring nothing more over, and disconnect."""
        return super().stopService().addBoth(lambda _: self._sides[1].stopService())


def bridge(one: Thoonk, url: str, name: str) -> Bridge:
    """A bridge with an instance of its own for the dialect that *one* does not speak.

    :param url: of the Redis that *one* is connected to.
    :param name: of the feed.
    """
    dialect = next(each for each in DIALECTS if each != one.dialect.name)
    return _WithOther(one, Thoonk(url, reactor=one.get_reactor(), dialect=dialect), name)
