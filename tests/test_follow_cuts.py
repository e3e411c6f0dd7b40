"""Followers whose connections break in every way: all is told, once, and by nobody twice."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.helpers import open_now, until
from tests.trials.cuts import (
    IMPATIENT,
    KINDS,
    Load,
    Sweep,
    both_sides,
    cut,
    faults_of,
    lengths,
)
from tests.trials.scene import Scene, Subject
from txthoonk import NotConnected
from txthoonk.events import FeedDeleted, Resync
from txthoonk.following import Follower

reactor: Any = global_reactor


class CutCase(TestCase):
    """A scene of its own."""

    timeout = 240

    async def begin(self, count: int, **options: Any) -> list[Subject]:
        """Begin; so many feeds and sorted feeds are followed."""
        self.scene = Scene(**{"check_interval": 3600.0, **options})
        self.addCleanup(self.scene.stop)
        await self.scene.start()
        return await self.scene.followed(count, history=5000)

    async def all_right(self, subjects: list[Subject]) -> None:
        """All copies are right, and all logs are the histories, without a ``Resync``."""
        self.assertEqual(await faults_of(subjects), [])


class KindTests(CutCase):
    """Each way to break."""

    async def break_often(self, kind: str) -> None:
        """Break each connection, and both, while others write."""
        subjects = await self.begin(6, **IMPATIENT)
        scene = self.scene
        load = Load(subjects)
        before = scene.commands.accepted + scene.messages.accepted
        rounds = 1 if kind == "stall" else 4
        for proxies in ([scene.commands], [scene.messages], [scene.commands, scene.messages]):
            for _ in range(rounds):
                await cut(kind, proxies, load)
        await load.stop()
        await self.all_right(subjects)
        if kind != "slices":
            broken = scene.commands.accepted + scene.messages.accepted - before
            self.assertGreaterEqual(broken, 4 * rounds)
        told = sum(len(each.heard) for each in subjects)
        self.assertEqual(told, load.changes)

    async def test_drop(self) -> None:
        """
        Connections that the server closes.
        """
        await self.break_often("drop")

    async def test_reset(self) -> None:
        """
        Connections that are reset.
        """
        await self.break_often("reset")

    async def test_stall(self) -> None:
        """
        Connections on which nothing comes any more, and nobody says so.
        """
        await self.break_often("stall")

    async def test_mid_reply(self) -> None:
        """
        Connections that end in the middle of a reply, or of a message.
        """
        await self.break_often("mid-reply")

    async def test_slices(self) -> None:
        """
        Connections on which it all comes byte by byte.
        """
        await self.break_often("slices")

    async def test_refused(self) -> None:
        """
        Connections that cannot be made again for a while.
        """
        await self.break_often("refused")

    def test_all_kinds(self) -> None:
        """
        No way to break is forgotten here.
        """
        for kind in KINDS:
            self.assertTrue(hasattr(self, f"test_{kind.replace('-', '_')}"), kind)


class LateTests(CutCase):
    """Messages that come later than replies that were sent after them."""

    async def test_deleted(self) -> None:
        """
        A follower that has read that its feed is gone waits to be told who says so.
        """
        for subject in await self.begin(4):
            self.scene.messages.stall()
            await self.scene.ours.delete_feed(subject.name)
            synced = subject.live.when_synced()  # it looks
            await deferLater(reactor, 0.1)
            self.scene.messages.resume()
            await synced
            self.assertEqual(subject.heard, [FeedDeleted(subject.name)])
            self.assertEqual(len(subject.live), 0)

    async def test_deleted_and_cut(self) -> None:
        """
        What is lost with the connection nobody waits for.
        """
        [subject] = await self.begin(1)
        self.scene.messages.stall()
        await self.scene.ours.delete_feed(subject.name)
        synced = subject.live.when_synced()
        await deferLater(reactor, 0.1)
        self.scene.messages.reset()
        self.scene.messages.resume()
        await synced
        self.assertEqual(subject.heard, [Resync(subject.name, "deleted", 0)])

    async def test_deleted_and_stopped(self) -> None:
        """
        Who is stopped while it waits for that leaves nothing behind.
        """
        [subject] = await self.begin(1)
        self.scene.messages.stall()
        await self.scene.ours.delete_feed(subject.name)
        synced = subject.live.when_synced()
        await deferLater(reactor, 0.1)
        before = open_now()
        await self.scene.far.stopService()
        await self.assertFailure(synced, NotConnected)
        self.assertEqual(open_now() - before, set())
        self.assertEqual(subject.heard, [])


class TokenTests(CutCase):
    """Tokens from before a cut, from within and from after it."""

    async def test_either_side(self) -> None:
        """
        Whenever a token was taken, and wherever one goes on with it: all since is told, once.
        """
        subjects = await self.begin(6)
        scene = self.scene
        for when in ("before", "while", "after"):
            tokens = {}

            def take(tokens: dict[str, tuple[str, int]] = tokens) -> None:
                for each in subjects:
                    tokens[each.name] = (each.live.token, each.live.revision)

            for each in subjects:
                await each.change(3)
                await each.live.when_synced()
            if when == "before":
                take()
            await scene.cut()
            for each in subjects:
                await each.change(3)
            if when == "while":
                take()
            await scene.heal()
            if when == "after":
                take()
            again = []
            for each in subjects:
                other = Subject(each.handle)
                token, since = tokens[each.name]
                await other.follow(scene.far, token=token)
                other.since = since
                again.append(other)
            for each in subjects:
                await each.change(3)
            await self.all_right([*subjects, *again])
            for other in again:
                self.assertGreaterEqual(len(other.heard), 3)
                other.stop()

    async def test_from_one_to_the_next(self) -> None:
        """
        A follow that is asked for while there is no connection goes on from its token later.
        """
        subjects = await self.begin(4)
        for each in subjects:
            each.token, since = each.live.token, each.live.revision
            each.stop()
            await each.change(3)
            each.since = since
        await self.scene.cut()
        going_on = []
        for each in subjects:
            since = each.since
            going_on.append((each, since, each_follow(self.scene, each)))
        await self.scene.heal()
        for each, since, call in going_on:
            await call
            each.since = since
        await self.all_right(subjects)
        self.assertEqual([len(each.heard) for each in subjects], [3] * 4)


def each_follow(scene: Scene, subject: Subject) -> Any:
    """Follow by its token, some time."""
    from twisted.internet.defer import Deferred

    return Deferred.fromCoroutine(subject.follow(scene.far, token=subject.token))


class PairTests(CutCase):
    """The two messages of one change."""

    async def test_at_any_byte(self) -> None:
        """
        Wherever a cut is, before, in or between the messages of a change: our changes are never
        taken for others', and those of others are told once.
        """
        for subject in await self.begin(2):
            sweep = Sweep(self.scene, subject)
            await sweep.cut(1, foreign=False)
            ours, contract = await lengths(subject)
            for at in range(1, ours + contract, 16):
                await sweep.cut(at, foreign=True)
            for at in (*range(1, ours - 1, 30), *range(ours - 1, ours + contract, 6)):
                await sweep.cut(at, foreign=False)
            await self.all_right([subject])
            self.assertEqual(await sweep.mistaken(), 0)
            self.assertGreater(sweep.foreign, 5)
            self.assertGreater(min(sweep.places["before"], sweep.places["between"]), 3)

    async def test_on_either_side(self) -> None:
        """
        Nor where a change is read before its messages come, or is told long after them.
        """
        for subject in await self.begin(2):
            sweep = Sweep(self.scene, subject)
            for turn in range(12):
                foreign, early = turn % 2 == 0, turn % 4 < 2
                sweep.foreign += (1 if early else 2) if foreign else 0
                await both_sides(self.scene, subject, foreign, early)
            await self.all_right([subject])
            self.assertEqual(await sweep.mistaken(), 0)


class BlindTests(CutCase):
    """The trials see it if somebody is told too little, or too much."""

    async def test_no_catching_up(self) -> None:
        """
        A follower that does not catch up misses what a cut swallowed.
        """
        subjects = await self.begin(2)
        self.patch(Follower, "_work", lambda _: None)
        await self.scene.cut()
        for each in subjects:
            await each.change(3)
        await self.scene.heal()
        self.assertEqual(len(await faults_of(subjects, 0.3)), 2)

    async def test_twice(self) -> None:
        """
        So do they see an event that is told twice.
        """
        subjects = await self.begin(2)
        for each in subjects:
            await each.change(3)
            await until(lambda each=each: len(each.heard) == 3)
        subjects[0].heard.append(subjects[0].heard[-1])
        [fault] = await faults_of(subjects, 0.3)
        self.assertIn("4 told, 3 kept", fault)

    async def test_adopted(self) -> None:
        """
        And a change of ours that was taken for another one's.
        """
        [subject] = await self.begin(1)
        sweep = Sweep(self.scene, subject)
        peer = self.scene.foreign(subject.name)
        await peer.publish("theirs", "item")
        await until(lambda: subject.heard)
        self.assertEqual(await sweep.mistaken(), 1)
