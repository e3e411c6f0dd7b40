"""``thoonk-live.js`` by itself: its size, and what it makes of the events of a feed."""

from __future__ import annotations

import random
from typing import Any

from tests.live_js_helpers import BrowserCase
from txthoonk.changes import Copy, SortedCopy
from txthoonk.events import Edited, Moved, Published, Retracted
from txthoonk.messages import message_of, snapshot

IDS = ["1", "2", "3", "a:b", ":", "4:", ":4", "end", ""]
POSITIONS = [None, "begin:", ":end", *(f"{id}:" for id in IDS), *(f":{id}" for id in IDS), "9:"]


def some_event(rng: random.Random, feed: str, revision: int) -> Any:
    """Any event there might be."""
    kind = rng.choice([Published, Edited, Retracted, Moved])
    id, position = rng.choice(IDS), rng.choice(POSITIONS)
    if kind is Retracted:
        return Retracted(feed, id, revision)
    if kind is Moved:
        return Moved(feed, id, position or ":end", revision)
    return kind(feed, id, f"item {revision}", revision, position)


#: A server that says what it is told to, once the page has asked for a feed.
SCRIPTED = """
(() => {
    class Scripted {
        constructor() { setTimeout(() => this.onopen()); globalThis.socket = this; }
        send(text) {
            const { subscribe, ref } = JSON.parse(text);
            if (subscribe) this.say({ type: "done", ref });
        }
        say(message) { this.onmessage({ data: JSON.stringify(message), lastEventId: "" }); }
        close() {}
    }
    globalThis.live = page("http://localhost/live", { WebSocket: Scripted });
})()
"""


class OrderTests(BrowserCase):
    """The copy, against that of Python."""

    async def setUp(self) -> None:
        await super().setUp()
        await self.js(SCRIPTED)

    async def same(self, copy: Any, kind: str, seed: int) -> None:
        """Whatever happens to a feed, both copies are the same after each event."""
        rng = random.Random(seed)
        feed = f"{kind}-{seed}"
        events = [some_event(rng, feed, revision) for revision in range(2, 200)]
        messages = [snapshot(feed, kind, "x-1-0", 1, [])]
        messages += [message_of(event, f"x-{event.revision}-0") for event in events]
        seen = await self.js(
            """
            (() => {
                const feed = live.feed($feed);
                return $messages.map((m) => (socket.say(m), [...feed]));
            })()
            """,
            feed=feed,
            messages=messages,
        )
        self.assertEqual(seen[0], [])
        for event, items in zip(events, seen[1:], strict=True):
            copy.apply(event)
            self.assertEqual([(id, copy.items[id]) for id in copy.ids], [(a, b) for a, b in items])

    async def test_feed(self) -> None:
        """
        A feed: what is published or edited goes to the end, or where the event says.
        """
        for seed in range(20):
            await self.same(Copy(), "feed", seed)

    async def test_sorted_feed(self) -> None:
        """
        A sorted feed: what is edited stays where it is, and what is moved moves.
        """
        for seed in range(20):
            await self.same(SortedCopy(), "sorted_feed", seed)
