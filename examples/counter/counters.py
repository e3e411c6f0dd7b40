"""A counter with a limit: a type of one's own, in both forms.

``Counter`` is in thoonk.js's form: the scripts in ``lua/`` serve ``counter.js`` too, unchanged.
``SafeCounter`` is the form for new code, with the same keys in Redis: its scripts, in
``declared/``, say which keys, arguments, errors and events they have.
"""

from __future__ import annotations

from txthoonk import DeclaredObject, ObjectError, ScriptedObject


class LimitReached(ObjectError):
    """The counter may not go so far."""


class Counter(ScriptedObject):
    """In thoonk.js's form: verbs ``add(amount) get() limit(most) reset()``."""

    objtype = "counter"
    scriptdir = "lua"
    subscribables = ("changed", "limited")
    errors = {"LIMIT": LimitReached}


class SafeCounter(DeclaredObject):
    """The same counters for new code: verbs ``add(amount) get() limit(most)``."""

    objtype = "counter"
    scriptdir = "declared"
    errors = {"LIMIT": LimitReached}
    # Those that ``lua/`` has. Without this they would be spelt for Redis Cluster too.
    keys = {"total": "counter.total:[name]", "limit": "counter.limit:[name]"}
