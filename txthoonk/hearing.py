"""What a follower does with the messages about its feed: revision by revision, to its handler.

The next change is the next revision. Where it is not, or the connection was lost, the feed has to
be read again; changes that come meanwhile are kept for afterwards.

Messages of the contract's channels that belong to no change of ours are another program's.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutine
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk.changes import ADOPTED, Copy, Head, Maker, SortedCopy
from txthoonk.delivery import Budget, Inbox
from txthoonk.events import Published, Retracted
from txthoonk.keys import FeedKeys, decode, encode
from txthoonk.listener import NONE, as_it_is
from txthoonk.positions import Position
from txthoonk.serializers import Serializer

__all__ = ["Hearing"]

#: Changes that are kept while the feed is read: bytes. Past it they are read, too.
KEPT: Final = 4_000_000

#: How many items are suspected one by one.
MANY: Final = 1000

#: How often something was published up to a change that has waited for its handler.
UNKNOWN: Final = -1

#: Before the first revision there ever was.
NOWHERE: Final = Position(0, "", 0, 0)


class _Near:
    """What every event needs: together, since with very many feeds it is memory that takes time."""

    __slots__ = (
        *("_foreign", "_handler", "_head", "_quick", "_received", "_told", "_twin", "_twin_place"),
        *("epoch", "name", "revision"),
    )


class Hearing(_Near):
    """One feed, one handler.

    :param name: of the feed.
    :param handler: gets the events.
    :param serializer: for items.
    :param budget: what may wait for the handler.
    :param foreign: whether other programs' changes are listened for.
    """

    log = Logger()

    __slots__ = (
        *("_ahead", "_buffer", "_buffered", "_copy", "_doubt", "_gone", "_inbox", "_is_stopped"),
        *("_is_unsure", "_loose", "_maker", "_stale", "_suspects", "listens"),
    )

    def __init__(
        self,
        name: str,
        handler: Callable[[Any], object],
        serializer: Serializer,
        budget: Budget,
        foreign: bool,
    ) -> None:
        self.name = name
        self._handler = handler
        self._maker = Maker(name, serializer)
        self._inbox = Inbox(self, budget)
        self._foreign = foreign
        #: The items of the copy, if a new one at its end may be told as soon as it comes.
        self._quick: dict[str, Any] | None = None
        self.stopped = False
        #: Whether messages come to it by its own subscription.
        self.listens = False
        #: What the feed is, as far as the handler has been told; and where that is: the first
        #: part of a change, or a position that was read.
        self.copy = Copy(self._maker.exact)
        self.revision = 0
        self._told: bytes | str | Position = NOWHERE
        #: What has come: some may wait for the handler.
        self.epoch = ""
        self._received = 0
        #: None where that has been told.
        self._head: bytes | str | Position | None = None
        #: How much higher the counter of publishes is, if nobody else is there.
        self._ahead = 0
        #: How many of those somebody else's followers have told of, since all was last compared.
        self._loose = 0
        #: Whether the feed has to be read, whether what is being read will not do, and what has
        #: come meanwhile.
        self._unsure = self._stale = True
        self._buffer: list[bytes] | None = None
        self._buffered = 0
        #: The messages on the contract's channels that belong to the change that has just come.
        self._twin: bytes | None = None
        self._twin_place: bytes | None = None
        #: Whether the feed was seen to be gone.
        self._gone = False
        #: Items that other programs have changed.
        self._suspects: dict[str, None] | None = None
        #: Why the whole copy is in doubt: ``cut`` or ``gone``, as ``live/adopt`` takes it; ``all``
        #: since it differs somewhere, ``many`` since too much was heard.
        self._doubt = ""

    def _work(self) -> None:
        """Read the feed, if it has to be."""
        raise NotImplementedError

    def _be_slow(self) -> None:
        """Look at each message that comes until one shows that this is not needed any more."""
        self._quick = None

    @property
    def copy(self) -> Copy:
        """The feed, as far as the handler has been told."""
        return self._copy

    @copy.setter
    def copy(self, copy: Copy) -> None:
        self._copy, self._quick = copy, None

    @property
    def _publishes(self) -> int:
        """How often something was published, if nobody else is there."""
        return self._received + self._ahead

    @_publishes.setter
    def _publishes(self, publishes: int) -> None:
        self._ahead = publishes - self._received

    @property
    def stopped(self) -> bool:
        """Whether the handler is told nothing any more."""
        return self._is_stopped

    @stopped.setter
    def stopped(self, stopped: bool) -> None:
        self._is_stopped, self._quick = stopped, None

    @property
    def _unsure(self) -> bool:
        """Whether the feed has to be read."""
        return self._is_unsure

    @_unsure.setter
    def _unsure(self, unsure: bool) -> None:
        self._is_unsure, self._quick = unsure, None

    def keys(self) -> FeedKeys:
        """The feed's keys."""
        raise NotImplementedError

    #: A follower is a listener, whose channels are made when they are asked for: an idle one
    #: should be small.
    patterns = NONE

    def counts(self, pattern: bytes, channel: bytes) -> bool:
        """It hears by no pattern."""
        return False

    @property
    def channels(self) -> dict[bytes, Any]:
        """What it hears the feed's messages on."""
        keys = self.keys()
        channels: dict[bytes, Any] = {keys.event_channel: (as_it_is, self.message)}
        if self._foreign:
            heard = (as_it_is, self.contract_message)
            for kind in ("publish", "edit", "retract", "position"):
                channels[getattr(keys, f"{kind}_channel")] = heard
        return channels

    # -- messages ---------------------------------------------------------------------------

    def message(self, change: bytes) -> None:
        """A change came."""
        items = self._quick
        if items is not None:
            # What follows is _heard for most changes, without its calls: the next one of a feed of
            # texts, a new item at its end or one that goes, for a handler that is not at work.
            head, position, id, *item = change.decode("utf-8", "surrogateescape").split("\x00", 3)
            number, epoch, _, _, verb = head.split(" ")
            revision = self._received + 1
            if (
                number == f"{revision}"
                and epoch == self.epoch
                and not position
                and verb == ("publish" if item else "retract")
            ):
                if self._foreign:
                    self._twin, self._twin_place = change[len(head) + 2 :], None
                self._received = self.revision = revision
                self._told = head
                event: Any
                if item:
                    before = len(items)
                    items[id] = item[0]
                    if len(items) == before:
                        items[id] = items.pop(id)
                    event = Published(self.name, id, item[0], revision)
                else:
                    items.pop(id, None)
                    self._ahead -= 1
                    event = Retracted(self.name, id, revision)
                try:
                    outcome = self._handler(event)
                except Exception:
                    self._failed(Failure())
                    return
                if outcome is not None:
                    self._inbox.wait_for(self._outcome(outcome))
                return
        self._heard(change, *change.split(b"\x00", 2))

    def _heard(self, change: bytes, head: bytes, position: bytes, rest: bytes) -> None:
        """The same of any change, in parts and whole."""
        if self.stopped:
            return
        number, epoch_there, _, _, verb = head.split(b" ")
        epoch = decode(epoch_there)
        if self._foreign:
            self._expect(verb, position, rest)
        if self._unsure:
            self._keep(change)
            return
        revision = int(number)
        if revision != self._received + 1 or epoch != self.epoch:
            if revision <= self._received and epoch == self.epoch:
                return  # it was read already
            if revision != 1 or self.epoch or self._gone:
                self._keep(change)
                self.look_again()
                return
            self.epoch = epoch  # the first one there ever was
        self._receive(change, head, revision, verb, position, rest)

    def _receive(
        self, change: bytes, head: bytes, revision: int, verb: bytes, position: bytes, rest: bytes
    ) -> None:
        """The next change is there, in parts and whole."""
        self._received = revision
        self._head = head
        if verb.endswith(ADOPTED):
            known = self._publishes - 1
            self._publishes = Head(head).publishes
            self._loose += max(0, self._publishes - known)
            if self._suspects:
                id = rest.partition(b"\x00")[0]
                self._suspects.pop(id.decode("utf-8", "surrogateescape"), None)
        elif verb != b"publish" and verb != b"edit":
            self._ahead -= 1
        inbox = self._inbox
        if inbox.busy:
            inbox.put(change, len(change))
            if inbox.overflown:
                self._unsure = self._stale = True
                self._buffer = None
            return
        outcome = self._apply(head, revision, verb, position, rest)
        if outcome is not None:
            inbox.wait_for(outcome)
        elif self._maker.is_text and type(self.copy) is Copy and not (self._unsure or self.stopped):
            self._quick, self._head = self.copy.items, None

    def contract_message(self, message: bytes) -> None:
        """A message came on a channel of the contract: of the change just before, or foreign."""
        if message == self._twin:
            self._twin, self._twin_place = self._twin_place, None
        elif not self.stopped:
            self._twin = self._twin_place = None
            if self._suspects is None:
                self._suspects = {}
            id = message.partition(b"\x00")[0].decode("utf-8", "surrogateescape")
            self._suspects[id] = None
            if len(self._suspects) > MANY:
                self._suspects = None
                self._doubt = self._doubt or "many"
            self._work()

    def _expect(self, verb: bytes, position: bytes, rest: bytes) -> None:
        """Know the messages of the contract that come next."""
        self._twin_place = None
        if verb.endswith(ADOPTED):
            self._twin = None
        elif verb == b"position":
            self._twin = rest + b"\x00" + position
        else:
            self._twin = rest
            if position:  # of a sorted feed, or nobody ever says that
                self._twin_place = rest.partition(b"\x00")[0] + b"\x00" + position

    def disconnected(self) -> None:
        """Messages may be missed from now on."""
        self._unsure = self._stale = True
        self._twin = self._twin_place = self._buffer = None

    def look_again(self) -> None:
        """Messages may have been missed."""
        self._unsure = self._stale = True
        self._work()

    def _keep(self, change: bytes) -> None:
        """A change that came while the feed has to be read."""
        if self._inbox.overflown:
            self._stale = True
            return
        if self._buffer is None:
            self._buffer, self._buffered = [], 0
        self._buffer.append(change)
        self._buffered += len(change)
        if self._buffered > KEPT:
            self._buffer = None
            self._stale = True

    def _begin_to_read(self) -> None:
        """What has come until now is in what will be read."""
        self._unsure, self._stale, self._buffer = True, False, None

    def _hear_what_was_kept(self) -> None:
        """What was read will do, unless it was said meanwhile that it will not."""
        self._unsure = self._stale
        if self._unsure:
            return
        kept, self._buffer = self._buffer, None
        twins = self._twin, self._twin_place
        for change in kept or ():
            self.message(change)
        self._twin, self._twin_place = twins  # those messages have been heard

    # -- to the handler ---------------------------------------------------------------------

    def _apply(
        self, head: bytes, revision: int, verb: bytes, position: bytes, rest: bytes
    ) -> Deferred[Any] | None:
        """Do a change to the copy, and tell the handler."""
        event: Any = self._maker.make(revision, verb, position, rest)
        self.revision, self._told = revision, head
        copy = self.copy
        if position == b":end" and type(copy) is Copy:
            copy = self.copy = SortedCopy.of(copy)  # nothing told that it is one
        copy.apply(event)
        if not self._maker.exact:
            data = rest.partition(b"\x00")[2]
            if verb.startswith(b"retract"):
                copy.raw.pop(event.id, None)
            elif not verb.startswith(b"position"):
                copy.raw[event.id] = data
        return self._tell(event)

    def _tell(self, event: Any) -> Deferred[Any] | None:
        """Call the handler; whatever becomes of it is its own affair."""
        try:
            outcome = self._handler(event)
        except Exception:
            self._failed(Failure())
            return None
        return None if outcome is None else self._outcome(outcome)

    def _outcome(self, outcome: object) -> Deferred[Any] | None:
        """What a handler returned, if it is to be waited for."""
        if iscoroutine(outcome):
            outcome = Deferred.fromCoroutine(outcome)
        if isinstance(outcome, Deferred):
            return outcome.addErrback(self._failed)
        return None

    def _failed(self, failure: Failure) -> None:
        self.log.failure("Following {feed!r} failed", failure=failure, feed=self.name)

    def _deliver(self, item: Any) -> Deferred[Any] | None:
        """What has waited: a change, or an event with the copy that belongs to it, if one does."""
        if self.stopped:
            return None
        if isinstance(item, bytes):
            head, position, rest = item.split(b"\x00", 2)
            number, _, _, _, verb = head.split(b" ")
            return self._apply(head, int(number), verb, position, rest)
        event, copy, place = item
        if copy is not None:
            self.copy, self.revision = copy, place.revision
        if place is not None:
            self._told = place
        return self._tell(event)

    # -- positions --------------------------------------------------------------------------

    def position(self, told: bool = True, server: str = "") -> Position:
        """How far the handler was told; or what has come, of which some may wait.

        :param server: that it is a position on.
        """
        is_last = self._head is None or self._head is self._told or not told
        head = self._told if told or self._head is None else self._head
        if isinstance(head, str):
            head = encode(head)
        if isinstance(head, bytes):
            head = head.partition(b"\x00")[0]  # of a change that is replayed
        if isinstance(head, Position):
            return Position(head.revision, head.epoch, head.digest, head.publishes, server)
        read = Head(head)
        publishes = self._publishes if is_last else UNKNOWN
        epoch = read.epoch.decode()
        return Position(read.revision, epoch, int(read.digest), publishes, server)
