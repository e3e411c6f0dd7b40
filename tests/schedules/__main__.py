"""The long run: ``python -m tests.schedules --ticks 1000``.

It prints what ``docs/recurring.rst`` shows; see that page for how it is done.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from tests.schedules.drive import Drive
from tests.torture.__main__ import commit
from txthoonk.embedded import EmbeddedRedis
from txthoonk.testing import shared_server

RUNS = {
    "clocks": "Wrong clocks",
    "kills": "Schedulers killed",
    "outages": "Redis killed, connections cut",
}


async def main(reactor: Any, options: argparse.Namespace) -> None:
    """The long run."""
    lines = [f"commit {commit()}", f"seed {options.seed}, {options.schedulers} schedulers"]
    lines += [f"date {time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime())}"]
    sure = True
    for run in options.run or RUNS:
        sys.stderr.write(f"{RUNS[run]}: {options.ticks} ticks\n")
        redis: Any = await shared_server()
        if run == "outages":
            always = {"appendonly": "yes", "appendfsync": "always"}
            redis = await EmbeddedRedis(reactor=reactor, config=always).start()
        drive = Drive(
            reactor,
            redis,
            ticks=options.ticks,
            hosts=options.schedulers,
            skew=options.skew,
            seed=options.seed,
            faketime=options.faketime,
        )
        report = await getattr(drive, run)()
        if run == "outages":
            await redis.stop()
        lines += ["", f"{RUNS[run]}:", *(f"  {line}" for line in report.lines())]
        sure = sure and not report.problems
    sys.stdout.write("\n".join(lines) + "\n")
    if not sure:
        raise SystemExit(1)


def options_of(args: Sequence[str]) -> argparse.Namespace:
    """How many, and how wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.schedules", description="Schedulers.")
    seed = int(os.environ.get("TXTHOONK_SEED") or random.randrange(10**6))
    parser.add_argument("--ticks", type=int, default=1000, help="of each run")
    parser.add_argument("--schedulers", type=int, default=5)
    parser.add_argument("--skew", type=float, default=600.0, help="seconds, either way")
    parser.add_argument("--run", action="append", choices=RUNS, help="just this one; repeatable")
    parser.add_argument("--faketime", help="path of libfaketime, which then makes clocks wrong")
    parser.add_argument("--seed", type=int, default=seed, help="else TXTHOONK_SEED, else random")
    return parser.parse_args(args)


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, options_of(sys.argv[1:]))))
