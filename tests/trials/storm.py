"""Feeds that are followed while they are written to: snapshot and events are what there is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults

from tests.helpers import until
from tests.trials.child import Child
from tests.trials.scene import soon
from txthoonk import Edited, LiveFeed, Published, Retracted, Thoonk
from txthoonk.embedded import EmbeddedRedis

__all__ = ["Storm"]

reactor: Any = global_reactor

#: How many are asked for at a time, and items of a page.
AT_ONCE, PAGE = 50, 1000


class Account:
    """What the snapshot was, and what was told since: by itself the feed, without the copy."""

    def __init__(self, is_list: bool) -> None:
        self.items: dict[str, Any] | None = None
        self.revision = 0
        self.early = self.gaps = self.events = 0
        self._is_list = is_list
        self.live: LiveFeed | None = None

    def began(self, live: LiveFeed) -> LiveFeed:
        """The snapshot is there."""
        self.live = live
        self.items, self.revision = dict(live.items), live.revision
        return live

    def __call__(self, event: Any) -> None:
        """An event."""
        self.events += 1
        if self.items is None:
            self.early += 1
            return
        self.gaps += getattr(event, "revision", -1) != self.revision + 1
        self.revision += 1
        if isinstance(event, Retracted):
            self.items.pop(event.id, None)
        elif isinstance(event, Edited) and self._is_list:
            self.items[event.id] = event.item
        elif isinstance(event, (Published, Edited)):
            self.items.pop(event.id, None)  # it goes to the end
            self.items[event.id] = event.item
        else:
            self.gaps += 1


@dataclass
class Storm:
    """A process that writes, and one that follows.

    :ivar rate: changes a second that are wanted.
    :ivar large: how many feeds have more than a page.
    """

    follows: int
    rate: float
    feeds: int = 0
    large: int = 2
    large_items: int = 2500
    written: int = 0
    following: float = 0.0
    reads: int = 0
    pages: int = 0
    events: int = 0
    adopted: int = 0
    faults: list[str] = field(default_factory=list)

    async def run(self) -> Storm:
        """Follow."""
        server = await EmbeddedRedis(config={"save": ""}).start()
        try:
            async with Thoonk(server.url) as ours, Thoonk(server.url, check_interval=3600) as far:
                await self._run(server.url, ours, far)
        finally:
            await server.stop()
        return self

    async def _run(self, url: str, ours: Thoonk, far: Thoonk) -> None:
        self.feeds = self.feeds or self.follows
        names = [f"storm:{n}" for n in range(self.feeds)]
        kinds = ("feed", "sorted_feed")
        makes = [ours.create_feed(name, type=kinds[n % 2]) for n, name in enumerate(names)]
        await gatherResults(makes)
        large = [ours.sorted_feed(f"large:{n}") for n in range(self.large)]
        for each in large:
            await each.ensure()
            await gatherResults([each.append(f"{n}") for n in range(self.large_items)])
        self._names = [*names, *(each.name for each in large)]
        await far.follow(names[0], str)  # its scripts are known, and it listens
        writer = Child(reactor, "tests.trials.writer", url, f"{self.feeds}", f"{self.rate}")
        try:
            before = await self._scripts(ours)
            await until(lambda: self._scripts(ours).addCallback(lambda n: n > before + 100))
            accounts = await self._follow(ours, far)
            await until(lambda: sum(each.events for _, each in accounts) >= self.follows)
            writer.close()
            await writer.ended
            await self._check(ours, accounts)
        finally:
            await writer.kill()

    def _is_list(self, number: int) -> bool:
        return number >= self.feeds or number % 2 == 1

    async def _follow(self, ours: Thoonk, far: Thoonk) -> list[tuple[int, Account]]:
        """Follow all, while the other process writes."""
        sent, commands = far.redis.send, 0

        def send(command: bytes) -> Deferred[Any]:
            nonlocal commands
            commands += 1
            return sent(command)

        far.redis.send = send  # type: ignore[method-assign]  # to count round trips
        tokens = DeferredSemaphore(AT_ONCE)
        chosen = [n % self.feeds for n in range(self.follows)]
        chosen += range(self.feeds, self.feeds + self.large)
        accounts = [(n, Account(self._is_list(n))) for n in chosen]

        def follow(n: int, account: Account) -> Deferred[Any]:
            return far.follow(self._names[n], account).addCallback(account.began)

        before, scripts = reactor.seconds(), await self._scripts(ours)
        await gatherResults([tokens.run(follow, *each) for each in accounts])
        self.following = reactor.seconds() - before
        self.reads = commands
        self.written = await self._scripts(ours) - scripts - commands
        self.pages = self.follows + self.large * -(-self.large_items // PAGE)
        return accounts

    async def _check(self, ours: Thoonk, accounts: list[tuple[int, Account]]) -> None:
        """Nobody writes any more: compare."""
        there: dict[int, list[tuple[str, Any]]] = {}
        for n in {n for n, _ in accounts}:
            handle = (ours.sorted_feed if self._is_list(n) else ours.feed)(self._names[n])
            there[n] = list((await handle.get_all()).items())
            entries = await ours.redis.execute("XRANGE", handle.keys.history, "-", "+")
            heads = (fields[1].split(b"\0")[0] for _, fields in entries)
            self.adopted += sum(head.endswith(b"+") for head in heads)
        for n, each in accounts:

            def same(each: Account = each, n: int = n) -> bool:
                return each.items is not None and list(each.items.items()) == there[n]

            right = await soon(same, 20.0)
            self.events += each.events
            assert each.live is not None
            if not right or each.early or each.gaps or list(each.live) != there[n]:
                told = f"{each.early} early, {each.gaps} gaps, {each.events} events"
                self.faults.append(f"{self._names[n]}: {told}, {'right' if right else 'wrong'}")

    def _scripts(self, thoonk: Thoonk) -> Deferred[int]:
        """How often a script was called."""

        def read(data: bytes) -> int:
            found = re.search(rb"cmdstat_evalsha:calls=(\d+)", data)
            return int(found[1]) if found else 0

        return thoonk.redis.execute("INFO", "commandstats").addCallback(read)

    def lines(self) -> list[str]:
        """For people."""
        seconds = self.following
        large = f"{self.large} of feeds of {self.large_items} items"
        return [
            f"follows: {self.follows} of {self.feeds} feeds, {large}; in {seconds:.1f} s",
            f"changes meanwhile, by another process: {self.written}",
            f"changes a second: {self.written / seconds:.0f} ({self.rate:.0f} wanted)",
            f"events told: {self.events}",
            f"pages: {self.pages}; commands: {self.reads}, {self.reads / self.pages:.3f} a page",
            f"changes of ours that were taken for others': {self.adopted}",
            f"snapshot + events is not what there is, or not in order: {len(self.faults)}",
            *(f"  {fault}" for fault in self.faults[:10]),
        ]
