"""Contestants that read what happened since, each in a process of its own.

``python -m benchmarks.replays WHO HOST PORT FEED``; ``{"mark": true}`` is answered with a token of
where the feed is now, ``{"token": ..., "events": 100000}`` reads all events since then.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred

from benchmarks.bare import Bare
from benchmarks.bare import connect as connect_bare
from benchmarks.followers import Obey, connect
from benchmarks.orders import obey_orders
from benchmarks.tools import Record
from txthoonk import Thoonk
from txthoonk.keys import FeedKeys, encode

#: How many events a page has.
PAGE = 1000

#: Reads so many events since a token.
Read = Callable[[str, int], Coroutine[Any, Any, None]]


async def bare(host: str, port: str, feed: str) -> Read:
    """The least there is: pages of the stream, one after the other; nothing is done with them."""
    connection = await connect_bare(Bare("bare-direct"), host, int(port))
    key = FeedKeys(encode(feed)).history

    async def read(_: str, events: int) -> None:
        came, last = 0, b"-"
        while came < events:
            page = await connection.command(b"XRANGE", key, last, b"+", b"COUNT", b"%d" % PAGE)
            came += len(page)
            last = b"(" + page[-1][0]

    return read


async def txthoonk(host: str, port: str, feed: str) -> Read:
    """``Thoonk.follow`` with a token, until its handler has been told all."""
    thoonk = await _connected(host, port)

    async def read(token: str, events: int) -> None:
        left = events
        done: Deferred[None] = Deferred()

        def handle(_: object) -> None:
            nonlocal left
            left -= 1
            if not left:
                done.callback(None)

        live = await thoonk.follow(feed, handle, token=token)
        await done
        live.stop()

    return read


async def history(host: str, port: str, feed: str) -> Read:
    """``Feed.history`` with a token."""
    handle = (await _connected(host, port)).feed(feed)

    async def read(token: str, events: int) -> None:
        assert len(await handle.history(token)) == events

    return read


async def _connected(host: str, port: str) -> Thoonk:
    thoonk = connect(host, port)
    await thoonk.when_connected()
    return thoonk


CONTESTANTS: dict[str, Callable[[str, str, str], Coroutine[Any, Any, Read]]] = {
    "bare": bare,
    "txthoonk": txthoonk,
    "txthoonk-history": history,
}


def main() -> None:
    """Be one contestant."""
    who, host, port, feed = sys.argv[1:]

    async def prepare() -> Obey:
        read = await CONTESTANTS[who](host, port, feed)

        async def obey(order: Record) -> Record:
            if "mark" in order:
                thoonk = await _connected(host, port)
                token = (await thoonk.feed(feed).snapshot()).token
                await thoonk.stopService()
                return {"token": token}
            wall, cpu = time.perf_counter(), time.process_time()
            await read(order["token"], order["events"])
            return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}

        return obey

    obey_orders(prepare)


if __name__ == "__main__":
    main()
