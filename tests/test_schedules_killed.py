"""Schedulers with wrong clocks that are killed, short of ``python -m tests.schedules``."""

from __future__ import annotations

import os
import random
from typing import Any

from twisted.internet import reactor

from tests.schedules.drive import Drive
from tests.schedules.report import Report
from txthoonk.embedded import EmbeddedRedis
from txthoonk.testing import RedisTestCase

SEED = int(os.environ.get("TXTHOONK_SEED") or random.randrange(10**6))


class DriveCase(RedisTestCase):
    """Hosts with schedulers, on a server of their own."""

    timeout = 240

    def drive(self, server: EmbeddedRedis, ticks: int, **options: Any) -> Drive:
        """A small one."""
        return Drive(reactor, server, ticks=ticks, seed=SEED, **options)

    def all_well(self, report: Report) -> None:
        """Each tick came once."""
        lines = "\n".join([f"seed {SEED}", *report.lines()])
        self.assertEqual(report.problems, {}, lines)
        self.assertGreater(len(report.fired), 0, lines)


class OnceTests(DriveCase):
    """Each tick comes once, whatever happens to those who fire it."""

    async def test_clocks(self) -> None:
        """
        Hosts whose clocks are off by up to ten minutes fire each tick once, in its second.
        """
        report = await self.drive(await self.own_server(), 60).clocks()
        self.all_well(report)
        self.assertEqual([round(off) for off in sorted(report.clocks)], [-600, -300, 0, 300, 600])

    async def test_kills(self) -> None:
        """
        Hosts that are killed at any instant leave no tick out, and fire none that was fired.
        """
        report = await self.drive(await self.own_server(), 80, hosts=3).kills()
        self.all_well(report)
        self.assertGreater(report.kills.total(), 1)

    async def test_outages(self) -> None:
        """
        No tick is lost when Redis is killed and comes back, or connections are.
        """
        server = await self.own_server(appendonly="yes", appendfsync="always")
        report = await self.drive(server, 60, hosts=2).outages()
        self.all_well(report)
        self.assertGreater(report.kills.total(), 1)
