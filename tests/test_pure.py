"""What users give, without a Redis: names and ids, items, options, targets."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    UNIXClientEndpoint,
)
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from txthoonk.keys import FeedKeys, check_id, check_name, decode, encode
from txthoonk.serializers import SERIALIZERS, get_serializer
from txthoonk.target import Target
from txthoonk.types import Feed, Job, Queue, SortedFeed
from txthoonk.types.options import encode_options


class NameTests(SynchronousTestCase):
    """Names and ids."""

    @settings(deadline=None, derandomize=True)
    @given(st.binary())
    def test_bytes(self, data: bytes) -> None:
        """
        Whatever bytes a peer uses as a name or id, they come back as they were.
        """
        self.assertEqual(encode(decode(data)), data)

    def test_text(self) -> None:
        """
        Text is UTF-8, as the peers write it.
        """
        self.assertEqual(encode("snow ☃:*{}"), "snow ☃:*{}".encode())

    def test_names(self) -> None:
        """
        A name is any text that is not empty and has no NUL, which ends it in messages.
        """
        for name in ("a", "a:b", "*", "{x} y", "☃", "\n", decode(b"\xff")):
            self.assertEqual(check_name(name), name)
        for name in ("", "a\x00b", "\ud800"):
            self.assertRaises(ValueError, check_name, name)
        for other in (b"a", 1, None):
            self.assertRaises(TypeError, check_name, other)

    def test_ids(self) -> None:
        """
        An id is as a name, or a number; what is refused names the feed.
        """
        self.assertEqual([check_id(id, "f") for id in ("a:*", 42, -1)], ["a:*", "42", "-1"])
        for bad in ("", "a\x00b", "\ud800"):
            self.assertRaises(ValueError, check_id, bad, "pictures")
        for other in (b"a", True, None, 1.5):
            with self.assertRaisesRegex(TypeError, "'pictures'"):
                check_id(other, "pictures")  # type: ignore[arg-type]  # that is the point


class KeyTests(SynchronousTestCase):
    """The contract's keys and channels, letter by letter, and ours."""

    def test_contract(self) -> None:
        """
        A feed is where every Thoonk program looks for it, whatever its name.
        """
        keys = FeedKeys(b"a:b*")
        self.assertEqual((keys.feeds, keys.newfeed), (b"feeds", b"newfeed"))
        self.assertEqual((keys.delfeed, keys.conffeed), (b"delfeed", b"conffeed"))
        for name in ("config", "ids", "items", "publishes", "idincr", "published"):
            self.assertEqual(getattr(keys, name), f"feed.{name}:a:b*".encode())
        for name in ("claimed", "cancelled", "stalled", "finishes", "running", "retried"):
            self.assertEqual(getattr(keys, name), f"feed.{name}:a:b*".encode())
        for name, channel in {
            "publish_channel": b"feed.publish:a:b*",
            "edit_channel": b"feed.edit:a:b*",
            "retract_channel": b"feed.retract:a:b*",
            "position_channel": b"feed.position:a:b*",
            "put_channel": b"feed.publishes:a:b*",
            "claim_channel": b"feed.claimed:a:b*",
            "finish_channel": b"job.finish:a:b*",
        }.items():
            self.assertEqual(getattr(keys, name), channel)

    def test_ours(self) -> None:
        """
        What the contract does not have is told apart at a glance.
        """
        words = ("handoff", "seen", "lost", "lease", "errors", "delayed", "results", "due")
        words += ("bridged", "revision", "revisions", "history", "expires", "schedules")
        words += ("ticks",)
        self.assertEqual(FeedKeys(b"f").ours(), tuple(f"tx.feed.{w}:f".encode() for w in words))

    def test_events(self) -> None:
        """
        Channels of changes name the database, which messages cross; feeds whose names have the
        same first two parts share one of them.
        """
        keys = FeedKeys(b"a:b:c:d", 3)
        self.assertEqual(keys.event_channel, b"tx.feed.event:3:a:b:c:d")
        self.assertEqual(keys.under_channel, b"tx.feed.under:3:a:b")
        for name in (b"a:b", b"a:", b"a", b":"):
            self.assertEqual(FeedKeys(name).event_channel, b"tx.feed.event:0:" + name)
            self.assertEqual(FeedKeys(name).under_channel, b"tx.feed.under:0:" + name)

    def test_every_key(self) -> None:
        """
        A delete knows every key that a feed may have: those of all types, and ours.
        """
        keys = FeedKeys(b"f")
        names = (name for name in vars(FeedKeys) if not name.endswith("_channel"))
        own = {name for name in names if isinstance(getattr(keys, name), bytes)}
        own -= {"name", "feeds", "newfeed", "delfeed", "conffeed", "scheduled", "expiring"}
        own -= {"recurrings", "recurring_config", "recurring"}  # no feeds
        self.assertEqual(sorted(keys.every_key()), sorted(getattr(keys, name) for name in own))
        for feed_type in (Feed, SortedFeed, Queue, Job):
            self.assertLessEqual(set(feed_type.SCHEMA), own)


class SerializerTests(SynchronousTestCase):
    """Items to bytes and back."""

    @settings(deadline=None, derandomize=True)
    @given(st.text(), st.binary())
    def test_text(self, text: str, data: bytes) -> None:
        """
        ``text`` keeps every text, and whatever bytes a peer wrote.
        """
        serializer = SERIALIZERS["text"]
        self.assertEqual(serializer.decode(serializer.encode(text)), text)
        self.assertEqual(serializer.encode(serializer.decode(data)), data)

    def test_not_text(self) -> None:
        """
        What is no text is refused, with the way out.
        """
        for item in (b"bytes", 1, None):
            with self.assertRaisesRegex(TypeError, "serializer='bytes'"):
                SERIALIZERS["text"].encode(item)
        self.assertRaises(ValueError, SERIALIZERS["text"].encode, "\ud800")

    def test_bytes(self) -> None:
        """
        ``bytes`` takes all that holds bytes, and nothing else.
        """
        serializer = SERIALIZERS["bytes"]
        for item in (b"\x00\xff", bytearray(b"\x00\xff"), memoryview(b"\x00\xff")):
            self.assertEqual(serializer.encode(item), b"\x00\xff")
        self.assertEqual(serializer.decode(b"\x00\xff"), b"\x00\xff")
        self.assertRaises(TypeError, serializer.encode, "text")

    @settings(deadline=None, derandomize=True)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
            lambda parts: st.lists(parts) | st.dictionaries(st.text(), parts),
        )
    )
    def test_json(self, item: Any) -> None:
        """
        ``json`` is what every other program's JSON is.
        """
        serializer = SERIALIZERS["json"]
        self.assertEqual(serializer.decode(serializer.encode(item)), item)
        self.assertEqual(json.loads(serializer.encode(item)), item)
        self.assertEqual(serializer.decode(json.dumps(item).encode()), item)

    def test_not_json(self) -> None:
        """
        What JSON cannot say is refused both ways.
        """
        self.assertRaises(TypeError, SERIALIZERS["json"].encode, object())
        self.assertRaises(ValueError, SERIALIZERS["json"].decode, b"{no json")

    def test_get_serializer(self) -> None:
        """
        A serializer is given by name, or is any object with the two methods.
        """
        self.assertIs(get_serializer("json"), SERIALIZERS["json"])
        own = SERIALIZERS["bytes"]
        self.assertIs(get_serializer(own), own)
        with self.assertRaisesRegex(ValueError, "'pickle'.* text, bytes, json"):
            get_serializer("pickle")
        for other in (None, 1, object()):
            self.assertRaises(TypeError, get_serializer, other)


class OptionTests(SynchronousTestCase):
    """Options as users give them, and as ``feed.config`` holds them."""

    def encode(self, config: Any = None, **options: Any) -> dict[bytes, bytes]:
        """What a feed with all options would store."""
        allowed = Feed.OPTIONS | Job.OPTIONS
        pairs = encode_options(allowed, options, config)
        return dict(zip(pairs[::2], pairs[1::2], strict=True))

    def test_values(self) -> None:
        """
        Options are stored as text that the peers read; a serializer stays in the process.
        """
        options = self.encode(
            max_length=50, clock="s", announce=False, title="Ü", serializer="json"
        )
        self.assertEqual(
            options,
            {b"max_length": b"50", b"clock": b"s", b"announce": b"0", b"title": "Ü".encode()},
        )
        self.assertEqual(self.encode(announce=True, clock="ms")[b"announce"], b"1")

    def test_no_limit(self) -> None:
        """
        No limit is no entry, never ``0``: peers take that for a limit.
        """
        for none in (None, 0, "0"):
            self.assertEqual(self.encode(max_length=none), {b"max_length": b""})

    def test_config(self) -> None:
        """
        A mapping may hold options too, and whatever else is to be kept; keywords win.
        """
        config = {"max_length": "5", "title": "old", "colour": "red", "size": 7, "raw": b"\xff"}
        self.assertEqual(
            self.encode(config, title="new"),
            {
                b"max_length": b"5",
                b"title": b"new",
                b"colour": b"red",
                b"size": b"7",
                b"raw": b"\xff",
            },
        )

    def test_wrong_values(self) -> None:
        """
        What an option cannot be is refused at once.
        """
        for options in (
            {"max_length": -1},
            {"max_length": "many"},
            {"clock": "us"},
            {"announce": "maybe"},
        ):
            self.assertRaises(ValueError, self.encode, **options)
        for config in (
            {"max_length": 1.5},
            {"max_length": True},
            {"title": None},
            {"colour": ["red"]},
            {"": "nameless"},
            {7: "seven"},
        ):
            self.assertRaises(TypeError, self.encode, config)

    def test_unknown(self) -> None:
        """
        A keyword that is no option is a TypeError; one of another type of feed a ValueError.
        """
        with self.assertRaisesRegex(TypeError, "'maxlength'.* max_length"):
            self.encode(maxlength=5)
        for given_as in ({"options": {"max_length": 5}}, {"config": {"max_length": 5}}):
            arguments = {"options": {}, "config": None, **given_as}
            with self.assertRaisesRegex(ValueError, "no max_length"):
                encode_options(SortedFeed.OPTIONS, **arguments)


class TargetTests(SynchronousTestCase):
    """Where Redis is."""

    def test_urls(self) -> None:
        """
        A URL says where the server is, and who we are there.
        """
        for url, target in {
            "redis://": Target(("redis", "localhost", 6379)),
            "redis://host": Target(("redis", "host", 6379)),
            "redis://host:1234/5": Target(("redis", "host", 1234), 5),
            "redis://host/?db=3": Target(("redis", "host", 6379), 3),
            "redis://:p%40ss@host": Target(("redis", "host", 6379), None, None, "p@ss"),
            "redis://me:p@[::1]:1": Target(("redis", "::1", 1), None, "me", "p"),
            "rediss://host?ssl_ca_certs=/ca": Target(("rediss", "host", 6379), ca_certs="/ca"),
            "redis+unix:///run/s?db=2": Target(("unix", "/run/s", 0), 2),
            "unix:///run/a%20b": Target(("unix", "/run/a b", 0)),
            "unix:///s?username=me&password=p": Target(("unix", "/s", 0), None, "me", "p"),
            "tcp:localhost:6379": Target("tcp:localhost:6379"),
        }.items():
            self.assertEqual(Target.parse(url), target)

    def test_wrong(self) -> None:
        """
        What is no target is refused at once, and no message shows a password.
        """
        for url in (
            "http://:secret@host",
            "redis://:secret@host:port",
            "redis://:secret@host/zero",
            "redis://:secret@host?db=-1",
            "redis://:secret@host?databse=1",
            "redis+unix://?password=secret",
            "",
            None,
            6379,
        ):
            with self.assertRaises(ValueError) as caught:
                Target.parse(url)
            self.assertNotIn("secret", str(caught.exception))

    def test_secret(self) -> None:
        """
        A password does not show in a traceback or a log.
        """
        self.assertNotIn("secret", repr(Target.parse("redis://me:secret@host")))

    def test_endpoints(self) -> None:
        """
        Each kind of target becomes the endpoint that connects there.
        """
        reactor = MemoryReactorClock()
        for url, kind in {
            "redis://host": HostnameEndpoint,
            "unix:///run/s": UNIXClientEndpoint,
            "unix:/run/s": UNIXClientEndpoint,
        }.items():
            self.assertIsInstance(Target.parse(url).endpoint(reactor), kind)
        own = TCP4ClientEndpoint(reactor, "host", 1)
        self.assertIs(Target.parse(own).endpoint(reactor), own)
        self.assertRaises(ValueError, Target.parse("no such endpoint").endpoint, reactor)

    def test_timeout(self) -> None:
        """
        An attempt to connect has a time-out of its own.
        """
        reactor = MemoryReactorClock()
        Target.parse("unix:///run/s").endpoint(reactor, 7.0).connect(None)
        self.assertEqual(reactor.unixClients[0][2], 7.0)
