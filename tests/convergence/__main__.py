"""The long run: ``python -m tests.convergence``, or ``make torture``.

It prints what ``docs/convergence.rst`` shows; see that page for how it is done.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import sys
import time
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.logger import ILogObserver, LogLevel, formatEvent, globalLogPublisher
from zope.interface import implementer

from tests.convergence.report import COMPLAINT, Report
from tests.convergence.world import World, shelves
from tests.torture.__main__ import commit, tell
from txthoonk.testing import shared_server, unique_name


@implementer(ILogObserver)
class Complaints:
    """Notes what is logged as an error."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def __call__(self, event: Any) -> None:
        if event["log_level"] >= LogLevel.error:
            failure = event.get("log_failure")
            why = "" if failure is None else failure.getBriefTraceback()
            self.report.found(COMPLAINT, [f"{formatEvent(event)}: {why}"])


async def main(reactor: Any, options: argparse.Namespace) -> None:
    """The long run."""
    url = await shared_server()
    world = World(reactor, url, random.Random(options.seed), shelves(unique_name("converge")))
    report = world.report
    complaints = Complaints(report)
    globalLogPublisher.addObserver(complaints)
    await world.start(sites=options.sites, ping=options.ping)
    version = (await world.thoonk.redis.execute("INFO", "server")).split(b"redis_version:")[1]
    told = [f"Redis {version.split()[0].decode()}", f"seed {options.seed}"]
    tell(", ".join(told))
    began = reactor.seconds()
    await world.follow_variously(options.followers)
    following = reactor.seconds() - began
    tell(f"{options.followers} follow after {following:.1f} s")
    report.latest = 0.0
    end = reactor.seconds() + options.seconds
    while reactor.seconds() < end:
        await world.round(
            min(options.round, max(1.0, end - reactor.seconds())),
            writes=options.writes,
            foreign=options.foreign,
            cuts=options.cuts,
            changes=options.changes,
        )
        faults = dict(report.faults) or "none"
        tell(
            f"{report.seconds:.0f} s: {report.compared} comparisons, {report.told.total()} told,"
            f" {report.cuts.total()} cuts, {memory():.0f} MB, faults: {faults}"
        )
    date = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    lines = [f"commit {commit()}", f"date {date}", *told, "", *report.lines()]
    lines.append(f"memory of the process: {memory():.0f} MB at most")
    sys.stdout.write("\n".join((*lines, "")))
    sys.stdout.flush()
    await world.stop()
    globalLogPublisher.removeObserver(complaints)
    if report.problems:
        raise SystemExit(1)


def memory() -> float:
    """What this process had at most, in MB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def options_of(args: Sequence[str]) -> argparse.Namespace:
    """How long, and how hard."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.convergence", description="Followers whose networks fail."
    )
    seed = int(os.environ.get("TXTHOONK_SEED") or random.randrange(10**6))
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--followers", type=int, default=1000)
    parser.add_argument("--sites", type=int, default=20, help="instances that they are of")
    parser.add_argument("--writes", type=float, default=60.0, help="of ours, a second")
    parser.add_argument("--foreign", type=float, default=8.0, help="the peer's, a second")
    parser.add_argument("--cuts", type=float, default=4.0, help="networks that fail, a second")
    parser.add_argument("--changes", type=float, default=4.0, help="followers that come, a second")
    parser.add_argument("--round", type=float, default=8.0, help="seconds between comparisons")
    parser.add_argument("--ping", type=float, default=2.0, help="seconds until a stall is noticed")
    parser.add_argument("--seed", type=int, default=seed, help="else TXTHOONK_SEED, else random")
    return parser.parse_args(args)


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, options_of(sys.argv[1:]))))
