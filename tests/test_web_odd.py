"""What clients and other programs may say that nobody expects."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from twisted.internet.task import deferLater

from tests.helpers import until
from tests.stream_helpers import StreamCase


class OddTests(StreamCase):
    """Values that JSON has and most programs never say."""

    async def test_refs(self) -> None:
        """
        Whatever a ``ref`` is, there is an answer, and nothing in the log of the server.
        """
        self.serve_live()
        page = await self.socket()
        deep = "[" * 900 + "]" * 900
        refs = ["1" * 30, "-" + "9" * 400, "1e300", deep, '"\\ud800"', '{"a":[1.5,null]}']
        for number, ref in enumerate(refs, 1):
            page.send(f'{{"subscribe":{{"feeds":[]}},"ref":{ref}}}')
            page.send(f'{{"x":1,"ref":{ref}}}')
            await page.when(lambda n=number: len(page.mirror.log) == 2 * n)
        self.assertEqual(page.mirror.log[0], {"type": "done", "ref": int("1" * 30)})
        self.assertEqual(page.mirror.log[3]["ref"], -int("9" * 400))
        self.assertFalse(page.lost)

    async def test_refs_of_too_many(self) -> None:
        """
        Nor where there are too many messages.
        """
        self.serve_live(burst=1, rate=0.1)
        page = await self.socket()
        for number in range(3):
            page.send(f'{{"unsubscribe":{{}},"ref":{"1" * 30}}}')
            await page.when(lambda n=number: len(page.mirror.log) == n + 1)
        self.assertEqual({m["code"] for m in page.mirror.log[1:]}, {429})

    async def test_large_numbers(self) -> None:
        """
        Items that are JSON with numbers of more than 64 bits are told as they are.
        """
        feed = self.thoonk.feed(self.feed_name())
        await feed.publish('{"n":123456789012345678901234567890}', id="1")
        self.serve_live(serializer="json")
        page = await self.stream(f"feed={quote(feed.name)}")
        await page.when_told("ready")
        await feed.publish("[-98765432109876543210]", id="2")
        await feed.publish("1", id="3")
        await page.when(lambda: "3" in page.mirror.feeds.get(feed.name, ()))
        items: Any = page.mirror.feeds[feed.name]
        self.assertEqual(
            items,
            {"1": {"n": 123456789012345678901234567890}, "2": [-98765432109876543210], "3": 1},
        )

    async def test_in_small_parts(self) -> None:
        """
        A message in many small parts costs not much more than one in a single part.
        """
        live = self.serve_live()
        page = await self.socket()
        (stream,) = live.hub.streams
        before = self.rss()
        page.send_raw(b'\x01\x88\0\0\0\0{"ref":"')
        for _ in range(40):
            page.send_raw(b"\x00\x82\0\0\0\0\xc4\x80" * 10_000)
        await until(lambda: stream._text_size == 800_009)
        self.assertLess(self.rss() - before, 20_000_000)
        page.send_raw(b'\x80\x82\0\0\0\0"}')
        await page.when(lambda: page.mirror.log)
        self.assertEqual(page.mirror.log[0]["ref"], "\u0100" * 400_000)

    async def test_many_patterns(self) -> None:
        """
        Patterns cost as much as messages: who asks for many has to wait before asking for more.
        """
        for count in (19, 30):  # all that there is, and more
            self.serve_live(burst=20, rate=1)
            globs = [f"a:b:{i}*" for i in range(count)]
            page = await self.socket()
            page.send({"subscribe": {"patterns": globs}, "ref": 1})
            await page.when_told("done", ref=1)
            page.send({"unsubscribe": {}, "ref": 2})
            await page.when_told("error", ref=2, code=429)
            stream = await self.stream("&".join(f"pattern={glob}" for glob in globs))
            await stream.when(lambda stream=stream: b" 429 " in stream.head)

    async def test_many_names(self) -> None:
        """
        So do the names of feeds that are in a message, a hundred as much as one: there is room for
        very many.
        """
        names = [str(i) for i in range(5000)]
        for message in (
            {"subscribe": {"patterns": {"a:b:*": dict.fromkeys(names, "")}}},
            {"subscribe": {"feeds": names[:1000]}},
            {"unsubscribe": {"feeds": names}},
        ):
            self.serve_live(burst=10, rate=1)
            page = await self.socket()
            page.send({**message, "ref": 1})
            await page.when_told("done", ref=1)
            page.send({"unsubscribe": {}, "ref": 2})
            await page.when_told("error", ref=2, code=429)

    async def test_long_names(self) -> None:
        """
        Names on a socket are as long as those in a path may be, and no longer.
        """
        self.serve_live()
        page = await self.socket()
        page.send(
            {"subscribe": {"feeds": ["x" * 1024], "patterns": ["a:b:" + "?" * 1020]}, "ref": 1}
        )
        await page.when_told("done", ref=1)
        for group in ("feeds", "patterns"):
            page.send({"subscribe": {group: ["a:b:" + "?" * 1021]}, "ref": group})
            await page.when_told("error", ref=group, code=400)

    async def test_asks_while_behind(self) -> None:
        """
        A client that does not read what there is to read and goes on asking is not listened to.
        """
        feed = self.thoonk.feed(self.feed_name())
        for i in range(200):
            await feed.publish("x" * 50_000, id=str(i))
        live = self.serve_live(rate=0)
        page = await self.socket()
        page.stop_reading()
        page.send({"subscribe": {"feeds": [feed.name]}, "ref": 0})
        (stream,) = live.hub.streams
        await until(lambda: stream.behind is not None)
        for i in range(1000):
            page.send({"subscribe": {}, "ref": f"{i} {'z' * 100_000}"})
        await deferLater(self.thoonk.get_reactor(), 1)
        kept = sum(map(len, [*(stream._answers or ()), *(stream._waiting or ())]))
        self.assertLess(kept, 500_000)
        page.read_again()
        await page.when(lambda: len(page.mirror.log) == 1002)
        refs = [m["ref"] for m in page.mirror.log if m["type"] == "done"]
        self.assertEqual(refs[0], 0)
        self.assertEqual([ref.partition(" ")[0] for ref in refs[1:]], [str(i) for i in range(1000)])
