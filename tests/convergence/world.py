"""Writers, followers and the networks between, on one Redis; and whether all is well with them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.defer import TimeoutError as TimedOut
from twisted.internet.task import LoopingCall, deferLater

from tests.convergence.followers import Site, There, Watcher
from tests.convergence.peer import Peer
from tests.convergence.record import Recorder, is_now
from tests.convergence.report import END, FAULTS, HISTORY, MISTAKEN, Report
from tests.convergence.twins import count_twins
from tests.convergence.writers import OurWriter, PeerWriter, Shelf
from txthoonk import ConnectionLost, FeedDoesNotExist, NotConnected, Thoonk
from txthoonk.link import connect
from txthoonk.redis import Redis
from txthoonk.target import Target

__all__ = ["World", "shelves"]

#: Seconds after which, with whole networks, every follower has to be right.
PATIENCE: Final = 30.0

#: Seconds for which a network fails.
LASTING: Final = (0.05, 0.3, 1.0, 3.0)

#: Faults that come with what the server says next.
AWAITED: Final = ("cut", "between")

#: Seconds between looks of a site at what it follows: of every other site, and of the rest, which
#: have to be right without.
OFTEN, NEVER = 3.0, 3600.0


def shelves(prefix: str) -> list[Shelf]:
    """Feeds of all kinds; those of one group have the first two parts of their names in common."""
    return [
        Shelf(f"{prefix}:ours:feed", max_length=20, peers=False),
        Shelf(f"{prefix}:ours:list", is_sorted=True, peers=False),
        Shelf(f"{prefix}:even:feed", max_length=30),
        Shelf(f"{prefix}:even:list", is_sorted=True),
        Shelf(f"{prefix}:odd:seconds", max_length=15, clock="s"),
        Shelf(f"{prefix}:odd:mixed", max_length=15, clock="mixed"),
        Shelf(f"{prefix}:short:feed", max_length=10, history=25),
        Shelf(f"{prefix}:short:list", is_sorted=True, history=25),
        Shelf(f"{prefix}:mortal:feed", max_length=20, mortal=True),
        Shelf(f"{prefix}:mortal:list", is_sorted=True, mortal=True),
        Shelf(f"{prefix}:lonely:feed", max_length=15),
        Shelf(f"{prefix}:lonely:list", is_sorted=True),
    ]


class World:
    """All of it.

    :param url: of Redis.
    :param seed: of all that is random here.
    :param feeds: that are written to and followed.
    """

    def __init__(self, reactor: Any, url: str, seed: random.Random, feeds: Sequence[Shelf]) -> None:
        self.reactor = reactor
        self.url = url
        self.endpoint = Target.parse(url).endpoint(reactor)
        self.choose = seed
        self.shelves = list(feeds)
        self.by_name = {shelf.name: shelf for shelf in feeds}
        self.records = {shelf.name: shelf.record for shelf in feeds}
        self.recorder = Recorder()
        self.recorder.feeds = self.records
        self.thoonk = Thoonk(url, reactor=reactor)
        self.writers: list[OurWriter | PeerWriter] = []
        self.peer: Any = None
        self.sites: list[Site] = []
        self.watchers: list[Watcher] = []
        #: Those who have stopped; what they were told is still to be compared.
        self.retired: list[Watcher] = []
        #: How many of the first of them stay for good.
        self.steady = 0
        self.report = Report()
        self._late = LoopingCall(self._look_at_clock)
        self._clock = 0.0
        self._end_count: Callable[[], None] | None = None

    # -- life -------------------------------------------------------------------------------

    async def start(self, ours: int = 4, sites: int = 4, ping: float = 1.0) -> None:
        """Make the feeds, the writers and the sites.

        :param ping: seconds after which sites notice a stall.
        """
        self._end_count = count_twins(self.report.heard)
        self.thoonk.startService()
        await self.recorder.start(self.endpoint)
        for shelf in self.shelves:
            make = self.thoonk.sorted_feed if shelf.is_sorted else self.thoonk.feed
            await make(shelf.name, **shelf.options)
        for number in range(ours):
            thoonk = Thoonk(self.url, reactor=self.reactor)
            thoonk.startService()
            self.writers.append(OurWriter(f"w{number}", self.choose, thoonk))
        self.peer = Peer(await connect(self.endpoint, Redis))
        self.writers.append(PeerWriter("p", self.choose, self.peer))
        for number in range(sites):
            often = NEVER if number % 2 else OFTEN
            site = Site(self.reactor, self.endpoint, self.choose, number, often, ping)
            self.sites.append(site)
        self.report.sites = sites
        self._clock = self.reactor.seconds()
        self._late.clock = self.reactor
        self._late.start(0.1, now=False)

    def _look_at_clock(self) -> None:
        last, self._clock = self._clock, self.reactor.seconds()
        self.report.latest = max(self.report.latest, self._clock - last - 0.1)

    async def stop(self) -> None:
        """End it, and leave nothing in Redis."""
        if self._late.running:
            self._late.stop()
        if self._end_count is not None:
            self._end_count()
        await gatherResults([Deferred.fromCoroutine(site.stop()) for site in self.sites])
        for writer in self.writers:
            await writer.stop()
        await self.recorder.stop()
        for shelf in self.shelves:
            await self.thoonk.redis.execute("DEL", *shelf.keys.every_key())
            await self.thoonk.redis.execute("SREM", "feeds", shelf.name)
        await self.thoonk.stopService()

    async def follow(self, site: Site, name: str, **options: Any) -> Watcher:
        """Let somebody follow."""
        watcher = Watcher(site, name, self.records, **options)
        while watcher.live is None:
            try:
                await watcher.start()
            except (NotConnected, ConnectionLost):  # the connection was just being cut
                await deferLater(self.reactor, 0.05)
        self.watchers.append(watcher)
        self.report.followers += 1
        self.report.patterns += watcher.is_pattern
        return watcher

    async def follow_variously(self, count: int) -> None:
        """So many, of all kinds.

        One of each feed stays for good; for lonely feeds it is the only one, and takes his time.
        """
        choose = self.choose
        lonely = [shelf for shelf in self.shelves if ":lonely:" in shelf.name]
        others = [shelf for shelf in self.shelves if shelf not in lonely]
        groups = sorted({shelf.name.rpartition(":")[0] for shelf in others})
        for number in range(count):
            site = self.sites[number % len(self.sites)]
            options: dict[str, Any] = {"serializer": choose.choice(("text", "json", "bytes"))}
            if number < len(lonely):
                # No look at the feed is to help him.
                site = self.sites[(2 * number + 1) % len(self.sites)]
                await self.follow(site, lonely[number].name, pace=0.02, **options)
                continue
            if choose.random() < 0.1:
                options["pace"] = 0.01
            if number % 8 == 7 and number >= len(self.shelves):
                name = f"{choose.choice(groups)}:*"
                options |= {"pattern": True, "foreign": choose.random() < 0.5}
            else:
                name = others[number % len(others)].name
            await self.follow(site, name, **options)
        self.steady = min(count, len(self.shelves))

    # -- what happens -----------------------------------------------------------------------

    async def round(
        self,
        seconds: float,
        *,
        writes: float,
        foreign: float,
        cuts: float,
        changes: float = 0.0,
        patience: float = PATIENCE,
    ) -> None:
        """Let everything happen for so long; then all has to become right.

        :param writes: of ours a second.
        :param foreign: the same of the peer.
        :param cuts: networks that fail, a second.
        :param changes: followers that stop, and others that come, a second.
        :param patience: as :meth:`converge` has it.
        """
        began = self.reactor.seconds()
        doing = (self.write(seconds, writes, foreign), self.cut(seconds, cuts))
        doing += (self.pass_around(seconds, changes),) if changes else ()
        await gatherResults([Deferred.fromCoroutine(each) for each in doing])
        self.report.writing += self.reactor.seconds() - began
        await self.converge(patience)
        self.report.seconds += self.reactor.seconds() - began

    async def write(self, seconds: float, writes: float, foreign: float) -> None:
        """Let all writers write, each at its pace."""
        end = self.reactor.seconds() + seconds

        async def go_on(writer: OurWriter | PeerWriter) -> None:
            is_peer = isinstance(writer, PeerWriter)
            rate = foreign if is_peer else writes / (len(self.writers) - 1)
            mine = [shelf for shelf in self.shelves if writer.may(shelf)]
            due = self.reactor.seconds()
            while rate:
                due += self.choose.expovariate(rate)
                if due > end:
                    break
                await deferLater(self.reactor, max(0.0, due - self.reactor.seconds()))
                await writer.step(self.choose.choice(mine))

        await gatherResults([Deferred.fromCoroutine(go_on(each)) for each in self.writers])

    async def cut(self, seconds: float, rate: float) -> None:
        """Let the networks of sites fail, so many a second in all."""
        end = self.reactor.seconds() + seconds
        kinds = [*FAULTS, *AWAITED]
        while self.reactor.seconds() < end:
            site, fault = self.choose.choice(self.sites), self.choose.choice(kinds)
            lasting = max(LASTING) if fault in AWAITED else self.choose.choice(LASTING)
            self.fail(site, fault, lasting)
            await deferLater(self.reactor, self.choose.expovariate(rate))

    def fail(self, site: Site, fault: str, seconds: float | None = None) -> None:
        """Let the network of a site fail in some way."""
        self.report.cuts[fault] += 1
        site.fail(fault, seconds)

    async def pass_around(self, seconds: float, rate: float) -> None:
        """Let some followers stop, and others come in their places, so many a second."""
        end = self.reactor.seconds() + seconds
        while self.reactor.seconds() < end and self.steady < len(self.watchers):
            number = self.choose.randrange(self.steady, len(self.watchers))
            if self.watchers[number].live is None:
                continue
            if self.choose.random() < 0.5:
                await self.pass_on(self.watchers[number])
            else:
                await self.begin_anew(number)
            await deferLater(self.reactor, self.choose.expovariate(rate))

    async def pass_on(self, watcher: Watcher) -> None:
        """Let another process go on where one stops."""
        watcher.stop()
        self.report.passed_on += 1
        await self._start(watcher)

    async def begin_anew(self, number: int) -> None:
        """Let one stop, and another one begin while everything goes on."""
        watcher = self.watchers[number]
        watcher.stop()
        self.retired.append(watcher)
        self.report.anew += 1
        self.watchers[number] = watcher.another(watcher.site)
        await self._start(self.watchers[number])

    async def _start(self, watcher: Watcher) -> None:
        while watcher.live is None:
            watcher.site = self.choose.choice(self.sites)
            starting = Deferred.fromCoroutine(watcher.start())
            try:
                await starting.addTimeout(PATIENCE, self.reactor)
            except (NotConnected, ConnectionLost, FeedDoesNotExist):
                await deferLater(self.reactor, 0.1)
            except TimedOut:
                self.report.found(END, [f"{watcher}: neither follows nor fails"])
                return

    # -- what is there ----------------------------------------------------------------------

    async def there(self) -> tuple[There, dict[str, tuple[str, int]]]:
        """All feeds as Redis has them, and their epochs and revisions."""
        run = self.thoonk.redis.execute
        there: There = {}
        last = {}
        for shelf in self.shelves:
            keys = shelf.keys
            if not await run("HEXISTS", keys.config, "type"):
                continue
            read = "LRANGE" if shelf.is_sorted else "ZRANGE"
            ids = [id.decode() for id in await run(read, keys.ids, 0, -1)]
            flat = [each.decode() for each in await run("HGETALL", keys.items)]
            items = dict(zip(flat[::2], flat[1::2], strict=True))
            there[shelf.name] = is_now([id for id in ids if id in items], items)
            epoch, revision = await run("HMGET", keys.revision, "epoch", "revision")
            last[shelf.name] = ((epoch or b"").decode(), int(revision or 0))
        return there, last

    async def converge(self, patience: float = PATIENCE) -> None:
        """Heal all networks; in the end every follower is right.

        :param patience: seconds that this may take.
        """
        for site in self.sites:
            site.heal()
        began = self.reactor.seconds()
        wrong: dict[Watcher, str] = {}
        while True:
            await self.recorder.heard()
            there, last = await self.there()
            # First those that were not right; all once more when these are.
            for some in (list(wrong), self.watchers):
                differing = ((each, each.differs(there, last)) for each in some)
                wrong = {each: why for each, why in differing if why}
                if wrong:
                    break
            lasted = self.reactor.seconds() - began
            if not wrong or lasted > patience:
                break
            await deferLater(self.reactor, 0.05)
        self.report.slowest = max(self.report.slowest, lasted)
        self.report.compared += len(self.watchers)
        self.report.found(END, [f"{each}: {why}" for each, why in wrong.items()])
        await self._compare(there, last)
        self.report.rounds += 1

    async def _compare(self, there: There, last: dict[str, tuple[str, int]]) -> None:
        """Compare what was told with what happened, and begin anew."""
        report = self.report
        for shelf in self.shelves:
            record, now = shelf.record, there.get(shelf.name, [])
            at = last.get(shelf.name, ("", 0))
            if at != record.last and not (at == ("", 0) and record.deletes):
                report.found(HISTORY, [f"{shelf.name}: heard of {record.last}, there is {at}"])
            record.last = at
            if record.certain and is_now(record.ids, record.items) != now:
                report.found(HISTORY, [f"{shelf.name}: its changes do not make what is there"])
            if shelf.name in there:
                await self._compare_history(shelf)
            self._compare_adopted(shelf)
            record.begin([id for id, _ in now], dict(now))
        for watcher in (*self.retired, *self.watchers):
            watcher.check(self.by_name, there, report)
        self.retired.clear()
        self.peer.removed.clear()
        report.connections = sum(site.proxy.accepted for site in self.sites)
        for record in self.records.values():
            report.found(HISTORY, record.faults)
            report.found(MISTAKEN, record.mistaken)
            report.revisions += record.counts
            record.forget()
        for writer in self.writers:
            who = "peer" if isinstance(writer, PeerWriter) else "ours"
            report.done.update({(who, verb): n for verb, n in writer.done.items()})
            writer.done.clear()

    async def _compare_history(self, shelf: Shelf) -> None:
        """Redis keeps as many entries as it should, and each is the event that went out."""
        record, (epoch, last), found = shelf.record, shelf.record.last, []
        run = self.thoonk.redis.execute
        count = await run("XLEN", shelf.keys.history)
        if count != min(last, shelf.kept):
            found.append(f"{shelf.name}: {count} entries are kept of {last}")
        wanted = str(len(record.changes) + 1)
        entries = await run("XREVRANGE", shelf.keys.history, "+", "-", "COUNT", wanted)
        for number, (entry, fields) in enumerate(entries):
            revision = last - number
            event = fields[1].decode()
            change = record.changes.get((epoch, revision))
            if entry != b"%d-0" % revision or not event.startswith(f"{revision} {epoch} "):
                found.append(f"{shelf.name}: history has {entry!r} for {revision}")
            elif change is not None and not event.endswith(
                f"\0{change.position or ''}\0{change.id}"
                + ("" if change.item is None else f"\0{change.item}")
            ):
                found.append(f"{shelf.name}: history has {event!r} for {change}")
        self.report.entries += len(entries)
        self.report.found(HISTORY, found)

    def _compare_adopted(self, shelf: Shelf) -> None:
        """What was adopted the peer did: else it was ours, and was told twice."""
        record, found = shelf.record, []
        for change in record.adopted:
            ours = change.item is not None and change.item.startswith('["w')
            if not shelf.peers:
                found.append(f"{shelf.name}: the peer never wrote there: {change}")
            elif shelf.mortal:
                pass  # what was there before it was deleted is not known
            elif change.verb == "retract":
                if (shelf.name, change.id) not in self.peer.removed:
                    found.append(f"{shelf.name}: the peer has not taken that out: {change}")
            elif ours and (shelf.is_sorted or change.verb == "publish"):
                found.append(f"{shelf.name}: the peer has not written that: {change}")
            elif ours:
                record.counts["reissued"] += 1
        self.report.found(MISTAKEN, found)
