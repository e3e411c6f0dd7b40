"""What it costs to bring an event to many clients, beside the least that does so and beside others.

``python -m benchmarks.web``: everything in one run, on one Redis, in interleaved rounds. Prints
medians and ratios; leaves all values in ``benchmarks/results`` as JSON, and plots of them. The
others take part if ``make bench-web`` has installed them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import rivals, web_streams
from benchmarks.plot import draw
from benchmarks.report import RESULTS, Claim, Report, caption, circumstances, keep, show
from benchmarks.tools import Record, Server, allow_many_files, turned, wait_until_quiet
from benchmarks.web_servers import CONTESTANTS, Audience, Contestant, audience

TITLES = {
    "one": ("An event to each of 500 clients, one in flight", "per_second"),
    "eight": ("An event to each of 500 clients, eight in flight", "per_second"),
    "idle": ("Memory of an idle client, of 500", "bytes"),
    "idle-more": ("Memory of an idle client, of 3,000", "bytes"),
    "streams": ("Very many streams of one process: they come", "bytes"),
    "idle-streams": ("Nothing happens in them", "busy"),
    "back": ("All come back at once, for one event", "commands"),
    "restarted": ("All come back at once, to another process", "commands"),
    "to-all": ("An event to each of them, one in flight", "p99_ms"),
    "to-team": ("An event to a hundred of them, one in flight", "p99_ms"),
}

PARTS = ("clients", "streams")

#: Who takes part in a short run.
SHORT = ["txthoonk-ws", "txthoonk-sse", "sse-twisted.web", "bare-ws-direct"]

_SOCKET_IO = ("socket.io",)
CLAIMS = (
    *(
        claim
        for what in ("one", "eight")
        for claim in (
            Claim(what, "txthoonk-ws", _SOCKET_IO, 1.5),
            Claim(what, "txthoonk-ws", _SOCKET_IO, 0.67, "server_us"),
            Claim(what, "txthoonk-sse", _SOCKET_IO, 1),
            Claim(what, "txthoonk-sse", _SOCKET_IO, 1, "server_us"),
            Claim(what, "txthoonk-ws", _SOCKET_IO, 1, "p99_ms"),
            Claim(what, "txthoonk-sse", _SOCKET_IO, 1, "p99_ms"),
        )
    ),
    *(
        Claim(what, who, _SOCKET_IO, 0.25)
        for what in ("idle", "idle-more")
        for who in ("txthoonk-ws", "txthoonk-sse")
    ),
)

#: Into how many turns the events of one round are divided.
BLOCKS = 10

#: How many events are in flight.
WINDOWS = {"one": 1, "eight": 8}

#: Plot -> what it shows, and by which metric.
PLOTS = {
    "web": tuple((what, metric) for what in WINDOWS for metric in ("per_second", "server_us")),
    "web-latency": tuple((what, metric) for what in WINDOWS for metric in ("p50_ms", "p99_ms")),
    "web-memory": (("idle", "bytes"), ("idle-more", "bytes")),
}


class Benchmark:
    """The measurements, in rounds.

    :ivar failures: what went wrong, in words.
    """

    def __init__(self, server: Server, options: argparse.Namespace) -> None:
        self._server = server
        self._options = options
        self.records: list[Record] = []
        self.failures: list[str] = []

    def run(self) -> None:
        """Measure all that is asked for."""
        if "clients" in self._options.only:
            self._clients()
        if "streams" in self._options.only:
            self._streams()

    def _clients(self) -> None:
        """Some clients of each contestant, in rounds."""
        contestants = {who: CONTESTANTS[who] for who in self._options.contestants}
        for number in range(self._options.rounds):
            with ExitStack() as stack:
                self._together(stack, dict(turned(contestants, number)), number)
            for who, contestant in turned(contestants, number):
                with (
                    self._noting(who, number, "idle-more"),
                    audience(self._server, contestant) as each,
                ):
                    held = each.connect(self._options.more_clients, self._options.settle, warm=True)
                    self._note("idle-more", who, number, **held)

    def _together(
        self, stack: ExitStack, contestants: Mapping[str, Contestant], number: int
    ) -> None:
        """All are there together, and bring events to their clients by turns."""
        options = self._options
        there: dict[str, Audience] = {}
        for who, contestant in contestants.items():
            with self._noting(who, number, "idle"):
                each = stack.enter_context(audience(self._server, contestant))
                held = each.connect(options.clients, options.settle, warm=False)
                self._note("idle", who, number, **held)
                there[who] = each
        for what, window in WINDOWS.items():
            events = max(1, options.events // BLOCKS)
            # By short turns, as the machine's speed drifts.
            for block in range(-1, BLOCKS):
                for who, each in turned(there, number + block):
                    with self._noting(who, number, what if block < 0 else ""):
                        if block < 0:
                            each.warm(events, window)
                        else:
                            each.measure(events, window)
            for who, each in there.items():
                self._note(what, who, number, **each.measured())

    @contextmanager
    def _noting(self, who: str, number: int, what: str) -> Iterator[None]:
        """Wait for an idle machine, say what comes, and note what goes wrong."""
        if what:
            busy = wait_until_quiet(self._options.patience)
            rounds = f"{number + 1}/{self._options.rounds}"
            print(f"round {rounds}: {what}, {who}, {busy:.0%} busy before", flush=True)
        try:
            yield
        except Exception as error:  # the others are to be measured nevertheless
            self.failures.append(f"{who} failed: {error!r}")
            print(self.failures[-1], file=sys.stderr)

    def _note(self, what: str, who: str, round: int, **values: float) -> None:
        self.records.append({"what": what, "who": who, "round": round, **values})

    def _streams(self) -> None:
        """Very many streams of ours, once: the process is slow enough to be measured so."""
        options = self._options
        for who in web_streams.kinds(1):
            busy = wait_until_quiet(options.patience)
            print(f"{options.streams:,} streams: {who}, {busy:.0%} busy before", flush=True)
            try:
                for what, values in web_streams.measure(
                    self._server, who, options.streams, options.tellings, 10 * options.settle
                ):
                    self._note(what, who, 0, **values)
            except Exception as error:
                self.failures.append(f"{who} failed with {options.streams} streams: {error!r}")
                print(self.failures[-1], file=sys.stderr)


def parse(args: list[str] | None = None) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.web", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add("--redis-server", metavar="PROGRAM", help="to start, not the one that is found")
    add("--only", default=",".join(PARTS), help="a part of: %(default)s")
    add("--contestants", help=f"a part of: {','.join(CONTESTANTS)}")
    add("--rounds", type=int, default=5, help="of everything (%(default)s)")
    add("--clients", type=int, default=500, help="that get every event (%(default)s)")
    add("--events", type=int, default=600, help="that each of them gets (%(default)s)")
    add("--more-clients", type=int, default=3000, help="that only wait (%(default)s)")
    add("--streams", type=int, default=20_000, help="of one process (%(default)s)")
    add("--tellings", type=int, default=30, help="events to all of these (%(default)s)")
    add("--patience", type=float, default=30, help="seconds to wait for an idle machine, each time")
    add("--short", action="store_true", help="just see that it runs; the numbers say nothing")
    add("--output", type=Path, help=f"folder for the results ({RESULTS.name}; none if --short)")
    options = parser.parse_args(args)
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(PARTS):
        parser.error(f"nothing is called {', '.join(sorted(unknown))}")
    options.settle = 1.5
    named = options.contestants.split(",") if options.contestants else None
    if unknown := set(named or ()) - set(CONTESTANTS):
        parser.error(f"nobody is called {', '.join(sorted(unknown))}")
    if options.short:
        options.rounds, options.clients, options.events, options.more_clients = 1, 20, 20, 30
        options.streams, options.tellings = 40, 2
        options.patience, options.settle = 0.01, 0.05
        named = named or SHORT
    elif options.output is None:
        options.output = RESULTS
    if (possible := web_streams.most_streams(options.streams)) < options.streams:
        print(f"{possible:,} streams instead of {options.streams:,}: a process may not open more")
        options.streams = possible
    options.contestants = [who for who in named or CONTESTANTS if CONTESTANTS[who].is_here]
    options.missing = [who for who in named or CONTESTANTS if not CONTESTANTS[who].is_here]
    if named and options.missing:
        parser.error(f"not installed: {', '.join(options.missing)}; make bench-web does that")
    return options


def main() -> None:
    """Measure, print, keep."""
    options = parse()
    if options.missing:
        print(f"Without {', '.join(options.missing)}: make bench-web installs them")
    allow_many_files()
    server = Server(None, options.redis_server)
    try:
        where = circumstances(server, ("txthoonk", "Twisted", "hiredis"))
        if not options.short:
            where.update(rivals.versions("web"))
        benchmark = Benchmark(server, options)
        benchmark.run()
    finally:
        server.stop()
    report = Report(benchmark.records, TITLES, CLAIMS)
    head = f"Medians of {options.rounds} rounds. {caption(where)}"
    show(report, head, judge=not options.short)
    if options.output is not None:
        settings = {
            key: getattr(options, key)
            for key in ("rounds", "clients", "events", "more_clients", "streams")
        }
        kept = {
            "where": where,
            "claims": [str(verdict) for verdict in report.verdicts()],
            "settings": settings,
            "failures": benchmark.failures,
            "records": benchmark.records,
        }
        plots = {
            name: draw(report, caption(where), parts, ranked=True) for name, parts in PLOTS.items()
        }
        keep(options.output, "web", kept, plots)
    if benchmark.failures:
        sys.exit("\n".join(("", *benchmark.failures)))


if __name__ == "__main__":
    main()
