"""Three workers of different makes on one feed of jobs: ours, thoonk.py, and a bare BRPOP loop."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.peers.process import ThoonkPy
from txthoonk import Job, Thoonk
from txthoonk.events import JobFinished
from txthoonk.keys import FeedKeys
from txthoonk.redis import Redis

__all__ = ["Shared", "share"]

#: Seconds without a job after which a worker goes.
IDLE = 1

#: Seconds that results of ours are kept for who asks.
RESULTS = 2

#: What a feed of jobs keeps, whoever works on it.
KEPT = frozenset({"feed.config", "feed.publishes", "feed.finishes"})


@dataclass
class Shared:
    """What became of the jobs.

    :ivar ids: of those that were put.
    :ivar done: who says that it has finished which, in order.
    :ivar announced: how often each was announced as finished.
    :ivar puts: as the feed counts, and what it has under way in the end.
    :ivar kept: what there is beside options and counters when all is done, and how much.
    :ivar left: the keys of the feed, and how much is in each, when results are no longer kept.
    """

    ids: list[str] = field(default_factory=list)
    done: dict[str, list[str]] = field(default_factory=dict)
    announced: Counter[str] = field(default_factory=Counter)
    wrong_results: int = 0
    puts: int = 0
    finishes: int = 0
    seconds: float = 0.0
    kept: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)

    @property
    def by(self) -> dict[str, int]:
        """How many each worker has finished."""
        return {who: len(ids) for who, ids in self.done.items()}

    def problems(self) -> list[str]:
        """Whatever is not as it should be."""
        times = Counter(id for ids in self.done.values() for id in ids)
        wrong = {
            "were not done": len(set(self.ids) - times.keys()),
            "were done more than once": sum(count > 1 for count in times.values()),
            "were never put": len(times.keys() - set(self.ids)),
            "were not announced just once": sum(self.announced[id] != 1 for id in self.ids),
            "had another result": self.wrong_results,
        }
        found = [f"{count} {what}" for what, count in wrong.items() if count]
        if (self.puts, self.finishes) != (len(self.ids), len(self.ids)):
            found.append(f"counted: {self.puts} puts, {self.finishes} finishes")
        found += [f"{who} did {count}" for who, count in self.by.items() if count < 10]
        found += [f"left: {key} ({size})" for key, size in self.left.items() if key not in KEPT]
        return found


async def share(
    thoonk: Thoonk,
    worker: ThoonkPy,
    producer: ThoonkPy,
    redis: Redis,
    jobs: int,
    name: str = "shared",
) -> Shared:
    """Put jobs, half of them by thoonk.py, and have three workers do them.

    :param worker: the worker that is thoonk.py.
    :param producer: another thoonk.py.
    :param redis: a connection for the bare worker.
    """
    shared = Shared()
    job: Job = await thoonk.job(name, result_ttl=RESULTS)

    def finished(event: JobFinished) -> None:
        shared.announced[event.id] += 1
        who, _, item = event.result.partition(" ")
        shared.wrong_results += who not in ("ours", "theirs", "raw") or not item.startswith("job ")

    await job.subscribe(finish=finished)
    start = time.monotonic()
    workers = {
        "ours": Deferred.fromCoroutine(_ours(job)),
        "theirs": worker.do("work", name, IDLE, "theirs "),
        "raw": Deferred.fromCoroutine(_raw(redis, job.keys)),
    }
    for first in range(0, jobs, 50):
        items = [f"job {number}" for number in range(first, min(first + 50, jobs))]
        ours = gatherResults([job.put(item) for item in items[::2]])
        shared.ids += await producer.do("put", name, items[1::2])
        shared.ids += await ours
    for who, working in workers.items():
        shared.done[who] = await working
    shared.seconds = time.monotonic() - start - IDLE
    stats = await job.stats()
    shared.puts, shared.finishes = stats.puts, stats.finishes
    # A handler that heard the last message has heard all.
    await thoonk.remove_handler(await thoonk.register_handler("a channel", print))
    shared.left = await _keys(thoonk, name)
    shared.kept = {key: size for key, size in shared.left.items() if key not in KEPT}
    end = time.monotonic() + RESULTS + 10
    while shared.left.keys() - KEPT and time.monotonic() < end:
        await job.maintenance(lost_grace=0.05)  # drops some hundred that are due
        shared.left = await _keys(thoonk, name)
    return shared


async def _keys(thoonk: Thoonk, name: str) -> dict[str, int]:
    """The keys of a feed, without its name, and how much is in each."""
    sizes = {b"hash": "HLEN", b"list": "LLEN", b"set": "SCARD", b"zset": "ZCARD"}
    found = {}
    for key in await thoonk.redis.execute("KEYS", f"*:{name}"):
        kind = await thoonk.redis.execute("TYPE", key)
        size = await thoonk.redis.execute(sizes[kind], key) if kind in sizes else 1
        found[key.decode().removesuffix(f":{name}")] = int(size)
    return found


async def _ours(job: Job) -> list[str]:
    """One job at a time, as the others do."""
    from txthoonk import Empty

    done = []
    while True:
        try:
            claim = await job.get(timeout=IDLE)
        except Empty:
            return done
        await claim.finish(f"ours {claim.item}")
        done.append(claim.id)


async def _raw(redis: Redis, keys: FeedKeys) -> list[str]:
    """What the contract says a worker does, command by command."""
    done = []
    while popped := await redis.execute("BRPOP", keys.ids, IDLE):
        id = popped[1]
        _, item = await _together(
            redis, ("ZADD", keys.claimed, int(time.time() * 1000), id), ("HGET", keys.items, id)
        )
        await redis.execute("WATCH", keys.claimed)
        if await redis.execute("ZRANK", keys.claimed, id) is None:
            await redis.execute("UNWATCH")
            continue
        commands: list[tuple[Any, ...]] = [
            ("ZREM", keys.claimed, id),
            ("HDEL", keys.cancelled, id),
            ("ZREM", keys.published, id),
            ("INCR", keys.finishes),
            ("PUBLISH", keys.finish_channel, id + b"\0raw " + item),
            ("HDEL", keys.items, id),
        ]
        while await _together(redis, *commands) is None:
            await redis.execute("WATCH", keys.claimed)
        done.append(id.decode())
    return done


async def _together(redis: Redis, *commands: tuple[Any, ...]) -> list[Any]:
    redis.execute("MULTI")
    for command in commands:
        redis.execute(*command)
    replies: list[Any] = await redis.execute("EXEC")
    return replies
