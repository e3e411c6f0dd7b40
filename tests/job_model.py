"""What a feed of jobs must look like after each verb, and what must have been told: a model."""

from __future__ import annotations

from typing import Any, Final

from txthoonk import ItemDoesNotExist, JobNotClaimed, JobNotStalled, LeaseLost

__all__ = ["DUE", "Model", "Outcome"]

#: In place of the instant that a delayed job is due at, which only Redis knows.
DUE: Final = object()

#: What a verb fails with; None if it does not.
Outcome = type[Exception] | None


class Model:
    """The keys of a feed, as Python has them, and the messages that are due to be heard.

    Tokens are those of claims of ours; a peer's claim has an empty one.

    :ivar told: channel, id and what else there is in the message.
    """

    def __init__(self) -> None:
        self.items: dict[str, str] = {}
        self.queue: list[str] = []
        self.handoff: list[str] = []
        self.claimed: dict[str, str] = {}
        self.stalled: set[str] = set()
        self.published: set[str] = set()
        self.cancelled: dict[str, int] = {}
        self.lease: dict[str, str] = {}
        self.errors: dict[str, list[str]] = {}
        self.delayed: dict[str, float] = {}
        self.results: dict[str, str] = {}
        self.seen: set[str] = set()
        self.puts = self.finishes = 0
        #: Whose time is over, in order: claims, delayed jobs, results.
        self.late: dict[str, None] = {}
        self.due: dict[str, None] = {}
        self.old: dict[str, None] = {}
        self.max_attempts: int | None = None
        self.announce = True
        self.told: list[tuple[str, str, Any]] = []

    def states(self, id: str) -> list[str]:
        """All states that a job is in."""
        later = id in self.stalled and id in self.delayed and id in self.published
        found = {
            "available": id in self.queue,
            "handed": id in self.handoff,
            "claimed": id in self.claimed,
            "delayed": later,
            "parked": id in self.stalled and not later,
            "lost": id in self.lost(),
        }
        return [state for state, is_so in found.items() if is_so]

    def lost(self) -> list[str]:
        """Jobs in no state."""
        known = {*self.queue, *self.handoff, *self.claimed, *self.stalled}
        return [id for id in self.items if id not in known]

    def _tell(self, channel: str, id: str, text: Any = None) -> None:
        self.told.append((channel, id, text))

    def _fence(self, id: str, token: str) -> Outcome:
        if id not in self.claimed:
            return LeaseLost if token else JobNotClaimed
        return LeaseLost if token and self.claimed[id] != token else None

    def _unclaim(self, id: str) -> None:
        self.claimed.pop(id, None)
        self.lease.pop(id, None)
        self.late.pop(id, None)

    def _later(self, id: str, seconds: float) -> None:
        self.stalled.add(id)
        self.delayed[id] = seconds
        self.due.pop(id, None)
        self._tell("tx.feed.delay", id, DUE)

    def _never(self, id: str) -> None:
        self.delayed.pop(id, None)
        self.due.pop(id, None)

    def _drop_result(self, id: str) -> None:
        self.results.pop(id, None)
        self.old.pop(id, None)

    # -- our verbs --------------------------------------------------------------------------

    def put(self, id: str, item: str, first: bool = False, delay: float = 0) -> None:
        if id in self.items:
            return
        self.puts += 1
        self.items[id] = item
        self.published.add(id)
        self.stalled.discard(id)
        self._never(id)
        self.cancelled.pop(id, None)
        self.errors.pop(id, None)
        self._drop_result(id)
        if self.announce:
            self._tell("feed.publishes", id, item)
        if delay:
            self._later(id, delay)
        elif first:
            self.queue.append(id)
        else:
            self.queue.insert(0, id)

    def take(self, count: int, handed: str = "") -> list[str]:
        """Which are claimed; :meth:`hold` says by whom."""
        found = []
        if handed in self.handoff:
            self.handoff.reverse()
            self.handoff.remove(handed)
            self.handoff.reverse()
            self.seen.discard(handed)
            found.append(handed)
        while len(found) < count and self.queue:
            found.append(self.queue.pop())
        return [
            id
            for id in found
            if id in self.items and id not in self.claimed and id not in self.stalled
        ]

    def hold(self, id: str, token: str) -> None:
        self.claimed[id] = token
        self.late.pop(id, None)
        if token:
            self.lease[id] = token
            if self.announce:
                self._tell("feed.claimed", id)

    def finish(self, id: str, token: str, result: str | None, kept: bool) -> Outcome:
        if error := self._fence(id, token):
            return error
        self._unclaim(id)
        item = self.items.pop(id)
        self.cancelled.pop(id, None)
        self.published.discard(id)
        self.errors.pop(id, None)
        self.finishes += 1
        if kept:
            for each in list(self.old)[:2]:
                self._drop_result(each)
            self.results[id] = f"{len(item)}:{item}" + ("-" if result is None else f"+{result}")
        if result is None:
            self._tell("tx.feed.finish", id)
        else:
            self._tell("job.finish", id, result)
        return None

    def cancel(self, why: str, id: str, token: str, delay: float, text: str = "") -> Outcome:
        if error := self._fence(id, token):
            return error
        self._unclaim(id)
        limit = self.max_attempts
        if limit is None:
            limit = 0 if why == "cancel" else 5
        count = self.cancelled.get(id, 0) + 1
        if text:
            self.errors[id] = [*self.errors.get(id, []), text][-10:]
        if limit and count >= limit:
            self.cancelled.pop(id, None)
            self.published.discard(id)
            self._never(id)
            self.stalled.add(id)
            self._tell("tx.feed.stall", id, text)
            return None
        self.cancelled[id] = count
        self.published.add(id)
        if delay:
            self._later(id, delay)
        else:
            self.queue.insert(0, id)
            self._tell("tx.feed.expire" if why == "expire" else "tx.feed.cancel", id, str(count))
        return None

    def release(self, id: str, token: str) -> Outcome:
        if error := self._fence(id, token):
            return error
        self._unclaim(id)
        self.queue.append(id)
        self._tell("tx.feed.release", id)
        return None

    def stall(self, id: str, token: str, reason: str, only_claimed: bool = False) -> Outcome:
        if token and (error := self._fence(id, token)):
            return error
        if id not in self.items:
            return ItemDoesNotExist
        if self.states(id) in (["parked"], ["lost"]) or (only_claimed and id not in self.claimed):
            return JobNotClaimed
        holder = self.lease.get(id, "") if id in self.claimed else ""
        self._leave(id)
        self.cancelled.pop(id, None)
        self.published.discard(id)
        self.stalled.add(id)
        if reason:
            self.errors[id] = [*self.errors.get(id, []), reason][-10:]
        self._tell("tx.feed.stall", id, reason)
        if holder and holder != token:
            self._tell("tx.feed.stop", id, holder)
        return None

    def _leave(self, id: str) -> None:
        """Be in no state, but for being stalled."""
        self._unclaim(id)
        self._never(id)
        if id in self.queue:
            self.queue.remove(id)
        if id in self.handoff:
            self.handoff.remove(id)

    def retry(self, id: str) -> Outcome:
        if id not in self.stalled:
            return JobNotStalled
        self.stalled.discard(id)
        self._never(id)
        self.published.add(id)
        self.queue.insert(0, id)
        self._tell("tx.feed.retry", id)
        return None

    def retract(self, id: str) -> bool:
        if id not in self.items:
            return False
        holder = self.lease.get(id, "") if id in self.claimed else ""
        self._leave(id)
        self.stalled.discard(id)
        self.seen.discard(id)
        del self.items[id]
        self.cancelled.pop(id, None)
        self.published.discard(id)
        self.errors.pop(id, None)
        self._tell("tx.feed.retract", id)
        if holder:
            self._tell("tx.feed.stop", id, holder)
        return True

    def edit(self, id: str, item: str) -> Outcome:
        if id not in self.items:
            return ItemDoesNotExist
        self.items[id] = item
        self._tell("tx.feed.edit", id, item)
        return None

    def extend(self, id: str, token: str) -> Outcome:
        error = self._fence(id, token)
        if error is None:
            self.late.pop(id, None)
        return error

    def progress(self, id: str, token: str, value: str) -> Outcome:
        error = self._fence(id, token)
        if error is None:
            self._tell("tx.feed.progress", id, value)
        return error

    # -- maintenance without any grace ------------------------------------------------------

    def maintenance(self, order: list[str], why: str) -> tuple[int, ...]:
        """What a pass must do.

        :param order: in which Redis has the claims.
        :param why: text for what expired.
        """
        handoffs = lost = expired = parked = promoted = swept = 0
        late = [id for id in order if id in self.late]
        gone = self.lost()
        for id in late:
            self.cancel("expire", id, self.claimed[id], 0, why)
            parked += id in self.stalled
            expired += id not in self.stalled
        self.seen &= {*self.handoff}
        for id in list(self.handoff):
            if id in self.seen:
                self.seen.discard(id)
                self.handoff.remove(id)
                self.queue.append(id)
                handoffs += 1
            else:
                self.seen.add(id)
        for id in gone:
            self.queue.insert(0, id)
            self._tell("tx.feed.retry", id)
            lost += 1
        for id in list(self.due):
            self._never(id)
            if id in self.stalled and id in self.published and id in self.items:
                self.stalled.discard(id)
                self.queue.insert(0, id)
                self._tell("tx.feed.retry", id)
                promoted += 1
        for id in list(self.old):
            self._drop_result(id)
            swept += 1
        for id in [id for id in self.lease if id not in self.claimed]:
            del self.lease[id]
            swept += 1
        for id in [id for id in self.errors if id not in self.items]:
            del self.errors[id]
            swept += 1
        return handoffs, lost, expired, parked, promoted, swept

    # -- what peers do, who know nothing of our keys ----------------------------------------

    def peer_finish(self, id: str, result: str | None) -> None:
        del self.claimed[id], self.items[id]
        self.late.pop(id, None)
        self.cancelled.pop(id, None)
        self.published.discard(id)
        self.finishes += 1
        if result is not None:
            self._tell("job.finish", id, result)

    def peer_cancel(self, id: str) -> None:
        del self.claimed[id]
        self.late.pop(id, None)
        self.cancelled[id] = self.cancelled.get(id, 0) + 1
        self.queue.insert(0, id)

    def peer_stall(self, id: str) -> None:
        self.claimed.pop(id, None)
        self.late.pop(id, None)
        self.cancelled.pop(id, None)
        self.published.discard(id)
        self.stalled.add(id)

    def peer_retry(self, id: str) -> None:
        self.stalled.discard(id)
        self.queue.insert(0, id)
        self.published.add(id)

    def peer_retract(self, id: str) -> None:
        del self.items[id]
        self.claimed.pop(id, None)
        self.late.pop(id, None)
        self.cancelled.pop(id, None)
        self.published.discard(id)
        self.stalled.discard(id)
        if id in self.queue:
            self.queue.remove(id)
