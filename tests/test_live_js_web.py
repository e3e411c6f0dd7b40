"""``thoonk-live.js`` on the resource that serves it, and on a real Redis."""

from __future__ import annotations

import gzip
import random
from typing import Any

from twisted.web.resource import Resource

from tests.follow_helpers import FollowCase
from tests.helpers import until
from tests.live_js_helpers import MODULE, BrowserCase
from tests.web_helpers import WebTestCase
from txthoonk.web import LiveResource, WebError

SSE = MODULE.with_name("thoonk-live-sse.js")


class ServedTests(WebTestCase):
    """The files."""

    async def test_small(self) -> None:
        """
        What a page loads is small as it is served, with its names and comments; with what it
        loads where there is no WebSocket, too.
        """
        self.assertLess(MODULE.stat().st_size, 8192)
        self.assertLess(SSE.stat().st_size, 4096)

    async def test_served(self) -> None:
        """
        It is served as a module, compressed; who has it already is told so.
        """
        live = LiveResource(self.thoonk, lambda user, feed: True)
        self.addCleanup(live.stop)
        url = self.serve(live)
        for file in (MODULE, SSE):
            at = f"{url}/{file.name}"
            answer = await self.ask("GET", at, headers={"Accept-Encoding": "gzip"})
            self.assertEqual(answer.code, 200)
            self.assertEqual(answer.get("content-type"), "text/javascript; charset=utf-8")
            self.assertEqual(answer.get("cache-control"), "no-cache")
            self.assertEqual(answer.get("access-control-allow-origin"), "*")
            self.assertEqual(gzip.decompress(answer.data), file.read_bytes())
            again = await self.ask("GET", at, headers={"If-None-Match": answer.get("etag")})
            self.assertEqual((again.code, again.data), (304, b""))
            plain = await self.ask("GET", at)
            self.assertEqual(plain.data, file.read_bytes())


class LiveCase(BrowserCase, WebTestCase):
    """A site with the resource, and a page on it, ``live``."""

    async def setUp(self) -> None:
        await super().setUp()
        self.lives: list[LiveResource] = []
        self.url = self.site()
        # The module comes from there, as pages have it.
        await self.browser.stop()
        self.browser = self.start_browser(f"{self.url}/thoonk-live.js")

    def site(self, **options: Any) -> str:
        """Another site; where its resource is."""
        options.setdefault("may_read", lambda user, feed: not feed.endswith(":secret"))
        live = LiveResource(self.thoonk, **options)
        self.lives.append(live)
        self.addCleanup(live.stop)
        root = Resource()
        root.putChild(b"live", live)
        return f"{self.serve(root)}/live"

    async def open_page(self, url: str = "", **options: Any) -> None:
        """Connect, ``live``; it is closed in the end."""
        await self.js(
            "(globalThis.live = page($url, $options), null)", url=url or self.url, options=options
        )
        self.addCleanup(self.js, "live.close()")

    def cut(self) -> None:
        """End all connections of all sites, without a word."""
        for live in self.lives:
            for stream in list(live.hub.streams):
                stream.transport.abortConnection()


class FollowTests(LiveCase):
    """Feeds and patterns."""

    async def test_feed(self) -> None:
        """
        A page has what is in a feed, and then what becomes of it; its callback is called with
        what happened.
        """
        feed = await self.thoonk.feed(self.feed_name())
        await feed.publish("one", id="1")
        await self.open_page()
        await self.js("(globalThis.feed = keep(live.feed($name)), null)", name=feed.name)
        await self.until_js("feed.items.size == 1")
        await feed.publish("two", id="2")
        await feed.publish("another", id="1")
        await self.until_js("feed.events.length == 3")
        shown = await self.js("show(feed)")
        self.assertEqual(shown["items"], [["2", "two"], ["1", "another"]])
        self.assertEqual((shown["kind"], shown["revision"]), ("feed", 3))
        types = await self.js("feed.events.map(({ type }) => type)")
        self.assertEqual(types, ["snapshot", "publish", "edit"])
        states = await self.js("live.told.states.map(({ state }) => state)")
        self.assertEqual(states[:2], ["connecting", "live"])

    async def test_pattern(self) -> None:
        """
        A page has all feeds of a pattern, those that are born later too, and not those it may
        not read.
        """
        prefix = f"{self.feed_name()}:x"
        first = await self.thoonk.sorted_feed(f"{prefix}:a")
        await first.append("one")
        await (await self.thoonk.feed(f"{prefix}:secret")).publish("no")
        for transport in ("websocket", "sse"):
            await self.open_page(transport=transport)
            await self.js("(globalThis.all = keep(live.pattern($glob)), null)", glob=f"{prefix}:*")
            await self.until_js("live.status.state == 'live' && all.feeds.size")
            self.assertEqual(await self.js("[...all.feeds.keys()]"), [first.name])
            second = await self.thoonk.sorted_feed(f"{prefix}:b")
            ids = [await second.append(each) for each in "xyz"]
            await second.move_first(ids[2])
            await self.until_js("all.feeds.get($name)?.revision == 4", name=second.name)
            shown = await self.js("show(all.feeds.get($name))", name=second.name)
            self.assertEqual([item for _, item in shown["items"]], ["z", "x", "y"])
            await second.delete()
            await self.until_js("!all.feeds.has($name)", name=second.name)
            self.assertEqual(await self.js("live.transport"), transport)
            await self.js("live.close()")

    async def test_two_patterns(self) -> None:
        """
        A feed is among those of each pattern that it matches, and of no other.
        """
        prefix = f"{self.feed_name()}:x"
        names = [f"{prefix}:{end}" for end in ("a1", "a2", "b1", "b[1]")]
        for name in names:
            await (await self.thoonk.feed(name)).publish("one")
        await self.open_page()
        globs = [f"{prefix}:{end}" for end in ("a*", "?1", "[^a]*", r"b\[1\]")]
        await self.js(
            "(globalThis.all = $globs.map((each) => live.pattern(each)), null)", globs=globs
        )
        await self.until_js("all.map(({ feeds }) => feeds.size).join() == '2,2,2,1'")
        found = await self.js("all.map(({ feeds }) => [...feeds.keys()].sort())")
        wanted = [names[:2], [names[0], names[2]], names[2:], names[3:]]
        self.assertEqual(found, [sorted(each) for each in wanted])

    async def test_refused(self) -> None:
        """
        A feed that may not be read is refused, and empty; so is one that may be no longer.
        """
        allowed = [True]
        url = self.site(may_read=lambda user, feed: allowed[0])
        feed = await self.thoonk.feed(self.feed_name())
        await feed.publish("one")
        await self.open_page(url)
        await self.js("(globalThis.feed = keep(live.feed($name)), null)", name=feed.name)
        await self.until_js("feed.items.size == 1")
        allowed[0] = False
        self.cut()
        await self.until_js("feed.refused?.code == 403 && feed.items.size == 0")

    async def test_there_again(self) -> None:
        """
        A feed that is refused, as it is gone, and is there again, is not refused any more.
        """
        feed = await self.thoonk.feed(self.feed_name())
        await feed.publish("one")
        await self.open_page()
        await self.js("(globalThis.feed = live.feed($name), null)", name=feed.name)
        await self.until_js("feed.items.size == 1")
        await feed.delete()
        await self.until_js("!feed.at")
        await self.js("(globalThis.late = page($url), null)", url=self.url)
        self.addCleanup(self.js, "late.close()")
        await self.js("(globalThis.again = late.feed($name), null)", name=feed.name)
        await self.until_js("again.refused?.code == 404")
        await self.thoonk.feed(feed.name).publish("two", id="2")
        await self.until_js("again.items.get('2') == 'two'")
        self.assertIsNone(await self.js("again.refused"))

    async def test_closed(self) -> None:
        """
        What is closed is told of no more; opened again it goes on from where it was.
        """
        feed = await self.thoonk.feed(self.feed_name())
        await feed.publish("one", id="1")
        await self.open_page()
        await self.js("(globalThis.feed = keep(live.feed($name)), null)", name=feed.name)
        await self.until_js("feed.items.size == 1")
        await self.js("feed.close()")
        hub = self.lives[0].hub
        await until(lambda: not any(stream.channels for stream in hub.streams))
        await feed.publish("two", id="2")
        await self.js("void live.feed($name)", name=feed.name)
        await self.until_js("feed.items.size == 2")
        self.assertEqual(hub.counts.snapshots, 1)

    async def test_not_signed_in(self) -> None:
        """
        A page that is not let in says so, and does not try again and again; it may, when the user
        has signed in.
        """
        users: list[str | None] = [None]

        def authenticate(request: Any) -> str:
            if users[0] is None:
                raise LoginFailed
            return users[0]

        from twisted.cred.error import LoginFailed

        for transport in ("websocket", "sse"):
            users[0] = None
            url = self.site(authenticate=authenticate)
            await self.open_page(url, transport=transport)
            await self.js("void live.feed($name)", name=self.feed_name())
            await self.until_js("live.status.state == 'refused'")
            self.assertEqual(await self.js("live.status.code"), 401)
            users[0] = "ann"
            await self.js("live.retry()")
            await self.until_js("live.status.state == 'live'")
            await self.js("live.close()")

    async def test_tried_at_once(self) -> None:
        """
        A user who has a page try at once, just when it has found that it is offline, sees it go
        live, and stay so.
        """
        away = [True]

        def authenticate(request: Any) -> None:
            if away[0]:
                raise WebError(503)

        await self.open_page(self.site(authenticate=authenticate), transport="sse")
        code = """
            (() => {
                const [real, random] = [fetch, Math.random];
                globalThis.restore = () => Object.assign(globalThis.Math, { random });
                Math.random = () => 0.1;
                globalThis.fetch = (url, ...more) =>
                    `${url}`.endsWith("/stream")
                        ? new Promise((done) => (globalThis.answer = done))
                        : real(url, ...more);
                live.feed("x");
            })()
        """
        await self.js(code)
        await self.until_js("!!globalThis.answer")
        away[0] = False
        await self.js("(live.retry(), answer({ status: 503 }), null)")
        await self.until_js("live.status.state == 'live'")
        await self.js("new Promise((done) => setTimeout(done, 500))")  # more than it would wait
        self.assertEqual(await self.js("live.status.state"), "live")
        await self.js("(restore(), null)")

    async def test_no_websocket(self) -> None:
        """
        Where WebSockets fail twice, as behind some proxies, the page goes on without.
        """
        feed = await self.thoonk.feed(self.feed_name())
        await feed.publish("one", id="1")
        code = """
            (() => {
                class Blocked {
                    constructor() { setTimeout(() => this.onclose({ code: 1006 })); }
                    close() {}
                }
                globalThis.live = page($url, { WebSocket: Blocked });
                globalThis.feed = live.feed($name);
            })()
        """
        await self.js(code, url=self.url, name=feed.name)
        self.addCleanup(self.js, "live.close()")
        await self.until_js("feed.items.size == 1")
        self.assertEqual(await self.js("live.transport"), "sse")
        states = await self.js("live.told.states.map(({ state }) => state)")
        self.assertEqual(states, ["connecting", "offline"] * 2 + ["connecting", "live"])

    async def test_revoked(self) -> None:
        """
        A page whose user's rights are taken says so, and comes back to ask what is left of them.
        """
        await self.open_page()
        await self.js("void live.feed($name)", name=self.feed_name())
        await self.until_js("live.status.state == 'live'")
        await self.lives[0].revoke(None)
        await self.until_js("live.told.states.some(({ state }) => state == 'revoked')")
        await self.until_js("live.status.state == 'live'")

    async def test_redis_away(self) -> None:
        """
        A page says that what it shows may be old while Redis is out of reach, and then that it is
        live again, with what has happened meanwhile.
        """
        server = await self.own_server()
        self.thoonk = await self.start_thoonk(server.url, connect_timeout=10)
        url = self.site()
        feed = await self.thoonk.feed(self.feed_name())
        await feed.publish("one", id="1")
        await self.open_page(url)
        await self.js("(globalThis.feed = keep(live.feed($name)), null)", name=feed.name)
        await self.until_js("feed.items.size == 1")
        await server.kill()
        await self.until_js("live.status.state == 'stale'")
        await server.start()
        await self.until_js("live.status.state == 'live'")
        await self.thoonk.feed(feed.name).publish("two", id="2")
        await self.until_js("feed.items.get('2') == 'two'")


class SameTests(LiveCase, FollowCase):
    """Whatever happens to feeds and connections, copies are what Redis has."""

    async def change(self, rng: random.Random, feed: Any, is_sorted: bool) -> None:
        """Change a feed in some way."""
        ids = list(await feed.get_ids())
        text = f"item {rng.random()}"
        some = rng.choice(ids) if ids else None
        if some is None or rng.random() < 0.3:
            if not is_sorted:
                await feed.publish(text, id=str(rng.randrange(12)))
            elif some is None or rng.random() < 0.5:
                await rng.choice([feed.append, feed.prepend])(text)
            else:
                await rng.choice([feed.publish_before, feed.publish_after])(some, text)
        elif rng.random() < 0.25:
            await feed.retract(some)
        elif not is_sorted:
            await feed.publish(text, id=some)
        elif rng.random() < 0.3:
            await feed.edit(some, text)
        else:
            other = rng.choice(ids)
            if other == some or rng.random() < 0.3:
                await rng.choice([feed.move_first, feed.move_last])(some)
            else:
                await rng.choice([feed.move_before, feed.move_after])(other, some)

    async def all_same(self, feeds: list[Any], lives: list[Any]) -> None:
        """The page, Python's copy and Redis have the same."""
        await self.caught_up(*lives)
        for feed, live in zip(feeds, lives, strict=True):
            await self.same(live)
            await self.until_js(
                "all.feeds.get($name)?.revision >= $revision",
                name=feed.name,
                revision=live.revision,
            )
            shown = await self.js("show(all.feeds.get($name))", name=feed.name)
            self.assertEqual(shown["items"], [[id, item] for id, item in live])
            self.assertEqual(shown["ids"], live.ids)

    async def run_seed(self, seed: int, transport: str) -> None:
        """Many changes, with cuts, by one of two web processes' worth of sites."""
        rng = random.Random(seed)
        prefix = f"{self.feed_name()}:x"
        feeds: list[Any] = [
            await self.thoonk.feed(f"{prefix}:feed"),
            await self.thoonk.sorted_feed(f"{prefix}:sorted"),
        ]
        lives = [(await self.follow(feed.name))[0] for feed in feeds]
        await self.open_page(transport=transport)
        await self.js("(globalThis.all = keep(live.pattern($glob)), null)", glob=f"{prefix}:*")
        await self.until_js("live.status.state == 'live'")
        for _ in range(12):
            for _ in range(rng.randrange(1, 12)):
                which = rng.randrange(2)
                await self.change(rng, feeds[which], which == 1)
            if rng.random() < 0.6:
                self.cut()
                for _ in range(rng.randrange(4)):
                    await self.change(rng, feeds[1], True)
                await self.js("live.retry()")
            if rng.random() < 0.5:
                await self.all_same(feeds, lives)
        await self.all_same(feeds, lives)
        await self.js("live.close()")

    async def test_websocket(self) -> None:
        """
        By WebSocket; after a cut it is told what it has missed, and of no state again.
        """
        for seed in range(3):
            await self.run_seed(seed, "websocket")
        self.assertEqual(self.lives[0].hub.counts.resyncs, 0)
        # Of each feed the first one: none was there when the page came.
        self.assertLessEqual(self.lives[0].hub.counts.snapshots, 6)

    async def test_sse(self) -> None:
        """
        By Server-Sent Events.
        """
        for seed in range(3):
            await self.run_seed(seed, "sse")
        self.assertLessEqual(self.lives[0].hub.counts.snapshots, 6)

    async def test_other_process(self) -> None:
        """
        A page that comes to another web process goes on from where it was.
        """
        feed = await self.thoonk.feed(self.feed_name())
        await feed.publish("one", id="1")
        await self.open_page()
        await self.js("(globalThis.feed = keep(live.feed($name)), null)", name=feed.name)
        await self.until_js("feed.items.size == 1")
        at = await self.js("feed.at")
        await self.js("live.close()")
        await feed.publish("two", id="2")
        other = self.site()
        await self.open_page(other)
        code = """
            (() => {
                globalThis.next = live.feed($name);
                next.at = $at;
                next.revision = 1;
                next.items = new Map([["1", "one"]]);
            })()
        """
        await self.js(code, name=feed.name, at=at)
        await self.until_js("next.items.size == 2")
        self.assertEqual(self.lives[1].hub.counts.snapshots, 0)
