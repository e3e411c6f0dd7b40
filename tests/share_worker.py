"""A process that works on a job feed until it is killed: one of ours, or a peer.

``python -m tests.share_worker ours|peer URL FEED``. The peer works as thoonk.py does: BRPOP, a
MULTI that claims, a MULTI under WATCH that finishes. It needs nothing of txThoonk and no Twisted,
so that it starts in an instant. Both finish with who they are as the result, and say ``ready``
when they are connected.
"""

from __future__ import annotations

import random
import socket
import sys
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

#: How many jobs one of our processes works on at a time, and seconds that a job takes at most.
CONCURRENCY = 2
WORK = 0.004


def say_ready() -> None:
    """Tell the test that this process works from now on."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()


# -- ours ---------------------------------------------------------------------------------------


def ours(url: str, feed: str) -> None:
    """Claim and finish jobs, some at a time."""
    from twisted.internet.defer import Deferred, gatherResults
    from twisted.internet.task import deferLater, react

    from txthoonk import Job, Thoonk

    async def work(reactor: Any, jobs: Job) -> None:
        while True:
            claim = await jobs.get()
            await deferLater(reactor, random.uniform(0, WORK))
            await claim.finish("ours")

    async def main(reactor: Any) -> None:
        async with Thoonk(url, reactor=reactor) as thoonk:
            jobs = await thoonk.job(feed)
            say_ready()
            await gatherResults(
                [Deferred.fromCoroutine(work(reactor, jobs)) for _ in range(CONCURRENCY)]
            )

    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))


# -- a peer -------------------------------------------------------------------------------------


class Connection:
    """A blocking connection to Redis."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        if place.hostname is None:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(place.path)
            db = parse_qs(place.query).get("db", ["0"])[0]
        else:
            self._socket = socket.create_connection((place.hostname, place.port or 6379))
            db = place.path.strip("/") or "0"
        self._file = self._socket.makefile("rb")
        if place.password:
            self("AUTH", *filter(None, (place.username, place.password)))
        self("SELECT", db)

    def __call__(self, *args: str | bytes) -> Any:
        """One command."""
        return self.several(args)[0]

    def several(self, *commands: tuple[str | bytes, ...]) -> list[Any]:
        """Commands in one write, as redis-py sends a MULTI."""
        data = b""
        for command in commands:
            parts = [arg.encode() if isinstance(arg, str) else arg for arg in command]
            data += b"*%d\r\n" % len(parts)
            data += b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
        self._socket.sendall(data)
        return [self._read() for _ in commands]

    def _read(self) -> Any:
        line = self._file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self._read() for _ in range(int(rest))]
        raise SystemExit(f"Redis said {line!r}")


def peer(url: str, feed: str) -> None:
    """Claim and finish jobs, one at a time."""
    redis = Connection(url)
    say_ready()
    while True:
        id = redis("BRPOP", f"feed.ids:{feed}", "0")[1]
        now = str(int(time.time() * 1000))
        redis.several(
            ("MULTI",),
            ("ZADD", f"feed.claimed:{feed}", now, id),
            ("HGET", f"feed.items:{feed}", id),
            ("HGET", f"feed.cancelled:{feed}", id),
            ("EXEC",),
        )
        redis("PUBLISH", f"feed.claimed:{feed}", id)
        time.sleep(random.uniform(0, WORK))
        while (
            redis.several(("WATCH", f"feed.claimed:{feed}"), ("ZRANK", f"feed.claimed:{feed}", id))[
                1
            ]
            is not None
        ):
            done = redis.several(
                ("MULTI",),
                ("ZREM", f"feed.claimed:{feed}", id),
                ("HDEL", f"feed.cancelled:{feed}", id),
                ("ZREM", f"feed.published:{feed}", id),
                ("INCR", f"feed.finishes:{feed}"),
                ("PUBLISH", f"job.finish:{feed}", id + b"\0peer"),
                ("HDEL", f"feed.items:{feed}", id),
                ("EXEC",),
            )
            if done[-1] is not None:
                break
        else:
            redis("UNWATCH")


if __name__ == "__main__":
    {"ours": ours, "peer": peer}[sys.argv[1]](*sys.argv[2:])
