"""Ours: ``Job.put``, ``Job.put_many`` and ``JobWorker``, with fencing and events.

VARIANT, divided by commas: ``quiet`` announces no puts and claims; ``kept`` keeps results for as
long as by default, where nothing is kept otherwise; a number is how many jobs run at a time.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from benchmarks.job_contestants import common
from benchmarks.job_contestants.twisting import produce, run
from txthoonk import JobWorker, Thoonk

FEED = "benchmark"
_WORDS = common.VARIANT.split(",")


async def main() -> None:
    """Put or work."""
    thoonk = Thoonk(common.URL)
    thoonk.startService()
    await thoonk.when_connected()
    options: dict[str, Any] = {"serializer": "json"}
    if "kept" not in _WORDS:
        options["result_ttl"] = 0
    if "quiet" in _WORDS:
        options["announce"] = False
    jobs = await thoonk.job(FEED, **options)
    if common.WORKS:
        at_once = next((int(word) for word in _WORDS if word.isdecimal()), 50)
        worker = JobWorker(
            thoonk,
            FEED,
            lambda claim: common.handle(claim.item),
            concurrency=at_once,
            serializer="json",
        )
        worker.startService()
        await Deferred()
    else:
        await produce(jobs.put, jobs.put_many)
        await thoonk.stopService()


if __name__ == "__main__":
    run(main)
