"""What has changed since a user looked: revisions that an action carries, compared with feeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import CancelledError, maybeDeferred
from twisted.logger import Logger

from txthoonk.actions.answers import Refused
from txthoonk.changes import read_head
from txthoonk.errors import Conflict, FeedDoesNotExist, ItemDoesNotExist, ThoonkError
from txthoonk.keys import decode, encode
from txthoonk.messages import encode_message, message_of
from txthoonk.positions import Position, pack_place, read_place
from txthoonk.reading import NOT_FEEDS, Reading, State
from txthoonk.serializers import Serializer

if TYPE_CHECKING:
    from txthoonk.actions.declaring import Declared
    from txthoonk.service import Thoonk

__all__ = ["Seen", "conflict_answer", "look"]

#: How many events of a feed a conflict tells, and how many bytes of them.
EVENTS: Final = 100
BYTES: Final = 64 * 1024

_log = Logger()

_TEXT: Final = "this has changed meanwhile"


@dataclass(frozen=True)
class Seen:
    """A feed that a user saw as it still is.

    :ivar kind: ``feed`` or ``sorted_feed``; empty where there is no such feed.
    """

    name: str
    kind: str
    revision: int
    epoch: str


async def look(
    declared: Declared, thoonk: Thoonk, user: Any, revisions: Mapping[str, str]
) -> list[Seen]:
    """Compare the places that a user saw with the feeds.

    :param revisions: as they were read: names of feeds, and places.
    :returns: the feeds, if none has changed.
    :raises Refused: 409 with what has changed; 403 if the user may not see a feed; 422 if a feed
        has no revisions.
    """
    seen, changed = [], {}
    for name, place in revisions.items():
        at = read_place(place)
        if declared.may_read is not None and not await _may_read(declared, user, name):
            raise Refused(403, f"you may not see {name}")
        reading = _reading(thoonk, name, declared.serializer)
        state = await reading.read(at, most=EVENTS + 1)
        if state.kind in NOT_FEEDS:
            raise Refused(422, f"{name} has no revisions", path=f"$.revisions.{name}")
        if _is_same(at, state):
            seen.append(Seen(name, decode(state.kind), state.revision, state.epoch))
        else:
            changed[name] = _told(reading, at, state, declared.may_read is not None)
    if changed:
        raise Refused(409, _TEXT, changed=changed)
    return seen


async def conflict_answer(
    declared: Declared, thoonk: Thoonk, user: Any, revisions: Mapping[str, str], conflict: Conflict
) -> Refused:
    """The answer to a conflict that came up while an action was done."""
    names = {conflict.feed, *revisions}
    changed = {}
    for name in sorted(names):
        at = read_place(revisions[name]) if name in revisions else None
        may = declared.may_read is not None and await _may_read(declared, user, name)
        reading = _reading(thoonk, name, declared.serializer)
        state = await reading.read(at, most=EVENTS + 1)
        if name == conflict.feed or at is None or not _is_same(at, state):
            changed[name] = _told(reading, at, state, may)
    return Refused(409, _TEXT, changed=changed)


async def _may_read(declared: Declared, user: Any, name: str) -> bool:
    """Ask; what fails has not said yes, as with rules."""
    assert declared.may_read is not None
    try:
        return await maybeDeferred(declared.may_read, user, name) is True
    except (FeedDoesNotExist, ItemDoesNotExist):
        return False
    except (ThoonkError, CancelledError):
        raise
    except Exception:
        _log.failure("may_read failed for {feed!r}", feed=name)
        return False


def _reading(thoonk: Thoonk, name: str, serializer: Serializer) -> Reading:
    keys = thoonk.dialect.keys("feed", encode(name), thoonk.db)
    return Reading(thoonk.redis, keys, name, serializer)


def _is_same(at: Position, state: State) -> bool:
    if (state.revision, state.epoch) != (at.revision, at.epoch or ""):
        return False
    return at.digest is None or at.revision == 0 or at.digest == state.digest


def _told(reading: Reading, at: Position | None, state: State, may: bool) -> dict[str, Any]:
    """Where a feed is now, and the events since, where they are known and not too many."""
    changes = state.events
    events: list[Any] | None = None
    known = at is not None and not state.lost and state.revision == at.revision + len(changes)
    if may and known and len(changes) <= EVENTS:
        events = []
        for change in changes:
            head = read_head(change)
            place = Position(head.revision, decode(head.epoch), int(head.digest))
            events.append(message_of(reading.maker.event(change), pack_place(place)))
        if len(encode_message(events)) > BYTES:
            events = None
    return {"at": pack_place(state.position()), "events": events}
