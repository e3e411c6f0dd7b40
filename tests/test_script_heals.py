"""What becomes of a change where somebody has written other things into our own keys."""

from __future__ import annotations

from typing import Final

from tests.feed_samples import CHANGED, FOR, FULL, OVER, PLACED, SORTED, known
from tests.samples import KEYS, NAME, Sample
from tests.test_script_rules import ScriptCase
from txthoonk.changes import Head, read_head
from txthoonk.scripts import script

#: A change of each kind, in feeds whose last revision is 7, of epoch 5; how many revisions it
#: takes, and those of the items that it gives one of their own, as counted from the first of these.
CHANGES: Final = (
    ("feed/publish", Sample((*FULL, *CHANGED), (b"c", b"C")), 2, {b"c": 2}),
    ("feed/publish", Sample((*FULL, *CHANGED), (b"a", b"A2")), 1, {b"a": 1}),
    ("feed/publish_for", Sample((*FULL, *CHANGED), (*FOR, b"c", b"C")), 2, {b"c": 2}),
    ("feed/publish_for", Sample((*FULL, *CHANGED), (*FOR, b"a", b"A2")), 1, {b"a": 1}),
    ("feed/expire", Sample((*FULL, *CHANGED, *OVER), (NAME.encode(), b"9")), 1, {}),
    ("feed/retract", Sample((*FULL, *CHANGED), (b"a",)), 1, {}),
    ("live/adopt", Sample((*FULL, *CHANGED), known("a", "z")), 2, {b"b": 2}),
    ("sorted_feed/edit", Sample((*SORTED, *PLACED), (b"1", b"A2")), 1, {b"1": 1}),
    ("sorted_feed/insert", Sample((*SORTED, *PLACED), (b"AFTER", b"1", b"D")), 1, {b"4": 1}),
    ("sorted_feed/move", Sample((*SORTED, *PLACED), (b"1", b"end", b"")), 1, {b"1": 1}),
    ("sorted_feed/publish", Sample((*SORTED, *PLACED), (b":end", b"D")), 1, {b"4": 1}),
    ("sorted_feed/retract", Sample((*SORTED, *PLACED), (b"1",)), 1, {}),
)

#: Neither a hash nor a stream: the verb that writes it.
FOREIGN: Final = ("SET", "RPUSH", "SADD")

#: What is no number of a revision.
NONSENSE: Final = ("", "many", "1.5", "-7", "1e3", "nan", "0x10", "9" * 30, "7 7", "7\0")

EVENTS: Final = KEYS.event_channel.decode()


class HealingTests(ScriptCase):
    """The change is made all the same, and those who follow the feed can go on."""

    async def make(self, sample: Sample, *broken: tuple[str, ...]) -> None:
        """Prepare a feed, and do to it what nobody should."""
        await self.prepare(sample)
        for verb, key, *rest in broken:
            await self.raw.execute(verb, getattr(KEYS, key), *rest)

    async def change(self, name: str, sample: Sample) -> list[bytes]:
        """Call a script that changes the feed: the events that it told."""
        await self.channels()
        await script(name).bind(KEYS, NAME)(self.raw, sample.args)
        await self.raw.execute("PUBLISH", EVENTS, b"")
        events: list[bytes] = []
        while not events or events[-1]:
            await self.raw.execute("PING")
            events = [payload for channel, payload in self.heard if channel == EVENTS]
        return events[:-1]

    async def hash_of(self, key: bytes) -> dict[bytes, bytes]:
        found = await self.raw.execute("HGETALL", key)
        return dict(zip(found[::2], found[1::2], strict=True))

    async def check_kept(self, events: list[bytes], count: int, before: int = 0) -> Head:
        """The events are in the history, and the last of them is the feed's revision."""
        heads = [read_head(event) for event in events]
        self.assertEqual(len(events), count)
        entries = await self.raw.execute("XRANGE", KEYS.history, "-", "+")
        self.assertEqual([fields for _, fields in entries[before:]], [[b"e", e] for e in events])
        self.assertEqual([id for id, _ in entries[before:]], [b"%d-0" % h.revision for h in heads])
        last = heads[-1]
        self.assertEqual(
            await self.hash_of(KEYS.revision),
            {b"epoch": last.epoch, b"revision": b"%d" % last.revision, b"digest": last.digest},
        )
        return last

    async def check_anew(self, events: list[bytes], count: int, items: dict[bytes, int]) -> None:
        """Another epoch has begun: nothing is left of the one before."""
        last = await self.check_kept(events, count)
        self.assertEqual([read_head(event).revision for event in events], [*range(1, count + 1)])
        self.assertNotEqual(last.epoch, b"5")
        # As docs/contract.rst has it: the epoch is the time of its first change.
        digest, micros = 0, int(last.epoch)
        for event in events:
            rest = event.split(b"\0", 2)[2]
            digest = (digest * 31 + micros + len(rest)) % 99999999999973
            self.assertEqual(read_head(event).digest, b"%d" % digest)
        numbers = {id: b"%d" % number for id, number in items.items()}
        self.assertEqual(await self.hash_of(KEYS.revisions), numbers)

    async def test_no_history(self) -> None:
        """
        Where the history is no stream, or ahead, another epoch begins, with a stream of its own.
        """
        for name, sample, count, items in CHANGES:
            for broken in (
                *((("DEL", "history"), (verb, "history", "foreign")) for verb in FOREIGN),
                (("XADD", "history", "8-0", "e", "of a newer state of these data"),),
                (("XADD", "history", "9000-1", "some", "thing"),),
            ):
                await self.make(sample, *broken)
                await self.check_anew(await self.change(name, sample), count, items)

    async def test_no_revision(self) -> None:
        """
        Where the last revision is gone, or none, another epoch begins.
        """
        for name, sample, count, items in CHANGES:
            if name == "live/adopt":
                continue  # what it was told is of no epoch then
            for broken in (
                (("DEL", "revision"),),
                (("HDEL", "revision", "epoch"),),
                *((("HSET", "revision", "revision", nonsense),) for nonsense in NONSENSE),
                *((("HSET", "revision", "digest", nonsense),) for nonsense in NONSENSE),
            ):
                await self.make(sample, *broken)
                await self.check_anew(await self.change(name, sample), count, items)

    async def test_no_revisions(self) -> None:
        """
        Where the revisions of the items are no hash they are counted anew; the epoch goes on.
        """
        for name, sample, count, items in CHANGES:
            for verb in FOREIGN:
                await self.make(sample, ("DEL", "revisions"), (verb, "revisions", "foreign"))
                last = await self.check_kept(await self.change(name, sample), count, 2)
                self.assertEqual((last.epoch, last.revision), (b"5", 7 + count))
                numbers = {id: b"%d" % (7 + number) for id, number in items.items()}
                self.assertEqual(await self.hash_of(KEYS.revisions), numbers)

    async def test_history_lost(self) -> None:
        """
        Where the history was removed it begins again behind what it had; the epoch goes on.
        """
        for name, sample, count, _ in CHANGES:
            await self.make(sample, ("DEL", "history"))
            last = await self.check_kept(await self.change(name, sample), count)
            self.assertEqual((last.epoch, last.revision), (b"5", 7 + count))

    async def test_no_history_wanted(self) -> None:
        """
        Where no history is kept whatever is there is removed; revisions and events go on.
        """
        for name, sample, count, _ in CHANGES:
            for wanted in ("0", "00"):
                for broken in ((), (("DEL", "history"), ("SET", "history", "foreign"))):
                    await self.make(sample, ("HSET", "config", "history", wanted), *broken)
                    events = await self.change(name, sample)
                    heads = [read_head(event) for event in events]
                    self.assertEqual([h.revision for h in heads], [*range(8, 8 + count)])
                    self.assertEqual({h.epoch for h in heads}, {b"5"})
                    self.assertEqual(await self.raw.execute("EXISTS", KEYS.history), 0)

    async def test_history_wanted(self) -> None:
        """
        The history keeps as many events as the option says; what is no number is none.
        """
        sample = Sample((*FULL, *CHANGED), (b"a", b"A2"))
        for wanted, kept in (("2", 2), ("007", 3), ("9" * 13, 3), ("9" * 30, 3), ("1e0", 3)):
            await self.make(sample, ("HSET", "config", "history", wanted, "max_length", "9" * 30))
            await self.change("feed/publish", sample)
            self.assertEqual(await self.raw.execute("XLEN", KEYS.history), kept, wanted)
        for limit in range(1, 4):
            await self.make(sample, ("HSET", "config", "max_length", str(limit)))
            for _ in range(8):
                await self.change("feed/publish", sample)
            self.assertEqual(await self.raw.execute("XLEN", KEYS.history), 2 * limit)
        placed = Sample((*SORTED, *PLACED), (b"1", b"A2"))
        await self.make(placed, ("HSET", "config", "history", "1"))
        await self.change("sorted_feed/edit", placed)
        self.assertEqual(await self.raw.execute("XLEN", KEYS.history), 1)

    async def test_condition(self) -> None:
        """
        A condition is not met by what was written there instead of a revision.
        """
        for name, sample, _, _ in CHANGES:
            if name in ("live/adopt", "sorted_feed/publish", "feed/expire") or b"c" in sample.args:
                continue
            await self.make(sample, ("DEL", "revisions"), ("SET", "revisions", "6"))
            before = await self.dump()
            asked = Sample(args=(*sample.args, b"6"))
            [code, of_feed, of_item, _] = await self.call(script(name), asked)
            self.assertEqual((code, of_feed, of_item), (b"CONFLICT", b"7", b"7"), name)
            self.assertEqual(await self.dump(), before, name)
