"""Actions from web pages: ``POST actions/NAME``, ``GET actions/NAME/ID``, ``POST can``, sockets.

Ids are the client's own here: the job's id is made of the user and that one, so that nobody sees
what another one has put.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.web.resource import IResource
from twisted.web.server import Request

from txthoonk._deferred import first_failure
from txthoonk.actions import Actions, Answer, job_id
from txthoonk.service import Thoonk
from txthoonk.types.base import new_id
from txthoonk.web.access import Access
from txthoonk.web.bodies import read_json
from txthoonk.web.handling import JsonResource, NotFound, name_of
from txthoonk.web.replies import WebError, is_gone, reply, too_many, web_error

__all__ = ["ActionsResource", "Calls", "CanResource", "wanted_wait"]

#: How long a client may wait for an answer, and how long one on a socket does: seconds.
LONGEST_WAIT: Final = 60.0
WAIT: Final = 30.0

#: How many questions may be in one request.
MOST_QUESTIONS: Final = 100

_WAIT: Final = re.compile(r'\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:;.*)?', re.IGNORECASE)


class _Asked(msgspec.Struct):
    """What is in the body, or on the socket, besides the name; anything else is ignored."""

    payload: dict[str, Any] = msgspec.field(default_factory=dict)
    id: str | None = None
    revisions: dict[str, str] | None = None


class _Question(msgspec.Struct):
    """One thing that a user may be allowed to do."""

    action: str
    payload: dict[str, Any] = msgspec.field(default_factory=dict)


def wanted_wait(request: Request) -> int | None:
    """How many seconds a client wants to wait (RFC 7240 §4.3); None if it does not say."""
    for line in request.requestHeaders.getRawHeaders(b"prefer", ()):
        for preference in line.decode("latin-1").split(","):
            found = _WAIT.fullmatch(preference)
            if found is not None:
                return int(found[1])
    return None


def _convert(value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise WebError(400, f"this is not what is asked for here: {error}") from None


class Calls:
    """Puts actions for web clients, within their limits.

    :param access: the limits.
    :param actions: those of a group.
    :param thoonk: the instance that speaks with Redis.
    :param longest: how long a client may wait, seconds.
    """

    def __init__(
        self, access: Access, actions: Actions, thoonk: Thoonk, longest: float = LONGEST_WAIT
    ) -> None:
        self.access = access
        self.longest = longest
        self._actions = actions
        self._thoonk = thoonk

    async def do(
        self, user: Any, name: str, asked: Any, wait: float, request: Request | str = ""
    ) -> Answer:
        """Put an action.

        :param asked: ``payload``, ``id`` and ``revisions``, as the client said.
        :param wait: seconds until the answer is that there is none yet; 0: at once.
        :returns: the answer, with the id.
        :raises WebError: if it cannot be put, or too much is waited for.
        """
        what = _convert(asked, _Asked)
        id = new_id() if what.id is None else what.id
        args = (self._thoonk, user, name, what.payload, id, what.revisions)
        if not wait:
            await self._actions.put(*args)
            return {"code": 202, "id": id}
        end = self.access.begin_wait(user, request)
        try:
            return {**await self._actions.do(*args, timeout=wait), "id": id}
        finally:
            end()

    async def answer(
        self, user: Any, name: str, id: str, wait: float, request: Request | str = ""
    ) -> Answer:
        """The answer to an action that the same user has put before; as :meth:`do`."""
        job = job_id(user, id)
        if not wait:
            return {**await self._actions.look(self._thoonk, name, job), "id": id}
        end = self.access.begin_wait(user, request)
        try:
            answer = await self._actions.answer(self._thoonk, name, job, timeout=wait)
            return {**answer, "id": id}
        finally:
            end()

    async def can(self, user: Any, asked: Any, request: Request | str = "") -> list[bool]:
        """What of several things a user may do.

        :raises WebError: if these are no such questions, or too many.
        """
        questions: list[_Question] = _convert(asked, list[_Question])
        if len(questions) > MOST_QUESTIONS:
            raise WebError(413, f"at most {MOST_QUESTIONS} questions at a time")
        wait = self.access.take(user, len(questions), request) if questions else 0
        if wait:
            raise too_many(wait)
        asking = [
            self._actions.can(self._thoonk, user, each.action, each.payload) for each in questions
        ]
        found: Deferred[list[bool]] = gatherResults(asking, consumeErrors=True)
        return await found.addErrback(first_failure)

    async def command(
        self, user: Any, message: Mapping[str, Any], request: Request | str = ""
    ) -> Answer:
        """Answer a message of a socket that has ``action`` or ``can`` in it.

        :returns: the answer, without its ``ref``; errors are answers too.
        """
        id = message.get("id")
        try:
            if "can" in message:
                return {"type": "can", "can": await self.can(user, message["can"], request)}
            name = message["action"]
            if not isinstance(name, str):
                raise WebError(400, "the name of an action is text")
            asked = {key: message[key] for key in ("payload", "id", "revisions") if key in message}
            return {"type": "result", **await self.do(user, name, asked, WAIT, request)}
        except CancelledError:
            raise
        except Exception as error:
            answer = web_error(error).answer
            if "can" in message:
                return {"type": "error", **answer}
            return {"type": "result", **({"id": id} if isinstance(id, str) else {}), **answer}


class ActionsResource(JsonResource):
    """``actions``: each action is a child, and below it what was put.

    :param calls: what puts them.
    """

    def __init__(self, calls: Calls) -> None:
        super().__init__(calls.access)
        self._calls = calls

    def getChild(self, path: bytes, request: Request) -> IResource:
        """The action of that name, whether or not there is one."""
        return _Action(self._calls, path) if path else NotFound(self.access)


class _Action(JsonResource):
    """One action."""

    def __init__(self, calls: Calls, segment: bytes) -> None:
        super().__init__(calls.access)
        self._calls = calls
        self._segment = segment

    def getChild(self, path: bytes, request: Request) -> IResource:
        """One that was put."""
        return _Put(self._calls, self._segment, path) if path else NotFound(self.access)

    async def post(self, request: Request) -> None:
        """Put it."""
        user = await self.access.admit(request)
        name = name_of(self._segment, "action")
        asked = read_json(request, self.access.max_body)
        wait = min(wanted_wait(request) or 0, self._calls.longest)
        answer = await self._calls.do(user, name, asked, wait, request)
        await _give(request, answer, wait)


class _Put(JsonResource):
    """An action that was put."""

    def __init__(self, calls: Calls, action: bytes, segment: bytes) -> None:
        super().__init__(calls.access)
        self._calls = calls
        self._action = action
        self._segment = segment

    async def get(self, request: Request) -> None:
        """Its answer."""
        user = await self.access.admit(request)
        name, id = name_of(self._action, "action"), name_of(self._segment, "id")
        wait = min(wanted_wait(request) or 0, self._calls.longest)
        await _give(request, await self._calls.answer(user, name, id, wait, request), wait)


class CanResource(JsonResource):
    """``can``: whether a user may do some things.

    :param calls: what asks.
    """

    def __init__(self, calls: Calls) -> None:
        super().__init__(calls.access)
        self._calls = calls

    async def post(self, request: Request) -> None:
        """Say so."""
        user = await self.access.admit(request, 0)
        can = await self._calls.can(user, read_json(request, self.access.max_body), request)
        if not is_gone(request):
            await reply(request, {"code": 200, "can": can})


async def _give(request: Request, answer: Answer, wait: float) -> None:
    """Answer with what an action was answered."""
    if is_gone(request):
        return
    headers = {"Preference-Applied": f"wait={wait:g}"} if wait else {}
    if answer["code"] == 503:
        headers["Retry-After"] = "2"
    await reply(request, answer, answer["code"], headers)
