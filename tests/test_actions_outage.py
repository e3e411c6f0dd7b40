"""Actions while Redis, workers and connections come and go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher

from tests.action_helpers import ActionTestCase
from tests.helpers import until
from tests.proxy import FaultProxy
from txthoonk import Thoonk, ThoonkError
from txthoonk.actions import Act, Actions, ActionWorker, anybody

ROOT = Path(__file__).parent.parent

#: How many actions are under way when something goes.
MANY = 2000 if os.environ.get("TXTHOONK_TORTURE") else 200


def make_actions(group: str) -> Actions:
    """Actions whose workers are killed."""
    actions = Actions(group)

    @actions.action("count", authorize=anybody)
    async def count(act: Act) -> None:
        await deferLater(act.thoonk.get_reactor(), 0.002)
        counted = act.thoonk.feed(f"{group}:counted", history=10_000)
        await act.commit(counted.change.publish(act.id), result="counted")

    @actions.action("who", authorize=anybody)
    async def who(act: Act) -> int:
        await deferLater(act.thoonk.get_reactor(), 0.002)
        return os.getpid()

    return actions


def work(url: str, group: str) -> None:
    """Be a worker, until told to stop."""
    from twisted.internet import reactor

    real: Any = reactor
    thoonk = Thoonk(url)
    worker = ActionWorker(thoonk, make_actions(group), claim_timeout=1, max_attempts=0, backoff=0)
    thoonk.startService()
    worker.startService()
    real.addSystemEventTrigger("before", "shutdown", thoonk.stopService)
    real.run()


class OutageTests(ActionTestCase):
    """What goes and comes back."""

    timeout = 240

    def start(self, url: str) -> subprocess.Popen[bytes]:
        """A worker in a process of its own."""
        command = [sys.executable, "-m", "tests.test_actions_outage", url, self.group]
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    async def insist(self, thoonk: Thoonk, id: str) -> dict[str, Any]:
        """Ask for the same thing until there is an answer, as a client that does not give up."""
        actions = Actions(self.group)
        while True:
            try:
                answer: dict[str, Any] = await actions.do(
                    thoonk, self.ALICE, "count", {}, id=id, timeout=5
                )
            except ThoonkError:
                pass
            else:
                if answer["code"] == 200:
                    return answer
            await deferLater(thoonk.get_reactor(), 0.05)

    async def test_all_go(self) -> None:
        """
        Workers are killed, one after the other, and Redis is restarted: each action is answered,
        and done once.
        """
        server = await self.own_server(appendonly="yes", appendfsync="always")
        thoonk = await self.start_thoonk(server.url)
        workers = [self.start(server.url) for _ in range(2)]
        await until(lambda: thoonk.feed(f"actions:{self.group}").has_id("count"))
        asked = [Deferred.fromCoroutine(self.insist(thoonk, f"{number}")) for number in range(MANY)]
        through = gatherResults(asked, consumeErrors=True)
        counted = thoonk.feed(f"{self.group}:counted", history=10_000)

        async def reached(count: int) -> None:
            async def look() -> bool:
                try:
                    return await counted.length() >= count
                except ThoonkError:
                    return False

            await until(look)

        await reached(MANY // 10)
        workers[0].kill()
        workers[0] = self.start(server.url)
        await reached(MANY // 4)
        await server.kill()
        await server.start()
        await reached(MANY // 2)
        workers[1].kill()
        workers[1] = self.start(server.url)
        answers = await through
        self.assertEqual(answers, [{"code": 200, "result": "counted"}] * MANY)
        items = list((await counted.get_all()).values())
        self.assertEqual((len(items), len(set(items))), (MANY, MANY))
        self.assertEqual((await counted.snapshot()).revision, MANY)
        pids = {worker.pid for worker in workers}

        async def seen() -> bool:
            asking = [
                Actions(self.group).do(thoonk, self.ALICE, "who", {}) for _ in range(len(pids) * 20)
            ]
            return pids <= {answer.get("result") for answer in await gatherResults(asking)}

        await until(seen)  # else the last one may not have begun
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        await until(lambda: None not in [worker.poll() for worker in workers])
        self.assertEqual([worker.returncode for worker in workers], [0, 0])

    async def test_no_redis(self) -> None:
        """Where Redis cannot be reached that is said, rather than a code made up."""
        server = await self.own_server()
        thoonk = await self.start_thoonk(server.url, connect_timeout=0.2)
        await self.work(thoonk=thoonk)
        answer = await self.actions.do(thoonk, self.ALICE, "ping", {})
        self.assertEqual(answer["code"], 200)
        await server.kill()
        for call in (
            self.actions.do(thoonk, self.ALICE, "ping", {}),
            self.actions.put(thoonk, self.ALICE, "ping", {}),
            self.actions.look(thoonk, "ping", "1"),
            Actions(self.group).can(thoonk, self.ALICE, "ping", {}),
        ):
            await self.assertFailure(call, ThoonkError)
        waiting = self.actions.answer(thoonk, "ping", "1", timeout=0.3)
        await waiting.addErrback(lambda failure: failure.trap(ThoonkError))
        # What needs no Redis needs none.
        self.assertTrue(await self.actions.can(thoonk, self.ALICE, "ping", {}))

    async def test_cut_while_declaring(self) -> None:
        """
        A connection that breaks while a worker says what it can do is no fault of its actions:
        they are declared over the next one, and nothing is told as an error.
        """
        reactor = self.thoonk.get_reactor()
        proxy = FaultProxy(reactor, self.endpoint())
        proxy.listen()
        self.addCleanup(proxy.stop)
        thoonk = await self.start_thoonk(proxy.endpoint)
        errors: list[str] = []

        def observe(event: LogEvent) -> None:
            if event["log_level"] >= LogLevel.error:
                errors.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        proxy.stall()
        await self.work(thoonk=thoonk)
        await deferLater(reactor, 0.05)
        proxy.reset()
        proxy.resume()
        await until(lambda: self.thoonk.feed(f"actions:{self.group}").has_id("ping"))
        self.assertEqual(errors, [])


if __name__ == "__main__":
    work(sys.argv[1], sys.argv[2])
