"""What all measurements share: a server, a raw client, processes that wait for orders."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import urlsplit

import hiredis

from txthoonk.embedded import EmbeddedRedis

T = TypeVar("T")

#: One measured value: what, who, and numbers.
Record = dict[str, Any]

#: An item of about the size of a short message.
ITEM = "x" * 100

_CHECKOUT = Path(__file__).parent.parent
_NOTHING: Mapping[str, str] = MappingProxyType({})


class Server:
    """The Redis that everything is measured on.

    :param url: of a server that runs already, without password; ``None`` starts one of our own.
    :param program: the ``redis-server`` to start; ``None`` takes the one that is found.
    """

    def __init__(self, url: str | None, program: str | None = None) -> None:
        self._own = None
        if url is None:
            port = _free_port()
            # A subscriber that is slower than Redis is what we measure, not a fault of it.
            limit = ("pubsub", "0", "0", "0")
            self._own = EmbeddedRedis(
                executable=program,
                config={
                    "bind": "127.0.0.1",
                    "port": str(port),
                    "client-output-buffer-limit": limit,
                },
            ).start_now()
            url = f"redis://127.0.0.1:{port}"
        place = urlsplit(url)
        if place.scheme != "redis":
            raise ValueError("benchmarks need a Redis on TCP: redis://host:port")
        self.host = place.hostname or "127.0.0.1"
        self.port = place.port or 6379
        self.url = f"redis://{self.host}:{self.port}"
        self.raw = self.connect()
        self.version = self._info("server")["redis_version"]

    def connect(self) -> Raw:
        """A raw connection."""
        return Raw(self.host, self.port)

    def cpu(self) -> float:
        """Seconds of CPU that Redis has used."""
        info = self._info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

    def memory(self) -> int:
        """Bytes that Redis has allocated."""
        return int(self._info("memory")["used_memory"])

    def blocked(self) -> int:
        """How many connections wait in a command that blocks."""
        return int(self._info("clients")["blocked_clients"])

    def _info(self, section: str) -> dict[str, str]:
        lines = self.raw("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def stop(self) -> None:
        """End a server of our own."""
        self.raw.close()
        if self._own is not None:
            self._own.stop_now()


class Raw:
    """A blocking connection that does as little as possible."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader(notEnoughData=self)

    def __call__(self, *args: str | bytes | int | float) -> Any:
        """Send one command and wait for its reply."""
        self.send(pack(*args))
        return self.read()

    def send(self, data: bytes) -> None:
        """Send what is packed already."""
        self._socket.sendall(data)

    def read(self) -> Any:
        """Wait for one reply."""
        while (reply := self._reader.gets()) is self:
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError("Redis has closed the connection")
            self._reader.feed(data)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def replay(self, commands: Sequence[bytes]) -> None:
        """Send packed commands as fast as Redis takes them; wait until all are done."""
        end = b"all-is-said"
        data = b"".join((*commands, pack("ECHO", end)))
        sending = threading.Thread(target=self.send, args=(data,))
        sending.start()
        tail = b""
        while end not in tail:
            tail = tail[-64:] + self._socket.recv(1 << 20)
        sending.join()

    def fileno(self) -> int:
        """For selectors."""
        return self._socket.fileno()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def pack(*args: str | bytes | int | float) -> bytes:
    """One command in Redis's protocol."""
    packed: bytes = hiredis.pack_command(args)  # type: ignore[arg-type]  # any tuple will do
    return packed


class Process:
    """A process that measures itself: it gets an order a line, and answers with a line.

    :param module: what runs: a module, or what *program* takes.
    :param program: what runs it.
    :param more: for its environment.
    """

    def __init__(
        self,
        module: str,
        *args: str | int,
        program: Sequence[str] = (sys.executable, "-m"),
        more: Mapping[str, str] = _NOTHING,
    ) -> None:
        # The checkout goes first: it is what is to be measured.
        path = os.pathsep.join([str(_CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [*program, module, *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path, **more},
        )

    def tell(self, **order: Any) -> None:
        """Give an order."""
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(json.dumps(order) + "\n")
        stdin.flush()

    def hear(self) -> Record:
        """Wait for an answer."""
        stdout = self._process.stdout
        assert stdout is not None
        line = stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} has ended")
        answer: Record = json.loads(line)
        return answer

    def ask(self, **order: Any) -> Record:
        """Give an order and wait for the answer."""
        self.tell(**order)
        return self.hear()

    @contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """Kill it if this takes longer: whoever waits for an answer then hears that it ended."""
        timer = threading.Timer(seconds, self._process.kill)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def cpu(self) -> float:
        """Seconds of CPU that it and its children have used, in steps of some 0.01 s."""
        return _cpu(self._process.pid)

    def stop(self) -> None:
        """Let it end: it does when it is done, or nobody can give orders any more."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._wait()

    def terminate(self) -> None:
        """End one that takes no orders."""
        self._process.terminate()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._wait()

    def _wait(self) -> None:
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def processes(
    module: str, contestants: Mapping[str, Sequence[str | int]]
) -> Iterator[dict[str, Process]]:
    """All contestants, started and ready."""
    running = {}
    try:
        for who, args in contestants.items():
            running[who] = Process(module, *args)
        for process in running.values():
            process.hear()
        yield running
    finally:
        for process in running.values():
            process.stop()


def turned(running: Mapping[str, T], number: int) -> list[tuple[str, T]]:
    """The contestants in another order each round."""
    items = list(running.items())
    first = number % len(items)
    return items[first:] + items[:first]


def _cpu(pid: int) -> float:
    """What Linux says of a process and its living children."""
    folder = Path("/proc") / str(pid)
    try:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        children = [
            int(child)
            for thread in (folder / "task").iterdir()
            for child in (thread / "children").read_text().split()
        ]
    except OSError:  # it has ended
        return 0.0
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(_cpu(child) for child in children)


def wait_until_quiet(patience: float) -> float:
    """Wait until others leave the machine alone.

    :param patience: seconds that this may take at the most.
    :returns: the share of all processors that was busy in the last look.
    """
    deadline = time.monotonic() + patience
    while True:
        before = _ticks()
        time.sleep(min(0.5, patience))
        spent = [b - a for a, b in zip(before, _ticks(), strict=True)]
        busy = 1 - (spent[3] + spent[4]) / max(1, sum(spent))
        if busy < 0.06 or time.monotonic() >= deadline:
            return round(busy, 3)


def _ticks() -> list[int]:
    """What the processors did: user, nice, system, idle, iowait, ..."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            return [int(n) for n in file.readline().split()[1:]]
    except OSError:  # not Linux: nobody knows
        return [0] * 8


def allow_many_files() -> None:
    """Let this process have as many connections as the system permits."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def spread(values: Sequence[float]) -> float:
    """How far values lie apart, as a share of their median."""
    middle = median(values)
    return (max(values) - min(values)) / middle if middle else 0.0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
