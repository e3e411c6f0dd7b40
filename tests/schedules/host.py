"""A host with a clock of its own, on which a scheduler runs until it is killed.

``python -m tests.schedules.host OPTIONS``, with options as JSON: ``url``; ``skew``, seconds by
which the clock is wrong; and, if wanted, ``point`` and ``passes``: where it kills itself, and when
it has come there so often; ``off``, a safeguard that is switched off. It says ``ready SECONDS``,
the time by its clock, and then nothing more.

The failpoints are wrapped around the package here: nothing in the package knows of them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

#: Where a host kills itself.
POINTS = {
    "before": "before a tick is sent",
    "sent": "a tick is sent, its reply not read",
    "answered": "the reply has come, nothing done about it",
}


def skew_clock(seconds: float) -> None:
    """Let the time be wrong for all that is imported after this: Twisted keeps ``time.time``."""
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + seconds
    time.time_ns = lambda: real_ns() + int(seconds * 1e9)


def die() -> NoReturn:
    """End as by the power switch."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def flush(link: Any) -> None:
    """Let every byte leave that was to leave."""
    redis = link._redis
    if redis is None:
        return
    redis._in_turn = False
    redis._flush()
    while redis.transport.dataBuffer or redis.transport._tempDataBuffer:
        redis.transport.doWrite()


def arm(link: Any, point: str, passes: int) -> None:
    """Kill this process at a point, at the *passes* th tick that it wants to fire."""
    from txthoonk.scripts import script

    sha = script("schedule/tick").sha
    send: Callable[[bytes], Any] = link.send
    left = passes

    def sending(command: bytes) -> Any:
        nonlocal left
        left -= sha in command
        if sha not in command or left:
            return send(command)
        if point == "before":
            die()
        done = send(command)
        if point == "sent":
            flush(link)
            die()
        return done.addBoth(lambda _: die())

    link.send = sending


def switch_off(safeguard: str) -> None:
    """Do without one, to see what that is seen by."""
    import txthoonk.scheduler as module
    from txthoonk.rules import Step, plan
    from txthoonk.scripts import Script, script

    tick: Any = script("schedule/tick")

    def rewrite(*changes: tuple[str, str]) -> None:
        source = tick.source.decode()
        for line, other in changes:
            if source.count(f"{line}\n") != 1:
                raise AssertionError(f"there is no line {line!r} any more")
            source = source.replace(line, other)
        vars(tick).update(vars(Script(tick.name, source.encode())))

    def plan_by_this_clock(rule: Any, due: int, now: int, *rest: Any) -> list[Step]:
        return plan(rule, due, max(due, int(time.time() * 1000)), *rest)

    def put_afterwards(self: Any, verdict: int, what: str, step: Step, now: int) -> int:
        feed, _, name = what.partition(", schedule ")
        if verdict == 0:
            self._thoonk.job(feed).put("tick", id=f"{name}@{step.fire}")
        return verdict

    if safeguard == "comparison":  # whoever has seen that a tick is due fires it
        rewrite(
            ("if due ~= expected or is_rule ~= rule then", "if not due then"),
            ("local puts = fire > 0 and not is_there", "local puts = fire > 0"),
        )
        vars(module)["SPREAD"] = 0.0011
    elif safeguard == "clock":  # each host has the time of its own
        rewrite(
            (
                "if expected > now or fire > now or next <= math.max(expected, fire) then",
                "if false then",
            )
        )
        vars(module)["plan"] = plan_by_this_clock
    elif safeguard == "one step":  # the schedule moves on, and then a job is put; or is not
        rewrite(("local puts = fire > 0 and not is_there", "local puts = false"))
        vars(module)["Scheduler"]._tell = put_afterwards
    else:
        raise ValueError(f"no safeguard {safeguard!r}")


def main(options: dict[str, Any]) -> None:
    """Run."""
    from twisted.internet import reactor as installed

    from txthoonk import Thoonk
    from txthoonk.scheduler import Scheduler

    reactor: Any = installed
    if options.get("off"):
        switch_off(options["off"])
    thoonk = Thoonk(options["url"], connect_timeout=2)
    if options.get("point"):
        arm(thoonk.redis, options["point"], options["passes"])
    thoonk.startService()

    def begin(_: object) -> None:
        Scheduler(thoonk).startService()
        sys.stdout.write(f"ready {reactor.seconds()}\n")
        sys.stdout.flush()

    thoonk.when_connected().addCallback(begin)
    reactor.run()


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    if told.get("skew"):
        skew_clock(told["skew"])
    main(told)
