"""Those who follow through outages: short of what ``python -m tests.trials outage`` does."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.trials.outage import Outage


class OutageTests(TestCase):
    """A Redis that writes everything to its disk, feeds that are written to all the time."""

    timeout = 240

    async def right(self, kills: int, seconds: float, every: float) -> Outage:
        """Have an outage; in the end everyone was told everything, once, without a ``Resync``."""
        outage = await Outage().run(kills, seconds, every)
        self.assertEqual(outage.faults, [], outage.lines())
        self.assertEqual(outage.kills, kills)
        self.assertGreater(outage.told, 4 * outage.changes)
        return outage

    async def test_killed(self) -> None:
        """
        After Redis was killed and started again, often, all who follow are right.
        """
        outage = await self.right(5, 0, 1)
        self.assertGreater(outage.unknown, 0)

    async def test_subscribers_killed(self) -> None:
        """
        So are they where Redis ends all connections that messages come on, every second.
        """
        outage = await self.right(0, 10, 1)
        self.assertGreater(outage.closed, 5 * 3)
