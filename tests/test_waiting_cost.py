"""What it costs Redis that many processes wait for the same jobs."""

from __future__ import annotations

from tests.helpers import ThoonkTestCase, until
from txthoonk import Job, Thoonk
from txthoonk.types.claims import Claim

#: Jobs put one after another, each when everybody waits.
PUTS = 10


class WaitingCostTests(ThoonkTestCase):
    """Idle workers."""

    async def commands_of_puts(self, waiters: int) -> dict[str, int]:
        """Which commands Redis ran, how often, for jobs put where so many instances wait."""
        server = await self.own_server()
        # No ping shall come in between.
        thoonk = await self.start_thoonk(server.url, ping_interval=600.0)
        jobs: Job = await thoonk.job("work")
        claims: list[Claim] = []

        async def blocked() -> bool:
            info = (await thoonk.redis.execute("INFO", "clients")).decode()
            return f"blocked_clients:{waiters}\r\n" in info

        def wait(worker: Job) -> None:
            def claimed(claim: Claim) -> None:
                claims.append(claim)
                wait(worker)

            worker.get().addCallbacks(claimed, lambda _: None)  # it fails when all ends

        others: list[Thoonk] = [
            await self.start_thoonk(server.url, ping_interval=600.0) for _ in range(waiters)
        ]
        for other in others:
            wait(await other.job("work"))
        await until(blocked)
        await thoonk.redis.execute("CONFIG", "RESETSTAT")
        for number in range(PUTS):
            id = await jobs.put("x")
            await until(lambda n=number: len(claims) > n)
            self.assertEqual(claims[-1].id, id)
            await until(blocked)
        stats = (await thoonk.redis.execute("INFO", "commandstats")).decode().splitlines()
        calls = {
            line.removeprefix("cmdstat_").split(":")[0]: int(line.split("calls=")[1].split(",")[0])
            for line in stats
            if line.startswith("cmdstat_")
        }
        # Without our own looks.
        return {name: n for name, n in calls.items() if name not in ("info", "config|resetstat")}

    async def test_many_waiters_cost_as_much_as_one(self) -> None:
        """A put wakes one of those who wait, and nobody else runs a single command."""
        one = await self.commands_of_puts(1)
        many = await self.commands_of_puts(40)
        self.assertEqual(many, one)
        # The put, the claim, and the look whether there is more to claim.
        self.assertEqual(one["evalsha"], 3 * PUTS)
