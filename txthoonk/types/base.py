"""What every type of feed has: a name, options, a handle that costs no round trip."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from txthoonk.dialects import Dialect
from txthoonk.errors import ItemError, ServerError
from txthoonk.fsck import CHECKED, GRACE, Check, Fault
from txthoonk.keys import check_id, check_name, decode, encode
from txthoonk.redis import Redis
from txthoonk.scripts import BoundScript, Connection, script
from txthoonk.serializers import Serializer, get_serializer
from txthoonk.types.options import ANY_TYPE, encode_options
from txthoonk.verdicts import script_error

__all__ = ["FeedBaseType", "ItemId", "Owner", "given", "new_id", "read_config"]

T = TypeVar("T")
Handle = TypeVar("Handle", bound="FeedBaseType")


class Owner(Protocol):
    """What a handle needs of the instance that made it."""

    #: Who we are in messages about feeds.
    uuid: str
    #: The names on the wire.
    dialect: Dialect
    #: Number of the database; some channels have it in their names.
    db: int
    #: Seconds that a call waits for a connection.
    connect_timeout: float
    #: Seconds of silence after which a connection must show that it lives.
    ping_interval: float

    @property
    def redis(self) -> Connection:
        """Where commands go."""

    def get_reactor(self) -> IReactorTime:
        """The reactor this instance runs on."""

    def open_connection(self) -> Deferred[Redis]:
        """A connection of its own, logged in, for commands that block."""

    def subscribe(
        self,
        name: str,
        *,
        serializer: str | Serializer = "text",
        **handlers: Callable[[Any], object],
    ) -> Deferred[Any]:
        """Call handlers for the events of a feed."""

    def follow(self, *args: Any, **options: Any) -> Deferred[Any]:
        """Follow a feed."""

    def blocked(self, feed: Any) -> Any:
        """What the waiting gets of one feed share in this process."""

    def forget_blocked(self, blocked: Any) -> None:
        """Nobody waits there any more."""

    def claims_of(self, name: str) -> dict[str, Any]:
        """What this process has claimed of a feed, by id."""

    def results_of(self, job: Any) -> Any:
        """Who waits for results of a feed in this process."""

    def call_when_heard_again(self, handler: Callable[[], object]) -> None:
        """Call a handler whenever subscriptions were made anew: messages may have been missed."""

    def call_no_more(self, handler: Callable[[], object]) -> None:
        """The opposite."""


class ItemId(str):  # noqa: SLOT000  # a revision is set on some
    """The id of an item.

    :ivar revision: that the change of a feed or sorted feed was given, which this is the result
        of; ``None`` elsewhere.
    """

    revision: int | None = None


#: Ids made beforehand: asking the system for many at a time halves what one costs.
_ids: list[str] = []
os.register_at_fork(after_in_child=_ids.clear)


def new_id() -> str:
    """A new unique id: 32 hexadecimal digits, as the peers write them."""
    if not _ids:
        digits = os.urandom(16 * 128).hex()
        _ids.extend(digits[i : i + 32] for i in range(0, len(digits), 32))
    return _ids.pop()


class FeedBaseType:
    """A handle on a feed: making one costs no round trip.

    The feed is created, or given the handle's options, before the handle's first verb; ``await
    handle`` does just that.

    :param pub: the instance that speaks with Redis.
    :param name: name of the feed.
    :param config: options as a mapping, and whatever else is to be stored with them.
    :param options: see :attr:`OPTIONS` of the type.
    :raises TypeError: if an option does not exist.
    :raises ValueError: if a name, a ``type`` or another option's value cannot be.
    """

    #: The type's name in Redis; 0.1 made handles of this very class for feeds.
    TYPE: ClassVar[str] = "feed"
    #: Which of the four types it is, or is made of: that is what dialects know.
    FAMILY: ClassVar[str] = "feed"
    #: The options it has.
    OPTIONS: ClassVar[frozenset[str]] = frozenset({"serializer", "title"})
    #: Its channels, as attributes of ``FeedKeys``.
    CHANNELS: ClassVar[tuple[str, ...]] = ()
    #: Its keys, as attributes of ``FeedKeys``.
    SCHEMA: ClassVar[tuple[str, ...]] = ("ids", "items", "publishes", "config")

    def __init__(
        self, pub: Owner, name: str, config: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        self.pub = pub
        self.name = check_name(name)
        self.keys = pub.dialect.keys(self.FAMILY, encode(name), pub.db)
        config = dict(config or {})
        kind = config.pop("type", self.TYPE)
        if kind != self.TYPE:
            raise ValueError(f"feed {name!r} is wanted as {self.TYPE}, not as {kind!r}")
        pub.dialect.check_options(name, {**config, **options})
        self._given = encode_options(self.OPTIONS, options, config)
        usual = pub.dialect.serializer(self.FAMILY)
        serializer = options.get("serializer", config.get("serializer", usual))
        self.serializer: Serializer = get_serializer(serializer)
        self._made = False
        self._makers: list[Deferred[None]] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    # -- existence --------------------------------------------------------------------------

    def __await__(self: Handle) -> Generator[Deferred[Any], Any, Handle]:
        return self.ensure().__await__()

    def ensure(self: Handle) -> Deferred[Handle]:
        """Make sure that the feed exists and has the options of this handle.

        :returns: fires with this handle.
        :raises WrongFeedType: (as a failure) if the feed is of another type; and as
            :meth:`Redis.execute <txthoonk.redis.Redis.execute>`.
        """
        ensure = self._bind("instance/ensure")
        names = (encode(self.name), encode(self.pub.uuid), self.TYPE.encode())
        return ensure(self.pub.redis, (*names, *self._given), self.made)

    def made(self: Handle, _: object = None) -> Handle:
        """Know that the feed exists, with the options of this handle."""
        self._made = True
        return self

    @property
    def is_made(self) -> bool:
        """Whether the feed is known to exist, with the options of this handle."""
        return self._made

    def _when_made(self) -> Deferred[None]:
        """One ``ensure`` for all verbs that were called before the feed was there."""
        waiter: Deferred[None] = Deferred()
        self._makers.append(waiter)
        if len(self._makers) == 1:

            def made(result: Any) -> None:
                makers, self._makers = self._makers, []
                for each in makers:
                    each.callback(result if result is not self else None)

            self.ensure().addBoth(made)
        return waiter

    # -- configuration ----------------------------------------------------------------------

    def get_config(self) -> Deferred[dict[str, str]]:
        """The feed's configuration, with ``type``.

        :raises FeedDoesNotExist: (as a failure) if the feed was deleted.
        """
        return self._run(self._bind("instance/get_config"), (encode(self.name),), read_config)

    def set_config(self, config: Mapping[str, Any] | None = None, **options: Any) -> Deferred[None]:
        """Set options, just those that are given; the others stay.

        :param config: options as a mapping, and whatever else is to be stored with them.
        :param options: as for the handle; ``max_length=None`` or ``0`` takes the limit away. A
            new limit holds from the next publish on.
        :returns: fires with None when they are set and announced.
        :raises FeedDoesNotExist: (as a failure) if the feed was deleted.
        """
        self.pub.dialect.check_options(self.name, {**(config or {}), **options})
        # A handle of the base class itself may be on a feed of any type.
        allowed = ANY_TYPE if type(self) is FeedBaseType else self.OPTIONS
        pairs = encode_options(allowed, options, config)
        args = (encode(self.name), encode(self.pub.uuid), *pairs)
        return self._run(self._bind("instance/set_config"), args, _none)

    def delete(self) -> Deferred[None]:
        """Delete the feed with all its keys.

        :returns: fires with None when it is gone and that is announced.
        :raises FeedDoesNotExist: (as a failure) if it was deleted already.
        """
        args = (encode(self.name), encode(self.pub.uuid))
        return self._bind("instance/delete")(self.pub.redis, args, _none)

    def fsck(self, repair: bool = False, grace: float = GRACE) -> Deferred[list[Fault]]:
        """Check the feed: every id in exactly one state, indexes that match the items.

        Others may work on it meanwhile. What moves while this reads may be missed; a fault that
        stays is found. The feed is not created, nor its options set, before.

        :param repair: whether faults are repaired, each by the rule of its kind.
        :param grace: seconds between the two looks at what seems wrong, since other programs do
            not write everything at once; a check takes as long if it has a suspicion, else no
            time.
        :returns: fires with the faults, those that were repaired too.
        :raises FeedDoesNotExist: (as a failure) if there is nothing of that name.
        :raises WrongFeedType: (as a failure) if it is a feed of another type; and as
            :meth:`Redis.execute <txthoonk.redis.Redis.execute>`.
        """
        check = Check(self.pub.redis, self.pub.get_reactor(), self.keys, repair, grace)
        types = (vars(each).get("TYPE") for each in type(self).__mro__)
        kind = next(kind for kind in types if kind in CHECKED)
        return Deferred.fromCoroutine(check.feed(kind, self.TYPE))

    def get_schema(self) -> list[str]:
        """The Redis keys of this feed, as in 0.1."""
        return [decode(getattr(self.keys, key)) for key in self.SCHEMA]

    def get_channels(self) -> list[str]:
        """The Redis channels of this feed, as in 0.1."""
        return [decode(getattr(self.keys, channel)) for channel in self.CHANNELS]

    def subscribe(self, **handlers: Callable[[Any], object]) -> Deferred[Any]:
        """Call handlers for the events of this feed, in its serializer.

        See ``Thoonk.subscribe``.
        """
        return self.pub.subscribe(self.name, serializer=self.serializer, **handlers)

    # -- for the types ----------------------------------------------------------------------

    def _bind(self, name: str) -> BoundScript:
        return script(name).bind(self.keys, self.name)

    def _run(
        self,
        bound: BoundScript,
        args: Sequence[bytes],
        shape: Callable[..., T],
        *shape_args: object,
        id: str | None = None,
    ) -> Deferred[T]:
        """Call a script, once the feed is known to be there."""
        if self._made:
            return bound(self.pub.redis, args, shape, *shape_args, id=id)
        return self._when_made().addCallback(
            lambda _: bound(self.pub.redis, args, shape, *shape_args, id=id)
        )

    def _read(self, *command: str | bytes | int, id: str | None = None) -> Deferred[Any]:
        """Send a command that reads, once the feed is known to be there."""
        if self._made:
            reply = self.pub.redis.execute(*command)
        else:
            reply = self._when_made().addCallback(lambda _: self.pub.redis.execute(*command))
        return reply.addErrback(self._named, id)

    def _named(self, failure: Failure, id: str | None) -> Failure:
        """An error of Redis's names the feed and the item it is about."""
        if isinstance(failure.value, ServerError):
            raise script_error(failure.value, self.name, id) from None
        return failure

    def _id(self, id: str | int) -> str:
        return id if type(id) is ItemId else check_id(id, self.name)

    def _encode(self, item: Any) -> bytes:
        return self.serializer.encode(item)

    def taken_as(self) -> int:
        """Handles with another value of this do not share what they take."""
        return 0

    def decode(self, data: bytes, id: str) -> Any:
        """The item, or an :exc:`ItemError` in its place."""
        try:
            return self.serializer.decode(data)
        except Exception as error:
            return ItemError(self.name, id, f"{type(error).__name__}: {error}")

    def _decode_or_fail(self, data: bytes | None, id: str) -> Any:
        if data is None:
            return None
        item = self.decode(data, id)
        if isinstance(item, ItemError):
            raise item
        return item

    def _decode_all(self, reply: list[bytes | None]) -> dict[str, Any]:
        """A dict of what a script gave as id, item, id, item, ...; ids without item are left."""
        all_of_it = {}
        for i in range(0, len(reply), 2):
            id, data = reply[i], reply[i + 1]
            if id is not None and data is not None:
                name = decode(id)
                all_of_it[name] = self.decode(data, name)
        return all_of_it


def _none(_: object) -> None:
    return None


def read_config(reply: list[bytes]) -> dict[str, str]:
    """Options as a script gave them: name, value, ..."""
    return {decode(reply[i]): decode(reply[i + 1]) for i in range(0, len(reply), 2)}


def given(_: object, id: ItemId) -> ItemId:
    """The id that the caller knew already, as the result of a verb."""
    return id
