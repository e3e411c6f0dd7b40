"""The short version of ``python -m tests.commits``: nothing is done twice, nothing is left out."""

from __future__ import annotations

import os
from typing import Any

from twisted.trial.unittest import TestCase

from tests.commits.counting import Count, count
from txthoonk.testing import shared_server


class CommitsTests(TestCase):
    """Jobs raise a counter by one each, by a commit, in workers that are killed."""

    timeout = 240

    async def setUp(self) -> None:
        await shared_server()  # fails, or skips, where there is no redis-server

    async def count(self, **options: Any) -> Count:
        """Let it run; with the same seed the same is random."""
        from twisted.internet import reactor

        seed = int(os.environ.get("TXTHOONK_SEED") or 7)
        return await count(reactor, seed=seed, workers=3, **options)

    async def test_exact(self) -> None:
        """
        Workers are killed, stopped for longer than their claims hold and cut off, Redis is killed
        and comes back: the counter is the number of jobs, and each is in the histories once.
        """
        report = await self.count(jobs=400, kill_every=0.3, restart_every=0.8, stop_every=0.3)
        self.assertEqual(report.problems, {}, report.lines())
        self.assertEqual(report.counter, 400)
        self.assertGreater(report.kills.total(), 2)
        self.assertGreater(report.restarts, 0)
        self.assertGreater(report.met["ConnectionLost"], 0)
        self.assertGreater(report.met["lost leases"], 0)
        self.assertGreater(report.met["conflicts"], 0)

    async def test_without_lease(self) -> None:
        """
        Without the check of the lease a commit whose reply was lost is done again; this finds that.
        """
        quiet = {"kill_every": 0, "restart_every": 0, "stop_every": 0, "points": False}
        report = await self.count(jobs=100, cut=8, off="commit+touch", **quiet)
        self.assertGreater(report.counter, 100)
        self.assertIn("counter that is wrong", report.problems)
        self.assertIn("events that are there twice", report.problems)
