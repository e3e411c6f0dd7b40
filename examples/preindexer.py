"""An index that is always ready: a process of its own keeps one feed per word of another feed.

For each item of FEED and each word in it there is a feed ``FEED:word:WORD`` with that item, under
the same id. A reader who wants all items with a word reads one feed, and may subscribe to it.

Run: python examples/preindexer.py FEED [redis URL]
"""

import re
import sys

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.task import react

from txthoonk import Thoonk


class Index:
    """The words of one feed."""

    def __init__(self, thoonk, name):
        self.thoonk = thoonk
        self.name = name
        self.words = {}  # id -> words
        self.lock = DeferredLock()  # events are handled one by one, in their order

    def feed(self, word):
        return self.thoonk.feed(f"{self.name}:word:{word}")

    def update(self, event):
        return self.lock.run(self.change, event.id, getattr(event, "item", None))

    def change(self, id, item):
        return Deferred.fromCoroutine(self.put(id, item))

    async def put(self, id, item):
        old = self.words.pop(id, set())
        new = set(re.findall(r"\w+", item.lower())) if item is not None else set()
        for word in old - new:
            await self.feed(word).retract(id)
        for word in new:
            await self.feed(word).publish(item, id=id)
        if new:
            self.words[id] = new
        print("indexed" if new else "forgot", id, *sorted(new), flush=True)


async def main(reactor, name, target):
    async with Thoonk(target) as thoonk:
        feed, index = thoonk.feed(name), Index(thoonk, name)
        await feed.subscribe(publish=index.update, edit=index.update, retract=index.update)
        for id, item in (await feed.get_all()).items():  # what was there before us
            await index.lock.run(index.change, id, item)
        print("ready", flush=True)
        await Deferred()  # until Ctrl-C


if __name__ == "__main__":
    target = (*sys.argv[2:], "redis://localhost:6379/0")[0]
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, sys.argv[1], target)))
