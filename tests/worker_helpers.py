"""What the tests of workers share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.helpers import ThoonkTestCase
from txthoonk import Job, JobWorker, Thoonk
from txthoonk.keys import encode

__all__ = ["WorkerTestCase"]

#: How to ask whether an id is in a key, by attribute of ``FeedKeys``.
_LOOKS = {
    "ids": "LPOS",
    "handoff": "LPOS",
    "claimed": "ZSCORE",
    "published": "ZSCORE",
    "delayed": "ZSCORE",
    "stalled": "SISMEMBER",
    "items": "HEXISTS",
    "lease": "HEXISTS",
    "cancelled": "HEXISTS",
    "errors": "HEXISTS",
    "results": "HEXISTS",
    "due": "ZSCORE",
}

#: Where a job is in each of its states; ``cancelled`` and ``errors`` tell of its past only.
STATES = {
    "available": {"ids", "items", "published"},
    "claimed": {"claimed", "items", "published", "lease"},
    "delayed": {"stalled", "delayed", "items", "published"},
    "parked": {"stalled", "items"},
    "finished": {"results", "due"},
    "gone": set[str](),
}


class WorkerTestCase(ThoonkTestCase):
    """A test case with a feed of jobs, and workers that stop when it ends."""

    name: str
    job: Job

    async def setUp(self) -> None:
        await super().setUp()
        self.name = self.feed_name("work")
        self.job = await self.thoonk.job(self.name)

    def work(
        self,
        handler: Any,
        names: str | Mapping[str, float] | None = None,
        *,
        thoonk: Thoonk | None = None,
        **options: Any,
    ) -> JobWorker:
        """A worker that was started; without more grace than the test asks for."""
        options.setdefault("grace", 0)
        worker = JobWorker(thoonk or self.thoonk, names or self.name, handler, **options)
        self.addCleanup(worker.stopService)
        worker.startService()
        return worker

    async def state_of(self, id: str, job: Job | None = None) -> str:
        """The state of a job; all its places if they are those of no state."""
        keys = (job or self.job).keys
        found = set()
        for place, look in _LOOKS.items():
            # No test looks at more than one job at a time; and what moves meanwhile is a fault.
            seen = await self.redis.execute(look, getattr(keys, place), encode(id))
            if seen is not None and (seen != 0 or look == "LPOS"):
                found.add(place)
        places = found - {"cancelled", "errors"}
        return next((state for state, its in STATES.items() if its == places), f"{sorted(found)}")
