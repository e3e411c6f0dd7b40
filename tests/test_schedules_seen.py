"""The checks of schedulers that are killed, and of their clocks, where a safeguard is missing."""

from __future__ import annotations

from tests.test_schedules_killed import DriveCase


class SeenTests(DriveCase):
    """What the others say happens never, happens then, and is seen."""

    async def test_comparison(self) -> None:
        """
        A tick that whoever sees it due fires comes twice.
        """
        server = await self.own_server()
        for _ in range(5):  # two have to look between one another's looking and firing
            drive = self.drive(server, 60, off="comparison")
            if "twice" in (await drive.clocks()).problems:
                return
        self.fail("no tick came twice")

    async def test_clock(self) -> None:
        """
        Where each host goes by its own clock ticks come minutes before their time.
        """
        drive = self.drive(await self.own_server(), 30, hosts=2, off="clock")
        self.assertIn("before its time", (await drive.clocks()).problems)

    async def test_one_step(self) -> None:
        """
        Where a schedule moves on before its job is put, ticks are skipped.
        """
        drive = self.drive(
            await self.own_server(), 60, hosts=2, off="one step", points=("answered",)
        )
        self.assertIn("skipped", (await drive.kills()).problems)
