"""Results of jobs whose waiters lose their connections, or listen no more."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.helpers import Heard, open_now, until
from tests.proxy import FaultProxy
from tests.test_results import ResultsTestCase
from txthoonk import (
    ItemDoesNotExist,
    JobFailed,
    JobFinished,
    JobRetracted,
    JobStalled,
    Thoonk,
)

#: How many results are waited for where connections are cut.
MANY = 20_000 if os.environ.get("TXTHOONK_TORTURE") else 2_000


class OutageTests(ResultsTestCase):
    """Connections that break while somebody waits."""

    timeout = 300

    def away(self) -> tuple[FaultProxy, Thoonk]:
        """An instance whose Redis can be taken away."""
        return self.behind_proxy(connect_timeout=5)

    async def test_finished_while_away(self) -> None:
        """What ended while there was no connection is told within a second after it is back."""
        proxy, thoonk = self.away()
        job = await thoonk.job(self.name)
        ends = {how: Heard() for how in ("finish", "stall", "retract")}
        ids = {how: await job.put(how, on_finish=end) for how, end in ends.items()}
        waiting = {how: job.get_result(id) for how, id in ids.items()}
        calling = job.call("called")
        await self.settle(thoonk)
        await until(lambda: self.job.length().addCallback(lambda length: length == 4))
        await thoonk.redis.execute("PING")  # they know that it was put
        await proxy.refuse()
        proxy.reset()
        await self.do("done")
        await (await self.other.get()).stall("why")
        await self.other.retract(ids["retract"])
        await self.do("answer")
        await deferLater(thoonk.get_reactor(), 0.2)
        self.assertFalse(any(each.called for each in (*waiting.values(), calling)))
        proxy.listen()
        await thoonk.when_connected()
        before = thoonk.get_reactor().seconds()
        self.assertEqual(await waiting["finish"], ("finish", "done"))
        await self.refused(waiting["stall"], JobFailed, self.name, ids["stall"])
        await self.refused(waiting["retract"], ItemDoesNotExist, self.name, ids["retract"])
        self.assertEqual(await calling, "answer")
        for end in ends.values():
            await end.when(1)
        self.assertLess(thoonk.get_reactor().seconds() - before, 5)
        self.assertEqual(
            [type(end[0]) for end in ends.values()], [JobFinished, JobStalled, JobRetracted]
        )

    async def test_begun_while_away(self) -> None:
        """Whoever begins to wait, puts or calls during an outage is served after it."""
        proxy, thoonk = self.away()
        job = await thoonk.job(self.name)
        warm = self.job.put("warm")
        await job.get_result(await warm, 0.05).addErrback(lambda _: None)  # it listens already
        await self.do()
        id = await self.job.put("x")
        await proxy.refuse()
        proxy.reset()
        await until(
            lambda: (
                thoonk.redis.execute("PING")
                .addTimeout(0.01, thoonk.get_reactor())
                .addCallbacks(lambda _: False, lambda _: True)
            )
        )
        end = Heard()
        fresh = thoonk.job(self.name)  # it does not know yet that the feed is there
        waiting = job.get_result(id)
        putting = fresh.put("y", on_finish=end)
        calling = thoonk.job(self.name).call("z")
        await self.do("one")
        proxy.listen()
        self.assertEqual(await waiting, ("x", "one"))
        put = await putting
        for _ in range(2):
            await self.do("more")
        await end.when(1)
        self.assertEqual(end, [JobFinished(self.name, put, "more")])
        self.assertEqual(await calling, "more")

    async def test_many(self) -> None:
        """Thousands of results, half of them waited for too late; connections are cut meanwhile.

        All come, with what was asked. Afterwards no timer and no subscription is left.
        """
        theirs = await self.start_thoonk(client_name=self.name)
        job = await theirs.job(self.name)
        reactor: Any = theirs.get_reactor()
        await self.job.set_config(result_ttl=300)
        ids: list[str] = []
        for start in range(0, MANY, 1000):
            numbers = range(start, min(start + 1000, MANY))
            ids += await self.job.put_many(f"q{number}" for number in numbers)
        cutting, cuts = True, [0]

        async def cut() -> None:
            """Each cut is of one connection in a hundred calls, and more."""
            while cutting:
                for client in (await self.redis.execute("CLIENT", "LIST")).decode().splitlines():
                    its = dict(part.partition("=")[::2] for part in client.split(" "))
                    if its["name"] == self.name:
                        cuts[0] += await self.redis.execute("CLIENT", "KILL", "ID", its["id"])
                await deferLater(reactor, 0.1)

        async def work() -> None:
            for _ in range(MANY):
                claim = await self.other.get(10)
                await claim.finish("r" + claim.item[1:])

        waiting: dict[int, Deferred[tuple[str, str]]] = {}

        async def wait_early() -> None:
            for number in range(0, MANY, 2):
                waiting[number] = job.get_result(ids[number], 120)
                if number % 100 == 0:
                    await deferLater(reactor, 0)

        killer = Deferred.fromCoroutine(cut())
        early = Deferred.fromCoroutine(wait_early())
        workers = [Deferred.fromCoroutine(work())]
        await gatherResults([early, *workers])
        for number in range(1, MANY, 2):
            waiting[number] = job.get_result(ids[number], 120)
            if number % 200 == 1:
                await deferLater(reactor, 0.01)
        cutting = False
        await killer
        await theirs.when_connected()
        before = reactor.seconds()
        results = await gatherResults([waiting[number] for number in range(MANY)])
        self.assertLess(reactor.seconds() - before, 5)
        self.assertEqual(results, [(f"q{number}", f"r{number}") for number in range(MANY)])
        self.assertGreater(cuts[0], 2)
        self.assertEqual([call for call in open_now() if "_late" in str(call)], [])

    async def test_rests(self) -> None:
        """When nobody has waited for a while nothing is listened to any more."""
        from txthoonk.types import results

        self.patch(results, "IDLE", 0.1)
        theirs = await self.start_thoonk()
        job = await theirs.job(self.name)

        async def listeners() -> int:
            channel = self.job.keys.finish_channel
            return int((await self.redis.execute("PUBSUB", "NUMSUB", channel))[1])

        for _ in range(2):
            id = await self.job.put("x")
            waiting = job.get_result(id)
            await until(listeners)
            await deferLater(theirs.get_reactor(), 0.2)
            self.assertEqual(await listeners(), 1)
            await self.do()
            await waiting
            await until(lambda: Deferred.fromCoroutine(listeners()).addCallback(lambda n: not n))
