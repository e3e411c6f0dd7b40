"""Messages of all kinds of programs, read as events."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txthoonk.errors import ItemError
from txthoonk.events import (
    KINDS,
    Edited,
    FeedConfigured,
    FeedCreated,
    FeedDeleted,
    JobClaimed,
    JobFinished,
    JobPublished,
    Moved,
    Published,
    Retracted,
    reader,
)
from txthoonk.keys import FeedKeys, decode
from txthoonk.serializers import get_serializer
from txthoonk.subscriptions import OLDER

#: Kind of message, what is on the wire, what it says. thoonk.py's listener dies of some of them.
MESSAGES: list[tuple[str, bytes, Any]] = [
    ("create", b"f\x00INSTANCE", FeedCreated("f", "INSTANCE")),
    ("create", b"f", FeedCreated("f", None)),
    ("create", b"f\x00INSTANCE\x00x", FeedCreated("f", "INSTANCE\x00x")),
    ("create", b"a:b\x00", FeedCreated("a:b", "")),
    ("delete", b"f\x00INSTANCE", FeedDeleted("f", "INSTANCE")),
    ("delete", b"f", FeedDeleted("f", None)),
    ("delete", b"f\x00INSTANCE\x00x", FeedDeleted("f", "INSTANCE\x00x")),
    ("config", b"f\x00INSTANCE", FeedConfigured("f", "INSTANCE")),
    ("config", b"f", FeedConfigured("f", None)),
    ("publish", b"1\x00item", Published("f", "1", "item")),
    ("publish", b"1\x00a\x00b", Published("f", "1", "a\x00b")),
    ("publish", b"1\x00", Published("f", "1", "")),
    ("publish", b"1", Published("f", "1", None)),
    ("publish", b"", Published("f", "", None)),
    ("publish", b"\x00item", Published("f", "", "item")),
    ("publish", "é\x00☃".encode(), Published("f", "é", "☃")),
    ("publish", b"1\x00\xff\xfe", Published("f", "1", "\udcff\udcfe")),
    ("publish", b"\xff\x00item", Published("f", "\udcff", "item")),
    ("edit", b"1\x00item", Edited("f", "1", "item")),
    ("edit", b"1", Edited("f", "1", None)),
    ("retract", b"1", Retracted("f", "1")),
    ("retract", b"1\x00x", Retracted("f", "1\x00x")),
    ("retract", b"", Retracted("f", "")),
    ("position", b"1\x00:end", Moved("f", "1", ":end")),
    ("position", b"1\x00begin:", Moved("f", "1", "begin:")),
    ("position", b"1\x00:begin", Moved("f", "1", ":begin")),  # as txThoonk 0.1 wrote it
    ("position", b"1\x00:2", Moved("f", "1", ":2")),
    ("position", b"1", Moved("f", "1", None)),
    ("put", b"1\x00item", JobPublished("f", "1", "item")),
    ("put", b"1", JobPublished("f", "1", None)),
    ("claim", b"1", JobClaimed("f", "1")),
    ("finish", b"mine\x00result", JobFinished("f", "mine", "result")),
    ("finish", b"mine\x00", JobFinished("f", "mine", "")),
    ("finish", b"mine\x00a\x00b", JobFinished("f", "mine", "a\x00b")),
    ("finish", b"mine", JobFinished("f", "mine", None)),
]


class ReaderTests(SynchronousTestCase):
    """A listener that nothing on the wire can end."""

    def read(self, kind: str, payload: bytes, serializer: str = "text") -> Any:
        """The event that a message is."""
        return reader(KINDS[kind], "f", get_serializer(serializer))(payload)

    def test_messages(self) -> None:
        """
        The first NUL alone divides a message, and what is missing is None.
        """
        for kind, payload, event in MESSAGES:
            read = self.read(kind, payload)
            self.assertEqual((type(read), read), (type(event), event), (kind, payload))

    def test_serializers(self) -> None:
        """
        Items and results are read by the feed's serializer, ids and positions never.
        """
        for kind, payload, event in MESSAGES:
            if KINDS[kind].form != "item":
                self.assertEqual(self.read(kind, payload, "json"), event, (kind, payload))
        item = b'1\x00{"a": [1, null]}'
        self.assertEqual(self.read("publish", item, "json").item, {"a": [1, None]})
        self.assertEqual(self.read("finish", item, "json").result, {"a": [1, None]})
        self.assertEqual(self.read("put", b"1\x00\xff\x00", "bytes").item, b"\xff\x00")
        self.assertIsNone(self.read("publish", b"1", "json").item)

    def test_unreadable(self) -> None:
        """
        An item that cannot be read is an ItemError in its place, with feed and id.
        """
        item = self.read("publish", b"1\x00{no json", "json").item
        self.assertIsInstance(item, ItemError)
        self.assertEqual((item.feed, item.id), ("f", "1"))
        self.assertIn("DecodeError", str(item))

    @settings(deadline=None, derandomize=True)
    @given(st.sampled_from(sorted(KINDS)), st.binary(), st.sampled_from(["text", "bytes", "json"]))
    def test_anything(self, kind: str, payload: bytes, serializer: str) -> None:
        """
        Whatever comes is an event.
        """
        self.assertIsInstance(self.read(kind, payload, serializer), KINDS[kind].event)

    def test_shared(self) -> None:
        """
        Channels that are read alike are read once: the reader is the same one.
        """
        text = get_serializer("text")
        self.assertIs(reader(KINDS["edit"], "f", text), reader(KINDS["edit"], "f", text))
        self.assertIsNot(reader(KINDS["edit"], "f", text), reader(KINDS["edit"], "g", text))


class KindTests(SynchronousTestCase):
    """The kinds of messages."""

    def test_channels(self) -> None:
        """
        Each kind has a channel of its own.
        """
        keys = FeedKeys(b"f")
        kinds = [each for kind in KINDS.values() for each in (kind, kind.also) if each]
        channels = {decode(getattr(keys, kind.channel)) for kind in kinds}
        self.assertEqual(len(channels), len(kinds))
        self.assertEqual(
            channels,
            {
                *("newfeed", "conffeed", "delfeed"),
                *("feed.publish:f", "feed.edit:f", "feed.retract:f", "feed.position:f"),
                *("feed.publishes:f", "feed.claimed:f", "job.finish:f"),
                *("tx.feed.cancel:f", "tx.feed.release:f", "tx.feed.expire:f", "tx.feed.delay:f"),
                *("tx.feed.stall:f", "tx.feed.retry:f", "tx.feed.edit:f", "tx.feed.retract:f"),
                *("tx.feed.finish:f", "tx.feed.progress:f"),
            },
        )

    def test_events(self) -> None:
        """
        Events are values: compared by what they say, not to be changed, of use in sets.
        """
        event = Published("f", "1", "item")
        self.assertEqual(len({event, Published("f", "1", "item"), Edited("f", "1", "item")}), 2)
        with self.assertRaises(AttributeError):
            event.id = "2"  # type: ignore[misc]  # that is the point
        self.assertIsNone(event.revision)

    def test_older_names(self) -> None:
        """
        The older names lead to kinds, whose events have what their handlers get.
        """
        for kinds, attributes in OLDER.values():
            for kind in kinds:
                event: Any = KINDS[kind].event
                self.assertLessEqual(set(attributes), set(event.__struct_fields__))
