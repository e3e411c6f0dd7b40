"""Feeds on a WebSocket: what a page asks for, and what it is told."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import deferLater

from tests.helpers import until
from tests.stream_helpers import Mirror, StreamCase
from txthoonk.errors import ServerBusy


class SocketTests(StreamCase):
    """One socket."""

    async def test_subscribe(self) -> None:
        """
        A page subscribes to feeds and patterns as it goes, is told when it has them, and gets each
        change once, also where a feed is in both.
        """
        team = self.feed_name()
        one, two = self.thoonk.feed(f"{team}:x:1"), self.thoonk.sorted_feed(f"{team}:x:2")
        await one.publish("a", id="1")
        await two.append("b")
        self.serve_live()
        page = await self.socket()
        page.send({"subscribe": {"feeds": {one.name: None}}, "ref": 1})
        await page.when_told("done", ref=1)
        self.assertEqual(page.mirror.feeds, {one.name: {"1": "a"}})
        page.send({"subscribe": {"patterns": {f"{team}:x:*": None}}, "ref": {"any": ["thing"]}})
        await page.when(lambda: two.name in page.mirror.feeds)
        await one.publish("c", id="3")
        await two.move_first(await two.append("d"))
        await page.when_told("move")
        self.assertEqual(page.mirror.wrong, [])
        self.assertEqual(page.mirror.log[2]["type"], "snapshot")
        self.assertEqual(page.mirror.log[3], {"type": "done", "ref": {"any": ["thing"]}})

        page.send({"unsubscribe": {"feeds": [one.name]}, "ref": 3})
        await page.when_told("done", ref=3)
        await one.publish("e", id="4")  # the pattern has it still
        await page.when_told("publish", id="4")
        page.send({"unsubscribe": {"patterns": [f"{team}:x:*"]}, "ref": 4})
        await page.when_told("done", ref=4)
        await one.publish("f", id="5")
        page.send({"subscribe": {"feeds": {one.name: page.mirror.at[one.name]}}, "ref": 5})
        await page.when_told("done", ref=5)
        self.assertEqual(list(page.mirror.feeds[one.name]), ["1", "3", "4", "5"])
        self.assertEqual(page.mirror.wrong, [])
        self.assertEqual(page.mirror.types(one.name).count("snapshot"), 1)

    async def test_resumed(self) -> None:
        """
        A page that comes back with its places gets what it has missed of each feed.
        """
        team = self.feed_name()
        names = [f"{team}:x:{i}" for i in range(3)]
        for name in names[:2]:
            await self.thoonk.feed(name).publish("a", id="a")
        self.serve_live()
        mirror = Mirror()
        page = await self.socket(mirror)
        page.send({"subscribe": {"patterns": {f"{team}:x:*": None}}, "ref": 1})
        await page.when_told("done", ref=1)
        page.cut()
        await page.when_lost()
        await self.thoonk.feed(names[0]).publish("b", id="b")
        await self.thoonk.feed(names[1]).delete()
        await self.thoonk.feed(names[2]).publish("c", id="c")
        again = await self.socket(mirror)
        again.send({"subscribe": {"patterns": {f"{team}:x:*": mirror.at}}, "ref": 2})
        await again.when_told("done", ref=2)
        self.assertEqual(mirror.feeds, {names[0]: {"a": "a", "b": "b"}, names[2]: {"c": "c"}})
        self.assertEqual(mirror.wrong, [])

    async def test_nonsense(self) -> None:
        """
        What is no message is answered with an error, and the connection goes on.
        """
        self.serve_live()
        page = await self.socket()
        deep = "[" * 100_000 + "]" * 100_000
        wrong: list[Any] = [
            *("", "x", "[]", "1", "null", deep, '{"a":', "{}", '{"subscribe":1,"ref":7}'),
            *('{"subscribe":{"feeds":{"":null}}}', '{"subscribe":{"feeds":{"\\u0000":null}}}'),
            *('{"subscribe":{"feeds":[1]}}', '{"subscribe":{"more":1}}', '{"unsubscribe":[]}'),
            *('{"subscribe":{"patterns":{"x":{"y":1}}}}', '{"x":"\\udcff"}', '{"x":"\\ud800'),
        ]
        for text in wrong:
            page.send(text)
        await page.when(lambda: len(page.mirror.log) == len(wrong))
        for message in page.mirror.log:
            self.assertEqual((message["type"], message["code"]), ("error", 400), message)
        self.assertEqual(page.mirror.log[8]["ref"], 7)
        self.assertFalse(page.lost)

    async def test_in_pieces(self) -> None:
        """
        A message is read however it comes: byte by byte, in parts, with a ping in between.
        """
        self.serve_live()
        page = await self.socket()
        whole = b"\x81\x8b\0\0\0\0" + b'{"ref":"a"}'
        for number in range(len(whole)):
            page.send_raw(whole[number : number + 1])
        page.send_raw(b"\x01\x83\0\0\0\0" + b'{"r')
        page.send_raw(b"\x89\x80\0\0\0\0")
        page.send_raw(b"\x80\x88\0\0\0\0" + b'ef":"b"}' + whole)
        await page.when(lambda: len(page.mirror.log) == 3)
        self.assertEqual([each["ref"] for each in page.mirror.log], ["a", "b", "a"])

    async def test_bad_frames(self) -> None:
        """
        What is no WebSocket, too large or no text ends the connection with the code that says so.
        """
        self.serve_live(max_message=1000)
        frames = {
            1009: b"\x81\xfe\x07\xd0\x00\x00\x00\x00" + b"x" * 2000,
            1003: b"\x82\x81\x00\x00\x00\x00x",
            1007: b"\x81\x81\x00\x00\x00\x00\xff",
            1002: b"\x81\x01x",  # a client has to mask
        }
        for code, data in frames.items():
            page = await self.socket()
            page.send_raw(data)
            await page.when_lost()
            self.assertEqual(page.closed_by, code)
        parts = await self.socket()
        for _ in range(2000):
            if parts.lost:
                break
            parts.send_raw(b"\x01\x81\x00\x00\x00\x00x" if not _ else b"\x00\x81\x00\x00\x00\x00x")
        await parts.when_lost()
        self.assertEqual(parts.closed_by, 1009)
        closing = await self.socket()
        closing.send_raw(b"\x88\x82\x00\x00\x00\x00\x03\xe8")
        await closing.when_lost()
        self.assertEqual(closing.closed_by, 1000)

    async def test_too_many(self) -> None:
        """
        A socket may subscribe to so many feeds, and a user may send so many messages a second.
        """
        self.serve_live(max_feeds=3, rate=0.01, burst=5)
        page = await self.socket()
        page.send({"subscribe": {"feeds": ["a", "b", "c", "d"]}, "ref": 1})
        await page.when_told("error", ref=1, code=400)
        for ref in range(2, 8):
            page.send({"can": [], "ref": ref})
        await page.when(lambda: len(page.mirror.log) == 7)
        codes = [message.get("code") for message in page.mirror.log]
        self.assertEqual(codes.count(429), 3, page.mirror.log)

    async def test_no_websocket(self) -> None:
        """
        Whoever asks for the page of the socket otherwise is told what it is for.
        """
        self.serve_live()
        answer = await self.ask("GET", f"http://127.0.0.1:{self.port}/live/socket")
        self.assertEqual((answer.code, answer.json["code"]), (426, 426))

    async def test_other_sites(self) -> None:
        """
        Pages of other sites are refused before anything is upgraded.
        """
        self.serve_live(origins=["https://good.example"])
        bad = await self.socket(Origin="https://evil.example")
        await until(lambda: bad.head or bad.lost)
        self.assertNotEqual(bad.head, b"101")
        good = await self.socket(Origin="https://good.example")
        self.assertEqual(good.head, b"101")

    async def test_no_sign_of_life(self) -> None:
        """
        A client that answers no ping is given up; one that does is not.
        """
        live = self.serve_live(heartbeat=0.5, patience=2)
        silent, page = await self.socket(), await self.socket()
        silent.stop_reading()
        await until(lambda: len(live.hub.streams) == 1)
        silent.read_again()
        await silent.when_lost()
        self.assertEqual(silent.closed_by, 1001)
        self.assertFalse(page.lost)

    async def test_redis_away(self) -> None:
        """
        While Redis is away pages are told that what they show may be old; then that it is not.
        """
        server = await self.own_server()
        self.thoonk = await self.start_thoonk(server.url, connect_timeout=10)
        feed = self.thoonk.feed(self.feed_name())
        await feed.publish("a", id="1")
        self.serve_live()
        page = await self.socket()
        page.send({"subscribe": {"feeds": [feed.name]}, "ref": 1})
        await page.when_told("done", ref=1)
        await server.kill()
        await page.when_told("stale")
        late = await self.socket()
        await late.when_told("stale")
        await server.start()
        await page.when_told("fresh")
        self.assertEqual(page.mirror.log[-1]["type"], "fresh")

    async def test_come_while_redis_is_away(self) -> None:
        """
        A page that comes while Redis is away gets its feeds when it is back.
        """
        server = await self.own_server(appendonly="yes")
        self.thoonk = await self.start_thoonk(server.url, connect_timeout=0.3)
        feed = self.thoonk.feed(self.feed_name())
        await feed.publish("a", id="1")
        live = self.serve_live()
        await server.kill()
        page = await self.socket()
        page.send({"subscribe": {"feeds": [feed.name]}, "ref": 1})
        stream = await self.stream(f"feed={feed.name}")
        gone = await self.stream(f"feed={feed.name}")
        gone.cut()
        await deferLater(self.thoonk.get_reactor(), 1)
        await server.start()
        await page.when_told("done", ref=1)
        await stream.when_told("ready")
        for each in (page, stream):
            self.assertEqual(each.mirror.feeds, {feed.name: {"1": "a"}})
        self.assertEqual(len(live.hub.streams), 2)

    async def test_come_while_redis_is_busy(self) -> None:
        """
        So does one that comes while a script of somebody's holds Redis up.
        """
        server = await self.own_server()
        self.thoonk = await self.start_thoonk(server.url)
        feed = self.thoonk.feed(self.feed_name())
        await feed.publish("a", id="1")
        self.serve_live()
        other = await self.start_thoonk(server.url)
        await other.redis.execute("CONFIG", "SET", "lua-time-limit", 20)
        script = "local t = redis.call('TIME')[1] while redis.call('TIME')[1] - t < 2 do end"
        busy = other.redis.execute("EVAL", script, 0)

        async def is_busy() -> bool:
            try:
                await self.thoonk.redis.execute("PING")
            except ServerBusy:
                return True
            return False

        await until(is_busy)
        page, stream = await self.socket(), await self.stream(f"feed={feed.name}")
        page.send({"subscribe": {"feeds": [feed.name]}, "ref": 1})
        await page.when_told("done", ref=1)
        await stream.when_told("ready")
        await busy
        for each in (page, stream):
            self.assertEqual(each.mirror.feeds, {feed.name: {"1": "a"}})


class SlowTests(StreamCase):
    """Clients that do not read."""

    async def test_slow(self) -> None:
        """
        A client that does not read costs what one buffer holds; when it reads again it gets all
        there is to get, and others have not noticed.
        """
        feed = self.thoonk.feed(self.feed_name(), max_length=10)
        await feed.publish("first", id="first")
        live = self.serve_live()
        clients: list[Any] = []
        for _ in range(10):
            stream = await self.stream(f"feed={feed.name}")
            socket = await self.socket()
            socket.send({"subscribe": {"feeds": [feed.name]}})
            clients += [stream, socket]
        fast = await self.socket()
        fast.send({"subscribe": {"feeds": [feed.name]}})
        for each in (*clients, fast):
            await each.when_told("snapshot")
        for each in clients:
            each.stop_reading()
        before = self.rss()
        item = "x" * 20_000
        for i in range(1000):
            await feed.publish(f"{i} {item}", id=str(i % 20))
        grown = self.rss() - before
        await fast.when(lambda: fast.mirror.revisions[feed.name] >= 1000)
        self.assertGreaterEqual(live.hub.counts.paused, len(clients))
        # What stays with them: about two buffers each, the ring of the feed, the fast one's log.
        self.assertLess(grown, 20_000_000 + 20_000_000 * 2 + len(clients) * 400_000)
        for each in clients:
            each.read_again()
        await feed.publish("last", id="last")
        there = await feed.get_all()
        for each in clients:
            await each.when(lambda each=each: "last" in each.mirror.feeds[feed.name])
            self.assertEqual(list(each.mirror.feeds[feed.name].items()), list(there.items()))
            kinds = each.mirror.types(feed.name)
            self.assertGreaterEqual(kinds.count("snapshot"), 2)
            reasons = {m.get("reason") for m in each.mirror.log if m["type"] == "snapshot"}
            self.assertEqual(reasons, {None, "overflow"})
        self.assertEqual(fast.mirror.wrong, [])
        self.assertEqual(fast.mirror.types(feed.name).count("snapshot"), 1)

    async def test_a_large_state(self) -> None:
        """
        A state of many megabytes comes in parts, as the client reads; what happens meanwhile
        follows it.
        """
        feed = self.thoonk.feed(self.feed_name())
        for i in range(100):
            await feed.publish(str(i) * 20_000, id=str(i))
        self.serve_live()
        for open_one in (lambda: self.stream(f"feed={feed.name}"), self.socket):
            page: Any = await open_one()
            page.stop_reading()
            if hasattr(page, "send"):
                page.send({"subscribe": {"feeds": [feed.name]}, "ref": 1})
            await deferLater(self.thoonk.get_reactor(), 0.2)
            await feed.publish("after", id="after")
            await feed.retract("after")
            page.read_again()
            await page.when(lambda page=page: len(page.mirror.feeds.get(feed.name, ())) == 100)
            await page.when_told("done" if hasattr(page, "send") else "ready")
            self.assertEqual(page.mirror.feeds[feed.name], await feed.get_all())
            self.assertEqual(page.mirror.wrong, [])

    async def test_unread_states(self) -> None:
        """
        A state of many megabytes is in memory once, however many clients do not read it.
        """
        feed = self.thoonk.feed(self.feed_name())
        for i in range(100):
            await feed.publish("x" * 50_000, id=str(i))
        live = self.serve_live()
        first = await self.socket()
        first.send({"subscribe": {"feeds": [feed.name]}, "ref": 1})
        await first.when_told("done")
        before = self.rss()
        for i in range(30):
            page: Any = await (self.socket() if i % 2 else self.stream(f"feed={feed.name}"))
            page.stop_reading()
            if i % 2:
                known = None if i % 3 else "a-1-b"
                page.send({"subscribe": {"feeds": {feed.name: known}}})
        await until(lambda: sum(each.behind is not None for each in live.hub.streams) == 30)
        self.assertLess(self.rss() - before, 50_000_000)  # each as a copy: 150

    async def test_given_up(self) -> None:
        """
        A client that has not read for long is cut off.
        """
        feed = self.thoonk.feed(self.feed_name(), max_length=1)
        await feed.publish("a")
        live = self.serve_live(heartbeat=0.5, patience=1.5)
        page = await self.stream(f"feed={feed.name}")
        await page.when_told("ready")
        page.stop_reading()
        for _ in range(400):
            await feed.publish("x" * 20_000)
        await until(lambda: not live.hub.streams)
        page.read_again()
        await page.when_lost()

    async def test_answers_that_nobody_reads(self) -> None:
        """
        A client that asks and asks and does not read is listened to when it reads again.
        """
        self.serve_live(rate=0)
        page = await self.socket()
        page.stop_reading()
        for i in range(2000):
            page.send({"x": 1, "ref": f"{i} {'z' * 50_000}"})
        unsent = 0
        while unsent != page.unsent:
            unsent = page.unsent
            await deferLater(self.thoonk.get_reactor(), 0.5)
        self.assertGreater(unsent, 80_000_000)  # of 100; the system's buffers hold some
        page.read_again()
        await page.when(lambda: len(page.mirror.log) == 2000)
        refs = [message["ref"].partition(" ")[0] for message in page.mirror.log]
        self.assertEqual(refs, [str(i) for i in range(2000)])
