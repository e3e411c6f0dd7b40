"""Many clients in one process that do as little as possible: they count marks in what comes.

``python -m benchmarks.web_load``. No library and no reactor: a read and a count for each delivery.
It obeys orders, one after another:

``connect``  so many more clients; ``request`` is what each says first, and ``steps`` are what it
             waits for and what it says to that. ``spread`` takes several addresses of 127.0.0.0/8.
``measure``  so many events, ``window`` at a time, each with a mark for ``to`` clients: the next one
             is asked for as soon as all of them have it. ``sent`` times come in a second order.
``close``    all of them.

Who publishes connects to ``port``, and gets a byte for each event that is wanted.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from typing import Any

from benchmarks.tools import Record, allow_many_files

#: Once in each message that is counted, and nowhere else.
MARK = b"^"
#: How many clients are about to connect.
AT_ONCE = 50
_READ = 1 << 16
_MOST = 4096
_SOURCES = 8


class Client:
    """One that is about to connect."""

    __slots__ = ("came", "socket", "step")

    def __init__(self, place: tuple[str, int], source: str) -> None:
        self.socket = socket.socket()
        if source:
            self.socket.bind((source, 0))
        self.socket.setblocking(False)
        self.socket.connect_ex(place)
        self.step = -1
        self.came = b""


class Load:
    """The clients, and who is asked for events."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._publisher: socket.socket | None = None
        self._times: list[list[int]] = []

    def run(self) -> None:
        """Obey until there are no more orders."""
        self._answer(ready=True, port=self._listening.getsockname()[1])
        self._publisher, _ = self._listening.accept()
        self._publisher.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        orders = sys.stdin.fileno()
        self._poll.register(orders, select.EPOLLIN)
        for line in iter(lambda: self._line(orders), ""):
            order = json.loads(line)
            self._answer(**getattr(self, order.pop("do"))(**order))

    @staticmethod
    def _answer(**answer: Any) -> None:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()

    def _line(self, orders: int) -> str:
        """Wait for an order; what comes to the clients meanwhile is dropped."""
        while True:
            for number, _ in self._poll.poll(-1, _MOST):
                if number == orders:
                    return sys.stdin.readline()
                self._read(number)

    def _read(self, number: int) -> bytes:
        data = os.read(number, _READ)
        if not data:
            raise ConnectionError("the server has closed a connection")
        return data

    # -- connecting -------------------------------------------------------------------------

    def connect(
        self,
        count: int,
        port: int,
        request: str | list[str],
        steps: list[tuple[str, str | list[str]]],
        spread: bool = False,
    ) -> Record:
        """Connect more clients.

        :param request: of all, or one each, in turns; what is said in a step likewise.
        """
        start = time.monotonic()
        waits = [expected.encode("latin-1") for expected, _ in steps]
        says = [request, *(said for _, said in steps)]
        about: dict[int, Client] = {}
        numbers: dict[int, int] = {}
        begun = up = 0
        while up < count:
            while begun < count and len(about) < AT_ONCE:
                source = f"127.0.0.{2 + begun % _SOURCES}" if spread else ""
                client = Client(("127.0.0.1", port), source)
                number = client.socket.fileno()
                about[number], numbers[number] = client, begun
                self._poll.register(number, select.EPOLLOUT)
                begun += 1
            ready = self._poll.poll(60, _MOST)
            if not ready:
                raise TimeoutError(f"{up} of {count} clients are connected")
            for number, events in ready:
                if number not in about:
                    if number in self._sockets:
                        self._read(number)
                    continue
                client = about[number]
                if events & select.EPOLLOUT:
                    self._poll.modify(number, select.EPOLLIN)
                else:
                    client.came += self._read(number)
                    if waits[client.step] not in client.came:
                        continue
                    client.came = b""
                client.step += 1
                said = says[client.step]
                if not isinstance(said, str):
                    said = said[numbers[number] % len(said)]
                if said:
                    client.socket.sendall(said.encode("latin-1"))
                if client.step == len(waits):
                    self._sockets[number] = about.pop(number).socket
                    up += 1
        return {"seconds": time.monotonic() - start}

    def close(self) -> Record:
        """Close all."""
        for number, each in self._sockets.items():
            self._poll.unregister(number)
            each.close()
        self._sockets.clear()
        return {"closed": True}

    # -- measuring --------------------------------------------------------------------------

    def measure(self, events: int, window: int, to: int) -> Record:
        """Ask for events, and take the time when each one reaches each client."""
        assert self._publisher is not None
        publisher, poll, now, read = self._publisher, self._poll, time.monotonic_ns, os.read
        seen = dict.fromkeys(self._sockets, 0)
        times: list[list[int]] = [[] for _ in range(events)]
        self._times = times
        done = total = 0
        cpu, wall = time.process_time(), time.perf_counter()
        asked = min(window, events)
        publisher.send(b"." * asked)
        while done < events:
            ready = poll.poll(60, _MOST)
            if not ready:
                raise TimeoutError(f"{done} of {events} events came")
            for number, _ in ready:
                data = read(number, _READ)
                marks = data.count(MARK)
                if not data:
                    raise ConnectionError("the server has closed a connection")
                first = seen[number]
                seen[number] = first + marks
                for event in range(first, first + marks):
                    took = times[event]
                    took.append(now())
                    if len(took) == to:
                        done += 1
                        if asked < events:
                            asked += 1
                            publisher.send(b".")
                total += marks
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return {"wall": wall, "cpu": cpu, "deliveries": total}

    def sent(self, times: list[int]) -> Record:
        """How long the events of the last measurement were on their way.

        :param times: when each one was published.
        :returns: by deliveries, and by events: until the last client had it.
        """
        both = list(zip(times, self._times, strict=True))
        each = [(came - sent) / 1e6 for sent, took in both for came in took]
        whole = [(took[-1] - sent) / 1e6 for sent, took in both]
        values = {}
        for name, kind in (("", each), ("all_", whole)):
            kind.sort()
            for p in (50, 99):
                values[f"{name}p{p}_ms"] = kind[len(kind) * p // 100]
        return values


def main() -> None:
    """Be the clients."""
    allow_many_files()
    Load().run()


if __name__ == "__main__":
    main()
