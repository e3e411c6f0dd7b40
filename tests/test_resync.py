"""What cannot be filled is told: short of what ``python -m tests.trials resync`` does."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.trial.unittest import TestCase

from tests.trials import causes
from tests.trials.resync import CHECK_INTERVAL, Cause, Tally, table, tried
from txthoonk import catching_up, reading


class ResyncTests(TestCase):
    """Every trial is a feed that somebody follows, or goes on to follow by a token."""

    timeout = 240

    async def all_told(self, some: Sequence[Cause], each: int = 6) -> list[Tally]:
        """Try some causes; whoever has to be told is, and nobody else."""
        tallies = await tried(some, each)
        self.assertEqual([f for tally in tallies for f in tally.faults], [], table(tallies))
        for cause, tally in zip(some, tallies, strict=True):
            self.assertEqual(tally.told + tally.replayed, each)
            self.assertTrue(tally.told if cause.reasons else tally.replayed, cause.title)
        return tallies

    async def test_history_exceeded(self) -> None:
        """
        Who has missed more than the history keeps is told so; who has missed as much as it
        keeps, or less, is told all of that.
        """
        await self.all_told(causes.CUTS)

    async def test_keys(self) -> None:
        """
        That a key of ours was deleted is told to all whose copies can be told no further.
        """
        await self.all_told(causes.KEYS)

    async def test_flushall(self) -> None:
        """
        That everything is gone is told, though Redis says nothing: to who is idle at the next
        check.
        """
        idle, *_ = await self.all_told(causes.FLUSHES)
        self.assertLess(idle.slowest, CHECK_INTERVAL + 5)  # a slow machine

    async def test_older_rdb(self) -> None:
        """
        A server that comes back with older data is noticed, wherever the data have got to since.
        """
        await self.all_told(causes.RDBS)

    async def test_truncated_aof(self) -> None:
        """
        So is one whose log of commands was cut off, by those who had heard more; others, and those
        of a server that comes back with everything, are told what they have missed.
        """
        await self.all_told(causes.AOFS, 10)

    async def test_created_again(self) -> None:
        """
        A feed that was deleted and created again, by whomever, is told as another one.
        """
        await self.all_told(causes.DELETES)

    async def test_tokens(self) -> None:
        """
        Tokens of another epoch, from the future and of another past are of no use, and that is
        said.
        """
        await self.all_told(causes.TOKENS)


class BlindTests(TestCase):
    """The trials see it if nobody is told."""

    timeout = 240

    async def blind(self, some: Sequence[Cause]) -> Tally:
        """Try a cause that must have faults."""
        [tally] = await tried(some, 2, patience=0.5)
        self.assertEqual(tally.missed, 2)
        self.assertEqual(tally.told, 0)
        self.assertGreaterEqual(len(tally.faults), 2)
        return tally

    async def test_no_checks(self) -> None:
        """
        Without checks nobody hears of a FLUSHALL.
        """
        cause = causes.FLUSHES[0]
        await self.blind([Cause("", cause.make, cause.reasons)])

    async def test_no_digests(self) -> None:
        """
        Without digests nobody sees that an older state was written on.
        """
        place = reading._place
        self.patch(reading, "_place", lambda at: (*place(at)[:2], b""))
        await self.blind([causes.RDBS[2]])

    async def test_no_epochs(self) -> None:
        """
        Without epochs nobody sees that a feed is another one.
        """
        self.patch(catching_up, "Resync", lambda *_: None)
        await self.blind([causes.TOKENS[0]])
