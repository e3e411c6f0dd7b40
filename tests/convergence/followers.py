"""Followers behind networks that fail, and what each was told."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.convergence.record import FeedRecord, change_of, is_now
from tests.convergence.report import EARLY, MISSING, OTHER, RESYNC, TWICE, WRONG, Report
from tests.convergence.writers import Shelf
from tests.proxy import FaultProxy
from txthoonk import Thoonk
from txthoonk.events import FeedDeleted, Resync

__all__ = ["Journal", "Site", "There", "Watcher"]

#: What feeds are: ids and items in order.
There = dict[str, list[tuple[str, str]]]

#: What channels of the contract begin with, on the wire; those of ours with other words.
CONTRACT: Final = b"\r\nfeed."

#: How many of the events before a fault are shown.
BEFORE: Final = 5


class Site:
    """An instance of Thoonk that only reaches Redis over a network that fails.

    :param check_interval: as that of the instance.
    :param ping: seconds after which a stall is noticed.
    """

    def __init__(
        self,
        reactor: Any,
        endpoint: Any,
        seed: random.Random,
        number: int,
        check_interval: float = 3.0,
        ping: float = 1.0,
    ) -> None:
        self.proxy = FaultProxy(reactor, endpoint)
        self.proxy.listen()
        self.number = number
        self._random = seed
        self._refusing: Deferred[Any] | None = None
        self._healing: Any = None
        self._reactor = reactor
        self.thoonk = Thoonk(
            self.proxy.endpoint,
            reactor=reactor,
            ping_interval=ping,
            ping_timeout=ping,
            check_interval=check_interval,
        )
        self.thoonk.startService()

    def fail(self, fault: str, seconds: float | None = None) -> None:
        """Let the network fail in some way.

        :param seconds: after which it works again; else not before :meth:`heal`.
        """
        proxy, choose = self.proxy, self._random
        if fault == "drop":
            proxy.drop()
        elif fault == "reset":
            proxy.reset()
        elif fault == "one" and proxy.connections:
            proxy.reset(choose.choice(proxy.connections))
        elif fault == "cut":
            proxy.cut_in(choose.choice((0, 1, 10, 100, 1000, 5000)) + choose.randrange(200))
        elif fault == "between":
            proxy.cut_before(CONTRACT)
        elif fault == "stall":
            proxy.stall()
        elif fault == "slices":
            proxy.slice = 1
        elif fault == "refuse" and proxy.is_listening:
            self._refusing = Deferred.fromCoroutine(proxy.refuse())
            proxy.reset()
        if seconds is not None:
            self._forget_healing()
            self._healing = self._reactor.callLater(seconds, self.heal)

    def _forget_healing(self) -> None:
        if self._healing is not None and self._healing.active():
            self._healing.cancel()

    def heal(self) -> None:
        """Let it work again."""
        self._forget_healing()
        proxy = self.proxy
        proxy.slice = None
        for pipe in proxy.connections:
            pipe.cut_at = pipe.cut_before = None
        if proxy.stalled:
            proxy.resume()
        refusing, self._refusing = self._refusing, None
        if refusing is not None:  # the port has to be free
            refusing.addCallback(lambda _: proxy.listen())

    async def stop(self) -> None:
        """End it."""
        self.heal()
        await self.thoonk.stopService()
        await self.proxy.stop()


class Journal:
    """What one handler was told of one feed, compared with what was to be told.

    :ivar at: epoch and revision of what it was told last; None if it was told that the feed is
        gone, or nothing yet.
    """

    def __init__(self, record: FeedRecord, text: Callable[[Any], str], at: Any) -> None:
        self.record = record
        self.text = text
        self.at: tuple[str, int] | None = at
        self.lines: list[tuple[str, Any, int | None]] = []
        self.deletes = record.deletes
        #: Since the last comparison: whether another process went on, and whether the copy was
        #: read anew. It may have of the peer what has no revision yet.
        self.passed_on = False
        self.is_fresh = True

    def check(self, shelf: Shelf, report: Report, who: object) -> None:
        """Compare, and forget what was compared; the first fault is enough.

        :param who: the handler.
        """
        lines, self.lines = self.lines, []
        told = report.told
        for number, (epoch, event, mark) in enumerate(lines):
            told[event.reason if isinstance(event, Resync) else type(event).__name__] += 1
            kind, fault = self._fault(epoch, event, mark, shelf)
            self.is_fresh |= isinstance(event, Resync)
            report.marks += mark is not None and self._comparable(shelf)
            if fault:
                before = lines[max(0, number - BEFORE) : number]
                told_before = "".join(f"\n      {each}" for each in before)
                report.found(kind, [f"{shelf.name}: {fault}; {who}; before:{told_before}"])
                self.at = self.record.last
                break
        self.deletes = self.record.deletes
        self.passed_on = self.is_fresh = False

    def check_end(self, shelf: Shelf, report: Report, who: object) -> None:
        """Nothing that has happened was left out; to be called behind :meth:`check`."""
        at = self.at or ("", 0)
        if at != self.record.last:
            last = self.record.last
            report.found(MISSING, [f"{shelf.name}: told up to {at}, there is {last}; {who}"])
            self.at = last

    def _fault(self, epoch: str, event: Any, mark: int | None, shelf: Shelf) -> tuple[str, str]:
        """What kind of fault an event is, and what is wrong; or nothing."""
        last, record = self.at, self.record
        if isinstance(event, (Resync, FeedDeleted)):
            why = self._refuse(event, shelf)
            self.at = None if isinstance(event, FeedDeleted) else (epoch, event.revision)
            return RESYNC, why and f"{event} after {last}: {why}"
        is_first = last is None or not last[0]
        if not epoch:  # a pattern does not have the feed any more, whose last changes have waited
            begun = (each for each in reversed(record.epochs) if (each, 1) in record.changes)
            epoch = next(begun, "") if is_first else last[0]
        self.at = (epoch, event.revision)
        expected = (epoch, 1) if is_first else (last[0], last[1] + 1)
        if self.at != expected:
            late = epoch == expected[0] and event.revision < expected[1]
            return TWICE if late else MISSING, f"{event} of {epoch} after {last}"
        change = record.changes.get(self.at)
        if change_of(event, self.text) != change:
            return OTHER, f"told {event} of {epoch}, there was {change}"
        same = mark is None or record.marks.get(self.at, mark) == mark
        if not same and self._comparable(shelf):
            return WRONG, f"the copy was wrong at {self.at}, {event}"
        return "", ""

    def _comparable(self, shelf: Shelf) -> bool:
        """Whether the copy has to be what the changes make of the feed."""
        return not (self.is_fresh and shelf.peers)

    def _refuse(self, event: Any, shelf: Shelf) -> str:
        """Why a Resync or a FeedDeleted must not have come, or nothing."""
        if self.record.deletes > self.deletes:
            return ""  # the feed was deleted meanwhile
        if isinstance(event, FeedDeleted):
            return "it was not deleted"
        if event.reason == "deleted" and shelf.mortal and self.at in (None, ("", 0)):
            return ""  # it was gone, and there is another one
        if event.reason == "foreign" and self.passed_on and shelf.peers:
            return ""  # nobody knows whether all that the peer did is in the history
        if event.reason == "trimmed" and shelf.history is not None and self.at is not None:
            missed = event.revision - self.at[1]
            return "" if missed > shelf.history else f"{missed} were missed"
        return "the history covers that"


class Watcher:
    """A handler, and the feed or pattern that it follows.

    :param records: of all feeds that it may be told of.
    """

    def __init__(
        self,
        site: Site,
        name: str,
        records: dict[str, FeedRecord],
        *,
        pattern: bool = False,
        foreign: bool = True,
        serializer: str = "text",
        pace: float = 0.0,
    ) -> None:
        self.site = site
        self.name = name
        self.records = {
            each: record
            for each, record in records.items()
            if each == name or (pattern and each.startswith(name.removesuffix("*")))
        }
        self.is_pattern = pattern
        self.foreign = foreign
        self.serializer = serializer
        self.pace = pace
        self.journals: dict[str, Journal] = {}
        self.live: Any = None
        #: Told before ``follow`` had fired, or after ``stop``.
        self.early: list[Any] = []
        self.token: str | None = None
        #: What the copies are already while older changes are told.
        self.blind: dict[str, int] = {}

    def __repr__(self) -> str:
        kind = "pattern" if self.is_pattern else "feed"
        return f"<{kind} {self.name} at site {self.site.number}, {self.serializer}, {self.pace} s>"

    def text(self, item: Any) -> str:
        """An item as the writers wrote it."""
        if self.serializer == "json":
            return json.dumps(item)
        return item.decode() if isinstance(item, bytes) else str(item)

    async def start(self) -> None:
        """Follow; where this was followed before, from there on."""
        thoonk, token = self.site.thoonk, self.token
        call = thoonk.follow_pattern if self.is_pattern else thoonk.follow
        live = await call(
            self.name,
            self,
            serializer=self.serializer,
            foreign=self.foreign,
            token=token,
        )
        self.live = live
        self.blind = {each.name: each.revision for each in self.lives()} if token else {}
        for each in self.lives():
            if each.name not in self.journals:
                at = None if token else (each.epoch, each.revision)
                self.journals[each.name] = Journal(self.records[each.name], self.text, at)

    def check(self, shelves: dict[str, Shelf], there: There, report: Report) -> None:
        """Compare what was told with what happened, and forget it.

        :param there: the feeds that are there.
        """
        for name, journal in self.journals.items():
            journal.check(shelves[name], report, self)
            if self.live is not None and name in there:
                journal.check_end(shelves[name], report, self)
        report.found(EARLY, [f"{self}: {each}" for each in self.early])
        self.early.clear()

    def lives(self) -> list[Any]:
        """All that is followed."""
        return list(self.live.values()) if self.is_pattern else [self.live]

    def another(self, site: Site) -> Watcher:
        """One of the same kind, who knows nothing of this one."""
        return Watcher(
            site,
            self.name,
            self.records,
            pattern=self.is_pattern,
            foreign=self.foreign,
            serializer=self.serializer,
            pace=self.pace,
        )

    def stop(self) -> None:
        """End it; the token tells where."""
        self.token = self.live.token
        self.live.stop()
        self.live = None
        for journal in self.journals.values():
            journal.passed_on = journal.is_fresh = True

    def __call__(self, event: Any) -> Any:
        """The handler."""
        if self.live is None:
            self.early.append(event)
        journal = self.journals.get(event.feed)
        if journal is None:
            journal = Journal(self.records[event.feed], self.text, None)
            self.journals[event.feed] = journal
        copy = self._copy(event.feed)
        epoch, mark = "", None
        if copy is not None:
            epoch = copy.epoch
            told_before = self.blind.get(event.feed, 0)
            if random.random() < 0.1 and (getattr(event, "revision", 0) or 0) > told_before:
                mark = hash(tuple((id, self.text(item)) for id, item in copy))
        journal.lines.append((epoch, event, mark))
        if self.pace:
            return deferLater(self.site.thoonk.get_reactor(), random.uniform(0, self.pace))
        return None

    def _copy(self, name: str) -> Any:
        if self.live is not None:
            return self.live.get(name) if self.is_pattern else self.live
        return None

    def differs(self, there: There, last: dict[str, tuple[str, int]]) -> str:
        """Where the copies are not what is there, or not known to be: the first; or nothing.

        :param there: the items of each feed that is there, in order.
        :param last: the epochs and revisions.
        """
        if self.live is None:
            return "not yet back"
        lives = {each.name: each for each in self.lives()}
        if self.is_pattern and lives.keys() != there.keys() & self.records.keys():
            return f"has {sorted(lives)}, there are {sorted(there)}"
        for name, live in lives.items():
            at = (live.epoch, live.revision)
            if name not in there:
                if len(live):
                    return f"{name}: still there"
            elif not live.synced:
                return f"{name}: not synced at {at}"
            elif at != last[name]:
                return f"{name}: at {at}, not {last[name]}"
            elif is_now(live.ids, {id: self.text(item) for id, item in live}) != there[name]:
                return f"{name}: {live.ids} are not {there[name]}"
        return ""
