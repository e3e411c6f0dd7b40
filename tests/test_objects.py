"""Scripted objects in thoonk.js's form, on a real Redis."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent

from tests.helpers import Heard, ThoonkTestCase, until
from txthoonk import (
    NotConnected,
    ObjectError,
    RegistrationError,
    ScriptedInterface,
    ScriptedObject,
    ServerError,
    Thoonk,
)
from txthoonk.errors import OutOfMemory, PermissionDenied, ReadOnly, WrongKeyType

__all__ = ["Form", "FormCase"]


class NotNow(ObjectError):
    """It said so."""


class Form(ScriptedObject):
    """Answers in all shapes."""

    objtype = "form"
    scriptdir = "scripted/form"
    subscribables = ("changed", "gone")
    errors = {"Not now": NotNow}

    def __init__(self, name: str, thoonk: Any) -> None:
        super().__init__(name, thoonk)
        self.handled = Heard()

    def handle_event(self, channel: str, message: str) -> None:
        self.handled(channel, message)

    def set(self, value: str = "unset") -> Deferred[None]:
        """A method of the class's own, around the verb of that name."""
        return self.run_script("set", value)


class Hello(ScriptedInterface):
    """Without a name."""

    objtype = "hello"
    scriptdir = "scripted/hello"
    subscribables = ("greeted",)


class Recurring(ScriptedObject):
    """The recurring tasks of thoonk.js's branch `scripting`."""

    objtype = "recurring"
    scriptdir = "scripted/recurring"


class FormCase(ThoonkTestCase):
    """An instance where the types above are registered."""

    async def setUp(self) -> None:
        await super().setUp()
        self.thoonk.register_object("Form", Form)
        self.form: Form = self.thoonk.objects.Form(self.feed_name())


class VerbTests(FormCase):
    """Verbs are methods."""

    async def test_answers(self) -> None:
        """
        One value is that value, several are a tuple, none is None; text is text, bytes survive.
        """
        for shape, answer in {
            "none": None,
            "empty": None,
            "nothing": None,
            "one": "a",
            "several": ("a", 2, ["b", None]),
            "zero": "a",
            "blank": "a",
            "text": "a",
            "integer": 3,
            "binary": "\udcff\0a",
        }.items():
            self.assertEqual(await self.form.answer(shape), answer, shape)

    async def test_arguments(self) -> None:
        """
        The object's name comes first, then what it is called with, as JavaScript would send it.
        """
        given = ("a", b"\xff", 1, 1.5, 2.0, 1e20, "ä\0", "")
        got = ("a", "\udcff", "1", "1.5", "2", "100000000000000000000", "ä\0", "")
        self.assertEqual(await self.form.echo(*given), (self.form.name, *got))
        for wrong in (None, True, [1], {}):
            with self.assertRaises(TypeError):
                self.form.echo(wrong)
        for wrong in (float("nan"), float("inf"), "\ud800"):
            with self.assertRaises(ValueError):
                self.form.echo(wrong)
        with self.assertRaisesRegex(TypeError, "echo: .*'amount'"):
            self.form.echo(amount=1)

    async def test_errors(self) -> None:
        """
        What the script answers as its error is an exception that names object, verb and text, and
        has the values behind it; the class may have exceptions of its own.
        """
        error: Any = await self.assertFailure(self.form.answer("refused"), NotNow)
        self.assertEqual((error.objtype, error.name), ("form", self.form.name))
        self.assertEqual((error.verb, error.text), ("answer", "Not now"))
        self.assertEqual(error.values, ("later", 5))
        self.assertEqual(str(error), f"form {self.form.name!r}, answer: Not now")
        error = await self.assertFailure(self.form.answer("number"), ObjectError)
        self.assertEqual((type(error), error.text), (ObjectError, "7"))

    async def test_failures(self) -> None:
        """
        A script that fails is an ObjectError too; what Redis refuses keeps its own class.
        """
        for way, text in (("raise", "so it is"), ("reply", "BAD thing")):
            error: Any = await self.assertFailure(self.form.fail(way), ObjectError)
            self.assertIn(text, error.text)
            self.assertEqual((error.name, error.verb), (self.form.name, "fail"))
        wrong = await self.assertFailure(self.form.fail("type"), WrongKeyType)
        self.assertIn(f"(form {self.form.name!r}, fail)", str(wrong))

    async def test_unknown(self) -> None:
        """
        A verb that there is not is no attribute; the error tells which there are.
        """
        self.assertFalse(hasattr(self.form, "anwser"))
        with self.assertRaisesRegex(AttributeError, "no verb 'anwser'; there are answer, "):
            self.form.anwser("one")
        with self.assertRaisesRegex(AttributeError, "no verb 'anwser'"):
            self.form.run_script("anwser", "one")
        with self.assertRaisesRegex(AttributeError, "no object 'From' was registered; .*Form"):
            self.thoonk.objects.From("a")

    async def test_covered(self) -> None:
        """
        A verb named like a method of ours, or like no Python name, is called by run_script; a
        method of the class's own goes before the verb.
        """
        self.assertEqual(await self.form.run_script("subscribe"), "the verb")
        self.assertEqual(await self.form.run_script("get-all"), f"all of {self.form.name}")
        self.assertIsNone(await self.form.set())
        self.assertEqual(await self.redis.get(f"form:{self.form.name}"), b"unset")

    def test_methods(self) -> None:
        """
        A verb looks like a method: listed, named, described by its script's first lines.
        """
        self.assertIn("answer", dir(self.form))
        self.assertEqual(self.form.echo.__name__, "echo")
        self.assertEqual(self.form.echo.__doc__, "Answers with all that it got.")
        self.assertIsInstance(self.form, Form)
        self.assertIn("Form", dir(self.thoonk.objects))
        self.assertEqual(repr(self.form), f"<Form {self.form.name!r}>")

    def test_names(self) -> None:
        """
        An object's name is a text that is not empty and has no NUL.
        """
        for bad in ("", "a\0b", "\ud800"):
            self.assertRaises(ValueError, self.thoonk.objects.Form, bad)
        for other in (b"a", None, 5):
            self.assertRaises(TypeError, self.thoonk.objects.Form, other)
        with self.assertRaisesRegex(TypeError, "Form was not registered"):
            Form("a", self.thoonk)

    async def test_flushed(self) -> None:
        """
        Redis may forget the scripts at any time, and as often as it likes: no call fails.
        """
        server = await self.own_server()
        thoonk = await self.start_thoonk(server.url)
        thoonk.register_object("Form", Form)
        form = thoonk.objects.Form("a")
        for _ in range(3):
            await thoonk.redis.execute("SCRIPT", "FLUSH")
            answers = [form.echo(str(number)) for number in range(20)]
            for number, answer in enumerate(answers):
                self.assertEqual(await answer, ("a", str(number)))

    async def test_same_script(self) -> None:
        """
        What Redis gets is the file, byte for byte: a program that loaded it too has one script.
        """
        shas = [verb.sha for verb in type(self.form).verbs.values()]
        self.assertEqual(await self.redis.execute("SCRIPT", "EXISTS", *shas), [1] * len(shas))

    async def test_refused(self) -> None:
        """
        No memory, no permission, a replica: the errors are those of all verbs, and name the object.
        """
        server = await self.own_server()
        thoonk = await self.start_thoonk(server.url)
        thoonk.register_object("Form", Form)
        await thoonk.objects.when_loaded()
        form = thoonk.objects.Form("a")
        execute = thoonk.redis.execute
        await execute("CONFIG", "SET", "maxmemory", "1")
        error = await self.assertFailure(form.set("b"), OutOfMemory)
        self.assertIn("(form 'a', set)", str(error))
        await execute("CONFIG", "SET", "maxmemory", "0")
        await execute("REPLICAOF", "127.0.0.1", "1")
        await self.assertFailure(form.set("b"), ReadOnly)
        await execute("REPLICAOF", "NO", "ONE")
        await execute("ACL", "SETUSER", "default", "-set")
        await self.assertFailure(form.set("b"), PermissionDenied)
        await execute("ACL", "SETUSER", "default", "-evalsha", "-eval")
        await self.assertFailure(form.echo(), PermissionDenied)

    async def test_interface(self) -> None:
        """
        An interface has no name: its scripts get the arguments alone, its channels end without one.
        """
        self.thoonk.register_interface("Hello", Hello)
        hello = self.thoonk.objects.Hello()
        heard = Heard()
        await hello.on("greeted", heard)
        self.assertEqual(hello.get_channels(), ["event.hello.greeted"])
        self.assertEqual(await hello.greet("Arthur", "Dent"), "Hello, Arthur Dent")
        await heard.when(1)
        self.assertEqual(heard, ["Arthur"])
        self.assertEqual(await hello.shout("a"), "A")
        self.assertEqual(repr(hello), "<Hello>")
        error: Any = await self.assertFailure(hello.shout(), ObjectError)
        self.assertIsNone(error.name)
        self.assertRegex(str(error), "^hello, shout: ")

    async def test_database(self) -> None:
        """
        Keys are in the database of the instance, though thoonk.js always uses 0: outside of 0
        registering warns. Events cross databases.
        """
        server = await self.own_server()
        other = await self.start_thoonk(server.url.replace("db=0", "db=3"))
        zero = await self.start_thoonk(server.url)
        with capturedLogs() as logged:
            for thoonk in (other, zero):
                thoonk.register_object("Form", Form)
        warnings = [formatEvent(event) for event in logged]
        self.assertEqual(len(warnings), 1)
        self.assertRegex(str(warnings[0]), "^Form is in database 3: thoonk.js has its objects in 0")
        heard = Heard()
        await zero.objects.Form("a").on("changed", heard)
        form = other.objects.Form("a")
        await form.set("here")
        self.assertEqual(await other.redis.get("form:a"), b"here")
        self.assertIsNone(await zero.redis.get("form:a"))
        await form.say("changed", "x")
        await heard.when(1)


class EventTests(FormCase):
    """What objects hear."""

    async def test_events(self) -> None:
        """
        A message is handled by the object first, then by the handlers of its event, then by those
        of all events; other objects and other events are not heard.
        """
        order: list[Any] = []
        self.form.handle_event = lambda *args: order.append(args)  # type: ignore[method-assign]  # as JavaScript programs do
        events = await self.form.on("changed", lambda message: order.append(("one", message)))
        gone = Heard()
        events.on("all", lambda *args: order.append(("all", *args)))
        await self.form.on("gone", gone)
        await self.thoonk.objects.Form(self.feed_name()).say("changed", "not this")
        await self.form.say("other", "nor this")
        await self.form.say("changed", "a\0b")
        await self.form.say("gone", "")
        await gone.when(1)
        await self.settle()
        changed = f"event.form.changed:{self.form.name}"
        went = f"event.form.gone:{self.form.name}"
        first = [(changed, "a\0b"), ("one", "a\0b"), ("all", "changed", "a\0b")]
        self.assertEqual(order, [*first, (went, ""), ("all", "gone", "")])
        self.assertEqual(gone, [""])
        self.assertEqual(self.form.get_channels(), [changed, went])

    async def test_once(self) -> None:
        """
        An object subscribes once, however often and fast it is asked to, and two objects of one
        name each hear what comes once.
        """
        first, second = Heard(), Heard()
        asked = [self.form.subscribe(first), self.form.subscribe(), self.form.on("gone", second)]
        events = [await each for each in asked]
        self.assertIs(events[0], events[2])
        self.assertIs(await self.form.subscribe(), events[0])
        twin = self.thoonk.objects.Form(self.form.name)
        await twin.subscribe()
        channel = self.form.get_channels()[1]
        count = await self.redis.execute("PUBSUB", "NUMSUB", channel)
        self.assertEqual(count, [channel.encode(), 1])
        await self.form.say("gone", "x")
        await second.when(1)
        await self.settle()
        self.assertEqual((first, second), ([("gone", "x")], ["x"]))
        self.assertEqual((len(self.form.handled), len(twin.handled)), (1, 1))

    async def test_failing_handlers(self) -> None:
        """
        A handler that fails, at once or later, is logged, and keeps no other from its message.
        """

        def fails(message: str) -> None:
            raise ValueError("at once")

        async def fails_later(message: str) -> None:
            raise ValueError("later")

        heard = Heard()
        for handler in (fails, fails_later, heard):
            await self.form.on("changed", handler)
        await self.form.say("changed", "x")
        await heard.when(1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    async def test_stop(self) -> None:
        """
        Who stops hears no more from that moment, even of the message that is being handled; the
        channels are left, and subscribing begins anew.
        """
        heard = Heard()
        await self.form.on("changed", lambda message: self.form.quit())
        events = await self.form.on("changed", heard)
        await self.form.say("changed", "x")
        await until(lambda: events.stopped)
        await self.settle()
        channel = self.form.get_channels()[0]
        numsub = ("PUBSUB", "NUMSUB", channel)
        await until(lambda: self.redis.execute(*numsub).addCallback(lambda n: n[1] == 0))
        self.assertEqual(heard, [])
        again = await self.form.on("changed", heard)
        self.assertIsNot(again, events)
        await self.form.say("changed", "y")
        await heard.when(1)
        self.assertTrue(again.off("changed", heard))
        self.assertFalse(again.off("changed", heard))
        self.assertFalse(again.off("unknown", heard))
        self.thoonk.objects.Form("quiet").quit()

    async def test_wrong_handlers(self) -> None:
        """
        An event that there is not, and a handler that cannot be called, are told at once.
        """
        with self.assertRaisesRegex(ValueError, "no event 'chagned'; there are changed, gone, all"):
            self.form.on("chagned", print)
        with self.assertRaises(TypeError):
            self.form.on("changed", None)  # type: ignore[arg-type]  # that is the point
        form = self.thoonk.objects.Form("a")
        form.subscribables = ("all",)
        with self.assertRaisesRegex(ValueError, "stands for all"):
            form.subscribe()

    async def test_no_events(self) -> None:
        """
        An object without events may be subscribed to; nothing happens, and nothing is opened.
        """
        self.thoonk.register_object("Recurring", Recurring)
        events = await self.thoonk.objects.Recurring("a").subscribe(print)
        self.assertFalse(events.stopped)

    async def test_reconnect(self) -> None:
        """
        When the connection breaks the object is subscribed again by itself, with all handlers.
        """
        server = await self.own_server()
        thoonk = await self.start_thoonk(server.url)
        thoonk.register_object("Form", Form)
        form, heard, again = thoonk.objects.Form("a"), Heard(), Heard()
        await form.on("changed", heard)
        await self.settle(thoonk)
        thoonk.call_when_heard_again(lambda: again("heard again"))
        for number in range(3):
            await thoonk.redis.execute("CLIENT", "KILL", "TYPE", "pubsub")
            await again.when(number + 1)
            await form.say("changed", str(number))
            await heard.when(number + 1)
        self.assertEqual(heard, ["0", "1", "2"])

    async def test_restart(self) -> None:
        """
        A server that comes back without scripts and subscriptions gets them again.
        """
        thoonk = await self.start_thoonk((await self.own_server()).url)
        thoonk.register_object("Form", Form)
        form, heard = thoonk.objects.Form("a"), Heard()
        await form.subscribe(heard)
        await thoonk.stopService()
        await self.assertFailure(form.echo(), NotConnected)
        thoonk.startService()
        await thoonk.redis.execute("SCRIPT", "FLUSH")
        self.assertEqual(await form.echo("x"), ("a", "x"))
        channel = form.get_channels()[0]
        numsub = ("PUBSUB", "NUMSUB", channel)
        await until(lambda: thoonk.redis.execute(*numsub).addCallback(lambda n: n[1] == 1))
        await form.say("changed", "x")
        await heard.when(1)

    async def test_not_connected(self) -> None:
        """
        Where Redis does not confirm in time, everyone who waits is told, their handlers are
        forgotten, and a later call begins anew.
        """
        await self.thoonk.stopService()
        heard = Heard()
        failing = [self.form.on("changed", heard), self.form.subscribe(heard)]
        for each in failing:
            await self.assertFailure(each, NotConnected)
        self.thoonk.startService()
        await self.form.on("gone", heard)
        await self.form.say("changed", "not heard")
        await self.form.say("gone", "x")
        await heard.when(1)
        self.assertEqual(heard, ["x"])

    async def test_given_up(self) -> None:
        """
        One who gives up waiting takes nothing from the others.
        """
        asked = [self.form.subscribe() for _ in range(3)]
        asked[1].addErrback(lambda _: None).cancel()
        asked[0].addCallback(lambda events: asked[2].addErrback(lambda _: None).cancel() or events)
        events = await asked[0]
        self.assertIs(await self.form.subscribe(), events)
        self.assertEqual([await asked[1], await asked[2]], [None, None])


class RegistrationTests(FormCase):
    """What Redis has to say of scripts."""

    async def test_slip(self) -> None:
        """
        A slip of Lua is logged when the script is loaded, told to who asks, and to who calls it.
        """
        path = Path(self.mktemp())
        path.mkdir()
        (path / "slip.lua").write_text("return {false")
        (path / "good.lua").write_text("return {false, 1}")
        kind = type("Slip", (ScriptedObject,), {"objtype": "slip", "scriptdir": path.absolute()})
        with capturedLogs() as logged:
            self.thoonk.register_object("Slip", kind)
            with self.assertRaisesRegex(RegistrationError, r"'Slip' \(slip.lua: .*compiling"):
                await self.thoonk.objects.when_loaded()
            with self.assertRaisesRegex(RegistrationError, "slip.lua"):
                await self.thoonk.objects.Slip
        said = [str(formatEvent(event)) for event in logged]
        self.assertEqual(
            [line.partition(":")[0] for line in said], ["slip.lua of slip cannot be used"]
        )
        slip = self.thoonk.objects.Slip("a")
        error: Any = await self.assertFailure(slip.slip(), ObjectError)
        self.assertIn("compiling", error.text)
        self.assertEqual(await slip.good(), 1)

    async def test_before_start(self) -> None:
        """
        A program registers before it starts; nothing waits, the scripts follow the connection.
        """
        server = await self.own_server()
        thoonk = Thoonk(server.url)
        make = thoonk.register_object("Form", Form)
        form = make("a")
        self.addCleanup(thoonk.stopService)
        thoonk.startService()
        self.assertEqual(await form.echo(), "a")
        self.assertIsNone(await thoonk.objects.when_loaded())
        self.assertIs(await make, make)
        self.assertEqual((make.__name__, make.__doc__), ("Form", "Answers in all shapes."))

    async def test_not_allowed(self) -> None:
        """
        A user who may not load scripts is told by when_loaded; EVALSHA and EVAL do without.
        """
        server = await self.own_server()
        thoonk = await self.start_thoonk(server.url)
        await thoonk.redis.execute("ACL", "SETUSER", "default", "-script")
        thoonk.register_object("Form", Form)
        error = await self.assertFailure(thoonk.objects.when_loaded(), PermissionDenied)
        self.assertIsInstance(error, ServerError)
        self.assertEqual(await thoonk.objects.Form("a").echo(), "a")

    def test_garbage(self) -> None:
        """
        Objects may be made by the million: what nobody holds, and does not listen, is gone.
        """
        gone = weakref.ref(self.thoonk.objects.Form("a"))
        gc.collect()
        self.assertIsNone(gone())


class RecurringTests(ThoonkTestCase):
    """A type of another program's, with the scripts that its table of verbs describes."""

    async def test_recurring(self) -> None:
        """
        Each verb answers as the table says, its errors with the values behind them.
        """
        self.thoonk.register_object("Recurring", Recurring)
        name = self.feed_name()
        tasks = self.thoonk.objects.Recurring(name)

        async def refused(call: Deferred[Any]) -> tuple[Any, ...]:
            error: Any = await self.assertFailure(call, ObjectError)
            return (error.text, *error.values)

        self.assertEqual(await tasks.exists(), 0)
        self.assertIsNone(await tasks.create('{"timeout": 1000}'))
        self.assertEqual(await refused(tasks.create("{}")), ("Recurring already exists",))
        self.assertEqual(await tasks.exists(), 1)
        self.assertEqual(await refused(tasks.get(5000)), ("EMPTY",))
        self.assertEqual(await tasks.add("sweep", 5000), ("sweep", "5000"))
        self.assertEqual(await refused(tasks.add("sweep", 6)), ("ALREADY EXISTS", "sweep", "5000"))
        self.assertEqual(await refused(tasks.get(4000)), ("NOTYET", None, "5000"))
        self.assertEqual(await tasks.get(5500), ("sweep", "5000"))
        self.assertEqual(await tasks.peek("sweep"), ("sweep", "6500"))
        self.assertEqual(await tasks.update("sweep", "mop"), ("mop", "6500"))
        self.assertEqual(await tasks.length(), 1)
        self.assertEqual((await tasks.behind(6000), await tasks.behind(7000)), (0, 1))
        self.assertEqual(await tasks.remove("mop"), "mop")
        self.assertEqual(await refused(tasks.remove("mop")), ("NOTASK",))
        config = await self.redis.execute("HGETALL", f"recurring.config:{name}")
        self.assertEqual(config, [b"timeout", b"1000"])
