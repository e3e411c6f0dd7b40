"""What cannot be filled from the history is told: causes by the dozen, each tried many times."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, gatherResults

from tests.trials.scene import Scene, Subject, soon

__all__ = ["CHECK_INTERVAL", "Cause", "Tally", "table", "tried"]

reactor: Any = global_reactor

#: Seconds, of the instances that nobody tells anything.
CHECK_INTERVAL = 0.5

Make = Callable[[Scene, int], Awaitable[list[Subject]]]


@dataclass
class Cause:
    """Something that befalls feeds which are followed.

    :ivar title: for people.
    :ivar make: lets it befall so many feeds.
    :ivar reasons: of the ``Resync`` that has to come; empty: what is missing has to be replayed.
    :ivar config: of the server; a server is shared by causes with the same.
    :ivar idle: whether nothing but a check can tell.
    :ivar at_once: how many feeds it befalls at the same time.
    """

    title: str
    make: Make
    reasons: Sequence[str] = ()
    config: dict[str, Any] = field(default_factory=dict)
    idle: bool = False
    at_once: int = 40

    def scene(self) -> Scene:
        """A server and instances for it."""
        interval = CHECK_INTERVAL if self.idle else 3600.0
        return Scene(self.config, check_interval=interval)


@dataclass
class Tally:
    """What came of a cause.

    :ivar told: those that were told by a ``Resync`` of one of the right reasons.
    :ivar replayed: those of which nothing was lost, and that were told all events.
    :ivar faults: each case of what must not be.
    """

    title: str
    reasons: Sequence[str] = ()
    trials: int = 0
    told: int = 0
    replayed: int = 0
    missed: int = 0
    needless: int = 0
    wrong: int = 0
    slowest: float = 0.0
    faults: list[str] = field(default_factory=list)

    async def add(self, subject: Subject, patience: float) -> None:
        """Wait for what has to come, and look whether it is right."""
        self.trials += 1
        live, wants = subject.live, subject.wants
        where = f"{self.title}: {subject.name}"

        def told() -> bool:
            return bool(wants and wants & set(subject.resyncs()))

        if wants is not None:
            if await soon(told, patience):
                self.told += 1
                self.slowest = max(self.slowest, reactor.seconds() - subject.began)
            else:
                self.missed += 1
                self.faults.append(f"{where}: told {subject.resyncs()}, not {sorted(wants)}")
        synced = Deferred.fromCoroutine(settled(subject, patience))
        if not await synced:
            self.wrong += 1
            self.faults.append(f"{where}: {await subject.differs() or 'not synced'}")
        elif wants is None:
            why = str(subject.resyncs() or await subject.log_differs())
            if subject.resyncs():
                self.needless += 1
                self.faults.append(f"{where}: a needless Resync, {why}")
            elif why:
                self.missed += 1
                self.faults.append(f"{where}: {why}")
            else:
                self.replayed += 1
        live.stop()


async def settled(subject: Subject, patience: float) -> bool:
    """Whether a copy becomes what Redis has."""

    async def same() -> bool:
        if not subject.live.synced:
            return False
        there = await subject.revision()
        return subject.live.revision == there and not await subject.differs()

    return await soon(same, patience)


async def tried(
    causes: Sequence[Cause],
    each: int,
    patience: float = 15.0,
    say: Callable[[str], object] = str,
) -> list[Tally]:
    """Try each cause so often.

    :param patience: seconds.
    :param say: how far it is.
    """
    tallies = []
    for cause in causes:
        tally = Tally(cause.title, cause.reasons)
        scene = await cause.scene().start()
        try:
            while tally.trials < each:
                subjects = await cause.make(scene, min(cause.at_once, each - tally.trials))
                await gatherResults(
                    [Deferred.fromCoroutine(tally.add(each, patience)) for each in subjects]
                )
                for subject in subjects:
                    subject.stop()
        finally:
            await scene.stop()
        tallies.append(tally)
        say(f"{tally.title}: {tally.trials} trials, {len(tally.faults)} faults")
    return tallies


HEADS = ("", "trials", "told", "replayed", "missed", "needless", "wrong", "slowest")


def table(tallies: Sequence[Tally]) -> list[str]:
    """For people."""
    wide = max(len(f"{each.title}") for each in tallies) + 2
    rows = [f"{HEADS[0]:{wide}}" + "".join(f"{head:>9}" for head in HEADS[1:])]
    for each in tallies:
        numbers = [each.trials, each.told, each.replayed, each.missed, each.needless, each.wrong]
        slow = f"{each.slowest:.1f} s" if each.told else ""
        rows.append(f"{each.title:{wide}}" + "".join(f"{n:9}" for n in numbers) + f"{slow:>9}")
    sums = [sum(getattr(each, head) for each in tallies) for head in HEADS[1:-1]]
    rows.append(f"{'all':{wide}}" + "".join(f"{n:9}" for n in sums))
    faults = [fault for each in tallies for fault in each.faults]
    return rows + [f"  {fault}" for fault in faults[:20]]
