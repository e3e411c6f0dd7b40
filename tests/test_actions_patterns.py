"""Patterns in shapes: an end is the end, whoever checks it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple
from unittest import SkipTest

import msgspec
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import TypedDict

from txthoonk.actions import Id, Refused
from txthoonk.actions.patterns import whole
from txthoonk.actions.shapes import SchemaShape, Shape, TypeShape

Word = Annotated[str, msgspec.Meta(pattern="^[a-z]+$")]


class Tagged(msgspec.Struct, tag="tagged"):
    """One of two."""

    word: Word


class Loose(msgspec.Struct, tag="loose"):
    """The other, which takes what the first refuses."""

    word: str


class Typed(TypedDict):
    """A dict whose names are known."""

    word: Word


@dataclass
class Data:
    """A dataclass."""

    word: Word


class Pair(NamedTuple):
    """A tuple whose places have names."""

    word: Word


class Everything(msgspec.Struct, rename="camel"):
    """A text of a pattern wherever one can be."""

    item_id: Id = "x"
    maybe: Word | None = None
    several: list[Word] = []
    by_word: dict[Word, Word] = {}
    union: Tagged | Loose | None = None
    pair: tuple[Word, int] = ("a", 1)
    typed: Typed | None = None
    data: Data | None = None
    named: Pair | None = None
    below: Everything | None = None
    text: str = ""


class EndTests(SynchronousTestCase):
    """``$``, which for Python is also before a newline at the end."""

    def refused(self, shape: Shape, payload: dict[str, Any]) -> str:
        """Where the payload is wrong."""
        refused = self.assertRaises(Refused, shape.check, payload)
        self.assertEqual(refused.code, 422)
        return str(refused.more["path"])

    def test_types(self) -> None:
        """
        A newline behind what a pattern describes is refused wherever in a payload it is, and let
        through where no pattern says otherwise.
        """
        shape = TypeShape(Everything)
        for path, payload in {
            "$.itemId": {"itemId": "x\n"},
            "$.maybe": {"maybe": "a\n"},
            "$.several[1]": {"several": ["a", "b\n"]},
            "$.byWord": {"byWord": {"a\n": "b"}},
            "$.byWord[...]": {"byWord": {"a": "b\n"}},
            "$.union.word": {"union": {"type": "tagged", "word": "a\n"}},
            "$.pair[0]": {"pair": ["a\n", 1]},
            "$.typed.word": {"typed": {"word": "a\n"}},
            "$.data.word": {"data": {"word": "a\n"}},
            "$.named.word": {"named": ["a\n"]},
            "$.below.itemId": {"below": {"itemId": "x\n"}},
        }.items():
            self.assertEqual(self.refused(shape, payload), path)
            right: dict[str, Any] = json.loads(json.dumps(payload).replace("\\n", ""))
            self.assertIsInstance(shape.check(right), Everything)
        for payload in ({"union": {"type": "loose", "word": "a\n"}}, {"text": "a\n"}):
            shape.check(payload)

    def test_schemas(self) -> None:
        """
        A JSON Schema says so too: of texts, of names, of properties by pattern.
        """
        schema = {
            "type": "object",
            "properties": {"pattern": {"type": "string", "pattern": "^[$a]+\\$?$"}},
            "patternProperties": {"^x$": {"type": "integer"}},
            "additionalProperties": False,
            "$defs": {"unused": {"const": {"pattern": "$"}}},
        }
        shape = SchemaShape(schema)
        self.assertEqual(shape.schema, schema, "others are told what was declared")
        for payload in ({"pattern": "$a"}, {"pattern": "a$"}, {"x": 1}):
            self.assertEqual(shape.check(payload), payload)
        self.assertEqual(self.refused(shape, {"pattern": "a\n"}), "$.pattern")
        self.refused(shape, {"x\n": 1})

    def test_as_in_javascript(self) -> None:
        """
        Pages and workers of other languages that check by the same pattern say the same.
        """
        node = shutil.which("node")
        if node is None:
            raise SkipTest("node is missing")
        patterns = [
            "^a$",
            "a$",
            "^[$]$",
            r"^\$$",
            r"^[\]$]+$",
            "^(a|b$)c?$",
            "^[^$]$",
            "$",
            r"^\\$",
        ]
        texts = [
            "a",
            "a\n",
            "a\n\n",
            "$",
            "$\n",
            "]$",
            "b",
            "b\n",
            "ac",
            "",
            "\n",
            "\\",
            "\\\n",
            "x",
        ]
        program = (
            "const [p, t] = JSON.parse(process.argv[1]);"
            "console.log(JSON.stringify(p.map((p) => t.map((t) => RegExp(p, 'u').test(t)))))"
        )
        said = subprocess.run(
            [node, "-e", program, json.dumps([patterns, texts])],
            capture_output=True,
            text=True,
            check=True,
        )
        for pattern, there in zip(patterns, json.loads(said.stdout), strict=True):
            here = [re.search(whole(pattern), text) is not None for text in texts]
            self.assertEqual(here, there, pattern)
