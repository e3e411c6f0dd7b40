"""A set that tells its listeners who came and who went: a feed of ids whose items are empty.

Who is online? The id is the member; publishing a member again only renews it.

Run: python examples/id_set.py [redis URL]
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react

from txthoonk import Thoonk


async def main(reactor, target):
    async with Thoonk(target) as thoonk:
        online = thoonk.feed("online")
        await online.subscribe(
            publish=lambda event: print(event.id, "came", flush=True),
            retract=lambda event: print(event.id, "went", flush=True),
        )
        for name in ("ada", "grace", "ada"):
            await online.publish("", id=name)
        print("ada is online:", await online.has_id("ada"), flush=True)
        await online.retract("ada")
        print("online:", *await online.get_ids(), flush=True)
        await deferLater(reactor, 0.1)  # messages come on the other connection


if __name__ == "__main__":
    target = (*sys.argv[1:], "embedded:")[0]
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, target)))
