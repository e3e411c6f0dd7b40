"""Claims: jobs that this process has taken, and the leases it holds them by."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from twisted.internet.defer import Deferred

from txthoonk.keys import decode
from txthoonk.types.backoff import Backoff
from txthoonk.types.base import new_id

if TYPE_CHECKING:
    from txthoonk.types.committing import Change
    from txthoonk.types.job import Job

__all__ = ["NO_RESULT", "Attempt", "Claim", "Policy", "new_token", "read_attempts", "worker_name"]


class _NoResult:
    """The type of :data:`NO_RESULT`."""

    def __repr__(self) -> str:
        return "NO_RESULT"


#: Finishing with this says that the job is done, and nothing else.
NO_RESULT: Final = _NoResult()

_HOST: Final = re.sub(r"[^!-~]", "_", socket.gethostname())[:40]

#: How much of what went wrong is kept.
_LONGEST: Final = 500


def worker_name() -> str:
    """This process, in histories and tokens: host and process id."""
    return f"{_HOST}:{os.getpid()}"


def new_token() -> str:
    """What proves a claim: new for each call that claims, and nobody else's."""
    # So long that Redis keeps the leases in a form in which each is found at once.
    return f"{worker_name()}:{new_id()}"


def one_line(text: str) -> str:
    """What went wrong, as a history has it."""
    # An exception may say what is no text: a surrogate alone.
    line = " ".join(text.split()).encode("utf-8", "backslashreplace").decode()
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


class Attempt(NamedTuple):
    """One attempt at a job that came to nothing.

    :ivar when: it ended: milliseconds since 1970 by Redis's clock.
    :ivar worker: host and process id of whoever reported it.
    :ivar error: what went wrong.
    """

    when: int
    worker: str
    error: str


def read_attempts(history: bytes | None) -> list[Attempt]:
    """The history of a job; lines that somebody else wrote there are left out."""
    attempts = []
    for line in decode(history or b"").splitlines():
        when, _, rest = line.partition("\t")
        worker, tab, error = rest.partition("\t")
        if tab and when.isdigit():
            attempts.append(Attempt(int(when), worker, error))
    return attempts


class Policy(NamedTuple):
    """What the feed says of claims, as of when this one was made.

    :ivar claim_timeout: seconds.
    :ivar max_attempts: ``None`` where the feed does not say; 0 is no limit.
    :ivar backoff: ``None`` where the feed does not say.
    """

    claim_timeout: float
    max_attempts: int | None
    backoff: Backoff | None

    @staticmethod
    def read(timeout: bytes, attempts: bytes, backoff: bytes) -> Policy:
        """What the claim script tells; a peer may have written anything."""
        try:
            seconds = float(timeout)
        except ValueError:
            seconds = 0.0
        try:
            pause = Backoff.parse(decode(backoff)) if backoff else None
        except ValueError:
            pause = None
        # As in the scripts: 30 seconds where the feed does not say, or says what cannot be.
        return Policy(
            seconds if 0 < seconds <= 1e9 else 30.0,
            int(attempts) if attempts.isdigit() else None,
            pause,
        )


class _Claim(NamedTuple):
    """The parts of a claim."""

    id: str
    item: Any
    cancelled: int


class Claim(_Claim):
    """A job that this process has claimed: ``id, item, cancelled = claim``.

    :ivar id: of the job.
    :ivar item: what was put.
    :ivar cancelled: how often it was claimed before, and cancelled or not finished in time.
    :ivar token: proves the claim to Redis.
    :ivar policy: what the feed said of claims when this was made.
    :ivar ending: of the verb that ends this claim, once one was called.
    """

    job: Job
    token: bytes
    policy: Policy
    ending: Deferred[Any] | None = None
    #: When it was asked for or last extended, by this process's clock.
    renewed: float = 0.0
    #: Called with the reason when the job was given up by its id; a worker's.
    when_taken_away: Callable[[str], None] | None = None

    def finish(self, result: Any = NO_RESULT, ttl: float | None = None) -> Deferred[None]:
        """As :meth:`Job.finish`; with this claim's token, whatever was claimed since.

        :raises LeaseLost: (as a failure) if the claim has ended.
        """
        return self.job.finish_claimed(self.id, self, result, ttl)

    def commit(
        self, *changes: Change, result: Any = NO_RESULT, ttl: float | None = None
    ) -> Deferred[list[Any]]:
        """Change feeds and finish the job in one go: all of it, once, or nothing.

        The conditions of the changes, and which items there are, are those of before the commit.
        When it is refused the claim is still held, and the job may be ended in another way.

        :param changes: what ``feed.change`` makes, in this order; at most 1,000 and 1,000,000
            bytes of items and ids. Feeds that are not there are created before. An item is changed
            once (edited and moved, in a sorted feed), and not named any more once it is retracted.
        :param result: as of :meth:`Job.finish`; so is *ttl*, in seconds.
        :returns: fires with what each change's verb would fire with; ``None`` for ``expect``.
        :raises LeaseLost: (as a failure) if the claim has ended; nothing was changed.
        :raises Conflict: (as a failure) if a feed or an item has changed meanwhile.
        :raises ItemDoesNotExist: (as a failure) if an item is not there.
        :raises FeedDoesNotExist: WrongFeedType: (as a failure) if a feed was deleted, or is of
            another type.
        :raises CrossSlot: (as a failure) if the feeds are in several slots of a cluster.
        :raises ConnectionLost: (as a failure) if the connection broke: it may have happened. To
            try again is safe: then it fails with ``LeaseLost``.
        :raises ValueError: TypeError: if the changes cannot go together; at once.
        """
        return self.job.commit_claimed(self, changes, result, ttl)

    def cancel(self, delay: float | None = None) -> Deferred[None]:
        """As :meth:`Job.cancel`; else as :meth:`finish`."""
        return self.job.cancel_claimed(self.id, self, delay)

    def release(self, delay: float = 0) -> Deferred[None]:
        """As :meth:`Job.release`; else as :meth:`finish`.

        :param delay: seconds until it is available, then behind the others; at once, and the next
            one, if not given.
        """
        if delay:
            return self.job.postpone_claimed(self.id, self, delay)
        return self.job.release_claimed(self.id, self)

    def stall(self, reason: str | None = None) -> Deferred[None]:
        """As :meth:`Job.stall`; else as :meth:`finish`."""
        return self.job.stall_claimed(self.id, self, reason)

    def extend(self) -> Deferred[None]:
        """Let the claim hold for another ``claim_timeout``, from now on.

        :raises LeaseLost: (as a failure) if it has ended.
        """
        return self.job.extend([self]).addCallback(_only)

    def progress(self, value: Any) -> Deferred[None]:
        """Tell whoever waits for the result how far the job is.

        :param value: what the feed's serializer takes; not stored.
        :raises LeaseLost: (as a failure) if the claim has ended.
        """
        return self.job.progress_claimed(self.id, self, value)


def _only(outcomes: list[Exception | None]) -> None:
    if outcomes[0] is not None:
        raise outcomes[0]
