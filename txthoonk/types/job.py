"""Jobs: each is claimed by a worker, who must finish it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from txthoonk._deferred import returns_deferred
from txthoonk.errors import ItemError
from txthoonk.keys import decode, encode
from txthoonk.types.base import ItemId, Owner, new_id
from txthoonk.types.items import given, none
from txthoonk.types.waiting import WaitingFeed, side, texts

__all__ = ["NO_RESULT", "Claim", "Job", "JobStats", "Maintenance"]


class _NoResult:
    """The type of :data:`NO_RESULT`."""

    def __repr__(self) -> str:
        return "NO_RESULT"


#: Finishing with this announces nothing: the job has no result.
NO_RESULT: Final = _NoResult()

#: How much of a put_many travels in one call: jobs, and bytes.
BATCH: Final = 1000
BATCH_BYTES: Final = 1_000_000

#: How many ids one pass of maintenance reads at a time, and suspects at the most.
PAGE: Final = 1000
MOST_SUSPECTS: Final = 5000

#: How many suspects one script looks at, each by a walk through all that wait.
FEW: Final = 20


class _Claim(NamedTuple):
    """The parts of a claim."""

    id: str
    item: Any
    cancelled: int


class Claim(_Claim):
    """A job that this process has claimed: ``id, item, cancelled = claim``.

    :ivar id: of the job.
    :ivar item: what was put.
    :ivar cancelled: how often it was claimed and cancelled before.
    """

    job: Job

    def finish(self, result: Any = NO_RESULT) -> Deferred[None]:
        """As :meth:`Job.finish`."""
        return self.job.finish(self.id, result)

    def cancel(self) -> Deferred[None]:
        """As :meth:`Job.cancel`."""
        return self.job.cancel(self.id)

    def release(self) -> Deferred[None]:
        """As :meth:`Job.release`."""
        return self.job.release(self.id)

    def stall(self) -> Deferred[None]:
        """As :meth:`Job.stall`."""
        return self.job.stall(self.id)


class JobStats(NamedTuple):
    """How many jobs are in each state, and were ever put and finished."""

    available: int
    handed: int
    claimed: int
    stalled: int
    puts: int
    finishes: int


class Maintenance(NamedTuple):
    """What one pass of maintenance did.

    :ivar handoffs: ids returned that were on their way to a process that died.
    :ivar lost: jobs queued again that were in no state.
    """

    handoffs: int
    lost: int


class Job(WaitingFeed):
    """Jobs that wait, are claimed, and end finished, cancelled (to be claimed again) or stalled.

    Options: ``serializer``, ``title``, and ``announce``: ``False`` leaves out the messages on
    ``feed.publishes`` and ``feed.claimed``, for speed.
    """

    TYPE = "job"
    OPTIONS = WaitingFeed.OPTIONS | {"announce"}
    CHANNELS = ("put_channel", "claim_channel", "finish_channel")
    SCHEMA = (
        *WaitingFeed.SCHEMA,
        *("published", "claimed", "cancelled", "stalled", "finishes", "lost"),
    )

    def __init__(
        self, pub: Owner, name: str, config: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        super().__init__(pub, name, config, **options)
        self._put = self._bind("job/put")
        self._claim = self._bind("job/claim")
        self._finish = self._bind("job/finish")
        self._cancel = self._bind("job/cancel")
        self._release = self._bind("job/release")

    # -- putting ----------------------------------------------------------------------------

    def put(
        self, item: Any, priority: bool = False, id: str | int | None = None
    ) -> Deferred[ItemId]:
        """Put a job.

        :param item: what the feed's serializer takes.
        :param priority: ``Job.HIGH``: before all others.
        :param id: made up if not given; a job of that id that is there, in whatever state, is
            left as it is.
        :returns: fires with the id, once the job is stored and announced.
        :raises FeedDoesNotExist: (as a failure) if the feed was deleted; nothing is written.
        :raises ConnectionLost: (as a failure) if the connection broke; the job *may* be there.
        """
        known = ItemId(new_id() if id is None else self._id(id))
        args = (side(priority), encode(known), self._encode(item))
        return self._run(self._put, args, given, known, id=known)

    publish = put

    def put_many(self, items: Iterable[Any], priority: bool = False) -> Deferred[list[ItemId]]:
        """Put several jobs, in few calls.

        :returns: fires with their ids. Up to 1,000 jobs and 1,000,000 bytes are put all or none;
            of more, some *may* be there after a failure.
        :raises FeedDoesNotExist: (as a failure) as :meth:`put`.
        """
        ids: list[ItemId] = []
        batches: list[list[bytes]] = []
        room = 0
        for item in items:
            data = self._encode(item)
            if not batches or room < len(data) or len(batches[-1]) > 2 * BATCH:
                batches.append([side(priority)])
                room = BATCH_BYTES
            id = ItemId(new_id())
            ids.append(id)
            batches[-1] += (encode(id), data)
            room -= len(data)
        put_many = self._bind("job/put_many")
        calls = [self._run(put_many, batch, int) for batch in batches]
        return gatherResults(calls, consumeErrors=True).addCallbacks(lambda _: ids, _first)

    # -- claiming ---------------------------------------------------------------------------

    def get(self, timeout: float = 0) -> Deferred[Claim]:
        """Claim the next job.

        :param timeout: seconds; ``0`` waits for ever.
        :returns: fires with the claim. Cancelling gives up the wait; no job is lost.
        :raises Empty: (as a failure) if no job came in time.
        :raises ItemError: (as a failure) if the job's item cannot be decoded; it is stalled.
        :raises FeedDoesNotExist: (as a failure) if the feed was deleted.
        :raises NotConnected: (as a failure) if Redis was out of reach for ``connect_timeout``.
        :raises ConnectionLost: (as a failure) if the connection broke in the middle of a claim:
            a job *may* be claimed.
        """
        taken: Deferred[_Taken] = self.pub.blocked(self).get(timeout, self._unless_made())
        return taken.addCallback(self._claimed)

    def finish(self, id: str | int, result: Any = NO_RESULT) -> Deferred[None]:
        """Finish a claimed job: it is done and gone.

        :param result: announced to whoever listens; without one nothing is.
        :raises JobNotClaimed: (as a failure) if it is not claimed; nothing is written.
        """
        id = self._id(id)
        args = [encode(id)]
        if result is not NO_RESULT:
            args.append(self._encode(result))
        return self._run(self._finish, args, none, id=id)

    def cancel(self, id: str | int) -> Deferred[None]:
        """Give up a claimed job: it is available again, and counts as cancelled once more.

        :raises JobNotClaimed: (as a failure) if it is not claimed; nothing is written.
        """
        id = self._id(id)
        return self._run(self._cancel, (encode(id),), none, id=id)

    def release(self, id: str | int) -> Deferred[None]:
        """Give back a claimed job as if it had not been claimed: it is the next one.

        :raises JobNotClaimed: (as a failure) if it is not claimed; nothing is written.
        """
        id = self._id(id)
        return self._run(self._release, (encode(id),), none, id=id)

    def subscribe(self, **handlers: Callable[[Any], object]) -> Deferred[Any]:
        """Call handlers for the events of these jobs; ``publish`` means ``put``.

        See ``Thoonk.subscribe``.
        """
        if "publish" in handlers:
            handlers["put"] = handlers.pop("publish")
        return super().subscribe(**handlers)

    # -- the operator's ---------------------------------------------------------------------

    def stall(self, id: str | int) -> Deferred[None]:
        """Park a claimed or available job until it is retried.

        :raises ItemDoesNotExist: (as a failure) if there is no such job.
        :raises JobNotClaimed: (as a failure) if it is stalled already.
        """
        id = self._id(id)
        return self._run(self._bind("job/stall"), (encode(id),), none, id=id)

    def retry(self, id: str | int) -> Deferred[None]:
        """Make a stalled job available again.

        :raises JobNotStalled: (as a failure) if it is not stalled; nothing is written.
        :raises ItemDoesNotExist: (as a failure) if it is, but has no item.
        """
        id = self._id(id)
        return self._run(self._bind("job/retry"), (encode(id),), none, id=id)

    def retract(self, id: str | int) -> Deferred[bool]:
        """Take a job out, in whatever state it is.

        :returns: fires with whether it was there.
        """
        id = self._id(id)
        return self._run(self._bind("job/retract"), (encode(id),), bool, id=id)

    def get_stalled(self) -> Deferred[set[str]]:
        """The ids of all stalled jobs."""
        return self._read("SMEMBERS", self.keys.stalled).addCallback(lambda ids: set(texts(ids)))

    def get_failure_count(self, id: str | int) -> Deferred[int]:
        """How often a job was cancelled since it was put or retried."""
        id = self._id(id)
        return self._read("HGET", self.keys.cancelled, encode(id), id=id).addCallback(_count)

    def get_ids(self) -> Deferred[list[str]]:
        """The ids of all jobs, in whatever state and no order."""
        return self._read("HKEYS", self.keys.items).addCallback(texts)

    def stats(self) -> Deferred[JobStats]:
        """How many jobs are in each state, as of one instant."""
        return self._run(self._bind("job/stats"), (), JobStats._make)

    @returns_deferred
    async def maintenance(self, handoff_grace: float = 5.0, lost_grace: float = 1.0) -> Maintenance:
        """Return to the list what processes that died left on its way.

        Any number of processes may do this at any time. A job in no state was lost between a
        peer's pop and its claim; it is queued again when it was found so at two looks.

        :param handoff_grace: seconds that an id may be on its way, between two calls of this.
        :param lost_grace: seconds between the two looks; a call takes as long if it has a
            suspicion, else no time.
        :returns: fires with what was done.
        """
        handoffs = await self._return_abandoned(handoff_grace)
        suspects = await self._suspects()
        queued, left = await self._requeue(suspects, lost_grace)
        if left:
            await deferLater(self.pub.get_reactor(), lost_grace + 0.01)
            queued += (await self._requeue(suspects, lost_grace))[0]
        return Maintenance(handoffs, queued)

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

    # -- for the waiting gets ---------------------------------------------------------------

    def take(self, count: int, handed: str) -> Deferred[list[_Taken]]:
        """Claim at most *count* jobs, the one that was *handed* first."""
        args = (b"%d" % count, encode(handed))
        return self._claim(self.pub.redis, args, _taken, id=handed)

    def give_back(self, taken: list[_Taken]) -> Deferred[Any]:
        """Release what nobody waits for any more."""
        return self._release(self.pub.redis, [encode(id) for id, _, _ in taken])

    def _claimed(self, taken: _Taken) -> Claim | Deferred[Claim]:
        id, data, cancelled = taken
        item = self._decode(data, id)
        if isinstance(item, ItemError):
            # Nobody can do it: parked, where an operator sees it, rather than run in circles.
            return self.stall(id).addBoth(_raise, item)
        claim = Claim(id, item, cancelled)
        claim.job = self
        return claim


#: Id, item and count of cancels as a claim script gave them.
_Taken = tuple[str, bytes, int]


def _taken(reply: list[Any]) -> list[_Taken]:
    return [(decode(reply[i]), reply[i + 1], reply[i + 2]) for i in range(0, len(reply), 3)]


def _raise(_: object, error: Exception) -> Any:
    raise error


def _count(reply: bytes | None) -> int:
    """A number that a peer may have written; 0 if it is none."""
    try:
        return int(reply or 0)
    except ValueError:
        return 0


def _first(failure: Any) -> Any:
    """The failure itself, out of the one that tells which of several calls failed."""
    return failure.value.subFailure
