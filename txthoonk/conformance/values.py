"""Text and bytes in JSON: what is UTF-8 is a string, all else ``{"base64": ...}``.

Inside, both are ``str``: bytes that are no UTF-8 are surrogates, as everywhere in txThoonk.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from txthoonk.keys import decode, encode

__all__ = ["from_json", "to_json", "written"]


def to_json(value: Any) -> Any:
    """What can be written as JSON."""
    if isinstance(value, bytes):
        value = decode(value)
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return {"base64": base64.b64encode(encode(value)).decode()}
        return str(value)
    if isinstance(value, dict):
        return {to_json(key): to_json(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(each) for each in value]
    return value


def from_json(value: Any) -> Any:
    """The opposite of :func:`to_json`, but bytes are text with surrogates."""
    if isinstance(value, dict):
        if value.keys() == {"base64"}:
            return decode(base64.b64decode(value["base64"]))
        return {key: from_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [from_json(each) for each in value]
    return value


def written(value: Any, depth: int = 0) -> str:
    """JSON to be read by people: short things on one line."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) + depth <= 100 or not isinstance(value, (dict, list)):
        return flat
    pad = " " * (depth + 1)
    if isinstance(value, list):
        inner = ",\n".join(pad + written(each, depth + 1) for each in value)
        return f"[\n{inner}\n{' ' * depth}]"
    inner = ",\n".join(
        f"{pad}{json.dumps(key, ensure_ascii=False)}: {written(each, depth + 1)}"
        for key, each in value.items()
    )
    return f"{{\n{inner}\n{' ' * depth}}}"
