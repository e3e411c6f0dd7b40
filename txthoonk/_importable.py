"""The name by which another process can import a handler."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

__all__ = ["handler_path"]


def handler_path(handler: Callable[..., Any] | str) -> str:
    """
    The name by which another process can import a handler.

    :returns: ``package.module:name``.
    :raises ValueError: if there is none, or if the handler is async; the text says why.
    :raises TypeError: if it is neither callable nor text.
    """
    if isinstance(handler, str):
        return _checked_path(handler)
    if not callable(handler):
        raise TypeError(f"a handler is a function or its name, not {handler!r}")
    module = getattr(handler, "__module__", None)
    name = getattr(handler, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        raise ValueError(f"child processes need a function of a module, not {handler!r}")
    _check_plain_function(handler, name)
    if "<" in name:
        kind = "a lambda" if name.endswith("<lambda>") else "a function within a function"
        raise ValueError(f"child processes cannot import {kind} ({name}): define it in a module")
    if module == "__main__":
        spec = getattr(sys.modules[module], "__spec__", None)
        known = "module" if spec is None else spec.name
        raise ValueError(
            f"child processes cannot import {name}, as it is defined in the program that runs "
            "(__main__). Define it in another module; or, if the program starts nothing when it "
            f"is imported, name it: '{known}:{name}'"
        )
    path = f"{module}:{name}"
    loaded = sys.modules.get(module)
    # A decorator of a module that is being imported sees a function that is not in it yet.
    if not _being_imported(loaded) and _found(loaded, name) != handler:
        raise ValueError(
            f"child processes cannot import {handler!r}, as {path} is not that: define it in a "
            "module (a .tac file is none), under its own name"
        )
    return path


def _checked_path(path: str) -> str:
    module, _, name = path.partition(":")
    if not all(word.isidentifier() for word in (*module.split("."), *name.split("."))):
        raise ValueError(f"a handler is named as 'package.module:name', not as {path!r}")
    if module == "__main__":
        raise ValueError(f"child processes cannot import {path}: name the module, not __main__")
    top = module.partition(".")[0]
    if top not in sys.modules and importlib.util.find_spec(top) is None:
        raise ValueError(f"there is no module {top!r} for the handler {path!r}")
    loaded = sys.modules.get(module)
    if loaded is not None and not _being_imported(loaded):
        found = _found(loaded, name)
        if not callable(found):
            raise ValueError(f"there is no function {path!r}")
        _check_plain_function(found, path)
    return path


def _check_plain_function(handler: object, name: str) -> None:
    if inspect.iscoroutinefunction(handler) or inspect.isasyncgenfunction(handler):
        raise ValueError(f"{name} is async, and child processes run plain functions only")


def _being_imported(module: ModuleType | None) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def _found(module: ModuleType | None, name: str) -> object:
    found: object = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found
