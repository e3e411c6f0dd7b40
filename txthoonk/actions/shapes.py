"""What may be in the payload of an action: checked before anything looks at it.

A shape is a ``msgspec.Struct`` (or what else msgspec converts to), or a JSON Schema as data, which
programs in other languages share. Either is compiled once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, Final, Protocol

import msgspec
from twisted.logger import Logger

from txthoonk.actions.answers import Refused
from txthoonk.actions.patterns import Ends, exact

__all__ = ["Formats", "Id", "Name", "SchemaShape", "Shape", "TypeShape", "make_shape"]

#: Name of a format -> whether a text is of it.
Formats = Mapping[str, Callable[[str], bool]]

#: The id of an item, and the name of a feed: what txThoonk takes for such.
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\u0000-\u001f]+$")]
Name = Id

_LONGEST: Final = 300
_log = Logger()


class Shape(Protocol):
    """What may be in a payload.

    :ivar schema: the same as JSON Schema; None if that cannot be said.
    """

    schema: dict[str, Any] | None

    def check(self, payload: dict[str, Any]) -> Any:
        """The payload as the function gets it.

        :raises Refused: 422, with the ``path`` of what is wrong.
        """


def _wrong(error: object, path: str = "$") -> Refused:
    text = str(error)
    return Refused(422, text if len(text) <= _LONGEST else text[:_LONGEST] + "...", path=path)


def _guarded(check: Callable[[Any], Any], payload: Any) -> Any:
    """What breaks what checks it has not been shown to be right."""
    try:
        return check(payload)
    except Refused:
        raise
    except RecursionError:
        # Without its traceback, which is very long and says no more.
        _log.error("A shape cannot be checked: it, or the payload, goes too deep")
    except Exception:
        _log.failure("A shape cannot be checked")
    raise Refused(422, "this payload cannot be checked", path="$")


class TypeShape:
    """A type that msgspec converts to.

    :raises TypeError: if it is none.
    """

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        with suppress(msgspec.ValidationError):  # what is no type at all is told now
            msgspec.convert({}, kind, strict=True)
        try:
            self.schema: dict[str, Any] | None = msgspec.json.schema(kind)
        except TypeError:
            self.schema = None
        self._ends = Ends(kind)

    def check(self, payload: dict[str, Any]) -> Any:
        """See :class:`Shape`."""
        return _guarded(self._convert, payload)

    def _convert(self, payload: Any) -> Any:
        try:
            converted = msgspec.convert(payload, self._kind, strict=True, str_keys=True)
        except msgspec.ValidationError as error:
            text, _, path = str(error).partition(" - at `")
            raise _wrong(text, path.rstrip("`") or "$") from None
        if (wrong := self._ends.wrong(converted)) is not None:
            raise _wrong(f"Expected `str` matching regex {wrong[0]!r}", wrong[1])
        return converted


class SchemaShape:
    """A JSON Schema: of the draft that its ``$schema`` says, 2020-12 if it does not.

    :param schema: refers to nothing outside of itself.
    :param formats: besides those that jsonschema knows, and ``date-time``.
    :raises ValueError: if it is no schema, or has a format that nobody checks.
    :raises ImportError: if jsonschema is not installed: ``pip install txthoonk[schema]``.
    """

    def __init__(self, schema: Mapping[str, Any], formats: Formats | None = None) -> None:
        from jsonschema import FormatChecker
        from jsonschema.exceptions import SchemaError
        from jsonschema.validators import Draft202012Validator, validator_for
        from referencing import Registry
        from referencing.exceptions import Unresolvable
        from referencing.jsonschema import specification_with

        self.schema: dict[str, Any] | None = json.loads(json.dumps(schema))
        kind = validator_for(self.schema, default=Draft202012Validator)
        try:
            kind.check_schema(self.schema)
        except SchemaError as error:
            raise ValueError(f"this is no JSON Schema: {error.message}") from None
        checker = FormatChecker()
        for name, is_one in {**_FORMATS, **(formats or {})}.items():
            checker.checkers[name] = (_of_texts(is_one), ())
        resource = specification_with(kind.META_SCHEMA["$schema"]).create_resource(self.schema)
        resolver = Registry().with_resource("", resource).resolver()
        for key, value in _keywords(self.schema):
            if key in ("$ref", "$dynamicRef"):
                try:
                    resolver.lookup(value)
                except Unresolvable:
                    raise ValueError(f"a schema refers to itself alone, not to {value!r}") from None
            if key == "format" and value not in checker.checkers:
                known = ", ".join(sorted(checker.checkers))
                raise ValueError(f"nobody checks format {value!r}; there are {known}")
        self._validator = kind(exact(self.schema), registry=Registry(), format_checker=checker)

    def check(self, payload: dict[str, Any]) -> Any:
        """See :class:`Shape`."""
        return _guarded(self._validate, payload)

    def _validate(self, payload: Any) -> Any:
        for error in self._validator.iter_errors(payload):
            raise _wrong(error.message, error.json_path)
        return payload


class Editable:
    """A shape whose ``changes`` may have some fields alone.

    :param shape: of the whole payload.
    :param fields: that may be in ``changes``.
    """

    def __init__(self, shape: Shape, fields: Collection[str]) -> None:
        if isinstance(fields, str) or not all(isinstance(each, str) for each in fields):
            raise TypeError(f"editable are names of fields, not {fields!r}")
        self._shape = shape
        self._fields = frozenset(fields)
        self.schema = None if shape.schema is None else self._with_fields(shape.schema)

    def _with_fields(self, schema: dict[str, Any]) -> dict[str, Any]:
        names = {"type": "object", "propertyNames": {"enum": sorted(self._fields)}}
        only = {"properties": {"changes": names}, "required": ["changes"]}
        return {**schema, "allOf": [*schema.get("allOf", []), only]}

    def check(self, payload: dict[str, Any]) -> Any:
        """See :class:`Shape`."""
        changes = payload.get("changes")
        if not isinstance(changes, dict):
            raise Refused(422, "changes are an object", path="$.changes")
        if other := sorted(changes.keys() - self._fields):
            known = ", ".join(sorted(self._fields))
            raise _wrong(f"not to be changed: {', '.join(other)}; only {known}", "$.changes")
        return self._shape.check(payload)


class _Nothing:
    """An action that takes nothing."""

    schema: dict[str, Any] | None = {"type": "object", "maxProperties": 0}

    def check(self, payload: dict[str, Any]) -> Any:
        if payload:
            raise _wrong("there is nothing to say to this action")
        return payload


def make_shape(
    kind: Any,
    schema: Mapping[str, Any] | None,
    editable: Collection[str] | None,
    formats: Formats,
) -> Shape:
    """The shape that a declaration says."""
    if kind is not None and schema is not None:
        raise TypeError("a shape is a type or a schema, not both")
    shape: Shape
    if schema is not None:
        shape = SchemaShape(schema, formats)
    elif kind is not None:
        shape = TypeShape(kind)
    else:
        shape = _Nothing()
    return shape if editable is None else Editable(shape, editable)


def _is_date_time(text: str) -> bool:
    """Whether a text is a time of RFC 3339, with its zone."""
    with suppress(msgspec.ValidationError):
        msgspec.convert(text, _DATE_TIME)
        return True
    return False


_DATE_TIME: Final = Annotated[datetime, msgspec.Meta(tz=True)]
_FORMATS: Final[Formats] = {"date-time": _is_date_time}


def _of_texts(is_one: Callable[[str], bool]) -> Callable[[object], bool]:
    return lambda value: not isinstance(value, str) or bool(is_one(value))


def _keywords(schema: Any) -> Iterator[tuple[str, Any]]:
    """All that looks like a keyword in a schema; names of properties are none."""
    if isinstance(schema, list):
        for each in schema:
            yield from _keywords(each)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key in ("properties", "patternProperties", "$defs", "definitions"):
                for each in value.values():
                    yield from _keywords(each)
            elif key not in ("const", "enum", "default", "examples"):
                if isinstance(value, str):
                    yield key, value
                yield from _keywords(value)
