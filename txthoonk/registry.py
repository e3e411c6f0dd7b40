"""The scripted objects of an instance: classes that were registered, and what makes objects."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._deferred import returns_deferred
from txthoonk.errors import ObjectError, RegistrationError, ServerError
from txthoonk.listener import Hears
from txthoonk.object_scripts import TAKEN, Declaration, Verb, check_word, read_folder
from txthoonk.objects import (
    RESERVED,
    DeclaredObject,
    ScriptedInterface,
    ScriptedObject,
    check_entry,
)
from txthoonk.pubsub import Hub
from txthoonk.scripts import Connection

__all__ = ["Factory", "Objects"]


class Factory:
    """What makes the objects of one class: ``thoonk.objects.NAME``.

    Calling it makes one. ``await`` lets Redis read its scripts once more; it gives the factory, and
    fails as :meth:`Objects.when_loaded` where Redis cannot read one.

    :param name: that the class was registered by.
    :param kind: the class.
    :param thoonk: the instance.
    """

    def __init__(self, name: str, kind: type[Any], thoonk: Any) -> None:
        self.__name__ = self.__qualname__ = name
        self.__doc__ = kind.__doc__
        self._kind = kind
        self._thoonk = thoonk

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self._kind(*args, thoonk=self._thoonk, **named)

    def __await__(self) -> Generator[Deferred[Any], Any, Factory]:
        return self._load().__await__()

    @returns_deferred
    async def _load(self) -> Factory:
        for verb in self._kind.verbs.values():
            try:
                await self._thoonk.redis.execute("SCRIPT", "LOAD", verb.source)
            except ServerError as error:
                if type(error) is not ServerError:
                    raise
                raise RegistrationError(self.__name__, f"{verb.name}.lua: {error}") from error
        return self


class Objects:
    """``thoonk.objects``: what was registered, by name; calling it makes an object.

    :param thoonk: the instance.
    :param hub: where its objects listen.
    :param adding: sees to it that there is a connection for messages.
    """

    log = Logger()

    def __init__(
        self, thoonk: Any, hub: Hub, adding: Callable[[Deferred[Any]], Deferred[Any]]
    ) -> None:
        self._thoonk = thoonk
        self._hub = hub
        self._adding = adding
        self._classes: dict[str, type[Any]] = {}
        self._loaded: Connection | None = None

    def __getattr__(self, name: str) -> Factory:
        if name.startswith("_"):
            raise AttributeError(name)
        kind = self._classes.get(name)
        if kind is None:
            known = ", ".join(sorted(self._classes)) or "none"
            raise AttributeError(f"no object {name!r} was registered; there are {known}")
        return Factory(name, kind, self._thoonk)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._classes]

    # -- registering --------------------------------------------------------------------------

    def register(self, name: str, kind: type[Any], *, has_name: bool) -> Factory:
        """Register a class; see ``Thoonk.register_object``.

        :param has_name: whether its objects have names.
        """
        if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
            raise RegistrationError(name, "a name is an identifier that does not begin with _")
        if name in self._classes:
            raise RegistrationError(name, "there is one of that name")
        if hasattr(type(self), name):
            raise RegistrationError(name, "that is a method of `objects`")
        try:
            made = _bound(kind, has_name)
        except ValueError as error:
            raise RegistrationError(name, str(error)) from error
        if self._thoonk.db and not issubclass(kind, DeclaredObject):
            self.log.warn(
                "{name} is in database {db}: thoonk.js has its objects in 0, and hears our events",
                name=name,
                db=self._thoonk.db,
            )
        self._classes[name] = made
        if self._loaded is not None:
            self._load(self._loaded, made)
        return Factory(name, made, self._thoonk)

    # -- scripts ------------------------------------------------------------------------------

    def load(self, redis: Connection) -> None:
        """Let Redis have the scripts on a new connection; calls would bring them otherwise."""
        self._loaded = redis
        for kind in self._classes.values():
            self._load(redis, kind)

    def _load(self, redis: Connection, kind: type[Any]) -> None:
        def failed(failure: Failure, verb: Verb) -> None:
            # What is wrong with the connection, or not allowed, is told to those who call.
            if type(failure.value) is ServerError:
                self.log.error(
                    "{verb}.lua of {objtype} cannot be used: {why}",
                    verb=verb.name,
                    objtype=kind.objtype,
                    why=failure.value,
                )

        for verb in kind.verbs.values():
            redis.execute("SCRIPT", "LOAD", verb.source).addErrback(failed, verb)

    @returns_deferred
    async def when_loaded(self) -> None:
        """Let Redis read all scripts once more, and say what it cannot.

        :returns: fires with None when it has read them all.
        :raises RegistrationError: (as a failure) if it cannot read one: a slip of Lua.
        :raises ServerError: (as a failure) if the Redis user may not load scripts.
        :raises ConnectionFailed: (as a failure) if there is no connection.
        """
        for name in [*self._classes]:
            await getattr(self, name)

    # -- events -------------------------------------------------------------------------------

    def listen(self, listener: Hears) -> tuple[Deferred[Any], Callable[[], None]]:
        """Let a listener hear; for objects.

        :returns: what fires when Redis has confirmed that, and what ends it.
        """
        return self._adding(self._hub.add(listener)), lambda: self._hub.remove(listener)


def _bound(kind: Any, has_name: bool) -> type[Any]:
    """A subclass with a method for each verb of a class's folder.

    :raises ValueError: if the class, its folder or a script cannot be used.
    """
    if not isinstance(kind, type) or kind.__module__ == "builtins":
        raise ValueError(f"it is a class of one's own, not {kind!r}")
    if not issubclass(kind, (ScriptedObject, DeclaredObject)):
        # What thoonk.js asks of a class is all that is needed.
        base = ScriptedObject if has_name else ScriptedInterface
        named = {"__module__": kind.__module__, "__doc__": kind.__doc__}
        try:
            kind = type(kind.__name__, (kind, base), named)
        except TypeError as why:
            raise ValueError(f"it is a class of one's own, not {kind!r} ({why})") from why
    if kind.has_name != has_name:
        other = "object" if kind.has_name else "interface"
        raise ValueError(f"{kind.__name__} is for register_{other}")
    check_word(kind.objtype, "objtype")
    for error in kind.errors.values():
        if not (isinstance(error, type) and issubclass(error, ObjectError)):
            raise ValueError(f"an error is a subclass of ObjectError, not {error!r}")
    verbs: Mapping[str, Verb] = {verb.name: verb for verb in read_folder(kind)}
    entries = _subscribables(kind)
    if issubclass(kind, DeclaredObject):
        declared = {name: Declaration(verb) for name, verb in verbs.items()}
        _check_declared(kind, declared)
        channels = [each for verb in declared.values() for each in verb.script.channels]
        entries, verbs = [*entries, *channels], declared
    members: dict[str, Any] = {
        name: _method(verb)
        for name, verb in verbs.items()
        if name.isidentifier() and not name.startswith("_")
        if not hasattr(kind, name) and name not in ("name", "thoonk")
    }
    if not isinstance(kind.subscribables, property):
        members["subscribables"] = tuple(check_entry(each) for each in dict.fromkeys(entries))
    members.update(verbs=verbs, __doc__=kind.__doc__, __module__=kind.__module__)
    return type(kind.__name__, (kind,), members)


def _subscribables(kind: type[Any]) -> list[str]:
    """Those that the class itself names; an object may have others."""
    entries = kind.subscribables
    if entries is None or isinstance(entries, property):
        return []
    if isinstance(entries, (str, bytes)) or not isinstance(entries, Iterable):
        raise ValueError(f"subscribables are several names, not {entries!r}")
    return list(entries)


def _check_declared(kind: type[DeclaredObject], verbs: Mapping[str, Declaration]) -> None:
    """Refuse what only new code is asked not to do, and what a class says in vain."""
    if kind.objtype in TAKEN:
        raise ValueError(f"the names in Redis that begin with {kind.objtype}. belong to Thoonk")
    for name in verbs:
        if not name.isidentifier() or name.startswith("_") or name in RESERVED:
            raise ValueError(f"{name}.lua: no method can have that name")
    for what, named, known in (
        ("keys", kind.keys, {k.name for v in verbs.values() for k in v.script.keys}),
        ("errors", kind.errors, {code for v in verbs.values() for code in v.script.errors}),
    ):
        unknown = sorted(set(named) - known)
        if unknown:
            raise ValueError(f"no script declares {', '.join(unknown)}, which are in its {what}")


def _method(verb: Verb) -> Callable[..., Any]:
    """A verb as a method, with what its script says of itself."""

    def call(self: Any, *args: Any, **named: Any) -> Deferred[Any]:
        done: Deferred[Any] = self.run_script(verb.name, *args, **named)
        return done

    call.__name__ = call.__qualname__ = verb.name
    lines = verb.source.decode(errors="replace").splitlines()
    header = [line for line in lines if line.startswith("--")]
    call.__doc__ = "\n".join(line.lstrip("-").strip() for line in header[: _first(lines)]) or None
    if isinstance(verb, Declaration):
        me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        parameters = [me, *verb.signature.parameters.values()]
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what help() shows
    return call


def _first(lines: list[str]) -> int:
    """How many lines there are before the first that is no comment."""
    return next((i for i, line in enumerate(lines) if not line.startswith("--")), len(lines))
