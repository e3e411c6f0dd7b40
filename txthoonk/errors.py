"""Everything that can go wrong, in one tree.

.. code-block:: text

    ThoonkError
    ├── FeedError                 about one feed (``feed``)
    │   ├── FeedExists
    │   ├── FeedDoesNotExist
    │   ├── WrongFeedType
    │   ├── HistoryLost
    │   ├── NotInDialect
    │   └── Empty
    ├── ItemError                 about one item or job (``feed``, ``id``)
    │   ├── ItemDoesNotExist
    │   ├── Conflict
    │   └── JobError
    │       ├── JobNotClaimed
    │       │   └── LeaseLost
    │       ├── JobNotStalled
    │       ├── JobFailed
    │       └── NotFinished
    ├── ConnectionFailed          about the way to Redis
    │   ├── NotConnected
    │   ├── ConnectionLost
    │   └── ProtocolError
    ├── ServerError               Redis answered with an error (``code``)
    │   ├── WrongKeyType
    │   ├── OutOfMemory
    │   ├── PermissionDenied
    │   ├── AuthenticationFailed
    │   ├── ReadOnly
    │   ├── ServerBusy
    │   ├── CrossSlot
    │   └── ScriptMissing
    ├── NoEndpoint                a blocking get without a connection for it
    ├── ServerNotFound            no redis-server program on this machine
    ├── ServerFailed              an embedded redis-server did not start
    ├── ObjectError               a verb of a scripted object failed (``name``, ``verb``, ``text``)
    ├── RegistrationError         a class cannot be a scripted object; also a ``ValueError``
    ├── ChildFailed               a handler raised an exception in a child process
    └── ChildDied                 a child process ended while it ran a handler
        └── ChildNotStarted       no child process could load the handler

A wrong *argument* is a ``ValueError`` or ``TypeError`` instead, raised at once.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "AuthenticationFailed",
    "ChildDied",
    "ChildFailed",
    "ChildNotStarted",
    "Conflict",
    "ConnectionFailed",
    "ConnectionLost",
    "CrossSlot",
    "Empty",
    "FeedDoesNotExist",
    "FeedError",
    "FeedExists",
    "HistoryLost",
    "ItemDoesNotExist",
    "ItemError",
    "JobError",
    "JobFailed",
    "JobNotClaimed",
    "JobNotStalled",
    "LeaseLost",
    "NoEndpoint",
    "NotConnected",
    "NotFinished",
    "NotInDialect",
    "ObjectError",
    "OutOfMemory",
    "PermissionDenied",
    "ProtocolError",
    "ReadOnly",
    "RegistrationError",
    "ScriptMissing",
    "ServerBusy",
    "ServerError",
    "ServerFailed",
    "ServerNotFound",
    "ThoonkError",
    "WrongFeedType",
    "WrongKeyType",
]


class ThoonkError(Exception):
    """Something went wrong in txThoonk; the base of all its errors."""


class ServerNotFound(ThoonkError):
    """No ``redis-server`` program was found on this machine."""


class ServerFailed(ThoonkError):
    """An embedded ``redis-server`` did not start, or ended by itself."""


class ChildFailed(ThoonkError):
    """The handler raised an exception in its child process, which goes on.

    :param name: of the exception's class, with its module unless that is ``builtins``.
    :param text: of the exception.
    :param traceback: of the exception, as Python prints it; empty where there is none.
    """

    def __init__(self, name: str, text: str = "", traceback: str = "") -> None:
        super().__init__(name, text, traceback)
        self.name = name
        self.text = text
        self.traceback = traceback

    def __str__(self) -> str:
        return f"{self.name}: {self.text}" if self.text else self.name


class ChildDied(ThoonkError):
    """The child process ended while it ran the handler; another takes its place.

    :param detail: what happened, as a sentence.
    :param status: the exit status; ``None`` where a signal ended the process.
    :param signal: name of that signal, such as ``SIGSEGV``; ``None`` where it exited.
    """

    def __init__(self, detail: str, status: int | None = None, signal: str | None = None) -> None:
        super().__init__(detail, status, signal)
        self.detail = detail
        self.status = status
        self.signal = signal

    def __str__(self) -> str:
        return self.detail


class ChildNotStarted(ChildDied):
    """No child process could load the handler: the job was not begun."""


class ObjectError(ThoonkError):
    """A verb of a scripted object failed: what its script said, or Redis of the script.

    :param objtype: of the object.
    :param name: of the object; ``None`` for an interface, which has none.
    :param verb: that was called.
    :param text: what was said.
    :param code: the error's own word, where the script declares one; else what Redis said first.
    :param values: what the script answered behind the error.
    """

    def __init__(
        self,
        objtype: str,
        name: str | None,
        verb: str,
        text: str,
        code: str = "",
        values: tuple[object, ...] = (),
    ) -> None:
        super().__init__(objtype, name, verb, text, code, values)
        self.objtype = objtype
        self.name = name
        self.verb = verb
        self.text = text
        self.code = code
        self.values = values

    def __str__(self) -> str:
        which = self.objtype if self.name is None else f"{self.objtype} {self.name!r}"
        return f"{which}, {self.verb}: {self.text or self.code}"


class RegistrationError(ThoonkError, ValueError):
    """A class cannot be registered as a scripted object: its name, folder or scripts are wrong.

    :param name: that it was to have.
    :param detail: what is wrong.
    """

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(name, detail)
        self.name = name
        self.detail = detail

    def __str__(self) -> str:
        return f"The object cannot be registered: {self.name!r} ({self.detail})"


class FeedError(ThoonkError):
    """An operation on a feed failed.

    :param feed: name of the feed.
    :param detail: what is known beyond the class's own sentence, if anything.
    """

    sentence = "An operation on a feed failed"

    def __init__(self, feed: str, detail: str = "") -> None:
        super().__init__(feed, detail)
        self.feed = feed
        self.detail = detail

    def __str__(self) -> str:
        about = f"{self.sentence}: {self.feed!r}"
        return f"{about} ({self.detail})" if self.detail else about


class FeedExists(FeedError):
    """A feed of that name exists already; nothing was written."""

    sentence = "The feed exists already"


class FeedDoesNotExist(FeedError):
    """There is no feed of that name; nothing was written."""

    sentence = "There is no such feed"


class WrongFeedType(FeedError):
    """The feed exists, but is of another type; nothing was written."""

    sentence = "The feed is of another type"


class HistoryLost(FeedError):
    """The events since a position are not all known any more: there is a new state to begin with.

    :param detail: why: ``trimmed`` (it is too long ago), ``epoch`` (the feed, or its history,
        began anew since), ``future`` (the position is ahead of the feed: data was lost),
        ``digest`` (what happened up to it is not what is known now: another server's past).
    """

    sentence = "The history of the feed does not go back so far"


class NotInDialect(FeedError, ValueError):
    """The dialect of this instance cannot say that; raised at once, and nothing was written."""

    sentence = "The dialect cannot say that"


class Empty(FeedError):
    """Nothing came within the time-out."""

    sentence = "Nothing to take"


class ItemError(ThoonkError):
    """An operation on an item failed, or the item cannot be decoded.

    :param feed: name of the feed.
    :param id: id of the item or job.
    :param detail: what is known beyond the class's own sentence, if anything.
    """

    sentence = "The item cannot be read"

    def __init__(self, feed: str, id: str, detail: str = "") -> None:
        super().__init__(feed, id, detail)
        self.feed = feed
        self.id = id
        self.detail = detail

    def __str__(self) -> str:
        about = f"{self.sentence}: id {self.id!r} in feed {self.feed!r}"
        return f"{about} ({self.detail})" if self.detail else about


class ItemDoesNotExist(ItemError):
    """The feed has no item of that id; nothing was written."""

    sentence = "There is no such item"


class Conflict(ItemError):
    """The item, or the feed, has changed since the revision that was given; nothing was written.

    :param revision: of the item now; of the feed, where there is no such item.
    :param item: as it is now, ``None`` where there is none.
    :param feed_revision: of the feed now.
    """

    sentence = "The item has changed meanwhile"

    def __init__(
        self,
        feed: str,
        id: str,
        detail: str = "",
        revision: int = 0,
        item: object = None,
        feed_revision: int = 0,
    ) -> None:
        super().__init__(feed, id, detail)
        self.revision = revision
        self.item = item
        self.feed_revision = feed_revision


class JobError(ItemError):
    """An operation on a job failed."""

    sentence = "An operation on a job failed"


class JobNotClaimed(JobError):
    """The job is not claimed by anyone; nothing was written."""

    sentence = "The job is not claimed"


class LeaseLost(JobNotClaimed):
    """The claim has ended: it expired, or was taken away; nothing was written."""

    sentence = "The claim of the job has ended"


class JobNotStalled(JobError):
    """The job is not stalled; nothing was written."""

    sentence = "The job is not stalled"


class JobFailed(JobError):
    """The job is parked: there will be no result unless somebody retries it.

    :param attempts: what went wrong with it.
    """

    sentence = "The job is parked"

    def __init__(
        self, feed: str, id: str, detail: str = "", attempts: Sequence[object] = ()
    ) -> None:
        super().__init__(feed, id, detail)
        self.attempts = attempts


class NotFinished(JobError):
    """The job was not finished in time; it goes on."""

    sentence = "The job is not finished"


class ConnectionFailed(ThoonkError):
    """Redis could not be reached, or the connection broke."""


class NotConnected(ConnectionFailed):
    """There was no connection in time: nothing was sent."""


class ConnectionLost(ConnectionFailed):
    """The connection broke before the reply came: the command may have been carried out."""


class ProtocolError(ConnectionFailed):
    """What the server sent is no Redis protocol; the connection was closed."""


class NoEndpoint(ThoonkError):
    """A blocking ``get`` needs a connection of its own, and no ``endpoint=`` was given for it."""


class ServerError(ThoonkError):
    """Redis refused a command.

    :param code: first word of the reply, such as ``ERR`` or ``WRONGTYPE``.
    :param message: the whole reply.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        #: Name of the feed, and id of the item, that the command was about, where known.
        self.feed: str | None = None
        self.id: str | None = None
        #: The scripted object and the verb, in words, where it was about one.
        self.called = ""

    def __str__(self) -> str:
        if self.called:
            return f"{self.message} ({self.called})"
        if self.feed is None:
            return self.message
        item = f", id {self.id!r}" if self.id else ""
        return f"{self.message} (feed {self.feed!r}{item})"


class WrongKeyType(ServerError):
    """A key of the feed holds another type of value than Thoonk's; nothing was written."""


class OutOfMemory(ServerError):
    """Redis is at its ``maxmemory``; nothing was written."""


class PermissionDenied(ServerError):
    """The Redis user may not do that."""


class AuthenticationFailed(ServerError):
    """Redis wants a password, or refused the one that was given."""


class ReadOnly(ServerError):
    """The server is a replica, or cannot write to its disk; nothing was written."""


class ServerBusy(ServerError):
    """Redis is loading its data, or busy with a script; nothing was written."""


class CrossSlot(ServerError):
    """The keys are in several slots of a cluster; nothing was written.

    Feeds that are to be changed together, and the job, need one ``{tag}`` in their names.
    """


class ScriptMissing(ServerError):
    """Redis does not have the script; it is sent again by itself."""
