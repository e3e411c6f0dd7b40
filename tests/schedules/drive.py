"""The driver: it sets schedules, disturbs who fires them, and takes stock."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.helpers import until
from tests.schedules.host import POINTS
from tests.schedules.hosts import Host
from tests.schedules.report import PROMPT, Report
from txthoonk import ConnectionLost, JobWorker, NotConnected, Thoonk, ThoonkError
from txthoonk.embedded import EmbeddedRedis
from txthoonk.keys import decode, encode
from txthoonk.rules import CATCH_UP, LATEST, SKIP, Cron, Every, Rule, read_rule
from txthoonk.testing import unique_name

__all__ = ["Drive"]

#: About twenty ticks a second.
RULES: list[Rule] = [
    *[Every(1000)] * 8,
    *[Every(700)] * 4,
    *[Every(2500)] * 4,
    *[Cron("* * * * * *", zone) for zone in ("UTC", "Europe/Berlin", "Asia/Kathmandu")],
    *[Cron("*/2 * * * * *", zone) for zone in ("UTC", "Australia/Lord_Howe")],
    *[Cron("* * * * *", zone) for zone in ("UTC", "America/New_York")],
]
#: Added where schedulers die: with these some ticks are to be left out.
LOSSY: list[tuple[Rule, str]] = [
    *[(Every(600), LATEST)] * 2,
    *[(Every(900), SKIP)] * 2,
    (Cron("* * * * * *"), LATEST),
    (Cron("* * * * * *"), SKIP),
]


class Drive:
    """A feed, its schedules, and hosts that fire them.

    :param url: of Redis, or a server that may be killed.
    :param ticks: how many are to be fired.
    :param hosts: how many schedulers there are.
    :param skew: seconds by which the first and the last clock are wrong.
    :param faketime: as for :class:`Host`.
    :param off: a safeguard that the hosts do without.
    :param points: where hosts kill themselves; None for those that do not.
    """

    def __init__(
        self,
        reactor: Any,
        redis: str | EmbeddedRedis,
        *,
        ticks: int,
        hosts: int = 5,
        skew: float = 600.0,
        seed: int = 0,
        faketime: str | None = None,
        off: str | None = None,
        points: Sequence[str | None] = (None, None, *POINTS),
    ) -> None:
        self.off = off
        self.points = points
        self.reactor = reactor
        self.server = redis if isinstance(redis, EmbeddedRedis) else None
        self.url = redis if isinstance(redis, str) else redis.url
        self.ticks = ticks
        self.random = random.Random(seed)
        self.skews = [skew * (2 * i / max(1, hosts - 1) - 1) for i in range(hosts)]
        self.faketime = faketime
        self.hosts: dict[float, Host] = {}
        self.name = unique_name("schedules")
        self.report = Report(strict=True)
        self._ending = False
        self._dead: list[Deferred[None]] = []

    # -- the three runs -----------------------------------------------------------------------

    async def clocks(self) -> Report:
        """Wrong clocks, and nothing else."""
        return await self._run([], self._enough)

    async def kills(self) -> Report:
        """Hosts die; now and then all of them, and nobody is there for seconds."""
        self.report.strict = False
        return await self._run(LOSSY, self._kill)

    async def outages(self) -> Report:
        """Redis is killed and comes back; connections are cut."""
        self.report.strict = False
        return await self._run([], self._cut)

    # -- what happens ---------------------------------------------------------------------------

    async def _run(
        self, more: list[tuple[Rule, str]], disturb: Callable[[], Awaitable[None]]
    ) -> Report:
        async with Thoonk(self.url, reactor=self.reactor, connect_timeout=2) as thoonk:
            self.thoonk, self.jobs = thoonk, thoonk.job(self.name, claim_timeout=5)
            await self.jobs
            worker = JobWorker(thoonk, self.name, self._note, concurrency=100)
            worker.startService()
            try:
                await gatherResults([self._start(skew) for skew in self.skews])
                firsts = await self._set([*((rule, CATCH_UP) for rule in RULES), *more])
                await disturb()
                await gatherResults([self._start(skew) for skew in self._missing()])
                await self._take_stock(firsts)
            finally:
                self._ending = True
                for host in self.hosts.values():
                    host.kill()
                await gatherResults(self._dead)
                await worker.stopService()
                with suppress(ThoonkError):
                    await thoonk.delete_feed(self.name)
        return self.report

    async def _note(self, claim: Any) -> None:
        """A job has come: when was it put?"""

        async def asked() -> list[Any]:
            with suppress(ThoonkError):
                key = self.jobs.keys.published
                return [await self.thoonk.redis.execute("ZSCORE", key, encode(claim.id))]
            return []

        [score] = await until(asked)
        times = self.report.fired.setdefault(claim.id, set())
        if score is not None:  # else it was done already, and comes again for its reply was lost
            times.add(int(float(score)))

    def _start(self, skew: float, **options: Any) -> Deferred[Any]:
        """Start a host; fires when it runs, or is dead."""
        if self.off:
            options["off"] = self.off
        self.hosts[skew] = host = Host(self.reactor, self.url, skew, self.faketime, **options)
        self._dead.append(host.ended)
        host.when_gone = self._gone

        def ready(off: float) -> None:
            if not self.report.kills and len(self.report.clocks) < len(self.skews):
                self.report.clocks.append(off)
                if abs(off - skew) > 5:
                    self.report.errors.append(f"a clock is {off} instead of {skew} off")

        return host.ready.addCallback(ready)

    def _gone(self, host: Host) -> None:
        if host.errors:
            self.report.errors.append(host.errors.decode(errors="replace")[-300:])
        if self.hosts.get(host.skew) is host:
            del self.hosts[host.skew]
        if host.point and not host.killed:
            self._count(POINTS[host.point])

    def _missing(self) -> list[float]:
        return [skew for skew in self.skews if skew not in self.hosts]

    async def _set(self, wanted: list[tuple[Rule, str]]) -> dict[str, int]:
        """Set the schedules; fires with when each is due first."""
        firsts = {}
        for number, (rule, missed) in enumerate(wanted):
            name = f"{missed}-{number}"
            settings: dict[str, Any] = {"name": name, "missed": missed, "grace": 0.5}
            if isinstance(rule, Every):
                schedule = await self.jobs.every(rule.interval / 1000, "tick", **settings)
            elif isinstance(rule, Cron):
                zone = rule.zone
                schedule = await self.jobs.cron(rule.expression, "tick", timezone=zone, **settings)
            assert schedule.next is not None
            firsts[name] = round(schedule.next.timestamp() * 1000)
            self.report.kinds[str(rule).split()[0]] += 1
        return firsts

    async def _sleep(self, least: float, most: float) -> None:
        await deferLater(self.reactor, self.random.uniform(least, most), lambda: None)

    def _is_enough(self) -> bool:
        return len(self.report.fired) >= self.ticks

    async def _enough(self) -> None:
        await until(self._is_enough)

    async def _kill(self) -> None:
        while not self._is_enough():
            for skew in self._missing():
                point = self.random.choice(self.points)
                passes = self.random.randint(1, 10)
                self._start(skew, **({"point": point, "passes": passes} if point else {}))
            await self._sleep(0.3, 1.2)
            at_work = [host for host in self.hosts.values() if host.ready.called]
            if at_work and self.random.random() < 0.1:
                for host in list(self.hosts.values()):
                    host.kill()
                self._count("all at once")
                await self._sleep(1.5, 3.5)
            elif at_work:
                self.random.choice(at_work).kill()
                self._count("anywhere")

    def _count(self, where: str) -> None:
        if not self._ending:
            self.report.kills[where] += 1

    async def _cut(self) -> None:
        number = 0
        while not self._is_enough():
            await self._sleep(0.5, 2)
            number += 1
            if self.server is not None and number % 3 == 0:
                await self.server.kill()
                await self._sleep(0.2, 1.5)
                await self.server.start()
                self._count("Redis")
            else:
                with suppress(ConnectionLost, NotConnected):
                    await self.thoonk.redis.execute("CLIENT", "KILL", "TYPE", "normal")
                self._count("all connections")

    # -- what became of it ------------------------------------------------------------------------

    async def _take_stock(self, firsts: dict[str, int]) -> None:
        """Wait until nothing is due, take the schedules away, and compare."""
        redis, keys, report = self.thoonk.redis, self.jobs.keys, self.report

        async def quiet() -> bool:
            seconds, microseconds = await redis.execute("TIME")
            now = int(seconds) * 1000 + int(microseconds) // 1000
            first = await redis.execute("ZRANGE", keys.ticks, 0, 0, "WITHSCORES")
            # With so many there is always one that is due just now.
            return int(float(first[1])) > now - PROMPT

        for _ in range(600):
            if await quiet():
                break
            await self._sleep(0.05, 0.05)
        else:
            report.stuck = [decode(n) for n in await redis.execute("ZRANGE", keys.ticks, 0, -1)]
        schedules = {each.name: each for each in await self.jobs.schedules()}
        report.faults = [str(fault) for fault in await self.jobs.fsck(grace=0.2)]
        await redis.execute("MULTI")
        redis.execute("ZRANGE", keys.ticks, 0, -1, "WITHSCORES")
        redis.execute("DEL", keys.ticks)
        left, _ = await redis.execute("EXEC")
        for i in range(0, len(left), 2):
            name, end = decode(left[i]), int(float(left[i + 1]))
            rule, tick = read_rule(schedules[name].rule), firsts[name]
            expected = report.expected.setdefault(schedules[name].missed, set())
            for following in rule.ticks(tick):
                if tick >= end:
                    break
                expected.add(f"{name}@{tick}")
                tick = following

        for _ in range(200):
            stats = await self.jobs.stats()
            report.puts = stats.puts
            if not (stats.available or stats.handed or stats.claimed):
                return
            await self._sleep(0.05, 0.05)
        report.faults.append(f"jobs that were put, and cannot be done: {stats}")
