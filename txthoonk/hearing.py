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
from txthoonk.events import Published
from txthoonk.keys import FeedKeys, decode, encode
from txthoonk.listener import NONE, as_it_is
from txthoonk.positions import Position
from txthoonk.serializers import SERIALIZERS, Serializer

__all__ = ["Hearing"]

#: Changes that are kept while the feed is read: bytes. Past it they are read, too.
KEPT: Final = 4_000_000

#: How many items are suspected one by one.
MANY: Final = 1000

#: How often something was published up to a change that has waited for its handler.
UNKNOWN: Final = -1

#: Before the first revision there ever was.
NOWHERE: Final = Position(0, "", 0, 0)


class Hearing:
    """One feed, one handler.

    :param name: of the feed.
    :param handler: gets the events.
    :param serializer: for items.
    :param budget: what may wait for the handler.
    :param foreign: whether other programs' changes are listened for.
    """

    log = Logger()

    __slots__ = (
        *("_buffer", "_buffered", "_doubt", "_foreign", "_gone", "_handler", "_head", "_inbox"),
        *("_is_text", "_maker", "_publishes", "_received", "_stale", "_suspects", "_told"),
        *("_twin", "_twin_place", "_unsure", "copy", "epoch", "listens", "name", "revision"),
        "stopped",
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
        self._is_text = serializer is SERIALIZERS["text"]
        self._inbox = Inbox(self, budget)
        self._foreign = foreign
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
        self._head: bytes | str | Position = NOWHERE
        #: How often something was published, if nobody else is there.
        self._publishes = 0
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
        # What follows is _heard for most changes, without its calls: the next one of a feed of
        # texts, a new item at its end, for a handler that is not at work.
        revision = self._received + 1
        text = change.decode("utf-8", "surrogateescape")
        head, position, id, *item = text.split("\x00", 3)
        number, epoch, _, _, verb = head.split(" ")
        copy = self.copy
        if (
            verb == "publish"
            and number == f"{revision}"
            and epoch == self.epoch
            and not (position or self._unsure or self.stopped or self._inbox.busy)
            and self._is_text
            and type(copy) is Copy
        ):
            if self._foreign:
                self._twin, self._twin_place = change[len(head) + 2 :], None
            self._received = self.revision = revision
            self._head = self._told = head
            self._publishes += 1
            items = copy.items
            before = len(items)
            items[id] = item[0]
            if len(items) == before:
                items[id] = items.pop(id)
            try:
                outcome = self._handler(Published(self.name, id, item[0], revision))
            except Exception:
                self._failed(Failure())
                return
            if outcome is not None:
                self._inbox.wait_for(self._outcome(outcome))
        else:
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
        if verb == b"publish" or verb == b"edit":
            self._publishes += 1
        elif verb.endswith(ADOPTED):
            self._publishes = Head(head).publishes
            if self._suspects:
                id = rest.partition(b"\x00")[0]
                self._suspects.pop(id.decode("utf-8", "surrogateescape"), None)
        inbox = self._inbox
        if inbox.busy:
            inbox.put(change, len(change))
            if inbox.overflown:
                self._unsure = self._stale = True
                self._buffer = None
        else:
            outcome = self._apply(head, revision, verb, position, rest)
            if outcome is not None:
                inbox.wait_for(outcome)

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
        self.revision = revision
        self._told = head
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
        head = self._told if told else self._head
        if isinstance(head, str):
            head = encode(head)
        if isinstance(head, bytes):
            head = head.partition(b"\x00")[0]  # of a change that is replayed
        if isinstance(head, Position):
            return Position(head.revision, head.epoch, head.digest, head.publishes, server)
        read = Head(head)
        publishes = self._publishes if head is self._head else UNKNOWN
        epoch = read.epoch.decode()
        return Position(read.revision, epoch, int(read.digest), publishes, server)
