"""Thoonk: the one object that a user holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import (
    Deferred,
    DeferredLock,
    fail,
    gatherResults,
    maybeDeferred,
    succeed,
)
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger

from txthoonk._deferred import ignore, returns_deferred
from txthoonk.dialects import get_dialect
from txthoonk.errors import NotConnected, ThoonkError
from txthoonk.followers import Followers
from txthoonk.link import Link, connect
from txthoonk.listening import Listening
from txthoonk.pubsub import Hub
from txthoonk.redis import Redis, RedisSubscriber
from txthoonk.registry import Factory, Objects
from txthoonk.scripts import load
from txthoonk.subscriptions import Handlers
from txthoonk.target import EMBEDDED, Target
from txthoonk.types import Feed, Job, Queue, SortedFeed
from txthoonk.types.base import FeedBaseType

__all__ = ["Thoonk"]

H = TypeVar("H", bound=Callable[..., Any])


class Thoonk(Listening, Service):
    """An instance of Thoonk, as a Twisted service.

    It connects when it is started (``setServiceParent``, ``startService``, or ``async with``),
    reconnects whenever it has to, and subscribes again to what it was subscribed to. It has one
    connection for commands, one for messages once something is subscribed to, and one for each
    feed that something is taken from.

    While there is no connection calls wait at most *connect_timeout* seconds, at most
    *max_pending* of them, and then fail with ``NotConnected``: nothing was sent. What was in
    flight when a connection broke fails with ``ConnectionLost``: it *may* have happened, and is
    not sent again by itself.

    :param target: ``redis://``, ``rediss://`` or ``redis+unix://`` URL, endpoint string,
        endpoint, or ``"embedded:"`` for a server of our own that goes when we go.
    :param reactor: the global one if not given.
    :param dialect: of the wire: ``"contract"``, or ``"lua"``, which thoonk-jobs and thoonk.js 1.0
        speak.
    :param connect_timeout: seconds.
    :param max_pending: calls.
    :param ping_interval: seconds of silence after which a connection is pinged.
    :param ping_timeout: seconds that a ping, or a login, may take before the connection is
        given up and another one made.
    :param check_interval: seconds after which a followed feed is looked at, whether or not
        anything was heard of it: nobody tells that all data are gone.
    :param client_name: shown by ``CLIENT LIST``.
    :raises ValueError: if *target* or *dialect* is none.
    """

    log = Logger()

    def __init__(
        self,
        target: str | IStreamClientEndpoint = "redis://localhost:6379/0",
        *,
        reactor: Any = None,
        dialect: str = "contract",
        connect_timeout: float = 10.0,
        max_pending: int = 10_000,
        ping_interval: float = 10.0,
        ping_timeout: float = 5.0,
        check_interval: float = 30.0,
        client_name: str = "txthoonk",
    ) -> None:
        super().__init__()
        self.dialect = get_dialect(dialect)
        if not 0 < check_interval < float("inf"):
            raise ValueError(f"check_interval is more than 0 seconds, not {check_interval!r}")
        if reactor is None:
            from twisted.internet import reactor
        self._reactor = reactor
        self._target = None if target == EMBEDDED else Target.parse(target)
        self.db = 0 if self._target is None else self._target.db or 0
        if self._target is not None:
            self._target.endpoint(reactor)  # what cannot be is told now
        self._embedded: Any = None
        self._endpoint: IStreamClientEndpoint | None = None
        self._settings = {
            "client_name": client_name,
            "ping_interval": ping_interval,
            "ping_timeout": ping_timeout,
            "reactor": reactor,
        }
        self.connect_timeout = connect_timeout
        self.ping_interval = ping_interval
        self._commands: Link[Redis] = Link(
            reactor, self._make, self._prepare, connect_timeout, max_pending
        )
        self._hub = Hub(self.get_reactor, connect_timeout, self._no_messages)
        self.heard = self._hub.heard
        self._handlers = Handlers(self._hub, self.dialect)
        self._followers = Followers(self, self._hub, check_interval)
        #: What was registered with :meth:`register_object` and :meth:`register_interface`.
        self.objects = Objects(self, self._hub, self._listen)
        self._messages: Link[RedisSubscriber] = Link(
            reactor, self._make_subscriber, self._hub.attach, connect_timeout, max_pending
        )
        self._wants_messages = False
        self._own_workers: list[Service] = []
        self._workers: dict[Service, None] = {}
        self._lock = DeferredLock()  # a start waits for the stop before it
        self._is_open = False

    @property
    def redis(self) -> Link[Redis]:
        """For raw commands: ``redis.execute("HGETALL", key)``, or a method of that name."""
        return self._commands

    # -- handles ----------------------------------------------------------------------------

    def feed(self, name: str, **options: Any) -> Feed:
        """A handle on a feed; see :class:`~txthoonk.types.feed.Feed` for its options."""
        return Feed(self, name, **options)

    def sorted_feed(self, name: str, **options: Any) -> SortedFeed:
        """A handle on a sorted feed; see :class:`~txthoonk.types.sorted_feed.SortedFeed`."""
        return SortedFeed(self, name, **options)

    list = sorted_feed

    def queue(self, name: str, **options: Any) -> Queue:
        """A handle on a queue; see :class:`~txthoonk.types.queue.Queue`."""
        return Queue(self, name, **options)

    def job(self, name: str, **options: Any) -> Job:
        """A handle on a feed of jobs; see :class:`~txthoonk.types.job.Job`."""
        return Job(self, name, **options)

    # -- scripted objects -------------------------------------------------------------------

    def register_object(self, name: str, cls: type[Any]) -> Factory:
        """Let a class with a folder of Lua be ``thoonk.objects.NAME(name)``.

        :param name: an identifier.
        :param cls: of one's own, with ``objtype``, ``scriptdir`` and, for events,
            ``subscribables``; of :class:`~txthoonk.objects.DeclaredObject` if it is in that form,
            else best of :class:`~txthoonk.objects.ScriptedObject`.
        :returns: what makes objects; awaiting it lets Redis read the scripts.
        :raises RegistrationError: if the name is taken, or the class, its folder or a script
            cannot be used. What only Redis can know, a slip of Lua, is logged, told to those who
            call the verb, and to who awaits the result or ``objects.when_loaded()``.
        """
        return self.objects.register(name, cls, has_name=True)

    def register_interface(self, name: str, cls: type[Any]) -> Factory:
        """The same for what has no name: ``thoonk.objects.NAME()``."""
        return self.objects.register(name, cls, has_name=False)

    # -- workers ----------------------------------------------------------------------------

    def worker(self, names: str | Mapping[str, float], **options: Any) -> Callable[[H], H]:
        """Let a function be the handler of a :class:`JobWorker` of this instance.

        .. code-block:: python

            @thoonk.worker("resize", concurrency=50)
            async def resize(claim):
                return await shrink(claim.item)

        :param names: of the feed, or of several with weights.
        :param options: as for :class:`JobWorker`.
        :returns: a decorator that leaves the function as it is. The worker starts and stops with
            this instance.
        """
        from txthoonk.worker import JobWorker

        def decorate(handler: H) -> H:
            worker = JobWorker(self, names, handler, **options)
            self._own_workers.append(worker)
            if self.running:
                worker.startService()
            return handler

        return decorate

    def scheduler(self) -> Service:
        """Fire the schedules of all feeds of jobs (``Job.every``, ``Job.cron``).

        Any number of instances may do so, on any hosts: each tick comes once.

        :returns: a :class:`~txthoonk.scheduler.Scheduler`, which starts and stops with this
            instance.
        """
        from txthoonk.scheduler import Scheduler

        scheduler = Scheduler(self)
        self._own_workers.append(scheduler)
        if self.running:
            scheduler.startService()
        return scheduler

    def expirer(self) -> Service:
        """Retract items whose time is over (``Feed.publish(ttl=)``), of all feeds.

        For programs that run no :class:`JobWorker`, which does so by itself. Any number of
        instances may do it, on any hosts.

        :returns: an :class:`~txthoonk.expiry.Expirer`, which starts and stops with this instance.
        """
        from txthoonk.expiry import Expirer

        expirer = Expirer(self)
        self._own_workers.append(expirer)
        if self.running:
            expirer.startService()
        return expirer

    def add_worker(self, worker: Service) -> None:
        """Stop a worker before this instance stops; for workers."""
        self._workers[worker] = None

    def remove_worker(self, worker: Service) -> None:
        """It has stopped; for workers."""
        self._workers.pop(worker, None)

    def _maker(self, feed_type: type[FeedBaseType]) -> Callable[..., Any]:
        return lambda name, **options: feed_type(self, name, **options)

    # -- messages -------------------------------------------------------------------------

    def _listen(self, adding: Deferred[Any]) -> Deferred[Any]:
        self._wants_messages = True
        if self._endpoint is not None and not self._messages.started:
            self._messages.start(self._endpoint)
        return adding

    # -- life -------------------------------------------------------------------------------

    def startService(self) -> None:
        """Connect, and stay connected; after :meth:`stopService` once more."""
        if self.running:
            return
        super().startService()
        if not self._is_open:  # else its workers were still stopping, and nothing else was
            self._accept()
            self._lock.run(self._begin)
        for worker in self._own_workers:
            worker.startService()

    def _accept(self) -> None:
        self._followers.resume()
        self._commands.accept()
        self._hub.accept()
        self.start_waiting()

    def _begin(self) -> None:
        if not self.running:
            return  # stopped while it waited for an earlier stop
        self._is_open = True
        if self._target is not None:
            self._connect(self._target)
        else:
            self._start_embedded()

    @returns_deferred
    async def _start_embedded(self) -> None:
        from txthoonk.embedded import EmbeddedRedis

        self._embedded = embedded = EmbeddedRedis(reactor=self._reactor)
        try:
            await embedded.start()
        except Exception as error:  # also that it was stopped meanwhile
            if self._embedded is embedded:
                self.log.error("No Redis: {why}", why=error)
                self._refuse(error if isinstance(error, ThoonkError) else NotConnected(str(error)))
            return
        self.log.info("An embedded Redis serves at {url}", url=embedded.url)
        if self._embedded is embedded:
            self._connect(Target.parse(embedded.url))

    def _connect(self, target: Target) -> None:
        self._target_now = target
        self._endpoint = target.endpoint(self._reactor)
        self._commands.start(self._endpoint)
        if self._wants_messages:
            self._messages.start(self._endpoint)

    def _refuse(self, error: Exception) -> None:
        self._hub.refuse(error)
        self._commands.refuse(error)

    def stopService(self) -> Deferred[None]:
        """Stop in order: workers, waiting gets, messages, commands, then an embedded server.

        Workers get their grace. What waits for a connection, or for something to take, fails.
        What is on its way is answered, unless that takes longer than a second.

        :returns: fires when nothing is left open.
        """
        super().stopService()
        if self._workers:
            stopping = [maybeDeferred(worker.stopService) for worker in list(self._workers)]
            through = gatherResults(stopping, consumeErrors=True).addBoth(ignore)
            return through.addCallback(lambda _: None if self.running else self._end())
        return self._end()

    def _end(self) -> Deferred[None]:
        self._is_open = False
        self._followers.suspend(NotConnected("stopped"))
        self._refuse(NotConnected("stopped"))
        return self._lock.run(self._stop, self.stop_waiting())

    async def _stop(self, waits_no_more: Deferred[None]) -> None:
        self._is_open = False
        self._endpoint = None
        await waits_no_more
        await self._messages.stop()
        await self._commands.stop()
        embedded, self._embedded = self._embedded, None
        if embedded is not None:
            await embedded.stop()

    async def __aenter__(self) -> Thoonk:
        self.startService()
        try:
            await self.when_connected()
        except Exception:
            await self.stopService()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stopService()

    def when_connected(self) -> Deferred[Thoonk]:
        """Fires with this instance when it is connected, at once if it is.

        :raises NotConnected: (as a failure) if it was not within ``connect_timeout``.
        :raises ServerNotFound: (as a failure) if there is no program for ``"embedded:"``.
        """
        return self._commands.when_connected().addCallback(lambda _: self)

    # -- connections ------------------------------------------------------------------------

    def get_reactor(self) -> Any:
        """The reactor this instance runs on."""
        return self._reactor

    def _login(self) -> dict[str, Any]:
        target = self._target_now
        return {
            "db": target.db,
            "username": target.username,
            "password": target.password,
            **self._settings,
        }

    def _make(self) -> Redis:
        return Redis(**self._login())

    def _make_subscriber(self) -> RedisSubscriber:
        return RedisSubscriber(**self._login())

    def _no_messages(self) -> Exception:
        return self._messages.not_connected()

    def _prepare(self, redis: Redis) -> Deferred[Any]:
        load(redis)
        self.objects.load(redis)
        return succeed(redis)

    def open_connection(self) -> Deferred[Redis]:
        """A connection of its own, logged in; for gets that block.

        :raises NotConnected: (as a failure) if there is nobody there, or this is not started.
        """
        if self._endpoint is not None:
            return connect(self._endpoint, self._make)

        def started(_: object) -> Deferred[Redis]:
            if self._endpoint is None:  # and stopped meanwhile
                return fail(self._commands.not_connected())
            return connect(self._endpoint, self._make)

        return self._commands.when_connected().addCallback(started)
