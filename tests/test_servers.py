"""Which server it is: passwords, users, and a server of one's own."""

from __future__ import annotations

import os
from typing import Any

from twisted.logger import formatEvent, globalLogPublisher

from tests.helpers import Heard, ThoonkTestCase, open_now, until
from txthoonk import NotConnected, Thoonk
from txthoonk.errors import ServerNotFound
from txthoonk.testing import RedisTestCase


class LoginTests(ThoonkTestCase):
    """Who we are on the server."""

    async def setUp(self) -> None:
        self.server = await self.own_server(requirepass="sesame open")
        self.redis_url = f"{self.server.url}&password=sesame%20open"
        self.thoonk = await self.start_thoonk()
        self.redis = self.thoonk.redis
        self.logged: list[str] = []
        globalLogPublisher.addObserver(self.keep)
        self.addCleanup(globalLogPublisher.removeObserver, self.keep)

    def keep(self, event: Any) -> None:
        """Keep what is logged, as it would be read."""
        self.logged.append(f"{formatEvent(event)} {event}")

    async def test_password(self) -> None:
        """
        Every connection logs in: for commands, for messages, and for gets that wait.
        """
        job = self.thoonk.job("a")
        heard = Heard()
        await job.subscribe(put=heard)
        getting = job.get()
        await job.put("work")
        self.assertEqual((await getting).item, "work")
        await heard.when(1)

    async def test_user(self) -> None:
        """
        A user of Redis logs in by name, and is in the database that was asked for.
        """
        await self.redis.execute("ACL", "SETUSER", "me", "on", ">p@ss", "~*", "&*", "+@all")
        url = f"redis+unix://me:p%40ss@{self.server.socket_path}?db=3"
        me = await self.start_thoonk(url)
        self.assertEqual(await me.redis.execute("ACL", "WHOAMI"), b"me")
        await me.feed("a").publish("item")
        self.assertEqual(await self.redis.execute("EXISTS", "feed.ids:a"), 0)

    async def test_refused(self) -> None:
        """
        Where Redis refuses the password, or wants one, calls fail with its reason; the password
        is in no message and in no log.
        """
        for query, reason in {"&password=wr0ng": "WRONGPASS", "": "NOAUTH"}.items():
            thoonk = Thoonk(self.server.url + query, connect_timeout=0.3)
            thoonk.startService()
            self.addCleanup(thoonk.stopService)
            for call in (
                thoonk.redis.ping(),
                thoonk.feed("a").publish("item"),
                thoonk.job("b").get(),
                thoonk.subscribe("a", publish=Heard()),
                thoonk.when_connected(),
            ):
                self.assertIn(reason, str(await self.assertFailure(call, NotConnected)))
            await thoonk.stopService()
            self.assertTrue(any(reason in line for line in self.logged))
        self.assertFalse([line for line in self.logged if "wr0ng" in line or "sesame" in line])

    async def test_given_later(self) -> None:
        """
        Once the password is right, whoever waits goes on.
        """
        thoonk = Thoonk(f"{self.server.url}&password=later")
        self.addCleanup(thoonk.stopService)
        heard = Heard()
        thoonk.startService()
        subscribing = thoonk.subscribe("a", publish=heard)
        publishing = thoonk.feed("a").publish("item")
        await until(lambda: self.logged)
        await self.redis.execute("CONFIG", "SET", "requirepass", "later")
        await publishing
        await subscribing


class EmbeddedTests(RedisTestCase):
    """``"embedded:"``, a server of one's own."""

    timeout = 240

    async def test_embedded(self) -> None:
        """
        It is there while it is wanted, and everything works on it; a new start has a new one.
        """
        before = open_now()
        thoonk = Thoonk("embedded:")
        for _ in range(2):
            async with thoonk:
                heard = Heard()
                feed = thoonk.feed("a")
                subscription = await feed.subscribe(publish=heard)
                self.assertEqual(await feed.length(), 0)
                await feed.publish("item")
                await heard.when(1)
                subscription.stop()
                path = (await thoonk.redis.execute("CONFIG", "GET", "dir"))[1]
                self.assertTrue(os.path.exists(path))
            self.assertFalse(os.path.exists(path))
            self.assertEqual(open_now() - before, set())

    async def test_asked_before(self) -> None:
        """
        Whoever asks before the server is there waits for it.
        """
        thoonk = Thoonk("embedded:")
        self.addCleanup(thoonk.stopService)
        heard = Heard()
        subscribing = thoonk.subscribe("a", publish=heard)
        thoonk.startService()
        getting = thoonk.job("b").get()
        await thoonk.job("b").put("work")
        await subscribing
        await thoonk.feed("a").publish("item")
        await heard.when(1)
        self.assertEqual((await getting).item, "work")

    async def test_stopped_while_starting(self) -> None:
        """
        A server that is not up yet when it is no more wanted is gone at once.
        """
        before = open_now()
        thoonk = Thoonk("embedded:")
        thoonk.startService()
        waiting = thoonk.when_connected()
        stopping = thoonk.stopService()
        await self.assertFailure(waiting, NotConnected)
        thoonk.startService()
        await stopping
        self.assertIs(await thoonk.when_connected(), thoonk)
        await thoonk.stopService()
        self.assertEqual(open_now() - before, set())

    async def test_no_program(self) -> None:
        """
        Without a redis-server to run, all that waits and all that comes is told so at once.
        """
        self.patch(os, "environ", {**os.environ, "TXTHOONK_REDIS_SERVER": "/no/redis-server"})
        before = open_now()
        thoonk = Thoonk("embedded:")
        waiting = [thoonk.when_connected(), thoonk.subscribe("a", publish=Heard())]
        thoonk.startService()
        for each in (*waiting, thoonk.redis.ping(), thoonk.subscribe("a", publish=Heard())):
            self.assertIn("/no/redis-server", str(await self.assertFailure(each, ServerNotFound)))
        await thoonk.stopService()
        self.assertEqual(open_now() - before, set())
