"""``twistd thoonk``: its options, each checked, and what it runs."""

from __future__ import annotations

import importlib
import inspect
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import Any, Final

from twisted.application.service import IService
from twisted.python import usage

from txthoonk._supervisor import REDIS
from txthoonk.dialects import get_dialect
from txthoonk.keys import check_name, decode
from txthoonk.target import EMBEDDED, Target

__all__ = ["Options", "find_handler", "makeService"]

_FORM: Final = "--job takes NAME=package.module:handler"

#: The longest time that may be given, in seconds: a year.
MOST_SECONDS: Final = 31_536_000

_REDIS_HELP: Final = (
    f"redis://, rediss:// or redis+unix:// URL; if not given, the environment's {REDIS}; else an "
    "embedded Redis is started, and is gone with its jobs when this is."
)


class Options(usage.Options):
    """What may be typed behind ``twistd thoonk``.

    :ivar handlers: name of a feed of jobs -> what does its jobs.
    :ivar specs: the same -> its name, ``package.module:handler``.
    """

    synopsis = "[--redis URL] --job NAME=package.module:handler [--job ...] [options]"
    longdesc = (
        "Works on jobs until SIGTERM or SIGINT. The exit status is 0 if all jobs were finished or "
        "released then; 1 for wrong usage, if Redis refuses for good at the start (password, "
        "rights, database, a NAME that holds no jobs), if an embedded Redis does not start, if "
        "Redis is out of reach at the end, or if a worker did not stop as it should. A Redis that "
        "is out of reach earlier is waited for."
    )
    optParameters = [
        ["redis", None, None, _REDIS_HELP],
        ["concurrency", None, "10", "Jobs of each NAME that run at a time, in each process."],
        ["grace", None, "10", "Seconds that running jobs get to finish when the worker stops."],
        [
            "workers",
            None,
            None,
            (
                "Processes in all; of several, one that dies is started again. 1 if not given; 2 "
                "with --bridge, as somebody has to hear results while the other one starts."
            ),
        ],
        ["claim-timeout", None, None, "Seconds that a claim holds; stored with the feed."],
        ["max-attempts", None, None, "Then a job is parked; 0: never. Stored with the feed."],
        ["processes", None, "0", "Child processes of each NAME in which handlers run, if any."],
        ["dialect", None, "contract", "Of the wire: contract; or lua, which thoonk-jobs speaks."],
    ]
    optFlags = [
        ["blocking", None, "Run handlers in threads: they may block."],
        ["maintain", None, "Maintain all feeds of jobs there are, also without any --job."],
        ["schedule", None, "Fire the schedules of all feeds of jobs, also without any --job."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self.handlers: dict[str, Callable[..., Any]] = {}
        self.specs: dict[str, str] = {}
        self._jobs: list[str] = []
        self.bridges: list[str] = []

    def parseOptions(self, options: Any = None) -> None:  # noqa: N802  # Twisted's name
        """Read what was typed.

        :raises UsageError: if something is wrong with it.
        :raises SystemExit: with status 1 instead under twistd, which before Twisted 26 tells what
            is wrong and exits with 0.
        """
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            from twisted.application.app import ServerOptions

            if not isinstance(self.parent, ServerOptions):
                raise
            sys.stdout.write(f"{self.parent}\ntwistd thoonk: {error}\n")
            raise SystemExit(1) from None

    def opt_job(self, job: str) -> None:
        """NAME=package.module:handler: what does the jobs of the feed NAME; may be repeated."""
        self._jobs.append(job)

    def opt_bridge(self, name: str) -> None:
        """NAME of a feed of jobs that is served in both dialects; may be repeated."""
        try:
            name = check_name(decode(os.fsencode(name)))
        except ValueError as error:
            raise usage.UsageError(f"--bridge {name!r}: {error}") from None
        if name not in self.bridges:
            self.bridges.append(name)

    def parseArgs(self, *arguments: str) -> None:
        """Refuse what is no option."""
        if arguments:
            raise usage.UsageError(
                f"{arguments[0]!r} is no option; each job takes a --job of its own, as in "
                "--job NAME=package.module:handler"
            )

    def postOptions(self) -> None:
        """Check everything.

        :raises UsageError: it says what is wrong, and what would be right.
        """
        for job in self._jobs:
            name, spec = _read_job(job)
            if name in self.specs:
                raise usage.UsageError(
                    f"--job {name!r} was given twice; one handler does all jobs of a feed"
                )
            self.specs[name] = spec
            self.handlers[name] = find_handler(spec)
        if not (self.handlers or self["maintain"] or self["schedule"] or self.bridges):
            raise usage.UsageError(
                "nothing to do: give --job NAME=package.module:handler to work on jobs, "
                "--maintain to maintain feeds of jobs, --schedule to fire their schedules, or "
                "--bridge NAME to serve one in both dialects"
            )
        if self["workers"] is None:
            self["workers"] = "2" if self.bridges else "1"
        self._whole("concurrency", 1, 100_000)
        self._whole("workers", 1, 1000)
        self._whole("processes", 0, 1000)
        self._whole("max-attempts", 0, 1_000_000)
        self._seconds("grace", zero=True)
        self._seconds("claim-timeout", zero=False)
        if self["blocking"] and self["processes"]:
            raise usage.UsageError(
                "--blocking runs handlers in threads and --processes in child processes: give one "
                "of them"
            )
        if self["blocking"] or self["processes"]:
            self._check_plain()
        try:
            get_dialect(self["dialect"])
        except ValueError as error:
            raise usage.UsageError(f"--dialect: {error}") from None
        self._check_redis()

    def _check_plain(self) -> None:
        """Threads and child processes have no reactor to wait with."""
        option = "blocking" if self["blocking"] else "processes"
        for name, handler in self.handlers.items():
            if inspect.iscoroutinefunction(handler) or inspect.isasyncgenfunction(handler):
                raise usage.UsageError(
                    f"--{option} takes plain functions, and {self.specs[name]!r} is async; without "
                    f"--{option} it runs in the reactor"
                )

    def _check_redis(self) -> None:
        given = "--redis" if self["redis"] is not None else REDIS
        url = self["redis"] if self["redis"] is not None else os.environ.get(REDIS) or EMBEDDED
        if url == EMBEDDED:
            self["redis"] = None
            return
        from twisted.internet import reactor

        try:
            Target.parse(url).endpoint(reactor)
        except (ValueError, OSError) as error:
            raise usage.UsageError(
                f"{given}: {error}; right would be redis://localhost:6379/0, or {EMBEDDED}"
            ) from None
        self["redis"] = url

    def _whole(self, option: str, least: int, most: int) -> None:
        if self[option] is None:
            return
        try:
            number = int(self[option])
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise usage.UsageError(
                f"--{option} takes a whole number from {least} to {most}, not {self[option]!r}"
            )
        self[option] = number

    def _seconds(self, option: str, zero: bool) -> None:
        if self[option] is None:
            return
        try:
            number = float(self[option])
        except ValueError:
            number = math.nan
        if not (0 <= number <= MOST_SECONDS) or (number == 0 and not zero):
            least = "from 0" if zero else "above 0, up"
            raise usage.UsageError(
                f"--{option} takes a number of seconds {least} to {MOST_SECONDS:g}, not "
                f"{self[option]!r}"
            )
        self[option] = number

    def arguments(self) -> list[str]:
        """What one of several workers is started with, behind ``twistd``."""
        twistd: Any = self.parent or {}
        made = ["--nodaemon", "--pidfile="]
        if isinstance(twistd.get("reactor"), str):
            made.append(f"--reactor={twistd['reactor']}")
        if twistd.get("rundir", ".") != ".":
            made.append(f"--rundir={twistd['rundir']}")
        made += ("thoonk", "--workers=1")
        made += (f"--job={job}" for job in self._jobs)
        made += (f"--bridge={name}" for name in self.bridges)
        for option in (
            "concurrency",
            "grace",
            "claim-timeout",
            "max-attempts",
            "processes",
            "dialect",
        ):
            if self[option] is not None:
                made.append(f"--{option}={self[option]}")
        made += (f"--{flag}" for flag in ("blocking", "maintain", "schedule") if self[flag])
        return made


def _read_job(job: str) -> tuple[str, str]:
    """Read ``NAME=package.module:handler``; NAME may have an ``=`` in it, the rest cannot."""
    name, equals, spec = job.rpartition("=")
    if not equals:
        raise usage.UsageError(f"{_FORM}; there is no '=' in {job!r}")
    if not name:
        raise usage.UsageError(f"{_FORM}; there is no NAME in {job!r}")
    try:
        name = check_name(decode(os.fsencode(name)))
    except ValueError as error:
        raise usage.UsageError(f"--job {job!r}: {error}") from None
    return name, spec


def find_handler(spec: str) -> Callable[..., Any]:
    """Import a handler; the current folder is looked in, too.

    :param spec: ``package.module:handler``.
    :raises UsageError: it says what is wrong, and what would be right.
    """
    module_name, colon, path = spec.partition(":")
    if not colon or not path or not all(map(str.isidentifier, module_name.split("."))):
        raise usage.UsageError(f"{_FORM}; {spec!r} is no package.module:handler")
    here = os.getcwd()
    if here not in sys.path:  # nor is it with the program twistd; child processes get it from us
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{module_name}.".startswith(f"{missing}."):
            raise usage.UsageError(
                f"there is no module {missing!r}, for the handler {spec!r}; it is looked for in "
                f"{here} and wherever Python looks (PYTHONPATH)"
            ) from None
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise usage.UsageError(
            f"the module {module_name!r} cannot be imported: {type(error).__name__}: {error} "
            f"({place.filename}, line {place.lineno})"
        ) from error
    for attribute in path.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            names = [n for n, v in vars(found).items() if callable(v) and not n.startswith("_")]
            there = f"; there is {', '.join(sorted(names))}" if len(names) in range(1, 12) else ""
            raise usage.UsageError(f"the module {module_name!r} has no {path!r}{there}") from None
    if not callable(found):
        raise usage.UsageError(
            f"{spec!r} is {found!r:.100}, which cannot be called; a handler is a function that "
            "takes a claim"
        )
    handler: Callable[..., Any] = found
    return handler


def makeService(options: Options) -> IService:
    """What twistd runs: a worker, or the supervisor of several."""
    from twisted.internet import reactor

    from txthoonk._daemon import StoppableWorker, Worker
    from txthoonk._supervisor import Supervisor
    from txthoonk.bridge import bridge
    from txthoonk.scheduler import Scheduler
    from txthoonk.service import Thoonk
    from txthoonk.worker import JobWorker

    feeds = [*dict.fromkeys((*options.handlers, *options.bridges))]
    if options["workers"] > 1:
        twistd: Any = options.parent or {}
        aside = twistd.get("logfile") not in (None, "", "-") or twistd.get("syslog")
        supervisor: IService = Supervisor(
            reactor,
            options["redis"],
            feeds,
            count=options["workers"],
            arguments=options.arguments(),
            directory=os.getcwd(),
            grace=options["grace"],
            dialect=options["dialect"],
            relay=bool(aside or twistd.get("logger") or not twistd.get("nodaemon", True)),
        )
        return supervisor

    def make(thoonk: Thoonk) -> Iterable[StoppableWorker]:
        for name, handler in options.handlers.items():
            yield JobWorker(
                thoonk,
                name,
                options.specs[name] if options["processes"] else handler,
                concurrency=options["concurrency"],
                claim_timeout=options["claim-timeout"],
                max_attempts=options["max-attempts"],
                grace=options["grace"],
                blocking=bool(options["blocking"]),
                processes=options["processes"],
            )
        for name in options.bridges:
            yield bridge(thoonk, worker.url or EMBEDDED, name)
        if options["schedule"]:
            yield Scheduler(thoonk)

    worker = Worker(
        reactor,
        options["redis"],
        feeds,
        make,
        maintain=bool(options["maintain"]),
        dialect=options["dialect"],
    )
    return worker
