"""Patterns of texts as JSON Schema means them, where Python is laxer.

JSON Schema's patterns are those of ECMA-262: ``$`` is the end. In Python it is before a newline at
the end, too, so that ``^[a-z]+$`` would let ``"a\\n"`` pass; msgspec and jsonschema use Python's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from msgspec import inspect

__all__ = ["Ends", "exact", "whole"]

#: What may stand before a ``$`` that means itself; what is found first counts.
_PART: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\$", re.DOTALL)
#: Keywords whose values have schemas by name, and those that have none.
_NAMED: Final = frozenset({"properties", "$defs", "definitions", "dependentSchemas"})
_PLAIN: Final = frozenset({"const", "enum", "default", "examples"})


def whole(pattern: str) -> str:
    """The pattern for Python that means the same."""
    return _PART.sub(lambda found: r"\Z" if found[0] == "$" else found[0], pattern)


def exact(schema: Any) -> Any:
    """A schema whose patterns mean in Python what they say."""
    if isinstance(schema, list):
        return [exact(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "pattern" and isinstance(value, str):
            made[key] = whole(value)
        elif key == "patternProperties" and isinstance(value, dict):
            made[key] = {whole(name): exact(each) for name, each in value.items()}
        elif key in _NAMED and isinstance(value, dict):
            made[key] = {name: exact(each) for name, each in value.items()}
        else:
            made[key] = value if key in _PLAIN else exact(value)
    return made


class Ends:
    """The patterns of a type whose ``$`` msgspec takes for more than the end.

    :param kind: a type that msgspec converts to.
    """

    def __init__(self, kind: Any) -> None:
        self._info = inspect.type_info(kind)
        self._patterns: dict[str, re.Pattern[str]] = {}
        self._find(self._info, set())

    def _find(self, info: Any, seen: set[int]) -> None:
        """Know the patterns; a type may have itself in it."""
        if id(info) in seen:
            return
        seen.add(id(info))
        if isinstance(info, inspect.StrType):
            if info.pattern is not None and whole(info.pattern) != info.pattern:
                self._patterns[info.pattern] = re.compile(whole(info.pattern))
            return
        for each in _parts(info):
            self._find(each, seen)

    def wrong(self, value: Any) -> tuple[str, str] | None:
        """The pattern that a text of a converted value does not match, and where that is."""
        if not self._patterns:
            return None
        return next(self._wrong(self._info, value, "$"), None)

    def _wrong(self, info: Any, value: Any, path: str) -> Iterator[tuple[str, str]]:
        if isinstance(info, inspect.StrType):
            pattern = self._patterns.get(info.pattern or "")
            if pattern is not None and isinstance(value, str) and not pattern.search(value):
                yield info.pattern or "", path
            return
        for kind, each, where in _inside(info, value):
            yield from self._wrong(kind, each, path + where)


def _inside(info: Any, value: Any) -> Iterator[tuple[Any, Any, str]]:
    """What a value has in it: the type, the value, and how it is reached."""
    if isinstance(info, inspect.Metadata):
        yield info.type, value, ""
    elif isinstance(info, inspect.UnionType):
        for each in info.types:
            yield each, value, ""
    elif isinstance(info, inspect.DictType):
        for key, each in value.items() if isinstance(value, dict) else ():
            yield info.key_type, key, ""
            yield info.value_type, each, "[...]"
    elif isinstance(info, inspect.TypedDictType):
        for field in info.fields if isinstance(value, dict) else ():
            if field.name in value:
                yield field.type, value[field.name], f".{field.encode_name}"
    elif hasattr(info, "fields"):
        for field in info.fields if isinstance(value, info.cls) else ():
            yield field.type, getattr(value, field.name, None), f".{field.encode_name}"
    elif isinstance(info, inspect.TupleType):
        several = value if isinstance(value, tuple) else ()
        for number, (kind, each) in enumerate(zip(info.item_types, several, strict=False)):
            yield kind, each, f"[{number}]"
    elif hasattr(info, "item_type") and isinstance(value, (list, tuple, set, frozenset)):
        for number, each in enumerate(value):
            yield info.item_type, each, f"[{number}]"


def _parts(info: Any) -> Iterator[Any]:
    """The types that a type is made of."""
    for name in ("type", "key_type", "value_type", "item_type"):
        if isinstance(each := getattr(info, name, None), inspect.Type):
            yield each
    for name in ("types", "item_types"):
        yield from getattr(info, name, ())
    for field in getattr(info, "fields", ()):
        yield field.type
