"""Putting actions, and getting their answers: for web processes, and whoever acts for a user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from twisted.internet.defer import Deferred

from txthoonk._deferred import returns_deferred
from txthoonk.actions.acts import check
from txthoonk.actions.answers import ITEMS, Answer, Refused, failed, pending, read_answer
from txthoonk.actions.declaring import Action, Declared
from txthoonk.actions.items import Asked, job_id, make_item, read_item
from txthoonk.actions.registering import Elsewhere, feed_of, find
from txthoonk.actions.rules import ask
from txthoonk.errors import (
    FeedDoesNotExist,
    ItemDoesNotExist,
    ItemError,
    JobFailed,
    NotFinished,
)
from txthoonk.keys import encode
from txthoonk.scripts import script
from txthoonk.types import Job
from txthoonk.types.base import new_id
from txthoonk.types.results import read_kept

if TYPE_CHECKING:
    from txthoonk.service import Thoonk

__all__ = ["Actions"]

_GONE: Final[Answer] = {
    "code": 404,
    "error": "there is no such action, or its answer is not kept any more",
}

#: Seconds that a worker gets to say whether somebody may.
TIMEOUT: Final = 5.0


class Actions(Declared):
    """A group of actions: declared here, in other processes, or both.

    See :class:`~txthoonk.actions.declaring.Declared` for the parameters. A process that has none
    of the functions, ``Actions("board")``, puts what others have declared.
    """

    def __init__(self, group: str, **options: Any) -> None:
        super().__init__(group, **options)
        self._jobs: WeakKeyDictionary[Thoonk, dict[str, Job]] = WeakKeyDictionary()

    # -- putting ----------------------------------------------------------------------------

    @returns_deferred
    async def put(
        self,
        thoonk: Thoonk,
        user: Any,
        name: str,
        payload: Any,
        id: str | None = None,
        revisions: Mapping[str, str] | None = None,
    ) -> str:
        """Put an action, for a worker.

        :param user: whoever wants it: a JSON value, of the server side's own.
        :param name: of the action.
        :param payload: as the client said: a JSON object, or a Struct.
        :param id: the client's own; made up if not given. One that the same user has given before
            is not put again, whatever it was for, until its answer is not kept any more.
        :param revisions: feed -> place in it that the user saw. If one has changed the answer is
            409.
        :returns: fires with the id of the job, for :meth:`answer`; see
            :func:`~txthoonk.actions.job_id`.
        :raises Refused: (as a failure) 404 if nobody has declared it, 413 or 422 if the payload is
            seen to be wrong: nothing was put.
        :raises ThoonkError: (as a failure) as ``Job.put``.
        """
        job, data, known = await self._made(thoonk, user, name, payload, id, revisions)
        try:
            return await job.put(data, id=known, once=True)
        except FeedDoesNotExist:
            job = self._job(thoonk, job.name, anew=True)
            return await job.put(data, id=known, once=True)

    @returns_deferred
    async def do(
        self,
        thoonk: Thoonk,
        user: Any,
        name: str,
        payload: Any,
        id: str | None = None,
        revisions: Mapping[str, str] | None = None,
        timeout: float = 10.0,
    ) -> Answer:
        """Put an action and wait for its answer.

        :param timeout: seconds; ``0`` waits for ever.
        :returns: fires with the answer: also where :meth:`put` would fail with
            :exc:`~txthoonk.actions.Refused`; and ``{"code": 202, "id": ...}`` if there is none in
            time.
        :raises ThoonkError: (as a failure) as ``Job.call``, of Redis and the way to it.
        """
        try:
            job, data, known = await self._made(thoonk, user, name, payload, id, revisions)
        except Refused as refused:
            return refused.answer
        return await self._call(thoonk, job, data, known, timeout)

    @returns_deferred
    async def answer(self, thoonk: Thoonk, name: str, id: str, timeout: float = 10.0) -> Answer:
        """The answer to an action that was put before.

        :param id: of the job, as :meth:`put` gave it.
        :param timeout: seconds; ``0`` waits for ever.
        :returns: fires with the answer; ``{"code": 202, "id": ...}`` if there is none in time, 404
            if there is no such action, or its answer is not kept any more.
        """
        try:
            job = self._job(thoonk, (await self._find(thoonk, name)).feed)
        except Refused as refused:
            return refused.answer
        return await _answer(job.get_result(id, timeout), id, found=True)

    @returns_deferred
    async def look(self, thoonk: Thoonk, name: str, id: str) -> Answer:
        """As :meth:`answer`, at once: ``{"code": 202, "id": ...}`` if there is none yet."""
        try:
            job = self._job(thoonk, (await self._find(thoonk, name)).feed)
        except Refused as refused:
            return refused.answer
        bound = script("job/look").bind(job.keys, job.name)
        state, data = await bound(thoonk.redis, [encode(id)], id=id)
        if state == b"finished":
            try:
                _, result = read_kept(data)
            except ValueError:
                return read_answer(data)  # somebody else wrote that
            return read_answer(None if result is None else job.decode_result(result, id))
        if state == b"unfinished":
            return pending(id)
        return failed() if state == b"parked" else dict(_GONE)

    # -- asking -----------------------------------------------------------------------------

    @returns_deferred
    async def can(
        self, thoonk: Thoonk, user: Any, name: str, payload: Any, timeout: float = TIMEOUT
    ) -> bool:
        """Whether somebody may do something: the same shape, and the same rule.

        Where this process has not the code a worker is asked.

        :param timeout: seconds that a worker gets to say so.
        :returns: fires with whether that is so; False too if no worker said so in time, and if
            there is no such action.
        :raises ThoonkError: (as a failure) if the rule, or a worker, could not be asked.
        """
        try:
            action = await self._find(thoonk, name)
            asked = Asked(name, user, payload, can=True)
            data = make_item(asked, self.limits)
            if isinstance(action, Action):
                act = check(thoonk, self, action, read_item(data, self.limits))
                await ask(action.rule, act)
                return True
            self._check_early(action, data)
        except Refused:
            return False
        job, known = self._job(thoonk, action.feed), job_id(user, new_id())
        answer = await self._call(thoonk, job, data, known, timeout, priority=True)
        return bool(answer["code"] == 200)

    # -- the registry -----------------------------------------------------------------------

    def withdraw(self, thoonk: Thoonk, name: str) -> Deferred[bool]:
        """Let nobody put an action any more that no worker has the code of.

        Jobs that wait for it stay. A worker that has the code declares it again.

        :returns: fires with whether it was declared.
        """
        return feed_of(thoonk, self.group).retract(name)

    # -- how --------------------------------------------------------------------------------

    async def _find(self, thoonk: Thoonk, name: str) -> Action | Elsewhere:
        """What this process has declared, or else what any other has."""
        found: Action | Elsewhere | None = None
        if isinstance(name, str) and 0 < len(name) <= 200 and name.isprintable():
            found = self.get(name) or await find(thoonk, self.group, name, self._formats)
        if found is None:
            raise Refused(404, "there is no such action")
        return found

    async def _made(
        self,
        thoonk: Thoonk,
        user: Any,
        name: str,
        payload: Any,
        id: str | None,
        revisions: Mapping[str, str] | None,
    ) -> tuple[Job, bytes, str]:
        """Where a job goes, its item and its id."""
        action = await self._find(thoonk, name)
        known = job_id(user, new_id() if id is None else id)
        data = make_item(Asked(name, user, payload, dict(revisions or {})), self.limits)
        self._check_early(action, data)
        return self._job(thoonk, action.feed), data, known

    def _check_early(self, action: Action | Elsewhere, data: bytes) -> None:
        """Refuse here what a worker would refuse for its shape."""
        asked = read_item(data, self.limits)
        if action.shape is not None:
            action.shape.check(asked.payload)

    def _job(self, thoonk: Thoonk, feed: str, anew: bool = False) -> Job:
        jobs = self._jobs.setdefault(thoonk, {})
        if anew or feed not in jobs:
            jobs[feed] = thoonk.job(feed, serializer=ITEMS)
        return jobs[feed]

    async def _call(
        self,
        thoonk: Thoonk,
        job: Job,
        data: bytes,
        known: str,
        timeout: float,
        priority: bool = False,
    ) -> Answer:
        how: dict[str, Any] = {"id": known, "once": True, "priority": priority}
        try:
            return await _answer(job.call(data, timeout, **how), known)
        except FeedDoesNotExist:  # it was deleted since this process has used it
            job = self._job(thoonk, job.name, anew=True)
            return await _answer(job.call(data, timeout, **how), known)


async def _answer(waiting: Deferred[Any], id: str, found: bool = False) -> Answer:
    """The answer that comes, or what there is to be said instead.

    :param found: whether what comes is a pair of query and result.
    """
    try:
        came = await waiting
    except NotFinished:
        return pending(id)
    except JobFailed:
        return failed()
    except ItemError as error:
        if not isinstance(error, ItemDoesNotExist):
            return read_answer(error)  # it cannot be decoded
        return dict(_GONE)
    return read_answer(came[1] if found else came)
