"""A publisher and a subscriber on one connection each, as txThoonk 0.1 had them.

Run: python examples/feedpubsub.py [host port]
"""

import sys

from twisted.internet.defer import inlineCallbacks
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.task import deferLater, react

from txthoonk.client import ThoonkPubFactory, ThoonkSubFactory


def printer(name):
    return lambda *args: print(name, *args, flush=True)


@inlineCallbacks
def main(reactor, host="localhost", port="6379", name="test"):
    endpoint = TCP4ClientEndpoint(reactor, host, int(port))
    pub = yield endpoint.connect(ThoonkPubFactory(db=0))
    sub = yield endpoint.connect(ThoonkSubFactory())

    yield sub.register_handler("newfeed", printer("newfeed"))
    yield sub.register_handler("delfeed", printer("delfeed"))
    feed = yield pub.feed(name)
    yield sub.register_handler(feed.channel_publish, printer("publish"))
    yield sub.register_handler(feed.channel_edit, printer("edit"))
    yield sub.register_handler(feed.channel_retract, printer("retract"))

    new_id = yield feed.publish("new item")
    yield feed.publish("another item", "someid")
    yield feed.publish("replaced item", "someid")
    yield feed.retract(new_id)
    yield feed.retract("someid")
    yield pub.delete_feed(name)

    yield deferLater(reactor, 0.2)  # messages come on the other connection
    yield sub.close()
    yield pub.close()


if __name__ == "__main__":
    react(main, sys.argv[1:])
