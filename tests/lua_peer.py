"""What thoonk-jobs 1.0 does with jobs, command by command as ``vectors/thoonk_jobs_1_0`` has it.

It knows the keys of dialect ``lua`` and nothing of ours. ``test_lua_records`` compares what it
sends with the records.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from typing import Any, Final

from txthoonk.redis import Redis

__all__ = ["PEER_ERRORS", "JobsPeer", "Refused"]

#: What it refuses with -> our error for the same.
PEER_ERRORS: Final = {
    "Job not claimed": "JobNotClaimed",
    "No job found!": "JobNotClaimed",
    "Job not stalled": "JobNotStalled",
    "Job already exists": "FeedExists",
    "Job doesn't exist": "FeedDoesNotExist",
    "Timeout": "Empty",
}

_SCRIPTS: Final = {
    "put": """
        local name, id, item, now = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
        redis.call(ARGV[5] and 'rpush' or 'lpush', 'job.ids:' .. name, id)
        redis.call('incr', 'job.publishes:' .. name)
        redis.call('hset', 'job.items:' .. name, id, item)
        redis.call('zadd', 'job.published:' .. name, now, id)
        return {false, item, id}""",
    "get": """
        local name, id, now = ARGV[1], ARGV[2], ARGV[3]
        if redis.call('zadd', 'job.claimed:' .. name, now, id) == 0 then
            return {'Could not claim job'}
        end
        return {false, redis.call('hget', 'job.items:' .. name, id), id}""",
    "finish": """
        local name, id, result = ARGV[1], ARGV[2], ARGV[3]
        if redis.call('zrem', 'job.claimed:' .. name, id) == 0 then
            return {'Job not claimed'}
        end
        redis.call('hdel', 'job.cancelled:' .. name, id)
        redis.call('zrem', 'job.published:' .. name, id)
        redis.call('incr', 'job.finishes:' .. name)
        redis.call('publish', 'event.job.finish:' .. name, result and id .. '\\0' .. result or id)
        redis.call('hdel', 'job.items:' .. name, id)
        return {false, id, result}""",
    "cancel": """
        local name, id = ARGV[1], ARGV[2]
        if redis.call('zrem', 'job.claimed:' .. name, id) == 0 then
            return {'No job found!', id}
        end
        redis.call('hincrby', 'job.cancelled:' .. name, id, 1)
        redis.call('lpush', 'job.ids:' .. name, id)
        return {false, id}""",
    "stall": """
        local name, id = ARGV[1], ARGV[2]
        if redis.call('zrem', 'job.claimed:' .. name, id) == 0 then
            return {'Job not claimed', id}
        end
        redis.call('hdel', 'job.cancelled:' .. name, id)
        redis.call('sadd', 'job.stalled:' .. name, id)
        redis.call('zrem', 'job.published' .. name, id)
        return {false, id}""",
    "retry": """
        local name, id, now = ARGV[1], ARGV[2], ARGV[3]
        if redis.call('srem', 'job.stalled:' .. name, id) == 0 then
            return {'Job not stalled', id}
        end
        redis.call('lpush', 'job.ids:' .. name, id)
        redis.call('zadd', 'job.published:' .. name, now, id)
        return {false, id}""",
    "retract": """
        local name, id = ARGV[1], ARGV[2]
        if redis.call('hdel', 'job.items:' .. name, id) == 0 then
            return {'Job not found!', id}
        end
        redis.call('hdel', 'job.cancelled:' .. name, id)
        redis.call('zrem', 'job.published:' .. name, id)
        redis.call('srem', 'job.stalled:' .. name, id)
        redis.call('zrem', 'job.claimed:' .. name, id)
        redis.call('lrem', 'job.ids:' .. name, 1, id)
        return {false, id}""",
    "create": """
        local name, config = ARGV[1], cjson.decode(ARGV[2])
        if redis.call('SADD', 'jobs', name) == 0 then
            return {'Job already exists'}
        end
        for key, value in pairs(config) do
            redis.call('HSET', 'job.config:' .. name, key, value)
        end
        return {false}""",
    "set_config": """
        local name, config = ARGV[1], cjson.decode(ARGV[2])
        if redis.call('SISMEMBER', 'jobs', name) == 0 then
            return {"Job doesn't exist"}
        end
        for key, value in pairs(config) do
            redis.call('HSET', 'job.config:' .. name, key, value)
        end
        return {false}""",
}


class Refused(Exception):
    """It was told an error, in its own words."""


class JobsPeer:
    """A program that works on the jobs of one feed.

    :param redis: a connection of its own; a ``get`` blocks it.
    :param name: of the feed.
    """

    def __init__(self, redis: Redis, name: str) -> None:
        self.redis = redis
        self.name = name

    async def _script(self, verb: str, *args: Any) -> list[Any]:
        source = _SCRIPTS[verb].encode()
        sha = hashlib.sha1(source).hexdigest()
        if not (await self.redis.execute("SCRIPT", "EXISTS", sha))[0]:
            await self.redis.execute("SCRIPT", "LOAD", source)
        error, *values = await self.redis.execute("EVALSHA", sha, 0, self.name, *args)
        if error is not None:
            raise Refused(error.decode())
        return [value if value is None else value.decode() for value in values]

    async def create(self, **config: str) -> None:
        """Only those do that its users do not call."""
        await self._script("create", _json(config))

    async def set_config(self, **config: str) -> None:
        """Set options."""
        await self._script("set_config", _json(config))

    async def put(self, item: Any, id: str | None = None, priority: bool = False) -> str:
        """Items are JSON."""
        id = id or str(uuid.uuid4())
        last = ("true",) if priority else ()
        await self._script("put", id, _json(item), _now(), *last)
        return id

    async def get(self, timeout: int = 0) -> tuple[str, str | None]:
        """What it takes is in no state for an instant; its users get the JSON."""
        popped = await self.redis.execute("brpop", f"job.ids:{self.name}", timeout)
        if popped is None:
            raise Refused("Timeout")
        item, id = await self._script("get", popped[1], _now())
        return id, item

    async def finish(self, id: str, result: str | None = None) -> None:
        """A result is text; one that is empty is none."""
        await self._script("finish", id, *((result,) if result else ()))

    async def cancel(self, id: str) -> None:
        """Give it up."""
        await self._script("cancel", id)

    async def stall(self, id: str) -> None:
        """One letter of a key is missing there: the id stays in ``job.published``."""
        await self._script("stall", id)

    async def retry(self, id: str) -> None:
        """Make it available again."""
        await self._script("retry", id, _now())

    async def retract(self, id: str) -> None:
        """Take it out."""
        await self._script("retract", id)

    async def failure_count(self, id: str) -> str | None:
        """How often it was cancelled."""
        count = await self.redis.execute("hget", f"job.cancelled:{self.name}", id)
        return None if count is None else str(count.decode())


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _now() -> int:
    """Milliseconds of its own clock."""
    return int(time.time() * 1000)
