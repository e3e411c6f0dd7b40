"""Which actions there are in this process."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from txthoonk.actions.items import Limits
from txthoonk.actions.rules import Rule, make_rule
from txthoonk.actions.shapes import Formats, Shape, TypeShape, make_shape
from txthoonk.keys import check_name
from txthoonk.serializers import SERIALIZERS, Serializer, get_serializer

__all__ = ["Action", "Declared"]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Action:
    """One action.

    :ivar feed: where its jobs go.
    :ivar function: called with an act.
    """

    name: str
    feed: str
    shape: Shape
    rule: Rule
    function: Callable[..., Any]


class Declared:
    """The actions of a group that this process has the code of.

    :param group: name of the group, and of the job feed where none is given.
    :param user: a type of what users are, as for payloads; any JSON value if not given.
    :param may_read: called with a user and the name of a feed: whether that user may see what has
        changed there; may return a Deferred, or be async. Without it a conflict tells where a
        feed is, and no events.
    :param max_size: bytes of a job's item; what is larger is refused.
    :param max_depth: how deep lists and objects may be in each other, the item itself too.
    :param result_ttl: seconds that answers are kept, and that an id is not done again.
    :param serializer: of the items that a conflict tells; as ``LiveResource`` has it.
    :param formats: for JSON Schemas: name -> whether a text is of that format.
    :raises ValueError: if the name cannot be.
    """

    def __init__(
        self,
        group: str,
        *,
        user: Any = None,
        may_read: Callable[[Any, str], Any] | None = None,
        max_size: int = Limits.size,
        max_depth: int = Limits.depth,
        result_ttl: float = 3600.0,
        serializer: str | Serializer = SERIALIZERS["text"],
        formats: Formats | None = None,
    ) -> None:
        self.group = check_name(group)
        self.limits = Limits(max_size, max_depth)
        self.user_shape = None if user is None else TypeShape(user)
        self.may_read = may_read
        self.result_ttl = result_ttl
        self.serializer = get_serializer(serializer)
        self._formats = dict(formats or {})
        self._actions: dict[str, Action] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.group!r}: {', '.join(self._actions) or 'none'}>"

    def action(
        self,
        name: str,
        shape: Any = None,
        *,
        authorize: Callable[..., Any],
        schema: Mapping[str, Any] | None = None,
        editable: Collection[str] | None = None,
        feed: str | None = None,
    ) -> Callable[[F], F]:
        """Let a function be an action.

        It is called with an :class:`~txthoonk.actions.Act`, once shape and right were checked. It
        may be plain, return a Deferred, or be ``async``; what it returns is the answer's
        ``result``. It may raise :exc:`~txthoonk.actions.Refused`.

        :param name: by which it is put.
        :param shape: of its payload: a ``msgspec.Struct``, or what else msgspec converts an object
            to; nothing may be in the payload if neither this nor *schema* is given.
        :param authorize: who may: takes ``act``, or ``user, payload``; may return a Deferred, or
            be ``async``. Only ``True`` lets the function be called.
        :param schema: the shape as JSON Schema.
        :param editable: which fields may be in the payload's ``changes``.
        :param feed: name of the job feed; that of the group if not given.
        :returns: a decorator that leaves the function as it is.
        :raises ValueError: if there is one of that name, or a name or schema cannot be.
        :raises TypeError: if shape, rule or fields are none.
        """
        if not isinstance(name, str) or not 0 < len(name) <= 200 or not name.isprintable():
            raise ValueError(f"the name of an action is 1 to 200 characters, not {name!r}")
        if name in self._actions:
            raise ValueError(f"there is an action {name!r} in {self.group!r}")
        made = make_shape(shape, schema, editable, self._formats)
        rule, feed = make_rule(authorize), check_name(feed or self.group)

        def decorate(function: F) -> F:
            self._actions[name] = Action(name, feed, made, rule, function)
            return function

        return decorate

    def get(self, name: str) -> Action | None:
        """The action of that name, if this process has it."""
        return self._actions.get(name)

    @property
    def all(self) -> list[Action]:
        """All that this process has."""
        return list(self._actions.values())

    @property
    def feeds(self) -> list[str]:
        """The job feeds of these; that of the group if there are none."""
        return list(dict.fromkeys(each.feed for each in self.all)) or [self.group]
