"""Who may ask over the web, from where, and how much."""

from __future__ import annotations

from email.message import Message
from typing import Any
from urllib.error import HTTPError

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.error import Error
from twisted.web.http_headers import Headers
from twisted.web.test.requesthelper import DummyRequest

from txthoonk.actions import Refused
from txthoonk.web.access import Access, user_id
from txthoonk.web.allowances import Allowance, Counts
from txthoonk.web.replies import WebError


class Ask(DummyRequest):
    """A request with headers."""

    def __init__(self, secure: bool = False, **headers: str | list[str]) -> None:
        super().__init__([b""])
        self._secure = secure
        self.requestHeaders = Headers()
        for name, value in headers.items():
            values = value if isinstance(value, list) else [value]
            self.requestHeaders.setRawHeaders(name.replace("_", "-"), values)

    def isSecure(self) -> bool:
        """Whether it came over TLS."""
        return self._secure


def access(**options: Any) -> Access:
    """One that lets all read."""
    options.setdefault("reactor", Clock())
    options.setdefault("may_read", lambda user, feed: True)
    return Access(**options)


class OriginTests(SynchronousTestCase):
    """Pages of other sites."""

    def refused(self, tested: Access, request: Ask) -> bool:
        """Whether a request is refused for its origin."""
        try:
            tested.check_origin(request)  # type: ignore[arg-type]  # a request without a connection
        except WebError as error:
            self.assertEqual(error.code, 403)
            return True
        return False

    def test_same_origin(self) -> None:
        """
        Pages of the site itself may ask, however host and port are written; nobody else's may.
        """
        tested = access()
        same = [
            ("http://example.org", "example.org", False),
            ("http://example.org", "EXAMPLE.org:80", False),
            ("https://example.org:443", "example.org", True),
            ("http://[::1]:8080", "[::1]:8080", False),
            ("http://localhost:8080", "localhost:8080", False),
        ]
        for origin, host, secure in same:
            self.assertFalse(self.refused(tested, Ask(secure, origin=origin, host=host)), origin)
        others = [
            *("null", "", "http://evil.org", "http://example.org.evil.org", "https://example.org"),
            *("http://example.org:81", "http://sub.example.org", "http://user@example.org"),
            *("http://example.org/path", "example.org", "ftp://example.org", "http://[::1"),
            *("http://example.org:99999", "http://example.org, http://evil.org", "*", "file://"),
        ]
        for origin in others:
            self.assertTrue(self.refused(tested, Ask(origin=origin, host="example.org")), origin)

    def test_strange_hosts(self) -> None:
        """
        Without one host there is no own origin; two origins are none.
        """
        tested = access()
        origin = "http://example.org"
        self.assertTrue(self.refused(tested, Ask(origin=origin)))
        self.assertTrue(self.refused(tested, Ask(origin=origin, host=["example.org"] * 2)))
        self.assertTrue(self.refused(tested, Ask(origin=[origin] * 2, host="example.org")))

    def test_no_origin(self) -> None:
        """
        Who names none is no browser, unless the browser says that the page is another site's.
        """
        tested = access()
        self.assertFalse(self.refused(tested, Ask(host="example.org")))
        for site, refused in (("same-origin", False), ("none", False), ("cross-site", True)):
            self.assertEqual(self.refused(tested, Ask(sec_fetch_site=site)), refused)
        self.assertTrue(self.refused(tested, Ask(sec_fetch_site="same-site")))

    def test_listed(self) -> None:
        """
        Pages of listed origins may ask and read the answers; it is not said so to others.
        """
        tested = access(origins=["https://app.example.org", "http://localhost:3000"])
        ask = Ask(origin="https://app.example.org", host="example.org")
        self.assertFalse(self.refused(tested, ask))
        get = ask.responseHeaders.getRawHeaders
        self.assertEqual(get("access-control-allow-origin"), ["https://app.example.org"])
        self.assertEqual(get("vary"), ["origin"])
        for ask in (
            Ask(origin="http://example.org", host="example.org"),
            Ask(origin="http://evil.org", host="example.org"),
        ):
            self.refused(tested, ask)
            self.assertFalse(ask.responseHeaders.hasHeader("access-control-allow-origin"))

    def test_behind_a_proxy(self) -> None:
        """
        What a proxy says of the request counts where it is trusted, and only the nearest one's.
        """
        ask = Ask(
            origin="https://example.org",
            host="127.0.0.1:8080",
            x_forwarded_proto="http, https",
            x_forwarded_host="evil.org, example.org",
            x_forwarded_for="1.2.3.4, 5.6.7.8",
        )
        self.assertTrue(self.refused(access(), ask))
        trusting = access(trust_proxy=True)
        self.assertFalse(self.refused(trusting, ask))
        self.assertEqual(trusting.who(None, ask), "address 5.6.7.8")  # type: ignore[arg-type]  # a request without a connection

    def test_wrong_settings(self) -> None:
        """
        What cannot be an origin, a limit or a hook is refused at once.
        """
        for origin in ("*", "https://*.example.org", "example.org", "null", None):
            self.assertRaises(ValueError, access, origins=[origin])
        self.assertRaises(TypeError, access, origins="https://example.org")
        self.assertRaises(TypeError, access, may_read=None)
        self.assertRaises(TypeError, access, authenticate=True)
        for limits in ({"rate": -1}, {"burst": 0}, {"max_streams": 0}, {"max_waiting": 0}):
            self.assertRaises(ValueError, access, **limits)


class HookTests(SynchronousTestCase):
    """What an application decides."""

    def result(self, coroutine: Any) -> Any:
        """What a coroutine gives."""
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def error(self, coroutine: Any) -> WebError:
        """The error it ends with."""
        failure = self.failureResultOf(Deferred.fromCoroutine(coroutine), WebError)
        error: WebError = failure.value
        return error

    def test_user(self) -> None:
        """
        The user is what the hook gives, at once or later; without a hook nobody is known.
        """

        async def later(request: Any) -> Any:
            return await succeed({"id": 7})

        for hook in (lambda _: {"id": 7}, lambda _: succeed({"id": 7}), later):
            user = self.result(access(authenticate=hook).user(Ask()))  # type: ignore[arg-type]  # a request without a connection
            self.assertEqual(user, {"id": 7})
        self.assertIsNone(self.result(access().user(Ask())))  # type: ignore[arg-type]  # a request without a connection

    def test_refused_user(self) -> None:
        """
        A hook refuses with its own status; anything else is our fault, and nothing of it is told.
        """

        cases: list[tuple[Exception, int, str]] = [
            (WebError(401, "who?"), 401, "who?"),
            (Error(403, b"no"), 403, "no"),
            (Error(401), 401, "Unauthorized"),
            (UnauthorizedLogin("secret"), 401, "nobody is signed in"),
            (Refused(403, "not today", until=9), 403, "not today"),
        ]
        for raised, code, text in cases:

            def hook(request: Any, raised: Exception = raised) -> Any:
                raise raised

            error = self.error(access(authenticate=hook).user(Ask()))  # type: ignore[arg-type]  # a request without a connection
            self.assertEqual((error.code, error.error), (code, text))
            self.assertEqual("WWW-Authenticate" in error.headers, code == 401)
        self.assertEqual(error.answer, {"code": 403, "error": "not today", "until": 9})
        for wrong in (
            HTTPError("secret", 404, "secret", Message(), None),
            ValueError("secret"),
            Error(500, b"secret"),
            Error(302, b"secret"),
        ):

            def broken(request: Any, wrong: Exception = wrong) -> Any:
                raise wrong

            error = self.error(access(authenticate=broken).user(Ask()))  # type: ignore[arg-type]  # a request without a connection
            self.assertEqual(error.code, 500)
            self.assertNotIn("secret", str(error.answer))
            self.assertEqual(len(self.flushLoggedErrors(type(wrong))), 1)

    def test_may_read(self) -> None:
        """
        The hook decides; one that fails lets nobody read, and is logged.
        """
        asked = []

        async def decides(user: Any, feed: str) -> bool:
            asked.append((user, feed))
            return feed == "a"

        tested = access(may_read=decides)
        self.assertTrue(self.result(tested.may_read(1, "a")))
        self.assertFalse(self.result(tested.may_read(1, "b")))
        self.assertEqual(asked, [(1, "a"), (1, "b")])
        self.assertEqual(self.error(tested.check_read(1, "b")).code, 403)

        def fails(user: Any, feed: str) -> bool:
            raise KeyError("secret")

        error = self.error(access(may_read=fails).may_read(1, "a"))
        self.assertEqual(error.code, 500)
        self.assertNotIn("secret", str(error.answer))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

        def refuses(user: Any, feed: str) -> bool:
            raise WebError(404)

        self.assertFalse(self.result(access(may_read=refuses).may_read(1, "a")))

    def test_user_id(self) -> None:
        """
        A user is known by the id, or is it.
        """
        self.assertEqual(user_id({"id": 7, "name": "Ann"}), "7")
        self.assertEqual(
            [user_id(u) for u in ("ann", 7, {"name": "x"})], ["ann", "7", '{"name": "x"}']
        )


class LimitTests(SynchronousTestCase):
    """How much of it."""

    def setUp(self) -> None:
        """Have a clock."""
        self.clock = Clock()

    def test_rate(self) -> None:
        """
        So much at once, then so much per second; who waits as long as told is let in.
        """
        tested = access(rate=10, burst=5, reactor=self.clock)
        self.assertEqual([tested.take("ann") for _ in range(5)], [0] * 5)
        wait = tested.take("ann")
        self.assertAlmostEqual(wait, 0.1)
        self.assertEqual(tested.take("bob"), 0)
        self.clock.advance(wait)
        self.assertEqual(tested.take("ann"), 0)
        self.assertGreater(tested.take("ann"), 0)

    def test_expensive(self) -> None:
        """
        What costs more than all there can be wants all of it, and is paid off afterwards.
        """
        tested = Allowance(10, 5, self.clock.seconds)
        self.assertEqual(tested.take("ann", 20), 0)
        self.assertAlmostEqual(tested.take("ann"), 1.6)
        self.clock.advance(1.6)
        self.assertEqual(tested.take("ann"), 0)

    def test_owed(self) -> None:
        """
        What is owed need not be there, and is paid off before anything else.
        """
        tested = Allowance(10, 5, self.clock.seconds)
        tested.owe("a", 25)
        self.assertAlmostEqual(tested.take("a"), 2.1)
        self.clock.advance(2.1)
        self.assertEqual(tested.take("a"), 0)
        self.assertGreater(tested.take("a"), 0)

    def test_no_limit(self) -> None:
        """
        A rate of 0 is none, and costs no memory.
        """
        tested = Allowance(0, 0, self.clock.seconds)
        tested.owe("a", 10)
        self.assertEqual({tested.take(str(i % 7)) for i in range(100)}, {0})
        self.assertEqual(len(tested), 0)

    def test_forgotten(self) -> None:
        """
        Who has asked for nothing for a while is forgotten: memory is for those that ask now.
        """
        tested = Allowance(10, 5, self.clock.seconds)
        for i in range(1000):
            tested.take(str(i))
            self.clock.advance(0.01)
        self.assertLess(len(tested), 60)
        self.clock.advance(1)
        tested.take("last")
        self.assertEqual(len(tested), 1)

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 0.4), st.integers(1, 4))))
    def test_never_more(self, asks: list[tuple[str, float, int]]) -> None:
        """
        Whatever the order of asking, nobody gets more than burst and rate give.
        """
        clock = Clock()
        tested = Allowance(10, 5, clock.seconds)
        got = {"a": 0, "b": 0}
        for who, wait, cost in asks:
            clock.advance(wait)
            if not tested.take(who, cost):
                got[who] += cost
            self.assertLessEqual(got[who], 5 + 10 * clock.seconds() + 1e-6)

    def test_unknown_users(self) -> None:
        """
        Unknown users are told apart by address; a network of IPv6 is one.
        """
        tested = access(trust_proxy=True)

        def who(address: str) -> str:
            return tested.who(None, Ask(x_forwarded_for=address))  # type: ignore[arg-type]  # a request without a connection

        self.assertNotEqual(who("1.2.3.4"), who("1.2.3.5"))
        self.assertEqual(who("2001:db8::1"), who("2001:db8::ffff:1"))
        self.assertNotEqual(who("2001:db8::1"), who("2001:db8:0:1::1"))
        self.assertEqual(who("::ffff:1.2.3.4"), who("1.2.3.4"))
        self.assertEqual(who("garbage"), "address garbage")
        self.assertEqual(tested.who(None), "address ")
        self.assertNotEqual(tested.who("address 1.2.3.4"), who("1.2.3.4"))

    def test_streams(self) -> None:
        """
        So many streams at a time; one that ends, however often that is said, makes room for one.
        """
        tested = access(max_streams=2)
        ends = [tested.begin_stream("ann") for _ in range(2)]
        error = self.assertRaises(WebError, tested.begin_stream, "ann")
        self.assertEqual(error.code, 429)
        self.assertIn("Retry-After", error.headers)
        tested.begin_stream("bob")
        ends[0]()
        ends[0]()
        tested.begin_stream("ann")
        self.assertRaises(WebError, tested.begin_stream, "ann")
        counts = Counts(1)
        end = counts.begin("ann")
        assert end is not None
        end()
        self.assertEqual(len(counts), 0)

    def test_waiting(self) -> None:
        """
        The same of answers that are waited for.
        """
        tested = access(max_waiting=1)
        tested.begin_wait("ann")
        self.assertRaises(WebError, tested.begin_wait, "ann")
