"""What operators do with jobs, whoever works on them."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from twisted.internet.defer import Deferred, gatherResults
from twisted.python.failure import Failure

from txthoonk._deferred import first_failure, returns_deferred
from txthoonk.errors import ItemError
from txthoonk.keys import decode, encode
from txthoonk.types.claims import Attempt, one_line, read_attempts, worker_name
from txthoonk.types.items import none
from txthoonk.types.maintenance import Maintained
from txthoonk.types.waiting import texts

__all__ = ["JobStats", "Operated", "report"]

#: How many jobs a retry_all has under way at a time.
RETRIES: Final = 500

#: How many stalled jobs one call looks at.
PAGE: Final = b"1000"


class JobStats(NamedTuple):
    """How many jobs are in each state, and were ever put and finished.

    :ivar stalled: for good, until somebody retries them.
    :ivar delayed: until they are due.
    """

    available: int
    handed: int
    claimed: int
    stalled: int
    delayed: int
    puts: int
    finishes: int


class Operated(Maintained):
    """A feed of jobs, as far as its operators go."""

    def stall(self, id: str | int, reason: str | None = None) -> Deferred[None]:
        """Park a claimed, available or delayed job until it is retried, whoever has claimed it.

        A worker of ours that runs it is told to stop. A handler that parks its own job does so by
        its claim.

        :param reason: for its history.
        :raises ItemDoesNotExist: (as a failure) if there is no such job.
        :raises JobNotClaimed: (as a failure) if it is stalled already.
        """
        id = self._id(id)
        args = (encode(id), b"", b"", *report(reason or ""))
        return self._run(self._bind("job/stall"), args, none, id=id)

    def cancel_running(self, id: str | int) -> Deferred[None]:
        """Stop a job that runs: its handler's Deferred is cancelled, in whatever process.

        The job is parked, and what its worker still says of it is refused.

        :raises ItemDoesNotExist: (as a failure) if there is no such job.
        :raises JobNotClaimed: (as a failure) if it is not claimed; nothing is written.
        """
        id = self._id(id)
        args = (encode(id), b"", b"claimed", *report("cancelled while it ran"))
        return self._run(self._bind("job/stall"), args, none, id=id)

    def retry(self, id: str | int) -> Deferred[None]:
        """Make a parked or delayed job available again.

        :raises JobNotStalled: (as a failure) if it is neither; nothing is written.
        :raises ItemDoesNotExist: (as a failure) if it is, but has no item.
        """
        id = self._id(id)
        return self._run(self._bind("job/retry"), (encode(id),), none, id=id)

    @returns_deferred
    async def retry_all(self) -> int:
        """Make all parked jobs available again.

        :returns: fires with how many there were.
        """

        def gone(failure: Failure) -> int:
            failure.trap(ItemError)  # retried or retracted meanwhile
            return 0

        count = 0
        parked = list(await self.get_stalled())
        for i in range(0, len(parked), RETRIES):
            tries = [self.retry(id).addCallbacks(_one, gone) for id in parked[i : i + RETRIES]]
            count += sum(await gatherResults(tries, consumeErrors=True).addErrback(first_failure))
        return count

    def edit(self, id: str | int, item: Any) -> Deferred[None]:
        """Replace what was put; a worker that runs the job has the old item.

        :raises ItemDoesNotExist: (as a failure) if there is no such job; nothing is written.
        """
        id = self._id(id)
        return self._run(self._bind("job/edit"), (encode(id), self._encode(item)), none, id=id)

    def retract(self, id: str | int) -> Deferred[bool]:
        """Take a job out, in whatever state it is; a worker of ours that runs it is told to stop.

        :returns: fires with whether it was there.
        """
        id = self._id(id)
        return self._run(self._bind("job/retract"), (encode(id),), bool, id=id)

    @returns_deferred
    async def get_stalled(self) -> set[str]:
        """The ids of all parked jobs; those that are delayed are not."""
        parked: set[str] = set()
        cursor = b"0"
        while True:
            page: list[bytes] = await self._run(self._bind("job/parked"), (cursor, PAGE), list)
            cursor = page[0]
            parked.update(texts(page[1:]))
            if cursor == b"0":
                return parked

    def get_failure_count(self, id: str | int) -> Deferred[int]:
        """How often a job was cancelled, failed or expired since it was put or parked."""
        id = self._id(id)
        return self._read("HGET", self.keys.cancelled, encode(id), id=id).addCallback(_count)

    def get_attempts(self, id: str | int) -> Deferred[list[Attempt]]:
        """What went wrong with a job: its last ten attempts that failed or expired."""
        id = self._id(id)
        return self._read("HGET", self.keys.errors, encode(id), id=id).addCallback(read_attempts)

    def get_ids(self) -> Deferred[list[str]]:
        """The ids of all jobs, in whatever state and no order."""
        return self._read("HKEYS", self.keys.items).addCallback(texts)

    def get_stop_channel(self) -> str:
        """Where workers are told whose claims were taken away: id, token."""
        return decode(self.keys.stop_channel)

    def stats(self) -> Deferred[JobStats]:
        """How many jobs are in each state, as of one instant."""
        return self._run(self._bind("job/stats"), (), JobStats._make)


def report(text: str) -> tuple[bytes, bytes]:
    """Who we are, and what went wrong, for a history."""
    # An error may quote what cannot be encoded; it is told all the same.
    return encode(worker_name()), one_line(text).encode("utf-8", "backslashreplace")


def _count(reply: bytes | None) -> int:
    """A number that a peer may have written; 0 if it is none."""
    try:
        return int(reply or 0)
    except ValueError:
        return 0


def _one(_: object) -> int:
    return 1
