"""What ``thoonk conformance`` does."""

from __future__ import annotations

import argparse
import shlex
import sys
from fnmatch import fnmatchcase
from typing import Any

from txthoonk.conformance.runner import run
from txthoonk.conformance.table import MOST, table
from txthoonk.conformance.vectors import all_vectors
from txthoonk.errors import ThoonkError

__all__ = ["OURS", "conformance"]

#: Starts our own driver.
OURS = shlex.join([sys.executable, "-m", "txthoonk", "driver"])


async def conformance(options: argparse.Namespace, out: Any) -> None:
    """Put a driver through the vectors, and print the table.

    :raises ThoonkError: if something differs, or nothing was looked at.
    """
    from twisted.internet import reactor

    vectors = [
        vector
        for vector in all_vectors()
        if not options.only or any(fnmatchcase(vector.verb, only) for only in options.only)
    ]
    if not vectors:
        raise ThoonkError(f"no vectors of {' '.join(options.only)}")
    report = await run(reactor, options.redis, options.driver or OURS, vectors)
    for line in table(report, len(all_vectors()) if options.all else MOST):
        out.line(line)
    if not report.results:
        raise ThoonkError("the driver offers none of these verbs")
    if failed := len(report.results) - report.passed:
        raise ThoonkError(f"{failed} vector{'s' * (failed > 1)} differ{'s' * (failed == 1)}")
