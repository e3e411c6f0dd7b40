"""Three workers on many jobs: ``python -m tests.peers``.

It prints what ``docs/peers.rst`` shows, once with each thoonk.py that can be had.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from tests.peers.process import ThoonkPy, found
from tests.peers.shared import Shared, share
from tests.torture.__main__ import commit
from tests.wire import free_port
from tools.get_peers import KINDS, Unavailable
from txthoonk import Thoonk
from txthoonk.embedded import EmbeddedRedis
from txthoonk.link import connect
from txthoonk.redis import Redis
from txthoonk.target import Target


async def run(reactor: Any, kind: str, jobs: int) -> Shared:
    """Share jobs with one thoonk.py, on a server of its own."""
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    server = EmbeddedRedis(config={"port": f"{port}", "bind": "127.0.0.1"})
    await server.start()
    peers = [ThoonkPy(url, kind=kind) for _ in range(2)]
    redis = await connect(Target.parse(url).endpoint(reactor), Redis)
    try:
        for peer in peers:
            await peer.ready
        async with Thoonk(url, reactor=reactor) as thoonk:
            return await share(thoonk, *peers, redis, jobs)
    finally:
        for peer in peers:
            await peer.kill()
        await redis.close()
        await server.stop()


def lines(shared: Shared) -> list[str]:
    """What became of the jobs."""

    def listed(keys: dict[str, int]) -> str:
        return ", ".join(f"{key} ({size})" for key, size in sorted(keys.items()))

    problems = shared.problems()
    return [
        f"{len(shared.ids)} jobs in {shared.seconds:.1f} s: "
        + ", ".join(f"{count} by {who}" for who, count in shared.by.items()),
        f"counted: {shared.puts} puts, {shared.finishes} finishes",
        f"kept for as long as results are: {listed(shared.kept)}",
        f"left then: {listed(shared.left)}",
        *(f"PROBLEM: {problem}" for problem in problems),
        *([] if problems else ["each job was done once, and its result told once"]),
    ]


async def main(reactor: Any, jobs: int) -> None:
    """With each that can be had."""
    sure = True
    date = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    told = [f"commit {commit()}", f"date {date}"]
    for kind in KINDS:
        told += ["", f"thoonk.py 1.0.1, {kind}:"]
        try:
            found(kind)
        except Unavailable as error:
            told.append(f"  not here: {error}")
            continue
        shared = await run(reactor, kind, jobs)
        told += [f"  {line}" for line in lines(shared)]
        sure = sure and not shared.problems()
    sys.stdout.write("\n".join((*told, "")))
    if not sure:
        raise SystemExit(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.peers", description=__doc__)
    parser.add_argument("--jobs", type=int, default=30_000)
    wanted = parser.parse_args().jobs
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, wanted)))
