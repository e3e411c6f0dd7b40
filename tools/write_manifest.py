"""Write ``txthoonk/lua/manifest.json``: the scripts' headers for programs in other languages.

The headers are the source, as read by :mod:`txthoonk.scripts`; a test tells when the file is
behind them. ``docs/conformance.rst`` says what is in it and how to adopt the scripts.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from txthoonk.conformance.values import written
from txthoonk.events import KINDS, Kind
from txthoonk.keys import FeedKeys
from txthoonk.scripts import Parameter, Script, all_scripts
from txthoonk.verdicts import SCRIPT_ERRORS

LUA: Final = Path(__file__).parent.parent / "txthoonk" / "lua"
MANIFEST: Final = LUA / "manifest.json"

_INCLUDE: Final = re.compile(r"^-- include (\w+)$", re.MULTILINE)
_FUNCTION: Final = re.compile(r"^-- script (\w+/\w+)$", re.MULTILINE)

#: Of a feed whose name tells what stands where.
_KEYS: Final = FeedKeys(b"A:B:C", 7)


def pattern(name: bytes) -> str:
    """How a key or channel is spelt."""
    text = name.decode().replace("A:B:C", "[feed]").replace("A:B", "[start]")
    return text.replace(":7:", ":[db]:")


def names() -> dict[str, str]:
    """Every key and channel there is, as the scripts name them."""
    found = {}
    for name in vars(FeedKeys):
        if not name.startswith("_") and name not in ("name", "db"):
            value = getattr(_KEYS, name)
            if isinstance(value, bytes):
                found[name] = pattern(value)
    return found


def groups() -> dict[str, list[str]]:
    """What a parameter of type ``keys`` or ``channels`` stands for: several, in this order."""
    spelt = {spelling: name for name, spelling in reversed(names().items())}
    parameters = (p for script in all_scripts() for p in (*script.keys, *script.arguments))
    wanted = {p.name for p in parameters if p.kind in ("keys", "channels")}
    return {
        name: [spelt[pattern(key)] for key in getattr(_KEYS, name)()] for name in sorted(wanted)
    }


def event(kind: Kind) -> list[dict[str, Any]]:
    """The channels of a kind of event, and what the parts of a message there are."""
    fields = ["feed", "instance"] if kind.form == "feed" else list(_fields(kind))
    here = {"channel": kind.channel, "parts": fields}
    return [here, *(event(kind.also) if kind.also is not None else [])]


def _fields(kind: Kind) -> list[str]:
    fields: tuple[str, ...] = kind.event.__struct_fields__  # type: ignore[attr-defined]  # a Struct has it
    own = [name for name in fields if name not in ("feed", "revision")]
    return own[:1] if kind.form == "id" else own[:2]


def parameter(each: Parameter) -> dict[str, str]:
    """One key or argument."""
    return {"name": each.name, "type": each.kind, "meaning": each.meaning}


def told(publishes: str) -> dict[str, Any]:
    """One kind of message: ``channel id NUL item``."""
    channel, _, payload = publishes.partition(" ")
    return {"channel": channel, "parts": [part.strip() for part in payload.split(" NUL ")]}


def entry(script: Script) -> dict[str, Any]:
    """All there is to say of one script."""
    head = script.comment.split("--\n")[0].splitlines()
    kind, _, meaning = script.returns.partition("  ")
    text = (LUA / f"{script.name}.lua").read_text("utf-8")
    return {
        "file": f"{script.name}.lua",
        "includes": _INCLUDE.findall(text),
        "functions": _FUNCTION.findall(text),
        "sha1": script.sha.decode(),
        "purpose": " ".join(line.removeprefix("--").strip() for line in head),
        "keys": [parameter(each) for each in script.keys],
        "arguments": [parameter(each) for each in script.arguments],
        "returns": {"type": kind.strip(), "meaning": meaning.strip()},
        "errors": list(script.errors),
        "publishes": [told(each) for each in script.publishes],
    }


def manifest() -> str:
    """The whole file."""
    data = {
        "manifest": 1,
        "names": names(),
        "groups": groups(),
        "events": {name: event(kind) for name, kind in KINDS.items()},
        "errors": {code: error.__name__ for code, error in SCRIPT_ERRORS.items()},
        "scripts": {script.name: entry(script) for script in all_scripts()},
    }
    return written(data) + "\n"


if __name__ == "__main__":
    MANIFEST.write_text(manifest(), "utf-8")
