"""That a user's rights have changed, told to all web processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from txthoonk._deferred import ignore, returns_deferred
from txthoonk.errors import ThoonkError
from txthoonk.keys import REVOKE, REVOKED, decode, encode
from txthoonk.service import Thoonk

__all__ = ["Revocations"]

#: How many revocations are kept, for processes that are out of Redis's reach just then.
KEPT: Final = 1000

#: Seconds between a vain try and the next one.
AGAIN: Final = 1.0


class Revocations:
    """Ends the streams of users whose rights have changed, in this process and all others.

    What is revoked while a process has no connection to Redis, it learns when it has one again.
    Where it cannot know any more what was, it ends all its streams: clients come back, and are
    asked who they are anew.

    :param thoonk: the instance that speaks with Redis.
    :param end: called with a user's id, and whether it was told just now.
    :param end_all: called where anybody's rights may have changed.
    """

    log = Logger()

    def __init__(
        self, thoonk: Thoonk, end: Callable[[str, bool], object], end_all: Callable[[], object]
    ) -> None:
        self._thoonk = thoonk
        self._end = end
        self._end_all = end_all
        self._channel = b"%b%d" % (REVOKE, thoonk.db)
        self._handler: int | None = None
        self._working: Deferred[Any] | None = None
        #: The last one that was known at the last look; None before the first.
        self._last: str | None = None
        #: Whether one was told during a look.
        self._again = False

    @returns_deferred
    async def revoke(self, user_id: str) -> None:
        """End the streams of a user everywhere.

        :returns: fires when it is told; processes that hear do it at once.
        :raises ThoonkError: (as a failure) if Redis could not be told: some may not have heard.
        """
        user = encode(user_id)
        redis = self._thoonk.redis
        await redis.execute("XADD", REVOKED, "MAXLEN", KEPT, "*", "user", user)
        await redis.execute("PUBLISH", self._channel, user)

    def start(self) -> None:
        """Hear of them from now on."""
        self._thoonk.call_when_heard_again(self._look)
        self._look()

    def stop(self) -> None:
        """Hear of them no more."""
        self._thoonk.call_no_more(self._look)
        working, self._working = self._working, None
        if working is not None:
            working.cancel()
        handler, self._handler = self._handler, None
        if handler is not None:
            self._thoonk.remove_handler(handler)

    def _heard(self, *parts: str) -> None:
        self._end("\x00".join(parts), True)
        if self._working is None or self._working.called:
            self._look()  # so that it is not told again after the next break
        else:
            self._again = True

    def _look(self) -> None:
        """See what was revoked while nothing was heard."""
        if self._working is not None:
            self._working.cancel()
        self._working = Deferred.fromCoroutine(self._work())
        self._working.addErrback(ignore)

    async def _work(self) -> None:
        while self._thoonk.running:  # it looks again when it is started
            try:
                if self._handler is None:
                    name = decode(self._channel)
                    self._handler = await self._thoonk.register_handler(name, self._heard)
                self._again = False
                await self._catch_up()
                if not self._again:
                    return
                continue
            except CancelledError:
                raise
            except ThoonkError as error:
                self.log.debug("Revocations are not known: {why}", why=error)
            except Exception:
                self.log.failure("Revocations are not known")
            await deferLater(self._thoonk.get_reactor(), AGAIN)

    async def _catch_up(self) -> None:
        execute = self._thoonk.redis.execute
        if self._last is None:
            newest = await execute("XREVRANGE", REVOKED, "+", "-", "COUNT", 1)
            self._last = decode(newest[0][0]) if newest else ""
            return
        entries = await execute("XRANGE", REVOKED, self._last or "-", "+")
        known, last = bool(entries) and decode(entries[0][0]) == self._last, self._last
        if entries:
            self._last = decode(entries[-1][0])
        if known or (not last and len(entries) < KEPT):
            for _, fields in entries[known:]:
                self._end(decode(fields[1]), False)
        else:
            self._last = self._last if entries else ""
            self.log.warn("It is not known whose rights have changed: all streams end")
            self._end_all()
