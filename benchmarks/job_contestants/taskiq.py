# mypy: ignore-errors
"""taskiq: on a stream, which is acknowledged, or (VARIANT list) on a list, which is popped."""

from __future__ import annotations

import asyncio
import logging

from taskiq.api import run_receiver_task
from taskiq_redis import ListQueueBroker, RedisStreamBroker

from benchmarks.job_contestants import common

if common.VARIANT == "list":
    broker = ListQueueBroker(common.URL)
else:
    broker = RedisStreamBroker(common.URL, consumer_id="0")


@broker.task(task_name="handle")
async def handle(job: dict) -> None:
    """Do nothing."""
    common.handle(job)


async def main() -> None:
    """Put or work."""
    logging.disable(logging.WARNING)
    await broker.startup()
    if common.WORKS:
        await run_receiver_task(broker, run_startup=False)
    else:
        await common.produce(handle.kiq)
        await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
