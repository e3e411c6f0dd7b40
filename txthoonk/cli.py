"""``thoonk``: what can be said from the command line; ``thoonk --help`` lists it.

One entry is one line, its columns divided by tabs: control characters show as escapes, so that no
item breaks a line or a terminal. All other bytes go through as they are, also those that are no
UTF-8.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from txthoonk import __version__
from txthoonk._schedule_verbs import schedule, schedules, unschedule
from txthoonk._verbs import TYPES, Output, feeds, follow, fsck, items, jobs, publish, watch
from txthoonk.errors import ThoonkError
from txthoonk.keys import check_id, check_name, decode
from txthoonk.target import Target

__all__ = ["main"]

DEFAULT_URL: Final = "redis://localhost:6379/0"

Verb = Callable[[argparse.Namespace, Output], Awaitable[None]]


def word(check: Callable[[str], Any], argument: str) -> str:
    """An argument as the bytes that were typed, if *check* does not refuse it."""
    text = decode(os.fsencode(argument))
    try:
        check(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def make_parser() -> argparse.ArgumentParser:
    """What may be typed."""
    redis_url = partial(word, Target.parse)
    parser = argparse.ArgumentParser(
        prog="thoonk",
        description="Look into a Thoonk, and put things in.",
        epilog="Exit status: 0 done, 1 failed, 2 wrong usage, 130 ended by Ctrl-C.",
    )
    parser.add_argument("--version", action="version", version=f"thoonk {__version__}")
    parser.add_argument(
        "--redis",
        metavar="URL",
        default=os.environ.get("THOONK_REDIS") or DEFAULT_URL,
        type=redis_url,
        help="redis://, rediss:// or redis+unix:// URL; if not given, the environment's "
        f"THOONK_REDIS, else {DEFAULT_URL}",
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, run: Verb, text: str, feed: str | None = "FEED", **more: Any) -> Any:
        summary = text.partition(";")[0].rstrip(".")
        added = verbs.add_parser(name, help=summary, description=text)
        added.set_defaults(run=run)
        if feed is not None:
            added.add_argument("feed", metavar=feed, type=partial(word, check_name), **more)
        return added

    def takes_item(added: Any) -> None:
        help = "- takes standard input, byte for byte"
        added.add_argument("item", metavar="ITEM", type=partial(word, str), help=help)
        check = partial(check_id, feed="FEED")
        added.add_argument("--id", type=partial(word, check), help="made up if not given")

    verb("feeds", feeds, "List all feeds; name, type, number of items.", feed=None)
    verb("items", items, "List the items of a feed in its order; of a queue, the next one first.")

    publisher = verb(
        "publish",
        publish,
        "Publish an item in the way of the feed's type, and print its id; "
        "with the id of an item that is there, replace that one.",
    )
    publisher.set_defaults(new_type="feed", types=TYPES, priority=False)
    takes_item(publisher)
    publisher.add_argument(
        "--type", choices=TYPES, help="what a FEED that is not there yet becomes; else a feed"
    )

    verb(
        "watch",
        watch,
        "Print what happens in feeds, until Ctrl-C; a FEED with * ? or [ in it is a pattern, "
        "in which a backslash takes the next character literally.",
        nargs="+",
    )

    verb(
        "follow",
        follow,
        "Print the items of feeds, then every change with its revision, until Ctrl-C: none is "
        "missed; a FEED with * ? or [ in it is a pattern.",
        nargs="+",
    )

    putter = verb(
        "put",
        publish,
        "Put a job, or an item into a queue, and print its id; "
        "a JOBFEED that is not there is made one.",
        feed="JOBFEED",
    )
    putter.set_defaults(new_type="job", types=("job", "queue"), type=None)
    takes_item(putter)
    putter.add_argument("--priority", action="store_true", help="before all others")

    counter = verb("jobs", jobs, "Count the jobs in each state.", feed="JOBFEED")
    counter.add_argument("--ids", action="store_true", help="state and id of each job instead")

    verb(
        "schedules",
        schedules,
        "List the schedules of feeds, of all if none is named; feed, name, when it is due next "
        "(UTC, or paused), policy for missed ticks, rule, item.",
        feed="JOBFEED",
        nargs="*",
    )

    scheduler = verb(
        "schedule",
        schedule,
        "Put a job again and again, by an interval or a cron expression; a schedule of that NAME "
        "that is there is set anew. twistd thoonk --schedule fires it.",
        feed="JOBFEED",
    )
    check = partial(check_id, feed="JOBFEED")
    scheduler.add_argument("name", metavar="NAME", type=partial(word, check))
    scheduler.add_argument("item", metavar="ITEM", type=partial(word, str))
    rule = scheduler.add_mutually_exclusive_group(required=True)
    rule.add_argument("--every", type=float, metavar="SECONDS")
    rule.add_argument("--cron", metavar="EXPRESSION", help="minute hour day month weekday")
    scheduler.add_argument("--timezone", default="UTC", help="of --cron; UTC if not given")
    scheduler.add_argument("--missed", choices=("catch-up", "latest", "skip"), default="latest")
    scheduler.add_argument("--priority", action="store_true", help="its jobs before all others")

    remover = verb("unschedule", unschedule, "Remove a schedule.", feed="JOBFEED")
    remover.add_argument("name", metavar="NAME", type=partial(word, check))

    checker = verb(
        "fsck",
        fsck,
        "Check feeds, all if none is named, while others work on them; feed, kind of fault, id, "
        "whether it was repaired, and what is wrong. Exit status: 0 if no fault remains. "
        "Of a FEED that does not exist the keys are faults, and --repair removes them.",
        nargs="*",
    )
    checker.add_argument("--repair", action="store_true", help="repair what can be")

    runner = verb(
        "conformance",
        conformance,
        "Put an implementation of Thoonk, in whatever language, through the vectors of the "
        "contract, and print a table; docs/conformance.rst. Feeds have names of its own, and are "
        "removed. "
        "Exit status: 0 if all passed.",
        feed=None,
    )
    runner.add_argument("--redis", metavar="URL", type=redis_url, default=argparse.SUPPRESS)
    runner.add_argument(
        "--driver", metavar="COMMAND", help="starts the driver; else txThoonk's own"
    )
    runner.add_argument("--all", action="store_true", help="show all that differs, not just some")
    runner.add_argument("--only", metavar="VERB", action="append", help="* and ? as in a shell")

    verb("driver", driver, "Be txThoonk's driver for the above, on standard input.", feed=None)
    return parser


async def conformance(options: argparse.Namespace, out: Output) -> None:
    """Put a driver through the vectors."""
    from txthoonk.conformance.command import conformance

    await conformance(options, out)


async def driver(options: argparse.Namespace, out: Output) -> None:
    """Do what comes on standard input."""
    from txthoonk.conformance.driver import serve

    await serve()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    :param argv: what was typed behind ``thoonk``.
    :returns: the exit status: 0 done, 1 failed; 130 after Ctrl-C, as a shell has it. Wrong usage
        raises SystemExit(2).
    """
    out = Output()
    try:
        options = make_parser().parse_args(argv)
        return drive(options.run(options, out))
    except KeyboardInterrupt:  # before the reactor ran
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # What is still in a buffer would be written, and fail once more, at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (ThoonkError, OSError) as error:
        out.tell(str(error) or type(error).__name__)
        return 1


def drive(command: Awaitable[None]) -> int:
    """Run the reactor until *command* is done, or a signal comes.

    :returns: the exit status, unless the command failed.
    """
    from twisted.internet import reactor as installed
    from twisted.internet.defer import CancelledError, Deferred
    from twisted.python.failure import Failure

    reactor: Any = installed
    signalled = 0
    running: list[Deferred[Any]] = []
    ended: list[object] = []

    def interrupted(number: int, _: object) -> None:
        nonlocal signalled
        signalled = number
        reactor.callFromThread(lambda: running[0].cancel())

    def start() -> None:
        signal.signal(signal.SIGTERM, interrupted)  # the reactor has just taken it for itself
        running.append(Deferred.fromCoroutine(command))  # type: ignore[arg-type]  # it is one
        running[0].addBoth(ended.append).addBoth(lambda _: reactor.stop())

    signal.signal(signal.SIGINT, interrupted)
    reactor.callWhenRunning(start)
    reactor.run()
    result = ended[0] if ended else None
    if isinstance(result, Failure) and not (signalled and result.check(CancelledError)):
        result.raiseException()
    return 128 + signalled if signalled else 0


if __name__ == "__main__":
    sys.exit(main())
