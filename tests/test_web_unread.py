"""What clients cost that never read: in a web process of its own."""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol

from tests.helpers import until
from tests.stream_helpers import StreamCase


class _Child(ProcessProtocol):
    """The web process."""

    def __init__(self) -> None:
        self.said = b""
        self.errors = b""
        self.ended: Deferred[None] = Deferred()

    def outReceived(self, data: bytes) -> None:
        """It says its port."""
        self.said += data

    def errReceived(self, data: bytes) -> None:
        """It complains."""
        self.errors += data

    def processEnded(self, reason: Any) -> None:
        """It has ended."""
        self.ended.callback(None)


class UnreadTests(StreamCase):
    """Streams, sockets and answers that nobody takes."""

    timeout = 240

    async def setUp(self) -> None:
        """Start the process."""
        await super().setUp()
        from twisted.internet import reactor

        real: Any = reactor
        self.child = _Child()
        command = [sys.executable, "-m", "tests.web_child", self.redis_url]
        self.process = real.spawnProcess(self.child, sys.executable, command, env=None)

        async def end() -> None:
            self.process.signalProcess("KILL")
            await self.child.ended

        self.addCleanup(lambda: Deferred.fromCoroutine(end()))
        await until(lambda: self.child.said.endswith(b"\n"))
        self.port = int(self.child.said)

    def resident(self) -> int:
        """Memory of the process: bytes."""
        with open(f"/proc/{self.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * 4096

    async def test_unread(self) -> None:
        """
        200 clients that never read, while 50 MB are published, cost less than 128 KiB each, and one
        who reads gets every change meanwhile.
        """
        feed = self.thoonk.feed(self.feed_name(), max_length=10)
        await feed.publish("x", id="first")
        reader = await self.stream(f"feed={feed.name}")
        await reader.when_told("ready")
        item = "x" * 50_000
        for i in range(40):  # what one reader costs
            await feed.publish(f"{i} {item}", id=str(i % 10))
        await reader.when_told("publish", id="9")
        alone = self.resident()
        clients: list[Any] = []
        for _ in range(100):
            stream = await self.stream(f"feed={feed.name}")
            socket = await self.socket()
            socket.send({"subscribe": {"feeds": [feed.name]}})
            clients += [stream, socket]
        for each in clients:
            await each.when_told("snapshot")
            each.stop_reading()
        most = 0
        for i in range(1000):
            await feed.publish(f"{i} {item}", id=str(i % 10))
            if i % 50 == 49:  # Redis cuts off who does not keep up with it
                at = i + 42
                await reader.when(lambda at=at: reader.mirror.revisions[feed.name] >= at)
                most = max(most, self.resident() - alone)
        await reader.when(lambda: reader.mirror.revisions[feed.name] >= 1041)
        most = max(most, self.resident() - alone)
        self.assertLess(most / len(clients), 128 * 1024, f"{most} bytes more")
        self.assertEqual(reader.mirror.wrong, [])
        for each in clients[:4]:  # they were behind, and know it when they read
            each.read_again()
            await each.when_told("snapshot", reason="overflow")
        self.assertEqual(self.child.errors, b"")

    async def test_unread_snapshots(self) -> None:
        """
        200 who ask for a feed of 5 MB, and never take the answer, cost less than 192 KiB each.
        """
        feed = self.thoonk.feed(self.feed_name())
        for i in range(100):
            await feed.publish("x" * 50_000, id=str(i))
        url = f"http://127.0.0.1:{self.port}/live/feeds/{feed.name}"
        self.assertEqual((await self.ask("GET", url)).code, 200)
        alone = self.resident()
        raws = []
        for _ in range(200):
            raw = await self.raw()
            transport: Any = raw.transport
            transport.pauseProducing()
            raw.send(f"GET /live/feeds/{feed.name} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            raws.append(raw)
        self.assertEqual((await self.ask("GET", url)).code, 200)
        most = self.resident() - alone
        self.assertLess(most / len(raws), 192 * 1024, f"{most} bytes more")
        for raw in raws:
            transport = raw.transport
            transport.abortConnection()
            await raw.when_lost()
