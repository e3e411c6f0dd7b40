"""Redis is killed, and cuts those off who listen, again and again; nobody starts anything anew."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.follow_helpers import FollowHeard
from tests.helpers import until
from tests.trials.cuts import faults_of
from tests.trials.scene import AOF, Scene, Subject
from txthoonk import ConnectionLost, NotConnected, Thoonk

__all__ = ["Outage"]

reactor: Any = global_reactor


@dataclass
class Outage:
    """Feeds that are written to and followed, one by one and by a pattern.

    :ivar changes: that were acknowledged; *unknown*: that may have been made.
    :ivar closed: connections that CLIENT KILL has ended.
    """

    instances: int = 3
    feeds: int = 6
    writers: int = 4
    changes: int = 0
    unknown: int = 0
    kills: int = 0
    closed: int = 0
    followers: list[Subject] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    async def run(self, kills: int, seconds: float, every: float = 1.0) -> Outage:
        """Kill Redis so often; then cut all subscribers off for so many seconds."""
        scene = Scene(AOF, check_interval=3600.0)
        try:
            await scene.start()
            await self._run(scene, kills, seconds, every)
        finally:
            await scene.stop()
        return self

    async def _run(self, scene: Scene, kills: int, seconds: float, every: float) -> None:
        subjects = await scene.subjects(self.feeds, history=10_000_000)
        far = [await scene.instance(check_interval=3600.0) for _ in range(self.instances)]
        for thoonk in far:
            for subject in subjects:
                self.followers.append(Subject(subject.handle))
                await self.followers[-1].follow(thoonk)
        heard = FollowHeard()
        pattern = await far[0].follow_pattern("trial:*", heard)
        self.working = True
        load = [self._write(scene.ours, subjects, n) for n in range(self.writers)]
        for _ in range(kills):
            await self._more(50)
            await scene.server.kill()
            self.kills += 1
            await deferLater(reactor, random.random() / 4)
            await scene.server.start()
        await self._more(50)
        end = reactor.seconds() + seconds
        while reactor.seconds() < end:
            killed = scene.ours.redis.execute("CLIENT", "KILL", "TYPE", "pubsub")
            self.closed += await killed
            await deferLater(reactor, every)
        await self._more(50)
        self.working = False
        await gatherResults(load)
        self.faults += await faults_of(self.followers)
        await pattern.when_synced()
        for subject in subjects:
            events = [event for event in heard if event.feed == subject.name]
            other = self._of(subject.name)
            if events != list(other.heard) or list(pattern[subject.name]) != list(other.live):
                self.faults.append(f"{subject.name}: the pattern was told {len(events)}")
        self.told = sum(len(each.heard) for each in self.followers) + len(heard)

    def _of(self, name: str) -> Subject:
        return next(each for each in self.followers if each.name == name)

    async def _more(self, count: int) -> None:
        """Until there are so many changes more."""
        before = self.changes
        await until(lambda: self.changes >= before + count)

    def _write(self, thoonk: Thoonk, subjects: list[Subject], number: int) -> Deferred[None]:
        async def write() -> None:
            chance, n = random.Random(number), 0
            while self.working:
                n += 1
                handle = chance.choice(subjects).handle
                try:
                    if handle.TYPE == "sorted_feed":
                        id = await handle.append(f"{number} {n}")
                        if chance.random() < 0.8:
                            await handle.retract(id)
                    else:
                        await handle.publish(f"{number} {n}", id=f"{chance.randrange(20)}")
                except (NotConnected, ConnectionLost):
                    self.unknown += 1
                else:
                    self.changes += 1
                await deferLater(reactor, 0.002)

        return Deferred.fromCoroutine(write())

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"followers: {len(self.followers)} in {self.instances} instances, and a pattern's",
            f"Redis killed: {self.kills}",
            f"connections ended by CLIENT KILL: {self.closed}",
            f"writes confirmed: {self.changes}, unknown: {self.unknown}",
            f"events told: {self.told}",
            f"wrong copies, logs other than the history, Resyncs: {len(self.faults)}",
            *(f"  {fault}" for fault in self.faults[:10]),
        ]
