"""Doing an action: shape, right and revisions are checked, then the function is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from txthoonk.actions.answers import Answer, Refused, done
from txthoonk.actions.conflicts import Seen, conflict_answer, look
from txthoonk.actions.declaring import Action, Declared
from txthoonk.actions.items import Asked, read_item
from txthoonk.actions.registering import find
from txthoonk.actions.rules import ask
from txthoonk.errors import Conflict, FeedDoesNotExist, ItemDoesNotExist
from txthoonk.types.claims import Claim
from txthoonk.types.committing import Change

if TYPE_CHECKING:
    from txthoonk.service import Thoonk

__all__ = ["Act", "Doing", "check"]

#: A job that another worker of the group has the code for is given back at once, so often; then
#: for so many seconds, twice as many each time, at most so many. How many jobs are remembered.
AT_ONCE: Final = 3
ELSEWHERE: Final = 0.5
LONGEST: Final = 10.0
REMEMBERED: Final = 10_000

#: Seconds that the answer to a mere question is kept, and of one that was too large to be read.
SHORTLY: Final = 30.0


class Act:
    """One action that somebody wants done, as its rule and its function see it.

    :ivar thoonk: the instance whose worker this is.
    :ivar name: of the action.
    :ivar user: whoever wants it, as the server side said.
    :ivar payload: of the shape that was declared.
    :ivar id: of the job; empty where only the rule is asked, in the process that asks.
    :ivar revisions: feed -> place in it that the user saw; none of these has changed.
    :ivar claim: of the job; None where only the rule is asked, in the process that asks.
    """

    def __init__(
        self,
        thoonk: Thoonk,
        name: str,
        user: Any,
        payload: Any,
        revisions: Mapping[str, str] | None = None,
        claim: Claim | None = None,
    ) -> None:
        self.thoonk = thoonk
        self.name = name
        self.user = user
        self.payload = payload
        self.revisions = dict(revisions or {})
        self.claim = claim
        self.id = "" if claim is None else claim.id
        #: What was looked at, and has to be so still when anything is changed.
        self.seen: list[Seen] = []

    def __repr__(self) -> str:
        return f"<Act {self.name!r} {self.id!r}>"

    def commit(
        self, *changes: Change, result: Any = None, ttl: float | None = None
    ) -> Deferred[list[Any]]:
        """Change feeds, answer and finish the job, in one step or not at all.

        The feeds of :attr:`revisions` must still be as they were looked at; else this fails, as if
        it were a condition of the function's own, and the answer is 409.

        :param changes: of ``handle.change``, as ``Claim.commit`` takes them.
        :param result: of the answer; a JSON value.
        :param ttl: seconds that the answer is kept, instead of ``result_ttl``.
        :returns: fires with an outcome for each change.
        :raises Conflict: ItemDoesNotExist: FeedDoesNotExist: LeaseLost: (as a failure) as
            ``Claim.commit``: nothing was changed.
        """
        if self.claim is None:
            raise ValueError("only the rule is asked: there is nothing to commit")
        expected = [each for seen in self.seen for each in self._expect(seen, changes)]
        committing = self.claim.commit(*changes, *expected, result=done(result), ttl=ttl)
        return committing.addCallbacks(lambda outcomes: outcomes[: len(changes)], self._gone)

    def _gone(self, failure: Failure) -> Failure:
        """A feed that the user saw has changed, too, if it is not there any more."""
        error: Any = failure.value
        if failure.check(FeedDoesNotExist) and error.feed in (each.name for each in self.seen):
            raise Conflict(error.feed, "", "it was deleted") from None
        return failure

    def _expect(self, seen: Seen, changes: tuple[Change, ...]) -> list[Change]:
        """The condition that a feed has not changed since it was looked at."""
        handles = [each.feed for each in changes if each.feed.name == seen.name]
        handle: Any = handles[0] if handles else None
        if handle is None:
            if not seen.kind:
                return []  # it is not there, and this shall not create it
            kind = self.thoonk.sorted_feed if seen.kind == "sorted_feed" else self.thoonk.feed
            handle = kind(seen.name).made()  # it is not to be created, if it is gone
        return [handle.change.expect(seen.revision, seen.epoch or None)]


def check(thoonk: Thoonk, declared: Declared, action: Action, asked: Asked) -> Act:
    """Check the shape of what is asked.

    :raises Refused: 422, or 400 if the user is none of this group.
    """
    user = asked.user
    if declared.user_shape is not None:
        try:
            user = declared.user_shape.check(user)
        except Refused as refused:
            raise Refused(400, f"this user cannot be: {refused.error}") from None
    return Act(thoonk, action.name, user, action.shape.check(asked.payload), asked.revisions)


class Doing:
    """Does the jobs of actions: the handler of a worker.

    :param thoonk: the instance of the worker.
    :param actions: that it has the code of.
    """

    def __init__(self, thoonk: Thoonk, actions: Declared) -> None:
        self._thoonk = thoonk
        self._actions = actions
        #: Jobs that others have the code for, and how often they came here.
        self._came: dict[str, int] = {}

    async def __call__(self, claim: Claim) -> Answer | None:
        """Do a job; what is returned is its result."""
        try:
            asked = read_item(claim.item, self._actions.limits)
        except Refused as refused:
            if refused.code == 413:  # the job's item is kept with its result
                await claim.finish(refused.answer, ttl=min(SHORTLY, self._actions.result_ttl))
            return refused.answer
        try:
            action = self._actions.get(asked.action)
            if action is None:
                return await self._unknown(claim, asked)
            act = check(self._thoonk, self._actions, action, asked)
            act.claim, act.id = claim, claim.id
            await ask(action.rule, act)
            if not asked.can:
                return await self._call_function(action, act)
        except Refused as refused:
            answer = refused.answer
        else:
            answer = done()
        if asked.can and claim.ending is None:
            await claim.finish(answer, ttl=SHORTLY)
        return answer

    async def _unknown(self, claim: Claim, asked: Asked) -> Answer | None:
        """Nobody's action, or one that another worker of the group has the code for."""
        found = await find(self._thoonk, self._actions.group, asked.action, {})
        if found is None or found.feed != claim.job.name:
            raise Refused(404, "there is no such action")
        count = self._came.pop(claim.id, 0) + 1
        self._came[claim.id] = count
        if len(self._came) > REMEMBERED:
            del self._came[next(iter(self._came))]
        if count <= AT_ONCE:  # whoever waits longest is the next to take it
            await claim.release()
        else:
            doubled = min(count - AT_ONCE - 1, 16)
            await claim.release(delay=min(LONGEST, ELSEWHERE * 2**doubled))
        return None

    async def _call_function(self, action: Action, act: Act) -> Answer:
        """Call the function; what says that it could not be done as asked is an answer."""
        claim: Any = act.claim
        try:
            act.seen = await look(self._actions, self._thoonk, act.user, act.revisions)
            return done(await maybeDeferred(action.function, act))
        except (Refused, Conflict, ItemDoesNotExist, FeedDoesNotExist) as error:
            if claim.ending is not None:
                raise  # it was done before: the answer is given
            if isinstance(error, Refused):
                raise
            if isinstance(error, Conflict):
                raise await conflict_answer(
                    self._actions, self._thoonk, act.user, act.revisions, error
                ) from None
            raise Refused(404, error.sentence) from None
