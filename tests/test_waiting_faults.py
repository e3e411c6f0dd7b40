"""What can go wrong while gets wait."""

from __future__ import annotations

from twisted.internet.defer import fail, succeed

from tests.helpers import until
from tests.test_waiting import WaitingCase
from txthoonk import ConnectionLost, NotConnected, Thoonk, ThoonkPub
from txthoonk.errors import NoEndpoint
from txthoonk.redis import Redis
from txthoonk.types import blocked


class FaultTests(WaitingCase):
    """Connections, servers and programs that fail."""

    async def test_connection_lost(self) -> None:
        """
        When the connection of the waiting gets breaks they wait on another one.
        """
        get = self.queue.get()
        [client] = await self.blocked(1)
        await self.redis.execute("CLIENT", "KILL", "ID", client["id"])
        [another] = await self.blocked(1)
        self.assertNotEqual(another["id"], client["id"])
        await self.far.put("x")
        self.assertEqual(await get, "x")

    async def test_lost_while_taking(self) -> None:
        """
        When a take may have happened or not its gets are told so; those behind them go on.
        """
        takes = [fail(ConnectionLost("gone")), succeed([("a", b"x")])]
        self.patch(self.queue, "take", lambda count, handed: takes.pop(0))
        first = self.queue.get()
        await self.assertFailure(first, ConnectionLost)
        self.assertEqual(await self.queue.get(), "x")

    async def test_defect(self) -> None:
        """
        An error that nobody expected fails the gets, and is logged.
        """
        take = self.queue.take
        self.patch(self.queue, "take", lambda count, handed: fail(RuntimeError("a defect")))
        await self.assertFailure(self.queue.get(), RuntimeError)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.patch(self.queue, "take", take)
        await self.far.put("x")
        self.assertEqual(await self.queue.get(), "x")

    async def test_no_memory(self) -> None:
        """
        On a server that has no memory left for the wait gets look again and again.
        """
        server = await self.own_server()
        thoonk = await self.start_thoonk(server.url)
        raw = await self.connect(server.url)
        queue = await thoonk.queue(self.name)
        self.patch(blocked, "POLL", 0.01)
        await raw.execute("CONFIG", "SET", "maxmemory", "1")
        get = queue.get()
        await until(lambda: thoonk.blocked(queue)._sleeping is not None)
        await raw.execute("CONFIG", "SET", "maxmemory", "0")
        await queue.put("x")
        self.assertEqual(await get, "x")

    async def test_server_gone(self) -> None:
        """
        Nobody waits for ever on a dead server; when it is back gets wait again.
        """
        server = await self.own_server()
        thoonk = await self.start_thoonk(server.url, connect_timeout=0.3)
        queue = await thoonk.queue(self.name)
        get = queue.get()
        await until(lambda: thoonk.blocked(queue)._in_block)
        await server.kill()
        await self.assertFailure(get, NotConnected)
        await server.start()
        thoonk.redis.connect_timeout = self.timeout
        await queue.ensure()
        get = queue.get()
        await queue.put("x")
        self.assertEqual(await get, "x")

    async def test_no_way_to_wait(self) -> None:
        """
        Where no connection can be had to wait on, gets fail after a while.
        """
        self.thoonk.connect_timeout = 0.05
        attempts: list[str] = []
        refused = NotConnected("refused")
        self.patch(
            self.thoonk, "open_connection", lambda: attempts.append("once more") or fail(refused)
        )
        await self.assertFailure(self.queue.get(), NotConnected)
        self.assertGreater(len(attempts), 1)

    async def test_no_endpoint(self) -> None:
        """
        A publisher of the older API needs to be told where its waiting gets connect.
        """
        pub = ThoonkPub(await self.connect())
        queue = await pub.queue(self.name)
        await queue.put("x")
        self.assertEqual(await queue.get(), "x")
        await self.assertFailure(queue.get(), NoEndpoint)
        pub = ThoonkPub(await self.connect(), self.endpoint(), Redis)
        queue = await pub.queue(self.name)
        get = queue.get()
        await until(lambda: pub.blocked(queue)._in_block)
        await self.far.put("y")
        self.assertEqual(await get, "y")
        await pub.stop_waiting()

    async def test_never_started(self) -> None:
        """
        A get of an instance that is not started waits for its start.
        """
        thoonk = Thoonk(self.redis_url)
        get = thoonk.queue(self.name).get()
        await self.far.put("x")
        self.addCleanup(thoonk.stopService)
        thoonk.startService()
        self.assertEqual(await get, "x")
