"""Puts items, and looks at each answer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.fuzz_actions.items import Items
from tests.fuzz_actions.oracle import expected, read
from txthoonk import JobFinished, Thoonk
from txthoonk.actions.answers import ITEMS

__all__ = ["CODES", "Fuzz"]

#: What an answer may be; and how many jobs are under way, and put in one go.
CODES = frozenset({200, 400, 403, 404, 409, 413, 422})
UNDER_WAY, BATCH = 6000, 500


class Fuzz:
    """One run.

    :param thoonk: that puts.
    :param group: of the actions; some worker works on its job feed.
    :ivar codes: how many answers were of each.
    :ivar wrong: what should not have been, in words.
    """

    def __init__(self, thoonk: Thoonk, group: str, items: Items) -> None:
        self._thoonk = thoonk
        self._items = items
        self._job = thoonk.job(group, serializer=ITEMS)
        self._under_way: dict[str, tuple[bytes, bool | None]] = {}
        self._early: dict[str, Any] = {}
        self._wait: Deferred[None] | None = None
        self.codes: Counter[int] = Counter()
        self.wrong: list[str] = []
        self.answered = self.to_be_done = self.forged = 0
        self.different: set[int] = set()

    async def run(self, payloads: int, tell: Callable[[str], None] = lambda text: None) -> None:
        """Put so many, and wait until all are answered."""
        reactor = self._thoonk.get_reactor()
        await self._job
        trouble = dict.fromkeys(("cancel", "expire", "stall", "delay", "retry"), self._trouble)
        subscription = await self._job.subscribe(finish=self._finished, **trouble)
        began = told = time.monotonic()
        left = payloads
        while left:
            batch = [self._items.make() for _ in range(min(left, BATCH))]
            left -= len(batch)
            judged = [(data, expected(data)) for data in batch]
            ids = await self._job.put_many(batch)
            for id, judgement in zip(ids, judged, strict=True):
                self._under_way[id] = judgement
                if id in self._early:
                    self._look(id, self._early.pop(id))
            if len(self._under_way) > UNDER_WAY:
                self._wait = Deferred()
                await self._wait
            if time.monotonic() - told > 5:
                told = time.monotonic()
                tell(self.line(told - began))
        deadline = time.monotonic() + 60
        while self._under_way and time.monotonic() < deadline:
            await deferLater(reactor, 0.02)
        for data, _ in self._under_way.values():
            self._complain("no answer", data)
        subscription.stop()
        await self._look_at_feed(payloads)
        tell(self.line(time.monotonic() - began))

    def line(self, seconds: float) -> str:
        """How far it is."""
        codes = " ".join(f"{code}: {self.codes[code]:,}" for code in sorted(self.codes))
        return (
            f"{self.answered:9,} answered, {len(self.different):,} different, in {seconds:.0f} s, "
            f"{self.answered / max(seconds, 0.001):,.0f}/s; {codes}; "
            f"user forged: {self.forged:,}; wrong: {len(self.wrong)}"
        )

    async def _look_at_feed(self, payloads: int) -> None:
        """Nothing is left, parked, delayed or counted; all that was put was finished."""
        stats = await self._job.stats()
        if stats[:5] != (0, 0, 0, 0, 0) or stats.finishes != stats.puts:
            self.wrong.append(f"the feed is left as {stats}")
        keys = self._job.keys
        for key in (keys.cancelled, keys.errors, keys.lease, keys.items):
            if count := await self._thoonk.redis.execute("HLEN", key):
                self.wrong.append(f"{count} in {key.decode()}")
        if self.answered != payloads:
            self.wrong.append(f"{self.answered} answers to {payloads} payloads")

    def _trouble(self, event: Any) -> None:
        self.wrong.append(f"an attempt was spent: {event}")

    def _finished(self, event: JobFinished) -> None:
        if event.id in self._under_way:
            self._look(event.id, event.result)
        else:
            self._early[event.id] = event.result

    def _look(self, id: str, answer: Any) -> None:
        data, to_be_done = self._under_way.pop(id)
        self.answered += 1
        self.to_be_done += bool(to_be_done)
        self.different.add(hash(data))
        waiting = self._wait
        if waiting is not None and len(self._under_way) < UNDER_WAY // 2:
            self._wait = None
            waiting.callback(None)
        code = answer.get("code") if isinstance(answer, dict) else None
        self.codes[code] += 1
        if code not in CODES or (code != 200 and not isinstance(answer.get("error"), str)):
            self._complain(f"answered {answer}", data)
        elif to_be_done is not None and (code == 200) != to_be_done:
            self._complain(f"answered {answer}, to be done: {to_be_done}", data)
        elif "Traceback" in str(answer.get("error", "")):
            self._complain(f"told {answer}", data)
        elif code == 200:
            self._look_at_result(answer["result"], data)

    def _look_at_result(self, result: Any, data: bytes) -> None:
        item = read(data)
        if item.get("can"):
            if result is not None:
                self._complain("the function was called, and was not to be", data)
            return
        self.forged += "user" in item["payload"]
        if result["wrong"] or result["user"] != item["user"]:
            self._complain(f"the function saw what it must not: {result}", data)

    def _complain(self, what: str, data: bytes) -> None:
        if len(self.wrong) < 100:
            self.wrong.append(f"{what}: {data[:300]!r}")
