"""Everything at once: feeds that change, come and go, and clients that read, stall and wander."""

from __future__ import annotations

import contextlib
import random
from typing import Any
from urllib.parse import quote

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.helpers import until
from tests.stream_helpers import Mirror, StreamCase
from txthoonk.errors import FeedExists, ThoonkError

#: Seconds that it lasts, and whose chance it is.
LASTS = 4.0
SEEDS = (1, 2)

ITEMS = ("x", "y" * 5_000, "z" * 90_000)


class Wanderer:
    """A client that goes from one process to the other, reads or not, and changes its mind.

    :param case: whose sites there are.
    :param is_socket: whether it is a WebSocket.
    """

    def __init__(self, case: MixTests, rng: random.Random, is_socket: bool) -> None:
        self.mirror = Mirror()
        self.page: Any = None
        self.is_reading = True
        self.is_socket = is_socket
        self._case = case
        self._rng = rng
        self._all = [("patterns", case.glob), *(("feeds", name) for name in case.names)]
        some = {each for each in self._all if rng.random() < 0.6}
        self._wants = some or {self._all[0]}

    @property
    def wanted(self) -> set[str]:
        """The feeds that it is to have."""
        names = {name for _, name in self._wants}
        return set(self._case.names) if self._case.glob in names else names

    async def connect(self) -> None:
        """Come, to either process, with what it knows."""
        self._case.port = self._rng.choice(self._case.ports)
        self.is_reading = True
        if self.is_socket:
            self.page = await self._case.socket(self.mirror)
            self._subscribe(self._wants)
        else:
            last = "" if self.page is None else self.page.last_id
            wanted = sorted(self._wants)
            query = "&".join(f"{group[:-1]}={quote(name)}" for group, name in wanted)
            self.page = await self._case.stream(query, last, self.mirror)

    async def step(self) -> None:
        """Do something."""
        chance = self._rng.random()
        if self.page.lost:
            await self.connect()
        elif chance < 0.25:
            self.page.cut()
            await self.page.when_lost()
            await self.connect()
        elif chance < 0.5:
            self.is_reading = not self.is_reading
            (self.page.read_again if self.is_reading else self.page.stop_reading)()
        elif self.is_socket:
            self._change(self._rng.choice(self._all))

    def _change(self, what: tuple[str, str]) -> None:
        if what in self._wants and len(self._wants) > 1:
            self._wants.discard(what)
            self.page.send({"unsubscribe": {what[0]: [what[1]]}})
            if self._rng.random() < 0.5:
                return
        self._wants.add(what)
        self._subscribe({what})

    def _subscribe(self, what: set[tuple[str, str]]) -> None:
        known = self.mirror.at
        feeds = {name: known.get(name) for group, name in what if group == "feeds"}
        patterns = {name: known for group, name in what if group == "patterns"}
        self.page.send({"subscribe": {"feeds": feeds, "patterns": patterns}, "ref": 1})

    @property
    def is_refused(self) -> bool:
        """Whether a feed was not there when it asked for it by name."""
        return any(self.mirror.types(name)[-1:] == ["refused"] for name in self.wanted)

    def is_as(self, there: dict[str, dict[str, Any]]) -> bool:
        """Whether it has what there is, in order."""
        feeds = self.mirror.feeds
        return all(list(feeds.get(n, {}).items()) == list(there[n].items()) for n in self.wanted)

    @property
    def wrong(self) -> list[str]:
        """What was missing; on a stream also what came twice.

        A socket that subscribes again says what it had read then: what was on its way comes twice.
        """
        gaps = [each.split() for each in self.mirror.wrong if "after" in each]
        return [
            " ".join(each) for each in gaps if not self.is_socket or int(each[1]) > int(each[3])
        ]


class MixTests(StreamCase):
    """Two processes, as it were, with their sites."""

    async def serve_two(self, rng: random.Random) -> None:
        """Two sites; what may be read is mostly known at once."""

        def may_read(user: Any, name: str) -> Any:
            return rng.random() < 0.5 or deferLater(reactor, rng.random() * 0.05, bool, True)

        server = self.server = await self.own_server()
        self.ports, self.lives = [], []
        for _ in range(2):
            self.thoonk = await self.start_thoonk(server.url)
            reactor = self.thoonk.get_reactor()
            self.lives.append(self.serve_live(may_read=may_read, rate=0, heartbeat=1))
            self.ports.append(self.port)
        self.thoonk = await self.start_thoonk(server.url)
        team = self.feed_name()
        self.glob, self.names = f"{team}:x:*", [f"{team}:x:{i}" for i in range(4)]

    def handle(self, name: str) -> Any:
        """Of a feed; every other one is sorted."""
        if int(name[-1]) % 2:
            return self.thoonk.sorted_feed(name)
        return self.thoonk.feed(name, max_length=30)

    async def change(self, rng: random.Random) -> None:
        """Let something happen to a feed."""
        name, chance, item = rng.choice(self.names), rng.random(), rng.choice(ITEMS)
        feed = self.handle(name)
        if chance < 0.02:
            await self.thoonk.delete_feed(name)
        elif not int(name[-1]) % 2:
            id = str(rng.randrange(20))
            await (feed.publish(item, id=id) if chance < 0.8 else feed.retract(id))
        else:
            ids = await feed.get_ids()
            if chance < 0.4 or not ids:
                await feed.append(item)
            elif chance < 0.6:
                await feed.edit(rng.choice(ids), item)
            elif chance < 0.8 and len(ids) < 30:
                await feed.move_first(rng.choice(ids))
            else:
                await feed.retract(rng.choice(ids))

    async def last_words(self) -> dict[str, dict[str, Any]]:
        """Change all feeds once more; what is in them."""
        there = {}
        for name in self.names:
            feed = self.handle(name)
            with contextlib.suppress(FeedExists):
                kind = "sorted_feed" if int(name[-1]) % 2 else "feed"
                await self.thoonk.create_feed(name, {"type": kind})
            await (feed.append("last") if int(name[-1]) % 2 else feed.publish("last", id="last"))
            there[name] = dict(await feed.get_all())
        return there

    async def break_something(self, rng: random.Random, restarts: bool) -> None:
        """Cut a connection, or start Redis anew with nothing in it."""
        if not restarts:
            await self.thoonk.redis.execute("CLIENT", "KILL", "TYPE", "pubsub")
            return
        await self.server.kill()
        await deferLater(self.thoonk.get_reactor(), rng.random() * 0.3)
        await self.server.start()
        await until(self.is_back)

    async def is_back(self) -> bool:
        """Whether Redis answers."""
        try:
            return bool(await self.thoonk.redis.execute("PING"))
        except ThoonkError:
            return False

    async def mix(self, seed: int, restarts: bool = False) -> None:
        """See that all clients have what there is in the end, and nothing was missing."""
        rng = random.Random(seed)
        await self.serve_two(rng)
        reactor = self.thoonk.get_reactor()
        clients = [Wanderer(self, rng, is_socket=bool(i % 2)) for i in range(8)]
        for each in clients:
            await each.connect()
        end = reactor.seconds() + LASTS
        while reactor.seconds() < end:
            for _ in range(rng.randrange(6)):
                with contextlib.suppress(ThoonkError):  # what was there is gone
                    await self.change(rng)
            if rng.random() < 0.02:
                await self.break_something(rng, restarts)
            for each in clients:
                if rng.random() < 0.15:
                    await each.step()
            await deferLater(reactor, rng.random() * 0.005)
        there = await self.last_words()
        for each in clients:
            if each.page.lost:
                await each.connect()
            elif not each.is_reading:
                each.page.read_again()
        for each in clients:
            while not each.is_as(there):
                await each.page.when(lambda e=each: e.is_as(there) or e.page.lost or e.is_refused)
                if each.page.lost or each.is_refused:
                    each.page.cut()
                    await each.page.when_lost()
                    await each.connect()
                    await deferLater(reactor, 0.2)
            self.assertEqual((each.page.lost, each.wrong), (False, []))
            each.page.cut()
        await until(lambda: not any(live.hub.streams for live in self.lives))
        for live in self.lives:
            self.assertEqual([topic for topic in live.hub.followed if topic.streams], [])

    def test_mix(self) -> Deferred[None]:
        """
        Pages have what there is in the end, whatever they and the feeds have done meanwhile, and
        leave nothing behind.
        """
        return Deferred.fromCoroutine(self.mix(SEEDS[0]))

    def test_another(self) -> Deferred[None]:
        """
        The same with other chances.
        """
        return Deferred.fromCoroutine(self.mix(SEEDS[1]))

    def test_restarts(self) -> Deferred[None]:
        """
        The same while Redis is killed, and starts with nothing in it.
        """
        return Deferred.fromCoroutine(self.mix(SEEDS[0], restarts=True))
