"""The long trials of followers: ``python -m tests.trials resync``, and so on.

They print what ``docs/follow-trials.rst`` shows; see that page for how they are done.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from tests.torture.__main__ import commit, tell
from txthoonk.embedded import EmbeddedRedis
from txthoonk.link import connect
from txthoonk.redis import Redis
from txthoonk.target import Target

Lines = tuple[list[str], bool]


async def resync(reactor: Any, options: argparse.Namespace) -> Lines:
    """Everything that has to be told, and what must not be."""
    from tests.trials import causes
    from tests.trials.resync import table, tried

    groups = (causes.CUTS, causes.KEYS, causes.FLUSHES, causes.RDBS, causes.AOFS, causes.DELETES)
    every = [cause for group in (*groups, causes.TOKENS) for cause in group]
    # A few more: some of those whose AOF is cut off lose nothing.
    each = -(-options.trials * 21 // 20 // sum(bool(cause.reasons) for cause in every))
    tallies = await tried(every, each, say=tell)
    return table(tallies), not any(tally.faults for tally in tallies)


async def outage(reactor: Any, options: argparse.Namespace) -> Lines:
    """Redis is killed, and ends the connections of all who listen, every second."""
    from tests.trials.outage import Outage

    done = await Outage().run(options.kills, options.seconds)
    return done.lines(), not done.faults


async def slow(reactor: Any, options: argparse.Namespace) -> Lines:
    """A handler sleeps while very much is published."""
    from tests.trials.slow import Slow

    done = Slow(options.megabytes, options.seconds, rounds=options.rounds, say=tell)
    await done.run()
    # How long others take is for people to judge: machines are noisy.
    sure = done.resyncs == ["overflow"] and done.right and not done.closed
    return done.lines(), sure and done.others == done.published and done.grown < 2 * done.cap / 1e6


async def storm(reactor: Any, options: argparse.Namespace) -> Lines:
    """Feeds are followed while another process writes to them."""
    from tests.trials.storm import Storm

    done = await Storm(options.follows, options.rate).run()
    return done.lines(), not done.faults and not done.adopted


async def cuts(reactor: Any, options: argparse.Namespace) -> Lines:
    """Connections break in every way, and between the two messages of one change."""
    from tests.trials.cuts import broken, pairs

    lines, faults = await broken(options.cuts, options.seed, tell)
    more, mistaken = await pairs(options.pairs, options.seed, tell)
    return [*lines, "", *more], not faults and not mistaken


COMMANDS = {"resync": resync, "outage": outage, "slow": slow, "storm": storm, "cuts": cuts}


async def version(reactor: Any) -> str:
    """Of the Redis that the trials start."""
    server = await EmbeddedRedis().start()
    redis = await connect(Target.parse(server.url).endpoint(reactor), Redis)
    info: bytes = await redis.execute("INFO", "server")
    await redis.close()
    await server.stop()
    return info.split(b"redis_version:")[1].split()[0].decode()


async def main(reactor: Any, options: argparse.Namespace) -> None:
    """One kind of trial."""
    random.seed(options.seed)
    date = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    told = [f"commit {commit()}", f"date {date}", f"Redis {await version(reactor)}"]
    told.append(f"seed {options.seed}")
    began = reactor.seconds()
    lines, sure = await COMMANDS[options.command](reactor, options)
    told += [f"{options.command}, {reactor.seconds() - began:.0f} s", "", *lines, ""]
    sys.stdout.write("\n".join(told))
    if not sure:
        raise SystemExit(1)


def options_of(args: Sequence[str]) -> argparse.Namespace:
    """What, and how much of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.trials", description=__doc__)
    seed = int(os.environ.get("TXTHOONK_SEED") or random.randrange(10**6))
    parser.add_argument("--seed", type=int, default=seed, help="else TXTHOONK_SEED, else random")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("resync", help=resync.__doc__)
    command.add_argument("--trials", type=int, default=1000, help="of what has to be told")
    command = commands.add_parser("outage", help=outage.__doc__)
    command.add_argument("--kills", type=int, default=20)
    command.add_argument("--seconds", type=float, default=60, help="of CLIENT KILL")
    command = commands.add_parser("slow", help=slow.__doc__)
    command.add_argument("--megabytes", type=float, default=200)
    command.add_argument("--seconds", type=float, default=120)
    command.add_argument("--rounds", type=int, default=14, help="measurements of latency")
    command = commands.add_parser("storm", help=storm.__doc__)
    command.add_argument("--follows", type=int, default=10_000)
    command.add_argument("--rate", type=float, default=5000, help="changes a second")
    command = commands.add_parser("cuts", help=cuts.__doc__)
    command.add_argument("--cuts", type=int, default=60, help="of each kind")
    command.add_argument("--pairs", type=int, default=1000, help="changes with a cut each")
    return parser.parse_args(args)


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, options_of(sys.argv[1:]))))
