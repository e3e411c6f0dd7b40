"""fsck: each fault is named once and repaired by its rule, and healthy feeds have none."""

from __future__ import annotations

from tests.faults import BROKEN, HEALTHY
from tests.fsck_helpers import SHORT, FsckCase
from txthoonk import FeedDoesNotExist, Job, WrongFeedType
from txthoonk.fsck import CHECKED, Fault
from txthoonk.keys import FeedKeys
from txthoonk.paging import orphan_names


class RuleTests(FsckCase):
    """Each fault by itself."""

    async def check(self, kind: str) -> None:
        for case in BROKEN[kind]:
            handle = await self.make(kind)
            self.assertEqual(await self.found(handle), [])
            await self.run_commands(handle, case.what)
            before = await self.dump(handle)
            faults = await handle.fsck(grace=SHORT)
            self.assertCountEqual([fault[:2] for fault in faults], case.found, case)
            self.assertFalse(any(fault.repaired for fault in faults), case)
            self.assertIn(case.told, faults[0].detail)
            self.assertEqual(await self.dump(handle), before, case)
            repaired = await handle.fsck(repair=True, grace=SHORT)
            self.assertEqual(repaired, [Fault(*fault[:3], True) for fault in faults], case)
            self.assertEqual(await self.found(handle), [], case)
            answers = await self.run_commands(handle, case.after)
            self.assertEqual(answers, list(case.after.values()), case)
            self.assertEqual((await self.dump(handle))["listed"], b"1")

    async def test_feed(self) -> None:
        """
        Ids and items of a feed that lack the other are named and dropped, counters set right.
        """
        await self.check("feed")

    async def test_sorted_feed(self) -> None:
        """
        The same in a sorted feed; an id that is there twice keeps its first place.
        """
        await self.check("sorted_feed")

    async def test_queue(self) -> None:
        """
        The same in a queue; an id that is there twice stays where it is taken first.
        """
        await self.check("queue")

    async def test_job(self) -> None:
        """
        Jobs in no state are queued again, of several states one stays, what does not fit goes.
        """
        await self.check("job")

    async def test_told(self) -> None:
        """
        A fault is a line that names the feed, the id, and what is wrong; four parts unpack.
        """
        handle = await self.make("queue")
        await self.run_commands(handle, [("RPUSH", "ids", "x"), ("SREM", "feeds")])
        of_feed, of_item = await handle.fsck(grace=SHORT)
        self.assertEqual(str(of_feed), f"feed {handle.name!r}: unlisted: its name is not in feeds")
        self.assertEqual(of_item.feed, handle.name)
        kind, id, detail, repaired = of_item
        self.assertEqual((kind, id, repaired), ("no item", "x", False))
        key = handle.keys.ids.decode()
        self.assertEqual(detail, f"in {key}, without an item")
        [_, again] = await handle.fsck(repair=True, grace=SHORT)
        self.assertEqual(str(again), f"feed {handle.name!r}, id 'x': no item: {detail} (repaired)")

    async def test_announced(self) -> None:
        """
        Whoever listens hears of what a repair drops.
        """
        for kind, event in (("feed", "feed.retract"), ("job", "tx.feed.retract")):
            handle = await self.make(kind)
            await self.run_commands(handle, [("HDEL", "items", "a")])
            news = await self.watch(handle.name)
            await handle.fsck(grace=SHORT)
            self.assertEqual(await news(), [])
            await handle.fsck(repair=True, grace=SHORT)
            self.assertEqual(await news(), [(event, b"a")])

    async def test_odd_ids(self) -> None:
        """
        Ids and names that are no UTF-8 are named so that they can be given to other verbs.
        """
        name = self.feed_name() + "\udcff"
        feed = self.thoonk.feed(name)
        await feed.publish("x", id="\udcfe")
        await self.redis.execute("HDEL", feed.keys.items, b"\xfe")
        self.assertEqual(await self.found(feed, repair=True), [("no item", "\udcfe")])
        self.assertEqual(await feed.get_ids(), [])


class KeyTests(FsckCase):
    """Keys that are not what, or where, they should be."""

    async def test_types(self) -> None:
        """
        A key of another type is named and left alone: nothing else can be told then.
        """
        for kind, keys in {
            "feed": ("ids", "items", "publishes", "config", "revision", "revisions", "history"),
            "sorted_feed": ("ids", "idincr"),
            "queue": ("handoff", "seen"),
            "job": ("claimed", "lease", "stalled", "errors", "due", "finishes"),
        }.items():
            for key in keys:
                handle = await self.make(kind)
                foreign = "SADD" if key in ("publishes", "idincr", "finishes") else "SET"
                await self.run_commands(handle, [("DEL", key), (foreign, key, "foreign")])
                before = await self.dump(handle)
                faults = await handle.fsck(repair=True, grace=SHORT)
                self.assertEqual([fault[:2] for fault in faults], [("key type", None)], key)
                self.assertIn(getattr(handle.keys, key).decode(), faults[0].detail)
                self.assertFalse(faults[0].repaired)
                self.assertEqual(await self.dump(handle), before)

    async def test_of_other_types(self) -> None:
        """
        A key that only another type of feed has is named, and not repaired.
        """
        handle = await self.make("queue")
        await self.run_commands(handle, [("SADD", "stalled", "x"), ("RPUSH", "finishes", "x")])
        before = await self.dump(handle)
        faults = await handle.fsck(repair=True, grace=SHORT)
        self.assertEqual([fault[:2] for fault in faults], [("orphan", None)] * 2)
        self.assertIn("a queue has no feed.", faults[0].detail)
        self.assertEqual(await self.dump(handle), before)

    async def test_nothing(self) -> None:
        """
        What does not exist is an error, and is not created by asking.
        """
        name = self.feed_name()
        for kind in HEALTHY:
            for repair in (False, True):
                handle = getattr(self.thoonk, kind)(name)
                await self.refused(handle.fsck(repair), FeedDoesNotExist, name)
        await self.refused(self.thoonk.fsck(name), FeedDoesNotExist, name)
        self.assertFalse(await self.thoonk.feed_exists(name))
        self.assertEqual(await self.keys_of(name), {})

    async def test_wrong_handle(self) -> None:
        """
        A handle of the wrong type checks nothing, and repairs nothing to pieces.
        """
        for kind in HEALTHY:
            for said in (kind, "feed", None):
                handle = await self.make(kind)
                if said is None:
                    await self.run_commands(handle, [("HDEL", "config", "type")])
                else:
                    await self.run_commands(handle, [("HSET", "config", "type", said)])
                before = await self.dump(handle)
                for other in HEALTHY.keys() - {kind}:
                    if kind == "queue" and said != "queue" and other != "feed":
                        continue  # nothing tells a queue from other lists
                    wrong = getattr(self.thoonk, other)(handle.name)
                    await self.refused(
                        wrong.fsck(repair=True, grace=SHORT), WrongFeedType, handle.name
                    )
                self.assertEqual(await self.dump(handle), before)

    async def test_instance(self) -> None:
        """
        An instance checks a feed by its name; the type that thoonk.py has written over is known.
        """
        for kind in HEALTHY:
            handle = await self.make(kind)
            self.assertEqual(await self.thoonk.fsck(handle.name, grace=SHORT), [])
            await self.run_commands(handle, [("HDEL", "config", "type")])
            faults = await self.thoonk.fsck(handle.name, repair=True, grace=SHORT)
            self.assertEqual([fault[:2] for fault in faults], [("untyped", None)])
            self.assertEqual((await self.thoonk.get_config(handle.name))["type"], kind)
        for kind in ("sorted_feed", "queue", "job"):
            handle = await self.make(kind)
            await self.run_commands(handle, [("HSET", "config", "type", "feed")])
            faults = await self.thoonk.fsck(handle.name, repair=True, grace=SHORT)
            self.assertEqual([fault[:2] for fault in faults], [("mistyped", None)])
            self.assertEqual((await self.thoonk.get_config(handle.name))["type"], kind)

    async def test_own_types(self) -> None:
        """
        A type of one's own is checked as the one it is made of; an unknown one is refused.
        """

        class Pictures(Job):
            pass

        handle = await self.make("job")
        await self.run_commands(
            handle, [("HSET", "config", "type", "pictures"), ("LREM", "ids", 0, "a")]
        )
        await self.refused(self.thoonk.fsck(handle.name), WrongFeedType, handle.name)
        self.thoonk.register_feedtype("pictures", Pictures)
        for check in (
            self.thoonk.fsck(handle.name, grace=SHORT),
            self.thoonk.pictures(handle.name).fsck(grace=SHORT),
        ):
            self.assertEqual([fault[:2] for fault in await check], [("no state", "a")])

    async def test_no_type_at_all(self) -> None:
        """
        A name without a type or keys that tell it is named; there is nothing to repair it by.
        """
        name = self.feed_name()
        await self.redis.execute("SADD", "feeds", name)
        [fault] = await self.thoonk.fsck(name, repair=True, grace=SHORT)
        self.assertEqual(fault, ("untyped", None, "its options have no type", False))
        [fault] = await self.thoonk.queue(name).fsck(repair=True, grace=SHORT)
        self.assertTrue(fault.repaired)
        self.assertEqual(await self.thoonk.queue(name).get_config(), {"type": "queue"})

    async def test_orphans(self) -> None:
        """
        The keys of a feed that does not exist are named, and removed when it is named.
        """
        gone, other = await self.make("job"), await self.make("job")
        await self.redis.execute("SREM", "feeds", gone.name)
        await self.redis.execute("SET", f"feed.colour:{gone.name}", "no key of ours")
        found = await orphan_names(self.redis)
        self.assertIn(gone.name, found)
        self.assertNotIn(other.name, found)
        before = await self.dump(gone)
        faults = await self.thoonk.fsck(gone.name, grace=SHORT)
        details = {fault.detail for fault in faults}
        self.assertEqual(len(details), len(before) - 2)
        self.assertIn(f"{gone.keys.lease.decode()} is of no feed", details)
        self.assertEqual({fault.kind for fault in faults}, {"orphan"})
        self.assertEqual(await self.dump(gone), before)
        faults = await self.thoonk.fsck(gone.name, repair=True, grace=SHORT)
        self.assertTrue(all(fault.repaired for fault in faults))
        self.assertEqual(list(await self.keys_of(gone.name)), [f"feed.colour:{gone.name}"])
        self.assertNotIn(gone.name, await orphan_names(self.redis))
        await self.refused(self.thoonk.fsck(gone.name), FeedDoesNotExist, gone.name)

    async def test_deleted_by_a_peer(self) -> None:
        """
        What a peer's delete leaves in our own keys does not bring the feed back.
        """
        job = await self.make("job")
        await self.redis.execute("SREM", "feeds", job.name)
        await self.redis.execute("UNLINK", *job.keys.of_contract())
        before = await self.dump(job)
        faults = await job.fsck(repair=True, grace=SHORT)
        self.assertEqual({fault[:2] for fault in faults}, {("orphan", None)})
        self.assertEqual(await self.dump(job), before)
        await self.thoonk.fsck(job.name, repair=True, grace=SHORT)
        self.assertEqual(await self.keys_of(job.name), {})

    async def test_keys_known(self) -> None:
        """
        Every key that a feed may have is one of some type that is checked.
        """
        known = {getattr(FeedKeys(b"x"), key) for keys in CHECKED.values() for key in keys}
        self.assertEqual(known, set(FeedKeys(b"x").every_key()))
