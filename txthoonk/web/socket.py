"""``GET socket``: feeds, patterns and actions on one WebSocket.

Twisted's own ``twisted.web.websocket`` keeps a message of any size and raises what a client has
done wrong; what stands on the same library, wsproto, here has limits and closes such connections.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from io import StringIO
from typing import Any, Final

import msgspec
from h11 import ProtocolError
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.web.server import Request
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Pong,
    TextMessage,
)
from wsproto.handshake import H11Handshake
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from txthoonk.keys import check_name, encode
from txthoonk.messages import encode_message
from txthoonk.web.access import Access, user_id
from txthoonk.web.channel import Channel, Message
from txthoonk.web.frames import PING, are_whole, close_frame, frame, frame_head, pong
from txthoonk.web.handling import LONGEST_NAME, JsonResource
from txthoonk.web.hub import Hub
from txthoonk.web.replies import WebError, is_gone, web_error
from txthoonk.web.stream import ClientStream
from txthoonk.web.topics import keys_of

__all__ = ["Command", "SocketResource"]

#: What an action or a question on the socket is answered with.
Command = Callable[[Any, Mapping[str, Any], str], Awaitable[Mapping[str, Any]]]

_DECODER: Final = msgspec.json.Decoder()


class Socket(ClientStream):
    """A client on a WebSocket.

    :param resource: that it has come to.
    """

    __slots__ = ("_asked", "_connection", "_resource", "_text", "_text_size", "address")

    log = Logger()

    def __init__(self, hub: Hub, user: Any, user_id: str, resource: SocketResource) -> None:
        super().__init__(hub, user, user_id)
        #: What reads its frames. Most come by themselves and whole: then it has none in between, as
        #: most of its memory would be that.
        self._connection: Connection | None = None
        self._resource = resource
        #: The parts of a message that has not come to its end.
        self._text: StringIO | None = None
        self._text_size = 0
        #: Actions and questions that are not answered.
        self._asked: set[Deferred[None]] | None = None
        #: Where it comes from, for the limits of who is not known.
        self.address = ""

    # -- what comes -------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """The client sends something."""
        self.alive = self.hub.now()
        if self.closed:
            return
        connection = self._connection
        if connection is None:
            connection = Connection(ConnectionType.SERVER)
            if not are_whole(data):
                self._connection = connection
        try:
            connection.receive_data(data)
            for event in connection.events():
                if not self.closed:
                    self._received(event)
        except (RemoteProtocolError, LocalProtocolError):
            self.end(1002, "this is no WebSocket")
        except UnicodeDecodeError:
            self.end(1007, "text is UTF-8")

    def _received(self, event: Any) -> None:
        if isinstance(event, TextMessage):
            self._text_size += len(event.data) + 1  # empty parts are kept, too
            if self._text_size > self._resource.max_message:
                self.end(1009, "the message is too large")
            elif event.message_finished:
                text = event.data if self._text is None else self._text.getvalue() + event.data
                self._text, self._text_size = None, 0
                self._message(text)
            else:
                self._text = self._text or StringIO()  # a list of small texts is many times that
                self._text.write(event.data)
        elif isinstance(event, Ping):
            self._reply(pong(bytes(event.payload)))
        elif isinstance(event, CloseConnection):
            # The client's own code, or that of what was wrong with its frames.
            may_be_sent = event.code not in (1005, 1006, 1015)
            self.close(close_frame(event.code if may_be_sent else 1000))
        elif isinstance(event, BytesMessage):
            self.end(1003, "messages are text")
        elif not isinstance(event, Pong):
            self.end(1002, "this is no WebSocket")

    def _reply(self, data: bytes) -> None:
        if self._is_free():
            self.write(data)

    def _message(self, text: str) -> None:
        wait = self._resource.access.take(self.user, 1, self.address)
        if wait:
            error = {"code": 429, "error": "too many messages", "retry_after": round(wait, 3)}
            ref = (_read(text) or {}).get("ref")
            self.say({"type": "error", "ref": ref, **error})
            return
        message = _read(text)
        if message is None:
            self.say({"type": "error", "ref": None, "code": 400, "error": "this is no message"})
            return
        done = Deferred.fromCoroutine(self._do(message))
        if not done.called and ("action" in message or "can" in message):
            if self._asked is None:
                self._asked = set()
            self._asked.add(done)
            done.addBoth(self._answered, done)
        done.addErrback(self._failed, message.get("ref"))
        done.addErrback(lambda f: self.log.failure("A message failed", failure=f))

    def _answered(self, outcome: Any, done: Deferred[None]) -> Any:
        if self._asked is not None:
            self._asked.discard(done)
        return outcome

    def _end(self) -> None:
        super()._end()
        self._connection = None
        asked, self._asked = self._asked, None
        for each in asked or ():
            each.cancel()  # nobody waits for the answer; what is to be done is done all the same

    async def _do(self, message: dict[str, Any]) -> None:
        ref = message.get("ref")
        resource = self._resource
        if "subscribe" in message:
            feeds, patterns = resource.read_wanted(message["subscribe"])
            there = {each.key for each in self.topics}.union(*(self.asked or ()))
            if len(there.union(keys_of(feeds, patterns))) > resource.most:
                raise WebError(400, f"at most {resource.most} feeds and patterns on a socket")
            names = len(feeds) + sum(len(each or ()) for each in patterns.values())
            resource.access.charge(self.user, len(patterns), names, self.address)
            await self.hub.subscribe(self, feeds, patterns)
            self.say_then({"type": "done", "ref": ref})
        elif "unsubscribe" in message:
            feeds, patterns = resource.read_wanted(message["unsubscribe"])
            resource.access.charge(self.user, 0, len(feeds) + len(patterns), self.address)
            self.hub.unsubscribe(self, list(feeds), list(patterns))
            self.say({"type": "done", "ref": ref})
        elif "action" in message or "can" in message:
            answer = dict(await resource.command(self.user, message, self.address))
            answer.setdefault("type", "can" if "can" in message else "result")
            self.say({**answer, "ref": ref})
        else:
            raise WebError(400, "this is no message")

    def _failed(self, failure: Any, ref: Any) -> None:
        if self.closed and failure.check(CancelledError):
            return
        error = web_error(failure.value)
        self.say({"type": "error", "ref": ref, **error.answer})

    # -- what goes --------------------------------------------------------------------------

    def data(self, channel: Channel, message: Message) -> bytes:
        """A message as a frame."""
        return frame(message.text)

    def ends(self, channel: Channel, message: Message) -> tuple[bytes, bytes]:
        """What is around it in a frame."""
        return frame_head(len(message.text)), b""

    def answer(self, answer: Mapping[str, Any]) -> bytes:
        """What is of no feed as a frame."""
        return frame(encode_message(answer))

    def end(self, code: int, why: str) -> None:
        """End the connection; the client is told why, if it reads."""
        self.close(close_frame(code, why))

    def beat(self, now: float, patience: float) -> None:
        """Ask whether the client is there; end what has not answered for so long."""
        if now - self.alive > patience:
            self.end(1001, "no sign of life")
        elif self._is_free():
            self.write(PING)


class SocketResource(JsonResource):
    """What a browser's ``new WebSocket(url)`` connects to.

    :param access: who may.
    :param hub: of the process.
    :param most: how many feeds and patterns a socket may subscribe to.
    :param max_message: how large a message may be, characters.
    :param command: does actions, and answers what a user can do.
    """

    has_head = False

    def __init__(
        self, access: Access, hub: Hub, most: int, max_message: int, command: Command
    ) -> None:
        super().__init__(access)
        self.most = most
        self.max_message = max_message
        self.command = command
        self._hub = hub

    async def get(self, request: Request) -> None:
        """Become a WebSocket."""
        user = await self._hub.admitting.admit(lambda: self.access.admit(request))
        handshake = H11Handshake(ConnectionType.SERVER)
        headers = [
            (name, value)
            for name, values in request.requestHeaders.getAllRawHeaders()
            for value in values
        ]
        try:
            handshake.initiate_upgrade_connection(headers, request.uri)
            accepted = handshake.send(AcceptConnection())
        except (RemoteProtocolError, LocalProtocolError):
            raise WebError(426, "this is for WebSockets", {"Upgrade": "websocket"}) from None
        except (ProtocolError, ValueError):
            raise WebError(400, "these headers cannot be read") from None
        end = self.access.begin_stream(user, request)
        if is_gone(request):
            end()
            return
        socket = Socket(self._hub, user, user_id(user), self)
        socket.on_end = end
        if user is None:
            socket.address = self.access.address(request)
        socket.take_over(request, accepted)
        if self._hub.is_cut:
            socket.say({"type": "stale"})

    @staticmethod
    def read_wanted(
        wanted: Any,
    ) -> tuple[dict[str, str | None], dict[str, dict[str, str] | None]]:
        """What to subscribe to.

        :raises WebError: if it is nothing that can be.
        """
        try:
            both = msgspec.convert(wanted, _Wanted)
            feeds = both.feeds if isinstance(both.feeds, dict) else dict.fromkeys(both.feeds)
            patterns = (
                both.patterns if isinstance(both.patterns, dict) else dict.fromkeys(both.patterns)
            )
            for name in (*feeds, *patterns):
                if len(encode(check_name(name))) > LONGEST_NAME:
                    raise ValueError("one is too long")
        except (msgspec.ValidationError, ValueError, TypeError) as error:
            raise WebError(400, f"feeds and patterns are asked for by name: {error}") from None
        return feeds, patterns


class _Wanted(msgspec.Struct, forbid_unknown_fields=True):
    feeds: dict[str, str | None] | list[str] = msgspec.field(default_factory=dict)
    patterns: dict[str, dict[str, str] | None] | list[str] = msgspec.field(default_factory=dict)


def _read(text: str) -> dict[str, Any] | None:
    """A message, or None if it is none."""
    try:
        message = _DECODER.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        if "\\ud" not in text and "\\uD" not in text:
            return None
        try:
            message = json.loads(text)  # it takes lone surrogates: names that are no UTF-8
        except (ValueError, RecursionError):
            return None
    return message if isinstance(message, dict) else None
