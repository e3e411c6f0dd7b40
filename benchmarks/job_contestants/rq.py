# mypy: ignore-errors
"""RQ with its SimpleWorker, which forks nothing; results are not kept."""

from __future__ import annotations

import logging

from redis import Redis
from rq import Queue, SimpleWorker

from benchmarks.job_contestants import common

HANDLER = "benchmarks.job_contestants.common.handle"


def main() -> None:
    """Put or work."""
    connection = Redis(host=common.HOST, port=common.PORT)
    queue = Queue(connection=connection)
    if common.WORKS:
        logging.disable(logging.WARNING)
        SimpleWorker([queue], connection=connection).work(logging_level="ERROR")
    else:
        common.produce_blocking(
            lambda job: queue.enqueue(HANDLER, job, result_ttl=0),
            lambda jobs: queue.enqueue_many(
                [Queue.prepare_data(HANDLER, (job,), result_ttl=0) for job in jobs]
            ),
        )


if __name__ == "__main__":
    main()
