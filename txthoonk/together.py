"""Calls that travel together: what one turn of the reactor asks of one script is one call of it.

A call of a script costs Redis and the client several times what one more item in it does. So
puts, and finishes, that follow each other on a connection share one EVALSHA. Any other command
sends them off first, so that the wire keeps the order of the calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, Final, Protocol

from twisted.python.failure import Failure

from txthoonk.errors import ItemError, ServerError
from txthoonk.scripts import BoundScript, Connection
from txthoonk.verdicts import verdict_error

__all__ = ["Batch", "Sink", "Together"]

#: How much travels in one call: items, and bytes.
MOST: Final = 200
MOST_BYTES: Final = 1_000_000

#: How many items the first call of a turn takes before it leaves: Redis works on them while the
#: others come. Each further one in the same turn takes twice as many.
FIRST: Final = 25


class Sink(Protocol):
    """Who is told of one item: a Deferred, or what looks like one."""

    @property
    def called(self) -> Any:
        """Whether it is told already: it was cancelled."""

    def callback(self, result: Any) -> None:
        """It was done."""

    def errback(self, fail: Any) -> None:
        """It was not."""


class Together:
    """A script that takes items one behind the other, and what its calls have in common.

    :param bound: answers with a verdict for each item (1, or the code of an error), or with one
        number for all of them.
    :param head: arguments in front of the items.
    """

    __slots__ = ("bound", "head")

    def __init__(self, bound: BoundScript, head: Sequence[bytes] = ()) -> None:
        self.bound = bound
        self.head = tuple(head)


class Batch:
    """One call of a script on its way.

    :param together: which.
    :param most: items.
    """

    __slots__ = ("_args", "_items", "_most", "_room", "together")

    def __init__(self, together: Together, most: int) -> None:
        self.together = together
        self._most = most
        self._args: list[Sequence[bytes]] = []
        self._items: list[tuple[Sink, Any, str]] = []
        self._room = MOST_BYTES

    def has_room(self, args: Sequence[bytes]) -> bool:
        """Whether one more item may travel along."""
        self._room -= sum(map(len, args))
        return self._room >= 0 and len(self._items) < self._most

    def add(self, args: Sequence[bytes], sink: Sink, result: Any, id: str) -> None:
        """Take one item along; *sink* gets *result* when it is done."""
        self._args.append(args)
        self._items.append((sink, result, id))

    def send(self, redis: Connection) -> None:
        """Send what there is, without what was cancelled meanwhile."""
        args = [*self.together.head]
        items = []
        for item, each in zip(self._items, self._args, strict=True):
            if not item[0].called:
                items.append(item)
                args += each
        if items:
            self.together.bound(redis, args).addCallbacks(
                self._told, self._failed, (items,), {}, (items,)
            )

    def _told(self, verdicts: Any, items: list[tuple[Sink, Any, str]]) -> None:
        if type(verdicts) is int:
            for sink, result, _ in items:
                sink.callback(result)
            return
        for (sink, result, id), verdict in zip(items, verdicts, strict=True):
            if verdict == 1:
                sink.callback(result)
            else:
                sink.errback(verdict_error(verdict, self.together.bound.feed, id))

    def _failed(self, failure: Failure, items: list[tuple[Sink, Any, str]]) -> None:
        for sink, _, id in items:
            error: Any = copy(failure.value)  # each has an exception of its own
            if isinstance(error, (ServerError, ItemError)):
                error.id = id
            sink.errback(error)
