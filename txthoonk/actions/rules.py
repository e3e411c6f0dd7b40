"""Who may: the rule of an action, asked for one user and one payload."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any

from twisted.internet.defer import CancelledError, maybeDeferred
from twisted.logger import Logger

from txthoonk.actions.answers import Refused
from txthoonk.errors import FeedDoesNotExist, ItemDoesNotExist, ThoonkError

__all__ = ["Rule", "anybody", "ask", "make_rule"]

#: Asked with an act; True lets it be done.
Rule = Callable[[Any], Any]

_log = Logger()


def anybody(act: Any) -> bool:
    """The rule of what everybody may, whoever it is."""
    return True


def make_rule(authorize: Any) -> Rule:
    """A rule as it is asked: with an act.

    :param authorize: takes ``act``, or ``user, payload``.
    :raises TypeError: if it cannot be called with either.
    """
    if not callable(authorize):
        raise TypeError(f"a rule is called with an act, {authorize!r} cannot be called")
    places = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    wanted = [
        each
        for each in signature(authorize).parameters.values()
        if each.kind in places and each.default is Parameter.empty
    ]
    if len(wanted) == 2:
        return lambda act: authorize(act.user, act.payload)
    if len(wanted) == 1:
        return authorize  # type: ignore[no-any-return]  # the application's hook
    raise TypeError(f"a rule takes an act, or a user and a payload: {authorize!r} does not")


async def ask(rule: Rule, act: Any) -> None:
    """Ask a rule.

    :raises Refused: 403, unless it says True; or what it raised itself. One that fails has not
        said True, and is logged; nor has one that looked for what is not there.
    :raises ThoonkError: if it could not find out.
    """
    try:
        says = await maybeDeferred(rule, act)
    except (FeedDoesNotExist, ItemDoesNotExist):
        says = False
    except (ThoonkError, CancelledError):
        raise
    except Exception:
        _log.failure("The rule of {action!r} failed", action=act.name)
        says = False
    if says is not True:
        if says is not False:
            _log.error("The rule of {action!r} says {says!r}", action=act.name, says=says)
        raise Refused(403, "you may not do this")
