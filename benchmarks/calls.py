"""What txThoonk costs, beside the least that does the same and beside other clients.

``python -m benchmarks.calls``: everything in one run, on one Redis, in interleaved rounds. Prints
medians and ratios; leaves all values in ``benchmarks/results`` as JSON, and a plot of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import callers, listeners
from benchmarks.plot import draw
from benchmarks.report import RESULTS, Claim, Report, caption, circumstances, keep, show
from benchmarks.server import (
    CONTRACT,
    FEED,
    forget,
    new_feed,
    put_costs,
    real_put_costs,
    script_costs,
)
from benchmarks.tools import (
    Record,
    Server,
    allow_many_files,
    processes,
    turned,
    wait_until_quiet,
)
from txthoonk.scripts import script

TITLES = {
    "calls/100": ("Publishing, 100 callers", "per_second"),
    "calls/1": ("Publishing, one caller", "per_second"),
    "script": ("The publish script, per call", "redis_us"),
    "events": ("Receiving on 1,000 channels, per message", "client_us"),
    "waiters": ("A job put, claimed and finished where idle workers wait", "redis_us"),
}

BARE = ("bare", "bare-direct", "bare-inline")

CLAIMS = (
    Claim("calls/100", "feed.publish", BARE, 0.75),
    Claim("calls/100", "feed.publish", ("txredisapi", "txredisapi-protocol"), 0.5, "client_us"),
    Claim("calls/1", "feed.publish", BARE, 0.9),
    Claim("script", "ours", ("bare",), 1.3),
    Claim("events", "ours", ("bare",), 2.5),
    Claim("waiters", "500 connections", ("1 connections",), 1.5),
    Claim("waiters", "500 instances", ("1 instances",), 1.5),
)


class Benchmark:
    """The measurements, in rounds."""

    def __init__(self, server: Server, options: argparse.Namespace) -> None:
        self._server = server
        self._options = options
        self.records: list[Record] = []

    def run(self) -> None:
        """Measure all that is asked for."""
        for what in self._options.only:
            measure: Callable[[], None] = getattr(self, f"_{what}")
            measure()

    def _rounds(self, what: str) -> Iterator[int]:
        for number in range(self._options.rounds):
            busy = wait_until_quiet(self._options.patience)
            print(
                f"{what}: round {number + 1}/{self._options.rounds}, {busy:.0%} busy before",
                flush=True,
            )
            yield number

    def _note(self, what: str, who: str, round: int, **values: float) -> None:
        self.records.append({"what": what, "who": who, "round": round, **values})

    def _calls(self) -> None:
        """Calls of the publish script."""
        server, seconds = self._server, self._options.seconds
        new_feed(server, "feed")
        for source in (script("feed/publish").source, CONTRACT):
            server.raw("SCRIPT", "LOAD", source)
        place = (server.host, server.port)
        contestants = {who: (who, *place, FEED) for who in callers.contestants()}
        with processes("benchmarks.callers", contestants) as running:
            for process in running.values():
                for count in (1, 100):
                    process.ask(callers=count, seconds=min(0.3, seconds))
            for number in self._rounds("calls"):
                for count in (100, 1):
                    for who, process in turned(running, number):
                        new_feed(server, "feed")
                        before = server.cpu()
                        run = process.ask(callers=count, seconds=seconds)
                        redis = server.cpu() - before
                        self._note(
                            f"calls/{count}",
                            who,
                            number,
                            per_second=run["calls"] / run["wall"],
                            client_us=run["cpu"] / run["calls"] * 1e6,
                            redis_us=redis / run["calls"] * 1e6,
                        )
        forget(server)

    def _script(self) -> None:
        """Server CPU of the publish script."""
        for number in self._rounds("script"):
            for who, cost in script_costs(self._server, self._options.n):
                self._note("script", who, number, redis_us=cost)

    def _events(self) -> None:
        """Client CPU of messages on many channels."""
        server, messages = self._server, self._options.n
        channels = min(1000, messages)
        place = (server.host, server.port)
        contestants = {who: (who, *place, channels) for who in listeners.CONTESTANTS}
        commands = {who: listeners.publishes(who, channels, messages) for who in contestants}
        with processes("benchmarks.listeners", contestants) as running:

            def receive(who: str) -> Record:
                running[who].ask(messages=messages)
                server.raw.replay(commands[who])
                return running[who].hear()

            for who in running:  # to warm up
                receive(who)
            for number in self._rounds("events"):
                for who, _ in turned(running, number):
                    run = receive(who)
                    self._note(
                        "events",
                        who,
                        number,
                        per_second=messages / run["wall"],
                        client_us=run["cpu"] / messages * 1e6,
                    )

    def _waiters(self) -> None:
        """Server CPU of a put, where few and where many wait."""
        server, most, puts = self._server, self._options.waiters, self._options.puts
        with processes("benchmarks.waiters", {"": (server.host, server.port, FEED)}) as running:
            for number in self._rounds("waiters"):
                for count in (1, most):
                    cost = put_costs(server, count, puts)
                    self._note("waiters", f"{count} connections", number, redis_us=cost)
                for count in (1, most):
                    cost = real_put_costs(server, running[""], count, puts // 4)
                    self._note("waiters", f"{count} instances", number, redis_us=cost)


def parse(args: list[str] | None = None) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.calls", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add("--redis", metavar="URL", help="redis://host:port to measure on, not one of our own")
    add("--only", default="calls,script,events,waiters", help="a part of: %(default)s")
    add("--rounds", type=int, default=15, help="of everything (%(default)s)")
    add("--seconds", type=float, default=0.4, help="that each one calls in a round (%(default)s)")
    add("--n", type=int, default=100_000, help="messages, calls of scripts (%(default)s)")
    add("--puts", type=int, default=2000, help="jobs put where workers wait (%(default)s)")
    add("--waiters", type=int, default=500, help="how many are many (%(default)s)")
    add("--patience", type=float, default=10, help="seconds to wait for an idle machine, a round")
    add("--short", action="store_true", help="just see that it runs; the numbers say nothing")
    add("--output", type=Path, help=f"folder for the results ({RESULTS.name}; none if --short)")
    options = parser.parse_args(args)
    options.only = options.only.split(",")
    if unknown := set(options.only) - {"calls", "script", "events", "waiters"}:
        parser.error(f"nothing is called {', '.join(sorted(unknown))}")
    if options.short:
        options.rounds, options.seconds, options.n = 1, 0.1, 1000
        options.puts, options.waiters, options.patience = 40, 20, 0.01
    elif options.output is None:
        options.output = RESULTS
    return options


def main() -> None:
    """Measure, print, keep."""
    options = parse()
    allow_many_files()
    server = Server(options.redis)
    try:
        where = circumstances(server, ("txthoonk", "Twisted", "hiredis", "txredisapi", "redis"))
        benchmark = Benchmark(server, options)
        benchmark.run()
    finally:
        server.stop()
    report = Report(benchmark.records, TITLES, CLAIMS)
    head = f"Medians of {options.rounds} rounds. {caption(where)}"
    show(report, head, judge=not options.short)
    if options.output is not None:
        settings = {key: getattr(options, key) for key in ("rounds", "seconds", "n", "puts")}
        kept = {"where": where, "settings": settings, "records": benchmark.records}
        keep(options.output, "calls", kept, {"calls": draw(report, caption(where))})


if __name__ == "__main__":
    main()
