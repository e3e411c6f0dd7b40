"""The web behind nginx and HAProxy, with the settings that docs/web.rst has."""

from __future__ import annotations

import re
import shutil
import socket
import textwrap
from pathlib import Path
from typing import Any
from unittest import SkipTest
from urllib.parse import quote

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.web.resource import Resource

from tests.helpers import until
from tests.stream_helpers import StreamCase
from txthoonk.web import LiveResource, limit_requests

DOCS = Path(__file__).parent.parent / "docs" / "web.rst"


def settings(name: str) -> str:
    """The settings that the page on the web has under a name."""
    found = re.search(rf"^{name}::\n\n((?:    .*\n|\n)+)", DOCS.read_text(), re.MULTILINE)
    assert found is not None
    return textwrap.dedent(found[1])


class _Proxy(ProcessProtocol):
    """The proxy's process."""

    def __init__(self) -> None:
        self.errors = b""
        self.ended: Deferred[None] = Deferred()

    def errReceived(self, data: bytes) -> None:
        """It complains."""
        self.errors += data

    def processEnded(self, reason: Any) -> None:
        """It has ended."""
        self.ended.callback(None)


class ProxyTests(StreamCase):
    """A site behind a proxy that is trusted, two of them as far as the proxy knows."""

    async def setUp(self) -> None:
        """Serve feeds."""
        await super().setUp()
        live = LiveResource(
            self.thoonk,
            lambda user, feed: True,
            trust_proxy=True,
            rate=0.001,
            burst=40,
            heartbeat=1.0,
        )
        self.live = live
        self.addCleanup(live.stop)
        root = Resource()
        root.putChild(b"live", live)
        self.serve(root, limit_requests)
        self.behind = self.port
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def free_port(self) -> int:
        """A port that nobody listens on."""
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            number: int = found.getsockname()[1]
        return number

    async def start(self, program: str, *args: str) -> None:
        """Start the proxy, and be its client from now on."""
        from twisted.internet import reactor

        real: Any = reactor
        path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
        if path is None:
            raise SkipTest(f"there is no {program}")
        proxy = _Proxy()
        process = real.spawnProcess(proxy, path, [path, *args], env={})

        async def end() -> None:
            if process.pid is not None:
                process.signalProcess("TERM")
            await proxy.ended

        self.addCleanup(lambda: Deferred.fromCoroutine(end()))

        async def is_up() -> bool:
            if process.pid is None:
                raise AssertionError(proxy.errors.decode())
            try:
                raw = await self.raw()
            except Exception:
                return False
            return raw is not None

        await until(is_up)

    async def check_all(self) -> None:
        """Names, answers, streams and sockets come through; the proxy's word counts."""
        feed = self.thoonk.feed(self.feed_name("a/b:c%"))
        for i in range(100):
            await feed.publish(f"item {i}", id=str(i))
        name = quote(feed.name, safe="")
        url = f"http://127.0.0.1:{self.port}/live"
        answer = await self.ask("GET", f"{url}/feeds/{name}", headers={"accept-encoding": "gzip"})
        self.assertEqual(answer.code, 200)
        self.assertEqual(answer.get("content-encoding"), "gzip")
        tag = {"if-none-match": answer.get("etag"), "accept-encoding": "gzip"}
        self.assertEqual((await self.ask("GET", f"{url}/feeds/{name}", headers=tag)).code, 304)
        stream = await self.stream(f"feed={name}")
        await stream.when_told("ready")
        page = await self.socket(Origin="http://localhost")
        self.assertEqual(page.head, b"101")
        page.send({"subscribe": {"feeds": [feed.name]}, "ref": 1})
        await page.when_told("done", ref=1)
        for i in range(3):  # each comes at once, none waits for more
            await feed.publish("live", id=f"live {i}")
            for each in (stream, page):
                await each.when_told("publish", id=f"live {i}")
        own = {"origin": f"http://127.0.0.1:{self.port}"}
        self.assertEqual((await self.ask("POST", f"{url}/can", [], own)).code, 404)
        evil = {"origin": "https://evil.org"}
        self.assertEqual((await self.ask("GET", f"{url}/stream?feed=x", headers=evil)).code, 403)
        forged = {"x-forwarded-host": "evil.org", "x-forwarded-proto": "https", **evil}
        self.assertEqual((await self.ask("GET", f"{url}/stream?feed=x", headers=forged)).code, 403)
        address = {"x-forwarded-for": "1.2.3.4"}
        self.assertEqual((await self.ask("GET", f"{url}/feeds/x", headers=address)).code, 404)
        self.assertEqual(list(self.live.access.allowance._left), ["address 127.0.0.1"])
        page.cut()
        stream.cut()
        await until(lambda: not self.live.hub.streams)

    async def test_nginx(self) -> None:
        """
        nginx, as the page has it.
        """
        self.port = self.free_port()
        text = settings("nginx").replace("127.0.0.1:8080", f"127.0.0.1:{self.behind}")
        text = text.replace("127.0.0.1:8081", f"127.0.0.1:{self.behind}")
        before, _, location = text.partition("location")
        config = self.folder / "nginx.conf"
        config.write_text(
            f"daemon off; pid {self.folder}/pid; error_log {self.folder}/error;\n"
            "events {}\nhttp {\naccess_log off;\n"
            + "".join(
                f"{kind}_temp_path {self.folder}/{kind};\n"
                for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            + before
            + f"server {{ listen 127.0.0.1:{self.port};\nlocation{location}}}\n}}\n"
        )
        await self.start("nginx", "-c", str(config), "-p", str(self.folder))
        await self.check_all()

    async def test_haproxy(self) -> None:
        """
        HAProxy, as the page has it, without the certificate.
        """
        self.port = self.free_port()
        text = settings("HAProxy").replace("127.0.0.1:8080", f"127.0.0.1:{self.behind}")
        text = text.replace("127.0.0.1:8081", f"127.0.0.1:{self.behind}")
        text = re.sub(r"bind .*", f"bind 127.0.0.1:{self.port}", text)
        text = text.replace("X-Forwarded-Proto https", "X-Forwarded-Proto http")
        config = self.folder / "haproxy.cfg"
        config.write_text(text)
        await self.start("haproxy", "-db", "-f", str(config))
        await self.check_all()
