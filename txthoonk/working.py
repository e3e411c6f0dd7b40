"""The life of a follower: it starts, works while messages may have been missed, waits, and stops.

What there is to do the layers above say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import deferLater

from txthoonk._deferred import ignore
from txthoonk.delivery import Budget
from txthoonk.dialects import Dialect
from txthoonk.errors import ConnectionFailed, NotConnected
from txthoonk.events import Event
from txthoonk.hearing import Hearing
from txthoonk.keys import FeedKeys, encode
from txthoonk.positions import Position
from txthoonk.reading import Reading
from txthoonk.scripts import Connection
from txthoonk.serializers import Serializer

__all__ = ["Place", "Working"]

#: Seconds between attempts to read while Redis does not answer.
PAUSE: Final = 0.25
LONGEST: Final = 10.0


class Place(Protocol):
    """What a follower needs of the instance that it belongs to."""

    #: The names on the wire.
    dialect: Dialect
    #: Number of the database.
    db: int
    #: Whether messages come.
    hears: bool
    #: Whether they will not come until it is started again.
    suspended: bool
    #: Replication id of the server, empty until it is known.
    server: str

    @property
    def redis(self) -> Connection:
        """Where commands go."""

    @property
    def heard(self) -> Callable[[], Deferred[Any]]:
        """Says when all messages that were published before have come."""

    def get_reactor(self) -> Any:
        """The reactor."""


class Working(Hearing):
    """One feed, one handler.

    :param place: the instance.
    :param name: of the feed.
    :param handler: gets the events.
    :param serializer: for items.
    :param budget: what may wait for the handler.
    :param foreign: whether other programs' changes are listened for.
    :param resume: the position to go on from; None: from now on.
    :param born: whether all that has ever happened is news.
    """

    __slots__ = (
        *("_deleted", "_failures", "_has_copy", "_not_before", "_on_vanished", "_pausing"),
        *("_place", "_problem", "_ready", "_resume", "_seen", "_server", "_started"),
        *("_synced", "_tries", "_was_cut", "_working", "healed"),
    )

    def __init__(
        self,
        place: Place,
        name: str,
        handler: Callable[[Any], object],
        serializer: Serializer,
        budget: Budget,
        foreign: bool = True,
        resume: Position | None = None,
        born: bool = False,
        vanished: Callable[[Any, bool], object] | None = None,
    ) -> None:
        super().__init__(name, handler, serializer, budget, foreign)
        self._place = place
        self._resume = resume
        self._has_copy = born
        self._on_vanished = vanished
        self._started: Deferred[Any] | None = None
        self._synced: list[Deferred[Any]] | None = None
        self._working = False
        #: Whether there was such a feed yet, and whether it was said that it was deleted.
        self._seen = self._deleted = False
        self._tries = self._failures = 0
        self._problem = ""
        self._ready = born
        #: Whether messages were missed since all was last compared.
        self._was_cut = False
        #: On which server the position was read.
        self._server = ""
        self._pausing: Deferred[None] | None = None
        #: When a large feed may be compared again.
        self._not_before = 0.0
        #: How often something else was there than was known.
        self.healed = 0

    def keys(self) -> FeedKeys:
        """The feed's keys; made when they are needed: a follower that is idle should be small."""
        return self._place.dialect.keys("feed", encode(self.name), self._place.db)

    # -- life -------------------------------------------------------------------------------

    def start(self) -> Deferred[Any]:
        """Read the feed.

        :returns: fires with this when the copy is there, before any event.
        :raises FeedDoesNotExist: WrongFeedType: (as a failure) if there is no feed to follow.
        """
        if self._place.suspended:
            self.stopped = True
            return fail(NotConnected("stopped"))
        self._ready = True
        if self._has_copy:
            self._work()
            return succeed(self)
        started = self._started = Deferred()
        self._work()
        return started

    def hold(self) -> None:
        """Tell nothing until :meth:`release`."""
        self._inbox.hold()

    def release(self) -> None:
        """The opposite of :meth:`hold`."""
        self._inbox.release()

    def stop(self) -> None:
        """Tell nothing more, from this moment."""
        self.stopped = True
        self._inbox.clear()
        self._buffer = None
        if self._pausing is not None:
            self._pausing.cancel()
        self._fire_synced(CancelledError("stopped"))
        started, self._started = self._started, None
        if started is not None:
            started.errback(CancelledError("stopped"))

    def deleted(self) -> None:
        """The feed was deleted; or one of that name in another database."""
        self._deleted = True
        self.look_again()

    def compare(self) -> None:
        """Compare everything with what Redis has."""
        self._doubt = self._doubt or "all"
        self.look_again()

    def signed(self) -> Position:
        """Where the handler is, and on which server."""
        return self.position(server=self._server or self._place.server)

    @property
    def resumes(self) -> bool:
        """Whether there was such a feed when its token was made, and it was not read since."""
        return self._resume is not None

    @property
    def gone(self) -> bool:
        """Whether there is no such feed now."""
        return self._gone

    @property
    def forgotten(self) -> bool:
        """Whether there is no such feed now, and the handler knows."""
        return self._gone and not self.position().epoch

    @property
    def busy(self) -> bool:
        """Whether its handler is at work."""
        return self._inbox.busy

    @property
    def synced(self) -> bool:
        """Whether the copy is what the feed is, as far as anybody has said."""
        waits = self._unsure or self._doubt or self._suspects or self._working
        return not (waits or self._inbox.busy or self.stopped)

    def when_synced(self) -> Deferred[None]:
        """Fires when all that was published before is told.

        :raises CancelledError: (as a failure) if it was stopped.
        :raises NotConnected: (as a failure) if the instance was.
        """
        done: Deferred[None] = Deferred(self._give_up)
        if self.stopped:
            done.errback(CancelledError("stopped"))
        elif self._place.suspended:
            done.errback(NotConnected("stopped"))
        else:
            self._synced = [*(self._synced or ()), done]
            self.look_again()  # messages may be on their way
        return done

    def _give_up(self, done: Deferred[None]) -> None:
        if self._synced and done in self._synced:
            self._synced.remove(done)

    def _fire_synced(self, error: Exception | None = None) -> None:
        waiting, self._synced = self._synced, None
        for each in waiting or ():
            if each.called:  # one may give up another
                continue
            if error is None:
                each.callback(None)
            else:
                each.errback(error)

    def latest(self, most: int) -> Deferred[list[tuple[Event, Position]]]:
        """The last events that the history has; see :meth:`Reading.latest`."""
        return Deferred.fromCoroutine(self._reading().latest(most))

    # -- work -------------------------------------------------------------------------------

    def _work(self) -> None:
        if self._ready and not self._working and not self.stopped:
            self._working = True
            Deferred.fromCoroutine(self._work_on()).addErrback(self._failed)

    async def _work_on(self) -> None:
        """Read, compare and adopt, until there is nothing left to do."""
        try:
            # While no messages come, whatever is read would have to be read again.
            while not self.stopped and self._place.hears and await self._do_next():
                pass
        finally:
            self._working = False
        if self.synced:
            self._tries = self._failures = 0
            self._problem = ""
            self._server = self._place.server
            self._fire_synced()

    async def _do_next(self) -> bool:
        """One step; says whether there may be another one."""
        try:
            if self._inbox.overflown:
                if self._inbox.busy:
                    return False  # until the handler is through
                await self._read_anew("overflow")
            elif self._unsure:
                await self._catch_up()
            elif self._doubt or self._suspects:
                if self._inbox.busy:
                    return False
                await self._adopt()
            else:
                return False
        except Exception as error:
            started, self._started = self._started, None
            if started is not None:
                self.stopped = True
                started.errback(error)
            elif not self.stopped:
                self._unsure = True
                if self._place.hears:  # else it is read when messages come again
                    await self._complain(error)
        return not self.stopped

    async def _catch_up(self) -> None:
        """Read what was missed."""
        raise NotImplementedError

    async def _read_anew(self, reason: str) -> None:
        """Read everything, and tell the handler why."""
        raise NotImplementedError

    async def _adopt(self) -> None:
        """See to what other programs did, or may have done."""
        raise NotImplementedError

    async def _complain(self, error: Exception) -> None:
        """Say why it cannot go on, once; and wait, each time longer.

        That there is no connection the instance says.
        """
        if str(error) != self._problem and not isinstance(error, ConnectionFailed):
            self._problem = str(error)
            self.log.warn("Cannot read {feed!r} yet: {why}", feed=self.name, why=error)
        self._failures += 1
        await self._pause(min(LONGEST, PAUSE * 2.0 ** min(self._failures, 30)))

    def _pause(self, seconds: float) -> Deferred[None]:
        self._pausing = pausing = deferLater(
            self._place.get_reactor(), seconds, ignore, None
        ).addErrback(ignore)
        return pausing

    def disconnected(self) -> None:
        """Messages may be missed from now on."""
        super().disconnected()
        self._was_cut = True
        if self._pausing is not None:
            self._pausing.cancel()

    def look_again(self) -> None:
        """Messages may have been missed."""
        super().look_again()
        if self._pausing is not None:
            self._pausing.cancel()

    def suspend(self, error: Exception) -> None:
        """There will be no connection for long: fail those who wait."""
        self.disconnected()
        if self._started is not None:
            started, self._started = self._started, None
            self.stopped = True
            started.errback(error)
        self._fire_synced(error)

    def _reading(self) -> Reading:
        return Reading(self._place.redis, self.keys(), self.name, self._maker.serializer)
