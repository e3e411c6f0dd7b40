"""The folder of Lua of a scripted object: its verbs, and what they declare.

Each ``*.lua`` file is a verb. In thoonk.js's form a file is just sent; in the declared form its
header says which keys, arguments, errors and events it has (the grammar is that of our own
scripts, :mod:`txthoonk.scripts`), and whatever a header leaves open is refused when it is read.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from keyword import iskeyword
from pathlib import Path
from typing import Any, Final

from txthoonk.keys import decode, encode
from txthoonk.scripts import Parameter, Script
from txthoonk.verdicts import SERVER_ERRORS

__all__ = ["Declaration", "Verb", "argument", "check_word", "plain", "read_folder"]

#: Objtypes and entries: thoonk.js finds the entry between the dots and before the colon.
WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")

KEY_KINDS: Final = ("string", "hash", "list", "set", "zset", "stream", "any")
#: Names in Redis that belong to Thoonk itself.
TAKEN: Final = ("feed", "job", "tx")

_CODE: Final = re.compile(r"[A-Z][A-Z0-9]*")
_MEANT: Final = re.compile(r"-- *(?:(?:KEYS|ARGV)\[|(?:Returns|Errors|Publishes):)")
_PARAMETER: Final = re.compile(r"-- (KEYS|ARGV)\[\d+\] +\w+ +\w+( .*)?")


@dataclass(frozen=True)
class Verb:
    """One script: the name of its file without ``.lua``, and what Redis gets."""

    name: str
    source: bytes
    sha: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.source).hexdigest().encode())


def check_word(word: object, what: str) -> str:
    """Refuse what cannot be part of an event's channel.

    :raises ValueError: if it is no word of letters, digits, ``-`` and ``_``.
    """
    if not isinstance(word, str) or not WORD.fullmatch(word):
        raise ValueError(f"{what} is a word of letters, digits, '-' and '_', not {word!r}")
    return word


def read_folder(kind: type) -> list[Verb]:
    """The verbs of a class, by its ``scriptdir``.

    :param kind: where ``scriptdir`` is relative, it begins at the folder of the module of the
        class that names it.
    :raises ValueError: if there is no such folder, or no script in it, or one cannot be read.
    """
    given = getattr(kind, "scriptdir", None)
    if not given:
        raise ValueError("it has no scriptdir")
    folder: Any = given  # whatever has iterdir, as importlib.resources gives it
    if not hasattr(folder, "iterdir"):
        folder = Path(given)
        if not folder.is_absolute():
            owner = next(each for each in kind.__mro__ if "scriptdir" in vars(each))
            module = getattr(sys.modules.get(owner.__module__), "__file__", None)
            folder = Path(module).parent / folder if module else folder.absolute()
    if not folder.is_dir():
        raise ValueError(f"its scriptdir {str(folder)!r} is no folder")
    try:
        names = sorted(each.name for each in folder.iterdir())
        verbs = [
            Verb(name.removesuffix(".lua"), (folder / name).read_bytes())
            for name in names
            if name.endswith(".lua") and not name.startswith(".")
        ]
    except OSError as error:
        raise ValueError(f"its scriptdir cannot be read: {error}") from error
    if not verbs:
        raise ValueError(f"there is no .lua file in its scriptdir {str(folder)!r}")
    return verbs


# -- arguments and replies ------------------------------------------------------------------


def argument(value: object) -> bytes:
    """An argument as Redis gets it, numbers as JavaScript writes them.

    :raises TypeError: if it is no ``str``, ``bytes``, ``int`` or ``float``.
    :raises ValueError: if it is a float without a value.
    """
    if isinstance(value, str):
        return encode(value)
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"an argument is a str, bytes, int or float, not {value!r}")
    if isinstance(value, int):
        return b"%d" % value
    if not math.isfinite(value):
        raise ValueError(f"an argument is a number, not {value!r}")
    return (b"%d" % value) if value.is_integer() and abs(value) < 1e21 else repr(value).encode()


def plain(reply: Any) -> Any:
    """A reply with text instead of bytes; bytes that are no UTF-8 come as surrogates."""
    if isinstance(reply, bytes):
        return decode(reply)
    if isinstance(reply, list):
        return [plain(each) for each in reply]
    return reply


def _expect(value: Any, *kinds: type) -> Any:
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise TypeError(f"{' or '.join(kind.__name__ for kind in kinds)}, not {value!r}")
    return value


def _integer(value: object) -> bytes:
    number: int = _expect(value, int)
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"an integer of 64 bits, not {number!r}")
    return b"%d" % number


def _seconds(value: object) -> bytes:
    if _expect(value, int, float) < 0:
        raise ValueError(f"not less than 0, not {value!r}")
    return argument(value)


def _milliseconds(value: object) -> bytes:
    return _seconds(_expect(value, int))


def _list(value: object) -> list[bytes]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise TypeError(f"several texts, not {value!r}")
    return [encode(_expect(each, str)) for each in value]


def _pairs(value: object) -> list[bytes]:
    items = _expect(value, Mapping).items()
    return [encode(_expect(each, str)) for pair in items for each in pair]


#: Kind of an argument in a header -> what makes bytes of a value, or a list of them.
ARGUMENTS: Final[dict[str, Callable[[Any], Any]]] = {
    "text": lambda value: encode(_expect(value, str)),
    "bytes": lambda value: _expect(value, bytes),
    "integer": _integer,
    "number": lambda value: argument(_expect(value, int, float)),
    "seconds": _seconds,
    "milliseconds": _milliseconds,
    "flag": lambda value: b"1" if _expect(value, bool) else b"0",
    "json": lambda value: json.dumps(value, separators=(",", ":")).encode(),
    "list": _list,
    "pairs": _pairs,
}

#: First word of ``Returns:`` -> what is made of the reply.
RESULTS: Final[dict[str, Callable[[Any], Any]]] = {
    "nothing": lambda reply: None,
    "integer": lambda reply: _expect(reply, int),
    "number": lambda reply: reply if isinstance(reply, int) else float(_expect(reply, bytes)),
    "text": lambda reply: decode(_expect(reply, bytes)),
    "bytes": lambda reply: _expect(reply, bytes),
    "json": lambda reply: json.loads(_expect(reply, bytes)),
    "list": lambda reply: plain(_expect(reply, list)),
    "pairs": lambda reply: dict(zip(*[iter(plain(_expect(reply, list)))] * 2, strict=True)),
}


# -- declarations ---------------------------------------------------------------------------


def _problems(script: Script) -> Iterator[str]:
    """What is wrong with a header that could be read."""
    for line in script.comment.splitlines():
        if (match := _MEANT.match(line)) and "[" in match[0] and not _PARAMETER.fullmatch(line):
            yield f"{line!r} is not '-- KEYS[n] name type meaning', nor ARGV with a unit"
    names = [each.name for each in (*script.keys, *script.arguments)]
    if len(set(names)) < len(names):
        yield "two parameters have one name"
    for key in script.keys:
        if key.kind not in KEY_KINDS:
            yield f"key {key.name} is a {key.kind}; there are {', '.join(KEY_KINDS)}"
    kinds = [each.kind for each in script.arguments]
    if kinds[: len(script.channels)] != ["channel"] * len(script.channels):
        yield "channels are its first arguments"
    for number, each in enumerate(script.arguments, 1):
        if each.kind not in (*ARGUMENTS, "channel"):
            yield f"{each.name} is {each.kind}; there are channel, {', '.join(ARGUMENTS)}"
        if each.kind in ("list", "pairs") and number < len(kinds):
            yield f"{each.name} is a {each.kind}, which can only be the last argument"
    if {each.split()[0] for each in script.publishes} != set(script.channels):
        yield "what it publishes does not agree with its channels"
    if script.returns.split()[0] not in RESULTS:
        yield f"it returns {script.returns!r}; that begins with {', '.join(RESULTS)}"
    for code in script.errors:
        if not _CODE.fullmatch(code) or code in SERVER_ERRORS or code == "ERR":
            yield f"{code!r} cannot be the code of an error: capital letters, none of Redis's"


class Declaration(Verb):
    """A verb with a header, which says how it is called.

    :ivar script: the header, read.
    :ivar parameters: arguments that its caller gives.
    :ivar signature: of the method.
    :raises ValueError: if the header is missing, or says something that cannot be.
    """

    script: Script
    parameters: Sequence[Parameter]
    signature: inspect.Signature

    def __init__(self, verb: Verb) -> None:
        super().__init__(verb.name, verb.source)
        try:
            script = Script(f"{verb.name}.lua", verb.source)
        except UnicodeDecodeError as error:
            raise ValueError(f"{verb.name}.lua: {error}") from error
        problems = list(_problems(script))
        parameters = script.arguments[len(script.channels) :]
        problems += [
            f"{each.name} is a word of Python" for each in parameters if iskeyword(each.name)
        ]
        if problems:
            raise ValueError(f"{verb.name}.lua: {'; '.join(problems)}")
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        signature = inspect.Signature([inspect.Parameter(p.name, kind) for p in parameters])
        object.__setattr__(self, "script", script)
        object.__setattr__(self, "parameters", parameters)
        object.__setattr__(self, "signature", signature)

    def pack(self, args: Sequence[object], named: Mapping[str, object]) -> list[bytes]:
        """The arguments as the script gets them, behind its channels.

        :raises TypeError: ValueError: if they are not what it declares.
        """
        if named or len(args) != len(self.parameters):
            try:
                args = self.signature.bind(*args, **named).args
            except TypeError as error:
                raise TypeError(f"{self.name}: {error}") from None
        packed: list[bytes] = []
        for parameter, value in zip(self.parameters, args, strict=True):
            try:
                made = ARGUMENTS[parameter.kind](value)
            except (TypeError, ValueError) as error:
                kind = TypeError if isinstance(error, TypeError) else ValueError
                what = f"{self.name}: {parameter.name} is {parameter.kind}"
                raise kind(f"{what}: {error}") from None
            packed += made if isinstance(made, list) else [made]
        return packed

    def result(self, reply: Any) -> Any:
        """What is made of a reply; no reply is None.

        :raises ValueError: TypeError: if it is not what the header says.
        """
        return None if reply is None else RESULTS[self.script.returns.split()[0]](reply)
