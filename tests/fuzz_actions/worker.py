"""The worker that is fuzzed: four actions, whose functions trust nobody."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from tests.fuzz_actions.oracle import DEPTH, SIZE, expected, read
from txthoonk.actions import Act, Actions, Id, Name

__all__ = ["make_actions"]


class Ship(msgspec.Struct, forbid_unknown_fields=True):
    team: Name
    id: Id
    count: Annotated[int, msgspec.Meta(ge=1, le=99)] = 1


class Note(msgspec.Struct):
    team: str
    text: str


class Edit(msgspec.Struct, forbid_unknown_fields=True):
    team: Name
    id: Id
    changes: dict[str, str]


TAG = {
    "type": "object",
    "properties": {
        "tags": {
            "type": "array",
            "maxItems": 5,
            "items": {"type": "string", "pattern": "^[a-z]{1,8}$", "not": {"pattern": "\n"}},
        }
    },
    "required": ["tags"],
}


def _is_member(user: Any, payload: Any) -> bool:
    teams = user.get("teams") if isinstance(user, dict) else None
    return isinstance(teams, list) and payload.team in teams


async def _is_member_slowly(user: Any, payload: Any) -> bool:
    return _is_member(user, payload)


def make_actions(group: str) -> Actions:
    """The actions. What a function sees that it must not see is in its answer as ``wrong``."""
    actions = Actions(group, max_size=SIZE, max_depth=DEPTH, result_ttl=2)

    def done(act: Act) -> dict[str, Any]:
        assert act.claim is not None
        item = read(act.claim.item)
        wrong = expected(act.claim.item) is False or act.user != item["user"]
        wrong = wrong or act.name != item["action"] or act.claim.cancelled
        said = msgspec.to_builtins(act.payload)
        wrong = wrong or any(item["payload"].get(name, 1) != said[name] for name in said)
        return {"user": act.user, "wrong": bool(wrong)}

    async def done_slowly(act: Act) -> dict[str, Any]:
        return done(act)

    actions.action("ship", Ship, authorize=_is_member)(done)
    actions.action("note", Note, authorize=_is_member_slowly)(done_slowly)
    actions.action("tag", schema=TAG, authorize=lambda user, payload: user is not None)(done)
    actions.action("edit", Edit, authorize=_is_member, editable=("title", "notes"))(done_slowly)
    return actions
