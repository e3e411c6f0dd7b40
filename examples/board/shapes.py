"""What the payloads of actions are: the names of feeds are made of them, so nothing else may be."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

__all__ = [
    *("Add", "Create", "Delegate", "Edit", "Import", "Move", "OfMember", "OfTask", "OfTeam"),
    *("Say", "Shape", "Undo"),
]

#: Bytes of a list that is imported, as bringing.js has it.
LONGEST_IMPORT = 200_000

TeamId = Annotated[str, Meta(pattern="^[0-9]{1,9}$")]
MemberId = Annotated[str, Meta(pattern="^[a-z0-9-]{1,40}$")]
ItemId = Annotated[str, Meta(pattern="^[0-9]{1,15}$")]
Position = Annotated[str, Meta(pattern="^(begin:|:end|:[0-9]{1,15}|[0-9]{1,15}:)$")]
Name = Annotated[str, Meta(min_length=1, max_length=60)]
Text = Annotated[str, Meta(min_length=1, max_length=500)]


class Shape(msgspec.Struct, forbid_unknown_fields=True):
    """What all payloads are."""


class Create(Shape):
    """A new team."""

    name: Name


class OfTeam(Shape):
    """Something about a team."""

    team: TeamId


class OfMember(OfTeam):
    """Something about a member's list."""

    member: MemberId


class OfTask(OfMember):
    """Something about a task in a member's list."""

    id: ItemId


class Add(OfMember):
    """A new task."""

    text: Text
    position: Position = "begin:"


class Edit(OfTask):
    """Another text for a task; ``was`` is the one that was seen."""

    changes: dict[str, Text]
    was: str | None = None


class Move(OfTask):
    """Another place for a task."""

    position: Position


class Delegate(OfTask):
    """A task for somebody else."""

    to: MemberId
    position: Position = "begin:"


class Say(OfTeam):
    """A word for all."""

    text: Text


class Import(OfMember):
    """Tasks out of a file."""

    text: Annotated[str, Meta(max_length=LONGEST_IMPORT)]
    name: Annotated[str, Meta(max_length=200)] = ""


class Undo(OfTeam):
    """The action to take back, by the id in the ``undo`` feed."""

    act: Annotated[str, Meta(min_length=1, max_length=200)]
