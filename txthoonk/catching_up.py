"""What a follower does when it may have missed something.

After every break of the connection, and where a revision is missing, what is missing is read from
the history. What the history does not tell is read anew, and the handler is told so by ``Resync``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from twisted.python.failure import Failure

from txthoonk.changes import ADOPTED, Copy, Head, make_copy
from txthoonk.errors import (
    FeedDoesNotExist,
    OutOfMemory,
    PermissionDenied,
    ReadOnly,
    WrongFeedType,
)
from txthoonk.events import FeedDeleted, Resync
from txthoonk.hearing import NOWHERE
from txthoonk.keys import decode, encode
from txthoonk.reading import NOT_FEEDS, Reading, State
from txthoonk.scripts import script
from txthoonk.working import Working

__all__ = ["ITEM", "PROVED", "CatchingUp"]

#: What an item of a copy that waits for the handler costs: about.
ITEM: Final = 250
#: How many items a feed may have whose digest is compared whenever it is looked at.
PROVED: Final = 20_000

#: Events that are made together.
PART: Final = 100


class CatchingUp(Working):
    """One feed, one handler; see :class:`~txthoonk.working.Working`."""

    __slots__ = ()

    async def _catch_up(self) -> None:
        """Read what was missed."""
        if not self._has_copy or self._gone:
            await self._read_anew("deleted" if self._gone else "")
            return
        self._begin_to_read()
        at = self.position(told=False, server=self._server)
        # Those of very many would hold Redis up: that is left to verify().
        small = self._foreign and len(self.copy.items) <= PROVED
        was_cut, self._was_cut = self._was_cut, False
        try:
            state, changes = await self._reading().changes(at, small * (1 + was_cut))
        except BaseException:
            self._was_cut = True
            raise
        if self.stopped:
            return
        if not state.exists or state.kind in NOT_FEEDS:
            await self._vanish(state, state.kind in NOT_FEEDS)
            return
        deleted, self._deleted = self._deleted, False
        if state.lost:
            await self._read_anew(state.lost)
        else:
            self._seen = True
            self._reshape(state)
            await self._take(changes)
            doubtful = state.publishes != self._publishes
            differs = self._differs(state, whole=was_cut)
            if deleted and (self._received or self.copy.items):
                self._doubt = "gone"
            elif was_cut and state.proof and not differs:
                self._trust(state.publishes)
            elif doubtful or differs:
                self._doubt = self._doubt or ("cut" if was_cut else "all")
            self._hear_what_was_kept()

    def _trust(self, publishes: int) -> None:
        """The copy is what is there, though somebody may have counted otherwise."""
        self._publishes, self._loose = publishes, 0

    def _reshape(self, state: State) -> None:
        """What the ids of a feed are is not known as long as it has none."""
        right = make_copy(state.form, self._maker.exact)
        if type(right) is not type(self.copy) and (state.count or not self.copy.items):
            right.extend(self.copy.items)
            right.raw = self.copy.raw
            self.copy = right

    async def _take(self, changes: list[bytes]) -> None:
        """Changes that were read.

        A handler that takes its time is not given more than it can: then this takes as long.
        """
        for change in changes:
            head, position, rest = change.split(b"\x00", 2)
            number, epoch, _, _, verb = head.split(b" ")
            if self._inbox.busy:
                await self._inbox.room(len(change))
            if self.stopped:
                break
            self.epoch = decode(epoch)
            self._receive(change, head, int(number), verb, position, rest)

    def _differs(self, state: State, whole: bool) -> bool:
        """Whether the copy cannot be what is there, though all changes are known.

        While some of them wait for the handler only those can tell who listen for others' changes.
        """
        if self._inbox.busy:
            return self._foreign
        copy = self.copy
        if len(copy.items) != state.count or len(copy.items) != state.items_there:
            return True
        if not state.proof:
            return False
        parts: Iterable[bytes] = map(encode, copy)
        if whole:
            parts = (part for id in copy for part in (encode(id), self._raw(id)))
        return hashlib.sha1(b"\x00".join(parts)).hexdigest().encode() != state.proof

    def _raw(self, id: str) -> bytes:
        """The bytes of an item in the copy."""
        if self._maker.exact:
            return self._maker.serializer.encode(self.copy.items[id])
        return self.copy.raw.get(id, b"")

    async def _read_anew(self, reason: str) -> None:
        """Read everything, and tell the handler why; at the start there is no reason."""
        reading = self._reading()
        self._begin_to_read()
        overflown, self._inbox.overflown = self._inbox.overflown, False
        try:
            copy, state = await reading.load()
        except (FeedDoesNotExist, WrongFeedType):
            if not self._has_copy:
                raise
            await self._vanish(await reading.read())
            return
        except BaseException:
            self._inbox.overflown = overflown
            raise
        missed, reason = await self._missed(reading, state, reason)
        if self.stopped:
            return
        self._seen, self._deleted, self._gone = True, False, False
        self._doubt, self._was_cut = "", False
        place = state.position()
        self._received, self.epoch = state.revision, state.epoch
        self._head = place
        self._trust(state.publishes)
        if self._has_copy:
            self.healed += 1
            event = Resync(self.name, reason, state.revision)
            self._inbox.put((event, copy, place), ITEM * len(copy.items))
        else:
            self._has_copy = True
            self.copy, self.revision = copy, state.revision
            self._told = self._resume if missed and self._resume else place
            self._resume = None
            await self._begin(missed, reason)
        self._hear_what_was_kept()

    async def _begin(self, missed: list[bytes], reason: str) -> None:
        """The copy is there: let it be known, then what has happened since a token."""
        started, self._started = self._started, None
        if started is not None:
            started.callback(self)
        if reason and not self.stopped:
            self._inbox.put((Resync(self.name, reason, self._received), None, None))
        inbox = self._inbox
        for at in range(0, len(missed), PART):
            part = missed[at : at + PART]
            for change, event in zip(part, self._maker.events(part), strict=True):
                if inbox.busy:
                    await inbox.room(len(change))
                if self.stopped:
                    return
                if inbox.busy:
                    head = change[: change.index(b"\x00")]
                    inbox.put((event, None, head), len(change))
                    continue
                self._told = change
                try:  # _tell, without its call
                    outcome = self._handler(event)
                except Exception:
                    self._failed(Failure())
                    continue
                if outcome is not None:
                    inbox.wait_for(self._outcome(outcome))
        if missed and self._head is not None and not inbox.busy:
            self._told = self._head

    async def _missed(self, reading: Reading, state: State, reason: str) -> tuple[list[bytes], str]:
        """The changes between a token and the copy, or why they are not known."""
        at = self._resume
        if at is None:
            return [], reason
        now, changes = await reading.changes(at)
        if now.lost:
            return [], now.lost
        if now.epoch != state.epoch:  # begun in between: the first one there ever was?
            return [], "epoch" if state.epoch or at.epoch else ""
        if at.publishes >= 0 and _uncounted(at.publishes, changes, now.publishes):
            return [], "foreign"
        return changes[: state.revision - at.revision], ""

    async def _forget(self, state: State) -> None:
        """Remove the revisions of a feed that is gone, if other programs have left them."""
        if state.epoch and not self._gone:
            forget = script("live/forget").bind(self.keys(), self.name)
            with suppress(OutOfMemory, PermissionDenied, ReadOnly):  # others may
                await forget(self._place.redis, [encode(state.epoch)])

    async def _vanish(self, state: State, is_other: bool = False) -> None:
        """The feed is gone.

        :param is_other: whether something that cannot be followed has its name.
        """
        await self._forget(state)
        if self._seen and not (self._gone or self._deleted):
            await self._place.heard()  # who says so may be heard later than read
        if self.stopped:
            return
        told = self._deleted
        self._unsure, self._deleted, self._buffer = self._stale, False, None
        self._suspects, self._doubt = None, ""
        dropped, self._inbox.overflown = self._inbox.overflown, False
        if self._gone and not dropped:
            return
        self._gone = True
        self._received, self.epoch, self._head, self._publishes = 0, "", NOWHERE, 0
        self.healed += 1
        if self._seen:
            event = FeedDeleted(self.name) if told else Resync(self.name, "deleted", 0)
            self._inbox.put((event, Copy(self._maker.exact), NOWHERE))
        if self._on_vanished is not None:
            self._on_vanished(self, is_other)


def _uncounted(publishes: int, changes: list[bytes], now: int) -> int:
    """How many publishes and edits were given no revision, as far as those are counted.

    :param publishes: the counter at first.
    :param changes: all since.
    :param now: the counter.
    """
    heads = [change[: change.index(b"\x00")] for change in changes]
    if not any(head.endswith(ADOPTED) for head in heads):
        return now - publishes - sum(head.endswith((b" publish", b" edit")) for head in heads)
    owed = 0
    for head in map(Head, heads):
        if head.publishes:
            owed, publishes = owed + head.publishes - publishes, head.publishes
        if head.verb.startswith((b"publish", b"edit")):
            owed = max(owed - 1, 0)  # not everybody counts what goes beside another item
    return owed + now - publishes
