"""Scripted objects in the declared form: checked, and held to what they declare."""

from __future__ import annotations

import inspect
from typing import Any

from twisted.internet.defer import Deferred

from tests.helpers import Heard, ThoonkTestCase, until
from tests.wire import free_port
from txthoonk import DeclaredInterface, DeclaredObject, ObjectError, ScriptedObject, ThoonkError
from txthoonk.errors import CrossSlot, OutOfMemory, PermissionDenied, WrongKeyType
from txthoonk.globs import escape_glob
from txthoonk.keys import encode
from txthoonk.scripts import Script


class Full(ObjectError):
    """There are too many fields."""


class Safe(DeclaredObject):
    """Fields with values, and a log of them."""

    objtype = "safe"
    scriptdir = "scripted/safe"
    errors = {"FULL": Full}


class Sole(DeclaredInterface):
    """The same, once."""

    objtype = "sole"
    scriptdir = "scripted/safe"


class Elsewhere(Safe):
    """The same under other names."""

    keys = {"log": "log of [name], [name]"}

    def put(self, field: str, value: bytes = b"") -> Deferred[int]:
        """With a default, and a bound of the class's own."""
        return self.run_script("put", field=field, value=value, most=1)


class SafeCase(ThoonkTestCase):
    """An instance where the types above are registered."""

    async def setUp(self) -> None:
        await super().setUp()
        self.thoonk.register_object("Safe", Safe)
        self.safe = self.thoonk.objects.Safe(self.feed_name())


class DeclaredTests(SafeCase):
    """Verbs that know their arguments."""

    async def test_results(self) -> None:
        """
        What fires is what the header says: a number, bytes, a dict, a list, JSON; nothing is None.
        """
        self.assertEqual(await self.safe.put("a", b"\xff", 2), 1)
        self.assertEqual(await self.safe.put("b", b"", most=2), 2)
        self.assertEqual(await self.safe.get("a"), b"\xff")
        self.assertIsNone(await self.safe.get("c"))
        self.assertEqual(await self.safe.all(), {"a": "\udcff", "b": ""})
        self.assertEqual(await self.safe.log(), ["b", "a"])
        self.assertEqual(await self.safe.tree(["x", "y"]), ["x", "y"])
        self.assertEqual(await self.safe.half(3), 1.5)

    async def test_arguments(self) -> None:
        """
        Each kind of argument reaches the script in the spelling that is documented.
        """
        got = await self.safe.kinds(1.5, 30, 5000, True, {"a": [1, None]}, {"b": "ä", "c": ""})
        self.assertEqual(got, ["1.5", "30", "5000", "1", '{"a":[1,null]}', "b", "ä", "c", ""])
        got = await self.safe.kinds(-2, 0.25, 0, False, None, {})
        self.assertEqual(got, ["-2", "0.25", "0", "0", "null"])

    def test_wrong_arguments(self) -> None:
        """
        What a header does not allow is refused at once: nothing is sent.
        """
        put, kinds, tree = self.safe.put, self.safe.kinds, self.safe.tree
        fine = (1, 1, 1, True, {}, {})
        for verb, args in (
            (put, ()),
            (put, ("a", b"b", 1, 2)),
            (put, (b"a", b"b", 1)),
            (put, ("a", "b", 1)),
            (put, ("a", b"b", "1")),
            (put, ("a", b"b", True)),
            (put, ("a", b"b", 1.0)),
            (kinds, ("1", *fine[1:])),
            (kinds, (1, 1, 0.5, *fine[3:])),
            (kinds, (1, 1, 1, 1, *fine[4:])),
            (kinds, (1, 1, 1, True, {1, 2}, {})),
            (kinds, (*fine[:5], ["a"])),
            (kinds, (*fine[:5], {"a": 1})),
            (tree, ("abc",)),
            (tree, ([1],)),
            (tree, (None,)),
        ):
            with self.assertRaises(TypeError, msg=args) as caught:
                verb(*args)
            self.assertRegex(str(caught.exception), f"^{verb.__name__}: ")
        for verb, args in (
            (put, ("a", b"b", 2**63)),
            (put, ("\ud800", b"b", 1)),
            (kinds, (float("nan"), *fine[1:])),
            (kinds, (1, -1, *fine[2:])),
            (kinds, (1, 1, -1, *fine[3:])),
        ):
            with self.assertRaises(ValueError, msg=args):
                verb(*args)
        with self.assertRaisesRegex(TypeError, "put: .*'colour'"):
            put("a", b"b", 1, colour="red")
        with self.assertRaisesRegex(TypeError, "put: most is integer: int, not '1'"):
            put("a", b"b", most="1")

    async def test_errors(self) -> None:
        """
        A code that a script declares is an exception with that code, of the class's own if it has
        one; with text or without, on each Redis.
        """
        await self.safe.put("a", b"", 1)
        error: Any = await self.assertFailure(self.safe.put("b", b"", 1), Full)
        self.assertEqual((error.code, error.text, error.verb), ("FULL", "of 1", "put"))
        self.assertEqual(str(error), f"safe {self.safe.name!r}, put: of 1")
        error = await self.assertFailure(self.safe.put("a", b"", 1), ObjectError)
        self.assertEqual((type(error), error.code, error.text), (ObjectError, "TWICE", ""))
        self.assertEqual(str(error), f"safe {self.safe.name!r}, put: TWICE")
        self.assertEqual((error.objtype, error.name), ("safe", self.safe.name))

    async def test_lie(self) -> None:
        """
        An answer that is not what the header says is an ObjectError, not a surprise later.
        """
        error: Any = await self.assertFailure(self.safe.lie(), ObjectError)
        self.assertEqual(error.text, "answered b'three' where its header says 'integer'")

    async def test_refused(self) -> None:
        """
        A key of the wrong type keeps its own exception, and names the object.
        """
        await self.redis.execute("SET", f"safe.fields:{{{self.safe.name}}}", "foreign")
        error = await self.assertFailure(self.safe.get("a"), WrongKeyType)
        self.assertIn(f"(safe {self.safe.name!r}, get)", str(error))

    def test_methods(self) -> None:
        """
        A verb's signature and description are those of its script.
        """
        self.assertEqual(str(inspect.signature(self.safe.put)), "(field, value, most)")
        self.assertIn("Returns: integer  how many", self.safe.put.__doc__)

    async def test_names(self) -> None:
        """
        Keys are OBJTYPE.KEY:{NAME}, channels as in thoonk.js; an interface has {OBJTYPE}.KEY; a
        class may spell them otherwise.
        """
        name = self.safe.name
        keys = {f"safe.fields:{{{name}}}", f"safe.log:{{{name}}}"}
        self.assertEqual(set(self.safe.get_schema()), keys)
        self.assertEqual(self.safe.get_channels(), [f"event.safe.stored:{name}"])
        self.thoonk.register_interface("Sole", Sole)
        sole = self.thoonk.objects.Sole()
        self.assertEqual(set(sole.get_schema()), {"{sole}.fields", "{sole}.log"})
        self.assertEqual(sole.get_channels(), ["event.sole.stored"])
        heard = Heard()
        await sole.subscribe(heard)
        field = self.feed_name()
        await sole.put(field, b"", 10**9)
        await heard.when(1)
        self.assertEqual(heard, [("stored", field)])
        self.thoonk.register_object("Elsewhere", Elsewhere)
        other = self.thoonk.objects.Elsewhere(name)
        self.assertEqual(await other.put("a"), 1)
        self.assertEqual(await self.safe.get("a"), b"")
        self.assertEqual(await self.redis.execute("LLEN", f"log of {name}, {name}"), 1)
        for bad in ("", "a\0", "}a"):
            self.assertRaises(ValueError, self.thoonk.objects.Safe, bad)

    async def test_braces(self) -> None:
        """
        Whatever the name, braces and all, the keys of an object are in one slot.
        """
        server = await self.cluster()
        thoonk = await self.start_thoonk(server)
        thoonk.register_object("Safe", Safe)
        for name in ("a", "a}b", "{a", "{}", "a{b}c", "ä:*"):
            safe = thoonk.objects.Safe(name)
            slots = {
                await thoonk.redis.execute("CLUSTER", "KEYSLOT", encode(key))
                for key in safe.get_schema()
            }
            self.assertEqual(len(slots), 1, name)
            self.assertEqual(await safe.put("a", b"b", 1), 1)

    async def test_cluster(self) -> None:
        """
        A Redis Cluster serves the verbs as they are, where one whose keys lie apart is refused.
        """
        server = await self.cluster()
        thoonk = await self.start_thoonk(server)
        thoonk.register_object("Safe", Safe)
        thoonk.register_object("Apart", type("Apart", (Safe,), {"keys": {"log": "log:[name]"}}))
        safe, apart = thoonk.objects.Safe("a"), thoonk.objects.Apart("a")
        self.assertEqual(await safe.put("a", b"b", 1), 1)
        error: Any = await self.assertFailure(apart.put("b", b"", 5), CrossSlot)
        self.assertEqual(error.code, "CROSSSLOT")

    async def cluster(self) -> str:
        """The URL of a cluster of one, which has all slots."""
        while (port := free_port()) > 55535:
            pass  # the cluster's own port is 10000 above
        server = await self.own_server(cluster_enabled="yes", port=str(port), bind="127.0.0.1")
        raw = await self.connect(server.url)
        await raw.execute("CLUSTER", "ADDSLOTS", *range(16384))
        await until(lambda: raw.execute("CLUSTER", "INFO").addCallback(lambda i: b"state:ok" in i))
        return server.url

    async def test_held(self) -> None:
        """
        A Redis user who may touch what get_schema and get_channels name, and nothing else, can
        call every verb; a script that touches more than it declares is refused.
        """
        server = await self.own_server()
        admin = await self.connect(server.url)
        thoonk = await self.start_thoonk(server.url)
        thoonk.register_object("Safe", Safe)
        safe = thoonk.objects.Safe("a*")
        rules = [b"~" + escape_glob(encode(key)) for key in safe.get_schema()]
        rules += [b"&" + escape_glob(encode(channel)) for channel in safe.get_channels()]
        everything = ("reset", "on", "nopass", "+@all", "resetchannels")
        await admin.execute("ACL", "SETUSER", "limited", *everything, *rules)
        await thoonk.redis.execute("AUTH", "limited", "any")
        self.assertEqual(await safe.put("a", b"b", 1), 1)
        self.assertEqual(await safe.get("a"), b"b")
        self.assertEqual((await safe.all(), await safe.log()), ({"a": "b"}, ["a"]))
        other = thoonk.objects.Safe("ab")
        await self.assertFailure(other.get("a"), PermissionDenied)
        await self.assertFailure(other.put("a", b"b", 1), PermissionDenied)
        wrong = Script(
            "wrong/verb",
            b"-- KEYS[1] a string\n-- Returns: integer\n-- Errors: none\n-- Publishes: nothing\n"
            b"return redis.call('DEL', KEYS[1] .. '2')",
        )
        call = thoonk.redis.execute("EVAL", wrong.source, 1, safe.get_schema()[0])
        await self.assertFailure(call, PermissionDenied)

    async def test_full_memory(self) -> None:
        """
        A server without memory refuses, and nothing is half done.
        """
        server = await self.own_server()
        thoonk = await self.start_thoonk(server.url)
        thoonk.register_object("Safe", Safe)
        safe = thoonk.objects.Safe("a")
        await thoonk.redis.execute("CONFIG", "SET", "maxmemory", "1")
        await self.assertFailure(safe.put("a", b"b", 1), OutOfMemory)
        self.assertEqual(await thoonk.redis.execute("DBSIZE"), 0)

    async def test_flushed(self) -> None:
        """
        Redis may forget the scripts: the next call brings its own.
        """
        server = await self.own_server()
        thoonk = await self.start_thoonk(server.url)
        thoonk.register_object("Safe", Safe)
        for number in range(1, 4):
            await thoonk.redis.execute("SCRIPT", "FLUSH")
            put = thoonk.objects.Safe("a").put(str(number), b"", 10)
            self.assertEqual(await put, number)

    async def test_both_forms(self) -> None:
        """
        One objtype may be registered in both forms: events of either reach the other.
        """
        old = type(
            "Old",
            (ScriptedObject,),
            {"objtype": "safe", "scriptdir": "scripted/form", "subscribables": ("stored",)},
        )
        old.__module__ = __name__
        self.thoonk.register_object("Old", old)
        heard = Heard()
        await self.thoonk.objects.Old(self.safe.name).on("stored", heard)
        await self.safe.put("a", b"", 1)
        await heard.when(1)
        self.assertEqual(heard, ["a"])

    async def test_all_fail_alike(self) -> None:
        """
        Everything that a verb fails with is a ThoonkError.
        """
        await self.safe.put("a", b"", 1)
        calls = (self.safe.put("a", b"", 1), self.safe.lie(), self.safe.put("b", b"", 0))
        for call in calls:
            await self.assertFailure(call, ThoonkError)
