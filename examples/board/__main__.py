"""``make demo``: run ``board.tac`` under twistd, and end with the board's own status."""

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

    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--import", dest="imported", metavar="FILE", default="")
    parser.add_argument("--port", help="8080 if not given, or another one if that is taken")
    parser.add_argument("--host", help="127.0.0.1 if not given; 0.0.0.0 lets telephones in")
    parser.add_argument("--check", action="store_true", help="use it without a browser, and end")
    options = parser.parse_args()
    if options.port and not (options.port.isdigit() and int(options.port) < 65536):
        parser.error(f"a port is a number up to 65535, not {options.port!r}")
    for name, value in (("PORT", options.port), ("HOST", options.host)):
        if value:
            os.environ[name] = value
    os.environ["IMPORT"] = os.path.abspath(options.imported) if options.imported else ""
    if options.check:
        os.environ["CHECK"] = "1"

    from examples.board.service import Board
    from examples.demo.service import run_twistd

    run_twistd(Path(__file__).with_name("board.tac"))
    return Board.exit_status


if __name__ == "__main__":
    sys.exit(main())
