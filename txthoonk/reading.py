"""Reading a feed with its revision: pages that fit together, and the events since a position."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from twisted.internet.defer import Deferred

from txthoonk._deferred import ignore
from txthoonk.changes import ADOPTED, Copy, Maker, SortedCopy, make_copy, read_head
from txthoonk.errors import FeedDoesNotExist, HistoryLost, ServerError, WrongFeedType
from txthoonk.events import Edited, Event, Moved, Published, Retracted
from txthoonk.keys import FeedKeys, decode, encode
from txthoonk.positions import SERVER, Position, pack_position, read_position
from txthoonk.scripts import Connection, script
from txthoonk.serializers import Serializer

__all__ = ["MOST", "NOT_FEEDS", "PAGE", "Reading", "Snapshot", "State", "server_id"]

#: Types that have no revisions.
NOT_FEEDS: Final = (b"queue", b"job")

#: How many items a page has, and how many events come with one.
PAGE: Final = 1000
MOST: Final = 1000

#: How often pages are read anew that do not fit together, before all is read at once.
TRIES: Final = 5
ALL: Final = 10**9


@dataclass(frozen=True)
class Snapshot:
    """A feed as of one revision.

    :ivar feed: its name.
    :ivar items: by id, in order.
    :ivar revision: the last one that made it so; 0 before the first.
    :ivar epoch: of the revision; empty before the first.
    :ivar token: for ``follow`` and ``history``: to go on from here.
    """

    feed: str
    items: dict[str, Any]
    revision: int
    epoch: str
    token: str = field(repr=False)

    @property
    def ids(self) -> list[str]:
        """All ids, in order."""
        return list(self.items)


class State:
    """What ``live/read`` answered."""

    __slots__ = (
        *("count", "digest", "epoch", "events", "items_there", "kind", "lost", "page"),
        *("proof", "publishes", "revision", "stored"),
    )

    def __init__(self, reply: list[Any]) -> None:
        self.stored: bytes = reply[0]
        self.kind: bytes = reply[1]
        self.epoch = decode(reply[2])
        self.revision = int(reply[3])
        self.digest = int(reply[4])
        self.publishes = int(reply[5]) if reply[5].isdigit() else 0
        self.count: int = reply[6]
        self.items_there: int = reply[7]
        self.lost = decode(reply[8])
        self.events: list[bytes] = reply[9]
        self.page: list[bytes | None] | None = reply[10]
        self.proof: bytes = reply[11]

    @property
    def exists(self) -> bool:
        """Whether there is such a feed."""
        return self.kind != b""

    @property
    def form(self) -> bytes:
        """What Redis has, or would have, its ids as."""
        if self.stored in (b"zset", b"list"):
            return self.stored
        return b"list" if self.kind == b"sorted_feed" else b"zset"

    def position(self, server: str = "") -> Position:
        """Where this is."""
        return Position(self.revision, self.epoch, self.digest, self.publishes, server)


class Reading:
    """Reads one feed or sorted feed.

    :param redis: where commands go.
    :param keys: of the feed.
    :param name: of the feed.
    :param serializer: for its items.
    """

    __slots__ = ("_keys", "_name", "_redis", "maker")

    def __init__(
        self, redis: Connection, keys: FeedKeys, name: str, serializer: Serializer
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._name = name
        self.maker = Maker(name, serializer)

    def read(
        self,
        at: Position | None = None,
        most: int = MOST,
        page: int = 0,
        behind: str = "",
        proof: int = 0,
    ) -> Deferred[State]:
        """One look at the feed.

        :param at: the events after this position are wanted.
        :param most: how many of them.
        :param page: how many items are wanted.
        :param behind: the id that comes before these.
        :param proof: which digest is wanted: 1, of a sorted feed's order; 2, of ids and items.
        """
        args = (*_place(at), b"%d" % most, b"%d" % page, encode(behind), b"%d" % proof)
        return script("live/read").bind(self._keys, self._name)(self._redis, args, State)

    def check(self, state: State) -> State:
        """Make sure that it is a feed, and one of a type that can be followed.

        :raises FeedDoesNotExist: if there is none.
        :raises WrongFeedType: if it is a queue or a job feed.
        """
        if not state.exists:
            raise FeedDoesNotExist(self._name)
        if state.kind in NOT_FEEDS:
            raise WrongFeedType(self._name, f"a {decode(state.kind)} has no revisions")
        return state

    def position(self, since: int | str | Snapshot, epoch: str | None = None) -> Position:
        """The position that a user means.

        :raises TypeError: ValueError: if it is none.
        """
        if isinstance(since, Snapshot):
            since = since.token
        if isinstance(since, str):
            return read_position(since)
        if isinstance(since, bool) or not isinstance(since, int):
            raise TypeError(f"a revision of feed {self._name!r} is a number, not {since!r}")
        if since < 0:
            raise ValueError(f"a revision of feed {self._name!r} is 0 or more, not {since}")
        return Position(since, epoch)

    # -- all items --------------------------------------------------------------------------

    async def snapshot(self) -> Snapshot:
        """All items as of one revision; see ``Feed.snapshot``."""
        copy, state = await self.load()
        token = pack_position(state.position(await server_id(self._redis)))
        return Snapshot(self._name, copy.in_order(), state.revision, state.epoch, token)

    async def load(self) -> tuple[Copy, State]:
        """A copy of all items, and the state that it is of."""
        for _ in range(TRIES):
            loaded = await self._load_pages()
            if loaded is not None:
                return loaded
        # It changes faster than pages come, or keeps no history: then in one piece.
        state = self.check(await self.read(page=ALL))
        copy = make_copy(state.form, self.maker.exact)
        self._append(copy, state.page or [])
        return copy, state

    async def _load_pages(self) -> tuple[Copy, State] | None:
        """The same page by page; None if what changed meanwhile is not known."""
        state = self.check(await self.read(page=PAGE))
        copy = make_copy(state.form, self.maker.exact)
        more, behind = self._append(copy, state.page or [])
        while more:
            at = state.position()
            state = self.check(await self.read(at, page=PAGE, behind=behind))
            if state.lost or state.revision != at.revision + len(state.events):
                return None
            fits, publishes = state.page is not None, at.publishes
            for change in state.events:
                fitting = self._follow_up(copy, change, behind)
                if fitting is None:
                    return None
                if not fitting:
                    fits, behind = False, _last(copy)
                if not self.maker.exact:
                    id, nul, data = change.split(b"\x00", 2)[2].partition(b"\x00")
                    if nul:
                        copy.raw[decode(id)] = data
                head = read_head(change)
                publishes += head.publishes > 0 and not head.verb.endswith(ADOPTED)
            if publishes != state.publishes:
                return None  # others have published
            if fits:
                if any(decode(id or b"") in copy.items for id in (state.page or [])[::2]):
                    return None  # others have moved it
                more, behind = self._append(copy, state.page or [])
            elif not state.events:
                return None  # nobody says why the item before the page has gone
        if not self.maker.exact:
            copy.raw = {id: copy.raw[id] for id in copy.items if id in copy.raw}
        fits = len(copy.items) == min(state.count, state.items_there)
        return (copy, state) if fits else None

    def _follow_up(self, copy: Copy, change: bytes, last: str) -> bool | None:
        """Do a change to the first part of a feed: see the function of that name."""
        event: Any = self.maker.event(change)
        if not self.maker.exact and isinstance(event, (Published, Edited)):
            copy.raw[event.id] = change.split(b"\x00", 3)[3]
        return _follow_up(copy, event, last)

    def _append(self, copy: Copy, page: list[bytes | None]) -> tuple[bool, str]:
        """Add a page to a copy; says whether there may be more, and behind which id."""
        make = self.maker.item
        items: dict[str, Any] = {}
        for i in range(0, len(page), 2):
            id, data = page[i], page[i + 1]
            if id is not None and data is not None:
                name = decode(id)
                items[name] = make(data, name)
                if not self.maker.exact:
                    copy.raw[name] = data
        copy.extend(items)
        return len(page) == 2 * PAGE, decode(page[-2] or b"") if page else ""

    # -- events -----------------------------------------------------------------------------

    async def history(self, at: Position) -> list[Event]:
        """The events since a position; see ``Feed.history``."""
        state, changes = await self.changes(at)
        self.check(state)
        if state.lost:
            raise HistoryLost(self._name, state.lost)
        return self.maker.events(changes)

    async def latest(self, most: int) -> list[tuple[Event, Position]]:
        """The last events that follow each other, the oldest first, with where each leads to.

        :param most: how many of them.
        """
        newest = await self._redis.execute("XREVRANGE", self._keys.history, "+", "-", "COUNT", most)
        found: list[tuple[Event, Position]] = []
        for _, fields in newest:
            head = read_head(fields[1])
            after = found[-1][1] if found else None
            epoch = decode(head.epoch)
            if after and (head.revision, epoch) != (after.revision - 1, after.epoch):
                break
            place = Position(head.revision, epoch, int(head.digest), head.publishes)
            found.append((self.maker.event(fields[1]), place))
        return found[::-1]

    async def changes(self, at: Position, proof: int = 0) -> tuple[State, list[bytes]]:
        """A look at the feed, with all changes since a position, however many.

        Where they are not known, the state says why in ``lost``.
        """
        state = await self.read(at, proof=proof)
        changes = state.events
        if state.lost == "unproved":
            same = at.server and at.server == await server_id(self._redis)
            state.lost = "" if same else "unproved"
        known = at.revision + len(changes)
        if changes and not state.lost and read_head(changes[-1]).revision != known:
            state.lost = "trimmed"
        if not state.lost and known < state.revision:
            await self._read_on(state, known)
        if changes and not state.lost and not self._follow_each_other(at, state, changes):
            state.lost = "trimmed"
        return state, changes

    async def _read_on(self, state: State, known: int) -> None:
        """Read the changes behind those that came with the state: one page while another comes."""
        starts = iter(range(known + 1, state.revision + 1, MOST))

        def ask() -> Deferred[Any] | None:
            start = next(starts, 0)
            if not start:
                return None
            end = min(start + MOST - 1, state.revision)
            args = ("XRANGE", self._keys.history, f"{start}-0", f"{end}-0")
            return self._redis.execute(*args)

        page, coming, changes = ask(), ask(), state.events
        while page is not None:
            entries = await page
            page, coming = coming, ask()
            changes += [fields[1] for _, fields in entries]
            known = min(known + MOST, state.revision)
            if not entries or read_head(changes[-1]).revision != known:
                state.lost = "trimmed"
                if page is not None:
                    page.addErrback(ignore)
                if coming is not None:
                    coming.addErrback(ignore)
                return

    @staticmethod
    def _follow_each_other(at: Position, state: State, changes: list[bytes]) -> bool:
        """Whether the changes are those of a history without holes."""
        first, last = read_head(changes[0]), read_head(changes[-1])
        return (
            first.revision == at.revision + 1
            and last.revision == state.revision == at.revision + len(changes)
            and first.epoch == last.epoch == encode(state.epoch)
        )


def _place(at: Position | None) -> tuple[bytes, bytes, bytes]:
    if at is None:
        return b"", b"", b""
    epoch = b"*" if at.epoch is None else encode(at.epoch)
    return epoch, b"%d" % at.revision, b"" if at.digest is None else b"%d" % at.digest


def _last(copy: Copy) -> str:
    ids = copy.ids if isinstance(copy, SortedCopy) else copy.items
    return next(reversed(ids), "")


def _follow_up(copy: Copy, event: Any, last: str) -> bool | None:
    """Do to the first part of a feed what was done to the feed.

    :param last: of the part, when the page behind it was read.
    :returns: whether that page still follows it; None if the part cannot be known any more.
    """
    id, kind = event.id, type(event)
    if kind is Retracted:
        copy.apply(event)
        return bool(id != last)
    position = event.position
    is_list = isinstance(copy, SortedCopy)
    if kind is Edited and is_list:
        if id in copy.items:
            copy.apply(event)
        return True
    behind = position[:-1] if position and position.endswith(":") else None
    before = position[1:] if position and position.startswith(":") else None
    inside = (
        position == "begin:" or (behind in copy.items and behind != last) or before in copy.items
    )
    if not inside:  # it is in a page to come
        copy.apply(Retracted(event.feed, id))
    elif kind is Moved and id not in copy.items:
        return None  # its item is in a page to come
    else:
        copy.apply(event)
    return bool(id != last)


async def server_id(redis: Connection) -> str:
    """The replication id of the server: another one after a restart or a failover."""
    try:
        info: bytes = await redis.execute("INFO", "replication")
    except ServerError:
        return ""  # it is not for everybody: then every restart is one that shows nothing
    found = (line for line in info.splitlines() if line.startswith(b"master_replid:"))
    return decode(next(found, b"").partition(b":")[2])[:SERVER]
