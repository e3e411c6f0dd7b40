"""Very many open streams of one process of ours: what they hold, and what it costs to tell them.

Each follows two feeds: one that all follow, and one of a team of a hundred.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.server import make_feeds
from benchmarks.tools import Process, Record, Server
from benchmarks.web_servers import ACCEPT, END, UPGRADE, Contestant, Way, get, start_server

ALL = "benchmark:all"
#: How many streams a team has.
TEAM = 100
#: Files that a process needs for other things.
_OTHERS = 100
#: How many clients come at a time when all come back at once.
STORM = 1000
#: Seconds that all of it may take for one kind of stream.
LIMIT = 600.0


def team(number: int) -> str:
    """Name of a team's feed."""
    return f"benchmark:team:{number:04d}"


def most_streams(wanted: int) -> int:
    """How many streams a process can have here, of those that are wanted."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(wanted, most - _OTHERS)


class Kind:
    """A kind of stream: how a client comes, and how it comes back.

    :ivar first: how it comes.
    :ivar again: how it comes back; ``@`` stands for the place that it had.
    :ivar catch: finds that in what it was told.
    """

    def __init__(self, first: Way, again: Way, catch: str) -> None:
        self.first = first
        self.again = again
        self.catch = catch


def kinds(teams: int) -> dict[str, Kind]:
    """The kinds, with a feed for each of so many teams."""
    names = [team(number) for number in range(teams)]
    paths = [f"/live/stream?feed={ALL}&feed={name}" for name in names]
    ready = (('"ready"', "", False),)
    asked = [json.dumps({"subscribe": {"feeds": [ALL, name]}, "ref": 1}) for name in names]
    # As many turns as there are teams: what was caught is kept by turns.
    sockets: list[str] = [get("/live/socket", UPGRADE) for _ in names]
    back = ['{"subscribe":{"feeds":@},"ref":1}' for _ in names]
    done = ('"done"', "", False)
    return {
        "txthoonk-sse": Kind(
            Way([get(path, ACCEPT) for path in paths], ready),
            Way([get(path, ACCEPT, "Last-Event-ID: @\r\n") for path in paths], ready),
            r"(?m)^id: (\S+)$",
        ),
        "txthoonk-ws": Kind(
            Way(sockets, ((END, asked, True), done)),
            Way(sockets, ((END, back, True), done)),
            r'"feed":"([^"]+)"[^}]*?"at":"([^"]+)"',
        ),
    }


def measure(
    redis: Server, who: str, streams: int, events: int, idle: float
) -> Iterator[tuple[str, Record]]:
    """All that is measured of one kind, one after another.

    :param events: to everybody; ten times as many to a team.
    :param idle: seconds in which nothing happens.
    :returns: what, and its values.
    """
    teams = max(1, streams // TEAM)
    kind = kinds(teams)[who]
    make_feeds(redis, [ALL, *map(team, range(teams))])
    with ExitStack() as stack:
        load = stack.enter_context(_started(Process("benchmarks.web_load")))
        port = load.hear()["port"]
        args = ("benchmarks.web_publisher", redis.host, redis.port, port)
        publisher = stack.enter_context(_started(Process(*args)))
        publisher.hear()
        publisher.ask(feed=ALL)
        order = {"do": "connect", "count": streams, "catch": kind.catch}
        again = {**order, **kind.again.order(), "at_once": STORM}
        with _serving(redis) as server:
            port, before = (server.ask(collect=True)[what] for what in ("port", "bytes"))
            came = _storm(redis, server, load, {**order, **kind.first.order(), "port": port})
            time.sleep(1)
            grown = server.ask(collect=False)["bytes"] - before
            yield "streams", {"bytes": grown / streams, **came}
            yield "idle-streams", _idle(server, idle)
            _all_go(load)
            yield "back", _storm(redis, server, load, {**again, "port": port})
            _all_go(load)
        with _serving(redis) as server:
            port = server.ask(collect=True)["port"]
            yield "restarted", _storm(redis, server, load, {**again, "port": port})
            for what, feed, to, count in (
                ("to-all", ALL, streams, events),
                ("to-team", team(0), streams // teams, 10 * events),
            ):
                publisher.ask(feed=feed)
                yield what, _tell(server, load, publisher, to, count)
            load.ask(do="close")


def _all_go(load: Process) -> None:
    """All go, and miss an event."""
    load.ask(do="close")
    load.ask(do="publish", events=1)
    time.sleep(1)


def _storm(redis: Server, server: Process, load: Process, order: Record) -> Record:
    """All connect; what that costs the server and Redis."""
    redis.raw("CONFIG", "RESETSTAT")
    cpu, redis_cpu = server.cpu(), redis.cpu()
    took = load.ask(**order)["seconds"]
    cpu, redis_cpu = server.cpu() - cpu, redis.cpu() - redis_cpu
    count = order["count"]
    return {
        "seconds": took,
        "server_us": cpu / count * 1e6,
        "redis_us": redis_cpu / count * 1e6,
        "commands": _commands(redis),
    }


def _commands(redis: Server) -> int:
    """How many commands others gave since the statistics were reset."""
    lines = redis.raw("INFO", "commandstats").decode().splitlines()
    calls = dict(line.removeprefix("cmdstat_").split(":", 1) for line in lines if ":" in line)
    own = ("info", "config")
    return sum(
        int(stats.split(",")[0].removeprefix("calls="))
        for command, stats in calls.items()
        if command.partition("|")[0] not in own
    )


def _idle(server: Process, seconds: float) -> Record:
    """What streams cost in which nothing happens: share of a processor."""
    cpu = server.cpu()
    time.sleep(seconds)
    return {"busy": (server.cpu() - cpu) / seconds * 100}


def _tell(server: Process, load: Process, publisher: Process, to: int, events: int) -> Record:
    """Bring events to so many, one after another."""
    load.ask(do="measure", events=2, window=1, to=to)
    publisher.ask(sent=True)
    cpu = server.cpu()
    run = load.ask(do="measure", events=events, window=1, to=to)
    cpu = server.cpu() - cpu
    load.ask(do="sent", times=publisher.ask(sent=True)["sent"])
    took = load.ask(do="took")
    return {
        "per_second": run["deliveries"] / run["wall"],
        "server_us": cpu / run["deliveries"] * 1e6,
        **took,
    }


@contextmanager
def _serving(redis: Server) -> Iterator[Process]:
    with _started(start_server(Contestant("ours", Way("", ()), ALL), redis)) as server:
        server.hear()
        yield server


@contextmanager
def _started(process: Process) -> Iterator[Process]:
    try:
        with process.limited(LIMIT):
            yield process
    finally:
        process.stop()
