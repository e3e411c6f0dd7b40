"""Tokens: where in the history of a feed somebody is, told to another process."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from txthoonk.positions import (
    Position,
    pack_place,
    pack_position,
    pack_positions,
    read_place,
    read_position,
    read_positions,
)

#: The largest number that MessagePack has.
LARGE = 2**63 - 1

NAMES = st.text(st.characters(exclude_categories=["Cs"]))
POSITIONS = st.builds(
    Position,
    st.integers(0, LARGE),
    st.none() | NAMES,
    st.none() | st.integers(0, LARGE),
    st.integers(0, LARGE),
    NAMES,
)
PLACE = Position(7, "1700000000000000", 123456789, 5, "0123456789ab")


def text(data: bytes) -> str:
    """Bytes as a token has them, behind its first letter."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class PositionTests(TestCase):
    """Tokens of one feed."""

    @given(POSITIONS)
    def test_round_trip(self, position: Position) -> None:
        """
        Whatever is put into a token comes out of it.
        """
        self.assertEqual(read_position(pack_position(position)), position)

    @given(POSITIONS)
    def test_characters(self, position: Position) -> None:
        """
        A token may be part of a URL, and of a file's name.
        """
        self.assertRegex(pack_position(position), "^[A-Za-z0-9_-]+$")

    def test_short(self) -> None:
        """
        The token of one feed is short.
        """
        self.assertLess(len(pack_position(PLACE)), 80)

    @given(st.text())
    def test_garbage(self, token: str) -> None:
        """
        What is no token is refused as such.
        """
        try:
            found = read_position(token)
        except ValueError as error:
            self.assertIn("no token of a feed", str(error))
        else:
            self.assertIsInstance(found, Position)

    @given(st.binary())
    def test_garbage_inside(self, data: bytes) -> None:
        """
        So is what looks like a token from outside.
        """
        try:
            found = read_position("p" + text(data))
        except ValueError:
            pass
        else:
            self.assertIsInstance(found, Position)

    def test_cut_off(self) -> None:
        """
        A part of a token is no token.
        """
        token = pack_position(PLACE)
        for end in range(len(token)):
            self.assertRaises(ValueError, read_position, token[:end])

    def test_none(self) -> None:
        """
        Things that are no tokens at all are refused by name: of another kind, of another type,
        with numbers or texts in the wrong places.
        """
        wrong: list[Any] = [
            "",
            "p",
            "x",
            "p" + "A" * 10_000,
            "pä",
            "p====",
            pack_positions({"a": PLACE}),
            pack_position(PLACE).encode(),
            None,
            7,
            pack_position(PLACE) + "\n",
            "p" + text(msgspec.msgpack.encode([])),
            "p" + text(msgspec.msgpack.encode("text")),
            "p" + text(msgspec.msgpack.encode(["1"])),
            "p" + text(msgspec.msgpack.encode([1, 2])),
            "p" + text(msgspec.msgpack.encode([1, "epoch", "digest"])),
            "p" + text(msgspec.msgpack.encode([1.5, "epoch", 1])),
        ]
        for token in wrong:
            error = self.assertRaises(ValueError, read_position, token)
            self.assertIn("no token of a feed", str(error))

    def test_negative(self) -> None:
        """
        A token with a revision that there cannot be is none.
        """
        self.assertRaises(ValueError, read_position, pack_position(Position(-1, "1")))


class PositionsTests(TestCase):
    """Tokens of several feeds."""

    @given(st.dictionaries(NAMES, POSITIONS))
    def test_round_trip(self, positions: dict[str, Position]) -> None:
        """
        Whatever is put into a token comes out of it.
        """
        self.assertEqual(read_positions(pack_positions(positions)), positions)

    def test_any_name(self) -> None:
        """
        The name of a feed may have bytes that are no UTF-8.
        """
        name = b"a\xff:b".decode("utf-8", "surrogateescape")
        self.assertEqual(read_positions(pack_positions({name: PLACE})), {name: PLACE})

    def test_compact(self) -> None:
        """
        Feeds whose names begin alike cost little each.
        """
        many = {f"team:353:room:{n}": Position(n, PLACE.epoch, n * 7919, n) for n in range(1000)}
        token = pack_positions(many)
        self.assertEqual(read_positions(token), many)
        self.assertLess(len(token), 1000 * 30)

    @given(st.binary())
    def test_garbage_inside(self, data: bytes) -> None:
        """
        What looks like a token from outside is refused as what it is not.
        """
        for inside in (data, zlib.compress(data)):
            try:
                found = read_positions("m" + text(inside))
            except ValueError as error:
                self.assertIn("no token of a pattern", str(error))
            else:
                self.assertIsInstance(found, dict)

    def test_none(self) -> None:
        """
        Things that are no tokens at all are refused.
        """
        packed = pack_positions({"a": PLACE})
        inner = zlib.compress(msgspec.msgpack.encode({"a": [1, "e"]}))
        wrong: list[Any] = [
            *("", "m", "mm", None, packed.encode(), pack_position(PLACE)),
            "m" + text(inner[:-1]),
            "m" + text(inner[:-8]),
            "m" + text(zlib.compress(msgspec.msgpack.encode([1]))),
            "m" + text(zlib.compress(msgspec.msgpack.encode({"a": 1}))),
            "m" + text(zlib.compress(msgspec.msgpack.encode({1: [1]}))),
        ]
        for token in wrong:
            error = self.assertRaises(ValueError, read_positions, token)
            self.assertIn("no token of a pattern", str(error))

    def test_bomb(self) -> None:
        """
        A token that would fill the memory is none.
        """
        self.patch(__import__("txthoonk.positions").positions, "_LARGEST", 1000)
        bomb = zlib.compress(msgspec.msgpack.encode({"a" * 10_000: [1, "e"]}))
        self.assertRaises(ValueError, read_positions, "m" + text(bomb))
        self.assertEqual(read_positions(pack_positions({"a": PLACE})), {"a": PLACE})


class PlaceTests(TestCase):
    """Places: positions as web clients have them."""

    @settings(deadline=None)
    @given(
        st.integers(0, LARGE),
        st.just("") | st.integers(0, 10**18 - 1).map(str),
        st.none() | st.integers(0, LARGE),
    )
    def test_round_trip(self, revision: int, epoch: str, digest: int | None) -> None:
        """
        Whatever can be a position comes out of its place, which may be part of a URL.
        """
        position = Position(revision, epoch, digest)
        place = pack_place(position)
        self.assertRegex(place, "^[0-9a-z-]+$")
        self.assertEqual(read_place(place), position)

    def test_form(self) -> None:
        """
        A place is the epoch, the revision and the digest in base 36; what is for servers is not in
        it.
        """
        self.assertEqual(pack_place(PLACE), "gqll7vatq8-7-21i3v9")
        self.assertEqual(pack_place(Position(0, "")), "-0-")
        self.assertEqual(read_place("gqll7vatq8-7-21i3v9"), Position(7, PLACE.epoch, 123456789))

    def test_odd_epoch(self) -> None:
        """
        An epoch that somebody else wrote, and that is no number, is none.
        """
        for epoch in ("x", "007", "-1", "1" * 30, "\u0661", None):
            self.assertEqual(pack_place(Position(3, epoch, 4)), "-3-4")

    @settings(deadline=None)
    @given(st.text() | st.text("0123456789abcz-"))
    def test_garbage(self, place: str) -> None:
        """
        What is no place is refused as such.
        """
        try:
            found = read_place(place)
        except ValueError as error:
            self.assertIn("no place in a feed", str(error))
        else:
            self.assertEqual(found, read_place(pack_place(found)))

    def test_none(self) -> None:
        """
        Neither is anything of another kind or with numbers that cannot be.
        """
        wrong: list[Any] = [
            *("", "-", "--", "a-b", "1-2-3-4", "1-2-3\n", "A-1-2", "1--2", "z" * 13 + "-1-1"),
            *("1-" + "z" * 13 + "-", "1-1-" + "1" * 14, "1-\u0661-", b"1-1-1", None, 7, ["1-1-1"]),
        ]
        for place in wrong:
            self.assertRaises(ValueError, read_place, place)
