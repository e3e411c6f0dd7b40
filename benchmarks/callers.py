"""Contestants that call the publish script, each in a process of its own.

``python -m benchmarks.callers WHO HOST PORT FEED``; an order ``{"callers": 100, "seconds": 2}``
lets so many callers call for so long, each its next call when it has the reply to the last one.
Every contestant sends the same EVALSHA with the same keys and arguments, and hands over the reply;
but ``contract`` that of a script that does the least that the contract asks for.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from importlib.util import find_spec
from typing import Any

from benchmarks.server import CONTRACT
from benchmarks.tools import ITEM, Record
from txthoonk.keys import FeedKeys, encode
from txthoonk.scripts import script

#: Makes one call.
Call = Callable[[], Awaitable[Any]]

#: What is needed of either reactor: to call something later, and to run coroutines together.
Later = Callable[[float, Callable[[], None]], object]
Gather = Callable[[list[Coroutine[Any, Any, None]]], Awaitable[Any]]


async def run(call: Call, callers: int, seconds: float, later: Later, gather: Gather) -> Record:
    """Let so many callers call for so long."""
    calls = 0
    going = True

    async def caller() -> None:
        nonlocal calls
        while going:
            await call()
            calls += 1

    def stop() -> None:
        nonlocal going
        going = False

    later(seconds, stop)
    wall, cpu = time.perf_counter(), time.process_time()
    await gather([caller() for _ in range(callers)])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"calls": calls, "wall": wall, "cpu": cpu}


class Command:
    """The call that ``Feed.publish`` makes, for those who make it by hand."""

    def __init__(self, feed: str) -> None:
        bound = script("feed/publish").bind(FeedKeys(encode(feed)), feed)
        self.sha = bound.script.sha
        self.keys = bound.keys
        self.channels = bound.channels
        self.fixed = (b"EVALSHA", self.sha, b"%d" % len(self.keys), *self.keys, *self.channels)
        self.item = ITEM.encode()
        self._numbers = itertools.count()

    def id(self) -> bytes:
        """A new id, as cheap as can be: nobody else makes ids in this feed."""
        return b"%032d" % next(self._numbers)


# -- on Twisted ---------------------------------------------------------------------------------


async def bare(how: str, host: str, port: int, feed: str) -> Call:
    """The least that pipelines, by hand."""
    from benchmarks.bare import Bare, connect

    connection = await connect(Bare(how), host, port)
    command = Command(feed)
    call, fixed, item, id = connection.command, command.fixed, command.item, command.id
    return lambda: call(*fixed, id(), item)


async def publish(how: str, host: str, port: int, feed: str) -> Call:
    """Ours: ``Feed.publish``, with all that it does."""
    from txthoonk import Thoonk

    thoonk = Thoonk(f"redis://{host}:{port}")
    thoonk.startService()
    handle = await thoonk.feed(feed)
    item, verb = ITEM, handle.publish
    return lambda: verb(item)


async def txredisapi(how: str, host: str, port: int, feed: str) -> Call:
    """txredisapi: its connection object as users get it, or its protocol without that."""
    import txredisapi as library
    from twisted.internet import endpoints, protocol

    from benchmarks.orders import reactor

    connection: Any
    if how == "txredisapi":
        connection = await library.ConnectionPool(host, port, poolsize=1)
    else:
        endpoint = endpoints.TCP4ClientEndpoint(reactor, host, port)
        connection = await endpoint.connect(protocol.Factory.forProtocol(library.RedisProtocol))
        connection.transport.setTcpNoDelay(True)
    command = Command(feed)
    sha, keys, channels, item = command.sha.decode(), command.keys, command.channels, command.item
    return lambda: connection.evalsha(sha, keys, (*channels, command.id(), item))


def on_twisted(make: Callable[..., Coroutine[Any, Any, Call]], *args: Any) -> None:
    """Obey orders with a contestant on the reactor."""
    from twisted.internet.defer import Deferred, gatherResults

    from benchmarks.orders import obey_orders, reactor

    def gather(coroutines: list[Coroutine[Any, Any, None]]) -> Awaitable[Any]:
        return gatherResults([Deferred.fromCoroutine(each) for each in coroutines])

    async def prepare() -> Callable[[Record], Coroutine[Any, Any, Record]]:
        call = await make(*args)
        return lambda order: run(
            call, order["callers"], order["seconds"], reactor.callLater, gather
        )

    obey_orders(prepare)


async def contract(how: str, host: str, port: int, feed: str) -> Call:
    """The bare loop with the bare script: an item, and the contract's message; no revisions."""
    from benchmarks.bare import Bare, connect

    connection = await connect(Bare(how), host, port)
    keys = FeedKeys(encode(feed))
    sha = hashlib.sha1(CONTRACT.encode()).hexdigest().encode()
    fixed = (b"EVALSHA", sha, b"3", keys.ids, keys.items, keys.publishes, keys.publish_channel)
    command = Command(feed)
    call, item, id = connection.command, command.item, command.id
    score = b"1700000000000.123"
    return lambda: call(*fixed, score, id(), item)


# -- on asyncio ---------------------------------------------------------------------------------


async def redis_py(how: str, host: str, port: int, feed: str) -> None:
    """redis-py's asyncio client: obey orders with it."""
    import redis.asyncio as library

    client = library.Redis(host=host, port=port)
    command = Command(feed)
    sha, count = command.sha.decode(), len(command.keys)

    def call() -> Awaitable[Any]:
        arguments = (*command.keys, *command.channels, command.id(), command.item)
        return client.evalsha(sha, count, *arguments)

    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    print(json.dumps({"ready": True}), flush=True)
    while line := await orders.readline():
        order = json.loads(line)
        numbers = await run(
            call,
            order["callers"],
            order["seconds"],
            loop.call_later,
            lambda coroutines: asyncio.gather(*coroutines),
        )
        print(json.dumps(numbers), flush=True)
    await client.aclose()


CONTESTANTS: dict[str, Callable[..., Coroutine[Any, Any, Any]]] = {
    "bare": bare,
    "bare-direct": bare,
    "bare-inline": bare,
    "contract": contract,
    "feed.publish": publish,
    "txredisapi": txredisapi,
    "txredisapi-protocol": txredisapi,
    "redis-py": redis_py,
}


def contestants() -> list[str]:
    """Who can take part here: other people's libraries need not be installed."""
    library = {"txredisapi": "txredisapi", "redis_py": "redis"}
    return [
        who
        for who, contestant in CONTESTANTS.items()
        if find_spec(library.get(contestant.__name__, "txthoonk"))
    ]


def main() -> None:
    """Be one contestant."""
    who, host, port, feed = sys.argv[1:]
    contestant = CONTESTANTS[who]
    if contestant is redis_py:
        asyncio.run(contestant(who, host, int(port), feed))
    else:
        on_twisted(contestant, who, host, int(port), feed)


if __name__ == "__main__":
    main()
