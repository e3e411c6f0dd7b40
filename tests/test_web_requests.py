"""What requests may be, and what is answered to those that may not."""

from __future__ import annotations

import gzip
import json
import re
from typing import Any
from unittest import SkipTest

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from twisted.web.test.requesthelper import DummyRequest

from tests.helpers import until
from tests.web_helpers import Raw, WebTestCase
from txthoonk.errors import FeedDoesNotExist, NotConnected
from txthoonk.web.access import Access
from txthoonk.web.bodies import limit_requests, read_json, strict_json
from txthoonk.web.handling import JsonResource
from txthoonk.web.replies import Body, WebError, accepts_gzip, has_tag, reply, send

FORM = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n{}\r\n--x--\r\n'
TRACE = re.compile(rb"Traceback|File \"|<html")


class StrictJsonTests(SynchronousTestCase):
    """JSON that can be passed on."""

    @settings(deadline=None)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        )
    )
    def test_values(self, value: Any) -> None:
        """
        All that JSON can say is read as it is.
        """
        data = json.dumps(value, ensure_ascii=False)
        self.assertEqual(strict_json(data), value)

    @settings(deadline=None)
    @given(st.binary() | st.text('[]{}",:\\ud8019e-+. \n').map(str.encode))
    def test_garbage(self, data: bytes) -> None:
        """
        Whatever comes is a value that can be told again, or it is refused.
        """
        try:
            value = strict_json(data)
        except WebError as error:
            self.assertEqual(error.code, 400)
        else:
            self.assertEqual(msgspec.json.decode(msgspec.json.encode(value)), value)

    def test_refused(self) -> None:
        """
        Neither are half characters, numbers that are none, text behind the value, other encodings.
        """
        for data in (
            *(b"", b" ", b"{", b"1 2", b"NaN", b"1e999", b'"\\ud800"', b'"\xff"', b"'a'", b"{a:1}"),
            *(
                b"\xef\xbb\xbf1",
                '"ä"'.encode("latin-1"),
                "1".encode("utf-16"),
                b"1" * 5000,
                "\ud800",
            ),
        ):
            error = self.assertRaises(WebError, strict_json, data)
            self.assertEqual(error.code, 400, data)

    def test_depth(self) -> None:
        """
        Depth is bounded before anything is read; brackets in strings are none.
        """
        for left, right in ((b"[", b"]"), (b'{"a":', b"}")):
            strict_json(left * 64 + b"1" + right * 64)
            for deep in (left * 65 + b"1" + right * 65, left * 100_000):
                self.assertRaises(WebError, strict_json, deep)
        strict_json(b"[" + b"[]," * 1000 + b"1]")
        strict_json(json.dumps(["[" * 1000, '\\"[{' * 1000]))

    def test_depth_takes_no_time(self) -> None:
        """
        What looks for brackets is not held up by strings without an end.
        """
        from time import process_time

        for data in (b'"\\' * 30_000, b'"' + b'\\"' * 30_000 + b"[" * 100, b'["' * 30_000):
            begin = process_time()
            self.assertRaises(WebError, strict_json, data)
            self.assertLess(process_time() - begin, 5)


class HeaderTests(SynchronousTestCase):
    """Headers that ask for something."""

    def ask(self, **headers: str | list[str]) -> Any:
        """A request with headers."""
        request = DummyRequest([b""])
        request.requestHeaders = Headers()
        for name, value in headers.items():
            values = value if isinstance(value, list) else [value]
            request.requestHeaders.setRawHeaders(name.replace("_", "-"), values)
        return request

    def test_gzip(self) -> None:
        """
        Who takes gzip gets it, by the weights that were given; nobody else does.
        """
        for value, taken in (
            *(("gzip", True), ("GZIP", True), ("x-gzip", True), ("gzip;q=0.5, br", True)),
            *(("br, gzip ; q=1.0", True), ("*", True), ("gzip;q=0", False), ("*;q=0", False)),
            *(("gzip;q=0, *", False), ("identity", False), ("", False), ("br", False)),
            *(("gzip;q=x", False), ("gzip;q=0.000", False), ("gzip;;;", False), (",,gzip,", True)),
            (["br", "gzip"], True),
        ):
            self.assertEqual(accepts_gzip(self.ask(accept_encoding=value)), taken, value)
        self.assertFalse(accepts_gzip(self.ask()))

    def test_tags(self) -> None:
        """
        Tags are compared weakly, several may be named.
        """
        for value, same in (
            *(('"a"', True), ('W/"a"', True), ('"b", W/"a"', True), ("*", True), ('"b"', False)),
            *(("a", False), ("", False), ('"ab"', False), ('"a', False), (['"b"', '"a"'], True)),
        ):
            self.assertEqual(has_tag(self.ask(if_none_match=value), b'"a"'), same, value)

    @settings(deadline=None)
    @given(st.text(), st.text())
    def test_garbage(self, one: str, other: str) -> None:
        """
        Whatever they say, they are read.
        """
        request = self.ask()
        headers = request.requestHeaders
        headers.setRawHeaders(b"accept-encoding", [one.encode(), other.encode()])
        headers.setRawHeaders(b"if-none-match", [one.encode(), other.encode()])
        accepts_gzip(request)
        has_tag(request, b'"a"')


class Echo(JsonResource):
    """Gives back what was posted, and what is asked of it."""

    def __init__(self) -> None:
        from twisted.internet import reactor

        super().__init__(Access(lambda user, feed: True, origins=["https://listed.org"]))
        self.reactor: Any = reactor
        self.cancelled = 0
        self.seen = 0
        self.error: Exception | None = None
        self.body = Body(b"")

    async def get(self, request: Request) -> None:
        """Fail, wait, or answer."""
        self.seen += 1
        if self.error is not None:
            raise self.error
        if b"wait" in request.args:
            try:
                await deferLater(self.reactor, 60)
            except BaseException:
                self.cancelled += 1
                raise
        await send(request, self.body, reactor=self.reactor)

    async def post(self, request: Request) -> None:
        """Echo."""
        self.seen += 1
        await self.access.admit(request)
        await reply(request, {"got": read_json(request)})


class LimitedCase(WebTestCase):
    """A resource on a site with its limits."""

    async def setUp(self) -> None:
        """Serve it."""
        await super().setUp()
        self.echo = Echo()
        root = Resource()
        root.putChild(b"echo", self.echo)
        self.url = self.serve(root, self.limit) + "/echo"

    def limit(self, site: Site) -> None:
        """Bound what may come."""
        limit_requests(site, max_body=10_000, timeout=1.0)

    def assert_error(self, answer: Any, code: int) -> None:
        """An error is JSON, says what it is, and nothing of how it came about."""
        self.assertEqual(answer.code, code)
        self.assertEqual(answer.get("content-type"), "application/json")
        self.assertEqual(answer.get("cache-control"), "no-store")
        self.assertEqual(answer.get("x-content-type-options"), "nosniff")
        self.assertEqual(answer.json["code"], code)
        self.assertIsInstance(answer.json["error"], str)
        self.assertIsNone(TRACE.search(answer.data))


class RequestTests(LimitedCase):
    """Requests as they should be, or nearly."""

    async def test_post(self) -> None:
        """
        JSON comes in and out.
        """
        answer = await self.ask("POST", self.url, {"a": ["ä", 1.5, None]})
        self.assertEqual(answer.json, {"got": {"a": ["ä", 1.5, None]}})
        self.assertEqual(answer.length, len(answer.data))

    async def test_what_is_not_there(self) -> None:
        """
        Unknown paths are 404, other methods 405 with what is allowed, in JSON.
        """
        for path in ("/", "/x", "/x/y/", "/%00", "/%FF/..", "/.."):
            for method in ("GET", "POST", "DELETE"):
                self.assert_error(await self.ask(method, self.url + path), 404)
        for method in ("PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "get"):
            answer = await self.ask(method, self.url)
            self.assert_error(answer, 405)
            self.assertEqual(answer.get("allow"), "GET, HEAD, OPTIONS, POST")
        self.assertEqual(self.echo.seen, 0)

    async def test_content_types(self) -> None:
        """
        What a form of another site could send is refused before anything is read: 415.
        """
        for kind in (
            *("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"),
            *("application/jsonx", "", "text/plain; application/json", "application/json, a/b"),
        ):
            body = FORM if "multipart" in kind else b"{}"
            answer = await self.ask("POST", self.url, raw=body, headers={"content-type": kind})
            self.assert_error(answer, 415)
            self.assertEqual(answer.get("accept"), "application/json")
        self.assert_error(await self.ask("POST", self.url, raw=b"{}"), 415)
        raw = await self.raw()
        for byte in (b"\x85", b"\x0b", b"\x1c", b"\xff"):
            head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Type: "
            raw.send(head + b"multipart/form-data" + byte + b"; boundary=x\r\n\r\n{}")
            await raw.when(lambda raw: raw.received.endswith(b"}") or raw.lost)
            self.assertTrue(raw.received.startswith(b"HTTP/1.1 415 "))
            raw.received = b""
        kind = "Application/JSON ; charset=utf-8"
        answer = await self.ask("POST", self.url, raw=b"{}", headers={"content-type": kind})
        self.assertEqual(answer.code, 200)

    async def test_compressed_bodies(self) -> None:
        """
        Compressed bodies are refused, not unpacked: 415.
        """
        json_ = {"content-type": "application/json"}
        for coding in ("gzip", "deflate", "br", "identity, gzip"):
            body = gzip.compress(b"{}")
            answer = await self.ask(
                "POST", self.url, raw=body, headers={**json_, "content-encoding": coding}
            )
            self.assert_error(answer, 415)

    async def test_other_origins(self) -> None:
        """
        Pages of other sites cannot post; those of listed ones can, and are told so beforehand.
        """
        evil = {"origin": "https://evil.org"}
        self.assert_error(await self.ask("POST", self.url, {}, evil), 403)
        self.assert_error(await self.ask("OPTIONS", self.url, headers=evil), 403)
        listed = {"origin": "https://listed.org"}
        for answer in (
            await self.ask("POST", self.url, {}, listed),
            await self.ask("OPTIONS", self.url, headers=listed),
        ):
            self.assertIn(answer.code, (200, 204))
            self.assertEqual(answer.get("access-control-allow-origin"), "https://listed.org")
            self.assertEqual(answer.get("access-control-allow-credentials"), "true")
            self.assertIn("origin", answer.get("vary").lower())
        self.assertIn("POST", answer.get("access-control-allow-methods"))
        self.assertIn("Content-Type", answer.get("access-control-allow-headers"))
        own = {"origin": f"http://127.0.0.1:{self.port}"}
        self.assertEqual((await self.ask("POST", self.url, {}, own)).code, 200)
        plain = await self.ask("OPTIONS", self.url)
        self.assertEqual((plain.code, plain.get("allow")), (204, "GET, HEAD, OPTIONS, POST"))
        self.assertFalse(plain.get("access-control-allow-origin"))

    async def test_errors(self) -> None:
        """
        Errors are told by what they mean to a client; what is ours is logged and not told.
        """
        cases: list[tuple[Exception, int]] = [
            (WebError(409, "changed", changed={"f": {}}), 409),
            (FeedDoesNotExist("secret"), 404),
            (NotConnected("secret"), 503),
            (ValueError("secret"), 500),
        ]
        for error, code in cases:
            self.echo.error = error
            answer = await self.ask("GET", self.url)
            self.assert_error(answer, code)
            self.assertNotIn(b"secret", answer.data)
            self.assertEqual(bool(answer.get("retry-after")), code == 503)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.echo.error = WebError(409, "changed", changed={"f": {}})
        answer = await self.ask("GET", self.url)
        self.assertEqual(answer.json, {"code": 409, "error": "changed", "changed": {"f": {}}})
        self.echo.error = WebError(409, "changed", what=object())
        self.assert_error(await self.ask("GET", self.url), 409)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    async def test_head(self) -> None:
        """
        HEAD has the headers of GET, and no body.
        """
        self.echo.body = Body(b"[" + b"1," * 2000 + b"1]")
        got, headed = await self.ask("GET", self.url), await self.ask("HEAD", self.url)
        self.assertEqual(headed.data, b"")
        self.assertEqual(str(got.length), headed.get("content-length"))
        for name in ("content-type", "cache-control", "vary"):
            self.assertEqual(got.get(name), headed.get(name))

    async def test_gzip(self) -> None:
        """
        Large answers are compressed for who takes that; small ones are not.
        """
        wants = {"accept-encoding": "gzip"}
        for size, zipped in ((10, False), (5000, True), (600_000, True)):
            self.echo.body = Body(json.dumps("a" * size).encode(), b'"tag"')
            answer = await self.ask("GET", self.url, headers=wants)
            self.assertEqual(answer.get("content-encoding"), "gzip" if zipped else "")
            self.assertEqual(answer.get("etag"), 'W/"tag"' if zipped else '"tag"')
            self.assertEqual(answer.length, len(answer.data))
            data = gzip.decompress(answer.data) if zipped else answer.data
            self.assertEqual(data, self.echo.body.data)
            plain = await self.ask("GET", self.url)
            self.assertEqual(plain.data, self.echo.body.data)
            self.assertIn("accept-encoding", plain.get("vary").lower())
        many = [Deferred.fromCoroutine(self.ask("GET", self.url, headers=wants)) for _ in range(9)]
        self.echo.body = Body(json.dumps("b" * 600_000).encode())
        for each in await gatherResults(many):
            self.assertEqual(gzip.decompress(each.data), self.echo.body.data)

    async def test_client_goes_away(self) -> None:
        """
        What a client waits for is cancelled when it goes, without a word in the log.
        """
        raw = await self.raw()
        raw.send(b"GET /echo?wait=1 HTTP/1.1\r\nhost: a\r\n\r\n")
        await until(lambda: self.echo.seen)
        assert raw.transport is not None
        raw.transport.loseConnection()
        await until(lambda: self.echo.cancelled)

    async def test_old_clients(self) -> None:
        """
        Clients that know HTTP/1.0 only are answered, and the connection closed.
        """
        raw = await self.raw()
        raw.send(b"GET /echo HTTP/1.0\r\n\r\n")
        await raw.when_lost()
        self.assertIn(b" 200 OK\r\n", raw.received)
        self.assertNotIn(b"chunked", raw.received.lower())
        raw = await self.raw()
        raw.send(
            b"POST /echo HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
        )
        await raw.when_lost()
        self.assertTrue(raw.received.endswith(b'{"got":{}}'), raw.received)


POST = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"


class FloodTests(LimitedCase):
    """Requests that are too much."""

    async def status(self, raw: Raw) -> int:
        """The status that comes."""
        await raw.when(lambda raw: b"\r\n\r\n" in raw.received or raw.lost)
        found = re.match(rb"HTTP/1\.[01] (\d+) ", raw.received)
        return int(found[1]) if found else 0

    async def send_on(self, raw: Raw, piece: bytes, most: int) -> int:
        """Send until that is enough, or the other side has closed; gives how much went."""
        sent = 0
        waits = raw.when_lost()
        assert raw.transport is not None
        transport: Any = raw.transport
        while sent < most and not raw.lost:
            if transport.dataBuffer or transport._tempDataLen:
                await deferLater(self.echo.reactor, 0.001)
            else:
                raw.send(piece)
                sent += len(piece)
        waits.addErrback(lambda _: None)
        return sent

    async def test_said_to_be_large(self) -> None:
        """
        A body that is said to be too large is answered at once with 413, in JSON; 100 MB that are
        sent nevertheless are kept nowhere.
        """
        raw = await self.raw()
        raw.send(POST + b"Content-Length: 100000000\r\n\r\n")
        self.assertEqual(await self.status(raw), 413)
        before = resident()
        await self.send_on(raw, b"x" * 2**18, 100_000_000)
        self.assertLess(resident() - before, 20_000_000)
        body = raw.received.partition(b"\r\n\r\n")[2]
        self.assertEqual(json.loads(body)["code"], 413)
        self.assertEqual(self.echo.seen, 0)

    async def test_grows_large(self) -> None:
        """
        The same of one that says nothing and grows: in chunks, large or of one byte each.
        """
        for chunk in (
            b"3e8\r\n" + b"x" * 1000 + b"\r\n",
            b"1\r\nx\r\n" * 200,
            b"FFFFFFF\r\n" + b"x" * 9999,
        ):
            raw = await self.raw()
            raw.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(60):
                raw.send(chunk)
            self.assertEqual(await self.status(raw), 413)
        self.assertEqual(self.echo.seen, 0)

    async def test_expected(self) -> None:
        """
        Who asks first whether it may send is told at once that it may not.
        """
        raw = await self.raw()
        raw.send(POST + b"Expect: 100-continue\r\nContent-Length: 10001\r\n\r\n")
        self.assertEqual(await self.status(raw), 413)
        self.assertNotIn(b"100 Continue", raw.received)
        raw = await self.raw()
        raw.send(POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        self.assertEqual(await self.status(raw), 100)
        raw.send(b"{}")
        await raw.when(lambda raw: b"200 OK" in raw.received)

    async def test_just_fits(self) -> None:
        """
        The bound is what it says, in either form.
        """
        value = "x" * 9998
        answer = await self.ask("POST", self.url, value)
        self.assertEqual(answer.json, {"got": value})
        self.assertEqual((await self.ask("POST", self.url, value + "x")).code, 413)
        raw = await self.raw()
        raw.send(POST + b"Transfer-Encoding: chunked\r\n\r\n2710\r\n")
        raw.send(json.dumps(value).encode() + b"\r\n0\r\n\r\n")
        await raw.when(lambda raw: value.encode() in raw.received)

    async def test_other_resources(self) -> None:
        """
        Forms and files for what is not there are bounded alike: nothing is kept of them.
        """
        for kind in (b"multipart/form-data; boundary=x", b"application/x-www-form-urlencoded"):
            raw = await self.raw()
            head = b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Type: " + kind
            raw.send(head + b"\r\nContent-Length: 50000000\r\n\r\n")
            self.assertEqual(await self.status(raw), 413)

    async def test_endless_heads(self) -> None:
        """
        Endless paths and headers, in length and in number, and bodies of two lengths: 400, or
        closed, after little.
        """
        for begin, piece in (
            (b"GET /", b"x" * 4096),
            (b"GET / HTTP/1.1\r\nA: ", b"x" * 4096),
            (b"GET / HTTP/1.1\r\n", b"A: b\r\n" * 500),
            (b"GET / HTTP/1.1\r\nA: b\r\n", b" continued\r\n" * 500),
            (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", b"xx"),
            (POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"xx"),
            (POST + b"Content-Length: -1\r\n\r\n", b"xx"),
            (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1" * 4096),
            (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n" * 5000),
            (b"\x00\xff" * 100, b"\r\n\r\n"),
            (b"\x16\x03\x01\x02\x00\x01\x00", b"\r\n\r\n"),
        ):
            raw = await self.raw()
            raw.send(begin)
            sent = await self.send_on(raw, piece, 20_000_000)
            self.assertLess(sent, 20_000_000)
            await raw.when_lost()
            self.assertIn(raw.received[:12], (b"", b"HTTP/1.1 400"))
        self.assertEqual(self.echo.seen, 0)

    async def test_slow(self) -> None:
        """
        A request that drips in is cut off in time, however steadily it drips.
        """
        begin = self.echo.reactor.seconds()
        drips = [b"G", POST, POST + b"Content-Length: 10000\r\n\r\n"]
        raws = [await self.raw() for _ in drips]
        for raw, head in zip(raws, drips, strict=True):
            raw.send(head)
        while not all(raw.lost for raw in raws):
            for raw in raws:
                if not raw.lost:
                    raw.send(b"a")
            await deferLater(self.echo.reactor, 0.05)
            self.assertLess(self.echo.reactor.seconds() - begin, 5)
        self.assertGreater(self.echo.reactor.seconds() - begin, 0.9)
        answer = await self.ask("POST", self.url, {})
        self.assertEqual(answer.code, 200)

    async def test_pause_between_requests(self) -> None:
        """
        The time counts from a request's first byte: a connection may wait for its next one.
        """
        raw = await self.raw()
        for i in range(3):
            raw.send(POST + b"Content-Length: 2\r\n\r\n{}")
            await raw.when(lambda raw, i=i: raw.received.count(b'{"got":{}}') == i + 1)
            await deferLater(self.echo.reactor, 0.6)
        raw.send((POST + b"Content-Length: 2\r\n\r\n{}") * 2 + POST)  # the third never ends
        await raw.when(lambda raw: raw.received.count(b'{"got":{}}') == 5)
        await raw.when_lost()

    async def test_unread_answers(self) -> None:
        """
        Who does not read costs no copies of a large answer, and is cut off.
        """
        from txthoonk.web import replies

        self.patch(replies, "PATIENCE", 1.5)
        self.echo.body = Body(b"[" + b"1," * 2_500_000 + b"1]")
        before = resident()
        raws = []
        for _ in range(50):
            raw = await self.raw()
            transport: Any = raw.transport
            transport.pauseProducing()
            raw.send(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
            raws.append(raw)
        await until(lambda: self.echo.seen == 50)
        self.assertLess(resident() - before, 50_000_000)
        await until(lambda: not self.connections())
        for raw in raws:
            transport = raw.transport
            transport.resumeProducing()
        for raw in raws:
            await raw.when_lost()
            self.assertLess(len(raw.received), len(self.echo.body.data))

    async def test_slow_reader(self) -> None:
        """
        Who reads slowly gets all of it.
        """
        self.echo.body = Body(b"[" + b"1," * 2_500_000 + b"1]")
        raw = await self.raw()
        raw.send(b"GET /echo HTTP/1.0\r\n\r\n")
        transport: Any = raw.transport
        for _ in range(10):
            transport.pauseProducing()
            await deferLater(self.echo.reactor, 0.02)
            transport.resumeProducing()
            await deferLater(self.echo.reactor, 0.005)
        await raw.when_lost()
        self.assertEqual(raw.received.partition(b"\r\n\r\n")[2], self.echo.body.data)


def resident() -> int:
    """Memory of this process: bytes."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096
    except OSError:
        raise SkipTest("only Linux tells the memory of a process so") from None
