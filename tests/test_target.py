"""Where Redis is, as users say it."""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, UNIXClientEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from txthoonk import Thoonk
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

    def test_dialect(self) -> None:
        """
        There is one dialect.
        """
        self.assertRaises(ValueError, Thoonk, reactor=self.reactor, dialect="lua")

    def test_shown(self) -> None:
        """
        A target that is shown, in a traceback say, has no password.
        """
        self.assertNotIn("secret", repr(Target.parse("redis://me:secret@h")))
