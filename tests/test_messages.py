"""Messages to web clients, as they are made of events."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txthoonk import Edited, FeedDeleted, ItemError, Moved, Published, Resync, Retracted
from txthoonk.messages import deleted, encode_message, message_of, snapshot
from txthoonk.types.base import ItemId

AT = "gqll7vatq8-7-21i3v9"


class MessageTests(SynchronousTestCase):
    """Events as messages."""

    def test_kinds(self) -> None:
        """
        Each kind of event says what a client needs to follow it, and nothing else.
        """
        f: dict[str, Any] = {"feed": "f", "at": AT, "revision": 7, "id": "i"}
        cases: list[tuple[Any, dict[str, Any]]] = [
            (Published("f", "i", "x", 7), {"type": "publish", **f, "item": "x"}),
            (Published("f", "i", "x", 7, ":end"), {"type": "publish", **f, "item": "x"}),
            (
                Published("f", "i", "x", 7, "begin:"),
                {"type": "publish", **f, "item": "x", "position": "begin:"},
            ),
            (Edited("f", "i", {"a": 1}, 7), {"type": "edit", **f, "item": {"a": 1}}),
            (
                Edited("f", "i", "x", 7, ":end"),
                {"type": "edit", **f, "item": "x", "position": ":end"},
            ),
            (Retracted("f", "i", 7), {"type": "retract", **f}),
            (Moved("f", "i", ":3", 7), {"type": "move", **f, "position": ":3"}),
            (FeedDeleted("f"), {"type": "deleted", "feed": "f"}),
        ]
        for event, message in cases:
            self.assertEqual(message_of(event, AT), message)
        self.assertEqual(deleted("f"), {"type": "deleted", "feed": "f"})

    def test_no_message(self) -> None:
        """
        What has no message of its own is refused, rather than told by half.
        """
        self.assertRaises(TypeError, message_of, Resync("f", "trimmed", 7), AT)

    def test_broken_item(self) -> None:
        """
        An item that cannot be decoded is null; the feed goes on.
        """
        broken = ItemError("f", "i")
        self.assertIsNone(message_of(Published("f", "i", broken, 7), AT)["item"])
        state = snapshot("f", "feed", AT, 7, [("i", broken), ("j", "x")])
        self.assertEqual(state["items"], [["i", None], ["j", "x"]])

    def test_snapshot(self) -> None:
        """
        A state has all items in order, and the reason if events were lost before it.
        """
        state = {
            "type": "snapshot",
            "feed": "f",
            "kind": "sorted_feed",
            "at": AT,
            "revision": 7,
            "items": [["1", "a"], ["2", "b"]],
        }
        items = {"1": "a", "2": "b"}.items()
        self.assertEqual(snapshot("f", "sorted_feed", AT, 7, items), state)
        lost = snapshot("f", "sorted_feed", AT, 7, items, "trimmed")
        self.assertEqual(lost, {**state, "reason": "trimmed"})

    def test_encoded(self) -> None:
        """
        Any text of a feed can be told, bytes that are no UTF-8 too.
        """
        message = message_of(Published("f", b"\xff".decode("utf-8", "surrogateescape"), "ä", 7), AT)
        self.assertEqual(json.loads(encode_message(message)), message)
        self.assertEqual(encode_message({ItemId("a"): ItemId("7")}), b'{"a":"7"}')
        self.assertEqual(encode_message({"a": ["ä"]}), '{"a":["ä"]}'.encode())
        self.assertRaises(TypeError, encode_message, {"a": object()})
