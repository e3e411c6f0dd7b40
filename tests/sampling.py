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
    """The keys of a feed; of its origin in the other dialect for those who bridge; and of another
    feed that is changed by a commit."""

    def __init__(self, name: bytes) -> None:
        super().__init__(name)
        self.others = {"origin_": LuaJobKeys(name), "changed_": FeedKeys(b"c:" + name)}

    def changing(self) -> tuple[bytes, ...]:
        changed = self.others["changed_"]
        return (*changed.changing(), changed.expiring)

    def telling(self) -> tuple[bytes, ...]:
        return self.others["changed_"].telling()

    def __getattr__(self, name: str) -> Any:
        for prefix, keys in self.others.items():
            if name.startswith(prefix):
                return getattr(keys, name.removeprefix(prefix))
        raise AttributeError(name)


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
