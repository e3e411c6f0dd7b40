"""The processes of a trial: web processes, a writer, and clients whose lines are looked at."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from tests.helpers import until
from tests.stream_helpers import Mirror

__all__ = ["CLIENTS", "NODE", "Client", "Copy", "Program", "WebProcess"]

reactor: Any = global_reactor

ROOT: Final = Path(__file__).parent.parent.parent
FOLDER: Final = ROOT / "tests" / "web_clients"

#: Whether there is a node with its packages; Makefile's ``env`` installs them.
NODE: Final = shutil.which("node") if (FOLDER / "node_modules" / "ws").exists() else None

#: Kind of client -> the command it is run by.
CLIENTS: Final = {
    "EventSource": [NODE or "node", str(FOLDER / "client.js"), "eventsource"],
    "ws": [NODE or "node", str(FOLDER / "client.js"), "ws"],
    "websockets": [sys.executable, str(FOLDER / "client.py")],
}


class Program(ProcessProtocol):
    """A process that says things, a line each.

    :param take: called with each line.
    """

    def __init__(self, *command: str, take: Callable[[str], None] | None = None) -> None:
        self.lines: list[str] = []
        self.errors = ""
        self.ended: Deferred[None] = Deferred()
        self._take = take or self.lines.append
        self._rest = b""
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = reactor.spawnProcess(self, command[0], command, environment, str(ROOT))

    def outReceived(self, data: bytes) -> None:
        """It says something."""
        if b"\n" not in data:
            self._rest += data
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line.decode())

    def errReceived(self, data: bytes) -> None:
        """It complains."""
        self.errors += data.decode(errors="replace")

    def processEnded(self, reason: Failure) -> None:
        """It is gone."""
        self.ended.callback(None)

    async def kill(self) -> None:
        """End it without giving it time for anything."""
        if not self.ended.called:
            with suppress(ProcessExitedAlready):
                self.process.signalProcess("KILL")
        await self.ended

    async def finish(self) -> None:
        """Let it come to its end."""
        self.process.closeStdin()
        await self.ended


class WebProcess:
    """A web process, which may be killed and comes back on its port.

    :param url: of Redis.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.port = 0
        self.kills = 0
        self.program: Program

    async def start(self) -> None:
        """Start it; fires when it serves."""
        words = ("-m", "tests.web_cuts.server", self._url, str(self.port))
        self.program = program = Program(sys.executable, *words)
        await until(lambda: program.lines or program.ended.called)
        if not program.lines:
            raise AssertionError(program.errors)
        self.port = int(program.lines[0].split()[1])

    async def restart(self) -> None:
        """Kill it, and start another."""
        self.kills += 1
        await self.program.kill()
        await self.start()


class Copy(Mirror):
    """What a client has, by what it was told; complains of what cannot be.

    :ivar reasons: of states that were told since events were missing: feed and reason.
    :ivar snapshots: how many states it was told.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reasons: list[tuple[str, str]] = []
        self.snapshots = 0

    def take(self, message: dict[str, Any]) -> None:
        """Be told something."""
        kind, feed = message["type"], message.get("feed", "")
        if kind == "snapshot":
            self.snapshots += 1
            if "reason" in message:
                self.reasons.append((feed, message["reason"]))
        elif kind in ("publish", "edit", "retract", "move"):
            before = self.at.get(feed)
            there, here = (before or "").split("-")[0], message["at"].split("-")[0]
            # A feed that was never changed has no epoch yet.
            if before and there != here and (there or message["revision"] != 1):
                self.wrong.append(f"{feed}: {message['at']} after {before}")
        elif kind == "deleted":
            self.revisions.pop(feed, None)
            self.kinds.pop(feed, None)
        elif kind in ("refused", "error"):
            self.wrong.append(str(message))
        super().take(message)

    def events(self, feed: str) -> tuple[int, list[dict[str, Any]]]:
        """The revision that it was first told a state of, and all messages of events after it."""
        told = [each for each in self.log if each.get("feed") == feed]
        first = told[0]["revision"] if told and told[0]["type"] == "snapshot" else 0
        return first, [each for each in told if each["type"] not in ("snapshot", "deleted")]


class Client:
    """A client in a process of its own.

    :param kind: one of :data:`CLIENTS`.
    :param url: of the web's resource.
    :param wanted: ``{"feeds": [...], "patterns": [...]}``.
    :ivar opened: how often it had a connection.
    :ivar told: how many messages it was told.
    """

    def __init__(self, kind: str, url: str, wanted: dict[str, list[str]]) -> None:
        self.kind = kind
        self.wanted = wanted
        self.copy = Copy()
        self.opened = self.told = 0
        self._program = Program(*CLIENTS[kind], url, json.dumps(wanted), take=self._take)

    def __str__(self) -> str:
        many = len(self.wanted["feeds"]) + len(self.wanted["patterns"]) > 1
        return f"{self.kind}, {'several feeds and a pattern' if many else 'one feed'}"

    def _take(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == "open":
            self.opened += 1
        elif word == "told":
            self.told += 1
            self.copy.take(json.loads(rest))
        elif word != "lost":
            self.copy.wrong.append(line)

    @property
    def complaint(self) -> str:
        """What it wrote that it should not have; also that it has ended."""
        return self._program.errors or ("it has ended" if self._program.ended.called else "")

    async def stop(self) -> None:
        """End it."""
        await self._program.kill()
