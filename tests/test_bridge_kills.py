"""Bridges that are SIGKILLed at random: a short version of ``python -m tests.bridge``."""

from __future__ import annotations

import random

from tests.bridge.trial import Trial
from tests.helpers import ThoonkTestCase


class KillTests(ThoonkTestCase):
    """No job is lost or done twice, and each result is told where its job was put."""

    async def cross(self, origin: str, ours: bool) -> None:
        """Some jobs in one direction."""
        from twisted.internet import reactor

        trial = Trial(
            reactor,
            self.redis_url,
            self.feed_name(),
            origin,
            ours,
            jobs=1500,
            seed=random.randrange(10**6),
        )
        outcome = await trial.run()
        self.assertTrue(outcome.is_well, outcome)
        self.assertEqual(trial.bridges.complaints, [])

    async def test_peers(self) -> None:
        """
        thoonk.py puts, thoonk-jobs works; two bridges, killed one at a time.
        """
        await self.cross("contract", ours=False)

    async def test_ours(self) -> None:
        """
        Ours put in dialect lua, ours work in the other; one bridge, killed at any instant.
        """
        await self.cross("lua", ours=True)
