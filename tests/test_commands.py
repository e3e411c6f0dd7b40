"""The named commands: in memory, and against a real server."""

from __future__ import annotations

from tests.wire import ServerCase, WireCase
from txthoonk.errors import (
    ConnectionLost,
    OutOfMemory,
    PermissionDenied,
    ScriptMissing,
    ServerError,
    WrongKeyType,
)
from txthoonk.redis import Redis


class CommandTests(WireCase):
    """The named methods, as far as no server is needed."""

    def test_charset(self) -> None:
        """
        With a charset all text in replies is str, also inside lists, sets and dicts.
        """
        redis = self.simple(charset="utf-8")
        text = "$2\r\né\r\n".encode()
        for call, reply, expected in (
            (redis.get("k"), text, "é"),
            (redis.mget("k", "l"), b"*2\r\n" + text + b"$-1\r\n", ["é", None]),
            (redis.smembers("k"), b"*1\r\n" + text, {"é"}),
            (redis.hgetall("k"), b"*2\r\n" + text * 2, {"é": "é"}),
            (redis.eval("..."), b"*1\r\n*2\r\n:1\r\n" + text, [[1, "é"]]),
            (redis.execute("GET", "k"), text, "é".encode()),
        ):
            self.answer(reply)
            self.assertEqual(self.successResultOf(call), expected)

    def test_other_charset(self) -> None:
        """
        Text is sent in the charset it is read in.
        """
        redis = self.simple(charset="latin-1")
        redis.set("k", "é")
        self.assertEqual(self.wire.sent(), [[b"SET", b"k", b"\xe9"]])
        self.answer("+OK\r\n")
        reply = redis.get("k")
        self.answer(b"$1\r\n\xe9\r\n")
        self.assertEqual(self.successResultOf(reply), "é")

    def test_unfit_charset(self) -> None:
        """
        A charset that does not exist, or cannot carry Redis's commands, is refused at once.
        """
        self.assertRaises(LookupError, Redis, charset="klingon")
        self.assertRaises(ValueError, Redis, charset="utf-16")

    def test_undecodable(self) -> None:
        """
        A reply that the charset cannot decode fails that call only, or is mended as *errors* says.
        """
        redis = self.simple(charset="utf-8")
        bad, good = redis.get("k"), redis.get("l")
        self.answer(b"$1\r\n\xff\r\n+1\r\n")
        self.failureResultOf(bad, UnicodeDecodeError)
        self.assertEqual(self.successResultOf(good), "1")
        self.wire.end()
        reply = self.simple(charset="utf-8", errors="replace").get("k")
        self.answer(b"$1\r\n\xff\r\n")
        self.assertEqual(self.successResultOf(reply), "\ufffd")

    def test_transaction(self) -> None:
        """
        Inside a transaction every method says QUEUED; execute() gives all replies.
        """
        redis = self.simple()
        calls = [redis.multi(), redis.hgetall("h"), redis.zscore("z", "a"), redis.info()]
        done = redis.execute()
        self.assertEqual([sent[0] for sent in self.wire.sent()][-1], b"EXEC")
        self.answer("+OK\r\n" + "+QUEUED\r\n" * 3 + "*3\r\n*0\r\n$1\r\n1\r\n$0\r\n\r\n")
        replies = [self.successResultOf(call) for call in calls]
        self.assertEqual(replies, [b"OK", b"QUEUED", b"QUEUED", b"QUEUED"])
        self.assertEqual(self.successResultOf(done), [[], b"1", b""])

    def test_argument_order(self) -> None:
        """
        The arguments come in txredis's order, and reach Redis in Redis's.
        """
        redis = self.simple()
        redis.zadd("z", "member", 1.5)
        redis.zadd("z", 1, "a", 2, "b")
        redis.lrem("l", "value", count=-2)
        redis.set("k", "v", preserve=True, expire=5)
        redis.set("k", "v", getset=True)
        redis.sort("l", by="w_*", get=["#", "o_*"], start=0, num=5, desc=True, alpha=True)
        redis.zrangebyscore("z", 1, "(5", offset=0, count=2, withscores=True)
        redis.zrevrangebyscore("z", 1, 5)
        redis.zunionstore("d", {"a": 1, "b": 2}, aggregate="MAX")
        redis.linsert("l", "pivot", "value", before=False)
        redis.push("l", "v", tail=True, no_create=True)
        redis.get_object("k", encoding=True)
        redis.scan(3, pattern="a*", count=10)
        self.assertEqual(
            [b" ".join(sent).decode() for sent in self.wire.sent()],
            [
                "ZADD z 1.5 member",
                "ZADD z 1 a 2 b",
                "LREM l -2 value",
                "SET k v NX EX 5",
                "SET k v GET",
                "SORT l BY w_* LIMIT 0 5 GET # GET o_* DESC ALPHA",
                "ZRANGEBYSCORE z 1 (5 LIMIT 0 2 WITHSCORES",
                "ZREVRANGEBYSCORE z 5 1",
                "ZUNIONSTORE d 2 a b WEIGHTS 1 2 AGGREGATE MAX",
                "LINSERT l AFTER pivot value",
                "RPUSHX l v",
                "OBJECT ENCODING k",
                "SCAN 3 MATCH a* COUNT 10",
            ],
        )
        for waiting in redis._waiting:
            waiting.addErrback(lambda failure: failure.trap(ConnectionLost))

    def test_arguments_that_exclude_each_other(self) -> None:
        """
        Arguments that make no sense together are a ValueError at once.
        """
        redis = self.simple()
        for call in (
            lambda: redis.set("k", "v", preserve=True, getset=True),
            lambda: redis.sort("l", start=1),
            lambda: redis.zrangebyscore("z", offset=1),
            lambda: redis.get_object("k"),
        ):
            self.assertRaises(ValueError, call)


class CommandsOnServerTests(ServerCase):
    """The named methods against a real server of its own."""

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        """Start the server."""
        await super().setUp()
        self.server = await self.own_server()

    async def test_strings(self) -> None:
        """
        Strings and keys are set, read, counted, renamed and removed.
        """
        redis = await self.connect(self.server, Redis())
        self.assertEqual(await redis.set("a", 1), b"OK")
        self.assertEqual(await redis.set("a", 2, preserve=True), 0)
        self.assertEqual(await redis.set("b", 2, preserve=True, expire=100), 1)
        self.assertEqual(await redis.set("a", 3, getset=True), b"1")
        self.assertEqual(await redis.getset("a", 4), b"3")
        self.assertEqual(await redis.incr("a"), 5)
        self.assertEqual(await redis.incr("a", 5), 10)
        self.assertEqual(await redis.decr("a", 3), 7)
        self.assertEqual(await redis.append("a", "8"), 2)
        self.assertEqual(await redis.strlen("a"), 2)
        self.assertEqual(await redis.getrange("a", 0, 0), b"7")
        self.assertEqual(await redis.setnx("a", 1), 0)
        self.assertEqual(await redis.mset({"c": 1, "d": "é"}), b"OK")
        self.assertEqual(await redis.mset({"c": 1, "z": 2}, preserve=True), 0)
        self.assertEqual(await redis.msetnx({"d": 1, "z": 2}), 0)
        self.assertEqual(await redis.mget("c", "d", "z"), [b"1", "é".encode(), None])
        self.assertEqual(await redis.keys("*"), [b"a", b"b", b"c", b"d"])
        self.assertEqual(await redis.dbsize(), 4)
        cursor, found = await redis.scan()
        self.assertEqual((cursor, sorted(found)), (0, [b"a", b"b", b"c", b"d"]))
        self.assertIn(await redis.randomkey(), found)
        self.assertEqual(await redis.exists("a"), 1)
        self.assertEqual(await redis.ttl("a"), -1)
        self.assertEqual(await redis.expire("a", 50), 1)
        self.assertIn(await redis.ttl("a"), (49, 50))
        self.assertEqual(await redis.persist("a"), 1)
        self.assertEqual(await redis.expireat("b", 1), 1)
        self.assertEqual(await redis.exists("b"), 0)
        self.assertEqual(await redis.rename("a", "e"), b"OK")
        self.assertEqual(await redis.rename("e", "c", preserve=True), 0)
        self.assertEqual(await redis.get_type("c"), b"string")
        self.assertIsNone(await redis.get_type("a"))
        self.assertEqual(await redis.get_object("c", encoding=True), b"int")
        self.assertEqual(await redis.move("c", 1), 1)
        self.assertEqual(await redis.select(1), b"OK")
        self.assertEqual(await redis.keys("*"), [b"c"])
        self.assertEqual(await redis.select(0), b"OK")
        self.assertEqual(await redis.delete("d", "e", "nothing"), 2)
        self.assertEqual(await redis.setex("k", 9, 1), b"OK")
        self.assertEqual(await redis.flush(), b"OK")
        self.assertEqual(await redis.flush(all_dbs=True), b"OK")

    async def test_lists(self) -> None:
        """
        Lists are pushed, read, changed and popped at both ends.
        """
        redis = await self.connect(self.server, Redis(charset="utf-8"))
        self.assertEqual(await redis.push("l", "b"), 1)
        self.assertEqual(await redis.push("l", "d", tail=True), 2)
        self.assertEqual(await redis.push("no", "d", no_create=True), 0)
        self.assertEqual(await redis.lpush("l", "a"), 3)
        self.assertEqual(await redis.rpush("l", "e", "f"), 5)
        self.assertEqual(await redis.lpushx("no", "a"), 0)
        self.assertEqual(await redis.rpushx("no", "a"), 0)
        self.assertEqual(await redis.linsert("l", "d", "c"), 6)
        self.assertEqual(await redis.llen("l"), 6)
        self.assertEqual(await redis.lrange("l", 0, -1), list("abcdef"))
        self.assertEqual(await redis.sort("l", desc=True, alpha=True, start=0, num=2), ["f", "e"])
        self.assertEqual(await redis.lindex("l", 1), "b")
        self.assertEqual(await redis.lset("l", 1, "f"), "OK")
        self.assertEqual(await redis.lrem("l", "f"), 2)
        self.assertEqual(await redis.pop("l"), "a")
        self.assertEqual(await redis.pop("l", tail=True), "e")
        self.assertEqual(await redis.rpoplpush("l", "m"), "d")
        self.assertEqual(await redis.brpoplpush("m", "l", 1), "d")
        self.assertEqual(await redis.brpop(["no", "l"], 1), ["l", "c"])
        self.assertEqual(await redis.blpop(["l"]), ["l", "d"])
        self.assertIsNone(await redis.bpop(["l"], timeout=0.02))
        self.assertIsNone(await redis.lpop("l"))
        self.assertIsNone(await redis.rpop("l"))
        await redis.rpush("l", 1, 2, 3)
        self.assertEqual(await redis.ltrim("l", 0, 0), "OK")
        self.assertEqual(await redis.lrange("l", 0, -1), ["1"])

    async def test_hashes(self) -> None:
        """
        Hashes are dicts; hget() gives a dict as well, hget_value() the value.
        """
        redis = await self.connect(self.server, Redis(charset="utf-8"))
        self.assertEqual(await redis.hset("h", "a", 1), 1)
        self.assertEqual(await redis.hset("h", "a", 2, preserve=True), 0)
        self.assertEqual(await redis.hsetnx("h", "a", 2), 0)
        self.assertEqual(await redis.hmset("h", {"b": 2, "c": ""}), "OK")
        self.assertEqual(await redis.hget("h", "c"), {"c": ""})
        self.assertIsNone(await redis.hget("h", "z"))
        self.assertEqual(await redis.hmget("h", ["a", "z"]), {"a": "1", "z": None})
        self.assertEqual(await redis.hget_value("h", "a"), "1")
        self.assertEqual(await redis.hgetall("h"), {"a": "1", "b": "2", "c": ""})
        self.assertEqual(await redis.hgetall("no"), {})
        self.assertEqual(await redis.hkeys("h"), ["a", "b", "c"])
        self.assertEqual(await redis.hvals("h"), ["1", "2", ""])
        self.assertEqual(await redis.hincr("h", "a"), 2)
        self.assertEqual(await redis.hincrby("h", "a", -5), -3)
        self.assertEqual(await redis.hexists("h", "a"), 1)
        self.assertEqual(await redis.hdel("h", "a", "b"), 2)
        self.assertEqual(await redis.hlen("h"), 1)

    async def test_sets(self) -> None:
        """
        Sets are sets.
        """
        redis = await self.connect(self.server, Redis(charset="utf-8"))
        self.assertEqual(await redis.sadd("s", "a", "b", "c"), 3)
        self.assertEqual(await redis.sadd("t", "b", "x"), 2)
        self.assertEqual(await redis.smembers("s"), {"a", "b", "c"})
        self.assertEqual(await redis.smembers("no"), set())
        self.assertEqual(await redis.sismember("s", "a"), 1)
        self.assertEqual(await redis.scard("s"), 3)
        self.assertEqual(await redis.sinter("s", "t"), {"b"})
        self.assertEqual(await redis.sunion("s", "t"), {"a", "b", "c", "x"})
        self.assertEqual(await redis.sdiff("s", "t"), {"a", "c"})
        self.assertEqual(await redis.sinterstore("u", "s", "t"), 1)
        self.assertEqual(await redis.sunionstore("u", "s", "t"), 4)
        self.assertEqual(await redis.sdiffstore("u", "s", "t"), 2)
        self.assertEqual(await redis.smove("s", "t", "a"), 1)
        self.assertEqual(await redis.srem("s", "b", "no"), 1)
        self.assertEqual(await redis.srandmember("s"), "c")
        self.assertEqual(await redis.spop("s"), "c")

    async def test_sorted_sets(self) -> None:
        """
        Sorted sets are lists, or lists of (member, float); scores are floats.
        """
        redis = await self.connect(self.server, Redis(charset="utf-8"))
        self.assertEqual(await redis.zadd("z", "a", 1), 1)
        self.assertEqual(await redis.zadd("z", 2.5, "b", "inf", "c"), 2)
        self.assertEqual(await redis.zrange("z", 0, -1), ["a", "b", "c"])
        pairs = [("a", 1.0), ("b", 2.5), ("c", float("inf"))]
        self.assertEqual(await redis.zrange("z", 0, -1, withscores=True), pairs)
        self.assertEqual(await redis.zrevrange("z", 0, 0, withscores=True), pairs[2:])
        self.assertEqual(await redis.zrangebyscore("z", 2, withscores=True), pairs[1:])
        self.assertEqual(await redis.zrangebyscore("z", offset=1, count=1), ["b"])
        self.assertEqual(await redis.zrevrangebyscore("z", "(1", 3), ["b"])
        self.assertEqual(await redis.zincr("z", "a"), 2.0)
        self.assertEqual(await redis.zscore("z", "b"), 2.5)
        self.assertIsNone(await redis.zscore("z", "no"))
        self.assertEqual(await redis.zcard("z"), 3)
        self.assertEqual(await redis.zcount("z", 2, 3), 2)
        self.assertEqual(await redis.zrank("z", "a"), 0)
        self.assertEqual(await redis.zrank("z", "a", reverse=True), 2)
        self.assertEqual(await redis.zrevrank("z", "c"), 0)
        self.assertEqual(await redis.zunionstore("y", ["z"]), 3)
        self.assertEqual(await redis.zinterstore("y", {"z": 2, "y": 1}, "MIN"), 3)
        self.assertEqual(await redis.zremrangebyrank("y", 0, 0), 1)
        self.assertEqual(await redis.zremrangebyscore("y", 0, 3), 1)
        self.assertEqual(await redis.zrem("z", "a", "b"), 2)

    async def test_scripts_and_transactions(self) -> None:
        """
        Scripts are loaded and run; transactions are carried out, discarded, or fail when watched
        keys changed.
        """
        redis = await self.connect(self.server, Redis(charset="utf-8"))
        source = "return {KEYS[1], ARGV[1], 1}"
        sha1 = await redis.script_load(source)
        self.assertEqual(await redis.script_exists(sha1, "0" * 40), [1, 0])
        self.assertEqual(await redis.eval(source, ["k"], ["é"]), ["k", "é", 1])
        self.assertEqual(await redis.evalsha(sha1, ["k"], [2]), ["k", "2", 1])
        self.assertEqual(await redis.script_flush(), "OK")
        await self.fails(ScriptMissing, redis.evalsha(sha1))
        await self.fails(ServerError, redis.script_kill())
        self.assertEqual(await redis.multi(), "OK")
        self.assertEqual(await redis.hgetall("h"), "QUEUED")
        self.assertEqual(await redis.set("k", 1), "QUEUED")
        self.assertEqual(await redis.execute(), [[], b"OK"])
        self.assertEqual(await redis.watch("k"), "OK")
        other = await self.connect(self.server, Redis())
        await other.set("k", 2)
        await redis.multi()
        await redis.set("k", 3)
        self.assertIsNone(await redis.execute())
        self.assertEqual(await redis.unwatch(), "OK")
        await redis.multi()
        self.assertEqual(await redis.discard(), "OK")

    async def test_server(self) -> None:
        """
        The server is asked about itself, configured, saved and shut down.
        """
        redis = await self.connect(self.server, Redis())
        self.assertEqual(await redis.ping(), b"PONG")
        self.assertEqual(await redis.echo("x"), b"x")
        info = await redis.info()
        self.assertIsInstance(info["uptime_in_seconds"], int)
        self.assertEqual(info["redis_mode"], "standalone")
        self.assertNotIn("redis_mode", await redis.info("clients"))
        self.assertEqual(await redis.set_config("hz", 50), b"OK")
        self.assertEqual(await redis.get_config("hz"), {b"hz": b"50"})
        self.assertEqual(await redis.publish("nobody", "x"), 0)
        self.assertEqual(await redis.save(), b"OK")
        self.assertGreater(await redis.lastsave(), 1_700_000_000)
        await self.fails(ServerError, redis.auth("x"))
        self.assertEqual(await redis.slaveof("NO", "ONE"), b"OK")
        other = await self.connect(self.server, Redis())
        self.assertEqual(await other.quit(), b"OK")
        await other.when_lost()
        await self.fails(ConnectionLost, redis.shutdown())

    async def test_errors_inside_scripts(self) -> None:
        """
        What goes wrong inside a script is the same exception as outside, whatever the version.
        """
        redis = await self.connect(self.server, Redis())
        await redis.set("string", "x")
        await redis.execute("ACL", "SETUSER", "me", "on", ">pw", "+eval", "+ping", "~mine")
        call = "return redis.call('RPUSH', KEYS[1], 1)"
        await self.fails(WrongKeyType, redis.execute("RPUSH", "string", 1))
        await self.fails(WrongKeyType, redis.eval(call, ["string"]))
        own = await self.fails(ServerError, redis.eval("return redis.error_reply('MINE is bad')"))
        self.assertEqual(own.code, "MINE")
        me = await self.connect(self.server, Redis(username="me", password="pw"))
        await self.fails(PermissionDenied, me.eval(call, ["mine"]))
        await self.fails(PermissionDenied, me.get("mine"))
        await redis.set_config("maxmemory", 1)
        await self.fails(OutOfMemory, redis.rpush("l", 1))
        await self.fails(OutOfMemory, redis.eval(call, ["l"]))
