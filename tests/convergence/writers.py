"""Who changes the feeds: programs of ours, and one that only knows the contract."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from tests.convergence.peer import Peer
from tests.convergence.record import FeedRecord
from txthoonk import Conflict, FeedDoesNotExist, FeedExists, ItemDoesNotExist, Thoonk
from txthoonk.keys import FeedKeys

__all__ = ["OurWriter", "PeerWriter", "Shelf"]

#: More changes than come between two comparisons.
ENOUGH: Final = 5000


@dataclass
class Shelf:
    """A feed or sorted feed that is written to.

    :ivar history: how many changes are kept, if that may be too few; else all that come are.
    :ivar mortal: whether it is deleted and created again.
    :ivar clock: ``ms``; ``s`` if ours and the peer write seconds; ``mixed`` if the peer alone does.
    :ivar peers: whether the peer writes there, too.
    """

    name: str
    is_sorted: bool = False
    max_length: int | None = None
    history: int | None = None
    mortal: bool = False
    clock: str = "ms"
    peers: bool = True
    record: FeedRecord = field(init=False)

    def __post_init__(self) -> None:
        self.record = FeedRecord(
            self.name, self.is_sorted, self.history is None and not self.mortal
        )

    @property
    def keys(self) -> FeedKeys:
        """Its keys."""
        return FeedKeys(self.name.encode())

    @property
    def kept(self) -> int:
        """How many changes its history keeps."""
        return self.history or ENOUGH

    @property
    def options(self) -> dict[str, Any]:
        """As our handles take them."""
        options: dict[str, Any] = {"history": self.kept}
        if self.clock == "s":
            options["clock"] = "s"
        if self.max_length is not None:
            options["max_length"] = self.max_length
        return options


class _Writer:
    """Chooses what to do.

    :ivar done: how often what was done.
    """

    def __init__(self, name: str, choose: random.Random) -> None:
        self.name = name
        self.choose = choose
        self.number = 0
        self.done: Counter[str] = Counter()

    def item(self) -> str:
        """An item like no other, as JSON."""
        self.number += 1
        size = 0 if self.choose.random() < 0.95 else self.choose.randrange(3000)
        return json.dumps([self.name, self.number, "é" * size])

    def old(self, shelf: Shelf) -> str:
        """The id of some item, most likely one that is there."""
        ids = shelf.record.ids
        return self.choose.choice(ids) if ids else "1"

    def id(self, shelf: Shelf) -> str:
        """An id to publish under: seldom of an item that is there."""
        if self.choose.random() < 0.2:
            return self.old(shelf)
        return f"{self.name}{self.choose.randrange(100_000)}"

    def position(self, shelf: Shelf, id: str) -> str:
        """A place for an item."""
        pivot = self.old(shelf)
        if pivot == id or self.choose.random() < 0.2:
            return self.choose.choice(("begin:", ":end"))
        return self.choose.choice((f":{pivot}", f"{pivot}:"))

    def verb(self, shelf: Shelf) -> str:
        """What to do with a feed; a sorted one is kept from growing."""
        if shelf.mortal and self.choose.random() < 0.02:
            return "delete"
        if not shelf.is_sorted:
            return self.choose.choices(("publish", "retract"), (4, 1))[0]
        weights = (2, 1, 2, 3, 4, 2 if len(shelf.record.ids) < 30 else 6)
        verbs = ("append", "prepend", "insert", "edit", "move", "retract")
        return self.choose.choices(verbs, weights)[0]

    def may(self, shelf: Shelf) -> bool:
        """Whether this one writes there."""
        return True

    async def stop(self) -> None:
        """Leave Redis."""
        raise NotImplementedError

    async def step(self, shelf: Shelf) -> None:
        """Change a feed."""
        verb = self.verb(shelf)
        self.done[verb] += 1
        await self.do(verb, shelf)

    async def do(self, verb: str, shelf: Shelf) -> None:
        """One of the verbs."""
        raise NotImplementedError


class OurWriter(_Writer):
    """A program of ours."""

    def __init__(self, name: str, choose: random.Random, thoonk: Thoonk) -> None:
        super().__init__(name, choose)
        self.thoonk = thoonk
        self._handles: dict[str, Any] = {}

    async def stop(self) -> None:
        await self.thoonk.stopService()

    def handle(self, shelf: Shelf) -> Any:
        """A handle that has been made, whatever became of the feed since."""
        handle = self._handles.get(shelf.name)
        if handle is None:
            make = self.thoonk.sorted_feed if shelf.is_sorted else self.thoonk.feed
            handle = self._handles[shelf.name] = make(shelf.name, **shelf.options)
        return handle

    async def do(self, verb: str, shelf: Shelf) -> None:
        """One of the verbs; some on a condition that may not hold."""
        handle, id, item = self.handle(shelf), self.old(shelf), self.item()
        last = shelf.record.last[1] if self.choose.random() < 0.1 else None
        condition = {} if last is None else {"if_revision": last}
        try:
            if verb == "delete":
                await handle.delete()
            elif verb == "publish":
                await handle.publish(item, self.id(shelf), **condition)
            elif verb == "append":
                await handle.append(item, **condition)
            elif verb == "prepend":
                await handle.prepend(item, **condition)
            elif verb == "insert":
                beside = self.choose.choice((handle.publish_before, handle.publish_after))
                await beside(id, item, **condition)
            elif verb == "edit":
                await handle.edit(id, item, **condition)
            elif verb == "move":
                await handle.move(self.position(shelf, id), id, **condition)
            else:
                await handle.retract(id, **condition)
        except Conflict:
            self.done["refused"] += 1
        except ItemDoesNotExist:
            self.done["missing"] += 1
        except FeedDoesNotExist:
            await self.create(shelf)

    async def create(self, shelf: Shelf) -> None:
        """Create a feed that was deleted."""
        try:
            kind = "sorted_feed" if shelf.is_sorted else "feed"
            await self.thoonk.create_feed(shelf.name, {"type": kind, **shelf.options})
            self.done["create"] += 1
        except FeedExists:
            pass


class PeerWriter(_Writer):
    """Another program; as thoonk.py most of the time, else as thoonk.js."""

    def __init__(self, name: str, choose: random.Random, peer: Peer) -> None:
        super().__init__(name, choose)
        self.peer = peer

    def may(self, shelf: Shelf) -> bool:
        return shelf.peers

    async def stop(self) -> None:
        await self.peer.redis.close()

    async def do(self, verb: str, shelf: Shelf) -> None:
        """One of the verbs."""
        peer, keys, id, item = self.peer, shelf.keys, self.old(shelf), self.item()
        js = self.choose.random() < 0.3
        if shelf.mortal and self.choose.random() < 0.1:
            options = {name: str(value) for name, value in shelf.options.items()}
            kind = "sorted_feed" if shelf.is_sorted else "feed"
            await peer.create(keys, type=kind, **options)
        if verb == "delete":
            await peer.delete(keys)
        elif verb == "publish":
            await peer.publish(keys, self.id(shelf), item, js or shelf.clock == "ms")
        elif verb in ("append", "prepend"):
            await peer.push(keys, item, verb == "prepend")
        elif verb == "insert":
            await peer.insert(keys, id, item, self.choose.random() < 0.5)
        elif verb == "edit":
            await peer.edit(keys, id, item, js)
        elif verb == "move":
            await peer.move(keys, id, self.position(shelf, id))
        elif shelf.is_sorted:
            await peer.take_out(keys, id)
        else:
            await peer.retract(keys, id, js)
