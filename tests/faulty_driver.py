"""Our own driver with one fault seeded: ``python -m tests.faulty_driver FAULT``.

A fault is a real one: a line of a script, or a function, that does something else. The runner
must find it, and name the verb. It is not told anything.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from txthoonk import events, scripts
from txthoonk.conformance import driver
from txthoonk.keys import FeedKeys, encode
from txthoonk.types.feed import Feed

__all__ = ["FAULTS", "Fault"]


@dataclass(frozen=True)
class Fault:
    """A fault, and what must be seen of it.

    :ivar verbs: in whose rows of the table it shows, and in no other.
    :ivar shows: part of what the table says.
    :ivar script: whose text is changed; empty if *patch* does it.
    :ivar old: what stands there.
    :ivar new: what stands there instead.
    :ivar patch: does it otherwise.
    """

    verbs: tuple[str, ...]
    shows: str
    script: str = ""
    old: str = ""
    new: str = ""
    patch: Callable[[], None] | None = None


def _told_by_hand() -> None:
    """The event is published by the client, before the script that writes."""
    publish = Feed.publish

    def too_early(self: Any, item: Any, id: Any = None, **more: Any) -> Any:
        keys: FeedKeys = self.keys
        if id is None:
            return publish(self, item, id, **more)
        message = encode(str(id)) + b"\0" + self._encode(item)
        told: Deferred[Any] = self.pub.redis.execute("PUBLISH", keys.publish_channel, message)
        return told.addCallback(lambda _: publish(self, item, id, **more))

    Feed.publish = too_early  # type: ignore[method-assign]  # a fault
    _change("feed/publish", "call('PUBLISH', publish_channel, rest)", "do end")


def _cut_at_second_nul() -> None:
    """A listener that takes what is behind another NUL for a third part."""

    class Cut(events.TextReader):
        def __call__(self, payload: bytes) -> Any:
            return super().__call__(b"\0".join(payload.split(b"\0")[:2]))

    events.TextReader = Cut  # type: ignore[misc]  # a fault


def _deaf() -> None:
    """A listener that ends at a message without its NUL, as thoonk.py's does."""
    dead = []

    class Deaf(events.TextReader):
        def __call__(self, payload: bytes) -> Any:
            if self.feed in dead or b"\0" not in payload:
                dead.append(self.feed)
                raise ValueError("not enough values to unpack")
            return super().__call__(payload)

    events.TextReader = Deaf  # type: ignore[misc]  # a fault


INSERTED: Final = ("sorted.publish_before", "sorted.publish_after")
ENDS: Final = ("sorted.append", "sorted.prepend")
ITEM_EVENTS: Final = ("publish", "edit", "put", "finish")

PLACED: Final = (
    "call('PUBLISH', publish_channel, rest)",
    "call('PUBLISH', position_channel, id .. '\\0' .. position)",
)
CREATED: Final = (
    "redis.call('PUBLISH', newfeed, name .. '\\0' .. instance)",
    "redis.call('PUBLISH', conffeed, name .. '\\0' .. instance)",
)

#: Name -> fault.
FAULTS: Final[dict[str, Fault]] = {
    "wrong score unit": Fault(
        ("feed.publish",), "feed.ids:", "feed/publish", "(clock == 's' and 'e-6' or 'e-3')", "'e-6'"
    ),
    "missing NUL": Fault(
        (
            "sorted.move",
            *(f"sorted.move_{where}" for where in ("before", "after", "first", "last")),
        ),
        'does not tell ["feed.position:',
        "sorted_feed/move",
        "call('PUBLISH', position_channel, id .. '\\0' .. position)",
        "call('PUBLISH', position_channel, id .. position)",
    ),
    "finish without its NUL": Fault(
        ("job.finish",),
        'tells ["job.finish:[feed]", "a"]',
        "job/finish",
        "call('PUBLISH', done_channel, id)",
        "call('PUBLISH', finish_channel, id)",
    ),
    "event before write": Fault(("feed.publish",), "tells feed.publish:", patch=_told_by_hand),
    "leaked key": Fault(
        ("delete",),
        "leaves feed.finishes:",
        "instance/delete",
        "local delfeed,",
        "table.remove(every_key, 10)\nlocal delfeed,",
    ),
    "wrong channel": Fault(
        ("sorted.edit",),
        'tells ["feed.edit:',
        "sorted_feed/edit",
        "call('PUBLISH', publish_channel, rest)",
        "call('PUBLISH', 'feed.edit' .. string.sub(publish_channel, 13), rest)",
    ),
    "eviction off by one": Fault(
        ("feed.publish",),
        'tells ["feed.retract:',
        "feed/publish",
        "local excess = new and limit > 0 and call('ZCARD', ids) - limit or 0",
        "local excess = limit > 0 and call('ZCARD', ids) - limit + (new and 0 or 1) or 0",
    ),
    "counter not raised": Fault(
        ("queue.put",),
        "feed.publishes:",
        "queue/put",
        "redis.call('INCR', publishes)\n",
        "",
    ),
    "wrong order of messages": Fault(
        ENDS,
        "tells in the order",
        "sorted_feed/publish",
        "\n".join(PLACED),
        "\n".join(reversed(PLACED)),
    ),
    "lost item on edit": Fault(
        ("sorted.edit",),
        "feed.items:",
        "sorted_feed/edit",
        "call('HSET', items, id, item)",
        "call('HDEL', items, id)",
    ),
    "retract told for what is not there": Fault(
        ("feed.retract",),
        'tells ["feed.retract:',
        "feed/retract",
        "if not scored and not stored then\n",
        "if not scored and not stored then\n  call('PUBLISH', retract_channel, id)\n",
    ),
    "a stack for a queue": Fault(
        ("queue.get",),
        "returns",
        "queue/take",
        "redis.call('RPOP', ids)",
        "redis.call('LPOP', ids)",
    ),
    "id used up in vain": Fault(
        INSERTED,
        "feed.idincr:",
        "sorted_feed/insert",
        "if not stored or not placed then\n",
        "if not stored or not placed then\n  call('INCR', idincr)\n",
    ),
    "retried what was not stalled": Fault(
        ("job.retry",),
        "does not fail with JobNotStalled",
        "job/retry",
        "if redis.call('SISMEMBER', stalled, id) == 0 then",
        "if false then",
    ),
    "stalled and still published": Fault(
        ("job.stall", "job.cancel_running"),
        "feed.published:",
        "job/stall",
        "redis.call('ZREM', published, id)\n",
        "",
    ),
    "type overwritten": Fault(
        ("set_config",),
        "feed.config:",
        "instance/set_config",
        "if #set > 0 then\n",
        "set[#set + 1] = 'type'\nset[#set + 1] = 'feed'\nif #set > 0 then\n",
    ),
    "conffeed before newfeed": Fault(
        ("create",),
        "tells in the order",
        "instance/create",
        "\n".join(CREATED),
        "\n".join(reversed(CREATED)),
    ),
    "listener cuts at the second NUL": Fault(
        tuple(f"listen.{kind}" for kind in (*ITEM_EVENTS, "stall", "progress")),
        "hears",
        patch=_cut_at_second_nul,
    ),
    "listener dies of a message": Fault(
        tuple(f"listen.{kind}" for kind in (*ITEM_EVENTS, "position", "progress")),
        "hears",
        patch=_deaf,
    ),
    "wrong digest": Fault(
        ("feed.maintenance", "feed.publish", "feed.retract"),
        "the digest of revision",
        "feed/*",
        "digest = (digest * 31 + micros + #rest)",
        "digest = (digest * 37 + micros + #rest)",
    ),
    "condition not looked at": Fault(
        ("sorted.edit",),
        "does not fail with Conflict",
        "sorted_feed/edit",
        "if refused then",
        "if false then",
    ),
    "lease outlives its claim": Fault(
        ("job.cancel",), "tx.feed.lease:", "job/cancel", "call('HDEL', lease, id)\n", ""
    ),
}


def _change(name: str, old: str, new: str) -> None:
    original = scripts.Script
    changed: list[str] = []

    def changing(script: str, source: bytes) -> scripts.Script:
        made = original(script, source)
        kind = script.partition("/")[0]
        if script == name or (name == f"{kind}/*" and old in source.decode()):
            text = source.decode()
            assert text.count(old) == 1, f"{script} has {old!r} {text.count(old)} times"
            changed.append(script)
            return original(script, text.replace(old, new).encode())
        return made

    scripts.Script = changing  # type: ignore[misc, assignment]  # a fault
    scripts.script.cache_clear()
    scripts.all_scripts.cache_clear()
    scripts.all_scripts()
    assert changed, f"no script {name}"


def main(name: str) -> None:
    """Be a driver with that fault."""
    fault = FAULTS[name]
    if fault.patch is not None:
        fault.patch()
    else:
        _change(fault.script, fault.old, fault.new)
    react(lambda reactor: Deferred.fromCoroutine(driver.serve()))


if __name__ == "__main__":
    main(sys.argv[1])
