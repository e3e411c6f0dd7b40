"""What meets in the middle: clients that come, go and change their minds while feeds do too."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.helpers import until
from tests.stream_helpers import StreamCase
from txthoonk.web import hub


class Gate:
    """A ``may_read`` that takes as long as a test wants.

    :ivar asked: what was asked and not answered, by the feed's name.
    :ivar closed: names, of which asking takes that long.
    """

    def __init__(self, *closed: str) -> None:
        self.closed = set(closed)
        self.asked: dict[str, list[Deferred[bool]]] = {}

    def __call__(self, user: Any, name: str) -> Any:
        if name not in self.closed:
            return True
        answer: Deferred[bool] = Deferred()
        self.asked.setdefault(name, []).append(answer)
        return answer

    def open(self, name: str) -> None:
        """Answer, from now on at once."""
        self.closed.discard(name)
        for each in self.asked.pop(name, ()):
            each.callback(True)


class RaceTests(StreamCase):
    """Streams and sockets of which more than one thing is true for a moment."""

    async def test_gone_while_asked_for(self) -> None:
        """
        A client that goes away before it is known what it may read leaves nothing behind.
        """
        feed = self.thoonk.feed(self.feed_name())
        await feed.publish("one")
        gate = Gate(feed.name)
        live = self.serve_live(may_read=gate)
        page = await self.stream(f"feed={quote(feed.name)}")
        await until(lambda: gate.asked)
        page.cut()
        await until(lambda: not live.hub.streams)
        gate.open(feed.name)
        self.assertEqual([topic for topic in live.hub.followed if topic.streams], [])

    async def test_stopped_while_asked_who(self) -> None:
        """
        Whoever comes while the resource is stopped, or after that, is sent to another process, and
        gets no stream that nobody would end.
        """
        feed = self.thoonk.feed(self.feed_name())
        await feed.publish("one")
        who: Deferred[str] = Deferred()
        live = self.serve_live(authenticate=lambda request: who)
        page = await self.stream(f"feed={quote(feed.name)}")
        await until(lambda: who.callbacks)
        live.stop()
        who.callback("ann")
        await page.when(lambda: page.head)
        late = await self.stream(f"feed={quote(feed.name)}")
        await late.when(lambda: late.head)
        for each in (page, late):
            self.assertIn(b" 503 ", each.head.partition(b"\r\n")[0])
        self.assertEqual((list(live.hub.streams), list(live.hub.followed)), ([], []))

    async def test_unsubscribed_while_one_is_born(self) -> None:
        """
        A pattern that is given up just when it is asked whether a new feed of it may be read brings
        nothing any more; the feed can be asked for by name.
        """
        name = f"{self.feed_name()}:x:1"
        glob, gate = f"{name[:-1]}*", Gate(name)
        live = self.serve_live(may_read=gate)
        page = await self.socket()
        page.send({"subscribe": {"patterns": [glob]}, "ref": 1})
        await page.when_told("done", ref=1)
        await self.thoonk.feed(name).publish("one", id="1")
        await until(lambda: gate.asked)
        page.send({"unsubscribe": {"patterns": [glob]}, "ref": 2})
        await page.when_told("done", ref=2)
        gate.open(name)
        (stream,) = live.hub.streams
        self.assertEqual((stream.channels, page.mirror.feeds), ({}, {}))
        page.send({"subscribe": {"feeds": [name]}, "ref": 3})
        await page.when_told("done", ref=3)
        await self.thoonk.feed(name).publish("two", id="2")
        await page.when(lambda: page.mirror.feeds.get(name) == {"1": "one", "2": "two"})
        self.assertEqual(page.mirror.wrong, [])

    async def test_gone_under_a_pattern(self) -> None:
        """
        A feed that is asked for by name while it comes with a pattern, and is gone when the pattern
        is given up, is told again when it is there again.
        """
        name = f"{self.feed_name()}:x:1"
        glob = f"{name[:-1]}*"
        await self.thoonk.feed(name).publish("one")
        self.serve_live()
        page = await self.socket()
        page.send({"subscribe": {"patterns": [glob]}, "ref": 1})
        await page.when_told("done", ref=1)
        page.send({"subscribe": {"feeds": [name]}, "ref": 2})
        await page.when_told("done", ref=2)
        await self.thoonk.feed(name).delete()
        await page.when_told("deleted", feed=name)
        page.send({"unsubscribe": {"patterns": [glob]}, "ref": 3})
        await page.when_told("done", ref=3)
        await self.thoonk.feed(name).publish("two", id="2")
        await page.when(lambda: page.mirror.feeds.get(name) == {"2": "two"})

    async def test_unsubscribed_while_asked_for(self) -> None:
        """
        Who unsubscribes before a subscription is complete has none; the next one begins with all
        that is there.
        """
        feed = self.thoonk.feed(self.feed_name())
        await feed.publish("one", id="1")
        gate = Gate(feed.name)
        live = self.serve_live(may_read=gate)
        page = await self.socket()
        page.send({"subscribe": {"feeds": {feed.name: None}}, "ref": 1})
        await until(lambda: gate.asked)
        page.send({"unsubscribe": {"feeds": [feed.name]}, "ref": 2})
        await page.when_told("done", ref=2)
        gate.open(feed.name)
        await page.when_told("done", ref=1)
        self.assertEqual(page.mirror.types(feed.name), [])
        (stream,) = live.hub.streams
        self.assertEqual((list(stream.topics), stream.channels), ([], {}))
        page.send({"subscribe": {"feeds": {feed.name: None}}, "ref": 3})
        await page.when_told("done", ref=3)
        self.assertEqual(page.mirror.feeds, {feed.name: {"1": "one"}})

    async def test_changes_its_mind(self) -> None:
        """
        Of two subscriptions with an end between them the second one counts, whichever is complete
        first: a page that has forgotten what it knew is told all.
        """
        feed = self.thoonk.feed(self.feed_name())
        await feed.publish("one", id="1")
        gate = Gate(feed.name)
        self.serve_live(may_read=gate)
        first = await self.stream(f"feed={quote(feed.name)}")
        await until(lambda: gate.asked)
        gate.open(feed.name)
        await first.when_told("ready")
        at = first.mirror.at[feed.name]
        gate.closed.add(feed.name)
        page = await self.socket()
        page.send({"subscribe": {"feeds": {feed.name: at}}, "ref": 1})
        page.send({"unsubscribe": {"feeds": [feed.name]}})
        page.send({"subscribe": {"feeds": {feed.name: None}}, "ref": 3})
        await until(lambda: len(gate.asked.get(feed.name, ())) == 2)
        gate.open(feed.name)
        await page.when_told("done", ref=3)
        self.assertEqual(page.mirror.feeds, {feed.name: {"1": "one"}})

    async def test_dies_while_asked_for(self) -> None:
        """
        A feed of a pattern that is deleted while somebody subscribes, and comes again, is told.
        """
        team = self.feed_name()
        feed, slow = self.thoonk.feed(f"{team}:x:a"), self.thoonk.feed(f"{team}:x:b")
        await feed.publish("old", id="1")
        await slow.publish("old", id="1")
        gate = Gate()
        self.serve_live(may_read=gate)
        mirrors = []
        before = await self.socket()
        before.send({"subscribe": {"patterns": [f"{team}:x:*"]}, "ref": 1})
        await before.when_told("done")
        gate.closed.add(slow.name)
        for known in (None, before.mirror.at):
            page = await self.socket()
            page.send({"subscribe": {"patterns": {f"{team}:x:*": known}}, "ref": 1})
            mirrors.append(page)
        await until(lambda: len(gate.asked.get(slow.name, ())) == 2)
        await feed.delete()
        await before.when_told("deleted")
        gate.open(slow.name)
        for page in mirrors:
            await page.when_told("done")
            self.assertNotIn(feed.name, page.mirror.feeds)
        await mirrors[1].when_told("deleted", feed=feed.name)
        await self.thoonk.create_feed(feed.name)
        await feed.publish("new", id="2")
        for page in (before, *mirrors):
            await page.when(lambda p=page: p.mirror.feeds.get(feed.name) == {"2": "new"})

    async def test_unsubscribed_while_behind(self) -> None:
        """
        Who follows a feed by name and by pattern, has not read what came, and gives up one of
        both, misses nothing.
        """
        team = self.feed_name()
        feed = self.thoonk.feed(f"{team}:x:a")
        await feed.publish("x", id="0")
        live = self.serve_live()
        page = await self.socket()
        page.send({"subscribe": {"feeds": [feed.name], "patterns": [f"{team}:x:*"]}, "ref": 1})
        await page.when_told("done", ref=1)
        page.stop_reading()
        item = "x" * 50_000
        count = 0
        (stream,) = live.hub.streams
        while not stream.behind or count % 10:
            count += 1
            await feed.publish(item, id=str(count))
        page.send({"unsubscribe": {"feeds": [feed.name]}, "ref": 2})
        await until(lambda: len(stream.topics) == 1)
        await feed.publish("last", id="last")
        page.read_again()
        await page.when(lambda: "last" in page.mirror.feeds[feed.name])
        self.assertEqual(page.mirror.feeds[feed.name], await feed.get_all())
        self.assertEqual(page.mirror.wrong, [])

    async def test_nothing_told_of_what_may_not_be_read(self) -> None:
        """
        Who comes with a place in a feed that they may not read does not learn if it is there.
        """
        team = self.feed_name()
        await self.thoonk.feed(f"{team}:x:secret").publish("one")
        self.serve_live(may_read=lambda user, name: not name.endswith("secret"))
        page = await self.socket()
        names = [f"{team}:x:secret", f"{team}:x:no secret"]
        known = dict.fromkeys([*names, f"{team}:x:gone"], "a-1-b")
        page.send({"subscribe": {"patterns": {f"{team}:x:*": known}}, "ref": 1})
        await page.when_told("done")
        self.assertEqual([page.mirror.types(name) for name in names], [["refused"]] * 2)
        self.assertEqual(page.mirror.types(f"{team}:x:gone"), ["deleted"])

    async def test_fresh_again(self) -> None:
        """
        After a break pages are told that all is fresh again, also if a feed was deleted meanwhile.
        """
        team = self.feed_name()
        feed, other = self.thoonk.feed(f"{team}:x:a"), self.thoonk.feed(f"{team}:x:b")
        await feed.publish("one", id="1")
        await other.publish("one", id="1")
        self.serve_live()
        page = await self.stream(f"pattern={quote(f'{team}:x:*')}")
        await page.when_told("ready")
        peer = await self.start_thoonk()
        for _ in range(5):
            page.mirror.log.clear()
            await self.thoonk.redis.execute("CLIENT", "KILL", "TYPE", "pubsub")
            await peer.feed(other.name).delete()
            await page.when_told("stale")
            await page.when_told("fresh")
            await peer.create_feed(other.name)
            await peer.feed(other.name).publish("two", id="2")
            await page.when(lambda: other.name in page.mirror.feeds)

    async def test_gone_while_redis_is_away(self) -> None:
        """
        A client that comes and goes while Redis is away has nothing followed when it is back.
        """
        server = await self.own_server(appendonly="yes")
        self.thoonk = await self.start_thoonk(server.url, connect_timeout=0.3)
        feed = self.thoonk.feed(self.feed_name())
        await feed.publish("a", id="1")
        live = self.serve_live()
        await server.kill()
        page = await self.stream(f"feed={feed.name}")
        await until(lambda: live.hub.followed._pauses)
        page.cut()
        await until(lambda: not live.hub.streams)
        await server.start()
        await until(lambda: not live.hub.followed._pauses)
        other = await self.stream(f"feed={feed.name}")
        await other.when_told("ready")
        self.assertEqual((len(live.hub.followed), live.hub.counts.channels), (1, 1))

    async def test_given_up_while_redis_is_away(self) -> None:
        """
        Who asks for two feeds while Redis is away, and then not for the one, gets the other.
        """
        server = await self.own_server(appendonly="yes")
        self.thoonk = await self.start_thoonk(server.url, connect_timeout=30)
        one, other = (self.thoonk.feed(self.feed_name()) for _ in range(2))
        for each in (one, other):
            await each.publish("a", id="1")
        self.patch(hub, "LINGER", 0.0)
        live = self.serve_live()
        await server.kill()
        page = await self.socket()
        page.send({"subscribe": {"feeds": [one.name, other.name]}, "ref": 1})
        await until(lambda: len(live.hub.followed) == 2)
        page.send({"unsubscribe": {"feeds": [one.name]}, "ref": 2})
        await until(lambda: len(live.hub.followed) == 1)
        await server.start()
        await page.when_told("done", ref=1)
        self.assertEqual(page.mirror.feeds, {other.name: {"1": "a"}})

    async def test_another_feed_while_asked_for(self) -> None:
        """
        Who knows a feed, and subscribes while another one comes in its place, is told all of that.
        """
        feed, slow = (self.thoonk.feed(self.feed_name()) for _ in range(2))
        for each in (feed, slow):
            await each.publish("old", id="0")
        gate = Gate()
        self.serve_live(may_read=gate)
        before = await self.stream(f"feed={quote(feed.name)}")
        await before.when_told("ready")
        gate.closed.add(slow.name)
        page = await self.socket()
        page.mirror.take(before.mirror.log[0])
        known = {feed.name: page.mirror.at[feed.name], slow.name: None}
        page.send({"subscribe": {"feeds": known}, "ref": 1})
        await until(lambda: gate.asked)
        peer = await self.start_thoonk()
        # So quickly that the messages of this are lost.
        await peer.redis.execute("CLIENT", "KILL", "TYPE", "pubsub")
        await peer.delete_feed(feed.name)
        again = await peer.feed(feed.name)
        for i in range(1, 6):
            await again.publish("new", id=str(i))
        await before.when(lambda: "5" in before.mirror.feeds.get(feed.name, ()))
        late = await self.stream(f"feed={quote(feed.name)}", last_id="a-1-b")  # reads the history
        await late.when_told("ready")
        gate.open(slow.name)
        await page.when_told("done", ref=1)
        await again.publish("new", id="6")
        await page.when(lambda: "6" in page.mirror.feeds[feed.name])
        self.assertEqual(page.mirror.feeds[feed.name], await again.get_all())

    async def test_ended_and_unread(self) -> None:
        """
        A connection that has ended is closed, also where the client does not read what it was
        sent last.
        """
        self.patch(hub, "LINGER", 0.5)
        live = self.serve_live(rate=0, heartbeat=0.5)
        page = await self.raw()
        taken: Any = page.transport
        page.send(
            b"GET /live/socket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Version: 13\r\n\r\n"
        )
        await page.when(lambda raw: raw.received)
        taken.pauseProducing()
        (stream,) = live.hub.streams
        transport = stream.transport
        while not (transport.dataBuffer or transport._tempDataBuffer):
            page.send((b"\x89\xfd\0\0\0\0" + b"x" * 125) * 200)  # each ping has its pong
            await deferLater(self.thoonk.get_reactor(), 0.001)
        page.send(b"\x82\x81\0\0\0\0x")  # which is no text: it ends
        await until(lambda: stream.closed and not self.connections())
        self.assertEqual(live.hub.ending, {})
        taken.resumeProducing()
        await page.when_lost()
