"""What it costs to bring an event to many clients, beside the least that does so and beside others.

``python -m benchmarks.web``: everything in one run, on one Redis, in interleaved rounds. Prints
medians and ratios; leaves all values in ``benchmarks/results`` as JSON, and plots of them. The
others take part if ``make bench-web`` has installed them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from benchmarks import command, rivals, web_streams
from benchmarks.command import Number
from benchmarks.plot import draw
from benchmarks.report import Claim, Report
from benchmarks.tools import Server, allow_many_files, turned, wait_until_quiet
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

NUMBERS = (
    Number("rounds", 5, 1, "of everything (%(default)s)"),
    Number("clients", 500, 20, "that get every event (%(default)s)"),
    Number("events", 600, 20, "that each of them gets (%(default)s)"),
    Number("more_clients", 3000, 30, "that only wait (%(default)s)"),
    Number("streams", 20_000, 40, "of one process (%(default)s)"),
    Number("tellings", 30, 2, "events to all of these (%(default)s)"),
    Number("patience", 30.0, 0.01, "seconds to wait for an idle machine, each time"),
)

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


class Benchmark(command.Benchmark):
    """The measurements, in rounds."""

    name = "web"
    titles = TITLES
    claims = CLAIMS
    settings = ("rounds", "clients", "events", "more_clients", "streams")

    def __init__(self, server: Server, options: argparse.Namespace) -> None:
        super().__init__(server, options)
        self._settle = 0.05 if options.short else 1.5

    def run(self) -> None:
        """Measure all that is asked for."""
        if "clients" in self._options.only:
            self._clients()
        if "streams" in self._options.only:
            self._streams()

    def plots(self, report: Report, where: str) -> dict[str, str]:
        """The contestants, the best one first."""
        return {name: draw(report, where, parts, ranked=True) for name, parts in PLOTS.items()}

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
                    held = each.connect(self._options.more_clients, self._settle, warm=True)
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
                held = each.connect(options.clients, self._settle, warm=False)
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
            self._quiet(number, f"{what}, {who}")
        try:
            yield
        except Exception as error:  # the others are to be measured nevertheless
            self._failed(f"{who} failed: {error!r}")

    def _streams(self) -> None:
        """Very many streams of ours, once: the process is slow enough to be measured so."""
        options = self._options
        for who in web_streams.kinds(1):
            busy = wait_until_quiet(options.patience)
            print(f"{options.streams:,} streams: {who}, {busy:.0%} busy before", flush=True)
            try:
                for what, values in web_streams.measure(
                    self._server, who, options.streams, options.tellings, 10 * self._settle
                ):
                    self._note(what, who, 0, **values)
            except Exception as error:
                self._failed(f"{who} failed with {options.streams} streams: {error!r}")


def parse(args: list[str] | None = None) -> argparse.Namespace:
    """What is asked for."""
    parser = command.new_parser(Benchmark.name, __doc__)
    command.add_redis_server(parser)
    options = command.read(parser, args, PARTS, NUMBERS, list(CONTESTANTS))
    if (possible := web_streams.most_streams(options.streams)) < options.streams:
        print(f"{possible:,} streams instead of {options.streams:,}: a process may not open more")
        options.streams = possible
    command.choose(parser, options, CONTESTANTS, SHORT, "make bench-web")
    return options


def main() -> None:
    """Measure, print, keep."""
    options = parse()
    allow_many_files()
    versions = None if options.short else rivals.versions("web")
    command.carry_out(Benchmark, Server(None, options.redis_server), options, versions)


if __name__ == "__main__":
    main()
