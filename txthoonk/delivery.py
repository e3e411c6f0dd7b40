"""Events on their way to one handler: in order, and no more of them than was allowed."""

from __future__ import annotations

from collections import deque
from inspect import iscoroutine
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred

from txthoonk._deferred import ignore

__all__ = ["Budget", "Inbox"]

#: How many events that are read wait at most, before others are read.
MANY: Final = 500

#: What an event costs beside its bytes: about.
OVERHEAD: Final = 120


class Budget:
    """How much may wait for one handler, of however many feeds.

    :param events: how many of them.
    :param size: how many bytes.
    """

    __slots__ = ("_events", "_size")

    def __init__(self, events: int, size: int) -> None:
        self._events = events
        self._size = size

    def take(self, size: int) -> bool:
        """Whether one more may wait."""
        if not self.fits(size):
            return False
        self._events -= 1
        self._size -= size
        return True

    def fits(self, size: int) -> bool:
        """Whether one more could wait."""
        return self._events > 0 and self._size >= size

    def give_back(self, events: int, size: int) -> None:
        """They wait no more."""
        self._events += events
        self._size += size


class Receiver(Protocol):
    """Whose inbox it is."""

    def _deliver(self, item: Any) -> object:
        """Get what has waited; what it returns is waited for if it is a Deferred or a coroutine.

        It must not raise an exception, nor may that fail.
        """

    def _work(self) -> None:
        """Nothing waits any more."""

    def _be_slow(self) -> None:
        """From now on what comes waits."""


class Inbox:
    """What waits while a handler is at work; then one after the other.

    :param receiver: gets each.
    :param budget: what may wait.
    """

    __slots__ = (
        *("_at_work", "_budget", "_drained", "_held", "_queue", "_receiver", "_size"),
        *("_turning", "busy", "overflown"),
    )

    def __init__(self, receiver: Receiver, budget: Budget) -> None:
        self._receiver = receiver
        self._budget = budget
        self._queue: deque[tuple[Any, int]] | None = None
        self._size = 0
        #: Whether the handler is at work, or something waits for it.
        self.busy = False
        self._at_work = self._turning = self._held = False
        self._drained: Deferred[None] | None = None
        #: Whether something was too much; what waited then is gone.
        self.overflown = False

    def put(self, item: Any, size: int = 0) -> None:
        """Deliver, now or when it is its turn."""
        if not self.busy:
            self.wait_for(self._receiver._deliver(item))
        elif not self.overflown:
            size += OVERHEAD
            if self._queue is None:
                self._queue = deque()
            if self._budget.take(size):
                self._queue.append((item, size))
                self._size += size
            else:
                self.clear()
                self.overflown = True

    def wait_for(self, outcome: object) -> None:
        """Deliver nothing until what a handler returned is through."""
        if outcome is None:
            return
        if iscoroutine(outcome):
            outcome = Deferred.fromCoroutine(outcome)
        if isinstance(outcome, Deferred):
            self.busy = self._at_work = True
            self._receiver._be_slow()
            outcome.addBoth(ignore).addCallback(self._next)

    def room(self, size: int) -> Deferred[None]:
        """Fires when one more may be put that need not be: at once, or when nothing waits.

        For one caller at a time.

        :param size: of what is to be put.
        """
        drained: Deferred[None] = Deferred()
        few = self._queue is None or len(self._queue) < MANY
        if not self.busy or (few and not self._held and self._budget.fits(size + OVERHEAD)):
            drained.callback(None)
        else:
            self._drained = drained
        return drained

    def hold(self) -> None:
        """Deliver nothing until :meth:`release`."""
        self.busy = self._at_work = self._held = True
        self._receiver._be_slow()

    def release(self) -> None:
        """The opposite of :meth:`hold`."""
        self._held = False
        self._next(None)

    def clear(self) -> None:
        """Forget what waits."""
        queue, self._queue = self._queue, None
        if queue:
            self._budget.give_back(len(queue), self._size)
        self._size = 0
        drained, self._drained = self._drained, None
        if drained is not None:
            drained.callback(None)

    def _next(self, _: object) -> None:
        self._at_work = False
        if self._turning:
            return  # what follows has just called a handler that is through already
        self._turning = True
        while self._queue and not self._at_work:
            item, size = self._queue.popleft()
            self._size -= size
            self._budget.give_back(1, size)
            self.wait_for(self._receiver._deliver(item))
        self._turning = False
        if not self._at_work:
            self.busy = False
            self._queue = None
            drained, self._drained = self._drained, None
            if drained is not None:
                drained.callback(None)
            self._receiver._work()
