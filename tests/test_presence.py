"""Users that are there as long as the process lives that says so: who retracts them, and when."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as its
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.helpers import Heard, ThoonkTestCase, until
from tests.programs import Program
from tests.twistd import TwistdTestCase
from txthoonk import Feed, JobWorker, Retracted, Thoonk

reactor: Any = its  # the module is the reactor

#: Seconds that a user stays without being said to be there; by which an item may go late.
TTL = 1.5
LATE = 2.0


class PresenceCase(ThoonkTestCase):
    """Processes with users."""

    async def present(self, feed: str, *ids: str, url: str = "", ttl: float = TTL) -> Program:
        """A process whose users are there, on the server of this test unless told."""
        program = Program()
        words = [sys.executable, "-m", "tests.presence", url or self.redis_url, feed, f"{ttl}"]
        program.start(self, *words, *ids)
        await until(lambda: "here" in program.output)
        return program

    async def kill(self, program: Program) -> float:
        """Kill it; when it was gone."""
        program.process.signalProcess("KILL")
        await program.ended
        return float(reactor.seconds())


class KilledTests(PresenceCase):
    """Processes that are killed."""

    async def test_everybody_is_told(self) -> None:
        """
        The users of a process that was killed go, at everybody who follows the feed, by name or by
        pattern, once and within two seconds of their time; those of another process stay.
        """
        room = self.feed_name()
        users = await self.thoonk.feed(room)
        gone: dict[str, list[tuple[str, float]]] = {}

        def watch(who: str) -> Callable[[Any], None]:
            def told(event: Any) -> None:
                if isinstance(event, Retracted):
                    gone.setdefault(who, []).append((event.id, reactor.seconds()))

            return told

        other = await self.start_thoonk()
        copies = [
            await self.thoonk.follow(room, watch("one")),
            await other.follow(room, watch("two")),
        ]
        await other.follow_pattern(f"{room[:-3]}*", watch("pattern"))
        other.expirer()
        killed = await self.present(room, "ann", "bob")
        await self.present(room, "eve")
        await until(lambda: all(len(copy.items) == 3 for copy in copies))
        await deferLater(reactor, 1.2 * TTL)
        self.assertEqual((gone, await users.length()), ({}, 3))
        at = await self.kill(killed)
        await until(lambda: [len(each) for each in gone.values()] == [2, 2, 2])
        await until(lambda: all([*copy.items] == ["eve"] for copy in copies))
        await deferLater(reactor, 1.2 * TTL)
        for told in gone.values():
            self.assertEqual(sorted(id for id, _ in told), ["ann", "bob"])
            for _, when in told:
                # It said so for the last time some time before it died.
                self.assertTrue(0.5 * TTL < when - at < TTL + LATE, when - at)
        self.assertEqual(await users.get_ids(), ["eve"])

    async def test_by_a_worker(self) -> None:
        """
        Any process with a worker does it, though no worker knows the feed.
        """
        worker = JobWorker(self.thoonk, self.feed_name(), lambda claim: None)
        worker.startService()
        feed = await self.thoonk.feed(self.feed_name())
        heard = Heard()
        await feed.subscribe(retract=heard)
        begun = reactor.seconds()
        for number in range(3):
            await feed.publish("here", id=f"{number}", ttl=0.3 * (number + 1))
        await heard.when(3)
        self.assertEqual([event.id for event in heard], ["0", "1", "2"])
        self.assertTrue(0.9 <= reactor.seconds() - begun < 0.9 + LATE)
        await worker.stopService()
        await feed.publish("here", id="after", ttl=0.01)
        await deferLater(reactor, 1.2)
        self.assertEqual(await feed.get_ids(), ["after"])

    async def test_one_call(self) -> None:
        """
        However many feeds have items for a while, as long as nothing is over an expirer makes one
        call a second.
        """
        server = await self.own_server()
        thoonk = await self.start_thoonk(server.url)
        for number in range(50):
            await thoonk.feed(f"room:{number}").publish("here", id="a", ttl=1000)
        expirer = thoonk.expirer()
        await deferLater(reactor, 0.5)  # it has begun
        await thoonk.redis.execute("CONFIG", "RESETSTAT")
        await deferLater(reactor, 2.0)
        stats = (await thoonk.redis.execute("INFO", "commandstats")).decode()
        calls = sum(
            int(line.partition("calls=")[2].partition(",")[0])
            for line in stats.splitlines()
            if line.startswith(("cmdstat_evalsha:", "cmdstat_eval:"))
        )
        self.assertIn(calls, (1, 2, 3))
        await expirer.stopService()

    async def test_outage(self) -> None:
        """
        Redis is killed and comes back: what was over meanwhile goes then. A feed that cannot be
        looked at holds up no other.
        """
        server = await self.own_server()
        thoonk = await self.start_thoonk(server.url, connect_timeout=0.2)
        thoonk.expirer()
        feeds: list[Feed] = [await thoonk.feed(name) for name in ("broken", "a", "b")]
        for feed in feeds:
            await feed.publish("here", id="x", ttl=1.0)
        await thoonk.redis.execute("DEL", feeds[0].keys.items)
        await thoonk.redis.execute("SET", feeds[0].keys.items, "foreign")
        await thoonk.redis.execute("SAVE")
        await server.kill()
        await deferLater(reactor, 1.2)
        await server.start()
        await until(lambda: Deferred.fromCoroutine(self.are_gone(thoonk, feeds[1:])))
        self.assertEqual(await thoonk.redis.execute("ZCARD", feeds[0].keys.ids), 1)

    async def are_gone(self, thoonk: Thoonk, feeds: list[Feed]) -> bool:
        """Whether these feeds are empty."""
        try:
            return not any([await thoonk.redis.execute("ZCARD", f.keys.ids) for f in feeds])
        except Exception:
            return False


class TwistdTests(TwistdTestCase, PresenceCase):
    """``twistd thoonk --maintain``."""

    async def test_maintain(self) -> None:
        """
        A process that maintains feeds retracts the users of one that was killed, also where there
        is no feed of jobs.
        """
        server = await self.own_server()
        thoonk = await self.start_thoonk(server.url)
        maintainer = self.twistd("--maintain", url=server.url)
        await until(lambda: "Maintaining" in maintainer.output)
        heard = Heard()
        feed = await thoonk.feed("room")
        await feed.subscribe(retract=heard)
        killed = await self.present("room", "ann", url=server.url)
        at = await self.kill(killed)
        await heard.when(1)
        self.assertTrue(0.5 * TTL < reactor.seconds() - at < TTL + LATE)
        self.assertEqual(await feed.get_ids(), [])
        await self.stop(maintainer)
