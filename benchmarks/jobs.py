"""What jobs cost, beside the least that does the same and beside other job systems.

``python -m benchmarks.jobs``: everything in one run, on one Redis, in interleaved rounds. Prints
medians and ratios; leaves all values in ``benchmarks/results`` as JSON, and plots of them. The
other systems take part if ``make bench-jobs`` has installed them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

from benchmarks import command, rivals
from benchmarks.command import Number
from benchmarks.job_systems import PARTS, SYSTEMS, Bench, System
from benchmarks.plot import draw
from benchmarks.report import Claim, Report
from benchmarks.tools import Server, turned

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

NUMBERS = (
    Number("rounds", 5, 1, "of everything (%(default)s)"),
    Number("scale", 1.0, 0.002, "of the numbers of jobs (%(default)s)"),
    Number("patience", 30.0, 0.01, "seconds to wait for an idle machine, each time"),
)

#: Who takes part in a short run.
SHORT = ["bare", "bare-ids32", "txthoonk"]

#: Plot -> what it shows, and by which metric.
PLOTS = {
    "jobs-drain": (("drain", "per_second"), ("life", "cpu_us")),
    "jobs-enqueue": (("enqueue", "per_second"), ("bulk", "per_second")),
    "jobs-latency": (("latency", "p50_ms"), ("latency", "p99_ms")),
}


class Benchmark(command.Benchmark):
    """The measurements, in rounds."""

    name = "jobs"
    titles = TITLES
    claims = CLAIMS
    settings = ("rounds", "scale", "only")
    kept = ("where", "settings", "failures", "records")

    def __init__(self, server: Server, options: argparse.Namespace) -> None:
        super().__init__(server, options)
        self._bench = Bench(server, 0.5 if options.short else 2.5)

    def run(self) -> None:
        """Measure all that is asked for."""
        systems = {who: SYSTEMS[who] for who in self._options.contestants}
        for number in range(self._options.rounds):
            for who, system in turned(systems, number):
                self._quiet(number, who)
                for part in self._parts(system, number):
                    try:
                        part(who, number)
                    except Exception as error:  # the others are to be measured nevertheless
                        self._failed(f"{who}: {part.__name__[1:]} failed: {error}")

    def plots(self, report: Report, where: str) -> dict[str, str]:
        """The systems, the best one first."""
        return {name: draw(report, where, parts, ranked=True) for name, parts in PLOTS.items()}

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

    def _jobs(self, system: System) -> int:
        return max(100, int(system.jobs * self._options.scale))

    def _enqueue_and_drain(self, who: str, number: int) -> None:
        system, only = SYSTEMS[who], self._options.only
        jobs = self._jobs(system)
        put = self._bench.enqueue(system, jobs)
        if "enqueue" in system.parts and "enqueue" in only:
            self._note("enqueue", who, number, **put)
        if "drain" in system.parts and "drain" in only:
            drained, left = self._bench.drain(system, jobs)
            self._note("drain", who, number, **drained)
            self._note("left", who, number, **left)
            costs = [run[of] for run in (put, drained) for of in ("client_us", "redis_us")]
            self._note("life", who, number, cpu_us=sum(costs))

    def _bulk(self, who: str, number: int) -> None:
        system = SYSTEMS[who]
        self._note("bulk", who, number, **self._bench.enqueue(system, self._jobs(system), "bulk"))

    def _latency(self, who: str, number: int) -> None:
        jobs = max(110, int(1100 * min(1, self._options.scale)))
        self._note("latency", who, number, **self._bench.latency(SYSTEMS[who], jobs))

    def _queued(self, who: str, number: int) -> None:
        # As many of each: hash tables grow by doubling, so the number matters. With this one,
        # Redis has moved everything from the table before last in any case.
        jobs = max(100, int(30_000 * self._options.scale))
        self._note("queued", who, number, **self._bench.queued(SYSTEMS[who], jobs))


def parse(args: list[str] | None = None) -> argparse.Namespace:
    """What is asked for."""
    parser = command.new_parser(Benchmark.name, __doc__)
    command.add_redis_server(parser)
    options = command.read(parser, args, PARTS, NUMBERS, list(SYSTEMS))
    command.choose(parser, options, SYSTEMS, SHORT, "make bench-jobs")
    return options


def main() -> None:
    """Measure, print, keep."""
    options = parse()
    versions = None if options.short else rivals.versions("jobs")
    command.carry_out(Benchmark, Server(None, options.redis_server), options, versions)


if __name__ == "__main__":
    main()
