"""curl as a client, over TLS: HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import json
import shutil
from typing import Any
from unittest import SkipTest

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import serverFromString
from twisted.internet.utils import getProcessOutputAndValue
from twisted.web.server import Site

from tests.helpers import until
from tests.test_web_calls import CallsCase
from tests.tls import make_certificate
from txthoonk.web import limit_requests


class CurlTests(CallsCase):
    """What a program of the system says to a site that has limits."""

    version = "--http1.1"

    async def setUp(self) -> None:
        """Let the site be served over TLS, too."""
        await super().setUp()
        from twisted.internet import reactor

        curl = shutil.which("curl")
        if curl is None:
            raise SkipTest("there is no curl")
        self.curl = curl
        self.certificate, key = make_certificate(self)
        spoken = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={self.certificate}"
        site = limit_requests(Site(self.live), max_body=100_000)
        port: Any = await serverFromString(reactor, spoken).listen(site)
        at = port.getHost().port
        self.addCleanup(lambda: Deferred.fromCoroutine(until(lambda: not self.connections(at))))
        self.addCleanup(port.stopListening)
        self.at = f"https://localhost:{port.getHost().port}"

    async def run_curl(self, path: str, *args: str) -> tuple[int, str, bytes]:
        """What curl got: the status, the version of HTTP, and the body."""
        told = "\n%{http_code} %{http_version}"
        command = [*("-s", "-S", "-4", "--cacert", self.certificate), self.version, "-w", told]
        headers = ["-H", "Authorization: alice", "-H", "Content-Type: application/json"]
        out, err, code = await getProcessOutputAndValue(
            self.curl, [*command, *headers, *args, f"{self.at}/{path}"]
        )
        self.assertIn(code, (0, 55, 56, 92), err)  # it may be told before it has sent all
        body, _, tail = out.rpartition(b"\n")
        status, version = tail.decode().split(" ")
        return int(status), version, body

    async def test_all(self) -> None:
        """
        Snapshots, large and compressed ones too, actions, waits and errors.
        """
        await self.work()
        feed = self.thoonk.feed(self.feed_name())
        for i in range(40):
            await feed.publish("ab" * 50_000, id=str(i))
        for args in ((), ("--compressed",)):
            code, version, body = await self.run_curl(f"feeds/{feed.name}", *args)
            self.assertEqual((code, version), (200, self.version[6:]))
            self.assertEqual(len(json.loads(body)["items"]), 40)
        tag = json.loads(body)["at"]
        code, _, body = await self.run_curl(
            f"feeds/{feed.name}", "-H", f'If-None-Match: "{tag}.40.40"'
        )
        self.assertEqual((code, body), (304, b""))
        code, _, body = await self.run_curl("actions/ping", "-d", "{}", "-H", "Prefer: wait=9")
        self.assertEqual((code, json.loads(body)["result"]), (200, "pong"))
        self.assertEqual((await self.run_curl("nothing"))[0], 404)
        self.assertEqual((await self.run_curl("can", "-X", "PUT"))[0], 405)
        forms = ("-H", "Content-Type: text/plain", "-d", "{}")
        self.assertEqual((await self.run_curl("can", *forms))[0], 415)
        origin = ("-H", f"Origin: {self.at}")
        self.assertEqual((await self.run_curl("can", "-d", "[]", *origin))[0], 200)
        evil = ("-H", "Origin: https://localhost")
        self.assertEqual((await self.run_curl("can", "-d", "[]", *evil))[0], 403)

    async def test_too_large(self) -> None:
        """
        A body that is too large is refused, whether its length is said or not; others are not.
        """
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"x" * 30_000_000)
        for args in (("-H", "Expect:"), (), ("-H", "Transfer-Encoding: chunked")):
            if "chunked" in args[-1:] and self.version == "--http2":
                continue
            code, _, body = await self.run_curl("can", "--data-binary", f"@{path}", *args)
            self.assertEqual(code, 413)
            self.assertEqual(json.loads(body)["code"], 413)
        waits: list[Any] = [
            Deferred.fromCoroutine(self.run_curl("can", "-d", '[{"action":"ping"}]'))
            for _ in range(5)
        ]
        for code, _, body in await gatherResults(waits):
            self.assertEqual((code, json.loads(body)["can"]), (200, [True]))


class Curl2Tests(CurlTests):
    """The same over HTTP/2."""

    version = "--http2"

    async def setUp(self) -> None:
        """Where Twisted and curl speak it."""
        try:
            import h2  # noqa: F401  # is it there?
        except ImportError:
            raise SkipTest("h2 is not installed") from None
        await super().setUp()
        out, _, _ = await getProcessOutputAndValue(self.curl, ["--version"])
        if b"HTTP2" not in out:
            raise SkipTest("this curl has no HTTP/2")
