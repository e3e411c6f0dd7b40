"""Who takes part in the job benchmark, and how each is measured.

A rate counts from the first handler's call, or the first put, to the last acknowledgement:
programs and their imports are started before.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import rivals
from benchmarks.tools import Process, Record, Server, pack

_PROGRAMS = Path(__file__).parent / "job_contestants"

#: Seconds that one measurement of one contestant may take.
LIMIT = 240.0

#: What may be measured.
PARTS = ("enqueue", "drain", "bulk", "latency", "queued")


@dataclass(frozen=True)
class System:
    """A contestant.

    :ivar program: in ``job_contestants``; a module, or a file for node.
    :ivar variant: of it.
    :ivar jobs: how many in a round.
    :ivar unacknowledged: commands whose numbers are all 0 when all is done.
    :ivar parts: what it takes part in.
    :ivar needs: the environment it runs in; empty is ours.
    """

    program: str
    variant: str
    jobs: int
    unacknowledged: tuple[tuple[str, ...], ...]
    parts: tuple[str, ...]
    needs: str = ""

    @property
    def is_here(self) -> bool:
        """Whether it is installed."""
        return not self.needs or self.needs in rivals.installed()


_NO_BULK = ("enqueue", "drain", "latency", "queued")
_WORKER = ("drain", "latency")

_BARE = (("LLEN", "ids"), ("ZCARD", "claimed"), ("HLEN", "items"))
_OURS = (
    ("LLEN", "feed.ids:benchmark"),
    ("ZCARD", "feed.claimed:benchmark"),
    ("HLEN", "feed.items:benchmark"),
)
_BULLMQ = (("LLEN", "bull:bench:wait"), ("LLEN", "bull:bench:active"))
_BEE = (("LLEN", "bq:bench:waiting"), ("LLEN", "bq:bench:active"))
_SAQ = (("ZCARD", "saq:default:incomplete"), ("LLEN", "saq:default:active"))
_RQ = (("LLEN", "rq:queue:default"), ("ZCARD", "rq:wip:default"))

SYSTEMS = {
    "bare": System("bare", "", 100_000, _BARE, ("enqueue", "drain", "bulk", "latency")),
    "bare-direct": System("bare", "direct", 100_000, _BARE, _WORKER),
    "bare-msgspec": System("bare", "msgspec", 100_000, _BARE, ("enqueue", "drain")),
    "bare-c500": System("bare", "c500", 100_000, _BARE, ("enqueue",)),
    "bare-ids32": System("bare", "ids32", 100_000, _BARE, ("queued",)),
    "txthoonk": System("ours", "100", 100_000, _OURS, PARTS),
    "txthoonk-50": System("ours", "50", 100_000, _OURS, _WORKER),
    "txthoonk-kept": System("ours", "100,kept", 100_000, _OURS, _WORKER),
    "txthoonk-quiet": System("ours", "100,quiet", 100_000, _OURS, ("enqueue", "drain", "bulk")),
    "bee-lean": System("bee.cjs", "lean", 20_000, _BEE, PARTS, "node"),
    "bee": System("bee.cjs", "", 20_000, _BEE, PARTS, "node"),
    "bullmq": System("bullmq.cjs", "", 20_000, _BULLMQ, PARTS, "node"),
    "taskiq": System("taskiq", "", 10_000, (("XPENDING", "taskiq", "taskiq"),), _NO_BULK, "taskiq"),
    "taskiq-list": System("taskiq", "list", 10_000, (("LLEN", "taskiq"),), _NO_BULK, "taskiq"),
    "huey": System("huey", "", 10_000, (("LLEN", "huey.redis.bench"),), _NO_BULK, "huey"),
    "saq": System("saq", "", 5_000, _SAQ, _NO_BULK, "saq"),
    "rq": System("rq", "", 3_000, _RQ, PARTS, "rq"),
}


class Bench:
    """Measures one contestant after the other on one server, which it empties each time.

    :param settle: seconds that a worker gets to start, and a finished worker's leavings to settle.
    """

    def __init__(self, server: Server, settle: float) -> None:
        self._server = server
        self._settle = settle

    def enqueue(self, system: System, jobs: int, mode: str = "enqueue") -> Record:
        """Put jobs by one client; they stay there.

        :param mode: ``enqueue`` puts one by one, ``bulk`` many in a call.
        """
        self._empty()
        redis = self._server.cpu()
        with self._program(system, mode, jobs) as program:
            run = program.hear()
        return {
            "per_second": jobs / run["wall"],
            "client_us": run["cpu"] / jobs * 1e6,
            "redis_us": (self._server.cpu() - redis) / jobs * 1e6,
        }

    def drain(self, system: System, jobs: int) -> tuple[Record, Record]:
        """Let one worker do the jobs that are there.

        :returns: how it went, and what it left in Redis for each job.
        """
        with self._program(system, "drain", jobs) as program:
            first = program.hear()["first"]
            redis, client = self._server.cpu(), program.cpu()
            program.hear()
            while self._unacknowledged(system):
                time.sleep(0.004)
            took = time.monotonic_ns() - first
            redis, client = self._server.cpu() - redis, program.cpu() - client
            time.sleep(self._settle / 5)
        time.sleep(self._settle / 5)
        keys, left = self._weigh()
        drained = {
            "per_second": jobs / took * 1e9,
            "client_us": client / jobs * 1e6,
            "redis_us": redis / jobs * 1e6,
        }
        return drained, {"bytes": left / jobs, "keys": keys / jobs}

    def latency(self, system: System, jobs: int) -> Record:
        """Let one worker wait for jobs that come one by one."""
        self._empty()
        with self._program(system, "latency", jobs) as worker:
            time.sleep(self._settle)
            redis, client = self._server.cpu(), worker.cpu()
            with self._program(system, "pace", jobs):
                worker.hear()
                answer = worker.hear()
            redis, client = self._server.cpu() - redis, worker.cpu() - client
        return {
            "p50_ms": answer["p50_ms"],
            "p99_ms": answer["p99_ms"],
            "client_us": client / jobs * 1e6,
            "redis_us": redis / jobs * 1e6,
        }

    def queued(self, system: System, jobs: int) -> Record:
        """What so many jobs that wait hold in Redis, each: its memory before and after a flush."""
        self.enqueue(system, jobs)
        time.sleep(self._settle / 5)
        keys = self._server.raw("DBSIZE")
        used = self._server.memory()
        self._server.raw("FLUSHALL", "SYNC")
        return {"bytes": (used - self._server.memory()) / jobs, "keys": keys / jobs}

    def _empty(self) -> None:
        self._server.raw("FLUSHALL", "SYNC")
        self._server.raw("SCRIPT", "FLUSH")
        time.sleep(0.1)

    def _unacknowledged(self, system: System) -> int:
        replies = [self._server.raw(*command) for command in system.unacknowledged]
        # XPENDING tells more than a number, which comes first.
        return sum(reply[0] if isinstance(reply, list) else reply for reply in replies)

    def _weigh(self) -> tuple[int, int]:
        """How many keys there are, and what they hold: key by key, as a flush frees other things
        too, which would be much beside nothing."""
        raw = self._server.raw
        keys = raw("KEYS", "*")
        for start in range(0, len(keys), 1000):
            raw.send(
                b"".join(
                    pack("MEMORY", "USAGE", key, "SAMPLES", 0) for key in keys[start : start + 1000]
                )
            )
        return len(keys), sum(raw.read() or 0 for _ in keys)

    @contextmanager
    def _program(self, system: System, mode: str, jobs: int) -> Iterator[Process]:
        args = (mode, jobs, self._server.host, self._server.port, system.variant)
        if system.needs == "node":
            modules = {"NODE_PATH": str(rivals.node_modules("node")), "NODE_ENV": "production"}
            file = str(_PROGRAMS / system.program)
            process = Process(file, *args, program=["node"], more=modules)
        else:
            python = rivals.python(system.needs) if system.needs else sys.executable
            module = f"benchmarks.{_PROGRAMS.name}.{system.program}"
            process = Process(module, *args, program=[python, "-m"])
        try:
            with process.limited(LIMIT):
                yield process
        finally:
            if mode in _WORKER:
                process.terminate()
            else:
                process.stop()
