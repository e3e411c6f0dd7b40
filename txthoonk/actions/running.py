"""Workers that do actions, and say which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from txthoonk._deferred import ignore
from txthoonk.actions.acts import Doing
from txthoonk.actions.answers import ITEMS
from txthoonk.actions.declaring import Declared
from txthoonk.actions.registering import declare
from txthoonk.errors import ConnectionFailed, ServerBusy, ThoonkError
from txthoonk.worker import JobWorker

if TYPE_CHECKING:
    from txthoonk.service import Thoonk

__all__ = ["ActionWorker"]

#: Seconds between looks whether what we can do is still declared, and after a vain try.
DECLARE: Final = 10.0
AGAIN: Final = 1.0


class ActionWorker(JobWorker):
    """Does the actions that a process has the code of, and declares them.

    :param thoonk: the instance that speaks with Redis. It stops its workers before it stops.
    :param actions: those that were declared before.
    :param options: of :class:`~txthoonk.worker.JobWorker`: ``concurrency``, ``claim_timeout``,
        ``max_attempts``, ``backoff``, ``result_ttl``, ``grace``, ``on_stalled``, ``maintain``.
    :raises TypeError: if there is an option that it has not.
    """

    def __init__(self, thoonk: Thoonk, actions: Declared, **options: Any) -> None:
        for name in ("blocking", "processes", "serializer"):
            if name in options:
                raise TypeError(f"a worker of actions has no {name}")
        options.setdefault("result_ttl", actions.result_ttl)
        self._declares = actions
        self._declaring: Deferred[None] | None = None
        weights = dict.fromkeys(actions.feeds, 1.0)
        super().__init__(thoonk, weights, Doing(thoonk, actions), serializer=ITEMS, **options)

    # -- life -------------------------------------------------------------------------------

    def startService(self) -> None:
        """Begin to take jobs, and declare the actions."""
        if not self.running:
            super().startService()
            self._declaring = Deferred.fromCoroutine(self._declare())
            self._declaring.addErrback(ignore)  # it was cancelled

    def stopService(self) -> Deferred[None]:
        """See :meth:`JobWorker.stopService`. The actions stay declared: their jobs wait."""
        declaring, self._declaring = self._declaring, None
        if declaring is not None:
            declaring.cancel()
        return super().stopService()

    async def _declare(self) -> None:
        told, missing_only = "", False
        while True:
            try:
                await declare(self._thoonk, self._declares, missing_only)
                told, missing_only = "", True
            except ThoonkError as error:
                # That there is no connection the instance says.
                if str(error) != told and not isinstance(error, (ConnectionFailed, ServerBusy)):
                    told = str(error)
                    self.log.error("Actions cannot be declared: {why}", why=error)
            await deferLater(self._reactor, DECLARE if missing_only else AGAIN)
