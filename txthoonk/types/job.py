"""Jobs: each is claimed by a worker, who must finish it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from txthoonk._deferred import ignore
from txthoonk.errors import ConnectionLost, ItemError, JobNotClaimed
from txthoonk.keys import decode, encode
from txthoonk.scripts import Connection
from txthoonk.serializers import of_results
from txthoonk.together import Together
from txthoonk.types.base import Owner
from txthoonk.types.claims import (
    NO_RESULT,
    Claim,
    Policy,
    new_token,
)
from txthoonk.types.committing import Change, Commit
from txthoonk.types.items import none
from txthoonk.types.operating import JobStats, report
from txthoonk.types.producing import milliseconds
from txthoonk.types.scheduling import Scheduled
from txthoonk.verdicts import verdict_error

__all__ = ["Job", "JobStats"]

T = TypeVar("T")

#: For the claim script: whatever is on its way; no id has a NUL.
ON_ITS_WAY: Final = b"\x00"

#: How many claims are many, and how many seconds after its last extension one is old.
CROWD: Final = 1000
OLD: Final = 3600.0


class Job(Scheduled):
    """Jobs that wait, are claimed, and end finished, cancelled (to be claimed again) or stalled.

    Options: ``serializer``, ``title``; ``announce``: ``False`` leaves out the messages on
    ``feed.publishes`` and ``feed.claimed``, for speed; and, for everybody who works on them,

    * ``claim_timeout``: seconds that a claim holds unless it is extended; 30 if not given;
    * ``max_attempts``: a job whose claims were given up, failed or expired so often is parked;
      if not given, 5 of those that failed or expired; 0 is no limit;
    * ``backoff``: seconds before the next attempt, a number or ``"fixed:S"`` or
      ``"exponential:BASE[:MAX]"``, each with ``":jitter"`` behind it if wanted;
    * ``peer_timeout``: seconds that a claim of a program without leases holds; for ever if not
      given;
    * ``result_ttl``: seconds that results are kept; 60 if not given; 0 keeps none.
    """

    TYPE = FAMILY = "job"
    OPTIONS = Scheduled.OPTIONS | {
        *("announce", "claim_timeout", "max_attempts", "backoff", "peer_timeout", "result_ttl")
    }
    CHANNELS = ("put_channel", "claim_channel", "finish_channel")
    SCHEMA = (
        *Scheduled.SCHEMA,
        *("published", "claimed", "cancelled", "stalled", "finishes", "lost"),
        *("lease", "errors", "delayed", "results", "due", "schedules", "ticks"),
    )

    def __init__(
        self, pub: Owner, name: str, config: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        super().__init__(pub, name, config, **options)
        self._claim = self._bind("job/claim")
        self._finish = self._bind("job/finish")
        self._finishes = Together(self._finish, (b"",))
        self._release = self._bind("job/release")
        #: What this instance has claimed of the feed, whichever handle it used.
        self._claims: dict[str, Claim] = pub.claims_of(name)
        self._crowd = CROWD

    # -- claiming ---------------------------------------------------------------------------

    def get(self, timeout: float = 0) -> Deferred[Claim]:
        """Claim the next job, for ``claim_timeout`` seconds; ``Claim.extend`` makes it longer.

        :param timeout: seconds; ``0`` waits for ever.
        :returns: fires with the claim. Cancelling gives up the wait; no job is lost.
        :raises Empty: (as a failure) if no job came in time.
        :raises ItemError: (as a failure) if the job's item cannot be decoded; it is stalled.
        :raises FeedDoesNotExist: (as a failure) if the feed was deleted.
        :raises NotConnected: (as a failure) if Redis was out of reach for ``connect_timeout``.
        :raises ConnectionLost: (as a failure) if the connection broke in the middle of a claim:
            a job *may* be claimed.
        """
        taken: Deferred[Claim] = self.pub.blocked(self).get(timeout, self._unless_made())
        return taken.addCallback(self._readable)

    def finish(
        self, id: str | int, result: Any = NO_RESULT, ttl: float | None = None
    ) -> Deferred[None]:
        """Finish a claimed job: it is done and gone. Finishes of one turn travel together.

        If this instance has claimed it, only that claim counts; otherwise whoever has.

        :param result: kept and announced; without one the job is done all the same.
        :param ttl: seconds that the result is kept for :meth:`get_result`, instead of the feed's
            ``result_ttl``.
        :raises JobNotClaimed: (as a failure) if it is not claimed; nothing is written.
        :raises LeaseLost: (as a failure) if our claim has ended; nothing is written.
        """
        id = self._id(id)
        return self.finish_claimed(id, self._claims.get(id), result, ttl)

    def cancel(self, id: str | int, delay: float | None = None) -> Deferred[None]:
        """Give up a claimed job: it is available again, and counts as cancelled once more.

        If this instance has claimed it, only that claim counts, and its handler, if a worker
        runs one, is cancelled; otherwise whoever has. Where the feed has ``max_attempts``, one that
        was cancelled as often is parked.

        :param delay: seconds until it is available; by the feed's ``backoff`` if not given, at
            once if it has none.
        :raises JobNotClaimed: (as a failure) if it is not claimed; nothing is written.
        :raises LeaseLost: (as a failure) if our claim has ended; nothing is written.
        """
        id = self._id(id)
        claim = self._claims.get(id)
        return self._takes_away(claim, self.cancel_claimed(id, claim, delay))

    def release(self, id: str | int) -> Deferred[None]:
        """Give back a claimed job as if it had not been claimed: it is the next one.

        Whose claim counts is as in :meth:`cancel`.

        :raises JobNotClaimed: (as a failure) if it is not claimed; nothing is written.
        :raises LeaseLost: (as a failure) if our claim has ended; nothing is written.
        """
        id = self._id(id)
        claim = self._claims.get(id)
        return self._takes_away(claim, self.release_claimed(id, claim))

    def subscribe(self, **handlers: Callable[[Any], object]) -> Deferred[Any]:
        """Call handlers for the events of these jobs; ``publish`` means ``put``.

        See ``Thoonk.subscribe``.
        """
        if "publish" in handlers:
            handlers["put"] = handlers.pop("publish")
        return super().subscribe(**handlers)

    # -- for claims and workers -------------------------------------------------------------

    def finish_claimed(
        self, id: str, claim: Claim | None, result: Any, ttl: float | None
    ) -> Deferred[None]:
        """Finish by a claim, or as a peer would if there is none."""
        args = (encode(id), b"" if claim is None else claim.token, self.encode_result(result))
        _check_ttl(ttl)
        if ttl is None:
            done = self._gathered(self._finishes, args, id)
        else:
            done = self._run(self._finish, (b"%.15g" % ttl, *args), _verdict, self.name, id, id=id)
        return self._ends(claim, done)

    def commit_claimed(
        self, claim: Claim, changes: Sequence[Change], result: Any, ttl: float | None
    ) -> Deferred[list[Any]]:
        """Change feeds and finish by a claim."""
        _check_ttl(ttl)
        return self._ends(claim, Commit(claim, changes).send(self.encode_result(result), ttl))

    def encode_result(self, result: Any) -> bytes:
        """A result as the finish script takes it."""
        return b"" if result is NO_RESULT else b"+" + of_results(self.serializer).encode(result)

    def decode_result(self, data: bytes, id: str) -> Any:
        """The result of a job, or an :exc:`ItemError` in its place."""
        try:
            return of_results(self.serializer).decode(data)
        except Exception as error:
            return ItemError(self.name, id, f"{type(error).__name__}: {error}")

    def finish_for(self, sink: Any, claim: Claim, result: bytes) -> None:
        """Finish by a claim; *sink* is told what became of it. For workers."""
        args = (encode(claim.id), claim.token, result)
        self.pub.redis.gather_for(sink, self._finishes, args, None, claim.id)

    def finish_encoded(self, claim: Claim, result: bytes) -> Deferred[None]:
        """The same, where a Deferred is wanted."""
        args = (encode(claim.id), claim.token, result)
        return self._gathered(self._finishes, args, claim.id)

    def _gathered(self, together: Together, args: tuple[bytes, ...], id: str) -> Deferred[None]:
        if self._made:
            return self.pub.redis.gather(together, args, None, id)
        return self._when_made().addCallback(
            lambda _: self.pub.redis.gather(together, args, None, id)
        )

    def cancel_claimed(
        self,
        id: str,
        claim: Claim | None,
        delay: float | None,
    ) -> Deferred[None]:
        """Cancel by a claim, or as a peer would if there is none."""
        if delay is not None and not 0 <= delay <= 1e9:  # as in the options; nor NaN
            raise ValueError(f"a delay is 0 or more seconds, at most 1e9, not {delay!r}")
        if delay is None:
            backoff = None if claim is None else claim.policy.backoff
            delay = 0 if claim is None or backoff is None else backoff.seconds(claim.cancelled + 1)
        token = b"" if claim is None else claim.token
        return self._ends(claim, self.give_up("cancelled", id, token, delay, "").addCallback(none))

    def give_up(self, why: str, id: str, token: bytes, delay: float, text: str) -> Deferred[int]:
        """Cancel, for one of the reasons that the script knows; fires with 0 if it was parked."""
        args = (why.encode(), encode(id), token, milliseconds(delay), *report(text))
        return self._run(self._cancel, args, int, id=id)

    def release_claimed(self, id: str, claim: Claim | None) -> Deferred[None]:
        """Release by a claim, or as a peer would if there is none."""
        args = (encode(id), b"" if claim is None else claim.token)
        done = self._run(self._release, args, _verdict, self.name, id, id=id)
        return self._ends(claim, done)

    def postpone_claimed(self, id: str, claim: Claim, delay: float) -> Deferred[None]:
        """Release by a claim, for later."""
        if not 0 < delay <= 1e9:
            raise ValueError(f"a delay is 0 or more seconds, at most 1e9, not {delay!r}")
        # In whole milliseconds, and not none.
        args = (encode(id), claim.token, b"%d" % max(1, delay * 1000))
        done: Deferred[None] = self._run(self._bind("job/postpone"), args, none, id=id)
        return self._ends(claim, done)

    def stall_claimed(self, id: str, claim: Claim, reason: str | None) -> Deferred[None]:
        """Stall by a claim."""
        args = (encode(id), claim.token, b"", *report(reason or ""))
        done: Deferred[None] = self._run(self._bind("job/stall"), args, none, id=id)
        return self._ends(claim, done)

    def progress_claimed(self, id: str, claim: Claim, value: Any) -> Deferred[None]:
        """Tell how far a claimed job is."""
        args = (encode(id), claim.token, self._encode(value))
        return self._run(self._bind("job/progress"), args, none, id=id)

    def extend(self, claims: Sequence[Claim]) -> Deferred[list[Exception | None]]:
        """Let claims hold for another ``claim_timeout``, in one call.

        :returns: fires with what went wrong with each, or None.
        """
        args = [part for claim in claims for part in (encode(claim.id), claim.token)]

        def told(verdicts: list[Any]) -> list[Exception | None]:
            now = self._now()
            errors: list[Exception | None] = []
            for claim, verdict in zip(claims, verdicts, strict=True):
                if isinstance(verdict, int):
                    claim.renewed = now
                    claim.policy = claim.policy._replace(claim_timeout=verdict / 1000)
                    errors.append(None)
                else:
                    errors.append(verdict_error(verdict, self.name, claim.id))
            return errors

        return self._run(self._bind("job/extend"), args, told)

    def _ends(self, claim: Claim | None, done: Deferred[T]) -> Deferred[T]:
        """Note that a claim ends, or that it had ended."""
        if claim is None:
            return done

        def ended(result: T) -> T:
            self.forget(claim)
            return result

        claim.ending = done
        return done.addCallbacks(ended, self._not_ended, errbackArgs=(claim,))

    def _takes_away(self, claim: Claim | None, done: Deferred[None]) -> Deferred[None]:
        """Tell the worker that runs the handler of a claim, which may not have done that itself."""

        def taken_away(_: None) -> None:
            if claim is not None and claim.when_taken_away is not None:
                claim.when_taken_away("it was given up by its id")

        return done.addCallback(taken_away)

    def forget(self, claim: Claim) -> None:
        """A claim has ended."""
        if self._claims.get(claim.id) is claim:
            del self._claims[claim.id]

    def _not_ended(self, failure: Any, claim: Claim) -> Any:
        # One that was lost is kept in mind: whoever says the same once more is refused again.
        if not isinstance(failure.value, JobNotClaimed):
            claim.ending = None
        return failure

    # -- for the waiting gets ---------------------------------------------------------------

    def taken_as(self) -> int:
        """Claims are made with their items, so each serializer has its own."""
        return id(self.serializer)

    def take(self, count: int, handed: str) -> Deferred[list[Claim]]:
        """Claim at most *count* jobs, the one that was *handed* first."""
        token = new_token().encode()
        args = (b"%d" % count, encode(handed), token)
        taking: Deferred[list[Claim]] = self._claim(
            self.pub.redis, args, self._taken, token, self._now(), id=handed
        )
        return taking.addErrback(self._not_taken, token)

    def take_handed(self, count: int, redis: Connection) -> Deferred[list[Claim]]:
        """Claim what a BLMOVE before this, on the same connection, has put on its way.

        Redis does both in one go when there is a job: nothing travels in between, and nothing is
        left on its way if this process dies.
        """
        token = new_token().encode()
        args = (b"%d" % count, ON_ITS_WAY, token)
        taking: Deferred[list[Claim]] = self._claim(redis, args, self._taken, token, self._now())
        return taking.addErrback(self._not_taken, token)

    def _not_taken(self, failure: Failure, token: bytes) -> Failure:
        """Where the reply was lost something may be claimed, and nobody works on it."""
        if failure.check(ConnectionLost):
            unclaim = self._bind("job/unclaim")
            unclaim(self.pub.redis, (token,)).addErrback(ignore)  # else its lease expires
        return failure

    def give_back(self, taken: list[Claim]) -> Deferred[Any]:
        """Release what nobody waits for any more."""
        for claim in taken:
            self.forget(claim)
        args = [part for claim in taken for part in (encode(claim.id), claim.token)]
        return self._release(self.pub.redis, args)

    def _taken(self, reply: list[Any], token: bytes, asked: float) -> list[Claim]:
        policy = Policy.read(*reply[:3])
        claims, ours, decode_item = [], self._claims, self.decode
        if len(ours) > self._crowd:
            self._forget_old(asked)
        for i in range(3, len(reply), 3):
            id = decode(reply[i])
            claim = Claim(id, decode_item(reply[i + 1], id), reply[i + 2])
            claim.job = self
            claim.token = token
            claim.policy = policy
            claim.renewed = asked
            ours[id] = claim
            claims.append(claim)
        return claims

    def _now(self) -> float:
        return self.pub.get_reactor().seconds()

    def _forget_old(self, now: float) -> None:
        """Claims that were lost long ago, and were never ended, are not kept for ever."""
        for claim in list(self._claims.values()):
            if now - claim.renewed > max(OLD, 10 * claim.policy.claim_timeout):
                del self._claims[claim.id]
        self._crowd = max(CROWD, 2 * len(self._claims))

    def _readable(self, claim: Claim) -> Claim | Deferred[Claim]:
        if isinstance(claim.item, ItemError):
            # Nobody can do it: parked, where an operator sees it, rather than run in circles.
            stalled = maybeDeferred(claim.stall, str(claim.item))
            return stalled.addBoth(_raise, claim.item)
        return claim


def _raise(_: object, error: Exception) -> Any:
    raise error


def _check_ttl(ttl: float | None) -> None:
    if ttl is not None and not 0 <= ttl <= 1e9:
        raise ValueError(f"a result is kept 0 or more seconds, at most 1e9, not {ttl!r}")


def _verdict(verdicts: list[Any], feed: str, id: str) -> None:
    """The verdict on the only job of a call."""
    if verdicts[0] != 1:
        raise verdict_error(verdicts[0], feed, id)
