"""Many clients in one process that do as little as possible: they count marks in what comes.

``python -m benchmarks.web_load``. No library and no reactor: a read and a count for each delivery.
It obeys orders, one after another:

``connect``  so many more clients; ``request`` is what each says first, and ``steps`` are what it
             waits for and what it says to that; a list is said by turns. ``catch`` is a pattern of
             what is to be kept of what comes meanwhile, and said instead of ``@`` the next time.
``publish``  so many events that nobody waits for.
``measure``  so many events, ``window`` at a time, each with a mark for ``to`` clients: the next one
             is asked for as soon as all of them have it.
``sent``     the times at which the events of a measurement were published.
``took``     how long events were on their way since this was asked last.
``close``    all of them.

Who publishes connects to ``port``, and gets a byte for each event that is wanted.
"""

from __future__ import annotations

import json
import os
import re
import resource
import select
import socket
import sys
import time
from typing import Any

#: Numbers by name.
Record = dict[str, Any]

#: Once in each message that is counted, and nowhere else.
MARK = b"^"
_READ = 1 << 13
#: IP_BIND_ADDRESS_NO_PORT of Linux: the port is chosen when it connects, and may serve several.
_NO_PORT = 24
#: A WebSocket's ping, which is answered so.
_PING, _PONG = b"\x89\0", b"\x8a\x80\0\0\0\0"
_MOST = 4096
#: Addresses that clients have, by turns: each has so many ports.
_SOURCES = 8

#: What is said, or what is said by turns.
Said = str | list[str]


def frame(text: str) -> str:
    """A text frame as a client sends it, masked with zeros."""
    size = len(text)
    head = chr(0x80 | size) if size < 126 else f"\xfe{chr(size >> 8)}{chr(size & 255)}"
    return f"\x81{head}\0\0\0\0{text}"


class Client:
    """One that is about to connect.

    :param number: of it.
    :ivar step: that it has come to.
    :ivar came: since then, and ``all`` that came.
    """

    __slots__ = ("all", "came", "number", "socket", "step")

    def __init__(self, number: int, port: int) -> None:
        self.number = number
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_IP, _NO_PORT, 1)
        self.socket.bind((f"127.0.0.{2 + number % _SOURCES}", 0))
        self.socket.setblocking(False)
        self.socket.connect_ex(("127.0.0.1", port))
        self.step = -1
        self.came = self.all = b""


class Load:
    """The clients, and who is asked for events."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._publisher: socket.socket | None = None
        self._times: list[list[int]] = []
        #: How long each delivery took, and each event to all: milliseconds.
        self._each: list[float] = []
        self._whole: list[float] = []
        #: What was kept for those that connect again, by whose turn it was.
        self._caught: dict[int, str | dict[str, str]] = {}

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
        if data.endswith(_PING):
            os.write(number, _PONG)
        return data

    # -- connecting -------------------------------------------------------------------------

    def connect(
        self,
        count: int,
        port: int,
        request: Said,
        steps: list[tuple[str, Said, bool]],
        at_once: int = 50,
        catch: str = "",
    ) -> Record:
        """Connect more clients.

        :param steps: what is waited for, what is said to that, and whether it is framed.
        :param at_once: how many are about to connect at a time.
        """
        start = time.monotonic()
        waits = [expected.encode("latin-1") for expected, _, _ in steps]
        says = [(request, False), *((said, framed) for _, said, framed in steps)]
        about: dict[int, Client] = {}
        begun = up = 0
        while up < count:
            while begun < count and len(about) < at_once:
                client = Client(begun, port)
                about[client.socket.fileno()] = client
                self._poll.register(client.socket, select.EPOLLOUT)
                begun += 1
            ready = self._poll.poll(60, _MOST)
            if not ready:
                raise TimeoutError(f"{up} of {count} clients are connected")
            for number, events in ready:
                client_or_none = about.get(number)
                if client_or_none is None:
                    if number in self._sockets:
                        self._read(number)
                    continue
                client = client_or_none
                if events & select.EPOLLOUT:
                    self._poll.modify(number, select.EPOLLIN)
                else:
                    client.came += self._read(number)
                    if waits[client.step] not in client.came:
                        continue
                    client.all += client.came
                    client.came = b""
                client.step += 1
                self._say(client, *says[client.step])
                if client.step == len(waits):
                    self._sockets[number] = about.pop(number).socket
                    up += 1
                    if catch:
                        turn = client.number % (1 if isinstance(request, str) else len(request))
                        self._catch(turn, catch, client.all)
        return {"seconds": time.monotonic() - start}

    def _say(self, client: Client, said: Said, framed: bool) -> None:
        turn = 0
        if not isinstance(said, str):
            turn = client.number % len(said)
            said = said[turn]
        if "@" in said:
            caught = self._caught[turn]
            said = said.replace("@", caught if isinstance(caught, str) else json.dumps(caught))
        if said:
            client.socket.sendall((frame(said) if framed else said).encode("latin-1"))

    def _catch(self, turn: int, pattern: str, came: bytes) -> None:
        """Keep what a pattern finds last; of one of pairs, the last of each name."""
        found = re.findall(pattern, came.decode("latin-1"))
        if found and isinstance(found[-1], str):
            self._caught[turn] = found[-1]
        elif found:
            before = self._caught.get(turn, {})
            assert not isinstance(before, str)
            self._caught[turn] = {**before, **dict(found)}

    def close(self) -> Record:
        """Close all."""
        for number, each in self._sockets.items():
            self._poll.unregister(number)
            each.close()
        self._sockets.clear()
        return {"closed": True}

    def publish(self, events: int) -> Record:
        """Ask for events."""
        assert self._publisher is not None
        self._publisher.send(b"." * events)
        return {"asked": events}

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
                if not marks:
                    if not data:
                        raise ConnectionError("the server has closed a connection")
                    if data.endswith(_PING):
                        os.write(number, _PONG)
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
        """Note how long the events of the last measurement were on their way.

        :param times: when each one was published.
        """
        for sent, came in zip(times, self._times, strict=True):
            self._each += [(each - sent) / 1e6 for each in came]
            self._whole.append((came[-1] - sent) / 1e6)
        return {"noted": len(times)}

    def took(self) -> Record:
        """How long it was: by deliveries, and by events, until the last client had it."""
        values = {}
        for name, kind in (("", self._each), ("all_", self._whole)):
            kind.sort()
            for p in (50, 99):
                values[f"{name}p{p}_ms"] = kind[len(kind) * p // 100]
            kind.clear()
        return values


def main() -> None:
    """Be the clients."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    Load().run()


if __name__ == "__main__":
    main()
