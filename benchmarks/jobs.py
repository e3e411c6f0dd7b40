"""What jobs cost, beside the least that does the same and beside other job systems.

``python -m benchmarks.jobs``: everything in one run, on one Redis, in interleaved rounds. Prints
medians and ratios; leaves all values in ``benchmarks/results`` as JSON, and plots of them. The
other systems take part if ``make bench-jobs`` has installed them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import rivals
from benchmarks.job_systems import PARTS, SYSTEMS, Bench, System
from benchmarks.plot import draw
from benchmarks.report import RESULTS, Claim, Report, caption, circumstances, keep, show
from benchmarks.tools import Record, Server, wait_until_quiet

TITLES = {
    "enqueue": ("Putting jobs one by one, 50 in flight", "per_second"),
    "bulk": ("Putting jobs 1,000 a call", "per_second"),
    "drain": ("Jobs done by one worker process", "per_second"),
    "life": ("A job's whole life: put, claimed, done", "cpu_us"),
    "latency": ("From put to handler, at 200 jobs a second", "p50_ms"),
    "queued": ("What a queued job holds in Redis", "bytes"),
    "left": ("What a finished job leaves in Redis", "bytes"),
}

PYTHON = ("taskiq", "taskiq-list", "saq", "huey", "rq")
BEE = ("bee", "bee-lean")
NODE = (*BEE, "bullmq")

CLAIMS = (
    Claim("drain", "txthoonk", PYTHON, 20),
    Claim("drain", "txthoonk", NODE, 2),
    Claim("drain", "txthoonk", ("bare",), 1),
    Claim("enqueue", "txthoonk", BEE, 0.9),
    Claim("bulk", "txthoonk", (*NODE, *PYTHON), 1.3),
    Claim("bulk", "txthoonk-quiet", (*NODE, *PYTHON), 2),
    Claim("life", "txthoonk", ("bare",), 1.5),
    Claim("latency", "txthoonk", ("bare",), 1.2, "p50_ms"),
    Claim("latency", "txthoonk", (*NODE, *PYTHON), 1, "p99_ms"),
    Claim("queued", "txthoonk", ("bare-ids32",), 1),
    # Nil but counters and configuration, whose few bytes are shared by all jobs.
    Claim("left", "txthoonk", (), 0.1),
)

#: Who takes part in a short run.
SHORT = ["bare", "bare-ids32", "txthoonk"]

#: Plot -> what it shows, and by which metric.
PLOTS = {
    "jobs-drain": (("drain", "per_second"), ("life", "cpu_us")),
    "jobs-enqueue": (("enqueue", "per_second"), ("bulk", "per_second")),
    "jobs-latency": (("latency", "p50_ms"), ("latency", "p99_ms")),
}


class Benchmark:
    """The measurements, in rounds.

    :ivar failures: what went wrong, in words.
    """

    def __init__(self, server: Server, options: argparse.Namespace) -> None:
        self._bench = Bench(server, options.settle)
        self._options = options
        self.records: list[Record] = []
        self.failures: list[str] = []

    def run(self) -> None:
        """Measure all that is asked for."""
        options = self._options
        for number in range(options.rounds):
            # In another order each round.
            first = number % len(options.contestants)
            for who in options.contestants[first:] + options.contestants[:first]:
                busy = wait_until_quiet(options.patience)
                print(
                    f"round {number + 1}/{options.rounds}: {who}, {busy:.0%} busy before",
                    flush=True,
                )
                for part in self._parts(SYSTEMS[who], number):
                    try:
                        part(who, number)
                    except Exception as error:  # the others are to be measured nevertheless
                        self.failures.append(f"{who}: {part.__name__[1:]} failed: {error}")
                        print(self.failures[-1], file=sys.stderr)

    def _parts(self, system: System, number: int) -> Iterator[Callable[[str, int], None]]:
        asked = [part for part in system.parts if part in self._options.only]
        if "drain" in asked or "enqueue" in asked:
            yield self._enqueue_and_drain
        if "bulk" in asked:
            yield self._bulk
        if "latency" in asked:
            yield self._latency
        if "queued" in asked and number == 0:  # it is the same each time
            yield self._queued

    def _note(self, what: str, who: str, round: int, values: Record) -> None:
        self.records.append({"what": what, "who": who, "round": round, **values})

    def _jobs(self, system: System) -> int:
        return max(100, int(system.jobs * self._options.scale))

    def _enqueue_and_drain(self, who: str, number: int) -> None:
        system, only = SYSTEMS[who], self._options.only
        jobs = self._jobs(system)
        put = self._bench.enqueue(system, jobs)
        if "enqueue" in system.parts and "enqueue" in only:
            self._note("enqueue", who, number, put)
        if "drain" in system.parts and "drain" in only:
            drained, left = self._bench.drain(system, jobs)
            self._note("drain", who, number, drained)
            self._note("left", who, number, left)
            costs = [run[of] for run in (put, drained) for of in ("client_us", "redis_us")]
            self._note("life", who, number, {"cpu_us": sum(costs)})

    def _bulk(self, who: str, number: int) -> None:
        system = SYSTEMS[who]
        self._note("bulk", who, number, self._bench.enqueue(system, self._jobs(system), "bulk"))

    def _latency(self, who: str, number: int) -> None:
        jobs = max(110, int(1100 * min(1, self._options.scale)))
        self._note("latency", who, number, self._bench.latency(SYSTEMS[who], jobs))

    def _queued(self, who: str, number: int) -> None:
        # As many of each: hash tables grow by doubling, so the number matters. With this one,
        # Redis has moved everything from the table before last in any case.
        jobs = max(100, int(30_000 * self._options.scale))
        self._note("queued", who, number, self._bench.queued(SYSTEMS[who], jobs))


def parse(args: list[str] | None = None) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.jobs", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add("--redis-server", metavar="PROGRAM", help="to start, not the one that is found")
    add("--only", default=",".join(PARTS), help="a part of: %(default)s")
    add("--contestants", help=f"a part of: {','.join(SYSTEMS)}")
    add("--rounds", type=int, default=5, help="of everything (%(default)s)")
    add("--scale", type=float, default=1.0, help="of the numbers of jobs (%(default)s)")
    add("--patience", type=float, default=30, help="seconds to wait for an idle machine, each time")
    add("--short", action="store_true", help="just see that it runs; the numbers say nothing")
    add("--output", type=Path, help=f"folder for the results ({RESULTS.name}; none if --short)")
    options = parser.parse_args(args)
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(PARTS):
        parser.error(f"nothing is called {', '.join(sorted(unknown))}")
    options.settle = 2.5
    named = (options.contestants or "").split(",") if options.contestants else None
    if unknown := set(named or ()) - set(SYSTEMS):
        parser.error(f"nobody is called {', '.join(sorted(unknown))}")
    if options.short:
        options.rounds, options.scale, options.patience, options.settle = 1, 0.002, 0.01, 0.5
        named = named or SHORT
    elif options.output is None:
        options.output = RESULTS
    options.contestants = [who for who in named or SYSTEMS if SYSTEMS[who].is_here]
    options.missing = [who for who in named or SYSTEMS if not SYSTEMS[who].is_here]
    if named and options.missing:
        parser.error(f"not installed: {', '.join(options.missing)}; make bench-jobs does that")
    return options


def main() -> None:
    """Measure, print, keep."""
    options = parse()
    if options.missing:
        print(f"Without {', '.join(options.missing)}: make bench-jobs installs them")
    server = Server(None, options.redis_server)
    try:
        where = circumstances(server, ("txthoonk", "Twisted", "hiredis"))
        if not options.short:
            where.update(rivals.versions("jobs"))
        benchmark = Benchmark(server, options)
        benchmark.run()
    finally:
        server.stop()
    report = Report(benchmark.records, TITLES, CLAIMS)
    head = f"Medians of {options.rounds} rounds. {caption(where)}"
    show(report, head, judge=not options.short)
    if options.output is not None:
        settings = {key: getattr(options, key) for key in ("rounds", "scale", "only")}
        kept = {
            "where": where,
            "settings": settings,
            "failures": benchmark.failures,
            "records": benchmark.records,
        }
        plots = {
            name: draw(report, caption(where), parts, ranked=True) for name, parts in PLOTS.items()
        }
        keep(options.output, "jobs", kept, plots)
    if benchmark.failures:
        sys.exit("\n".join(("", *benchmark.failures)))


if __name__ == "__main__":
    main()
