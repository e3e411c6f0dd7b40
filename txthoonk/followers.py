"""All that is followed through one instance: who has to hear what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.task import LoopingCall

from txthoonk._deferred import first_failure, ignore
from txthoonk.following import Follower
from txthoonk.keys import DELFEED, NEWFEED, decode
from txthoonk.listener import Listener, as_it_is
from txthoonk.pubsub import Hub
from txthoonk.reading import server_id
from txthoonk.working import Place

__all__ = ["Followers", "Pattern"]


class Pattern(Protocol):
    """Those who follow all feeds that match."""

    listener: Listener

    def matches(self, name: str) -> bool:
        """Whether a feed of that name is one of these."""

    def created(self, name: str) -> None:
        """A feed was created."""

    def look(self) -> None:
        """Look for feeds that were born while nobody listened."""

    def stop(self) -> None:
        """Call the handler no more."""


class Followers:
    """All that is followed through one instance.

    :param place: the instance.
    :param hub: where it listens.
    :param check_interval: seconds after which a feed that nothing was heard of is looked at.
    """

    def __init__(self, place: Place, hub: Hub, check_interval: float) -> None:
        self.place = place
        self.hub = hub
        self._interval = check_interval
        self._by_name: dict[str, tuple[Follower, ...]] = {}
        self._patterns: dict[Pattern, None] = {}
        self._checks: LoopingCall | None = None
        self._instance = Listener(
            {NEWFEED: (as_it_is, self._created), DELFEED: (as_it_is, self._deleted)}
        )

    # -- what is followed ------------------------------------------------------------------

    def add(self, follower: Follower, listens: bool = False) -> Deferred[Any]:
        """Let it hear of breaks, and of deletes.

        :param listens: whether it hears its feed's messages by itself.
        :returns: fires when Redis has confirmed that.
        """
        self._by_name[follower.name] = (*self._by_name.get(follower.name, ()), follower)
        if not listens:
            return succeed(None)
        follower.listens = True
        return self.hub.add(follower)

    def forget(self, follower: Follower) -> None:
        """It need not hear of anything any more."""
        followers = self._by_name.pop(follower.name, ())
        others = tuple(each for each in followers if each is not follower)
        if others:
            self._by_name[follower.name] = others
        if follower.listens:
            follower.listens = False
            self.hub.remove(follower)

    def stop_following(self, follower: Follower) -> None:
        """Call its handler no more."""
        self.forget(follower)
        follower.stop()

    def add_pattern(self, live: Pattern) -> Deferred[Any]:
        """Let it hear its messages, and of feeds that are born; fires when it does."""
        self._patterns[live] = None
        return self.hub.add(live.listener)

    def stop_pattern(self, live: Pattern) -> None:
        """It need not hear of anything any more."""
        if live in self._patterns:
            del self._patterns[live]
            self.hub.remove(live.listener)

    def suspend(self, error: Exception) -> None:
        """There will be no connection for long; all goes on when there is one again."""
        self.place.hears, self.place.suspended = False, True
        if self._checks is not None and self._checks.running:
            self._checks.stop()
        for follower in self._all():
            follower.suspend(error)

    def resume(self) -> None:
        """There will be a connection again."""
        self.place.suspended = False

    def when_synced(self, followers: Iterable[Follower]) -> Deferred[None]:
        """Fires when all of these are synced, and messages come."""
        waiting = [each.when_synced() for each in followers]
        return gatherResults(waiting, consumeErrors=True).addCallbacks(ignore, first_failure)

    def verify(self, followers: Iterable[Follower]) -> Deferred[bool]:
        """Compare all of these with what Redis has; fires with whether they were the same."""

        async def verify(follower: Follower) -> bool:
            before = follower.healed
            await follower.when_synced()
            follower.compare()
            await follower.when_synced()
            return follower.healed == before

        checks = [Deferred.fromCoroutine(verify(each)) for each in list(followers)]
        return gatherResults(checks, consumeErrors=True).addCallbacks(all, first_failure)

    # -- what happens to all ----------------------------------------------------------------

    def _all(self) -> list[Follower]:
        return [each for several in self._by_name.values() for each in several]

    def begin(self) -> None:
        """Hear of breaks, of creates and of deletes; from the first feed on that is followed."""
        if self._checks is None:
            self.hub.when_attached[self._attached] = None
            self.hub.when_detached[self._detached] = None
            self._checks = LoopingCall(self._check)
            self._checks.clock = self.place.get_reactor()
            # Before what its followers subscribe to, so that they hear of all later deletes.
            self.hub.keep(self._instance)
            if self.hub.attached:
                self._attached()

    def _attached(self) -> None:
        """There is a new connection: messages were missed."""
        self.place.hears = True
        if self._checks is not None and not self._checks.running:
            self._checks.start(self._interval, now=False).addErrback(ignore)
        Deferred.fromCoroutine(server_id(self.place.redis)).addCallbacks(self._know_server, ignore)
        for follower in self._all():
            follower.look_again()
        for live in list(self._patterns):
            live.look()

    def _know_server(self, server: str) -> None:
        self.place.server = server

    def _detached(self) -> None:
        self.place.hears = False
        for follower in self._all():
            follower.disconnected()

    def _check(self) -> None:
        """Nobody tells that all data are gone."""
        if self.place.hears:
            for follower in self._all():
                follower.look_again()
            for live in list(self._patterns):
                live.look()

    def _created(self, message: bytes) -> None:
        name = decode(message.partition(b"\x00")[0])
        for follower in list(self._by_name.get(name, ())):
            follower.look_again()
        for live in list(self._patterns):
            if live.matches(name):
                live.created(name)

    def _deleted(self, message: bytes) -> None:
        name = decode(message.partition(b"\x00")[0])
        for follower in list(self._by_name.get(name, ())):
            follower.deleted()
