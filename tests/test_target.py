"""Where Redis is, as users say it."""

from __future__ import annotations

import sys
from typing import Any
from unittest import mock
from urllib.parse import quote

from twisted import internet
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, UNIXClientEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import Heard, ThoonkTestCase
from tests.tls import tls_server
from txthoonk import NotConnected, Thoonk
from txthoonk.target import Target

#: A target -> where that is, and what is sent there: database, user, password.
URLS: dict[str, tuple[Any, int | None, str | None, str | None]] = {
    "redis://": (("redis", "localhost", 6379), None, None, None),
    "redis://localhost:6379/0": (("redis", "localhost", 6379), 0, None, None),
    "redis://example.com": (("redis", "example.com", 6379), None, None, None),
    "redis://example.com/": (("redis", "example.com", 6379), None, None, None),
    "redis://[::1]:7000/12": (("redis", "::1", 7000), 12, None, None),
    "redis://h?db=3": (("redis", "h", 6379), 3, None, None),
    "redis://h/2?db=3": (("redis", "h", 6379), 2, None, None),
    "redis://:pass@h": (("redis", "h", 6379), None, None, "pass"),
    "redis://me:p%40ss%2F@h/1": (("redis", "h", 6379), 1, "me", "p@ss/"),
    "redis://h?username=me&password=p%26": (("redis", "h", 6379), None, "me", "p&"),
    "rediss://h:6380": (("rediss", "h", 6380), None, None, None),
    "redis+unix:///run/redis?db=4": (("unix", "/run/redis", 0), 4, None, None),
    "redis+unix://me:pass@/run/re%20dis": (("unix", "/run/re dis", 0), None, "me", "pass"),
    "unix:///run/redis": (("unix", "/run/redis", 0), None, None, None),
    "tcp:localhost:6379": ("tcp:localhost:6379", None, None, None),
}

#: What is no target; none of them may repeat the password.
NONE = (
    "",
    "localhost:6379",
    "tcp:localhost",
    "http://localhost",
    "redis://:secret@h/one",
    "redis://:secret@h:port",
    "redis://:secret@h:99999",
    "redis://h?password=secret&timeout=3",
    "redis://me:secret/1@h",
    "redis://me:1/secret@h",
    "redis://me:secret\u2100@h",
    "redis://me:secret@[h",
    "redis+unix://?password=secret",
)


class TargetTests(SynchronousTestCase):
    """URLs, endpoint strings and endpoints."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()

    def test_urls(self) -> None:
        """
        Each way to say it is understood.
        """
        for url, expected in URLS.items():
            target = Target.parse(url)
            found = (target.place, target.db, target.username, target.password)
            self.assertEqual(found, expected, url)

    def test_endpoints(self) -> None:
        """
        Each is connected to in its own way; an endpoint is taken as it is.
        """
        given = TCP4ClientEndpoint(self.reactor, "h", 1)
        self.assertIs(Target.parse(given).endpoint(self.reactor), given)
        for url, kind in {
            "redis://h": HostnameEndpoint,
            "redis+unix:///s": UNIXClientEndpoint,
            "unix:/s": UNIXClientEndpoint,
        }.items():
            self.assertIsInstance(Target.parse(url).endpoint(self.reactor), kind)

    def test_none(self) -> None:
        """
        What is no target is refused when the instance is made, in words without the password.
        """
        for target in NONE:
            error = self.assertRaises(ValueError, Thoonk, target, reactor=self.reactor)
            self.assertNotIn("secret", str(error), target)
            self.assertIsNone(error.__cause__)
        for other in (None, 6379, b"redis://h"):
            self.assertRaises(ValueError, Thoonk, other, reactor=self.reactor)

    def test_no_tls(self) -> None:
        """
        Where Twisted has no TLS it is said how to get it, when the instance is made.
        """
        ssl = vars(internet).pop("ssl", None)
        if ssl is not None:
            self.addCleanup(setattr, internet, "ssl", ssl)
        with mock.patch.dict(sys.modules, {"twisted.internet.ssl": None}):
            error = self.assertRaises(ValueError, Thoonk, "rediss://h", reactor=self.reactor)
        self.assertIn("txthoonk[tls]", str(error))

    def test_dialect(self) -> None:
        """
        There are two dialects.
        """
        self.assertEqual(Thoonk(reactor=self.reactor, dialect="lua").dialect.name, "lua")
        self.assertRaises(ValueError, Thoonk, reactor=self.reactor, dialect="clj")

    def test_shown(self) -> None:
        """
        A target that is shown, in a traceback say, has no password.
        """
        self.assertNotIn("secret", repr(Target.parse("redis://me:secret@h")))


class TLSTests(ThoonkTestCase):
    """A connection that nobody can read."""

    async def test_rediss(self) -> None:
        """
        Over TLS all connections work, if the server's certificate is trusted and for that host.
        """
        _, port, certificate = await tls_server(self)
        thoonk = await self.start_thoonk(
            f"rediss://localhost:{port}?ssl_ca_certs={quote(certificate)}"
        )
        heard, job = Heard(), thoonk.job("a")
        await job.subscribe(put=heard)
        getting = job.get()
        await job.put("work" * 100_000)
        await heard.when(1)
        self.assertEqual((await getting).item, "work" * 100_000)
        untrusted = Thoonk(f"rediss://localhost:{port}", connect_timeout=0.5)
        self.addCleanup(untrusted.stopService)
        untrusted.startService()
        error = await self.assertFailure(untrusted.redis.ping(), NotConnected)
        self.assertIn("certificate verify failed", str(error))
