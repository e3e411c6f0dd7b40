"""A feed of jobs in both dialects at once: what is put in one is done in the other, once."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

from twisted.internet.defer import gatherResults
from twisted.internet.task import deferLater

from tests.helpers import ThoonkTestCase, until
from tests.lua_peer import JobsPeer, Refused
from tests.peer_jobs import Peer
from tests.twistd import TwistdTestCase
from txthoonk import ItemDoesNotExist, JobFailed, JobNotClaimed, JobWorker
from txthoonk.bridge import Bridge


class BridgeCase(ThoonkTestCase):
    """An instance and a peer of each dialect, and two bridges."""

    async def setUp(self) -> None:
        await super().setUp()
        self.name = self.feed_name()
        self.contract = self.thoonk
        self.lua = await self.start_thoonk(dialect="lua")
        self.job = await self.contract.job(self.name)
        self.lua_job = await self.lua.job(self.name)
        self.peer = Peer(await self.connect(), self.job.keys)
        self.lua_peer = JobsPeer(await self.connect(), self.name)
        self.heard = await self.listen(f"job.finish:{self.name}", f"event.job.finish:{self.name}")
        self.bridges = [self.open_bridge() for _ in range(2)]

    def open_bridge(self) -> Bridge:
        """A bridge that runs."""
        bridge = Bridge(self.contract, self.lua, self.name)
        bridge.startService()
        self.addCleanup(bridge.stopService)
        return bridge

    async def closed(self) -> None:
        """Stop all bridges, as a kill would."""
        for bridge in self.bridges:
            await bridge.stopService()

    def results(self, channel: str) -> list[bytes]:
        """What was announced in one dialect."""
        return [payload for where, payload in self.heard if where == f"{channel}:{self.name}"]

    async def left(self) -> set[str]:
        """What is left of both feeds but options, counters and results."""
        kept = ("config", "publishes", "finishes", "results", "due")
        keys = {key.removesuffix(f":{self.name}") for key in await self.keys_of(self.name)}
        return {key for key in keys if key.rpartition(".")[2] not in kept}

    async def nothing_left(self) -> None:
        """Wait until every job has ended."""

        async def empty() -> bool:
            return not await self.left()

        await until(empty)

    async def get(self) -> Any:
        """A job that thoonk.py takes, when there is one: id and item."""
        id = await until(self.peer.claim)
        item = await self.redis.execute("HGET", self.job.keys.items, id)
        return id, item.decode()


class PeersTests(BridgeCase):
    """Programs that know nothing of txThoonk, on either side."""

    async def test_to_lua(self) -> None:
        """
        thoonk.py puts, thoonk-jobs does the job, thoonk.py hears of the result, and nobody else.
        """
        await self.peer.put("a", "text")
        await self.peer.put("b", '{"of": "JSON"}')
        got = [await self.lua_peer.get(5) for _ in range(2)]
        self.assertEqual(
            {id: json.loads(str(item)) for id, item in got}, {"a": "text", "b": {"of": "JSON"}}
        )
        self.assertIsNotNone(await self.redis.execute("ZSCORE", self.job.keys.claimed, "a"))
        self.assertIsNone(await self.peer.claim())
        await self.lua_peer.finish("a", "done\0 with a NUL")
        await self.lua_peer.finish("b")
        await self.nothing_left()
        self.assertEqual(self.results("job.finish"), [b"a\0done\0 with a NUL"])
        self.assertEqual(await self.redis.execute("GET", self.job.keys.finishes), b"2")

    async def test_to_contract(self) -> None:
        """
        thoonk-jobs puts, thoonk.py does the job, thoonk-jobs hears of its end.
        """
        ids = [await self.lua_peer.put(item) for item in ("text", {"of": "JSON"})]
        got = [await self.get() for _ in range(2)]
        self.assertEqual(got, [(ids[0], "text"), (ids[1], '{"of":"JSON"}')])
        await self.peer.finish(ids[0], "done")
        await self.peer.finish(ids[1])
        await self.nothing_left()
        told = self.results("event.job.finish")
        self.assertEqual(told, [f"{ids[0]}\0done".encode(), ids[1].encode()])

    async def test_back(self) -> None:
        """
        What nobody on the other side wants comes back, and is done where it was put.

        Nobody is told that it was retracted: a bridge that heard of that late would believe it.
        """
        retracted = await self.listen(f"tx.job.retract:{self.name}")
        await self.peer.put("a", "A")

        async def is_there() -> bool:
            return bool(await self.redis.execute("LLEN", self.lua_job.keys.ids))

        await until(is_there)
        id, item = await self.get()
        self.assertEqual((id, item), ("a", "A"))
        await self.peer.finish("a", "done")
        await self.nothing_left()
        await self.settle()
        self.assertEqual(retracted, [])

    async def test_same_id(self) -> None:
        """
        A job whose id is in use on the other side stays where it is.
        """
        await self.lua_peer.put("theirs", id="mine")
        await self.lua_peer.get(5)
        await self.peer.put("mine", "ours")
        await self.peer.put("other", "O")
        self.assertEqual((await self.lua_peer.get(5))[0], "other")
        self.assertEqual((await self.get())[1], "ours")
        await self.peer.finish("mine", "r")
        await self.lua_peer.finish("mine", "s")
        await self.lua_peer.finish("other", "t")
        await self.nothing_left()
        self.assertEqual(sorted(self.results("job.finish")), [b"mine\0r", b"other\0t"])


class OursTests(BridgeCase):
    """Programs of ours, on either side."""

    async def test_calls(self) -> None:
        """
        Whoever calls gets the result, whichever side does the job.
        """
        worker = JobWorker(self.lua, self.name, lambda claim: f"lua {claim.item}")
        worker.startService()
        self.addCleanup(worker.stopService)
        calls = [self.job.call(f"{n}", timeout=20) for n in range(50)]
        self.assertEqual(await gatherResults(calls), [f"lua {n}" for n in range(50)])
        await worker.stopService()
        worker = JobWorker(self.contract, self.name, lambda claim: f"contract {claim.item}")
        worker.startService()
        self.addCleanup(worker.stopService)
        calls = [self.lua_job.call(f"{n}", timeout=20) for n in range(50)]
        self.assertEqual(await gatherResults(calls), [f"contract {n}" for n in range(50)])
        await self.nothing_left()

    async def test_parked(self) -> None:
        """
        A job that is parked on the other side is parked at its origin, with what went wrong.
        """
        await self.job.put("a", id="a")
        claim = await self.lua_job.get(5)
        waiting = self.assertFailure(self.job.get_result("a"), JobFailed)
        await claim.stall("no paper")
        self.assertEqual((await waiting).attempts[-1].error, "no paper")
        self.assertEqual(await self.job.get_stalled(), {"a"})
        self.assertEqual(await self.lua_job.get_ids(), [])
        await self.job.retry("a")
        claim = await self.lua_job.get(5)
        await claim.finish("r")
        self.assertEqual(await self.job.get_result("a"), ("a", "r"))
        await self.nothing_left()

    async def test_retracted(self) -> None:
        """
        A job that is taken out on one side is taken out on the other.
        """
        await self.job.put("a", id="a")
        claim = await self.lua_job.get(5)
        await self.job.retract("a")

        async def lost() -> bool:
            return "a" not in await self.lua_job.get_ids()

        await until(lost)
        await self.refused(claim.finish("r"), JobNotClaimed, self.name, "a")
        await self.job.put("b", id="b")
        await self.lua_job.get(5)
        waiting = self.assertFailure(self.job.get_result("b"), ItemDoesNotExist)
        await self.lua_job.retract("b")
        await waiting
        await self.nothing_left()

    async def test_deleted(self) -> None:
        """
        If the other side's feed is deleted, its jobs are available at their origin again.
        """
        await self.job.put("a", id="a")
        await self.lua_job.get(5)
        await self.lua.delete_feed(self.name, type="job")
        claim = await self.job.get(10)
        self.assertEqual(claim.id, "a")
        await claim.finish()

    async def test_bridge_was_away(self) -> None:
        """
        What our workers finish while no bridge runs goes back when one does, with its result.
        """
        await self.job.put("a", id="a")
        claim = await self.lua_job.get(5)
        await self.closed()
        await claim.finish("late")
        asked = self.job.get_result("a", timeout=20)
        self.open_bridge()
        self.assertEqual(await asked, ("a", "late"))
        await self.nothing_left()

    async def test_peers_result_unheard(self) -> None:
        """
        What a peer finishes while no bridge runs is finished at its origin; its result is lost.
        """
        await self.peer.put("a", "A")
        await self.lua_peer.get(5)
        await self.closed()
        await self.lua_peer.finish("a", "lost")
        self.open_bridge()
        await self.nothing_left()
        self.assertEqual(self.results("job.finish"), [])
        self.assertEqual(await self.redis.execute("GET", self.job.keys.finishes), b"1")


class BothBusyTests(BridgeCase):
    """Jobs and workers on both sides."""

    async def test_shared(self) -> None:
        """
        200 jobs from each side are done once each, each side hears of its own.
        """
        done: list[str] = []

        async def lua_works() -> None:
            peer = JobsPeer(await self.connect(), self.name)
            while len(done) < 400:
                try:
                    id, _ = await peer.get(1)
                except Refused:
                    continue
                done.append(id)
                await peer.finish(id, f"did {id}")

        async def contract_works() -> None:
            from twisted.internet import reactor

            while len(done) < 400:
                id = await self.peer.claim()
                if id is None:
                    await deferLater(reactor, 0.01)
                    continue
                done.append(id)
                await self.peer.finish(id, f"did {id}")

        for n in range(200):
            await self.peer.put(f"c{n}", "C")
            await self.lua_peer.put("L", id=f"l{n}")
        from twisted.internet.defer import Deferred

        await gatherResults(
            [Deferred.fromCoroutine(each()) for each in (lua_works, contract_works)]
        )
        await self.nothing_left()
        self.assertEqual(len(set(done)), 400)
        for channel, side in (("job.finish", "c"), ("event.job.finish", "l")):
            own = [p for p in self.results(channel) if p.startswith(side.encode())]
            want = sorted(f"{side}{n}\0did {side}{n}".encode() for n in range(200))
            self.assertEqual(sorted(own), want)


class ProcessesTests(TwistdTestCase):
    """``twistd thoonk --bridge``."""

    async def test_two(self) -> None:
        """
        Two processes serve the feed; one that is killed is replaced, and SIGTERM stops them well.
        """
        jobs, _ = await self.jobs()
        lua = await self.start_thoonk(dialect="lua")
        worker = JobWorker(lua, jobs.name, lambda claim: claim.item.upper())
        worker.startService()
        self.addCleanup(worker.stopService)
        program = self.twistd(f"--bridge={jobs.name}")
        await until(lambda: program.output.count("is open") == 2)
        self.assertEqual(await jobs.call("a", timeout=20), "A")
        killed = program.workers()[0]
        os.kill(killed, signal.SIGKILL)
        await program.says(f"Worker 1 (process {killed}) was ended by signal 9")
        self.assertEqual(await jobs.call("b", timeout=20), "B")
        await until(lambda: program.output.count("is open") == 3)
        await self.stop(program)

    async def test_wrong(self) -> None:
        """
        A feed that holds no jobs cannot be served.
        """
        feed = await self.thoonk.feed(self.feed_name())
        program = self.twistd(f"--bridge={feed.name}", "--workers=1")
        self.assertEqual(await program.ended, 1)
        self.assertIn("it is a feed", program.output)
