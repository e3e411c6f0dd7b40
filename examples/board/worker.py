"""One of the worker processes: ``python -m examples.board.worker NUMBER``."""

from __future__ import annotations

import sys
from typing import Any

from examples.board.actions import board, bulk
from examples.board.member import run
from txthoonk import Thoonk
from txthoonk.actions import ActionWorker

#: Actions that are done at a time: of people, and of programs.
PEOPLE, PROGRAMS = 20, 20
#: Seconds that the actions of a worker that was killed wait for another one.
LEASE = 2.0


def work(reactor: Any, thoonk: Thoonk, number: int) -> None:
    """Do what is put, until the process ends."""
    for group, concurrency in ((board, PEOPLE), (bulk, PROGRAMS)):
        # It stops with its Thoonk.
        ActionWorker(thoonk, group, concurrency=concurrency, claim_timeout=LEASE).startService()


if __name__ == "__main__":
    run("worker", int(sys.argv[1]), work)
