"""Commits where something is wrong: with keys, rights, memory, the connection."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from unittest import SkipTest

from tests.commit_helpers import CommitCase
from tests.helpers import ThoonkTestCase, until
from txthoonk import LeaseLost
from txthoonk.errors import (
    ConnectionLost,
    OutOfMemory,
    PermissionDenied,
    WrongKeyType,
)
from txthoonk.globs import escape_glob
from txthoonk.scripts import script
from txthoonk.types.committing import _Keys

#: What a counter cannot be.
NO_COUNTERS = ("", "many", "1.5", "007", "9" * 30, str(2**63 - 1))


class FeedsCase(CommitCase):
    """A feed and a sorted feed with items."""

    async def use(self, thoonk: Any) -> None:
        await super().use(thoonk)
        self.feed = await thoonk.feed(self.feed_name(), max_length=3)
        self.places = await thoonk.sorted_feed(self.feed_name("places"))
        self.names = (self.feed.name, self.places.name)
        for number in (1, 2, 3):
            await self.feed.publish("old", id=number)
            await self.places.append("old")

    def changes(self) -> Iterator[Any]:
        """One by each script."""
        feed, places = self.feed.change, self.places.change
        yield feed.publish("x", id="4")
        yield feed.publish("x", id="4", ttl=60)
        yield feed.retract("2")
        yield places.append("x")
        yield places.publish_after("2", "x")
        yield places.edit("2", "x")
        yield places.move_first("2")
        yield places.move_after("1", "2")
        yield places.retract("2")

    def keys_of_change(self, change: Any) -> dict[str, str]:
        """The keys that its script touches, with their types."""
        return {each.name: each.kind for each in script(change.verb).keys}


class KeyTests(FeedsCase):
    """Keys that somebody uses for something else."""

    async def test_wrong_type(self) -> None:
        """
        It is reported with the feed's name, and nothing is half done, whichever change it is.
        """
        run = self.redis.execute
        for change in self.changes():
            first = (self.places if change.feed is self.feed else self.feed).change.publish("first")
            for name, kind in self.keys_of_change(change).items():
                if kind == "any":
                    continue
                key = getattr(change.feed.keys, name)
                await run("RENAME", key, "kept") if await run("EXISTS", key) else None
                await (run("RPUSH", key, "x") if kind == "string" else run("SET", key, "x"))
                error = await self.changes_nothing(
                    lambda changes=(first, change): self.claim.commit(*changes),
                    WrongKeyType,
                    *self.names,
                )
                self.assertEqual(error.feed, change.feed.name, (change, name))
                await run("DEL", key)
                await run("RENAME", "kept", key) if await run("EXISTS", "kept") else None
        await self.still_held()

    async def test_ours(self) -> None:
        """
        What is in the way of our own additions is replaced, as by the verbs.
        """
        for name in ("revisions", "history"):
            for feed in (self.feed, self.places):
                await self.redis.execute("SET", getattr(feed.keys, name), "foreign")
                claim = await self.take()
                done = await claim.commit(feed.change.publish("x"), feed.change.publish("y"))
                self.assertEqual(len(done), 2)
                self.assertEqual((await feed.snapshot()).items[done[1]], "y")

    async def test_no_counter(self) -> None:
        """
        Nor is anything half done where a counter is none.
        """
        run = self.redis.execute
        for change in self.changes():
            first = (self.places if change.feed is self.feed else self.feed).change.publish("first")
            for name, kind in self.keys_of_change(change).items():
                key = getattr(change.feed.keys, name)
                for nonsense in NO_COUNTERS if kind == "string" else ():
                    real = await run("GET", key)
                    await run("SET", key, nonsense)
                    await self.changes_nothing(
                        lambda changes=(first, change): self.claim.commit(*changes),
                        WrongKeyType,
                        *self.names,
                    )
                    await run("SET", key, real)
        await self.still_held()

    async def test_of_jobs(self) -> None:
        """
        So it is with the job's own keys.
        """
        for each in script("job/finish").keys:
            key = getattr(self.job.keys, each.name)
            kept = await self.redis.execute("DUMP", key)
            await self.redis.execute("DEL", key)
            wrong = ("RPUSH", key, "x") if each.kind == "string" else ("SET", key, "x")
            await self.redis.execute(*wrong)
            error = await self.changes_nothing(
                lambda: self.claim.commit(self.feed.change.publish("x"), result="r"),
                WrongKeyType,
                *self.names,
            )
            self.assertEqual(error.feed, self.name)
            await self.redis.execute("DEL", key)
            if kept is not None:
                await self.redis.execute("RESTORE", key, 0, kept)
        await self.still_held()

    def test_reads(self) -> None:
        """
        Every command of a script in a commit is known as one that reads, or one that writes: the
        first of these ends its trial.
        """
        text = script("job/commit").source.decode()
        known = re.search(r"local reads = \{(.*?)\}", text, re.DOTALL)
        assert known is not None
        reads = set(re.findall(r"[A-Z]+", known[1]))
        found = set(re.findall(r"call\('([A-Z]+)'", text))
        writes = {
            *("DECR", "DEL", "HDEL", "HSET", "INCR", "INCRBY", "LINSERT", "LPUSH", "LREM"),
            *("PUBLISH", "RPUSH", "XADD", "ZADD", "ZREM"),
        }
        self.assertEqual(found - reads - writes, set())
        self.assertEqual(reads & writes, set())


class OwnServerCase(FeedsCase):
    """On a server of this test's own."""

    async def setUp(self) -> None:
        await ThoonkTestCase.setUp(self)
        self.server = await self.own_server()
        self.raw = await self.connect(self.server.url)


class RightTests(OwnServerCase):
    """Called by a user who may not do everything."""

    async def setUp(self) -> None:
        await super().setUp()
        await self.raw.execute("ACL", "SETUSER", "limited", "on", ">secret", "+@all", "~*", "&*")
        url = self.server.url.replace("redis+unix://", "redis+unix://limited:secret@")
        thoonk = await self.start_thoonk(url)
        await self.use(thoonk)
        self.knows = (await self.raw.execute("INFO", "server")).split(b"redis_version:")[1][
            :1
        ] > b"6"
        self.heard: list[Any] = await self.listen("feed.*", "tx.*", "job.*", url=self.server.url)
        keys: Any = _Keys(
            self.job.keys, [self.feed.keys, self.places.keys], [self.feed.keys.expiring]
        )
        self.bound = script("job/commit").bind(keys, self.name)

    def commit(self) -> Any:
        """A commit that runs each script."""
        feed, places = self.feed.change, self.places.change
        return self.claim.commit(
            *(feed.publish("x", id="4"), feed.publish("y", id="3", ttl=60), feed.retract("2")),
            *(places.append("x"), places.prepend("x"), places.publish_after("2", "x")),
            *(places.edit("2", "x"), places.move_first("2"), places.move_after("1", "3")),
            places.retract("1"),
            result="r",
        )

    async def dump(self, *names: str) -> dict[str, bytes]:
        """By a user who may do everything."""
        keys = await self.raw.execute("KEYS", "*")
        return {key.decode(): await self.raw.execute("DUMP", key) for key in keys}

    async def allow(self, *rules: bytes | str) -> None:
        """Let the user do this."""
        reset = ("reset", "on", ">secret", "+@all", "resetchannels")
        await self.raw.execute("ACL", "SETUSER", "limited", *reset, *rules)

    async def refused(self, *rules: Any) -> None:  # type: ignore[override]  # it is another one
        """With these rights all is refused, and nothing is done."""
        await self.allow(*rules)
        self.heard.clear()
        error = await self.changes_nothing(self.commit, PermissionDenied, heard=self.heard)
        self.assertIn(error.feed, (self.name, *self.names))

    async def test_keys(self) -> None:
        """
        Who may not touch one of the keys changes nothing.
        """
        for denied in self.bound.keys:
            rules = [b"~" + escape_glob(key) for key in self.bound.keys if key != denied]
            await self.refused("allchannels", *rules)
        await self.allow("allchannels", "allkeys")
        await self.still_held()

    async def test_commands(self) -> None:
        """
        Who may not run one of the commands changes nothing. Redis 6.2 cannot be asked.
        """
        if not self.knows:
            raise SkipTest("Redis 6.2 does not say what a user may do")
        text = script("job/commit").source.decode()
        commands = set(re.findall(r"call\('([A-Z]+)'", text))
        self.assertGreater(len(commands), 30)
        # The one undoes an INCR, and the other is for items of the future.
        for command in sorted(commands - {"DECR", "ZREVRANGE"}):
            await self.refused("allchannels", "allkeys", f"-{command.lower()}")

    async def test_channels(self) -> None:
        """
        Nor does who may not publish on a channel of the contract. Redis 6.2 cannot be asked: there
        all is done once, and told where that is allowed.
        """
        ours = {k for feed in (self.feed, self.places) for k in feed.keys.telling()[:2]}
        silent = {self.feed.keys.position_channel, self.places.keys.edit_channel}
        denied = self.feed.keys.publish_channel
        if self.knows:
            for denied in self.bound.channels:
                if denied not in ours | silent:
                    rules = [b"&" + escape_glob(c) for c in self.bound.channels if c != denied]
                    await self.refused("allkeys", *rules)
        rules = [b"&" + escape_glob(c) for c in self.bound.channels if c not in ours]
        await self.allow(
            "allkeys", *(r for r in rules if self.knows or r[1:] != escape_glob(denied))
        )
        self.assertEqual(len(await self.commit()), 10)
        await self.allow("allkeys", "allchannels")
        self.assertEqual(await self.feed.get_all(), {"4": "x", "3": "y"})
        self.assertEqual(await self.job.get_result(self.claim.id), ("work", "r"))


class MemoryTests(OwnServerCase):
    """On a server that has no memory left."""

    async def setUp(self) -> None:
        await super().setUp()
        await self.use(await self.start_thoonk(self.server.url))

    async def fill(self, full: bool = True) -> None:
        """Leave no memory."""
        await self.raw.execute("CONFIG", "SET", "maxmemory", "1" if full else "0")

    async def test_grows(self) -> None:
        """
        A commit that needs memory changes nothing, also where it begins with a change that makes
        room.
        """
        await self.fill()
        for change in self.changes():
            if change.verb.endswith(("/publish", "/publish_for", "/insert", "/edit")):
                other = self.places if change.feed is self.feed else self.feed
                changes = (other.change.retract("1"), change)
                await self.changes_nothing(
                    lambda changes=changes: self.claim.commit(*changes),
                    OutOfMemory,
                    *self.names,
                )
        await self.fill(full=False)
        await self.still_held()

    async def test_shrinks(self) -> None:
        """
        One that only takes out, moves and finishes is done.
        """
        await self.fill()
        done = await self.claim.commit(
            self.places.change.move_last("1"),
            self.feed.change.retract("1"),
            self.places.change.retract("2"),
            self.feed.change.expect(3),
            result="r",
        )
        self.assertEqual(done, [None, True, True, None])
        self.assertEqual(await self.places.get_ids(), ["3", "1"])
        self.assertEqual(await self.job.get_result(self.claim.id), ("work", "r"))


class ServerTests(OwnServerCase):
    """A server that forgets, or is gone before it has answered."""

    async def setUp(self) -> None:
        await super().setUp()
        self.server = await self.own_server(appendonly="yes", appendfsync="always")
        self.raw = await self.connect(self.server.url)
        await self.use(await self.start_thoonk(self.server.url))

    async def test_flush(self) -> None:
        """
        That the script was forgotten is nothing that anybody notices.
        """
        for _ in range(3):
            await self.raw.execute("SCRIPT", "FLUSH")
            claim = await self.take()
            self.assertEqual(await claim.commit(self.feed.change.publish("x", id="a")), ["a"])

    def cut(self) -> None:
        """Let all leave that is to leave, and read no reply."""
        redis: Any = self.using.redis._redis
        redis._in_turn = False
        redis._flush()
        while redis.transport.dataBuffer or redis.transport._tempDataBuffer:
            redis.transport.doWrite()
        redis.transport.abortConnection()

    async def test_lost(self) -> None:
        """
        Where the connection breaks before the reply it may have happened; a second try is refused
        if it has, and so it happens once, whatever becomes of the server.
        """
        for restart in (False, True):
            claim = await self.take()
            before = (await self.feed.snapshot()).revision
            change = self.feed.change.publish(claim.id, id=claim.id)
            commit = claim.commit(change, result="r")
            self.cut()
            await self.assertFailure(commit, ConnectionLost)
            self.assertIsNone(claim.ending)
            await until(
                lambda change=change: self.raw.execute("HEXISTS", change.feed.keys.items, change.id)
            )
            if restart:
                await self.server.kill()
                await self.server.start()
                await self.using.when_connected()
            await self.assertFailure(claim.commit(change, result="r"), LeaseLost)
            after = await self.feed.snapshot()
            # The oldest one went.
            self.assertEqual((after.revision, after.items[claim.id]), (before + 2, claim.id))
            self.assertEqual(await self.job.get_result(claim.id), ("work", "r"))
