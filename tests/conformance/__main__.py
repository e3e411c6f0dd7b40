"""Put our own driver, the JavaScript one and every faulty one through all vectors.

    python -m tests.conformance [--redis URL] [FAULT ...]

Prints, for each, how many vectors passed, and in which verbs' rows something differs; the exit
status is 0 if that is what must be. Takes some minutes: the short form is
``tests/test_conformance_faults.py``.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.trial.unittest import SkipTest

from tests.conformance_helpers import failing
from tests.faulty_driver import FAULTS
from tests.test_conformance_javascript import LUA, installed
from txthoonk.conformance.command import OURS
from txthoonk.conformance.runner import run
from txthoonk.conformance.table import table
from txthoonk.embedded import EmbeddedRedis


def tell(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def parse() -> argparse.Namespace:
    """What was typed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redis", metavar="URL", help="else one of our own is started")
    parser.add_argument("faults", metavar="FAULT", nargs="*", help="else all")
    return parser.parse_args()


async def main(reactor: Any, options: argparse.Namespace) -> None:
    """Do all of it."""
    embedded = None
    if options.redis is None:
        embedded = EmbeddedRedis(reactor=reactor)
        await embedded.start()
        options.redis = embedded.url
    wrong = 0
    try:
        drivers = {} if options.faults else {"txThoonk's own": (OURS, set())}
        if not options.faults:
            try:
                drivers["JavaScript"] = (f"{await installed()} {shlex.quote(str(LUA))}", set())
            except SkipTest as skipped:
                tell(f"JavaScript: {skipped}")
        for name in options.faults or FAULTS:
            command = shlex.join([sys.executable, "-m", "tests.faulty_driver", name])
            drivers[name] = (command, set(FAULTS[name].verbs))
        tell(f"{'driver':<38} {'vectors':>7} {'passed':>7}  verbs that differ")
        for name, (command, expected) in drivers.items():
            report = await run(reactor, options.redis, command)
            found = failing(report)
            verbs = ", ".join(sorted(found)) or "-"
            tell(f"{name:<38} {len(report.results):>7} {report.passed:>7}  {verbs}")
            # A commit is made of other verbs: what is wrong with them may be seen there.
            if found - {"job.commit"} != expected:
                wrong += 1
                tell(f"{'':<55}expected: {', '.join(sorted(expected)) or '-'}")
                tell("\n".join(table(report)))
    finally:
        if embedded is not None:
            await embedded.stop()
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, parse())))
