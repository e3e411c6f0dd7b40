"""Following while others write: short of what ``python -m tests.trials storm`` does."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.trials.storm import Storm


class StormTests(TestCase):
    """Another process writes."""

    timeout = 240

    async def test_storm(self) -> None:
        """
        Whoever begins while others write has all: the snapshot and the events since are what
        there is in the end, none missing, none early, none twice. A page is one round trip.
        """
        storm = await Storm(300, 1500.0, feeds=60).run()
        self.assertEqual(storm.faults, [], storm.lines())
        self.assertGreater(storm.written, 0)
        self.assertGreaterEqual(storm.events, 300)
        # A page that was not full when it was read, but is now, is read again; so is a feed whose
        # pages do not fit together.
        self.assertLess(storm.reads, storm.pages * 1.05, storm.lines())
