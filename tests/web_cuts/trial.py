"""Stock clients behind ports whose connections are cut, while another process changes feeds."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.task import deferLater

from tests.helpers import until
from tests.proxy import FaultProxy
from tests.trials.scene import soon
from tests.web_cuts.programs import Client, Program, WebProcess
from txthoonk import Thoonk
from txthoonk.errors import FeedDoesNotExist
from txthoonk.messages import message_of

__all__ = ["Trial"]

reactor: Any = global_reactor

#: How many web processes serve; a client comes to one after the other.
WEBS: Final = 2

#: Each kind of client has two: one feed alone, and several with a pattern.
KINDS: Final = ("EventSource", "ws", "websockets")


class Turns:
    """An endpoint that leads to one web process after the other.

    :param webs: all of them.
    """

    def __init__(self, webs: list[WebProcess]) -> None:
        self._webs = webs
        self._turn = 0

    def connect(self, factory: Any) -> Deferred[Any]:
        """Connect to the next one."""
        self._turn += 1
        web = self._webs[self._turn % len(self._webs)]
        return TCP4ClientEndpoint(reactor, "127.0.0.1", web.port).connect(factory)


class Subject:
    """A client, and the port through which it comes.

    :param client: kind, and what it wants.
    """

    def __init__(self, webs: list[WebProcess], kind: str, wanted: dict[str, list[str]]) -> None:
        self.cuts = 0
        self.proxy = FaultProxy(reactor, Turns(webs))  # type: ignore[arg-type]  # it connects
        self.proxy.listen()
        self.client = Client(kind, f"http://127.0.0.1:{self.proxy.number}/live", wanted)

    async def cut(self, chance: random.Random) -> None:
        """Cut the connection once, somewhere, and let the client come back and be told things."""
        proxy, client = self.proxy, self.client
        accepted, told = proxy.accepted, client.told
        how = chance.random()
        if how < 0.5:
            proxy.cut_in(chance.choice((chance.randrange(200), chance.randrange(20_000))))
        elif how < 0.7:
            proxy.reset()
        elif how < 0.8:
            proxy.drop()
        else:  # and the next one, while it says hello or is told what it has missed
            proxy.cut_after = chance.choice((chance.randrange(400), chance.randrange(5000)))
            proxy.reset()
            accepted += 1
        await until(lambda: proxy.accepted > accepted or client.complaint)
        proxy.cut_after = None
        self.cuts += proxy.accepted - accepted + (how >= 0.8)
        told = client.told
        await until(lambda: client.told > told or client.complaint)
        if client.complaint:
            raise AssertionError(f"{client}: {client.complaint}")

    async def stop(self) -> None:
        """End both."""
        await self.client.stop()
        await self.proxy.stop()


class Trial:
    """Feeds, a writer, web processes and clients.

    :param url: of Redis.
    :param prefix: of the names of feeds.
    :param seed: of what happens.
    """

    def __init__(self, url: str, prefix: str, seed: int = 1) -> None:
        self._url = url
        self._chance = random.Random(seed)
        self._webs = [WebProcess(url) for _ in range(WEBS)]
        self._team = f"team:{prefix}:"
        long: dict[str, Any] = {"history": 1_000_000}
        self.one = f"{prefix} & one?"
        self.list = f"{prefix}/ü"
        #: Its history is so short that some is lost.
        self.short = f"{prefix}+short"
        self._feeds = {
            self.one: {"type": "feed", "max_length": 30, **long},
            self.list: {"type": "sorted_feed", **long},
            self.short: {"type": "feed", "max_length": 10, "history": 10},
            f"{self._team}feed": {"type": "feed", **long},
            f"{self._team}list": {"type": "sorted_feed", **long},
        }
        self.subjects: list[Subject] = []
        self._writer: Program

    async def start(self, kinds: tuple[str, ...] = KINDS) -> None:
        """Let feeds be changed, served, and looked at by clients of some kinds."""
        names = json.dumps({"feeds": self._feeds, "born": f"{self._team}born:"})
        words = (
            "-m",
            "tests.web_cuts.writer",
            self._url,
            names,
            str(self._chance.randrange(10**6)),
        )
        self._writer = writer = Program(sys.executable, *words)
        await gatherResults([Deferred.fromCoroutine(web.start()) for web in self._webs])
        await until(lambda: writer.lines or writer.ended.called)
        several = {"feeds": [self.one, self.list, self.short], "patterns": [f"{self._team}*"]}
        for kind in kinds:
            for wanted in ({"feeds": [self.list], "patterns": []}, several):
                self.subjects.append(Subject(self._webs, kind, wanted))
        for each in self.subjects:
            await until(lambda each=each: each.client.told or each.client.complaint)

    async def cut(
        self,
        cuts: int,
        kill_every: int = 0,
        tell: Callable[[str], None] = lambda _: None,
        restart: Callable[[], Awaitable[Any]] | None = None,
    ) -> None:
        """Cut the connections of each client so often.

        :param kill_every: after so many cuts of one client a web process is killed, too.
        :param tell: called with a line now and then.
        :param restart: called at every second of these instead: it kills Redis, and starts it.
        """

        async def often(subject: Subject) -> None:
            killed = 0
            while subject.cuts < cuts:
                await subject.cut(self._chance)
                await deferLater(reactor, self._chance.random() * 0.2)
                if subject is self.subjects[0] and subject.cuts // 20 > told[0]:
                    told[0] = subject.cuts // 20
                    tell(f"{subject.cuts} of {cuts} cuts")
                if killing and subject is self.subjects[0] and subject.cuts // kill_every > killed:
                    killed += 1
                    if restart is not None and killed % 2:
                        await restart()
                    else:
                        await self._webs[killed // 2 % WEBS].restart()

        told, killing = [0], kill_every > 0
        await gatherResults([Deferred.fromCoroutine(often(each)) for each in self.subjects])

    async def faults(self, patience: float = 20.0) -> list[str]:
        """End the changes, and say what is wrong with what clients have and were told."""
        await self._writer.finish()
        faults = [f"writer: {self._writer.errors}"] if "Traceback" in self._writer.errors else []
        async with Thoonk(self._url) as thoonk:
            there = await self._state(thoonk)
            for subject in self.subjects:
                client, copy = subject.client, subject.client.copy
                wanted = {name: there[name] for name in self._wanted(client, there)}

                def same(copy: Any = copy, wanted: Any = wanted) -> bool:
                    return {n: list(i.items()) for n, i in copy.feeds.items()} == wanted

                if not await soon(same, patience):
                    faults.append(f"{client}: {_differs(copy.feeds, wanted)}")
                faults += [f"{client}: {each}" for each in copy.wrong[:5]]
                faults += [f"{client}: needless {each}" for each in self._needless(copy.reasons)]
                for name in wanted.keys() & (self._feeds.keys() - {self.short}):
                    why = await self._log_differs(thoonk, copy, name)
                    faults += [f"{client}, {name}: {why}"] if why else []
        return faults

    def _wanted(self, client: Client, names: Any) -> list[str]:
        patterns = bool(client.wanted["patterns"])
        begins = self._team if patterns else "\0"
        return [n for n in names if n in client.wanted["feeds"] or n.startswith(begins)]

    def _needless(self, reasons: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """States for which there was no reason: events were there."""

        def right(name: str, reason: str) -> bool:
            if name == self.short:
                return reason == "trimmed"
            # Deleted and born again while nobody looked.
            return reason == "epoch" and name not in self._feeds

        return [each for each in reasons if not right(*each)]

    async def _state(self, thoonk: Thoonk) -> dict[str, list[tuple[str, Any]]]:
        """All feeds, as Redis has them."""
        found = {}
        for name in await thoonk.get_feed_names():
            if name in self._feeds or name.startswith(self._team):
                kind = (await thoonk.get_config(name))["type"]
                found[name] = list((await getattr(thoonk, kind)(name).get_all()).items())
        return found

    async def _log_differs(self, thoonk: Thoonk, copy: Any, name: str) -> str:
        """How what a client was told of a feed differs from what has happened."""
        first, told = copy.events(name)
        handle = getattr(thoonk, str(self._feeds[name]["type"]))(name)
        happened = [message_of(event, "") for event in await handle.history(first)]
        for one, other in zip(told, happened, strict=False):
            if {**one, "at": ""} != other:
                return f"told {one!r:.300} where {other!r:.300} has happened"
        if len(told) != len(happened):
            return f"told {len(told)} of {len(happened)} events"
        return ""

    def report(self) -> list[str]:
        """What was done to each client, a line each."""
        return [
            f"{s.client!s:<42} {s.cuts:>5} cuts {s.proxy.accepted:>5} connections "
            f"{s.client.told:>7} messages {s.client.copy.snapshots:>4} states, "
            f"{len(s.client.copy.reasons)} with a reason"
            for s in self.subjects
        ]

    async def stop(self) -> None:
        """End all processes, and remove the feeds."""
        for subject in self.subjects:
            await subject.stop()
        for web in self._webs:
            await web.program.kill()
        await self._writer.kill()
        async with Thoonk(self._url) as thoonk:
            for name in await self._state(thoonk):
                with suppress(FeedDoesNotExist):
                    await thoonk.delete_feed(name)


def _differs(feeds: dict[str, dict[str, Any]], wanted: dict[str, Any]) -> str:
    """Where a copy differs first."""
    if extra := feeds.keys() - wanted.keys():
        return f"has {sorted(extra)}, which are not there"
    for name, items in wanted.items():
        if list(feeds.get(name, {}).items()) != items:
            have = list(feeds.get(name, {}))
            return f"{name}: has {have}, there is {[id for id, _ in items]}"
    return "nothing, by now"
