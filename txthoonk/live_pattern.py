"""Following all feeds whose names match a pattern."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from inspect import iscoroutine
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from txthoonk._deferred import first_failure, ignore
from txthoonk.delivery import Budget
from txthoonk.errors import FeedDoesNotExist, WrongFeedType
from txthoonk.events import FeedDeleted
from txthoonk.followers import Followers
from txthoonk.following import Follower
from txthoonk.globs import compile_glob
from txthoonk.keys import FEEDS, SEGMENTS, decode, encode
from txthoonk.listener import Listener, as_it_is
from txthoonk.live import LiveFeed, OnEvent
from txthoonk.positions import Position, pack_positions, read_positions
from txthoonk.serializers import Serializer

__all__ = ["LivePattern", "follow_pattern"]

#: How many feeds are read at a time.
AT_ONCE: Final = 200


class LivePattern(Mapping[str, LiveFeed]):
    """All feeds whose names match a pattern, each followed: a mapping of their names."""

    log = Logger()

    __hash__ = object.__hash__

    def __init__(
        self,
        followers: Followers,
        pattern: str,
        handler: OnEvent,
        serializer: Serializer,
        foreign: bool,
        resume: dict[str, Position] | None,
        budget: Budget,
    ) -> None:
        self.pattern = pattern
        self._followers = followers
        self._glob = compile_glob(encode(pattern))
        self._handler = handler
        self._serializer = serializer
        self._foreign = foreign
        self._resume = resume
        self._budget = budget
        self._feeds: dict[str, LiveFeed] = {}
        self._by_channel: dict[bytes, Follower] = {}
        self._others: set[str] = set()  # that match, but are no feeds to follow
        self.stopped = False
        #: Whether it is known what there was at the beginning; what was heard of until then; and
        #: which feeds of its token are gone.
        self._begun = False
        self._early: set[str] = set()
        self._gone: list[str] = []
        #: Whether nobody is told anything yet.
        self._held = True
        self.listener = self._make_listener()

    def __repr__(self) -> str:
        return f"<LivePattern {self.pattern!r}: {len(self._feeds)} feeds>"

    def __getitem__(self, name: str) -> LiveFeed:
        live = self._feeds[name]
        if live._follower.gone or live._follower.stopped:
            raise KeyError(name)
        return live

    def __iter__(self) -> Iterator[str]:
        all_of_them = ((name, live._follower) for name, live in self._feeds.items())
        return (name for name, each in all_of_them if not (each.gone or each.stopped))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def token(self) -> str:
        """Where the handler is in each feed, for ``follow_pattern(token=...)``."""
        feeds = (each for each in self._going_on() if not each.forgotten)
        return pack_positions({each.name: each.signed() for each in feeds})

    def when_synced(self) -> Deferred[None]:
        """As that of each :class:`LiveFeed`; and no feed is missing."""
        return self._look().addCallback(lambda _: self._followers.when_synced(self._going_on()))

    def verify(self) -> Deferred[bool]:
        """As that of each :class:`LiveFeed`."""
        return self._look().addCallback(lambda _: self._followers.verify(self._going_on()))

    def _going_on(self) -> list[Follower]:
        return [each for each in self._by_channel.values() if not each.stopped]

    def stop(self) -> None:
        """Call the handler no more, from this moment."""
        self.stopped = True
        self._followers.stop_pattern(self)
        for follower in list(self._by_channel.values()):
            self._followers.stop_following(follower)

    # -- which feeds there are --------------------------------------------------------------

    def _make_listener(self) -> Listener:
        """Feeds whose names begin as the pattern does have one channel, if it says enough."""
        channels: dict[bytes, Any] = {}
        patterns: dict[bytes, Any] = {}
        heard = (as_it_is, self._message)
        glob = encode(self.pattern)
        literal = re.match(rb"[^*?\[\\]*", glob)
        start = literal[0] if literal else b""
        keys_of = self._followers.place.dialect.keys
        keys = keys_of("feed", start, self._followers.place.db)
        if start == glob or start.count(b":") >= SEGMENTS:
            channels[keys.under_channel] = heard
        else:
            # Keys of no name: the prefix of all these channels.
            prefix = keys_of("feed", b"", keys.db).under_channel
            patterns[prefix + b"*"] = lambda _: heard
        if self._foreign:
            for kind in ("publish", "edit", "retract", "position"):
                prefix = getattr(keys_of("feed", b""), f"{kind}_channel")
                patterns[prefix + b"*"] = self._choose(len(prefix))
        return Listener(channels, patterns)

    def _choose(self, prefix: int) -> Callable[[bytes], Any]:
        """Foreign writers' messages have the feed's name in the channel alone."""

        def choose(channel: bytes) -> Any:
            live = self._feeds.get(decode(channel[prefix:]))
            if live is None:
                return as_it_is, ignore
            return as_it_is, live._follower.contract_message

        return choose

    def matches(self, name: str) -> bool:
        """Whether a feed of that name is one of these."""
        return self._glob.fullmatch(encode(name)) is not None

    def _message(self, message: bytes) -> None:
        """A change of some feed came, behind the name of its own channel."""
        channel, _, change = message.partition(b"\x00")
        follower = self._by_channel.get(channel)
        if follower is not None:
            follower.message(change)
            return
        if not self._begun:
            return  # it will be in what is read
        place = self._followers.place
        name = decode(channel[len(place.dialect.keys("feed", b"", place.db).event_channel) :])
        if self.matches(name):
            self.born(name)

    def born(self, name: str) -> None:
        """There is a feed that was not there before."""
        if self.stopped or name in self._others:
            return
        if not self._begun:
            self._early.add(name)
        elif name in self._feeds:
            self._feeds[name]._follower.look_again()
        else:
            self._add(name, born=True).start()

    def _add(self, name: str, born: bool) -> Follower:
        resume = None if self._resume is None else self._resume.get(name)
        follower = Follower(
            *(self._followers.place, name, self._handler, self._serializer, self._budget),
            foreign=self._foreign,
            resume=resume,
            born=born,
            vanished=self._vanished,
        )
        self._feeds[name] = LiveFeed(self._followers, follower)
        self._by_channel[follower.keys().event_channel] = follower
        self._followers.add(follower)
        if self._held:
            follower.hold()
        return follower

    def _vanished(self, follower: Follower, is_other: bool) -> None:
        """A feed is gone; one of that name that comes after is another one.

        While its handler is at work it goes on, so that nobody else calls the handler meanwhile.
        """
        if is_other:
            self._others.add(follower.name)
        if not follower.busy:
            del self._feeds[follower.name]
            del self._by_channel[follower.keys().event_channel]
            self._followers.stop_following(follower)

    def created(self, name: str) -> None:
        """A feed was created; one of another type may have had its name."""
        self._others.discard(name)
        self.born(name)

    async def begin(self) -> LivePattern:
        """Read all feeds that there are; nobody is told anything before :meth:`release`."""
        names, resume = await self._names(), self._resume
        new = set() if resume is None else names - resume.keys()
        known = [self._add(name, born=False) for name in names - new]
        self._begun, self._resume = True, None
        if resume is not None:
            self._gone = list(resume.keys() - names)
        for name in new | self._early:
            self.born(name)
        left = iter(known)
        starting = [Deferred.fromCoroutine(self._start_all(left)) for _ in range(AT_ONCE)]
        await gatherResults(starting, consumeErrors=True).addErrback(first_failure)
        return self

    async def _start_all(self, left: Iterator[Follower]) -> None:
        for follower in left:
            await self._start(follower)

    async def _start(self, follower: Follower) -> None:
        if not self.stopped:
            try:
                await follower.start()
            except (FeedDoesNotExist, WrongFeedType) as error:
                if follower.resumes:
                    self._gone.append(follower.name)
                follower.release()
                self._vanished(follower, isinstance(error, WrongFeedType))

    def release(self) -> None:
        """Tell what has happened since the beginning."""
        self._held = False
        for name in self._gone:
            self._handler_told(FeedDeleted(name))
        for follower in list(self._by_channel.values()):
            follower.release()

    def _handler_told(self, event: Any) -> None:
        try:
            outcome = self._handler(event)
            if iscoroutine(outcome):
                outcome = Deferred.fromCoroutine(outcome)
            if isinstance(outcome, Deferred):
                outcome.addErrback(lambda f: self.log.failure("A handler failed", failure=f))
        except Exception:
            self.log.failure("A handler failed")

    async def _names(self) -> set[str]:
        names = await self._followers.place.redis.execute("SMEMBERS", FEEDS)
        return {decode(name) for name in names if self._glob.fullmatch(name)}

    def look(self) -> None:
        """Look for feeds that were born while nobody listened."""
        self._look().addErrback(
            lambda f: self.log.warn("Cannot look for feeds: {why}", why=f.value)
        )

    def _look(self) -> Deferred[None]:
        async def look() -> None:
            names = await self._names()
            self._others &= names
            for follower in list(self._by_channel.values()):
                if follower.gone and follower.name not in names:
                    self._vanished(follower, False)
            for name in names:
                if name not in self._feeds:
                    self.born(name)

        return Deferred.fromCoroutine(look())


def follow_pattern(
    followers: Followers,
    pattern: str,
    handler: OnEvent,
    serializer: Serializer,
    budget: Budget,
    foreign: bool,
    token: str | None,
) -> Deferred[LivePattern]:
    """Follow all feeds that match; see ``Thoonk.follow_pattern``."""
    resume = None if token is None else read_positions(token)

    async def begin() -> LivePattern:
        followers.begin()
        live = LivePattern(followers, pattern, handler, serializer, foreign, resume, budget)
        try:
            await followers.add_pattern(live)
            return await live.begin()
        except BaseException:
            live.stop()
            raise

    def begun(live: LivePattern) -> None:
        done.callback(live)
        if not live.stopped:
            live.release()

    beginning = Deferred.fromCoroutine(begin())
    done: Deferred[LivePattern] = Deferred(lambda _: beginning.cancel())
    beginning.addCallbacks(begun, done.errback)
    return done
