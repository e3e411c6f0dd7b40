"""Feeds as Server-Sent Events: what is there, then every change, and again after a break."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tests.helpers import until
from tests.stream_helpers import Mirror, StreamCase
from txthoonk.web.sse import pack_places, read_places


class StreamTests(StreamCase):
    """One stream."""

    async def test_one_feed(self) -> None:
        """
        A page gets what is in the feed, then each change, with its place as the event's id.
        """
        feed = self.thoonk.feed(self.feed_name(), max_length=2)
        await feed.publish("one", id="1")
        live = self.serve_live()
        page = await self.stream(f"feed={quote(feed.name)}")
        await page.when_told("ready")
        self.assertIn(b"text/event-stream", page.head)
        self.assertEqual(page.mirror.feeds, {feed.name: {"1": "one"}})
        await feed.publish("two", id="2")
        await feed.publish("zwei", id="2")
        await feed.publish("three", id="3")
        await feed.retract("2")
        await page.when_told("retract", id="2")
        self.assertEqual(page.mirror.feeds, {feed.name: {"3": "three"}})
        self.assertEqual(
            page.mirror.types(feed.name),
            ["snapshot", "publish", "edit", "retract", "publish", "retract"],
        )
        self.assertEqual(page.last_id, page.mirror.at[feed.name])
        self.assertEqual(page.mirror.wrong, [])
        self.assertEqual(live.hub.counts.snapshots, 1)

    async def test_sorted_feed(self) -> None:
        """
        A page has a sorted feed in its order, whatever is done to it.
        """
        feed = self.thoonk.sorted_feed(self.feed_name())
        ids = [await feed.append(f"item {i}") for i in range(4)]
        self.serve_live()
        page = await self.stream(f"feed={quote(feed.name)}")
        await page.when_told("ready")
        await feed.move_first(ids[2])
        await feed.edit(ids[0], "edited")
        await feed.publish_after(ids[0], "between")
        await feed.move_after(ids[3], ids[2])
        await feed.retract(ids[1])
        await page.when_told("retract", id=ids[1])
        there = await feed.get_all()
        self.assertEqual(list(page.mirror.feeds[feed.name].items()), list(there.items()))
        self.assertEqual(page.mirror.wrong, [])

    async def test_resumed(self) -> None:
        """
        A page that comes back with the last id gets what it has missed, and no state again; in
        another process too, which reads the feed's history once for all who come.
        """
        feed = self.thoonk.feed(self.feed_name())
        await feed.publish("one", id="1")
        self.serve_live()
        page = await self.stream(f"feed={quote(feed.name)}")
        await page.when_told("ready")
        page.cut()
        await page.when_lost()
        await feed.publish("two", id="2")
        again = await self.stream(f"feed={quote(feed.name)}", page.last_id, page.mirror)
        await again.when_told("publish", id="2")
        await feed.publish("three", id="3")

        other = self.serve_live()
        mirrors = [Mirror() for _ in range(20)]
        for mirror in mirrors:
            mirror.revisions[feed.name] = 1
        query, last_id = f"feed={quote(feed.name)}", page.last_id
        pages = [await self.stream(query, last_id, mirror) for mirror in mirrors]
        for each in pages:
            await each.when_told("ready")
            self.assertEqual(each.mirror.types(feed.name), ["publish", "publish"])
        self.assertEqual([each.mirror.wrong for each in pages], [[]] * 20)
        self.assertEqual(page.mirror.wrong, [])
        self.assertEqual((other.hub.counts.read, other.hub.counts.snapshots), (1, 0))

    async def test_history_lost(self) -> None:
        """
        A page that was away for longer than the history goes back gets what is there, and why.
        """
        feed = self.thoonk.feed(self.feed_name(), history=3)
        await feed.publish("one", id="1")
        self.serve_live()
        page = await self.stream(f"feed={quote(feed.name)}")
        await page.when_told("ready")
        page.cut()
        await page.when_lost()
        for i in range(5):
            await feed.publish("more", id=f"more {i}")
        self.serve_live()
        again = await self.stream(f"feed={quote(feed.name)}", page.last_id)
        await again.when_told("snapshot", reason="trimmed")
        self.assertEqual(len(again.mirror.feeds[feed.name]), 6)
        nonsense = await self.stream(f"feed={quote(feed.name)}", "nonsense")
        await nonsense.when_told("snapshot")
        far = f"{again.last_id.split('-')[0]}-zzzz-1"
        future = await self.stream(f"feed={quote(feed.name)}", far)
        await future.when_told("snapshot", reason="future")

    async def test_other_writer_of_the_same_revision(self) -> None:
        """
        A place whose revision there is, but not what led to it, is not resumed at: data were lost.
        """
        feed = self.thoonk.feed(self.feed_name())
        for i in range(3):
            await feed.publish("one", id=str(i))
        self.serve_live()
        page = await self.stream(f"feed={quote(feed.name)}")
        await page.when_told("ready")
        epoch, revision, _ = page.last_id.split("-")
        await feed.publish("one", id="4")
        other = await self.stream(f"feed={quote(feed.name)}", f"{epoch}-{revision}-abc")
        await other.when_told("ready")
        self.assertIn("reason", other.mirror.log[0])

    async def test_many(self) -> None:
        """
        One stream of several feeds and a pattern: each change once, what is in feeds that are born,
        and which are deleted; and one id that resumes them all.
        """
        team = self.feed_name()
        names = [f"team:{team}:{i}" for i in range(3)]
        feeds = [self.thoonk.feed(name) for name in names]
        for feed in feeds[:2]:
            await feed.publish("one", id="1")
        query = f"feed={quote(names[0])}&pattern={quote(f'team:{team}:*')}"
        self.serve_live()
        page = await self.stream(query)
        await page.when_told("ready")
        self.assertEqual(page.mirror.feeds, {name: {"1": "one"} for name in names[:2]})
        await feeds[0].publish("two", id="2")
        await feeds[2].publish("born", id="3")
        await page.when_told("snapshot", feed=names[2])
        await page.when_told("publish", id="2")
        page.cut()
        await page.when_lost()
        await feeds[1].publish("four", id="4")
        await feeds[2].delete()
        again = await self.stream(query, page.last_id, page.mirror)
        await again.when_told("publish", id="4")
        await again.when_told("deleted", feed=names[2])
        await until(lambda: len(page.mirror.log) >= 8)
        self.assertEqual(
            page.mirror.feeds,
            {names[0]: {"1": "one", "2": "two"}, names[1]: {"1": "one", "4": "four"}},
        )
        self.assertEqual(page.mirror.wrong, [])
        self.assertEqual([page.mirror.types(name).count("snapshot") for name in names], [1, 1, 1])

    async def test_born_sorted(self) -> None:
        """
        A feed that is born under a pattern is told as what it is: an edit of a sorted feed keeps
        its place.
        """
        team = self.feed_name()
        self.serve_live()
        page = await self.stream(f"pattern={quote(f'{team}:x:*')}")
        await page.when_told("ready")
        feed = self.thoonk.sorted_feed(f"{team}:x:born")
        ids = [await feed.append(f"item {i}") for i in range(3)]
        await feed.edit(ids[0], "edited")
        await feed.retract(ids[2])
        await page.when_told("retract", id=ids[2])
        there = list((await feed.get_all()).items())
        self.assertEqual(list(page.mirror.feeds[feed.name].items()), there)
        self.assertEqual(page.mirror.types(feed.name)[0], "snapshot")
        self.assertEqual(page.mirror.wrong, [])

    async def test_lost_and_cut_again(self) -> None:
        """
        Who has missed too much is told why, also if the connection breaks once more before that.
        """
        names = [self.feed_name() for _ in range(2)]
        feeds = [self.thoonk.feed(name, history=3) for name in names]
        for feed in feeds:
            await feed.publish("one", id="1")
        self.serve_live()
        query = "&".join(f"feed={quote(name)}" for name in names)
        page = await self.stream(query)
        await page.when_told("ready")
        page.cut()
        await page.when_lost()
        for i in range(9):
            await feeds[1].publish("more", id=f"more {i}")
        await feeds[0].publish("two", id="2")
        live = self.serve_live()
        again = await self.stream(query, page.last_id, page.mirror)
        # Up to the event of the first feed: the state of the second comes behind it.
        await again.when_told("publish", id="2")
        places = [m["at"] for m in page.mirror.log if m.get("id") == "2"]
        third = await self.stream(query, again.ids[places[0]])
        await third.when_told("ready")
        told = {m["feed"]: m.get("reason") for m in third.mirror.log if m["type"] == "snapshot"}
        self.assertEqual(told, {names[1]: "trimmed"})
        await again.when_told("ready")
        self.assertEqual(live.hub.counts.resyncs, 2)
        self.assertEqual(page.mirror.wrong, [])

    async def test_refused(self) -> None:
        """
        What a user may not read, and what is no feed, is refused by itself; the rest is told.
        """
        feed, secret = self.thoonk.feed(self.feed_name()), self.thoonk.feed(self.feed_name())
        queue = self.thoonk.queue(self.feed_name())
        await feed.publish("one")
        await secret.publish("secret")
        await queue.put("x")
        nobody = self.feed_name()
        self.serve_live(may_read=lambda user, name: name != secret.name)
        names = [feed.name, secret.name, queue.name, nobody]
        page = await self.stream("&".join(f"feed={quote(name)}" for name in names))
        await page.when_told("ready")
        refused = {m["feed"]: m["code"] for m in page.mirror.log if m["type"] == "refused"}
        self.assertEqual(refused, {secret.name: 403, queue.name: 404, nobody: 404})
        self.assertEqual(list(page.mirror.feeds), [feed.name])

    async def test_pattern_of_what_may_be_read(self) -> None:
        """
        Of a pattern a user gets the feeds that they may read, later ones too; nothing tells of
        others.
        """
        team = self.feed_name()
        for name in ("a", "secret a"):
            await self.thoonk.feed(f"{team}:x:{name}").publish("one")
        self.serve_live(may_read=lambda user, name: "secret" not in name)
        page = await self.stream(f"pattern={quote(f'{team}:x:*')}")
        await page.when_told("ready")
        await self.thoonk.feed(f"{team}:x:secret b").publish("two")
        await self.thoonk.feed(f"{team}:x:b").publish("two")
        await page.when_told("snapshot", feed=f"{team}:x:b")
        self.assertNotIn("secret", str(page.mirror.log))

    async def test_a_rule_that_fails(self) -> None:
        """
        Where the rule fails at one feed, the others are told all the same, also while such a feed
        is born; what went wrong is logged, and not told.
        """

        def may_read(user: Any, name: str) -> bool:
            if name.endswith("odd"):
                raise KeyError("why")
            return True

        team = self.feed_name()
        good, odd = f"{team}:x:good", f"{team}:x:odd"
        for name in (good, odd):
            await self.thoonk.feed(name).publish("one")
        self.serve_live(may_read=may_read)
        page = await self.stream(f"pattern={quote(f'{team}:x:*')}")
        await page.when_told("ready")
        self.assertEqual(list(page.mirror.feeds), [good])
        await self.thoonk.feed(f"{team}:x:born odd").publish("two")
        await self.thoonk.feed(f"{team}:x:born").publish("two")
        await page.when_told("snapshot", feed=f"{team}:x:born")
        socket = await self.socket()
        socket.send({"subscribe": {"feeds": [good, odd]}, "ref": 1})
        await socket.when_told("done", ref=1)
        await socket.when_told("refused", feed=odd, code=500)
        self.assertEqual(list(socket.mirror.feeds), [good])
        self.assertNotIn("why", str([*page.mirror.log, *socket.mirror.log]))
        self.assertFalse(page.lost)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 3)

    async def test_wide_patterns(self) -> None:
        """
        A pattern that has the process follow everything is refused, unless the application says
        otherwise.
        """
        team = self.feed_name()
        await self.thoonk.feed(f"{team}:x:y").publish("one")
        self.serve_live()
        for glob in ("*", f"{team}:*", f"{team}:*:y", f"[{team[0]}]{team[1:]}:x:y"):
            page = await self.stream(f"pattern={quote(glob)}")
            await page.when_told("refused", pattern=glob, code=403)
        self.serve_live(may_follow=lambda user, pattern: pattern == f"{team}:*")
        page = await self.stream(f"pattern={quote(f'{team}:*')}")
        await page.when_told("snapshot", feed=f"{team}:x:y")
        page = await self.stream(f"pattern={quote(f'{team}:x:*')}")
        await page.when_told("refused", code=403)

    async def test_revoked(self) -> None:
        """
        When rights are taken, the streams of that user end at once, and nobody else's.
        """
        feed = self.thoonk.feed(self.feed_name())
        await feed.publish("one")
        live = self.serve_live(authenticate=lambda request: request.getHeader("x-user"))
        ann = await self.stream(f"feed={quote(feed.name)}", X_User="ann")
        bob = await self.stream(f"feed={quote(feed.name)}", X_User="bob")
        socket = await self.socket(X_User="ann")
        await ann.when_told("ready")
        await bob.when_told("ready")
        self.assertEqual(live.hub.end("ann", {"type": "revoked"}), 2)
        await ann.when_lost()
        await socket.when_lost()
        self.assertEqual(ann.mirror.log[-1], {"type": "revoked"})
        await feed.publish("two", id="2")
        await bob.when_told("publish", id="2")
        self.assertFalse(bob.lost)
        self.assertEqual(list(live.hub.streams), [s for s in live.hub.streams if s.user == "bob"])

    async def test_json_items(self) -> None:
        """
        Where items are JSON, pages get them as such; one that is none is null.
        """
        feed = self.thoonk.feed(self.feed_name(), serializer="json")
        await feed.publish({"done": False}, id="1")
        self.serve_live(serializer="json")
        page = await self.stream(f"feed={quote(feed.name)}")
        await page.when_told("ready")
        await self.thoonk.feed(feed.name, serializer="text").publish("{", id="2")
        await page.when_told("publish", id="2")
        self.assertEqual(page.mirror.feeds[feed.name], {"1": {"done": False}, "2": None})

    async def test_no_text(self) -> None:
        """
        Names, ids and items that are no UTF-8 reach pages as Python's and JavaScript's texts.
        """
        name = self.feed_name() + "\udcff"
        feed = self.thoonk.feed(name, serializer="bytes")
        await feed.publish(b"\xfe", id="\udcfd")
        self.serve_live()
        page = await self.stream(f"feed={quote(name, errors='surrogateescape')}")
        await page.when_told("ready")
        self.assertEqual(page.mirror.feeds, {name: {"\udcfd": "\udcfe"}})

    async def test_deleted_and_created(self) -> None:
        """
        A page is told that a feed is deleted, and of what is in one that comes after it.
        """
        feed = self.thoonk.feed(self.feed_name())
        await feed.publish("one")
        self.serve_live()
        page = await self.stream(f"feed={quote(feed.name)}")
        await page.when_told("ready")
        await feed.delete()
        await page.when_told("deleted")
        late = await self.stream(f"feed={quote(feed.name)}")
        await late.when_told("refused", code=404)
        await self.thoonk.create_feed(feed.name)
        await feed.publish("two", id="2")
        for each in (page, late):
            await each.when(lambda each=each: each.mirror.feeds == {feed.name: {"2": "two"}})

    async def test_heartbeat(self) -> None:
        """
        A stream on which nothing happens shows that it is alive.
        """
        feed = self.thoonk.feed(self.feed_name())
        await feed.publish("one")
        self.serve_live(heartbeat=0.5)
        page = await self.raw_stream(f"feed={quote(feed.name)}")
        await page.when(lambda raw: raw.received.count(b"\n:\n\n") >= 2)

    async def raw_stream(self, query: str) -> Any:
        """A stream as bytes."""
        raw = await self.raw()
        raw.send(f"GET /live/stream?{query} HTTP/1.0\r\n\r\n".encode())
        return raw


class TokenTests(StreamCase):
    """Tokens of several feeds."""

    def test_round_trip(self) -> None:
        """
        A token is read by any process; one that is none is an error, however it was made.
        """
        places = {"a": "1-2-3", "b:\udcff": "x-y-z"}
        token = pack_places(places)
        self.assertEqual(read_places(token), places)
        for wrong in ("", "x", "m", "m!", "m" + "A" * 9000, token[:-4], "m" + token[5:], "mAAAA"):
            with self.assertRaises(ValueError):
                read_places(wrong)

    def test_too_long(self) -> None:
        """
        A stream of so many feeds that no header holds their places has no token.
        """
        places = {f"feed {i * 7919}": f"{i}-{i * 31}-{i * 65537 % 99991}" for i in range(2000)}
        self.assertEqual(pack_places(places), "")
