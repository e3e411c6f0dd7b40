"""The Lua scripts as texts, how they are found, and how they are called."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import hiredis
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

import txthoonk
from tests.samples import KEYS, NAME, SAMPLES
from tools import document_scripts
from txthoonk.errors import (
    ConnectionLost,
    FeedDoesNotExist,
    JobNotClaimed,
    ScriptMissing,
    ServerError,
    WrongKeyType,
)
from txthoonk.keys import FeedKeys
from txthoonk.scripts import Script, all_scripts, load, script
from txthoonk.verdicts import SCRIPT_ERRORS, server_error

FOLDER: Final = Path(txthoonk.__file__).parent / "lua"

#: Types of keys; ``any`` is whatever is there, ``keys`` are all keys that a feed may have.
KEY_KINDS: Final = {"string", "hash", "list", "set", "zset", "any", "keys"}

#: Where the value of a local variable comes from, if from a parameter: one, or one and the rest.
_BOUND: Final = re.compile(
    r"(?:tonumber\()?(?:(KEYS|ARGV)\[(\d+)\]\)?|\{unpack\((KEYS|ARGV), (\d+)\)\}|(KEYS|ARGV))"
)
_BINDING: Final = re.compile(r"local ([\w, ]+) = (.*(?:KEYS|ARGV).*)")

#: Another script, put in as a function.
_FUNCTION: Final = re.compile(
    r"^local function (\w+?)_(\w+)\(KEYS, ARGV, redis\)\n.*?^end -- \1/\2\n",
    re.MULTILINE | re.DOTALL,
)


def split_body(each: Script) -> tuple[list[str], list[str], list[str]]:
    """The lines of the header, those that bind the parameters, and the others."""
    lines = _FUNCTION.sub("", each.source.decode()).splitlines()
    start = next(i for i, line in enumerate(lines) if not line.startswith("--"))
    end = start
    while _BINDING.fullmatch(lines[end]):
        end += 1
    return lines[:start], lines[start:end], lines[end:]


def bindings(each: Script) -> Iterator[tuple[str, str, int]]:
    """Local variables and the parameters that they are bound to."""
    for line in split_body(each)[1]:
        match = _BINDING.fullmatch(line)
        assert match is not None
        names = match[1].split(", ")
        if whole := re.fullmatch(r"unpack\((KEYS|ARGV)\)", match[2]):
            yield from ((name, whole[1], number) for number, name in enumerate(names, 1))
            continue
        values = re.split(r", (?![^(]*\))", match[2])
        for name, value in zip(names, values, strict=True):
            if bound := _BOUND.fullmatch(value):
                kind = bound[1] or bound[3] or bound[5]
                described = each.keys if kind == "KEYS" else each.arguments
                # All of them: those of this name and what follows.
                number = [parameter.name for parameter in described].index(name) + 1
                yield name, kind, int(bound[2] or bound[4] or number)


class HeaderTests(SynchronousTestCase):
    """What a script says of itself is true."""

    def test_parameters(self) -> None:
        """
        Each key and argument is described by a line that is understood, and bound to a variable
        of that name before anything else.
        """
        for each in all_scripts():
            header, _, body = split_body(each)
            described = [line for line in header if re.search(r"\b(KEYS|ARGV)\[", line)]
            self.assertEqual(len(described), len(each.keys) + len(each.arguments), each.name)
            expected = {(p.name, "KEYS", i + 1) for i, p in enumerate(each.keys)}
            expected |= {(p.name, "ARGV", i + 1) for i, p in enumerate(each.arguments)}
            self.assertEqual(set(bindings(each)), expected, each.name)
            self.assertNotRegex("\n".join(body), r"\b(KEYS|ARGV)\b", each.name)

    def test_purpose(self) -> None:
        """
        A header begins with what the script is for.
        """
        for each in all_scripts():
            self.assertRegex(split_body(each)[0][0], r"-- [A-Z]\w+ .*[a-z][.:,]?$", each.name)

    def test_keys(self) -> None:
        """
        The keys are those of a feed, of a known type; a group of keys is the last of them.
        """
        for each in all_scripts():
            for key in each.keys:
                self.assertIn(key.kind, KEY_KINDS, each.name)
                self.assertTrue(hasattr(KEYS, key.name), f"{each.name}: {key.name}")
            self.assertNotIn("keys", [key.kind for key in each.keys[:-1]], each.name)

    def test_channels(self) -> None:
        """
        Channels are the first arguments, and the script publishes on just these.
        """
        for each in all_scripts():
            kinds = [argument.kind for argument in each.arguments]
            count = len(each.channels)
            self.assertEqual(set(kinds[:count]) - {"channel", "channels"}, set(), each.name)
            self.assertNotIn("channels", kinds[: max(count - 1, 0)], each.name)
            channels = set(each.channels)
            for channel in each.channels:
                self.assertTrue(hasattr(KEYS, channel), f"{each.name}: {channel}")
            if "channels" in kinds:  # a group, which is the last of them
                channels.remove("telling")
                channels |= {name for name in vars(FeedKeys) if name.endswith("_channel")} & {
                    publish.split()[0] for publish in each.publishes
                }
            source = each.source.decode()
            used = set(re.findall(r"\('PUBLISH', (\w+),", source))
            self.assertEqual(used, channels, each.name)
            self.assertEqual(source.count("'PUBLISH'"), len(re.findall(r"'PUBLISH', \w", source)))
            self.assertEqual({p.split()[0] for p in each.publishes}, used, each.name)

    def test_errors(self) -> None:
        """
        A script fails with just the codes that it declares, and each of them has an exception.
        """
        declared: set[str] = set()
        for each in all_scripts():
            source = each.source.decode()
            codes = re.findall(r"redis\.error_reply\('([A-Z]+)[ ']", source)
            self.assertEqual(source.count("error_reply"), len(codes), each.name)
            # Scripts that take several items answer with a verdict on each.
            codes += set(re.findall(r"'([A-Z]+)'", source)) & SCRIPT_ERRORS.keys()
            # What Redis itself would say of such a key is no verdict of the script.
            self.assertEqual(set(codes) - {"WRONGTYPE"}, set(each.errors), each.name)
            declared.update(each.errors)
        self.assertEqual(declared, set(SCRIPT_ERRORS))

    def test_forbidden(self) -> None:
        """
        No script looks through all keys, rolls dice, raises, or asks for a newer Redis.
        """
        for each in all_scripts():
            for words in (r"'(KEYS|SCAN|RANDOMKEY)'", r"math\.random", r"\berror\(", r"^#!"):
                self.assertNotRegex(each.source.decode(), words, each.name)

    def test_malformed(self) -> None:
        """
        A header that says too little, or in the wrong order, is refused when it is read.
        """
        with self.assertRaisesRegex(ValueError, "x/y: the header lacks Errors, Publishes"):
            Script("x/y", b"-- Why.\n-- Returns: 1\nreturn 1")
        with self.assertRaisesRegex(ValueError, r"x/y: KEYS\[2\] is out of order"):
            Script("x/y", b"-- KEYS[2] ids list\n-- Returns: 1\n")


class SampleTests(SynchronousTestCase):
    """What the tests of all scripts know of each."""

    def test_samples(self) -> None:
        """
        Each script has samples: one that looks at all its keys, and one for each of its errors.
        """
        self.assertEqual(set(SAMPLES), {each.name for each in all_scripts()})
        for name, samples in SAMPLES.items():
            self.assertTrue(any(s.whole and s.error is None for s in samples), name)
            errors = {sample.error for sample in samples} - {None}
            verdicts = (v for s in samples if isinstance(s.reply, list) for v in s.reply)
            errors |= {v.decode() for v in verdicts if isinstance(v, bytes)} & SCRIPT_ERRORS.keys()
            self.assertEqual(errors, set(script(name).errors), name)


class LoaderTests(SynchronousTestCase):
    """Scripts are found by name."""

    def test_script(self) -> None:
        """
        A script is the file of that name, read once.
        """
        found = script("job/put")
        source = (FOLDER / "job" / "put.lua").read_bytes()
        self.assertEqual((found.name, found.source), ("job/put", source))
        self.assertEqual(found.sha, hashlib.sha1(source).hexdigest().encode())
        self.assertIs(script("job/put"), found)
        self.assertEqual(found.returns, "integer  1 if it was put, 0 if it was there")
        self.assertRaises(FileNotFoundError, script, "feed/nothing")

    def test_include(self) -> None:
        """
        What several scripts have in common is a file of its own, which they name where it belongs.
        """
        found = script("sorted_feed/move").source.decode()
        parts = (FOLDER / "sorted_feed" / "move.lua").read_text()
        for name in ("kept", "change", "conflict"):
            comment, _, body = (FOLDER / f"{name}.lua").read_text().partition("\nlocal ")
            self.assertTrue(all(line.startswith("-- ") for line in comment.splitlines()), name)
            self.assertEqual(parts.count(f"\n-- include {name}\n"), 1)
            parts = parts.replace(f"-- include {name}\n", f"local {body}")
        self.assertEqual(found, parts)
        for each in all_scripts():
            self.assertNotIn(b"-- include", each.source, each.name)

    def test_function(self) -> None:
        """
        A script that is part of another is a function there, of what it would be given itself.
        """
        found = script("job/commit").source.decode()
        names = ["/".join(each) for each in _FUNCTION.findall(found)]
        self.assertEqual(len(names), 9)
        for name in names:
            part = script(name)
            body = part.source.decode().removeprefix(part.comment).rstrip("\n")
            head = f"local function {name.replace('/', '_')}(KEYS, ARGV, redis)"
            self.assertIn(f"\n{head}\n{body}\nend -- {name}\n", found)
        for each in all_scripts():
            self.assertNotIn(b"-- script", each.source, each.name)

    def test_all_scripts(self) -> None:
        """
        Every file is a script, or part of one; no two scripts are the same.
        """
        paths = {str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.lua")}
        names = {each.name for each in all_scripts()}
        included = set()
        for name in names:
            text = (FOLDER / f"{name}.lua").read_text()
            included.update(re.findall("^-- include (.*)$", text, re.MULTILINE))
        self.assertEqual(names | included, paths)
        self.assertEqual(len({each.sha for each in all_scripts()}), len(names))

    def test_bind(self) -> None:
        """
        A script is bound to a feed by its header; a group of keys is all that a feed may have.
        """
        bound = script("instance/delete").bind(KEYS, NAME)
        self.assertEqual(bound.keys, (b"feeds", *KEYS.every_key()))
        self.assertEqual(bound.channels, (b"delfeed",))


class Connection:
    """Keeps what is sent, until a test answers."""

    def __init__(self) -> None:
        self.sent: list[list[bytes]] = []
        self._waiting: list[Deferred[Any]] = []

    def send(self, command: bytes) -> Deferred[Any]:
        reader = hiredis.Reader()
        reader.feed(command)
        return self.execute(*reader.gets())

    def execute(self, *args: Any) -> Deferred[Any]:
        self.sent.append(list(args))
        self._waiting.append(Deferred())
        return self._waiting[-1]

    def answer(self, reply: object) -> None:
        """Answer the oldest command."""
        waiting = self._waiting.pop(0)
        if isinstance(reply, Exception):
            waiting.errback(reply)
        else:
            waiting.callback(reply)


class CallTests(SynchronousTestCase):
    """A script is called by its digest, and sent where Redis does not have it."""

    missing = ScriptMissing("NOSCRIPT", "NOSCRIPT No matching script. Please use EVAL.")

    def setUp(self) -> None:
        self.redis = Connection()
        self.retry = script("job/retry").bind(KEYS, NAME)
        keys = (KEYS.stalled, KEYS.ids, KEYS.published, KEYS.items, KEYS.delayed)
        self.parts = [b"5", *keys, KEYS.retry_channel, b"1", b"\x00\r\n"]

    def call(self) -> Deferred[Any]:
        """Retry a job."""
        return self.retry(self.redis, (b"1", b"\x00\r\n"), id="1")

    def test_by_digest(self) -> None:
        """
        Where Redis has it a call is one EVALSHA, and its result is what was to be made of it.
        """
        done = self.retry(self.redis, (b"1", b"\x00\r\n"), lambda *args: args, "more", id="1")
        self.assertEqual(self.redis.sent, [[b"EVALSHA", self.retry.script.sha, *self.parts]])
        self.redis.answer(1)
        self.assertEqual(self.successResultOf(done), (1, "more"))

    def test_missing(self) -> None:
        """
        Whenever Redis lacks a script it is sent whole, and nobody sees the difference.
        """
        for _ in range(2):
            done = self.retry(self.redis, (b"1", b"\x00\r\n"), lambda *args: args, "more", id="1")
            self.redis.answer(self.missing)
            by_source = [b"EVAL", self.retry.script.source, *self.parts]
            self.assertEqual(self.redis.sent[-1], by_source)
            self.redis.answer(1)
            self.assertEqual(self.successResultOf(done), (1, "more"))
        self.assertEqual([args[0] for args in self.redis.sent], [b"EVALSHA", b"EVAL"] * 2)

    def test_verdict(self) -> None:
        """
        The script's verdict is an exception with feed and id, however it was called.
        """
        verdict = server_error("JOBNOTCLAIMED")
        done = self.call()
        self.redis.answer(verdict)
        error = self.failureResultOf(done, JobNotClaimed).value
        self.assertEqual((error.feed, error.id, error.detail), (NAME, "1", ""))
        done = self.call()
        self.redis.answer(self.missing)
        self.redis.answer(verdict)
        self.failureResultOf(done, JobNotClaimed)

    def test_detail(self) -> None:
        """
        What a script says behind its code is told to the user.
        """
        done = script("instance/create").bind(KEYS, NAME)(self.redis, ())
        self.redis.answer(server_error("FEEDNOTFOUND it was a job"))
        self.assertEqual(self.failureResultOf(done, FeedDoesNotExist).value.detail, "it was a job")

    def test_server_error(self) -> None:
        """
        What Redis itself refuses names the feed; a server that lacks what it was just sent fails.
        """
        done = self.call()
        self.redis.answer(server_error("WRONGTYPE Operation against a key"))
        self.assertEqual(self.failureResultOf(done, WrongKeyType).value.feed, NAME)
        done = self.call()
        self.redis.answer(self.missing)
        self.redis.answer(self.missing)
        self.assertEqual(self.failureResultOf(done, ServerError).value.feed, NAME)
        self.assertEqual(len(self.redis.sent), 3)

    def test_lost(self) -> None:
        """
        A call whose connection broke is not sent again: it may have happened.
        """
        for first in ((), (self.missing,)):
            done = self.call()
            for reply in (*first, ConnectionLost("gone")):
                self.redis.answer(reply)
            self.failureResultOf(done, ConnectionLost)
        self.assertEqual([args[0] for args in self.redis.sent], [b"EVALSHA", b"EVALSHA", b"EVAL"])

    def test_load(self) -> None:
        """
        Redis is given every script at once; that it refuses them is nobody's error.
        """
        load(self.redis)
        expected = [["SCRIPT", "LOAD", each.source] for each in all_scripts()]
        self.assertEqual(self.redis.sent, expected)
        for _ in expected:
            self.redis.answer(server_error("NOPERM this user has no permissions"))


class PageTests(SynchronousTestCase):
    """The page that describes the scripts."""

    def test_page(self) -> None:
        """
        docs/scripts.rst says what the scripts' headers say.
        """
        self.assertEqual(document_scripts.PAGE.read_text(), document_scripts.page())
