"""One web client and its connection: what it is told, as fast as it reads.

Nothing is kept for a client that does not read but how far it is: what it has missed is in the
channels, or it gets what is there. A connection that has become a stream has no HTTP channel any
more: its transport belongs to an object of this module alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IProtocol, IPushProducer
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import implementer

from txthoonk.web.channel import Channel, Cursor, Message
from txthoonk.web.shared import RequestTransport
from txthoonk.writing import writer

if TYPE_CHECKING:
    from txthoonk.web.hub import Hub
    from txthoonk.web.topics import Key, Topic

__all__ = ["ClientStream"]

#: A message that is larger is sent in parts of that size, each when the one before has gone: bytes.
PART: Final = 65_536

#: How many answers may wait for a client that does not read before it is cut off, and of how many
#: bytes those may be that wait when one more comes.
WAITING: Final = 1000
WAITING_BYTES: Final = 1_000_000


@implementer(IProtocol, IPushProducer)
class ClientStream:
    """A client that is told what happens.

    :param hub: of the process.
    :param user: what ``authenticate`` made of the request.
    :param user_id: that of ``user_id``.
    :ivar channels: by name, those whose messages it gets.
    :ivar topics: what it has subscribed to.
    :ivar asked: of each subscription that is not complete, what is still wanted.
    :ivar behind: None where it is sent messages as they come; else the cursors of the channels that
        have more.
    :ivar group: streams of the same group get the same bytes.
    :ivar held: what is sent at the end of this turn of the reactor.
    :ivar send: hands bytes to the connection, before what is held.
    :ivar alive: when the client last showed that it is there, by the reactor's clock.
    """

    __slots__ = (
        *("_answers", "_parts", "_paused", "_waiting", "alive", "asked", "behind", "channels"),
        *("closed", "factory", "group", "held", "hub", "on_end", "send", "topics", "transport"),
        *("user", "user_id"),
    )

    def __init__(self, hub: Hub, user: Any, user_id: str) -> None:
        self.hub = hub
        self.user = user
        self.user_id = user_id
        #: Called when it has ended, if set.
        self.on_end: Callable[[], None] | None = None
        self.transport: Any = None
        self.send: Callable[[bytes], None] = self._drop
        self.held = b""
        self.channels: dict[str, Channel] = {}
        self.topics: dict[Topic, None] = {}
        self.asked: list[set[Key]] | None = None
        self.behind: dict[Channel, Cursor] | None = None
        self.group: Hashable = None
        self.closed = False
        self.alive = 0.0
        self._paused = False
        #: What is left of a message that is sent in parts, the end of it first.
        self._parts: list[memoryview] | None = None
        #: Answers that wait for the client to read, and those that wait for all to be sent.
        self._answers: deque[bytes] | None = None
        self._waiting: deque[bytes] | None = None

    # -- the connection ---------------------------------------------------------------------

    def take_over(self, request: Any, head: bytes, first: bytes = b"") -> None:
        """Have the connection of a request for oneself.

        :param request: nothing of its answer was written.
        :param head: of the answer, as HTTP/1.1 has it.
        :param first: what is sent then.
        """
        transport = request.channel.transport
        if transport is None:  # HTTP/2: others are on the connection too
            self.makeConnection(RequestTransport(request, self))
            self.write(first)
            return
        transport.unregisterProducer()
        if isinstance(transport, ProtocolWrapper):
            transport.wrappedProtocol = self
        else:
            transport.protocol = self
        self.makeConnection(transport)
        self.write(head + first)

    def makeConnection(self, transport: Any) -> None:
        """Begin."""
        self.transport = transport
        self.send = writer(transport)
        self.alive = self.hub.now()
        self.hub.opened(self)
        transport.registerProducer(self, True)
        # The channel may have stopped reading while it had a request to answer.
        transport.resumeProducing()

    def connectionMade(self) -> None:
        """Nothing: :meth:`makeConnection` has done it."""

    def dataReceived(self, data: bytes) -> None:
        """The client sends something."""

    def connectionLost(self, reason: Failure) -> None:
        """The client is gone."""
        self._end()
        self.hub.ending.pop(self, None)

    def _drop(self, data: bytes) -> None:
        """There is no connection."""

    def _end(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.send = self._drop
        self.held = b""
        self.behind = self._parts = self._answers = self._waiting = None
        self.hub.closed(self)
        if self.on_end is not None:
            self.on_end()

    def close(self, last: bytes = b"") -> None:
        """End the connection.

        :param last: what is sent before; to a client that does not read it is not.
        """
        if self.closed:
            return
        transport, clear = self.transport, self._is_free()
        if clear and last:
            self.write(last)
        self._end()
        transport.unregisterProducer()
        if clear:
            self.hub.ending[self] = self.hub.now()
            transport.loseConnection()
        else:
            transport.abortConnection()

    # -- what is sent -----------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes, behind those that are held."""
        if self.held:
            self.flush()
        self.send(data)

    def flush(self) -> None:
        """Send what is held."""
        held, self.held = self.held, b""
        self.send(held)

    def data(self, channel: Channel, message: Message) -> bytes:
        """A message on the wire of this client."""
        raise NotImplementedError

    def ends(self, channel: Channel, message: Message) -> tuple[bytes, bytes]:
        """The same without the text of the message: what is before it, and what is behind."""
        raise NotImplementedError

    def answer(self, answer: Mapping[str, Any]) -> bytes:
        """The same of what is no message of a channel."""
        raise NotImplementedError

    def caught_up(self) -> None:
        """The client has been sent all that there is."""

    def _is_free(self) -> bool:
        return not self._paused and self._parts is None

    def say(self, answer: Mapping[str, Any]) -> None:
        """Send what is of no feed, before anything else."""
        if self.closed:
            return
        data = self.answer(answer)
        if self._is_free() and not self._answers:
            self._send(data)
            return
        if self._answers is None:
            self._answers = deque()
        self._keep(self._answers, data)

    def _keep(self, answers: deque[bytes], data: bytes) -> None:
        size = sum(map(len, answers))
        if len(answers) >= WAITING or size > WAITING_BYTES:
            self.close()
            return
        answers.append(data)
        # Who does not read what was asked for is asked nothing more; but while a large state is on
        # its way a page may go on to ask.
        if answers is self._answers or size + len(data) > PART:
            self.transport.pauseProducing()

    def say_then(self, answer: Mapping[str, Any]) -> None:
        """The same when all has been sent that there is to send."""
        if self.behind is None:
            self.say(answer)
        elif not self.closed:
            if self._waiting is None:
                self._waiting = deque()
            self._keep(self._waiting, self.answer(answer))

    def fall_behind(self, channel: Channel, cursor: Cursor) -> None:
        """Send a channel's messages from there on."""
        if self.closed:
            return
        if self.behind is None:
            self.behind = {channel: cursor}
            self.go_on()
        else:
            self.behind[channel] = cursor

    def join(self, channels: Sequence[tuple[Channel, Cursor]]) -> None:
        """Tell of more channels, of each from its cursor on."""
        if self.closed or not channels:
            return
        for channel, _ in channels:
            self.channels[channel.name] = channel
            channel.streams[self] = None
        self.regroup()
        was_behind = self.behind is not None
        self.behind = {**(self.behind or {}), **dict(channels)}
        if not was_behind:
            self.go_on()

    def regroup(self) -> None:
        """It has other channels than before."""

    def cursor(self, channel: Channel) -> Cursor:
        """What it was sent of one of its channels."""
        return channel.last if self.behind is None else self.behind.get(channel, channel.last)

    def leave(self, channel: Channel) -> None:
        """Tell of it no more."""
        if self.channels.get(channel.name) is channel:
            del self.channels[channel.name]
            self.regroup()
        channel.streams.pop(self, None)
        if self.behind is not None:
            self.behind.pop(channel, None)

    def _send(self, data: bytes) -> None:
        if len(data) <= PART:
            self.write(data)
        else:
            self._parts = [memoryview(data)]
            self._send_parts()

    def _send_parts(self) -> None:
        while self._parts is not None and not self._paused:
            part = self._parts.pop()
            if len(part) > PART:
                self._parts.append(part[PART:])
            self._parts = self._parts or None
            self.write(bytes(part[:PART]))

    def go_on(self) -> None:
        """Send what there is to send, as long as the client reads."""
        while not (self._paused or self.closed):
            if self._parts is not None:
                self._send_parts()
            elif self._answers:
                self._send(self._answers.popleft())
                if not self._answers:
                    self.transport.resumeProducing()
            elif self.behind is None:
                break
            elif not self._catch_up():
                self.behind = None
                self.caught_up()
                waiting, self._waiting = self._waiting, None
                self._answers = waiting

    def _catch_up(self) -> bool:
        """Send one message; says whether there was any."""
        behind = self.behind
        while behind:
            channel, cursor = next(iter(behind.items()))
            found = channel.next(cursor)
            if found is not None:
                message, behind[channel] = found
                if len(message.text) > PART:  # all who read it slowly have the same in memory
                    before, behind_it = self.ends(channel, message)
                    all_of_it = behind_it, message.text, before
                    self._parts = [memoryview(each) for each in all_of_it if each]
                    self._send_parts()
                else:
                    self._send(self.data(channel, message))
                return True
            del behind[channel]
        return False

    # -- how fast it reads ------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """The client does not read as fast as it is sent to."""
        if not self._paused and not self.closed:
            self._paused = True
            self.alive = self.hub.now()  # patience begins
            self.hub.counts.paused += 1
            if self.behind is None:
                self.behind = {}

    def resumeProducing(self) -> None:
        """It has read what it was sent."""
        if self._paused:
            self._paused = False
            self.alive = self.hub.now()
            self.go_on()

    def stopProducing(self) -> None:
        """It is gone."""

    def beat(self, now: float, patience: float) -> None:
        """Show that the connection is alive; end one that is not.

        :param now: by the reactor's clock.
        :param patience: how long a client need not read or answer, seconds.
        """
        if not self._is_free():
            if now - self.alive > patience:
                self.close()
        else:
            self._beat()

    def _beat(self) -> None:
        raise NotImplementedError
