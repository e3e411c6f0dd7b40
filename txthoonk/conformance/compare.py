"""What differs between what a vector says and what is there."""

from __future__ import annotations

import json
from typing import Any

from txthoonk.conformance.symbols import Symbols
from txthoonk.conformance.values import to_json
from txthoonk.conformance.vectors import ANY, Step

__all__ = ["compare_keys", "compare_messages", "compare_reply", "shown"]


def shown(value: Any) -> str:
    """Something for a line of the table."""
    text = json.dumps(to_json(value), ensure_ascii=False)
    return text if len(text) <= 120 else text[:117] + "..."


def compare_reply(step: Step, reply: dict[str, Any], symbols: Symbols) -> list[str]:
    """What differs in what the driver answered."""
    raised = reply.get("raised")
    if raised != step.raised:
        if step.raised is None:
            return [f"fails with {raised}: {reply.get('says', '')}".removesuffix(": ")]
        if raised is None:
            return [f"does not fail with {step.raised}"]
        return [f"fails with {raised}, not {step.raised}"]
    if raised is not None:
        details = reply.get("details") or {}
        return [
            f"{name} of {raised} is {shown(details.get(name))}, not {shown(symbols.fill(value))}"
            for name, value in step.details.items()
            if not symbols.match(value, details.get(name))
        ]
    returned, expected = reply.get("returned"), step.returned
    if step.contains is not None:
        missing = [each for each in symbols.fill(step.contains) if each not in (returned or [])]
        return [f"returns a list without {shown(missing)}"] if missing else []
    if expected is ANY:
        return []
    if step.any_order and isinstance(returned, list):
        expected, returned = sorted(symbols.fill(expected)), sorted(returned)
    if symbols.match(expected, returned):
        return []
    return [f"returns {shown(returned)}, not {shown(symbols.fill(expected))}"]


def compare_messages(
    expected: list[list[str]], told: list[tuple[str, str]], symbols: Symbols
) -> list[str]:
    """What differs in what was told, and in which order."""
    actual = [list(message) for message in told]
    if len(expected) == len(actual) and all(map(symbols.match, expected, actual)):
        return []
    wanted = symbols.fill(expected)
    if len(wanted) == len(actual) and sorted(wanted) == sorted(actual):
        return [f"tells in the order {shown([channel for channel, _ in actual])}"]
    found = []
    left = list(actual)
    for message in expected:
        same = next((each for each in left if symbols.match(message, each)), None)
        if same is None:
            found.append(f"does not tell {shown(symbols.fill(message))}")
        else:
            left.remove(same)
    return found + [f"tells {shown(message)}" for message in left] or [
        f"tells in the order {shown([channel for channel, _ in actual])}"
    ]


def compare_keys(expected: dict[str, Any], actual: dict[str, Any], symbols: Symbols) -> list[str]:
    """What differs in what is stored."""
    expected = symbols.fill(expected)
    found = [f"leaves {key} {shown(actual[key]['value'])}" for key in actual.keys() - expected]
    for key, wanted in expected.items():
        there = actual.get(key)
        if there is None:
            found.append(f"{key} is not there")
        elif there["type"] != wanted["type"]:
            found.append(f"{key} is a {there['type']}, not a {wanted['type']}")
        elif not _same(wanted["type"], wanted["value"], there["value"], symbols):
            value = symbols.fill(wanted["value"])
            found.append(f"{key} is {shown(there['value'])}, not {shown(value)}")
    return sorted(found)


def _same(kind: str, expected: Any, actual: Any, symbols: Symbols) -> bool:
    if kind == "zset":
        actual = _in_order(actual, [member for member, _ in symbols.fill(expected)])
        return len(expected) == len(actual) and all(
            symbols.match(member, there) and symbols.match_score(score, scored)
            for (member, score), (there, scored) in zip(expected, actual, strict=True)
        )
    if kind == "set":
        return symbols.match(sorted(symbols.fill(expected)), sorted(actual))
    return symbols.match(expected, actual)


def _in_order(pairs: list[list[str]], members: list[str]) -> list[list[str]]:
    """Members by score; what came in one instant is in no order, so in that which is expected."""

    def place(pair: list[str]) -> tuple[float, int]:
        member, score = pair
        return float(score), members.index(member) if member in members else -1

    return sorted(pairs, key=place)
