"""A driver as a process: requests go to its standard input, replies come from its output.

Each is a line of JSON; ``docs/conformance.rst`` has them all.
"""

from __future__ import annotations

import json
import shlex
from contextlib import suppress
from typing import Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from txthoonk.conformance.values import from_json, to_json
from txthoonk.errors import ThoonkError

__all__ = ["VERSION", "Driver", "DriverFailed"]

#: Of the protocol.
VERSION: Final = 1


class DriverFailed(ThoonkError):
    """The driver ended, did not answer in time, or answered what is no reply."""


class Driver(ProcessProtocol):
    """A running driver.

    :param reactor: that runs it.
    :param command: as a shell would have it, but no shell is started.
    """

    def __init__(self, reactor: Any, command: str) -> None:
        self._reactor = reactor
        self._buffer = b""
        self._number = 0
        self._waiting: Deferred[Any] | None = None
        self._ended: Deferred[None] | None = None
        self._error: DriverFailed | None = None
        words = shlex.split(command)
        if not words:
            raise DriverFailed("no command was given for the driver")
        try:
            self._process = reactor.spawnProcess(
                self, words[0], words, env=None, childFDs={0: "w", 1: "r", 2: 2}
            )
        except OSError as error:
            raise DriverFailed(f"the driver does not start: {error}") from None

    def ask(self, verb: str, args: dict[str, Any], timeout: float) -> Deferred[dict[str, Any]]:
        """One request.

        :param timeout: seconds.
        :returns: fires with the reply.
        :raises DriverFailed: (as a failure) if none came; the driver is of no more use.
        """
        if self._error is not None:
            return fail(self._error)
        self._number += 1
        request = {"id": self._number, "verb": verb, "args": to_json(args)}
        self._waiting = Deferred()
        late = self._reactor.callLater(timeout, self._late, verb, timeout)

        def answered(result: Any) -> Any:
            if late.active():
                late.cancel()
            return result

        asked = self._waiting.addBoth(answered)
        self._process.writeToChild(0, json.dumps(request).encode() + b"\n")
        return asked

    def stop(self) -> Deferred[None]:
        """End it: its input is closed; if that does not do within two seconds, by force.

        :returns: fires when it has ended.
        """
        stopped: Deferred[None] = Deferred()
        if self._process.pid is None:
            stopped.callback(None)
            return stopped
        self._ended = stopped
        self._process.closeChildFD(0)
        killing = self._reactor.callLater(2, self._kill)
        return stopped.addCallback(lambda _: killing.active() and killing.cancel())

    # -- of a process -----------------------------------------------------------------------

    def outReceived(self, data: bytes) -> None:
        """Part of a reply came."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in filter(None, lines):
            self._line(line)

    def _line(self, line: bytes) -> None:
        try:
            reply = from_json(json.loads(line))
            number = reply["id"]
        except (ValueError, TypeError, KeyError):
            self._fail(f"the driver answered what is no reply: {line[:200]!r}")
            return
        waiting = self._waiting
        if number != self._number or waiting is None:
            self._fail(f"the driver answered a request that was not made: {line[:200]!r}")
            return
        self._waiting = None
        waiting.callback(reply)

    def processEnded(self, reason: Failure) -> None:
        """It has gone."""
        self._fail(f"the driver ended: {reason.getErrorMessage()}", kill=False)
        if self._ended is not None:
            self._ended.callback(None)

    def _late(self, verb: str, timeout: float) -> None:
        self._fail(f"the driver did not answer {verb} within {timeout:g} seconds")

    def _fail(self, why: str, kill: bool = True) -> None:
        self._error = self._error or DriverFailed(why)
        if kill:
            self._kill()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(self._error)

    def _kill(self) -> None:
        with suppress(ProcessExitedAlready):
            self._process.signalProcess("KILL")
