"""The limit: a bare protocol on hiredis and the least of scripts; nothing is checked.

The put publishes, as a worker needs it to wake. VARIANT: ``direct`` hands the bytes to the socket
at once; ``c500`` has 500 puts in flight; ``msgspec`` takes that for JSON, as ours does; ``ids32``
has ids as long as ours.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred

from benchmarks.bare import Bare, connect
from benchmarks.job_contestants import common
from benchmarks.job_contestants.twisting import produce, run

PUT = b"""\
redis.call('LPUSH', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
redis.call('INCR', KEYS[4])
redis.call('PUBLISH', KEYS[5], ARGV[1])
"""
PUT_MANY = b"""\
local ids, items, scored = {}, {}, {}
for i = 1, #ARGV - 1, 2 do
  ids[#ids + 1] = ARGV[i]
  items[#items + 1] = ARGV[i]
  items[#items + 1] = ARGV[i + 1]
  scored[#scored + 1] = ARGV[#ARGV]
  scored[#scored + 1] = ARGV[i]
end
redis.call('LPUSH', KEYS[1], unpack(ids))
redis.call('HSET', KEYS[2], unpack(items))
redis.call('ZADD', KEYS[3], unpack(scored))
redis.call('INCRBY', KEYS[4], #ids)
redis.call('PUBLISH', KEYS[5], #ids)
"""
CLAIM = b"""\
local ids = redis.call('RPOP', KEYS[1], ARGV[1])
if not ids then return false end
local scored = {}
for i = 1, #ids do scored[2 * i - 1] = ARGV[2] scored[2 * i] = ids[i] end
redis.call('ZADD', KEYS[3], unpack(scored))
return {ids, redis.call('HMGET', KEYS[2], unpack(ids))}
"""
FINISH = b"""\
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('INCR', KEYS[4])
redis.call('PUBLISH', KEYS[5], ARGV[1])
"""
PUT_KEYS = (b"5", b"ids", b"items", b"published", b"publishes", b"ev:put")
CLAIM_KEYS = (b"3", b"ids", b"items", b"claimed")
FINISH_KEYS = (b"5", b"claimed", b"published", b"items", b"finishes", b"ev:fin")

HOW = "bare-direct" if common.VARIANT == "direct" else "bare"
ID = b"%032x" if common.VARIANT == "ids32" else b"%d"

encode: Callable[[Any], bytes]
decode: Callable[[bytes], Any]
if common.VARIANT == "msgspec":
    encode, decode = msgspec.json.Encoder().encode, msgspec.json.Decoder().decode
else:
    # As short as ours: what queued jobs hold is compared.
    _text = json.JSONEncoder(separators=(",", ":")).encode
    encode, decode = (lambda job: _text(job).encode()), json.loads


class Woken(Bare):
    """A connection that hears of puts.

    :ivar wake: called for each.
    """

    wake: Callable[[], None]

    def dataReceived(self, data: bytes) -> None:
        """Messages came, or the reply to SUBSCRIBE."""
        self.reader.feed(data)
        while (reply := self.reader.gets()) is not False:
            if reply[0] == b"message":
                self.wake()
            else:
                self.waiting.popleft().callback(reply)


async def put_jobs(connection: Bare) -> None:
    """Put, as the mode says."""
    put_sha = await connection.command(b"SCRIPT", b"LOAD", PUT)
    many_sha = await connection.command(b"SCRIPT", b"LOAD", PUT_MANY)

    def put(job: common.Payload) -> Deferred[Any]:
        args = (ID % job["id"], encode(job), b"%d" % job["t"])
        return connection.command(b"EVALSHA", put_sha, *PUT_KEYS, *args)

    def put_many(jobs: list[common.Payload]) -> Deferred[Any]:
        pairs = itertools.chain.from_iterable((ID % job["id"], encode(job)) for job in jobs)
        now = b"%d" % time.monotonic_ns()
        return connection.command(b"EVALSHA", many_sha, *PUT_KEYS, *pairs, now)

    in_flight = 500 if common.VARIANT == "c500" else common.IN_FLIGHT
    await produce(put, put_many, in_flight=in_flight, many_in_flight=2)


async def work(connection: Bare) -> None:
    """Claim 50 at a time, finish each by itself; two claims are under way while there are jobs."""
    claim_sha = await connection.command(b"SCRIPT", b"LOAD", CLAIM)
    finish_sha = await connection.command(b"SCRIPT", b"LOAD", FINISH)
    busy = 0

    async def pump() -> None:
        nonlocal busy
        busy += 1
        while True:
            args = (b"50", b"%d" % time.time())
            reply = await connection.command(b"EVALSHA", claim_sha, *CLAIM_KEYS, *args)
            if not reply:
                break
            for id, item in zip(*reply, strict=True):
                common.handle(decode(item))
                connection.command(b"EVALSHA", finish_sha, *FINISH_KEYS, id)
        busy -= 1

    def wake() -> None:
        if busy < 2:
            Deferred.fromCoroutine(pump())

    woken = Woken(HOW)
    woken.wake = wake
    await connect(woken, common.HOST, common.PORT)
    await woken.command(b"SUBSCRIBE", b"ev:put")
    wake()
    wake()
    await Deferred()


async def main() -> None:
    """Put or work."""
    connection = await connect(Bare(HOW), common.HOST, common.PORT)
    await (work if common.WORKS else put_jobs)(connection)


if __name__ == "__main__":
    run(main)
