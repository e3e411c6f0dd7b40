"""What can be said to an instance of Thoonk, whichever way it is connected."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.interfaces import IReactorTime

from txthoonk._deferred import first_failure, ignore, returns_deferred
from txthoonk.dialects import CONTRACT, Dialect
from txthoonk.errors import FeedDoesNotExist, NotConnected, WrongFeedType
from txthoonk.fsck import CHECKED, GRACE, Check, Fault
from txthoonk.keys import FeedKeys, check_name, decode, encode
from txthoonk.redis import Redis
from txthoonk.scripts import Connection, script
from txthoonk.serializers import Serializer
from txthoonk.types import Feed, Job, Queue, SortedFeed
from txthoonk.types.base import FeedBaseType, read_config
from txthoonk.types.blocked import Blocked, Source
from txthoonk.types.options import encode_options
from txthoonk.types.results import Results

__all__ = ["Instance"]

T = TypeVar("T")


class Instance:
    """The verbs that are about feeds rather than in them.

    :ivar uuid: who we are in messages about feeds.
    :ivar feed_types: name of a type -> its class.
    """

    dialect: Dialect = CONTRACT
    db: int = 0
    hears: bool = False
    suspended: bool = False
    server: str = ""
    connect_timeout: float = 10.0
    ping_interval: float = 10.0

    @property
    def redis(self) -> Connection:
        """Where commands go."""
        raise NotImplementedError

    def __init__(self) -> None:
        self.uuid = uuid.uuid4().hex
        self.feed_types: dict[str, type[FeedBaseType]] = {}
        self._blocked: dict[tuple[str, str, int], Blocked[Any]] = {}
        self._claims: dict[str, dict[str, Any]] = {}
        self._results: dict[str, Results] = {}
        self._waits = True
        for feed_type in (Feed, SortedFeed, Queue, Job):
            self.feed_types[feed_type.TYPE] = feed_type

    # -- feeds ------------------------------------------------------------------------------

    def create_feed(
        self, name: str, config: Mapping[str, Any] | None = None, **options: Any
    ) -> Deferred[FeedBaseType | None]:
        """Create a feed that does not exist.

        :param name: of the feed.
        :param config: options as a mapping; ``type`` says which type, ``feed`` if not given.
        :param options: as keywords; ``type`` may be one of them.
        :returns: fires with a handle on it, or None if the type is none that was registered.
        :raises FeedExists: (as a failure) if it does; nothing is written.
        :raises TypeError: if the type has no such option.
        """
        given = dict(config or {})
        kind = options.pop("type", given.pop("type", Feed.TYPE))
        if not isinstance(kind, str) or not kind:
            raise ValueError(f"the type of feed {name!r} is a name, not {kind!r}")
        feed_type = self.feed_types.get(kind)
        handle = None if feed_type is None else feed_type(self, name, given, **options)
        allowed = FeedBaseType.OPTIONS if feed_type is None else feed_type.OPTIONS
        pairs = encode_options(allowed, options, given)
        # No entry is how Redis says that there is no limit.
        pairs = [p for i in range(0, len(pairs), 2) if pairs[i + 1] for p in pairs[i : i + 2]]
        family = feed_type.FAMILY if feed_type is not None else kind
        self.dialect.check_options(check_name(name), {**given, **options})
        return self._call("create", name, family, b"type", encode(kind), *pairs).addCallback(
            lambda _: None if handle is None else handle.made()
        )

    def delete_feed(self, name: str, type: str | None = None) -> Deferred[bool]:
        """Delete a feed with all its keys.

        :param type: of the feed, where the dialect lets feeds and jobs have the same name.
        :returns: fires with True.
        :raises FeedDoesNotExist: (as a failure) if there is none of that name.
        """
        return self._call("delete", name, type).addCallback(bool)

    def feed_exists(self, name: str) -> Deferred[bool]:
        """Whether there is a feed of that name, of whatever type."""
        every = self.dialect.every_keys(encode(check_name(name)))
        asked = [self.redis.execute("SISMEMBER", keys.feeds, keys.name) for keys in every]
        return gatherResults(asked, consumeErrors=True).addCallbacks(any, first_failure)

    def get_feed_names(self) -> Deferred[set[str]]:
        """The names of all feeds, of whatever type."""
        every = self.dialect.every_keys(b"")
        asked = [self.redis.execute("SMEMBERS", keys.feeds) for keys in every]
        return gatherResults(asked, consumeErrors=True).addCallbacks(
            lambda found: {decode(name) for names in found for name in names}, first_failure
        )

    def get_config(self, name: str, type: str | None = None) -> Deferred[dict[str, str]]:
        """A feed's options, with ``type``.

        :param type: as for :meth:`delete_feed`.
        :raises FeedDoesNotExist: (as a failure) if there is none of that name.
        """

        def get(keys: FeedKeys) -> Deferred[dict[str, str]]:
            bound = script("instance/get_config").bind(keys, name)
            return bound(self.redis, (keys.name,), read_config)

        return self._with_keys(name, type, get)

    def set_config(
        self, name: str, config: Mapping[str, Any] | None = None, **options: Any
    ) -> Deferred[None]:
        """Set options of a feed of whatever type, just those that are given.

        :param config: options as a mapping, and whatever else is to be stored with them;
            ``max_length`` of ``None`` or ``0`` takes the limit away.
        :raises FeedDoesNotExist: (as a failure) if there is none of that name.
        :raises WrongFeedType: (as a failure) if another ``type`` is given; nothing is written.
        """
        allowed = frozenset().union(*(kind.OPTIONS for kind in self.feed_types.values()))
        pairs = encode_options(allowed, options, config)
        self.dialect.check_options(check_name(name), {**(config or {}), **options})
        kind = options.get("type", (config or {}).get("type"))
        return self._call("set_config", name, kind, *pairs).addCallback(ignore)

    @returns_deferred
    async def fsck(
        self,
        name: str,
        repair: bool = False,
        grace: float = GRACE,
        looked: Callable[[int], object] | None = None,
    ) -> list[Fault]:
        """Check a feed of whatever type, or the keys of one that does not exist.

        Where its options do not say of what type it is, its keys do. A key of a feed that does
        not exist is a fault; repairing it is to remove it.

        :param name: of the feed.
        :param repair: whether faults are repaired, each by the rule of its kind.
        :param grace: seconds between two looks, as for ``fsck`` of a handle.
        :param looked: called with how many more entries were read, now and then.
        :returns: fires with the faults, those that were repaired too.
        :raises FeedDoesNotExist: (as a failure) if there is nothing of that name.
        :raises WrongFeedType: (as a failure) if it is of a type that is not known here.
        """
        keys: FeedKeys = await self._with_keys(name, None, succeed)
        check = Check(self.redis, self.get_reactor(), keys, repair, grace, looked)
        there = await check.survey()
        if not there.listed:
            if not keys.LISTS_ALL:
                raise FeedDoesNotExist(name, "jobs that nobody has listed: a handle checks them")
            return await check.left()
        stored = there.stored
        if stored is None or stored in CHECKED:
            return await check.feed(there.kind(), there.kind() or "")
        if stored not in self.feed_types:
            raise WrongFeedType(name, f"it is a {stored}, which cannot be checked")
        feed: FeedBaseType = self.feed_types[stored](self, name)
        return await feed.fsck(repair, grace)

    def _call(self, verb: str, name: str, type: str | None, *args: bytes) -> Deferred[Any]:
        def call(keys: FeedKeys) -> Deferred[Any]:
            bound = script(f"instance/{verb}").bind(keys, name)
            return bound(self.redis, (keys.name, encode(self.uuid), *args))

        return self._with_keys(name, type, call)

    def _with_keys(
        self, name: str, type: str | None, use: Callable[[FeedKeys], Deferred[T]]
    ) -> Deferred[T]:
        """Call something with the keys of a feed, of which only the name may be known.

        :raises WrongFeedType: (as a failure) if both a feed and jobs have that name.
        """
        data = encode(check_name(name))
        every = self.dialect.every_keys(data, self.db)
        if len(every) == 1:
            return use(every[0])
        if type is not None:
            feed_type = self.feed_types.get(type)
            family = type if feed_type is None else feed_type.FAMILY
            return use(self.dialect.keys(family, data, self.db))

        def found(listed: list[int]) -> Deferred[T]:
            if all(listed):
                raise WrongFeedType(name, "a feed and jobs have that name: say which by type=")
            return use(next((k for k, is_it in zip(every, listed, strict=True) if is_it), every[0]))

        asked = [self.redis.execute("SISMEMBER", keys.feeds, data) for keys in every]
        both = gatherResults(asked, consumeErrors=True).addErrback(first_failure)
        return both.addCallback(found)

    def register_feedtype(self, name: str, feed_type: type[FeedBaseType]) -> None:
        """Let a class of one's own be a type of feed.

        :param name: of the type in Redis; also of the method that makes handles of it.
        :param feed_type: a subclass of one of the four types.
        :raises TypeError: if it is no such class.
        :raises ValueError: if the name is taken by something else.
        """
        if not (isinstance(feed_type, type) and issubclass(feed_type, FeedBaseType)):
            raise TypeError(f"a type of feed is a subclass of one, {feed_type!r} is none")
        if not name.isidentifier() or (name not in self.feed_types and hasattr(self, name)):
            raise ValueError(f"{name!r} cannot be the name of a type of feed")
        if getattr(feed_type, "TYPE", None) != name:
            # Not set on the class itself: it may be another type elsewhere.
            feed_type = type(feed_type.__name__, (feed_type,), {"TYPE": name})
        self.feed_types[name] = feed_type
        setattr(self, name, self._maker(feed_type))

    def _maker(self, feed_type: type[FeedBaseType]) -> Callable[..., Any]:
        """What makes handles of a type that was registered."""
        raise NotImplementedError

    def publish_channel(self, channel: str, *args: str) -> Deferred[int]:
        """Publish a message of one's own: *args*, divided by NULs.

        :returns: fires with how many got it.
        """
        return self.redis.execute("PUBLISH", encode(channel), encode("\x00".join(args)))

    # -- waiting ----------------------------------------------------------------------------

    def blocked(self, feed: FeedBaseType) -> Blocked[Any]:
        """What the waiting gets of one feed share; for the types."""
        known_as = self._known_as(feed)
        blocked = self._blocked.get(known_as)
        if blocked is None:
            source: Source[Any] = feed  # type: ignore[assignment]  # queues and jobs are sources
            blocked = self._blocked[known_as] = Blocked(self, feed, source)
            if not self._waits:
                blocked.stop()
        return blocked

    def _known_as(self, feed: FeedBaseType) -> tuple[str, str, int]:
        # By type too: a get on a handle of the wrong type must not spoil it for the others.
        return (feed.TYPE, feed.name, feed.taken_as())

    def forget_blocked(self, blocked: Blocked[Any]) -> None:
        """Nobody waits there any more; for the types."""
        known_as = self._known_as(blocked.feed)
        if self._blocked.get(known_as) is blocked:
            del self._blocked[known_as]

    def claims_of(self, name: str) -> dict[str, Any]:
        """What this process has claimed of a feed, by id; for the types."""
        return self._claims.setdefault(name, {})

    def results_of(self, job: Job) -> Results:
        """Who waits for results of a feed in this process; for the types."""
        # By serializer too: results are read by it.
        known_as = f"{job.serializer!r} {job.name}"
        results = self._results.get(known_as)
        if results is None:
            results = self._results[known_as] = Results(job)
        return results

    def call_when_heard_again(self, handler: Callable[[], object]) -> None:
        """Call a handler whenever subscriptions were made anew: messages may have been missed."""
        raise NotImplementedError

    def call_no_more(self, handler: Callable[[], object]) -> None:
        """The opposite of :meth:`call_when_heard_again`."""
        raise NotImplementedError

    def open_connection(self) -> Deferred[Redis]:
        """A connection of its own, logged in; for gets that block."""
        raise NotImplementedError

    def get_reactor(self) -> IReactorTime:
        """The reactor this instance runs on."""
        raise NotImplementedError

    def subscribe(
        self,
        name: str,
        *,
        serializer: str | Serializer = "text",
        **handlers: Callable[[Any], object],
    ) -> Deferred[Any]:
        """Call handlers for the events of a feed."""
        raise NotImplementedError("a ThoonkPub hears nothing: that is what a ThoonkSub is for")

    def follow(self, *args: Any, **options: Any) -> Deferred[Any]:
        """Follow a feed."""
        raise NotImplementedError("a ThoonkPub hears nothing: a Thoonk follows feeds")

    def start_waiting(self) -> None:
        """Let gets wait, after :meth:`stop_waiting`."""
        self._waits = True
        self._blocked.clear()

    def stop_waiting(self, error: Exception | None = None) -> Deferred[None]:
        """Fail every get that waits, and every one that comes.

        :param error: what those that wait fail with; ``NotConnected`` if not given.
        :returns: fires when their connections are closed.
        """
        self._waits = False
        results, self._results = self._results, {}
        for each_result in results.values():
            each_result.stop(error or NotConnected("stopped"))
        blocked, self._blocked = self._blocked, {}
        stopping = [each.stop(error) for each in blocked.values()]
        return gatherResults(stopping, consumeErrors=True).addBoth(ignore)
