"""Our own driver: does the verbs of the protocol with txThoonk, ``python -m txthoonk driver``."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from txthoonk.conformance.values import from_json, to_json
from txthoonk.conformance.vectors import PARTS
from txthoonk.errors import Conflict, ThoonkError
from txthoonk.events import KINDS, Edited, Event, Moved, Published, Retracted
from txthoonk.service import Thoonk
from txthoonk.types.base import FeedBaseType

__all__ = ["Does", "serve"]

#: Types by the first word of a verb.
TYPES: Final = {"feed": "feed", "sorted": "sorted_feed", "queue": "queue", "job": "job"}

#: Verbs that are methods of handles, with the arguments that these have.
METHODS: Final = (
    *("feed.publish", "feed.retract", "feed.get_ids", "feed.get_item", "feed.get_all"),
    *("feed.has_id", "feed.length"),
    *("sorted.append", "sorted.prepend", "sorted.publish_before", "sorted.publish_after"),
    *("sorted.edit", "sorted.retract", "sorted.move", "sorted.move_before", "sorted.move_after"),
    *("sorted.move_first", "sorted.move_last", "sorted.get_ids", "sorted.get_item"),
    *("sorted.get_all", "sorted.has_id", "sorted.length"),
    *("queue.put", "queue.get", "queue.get_ids", "queue.length"),
    *("job.put", "job.get", "job.finish", "job.cancel", "job.release", "job.stall", "job.retry"),
    *("job.retract", "job.edit", "job.get_ids", "job.get_stalled", "job.get_failure_count"),
    *("job.get_result", "job.maintenance", "job.put_many", "job.retry_all", "job.cancel_running"),
    *("job.stats", "queue.maintenance", "feed.maintenance", "feed.snapshot", "sorted.snapshot"),
)

#: Verbs of listeners: one for each kind of event.
LISTENS: Final = tuple(f"listen.{kind}" for kind in KINDS)

#: How events of a history are called.
CHANGES: Final[dict[type[Event], str]] = {
    Published: "publish",
    Edited: "edit",
    Retracted: "retract",
    Moved: "position",
}


class Does:
    """What the driver does.

    :param make: makes an instance of what the runner says of Redis.
    """

    def __init__(self, make: Callable[[str], Thoonk] = Thoonk) -> None:
        self._make = make
        self._thoonk: Any = None
        self._heard: dict[str, list[dict[str, Any]]] = {}
        self._claims: dict[tuple[str, str], Any] = {}
        self._own: dict[str, Callable[..., Awaitable[Any]]] = {
            "hello": self.hello,
            "create": self.create,
            "ensure": self.ensure,
            "exists": self.exists,
            "feed_names": self.feed_names,
            "get_config": self.get_config,
            "set_config": self.set_config,
            "delete": self.delete,
            "listen": self.listen,
            "heard": self.heard,
            "feed.history": self.history,
            "sorted.history": self.history,
            "job.extend": self.extend,
            "job.progress": self.progress,
            "job.commit": self.commit,
        }

    @property
    def verbs(self) -> list[str]:
        """All that it does."""
        verbs = {*self._own, *METHODS, *LISTENS} - {"hello", "listen", "heard"}
        return sorted(verbs)

    async def __call__(self, verb: str, args: dict[str, Any]) -> Any:
        """Do one verb; what it returns is what the caller gets."""
        if verb in self._own:
            return await self._own[verb](**args)
        handle, method, args = self._method(verb, args)
        returned = await getattr(handle, method)(**args)
        if verb == "job.get":
            self._claims[handle.name, returned.id] = returned
        if method == "maintenance":
            return None
        if method == "snapshot":
            return {
                "revision": returned.revision,
                "items": [list(pair) for pair in returned.items.items()],
            }
        if verb == "job.stats":
            return returned._asdict()
        if verb.endswith("get_all"):
            return [list(pair) for pair in returned.items()]
        return sorted(returned) if isinstance(returned, set) else returned

    def _method(self, verb: str, args: dict[str, Any]) -> tuple[Any, str, dict[str, Any]]:
        """Of a verb: the handle, and its method with the arguments."""
        kind, _, method = verb.partition(".")
        args = dict(args)
        handle = self._handle(args.pop("feed"), TYPES[kind])
        if method in ("publish_before", "publish_after"):
            args["id"] = args.pop("rel")
        return handle, method, args

    def _handle(self, name: str, kind: str) -> Any:
        handle: FeedBaseType = getattr(self._thoonk, kind)(name)
        return handle.made()  # else its first verb would create it

    async def hello(self, redis: str, version: int) -> dict[str, Any]:
        self._thoonk = self._make(redis)
        self._thoonk.startService()
        await self._thoonk.when_connected()
        return {
            "driver": "txThoonk",
            "instance": self._thoonk.uuid,
            "parts": list(PARTS),
            "verbs": self.verbs,
        }

    async def stop(self) -> None:
        """Close all connections."""
        if self._thoonk is not None:
            await self._thoonk.stopService()

    # -- feeds ------------------------------------------------------------------------------

    async def create(self, feed: str, type: str, config: dict[str, str] | None = None) -> None:
        await self._thoonk.create_feed(feed, {**(config or {}), "type": type})

    async def ensure(self, feed: str, type: str, config: dict[str, str] | None = None) -> None:
        await getattr(self._thoonk, type)(feed, config=config)

    async def exists(self, feed: str) -> bool:
        return bool(await self._thoonk.feed_exists(feed))

    async def feed_names(self) -> list[str]:
        return sorted(await self._thoonk.get_feed_names())

    async def get_config(self, feed: str) -> Any:
        return await self._thoonk.get_config(feed)

    async def set_config(self, feed: str, config: dict[str, Any]) -> None:
        await self._thoonk.set_config(feed, config)

    async def delete(self, feed: str) -> None:
        await self._thoonk.delete_feed(feed)

    async def history(self, feed: str, since: int) -> list[dict[str, Any]]:
        events = await self._handle(feed, "feed").history(since)
        return [{**_fields(event), "event": CHANGES[type(event)]} for event in events]

    # -- claims -----------------------------------------------------------------------------

    async def extend(self, feed: str, id: str) -> None:
        await self._claims[feed, id].extend()

    async def progress(self, feed: str, id: str, value: str) -> None:
        await self._claims[feed, id].progress(value)

    async def commit(
        self, feed: str, id: str, changes: list[dict[str, Any]], **ends: Any
    ) -> list[Any]:
        made = []
        for change in changes:
            verb = change["verb"]
            rest = {name: value for name, value in change.items() if name != "verb"}
            handle, method, args = self._method(verb, rest)
            made.append(getattr(handle.change, method)(**args))
        done: list[Any] = await self._claims[feed, id].commit(*made, **ends)
        return done

    # -- listening --------------------------------------------------------------------------

    async def listen(self, feed: str) -> None:
        events = self._heard.setdefault(feed, [])

        def hears(kind: str) -> Callable[[Any], None]:
            return lambda event: events.append({**_fields(event), "event": kind})

        await self._thoonk.subscribe(feed, **{kind: hears(kind) for kind in KINDS})

    async def heard(self, feed: str) -> list[dict[str, Any]]:
        events = list(self._heard[feed])
        self._heard[feed].clear()
        return events


def _fields(event: Any) -> dict[str, Any]:
    """An event as JSON: what it has."""
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    if fields.get("revision", 0) is None:
        del fields["revision"]
        if not isinstance(event, Moved):
            fields.pop("position", None)
    return fields


class Lines(LineOnlyReceiver):
    """Reads requests, one after the other, and answers each."""

    transport: Any
    delimiter = b"\n"
    MAX_LENGTH = 1 << 24

    def __init__(self, does: Does) -> None:
        self._does = does
        self._requests: list[bytes] = []
        self.done: Deferred[None] = Deferred()

    def lineReceived(self, line: bytes) -> None:
        """A request came."""
        self._requests.append(line)
        if len(self._requests) == 1:
            Deferred.fromCoroutine(self._answer()).addErrback(self.done.errback)

    async def _answer(self) -> None:
        while self._requests:
            request = from_json(json.loads(self._requests[0]))
            reply: dict[str, Any] = {"id": request["id"]}
            try:
                reply["returned"] = to_json(await self._does(request["verb"], request["args"]))
            except Exception as error:
                reply["raised"] = type(error).__name__
                reply["says"] = str(error)
                if isinstance(error, Conflict):
                    names = ("revision", "feed_revision", "item")
                    reply["details"] = to_json({name: getattr(error, name) for name in names})
                elif not isinstance(error, (ThoonkError, ValueError)):
                    reply["says"] = Failure().getTraceback()
            self.transport.write(json.dumps(reply).encode() + b"\n")
            del self._requests[0]

    def connectionLost(self, reason: object = None) -> None:
        """Whoever asked has gone."""
        if not self.done.called:
            self.done.callback(None)


async def serve(does: Does | None = None) -> None:
    """Answer what comes on standard input until that ends."""
    from twisted.internet.stdio import StandardIO

    does = does or Does()
    lines = Lines(does)
    StandardIO(lines)
    try:
        await lines.done
    finally:
        await does.stop()
