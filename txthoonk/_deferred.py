"""``async def`` methods that return typed Deferreds."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import Deferred, FirstError
from twisted.python.failure import Failure

__all__ = ["first_failure", "ignore", "returns_deferred"]

P = ParamSpec("P")
T = TypeVar("T")


def returns_deferred(
    function: Callable[P, Coroutine[Deferred[Any], Any, T]],
) -> Callable[P, Deferred[T]]:
    """Let an ``async def`` start at once when it is called, and return a Deferred."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        return Deferred.fromCoroutine(function(*args, **kwargs))

    return call


def ignore(_: object) -> None:
    """End a chain whose outcome is told elsewhere, or does not matter."""


def first_failure(failure: Failure) -> Failure:
    """The failure itself, out of the one that tells which of several it was."""
    error = failure.value
    return error.subFailure if isinstance(error, FirstError) else failure
