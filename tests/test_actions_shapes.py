"""What may be in an action: items that anybody may have written, and shapes of payloads."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.action_helpers import Edit, Ship
from txthoonk.actions import Actions, Refused, anybody
from txthoonk.actions.items import Asked, Limits, make_item, read_item
from txthoonk.actions.shapes import Editable, SchemaShape, Shape, TypeShape, make_shape

#: However slow the machine is just now.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

LIMITS = Limits(size=4096, depth=6)

#: What JSON can say, as every reader reads it.
SAFE = st.integers(-(2**53) + 1, 2**53 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | SAFE | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def item(**more: Any) -> dict[str, Any]:
    return {"action": "ship", "user": "me", "payload": {}, **more}


def said(payload: str) -> str:
    """An item with whatever a client wrote as payload."""
    return '{"action":"ship","user":"me","payload":' + payload + "}"


class ItemTests(SynchronousTestCase):
    """Items of jobs."""

    def code(self, data: bytes | str, limits: Limits = LIMITS) -> int:
        """With which code an item is refused."""
        data = data.encode() if isinstance(data, str) else data
        with self.assertRaises(Refused) as caught:
            read_item(data, limits)
        self.assertLess(len(str(caught.exception)), 400)
        json.dumps(caught.exception.answer)
        return caught.exception.code

    @UNHURRIED
    @given(VALUES, st.dictionaries(TEXTS, VALUES, max_size=3))
    def test_round_trip(self, user: Any, payload: dict[str, Any]) -> None:
        """
        Whatever a user and a payload say arrives as it was said.
        """
        asked = Asked("ship", user, payload)
        limits = Limits()
        self.assertEqual(read_item(make_item(asked, limits), limits), asked)

    @UNHURRIED
    @given(st.binary() | TEXTS.map(str.encode) | VALUES.map(lambda v: json.dumps(v).encode()))
    def test_garbage(self, data: bytes) -> None:
        """
        What is no item is refused, whatever it is.
        """
        self.assertIn(self.code(data), (400, 422))

    def test_what_is_none(self) -> None:
        """
        An item is an object with an action and a user; what else is in it does not matter.
        """
        for data in (b"", b"\xff", b"{", b"null", b"[]", b"7", b'""', b"{}", b"\xef\xbb\xbf{}"):
            self.assertEqual(self.code(data), 400)
        without_user = item()
        del without_user["user"]
        for wrong in (without_user, item(action=7), item(action=""), item(action="x" * 201)):
            self.assertEqual(self.code(json.dumps(wrong)), 400)
        self.assertEqual(self.code(json.dumps(item(can="yes"))), 400)
        for payload in ([], "x", None, 7):
            self.assertEqual(self.code(json.dumps(item(payload=payload))), 422)
        for revisions in ([], "x", {"f": 1}, {"": "x"}, {"a\0": "x"}):
            self.assertEqual(self.code(json.dumps(item(revisions=revisions))), 422)
        found = read_item(json.dumps(item(trace="x", user=None)).encode(), LIMITS)
        self.assertEqual(found, Asked("ship", None))

    def test_one_reading(self) -> None:
        """
        What readers of JSON read in different ways is refused: names twice, numbers that a double
        does not hold, constants of JavaScript, halves of characters.
        """
        for payload in (
            '{"a":1,"a":2}',
            '{"a":{"b":1,"\\u0062":2}}',
            '{"a":NaN}',
            '{"a":-Infinity}',
            '{"a":9007199254740992}',
            '{"a":-9007199254740992}',
            '{"a":1e400}',
            '{"a":%s}' % ("9" * 3000),
            '{"a":"\\ud800"}',
            '{"\\udfff":1}',
            '{"a":"\\ud800\\ud800"}',
        ):
            data = said(payload)
            self.assertEqual(self.code(data), 400, payload[:60])
        self.assertEqual(self.code('{"action":"a","user":"me","user":"you","payload":{}}'), 400)
        self.assertEqual(self.code('{"action":"a","user":"me","payload":{}} {}'), 400)
        for fine in ('{"a":9007199254740991}', '{"a":1e300}', '{"a":"\\ud83d\\ude00"}'):
            data = said(fine)
            read_item(data.encode(), LIMITS)

    def test_depth(self) -> None:
        """
        What is too deep is refused: just too deep, and so deep that Python itself would give up.
        """
        for depth in (5, 100, 5000, 200_000):
            for left, right in ("[]", ('{"a":', "}")):
                inner = left * depth + "1" + right * depth
                data = said('{"a":' + inner + "}")
                self.assertEqual(self.code(data, Limits(10**7, 6)), 400)
            data = said("[" * depth)[:-1]
            self.assertEqual(self.code(data, Limits(10**7, 6)), 400)
        deep: Any = 1
        for _ in range(4):
            deep = [deep]
        wide = item(payload={"a": deep, "b": [[]] * 50})
        read_item(json.dumps(wide).encode(), LIMITS)

    def test_size(self) -> None:
        """
        What is too large is refused before it is read.
        """
        self.assertEqual(self.code(b"\xff" * 4097), 413)
        self.assertEqual(self.code(b"x" * 64 * 2**20), 413)
        with self.assertRaises(Refused) as caught:
            make_item(Asked("ship", "me", {"a": "x" * 5000}), LIMITS)
        self.assertEqual(caught.exception.code, 413)

    def test_not_json(self) -> None:
        """
        What a program of our own gives that is no JSON is refused, if it is the payload; a user
        that is none is the program's own slip.
        """
        loop: dict[str, Any] = {}
        loop["loop"] = loop
        for payload in ({"a": object()}, {"a": float("nan")}, {"a": "\ud800"}, loop):
            with self.assertRaises(Refused) as caught:
                make_item(Asked("ship", "me", payload), LIMITS)
            self.assertEqual(caught.exception.code, 422)
        for user in (object(), {"id": float("nan")}):
            with self.assertRaises(TypeError):
                make_item(Asked("ship", user), LIMITS)
        ship: Any = Ship("a", "7")
        data = make_item(Asked("ship", "me", ship), LIMITS)
        self.assertEqual(read_item(data, LIMITS).payload, {"team": "a", "id": "7", "notes": ""})


SCHEMA = {
    "type": "object",
    "properties": {
        "team": {"$ref": "#/$defs/name"},
        "id": {"type": "integer", "minimum": 1},
        "when": {"type": "string", "format": "date-time"},
        "format": {"type": "string"},
        "$ref": {"type": "string"},
    },
    "required": ["team"],
    "additionalProperties": False,
    "$defs": {"name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 9}},
}


class ShapeTests(SynchronousTestCase):
    """Shapes of payloads."""

    def path(self, shape: Shape, payload: dict[str, Any]) -> str:
        """Where a payload is said to be wrong."""
        with self.assertRaises(Refused) as caught:
            shape.check(payload)
        self.assertEqual(caught.exception.code, 422)
        self.assertLess(len(caught.exception.error), 400)
        path: str = caught.exception.more["path"]
        return path

    def test_schema(self) -> None:
        """
        A JSON Schema says what may be in a payload, and an answer where it was not so.
        """
        shape = SchemaShape(SCHEMA)
        fine = {"team": "a", "id": 7, "when": "2026-11-21T19:00:00Z", "format": "x", "$ref": "y"}
        self.assertEqual(shape.check(fine), fine)
        for wrong, path in (
            ({}, "$"),
            ({"team": 1}, "$.team"),
            ({"team": "A"}, "$.team"),
            ({"team": "a" * 5000}, "$.team"),
            ({"team": "a", "id": True}, "$.id"),
            ({"team": "a", "id": 0}, "$.id"),
            ({"team": "a", "when": "yesterday"}, "$.when"),
            ({"team": "a", "when": "2026-11-21T19:00:00"}, "$.when"),
            ({"team": "a", "user": "me"}, "$"),
        ):
            self.assertEqual(self.path(shape, wrong), path)

    def test_no_schema(self) -> None:
        """
        What is no schema, or would not check all that it says, is told when it is declared.
        """
        wrong: list[Any] = [
            {"type": "objekt"},
            {"properties": {"a": {"minimum": "1"}}},
            {"properties": {"a": {"format": "team"}}},
            {"$ref": "https://example.org/schema.json"},
            {"properties": {"a": {"$ref": "other.json#/a"}}},
            {"properties": {"a": {"$ref": "#/$defs/none"}}},
        ]
        for schema in wrong:
            with self.assertRaises(ValueError):
                SchemaShape(schema)
        teams = SchemaShape(
            {"properties": {"a": {"format": "team"}}}, {"team": lambda text: text == "us"}
        )
        teams.check({"a": "us"})
        self.assertEqual(self.path(teams, {"a": "them"}), "$.a")

    def test_older_draft(self) -> None:
        """
        A schema may be of the draft that it says.
        """
        shape = SchemaShape(
            {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "definitions": {"id": {"type": "string"}},
                "properties": {"id": {"$ref": "#/definitions/id"}},
            }
        )
        self.assertEqual(self.path(shape, {"id": 7}), "$.id")

    def test_endless(self) -> None:
        """
        A schema that goes round in circles refuses, and nothing else is hurt.
        """
        shape = SchemaShape({"$ref": "#"})
        self.assertEqual(self.path(shape, {}), "$")

    def test_what_breaks_a_check(self) -> None:
        """
        A payload that breaks a check of one's own has not been shown to be right.
        """

        class Odd(msgspec.Struct):
            a: int

            def __post_init__(self) -> None:
                if self.a == 1:
                    raise ValueError("not 1")
                if self.a == 2:
                    raise KeyError("slip")

        shape = TypeShape(Odd)
        self.assertEqual(shape.check({"a": 3}).a, 3)
        self.assertEqual(self.path(shape, {"a": 1}), "$")
        self.assertEqual(self.path(shape, {"a": 2}), "$")
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_types(self) -> None:
        """
        Any type that msgspec converts an object to is a shape: it gives what the function gets.
        """

        class When(msgspec.Struct):
            at: datetime
            count: Annotated[int, msgspec.Meta(ge=1)] = 1

        shape = TypeShape(When)
        self.assertEqual(shape.check({"at": "2026-11-21T19:00:00Z"}).at.hour, 19)
        self.assertEqual(self.path(shape, {"at": "x"}), "$.at")
        self.assertEqual(self.path(shape, {"at": "2026-11-21T19:00:00Z", "count": 0}), "$.count")
        self.assertEqual(self.path(shape, {"at": "2026-11-21T19:00:00Z", "count": "3"}), "$.count")
        self.assertEqual(TypeShape(dict[str, int]).check({"a": 1}), {"a": 1})
        with self.assertRaises(TypeError):
            TypeShape(7)

    @UNHURRIED
    @given(st.dictionaries(st.sampled_from(["id", "changes", "x"]), VALUES, max_size=3))
    def test_same_by_schema(self, payload: dict[str, Any]) -> None:
        """
        The schema that a type is told as refuses and takes what the type does.
        """
        typed = make_shape(Edit, None, ("title", "notes"), {})
        assert typed.schema is not None
        told = SchemaShape(json.loads(json.dumps(typed.schema)))

        def takes(shape: Shape) -> bool:
            try:
                shape.check(payload)
            except Refused:
                return False
            return True

        self.assertEqual(takes(typed), takes(told))

    def test_editable(self) -> None:
        """
        Fields that may be edited are declared; all others are refused by name, by type or schema.
        """
        schema = {"properties": {"changes": {"type": "object"}}, "allOf": [{"required": ["id"]}]}
        for shape in (
            make_shape(Edit, None, ["title"], {}),
            make_shape(None, schema, ["title"], {}),
        ):
            shape.check({"id": "1", "changes": {"title": "x"}})
            shape.check({"id": "1", "changes": {}})
            self.assertEqual(
                self.path(shape, {"id": "1", "changes": {"title": "x", "owner": "me"}}), "$.changes"
            )
            self.assertEqual(self.path(shape, {"id": "1"}), "$.changes")
            self.assertEqual(self.path(shape, {"changes": {}}), "$")
        for wrong in ("title", [1]):
            with self.assertRaises(TypeError):
                Editable(TypeShape(Edit), wrong)  # type: ignore[arg-type]  # wrong on purpose
        with self.assertRaises(TypeError):
            make_shape(Edit, SCHEMA, None, {})

    def test_formats(self) -> None:
        """
        Formats of one's own are given to the group.
        """
        actions = Actions("x", formats={"team": lambda text: text == "us"})
        schema = {"properties": {"team": {"type": "string", "format": "team"}}}
        actions.action("a", schema=schema, authorize=anybody)(print)
        action = actions.get("a")
        assert action is not None
        self.assertEqual(self.path(action.shape, {"team": "them"}), "$.team")
