"""Puts a driver through vectors."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from txthoonk.conformance.compare import (
    compare_keys,
    compare_messages,
    compare_reply,
    shown,
)
from txthoonk.conformance.digests import wrong_digests
from txthoonk.conformance.protocol import VERSION, Driver, DriverFailed
from txthoonk.conformance.stage import Stage
from txthoonk.conformance.symbols import Symbols
from txthoonk.conformance.vectors import Step, Vector, all_vectors, is_ours
from txthoonk.keys import encode
from txthoonk.target import Target

__all__ = ["Report", "Result", "run"]

#: Seconds that a reply may take, beside what the request itself waits for.
PATIENCE: Final = 10.0

#: Seconds after which a listener that is silent hears no more.
SILENCE: Final = 2.0

#: Seconds between two looks at what a listener has heard.
PAUSE: Final = 0.01

#: Ends what a listener is sent: channel, then id and item.
LAST: Final = ("feed.publish:<feed>", "last\0seen")


@dataclass(frozen=True)
class Result:
    """What came of one vector.

    :ivar differs: what is different from the vector; empty if it passed.
    :ivar verb: in whose step that is.
    """

    vector: Vector
    differs: tuple[str, ...] = ()
    verb: str = ""


@dataclass
class Report:
    """What came of all.

    :ivar driver: what it calls itself.
    :ivar left_out: verbs that the driver does not offer, and how many vectors there are of each.
    :ivar notes: what could not be looked at.
    """

    driver: str = ""
    results: list[Result] = field(default_factory=list)
    left_out: dict[tuple[str, str], int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> int:
        """How many vectors passed."""
        return sum(not result.differs for result in self.results)


class Runner:
    """Plays vectors on one Redis with one driver; see :func:`run`."""

    def __init__(self, reactor: Any, url: str, command: str) -> None:
        self._reactor = reactor
        self._url = url
        self._command = command
        self._target = Target.parse(url)
        self.stage = Stage(reactor, self._target, f"conformance:{os.urandom(6).hex()}")
        self._driver: Driver | None = None
        self._number = 0
        self.hello: dict[str, Any] = {}

    async def start(self) -> dict[str, Any]:
        """Start the driver, if it does not run.

        :returns: what it says of itself.
        """
        if self._driver is None:
            driver = Driver(self._reactor, self._command)
            self._driver = driver
            args = {"redis": self._url, "version": VERSION}
            reply = await driver.ask("hello", args, PATIENCE)
            if "raised" in reply:
                raise DriverFailed(f"the driver: {reply['raised']}: {reply.get('says', '')}")
            hello = reply.get("returned")
            if not isinstance(hello, dict) or not isinstance(hello.get("verbs"), list):
                raise DriverFailed(f"the driver answered hello with {shown(hello)}")
            self.hello = hello
        return self.hello

    async def stop(self) -> None:
        """Stop the driver."""
        driver, self._driver = self._driver, None
        if driver is not None:
            await driver.stop()

    async def play(self, vector: Vector, outcome: Callable[..., Any] | None = None) -> Result:
        """Do what a vector says, up to its first step that differs.

        :param outcome: called with each step and what came of it, instead of comparing.
        """
        self._number += 1
        stage, base = self.stage, await self.stage.now()
        name = f"{stage.start}:{self._number:04}{vector.feed}"
        known = {"feed": name, "start": stage.start, "db": str(self._target.db or 0)}
        if "instance" in self.hello:
            known["instance"] = self.hello["instance"]
        symbols = Symbols(known, base)
        before = symbols.fill(vector.given)
        await stage.prepare(before)
        stored = before.get(f"tx.feed.revision:{name}", {"value": {}})["value"].get("digest", "0")
        digest = int(stored) if stored.isdecimal() else 0
        try:
            for step in vector.steps:
                done = await self._step(step, name, symbols)
                now = await stage.look(name)
                if vector.part == "contract":
                    now = _without_ours(now)
                    done.messages = [m for m in done.messages if not is_ours(m[0])]
                if outcome is not None:
                    outcome(step, done, before, now, symbols)
                    before = now
                    continue
                differs = [
                    *(["hears " + done.heard] if done.heard else []),
                    *(compare_reply(step, done.reply, symbols) if step.verb else []),
                    *compare_messages(step.messages, done.messages, symbols),
                    *compare_keys(before if step.after is None else step.after, now, symbols),
                    *done.early,
                ]
                if vector.part == "revisions":
                    wrong, digest = wrong_digests(done.messages, digest, symbols.window)
                    differs += wrong
                if differs:
                    told = (each.replace(name, "[feed]") for each in differs)
                    return Result(vector, tuple(told), _verb_of(step, vector))
                before = now
        except DriverFailed as error:
            await self.stop()
            return Result(vector, (str(error),), _verb_of(step, vector))
        finally:
            await stage.remove(name)
        return Result(vector)

    async def _step(self, step: Step, name: str, symbols: Symbols) -> Done:
        stage = self.stage
        await self.start()
        assert self._driver is not None
        done = Done()
        stage.begin()
        start = await stage.now()
        if step.verb:
            args = symbols.fill(step.args)
            patience = PATIENCE + (args.get("timeout") or 0)
            done.reply = await self._driver.ask(step.verb, args, patience)
            symbols.window = (start, await stage.now())
            done.messages, done.early = await stage.end(name)
            return done
        commands = step.redis or []
        if step.message is not None:
            commands = [["PUBLISH", *step.message], ["PUBLISH", *LAST]]
        for command in commands:
            await stage.redis.execute(*map(encode, symbols.fill(command)))
        if step.redis is not None:
            symbols.window = (start, await stage.now())
            return done
        heard, symbols.window = await self._heard(name), (start, await stage.now())
        expected = symbols.fill(step.heard)
        done.events = heard
        if heard is None:
            done.heard = "nothing any more"
        elif not symbols.match(expected, heard):
            done.heard = f"{shown(heard)}, not {shown(expected)}"
        return done

    async def _heard(self, name: str) -> list[Any] | None:
        """The events that the driver heard before the last one; None if that does not come."""
        assert self._driver is not None
        events: list[Any] = []
        end = self._reactor.seconds() + SILENCE
        while self._reactor.seconds() < end:
            reply = await self._driver.ask("heard", {"feed": name}, PATIENCE)
            for event in reply.get("returned") or []:
                if event.get("id") == LAST[1].partition("\0")[0]:
                    return events
                events.append(event)
            await self.stage.pause(PAUSE)
        return None


def _verb_of(step: Step, vector: Vector) -> str:
    return vector.verb if step.verb in ("", "listen") else step.verb


@dataclass
class Done:
    """What came of a step."""

    reply: dict[str, Any] = field(default_factory=dict)
    messages: list[tuple[str, str]] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    heard: str = ""
    events: list[Any] | None = None


def _without_ours(keys: dict[str, Any]) -> dict[str, Any]:
    return {key: stored for key, stored in keys.items() if not is_ours(key)}


async def run(
    reactor: Any,
    url: str,
    command: str,
    vectors: Iterable[Vector] | None = None,
    told: Callable[[Result], Awaitable[None] | None] | None = None,
) -> Report:
    """Put a driver through vectors.

    Feeds have names of the runner's own, ``conformance:...``, and are removed afterwards; nothing
    else of the database is touched.

    :param url: of Redis, which the driver is told too.
    :param command: that starts the driver.
    :param vectors: all if not given.
    :param told: called with each result.
    :raises NotConnected: if there is no Redis.
    :raises DriverFailed: if the driver does not start.
    """
    runner = Runner(reactor, url, command)
    report = Report()
    await runner.stage.open()
    try:
        hello = await runner.start()
        report.driver = str(hello.get("driver", command))
        if runner.stage.monitor is None:
            report.notes.append("MONITOR is refused here: what is told too early is not seen")
        offered = set(hello["verbs"])
        for vector in all_vectors() if vectors is None else vectors:
            if vector.part not in hello.get("parts", ["contract"]) or vector.needs - offered:
                row = vector.part, vector.verb
                report.left_out[row] = report.left_out.get(row, 0) + 1
                continue
            result = await runner.play(vector)
            report.results.append(result)
            if told is not None:
                told(result)
    finally:
        await runner.stop()
        await runner.stage.close()
    return report
