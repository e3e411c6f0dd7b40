"""What twistd runs: Redis, the other processes, what the board begins with, and what is typed."""

from __future__ import annotations

import os
import secrets
import signal
import socket
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread

from examples.board import PROCESSES
from examples.board.actions import MOST_IMPORTED, bulk
from examples.board.check import CheckFailed, check
from examples.board.importing import Task, decode, read_tasks
from examples.board.sample import make_sample
from examples.board.shapes import LONGEST_IMPORT
from examples.demo.service import DemoFailed, DemoService
from txthoonk import Thoonk

__all__ = ["Board"]

#: How many of either.
WEBS, WORKERS = 2, 2
#: The port, and how many others are tried if it is taken, before any will do.
PORT, OTHERS = 8080, 10
#: What is acknowledged is on the disk: a Redis that is killed loses nothing.
SAFE = {"appendonly": "yes", "appendfsync": "always"}
#: Seconds until a Redis that died is started again, so that one sees what the pages say.
AWAY = 2.0
#: Seconds that all may take to be there.
PATIENCE = 30.0
#: Connections that wait while no web process takes them.
BACKLOG = 512

#: Whose list is filled at the beginning.
DOCS = {"id": "docs", "name": "Docs", "program": True}


class Board(DemoService):
    """The board of teams, and all processes it takes.

    :param port: to listen on; 0 takes any; None the usual one, or another if that is taken.
    :param host: to listen on.
    :param imported: path of a task list to begin with; empty for this repository's docs.
    :param checks: use the board as two people would, while processes are killed, and end.
    """

    name = "board"
    foreseen = (*DemoService.foreseen, CheckFailed, OSError)

    def __init__(self, *, port: int | None, host: str, imported: str, checks: bool) -> None:
        super().__init__(**SAFE)
        self._port, self._host = port, host
        self._imported = imported
        self._checks = checks
        self._complete = not checks  # it goes on until a Ctrl-C
        self._listening: socket.socket | None = None
        self._env: dict[str, str] = {}
        self._stars = 0

    async def _stop(self) -> None:
        await super()._stop()
        if self._listening is not None:
            self._listening.close()

    # -- the board --------------------------------------------------------------------------

    async def _run(self) -> None:
        text, tasks = await deferToThread(self._read)
        self._listening = listen(self._host, self._port)
        redis = await self._redis.start()
        self._thoonk = thoonk = Thoonk(redis.url, client_name="board", connect_timeout=PATIENCE)
        thoonk.startService()
        self._env = {
            "THOONK_REDIS": redis.url,
            "BOARD_LISTEN": str(self._listening.fileno()),
            "BOARD_SECRET": secrets.token_hex(32),
        }
        for number in range(1, WEBS + 1):
            self._start("web", number, pass_fds=(self._listening.fileno(),))
        for number in range(1, WORKERS + 1):
            self._start("worker", number)
        self._task(self._processes.watch())
        self._task(self._keep_redis())
        await self._when_up(thoonk)
        team = await self._begin_with(thoonk, text)
        port = self._listening.getsockname()[1]
        everywhere = self._host in ("", "0.0.0.0")
        url = f"http://{'127.0.0.1' if everywhere else self._host}:{port}/"
        self._welcome(url, len(tasks), f"http://{own_address()}:{port}/" if everywhere else "")
        if self._checks:
            await deferToThread(check, url, team, self._kill, self._terminal.say)
            self._end()
        elif self._terminal.interactive:
            self._terminal.read(self._reactor, self._typed, self._end, patient=True)

    def _read(self) -> tuple[str, list[Task]]:
        """The task list to begin with."""
        if not self._imported:
            text = make_sample()
            return text, read_tasks(text)
        data = Path(self._imported).read_bytes()
        try:
            text = decode(data)
        except ValueError as error:
            raise DemoFailed(f"{self._imported}: {error}") from None
        tasks = read_tasks(text, self._imported)
        if not tasks:
            raise DemoFailed(f"{self._imported}: neither todo.txt nor a markdown check-list")
        if len(tasks) > MOST_IMPORTED or len(data) > LONGEST_IMPORT:
            found = f"{len(tasks):,} tasks in {len(data):,} bytes"
            most = f"{MOST_IMPORTED} in {LONGEST_IMPORT:,} are the most"
            raise DemoFailed(f"{self._imported}: {found}; {most}")
        return text, tasks

    def _start(self, kind: str, number: int, **options: Any) -> None:
        own = os.path.join(self._redis.directory, f"{kind}-{number}")
        self._processes.start(
            f"{kind} {number}",
            *(f"{__package__}.{kind}", str(number)),
            env={**self._env, "BOARD_OWN": own},
            **options,
        )

    async def _when_up(self, thoonk: Thoonk) -> None:
        """Return once every process has told that it is there."""
        told = thoonk.feed(PROCESSES, serializer="json")
        await told.publish({"pid": self._redis.pid}, id="redis")
        deadline = self._reactor.seconds() + PATIENCE
        while True:
            pids = {id: item["pid"] for id, item in (await told.get_all()).items()}
            if all(pids.get(each.name) == each.pid for each in self._processes):
                return
            if self._reactor.seconds() > deadline:
                raise DemoFailed("the other processes do not start")
            await self._sleep(0.05)

    async def _begin_with(self, thoonk: Thoonk, text: str) -> str:
        """Found a team that has something to do, by actions as everybody's; its number."""
        name = os.path.basename(self._imported) or "txThoonk"
        answer = await bulk.do(thoonk, DOCS, "create", {"name": name}, timeout=PATIENCE)
        team = answer["result"]["team"] if answer["code"] == 200 else None
        payload = {"team": team, "member": DOCS["id"], "text": text, "name": self._imported}
        if team:
            answer = await bulk.do(thoonk, DOCS, "import", payload, timeout=PATIENCE)
        if answer["code"] != 200:
            raise DemoFailed(answer["error"])
        return str(team)

    # -- keeping it up ----------------------------------------------------------------------

    async def _keep_redis(self) -> None:
        """Start Redis again whenever it has died."""
        assert self._thoonk is not None
        told = self._thoonk.feed(PROCESSES, serializer="json")
        while True:
            if self._redis.pid is None:
                self._terminal.say(f"  Redis is gone; it is started again in {AWAY:.0f} seconds.")
                await self._sleep(AWAY)
                await self._redis.start()
                self._terminal.say(f"  Redis is back: process {self._redis.pid}")
                await told.publish({"pid": self._redis.pid}, id="redis")
            await self._sleep(0.1)

    def _kill(self, kind: str) -> None:
        """Kill one of a kind with SIGKILL, each time another one; or Redis."""
        found = [each for each in self._processes if each.name.startswith(f"{kind} ")]
        pid = self._redis.pid
        if found:
            process = min(found, key=lambda each: each.restarts)
            pid = process.pid
        if pid is not None:
            self._terminal.say(f"  kill -9 {pid}  ({kind})")
            os.kill(pid, signal.SIGKILL)

    # -- the terminal -----------------------------------------------------------------------

    def _welcome(self, url: str, tasks: int, elsewhere: str) -> None:
        say = self._terminal.say
        found = {each.name: each.pid for each in self._processes}
        webs = " ".join(str(pid) for name, pid in found.items() if name.startswith("web"))
        workers = " ".join(str(pid) for name, pid in found.items() if name.startswith("worker"))
        source = self._imported or "this repository's docs"
        say()
        say(f"The team board is at  {url}   ({tasks} tasks from {source})")
        if elsewhere:
            say(f"On other devices it is at  {elsewhere}   (whoever reaches that can use it)")
        say()
        say("  1  Open it in two windows: be Ada in one and Bob in the other; join the team.")
        say("  2  Drag, edit, ship and delegate tasks, chat, undo: both windows show it at once.")
        say("     On the page, ? lists the keys.")
        say("  3  Kill things meanwhile: type r (Redis), w (a web process) or k (a worker) and")
        say("     Enter here. s starts a worker for an action that nobody knows yet.")
        say()
        say(f"Redis is process {self._redis.pid}, at {self._redis.url}")
        say(f"web processes {webs}; worker processes {workers}: kill -9 as you like")
        say("Ctrl-C ends it, and nothing is left.")
        say()

    def _typed(self, line: str) -> None:
        kinds = {"r": "redis", "w": "web", "k": "worker"}
        key = line.strip().lower()[:1]
        if key in kinds:
            self._kill(kinds[key])
        elif key == "s":
            self._stars += 1
            self._start("star", self._stars)
            self._terminal.say(f"  star {self._stars}: a worker for a new action; select a task")
        elif key:
            self._terminal.say("  r, w, k or s, and Enter; Ctrl-C ends it.")


def own_address() -> str:
    """This machine's address in its network, or its name where it has none."""
    with socket.socket(type=socket.SOCK_DGRAM) as found:
        try:
            found.connect(("192.0.2.1", 9))  # nothing is sent: this only chooses the way
        except OSError:
            return socket.gethostname()
        return str(found.getsockname()[0])


def listen(host: str, port: int | None) -> socket.socket:
    """A socket that web processes can share.

    :raises DemoFailed: if it cannot be had.
    """
    ports = (*range(PORT, PORT + OTHERS), 0) if port is None else (port,)
    for each in ports:
        found = socket.socket()
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, each))
            found.listen(BACKLOG)
        except OSError as error:
            found.close()
            if each == ports[-1]:
                raise DemoFailed(f"port {each} of {host}: {error.strerror}") from None
        else:
            found.setblocking(False)
            return found
    raise AssertionError("the last one is there, or has failed")
