"""Scripted objects: types of one's own, each verb a Lua script.

.. code-block:: python

    class Counter(ScriptedObject):
        objtype = "counter"
        scriptdir = "lua"                    # beside this module; each *.lua is a verb
        subscribables = ("changed",)

    thoonk.register_object("Counter", Counter)
    visits = thoonk.objects.Counter("visits")
    await visits.on("changed", print)
    total = await visits.add(5)

:class:`ScriptedObject` and :class:`ScriptedInterface` have the form of thoonk.js 1.0: the same
folder serves its programs, unchanged. :class:`DeclaredObject` and :class:`DeclaredInterface` are
for new code: each script declares its keys, arguments, errors and events, and is held to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, ClassVar, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txthoonk.errors import ObjectError, ScriptMissing, ServerError
from txthoonk.keys import decode, encode
from txthoonk.object_events import ALL, ObjectEvents
from txthoonk.object_scripts import Declaration, Verb, argument, check_word, plain

__all__ = [
    "RESERVED",
    "DeclaredInterface",
    "DeclaredObject",
    "ObjectEvents",
    "ScriptedInterface",
    "ScriptedObject",
    "check_entry",
]

#: Stands for the object's name in ``keys``.
NAME: Final = "[name]"


class _Scripted:
    """What all forms have: verbs that are methods, and events.

    :param name: of the object; ``None`` for an interface.
    :param thoonk: the instance that it belongs to.
    """

    #: The type's name, in channels and in keys.
    objtype: ClassVar[str] = ""
    #: The folder of its scripts; where relative, beside the module of the class.
    scriptdir: ClassVar[str | PathLike[str] | Any] = ""
    #: Its events.
    subscribables: Sequence[str] = ()
    #: What scripts say -> the exception instead of :exc:`ObjectError`, a subclass of it.
    errors: ClassVar[Mapping[str, type[ObjectError]]] = {}
    #: Whether each object has a name.
    has_name: ClassVar[bool] = True

    #: Its verbs, once it is registered.
    verbs: ClassVar[Mapping[str, Verb]] = {}

    def __init__(self, name: str | None, thoonk: Any) -> None:
        if not self.verbs:
            raise TypeError(f"{type(self).__name__} was not registered: see register_object")
        self.name = name
        self.thoonk = thoonk
        self._events: ObjectEvents | None = None

    def __repr__(self) -> str:
        name = "" if self.name is None else f" {self.name!r}"
        return f"<{type(self).__name__}{name}>"

    def __getattr__(self, verb: str) -> Any:
        known = ", ".join(sorted(type(self).verbs)) or "none, it was not registered"
        raise AttributeError(f"{type(self).__name__} has no verb {verb!r}; there are {known}")

    # -- verbs --------------------------------------------------------------------------------

    def run_script(self, verb: str, *args: Any, **named: Any) -> Deferred[Any]:
        """Call a verb by its name; what a method of that name does, if nothing else has it.

        :returns: fires with what the script answered.
        :raises AttributeError: if there is no such verb.
        :raises TypeError: ValueError: if an argument is none.
        :raises ObjectError: (as a failure) if the script says so, or Redis of the script.
        :raises ServerError: (as a failure) as other verbs: ``OutOfMemory``, ``WrongKeyType``...
        :raises ConnectionFailed: (as a failure) as other verbs.
        """
        found = type(self).verbs.get(verb)
        if found is None:
            return self.__getattr__(verb)  # type: ignore[no-any-return]  # it raises
        keys, arguments = self._bind(found, args, named)
        call = (b"%d" % len(keys), *keys, *arguments)
        redis = self.thoonk.redis

        def missing(failure: Failure) -> Any:
            failure.trap(ScriptMissing)
            return redis.execute(b"EVAL", found.source, *call)

        done: Deferred[Any] = redis.execute(b"EVALSHA", found.sha, *call)
        done.addErrback(missing)
        return done.addCallbacks(self._answer, self._failed, (found,), {}, (found,))

    def _bind(
        self, verb: Any, args: Sequence[Any], named: Mapping[str, Any]
    ) -> tuple[Sequence[bytes], Sequence[bytes]]:
        """The keys and the arguments of a call."""
        raise NotImplementedError

    def _answer(self, reply: Any, verb: Any) -> Any:
        """What a reply means."""
        raise NotImplementedError

    def _error(
        self, verb: Verb, text: str, code: str = "", values: tuple[object, ...] = ()
    ) -> ObjectError:
        kind = self.errors.get(code or text, ObjectError)
        return kind(self.objtype, self.name, verb.name, text, code, values)

    def _failed(self, failure: Failure, verb: Verb) -> Failure:
        """Redis answered with an error, or did not."""
        error = failure.value
        if type(error) is ServerError:
            # What the script said itself, or what is wrong with it.
            return Failure(self._error(verb, error.message, error.code))
        if isinstance(error, ServerError):
            which = self.objtype if self.name is None else f"{self.objtype} {self.name!r}"
            error.called = f"{which}, {verb.name}"
        return failure

    # -- events -------------------------------------------------------------------------------

    def get_channels(self) -> list[str]:
        """The Redis channels of its events, in the order of ``subscribables``."""
        return [decode(self._channel(entry)) for entry in self.subscribables]

    def _channel(self, entry: str) -> bytes:
        event = encode(f"event.{self.objtype}.{check_entry(entry)}")
        return event if self.name is None else event + b":" + encode(self.name)

    def handle_event(self, channel: str, message: str) -> object:
        """Called with each message before all handlers, once subscribed; to be overridden."""

    def subscribe(
        self, handler: Callable[[str, str], object] | None = None
    ) -> Deferred[ObjectEvents]:
        """Listen to its events: once for an object, however often this is called.

        :param handler: called with the event's name and the message, for all events.
        :returns: fires with the subscription once Redis has confirmed it. It lasts until it is
            stopped; what is published while the connection is down is not heard.
        :raises NotConnected: (as a failure) if that took longer than ``connect_timeout``.
        """
        return self._when_heard(ALL, handler)

    def on(self, entry: str, handler: Callable[..., object]) -> Deferred[ObjectEvents]:
        """Call *handler* with each message of one event; subscribes where that is not done yet.

        :param entry: one of ``subscribables``, or ``"all"``: as :meth:`subscribe`.
        :param handler: may be ``async`` or return a Deferred; one that fails is logged.
        :raises ValueError: if there is no such event; else as :meth:`subscribe`.
        """
        if not callable(handler):
            raise TypeError(f"a handler is called with a message, {handler!r} cannot be called")
        return self._when_heard(entry, handler)

    def _when_heard(
        self, entry: str, handler: Callable[..., object] | None
    ) -> Deferred[ObjectEvents]:
        events = self._events
        if events is None or events.stopped:
            channels = {self._channel(entry): entry for entry in self.subscribables}
            events = self._events = ObjectEvents(self.thoonk.objects.listen, channels, self._first)
        if handler is None:
            return events.when_subscribed()
        events.on(entry, handler)
        return events.when_subscribed().addErrback(self._unheard, events, entry, handler)

    def _first(self, channel: str, message: str) -> object:
        return self.handle_event(channel, message)

    @staticmethod
    def _unheard(failure: Failure, events: ObjectEvents, *handler: Any) -> Failure:
        events.off(*handler)
        return failure

    def quit(self) -> None:
        """Listen no more, from this moment; :meth:`subscribe` begins anew."""
        if self._events is not None:
            self._events.stop()


class ScriptedObject(_Scripted):
    """An object in the form of thoonk.js: ``EVALSHA sha 0 NAME arg...``, whatever its keys are.

    A reply is a list: first the error (nil or false for none), then the values. A verb's Deferred
    fires with the value if there is one, a tuple if there are more, None if there is none. A reply
    that is no list is the value, though thoonk.js cannot read it.

    Arguments are ``str``, ``bytes``, ``int`` and ``float``; text in replies is ``str``.

    :param name: of the object.
    :param thoonk: the instance that it belongs to.
    """

    def __init__(self, name: str, thoonk: Any) -> None:
        super().__init__(_check_name(name, self), thoonk)

    def _bind(
        self, verb: Verb, args: Sequence[Any], named: Mapping[str, Any]
    ) -> tuple[Sequence[bytes], Sequence[bytes]]:
        if named:
            raise TypeError(f"{verb.name}: its script has no names for arguments: {[*named]}")
        arguments = [argument(each) for each in args]
        if self.name is not None:
            arguments.insert(0, encode(self.name))
        return (), arguments

    def _answer(self, reply: Any, verb: Verb) -> Any:
        if not isinstance(reply, list):
            return plain(reply)
        error, *rest = reply or [None]
        values = tuple(plain(rest))
        if error not in (None, 0, b""):  # what JavaScript takes for an error
            raise self._error(verb, str(plain(error)), values=values)
        if len(values) < 2:
            return values[0] if values else None
        return values


class ScriptedInterface(ScriptedObject):
    """The same without a name: ``EVALSHA sha 0 arg...``.

    :param thoonk: the instance that it belongs to.
    """

    has_name: ClassVar[bool] = False

    def __init__(self, thoonk: Any) -> None:
        _Scripted.__init__(self, None, thoonk)


class DeclaredObject(_Scripted):
    """An object whose scripts declare what they touch, in their headers.

    Keys come in KEYS, channels first in ARGV, so that Redis Cluster and ACLs know what a call is
    about. A key is ``OBJTYPE.KEY:{NAME}``; by the braces all keys of an object are in one slot.
    Arguments are checked before anything is sent; what fires is what ``Returns:`` says. A code of
    ``Errors:`` is an :exc:`ObjectError` of that ``code``, or its class in :attr:`errors`. The
    events are those of ``Publishes:``, besides :attr:`subscribables`.

    :param name: of the object; it does not begin with ``}``.
    :param thoonk: the instance that it belongs to.
    """

    #: Key -> its spelling, with ``[name]`` for the object's name; for those spelt otherwise.
    keys: ClassVar[Mapping[str, str]] = {}

    verbs: ClassVar[Mapping[str, Declaration]]

    def __init__(self, name: str, thoonk: Any) -> None:
        super().__init__(_check_name(name, self), thoonk)
        if name.startswith("}"):
            raise ValueError(f"the name of a declared object does not begin with }}: {name!r}")

    def _key(self, key: str) -> bytes:
        default = (
            f"{self.objtype}.{key}:{{{NAME}}}" if self.has_name else f"{{{self.objtype}}}.{key}"
        )
        return encode(self.keys.get(key, default).replace(NAME, self.name or ""))

    def get_schema(self) -> list[str]:
        """The Redis keys of all its verbs: what an ACL has to allow."""
        scripts = [verb.script for verb in self.verbs.values()]
        names = dict.fromkeys(key.name for script in scripts for key in script.keys)
        return [decode(self._key(name)) for name in names]

    def _bind(
        self, verb: Declaration, args: Sequence[Any], named: Mapping[str, Any]
    ) -> tuple[Sequence[bytes], Sequence[bytes]]:
        keys = [self._key(key.name) for key in verb.script.keys]
        channels = [self._channel(channel) for channel in verb.script.channels]
        return keys, [*channels, *verb.pack(args, named)]

    def _answer(self, reply: Any, verb: Declaration) -> Any:
        try:
            return verb.result(reply)
        except (TypeError, ValueError):
            said = f"answered {reply!r} where its header says {verb.script.returns!r}"
            raise self._error(verb, said) from None

    def _error(
        self, verb: Verb, text: str, code: str = "", values: tuple[object, ...] = ()
    ) -> ObjectError:
        # 7.0 puts ERR before a reply of one word.
        first, _, rest = text.removeprefix("ERR ").partition(" ")
        if isinstance(verb, Declaration) and first in verb.script.errors:
            text, code = rest, first
        return super()._error(verb, text, code, values)


class DeclaredInterface(DeclaredObject):
    """The same without a name; a key is ``{OBJTYPE}.KEY``.

    :param thoonk: the instance that it belongs to.
    """

    has_name: ClassVar[bool] = False

    def __init__(self, thoonk: Any) -> None:
        _Scripted.__init__(self, None, thoonk)


#: What a verb cannot be called by as a method.
RESERVED: Final = frozenset({*dir(DeclaredInterface), "name", "thoonk"})


def check_entry(entry: object) -> str:
    """Refuse what cannot be the name of an event.

    :raises ValueError: if it is no word, or the one that stands for all events.
    """
    if entry == ALL:
        raise ValueError(f"no event can be called {ALL!r}: that stands for all of them")
    return check_word(entry, "an event")


def _check_name(name: object, owner: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"the name of a {type(owner).__name__} is a str, not {name!r}")
    if not name or "\x00" in name:
        what = type(owner).__name__
        raise ValueError(f"the name of a {what} is not empty and has no NUL: {name!r}")
    encode(name)
    return name
