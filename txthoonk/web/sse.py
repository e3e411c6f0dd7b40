"""Feeds as Server-Sent Events: what an ``EventSource`` reads and resumes by itself."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Final
from weakref import WeakValueDictionary

import msgspec

from txthoonk.keys import decode, encode
from txthoonk.messages import encode_message
from txthoonk.web.channel import Channel, Message
from txthoonk.web.frames import COMMENT, event
from txthoonk.web.hub import Hub
from txthoonk.web.stream import ClientStream

__all__ = ["EventStream", "Groups", "pack_places", "read_places"]

#: How long a token may be: it comes back as a header, of which servers take 8 to 16 KB.
LONGEST: Final = 8000

#: What a token costs grows with the number of feeds: where there are more than these, first states
#: have none, and the one of all of them follows.
MANY: Final = 100

#: A stream of one feed has the place in that feed as its token.
ONE: Final = "one"

_ENCODER: Final = msgspec.msgpack.Encoder()
#: Names as Redis has them: not each is UTF-8.
_PLACES: Final = msgspec.msgpack.Decoder(dict[bytes, str])


def pack_places(places: Mapping[str, str]) -> str:
    """The token of a stream of several feeds; empty where it would be too long."""
    by_name = {encode(name): at for name, at in places.items()}
    packed = zlib.compress(_ENCODER.encode(by_name), 1)
    token = "m" + base64.urlsafe_b64encode(packed).rstrip(b"=").decode()
    return token if len(token) <= LONGEST else ""


def read_places(token: str) -> dict[str, str]:
    """The opposite of :func:`pack_places`.

    :raises ValueError: if it is no such token.
    """
    if token[:1] != "m" or len(token) > LONGEST:
        raise ValueError("this is no token of a stream")
    data = token[1:].encode("ascii", "replace")
    try:
        packed = base64.b64decode(data + b"=" * (-len(data) % 4), b"-_", validate=True)
        machine = zlib.decompressobj()
        places = machine.decompress(packed, 100 * LONGEST)
        if not machine.eof:
            raise ValueError("too large, or cut off")
        return {decode(name): at for name, at in _PLACES.decode(places).items()}
    except (ValueError, zlib.error, msgspec.MsgspecError) as error:
        raise ValueError(f"this is no token of a stream: {error}") from None


class Group:
    """The streams that have the same channels: as long as none is behind, their token is one."""

    __slots__ = ("__weakref__", "_channels", "_stamp", "_token")

    def __init__(self, channels: Iterable[Channel]) -> None:
        self._channels = tuple(channels)
        self._stamp = -1
        self._token = ""

    def token(self, stamp: int) -> str:
        """Where all channels are.

        :param stamp: whatever was made at an earlier one is too old.
        """
        if stamp != self._stamp:
            self._stamp = stamp
            self._token = pack_places({each.name: each.at for each in self._channels if each.at})
        return self._token


class Groups:
    """The groups of a process."""

    def __init__(self) -> None:
        self._groups: WeakValueDictionary[frozenset[Channel], Group] = WeakValueDictionary()

    def get(self, channels: Iterable[Channel]) -> Group:
        """The group of the streams that have these."""
        key = frozenset(channels)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(key)
        return group


class EventStream(ClientStream):
    """An ``EventSource``, or whatever else reads such streams.

    :param is_one: whether it is of one feed.
    """

    __slots__ = ("_groups", "_is_new", "_is_one")

    def __init__(self, hub: Hub, user: Any, user_id: str, groups: Groups, is_one: bool) -> None:
        super().__init__(hub, user, user_id)
        self._groups = groups
        self._is_one = is_one
        self.group = ONE if is_one else None
        #: Whether the client has not got all that there was when it came.
        self._is_new = True

    def regroup(self) -> None:
        """It has other channels than before."""
        if not self._is_one:
            self.group = self._groups.get(self.channels.values())

    def data(self, channel: Channel, message: Message) -> bytes:
        """A message as an event, with the token after it."""
        if self._is_one:
            return event(message.text, message.at or None)
        if self.behind is None:
            group: Any = self.group
            return event(message.text, group.token(self.hub.stamp))
        if self._is_new and len(self.channels) > MANY:
            return event(message.text, None)
        return event(message.text, self._token())

    def _token(self) -> str:
        """Where it is in each of its channels."""
        return pack_places(
            {
                name: place
                for name, channel in self.channels.items()
                if (place := channel.place(self.cursor(channel)))
            }
        )

    def answer(self, answer: Mapping[str, Any]) -> bytes:
        """What is of no feed as an event; the token that the client has stands."""
        return event(encode_message(answer), None)

    def ready(self) -> None:
        """All that there was when the client came is on its way."""
        self.say_then({"type": "ready"})

    def caught_up(self) -> None:
        """The client has been sent all that there is."""
        is_new, self._is_new = self._is_new, False
        if is_new and not self._is_one and len(self.channels) > MANY:
            group: Any = self.group
            self.write(b"id: %b\n\n" % group.token(self.hub.stamp).encode())

    def _beat(self) -> None:
        self.write(COMMENT)
