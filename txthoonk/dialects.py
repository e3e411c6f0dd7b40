"""The dialects of the wire: the names that each generation of Thoonk gives to the same things.

``contract`` is spoken by thoonk.py and thoonk.js, ``lua`` by thoonk-jobs on thoonk.js 1.0 and by
the ``scripting`` branches. The scripts are the same: keys and channels are given to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from txthoonk.errors import NotInDialect
from txthoonk.keys import FeedKeys

__all__ = ["CONTRACT", "DIALECTS", "LUA", "Dialect", "LuaFeedKeys", "LuaJobKeys", "get_dialect"]

#: Channels about feeds as such, whatever their family.
_OF_INSTANCE: Final = frozenset({"newfeed", "delfeed", "conffeed"})
#: Channels on which feeds and sorted feeds tell what changes; all others are of jobs.
_OF_FEEDS: Final = frozenset(
    {"publish_channel", "edit_channel", "retract_channel", "position_channel"}
)


class LuaFeedKeys(FeedKeys):
    """Of a feed in dialect ``lua``: the contract's keys, channels of its own."""

    __slots__ = ()


class LuaJobKeys(FeedKeys):
    """Of jobs in dialect ``lua``.

    Its programs work on jobs that nobody has listed: keys without a name in ``jobs`` are no
    leftovers.
    """

    __slots__ = ()

    LISTS_ALL = False


#: What does not follow from the contract's name.
_FEED_NAMES: Final = {
    "publish_channel": "event.feed.publish:",
    "edit_channel": "event.feed.edit:",
    "retract_channel": "event.feed.retract:",
    "position_channel": "event.feed.position:",
}
_JOB_NAMES: Final = {
    "feeds": "jobs",
    "newfeed": "tx.job.newfeed",
    "delfeed": "tx.job.delfeed",
    "conffeed": "tx.job.conffeed",
    "finish_channel": "event.job.finish:",
    # Here a message without its NUL is what says that there is no result.
    "done_channel": "event.job.finish:",
    "put_channel": "tx.job.put:",
    "claim_channel": "tx.job.claim:",
}


def _rename(keys: type[FeedKeys], names: Mapping[str, str], prefixes: Mapping[str, str]) -> None:
    """Give a class its names: those that are spelt out, and the contract's with other prefixes."""
    for attribute, key in vars(FeedKeys).items():
        kind = getattr(key, "kind", b"").decode()
        for prefix, other in prefixes.items():
            if kind.startswith(prefix):
                setattr(keys, attribute, type(key)(other + kind[len(prefix) :]))
                break
        if attribute in names:
            setattr(keys, attribute, type(key)(names[attribute]))


# Jobs and feeds may have the same name here, so what we add to feeds has a prefix of its own.
_rename(LuaFeedKeys, _FEED_NAMES, {"tx.feed.": "tx.job.feed."})
_rename(LuaJobKeys, _JOB_NAMES, {"tx.feed.": "tx.job.", "feed.": "job."})


class Dialect:
    """The names of one generation of Thoonk, and what it cannot say.

    :param name: as users give it.
    :param families: family of types -> class of its keys; those of one class share their names.
    :param serializers: family -> serializer where none is given; ``text`` for the others.
    :param refused: option -> the values that cannot be said, and why.
    :param unheard: kind of event -> why nobody tells it.
    """

    def __init__(
        self,
        name: str,
        families: Mapping[str, type[FeedKeys]],
        serializers: Mapping[str, str] | None = None,
        refused: Mapping[str, tuple[tuple[Any, ...], str]] | None = None,
        unheard: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.families = dict(families)
        self.serializers = dict(serializers or {})
        self.refused = dict(refused or {})
        self.unheard = dict(unheard or {})
        #: One class of keys for each set of names.
        self.kinds: tuple[type[FeedKeys], ...] = tuple(dict.fromkeys(self.families.values()))

    def __repr__(self) -> str:
        return f"<dialect {self.name}>"

    def keys(self, family: str, name: bytes, db: int = 0) -> FeedKeys:
        """The keys of a feed.

        :param family: ``feed``, ``sorted_feed``, ``queue`` or ``job``.
        :raises NotInDialect: if the dialect has no such feeds.
        """
        kind = self.families.get(family)
        if kind is None:
            known = ", ".join(self.families)
            raise NotInDialect(
                name.decode("utf-8", "surrogateescape"),
                f"dialect {self.name!r} has no {family}; it has {known}",
            )
        return kind(name, db)

    def every_keys(self, name: bytes, db: int = 0) -> tuple[FeedKeys, ...]:
        """What keys that name may have; more than one where families share none."""
        return tuple(kind(name, db) for kind in self.kinds)

    def channels(self, attribute: str, name: bytes = b"") -> tuple[bytes, ...]:
        """Where a kind of message comes.

        :param attribute: of ``FeedKeys``.
        :param name: of the feed, or what stands for it.
        """
        if len(self.kinds) == 1 or attribute in _OF_INSTANCE:
            kinds = self.kinds
        else:
            kinds = (self.families["feed" if attribute in _OF_FEEDS else "job"],)
        return tuple(getattr(kind(name), attribute) for kind in kinds)

    def serializer(self, family: str) -> str:
        """Name of the serializer of feeds that are given none."""
        return self.serializers.get(family, "text")

    def check_options(self, feed: str, options: Mapping[str, Any]) -> None:
        """Refuse options that the dialect's other programs would not keep to.

        :raises NotInDialect: if there is one.
        """
        for option, (values, why) in self.refused.items():
            if option in options and options[option] in values:
                raise NotInDialect(
                    feed, f"{option}={options[option]!r} cannot be in dialect {self.name!r}: {why}"
                )

    def check_event(self, kind: str, feed: str) -> None:
        """Refuse to listen for what nobody tells.

        :raises NotInDialect: if it is that.
        """
        if kind in self.unheard:
            raise NotInDialect(feed, f"dialect {self.name!r} has no {kind!r}: {self.unheard[kind]}")


_FOUR: Final = ("feed", "sorted_feed", "queue", "job")

CONTRACT: Final = Dialect("contract", dict.fromkeys(_FOUR, FeedKeys))

LUA: Final = Dialect(
    "lua",
    {"feed": LuaFeedKeys, "job": LuaJobKeys},
    serializers={"job": "thoonk-jobs"},
    refused={"clock": (("s",), "its scores are milliseconds")},
    unheard={"position": "it has no sorted feeds", "move": "it has no sorted feeds"},
)

DIALECTS: Final = {dialect.name: dialect for dialect in (CONTRACT, LUA)}


def get_dialect(name: str) -> Dialect:
    """The dialect of that name.

    :raises ValueError: if there is none.
    """
    if name not in DIALECTS:
        known = ", ".join(map(repr, DIALECTS))
        raise ValueError(f"no dialect {name!r}; there are {known}")
    return DIALECTS[name]
