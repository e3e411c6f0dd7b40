"""Recurring tasks of thoonk.js's branch ``scripting``, beside a program of that kind."""

from __future__ import annotations

import time
from typing import Any, Final

from tests.helpers import ThoonkTestCase
from txthoonk import FeedDoesNotExist, ItemDoesNotExist
from txthoonk.recurring import Recurring, Task

#: What a program of that kind does: names made in scripts, its own clock, and times compared as
#: strings.
PEER: Final = {
    "create": """
        redis.call('HSET', 'recurring.config:' .. ARGV[1], 'timeout', ARGV[2])
        return redis.call('SADD', 'recurrings', ARGV[1])""",
    "add": """
        local key = 'recurring:' .. ARGV[1]
        return redis.call('ZSCORE', key, ARGV[2]) or redis.call('ZADD', key, ARGV[3], ARGV[2])""",
    "get": """
        local key = 'recurring:' .. ARGV[1]
        local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
        if not first[1] then
          return 'EMPTY'
        elseif first[2] > ARGV[2] then
          return 'NOTYET'
        end
        local timeout = redis.call('HGET', 'recurring.config:' .. ARGV[1], 'timeout')
        redis.call('ZADD', key, ARGV[2] + timeout, first[1])
        return first""",
}


class RecurringTests(ThoonkTestCase):
    """What one of us sets the others see."""

    async def setUp(self) -> None:
        await super().setUp()
        self.name = self.feed_name()
        self.ours = Recurring(self.thoonk, self.name)
        self.addCleanup(self.clear)

    async def clear(self) -> None:
        """The server is shared, and these are no feeds."""
        await self.redis.execute("SREM", "recurrings", self.name)

    def peer(self, verb: str, *args: object) -> Any:
        """What a program of that kind is answered."""
        return self.redis.execute("EVAL", PEER[verb], 0, self.name, *map(str, args))

    async def test_theirs(self) -> None:
        """
        What they have created and added is read, and taken as they would.
        """
        await self.peer("create", 60_000)
        now = int(time.time() * 1000)
        await self.peer("add", "b", now + 5000)
        await self.peer("add", "a", now - 5000)
        self.assertTrue(await self.ours.exists())
        self.assertIn(self.name, await Recurring.names(self.thoonk))
        self.assertEqual(await self.ours.get_config(), {"timeout": "60000"})
        self.assertEqual(await self.ours.tasks(), [Task("a", now - 5000), Task("b", now + 5000)])
        self.assertEqual(await self.ours.length(), 2)
        self.assertEqual(await self.ours.behind(), 1)
        self.assertEqual(await self.ours.behind(now + 5000), 2)
        self.assertEqual(await self.ours.get(now), Task("a", now - 5000))
        self.assertEqual(await self.ours.peek("a"), now + 60_000)
        self.assertIsNone(await self.ours.get(now))
        self.assertEqual(await self.peer("get", now + 5000), [b"b", b"%d" % (now + 5000)])

    async def test_ours(self) -> None:
        """
        What we have created and added they take, and no task is taken twice.
        """
        self.assertIs(await self.ours.create(60_000, owner="us"), True)
        self.assertIs(await self.ours.create(30_000), False)
        self.assertEqual(await self.ours.get_config(), {"timeout": "30000", "owner": "us"})
        self.assertIs(await self.ours.add("a"), True)
        self.assertIs(await self.ours.add("a", 5), False)
        seconds, _ = await self.redis.execute("TIME")
        now = (int(seconds) + 1) * 1000
        due = await self.ours.peek("a")
        assert due is not None
        self.assertLess(abs(due - now), 2000)
        self.assertEqual(await self.peer("get", now), [b"a", b"%.0f" % due])
        self.assertEqual(await self.peer("get", now), b"NOTYET")
        self.assertIsNone(await self.ours.get())
        self.assertEqual(await self.ours.peek("a"), now + 30_000)

    async def test_strings(self) -> None:
        """
        A time of fewer digits, which they take for a later one and are stuck at, is due for us;
        one of more digits, which they take for an earlier one, is not.
        """
        now = 1_763_744_400_000
        await self.peer("create", 60_000)
        await self.peer("add", "seconds", 999_999_999)
        self.assertEqual(await self.peer("get", now), b"NOTYET")
        self.assertEqual(await self.ours.get(now), Task("seconds", 999_999_999))
        self.assertEqual(await self.ours.peek("seconds"), now + 60_000)
        await self.ours.remove("seconds")
        await self.peer("add", "far", 10_000_000_000_000)
        self.assertIsNone(await self.ours.get(now))
        self.assertEqual(await self.peer("get", now), [b"far", b"10000000000000"])

    async def test_changes(self) -> None:
        """
        A task that is given another name is due when it was; what is not there is told.
        """
        await self.ours.create(60_000)
        await self.ours.add("a", 5)
        self.assertEqual(await self.ours.update("a", "b"), 5)
        self.assertEqual(await self.ours.update("b", "b"), 5)
        self.assertEqual(await self.ours.tasks(), [Task("b", 5)])
        await self.refused(self.ours.update("a", "c"), ItemDoesNotExist, self.name, "a")
        self.assertIsNone(await self.ours.peek("a"))
        self.assertIs(await self.ours.remove("b"), True)
        self.assertIs(await self.ours.remove("b"), False)
        self.assertIsNone(await self.ours.get())

    async def test_no_timeout(self) -> None:
        """
        Where nobody has said how long a task rests none is taken.
        """
        await self.ours.add("a", 5)
        self.assertIs(await self.ours.exists(), False)
        await self.refused(self.ours.get(), FeedDoesNotExist, self.name)
        self.assertEqual(await self.ours.peek("a"), 5)

    async def test_wrong(self) -> None:
        """
        What cannot be is refused at once.
        """
        create: Any = self.ours.create
        self.assertRaises(ValueError, create, 0)
        for wrong in ("60", 1.5, True):
            self.assertRaises(TypeError, create, wrong)
        self.assertRaises(ValueError, self.ours.add, "")
        self.assertRaises(ValueError, Recurring, self.thoonk, "")
        self.assertIn(self.name, repr(self.ours))
