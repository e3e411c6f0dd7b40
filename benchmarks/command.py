"""What the commands of all benchmarks share: their options, the rounds, what is said and kept."""

from __future__ import annotations

import argparse
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol

from benchmarks.report import (
    RESULTS,
    Circumstances,
    Claim,
    Report,
    Titles,
    caption,
    circumstances,
    keep,
    show,
)
from benchmarks.tools import Record, Server, wait_until_quiet


class Number(NamedTuple):
    """An option whose value is a number.

    :ivar name: of the value; a ``_`` in it is a ``-`` in the option.
    :ivar default: of the same type as all values of it.
    :ivar short: what it is with ``--short``, whatever else was said.
    :ivar about: for ``--help``.
    """

    name: str
    default: float
    short: float
    about: str


class Contestant(Protocol):
    """Somebody who may take part."""

    @property
    def is_here(self) -> bool:
        """Whether it is installed."""


class Benchmark(ABC):
    """The measurements, in rounds.

    :param options: what is asked for.
    :cvar name: of the command, and of its results.
    :cvar titles: of all that it can measure.
    :cvar claims: that it can judge.
    :cvar packages: whose versions matter.
    :cvar settings: the options that are kept beside the values.
    :cvar kept: what is kept of a run.
    :ivar records: what was measured.
    :ivar failures: what went wrong, in words.
    """

    name: ClassVar[str]
    titles: ClassVar[Titles]
    claims: ClassVar[Sequence[Claim]]
    packages: ClassVar[Sequence[str]] = ("txthoonk", "Twisted", "hiredis")
    settings: ClassVar[Sequence[str]]
    kept: ClassVar[Sequence[str]] = ("where", "claims", "settings", "failures", "records")

    def __init__(self, server: Server, options: argparse.Namespace) -> None:
        self._server = server
        self._options = options
        self.records: list[Record] = []
        self.failures: list[str] = []

    @abstractmethod
    def run(self) -> None:
        """Measure all that is asked for."""

    @abstractmethod
    def plots(self, report: Report, where: str) -> dict[str, str]:
        """Each plot's name, and the SVG.

        :param where: it was measured, in a line.
        """

    def _rounds(self, what: str, share: float = 1) -> Iterator[int]:
        """Each round's number, once the machine is idle.

        :param share: of the rounds that are asked for.
        """
        rounds = max(1, round(self._options.rounds * share))
        for number in range(rounds):
            busy = wait_until_quiet(self._options.patience)
            print(f"{what}: round {number + 1}/{rounds}, {busy:.0%} busy before", flush=True)
            yield number

    def _quiet(self, number: int, what: str) -> None:
        """Wait for an idle machine within a round, and say what comes."""
        busy = wait_until_quiet(self._options.patience)
        rounds = f"{number + 1}/{self._options.rounds}"
        print(f"round {rounds}: {what}, {busy:.0%} busy before", flush=True)

    def _note(self, what: str, who: str, round: int, **values: float) -> None:
        self.records.append({"what": what, "who": who, "round": round, **values})

    def _failed(self, words: str) -> None:
        """Something went wrong; the rest is to be measured nevertheless."""
        self.failures.append(words)
        print(words, file=sys.stderr)


def new_parser(name: str, about: str | None) -> argparse.ArgumentParser:
    """What reads the options of a benchmark.

    :param name: of the benchmark.
    :param about: its module's docstring, of which the first line is taken.
    """
    return argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}", description=(about or "").splitlines()[0]
    )


def add_redis_server(parser: argparse.ArgumentParser) -> None:
    """Let the program of the server be named."""
    parser.add_argument(
        "--redis-server", metavar="PROGRAM", help="to start, not the one that is found"
    )


def read(
    parser: argparse.ArgumentParser,
    args: Sequence[str] | None,
    parts: Sequence[str],
    numbers: Sequence[Number],
    contestants: Sequence[str] = (),
) -> argparse.Namespace:
    """Add the options that all have, and the numbers; read them all.

    :param parts: of the benchmark.
    :param numbers: in the order of ``--help``; one of them is the rounds, one the patience.
    :param contestants: of whom one may name some; empty if there is no choice.
    """
    add = parser.add_argument
    add("--only", default=",".join(parts), help="a part of: %(default)s")
    if contestants:
        add("--contestants", help=f"a part of: {','.join(contestants)}")
    for each in numbers:
        option = f"--{each.name.replace('_', '-')}"
        add(option, type=type(each.default), default=each.default, help=each.about)
    add("--short", action="store_true", help="just see that it runs; the numbers say nothing")
    add("--output", type=Path, help=f"folder for the results ({RESULTS.name}; none if --short)")
    options = parser.parse_args(args)
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(parts):
        parser.error(f"nothing is called {', '.join(sorted(unknown))}")
    if contestants:
        options.contestants = options.contestants.split(",") if options.contestants else None
        if unknown := set(options.contestants or ()) - set(contestants):
            parser.error(f"nobody is called {', '.join(sorted(unknown))}")
    if options.short:
        for each in numbers:
            setattr(options, each.name, each.short)
    elif options.output is None:
        options.output = RESULTS
    return options


def choose(
    parser: argparse.ArgumentParser,
    options: argparse.Namespace,
    contestants: Mapping[str, Contestant],
    short: list[str],
    target: str,
) -> None:
    """Say in the options who takes part: those who are named, or all, if they are installed.

    :param short: who takes part in a short run, unless some are named.
    :param target: of make, that installs who is missing.
    """
    named = options.contestants or (short if options.short else None)
    asked = named or list(contestants)
    options.contestants = [who for who in asked if contestants[who].is_here]
    missing = ", ".join(who for who in asked if not contestants[who].is_here)
    if named and missing:
        parser.error(f"not installed: {missing}; {target} does that")
    if missing:
        print(f"Without {missing}: {target} installs them")


def carry_out(
    kind: type[Benchmark],
    server: Server,
    options: argparse.Namespace,
    versions: Circumstances | None = None,
) -> None:
    """Measure, print, keep.

    :param server: to measure on; it is stopped in the end.
    :param versions: of what takes part and is no package of ours.
    :raises SystemExit: if something went wrong, with all that did.
    """
    try:
        where = circumstances(server, kind.packages) | (versions or {})
        benchmark = kind(server, options)
        benchmark.run()
    finally:
        server.stop()
    report = Report(benchmark.records, kind.titles, kind.claims)
    head = f"Medians of {options.rounds} rounds. {caption(where)}"
    show(report, head, judge=not options.short)
    if options.output is not None:
        everything = {
            "where": where,
            "claims": [str(verdict) for verdict in report.verdicts()],
            "settings": {name: getattr(options, name) for name in kind.settings},
            "failures": benchmark.failures,
            "records": benchmark.records,
        }
        kept = {what: each for what, each in everything.items() if what in kind.kept}
        keep(options.output, kind.name, kept, benchmark.plots(report, caption(where)))
    if benchmark.failures:
        sys.exit("\n".join(("", *benchmark.failures)))
