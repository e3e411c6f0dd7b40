"""What following feeds costs, and what keeping their history does, beside the least there is.

``python -m benchmarks.live``: everything in one run, in interleaved rounds, on servers of its own.
Prints medians and ratios; leaves all values in ``benchmarks/results`` as JSON, and plots of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack

from benchmarks import command, followers, idle, replays
from benchmarks.command import Number
from benchmarks.curves import Panel, draw_curves
from benchmarks.plot import draw
from benchmarks.report import Claim, Report
from benchmarks.server import (
    BLOCKS,
    FEED,
    call_costs,
    forget,
    load_publish,
    make_feeds,
    new_feed,
    publishes,
)
from benchmarks.tools import Process, Record, Server, allow_many_files, processes, turned

TITLES = {
    "publish": ("Publishing, 100 callers, with history and without", "per_second"),
    "receive": ("Following 1,000 feeds, per event", "client_us"),
    "replay": ("Reading what happened since", "per_second"),
    "idle": ("An idle followed feed, beyond its content", "bytes"),
    "patterns": ("What 1,000 patterns add to every publish", "redis_us"),
    "feeds": ("From publish to handler, one instance, by followed feeds", "p50_ms"),
    "instances": ("From publish to handler, one feed, by instances that follow", "p50_ms"),
    "handlers": ("From publish to handler, one feed, by times it is followed", "p50_ms"),
}

CLAIMS = (
    Claim("publish", "txthoonk", ("txthoonk-off",), 0.7),
    Claim("publish", "txthoonk-1000", ("txthoonk-off",), 0.7),
    Claim("receive", "txthoonk", ("bare",), 3.5),
    Claim("receive", "txthoonk-foreign", ("bare",), 7.0),
    Claim("replay", "txthoonk", ("bare",), 0.5),
    Claim("replay", "txthoonk-history", ("bare",), 0.5),
    Claim("idle", "txthoonk", (), 2048),
    Claim("idle", "txthoonk-foreign", (), 2048),
    Claim("idle", "txthoonk-pattern", (), 2048),
    Claim("patterns", "txthoonk", (), 2.5),
)

PARTS = ("publish", "receive", "replay", "idle", "patterns", "curves")
BARS = ("publish", "receive", "replay", "idle", "patterns")

NUMBERS = (
    Number("rounds", 10, 1, "of everything (%(default)s)"),
    Number("seconds", 0.4, 0.1, "that each one calls in a round (%(default)s)"),
    Number("n", 100_000, 1000, "events (%(default)s)"),
    Number("feeds", 10_000, 10, "that are followed at the most (%(default)s)"),
    Number("patterns", 1000, 10, "that are followed (%(default)s)"),
    Number("patience", 5.0, 0.01, "seconds to wait for an idle machine, a round"),
)

#: Contestant of publishing -> of ``benchmarks.callers``, and the options of the feed.
PUBLISHERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "contract": ("contract", ()),
    "txthoonk-off": ("feed.publish", ("history", "0")),
    "txthoonk-1000": ("feed.publish", ("history", "1000")),
    "txthoonk": ("feed.publish", ()),
}

#: So many items at the most a feed gets before they are retracted again, while events are counted.
MOST_NEW = 10
#: How often, before it is somebody else's turn.
LOADS = 5

#: Publishes a second while latency is measured: by followed feeds, by followers of one.
RATE, RATE_OF_ONE = 400, 20
#: How many publishes that are.
LATENCIES, LATENCIES_OF_ONE = 800, 60


class Benchmark(command.Benchmark):
    """The measurements, in rounds."""

    name = "live"
    titles = TITLES
    claims = CLAIMS
    settings = ("rounds", "seconds", "n", "feeds", "patterns")
    kept = ("where", "claims", "settings", "records")

    def __init__(self, server: Server, options: argparse.Namespace) -> None:
        super().__init__(server, options)
        self._place = (server.host, server.port)

    def run(self) -> None:
        """Measure all that is asked for."""
        for what in self._options.only:
            measure: Callable[[], None] = getattr(self, f"_{what}")
            measure()
            self._server.raw("FLUSHALL")

    def plots(self, report: Report, where: str) -> dict[str, str]:
        """Bars, and curves if they were asked for."""
        bars = [(what, TITLES[what][1]) for what in BARS]
        plots = {"live": draw(report, where, bars)}
        if "curves" in self._options.only:
            plots["live-curves"] = curves(report, where)
        return plots

    # -- publishing -------------------------------------------------------------------------

    def _publish(self) -> None:
        """Calls of the publish script, with history and without."""
        server, seconds = self._server, self._options.seconds
        load_publish(server)
        contestants = {who: (of, *self._place, FEED) for who, (of, _) in PUBLISHERS.items()}
        new_feed(server, "feed")
        with processes("benchmarks.callers", contestants) as running:
            for process in running.values():
                process.ask(callers=100, seconds=min(0.3, seconds))
            for number in self._rounds("publish"):
                for who, process in turned(running, number):
                    new_feed(server, "feed", *PUBLISHERS[who][1])
                    costs = call_costs(server, process, 100, seconds)
                    self._note("publish", who, number, **costs)
        forget(server)

    # -- receiving --------------------------------------------------------------------------

    def _receive(self) -> None:
        """Client CPU of events in many feeds of few items."""
        server, feeds = self._server, min(1000, self._options.n)
        each = min(MOST_NEW, self._options.n // feeds)
        messages = each * feeds
        turns = max(1, self._options.n // messages // LOADS)
        contestants = {
            who: (who, *self._place, feeds) for who in ("bare", "txthoonk", "txthoonk-foreign")
        }
        for who in contestants:
            make_feeds(server, [followers.feed_of(who, number) for number in range(feeds)])
        revisions = dict.fromkeys(contestants, 1)

        def told(who: str, verb: bytes) -> list[bytes]:
            first = revisions[who]
            revisions[who] += each
            return list(followers.changes(who, feeds, first, messages, verb))

        with processes("benchmarks.followers", contestants) as running:

            def receive(who: str) -> Record:
                # What is published is retracted again: copies stay as small as they are. Several
                # times: somebody else's turn has thrown what is needed out of the caches.
                verbs = (b"publish", b"retract") * LOADS
                loads = [told(who, verb) for verb in verbs]
                run = {"wall": 0.0, "cpu": 0.0}
                for load in loads:
                    running[who].ask(messages=messages)
                    server.raw.replay(load)
                    part = running[who].hear()
                    for what in run:
                        run[what] += part[what] / len(loads)
                return run

            for who in running:  # to warm up
                receive(who)
            for number in self._rounds("receive"):
                sums = {who: {"wall": 0.0, "cpu": 0.0} for who in running}
                # In turns, as the machine's speed drifts.
                for turn in range(turns):
                    for who, _ in turned(running, number + turn):
                        run = receive(who)
                        for what in sums[who]:
                            sums[who][what] += run[what]
                for who, run in sums.items():
                    self._note(
                        "receive",
                        who,
                        number,
                        per_second=messages * turns / run["wall"],
                        client_us=run["cpu"] / messages / turns * 1e6,
                    )

    # -- replaying --------------------------------------------------------------------------

    def _replay(self) -> None:
        """Reading a whole history: of a feed of few items, each edited many times."""
        server, events = self._server, self._options.n
        new_feed(server, "feed", "history", str(events))
        server.raw.replay(publishes(server, [FEED], 1))
        contestants = {who: (who, *self._place, FEED) for who in replays.CONTESTANTS}
        with processes("benchmarks.replays", contestants) as running:
            token = running["bare"].ask(mark=True)["token"]
            server.raw.replay(publishes(server, [FEED], events))
            for process in running.values():
                process.ask(token=token, events=events)  # to warm up
            for number in self._rounds("replay"):
                for who, process in turned(running, number):
                    before = server.cpu()
                    run = process.ask(token=token, events=events)
                    self._note(
                        "replay",
                        who,
                        number,
                        per_second=events / run["wall"],
                        client_us=run["cpu"] / events * 1e6,
                        redis_us=(server.cpu() - before) / events * 1e6,
                    )

    # -- memory -----------------------------------------------------------------------------

    def _idle(self) -> None:
        """Memory of a follower of many feeds of two items."""
        server, feeds, items = self._server, self._options.feeds, 2
        names = [followers.feed_of("idle", number) for number in range(feeds)]
        make_feeds(server, [*names, followers.feed_of("warm", 0)])
        server.raw.replay(publishes(server, names, items * feeds))
        for number in self._rounds("idle", 1 / 5):
            grown = {}
            for who in idle.CONTESTANTS:
                process = Process("benchmarks.idle", who, *self._place, feeds, items)
                process.hear()
                grown[who] = process.ask()["bytes"] / feeds
                process.stop()
            content = grown.pop("content")
            for who, size in grown.items():
                self._note("idle", who, number, bytes=size - content)

    # -- patterns ---------------------------------------------------------------------------

    def _patterns(self) -> None:
        """Server CPU of a publish, where many patterns are followed; each feed matches one."""
        count = self._options.patterns
        calls = max(1, self._options.n // 4 // BLOCKS)
        names = [followers.segments_of("pattern", number) for number in range(count)]
        with ExitStack() as stack:
            # Each on a server of its own: where patterns have been, traces of them remain.
            servers = {"nobody": self._server}
            for who in ("txthoonk", "psubscribe"):
                servers[who] = Server(None, self._options.redis_server)
                stack.callback(servers[who].stop)
            for server in servers.values():
                make_feeds(server, names)
            for who, module in (("txthoonk", "patterns"), ("psubscribe", "psubscribe")):
                server = servers[who]
                args = (module, server.host, server.port, count)
                running = processes("benchmarks.followers", {who: args})
                stack.enter_context(running)
            commands = {who: publishes(each, names, calls) for who, each in servers.items()}
            for number in self._rounds("patterns"):
                costs = dict.fromkeys(servers, 0.0)
                # In turns, as the machine's speed drifts.
                for block in range(BLOCKS):
                    for who, server in turned(servers, number + block):
                        before = server.cpu()
                        server.raw.replay(commands[who])
                        costs[who] += (server.cpu() - before) / calls / BLOCKS * 1e6
                nothing = costs.pop("nobody")
                for who, cost in costs.items():
                    self._note("patterns", who, number, redis_us=cost - nothing)
                self._note("patterns", "the publish itself", number, redis_us=nothing)

    # -- latency ----------------------------------------------------------------------------

    def _curves(self) -> None:
        """How long events are on their way, and what they cost, by how many follow what."""
        counts = [10**power for power in range(5) if 10**power <= self._options.feeds]
        latency = [followers.feed_of("latency", number) for number in range(counts[-1])]
        make_feeds(self._server, latency)
        for number in self._rounds("curves", 1 / 5):
            for feeds in counts:
                self._latency("feeds", feeds, number, feeds, RATE, LATENCIES)
            for what in ("instances", "handlers"):
                for each in counts[:4]:
                    self._latency(what, each, number, 1, RATE_OF_ONE, LATENCIES_OF_ONE)

    def _latency(
        self, what: str, count: int, number: int, feeds: int, rate: int, most: int
    ) -> None:
        messages = min(most, self._options.n // 100)
        each = 1 if what == "feeds" else count
        server = self._server
        with (
            processes("benchmarks.followers", {"": (what, *self._place, count)}) as following,
            processes("benchmarks.followers", {"": ("publisher", *self._place, feeds)}) as telling,
        ):
            for measured in (False, True):  # once to warm up
                following[""].ask(messages=messages * each)
                before = server.cpu()
                telling[""].ask(messages=messages, rate=rate)
                run = following[""].hear()
                if measured:
                    self._note(
                        what,
                        str(count),
                        number,
                        p50_ms=run["p50_ms"],
                        p99_ms=run["p99_ms"],
                        client_us=run["cpu"] / messages / each * 1e6,
                        redis_us=(server.cpu() - before) / messages / each * 1e6,
                    )


def curves(report: Report, where: str) -> str:
    """What the latencies and costs come to, as curves."""
    panels = []
    for what, across in (
        ("feeds", f"followed feeds, {RATE} publishes a second"),
        ("instances", f"instances that follow one feed, {RATE_OF_ONE} publishes a second"),
        ("handlers", f"handlers of one feed in one instance, {RATE_OF_ONE} publishes a second"),
    ):
        numbers = report.whos(what)
        if not numbers:
            continue
        title = report.titles[what][0]
        for kind, metrics in (
            ("ms", {"p50": "p50_ms", "p99": "p99_ms"}),
            ("us of CPU an event", {"follower": "client_us", "Redis": "redis_us"}),
        ):
            series = {
                name: {float(who): report.values(what, who, metric) for who in numbers}
                for name, metric in metrics.items()
            }
            panels.append(Panel(f"{title}: {kind}", across, series))
    return draw_curves(panels, where)


def parse(args: list[str] | None = None) -> argparse.Namespace:
    """What is asked for."""
    parser = command.new_parser(Benchmark.name, __doc__)
    command.add_redis_server(parser)
    return command.read(parser, args, PARTS, NUMBERS)


def main() -> None:
    """Measure, print, keep."""
    options = parse()
    allow_many_files()
    command.carry_out(Benchmark, Server(None, options.redis_server), options)


if __name__ == "__main__":
    main()
