"""Workers that are killed at chosen instants, and the process they are forked from.

``python -m tests.torture_worker OPTIONS``, with options as JSON: ``url`` and ``feed``, and if
wanted ``off`` (a safeguard that is switched off), ``concurrency``, ``maintenance`` (seconds
between two passes) and ``handoff_grace`` (seconds). It imports everything once and then forks,
before there is a reactor or a connection, so that a worker costs milliseconds. It reads lines:
``fork POINT PASSES`` (``-`` for no failpoint), ``KILL PID``, ``STOP PID`` and ``CONT PID`` (the
signals); and writes lines:
``born PID``, ``at PID POINT`` (it kills itself now), ``stopped PID``, ``died PID SIGNAL``,
``log PID LEVEL TEXT``. When its input ends it kills what it has forked, and ends.

The failpoints are wrapped around the package's methods here: nothing in the package knows of them.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NoReturn

from twisted.internet.defer import succeed
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import LogLevel, formatEvent, globalLogBeginner

import txthoonk._upkeep
from txthoonk import Claim, Job, JobWorker, Thoonk
from txthoonk.running import Run
from txthoonk.scripts import Script, script

#: Where a worker kills itself. W1h is W1 with an id that a blocked get was handed.
POINTS = {
    "W1": "before a claim",
    "W1h": "before a claim in two steps, with an id that came to a blocked get",
    "W2": "claim sent, no reply read",
    "W3": "claimed, before the handler",
    "W4": "in the handler",
    "W5": "effect done, before the finish",
    "W6": "finish sent, no reply read",
    "W7": "after the finish was confirmed",
    "W8": "heartbeat sent, no reply read",
}

#: What is switched off by another line in a script: name -> script, the line, another one.
_CHECK = "  elseif token ~= '' and sub(leases[i] or '', 1, #held) ~= held then"
SAFEGUARDS = {
    "token": (
        "job/finish",
        _CHECK,
        "  elseif token ~= '' and string.match(leases[i] or '', ' ([%d.]+) ') ~= score then",
    ),
    "score": (
        "job/finish",
        _CHECK,
        "  elseif token ~= '' and string.match(leases[i] or '', '^[^ ]+') ~= token then",
    ),
    "fence": ("job/finish", _CHECK, "  elseif false then"),
    "commit": (
        "job/commit",
        "if refused and not wrong then",
        "if refused and not wrong then refused = {}",
    ),
    "touch": ("job/commit", "if grows then", "if false then"),
    "expiry": ("job/survey", "  elseif tonumber(ends) <= now then", "  elseif false then"),
}

#: Keeps what is switched off in this process as it is.
FOR_GOOD = ExitStack()

#: Seconds that jobs of these kinds take; slow ones last for several heartbeats.
QUICK, SLOW = 0.01, 0.9


@contextmanager
def switched_off(safeguard: str) -> Generator[None, None, None]:
    """Let what is bound meanwhile do without a safeguard."""
    name, line, other = SAFEGUARDS[safeguard]
    real = script(name)
    kept = dict(vars(real))
    source = real.source.decode()
    if source.count(f"{line}\n") != 1:
        raise AssertionError(f"{name} has no line {line!r} any more: what switches it off now?")
    vars(real).update(vars(Script(name, source.replace(line, other).encode())))
    try:
        yield
    finally:
        vars(real).update(kept)


def runs_key(feed: str) -> str:
    """A list of all runs: id, token, number of the attempt, divided by spaces."""
    return f"torture:{feed}:runs"


def effects_key(feed: str) -> str:
    """A hash: id -> how often a handler has come to its end."""
    return f"torture:{feed}:effects"


def client_name(pid: int) -> str:
    """Of the connections of a worker."""
    return f"torture-{pid}"


# -- one worker ---------------------------------------------------------------------------------


def tell(text: str) -> None:
    """One line to the driver."""
    os.write(1, text.replace("\n", " ")[:2000].encode() + b"\n")


class Victim:
    """A worker, and where it dies.

    :param options: of the command line.
    :param point: one of :data:`POINTS`, or ``-``.
    :param passes: dies when it comes there so often.
    """

    def __init__(self, options: dict[str, Any], point: str, passes: int) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.feed = options["feed"]
        self.lease = 0.0
        self._point, self._passes = point, passes
        self.thoonk = Thoonk(options["url"], client_name=client_name(os.getpid()))
        self.worker = JobWorker(
            self.thoonk, self.feed, self.handle, concurrency=options.get("concurrency", 10)
        )

    def run(self) -> None:
        """Work until killed, or until the process that forked this is gone."""
        parent = os.getppid()
        LoopingCall(lambda: os.getppid() == parent or os._exit(1)).start(1.0)
        self.thoonk.startService()
        self.worker.startService()
        self.reactor.run()

    # -- failpoints -------------------------------------------------------------------------

    def passes(self, point: str) -> bool:
        """Come by a failpoint; says whether this is where it ends."""
        if point == self._point:
            self._passes -= 1
        return point == self._point and self._passes <= 0

    def come_to(self, point: str) -> None:
        """Come by a failpoint, and die if it is the one."""
        if self.passes(point):
            self.die()

    def die(self) -> NoReturn:
        """Let every byte leave that was to leave, and end as by the power switch."""
        self.flush()
        tell(f"at {os.getpid()} {self._point}")
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")

    def flush(self) -> None:
        """Write what is to be written."""
        redis: Any = self.thoonk.redis._redis
        if redis is None:
            return  # no connection: nothing can leave
        redis._in_turn = False
        redis._flush()
        while redis.transport.dataBuffer or redis.transport._tempDataBuffer:
            redis.transport.doWrite()

    def arm(self) -> None:
        """Wrap what it does, so that it comes by the failpoints."""
        if self._point == "W1h":
            # In two steps, as queues do: otherwise nothing is handed to a process.
            Job.take_handed = None  # type: ignore[assignment, method-assign]  # there is none
        wrap(Job, "take", self._take)
        wrap(JobWorker, "run_all", self._before("W3"))
        wrap(Job, "finish_for", self._sent("W6"))
        wrap(Run, "callback", self._before("W7"))
        wrap(Job, "extend", self._sent("W8"))

    def _take(self, take: Any, job: Job, count: int, handed: str) -> Any:
        self.come_to("W1")
        if handed:
            self.come_to("W1h")
        taken = take(job, count, handed)
        self.come_to("W2")
        return taken

    def _before(self, point: str) -> Callable[..., Any]:
        def wrapped(method: Any, *args: Any) -> Any:
            self.come_to(point)
            return method(*args)

        return wrapped

    def _sent(self, point: str) -> Callable[..., Any]:
        def wrapped(method: Any, *args: Any) -> Any:
            done = method(*args)
            self.come_to(point)
            return done

        return wrapped

    # -- the handler ------------------------------------------------------------------------

    def handle(self, claim: Claim) -> Any:
        """Do what the item says; what is done is seen in Redis."""
        if claim.item in ("plain", "silent"):
            self.began(claim)
            self.flush()
            self.come_to("W4")
            self.thoonk.redis.execute("HINCRBY", effects_key(self.feed), claim.id, 1)
            self.flush()
            self.come_to("W5")
            return claim.item if claim.item == "plain" else None
        return self.handle_async(claim)

    def began(self, claim: Claim) -> Any:
        """Record a run."""
        record = f"{claim.id} {claim.token.decode()} {claim.cancelled + 1}"
        return self.thoonk.redis.execute("RPUSH", runs_key(self.feed), record)

    async def handle_async(self, claim: Claim) -> str:
        """The same, with pauses."""
        await self.began(claim)
        half = (SLOW if claim.item == "slow" else QUICK) / 2
        if claim.item in ("stop", "spin") and claim.cancelled:
            # The second run: it lasts until the first one has been told that it is too late.
            while not await self.thoonk.redis.execute("EXISTS", f"torture:{self.feed}:go"):
                await deferLater(self.reactor, 0.01)
            return "second"
        if claim.item == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
            return "first"
        if claim.item == "spin":
            end = time.monotonic() + 3 * claim.policy.claim_timeout
            while time.monotonic() < end:
                pass
            return "first"
        await deferLater(self.reactor, half)
        self.come_to("W4")
        await deferLater(self.reactor, half)
        await self.thoonk.redis.execute("HINCRBY", effects_key(self.feed), claim.id, 1)
        self.come_to("W5")
        return claim.item


def wrap(owner: Any, name: str, around: Callable[..., Any]) -> None:
    """Call *around* with a method and its arguments instead of that method."""
    method = getattr(owner, name)
    setattr(owner, name, lambda *args, **how: around(method, *args, **how))


def work(kind: type[Victim], options: dict[str, Any], point: str, passes: str) -> NoReturn:
    """What a forked process does."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        globalLogBeginner.beginLoggingTo([log], redirectStandardIO=False, discardBuffer=True)
        victim = kind(options, point, int(passes or 0))
        if point != "-":
            victim.arm()
        victim.run()
        status = 0
    finally:
        os._exit(status)


def log(event: Any) -> None:
    """Pass on what runs say of their claims, and what anybody complains of."""
    level = event.get("log_level", LogLevel.info)
    if level >= LogLevel.error or event.get("log_namespace") == "txthoonk.running.Run":
        failure = event.get("log_failure")
        text = formatEvent(event) + (f" {failure.getTraceback()}" if failure else "")
        tell(f"log {os.getpid()} {level.name} {text}")


# -- the process that forks ----------------------------------------------------------------------


class Parent:
    """Forks workers, and reaps them.

    :param kind: of workers.
    """

    def __init__(self, options: dict[str, Any], kind: type[Victim] = Victim) -> None:
        self._options = options
        self._kind = kind
        self._children: set[int] = set()
        self._rest = b""

    def run(self) -> None:
        """Do as told until the input ends."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(writer)
        selector = selectors.DefaultSelector()
        selector.register(0, selectors.EVENT_READ)
        selector.register(reader, selectors.EVENT_READ)
        tell("ready")
        while True:
            for key, _ in selector.select():
                data = os.read(int(key.fd), 65536)
                if key.fd == reader:
                    self._reap()
                elif data:
                    self._told(data)
                else:
                    for pid in self._children:
                        os.kill(pid, signal.SIGKILL)
                    return

    def _told(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            verb, *args = line.decode().split()
            if verb == "fork":
                self._fork(*args)
            elif int(args[0]) in self._children:
                os.kill(int(args[0]), signal.Signals[f"SIG{verb}"])

    def _fork(self, point: str, passes: str) -> None:
        pid = os.fork()
        if pid == 0:
            work(self._kind, self._options, point, passes)
        self._children.add(pid)
        tell(f"born {pid}")

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
                if not pid:
                    return
                if os.WIFSTOPPED(status):
                    tell(f"stopped {pid}")
                    continue
                self._children.discard(pid)
                tell(f"died {pid} {os.waitstatus_to_exitcode(status)}")


def prepare(options: dict[str, Any]) -> None:
    """What is the same in all workers: what is switched off, and how hasty maintenance is."""
    off = options.get("off")
    if off == "handoff":
        Job._return_abandoned = lambda self, grace: succeed(0)  # type: ignore[method-assign]  # it is off
    elif off:
        for each in off.split("+"):
            FOR_GOOD.enter_context(switched_off(each))
    txthoonk._upkeep.MAINTENANCE = options.get("maintenance", txthoonk._upkeep.MAINTENANCE)
    grace = options.get("handoff_grace", 1.0)
    wrap(Job, "maintenance", lambda method, job, **how: method(job, grace, **how))


def main(kind: type[Victim] = Victim) -> None:
    """What the process that forks does."""
    given = json.loads(sys.argv[1])
    prepare(given)
    if "twisted.internet.reactor" in sys.modules:
        raise SystemExit("there is a reactor already: it would be shared by all that is forked")
    Parent(given, kind).run()


if __name__ == "__main__":
    main()
