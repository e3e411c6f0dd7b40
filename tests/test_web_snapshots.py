"""Feeds as JSON over HTTP."""

from __future__ import annotations

import gzip
import json
from typing import Any
from urllib.parse import quote

from twisted.internet.defer import Deferred, gatherResults
from twisted.web.resource import Resource

from tests.web_helpers import Answer, WebTestCase
from txthoonk.keys import FEEDS, decode
from txthoonk.positions import pack_place, read_position
from txthoonk.web import LiveResource


class SnapshotTests(WebTestCase):
    """``GET feeds/NAME``."""

    async def setUp(self) -> None:
        """Serve all feeds whose names have no ``secret`` in them."""
        await super().setUp()
        self.live = self.mount(self.thoonk)

    def mount(self, thoonk: Any, **options: Any) -> LiveResource:
        """Serve an instance's feeds."""
        live = LiveResource(thoonk, lambda user, feed: "secret" not in feed, **options)
        self.addCleanup(live.stop)
        root = Resource()
        root.putChild(b"live", live)
        self.url = self.serve(root) + "/live"
        return live

    async def get(self, name: str, method: str = "GET", **headers: str) -> Answer:
        """Ask for a feed."""
        given = {key.replace("_", "-"): value for key, value in headers.items()}
        return await self.ask(method, f"{self.url}/feeds/{quote(name, safe='')}", headers=given)

    async def test_feed(self) -> None:
        """
        The message has all that is there, in order, and the place to go on from.
        """
        feed = self.thoonk.feed(self.feed_name("a/b:c ä?#%"))
        await feed.publish("x", id="1")
        await feed.publish("ä\x00", id="2")
        answer = await self.get(feed.name)
        state = await feed.snapshot()
        at = pack_place(read_position(state.token))
        self.assertEqual(answer.code, 200)
        self.assertEqual(
            answer.json,
            {
                "type": "snapshot",
                "feed": feed.name,
                "kind": "feed",
                "at": at,
                "revision": 2,
                "items": [["1", "x"], ["2", "ä\x00"]],
            },
        )
        self.assertEqual(answer.get("content-type"), "application/json")
        self.assertEqual(answer.get("cache-control"), "no-store")
        self.assertTrue(answer.get("etag").startswith(f'"{at}.'))

    async def test_sorted_feed(self) -> None:
        """
        The same of a sorted feed.
        """
        feed = self.thoonk.sorted_feed(self.feed_name())
        one = await feed.append("a")
        two = await feed.prepend("b")
        answer = (await self.get(feed.name)).json
        self.assertEqual(answer["kind"], "sorted_feed")
        self.assertEqual(answer["items"], [[two, "b"], [one, "a"]])

    async def test_json_items(self) -> None:
        """
        Where items are JSON they are embedded; one that is none is null.
        """
        self.mount(self.thoonk, serializer="json")
        feed = self.thoonk.feed(self.feed_name())
        await feed.publish('{"a":[1]}', id="1")
        await feed.publish("no json", id="2")
        answer = await self.get(feed.name)
        self.assertEqual(answer.json["items"], [["1", {"a": [1]}], ["2", None]])

    async def test_unchanged(self) -> None:
        """
        Who has what there is is told so; whatever changes, is sent again.
        """
        feed = self.thoonk.sorted_feed(self.feed_name())
        first = await feed.append("a")
        tag = (await self.get(feed.name)).get("etag")
        answer = await self.get(feed.name, if_none_match=tag)
        self.assertEqual((answer.code, answer.data), (304, b""))
        self.assertEqual(answer.get("etag"), tag)
        for weak in (f"W/{tag}", f'"other", {tag}', "*"):
            self.assertEqual((await self.get(feed.name, if_none_match=weak)).code, 304)
        tags = {tag}
        for change in (
            lambda: feed.edit(first, "b"),
            lambda: feed.append("c"),
            lambda: feed.move_last(first),
            lambda: feed.retract(first),
            lambda: feed.delete(),
        ):
            await change()
            answer = await self.get(feed.name, if_none_match=tag)
            if answer.code == 404:
                break
            self.assertEqual(answer.code, 200)
            tag = answer.get("etag")
            self.assertNotIn(tag, tags)
            tags.add(tag)
        self.assertEqual(answer.code, 404)

    async def test_other_programs(self) -> None:
        """
        What a program publishes or retracts that knows of no revisions is another state, too.
        """
        feed = self.thoonk.feed(self.feed_name())
        await feed.publish("a", id="1")
        tag = (await self.get(feed.name)).get("etag")
        execute = self.redis.execute
        await execute("HSET", feed.keys.items, "2", "foreign")
        await execute("ZADD", feed.keys.ids, 5, "2")
        await execute("INCR", feed.keys.publishes)
        answer = await self.get(feed.name, if_none_match=tag)
        self.assertIn(["2", "foreign"], answer.json["items"])
        tag = answer.get("etag")
        await execute("HDEL", feed.keys.items, "2")
        await execute("ZREM", feed.keys.ids, "2")
        answer = await self.get(feed.name, if_none_match=tag)
        self.assertEqual(answer.json["items"], [["1", "a"]])

    async def test_filled_again(self) -> None:
        """
        What such a program deletes and fills again with as much is another state.
        """
        execute = self.redis.execute
        feed = self.thoonk.feed(self.feed_name())
        keys = feed.keys

        async def fill(item: str) -> None:
            await execute("DEL", keys.config, keys.ids, keys.items, keys.publishes)
            await execute("SADD", FEEDS, feed.name)
            await execute("HSET", keys.config, "type", "feed")
            await execute("INCR", keys.publishes)
            await execute("HSET", keys.items, "1", item)
            await execute("ZADD", keys.ids, 5, "1")

        tag = ""
        for item in "ab":
            await fill(item)
            answer = await self.get(feed.name, if_none_match=tag)
            self.assertEqual(answer.json["items"], [["1", item]])
            tag = answer.get("etag")
        self.assertEqual((await self.get(feed.name, if_none_match=tag)).code, 304)

    async def test_head(self) -> None:
        """
        HEAD says the same without the items.
        """
        feed = self.thoonk.feed(self.feed_name())
        await feed.publish("a" * 3000, id="1")
        got, headed = await self.get(feed.name), await self.get(feed.name, "HEAD")
        self.assertEqual((headed.code, headed.data), (200, b""))
        self.assertEqual(headed.get("etag"), got.get("etag"))
        self.assertEqual(headed.get("content-length"), str(got.length))

    async def test_gzip(self) -> None:
        """
        A large feed is compressed for who takes that; the tag then is of what it says.
        """
        feed = self.thoonk.feed(self.feed_name())
        for i in range(300):
            await feed.publish("lorem ipsum", id=str(i))
        plain = await self.get(feed.name)
        zipped = await self.get(feed.name, accept_encoding="gzip")
        self.assertLess(len(zipped.data), len(plain.data) / 4)
        self.assertEqual(gzip.decompress(zipped.data), plain.data)
        self.assertEqual(zipped.get("etag"), "W/" + plain.get("etag"))
        again = await self.get(feed.name, accept_encoding="gzip", if_none_match=zipped.get("etag"))
        self.assertEqual(again.code, 304)

    async def test_not_there(self) -> None:
        """
        What is not there, or is no feed, is 404; who may not read is not told whether it is.
        """
        name = self.feed_name()
        await self.thoonk.queue(name).put("x")
        self.assertEqual((await self.get(name)).code, 404)
        self.assertEqual((await self.get(self.feed_name())).code, 404)
        secret = self.thoonk.feed(self.feed_name("secret"))
        await secret.publish("x")
        one, other = await self.get(secret.name), await self.get(self.feed_name("secret"))
        self.assertEqual((one.code, one.data), (403, other.data))
        self.assertEqual(one.json["code"], other.code)
        tag = await self.get(secret.name, if_none_match="*")
        self.assertEqual(tag.code, 403)
        self.assertEqual(await self.redis.execute("EXISTS", f"feed.config:{one}"), 0)

    async def test_names(self) -> None:
        """
        A name may be any bytes but NUL, percent-encoded in one segment of the path.
        """
        prefix = self.feed_name()
        for segment, name in (
            ("%2Fa%2f", b"/a/"),
            ("a:b:*", b"a:b:*"),
            ("%ff%fe", b"\xff\xfe"),
            ("%E2%82%AC", "€".encode()),
            ("a+b", b"a+b"),
            ("%2e%2e", b".."),
            ("%0a%0d", b"\n\r"),
        ):
            feed = self.thoonk.feed(prefix + decode(name))
            await feed.publish("x", id="1")
            answer = await self.ask("GET", f"{self.url}/feeds/{prefix}{segment}")
            self.assertEqual(answer.code, 200, segment)
            self.assertEqual(json.loads(answer.data)["feed"], feed.name)
        for segment, code in (("%00", 400), ("a%00b", 400), ("", 404), ("a" * 1025, 414)):
            answer = await self.ask("GET", f"{self.url}/feeds/{segment}")
            self.assertEqual(answer.code, code, segment)
        for path in ("/feeds", "/feeds/", f"/feeds/{prefix}/x", "/nothing", "/", ""):
            answer = await self.ask("GET", self.url + path)
            self.assertIn(answer.code, (404, 405))
            self.assertEqual(answer.json["code"], answer.code)
        self.assertEqual((await self.ask("DELETE", f"{self.url}/feeds/{prefix}")).code, 405)

    async def test_many_at_once(self) -> None:
        """
        Many who ask at once cost one look each and one read for all; what they get fits its tag.
        """
        feed = self.thoonk.feed(self.feed_name())
        for i in range(2500):
            await feed.publish(f"item {i}", id=str(i))

        async def reads() -> int:
            stats = await self.redis.execute("INFO", "stats")
            line = next(x for x in stats.split(b"\r\n") if x.startswith(b"total_net_output_bytes"))
            return int(line.partition(b":")[2])

        before = await reads()
        one = await self.get(feed.name)
        first = await reads() - before
        await feed.publish("another", id="another")
        before = await reads()
        asked = [Deferred.fromCoroutine(self.get(feed.name)) for _ in range(30)]
        answers = await gatherResults(asked)
        self.assertLess(await reads() - before, 3 * first)
        self.assertEqual({len(each.json["items"]) for each in answers}, {2501})
        self.assertEqual(len({each.get("etag") for each in answers} | {one.get("etag")}), 2)

    async def test_redis_is_away(self) -> None:
        """
        While Redis cannot be reached the answer is 503, and when to try again.
        """
        server = await self.own_server()
        thoonk = await self.start_thoonk(server.url, connect_timeout=0.3)
        self.mount(thoonk)
        feed = thoonk.feed("f")
        await feed.publish("x")
        self.assertEqual((await self.get("f")).code, 200)
        await server.stop()
        answer = await self.get("f")
        self.assertEqual(answer.code, 503)
        self.assertEqual(answer.json["code"], 503)
        self.assertTrue(answer.get("retry-after"))
        self.assertNotIn(b"redis", answer.data.lower())
