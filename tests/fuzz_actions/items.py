"""Makes items: right ones, and what becomes of them by one change or several."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz_actions.oracle import TEAMS

__all__ = ["Items", "found"]

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(["", "red", "1", "title", "\0", "a\nb", "-0-", "1-2-3"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["team", "id", "user", "teams", "changes", "action", "payload"])
            | st.text(max_size=8),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)

#: What is put in among the bytes of an item.
_TOKENS = (
    *(b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-0", b"9007199254740992", b"9" * 400),
    *(b"null", b"true", b"[]", b"{}", b"[" * 40, b'{"a":' * 40, b"]" * 5, b"}" * 5),
    *(b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\u0000"', b"\\u0041", b"\x00", b"\xff\xfe"),
    *(b"\xef\xbb\xbf", b"\xed\xa0\x80", b"/*x*/", b"'", b",", b",,", b":", b" ", b"\n"),
    *(b'"user":{"id":"root","teams":["red","blue","green"]},', b'"user":null,'),
    *(b'"action":"ship",', b'"payload":{},', b'"team":"red",', b'"can":true,', b'"can":1,'),
    *(b'"revisions":{"f":"-0-"},', b'"revisions":{"f":"1-2-3"},', b'"revisions":[],'),
)

_NAMES = (
    *("team", "id", "count", "text", "tags", "changes", "user", "title", "notes", "owner"),
    *("__proto__", "__class__", "action", "payload", "revisions", "can", "teams", ""),
)


def found(number: int, seeded: int) -> list[Any]:
    """So many values that Hypothesis finds."""
    values: list[Any] = []

    @seed(seeded)
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(_VALUES)
    def collect(value: Any) -> None:
        values.append(value)

    collect()
    return values


class Items:
    """An endless supply of items.

    :param values: that wrong ones have in them.
    """

    def __init__(self, values: list[Any], seeded: int) -> None:
        self._values = values
        self._random = random.Random(seeded)

    def make(self) -> bytes:
        """One more."""
        chance = self._random.random
        if chance() < 0.02:
            return self._bytes(self._pick(self._values))
        item: Any = self.right()
        if chance() < 0.85:
            for _ in range(self._random.choice((1, 1, 1, 2, 3))):
                item = self._change(item)
        data = self._bytes(item)
        if chance() < 0.3:
            for _ in range(self._random.choice((1, 1, 2, 5))):
                data = self._cut(data)
        return data

    def right(self) -> dict[str, Any]:
        """An item of somebody who may."""
        team = self._pick(TEAMS)
        action = self._pick(("ship", "note", "tag", "edit"))
        payload: dict[str, Any] = {"team": team}
        if action in ("ship", "edit"):
            payload["id"] = str(self._random.randrange(10**6))
        if action == "ship" and self._random.random() < 0.5:
            payload["count"] = self._random.randint(1, 99)
        if action == "note":
            payload["text"] = f"note {self._random.random()}"
        if action == "tag":
            payload = {"tags": [self._pick(("a", "bc", "def")) for _ in range(3)]}
        if action == "edit":
            names = self._random.sample(("title", "notes"), self._random.randint(0, 2))
            payload["changes"] = {name: f"{self._random.random()}" for name in names}
        user = {"id": self._random.randrange(10**6), "teams": [team]}
        return {"action": action, "user": user, "payload": payload}

    def _pick(self, some: Any) -> Any:
        return some[int(self._random.random() * len(some))]

    def _bytes(self, value: Any) -> bytes:
        is_ascii = self._random.random() < 0.5
        try:
            return json.dumps(value, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")
        except (RecursionError, ValueError):
            return b"[" * 100

    def _change(self, item: Any) -> Any:
        """Something is another, is missing, is there beside what is there, or is somewhere else."""
        pick, chance = self._pick, self._random.random()
        if not isinstance(item, dict):
            return pick(self._values)
        item = dict(item)
        if chance < 0.1:
            item["user"] = pick((None, {}, [], "root", {"id": 1, "teams": pick(self._values)}))
        elif chance < 0.2:
            item[pick(_NAMES)] = pick(self._values)
        elif chance < 0.25:
            item.pop(pick(list(item) or [""]), None)
        elif chance < 0.3:
            item["revisions"] = pick(({"f": "-0-"}, {"f": "1-2-3"}, pick(self._values)))
        elif chance < 0.35:
            item["user"] = {"id": 1, "teams": [pick(TEAMS)]}
        elif chance < 0.36:
            return [item]
        elif chance < 0.37:
            item["action"] = pick(("Ship", "none", "ship ", pick(self._values)))
        elif chance < 0.38:
            item["can"] = True
        elif chance < 0.4:
            deep: Any = pick(self._values)
            for _ in range(self._random.randint(1, 30)):
                deep = [deep] if self._random.random() < 0.5 else {"a": deep}
            item["payload"] = {**self._payload(item), pick(_NAMES): deep}
        else:
            item["payload"] = self._changed_payload(self._payload(item))
        return item

    def _payload(self, item: dict[str, Any]) -> dict[str, Any]:
        payload = item.get("payload")
        return dict(payload) if isinstance(payload, dict) else {}

    def _changed_payload(self, payload: dict[str, Any]) -> Any:
        pick, chance = self._pick, self._random.random()
        if chance < 0.1:
            return pick(self._values)
        if chance < 0.3:
            payload["user"] = {"id": "root", "teams": list(TEAMS)}
        elif chance < 0.5:
            payload.pop(pick(list(payload) or [""]), None)
        elif chance < 0.6:
            changes = payload.get("changes")
            changes = dict(changes) if isinstance(changes, dict) else {}
            payload["changes"] = {**changes, pick(_NAMES): pick(self._values)}
        elif chance < 0.65:
            payload[pick(_NAMES)] = "x" * pick((199, 200, 201, 5000, 9000))
        elif payload and chance < 0.85:
            payload[pick(list(payload))] = pick(self._values)
        else:
            payload[pick(_NAMES)] = pick(self._values)
        return payload

    def _cut(self, data: bytes) -> bytes:
        """Bytes are others, are missing, are there twice, or are put in."""
        random, chance = self._random, self._random.random()
        at = random.randrange(len(data) + 1)
        to = min(len(data), at + random.randint(1, 12))
        if chance < 0.2:
            return data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]
        if chance < 0.35:
            return data[:at] + data[to:]
        if chance < 0.45:
            return data[:to] + data[at:]
        if chance < 0.5:
            return data[:at]
        token = self._pick(_TOKENS)
        if chance < 0.75:  # where JSON has a place for it
            places = [i + 1 for i, byte in enumerate(data) if byte in b"{,[:"]
            at = self._pick(places) if places else at
        return data[:at] + token + data[at:]
