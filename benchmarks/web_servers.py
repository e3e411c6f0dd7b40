"""Who takes part in the benchmark of the web, and how a client connects to each."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import rivals
from benchmarks.server import make_feeds
from benchmarks.tools import Process, Record, Server

_PROGRAMS = Path(__file__).parent / "web_contestants"

#: Seconds that one measurement of one contestant may take.
LIMIT = 240.0

#: What ours follow, and what is published into.
FEED = "benchmark"
#: Channel of the others; that on which socket.io's adapter listens is its own.
CHANNEL = "benchmark"
SOCKET_IO_CHANNEL = "socket.io#/#"

END = "\r\n\r\n"
ACCEPT = "Accept: text/event-stream\r\n"
UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


def get(path: str, *headers: str) -> str:
    """A request."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{''.join(headers)}\r\n"


@dataclass(frozen=True)
class Way:
    """How a client connects.

    :ivar request: what it says first; several are said by turns.
    :ivar steps: what it waits for, what it says to that, and whether in a WebSocket's frame.
    """

    request: str | list[str]
    steps: tuple[tuple[str, str | list[str], bool], ...]

    def order(self) -> Record:
        """For the clients."""
        return {"request": self.request, "steps": self.steps}


_SUBSCRIBE = json.dumps({"subscribe": {"feeds": {FEED: None}}, "ref": 1})

WS = Way(get("/", UPGRADE), ((END, "", False),))
SSE = Way(get("/", ACCEPT), ((":\n\n", "", False),))
SOCKET_IO = Way(
    get("/socket.io/?EIO=4&transport=websocket", UPGRADE),
    (('"sid"', "40", True), ("40{", "", False)),
)
OUR_WS = Way(get("/live/socket", UPGRADE), ((END, _SUBSCRIBE, True), ('"done"', "", False)))
OUR_SSE = Way(get(f"/live/stream?feed={FEED}", ACCEPT), (('"ready"', "", False),))


@dataclass(frozen=True)
class Contestant:
    """A server.

    :ivar program: in ``web_contestants``; a module, or a file for node.
    :ivar way: how clients connect to it.
    :ivar variant: of it.
    :ivar needs: the environment it runs in; empty is ours.
    """

    program: str
    way: Way
    variant: str = ""
    needs: str = ""

    @property
    def is_here(self) -> bool:
        """Whether it is installed."""
        return not self.needs or self.needs in rivals.installed()

    @property
    def told(self) -> dict[str, str]:
        """Where what is published reaches it: for the publisher."""
        if self.program == "ours":
            return {"feed": FEED}
        if self.program == "socketio.cjs":
            return {"channel": SOCKET_IO_CHANNEL, "wrap": "socket.io"}
        return {"channel": CHANNEL, "wrap": ""}


CONTESTANTS = {
    "txthoonk-ws": Contestant("ours", OUR_WS),
    "txthoonk-sse": Contestant("ours", OUR_SSE),
    "socket.io": Contestant("socketio.cjs", SOCKET_IO, needs="node-web"),
    "node-ws": Contestant("ws.cjs", WS, needs="node-web"),
    "autobahn": Contestant("autobahn", WS, needs="autobahn"),
    "sse-twisted.web": Contestant("sse", SSE),
    "bare-ws": Contestant("bare", WS),
    "bare-ws-direct": Contestant("bare", WS, "direct"),
}


class Audience:
    """One contestant's process, clients of it in another, and who publishes in a third.

    :ivar server: the contestant's process.
    """

    def __init__(
        self,
        redis: Server,
        contestant: Contestant,
        server: Process,
        load: Process,
        publisher: Process,
    ) -> None:
        self._redis = redis
        self._load = load
        self._publisher = publisher
        self._connected = 0
        self.server = server
        self._publisher.ask(**contestant.told)
        if contestant.program == "ours":
            make_feeds(redis, [FEED])
        self._order = {
            "do": "connect",
            "port": server.ask(collect=False)["port"],
            **contestant.way.order(),
        }

    def connect(self, count: int, settle: float, warm: bool) -> Record:
        """Connect clients.

        :param settle: seconds that the server gets before its memory is looked at.
        :param warm: whether others come and go before, which make a process import and compile what
            it needs.
        :returns: bytes by which the server has grown with each, and by which it still has when it
            was made to collect its garbage.
        """
        if warm:
            first = min(20, count)
            self._load.ask(**self._order, count=first)
            self._ask(10, 1, first)
            self._load.ask(do="close")
        time.sleep(settle)
        before = self._bytes(collected=warm)
        self._load.ask(**self._order, count=count)
        self._connected = count
        time.sleep(settle)
        grown = self._bytes(collected=False) - before
        left = self._bytes(collected=True) - before
        return {"bytes": grown / count, "collected_bytes": left / count}

    def measure(self, events: int, window: int) -> Record:
        """Bring events to all clients, so many at a time, each as soon as all have another one."""
        clients = self._connected
        self._ask(max(1, events // 10), window, clients)  # to warm up
        self._publisher.ask(sent=True)
        redis, cpu = self._redis.cpu(), self.server.cpu()
        run = self._ask(events, window, clients)
        redis, cpu = self._redis.cpu() - redis, self.server.cpu() - cpu
        took = self._load.ask(do="sent", times=self._publisher.ask(sent=True)["sent"])
        deliveries: int = run["deliveries"]
        if deliveries != clients * events:
            raise ValueError(f"{deliveries} came, not {clients * events}")
        return {
            "per_second": deliveries / run["wall"],
            "server_us": cpu / deliveries * 1e6,
            "client_us": run["cpu"] / deliveries * 1e6,
            "redis_us": redis / deliveries * 1e6,
            **took,
        }

    def _bytes(self, collected: bool) -> int:
        size: int = self.server.ask(collect=collected)["bytes"]
        return size

    def _ask(self, events: int, window: int, to: int) -> Record:
        return self._load.ask(do="measure", events=events, window=window, to=to)


@contextmanager
def audience(redis: Server, contestant: Contestant) -> Iterator[Audience]:
    """All processes for one contestant, started."""
    with ExitStack() as stack:

        def started(process: Process) -> Record:
            stack.callback(process.stop)
            stack.enter_context(process.limited(LIMIT))
            return process.hear()

        server = start_server(contestant, redis)
        started(server)
        load = Process("benchmarks.web_load")
        port = started(load)["port"]
        publisher = Process("benchmarks.web_publisher", redis.host, redis.port, port)
        started(publisher)
        yield Audience(redis, contestant, server, load, publisher)


def start_server(contestant: Contestant, redis: Server) -> Process:
    """A contestant's process, which has not said yet that it is ready."""
    args = (redis.host, redis.port, contestant.variant)
    if contestant.program.endswith(".cjs"):
        modules = str(rivals.node_modules(contestant.needs))
        return Process(
            str(_PROGRAMS / contestant.program),
            *args,
            program=["node", "--expose-gc"],
            more={"NODE_PATH": modules, "NODE_ENV": "production"},
        )
    python = rivals.python(contestant.needs) if contestant.needs else sys.executable
    return Process(
        f"benchmarks.{_PROGRAMS.name}.{contestant.program}", *args, program=[python, "-m"]
    )
