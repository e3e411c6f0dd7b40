"""Users whose rights change while they have streams."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.helpers import until
from tests.stream_helpers import SocketClient, StreamCase, StreamClient
from tests.web_helpers import Raw
from txthoonk import Thoonk
from txthoonk.keys import REVOKE, REVOKED
from txthoonk.web import LiveResource, WebError
from txthoonk.web import revocations as module

HANDSHAKE = (
    b"GET /live/socket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n"
)


class RevokedTests(StreamCase):
    """Two web processes, as it were: two instances, each with its site."""

    async def setUp(self) -> None:
        """Have a server of our own: revocations are of a whole database."""
        await super().setUp()
        self.server = await self.own_server()
        self.rights = {"ann": True, "bob": True}
        self.thoonk = await self.start_thoonk(self.server.url, connect_timeout=2)
        self.one = self.serve_site(self.thoonk)
        self.other_thoonk = await self.start_thoonk(self.server.url)
        self.other = self.serve_site(self.other_thoonk)
        await self.thoonk.feed("f").publish("x", id="1")
        await until(lambda: self.knows(self.one) and self.knows(self.other))

    def serve_site(self, thoonk: Thoonk) -> tuple[LiveResource, int]:
        """A web process; gives its port, too."""
        kept, self.thoonk = self.thoonk, thoonk
        live = self.serve_live(
            may_read=lambda user, feed: self.rights[user],
            authenticate=lambda request: request.getHeader("authorization"),
        )
        self.thoonk = kept
        return live, self.port

    def knows(self, site: tuple[LiveResource, int]) -> bool:
        """Whether a process hears of revocations."""
        revocations: Any = site[0]._revocations
        return revocations._last is not None and revocations._working.called

    async def both(self, user: str) -> list[Any]:
        """A stream of a user with one process, and a socket with the other."""
        self.port = self.one[1]
        stream = await self.stream("feed=f", authorization=user)
        self.port = self.other[1]
        socket = await self.socket(authorization=user)
        socket.send({"subscribe": {"feeds": ["f"]}})
        for each in (stream, socket):
            await each.when_told("snapshot")
        return [stream, socket]

    def told(self, client: StreamClient | SocketClient) -> list[str]:
        """Types of what a client was told."""
        return [each["type"] for each in client.mirror.log]

    async def test_revoked(self) -> None:
        """
        All streams of the user end at once, in both processes, told why; other users' go on.
        """
        anns, bobs = await self.both("ann"), await self.both("bob")
        self.rights["ann"] = False
        await self.one[0].revoke("ann")
        for each in anns:
            await each.when_lost()
            self.assertEqual(self.told(each)[-1], "revoked")
        await self.thoonk.feed("f").publish("y", id="2")
        for each in bobs:
            await each.when_told("publish", id="2")
            self.assertFalse(each.lost)
        again = await self.stream("feed=f", authorization="ann")
        await again.when_told("refused", code=403)

    async def test_by_user(self) -> None:
        """
        A user may be named as ``authenticate`` gives it, or by its id, whatever is in that.
        """
        heard = await self.listen(f"{REVOKE.decode()}*", url=self.server.url)
        for user, id in (({"id": 7, "name": "x"}, "7"), (7, "7"), ("a\0b ä", "a\0b ä")):
            ended: list[Any] = []
            self.patch(self.other[0]._revocations, "_end", lambda *args, e=ended: e.append(args))
            await self.one[0].revoke(user)
            await until(lambda ended=ended, wanted=(id, True): wanted in ended)
        self.assertEqual(heard[-1], (f"{REVOKE.decode()}0", "a\0b ä".encode()))

    async def test_while_cut(self) -> None:
        """
        What is revoked while a process has no connection for messages ends its streams when it has
        one again; the others' streams go on.
        """
        anns, bobs = await self.both("ann"), await self.both("bob")
        self.rights["ann"] = False
        redis = await self.connect(self.server.url)
        await redis.execute("XADD", REVOKED, "*", "user", "ann")  # as if the message were lost
        await redis.execute("CLIENT", "KILL", "TYPE", "pubsub")
        for each in anns:
            await each.when_lost()
        await self.thoonk.feed("f").publish("y", id="2")
        for each in bobs:
            await each.when_told("publish", id="2")
            self.assertFalse(each.lost)

    async def test_told_twice(self) -> None:
        """
        A user who came back after being revoked is not sent away again by a break.
        """
        first = await self.both("ann")
        await self.one[0].revoke("ann")
        for each in first:
            await each.when_lost()
        await until(lambda: self.one[0]._revocations._last and self.other[0]._revocations._last)
        redis = await self.connect(self.server.url)
        second = await self.both("ann")
        await redis.execute("CLIENT", "KILL", "TYPE", "pubsub")
        await self.thoonk.feed("f").publish("y", id="2")
        for each in second:
            await each.when_told("publish", id="2")
            self.assertFalse(each.lost)

    async def test_unknown(self) -> None:
        """
        Where it cannot be known any more who was revoked, all streams end and may come again.
        """
        clients = [*await self.both("ann"), *await self.both("bob")]
        await self.one[0].revoke("carl")
        redis = await self.connect(self.server.url)
        await until(lambda: self.one[0]._revocations._last and self.other[0]._revocations._last)
        await redis.execute("DEL", REVOKED)
        await redis.execute("CLIENT", "KILL", "TYPE", "pubsub")
        for each in clients:
            await each.when_lost()
            self.assertNotIn("revoked", self.told(each))
        again = await self.both("ann")
        await redis.execute("CLIENT", "KILL", "TYPE", "pubsub")
        await self.thoonk.feed("f").publish("y", id="2")
        for each in again:
            await each.when_told("publish", id="2")

    async def test_while_asked_who(self) -> None:
        """
        Who is revoked while it is found out who they are is asked once more, and has no stream by
        what was known before.
        """
        asked: list[Deferred[Any]] = []

        def authenticate(request: Any) -> Deferred[Any]:
            asked.append(Deferred())
            return asked[-1]

        live = self.serve_live(authenticate=authenticate)
        for connect in (lambda: self.stream("feed=f"), lambda: self.raw()):
            page: Any = await connect()
            if isinstance(page, Raw):
                page.send(HANDSHAKE)
            await until(lambda: asked)
            await live.revoke("ann")
            asked.pop().callback("ann")
            await until(lambda: asked)
            asked.pop().errback(WebError(401))
            name = "received" if isinstance(page, Raw) else "head"
            await page.when(lambda page=page, name=name: b" 401 " in getattr(page, name))
            self.assertEqual(live.hub.streams, {})

    async def test_others_while_asked_who(self) -> None:
        """
        Whose rights have not changed is not asked again, however many others' have.
        """
        asked: list[Deferred[Any]] = []

        def authenticate(request: Any) -> Deferred[Any]:
            asked.append(Deferred())
            return asked[-1]

        live = self.serve_live(authenticate=authenticate)
        page = await self.stream("feed=f")
        await until(lambda: asked)
        for user in ("bob", "carol"):
            await live.revoke(user)
        asked[0].callback("ann")
        await page.when_told("snapshot")
        self.assertEqual(len(asked), 1)

    async def test_bounded(self) -> None:
        """
        So many revocations are kept, and no more.
        """
        self.patch(module, "KEPT", 5)
        for i in range(9):
            await self.one[0].revoke(f"user {i}")
        self.assertEqual(await self.thoonk.redis.execute("XLEN", REVOKED), 5)

    async def test_redis_is_away(self) -> None:
        """
        While Redis is away the streams of this process end, and the caller learns that others were
        not told; afterwards everything works again.
        """
        anns = await self.both("ann")
        await self.server.stop()
        from txthoonk.errors import ConnectionFailed

        revoked = self.one[0].revoke("ann")
        await anns[0].when_lost()
        await self.assertFailure(revoked, ConnectionFailed)

    async def test_stopped(self) -> None:
        """
        A resource that is stopped hears no more, and leaves nothing behind.
        """
        self.one[0].stop()
        self.one[0].stop()
        await self.other[0].revoke("ann")
        await self.settle(self.thoonk)
