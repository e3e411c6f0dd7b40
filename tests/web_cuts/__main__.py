"""``python -m tests.web_cuts --cuts 100``: stock web clients whose connections are cut so often."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from tests.trials.scene import AOF
from tests.web_cuts.programs import NODE
from tests.web_cuts.trial import KINDS, Trial
from txthoonk.embedded import EmbeddedRedis


def say(text: str) -> None:
    """Write a line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def main(reactor: Any) -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.web_cuts", description=__doc__)
    parser.add_argument("--cuts", type=int, default=100, help="of each client (100)")
    parser.add_argument("--kill-every", type=int, default=10, help="cuts (10); 0: none")
    parser.add_argument("--restarts", action="store_true", help="every second one is of Redis")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    redis = EmbeddedRedis(reactor=reactor, config=AOF)
    await redis.start()

    async def restart() -> None:
        await redis.kill()
        await redis.start()

    trial = Trial(redis.url, "cuts", options.seed)
    try:
        await trial.start(KINDS if NODE else ("websockets",))
        restarting = restart if options.restarts else None
        await trial.cut(options.cuts, options.kill_every, say, restarting)
        faults = await trial.faults()
        for line in trial.report():
            say(line)
    finally:
        await trial.stop()
        await redis.stop()
    for fault in faults:
        say(f"WRONG {fault}")
    if faults:
        raise SystemExit(1)
    say("all copies are what Redis has; all events were told, once and in order")


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
