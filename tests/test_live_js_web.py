"""``thoonk-live.js`` on the resource that serves it, and on a real Redis."""

from __future__ import annotations

from typing import Any

from twisted.web.resource import Resource

from tests.live_js_helpers import BrowserCase
from tests.web_helpers import WebTestCase
from txthoonk.web import LiveResource


class LiveCase(BrowserCase, WebTestCase):
    """A site with the resource, and a page on it: ``page(url, ...)`` in JavaScript."""

    async def setUp(self) -> None:
        await super().setUp()
        self.url = self.site()

    def site(self, **options: Any) -> str:
        """Another site; where its resource is."""
        live = LiveResource(self.thoonk, lambda user, feed: not feed.endswith(":secret"), **options)
        self.addCleanup(live.stop)
        root = Resource()
        root.putChild(b"live", live)
        return f"{self.serve(root)}/live"

    async def open_page(self, url: str = "", **options: Any) -> None:
        """Connect, ``live``."""
        await self.js(
            "(globalThis.live = page($url, $options), null)", url=url or self.url, options=options
        )


class FollowTests(LiveCase):
    """Feeds and patterns."""

    async def test_feed(self) -> None:
        """
        A page has what is in a feed, and then what becomes of it.
        """
        feed = await self.thoonk.feed(self.feed_name())
        await feed.publish("one", id="1")
        await self.open_page()
        await self.js("(globalThis.feed = keep(live.feed($name)), null)", name=feed.name)
        await self.until_js("feed.items.size == 1")
        await feed.publish("two", id="2")
        await feed.publish("another", id="1")
        await self.until_js("feed.revision == 3")
        shown = await self.js("show(feed)")
        self.assertEqual(shown["items"], [["2", "two"], ["1", "another"]])
        await self.js("live.close()")

    async def test_pattern(self) -> None:
        """
        A page has all feeds of a pattern, those that are born later too, and not those it may
        not read.
        """
        prefix = f"{self.feed_name()}:x"
        first = await self.thoonk.sorted_feed(f"{prefix}:a")
        await first.append("one")
        await (await self.thoonk.feed(f"{prefix}:secret")).publish("no")
        await self.open_page()
        await self.js("(globalThis.all = keep(live.pattern($glob)), null)", glob=f"{prefix}:*")
        await self.until_js("live.status.state == 'live'")
        self.assertEqual(await self.js("[...all.feeds.keys()]"), [first.name])
        second = await self.thoonk.sorted_feed(f"{prefix}:b")
        ids = [await second.append(each) for each in "xyz"]
        await second.move_first(ids[2])
        await self.until_js("all.feeds.get($name)?.revision == 4", name=second.name)
        shown = await self.js("show(all.feeds.get($name))", name=second.name)
        self.assertEqual([item for _, item in shown["items"]], ["z", "x", "y"])
        await second.delete()
        await self.until_js("!all.feeds.has($name)", name=second.name)
        await self.js("live.close()")
