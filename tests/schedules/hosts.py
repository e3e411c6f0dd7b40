"""The hosts, as the driver sees them."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from tests.torture.processes import CHECKOUT

__all__ = ["Host"]


class Host(ProcessProtocol):
    """A process with a scheduler, and a clock of its own.

    :param skew: seconds by which that is wrong.
    :param faketime: path of libfaketime, which then makes it wrong; if not given, the process
        itself does.
    :param options: for ``tests.schedules.host``.
    :ivar ready: fires with the seconds by which its clock is off ours, when it runs.
    :ivar ended: fires when it is gone.
    :ivar killed: whether that was us.
    :ivar point: where it kills itself, if it does.
    """

    transport: Any

    def __init__(
        self, reactor: Any, url: str, skew: float, faketime: str | None = None, **options: Any
    ) -> None:
        self.skew = skew
        self.ready: Deferred[float] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self.alive = True
        self.killed = False
        self.point: str | None = options.get("point")
        self.errors = b""
        self.when_gone: Callable[[Host], object] = lambda host: None
        self._said = b""
        told = {"url": url, "skew": 0 if faketime else skew, **options}
        command = [sys.executable, "-m", "tests.schedules.host", json.dumps(told)]
        environment = {**os.environ, "PYTHONPATH": CHECKOUT}
        if faketime:
            environment |= {"LD_PRELOAD": faketime, "FAKETIME": f"{skew:+f}"}
        reactor.spawnProcess(self, sys.executable, command, env=environment)

    def kill(self) -> None:
        """By SIGKILL."""
        if self.alive:
            self.killed = True
            self.transport.signalProcess("KILL")

    def outReceived(self, data: bytes) -> None:
        """It is ready."""
        self._said += data
        if self._said.endswith(b"\n") and not self.ready.called:
            self.ready.callback(float(self._said.split()[1]) - time.time())

    def errReceived(self, data: bytes) -> None:
        """It complains."""
        self.errors += data

    def processEnded(self, reason: Failure) -> None:
        """It is gone."""
        self.alive = False
        if not self.ready.called:
            self.ready.callback(0.0)
        self.ended.callback(None)
        self.when_gone(self)
