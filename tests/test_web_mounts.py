"""Where the resource can be mounted."""

from __future__ import annotations

from typing import Any

from klein import Klein
from twisted.web.resource import IResource, Resource
from twisted.web.server import Site
from twisted.web.vhost import NameVirtualHost

from tests.helpers import until
from tests.stream_helpers import StreamCase
from txthoonk.web import LiveResource, limit_requests


class MountTests(StreamCase):
    """Sites of several kinds."""

    async def check_all(self) -> None:
        """A snapshot, a stream, a socket, the module and errors are there, under ``/live``."""
        feed = self.thoonk.feed(self.feed_name("a/b"))
        await feed.publish("x", id="1")
        name = feed.name.replace("/", "%2F")
        url = f"http://127.0.0.1:{self.port}/live"
        answer = await self.ask("GET", f"{url}/feeds/{name}")
        self.assertEqual(answer.json["items"], [["1", "x"]])
        stream = await self.stream(f"feed={name}")
        await stream.when_told("snapshot", feed=feed.name)
        socket = await self.socket()
        socket.send({"subscribe": {"feeds": [feed.name]}, "ref": 1})
        await socket.when_told("done", ref=1)
        await feed.publish("y", id="2")
        for each in (stream, socket):
            await each.when_told("publish", id="2")
        module = await self.ask("GET", f"{url}/thoonk-live.js")
        self.assertIn("text/javascript", module.get("content-type"))
        self.assertEqual(module.get("access-control-allow-origin"), "*")
        again = await self.ask(
            "GET", f"{url}/thoonk-live.js", headers={"if-none-match": module.get("etag")}
        )
        self.assertEqual((again.code, again.get("cache-control")), (304, "no-cache"))
        for path in ("stream?feed=x", "socket"):
            answer = await self.ask("HEAD", f"{url}/{path}")
            self.assertEqual((answer.code, answer.get("allow")), (405, "GET, OPTIONS"))
        for path, code in (("", 404), ("/x", 404), ("/feeds/x", 404), ("/stream", 400)):
            answer = await self.ask("GET", url + path)
            self.assertIn(answer.code, (code, 405), path)
            self.assertEqual(answer.json["code"], answer.code)

    def make(self) -> LiveResource:
        """The resource."""
        live = LiveResource(self.thoonk, lambda user, feed: True)
        self.addCleanup(live.stop)
        return live

    def start(self, resource: IResource) -> None:
        """Serve it."""
        self.serve(resource, limit_requests)

    async def test_site(self) -> None:
        """
        A plain site.
        """
        root = Resource()
        root.putChild(b"live", self.make())
        self.serve(root)
        await self.check_all()

    async def test_limited_site(self) -> None:
        """
        One whose requests are bounded.
        """
        root = Resource()
        root.putChild(b"live", self.make())
        self.start(root)
        await self.check_all()

    async def test_virtual_host(self) -> None:
        """
        One of several hosts.
        """
        root, hosts = Resource(), NameVirtualHost()
        root.putChild(b"live", self.make())
        hosts.default = root
        self.start(hosts)
        await self.check_all()

    async def test_klein(self) -> None:
        """
        An app of Klein's, whose own routes go on, forms too.
        """
        app: Any = Klein()
        live = self.make()

        @app.route("/live", branch=True)  # type: ignore[untyped-decorator]  # klein's has no types
        def mounted(request: Any) -> IResource:
            return live

        @app.route("/form", methods=["POST"])  # type: ignore[untyped-decorator]  # klein's has no types
        def form(request: Any) -> bytes:
            answer: bytes = request.args[b"a"][0]
            return answer

        self.start(app.resource())
        await self.check_all()
        url = f"http://127.0.0.1:{self.port}/form"
        kind = {"content-type": "application/x-www-form-urlencoded"}
        answer = await self.ask("POST", url, raw=b"a=1", headers=kind)
        self.assertEqual(answer.data, b"1")

    async def test_old_clients(self) -> None:
        """
        Clients that know HTTP/1.0 only get snapshots, and streams that end with the connection.
        """
        root = Resource()
        root.putChild(b"live", self.make())
        self.start(root)
        feed = self.thoonk.feed(self.feed_name())
        await feed.publish("x", id="1")
        raw = await self.raw()
        raw.send(f"GET /live/feeds/{feed.name} HTTP/1.0\r\n\r\n".encode())
        await raw.when_lost()
        self.assertTrue(raw.received.endswith(b'"items":[["1","x"]]}'), raw.received)
        raw = await self.raw()
        raw.send(f"GET /live/stream?feed={feed.name} HTTP/1.0\r\n\r\n".encode())
        await raw.when(lambda raw: b'"ready"' in raw.received)
        self.assertNotIn(b"chunked", raw.received.lower())
        await feed.publish("y", id="2")
        await raw.when(lambda raw: b'"y"' in raw.received)

    async def test_stopped_and_started(self) -> None:
        """
        A resource may be there before its instance runs.
        """
        await self.thoonk.stopService()
        root = Resource()
        live = self.make()
        root.putChild(b"live", live)
        self.start(root)
        answer = await self.ask("GET", f"http://127.0.0.1:{self.port}/live/feeds/x")
        self.assertEqual(answer.code, 503)
        self.thoonk.startService()
        await self.thoonk.when_connected()
        await self.check_all()
        await until(lambda: live._revocations._last is not None)


class SiteTests(StreamCase):
    """What ``limit_requests`` leaves as it is."""

    def test_same_site(self) -> None:
        """
        The site is the one that was given, with what it had.
        """
        from twisted.web.server import Request

        class Special(Request):
            pass

        site = Site(Resource(), requestFactory=Special)
        self.assertIs(limit_requests(site, 10), site)
        self.assertTrue(issubclass(site.requestFactory, Special))
