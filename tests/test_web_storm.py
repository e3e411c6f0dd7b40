"""Web clients that all come back at once, to a web process that knows nothing of them."""

from __future__ import annotations

import resource
from typing import Any
from urllib.parse import quote

from twisted.internet import reactor as its
from twisted.internet.defer import gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol

from tests.helpers import ThoonkTestCase, until
from tests.stream_helpers import Mirror, StreamClient
from tests.web_cuts.programs import WebProcess

reactor: Any = its  # the module is the reactor

#: How many clients there are; each is an open file here, and one in the web process.
CLIENTS = 1000


class StormTests(ThoonkTestCase):
    """A web process is killed, with a thousand streams, and another one takes its port."""

    timeout = 240

    async def setUp(self) -> None:
        """Have a Redis of one's own, whose calls can be counted, and a web process."""
        await super().setUp()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < 4 * CLIENTS:
            wanted = 4 * CLIENTS if hard == resource.RLIM_INFINITY else min(4 * CLIENTS, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        self.server = await self.own_server()
        self.own = await self.start_thoonk(self.server.url)
        self.web = WebProcess(self.server.url)
        await self.web.start()
        self.addCleanup(lambda: self.web.program.kill())

    async def calls(self) -> dict[str, int]:
        """How often each command was called, of those that somebody has sent or a script calls."""
        found = (await self.own.redis.execute("INFO", "commandstats")).decode()
        counts = {}
        for line in found.splitlines():
            if line.startswith("cmdstat_"):
                name, _, rest = line.removeprefix("cmdstat_").partition(":calls=")
                counts[name] = int(rest.partition(",")[0])
        return counts

    async def stream(self, query: str, last_id: str, mirror: Mirror) -> StreamClient:
        """A client that is connected; it is let go of when the test ends."""
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.web.port, timeout=60)
        client: StreamClient = await connectProtocol(endpoint, StreamClient(mirror))
        client.ask(f"/live/stream?{query}", {"Last-Event-ID": last_id} if last_id else {})

        async def end() -> None:
            client.cut()
            await client.when_lost()

        self.addCleanup(lambda: end_of(end()))
        return client

    async def test_storm(self) -> None:
        """
        All get just what they have missed, and Redis is asked so often as there are feeds, not
        clients.
        """
        team = self.feed_name()
        feeds = [self.own.feed(f"{team}:x:{i}") for i in range(5)]
        for feed in feeds:
            await feed.publish("one", id="1")
        queries = [
            f"feed={quote(feeds[0].name)}",
            f"feed={quote(feeds[1].name)}&feed={quote(feeds[2].name)}",
            f"pattern={quote(f'{team}:x:*')}",
        ]
        pages = [(queries[i % 3], Mirror()) for i in range(CLIENTS)]
        clients = await self.all_of(pages, [""] * CLIENTS)
        states = [mirror.types(feed.name) for _, mirror in pages for feed in feeds]
        self.assertEqual(states.count(["snapshot"]), sum((1, 2, 5)[i % 3] for i in range(CLIENTS)))

        await self.web.program.kill()
        for client in clients:
            await client.when_lost()
        for feed in feeds:
            for i in range(3):
                await feed.publish("missed", id=f"missed {i}")
        await self.web.start()
        before = await self.calls()
        for _, mirror in pages:
            mirror.log.clear()
        await self.all_of(pages, [client.last_id for client in clients])
        after = await self.calls()

        for i, (_, mirror) in enumerate(pages):
            told = [m["type"] for m in mirror.log if m["type"] != "ready"]
            self.assertEqual(told, ["publish"] * 3 * (1, 2, 5)[i % 3])
            self.assertEqual(mirror.wrong, [])
        asked = {name: after[name] - before.get(name, 0) for name in after}
        # Each process loads all scripts when it starts.
        asked = {name: count for name, count in asked.items() if count and name != "script"}
        self.assertLess(sum(asked.values()), CLIENTS / 4, asked)

    async def all_of(self, pages: list[tuple[str, Mirror]], ids: list[str]) -> list[StreamClient]:
        """Connect all clients, as fast as they can, and wait until they are told what there is."""
        coming = [
            end_of(self.stream(query, id, mirror))
            for (query, mirror), id in zip(pages, ids, strict=True)
        ]
        clients: list[StreamClient] = await gatherResults(coming)
        await until(lambda: all(m.log and m.log[-1]["type"] == "ready" for _, m in pages))
        return clients


def end_of(coroutine: Any) -> Any:
    """What fires when it has come to its end."""
    from twisted.internet.defer import Deferred

    return Deferred.fromCoroutine(coroutine)
