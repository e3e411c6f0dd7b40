"""Who waits for something to take, and what is said to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txthoonk.errors import Empty

if TYPE_CHECKING:
    from txthoonk.types.blocked import Blocked

__all__ = ["Source", "Taker", "Waiter"]

T = TypeVar("T")


class Source(Protocol[T]):
    """What a type says of how its items are taken."""

    def take(self, count: int, handed: str) -> Deferred[list[T]]:
        """Take at most *count*, *handed* among them if it is not empty."""

    def give_back(self, taken: list[T]) -> Deferred[Any]:
        """Undo a take, for gets that were cancelled meanwhile."""

    def hand_back(self, id: str) -> Deferred[Any]:
        """Put back an id that came when no get waited any more."""


class Taker(Protocol[T]):
    """Who takes as many as it has room for, again and again."""

    @property
    def wants(self) -> int:
        """How many it has room for now."""

    def taken(self, taken: list[T]) -> None:
        """Take these; never more than it wanted. Must not fail."""

    def not_taken(self, error: Exception) -> None:
        """Be told that nothing can be taken now; it is tried again."""


class Waiter(Generic[T]):
    """One get."""

    def __init__(self, blocked: Blocked[T], timeout: float) -> None:
        self.done: Deferred[T] = Deferred(self._gone)
        self._blocked = blocked
        self._timer: Any = None
        if timeout:
            reactor = blocked.owner.get_reactor()
            self._timer = reactor.callLater(timeout, self._timed_out)

    def succeed(self, result: T) -> None:
        self._stop_timer()
        self.done.callback(result)

    def fail(self, error: Exception | Failure) -> None:
        self._stop_timer()
        self.done.errback(error)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _timed_out(self) -> None:
        self._blocked.leave(self)
        self.done.errback(Empty(self._blocked.feed.name))

    def _gone(self, _: object) -> None:
        self._stop_timer()
        self._blocked.leave(self)
