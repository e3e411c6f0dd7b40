"""The recurring tasks of thoonk.js's branch ``scripting``, for programs that still have some.

New programs take ``Job.every`` and ``Job.cron``: here a tick is lost if whoever took it dies, and
what time it is each caller says. The keys are the set ``recurrings`` (names), and for each name
the hash ``recurring.config:NAME`` (``timeout``, milliseconds) and the sorted set
``recurring:NAME``, tasks by when they are due, in milliseconds too. Nothing is published.

The branch's ``get`` compares times as strings: for it ``999999999`` is later than
``1763744400000``, and ``10000000000000`` earlier. Times of now have 13 digits until the year 2286,
so it is right among these; but a task that was added in seconds that begin with a 9 comes first and
is never due for it, and so keeps all others from it. Here times are numbers: ours takes such a
task, which is in order from then on.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from twisted.internet.defer import Deferred

from txthoonk._deferred import returns_deferred
from txthoonk.keys import FeedKeys, check_id, check_name, decode, encode
from txthoonk.scripts import BoundScript, Connection, script

__all__ = ["Recurring", "Task"]


class Task(NamedTuple):
    """A task that recurs.

    :ivar task: what was added.
    :ivar due: when it is due, or was: milliseconds since 1970.
    """

    task: str
    due: float


class _Instance(Protocol):
    @property
    def redis(self) -> Connection:
        """Where commands go."""


class Recurring:
    """A set of recurring tasks.

    Where a verb takes *now*, that is milliseconds since 1970; Redis's own time if not given, so
    that clocks of hosts do not matter. Each fails as
    :meth:`Redis.execute <txthoonk.redis.Redis.execute>` does, too.

    :param thoonk: the instance that speaks with Redis.
    :param name: of the set.
    """

    def __init__(self, thoonk: _Instance, name: str) -> None:
        self._thoonk = thoonk
        self.name = check_name(name)
        self._keys = FeedKeys(encode(name))

    def __repr__(self) -> str:
        return f"<Recurring {self.name!r}>"

    @staticmethod
    def names(thoonk: _Instance) -> Deferred[set[str]]:
        """The names of all such sets."""
        names = thoonk.redis.execute("SMEMBERS", FeedKeys(b"").recurrings)
        return names.addCallback(lambda found: {decode(name) for name in found})

    def create(self, timeout: int, **config: str | int) -> Deferred[bool]:
        """Create it; its options are set, whether or not it was there.

        :param timeout: milliseconds after which a task that was taken is due again.
        :param config: whatever else is to be stored with it.
        :returns: fires with whether it was not there.
        """
        if isinstance(timeout, bool) or not isinstance(timeout, int):
            raise TypeError(f"timeout is a number of milliseconds, not {timeout!r}")
        if timeout <= 0:
            raise ValueError(f"timeout is more than 0 milliseconds, not {timeout!r}")
        pairs = {"timeout": timeout, **config}
        options = (encode(str(part)) for pair in pairs.items() for part in pair)
        return self._call("create", encode(self.name), *options).addCallback(bool)

    def exists(self) -> Deferred[bool]:
        """Whether there is one of that name."""
        name = encode(self.name)
        found = self._thoonk.redis.execute("SISMEMBER", self._keys.recurrings, name)
        return found.addCallback(bool)

    def get_config(self) -> Deferred[dict[str, str]]:
        """Its options; empty if there are none."""
        reply = self._thoonk.redis.execute("HGETALL", self._keys.recurring_config)
        return reply.addCallback(
            lambda got: {decode(got[i]): decode(got[i + 1]) for i in range(0, len(got), 2)}
        )

    def add(self, task: str, now: float | None = None) -> Deferred[bool]:
        """Add a task, due at *now*; one that is there stays as it is.

        :returns: fires with whether it was not there.
        """
        args = (encode(self._task(task)), _time(now))
        return self._call("add", *args, id=task).addCallback(lambda reply: bool(reply[0]))

    def get(self, now: float | None = None) -> Deferred[Task | None]:
        """Take the task that is due first; it is due again after the timeout.

        :returns: fires with it and when it was due, or with None if none is due.
        :raises FeedDoesNotExist: (as a failure) if there is no timeout.
        """

        def taken(reply: list[bytes]) -> Task | None:
            return Task(decode(reply[0]), float(reply[1])) if reply and reply[0] else None

        return self._call("get", _time(now)).addCallback(taken)

    def remove(self, task: str) -> Deferred[bool]:
        """Remove a task; fires with whether it was there."""
        key, data = self._keys.recurring, encode(self._task(task))
        return self._thoonk.redis.execute("ZREM", key, data).addCallback(bool)

    def update(self, task: str, new: str) -> Deferred[float]:
        """Give a task another name.

        :returns: fires with when it is due: when it was.
        :raises ItemDoesNotExist: (as a failure) if there is no such task.
        """
        args = (encode(self._task(task)), encode(self._task(new)))
        return self._call("update", *args, id=task).addCallback(float)

    def peek(self, task: str) -> Deferred[float | None]:
        """When a task is due, in milliseconds; None if there is no such task."""
        key, data = self._keys.recurring, encode(self._task(task))
        score = self._thoonk.redis.execute("ZSCORE", key, data)
        return score.addCallback(lambda found: None if found is None else float(found))

    def tasks(self) -> Deferred[list[Task]]:
        """All tasks, the one that is due first before the others."""
        reply = self._thoonk.redis.execute("ZRANGE", self._keys.recurring, 0, -1, "WITHSCORES")
        return reply.addCallback(
            lambda got: [Task(decode(got[i]), float(got[i + 1])) for i in range(0, len(got), 2)]
        )

    def length(self) -> Deferred[int]:
        """How many tasks there are."""
        return self._thoonk.redis.execute("ZCARD", self._keys.recurring)

    @returns_deferred
    async def behind(self, now: float | None = None) -> int:
        """How many tasks are due."""
        if now is None:
            seconds, microseconds = await self._thoonk.redis.execute("TIME")
            now = int(seconds) * 1000 + int(microseconds) // 1000
        key = self._keys.recurring
        count: int = await self._thoonk.redis.execute("ZCOUNT", key, "-inf", _time(now))
        return count

    def _task(self, task: str) -> str:
        return check_id(task, self.name)

    def _call(self, verb: str, *args: bytes, id: str | None = None) -> Deferred[Any]:
        bound: BoundScript = script(f"recurring/{verb}").bind(self._keys, self.name)
        return bound(self._thoonk.redis, args, id=id)


def _time(now: float | None) -> bytes:
    return b"" if now is None else b"%.0f" % now
