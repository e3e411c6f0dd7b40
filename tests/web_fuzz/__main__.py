"""Garbage for web processes, for as long as it is wanted."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time


def main() -> int:
    """Run the tests of garbage with one seed after another."""
    parser = argparse.ArgumentParser(prog="python -m tests.web_fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="stop after so long")
    parser.add_argument("--seed", type=int, default=100, help="the first one")
    chosen = parser.parse_args()
    end, seed, failed = time.monotonic() + chosen.seconds, chosen.seed, 0
    while time.monotonic() < end:
        environment = {**os.environ, "TXTHOONK_FUZZ_SEED": str(seed)}
        command = [sys.executable, "-m", "twisted.trial", "tests.test_web_fuzz"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            failed += 1
            sys.stdout.write(f"seed {seed}:\n{done.stdout[-5000:]}\n")
        seed += 1
    count = seed - chosen.seed
    sys.stdout.write(f"{count} seeds, {2000 * count} requests, {6000 * count} frames: ")
    sys.stdout.write(f"{failed} failed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
