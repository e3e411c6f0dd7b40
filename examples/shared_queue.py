"""Two processes share a queue: each item goes to one of them.

Run: python examples/shared_queue.py [redis URL]
"""

import sys

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater, react
from twisted.internet.utils import getProcessOutput

from txthoonk import Empty, Thoonk
from txthoonk.embedded import EmbeddedRedis

ITEMS = [f"item {number}" for number in range(20)]


async def take(reactor, target, name):
    """What each of the two does: take until nothing comes any more."""
    async with Thoonk(target) as thoonk:
        queue = thoonk.queue(name)
        try:
            while True:
                print(await queue.get(timeout=1), flush=True)
        except Empty:
            pass


async def main(reactor, target=None, name="shared"):
    server = None
    if target is None:
        server = EmbeddedRedis()
        target = (await server.start()).url
    takers = [
        getProcessOutput(sys.executable, (__file__, "take", target, name), errortoo=True)
        for _ in range(2)
    ]
    async with Thoonk(target) as thoonk:
        queue = thoonk.queue(name)
        while b"blocked_clients:2" not in await thoonk.redis.execute("INFO", "clients"):
            await deferLater(reactor, 0.05)  # until both wait
        for item in ITEMS:
            await queue.put(item)
    taken = [output.decode().splitlines() for output in await gatherResults(takers)]
    print("taken by the one:", len(taken[0]), "by the other:", len(taken[1]))
    print("each once:", sorted(taken[0] + taken[1]) == sorted(ITEMS))
    if server is not None:
        await server.stop()


if __name__ == "__main__":
    run, *arguments = (take, *sys.argv[2:]) if sys.argv[1:2] == ["take"] else (main, *sys.argv[1:])
    react(lambda reactor: Deferred.fromCoroutine(run(reactor, *arguments)))
