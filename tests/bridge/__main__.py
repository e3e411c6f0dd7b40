"""The long run: ``python -m tests.bridge --jobs 10000``."""

from __future__ import annotations

import argparse
import random
import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from tests.bridge.trial import Outcome, Trial
from txthoonk.testing import shared_server

LINE = "{:<28} {:>6} {:>6} {:>6} {:>5} {:>6} {:>6} {:>6} {:>8}"


def tell(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main(reactor: Any, options: argparse.Namespace) -> None:
    """All ways, by programs of ours and by peers."""
    url = await shared_server()
    tell(f"seed {options.seed}")
    tell(LINE.format(*Outcome._fields))
    is_well = True
    for ours in (False, True):
        for origin in ("contract", "lua"):
            name = f"bridge:{origin}:{ours}"
            trial = Trial(reactor, url, name, origin, ours, options.jobs, options.seed)
            outcome = await trial.run()
            *told, seconds = outcome
            tell(LINE.format(*told, f"{seconds:.1f}"))
            for complaint in trial.bridges.complaints:
                tell(complaint)
            is_well = is_well and outcome.is_well and not trial.bridges.complaints
    if not is_well:
        raise SystemExit(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bridge")
    parser.add_argument("--jobs", type=int, default=10_000, help="each way")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    arguments = parser.parse_args()
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, arguments)), ())
    sys.exit(0)
