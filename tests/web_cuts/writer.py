"""A process that changes feeds all the time: ``python -m tests.web_cuts.writer URL NAMES SEED``.

NAMES is JSON, name -> how a feed is made; beside them feeds are born under ``born`` and deleted
again. It writes ``changing`` when it has begun, and ends, after its last change, when its standard
input does.
"""

from __future__ import annotations

import json
import random
import sys
from contextlib import suppress
from typing import Any

#: Items that a feed has at the most, and seconds between two changes.
MOST = 40
PAUSE = 0.004


class Writer:
    """Changes feeds.

    :param thoonk: that does it.
    :param feeds: those that are there all the time.
    :param born: what the names of the others begin with.
    :param chance: what happens next.
    """

    def __init__(self, thoonk: Any, feeds: list[Any], born: str, chance: random.Random) -> None:
        self._thoonk = thoonk
        self._feeds = feeds
        self._born = born
        self._others: list[Any] = []
        self._chance = chance
        self._number = 0

    def _item(self) -> str:
        """An item that is none other; now and then a large one."""
        self._number += 1
        rest = "x" * self._chance.choice(
            (0, 10, 100, 1000, 80_000 if self._number % 50 == 0 else 5)
        )
        return f"{self._number} ü\0\n{rest}"

    async def change(self) -> None:
        """Do something to some feed."""
        chance = self._chance
        what = chance.random()
        if what < 0.01:
            await self._bear()
        elif what < 0.015 and self._others:
            await self._others.pop(chance.randrange(len(self._others))).delete()
        elif what < 0.1 and self._others:
            await self._change(chance.choice(self._others))
        else:
            await self._change(chance.choice(self._feeds))

    async def _bear(self) -> None:
        """A feed of either type; the name of one that was deleted may come again."""
        kind = self._chance.choice((self._thoonk.feed, self._thoonk.sorted_feed))
        names = {each.name for each in self._others}
        name = f"{self._born}{self._chance.randrange(8)}"
        if name not in names:
            feed = await kind(name, history=100_000)
            await self._add(feed)
            self._others.append(feed)

    async def _add(self, feed: Any) -> None:
        await (feed.publish if feed.TYPE == "feed" else feed.append)(self._item())

    async def _change(self, feed: Any) -> None:
        chance = self._chance
        ids = await feed.get_ids()
        what = chance.random()
        if len(ids) < 3 or (what < 0.4 and len(ids) < MOST):
            if feed.TYPE == "feed" or not ids or what < 0.2:
                await self._add(feed)
            else:
                place = chance.choice((feed.publish_before, feed.publish_after))
                await place(chance.choice(ids), self._item())
        elif what < 0.6:
            id = chance.choice(ids)
            if feed.TYPE == "feed":
                await feed.publish(self._item(), id=id)
            else:
                await feed.edit(id, self._item())
        elif what < 0.8 or feed.TYPE == "feed":
            await feed.retract(chance.choice(ids))
        elif what < 0.9:
            await chance.choice((feed.move_first, feed.move_last))(chance.choice(ids))
        else:
            rel, id = chance.sample(ids, 2)
            await chance.choice((feed.move_before, feed.move_after))(rel, id)


def main(url: str, names: str, seed: str) -> None:
    """Change feeds until standard input ends."""
    from twisted.internet import reactor as its
    from twisted.internet.defer import Deferred
    from twisted.internet.protocol import Protocol
    from twisted.internet.stdio import StandardIO
    from twisted.internet.task import deferLater
    from twisted.python import log

    from txthoonk import ItemDoesNotExist, Thoonk
    from txthoonk.errors import ConnectionFailed

    reactor: Any = its  # the module is the reactor
    ending: list[bool] = []

    class Input(Protocol):
        def connectionLost(self, reason: object = None) -> None:
            """Enough."""
            ending.append(True)

    async def work() -> None:
        wanted = json.loads(names)
        async with Thoonk(url) as thoonk:
            feeds = [
                await getattr(thoonk, options.pop("type"))(name, **options)
                for name, options in wanted["feeds"].items()
            ]
            writer = Writer(thoonk, feeds, wanted["born"], random.Random(int(seed)))
            sys.stdout.write("changing\n")
            sys.stdout.flush()
            while not ending:
                # Redis may be killed: nobody knows then what became of a change.
                with suppress(ConnectionFailed, ItemDoesNotExist):
                    await writer.change()
                await deferLater(reactor, PAUSE)

    StandardIO(Input())
    done = Deferred.fromCoroutine(work())
    done.addErrback(lambda failure: log.err(failure)).addBoth(lambda _: reactor.stop())
    log.startLogging(sys.stderr, setStdout=False)
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
