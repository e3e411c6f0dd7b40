"""What txThoonk costs, beside the least that does the same and beside other clients.

``python -m benchmarks.calls``: everything in one run, on one Redis, in interleaved rounds. Prints
medians and ratios; leaves all values in ``benchmarks/results`` as JSON, and a plot of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from benchmarks import callers, command, listeners
from benchmarks.command import Number
from benchmarks.plot import draw
from benchmarks.report import Claim, Report
from benchmarks.server import (
    FEED,
    call_costs,
    forget,
    load_publish,
    new_feed,
    put_costs,
    real_put_costs,
    script_costs,
)
from benchmarks.tools import Record, Server, allow_many_files, processes, turned

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

PARTS = ("calls", "script", "events", "waiters")

NUMBERS = (
    Number("rounds", 15, 1, "of everything (%(default)s)"),
    Number("seconds", 0.4, 0.1, "that each one calls in a round (%(default)s)"),
    Number("n", 100_000, 1000, "messages, calls of scripts (%(default)s)"),
    Number("puts", 2000, 40, "jobs put where workers wait (%(default)s)"),
    Number("waiters", 500, 20, "how many are many (%(default)s)"),
    Number("patience", 10.0, 0.01, "seconds to wait for an idle machine, a round"),
)


class Benchmark(command.Benchmark):
    """The measurements, in rounds."""

    name = "calls"
    titles = TITLES
    claims = CLAIMS
    packages = (*command.Benchmark.packages, "txredisapi", "redis")
    settings = ("rounds", "seconds", "n", "puts")
    kept = ("where", "settings", "records")

    def run(self) -> None:
        """Measure all that is asked for."""
        for what in self._options.only:
            measure: Callable[[], None] = getattr(self, f"_{what}")
            measure()

    def plots(self, report: Report, where: str) -> dict[str, str]:
        """All that was measured."""
        return {self.name: draw(report, where)}

    def _calls(self) -> None:
        """Calls of the publish script."""
        server, seconds = self._server, self._options.seconds
        new_feed(server, "feed")
        load_publish(server)
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
                        costs = call_costs(server, process, count, seconds)
                        self._note(f"calls/{count}", who, number, **costs)
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
    parser = command.new_parser(Benchmark.name, __doc__)
    parser.add_argument(
        "--redis", metavar="URL", help="redis://host:port to measure on, not one of our own"
    )
    return command.read(parser, args, PARTS, NUMBERS)


def main() -> None:
    """Measure, print, keep."""
    options = parse()
    allow_many_files()
    command.carry_out(Benchmark, Server(options.redis), options)


if __name__ == "__main__":
    main()
