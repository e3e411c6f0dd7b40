# mypy: ignore-errors
"""SAQ, 50 jobs at a time, nothing kept of a finished one."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from saq import Queue, Worker

from benchmarks.job_contestants import common


async def handle(context: Any, *, job: common.Payload) -> None:
    """Do nothing."""
    common.handle(job)


async def main() -> None:
    """Put or work."""
    logging.disable(logging.WARNING)
    queue = Queue.from_url(common.URL)
    await queue.connect()
    if common.WORKS:
        await Worker(queue, [handle], concurrency=50).start()
    else:
        await common.produce(lambda job: queue.enqueue("handle", job=job, ttl=-1))
        await queue.disconnect()


if __name__ == "__main__":
    asyncio.run(main())
