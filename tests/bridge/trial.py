"""Jobs that are put in one dialect and done in the other, while bridges are killed at random."""

from __future__ import annotations

import collections
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.bridge.processes import Bridges
from tests.lua_peer import JobsPeer, Refused
from tests.peer_jobs import Peer
from txthoonk import JobWorker, Thoonk
from txthoonk.link import connect
from txthoonk.redis import Redis, RedisSubscriber
from txthoonk.target import Target

__all__ = ["Outcome", "Trial"]

#: How many jobs are on their way at a time, and how many seconds no job may take.
AT_ONCE: Final = 300
LONGEST: Final = 60.0

#: Where the results of a dialect are told.
CHANNELS: Final = {"contract": "job.finish", "lua": "event.job.finish"}


class Outcome(NamedTuple):
    """What became of the jobs of one way.

    :ivar done: how many were done.
    :ivar twice: how often one was done more than once.
    :ivar lost: how many were not done, or are still there.
    :ivar right: how many results were told at their origin, once, as they should be.
    :ivar wrong: how many were told there in another way, or twice.
    :ivar kills: of bridges that were open.
    """

    way: str
    jobs: int
    done: int
    twice: int
    lost: int
    right: int
    wrong: int
    kills: int
    seconds: float

    @property
    def is_well(self) -> bool:
        """Nothing lost, nothing done twice, every result where it belongs."""
        return self.right == self.done == self.jobs and not (self.twice or self.lost or self.wrong)


class Trial:
    """One way, from one dialect to the other.

    :param url: of Redis.
    :param name: of the feed.
    :param origin: the dialect in which jobs are put; they are done in the other.
    :param ours: whether both sides are programs of ours, and there is one bridge, killed at any
        instant; otherwise thoonk.py and thoonk-jobs, and there are three, killed one at a time.
    :param rate: how many jobs are put in a second, in bursts.
    """

    def __init__(
        self,
        reactor: Any,
        url: str,
        name: str,
        origin: str,
        ours: bool,
        jobs: int,
        seed: int,
        rate: int = 200,
    ) -> None:
        self._random = random.Random(seed)
        self._rate = rate
        self._reactor = reactor
        self._url = url
        self._name = name
        self._origin = origin
        self._ours = ours
        self._jobs = jobs
        self._done: collections.Counter[str] = collections.Counter()
        self._told: collections.Counter[tuple[str, str]] = collections.Counter()
        self._put = 0
        self._going = True
        self._open: list[Any] = []
        self.bridges = Bridges(reactor, url, name, 1 if ours else 3, seed)

    async def run(self) -> Outcome:
        """Put, do, kill, count."""
        begun = self._reactor.seconds()
        there = "lua" if self._origin == "contract" else "contract"
        sides = {name: Thoonk(self._url, reactor=self._reactor, dialect=name) for name in CHANNELS}
        for side in sides.values():
            side.startService()
            await side.when_connected()
        jobs = {name: await side.job(self._name) for name, side in sides.items()}
        await self._listen()
        self.bridges.start()
        workers: list[Deferred[Any]] = []
        worker: Any = None
        if self._ours:
            worker = JobWorker(sides[there], self._name, self._do, concurrency=50)
            worker.startService()
        else:
            work = self._as_lua if there == "lua" else self._as_contract
            workers = [Deferred.fromCoroutine(work(jobs[there])) for _ in range(4)]
        put = await self._putter(jobs[self._origin])
        try:
            await self._put_all(put)
            await self._until_still()
            keys = jobs[self._origin].keys
            left = await sides[self._origin].redis.execute("HLEN", keys.items)
            left += await sides[there].redis.execute("HLEN", jobs[there].keys.items)
        finally:
            self._going = False
            await gatherResults(workers)
            if worker is not None:
                await worker.stopService()
            await self.bridges.stop()
            for each in self._open:
                await each.close()
            for job in jobs.values():
                await job.delete()
            for side in sides.values():
                await side.stopService()
        return self._outcome(there, left, self._reactor.seconds() - begun)

    def _outcome(self, there: str, left: int, seconds: float) -> Outcome:
        ids = [f"j{n}" for n in range(self._jobs)]
        right = sum(self._told[id, f"did {id}"] == 1 for id in ids)
        who = "txThoonk" if self._ours else "peers"
        return Outcome(
            f"{self._origin} -> {there}, {who}",
            self._jobs,
            len(self._done),
            sum(count - 1 for count in self._done.values()),
            max(left, sum(not self._done[id] for id in ids)),
            right,
            sum(self._told.values()) - right,
            self.bridges.kills,
            seconds,
        )

    # -- putting ----------------------------------------------------------------------------

    async def _putter(self, job: Any) -> Callable[[str], Awaitable[Any]]:
        if self._ours:
            return lambda new: job.put(f"item {new}", id=new)
        if self._origin == "lua":
            peer = JobsPeer(await self._connect(), self._name)
            return lambda new: peer.put(f"item {new}", id=new)
        other = Peer(await self._connect(), job.keys)
        return lambda new: other.put(new, f"item {new}")

    async def _put_all(self, put: Callable[[str], Awaitable[Any]]) -> None:
        waited = 0.0
        while self._put < self._jobs and waited < LONGEST:
            if self._put - len(self._told) >= AT_ONCE:
                await deferLater(self._reactor, 0.005)
                waited += 0.005
                continue
            waited = 0.0
            burst = min(self._random.randint(1, AT_ONCE), self._jobs - self._put)
            for _ in range(burst):
                await put(f"j{self._put}")
                self._put += 1
            await deferLater(self._reactor, burst / self._rate)

    async def _until_still(self) -> None:
        """Wait for the last results; then for those that should not come."""
        waited = 0.0
        while len(self._told) < self._jobs and waited < LONGEST:
            await deferLater(self._reactor, 0.05)
            waited += 0.05
        await deferLater(self._reactor, 1.0)

    async def _listen(self) -> None:
        redis = await connect(Target.parse(self._url).endpoint(self._reactor), RedisSubscriber)
        self._open.append(redis)

        def heard(_: bytes, payload: bytes) -> None:
            id, _, result = payload.decode().partition("\0")
            self._told[id, result] += 1

        redis.messageReceived = heard  # type: ignore[assignment,method-assign]  # as 0.1's users do
        await redis.subscribe(f"{CHANNELS[self._origin]}:{self._name}".encode())

    # -- doing ------------------------------------------------------------------------------

    def _do(self, claim: Any) -> str:
        self._done[claim.id] += 1
        return f"did {claim.id}"

    async def _as_lua(self, job: Any) -> None:
        peer = JobsPeer(await self._connect(), self._name)
        while self._going:
            try:
                id, _ = await peer.get(1)
            except Refused:
                continue
            self._done[id] += 1
            await peer.finish(id, f"did {id}")

    async def _as_contract(self, job: Any) -> None:
        peer = Peer(await self._connect(), job.keys)
        while self._going:
            id = await peer.claim()
            if id is None:
                await deferLater(self._reactor, 0.01)
                continue
            self._done[id] += 1
            await peer.finish(id, f"did {id}")

    async def _connect(self) -> Redis:
        redis = await connect(Target.parse(self._url).endpoint(self._reactor), Redis)
        self._open.append(redis)
        return redis
