"""What really happened to each feed, heard on a connection that nothing is between.

Everything here is written once more, without the package's own code for it: a fault there must
not hide itself.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from txthoonk.events import Edited, Moved, Published, Retracted
from txthoonk.link import connect
from txthoonk.redis import RedisSubscriber

__all__ = ["Change", "FeedRecord", "Recorder", "change_of", "is_now"]

VERBS = {Published: "publish", Edited: "edit", Retracted: "retract", Moved: "position"}


class Change(NamedTuple):
    """An event, whoever tells it; *item* is its text, *position* None where there is none."""

    revision: int
    verb: str
    id: str
    item: str | None
    position: str | None


def change_of(event: Any, text: Any = str) -> Change:
    """An event that a handler got."""
    verb = VERBS[type(event)]
    item = text(event.item) if verb in ("publish", "edit") else None
    return Change(event.revision, verb, event.id, item, getattr(event, "position", None))


def is_now(ids: list[str], items: dict[str, str]) -> list[tuple[str, str]]:
    """Ids and items in order."""
    return [(id, items[id]) for id in ids]


class FeedRecord:
    """All revisions of one feed, and what each made of it.

    :param is_sorted: whether an edit leaves an item where it is.
    :param is_whole: whether nobody has to read the feed anew: then every change is told. What the
        peer does while nobody listens may else be known from such reading alone.
    """

    def __init__(self, name: str, is_sorted: bool, is_whole: bool) -> None:
        self.name = name
        self.is_whole = is_whole
        self.is_sorted = is_sorted
        #: By epoch and revision: the change, and what the feed was with it, if that is known.
        self.changes: dict[tuple[str, int], Change] = {}
        self.marks: dict[tuple[str, int], int] = {}
        #: All epochs, in order, and the last revision.
        self.epochs: list[str] = []
        self.last = ("", 0)
        self.ids: list[str] = []
        self.items: dict[str, str] = {}
        #: All ids that have been there since the record began.
        self.known: set[str] = set()
        #: Whether ``ids`` and ``items`` can be known from the changes alone.
        self.certain = is_whole
        self.deletes = 0
        self.counts: Counter[str] = Counter()
        #: What others are said to have done, since the last comparison.
        self.adopted: list[Change] = []
        #: What must not be.
        self.faults: list[str] = []
        self.mistaken: list[str] = []

    def begin(self, ids: list[str], items: dict[str, str]) -> None:
        """What is there when the record begins, or goes on."""
        self.ids, self.items, self.certain = list(ids), dict(items), self.is_whole
        self.known = set(ids)

    def deleted(self) -> None:
        """The feed was deleted; of what is there after, others may know from before."""
        self.deletes += 1
        self.ids, self.items, self.certain = [], {}, False

    def hear(self, payload: bytes) -> None:
        """A change went out."""
        head, position, rest = payload.decode().split("\0", 2)
        number, epoch, _, _, verb = head.split(" ")
        if verb == "begin":
            self.epochs.append(epoch)
            self.last = (epoch, 0)
            self.certain = False
            return
        revision = int(number)
        id, nul, item = rest.partition("\0")
        adopted = verb.endswith("+")
        change = Change(
            revision, verb.rstrip("+"), id, item if nul else None, position if position else None
        )
        known_epoch, known = self.last
        if (epoch, revision) in self.changes:
            self.faults.append(f"{self.name}: revision {revision} of {epoch} came twice")
        if epoch != known_epoch:
            if epoch in self.epochs or revision != 1:
                self.faults.append(f"{self.name}: {known_epoch} {known}, then {epoch} {revision}")
            self.epochs.append(epoch)
        elif revision != known + 1:
            self.faults.append(f"{self.name}: revision {revision} came after {known}")
        self.last = (epoch, revision)
        self.changes[self.last] = change
        self.counts["adopted" if adopted else "own"] += 1
        if adopted:
            self.adopted.append(change)
        if self.certain:
            before = list(self.ids), self.items.get(id)
            self.apply(change)
            # Who read the feed while it had an item that nobody had adopted yet knows of it, and
            # has to be told that it is gone.
            was_read = change.verb == "retract" and id not in self.known
            self.known.add(id)
            if adopted and not was_read and before == (self.ids, self.items.get(id)):
                self.mistaken.append(f"{self.name}: adopted what was there already: {change}")
            self.marks[self.last] = hash(tuple(is_now(self.ids, self.items)))

    def apply(self, change: Change) -> None:
        """Do it to ``ids`` and ``items``."""
        id, ids = change.id, self.ids
        if change.verb == "position" and id not in ids:
            return  # of an item of the peer's, which has no revision yet
        stays = self.is_sorted and change.verb == "edit" and id in ids
        if not stays and id in ids:
            ids.remove(id)
        if change.verb == "retract":
            self.items.pop(id, None)
            return
        if change.item is not None:
            self.items[id] = change.item
        if not stays:
            position = change.position or ":end"
            pivot = position.strip(":")
            if position == "begin:":
                ids.insert(0, id)
            elif position.startswith(":") and pivot in ids:
                ids.insert(ids.index(pivot), id)
            elif position.endswith(":") and pivot in ids:
                ids.insert(ids.index(pivot) + 1, id)
            else:  # also beside an item of the peer's, which has no revision yet
                ids.append(id)

    def forget(self) -> None:
        """All have been compared with what has been so far."""
        for kept in (self.changes, self.marks, self.adopted, self.faults, self.mistaken):
            kept.clear()
        self.counts.clear()
        del self.epochs[:-10]


class Recorder:
    """Hears all changes of all feeds."""

    def __init__(self) -> None:
        self.feeds: dict[str, FeedRecord] = {}
        self._redis: Any = None

    async def start(self, endpoint: Any) -> None:
        """Listen."""
        self._redis = redis = await connect(endpoint, RedisSubscriber)
        redis.messageReceived = self._deleted
        redis.patternMessageReceived = self._changed
        await redis.subscribe(b"delfeed")
        await redis.psubscribe(b"tx.feed.event:*")

    async def heard(self) -> None:
        """All that was published before has come."""
        await self._redis.ping()

    async def stop(self) -> None:
        """Listen no more."""
        if self._redis is not None:
            await self._redis.close()

    def _changed(self, _: bytes, channel: bytes, payload: bytes) -> None:
        feed = self.feeds.get(channel.decode().split(":", 2)[2])
        if feed is not None:
            feed.hear(payload)

    def _deleted(self, _: bytes, payload: bytes) -> None:
        feed = self.feeds.get(payload.decode().partition("\0")[0])
        if feed is not None:
            feed.deleted()
