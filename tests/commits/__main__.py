"""The long run: ``python -m tests.commits``."""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from tests.commits.counting import count


def tell(line: str) -> None:
    """How far it is; the output is for the report."""
    sys.stderr.write(f"{line}\n")


async def main(reactor: Any, options: argparse.Namespace) -> None:
    """The long run."""
    report = await count(reactor, say=tell, **vars(options))
    sys.stdout.write("\n".join((*report.lines(), "")))
    if report.problems:
        raise SystemExit(1)


def options_of(args: Sequence[str]) -> argparse.Namespace:
    """How long, and how hard."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.commits",
        description="Jobs that raise a counter by commits, while workers and Redis are killed.",
    )
    seed = int(os.environ.get("TXTHOONK_SEED") or random.randrange(10**6))
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--kill-every", type=float, default=0.5, help="seconds; 0 is never")
    parser.add_argument("--restart-every", type=float, default=4.0, help="of Redis; 0 is never")
    parser.add_argument("--stop-every", type=float, default=2.0, help="of workers; 0 is never")
    parser.add_argument("--cut", type=int, default=50, help="of so many commits one is cut off")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds without a finish")
    parser.add_argument("--off", help="switch off the check of the lease: commit+touch")
    parser.add_argument("--seed", type=int, default=seed, help="else TXTHOONK_SEED, else random")
    return parser.parse_args(args)


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, options_of(sys.argv[1:]))))
