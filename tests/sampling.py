"""One path through a Lua script, as a sample for the tests that hold for every script."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from txthoonk.dialects import LuaJobKeys
from txthoonk.keys import FeedKeys

__all__ = [
    "KEYS",
    "NAME",
    "Command",
    "Sample",
    "conflicts",
    "grows",
    "reads",
    "refuses",
    "shrinks",
]

#: The feed they are called for; its name is no pattern, whatever it looks like.
NAME: Final = "a:{b}*"


class SampleKeys(FeedKeys):
    """The keys of a feed, and of its origin in the other dialect for those who bridge."""

    def __init__(self, name: bytes) -> None:
        super().__init__(name)
        self.origin = LuaJobKeys(name)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("origin_"):
            raise AttributeError(name)
        return getattr(self.origin, name.removeprefix("origin_"))


KEYS: Final = SampleKeys(NAME.encode())

Command = tuple[str | bytes, ...]


@dataclass(frozen=True)
class Sample:
    """One path through a script.

    :ivar before: commands that prepare its keys; their second word is an attribute of ``FeedKeys``.
    :ivar args: of the script, behind the channels.
    :ivar reply: what it answers.
    :ivar error: the code it refuses with, instead.
    :ivar effect: ``grows``: it needs memory; ``shrinks``: it must work without, though it may
        write; ``reads``: it changes nothing.
    :ivar whole: whether it looks at all of its keys; where there is nothing to do it need not.
    """

    before: tuple[Command, ...] = ()
    args: tuple[bytes, ...] = ()
    reply: Any = None
    effect: str = "reads"
    whole: bool = True
    error: str | None = None


def grows(*before: Command, args: tuple[bytes, ...], reply: Any = 1) -> Sample:
    return Sample(before, args, reply, "grows")


def shrinks(
    *before: Command, args: tuple[bytes, ...], reply: Any = 1, whole: bool = True
) -> Sample:
    return Sample(before, args, reply, "shrinks", whole)


def reads(*before: Command, args: tuple[bytes, ...] = (), reply: Any, whole: bool = True) -> Sample:
    return Sample(before, args, reply, "reads", whole)


def conflicts(*before: Command, args: tuple[bytes, ...], found: tuple[bytes | None, ...]) -> Sample:
    """A change that was made for another revision: not all keys are looked at then."""
    return Sample(before, args, [b"CONFLICT", *found], "reads", whole=False)


def refuses(error: str, *before: Command, args: tuple[bytes, ...]) -> Sample:
    return Sample(before, args, error=error)
