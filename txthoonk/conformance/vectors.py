"""The vectors that ship with txThoonk, as objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Final

from txthoonk.conformance.values import from_json

__all__ = ["ANY", "PARTS", "Step", "Vector", "all_vectors", "is_ours"]

#: What a driver may offer: the contract; revisions, events and conflicts of feeds; our additions
#: to jobs. In the first, what begins with ``tx.`` is not looked at.
PARTS: Final = ("contract", "revisions", "jobs")

#: Whatever it is, it is right.
ANY: Final = object()


def is_ours(name: str) -> bool:
    """Whether a key or channel is one of txThoonk's additions."""
    return name.startswith("tx.")


@dataclass(frozen=True)
class Step:
    """One request, or one message that a listener gets, and what must come of it.

    :ivar verb: what the driver is asked for; empty where the runner does something.
    :ivar args: with symbols, as all that follows.
    :ivar message: channel and payload that the runner publishes.
    :ivar redis: commands that it gives, as another program would.
    :ivar heard: the events that the listener makes of it.
    :ivar returned: the reply; :data:`ANY` where it is not looked at.
    :ivar any_order: *returned* is a list in no order.
    :ivar contains: what *returned* has among others.
    :ivar raised: name of the error instead.
    :ivar details: of the error.
    :ivar after: keys afterwards; None: as before.
    :ivar messages: channels and payloads, in order.
    """

    verb: str
    args: dict[str, Any] = field(default_factory=dict)
    message: tuple[str, str] | None = None
    redis: list[list[str]] | None = None
    heard: list[Any] = field(default_factory=list)
    returned: Any = ANY
    any_order: bool = False
    contains: list[Any] | None = None
    raised: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] | None = None
    messages: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True)
class Vector:
    """One thing that an implementation must do right.

    :ivar part: one of :data:`PARTS`.
    :ivar verb: that it is about, which is that of a file.
    :ivar says: the rule.
    :ivar feed: what comes behind the name that the runner makes up.
    :ivar given: the keys there are.
    """

    part: str
    verb: str
    name: str
    says: str
    given: dict[str, Any]
    steps: tuple[Step, ...]
    feed: str = ""

    @property
    def needs(self) -> set[str]:
        """The verbs that a driver must offer for this."""
        verbs = {step.verb for step in self.steps if step.verb}
        return {self.verb if verb == "listen" else verb for verb in verbs}


def read_step(data: dict[str, Any], verb: str) -> Step:
    """A step as a file has it."""
    data = dict(data)
    message = data.get("message")
    if message is not None:
        return Step("", message=tuple(message), heard=data.get("heard", []))
    if "redis" in data:
        return Step("", **data)
    return Step(data.pop("verb", verb), **data)


def read_vectors(text: str) -> Iterator[Vector]:
    """The vectors of a file."""
    data = from_json(json.loads(text))
    for each in data["vectors"]:
        each = dict(each)
        steps = tuple(read_step(step, data["verb"]) for step in each.pop("steps"))
        yield Vector(data["part"], data["verb"], steps=steps, given=each.pop("given", {}), **each)


@cache
def all_vectors() -> tuple[Vector, ...]:
    """Every vector there is: the parts in their order, verbs by name."""
    folder = files("txthoonk.conformance") / "vectors"
    return tuple(
        vector
        for part in PARTS
        for file in sorted((folder / part).iterdir(), key=lambda f: f.name)
        if file.name.endswith(".json")
        for vector in read_vectors(file.read_text("utf-8"))
    )
