"""What keeps jobs going when processes die: claims that expire, what is due, what was lost."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from txthoonk._deferred import first_failure, returns_deferred
from txthoonk.errors import JobNotClaimed
from txthoonk.keys import decode
from txthoonk.types.base import Owner
from txthoonk.types.waiting import WaitingFeed

__all__ = ["Maintained", "Maintenance"]

#: How many ids one pass of maintenance reads at a time, and suspects at the most.
PAGE: Final = 1000
MOST_SUSPECTS: Final = 5000

#: How many claims are ended at a time.
AT_ONCE: Final = 100

#: How many pages of claims one pass looks at.
CLAIM_PAGES: Final = 10

#: How many suspects one script looks at, each by a walk through all that wait.
FEW: Final = 20

#: How many delayed jobs one call makes available, and how many calls a pass makes.
DUE: Final = 100
DUE_CALLS: Final = 20

#: How many entries of each of our own keys one pass looks at.
SWEPT: Final = 100


#: How many times longer than a walk through everything that found nothing the pause behind it is.
GENTLE: Final = 20

#: Seconds between two such walks where the numbers say that there is nothing to find.
ANYWAY: Final = 60.0


def spread() -> float:
    """A part, from 0 to 1, of the pause that keeps jobs apart whose worker has died twice."""
    return random.random()


class Maintenance(NamedTuple):
    """What one pass of maintenance did.

    :ivar handoffs: ids returned that were on their way to a process that died.
    :ivar lost: jobs queued again that were in no state.
    :ivar expired: claims that had not been finished in time; their jobs are available again.
    :ivar parked: the same, but for one time too many: parked.
    :ivar promoted: delayed jobs that are available now.
    :ivar swept: entries dropped: old results, and notes on jobs that peers have ended since.
    """

    handoffs: int = 0
    lost: int = 0
    expired: int = 0
    parked: int = 0
    promoted: int = 0
    swept: int = 0


class Maintained(WaitingFeed):
    """A feed of jobs, as far as maintenance goes."""

    def __init__(
        self, pub: Owner, name: str, config: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        super().__init__(pub, name, config, **options)
        self._cancel = self._bind("job/cancel")
        self._survey = self._bind("job/survey")
        self._promote = self._bind("job/promote")
        self._sweep = self._bind("job/sweep")
        self._cursors: tuple[bytes, bytes] = (b"0", b"0")
        self._next_claim = 0
        self._look_again = 0.0
        self._look_anyway: float | None = None
        #: Milliseconds until the next delayed job is due, as of the last pass; -1 if there is none.
        self.next_due = -1

    def give_up(self, why: str, id: str, token: bytes, delay: float, text: str) -> Deferred[int]:
        """Cancel; see ``Job``."""
        raise NotImplementedError

    @returns_deferred
    async def maintenance(
        self,
        handoff_grace: float = 5.0,
        lost_grace: float = 1.0,
        on_parked: Callable[[str, str], object] | None = None,
        gentle: bool = False,
    ) -> Maintenance:
        """Return what processes that died had claimed, or left on its way; promote what is due.

        Any number of processes may do this at any time; a :class:`JobWorker` does about once a
        second. A pass does a bounded amount of work. A job in no state was lost between a peer's
        pop and its claim; it is queued again when it was found so at two looks.

        :param handoff_grace: seconds that an id may be on its way, between two calls of this.
        :param lost_grace: seconds between the two looks; a call takes as long if it has a
            suspicion, else no time.
        :param on_parked: called with id and reason of each job that this pass parked.
        :param gentle: look for jobs in no state for a twentieth of the time at the most; for
            whoever does this all the time.
        :returns: fires with what was done.
        """
        stateless, handed, expired, parked = await self._expire(on_parked)
        return Maintenance(
            handoffs=await self._return_abandoned(handoff_grace) if handed else 0,
            lost=await self._find_lost(stateless, lost_grace, gentle),
            expired=expired,
            parked=parked,
            promoted=await self.promote_due(),
            swept=await self._drop_leftovers(),
        )

    async def _expire(
        self, on_parked: Callable[[str, str], object] | None
    ) -> tuple[int, int, int, int]:
        """End claims whose time is over."""
        expired = parked = 0
        start, self._next_claim = self._next_claim, 0
        for _ in range(CLAIM_PAGES):
            args = (b"%d" % start, b"%d" % PAGE)
            survey: list[Any] = await self._run(self._survey, args, list)
            stateless, handed, seen, *found = survey
            for i in range(0, len(found), 2 * AT_ONCE):
                some = found[i : i + 2 * AT_ONCE]
                calls = [
                    self._expire_one(decode(some[j]), some[j + 1], on_parked)
                    for j in range(0, len(some), 2)
                ]
                outcomes = await gatherResults(calls, consumeErrors=True).addErrback(first_failure)
                expired += outcomes.count(1)
                parked += outcomes.count(0)
            start += PAGE - len(found) // 2
            if seen < PAGE:
                break
        else:
            self._next_claim = start  # the next pass goes on there
        return stateless, handed, expired, parked

    @returns_deferred
    async def _expire_one(
        self, id: str, token: bytes, on_parked: Callable[[str, str], object] | None
    ) -> int | None:
        """End one claim; as ``give_up``, None if that was not to be done any more."""
        why = f"not finished in time by {decode(token).rpartition(':')[0] or 'a peer'}"
        try:
            again = await self.give_up("expired", id, token, spread(), why)
        except JobNotClaimed:
            return None  # finished, extended, or expired by somebody else's maintenance
        if not again and on_parked is not None:
            on_parked(id, why)
        return again

    @returns_deferred
    async def promote_due(self) -> int:
        """Make delayed jobs available that are due; a part of :meth:`maintenance`.

        :returns: fires with how many.
        """
        promoted = 0
        for _ in range(DUE_CALLS):
            more, self.next_due = await self._run(self._promote, (b"%d" % DUE,), tuple)
            promoted += more
            if self.next_due != 0:
                break
        return promoted

    async def _drop_leftovers(self) -> int:
        """A little of it with each pass."""
        args = (*self._cursors, b"%d" % SWEPT)
        reply: list[Any] = await self._run(self._sweep, args, list)
        self._cursors = (reply[1], reply[2])
        return int(reply[0])

    # -- jobs in no state -------------------------------------------------------------------

    async def _find_lost(self, stateless: int, grace: float, gentle: bool) -> int:
        """Look for jobs in no state: surely some, if there are more items than jobs in all states.

        But these may be what peers left of jobs that they retracted: not worth a walk through
        everything with each pass.
        """
        reactor = self.pub.get_reactor()
        start = reactor.seconds()
        if self._look_anyway is None:
            self._look_anyway = start + ANYWAY
        if stateless <= 0:
            # What peers left claimed or stalled without an item may hide one: look now and then.
            if start < self._look_anyway:
                return 0
        elif gentle and start < self._look_again:
            return 0
        suspects = await self._suspects()
        now = reactor.seconds()
        if not suspects:
            self._look_again = now + GENTLE * (now - start)
        self._look_anyway = now + ANYWAY + GENTLE * (now - start)
        queued, left = await self._requeue(suspects, grace)
        if left:
            await deferLater(self.pub.get_reactor(), grace + 0.01)
            queued += (await self._requeue(suspects, grace))[0]
        return queued

    async def _requeue(self, suspects: list[bytes], grace: float) -> tuple[int, int]:
        """Look at suspects where nothing moves, a few at a time: that takes Redis a while."""
        requeue = self._bind("job/requeue_lost")
        queued = left = 0
        for i in range(0, max(1, len(suspects)), FEW):
            args = (b"%d" % (grace * 1000), *suspects[i : i + FEW])
            more, left_of_these = await self._run(requeue, args, tuple)
            queued, left = queued + more, left + left_of_these
        return queued, left

    async def _suspects(self) -> list[bytes]:
        """Ids with an item that seem to be in no state; jobs move while this reads."""
        keys = self.keys
        queued: set[bytes] = set()
        for key in (keys.ids, keys.handoff):
            start = 0
            while page := await self._read("LRANGE", key, start, start + PAGE - 1):
                queued.update(page)
                start += PAGE
        suspects: list[bytes] = []
        cursor: bytes | int = b"0"
        while len(suspects) < MOST_SUSPECTS:
            cursor, pairs = await self._read("HSCAN", keys.items, cursor, "COUNT", PAGE)
            ids = [id for id in pairs[::2] if id not in queued]
            if ids:
                claims = await self._read("ZMSCORE", keys.claimed, *ids)
                stalls = await self._read("SMISMEMBER", keys.stalled, *ids)
                puts = await self._read("ZMSCORE", keys.published, *ids)
                suspects += (
                    id
                    for id, claim, stall, put in zip(ids, claims, stalls, puts, strict=True)
                    if claim is None and not stall and put is not None
                )
            if cursor == b"0":
                break
        return suspects[:MOST_SUSPECTS]
