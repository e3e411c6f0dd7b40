"""What is to be done, and what not: said once more, by hand, and shorter."""

from __future__ import annotations

import json
import math
import re
from typing import Any

__all__ = ["DEPTH", "SIZE", "TEAMS", "expected", "read"]

SIZE, DEPTH = 8192, 12
TEAMS = ("red", "blue", "green")

_PLACE = re.compile(r"[0-9a-z]{0,13}-[0-9a-z]{1,13}-[0-9a-z]{0,13}")


def read(data: bytes) -> Any:
    """The value of I-JSON text; ValueError if it is none."""
    if len(data) > SIZE:
        raise ValueError("size")
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("depth") from None
    _look(value, 1)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError("twice")
    return dict(pairs)


def _look(value: Any, depth: int) -> None:
    if isinstance(value, str):
        value.encode("utf-8")
    elif isinstance(value, bool) or value is None:
        pass
    elif isinstance(value, int):
        if not -(2**53) < value < 2**53:
            raise ValueError("large")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("large")
    else:
        if depth > DEPTH:
            raise ValueError("depth")
        for each in value:
            if isinstance(value, dict):
                _look(each, depth)
            _look(value[each] if isinstance(value, dict) else each, depth + 1)


def expected(data: bytes) -> bool | None:
    """Whether the function is to be called.

    None: it may be answered as if, or refused: what is only asked, or depends on what is in Redis.
    """
    try:
        item = read(data)
    except ValueError:
        return False
    if not isinstance(item, dict) or not {"action", "user"} <= item.keys():
        return False
    action, payload = item["action"], item.get("payload", {})
    if not isinstance(action, str) or not isinstance(payload, dict):
        return False
    if not isinstance(item.get("can", False), bool):
        return False
    revisions = item.get("revisions") or {}
    if item.get("revisions") is not None and not isinstance(item["revisions"], dict):
        return False
    for name, place in revisions.items():
        fits = isinstance(place, str) and _PLACE.fullmatch(place)
        if not (name and "\0" not in name and fits):
            return False
    right = _RIGHT.get(action)
    if right is None or not right(payload) or len(revisions) > 32:
        return False
    if not _may(item["user"], payload, action):
        return False
    if item.get("can"):
        return None
    return None if any(place != "-0-" for place in revisions.values()) else True


def _may(user: Any, payload: dict[str, Any], action: str) -> bool:
    if action == "tag":
        return user is not None
    if not isinstance(user, dict) or not isinstance(user.get("teams"), list):
        return False
    return payload["team"] in user["teams"]


def _text(value: Any, longest: int = 200) -> bool:
    return (
        isinstance(value, str)
        and 0 < len(value) <= longest
        and not any(character < " " for character in value)
    )


def _is_ship(payload: dict[str, Any]) -> bool:
    return (
        payload.keys() <= {"team", "id", "count"}
        and _text(payload.get("team"))
        and _text(payload.get("id"))
        and type(payload.get("count", 1)) is int
        and 1 <= payload.get("count", 1) <= 99
    )


def _is_note(payload: dict[str, Any]) -> bool:
    return isinstance(payload.get("team"), str) and isinstance(payload.get("text"), str)


def _is_tag(payload: dict[str, Any]) -> bool:
    tags = payload.get("tags")
    if not isinstance(tags, list) or len(tags) > 5:
        return False
    return all(isinstance(tag, str) and re.fullmatch("[a-z]{1,8}", tag) for tag in tags)


def _is_edit(payload: dict[str, Any]) -> bool:
    changes = payload.get("changes")
    return (
        payload.keys() <= {"team", "id", "changes"}
        and _text(payload.get("team"))
        and _text(payload.get("id"))
        and isinstance(changes, dict)
        and changes.keys() <= {"title", "notes"}
        and all(isinstance(value, str) for value in changes.values())
    )


_RIGHT = {"ship": _is_ship, "note": _is_note, "tag": _is_tag, "edit": _is_edit}
