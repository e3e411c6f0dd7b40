"""The board in a browser for minutes rather than seconds: more moves, kills and actions."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys


def main() -> int:
    """Run the tests with these; the exit status is theirs."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser", description=__doc__)
    parser.add_argument("--moves", type=int, default=300, help="of tasks, by both")
    parser.add_argument("--kills", default="redis,web,worker," * 5, help="kinds, one by one")
    parser.add_argument("--actions", type=int, default=50_000, help="put at once by a program")
    parser.add_argument("--patience", type=float, default=1800, help="seconds for either test")
    parser.add_argument("tests", nargs="*", default=["tests.test_board_browser"])
    options = parser.parse_args()
    environment = {
        **os.environ,
        "TXTHOONK_NEED_PEERS": "1",  # it is no success where there is no browser
        "BOARD_MOVES": str(options.moves),
        "BOARD_KILLS": options.kills.strip(","),
        "BOARD_ACTIONS": str(options.actions),
        "BOARD_PATIENCE": str(options.patience),
    }
    command = [sys.executable, "-m", "twisted.trial", *options.tests]
    return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
