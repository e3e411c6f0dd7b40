"""Followers whose networks fail all the time are told everything, once, and have what Redis has."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Coroutine
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread, deferToThread

from tests.convergence.report import (
    END,
    FAULTS,
    MISSING,
    MISTAKEN,
    RESYNC,
    TWICE,
    WRONG,
    Report,
)
from tests.convergence.world import World, shelves
from tests.convergence.writers import Shelf
from txthoonk.catching_up import CatchingUp
from txthoonk.changes import SortedCopy
from txthoonk.events import Moved
from txthoonk.hearing import Hearing
from txthoonk.reading import Reading
from txthoonk.testing import RedisTestCase, unique_name

#: Seconds of the random run, and examples of the state machine with so many steps at most.
SECONDS, EXAMPLES = (300, 1000) if os.environ.get("TXTHOONK_TORTURE") else (24, 50)
STEPS = 40

#: The same choices again; when things happen is up to the machine.
SEED = int(os.environ.get("TXTHOONK_SEED") or random.randrange(10**6))


class ConvergenceCase(RedisTestCase):
    """A world of writers and followers."""

    timeout = 900

    async def world(self, *feeds: Shelf, sites: int = 4) -> World:
        """A world that ends with the test; with feeds of all kinds, or these."""
        from twisted.internet import reactor

        world = World(
            reactor,
            self.redis_url,
            random.Random(SEED),
            feeds or shelves(self.feed_name("converge")),
        )
        self.addCleanup(world.stop)
        await world.start(sites=sites)
        return world

    def assert_well(self, report: Report) -> None:
        """There are no faults."""
        lines = [f"{what}: {case}" for what, some in report.problems.items() for case in some]
        if lines:
            self.fail("\n".join([f"seed {SEED}", *lines]))


class RandomTests(ConvergenceCase):
    """Everything at once."""

    async def test_run(self) -> None:
        """
        Four writers and a peer change twelve feeds while connections are cut: in the end followers
        have what Redis has, and each change was told them once, in order.
        """
        world = await self.world()
        await world.follow_variously(40)
        report = world.report
        while report.seconds < SECONDS:
            await world.round(6.0, writes=60, foreign=12, cuts=4, changes=4)
        self.assert_well(report)
        for what in ("Published", "Edited", "Retracted", "Moved", "FeedDeleted"):
            self.assertGreater(report.told[what], 0, what)
        for what in ("pair", "peer", "half"):
            self.assertGreater(report.heard[what], 0, what)
        self.assertGreater(report.revisions["adopted"], 0)
        self.assertGreater(report.cuts.total(), SECONDS)


class SeenTests(ConvergenceCase):
    """Something in the package is broken: the random run has to say so."""

    async def broken(self, *kinds: str) -> None:
        """One round has faults of these kinds, whatever others there are."""
        name = self.feed_name("broken")
        world = await self.world(
            Shelf(f"{name}:feed", max_length=8),
            Shelf(f"{name}:list", is_sorted=True),
            Shelf(f"{name}:ours", is_sorted=True, peers=False),
            sites=2,
        )
        await world.follow_variously(6)
        self.break_more()
        await world.round(3.0, writes=60, foreign=10, cuts=3, patience=2)
        # What was broken may have been logged, too.
        self.flushLoggedErrors()
        self.assertEqual(set(kinds) - world.report.problems.keys(), set())

    def break_more(self) -> None:
        """Break what is needed to begin."""

    def tell(self, change: Callable[[int], int]) -> None:
        """Have some events told another number of times."""
        original, told = Hearing._tell, [0]

        def tell(hearing: Hearing, event: Any) -> Any:
            told[0] += 1
            outcome = None
            for _ in range(change(told[0])):
                outcome = original(hearing, event)
            return outcome

        self.patch(Hearing, "_tell", tell)

    async def test_missing(self) -> None:
        """
        One event in twenty is not told.
        """
        self.tell(lambda number: number % 20 > 0)
        await self.broken(MISSING)

    async def test_twice(self) -> None:
        """
        One event in twenty is told twice.
        """
        self.tell(lambda number: 1 + (number % 20 == 0))
        await self.broken(TWICE)

    async def test_wrong(self) -> None:
        """
        Copies of sorted feeds do not move what is moved: what is there seems to be the peer's work.
        """
        original = SortedCopy.apply

        def apply(copy: SortedCopy, event: Any) -> None:
            if not isinstance(event, Moved):
                original(copy, event)

        self.patch(SortedCopy, "apply", apply)
        await self.broken(WRONG, MISTAKEN)

    async def test_resync(self) -> None:
        """
        The history is never used.
        """
        original = Reading.changes

        async def changes(reading: Reading, *args: Any, **options: Any) -> Any:
            state, found = await original(reading, *args, **options)
            state.lost = "trimmed" if found else state.lost
            return state, found

        self.patch(Reading, "changes", changes)
        await self.broken(RESYNC)

    async def test_end(self) -> None:
        """
        After a break nobody looks at what was missed.
        """
        self.break_more = lambda: self.patch(CatchingUp, "look_again", lambda _: None)
        await self.broken(END)


class Machine(RuleBasedStateMachine):
    """One step after the other, in any order; the network of a site fails until it is healed."""

    make: Callable[[], Coroutine[Any, Any, World]]
    #: The faults of the first example that has some: another time the same steps may do.
    found: list[str]

    def __init__(self) -> None:
        super().__init__()
        self.world: World = self.run(self.make)

    @staticmethod
    def run(call: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
        """Have something done in the reactor's thread; hypothesis has one of its own."""
        from twisted.internet import reactor

        return blockingCallFromThread(reactor, lambda: Deferred.fromCoroutine(call(*args)))

    def pick(self, some: list[Any], number: int) -> Any:
        """One of them."""
        return some[number % len(some)]

    @initialize(seed=st.integers(0, 10**6))
    def begin(self, seed: int) -> None:
        """What the steps below leave open: which ids, which positions."""
        self.world.choose.seed(seed)

    @rule(writer=st.integers(0, 2), feed=st.integers(0, 4), times=st.integers(1, 4))
    def write(self, writer: int, feed: int, times: int) -> None:
        """One of ours, or the peer, changes a feed."""

        async def write() -> None:
            by = self.pick(self.world.writers, writer)
            mine = [shelf for shelf in self.world.shelves if by.may(shelf)]
            for _ in range(times):
                await by.step(self.pick(mine, feed))

        self.run(write)

    @precondition(lambda self: len(self.world.watchers) < 12)
    @rule(
        site=st.integers(0, 1),
        feed=st.integers(0, 4),
        pattern=st.booleans(),
        serializer=st.sampled_from(("text", "json", "bytes")),
        pace=st.sampled_from((0.0, 0.0, 0.003)),
    )
    def follow(self, site: int, feed: int, pattern: bool, serializer: str, pace: float) -> None:
        """Somebody follows a feed, or the pattern of its name."""

        async def follow() -> None:
            world = self.world
            name = self.pick(world.shelves, feed).name
            kinds: dict[str, Any] = {"serializer": serializer, "pace": pace}
            if pattern:
                name, kinds["pattern"] = f"{name.rpartition(':')[0]}:*", True
            elif name not in (await world.there())[0]:
                return
            await self.healed(site)
            await world.follow(world.sites[site], name, **kinds)

        self.run(follow)

    @rule(site=st.integers(0, 1), fault=st.sampled_from(tuple(FAULTS)))
    def fail(self, site: int, fault: str) -> None:
        """The network of a site fails, until it is healed."""

        async def fail() -> None:
            self.world.fail(self.world.sites[site], fault)

        self.run(fail)

    @rule(site=st.integers(0, 1))
    def heal(self, site: int) -> None:
        """The network of a site works again."""
        self.run(self.healed, site)

    async def healed(self, site: int) -> None:
        self.world.sites[site].heal()

    @precondition(lambda self: len(self.world.watchers) > self.world.steady)
    @rule(watcher=st.integers(0, 11))
    def pass_on(self, watcher: int) -> None:
        """A follower stops, and another process goes on with its token."""

        async def pass_on() -> None:
            for site in range(len(self.world.sites)):
                await self.healed(site)
            follower = self.pick(self.world.watchers[self.world.steady :], watcher)
            if follower.is_pattern or follower.name in (await self.world.there())[0]:
                await self.world.pass_on(follower)

        self.run(pass_on)

    @rule()
    def converge(self) -> None:
        """All is healed; everybody is right."""
        self.run(self.world.converge)
        for what, some in self.world.report.problems.items():
            self.found += [f"{what}: {case}" for case in some]
        assert not self.found

    def teardown(self) -> None:
        """It is always so in the end."""
        try:
            self.converge()
        finally:
            self.run(self.world.stop)


class MachineTests(ConvergenceCase):
    """Any steps in any order."""

    async def test_machine(self) -> None:
        """
        Whatever writers and networks do one after the other, followers are right in the end.
        """

        async def make() -> World:
            from twisted.internet import reactor

            prefix = unique_name("machine")
            feeds = [
                Shelf(f"{prefix}:a:feed", max_length=8),
                Shelf(f"{prefix}:a:list", is_sorted=True),
                Shelf(f"{prefix}:b:ours", is_sorted=True, peers=False),
                Shelf(f"{prefix}:b:short", max_length=4, history=6),
                Shelf(f"{prefix}:b:mortal", max_length=5, mortal=True),
            ]
            world = World(reactor, self.redis_url, random.Random(), feeds)
            await world.start(ours=2, sites=2)
            for feed in feeds:  # whoever comes and goes, somebody stays
                await world.follow(world.sites[1], feed.name)
            world.steady = len(feeds)
            return world

        found: list[str] = []
        machine = type("ThisMachine", (Machine,), {"make": staticmethod(make), "found": found})
        # What fails takes long to fail, and may not fail twice: nothing is made smaller.
        given = settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=(Phase.generate,),
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        try:
            await deferToThread(run_state_machine_as_test, machine, settings=given)
        except Exception as error:
            if not found:
                raise
            raise self.failureException("\n".join(found)) from error
