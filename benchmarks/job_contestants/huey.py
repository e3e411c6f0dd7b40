# mypy: ignore-errors
"""Huey with RedisHuey and one worker thread, its default."""

from __future__ import annotations

import logging

from huey import RedisHuey

from benchmarks.job_contestants import common

queue = RedisHuey("bench", host=common.HOST, port=common.PORT)


@queue.task()
def handle(job: common.Payload) -> None:
    """Do nothing."""
    common.handle(job)


def main() -> None:
    """Put or work."""
    if common.WORKS:
        logging.disable(logging.WARNING)
        queue.create_consumer(workers=1).run()
    else:
        common.produce_blocking(handle)


if __name__ == "__main__":
    main()
