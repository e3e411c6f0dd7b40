"""``make demo-history``: run ``history.tac`` under twistd, and end with the demo's own status."""

import os
import signal
import sys

# Before anything is there to be cleaned up, a Ctrl-C has nothing to clean up.
signal.signal(signal.SIGINT, lambda *_: os._exit(128 + signal.SIGINT))
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # make held it back until now


def main() -> int:
    """Run it; the exit status."""
    import argparse
    from pathlib import Path

    parser = argparse.ArgumentParser(prog="make demo-history", description=__doc__)
    parser.add_argument("--repo", default=".", help="a git repository; the current folder's")
    parser.add_argument("--stay", action="store_true", help="go on without a terminal, too")
    options = parser.parse_args()
    os.environ["REPO"] = options.repo
    if options.stay:
        os.environ["STAY"] = "1"

    from examples.demo.service import run_twistd
    from examples.history.service import History

    run_twistd(Path(__file__).with_name("history.tac"))
    return History.exit_status


if __name__ == "__main__":
    sys.exit(main())
