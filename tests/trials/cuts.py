"""Connections that break at every byte, in every way there is."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.helpers import until
from tests.proxy import FaultProxy
from tests.trials.scene import Scene, Subject, soon
from txthoonk.keys import FeedKeys, encode

__all__ = [
    *("IMPATIENT", "KINDS", "Load", "Sweep", "both_sides", "broken", "cut", "faults_of"),
    *("lengths", "pairs"),
]

reactor: Any = global_reactor

#: How a connection ends, or is hard to read.
KINDS = ("drop", "reset", "stall", "mid-reply", "slices", "refused")

#: Seconds after which a stalled connection is given up, where that is tried.
IMPATIENT: dict[str, Any] = {"ping_interval": 0.3, "ping_timeout": 0.3, "check_interval": 3600.0}


class Load:
    """Changes, until it is stopped."""

    def __init__(self, subjects: Sequence[Subject], seed: int = 1) -> None:
        self._subjects = subjects
        self.chance = random.Random(seed)
        self._working = True
        self.changes = 0
        self._done = Deferred.fromCoroutine(self._work())

    @property
    def lives(self) -> list[Any]:
        """Those who follow what is changed."""
        return [subject.live for subject in self._subjects]

    async def _work(self) -> None:
        while self._working:
            subject = self.chance.choice(self._subjects)
            ids = await subject.handle.get_ids()
            what = self.chance.random()
            handle = subject.handle
            if what < 0.5 or len(ids) < 2:
                await subject.change()
            elif what < 0.7:
                id = self.chance.choice(ids)
                edit = handle.publish if handle.TYPE == "feed" else handle.edit
                # A feed's ids come second.
                await (edit("edited", id=id) if handle.TYPE == "feed" else edit(id, "edited"))
            elif what < 0.9 or handle.TYPE == "feed":
                await handle.retract(self.chance.choice(ids))
            else:
                await handle.move_after(*self.chance.sample(ids, 2))
            self.changes += 1

    async def stop(self) -> None:
        """Change nothing more."""
        self._working = False
        await self._done


async def cut_once(kind: str, proxies: Sequence[FaultProxy], chance: random.Random) -> None:
    """Let something happen to connections, and go by."""
    pause = chance.random() * 0.02
    for proxy in proxies:
        if kind == "drop":
            proxy.drop()
        elif kind == "reset":
            proxy.reset()
        elif kind == "stall":
            proxy.stall()
            pause = 0.9  # a ping, and that it is not answered
        elif kind == "mid-reply":
            proxy.cut_in(chance.randrange(400))
        elif kind == "slices":
            proxy.slice = chance.choice((1, 2, 7, 100))
            pause = 0.1
        else:
            await proxy.refuse()
            proxy.reset()
    await deferLater(reactor, pause)
    for proxy in proxies:
        proxy.slice = None
        if proxy.stalled:
            proxy.resume()
        if not proxy.is_listening:
            proxy.listen()


async def cut(kind: str, proxies: Sequence[FaultProxy], load: Load) -> None:
    """Let something happen, and wait until all goes on: on new connections, if they have ended."""
    before, accepted = load.changes, [proxy.accepted for proxy in proxies]
    await cut_once(kind, proxies, load.chance)

    def again() -> bool:
        for live in load.lives:
            live.when_synced().addErrback(lambda _: None)  # it reads: a reply may be cut
        pairs = zip(proxies, accepted, strict=True)
        return load.changes > before + 10 and all(
            kind == "slices" or (proxy.accepted > count and proxy.connections)
            for proxy, count in pairs
        )

    await until(again)


async def faults_of(subjects: Sequence[Subject], patience: float = 20.0) -> list[str]:
    """Wait for all copies to be what Redis has; what is wrong with them, or with what was told."""
    faults = []
    for each in subjects:

        async def same(each: Subject = each) -> bool:
            return (
                each.live.synced
                and each.live.revision == await each.revision()
                and not await each.differs()
            )

        if not await soon(same, patience):
            faults.append(f"{each.name}: {await each.differs() or 'not synced'}")
        elif each.resyncs():
            faults.append(f"{each.name}: needless {each.resyncs()}")
        else:
            why = await each.log_differs()
            faults += [f"{each.name}: {why}"] if why else []
    return faults


# -- the two messages of one change -----------------------------------------------------------


def length(channel: bytes, payload: bytes) -> int:
    """How many bytes a message has on the wire."""
    parts = (channel, payload)
    sizes = [len(part) + len(b"$%d\r\n\r\n" % len(part)) for part in parts]
    return len(b"*3\r\n$7\r\nmessage\r\n") + sum(sizes)


async def lengths(subject: Subject) -> tuple[int, int]:
    """How many bytes the messages about the last change had: ours, and the contract's."""
    keys = FeedKeys(encode(subject.name))
    [[_, fields]] = await subject.handle.pub.redis.execute(
        "XREVRANGE", keys.history, "+", "-", "COUNT", 1
    )
    head, position, rest = fields[1].split(b"\0", 2)
    ours, contract = length(keys.event_channel, fields[1]), 0
    verb = head.split(b" ")[4].rstrip(b"+")
    if subject.handle.TYPE == "sorted_feed" and verb == b"edit":
        verb = b"publish"  # as the contract has it
    contract += length(getattr(keys, f"{verb.decode()}_channel"), rest)
    if position and verb == b"publish":
        place = rest.split(b"\0")[0] + b"\0" + position
        contract += length(keys.position_channel, place)
    return ours, contract


class Sweep:
    """One change after the other, and a cut at one byte of each one's messages.

    :ivar places: how many cuts were where: ``before`` the end of the first message, ``between``
        the two, ``behind`` both.
    """

    def __init__(self, scene: Scene, subject: Subject) -> None:
        self.scene = scene
        self.subject = subject
        self.places: Counter[str] = Counter()
        self.foreign = 0
        self._number = 0

    async def cut(self, at: int, foreign: bool) -> None:
        """Cut the next change's messages, by us or by others, at a byte."""
        self._number += 1
        scene, subject = self.scene, self.subject
        proxy = scene.messages
        await until(lambda: subject.live.synced and len(proxy.connections) == 1)
        proxy.cut_in(at)
        [pipe] = proxy.connections
        if foreign:
            self.foreign += 1
            peer = scene.foreign(subject.name)
            if subject.handle.TYPE == "feed":
                await peer.publish(f"theirs {self._number}", "item")
            else:
                await peer.append("item")
        else:
            await subject.change()
            ours, contract = await lengths(subject)
            where = "before" if at < ours else "between" if at < ours + contract else "behind"
            self.places[where] += 1
        last = await subject.revision()
        await until(lambda: subject.live.revision >= last or pipe not in proxy.connections)
        proxy.reset(*(each for each in proxy.connections if each is pipe))
        await until(lambda: pipe not in proxy.connections and not scene.far.hears)
        await until(lambda: subject.live.synced)

    async def mistaken(self) -> int:
        """By how many the changes that were adopted differ from those that others made."""
        key = FeedKeys(encode(self.subject.name)).history
        entries = await self.scene.ours.redis.execute("XRANGE", key, "-", "+")
        heads = [fields[1].split(b"\0")[0] for _, fields in entries]
        return abs(sum(head.endswith(b"+") for head in heads) - self.foreign)


async def both_sides(scene: Scene, subject: Subject, foreign: bool, early: bool) -> None:
    """Changes that are read from the history before their messages come, or long after them.

    :param early: both messages of each change come before a cut, and the change is told after it;
        else it is told by what was read, and its messages come later, one of them before a cut.
    """
    proxy = scene.messages

    async def change() -> None:
        peer = scene.foreign(subject.name)
        if not foreign:
            await subject.change()
        elif subject.handle.TYPE == "feed":
            await peer.publish(f"theirs {random.random()}", "item")
        else:
            await peer.append("item")

    await until(lambda: subject.live.synced)
    if early:
        scene.commands.stall()
        scene.messages.reset()
        await until(lambda: not scene.far.hears)
        await until(lambda: scene.far.hears)  # it reads now, in vain
        passed = sum(pipe.passed for pipe in proxy.connections)
        await change()
        await until(lambda: sum(pipe.passed for pipe in proxy.connections) > passed)
        proxy.reset()
        await until(lambda: not scene.far.hears)
        scene.commands.resume()
    else:
        proxy.stall()
        await change()
        await change()
        synced = subject.live.when_synced()  # looks, without a message
        await synced
        proxy.cut_in(random.randrange(20, 500))
        proxy.resume()
    await until(lambda: subject.live.synced)


# -- for longer -------------------------------------------------------------------------------


async def broken(
    each: int, seed: int, say: Callable[[str], object] = str
) -> tuple[list[str], list[str]]:
    """Break connections so often in each way: what is told of it, and what was wrong."""
    faults: list[str] = []
    lines = ["             cuts  changes  connections  faults"]
    for kind in KINDS:
        scene = await Scene(**IMPATIENT).start()
        try:
            subjects = await scene.followed(6, history=1_000_000)
            load = Load(subjects, seed)
            both = [scene.commands, scene.messages]
            for turn in range(each):
                await cut(kind, (both[:1], both[1:], both)[turn % 3], load)
            await load.stop()
            found = await faults_of(subjects)
            made = sum(proxy.accepted for proxy in both)
        finally:
            await scene.stop()
        faults += found
        lines.append(f"{kind:10}{each:7}{load.changes:9}{made:13}{len(found):8}")
        say(lines[-1])
    return lines + [f"  {fault}" for fault in faults[:10]], faults


async def pairs(count: int, seed: int, say: Callable[[str], object] = str) -> tuple[list[str], int]:
    """So many changes, each cut at a byte of its messages: what is told of it, and mistakes."""
    chance, lines, mistaken = random.Random(seed), [], 0
    scene = await Scene(check_interval=3600.0).start()
    try:
        for subject in await scene.followed(2, history=1_000_000):
            sweep = Sweep(scene, subject)
            await sweep.cut(1, foreign=False)
            ours, contract = await lengths(subject)
            for n in range(count // 2):
                late = n % 2 == 0  # half of them between the two
                at = chance.randrange(ours if late else 1, ours + contract)
                await sweep.cut(at, foreign=n % 4 == 3)
            for n in range(count // 20):
                foreign, early = n % 2 == 0, n % 4 < 2
                sweep.foreign += (1 if early else 2) if foreign else 0
                await both_sides(scene, subject, foreign, early)
            faults = await faults_of([subject])
            wrong = await sweep.mistaken()
            mistaken += wrong + len(faults)
            places = ", ".join(f"{n} {where}" for where, n in sorted(sweep.places.items()))
            lines += [
                f"{subject.handle.TYPE}: cuts at a byte of our changes' messages: {places}",
                f"  changes read before their messages came, or told after a cut: {count // 20}",
                f"  changes of others: {sweep.foreign}; mistaken: {wrong}",
                f"  log is not the history, copy is not the feed: {len(faults)} {faults or ''}",
            ]
            say(lines[-2])
    finally:
        await scene.stop()
    return [line.rstrip() for line in lines], mistaken
