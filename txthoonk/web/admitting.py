"""Who comes while rights change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from txthoonk.actions import user_id
from txthoonk.web.replies import WebError

__all__ = ["Admitting"]

#: Stands for all users.
_ALL: Final = ""


class Admitting:
    """Lets clients in by what is known of them then, not by what was when they were asked."""

    def __init__(self) -> None:
        #: Of each who is asked for a name: whose rights have changed meanwhile.
        self._asking: dict[object, set[str]] = {}
        self._stopped = False

    async def admit(self, admit: Callable[[], Awaitable[Any]]) -> Any:
        """Who comes; asked again if their rights have changed while that was found out.

        :param admit: says who.
        :raises WebError: what that raises; 503, if nobody is let in any more.
        """
        while True:
            asking = object()
            ended = self._asking[asking] = set()
            try:
                user = await admit()
            finally:
                del self._asking[asking]
            if self._stopped:
                raise WebError(503, "this process stops", {"Retry-After": "2"})
            if not ended & {user_id(user), _ALL}:
                return user

    def ended(self, user_id: str = _ALL) -> None:
        """The rights of a user have changed; of all, if none is named."""
        for ended in self._asking.values():
            ended.add(user_id)

    def stop(self) -> None:
        """Let nobody in: no stream would be ended, and no revocation is heard any more."""
        self._stopped = True
