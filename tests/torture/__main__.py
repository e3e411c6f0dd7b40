"""The long run: ``python -m tests.torture``, or ``make torture``.

It prints what ``docs/torture.rst`` shows; see that page for how it is done.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from tests.torture.matrix import Torture
from tests.torture.mixed import share
from tests.torture.processes import CHECKOUT
from tests.torture.report import ANYWHERE, STOPPED
from tests.torture_worker import POINTS
from txthoonk import Thoonk
from txthoonk.testing import shared_server


def commit() -> str:
    """What is checked out."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=CHECKOUT, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    changed = " with changes" if git("status", "--porcelain", "--", "txthoonk") else ""
    return (git("rev-parse", "HEAD") or "unknown") + changed


def tell(line: str) -> None:
    """How far it is; the output is for the report."""
    sys.stderr.write(f"{line}\n")


async def main(reactor: Any, options: argparse.Namespace) -> None:
    """The long run."""
    url = await shared_server()
    sure = True
    async with Thoonk(url, reactor=reactor) as thoonk:
        version = (await thoonk.redis.execute("INFO", "server")).split(b"redis_version:")[1]
        told = [f"Redis {version.split()[0].decode()}", f"seed {options.seed}"]
        tell(", ".join(told))
        torture = Torture(
            thoonk,
            jobs=options.jobs,
            kills=options.kills,
            workers=options.workers,
            lease=options.lease,
            seed=options.seed,
            points=[*POINTS, ANYWHERE, *([STOPPED] if options.stops else ())],
            url=url,
            say=tell,
        )
        reports = {"Killed": await torture.run()}
        if options.mixed:
            reports["With a peer"] = await share(thoonk, url, options.mixed, 2, options.seed)
        date = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        lines = [f"commit {commit()}", f"date {date}", *told]
        for what, report in reports.items():
            lines += ["", f"{what}:", *(f"  {line}" for line in report.lines())]
            sure = sure and not report.problems
    sys.stdout.write("\n".join((*lines, "")))
    if not sure:
        raise SystemExit(1)


def options_of(args: Sequence[str]) -> argparse.Namespace:
    """How long, and how hard."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description="The kill matrix.")
    seed = int(os.environ.get("TXTHOONK_SEED") or random.randrange(10**6))
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=520)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--lease", type=float, default=1.0, help="seconds")
    parser.add_argument("--mixed", type=int, default=10_000, help="jobs shared with a peer")
    parser.add_argument("--stops", action="store_true", help="also stop some for three leases")
    parser.add_argument("--seed", type=int, default=seed, help="else TXTHOONK_SEED, else random")
    return parser.parse_args(args)


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, options_of(sys.argv[1:]))))
