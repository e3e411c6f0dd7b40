"""A handler sleeps while very much is published: what that costs us, Redis and other people."""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import gatherResults
from twisted.internet.task import deferLater

from tests.trials.child import Child
from txthoonk import Thoonk
from txthoonk.embedded import EmbeddedRedis

__all__ = ["Slow"]

reactor: Any = global_reactor

#: Ids that are used again and again, and bytes of an item.
IDS, SIZE = 100, 10_000
#: Publishes that are on their way at a time.
AT_ONCE = 50
#: What the follower may be: absent, awake or asleep.
ARMS = ("absent", "awake", "asleep")


@dataclass
class Slow:
    """Two processes follow; the handler of one of them sleeps.

    :ivar megabytes: of the burst.
    :ivar seconds: that the handler sleeps.
    :ivar cap: bytes that may wait for a handler.
    :ivar rounds: how often the other one's latency is measured, with the first one absent, awake
        and asleep; *window*: seconds each; *rate*: publishes a second.
    """

    megabytes: float = 200
    seconds: float = 120
    cap: int = 16_000_000
    rounds: int = 14
    window: float = 3.0
    rate: float = 600.0
    say: Callable[[str], object] = str
    published: int = 0
    burst: float = 0.0
    before: float = 0.0
    peak: float = 0.0
    clients: list[str] = field(default_factory=list)
    events: int = 0
    resyncs: list[str] = field(default_factory=list)
    others: int = 0
    right: bool = False
    p99: dict[str, list[float]] = field(default_factory=lambda: {arm: [] for arm in ARMS})
    p50: dict[str, list[float]] = field(default_factory=lambda: {arm: [] for arm in ARMS})

    async def run(self) -> Slow:
        """Publish; then measure."""
        server = await EmbeddedRedis(config={"save": ""}).start()
        processes = []
        try:
            async with Thoonk(server.url) as thoonk:
                self._thoonk = thoonk
                self._feed = await thoonk.feed("slow")
                for name in ("sleeper", "other"):
                    args = (server.url, "slow", name, f"{self.cap}")
                    processes.append(Child(reactor, "tests.trials.listener", *args))
                self._sleeper, self._other = processes
                for each in processes:
                    await self._tell(each, "follow")
                await self._publish(2 * IDS, 1000.0)
                await self._sleep_through()
                for n in range(self.rounds):
                    for i in range(len(ARMS)):
                        await self._measure(ARMS[(n + i) % len(ARMS)])
        finally:
            for each in processes:
                await each.kill()
            await server.stop()
        return self

    async def _tell(self, process: Child, order: str) -> Any:
        process.say(order)
        return json.loads(await process.lines.get())

    async def _publish(self, count: int, rate: float = 0.0) -> None:
        """Publish so often: at a rate, or as fast as it goes."""
        begin, calls = reactor.seconds(), []
        for n in range(count):
            item = f"{time.monotonic():020.9f}" + "x" * (SIZE - 20)
            calls.append(self._feed.publish(item, id=f"{n % IDS}"))
            if len(calls) >= AT_ONCE or rate:
                late = begin + n / rate - reactor.seconds() if rate else 0.0
                if late > 0 or len(calls) >= AT_ONCE:
                    waiting, calls = calls, []
                    await gatherResults(waiting)
                    await deferLater(reactor, max(0.0, late))
        await gatherResults(calls)

    async def _client(self) -> str:
        """The number of the connection that messages come to the sleeper on."""
        data: bytes = await self._thoonk.redis.execute("CLIENT", "LIST", "TYPE", "pubsub")
        return ",".join(re.findall(r"id=(\d+) [^\n]*name=sleeper ", data.decode()))

    async def _sleep_through(self) -> None:
        """The burst."""
        self.clients = [await self._client()]
        for each in (self._sleeper, self._other):
            await self._tell(each, "verify")  # all before the burst has been told
        await self._tell(self._other, "state")
        self.before = (await self._tell(self._sleeper, "state"))["rss"]
        await self._tell(self._sleeper, "sleep")
        self.published = int(self.megabytes * 1e6 / SIZE)
        begin = reactor.seconds()
        await self._publish(self.published)
        self.burst = reactor.seconds() - begin
        self.say(f"burst: {self.burst:.1f} s")
        while reactor.seconds() < begin + self.seconds:
            await self._publish(50, 50.0)
            self.published += 50
        asleep = await self._tell(self._sleeper, "state")
        self.events, self.peak = asleep["events"], asleep["peak"]
        await self._tell(self._sleeper, "wake")
        self.right = await self._tell(self._sleeper, "verify")
        awake = await self._tell(self._sleeper, "state")
        self.resyncs = [*asleep["resyncs"], *awake["resyncs"]]
        self.peak = max(self.peak, awake["peak"])
        self.right = await self._tell(self._other, "verify") and self.right
        self.others = (await self._tell(self._other, "state"))["events"]
        self.clients.append(await self._client())

    async def _measure(self, arm: str) -> None:
        """The other one's latency for a while."""
        await self._tell(self._sleeper, "stop")
        if arm != "absent":
            await self._tell(self._sleeper, "follow")
        if arm == "asleep":
            await self._tell(self._sleeper, "sleep")
        await self._tell(self._other, "state")
        await self._publish(int(self.rate * self.window), self.rate)
        found = await self._tell(self._other, "state")
        self.p99[arm].append(found["p99"] * 1000)
        self.p50[arm].append(found["p50"] * 1000)
        await self._tell(self._sleeper, "wake")
        if arm != "absent":
            await self._tell(self._sleeper, "verify")  # what it has to read is read now
        self.say(f"{arm}: p99 {found['p99'] * 1000:.2f} ms")

    @property
    def grown(self) -> float:
        """By how many megabytes the sleeper's process has grown."""
        return self.peak - self.before

    @property
    def closed(self) -> bool:
        """Whether Redis has closed the sleeper's connection."""
        return self.clients[0] != self.clients[1] or not self.clients[0]

    def moved(self, arm: str) -> tuple[float, float]:
        """By how many per cent the other one's p99 is higher than with another arm.

        :returns: the median of neighbouring windows' ratios, and its standard error.
        """
        pairs = zip(self.p99["asleep"], self.p99[arm], strict=True)
        ratios = [100 * (asleep / other - 1) for asleep, other in pairs]
        first, last = quartiles(ratios)
        return statistics.median(ratios), 0.93 * (last - first) / len(ratios) ** 0.5

    def lines(self) -> list[str]:
        """For people."""
        size, memory = f"{self.megabytes:g} MB", f"{self.before:.1f} MB before"
        lines = [
            f"published: {self.published} items of {SIZE // 1000} kB",
            f"burst: {size} in {self.burst:.1f} s",
            f"handler asleep: {self.seconds:g} s; events it was told meanwhile: {self.events}",
            f"told then: Resync {self.resyncs}; both copies right: {self.right}",
            f"resident: {memory}, at most {self.grown:.1f} MB more",
            f"max_bytes: {self.cap / 1e6:g} MB",
            f"connection closed by Redis: {self.closed}",
            f"events that the other process was told: {self.others}",
        ]
        if not self.rounds:
            return lines
        lines.append(f"latency of the other process, median of {self.rounds} windows (quartiles):")
        for arm in ARMS:
            middle, p50 = statistics.median(self.p99[arm]), statistics.median(self.p50[arm])
            first, last = quartiles(self.p99[arm])
            spread = f"({first:.2f} to {last:.2f} ms)"
            lines.append(f"  sleeper {arm:6}: p99 {middle:.2f} ms {spread}, p50 {p50:.2f} ms")
        for arm in ARMS[:2]:
            change, error = self.moved(arm)
            lines.append(f"p99 with it asleep, to {arm}: {change:+.1f} % (+- {error:.1f} %)")
        return lines


def quartiles(values: list[float]) -> tuple[float, float]:
    """The first and the third."""
    if len(values) < 2:
        return values[0], values[0]
    first, _, last = statistics.quantiles(values, method="inclusive")
    return first, last
