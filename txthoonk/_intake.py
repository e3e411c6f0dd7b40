"""What a worker takes jobs from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from txthoonk.errors import ConnectionFailed
from txthoonk.types.claims import Claim
from txthoonk.types.job import Job

if TYPE_CHECKING:
    from txthoonk.worker import JobWorker

__all__ = ["Intake"]


class Intake:
    """One feed that a worker takes from: a taker of its jobs.

    :ivar share: how many slots are its own when every feed has more than it can take.
    """

    def __init__(self, worker: JobWorker, job: Job, share: int) -> None:
        self.job = job
        self.share = share
        self.busy = 0
        self._worker = worker
        self._complaint = ""

    @property
    def wants(self) -> int:
        """How many jobs there is room for."""
        return self._worker.room_for(self)

    def taken(self, claims: list[Claim]) -> None:
        """Run them."""
        self._complaint = ""
        self._worker.run_all(self, claims)

    @property
    def hungry(self) -> bool:
        """Whether there is more of it than is being done, as far as is known."""
        return not self._complaint and not self._worker.blocked(self).is_waiting

    def not_taken(self, error: Exception) -> None:
        """Tell once why there is nothing."""
        if str(error) != self._complaint and not isinstance(error, ConnectionFailed):
            self._worker.log.error("No jobs of {feed}: {why}", feed=self.job.name, why=error)
        self._complaint = str(error)
