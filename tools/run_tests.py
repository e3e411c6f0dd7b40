"""Run the test suite once on each redis-server of this machine, and sum up in one line.

The last line printed is ``N passed, N failed, N skipped``, over all runs. The exit status is 0
only if every run passed, at least one test ran in each, and the coverage reached its floor.
What takes long and is the same on every server may be run on the first one alone.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from txthoonk.embedded import find_redis_server

_RAN = re.compile(r"Ran (\d+) tests? in ")
_SUMMARY = re.compile(r"(?:PASSED|FAILED)(?: \((.*)\))?$")


class Totals(NamedTuple):
    """Numbers of tests, by how they ended."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def plus(self, other: Totals) -> Totals:
        """The sum of both."""
        return Totals(*(a + b for a, b in zip(self, other, strict=True)))

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def parse_summary(counts: str | None) -> Totals:
    """
    Read what trial prints in the brackets of its last line.

    :param counts: for example ``skips=1, errors=2, successes=30``; ``None`` if there were none.
    """
    numbers = {name: int(n) for name, n in re.findall(r"(\w+)=(\d+)", counts or "")}
    return Totals(
        passed=numbers.get("successes", 0) + numbers.get("expectedFailures", 0),
        failed=sum(numbers.get(n, 0) for n in ("failures", "errors", "unexpectedSuccesses")),
        skipped=numbers.get("skips", 0),
    )


def servers() -> list[str]:
    """
    Which servers to test on: the default one, and the one on ``PATH`` if that is another.

    Who names a server in the environment gets that one only.
    """
    default = find_redis_server()
    if "TXTHOONK_REDIS_SERVER" in os.environ or "TXTHOONK_TEST_REDIS" in os.environ:
        return [default]
    installed = shutil.which("redis-server")
    if installed is None or os.path.realpath(installed) == os.path.realpath(default):
        return [default]
    return [default, installed]


def run_trial(command: list[str], server: str) -> Totals:
    """
    Run trial on one server, passing its output on as it comes.

    :returns: the totals; a run that ended badly without naming a failed test counts as one.
    """
    version = subprocess.run([server, "--version"], capture_output=True, text=True, check=True)
    print(f"=== {version.stdout.strip()} ({server})", flush=True)
    trial = subprocess.Popen(
        command,
        env={**os.environ, "TXTHOONK_REDIS_SERVER": server},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert trial.stdout is not None
    ran, totals = 0, Totals()
    for line in trial.stdout:
        print(line, end="", flush=True)
        if found := _RAN.match(line):
            ran = int(found[1])
        elif found := _SUMMARY.match(line.rstrip()):
            totals = parse_summary(found[1])
    if (trial.wait() != 0 or ran == 0) and not totals.failed:
        print(f"trial ended with status {trial.returncode} after {ran} tests", flush=True)
        totals = totals.plus(Totals(failed=1))
    return totals


def without(tests: list[str], some: list[str]) -> list[str]:
    """The same tests, but for some modules of the packages among them; patterns name several."""
    left = []
    for each in tests:
        modules = sorted(Path(each.replace(".", "/")).glob("test_*.py"))
        left += [f"{each}.{module.stem}" for module in modules] or [each]
    return [each for each in left if not any(fnmatchcase(each, pattern) for pattern in some)]


def main() -> int:
    """Run it all; what to exit with."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1, help="trial workers; 1 runs without any")
    parser.add_argument(
        "--coverage", action="store_true", help="measure on the first server, and check the floor"
    )
    parser.add_argument(
        "--once", default="", help="modules for the first server alone, by commas; with patterns"
    )
    parser.add_argument("tests", nargs="+", help="what trial is to run, such as `tests`")
    options = parser.parse_args()

    coverage = [sys.executable, "-m", "coverage"]
    trial = ["-m", "twisted.trial"]
    if options.jobs > 1:
        trial.append(f"-j{options.jobs}")

    if options.coverage:
        subprocess.run([*coverage, "erase"], check=True)
    totals, status = Totals(), 0
    for number, server in enumerate(servers()):
        if number == 0:
            start = [*coverage, "run"] if options.coverage else [sys.executable]
            command = [*start, *trial, *options.tests]
        else:
            rest = without(options.tests, options.once.split(","))
            command = [sys.executable, *trial, *rest]
        totals = totals.plus(run_trial(command, server))
    if options.coverage:
        subprocess.run([*coverage, "combine", "--quiet"], check=True)
        status = subprocess.run([*coverage, "report"], check=False).returncode
    print(totals, flush=True)
    return 1 if totals.failed else status


if __name__ == "__main__":
    sys.exit(main())
