"""What an instance hears: subscriptions to what happens, and feeds that are followed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred, succeed

from txthoonk.delivery import Budget
from txthoonk.followers import Followers
from txthoonk.instance import Instance
from txthoonk.keys import check_name
from txthoonk.live import LiveFeed, follow
from txthoonk.live_pattern import LivePattern, follow_pattern
from txthoonk.pubsub import Hub
from txthoonk.serializers import Serializer, get_serializer
from txthoonk.subscriptions import Handlers, Subscription

__all__ = ["Listening"]


class Listening(Instance):
    """The verbs that call handlers."""

    _hub: Hub
    _handlers: Handlers
    _followers: Followers

    def _listen(self, adding: Deferred[Any]) -> Deferred[Any]:
        """See to it that there is a connection for messages."""
        raise NotImplementedError

    def subscribe(
        self,
        name: str,
        *,
        serializer: str | Serializer = "text",
        **handlers: Callable[[Any], object],
    ) -> Deferred[Subscription]:
        """Call handlers for the events of one feed, whatever its type.

        Each handler gets one event object of :mod:`txthoonk.events`. It may return a Deferred or
        be ``async``; one that fails is logged and hurts nobody. What is published while the
        connection is down is not heard. Messages cross the databases of a server, in every
        Thoonk: a feed of that name in another database is heard too.

        :param name: of the feed, as it is: never a pattern.
        :param serializer: for items and results.
        :param handlers: ``create config delete``, ``publish edit retract position`` of feeds
            (``move`` is ``position``), ``put claim finish`` of jobs.
        :returns: fires with the subscription once Redis has confirmed it.
        :raises NotConnected: (as a failure) if that took longer than ``connect_timeout``.
        :raises TypeError: if there is no such kind of event.
        """
        return self._listen(self._handlers.subscribe(name, handlers, serializer))

    def subscribe_pattern(
        self,
        pattern: str | Iterable[str],
        *,
        serializer: str | Serializer = "text",
        **handlers: Callable[[Any], object],
    ) -> Deferred[Subscription]:
        """Call handlers for the events of all feeds whose name matches, feeds born later too.

        A message is handled once, however many patterns match. Each pattern costs the server a
        little with every message that anybody publishes.

        :param pattern: Redis's: ``*``, ``?``, ``[ab]``, ``[^a]``, backslash; or several.
        """
        return self._listen(self._handlers.subscribe_pattern(pattern, handlers, serializer))

    def follow(
        self,
        name: str,
        on_event: Callable[[Any], object],
        *,
        serializer: str | Serializer = "text",
        foreign: bool = True,
        token: str | None = None,
        max_events: int = 10_000,
        max_bytes: int = 16_000_000,
    ) -> Deferred[LiveFeed]:
        """Have a local copy of a feed or sorted feed, and be told of every change, once, in order.

        Through any number of breaks of the connection: what was missed is read from the feed's
        history. Where that does not go back so far, and where the data are not what they were,
        *on_event* gets a :class:`~txthoonk.events.Resync`, and the copy is read anew.

        :param name: of the feed.
        :param on_event: called with ``Published``, ``Edited``, ``Retracted``, ``Moved``, each with
            its ``revision``; with ``Resync``; with ``FeedDeleted``. It may return a Deferred or be
            ``async``: the next event waits for that. One that fails is logged, and hurts nobody.
        :param serializer: for items.
        :param foreign: whether changes by other programs, which know of no revisions, are listened
            for. They are given revisions when they are noticed: without this at the latest after a
            break of the connection.
        :param token: of a :class:`LiveFeed` or a snapshot: all since then is told first, once the
            copy is there.
        :param max_events: how many may wait for *on_event*; past it they are dropped, and a
            ``Resync`` comes instead.
        :param max_bytes: of these: the same.
        :returns: fires with the :class:`LiveFeed` once the copy is there; *on_event* is not called
            before, nor for what is in it.
        :raises FeedDoesNotExist: WrongFeedType: (as a failure) if there is no feed to follow.
        :raises NotConnected: (as a failure) if there is no connection in time.
        :raises ValueError: if the token is none.
        """
        budget = _budget(on_event, max_events, max_bytes)
        serializer = get_serializer(serializer)
        return self._listen(
            Deferred.fromCoroutine(
                follow(
                    self._followers, check_name(name), on_event, serializer, budget, foreign, token
                )
            )
        )

    def follow_pattern(
        self,
        pattern: str,
        on_event: Callable[[Any], object],
        *,
        serializer: str | Serializer = "text",
        foreign: bool = False,
        token: str | None = None,
        max_events: int = 10_000,
        max_bytes: int = 16_000_000,
    ) -> Deferred[LivePattern]:
        """Follow all feeds whose name matches, feeds born later too; else as :meth:`follow`.

        A pattern whose first two segments are spelt out (``team:353:*``) has Redis send the
        changes of feeds whose names begin so; any other one all changes of all feeds.

        :param pattern: Redis's: ``*``, ``?``, ``[ab]``, ``[^a]``, backslash.
        :param foreign: whether changes by other programs are listened for: that costs the server
            four patterns, which it compares with each message that anybody publishes.
        :param token: of a :class:`LivePattern`; feeds that were born since are told from their
            first change on.
        :param max_events: how many may wait for *on_event*, of all feeds together.
        :returns: fires with the :class:`LivePattern`, a mapping of names, once all copies are
            there.
        """
        budget = _budget(on_event, max_events, max_bytes)
        serializer = get_serializer(serializer)
        return self._listen(
            follow_pattern(
                *(self._followers, check_name(pattern), on_event, serializer, budget),
                *(foreign, token),
            )
        )

    def register_handler(self, event: str, handler: Callable[..., object]) -> Deferred[int]:
        """Call a handler in one of the older forms.

        :param event: ``create_notice delete_notice`` (feed), ``publish_notice`` (feed, item,
            id), ``retract_notice`` (feed, id) and thoonk.py's ``create delete publish edit
            retract position finish`` with its arguments, for every feed (a job that is put is
            published); or the name of a channel, whose handlers get the parts of the message, as
            in 0.1.
        :returns: fires with an id for :meth:`remove_handler`.
        """
        return self._listen(self._handlers.register(event, handler))

    def remove_handler(self, id: int) -> Deferred[bool]:
        """Call a handler no more.

        :returns: fires with whether there was one.
        """
        return succeed(self._handlers.remove(id))

    def call_when_heard_again(self, handler: Callable[[], object]) -> None:
        """Call a handler whenever subscriptions were made anew: messages may have been missed."""
        self._hub.when_attached[handler] = None

    def call_when_cut(self, handler: Callable[[], object]) -> None:
        """Call a handler whenever the connection for messages is lost."""
        self._hub.when_detached[handler] = None

    def call_no_more(self, handler: Callable[[], object]) -> None:
        """The opposite of :meth:`call_when_heard_again` and :meth:`call_when_cut`."""
        self._hub.when_attached.pop(handler, None)
        self._hub.when_detached.pop(handler, None)


def _budget(on_event: Callable[[Any], object], max_events: int, max_bytes: int) -> Budget:
    if not callable(on_event):
        raise TypeError(f"a handler is called with an event, {on_event!r} cannot be called")
    if max_events < 1 or max_bytes < 1:
        raise ValueError("at least one event has to wait for its handler")
    return Budget(max_events, max_bytes)
