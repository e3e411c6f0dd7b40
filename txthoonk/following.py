"""Following one feed: a local copy that is what Redis holds, and every change exactly once.

What other programs did, past the revisions, is given some by ``live/adopt``; once, by whoever of
those that have noticed it comes first.
"""

from __future__ import annotations

import hashlib
import random
from typing import Final

from txthoonk.catching_up import ITEM, PROVED, CatchingUp
from txthoonk.changes import read_head
from txthoonk.errors import OutOfMemory, PermissionDenied, ReadOnly
from txthoonk.events import Resync
from txthoonk.keys import encode
from txthoonk.scripts import script

__all__ = ["Follower"]

#: Seconds: at most so long a follower waits, that another one may adopt what both have heard of.
SPREAD: Final = 0.02
#: How often it tries to adopt while others go on publishing.
TRIES: Final = 40
#: More items than these are not compared in one call, but read anew.
LARGE: Final = 5_000
#: What ``live/adopt`` answers if it does not know the revision that is given.
AGAIN: Final = -2


class Follower(CatchingUp):
    """One feed, one handler; see :class:`~txthoonk.working.Working`."""

    __slots__ = ()

    async def _adopt(self) -> None:
        """Let what others did be changes, unless somebody else has seen to it."""
        if not self._doubt:
            await self._pause(random.uniform(0, SPREAD))
            if self.stopped or self._unsure or self._inbox.busy or not self._suspects:
                return
            if not await self._see_others():
                return
        if self._doubt == "all":
            same = await self._is_as_known()
            if same or self.stopped or self._unsure or self._inbox.busy:
                return
        copy, suspects, doubt = self.copy, self._suspects or {}, self._doubt
        self._tries += 1
        if len(copy.items) > LARGE or self._tries > TRIES:
            await self._compare_anew()
            self._tries = 0
            return
        self._suspects, self._doubt = None, ""
        at = self._received
        doubted = list(copy) if doubt else [id for id in suspects if id in copy.items]
        args = [encode(self.epoch), b"%d" % at, doubt.encode(), b"%d" % self._publishes]
        args += (b"%d" % (self._publishes - self._loose), b"%d" % len(doubted))
        for id in doubted:
            args += (encode(id), hashlib.sha1(self._raw(id)).hexdigest().encode())
        args += map(encode, copy)
        try:
            adopt = script("live/adopt").bind(self.keys(), self.name)
            _, revision, changed, changes, publishes = await adopt(self._place.redis, args)
        except (OutOfMemory, PermissionDenied, ReadOnly):
            await self._compare_anew()  # others may
            return
        except Exception:
            self._distrust(suspects, doubt)
            raise
        if self.stopped:
            return
        if changed == AGAIN:
            self._distrust(suspects, doubt)
            self._unsure = True
        elif changed:
            if not doubt:
                self._tries = 0
            self.healed += bool(doubt)
            if changes and read_head(changes[0]).revision == self._received + 1:
                self._begin_to_read()
                await self._take(changes)  # that is sooner than to wait for them
                self._hear_what_was_kept()
            else:
                self._unsure = self._stale = True
        elif not doubt:
            self._doubt = self._doubt or "all"  # it was not these items
        elif self._received == at == int(revision):
            # They only count otherwise, or keep what nobody can see.
            self._trust(publishes)

    async def _see_others(self) -> bool:
        """Whether somebody else was there, and nobody has seen to it: a look that costs little."""
        await self._catch_up()
        suspects = self._suspects
        if self._unsure or self._inbox.busy or not suspects:
            return False  # or adopted meanwhile
        if self._doubt:
            if self._doubt == "all":
                self._doubt = ""  # of these items alone
            return True
        # What was counted says nothing of those whose messages are late.
        ids = list(suspects)
        items = await self._place.redis.execute("HMGET", self.keys().items, *map(encode, ids))
        for id, item in zip(ids, items, strict=True):
            if item == (self._raw(id) if id in self.copy.items else None):
                suspects.pop(id, None)  # another one's database
        return bool(suspects and self._suspects) and not (self._unsure or self._inbox.busy)

    async def _is_as_known(self) -> bool:
        """Whether the copy is what is there, though not all of its changes were told as counted."""
        if len(self.copy.items) > PROVED:
            return False
        suspects, self._suspects = self._suspects or {}, None
        same = False
        try:
            state = await self._reading().read(proof=2)
            known = state.revision == self._received and state.epoch == self.epoch
            same = known and not (self._unsure or self._differs(state, whole=True))
        finally:
            if not same:
                self._distrust(suspects, "")
        if same:
            self._doubt = ""
            self._trust(state.publishes)
        return same

    async def _compare_anew(self) -> None:
        """Read everything, and tell the handler only if it is something else than is known.

        For feeds that are too large to be compared in one call, or change all the time.
        """
        reactor = self._place.get_reactor()
        began = reactor.seconds()
        if began < self._not_before:
            await self._pause(self._not_before - began)  # or until there is something else to do
            return
        self._begin_to_read()
        self._suspects, self._doubt = None, ""
        reading, at = self._reading(), self.position(told=False)
        copy, state = await reading.load()
        now, changes = await reading.changes(at)
        if now.lost or state.epoch != self.epoch or self.stopped:
            return  # that is found out when it is read once more
        await self._take([each for each in changes if read_head(each).revision <= state.revision])
        if self._received != state.revision or self._inbox.busy:
            return
        place, self._publishes = state.position(), state.publishes
        if not self.copy.equals(copy):
            self.healed += 1
            event = Resync(self.name, "foreign", state.revision)
            self._inbox.put((event, copy, place), ITEM * len(copy.items))
        self._hear_what_was_kept()
        # However often others change it: it costs Redis little of its time.
        now = reactor.seconds()
        self._not_before = now + 10 * (now - began)

    def _distrust(self, suspects: dict[str, None], doubt: str) -> None:
        self._suspects = {**suspects, **(self._suspects or {})} or None
        self._doubt = self._doubt or doubt
