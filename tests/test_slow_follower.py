"""A handler that sleeps under a burst: short of what ``python -m tests.trials slow`` does."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.trials.slow import Slow


class SlowTests(TestCase):
    """Two other processes follow."""

    timeout = 240

    async def test_burst(self) -> None:
        """
        While a handler sleeps no more waits for it than was allowed, Redis need not close its
        connection, and nobody else misses anything; then it is told that it has.
        """
        slow = await Slow(megabytes=60, seconds=0, cap=2_000_000, rounds=0).run()
        told = slow.lines()
        self.assertEqual(slow.resyncs, ["overflow"], told)
        self.assertIs(slow.right, True, told)
        self.assertIs(slow.closed, False, told)
        self.assertEqual(slow.events, 1, told)
        self.assertEqual(slow.others, slow.published, told)
        self.assertLess(slow.grown, 20, told)

    async def test_latency(self) -> None:
        """
        The other one's latency is measured with and without it.
        """
        slow = await Slow(megabytes=5, seconds=0, cap=1_000_000, rounds=1, window=0.3).run()
        self.assertEqual([len(values) for values in slow.p99.values()], [1, 1, 1])
        self.assertGreater(min(value for [value] in slow.p99.values()), 0)
        self.assertIn("p99 with it asleep", "\n".join(slow.lines()))
