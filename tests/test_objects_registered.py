"""What is refused when a scripted object is registered: no Redis is needed for that."""

from __future__ import annotations

import copy
import os
import pickle
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.test_objects import Form, Hello
from txthoonk import (
    DeclaredInterface,
    DeclaredObject,
    ObjectError,
    RegistrationError,
    ScriptedInterface,
    ScriptedObject,
    Thoonk,
    ThoonkError,
)

GOOD = """\
-- Good.
-- KEYS[1] total    string
-- ARGV[1] changed  channel
-- ARGV[2] amount   integer  how many
-- Returns: integer
-- Errors: LIMIT
-- Publishes: changed total
return 1
"""


class RegistrationTests(SynchronousTestCase):
    """A class, its name and its folder are looked at when it is registered, and at once."""

    def setUp(self) -> None:
        self.thoonk = Thoonk()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def write(self, name: str, source: str | bytes = "return {}") -> None:
        """A file in the folder."""
        data = source if isinstance(source, bytes) else source.encode()
        (self.folder / name).write_bytes(data)

    def kind(self, base: type[Any] = ScriptedObject, **members: Any) -> type[Any]:
        """A class with that folder."""
        return type("Kind", (base,), {"objtype": "kind", "scriptdir": self.folder, **members})

    def refused(self, reason: str, kind: Any, name: str = "Kind") -> None:
        """Registering fails for that reason, and nothing is registered."""
        before = dir(self.thoonk.objects)
        with self.assertRaisesRegex(RegistrationError, reason) as caught:
            self.thoonk.register_object(name, kind)
        self.assertIn(repr(name), str(caught.exception))
        self.assertIsInstance(caught.exception, (ThoonkError, ValueError))
        self.assertEqual(dir(self.thoonk.objects), before)

    def test_name(self) -> None:
        """
        A name is an identifier that nothing else has.
        """
        self.write("a.lua")
        for name in ("", "a b", "_a", "a-b", "5"):
            self.refused("an identifier", self.kind(), name)
        for name in ("load", "register", "when_loaded", "listen"):
            self.refused("a method", self.kind(), name)
        make = self.thoonk.register_object("Kind", self.kind())
        self.refused("there is one of that name", self.kind())
        self.thoonk.register_object("Other", self.kind())
        self.assertEqual(make("a").name, "a")

    def test_class(self) -> None:
        """
        What is registered is a class of one's own, as the object or the interface that it is.
        """
        for kind in (object, int, None, "Form", len, type):
            self.refused("a class of one's own", kind)
        self.refused("objtype is a word", type("Kind", (), {}))
        self.refused("objtype is a word", ScriptedObject)
        self.refused("Hello is for register_interface", Hello)
        with self.assertRaisesRegex(RegistrationError, "Form is for register_object"):
            self.thoonk.register_interface("Form", Form)
        self.refused("is for register_interface", self.kind(ScriptedInterface))
        self.refused("is for register_interface", self.kind(DeclaredInterface))

    def test_plain_class(self) -> None:
        """
        A class that just has what thoonk.js asks for will do, as object and as interface.
        """
        self.write("a.lua")
        plain = type("Plain", (), {"objtype": "plain", "scriptdir": str(self.folder)})
        one = self.thoonk.register_object("Plain", plain)("a")
        sole = self.thoonk.register_interface("Sole", plain)()
        self.assertIsInstance(one, plain)
        self.assertIsInstance(one, ScriptedObject)
        self.assertIsInstance(sole, ScriptedInterface)
        self.assertEqual((one.name, sole.name, one.get_channels()), ("a", None, []))
        self.assertTrue(callable(one.a))

    def test_folder(self) -> None:
        """
        The folder is there, and has scripts that can be read.
        """
        self.refused("it has no scriptdir", type("Kind", (ScriptedObject,), {"objtype": "a"}))
        self.refused("is no folder", self.kind(scriptdir="no/such/folder"))
        self.refused("is no folder", self.kind(scriptdir=__file__))
        self.write("a.txt")
        self.write(".#a.lua")
        self.refused("there is no .lua file in its scriptdir", self.kind())
        (self.folder / "b.lua").mkdir()
        self.refused("cannot be read: .*b.lua", self.kind())

    def test_relative(self) -> None:
        """
        A relative folder is beside the module of the class that names it, wherever one is.
        """
        here = os.getcwd()
        self.addCleanup(os.chdir, here)
        os.chdir("/")
        sub = type("Sub", (Form,), {})
        sub.__module__ = "txthoonk"
        self.thoonk.register_object("Sub", sub)
        self.assertIn("answer", self.thoonk.objects.Sub("a").verbs)

    def test_read_once(self) -> None:
        """
        The scripts are read when the class is registered: what is written later is not seen.
        """
        self.write("a.lua", "return {false, 1}")
        kind = self.kind()
        self.thoonk.register_object("Kind", kind)
        self.write("a.lua", "return {false, 2}")
        self.write("b.lua")
        verbs = self.thoonk.objects.Kind("a").verbs
        self.assertEqual({k: v.source for k, v in verbs.items()}, {"a": b"return {false, 1}"})
        self.assertEqual(kind.verbs, {})

    def test_words(self) -> None:
        """
        An objtype and an event that thoonk.js could not tell apart in a channel are refused.
        """
        self.write("a.lua")
        for bad in ("", "a.b", "a:b", "a b", "1a", "ä", None, 5):
            self.refused("objtype is a word", self.kind(objtype=bad))
            self.refused("an event is a word", self.kind(subscribables=("fine", bad)))
        self.refused("stands for all", self.kind(subscribables=("all",)))
        for bad in ("changed", b"changed", 5):
            self.refused("several names", self.kind(subscribables=bad))
        quiet = self.thoonk.register_object("Quiet", self.kind(subscribables=None))
        self.assertEqual(quiet("a").get_channels(), [])

    def test_errors(self) -> None:
        """
        A class's own exceptions are ObjectErrors.
        """
        self.write("a.lua")
        for bad in (ValueError, "Error", None):
            self.refused("an error is a subclass of ObjectError", self.kind(errors={"a": bad}))

    def test_declared(self) -> None:
        """
        A good header is all that a declared object needs.
        """
        self.write("good.lua", GOOD)
        self.thoonk.register_object(
            "Kind",
            self.kind(DeclaredObject, subscribables=("other",), errors={"LIMIT": ObjectError}),
        )
        self.assertEqual(
            self.thoonk.objects.Kind("a").get_channels(),
            ["event.kind.other:a", "event.kind.changed:a"],
        )

    def test_headers(self) -> None:
        """
        Whatever is wrong with a header is told, with the file's name.
        """
        for reason, old, new in (
            ("the header lacks Errors, Publishes, Returns", GOOD, "return 1"),
            ("the header lacks Errors", "Errors:", "Erors:"),
            (r"KEYS\[2\] is out of order|KEYS\[1\] is out of order", "KEYS[1]", "KEYS[2]"),
            (r"'-- KEYS\[1\] total' is not", "total    string", "total"),
            ("two parameters have one name", "amount ", "total "),
            ("key total is a strin; there are", "string", "strin"),
            ("amount is int; there are channel, text", "integer  how", "int  how"),
            (
                "amount is a list, which can only be the last",
                "integer  how many",
                "list\n-- ARGV[3] b text",
            ),
            ("channels are its first arguments", "how many", "many\n-- ARGV[3] gone channel"),
            ("does not agree with its channels", "Publishes: changed", "Publishes: gone"),
            ("does not agree with its channels", "Publishes: changed total", "Publishes: nothing"),
            ("it returns 'something'", "Returns: integer", "Returns: something"),
            ("'Limit' cannot be the code", "LIMIT", "Limit"),
            ("'OOM' cannot be the code", "LIMIT", "OOM"),
            ("'ERR' cannot be the code", "LIMIT", "ERR"),
            ("import is a word of Python", "amount ", "import "),
        ):
            self.assertIn(old, GOOD)
            self.write("bad.lua", GOOD.replace(old, new))
            self.refused(f"bad.lua: .*({reason})", self.kind(DeclaredObject))
        self.write("bad.lua", GOOD.encode() + b"-- \xff")
        self.refused("bad.lua: .*utf-8", self.kind(DeclaredObject))

    def test_declared_names(self) -> None:
        """
        New code is asked for names that can be methods, and keys that are not Thoonk's.
        """
        self.write("good.lua", GOOD)
        for taken in ("feed", "job", "tx"):
            self.refused("belong to Thoonk", self.kind(DeclaredObject, objtype=taken))
        self.refused(
            "no script declares size, which are in its keys",
            self.kind(DeclaredObject, keys={"size": "a"}),
        )
        self.refused(
            "no script declares FULL, which are in its errors",
            self.kind(DeclaredObject, errors={"FULL": ObjectError}),
        )
        self.write("all.lua", GOOD.replace("changed", "all"))
        self.refused("stands for all", self.kind(DeclaredObject))
        (self.folder / "all.lua").unlink()
        for name in ("subscribe", "on", "name", "thoonk", "a-b", "_a", "keys"):
            self.write(f"{name}.lua", GOOD)
            self.refused(f"{name}.lua: no method can have that name", self.kind(DeclaredObject))
            (self.folder / f"{name}.lua").unlink()

    def test_exceptions(self) -> None:
        """
        The exceptions can be copied and sent to other processes, like all of ours.
        """
        error = ObjectError("kind", None, "add", "text", "CODE", ("a", 1))
        for made in (error, RegistrationError("Kind", "why")):
            for again in (copy.copy(made), pickle.loads(pickle.dumps(made))):
                self.assertEqual(
                    (type(again), str(again), vars(again)), (type(made), str(made), vars(made))
                )
        self.assertEqual(str(error), "kind, add: text")

    def test_not_started(self) -> None:
        """
        Registering at an instance that is never started leaves nothing behind.
        """
        self.write("a.lua")
        make = self.thoonk.register_object("Kind", self.kind())
        self.assertRaises(AttributeError, getattr, make("a"), "b")
        self.assertRaises(AttributeError, getattr, self.thoonk.objects, "_b")
        self.assertEqual(copy.copy(make("a")).name, "a")
