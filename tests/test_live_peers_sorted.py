"""REPORT 4.4: a sorted feed that ours and the real thoonk.py change in turn."""

from __future__ import annotations

import os
import random
from typing import Any

from tests.peers.process import LivePeerCase, PeerRaised
from txthoonk.errors import ItemDoesNotExist

TURNS = 120


class SortedFeedTests(LivePeerCase):
    """What both read after each change, beside a list that is changed the same way."""

    async def setUp(self) -> None:
        await super().setUp()
        self.name = self.feed_name()
        self.feed = await self.thoonk.sorted_feed(self.name)
        self.peer_ = await self.peer(listen=True)
        seed = os.environ.get("TXTHOONK_SEED") or str(random.randrange(10**6))
        self.random = random.Random(seed)
        self.order: list[str] = []
        self.items: dict[str, str] = {}
        self.told: list[list[Any]] = []
        self.seed = seed

    async def call(self, verb: str, *args: str) -> Any:
        """One of the two does it."""
        if self.random.random() < 0.5:
            return await getattr(self.feed, verb)(*args)
        return await self.peer_.of("sorted_feed", self.name, verb, *args)

    def place(self, id: str, position: str) -> None:
        """Give an id its place."""
        if id in self.order:
            self.order.remove(id)
        if position in ("begin:", ":end"):
            self.order.insert(0 if position == "begin:" else len(self.order), id)
        else:
            self.order.insert(self.order.index(position.strip(":")) + position.endswith(":"), id)
        self.told.append(["position", self.name, id, position])

    async def turn(self, number: int) -> None:
        """One change."""
        item = f"item {number}"
        some = self.random.sample(self.order, min(2, len(self.order)))
        verbs = ["append", "publish", "prepend"]
        if len(some) == 2:
            verbs += ["publish_before", "publish_after", "edit", "retract"]
            verbs += ["move_before", "move_after", "move_first", "move_last", "move"]
        verb = self.random.choice(verbs)
        if verb in ("append", "publish", "prepend", "publish_before", "publish_after"):
            beside = some[:1] if "_" in verb else []
            position = {"prepend": "begin:", "append": ":end", "publish": ":end"}.get(verb)
            if position is None:
                position = f":{some[0]}" if verb == "publish_before" else f"{some[0]}:"
            id = str(await self.call(verb, *beside, item))
            self.assertNotIn(id, self.items)
            self.items[id] = item
            self.told.append(["publish", self.name, item, id])
            self.place(id, position)
        elif verb == "edit":
            await self.call(verb, some[0], item)
            self.items[some[0]] = item
            self.told.append(["publish", self.name, item, some[0]])
        elif verb == "retract":
            await self.call(verb, some[0])
            self.order.remove(some[0])
            del self.items[some[0]]
            self.told.append(["retract", self.name, some[0]])
        elif verb in ("move_before", "move_after"):
            await self.call(verb, *some)
            self.place(some[1], f":{some[0]}" if verb == "move_before" else f"{some[0]}:")
        elif verb == "move":
            position = self.random.choice([f":{some[0]}", f"{some[0]}:", "begin:", ":end"])
            await self.call(verb, position, some[1])
            self.place(some[1], position)
        else:
            await self.call(verb, some[0])
            self.place(some[0], "begin:" if verb == "move_first" else ":end")

    async def test_in_turn(self) -> None:
        """
        Each verb, by ours or by thoonk.py as the dice have it: the same list is read by both, no
        id comes twice, thoonk.py's listener is told each change, and who follows has the list.
        """
        live = await self.thoonk.follow(self.name, lambda event: None)
        for number in range(TURNS):
            await self.turn(number)
            why = f"TXTHOONK_SEED={self.seed}, turn {number}"
            theirs = await self.peer_.of("sorted_feed", self.name, "get_ids")
            self.assertEqual(theirs, self.order, why)
            self.assertEqual(list((await self.feed.get_all()).items()), self.listed(), why)
        items = await self.peer_.of("sorted_feed", self.name, "get_items")
        self.assertEqual(dict(items), self.items)
        self.assertEqual(await self.hears(self.peer_), self.told)
        await self.settle()
        await live.verify()
        self.assertEqual(list(live.items.items()), self.listed())

    def listed(self) -> list[tuple[str, str]]:
        """Ids and items in order."""
        return [(id, self.items[id]) for id in self.order]

    async def test_missing(self) -> None:
        """
        Beside an item that is not there: thoonk.py uses up an id and tells it, ours refuses and
        uses none. Nothing is written by either.
        """
        await self.feed.append("x")
        self.assertEqual(
            await self.peer_.of("sorted_feed", self.name, "publish_after", "9", "y"), 2
        )
        await self.refused(self.feed.publish_after("9", "y"), ItemDoesNotExist, self.name, id="9")
        self.assertEqual(await self.feed.get_all(), {"1": "x"})
        self.assertEqual(await self.feed.append("z"), "3")
        failure = await self.assertFailure(
            self.peer_.of("sorted_feed", self.name, "move", "9", "1"), PeerRaised
        )
        self.assertEqual(failure.kind, "ValueError")
