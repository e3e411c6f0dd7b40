"""Maintenance of all feeds of jobs, whoever works on them."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.logger import globalLogPublisher

from tests.helpers import ThoonkTestCase, until
from txthoonk import _maintainer
from txthoonk._maintainer import Maintainer


class MaintainerTests(ThoonkTestCase):
    """A pass a second, over whatever there is."""

    async def setUp(self) -> None:
        await super().setUp()
        self.patch(_maintainer, "INTERVAL", 0.02)
        self.patch(_maintainer, "FRESH", 3)
        self.server = await self.own_server()
        self.thoonk = await self.start_thoonk(self.server.url, connect_timeout=0.05)
        self.warned: list[str] = []
        globalLogPublisher.addObserver(self.note)
        self.addCleanup(globalLogPublisher.removeObserver, self.note)

    def note(self, event: dict[str, Any]) -> None:
        """Keep what the log says against it."""
        if event.get("log_namespace", "").endswith("Maintainer") and "why" in event:
            self.warned.append(f"{event['what']}: {event['why']}")

    async def start(self) -> Maintainer:
        """One that runs."""
        maintainer = Maintainer(self.thoonk, reactor)
        maintainer.startService()
        self.addCleanup(maintainer.stopService)
        return maintainer

    async def abandon(self, name: str) -> None:
        """A job whose worker is gone."""
        jobs = await self.thoonk.job(name, claim_timeout=0.05)
        await jobs.put("work")
        await jobs.get()

    async def available(self, name: str) -> None:
        """Wait until its job is back."""
        await until(lambda: self.thoonk.redis.execute("LLEN", f"feed.ids:{name}"))

    async def test_feeds_come_and_go(self) -> None:
        """
        Feeds born later are maintained, deleted ones are not made again, and one that comes back
        with another type is seen as what it is.
        """
        maintainer = await self.start()
        await self.abandon("a")
        await self.available("a")
        await self.thoonk.delete_feed("a")
        await self.thoonk.create_feed("a")
        await self.thoonk.create_feed("b")
        await self.abandon("c")
        await self.available("c")
        await self.thoonk.delete_feed("b")
        await self.abandon("b")
        await self.available("b")
        await maintainer.stopService()
        self.assertEqual(await self.thoonk.get_feed_names(), {"a", "b", "c"})
        self.assertEqual((await self.thoonk.get_config("a"))["type"], "feed")
        self.assertEqual(self.warned, [])

    async def test_one_that_cannot_be_maintained(self) -> None:
        """
        What is wrong with a feed is told once, and holds up no other.
        """
        await self.start()
        await self.abandon("a")
        await self.available("a")
        await self.thoonk.redis.execute("DEL", "feed.ids:a", "feed.claimed:a")
        await self.thoonk.redis.execute("SET", "feed.claimed:a", "spoilt")
        await until(lambda: self.warned)
        for name in ("b", "c"):
            await self.abandon(name)
            await self.available(name)
        self.assertEqual(len(self.warned), 1, self.warned)
        self.assertIn("a: ", self.warned[0])

    async def test_outage(self) -> None:
        """
        An outage is told once; afterwards it goes on.
        """
        await self.start()
        await self.abandon("a")
        await self.available("a")
        await self.server.kill()
        await until(lambda: [each for each in self.warned if each.startswith("anything: ")])
        await self.server.start()
        await until(lambda: self.thoonk.when_connected().addErrback(lambda _: None))
        await self.abandon("b")
        await self.available("b")

    async def test_stopped(self) -> None:
        """
        It may be stopped before it was started, and again and again.
        """
        maintainer = Maintainer(self.thoonk, reactor)
        await maintainer.stopService()
        maintainer.startService()
        await maintainer.stopService()
        await maintainer.stopService()
