"""``python -m tests.fuzz_actions``: a long run."""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import time
from typing import Any

from twisted.internet.task import react

from tests.fuzz_actions.items import Items, found
from tests.fuzz_actions.run import Fuzz
from tests.fuzz_actions.worker import make_actions
from txthoonk import Thoonk
from txthoonk.actions import ActionWorker
from txthoonk.embedded import EmbeddedRedis

GROUP = "fuzzed"


def tell(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)  # noqa: T201  # a program talks to the terminal


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz_actions", description=__doc__)
    parser.add_argument("--payloads", type=int, default=100_000, help="how many")
    parser.add_argument("--seed", type=int, default=None, help="to do the same once more")
    parser.add_argument("--values", type=int, default=20_000, help="how many Hypothesis makes")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


def work(url: str) -> None:
    """Be the worker, until told to stop."""
    from twisted.internet import reactor

    real: Any = reactor
    thoonk = Thoonk(url)
    worker = ActionWorker(thoonk, make_actions(GROUP), concurrency=500)
    thoonk.startService()
    worker.startService()
    real.addSystemEventTrigger("before", "shutdown", thoonk.stopService)
    real.run()


async def run(reactor: Any, options: argparse.Namespace) -> None:
    """Be the one that puts."""
    seed = random.randrange(2**32) if options.seed is None else options.seed
    tell(f"seed {seed}; Hypothesis makes {options.values:,} values")
    values = found(options.values, seed)
    redis = EmbeddedRedis(reactor=reactor)
    await redis.start()
    command = [sys.executable, "-m", "tests.fuzz_actions", "--worker", redis.url]
    process = subprocess.Popen(command)
    try:
        async with Thoonk(redis.url) as thoonk:
            fuzz = Fuzz(thoonk, GROUP, Items(values, seed))
            began = time.monotonic()
            await fuzz.run(options.payloads, tell)
            if process.poll() is not None:
                fuzz.wrong.append(f"the worker died: {process.returncode}")
            process.send_signal(signal.SIGTERM)
            if code := process.wait(30):
                fuzz.wrong.append(f"the worker ended with {code}")
            tell(
                f"{options.payloads:,} payloads in {time.monotonic() - began:.0f} s, "
                f"{fuzz.to_be_done:,} of them to be done; {len(fuzz.wrong)} went wrong"
            )
            for line in fuzz.wrong:
                tell(line)
    finally:
        process.kill()
        await redis.stop()
    if fuzz.wrong:
        raise SystemExit(1)


def main() -> None:
    """Either of the two."""
    options = parse()
    if options.worker:
        work(options.worker)
    else:
        react(run, (options,))


if __name__ == "__main__":
    main()
