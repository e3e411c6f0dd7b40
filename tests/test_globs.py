"""Patterns mean the same here as in Redis."""

from __future__ import annotations

import itertools
import socket
import time
from typing import Any

import hiredis
from hypothesis import example, given, settings
from hypothesis import strategies as st

from txthoonk.globs import compile_glob, escape_glob
from txthoonk.testing import RedisTestCase

#: All that patterns are made of, and two letters.
ALPHABET = b"ab*?[]^-\\"

#: Line ends, a NUL, and a byte that is no UTF-8.
STRANGE = b"a\nb\r\x00\xff"

#: Each name of at most three of the alphabet, and the strange one.
NAMES = [bytes(t) for n in (1, 2, 3) for t in itertools.product(ALPHABET, repeat=n)] + [STRANGE]
NAMES += [bytes(t) for t in itertools.product(b"ab", repeat=6)]

patterns = st.lists(st.sampled_from(ALPHABET), max_size=9).map(bytes)


class GlobTests(RedisTestCase):
    """What :func:`compile_glob` matches, against a real server."""

    async def setUp(self) -> None:
        await super().setUp()
        server = await self.own_server()
        # A socket that blocks: what hypothesis calls cannot wait for a reactor.
        self.socket = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.socket.close)
        self.socket.connect(server.socket_path)
        self.reader = hiredis.Reader()
        for name in NAMES:
            self.execute(b"SET", name, b"")

    def execute(self, *args: bytes) -> Any:
        """One command, blocking."""
        self.socket.sendall(hiredis.pack_command(args))
        while (reply := self.reader.gets()) is False:
            self.reader.feed(self.socket.recv(65536))
        return reply

    def match(self, pattern: bytes) -> set[bytes]:
        """Which of the names match, here as in Redis."""
        glob = compile_glob(pattern)
        ours = {name for name in NAMES if glob.fullmatch(name)}
        self.assertEqual(ours, set(self.execute(b"KEYS", pattern)), pattern)
        return ours

    def test_patterns(self) -> None:
        """
        A pattern matches what Redis matches with it, however strange it is.
        """

        @settings(deadline=None, derandomize=True, database=None, max_examples=500)
        @given(patterns)
        @example(b"[")
        @example(b"[^")
        @example(b"[^]a")
        @example(b"[a-")
        @example(b"[b-a]*")
        @example(b"[a-]")
        @example(b"[\\]]?")
        @example(b"**\\")
        @example(b"a*ab*b*?a")
        @example(b"*a?b*[^b]*b")
        def check(pattern: bytes) -> None:
            self.match(pattern)

        check()

    def test_escaped(self) -> None:
        """
        An escaped name matches itself alone, here and in Redis.
        """
        for name in (*NAMES[:: len(ALPHABET) - 1], STRANGE):
            self.assertEqual(self.match(escape_glob(name)), {name})

    def test_bytes(self) -> None:
        """
        Line ends, NULs and bytes that are no UTF-8 are bytes as any other.
        """
        for pattern in (b"a\n*", b"a?b??\xff", b"a[\n]*", b"a[^\xfe]b*", STRANGE, b"*\x00\xff"):
            self.assertIn(STRANGE, self.match(pattern), pattern)
        self.assertFalse(compile_glob(b"a").fullmatch(b"a\n"))

    def test_many_stars(self) -> None:
        """
        However many stars there are, it takes no time to see that a name does not match.
        """
        name = b"a" * 1000
        began = time.process_time()
        for part in (b"*a", b"*?", b"?*", b"*", b"*[a-c]", b"*aa"):
            glob = compile_glob(part * 300 + b"!")
            self.assertFalse(glob.fullmatch(name), part)
            self.assertTrue(glob.fullmatch(name + b"!"), part)
        self.assertLess(time.process_time() - began, 5)
