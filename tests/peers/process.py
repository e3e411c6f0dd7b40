"""thoonk.py in a process of its own, and test cases that have it."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import os
from collections import deque
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest

from tests.helpers import ThoonkTestCase, until
from tests.wire import free_port
from tools.get_peers import KINDS, Unavailable, get

__all__ = ["KIND", "LivePeerCase", "PeerRaised", "ThoonkPy", "blob"]

#: Which one is run: ``original`` or ``converted``; without it the first of them that there is.
KIND: Final = os.environ.get("TXTHOONK_PEER")
#: Whether it is an error that there is none.
NEEDED: Final = any(map(os.environ.get, ("CI", "TXTHOONK_NEED_PEERS", "TXTHOONK_PEER")))

_DRIVER: Final = str(Path(__file__).with_name("driver.py"))


@functools.cache
def found(wanted: str | None = KIND) -> tuple[str, list[str], Path]:
    """Which one there is, the command that runs a script with it, its modules' folder.

    :param wanted: this one, or whichever there is.
    :raises Unavailable: if there is none.
    """
    reasons = []
    for kind in [wanted] if wanted else KINDS:
        try:
            return kind, *get(kind)
        except Unavailable as error:
            reasons.append(f"{kind}: {error}")
    raise Unavailable("; ".join(reasons))


class PeerRaised(Exception):
    """thoonk.py raised an exception.

    :ivar kind: the name of its class.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


def blob(data: bytes) -> dict[str, str]:
    """Bytes that are no UTF-8, for a peer and from it."""
    return {"base64": base64.b64encode(data).decode()}


class ThoonkPy(ProcessProtocol):
    """thoonk.py, connected to a server.

    :param url: of the server, ``redis://host:port/db``.
    :param listen: whether it listens.
    :param kind: ``original`` or ``converted``; whichever there is if not given.
    :ivar ready: fires when it is connected, and listens if it is to.
    :ivar ended: fires when it has ended.
    :ivar heard: what its handlers were called with, as ``[event, argument, ...]``.
    """

    transport: IProcessTransport

    def __init__(self, url: str, listen: bool = False, kind: str | None = KIND) -> None:
        from twisted.internet import reactor

        parts = urlsplit(url)
        _, command, modules = found(kind)
        self.ready: Deferred[None] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self.heard: list[list[Any]] = []
        self.complaint = ""
        self._calls: deque[Deferred[Any]] = deque()
        self._begun = b""
        arguments = [parts.hostname, str(parts.port), parts.path.lstrip("/") or "0"]
        reactor.spawnProcess(  # type: ignore[attr-defined]  # the module is the reactor
            self,
            command[0],
            [*command, _DRIVER, *arguments, str(int(listen))],
            env={"PYTHONPATH": str(modules), "PATH": os.environ["PATH"]},
        )

    # -- what it is told --------------------------------------------------------------------

    def verb(self, verb: str, *args: Any) -> Deferred[Any]:
        """Call a method of its ``Thoonk``."""
        return self._ask(verb=verb, args=args)

    def of(self, type: str, feed: str, verb: str, *args: Any) -> Deferred[Any]:
        """Call a method of one of its feeds.

        :raises PeerRaised: (as a failure) if it raised an exception.
        """
        return self._ask(type=type, feed=feed, verb=verb, args=args)

    def do(self, what: str, *args: Any) -> Deferred[Any]:
        """Have the driver do something more: ``alive heed work contend``."""
        return self._ask(do=what, args=args)

    def _ask(self, **line: Any) -> Deferred[Any]:
        asked: Deferred[Any] = Deferred()
        self._calls.append(asked)
        self.transport.writeToChild(0, json.dumps(line).encode() + b"\n")  # type: ignore[attr-defined]  # a process has it
        return asked

    def kill(self) -> Deferred[None]:
        """End it."""
        with contextlib.suppress(ProcessExitedAlready):
            self.transport.signalProcess("KILL")
        return self.ended

    # -- what it says -----------------------------------------------------------------------

    def outReceived(self, data: bytes) -> None:
        """Lines of JSON."""
        *lines, self._begun = (self._begun + data).split(b"\n")
        for line in map(json.loads, lines):
            if "heard" in line:
                self.heard.append(line["heard"])
            elif "ready" in line:
                self.ready.callback(None)
            elif "raised" in line:
                self._calls.popleft().errback(PeerRaised(line["raised"], line["text"]))
            else:
                self._calls.popleft().callback(line["returned"])

    def errReceived(self, data: bytes) -> None:
        """What a thread of it died of."""
        self.complaint += data.decode(errors="replace")

    def processEnded(self, reason: Failure) -> None:
        """Nobody waits for it any longer."""
        error = AssertionError(f"thoonk.py has ended: {self.complaint}")
        waiting = [*self._calls, *([] if self.ready.called else [self.ready])]
        self._calls.clear()
        for each in waiting:
            each.errback(error)
        self.ended.callback(None)


class LivePeerCase(ThoonkTestCase):
    """A server that thoonk.py can reach, ours on it, and as many thoonk.py as are asked for."""

    timeout = 240

    async def setUp(self) -> None:
        try:
            self.kind, _, _ = found()
        except Unavailable as error:
            if NEEDED:
                raise
            raise SkipTest(f"no thoonk.py ({error})") from None
        port = free_port()
        await self.own_server(port=str(port), bind="127.0.0.1")
        self.redis_url = f"redis://127.0.0.1:{port}/0"
        self.thoonk = await self.start_thoonk()
        self.redis = self.thoonk.redis

    async def peer(self, listen: bool = False) -> ThoonkPy:
        """Another thoonk.py, ready."""
        peer = ThoonkPy(self.redis_url, listen)
        self.addCleanup(peer.kill)
        await peer.ready
        return peer

    async def hears(self, peer: ThoonkPy) -> list[list[Any]]:
        """What a listening peer has heard since the last time, of all that was published so far.

        That it answers shows that its listener lives: any exception would have ended it.
        """
        name = self.feed_name("now")
        # It needs no feed to be told of one; the message is as its own.
        await self.redis.execute("PUBLISH", "newfeed", f"{name}\0test")
        end = ["create", name]
        await until(lambda: end in peer.heard or peer.complaint)
        self.assertEqual(peer.complaint, "")
        self.assertIs(await peer.do("alive"), True)
        news = peer.heard[: peer.heard.index(end)]
        peer.heard.clear()
        return news

    async def contract_keys(self, name: str) -> set[str]:
        """The keys of a feed that other programs know."""
        return {key for key in await self.keys_of(name) if not key.startswith("tx.")}
