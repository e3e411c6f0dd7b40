"""What a process holds that follows feeds in which nothing happens.

``python -m benchmarks.idle WHO HOST PORT FEEDS ITEMS``; an order is answered with how many bytes
the process has grown by since it had no feed.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from benchmarks.followers import Obey, connect, feed_of, in_turns
from benchmarks.orders import obey_orders
from benchmarks.tools import ITEM, Record, allow_many_files

#: Who takes part: their content alone, or all that following takes.
CONTESTANTS = ("content", "txthoonk", "txthoonk-foreign", "txthoonk-pattern")


def resident() -> int:
    """Bytes of memory that this process has."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Be one contestant."""
    who, host, port, feeds, items = sys.argv[1:]
    count = int(feeds)
    kept: list[Any] = []

    async def prepare() -> Obey:
        thoonk = connect(host, port)
        # What every process has that follows anything.
        (await thoonk.follow(feed_of("warm", 0), print)).stop()
        before = resident()
        if who == "content":
            kept.extend(
                {f"{number:016d}{n:016d}": f"{number:08d}{ITEM}"[:100] for n in range(int(items))}
                for number in range(count)
            )
        elif who == "txthoonk-pattern":
            kept.append(await thoonk.follow_pattern(feed_of("idle", 0)[:9] + "*", print))
        else:
            foreign = who.endswith("foreign")

            def follow(number: int) -> Callable[[], Deferred[Any]]:
                return lambda: thoonk.follow(feed_of("idle", number), print, foreign=foreign)

            kept.extend(await in_turns(follow(number) for number in range(count)))

        async def obey(order: Record) -> Record:
            return {"bytes": resident() - before}

        return obey

    allow_many_files()
    obey_orders(prepare)


if __name__ == "__main__":
    main()
