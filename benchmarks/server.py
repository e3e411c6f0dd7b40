"""What the server pays: for the publish script, and for a put where many workers wait."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from benchmarks.tools import ITEM, Process, Raw, Record, Server, pack
from txthoonk.keys import FeedKeys, encode
from txthoonk.scripts import BoundScript, script

FEED = "benchmark"
#: Into how many turns the calls of one round are divided.
BLOCKS = 10
_KEYS = FeedKeys(FEED.encode())

#: The least that stores an item and tells of it as the contract says; the client brings the score.
CONTRACT = """\
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[3])
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
redis.call('INCR', KEYS[3])
redis.call('PUBLISH', ARGV[1], ARGV[3] .. '\\0' .. ARGV[4])
return 1
"""

#: The least that does what ours does: a revision of the feed and the item, the event with that
#: revision and its epoch in a history of a thousand and on two more channels.
_CHANGE = """\
local function change(kind, rest)
  local number = redis.call('HINCRBY', KEYS[4], 'revision', 1)
  local event = number .. ' ' .. (redis.call('HGET', KEYS[4], 'epoch') or '0') .. kind .. rest
  redis.call('XADD', KEYS[6], 'MAXLEN', %d, number .. '-0', 'e', event)
  redis.call('PUBLISH', ARGV[6], event)
  redis.call('PUBLISH', ARGV[7], ARGV[6] .. '\\0' .. event)
  return number
end
"""
_REST = """\
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[3])
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
redis.call('INCR', KEYS[3])
local rest = ARGV[3] .. '\\0' .. ARGV[4]
local number = change(' publish\\0\\0', rest)
redis.call('HSET', KEYS[5], ARGV[3], number)
redis.call('PUBLISH', ARGV[1], rest)
return number
"""
BARE = _CHANGE % 1000 + _REST

#: The same for a feed that is full: the oldest item goes, and that is told too.
BARE_BOUNDED = (
    _CHANGE % 2000
    + """\
local gone = redis.call('ZRANGE', KEYS[1], 0, 0)[1]
redis.call('ZREM', KEYS[1], gone)
redis.call('HDEL', KEYS[2], gone)
redis.call('HDEL', KEYS[5], gone)
change(' retract\\0\\0', gone)
redis.call('PUBLISH', ARGV[5], gone)
"""
    + _REST
)

#: How many items the bounded feed holds.
BOUND = 1000


def forget(server: Server) -> None:
    """Take out everything that a measurement left."""
    server.raw("DEL", *_KEYS.every_key())
    server.raw("SREM", "feeds", FEED)


def new_feed(server: Server, kind: str, *options: str) -> None:
    """A fresh feed, with everything in place that its scripts look for."""
    forget(server)
    server.raw("SADD", "feeds", FEED)
    server.raw("HSET", _KEYS.config, "type", kind, *options)


def make_feeds(server: Server, names: Sequence[str]) -> None:
    """Many fresh feeds."""
    commands = []
    for name in names:
        config = FeedKeys(encode(name)).config
        commands.append(pack("SADD", "feeds", name) + pack("HSET", config, "type", "feed"))
    server.raw.replay(commands)


def publishes(server: Server, names: Sequence[str], count: int) -> list[bytes]:
    """Packed calls of the publish script, for one feed after the other; a thousand ids."""
    publish = script("feed/publish")
    server.raw("SCRIPT", "LOAD", publish.source)
    starts = []
    for name in names:
        bound = publish.bind(FeedKeys(encode(name)), name)
        starts.append((len(bound.keys), *bound.keys, *bound.channels))
    return [
        pack(
            *("EVALSHA", publish.sha, *starts[number % len(starts)]),
            *(b"%032d" % (number // len(names) % 1000), ITEM),
        )
        for number in range(count)
    ]


def _bind(server: Server, name: str) -> BoundScript:
    bound = script(name).bind(_KEYS, FEED)
    server.raw("SCRIPT", "LOAD", bound.script.source)
    return bound


def _call(bound: BoundScript, *args: str | bytes | int) -> bytes:
    """A packed call of one of our scripts."""
    count = len(bound.keys)
    return pack("EVALSHA", bound.script.sha, count, *bound.keys, *bound.channels, *args)


# -- the publish script -------------------------------------------------------------------------


def load_publish(server: Server) -> None:
    """Have the server know what the contestants of ``benchmarks.callers`` call."""
    for source in (script("feed/publish").source, CONTRACT):
        server.raw("SCRIPT", "LOAD", source)


def call_costs(server: Server, process: Process, callers: int, seconds: float) -> Record:
    """What calls of the publish script cost, of one contestant of ``benchmarks.callers``."""
    before = server.cpu()
    run = process.ask(callers=callers, seconds=seconds)
    redis = server.cpu() - before
    return {
        "per_second": run["calls"] / run["wall"],
        "client_us": run["cpu"] / run["calls"] * 1e6,
        "redis_us": redis / run["calls"] * 1e6,
    }


def script_costs(server: Server, calls: int) -> Iterator[tuple[str, float]]:
    """Microseconds of Redis's CPU for one publish, by whose script it is.

    Commands are packed beforehand and replayed down one socket; all ids are new.
    """
    publish = _bind(server, "feed/publish")

    def ours(number: int) -> bytes:
        return _call(publish, b"%032d" % number, ITEM)

    costs: dict[str, float] = {}
    fill, now = bare_publish(server, BARE), int(time.time() * 1e6)
    # In turns, as the machine's speed drifts.
    for block in range(BLOCKS):
        numbers = range(block * calls // BLOCKS, (block + 1) * calls // BLOCKS)
        for who, command, bound in (
            ("contract", bare_publish(server, CONTRACT), 0),
            ("bare", fill, 0),
            ("ours", ours, 0),
            ("bare bounded", bare_publish(server, BARE_BOUNDED), BOUND),
            ("ours bounded", ours, BOUND),
        ):
            new_feed(server, "feed", *(("max_length", str(bound)) if bound else ()))
            server.raw("HSET", _KEYS.revision, "epoch", now)
            server.raw.replay([fill(-number - 1) for number in range(bound)])
            commands = [command(number) for number in numbers]
            before = server.cpu()
            server.raw.replay(commands)
            costs[who] = costs.get(who, 0.0) + server.cpu() - before
    for who, cost in costs.items():
        yield who, cost / calls * 1e6
    forget(server)


def bare_publish(server: Server, source: str) -> Callable[[int], bytes]:
    """Makes packed calls of a bare script that publishes.

    :param source: of the script.
    """
    sha = server.raw("SCRIPT", "LOAD", source)
    keys = (_KEYS.ids, _KEYS.items, _KEYS.publishes)
    if "KEYS[4]" in source:
        keys += (_KEYS.revision, _KEYS.revisions, _KEYS.history)
    channels = (_KEYS.retract_channel, _KEYS.event_channel, _KEYS.under_channel)
    now = int(time.time() * 1000)

    def command(number: int) -> bytes:
        args = (_KEYS.publish_channel, now + number, b"%032d" % number, ITEM, *channels)
        return pack("EVALSHA", sha, len(keys), *keys, *args)

    return command


# -- idle waiters -------------------------------------------------------------------------------


def put_costs(server: Server, waiters: int, puts: int) -> float:
    """Microseconds of Redis's CPU for one job's way, where so many connections wait for it.

    Each connection does what an idle worker of ours does: it waits in BLMOVE; the one that gets
    an id claims and finishes the job, sees that there is no other, and waits again.
    """
    new_feed(server, "job")
    put, claim, finish = (_bind(server, f"job/{verb}") for verb in ("put", "claim", "finish"))
    block = pack("BLMOVE", _KEYS.ids, _KEYS.handoff, "RIGHT", "LEFT", 600)
    look = _call(claim, 1, "", "token")
    with _connections(server, waiters) as (selector, connections):
        for each in connections:
            each.send(block)
        _wait_until_blocked(server, waiters)
        commands = [_call(put, "LPUSH", 0, b"%032d" % number, ITEM) for number in range(puts)]
        before = server.cpu()
        for command in commands:
            server.raw.send(command)
            ((key, _),) = selector.select()
            worker: Raw = key.data
            id = worker.read()
            worker.send(_call(claim, 1, id, "token") + _call(finish, "", id, "token", "") + look)
            # Three options of the feed come before what was claimed.
            assert [worker.read()[3], worker.read(), worker.read()[3:]] == [id, [1], []]
            worker.send(block)
            assert server.raw.read() == 1
        cost = (server.cpu() - before) / puts * 1e6
    _wait_until_blocked(server, 0)
    forget(server)
    return cost


@contextmanager
def _connections(server: Server, count: int) -> Iterator[tuple[selectors.BaseSelector, list[Raw]]]:
    connections = [server.connect() for _ in range(count)]
    with selectors.DefaultSelector() as selector:
        for each in connections:
            selector.register(each, selectors.EVENT_READ, each)
        try:
            yield selector, connections
        finally:
            for each in connections:
                each.close()


def _wait_until_blocked(server: Server, count: int) -> None:
    """Wait until just so many connections wait for something."""
    while server.blocked() != count:
        time.sleep(0.01)


def real_put_costs(server: Server, process: Process, waiters: int, puts: int) -> float:
    """The same with real instances, each with a get that waits, in a process of their own."""
    new_feed(server, "job")
    process.ask(instances=waiters)
    put = _bind(server, "job/put")
    finished = server.connect()
    finished("SUBSCRIBE", _KEYS.finish_channel)
    _wait_until_blocked(server, waiters)
    commands = [_call(put, "LPUSH", 0, b"%032d" % number, ITEM) for number in range(puts)]
    before = server.cpu()
    for command in commands:
        server.raw.send(command)
        finished.read()
        assert server.raw.read() == 1
        time.sleep(0.002)  # for the worker to wait again: what is measured are idle ones
    cost = (server.cpu() - before) / puts * 1e6
    finished.close()
    process.ask(instances=0)
    forget(server)
    return cost
