"""``thoonk-live.js`` by itself: what it makes of the events of a feed, and of patterns."""

from __future__ import annotations

import json
import random
from typing import Any

from tests.live_js_helpers import BrowserCase
from txthoonk.changes import Copy, SortedCopy
from txthoonk.events import Edited, Moved, Published, Retracted
from txthoonk.globs import compile_glob
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
        readyState = 1;
        constructor() {
            setTimeout(() => this.readyState == 1 && this.onopen());
            globalThis.socket = this;
        }
        send(text) {
            const { subscribe, ref } = JSON.parse(text);
            if (!subscribe) return;
            this.sent = text;
            this.say({ type: "done", ref });
        }
        say(message) { this.onmessage({ data: JSON.stringify(message), lastEventId: "" }); }
        close() { this.readyState = 3; }
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

    async def test_seen_before(self) -> None:
        """
        What comes again is no news; after a state of another epoch anything is.
        """
        f: dict[str, Any] = {"feed": "f"}
        messages = [
            {"type": "publish", **f, "at": "x-4-0", "revision": 4, "id": "0", "item": "early"},
            snapshot("f", "feed", "x-5-0", 5, [("1", "a")]),
            {"type": "publish", **f, "at": "x-5-0", "revision": 5, "id": "1", "item": "again"},
            {"type": "publish", **f, "at": "x-6-0", "revision": 6, "id": "2", "item": "b"},
            {"type": "retract", **f, "at": "x-6-0", "revision": 6, "id": "2"},
            {"type": "publish", **f, "at": "xy-1-0", "revision": 1, "id": "3", "item": "other"},
            {"type": "deleted", **f},
            {"type": "publish", **f, "at": "y-2-0", "revision": 2, "id": "1", "item": "early"},
            snapshot("f", "sorted_feed", "y-2-0", 2, []),
        ]
        seen = await self.js(
            """
            (() => {
                const feed = live.feed("f");
                return $messages.map((m) => (socket.say(m), [feed.at, feed.ids]));
            })()
            """,
            messages=messages,
        )
        wanted = [
            [None, []],
            *[["x-5-0", ["1"]]] * 2,
            *[["x-6-0", ["1", "2"]]] * 2,
            ["xy-1-0", ["1", "2", "3"]],
            *[[None, []]] * 2,
            ["y-2-0", []],
        ]
        self.assertEqual(seen, wanted)

    async def test_very_many(self) -> None:
        """
        A page with so many feeds that not all their places fit into a message takes no minute to
        read them, and comes back with those places that do fit.
        """
        code = """
            (() => {
                const all = live.pattern("team:a:*");
                const at = "x".repeat(10) + "-zz-" + "y".repeat(9);
                const told = { type: "snapshot", kind: "feed", at, revision: 9, items: [] };
                for (let i = 0; i < 20000; i++)
                    socket.say({ ...told, feed: `team:a:${"n".repeat(50)}${i}` });
                globalThis.first = socket;
                socket.since = 1;
                socket.onclose({});
                return all.feeds.size;
            })()
        """
        self.assertEqual(await self.js(code), 20000)
        await self.until_js("socket != first && socket.sent")
        sent = await self.js("socket.sent")
        places = json.loads(sent)["subscribe"]["patterns"]["team:a:*"]
        self.assertLess(len(sent), 1_000_000)
        self.assertGreater(len(places), 5000)

    async def test_callbacks(self) -> None:
        """
        A callback is called now, once for what happens together, and never after it was ended;
        one that fails keeps nobody else from being called.
        """
        code = """
            (async () => {
                const feed = live.feed("g"), calls = [], others = [];
                const state = {type: "snapshot", feed: "g", kind: "feed", revision: 1, items: []};
                feed.onchange(() => { throw new Error("a bad one"); });
                const end = feed.onchange((f, events) => calls.push([f === feed, events.length]));
                process.once("uncaughtException", ({ message }) => others.push(message));
                await new Promise((done) => setTimeout(done, 50));
                process.once("uncaughtException", ({ message }) => others.push(message));
                for (let i = 1; i < 4; i++) socket.say({...state, at: `x-${i}-0`, revision: i});
                await new Promise((done) => setTimeout(done, 50));
                process.once("uncaughtException", ({ message }) => others.push(message));
                end();
                socket.say({...state, at: "x-4-0", revision: 4});
                await new Promise((done) => setTimeout(done, 50));
                return [calls, others];
            })()
        """
        self.assertEqual(await self.js(code), [[[True, 0], [True, 3]], ["a bad one"] * 3])


class PatternTests(BrowserCase):
    """Patterns, against those of Redis."""

    async def test_globs(self) -> None:
        """
        The page matches names as Redis does: stars, question marks, sets, and what is escaped.
        """
        await self.js(SCRIPTED)
        rng = random.Random(7)
        special = ["*", "?", "[ab]", "[^ab]", "[a-c1]", r"\*", r"\?", r"\[", r"\\", "**"]
        plain = ["a", "b", "c", ":", ".", "+", "(", ")", "|", "$", "^", "-", "]", "{1}", "\n", "1"]
        globs = ["".join(rng.choices([*special, *plain], k=rng.randrange(5))) for _ in range(1500)]
        alphabet = [*"abc:.+()|$^-]{1}*?[", "\\", "\n"]
        names = ["".join(rng.choices(alphabet, k=rng.randrange(5))) for _ in range(150)]
        found = await self.js(
            "$globs.map((g) => $names.filter((name) => live.pattern(g)._glob.test(name)))",
            globs=globs,
            names=names,
        )
        for glob, matched in zip(globs, found, strict=True):
            matches = compile_glob(glob.encode()).fullmatch
            self.assertEqual(matched, [n for n in names if matches(n.encode())], glob)
        self.assertGreater(sum(map(len, found)), 1000)


class FallbackTests(BrowserCase):
    """Where no WebSocket can be had."""

    async def test_waits(self) -> None:
        """
        Attempts become rarer, by chance, and each time the page can say how long it waits.
        """
        code = """
            (globalThis.live = page("http://127.0.0.1:1/live", {transport: "websocket"}), null)
        """
        await self.js(code)
        await self.until_js(
            "live.told.states.filter(({ state }) => state == 'offline').length == 3"
        )
        states = await self.js("live.told.states")
        self.assertEqual([s["state"] for s in states], ["connecting", "offline"] * 3)
        waits = [state["seconds"] for state in states if state["state"] == "offline"]
        for wait, most in zip(waits, (1, 2, 4), strict=True):
            self.assertTrue(0 <= wait < most, waits)
        await self.js("live.close()")
