"""Contestants that follow feeds, each in a process of its own.

``python -m benchmarks.followers WHO HOST PORT NUMBER``. *who* follows so many feeds and gets orders
as those of ``benchmarks.listeners`` do: ``{"messages": 100000}`` is answered at once, and once more
when so many events have reached the handlers; with how long each was on its way, if its item begins
with when it was published. Some do something else; see each.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from itertools import islice
from typing import Any

from twisted.internet import protocol
from twisted.internet.defer import Deferred, gatherResults

from benchmarks import listeners
from benchmarks.orders import obey_orders, reactor, say
from benchmarks.tools import ITEM, Record, allow_many_files, pack
from txthoonk import Thoonk
from txthoonk.keys import FeedKeys, encode

#: What obeys orders.
Obey = Callable[[Record], Coroutine[Any, Any, Record]]

#: How many calls go out together.
AT_ONCE = 200
#: Digits of the time that an item begins with: nanoseconds of the monotonic clock.
DIGITS = 20


def feed_of(who: str, number: int) -> str:
    """A feed; all names are equally long, and a thousand feeds have two segments in common."""
    return f"{who[-8:]:->8}:{number // 1000:03d}:{number % 1000:03d}"


def segments_of(who: str, number: int) -> str:
    """A feed that has its first two segments for itself."""
    return f"{who[-8:]:->8}:{number:04d}:feed"


def changes(who: str, feeds: int, first: int, messages: int, verb: bytes) -> Iterator[bytes]:
    """Packed PUBLISH commands of what a script tells: the change, and the contract's message.

    :param first: revision of each feed that comes next.
    :param verb: ``publish`` or ``retract``; the same ids in both.
    """
    parts = []
    for number in range(feeds):
        keys = FeedKeys(encode(feed_of(who, number)))
        channel = keys.publish_channel if verb == b"publish" else keys.retract_channel
        parts.append((keys.event_channel, channel))
    item = b"\0" + ITEM.encode() if verb == b"publish" else b""
    for number in range(messages):
        revision = first + number // feeds
        count = revision if verb == b"publish" else 0
        rest = b"%032d%b" % (number, item)
        head = b"%d 1700000000123456 12345678901234 %d %b" % (revision, count, verb)
        event, twin = parts[number % feeds]
        yield pack("PUBLISH", event, b"%b\0\0%b" % (head, rest)) + pack("PUBLISH", twin, rest)


def connect(host: str, port: str) -> Thoonk:
    """An instance; no feed is looked at while something is measured."""
    thoonk = Thoonk(f"redis://{host}:{port}", check_interval=3600)
    thoonk.startService()
    return thoonk


async def in_turns(calls: Iterable[Callable[[], Deferred[Any]]]) -> list[Any]:
    """Make calls, some at a time; returns all results."""
    results: list[Any] = []
    left = iter(calls)
    while some := list(islice(left, AT_ONCE)):
        results += await gatherResults([call() for call in some])
    return results


# -- receiving ----------------------------------------------------------------------------------


async def bare(who: str, host: str, port: str, number: int) -> Obey:
    """The least there is: the same messages, looked up and handed over; nobody follows anything."""
    count = listeners.Count()
    feeds = (FeedKeys(encode(feed_of(who, each))) for each in range(number))
    await listeners.listen(count, host, int(port), [keys.event_channel for keys in feeds])
    return count.obey


async def txthoonk(who: str, host: str, port: str, number: int) -> Obey:
    """``Thoonk.follow``."""
    count, thoonk = listeners.Count(), connect(host, port)
    foreign = who.endswith("foreign")

    def follow(feed: str) -> Callable[[], Deferred[Any]]:
        return lambda: thoonk.follow(feed, count.handler(), foreign=foreign)

    await in_turns(follow(feed_of(who, each)) for each in range(number))
    return count.obey


# -- latency ------------------------------------------------------------------------------------


class Latencies:
    """Counts events, and keeps how long each was on its way."""

    def __init__(self) -> None:
        self._left = 0
        self._cpu = self._wall = 0.0
        self._took: list[int] = []

    async def obey(self, order: Record) -> Record:
        """Measure from now on."""
        self._left = order["messages"]
        self._took.clear()
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return {"listening": True}

    def handle(self, event: Any) -> None:
        """An event came."""
        self._took.append(time.monotonic_ns() - int(event.item[:DIGITS]))
        self._left -= 1
        if not self._left:
            wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
            took = sorted(self._took)
            p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
            say(wall=wall, cpu=cpu, p50_ms=p50 / 1e6, p99_ms=p99 / 1e6)


async def feeds(who: str, host: str, port: str, number: int) -> Obey:
    """One instance that follows so many feeds."""
    latencies, thoonk = Latencies(), connect(host, port)

    def follow(feed: str) -> Callable[[], Deferred[Any]]:
        return lambda: thoonk.follow(feed, latencies.handle)

    await in_turns(follow(feed_of("latency", each)) for each in range(number))
    return latencies.obey


async def instances(who: str, host: str, port: str, number: int) -> Obey:
    """So many instances, with connections of their own, that follow one feed."""
    latencies = Latencies()

    def follow() -> Deferred[Any]:
        return connect(host, port).follow(feed_of("latency", 0), latencies.handle)

    await in_turns([follow] * number)
    return latencies.obey


async def handlers(who: str, host: str, port: str, number: int) -> Obey:
    """One instance that follows one feed so many times."""
    latencies, thoonk = Latencies(), connect(host, port)
    await in_turns([lambda: thoonk.follow(feed_of("latency", 0), latencies.handle)] * number)
    return latencies.obey


async def publisher(who: str, host: str, port: str, number: int) -> Obey:
    """Publishes into so many feeds: ``{"messages": 1000, "rate": 500}``."""
    thoonk = connect(host, port)
    handles = [thoonk.feed(feed_of("latency", each)) for each in range(number)]
    await in_turns([handle.get_ids for handle in handles])

    async def obey(order: Record) -> Record:
        published = []
        done: Deferred[None] = Deferred()
        start = reactor.seconds()

        def publish() -> None:
            sent = len(published)
            # Some feed after the other, wherever it is.
            handle = handles[sent * 7919 % number]
            item = f"{time.monotonic_ns():0{DIGITS}d}{ITEM}"[: len(ITEM)]
            published.append(handle.publish(item, str(sent % 3)))
            if sent + 1 == order["messages"]:
                done.callback(None)
            else:
                due = start + (sent + 1) / order["rate"]
                reactor.callLater(max(0, due - reactor.seconds()), publish)

        publish()
        await done
        await gatherResults(published)
        return {"published": len(published)}

    return obey


# -- patterns -----------------------------------------------------------------------------------


async def patterns(who: str, host: str, port: str, number: int) -> Obey:
    """Follows so many patterns, each of which one feed matches."""
    thoonk = connect(host, port)

    def follow(each: int) -> Callable[[], Deferred[Any]]:
        pattern = segments_of("pattern", each).rpartition(":")[0] + ":*"
        return lambda: thoonk.follow_pattern(pattern, lambda _: None)

    await in_turns(follow(each) for each in range(number))
    return _done


async def psubscribe(who: str, host: str, port: str, number: int) -> Obey:
    """The same by PSUBSCRIBE to the contract's messages of new items; they are dropped."""
    wanted = [
        f"feed.publish:{segments_of('pattern', each).rpartition(':')[0]}:*"
        for each in range(number)
    ]
    confirmed: Deferred[None] = Deferred()

    class Dropping(protocol.Protocol):
        came = b""

        def connectionMade(self) -> None:
            assert self.transport is not None
            self.transport.write(pack("PSUBSCRIBE", *wanted) + pack("PING", "confirmed"))

        def dataReceived(self, data: bytes) -> None:
            self.came = (self.came + data)[-100:]
            if b"confirmed" in self.came and not confirmed.called:
                confirmed.callback(None)

    from twisted.internet import endpoints

    endpoint = endpoints.TCP4ClientEndpoint(reactor, host, int(port))
    await endpoint.connect(protocol.Factory.forProtocol(Dropping))
    await confirmed
    return _done


async def _done(order: Record) -> Record:
    return {"done": True}


CONTESTANTS: dict[str, Callable[[str, str, str, int], Coroutine[Any, Any, Obey]]] = {
    "bare": bare,
    "txthoonk": txthoonk,
    "txthoonk-foreign": txthoonk,
    "feeds": feeds,
    "instances": instances,
    "handlers": handlers,
    "publisher": publisher,
    "patterns": patterns,
    "psubscribe": psubscribe,
}


def main() -> None:
    """Be one contestant."""
    who, host, port, number = sys.argv[1:]
    allow_many_files()
    obey_orders(lambda: CONTESTANTS[who](who, host, port, int(number)))


if __name__ == "__main__":
    main()
