"""The listener of the real thoonk.py, which ends at whatever it does not expect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import FunctionType
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.helpers import Heard, until
from tests.peers.process import LivePeerCase, PeerRaised, ThoonkPy
from txthoonk import Feed, Job, JobWorker, Queue, Retry, SortedFeed, Stall
from txthoonk.errors import FeedDoesNotExist, FeedExists
from txthoonk.types import Claim

#: What is no verb: for the types themselves, for claims and for workers.
INTERNAL = frozenset(
    {
        *("decode", "made", "take", "take_handed", "taken_as", "give_back", "hand_back"),
        *(
            "forget",
            "finish_claimed",
            "commit_claimed",
            "postpone_claimed",
            "finish_encoded",
            "finish_for",
            "cancel_claimed",
            "release_claimed",
        ),
        *("check_revision", "conflict"),
        *("stall_claimed", "progress_claimed", "give_up", "extend", "encode_result"),
        "decode_result",
    }
)


class StartTests(LivePeerCase):
    """REPORT 4.2: a listener starts, whatever ours do, and is told of feeds."""

    async def test_starts_while_feeds_are_created(self) -> None:
        """
        While ours create feeds of all types as fast as they can each of eight listeners starts:
        there is no instant at which a name is there without its type.
        """
        creating = True
        created = 0

        async def create() -> None:
            nonlocal created
            kinds = ("feed", "sorted_feed", "queue", "job")
            while creating:
                kind = kinds[created % 4]
                created += 1
                await self.thoonk.create_feed(self.feed_name(), type=kind)

        creators = [Deferred.fromCoroutine(create()) for _ in range(4)]
        await until(lambda: created > 20)
        for _ in range(4):
            peers = await gatherResults(
                [Deferred.fromCoroutine(self.peer(listen=True)) for _ in range(2)]
            )
            for peer in peers:
                self.assertIs(await peer.do("alive"), True)
                await peer.kill()
        creating = False
        await gatherResults(creators)
        self.assertGreater(created, 100)

    async def test_told_of_feeds(self) -> None:
        """
        Create, options and delete of a feed reach its handlers; it lives after that.
        """
        peer = await self.peer(listen=True)
        for kind in ("feed", "sorted_feed", "queue", "job"):
            name = self.feed_name(kind)
            await peer.do("heed", f"config:{name}")
            handle = await getattr(self.thoonk, kind)(name)
            self.assertIn(["create", name], await self.hears(peer))
            await handle.set_config(title="T")
            await self.thoonk.set_config(name, title="U")
            self.assertEqual(await self.hears(peer), [[f"config:{name}", None]] * 2)
            self.assertIs(await self.thoonk.delete_feed(name), True)
            self.assertEqual(await self.hears(peer), [["delete", name]])

    async def test_types_are_known(self) -> None:
        """
        thoonk.py has ours as what they are, whatever it asks for.
        """
        names = {}
        for kind in ("feed", "sorted_feed", "queue", "job"):
            names[kind] = self.feed_name(kind)
            await getattr(self.thoonk, kind)(names[kind], title="T")
        peer = await self.peer()
        self.assertEqual(await peer.verb("get_feed_names"), sorted(names.values()))
        # Of a feed that is there it makes what Redis says it is: a queue's get on a job claims.
        await self.thoonk.job(names["job"]).put("x", id="a")
        self.assertEqual(await peer.of("feed", names["job"], "get", 1), ["a", "x", 0])
        self.assertEqual(await self.thoonk.get_config(names["job"]), {"type": "job", "title": "T"})

    async def test_theirs(self) -> None:
        """
        What thoonk.py creates, sets and deletes is told to ours, and is what ours find.
        """
        peer = await self.peer()
        told = Heard()
        await self.thoonk.register_handler("create", lambda name: told(("create", name)))
        await self.thoonk.register_handler("delete", lambda name: told(("delete", name)))
        for kind in ("feed", "sorted_feed", "queue", "job"):
            name = self.feed_name(kind)
            config = Heard()
            await self.thoonk.subscribe(name, config=config)
            await peer.verb(kind, name, {"title": "T"})
            await peer.verb("set_config", name, {"type": kind, "title": "U"})
            await config.when(2)
            self.assertEqual(told.pop(), ("create", name))
            self.assertEqual(await self.thoonk.get_config(name), {"type": kind, "title": "U"})
            handle = await getattr(self.thoonk, kind)(name)
            self.assertEqual(await handle.get_ids(), [])
            await self.assertFailure(self.thoonk.create_feed(name), FeedExists)
            failure = await self.assertFailure(peer.verb("create_feed", name, {}), PeerRaised)
            self.assertEqual(failure.kind, "FeedExists")
            await peer.verb("delete_feed", name)
            await until(lambda name=name: ("delete", name) in told)
            told.clear()
            await self.assertFailure(self.thoonk.delete_feed(name), FeedDoesNotExist)
            self.assertNotIn(name, await self.thoonk.get_feed_names())


class FullRunTests(LivePeerCase):
    """REPORT 4.11: all our verbs, beside a listener."""

    async def test_alive_after_all_verbs(self) -> None:
        """
        Every public verb of every type, each at least once, on feeds that the listener knew and on
        such that it was told of: it lives, and hears what comes then.
        """
        await gatherResults(
            [
                Deferred.fromCoroutine(_made(getattr(self.thoonk, kind)(f"known-{kind}")))
                for kind in ("feed", "sorted_feed", "queue", "job")
            ]
        )
        peer = await self.peer(listen=True)
        for prefix in ("known", "new"):
            await self.run_feed(prefix)
            await self.run_sorted_feed(prefix)
            await self.run_queue(prefix)
            await self.run_job(prefix)
            await self.run_instance(prefix)
            await self.run_worker(prefix)
            await self.run_follower(prefix, peer)
            await self.hears(peer)
        await self.still_hears(peer)

    async def test_noticed(self) -> None:
        """
        A message without its NUL, which ours never send, ends the listener; these tests notice.
        """
        await self.thoonk.job("known")
        peer = await self.peer(listen=True)
        await self.redis.execute("PUBLISH", "job.finish:known", "a")
        await until(lambda: "ValueError" in peer.complaint)
        await until(lambda: peer.do("alive").addCallback(lambda alive: not alive))
        hearing = Deferred.fromCoroutine(self.hears(peer))
        await self.assertFailure(hearing, self.failureException)

    async def still_hears(self, peer: ThoonkPy) -> None:
        """It is told of a feed, and of what happens in it."""
        feed = await self.thoonk.feed("last")
        await until(lambda: ["create", "last"] in peer.heard)
        await until(
            lambda: self.redis.execute("PUBSUB", "NUMSUB", feed.keys.publish_channel).addCallback(
                lambda reply: reply[1]
            )
        )
        await self.hears(peer)
        await feed.publish("x", id="a")
        self.assertEqual(await self.hears(peer), [["publish", "last", "x", "a"]])

    async def do(self, handle: Any, verbs: dict[str, Callable[[], Any]]) -> None:
        """Call each; all that there are must be among them."""
        kind = type(handle)
        public = {
            name
            for each in kind.__mro__
            for name, attribute in vars(each).items()
            if isinstance(attribute, FunctionType) and not name.startswith("_")
        }
        self.assertEqual(public - INTERNAL - verbs.keys(), set(), f"not called, of {kind}")
        for call in verbs.values():
            outcome = call()
            if isinstance(outcome, Awaitable):
                await outcome

    def common(self, handle: Any, take_part: str) -> dict[str, Callable[[], Any]]:
        """What every type has."""
        return {
            "ensure": handle.ensure,
            "get_config": handle.get_config,
            "set_config": lambda: handle.set_config(title="T"),
            "subscribe": lambda: handle.subscribe(**{take_part: lambda event: None}),
            "get_schema": handle.get_schema,
            "get_channels": handle.get_channels,
            "fsck": lambda: handle.fsck(repair=True, grace=0.01),
            "get_ids": handle.get_ids,
            "length": handle.length,
        }

    def reads(self, handle: Any) -> dict[str, Callable[[], Any]]:
        """What feeds and sorted feeds have."""
        return {
            "follow": lambda: handle.follow(lambda event: None),
            "get_item": lambda: handle.get_item("1"),
            "get_id": lambda: handle.get_id("1"),
            "get_all": handle.get_all,
            "has_id": lambda: handle.has_id("1"),
            "snapshot": handle.snapshot,
            "history": lambda: handle.snapshot().addCallback(handle.history),
        }

    async def run_feed(self, prefix: str) -> None:
        """A feed's."""
        feed: Feed = await self.thoonk.feed(f"{prefix}-feed", max_length=2)

        async def publish() -> None:
            for number in range(4):
                await feed.publish(f"\0{number}\0", id=f"{number}")
            await feed.publish("", id="3")
            await feed.publish("ü")
            await feed.publish("for a while", id="3", ttl=0.001)

        await self.do(
            feed,
            {
                "publish": lambda: Deferred.fromCoroutine(publish()),
                **self.common(feed, "publish"),
                **self.reads(feed),
                "maintenance": feed.maintenance,
                "retract": lambda: feed.retract("3"),
                "delete": feed.delete,
            },
        )

    async def run_sorted_feed(self, prefix: str) -> None:
        """A sorted feed's."""
        feed: SortedFeed = await self.thoonk.sorted_feed(f"{prefix}-sorted_feed")
        await self.do(
            feed,
            {
                "append": lambda: feed.append("x"),
                "publish": lambda: feed.publish(""),
                "prepend": lambda: feed.prepend("\0"),
                "publish_before": lambda: feed.publish_before("1", "x"),
                "publish_after": lambda: feed.publish_after("1", "x"),
                "edit": lambda: feed.edit("1", "\0"),
                "move": lambda: feed.move(":2", "1"),
                "move_before": lambda: feed.move_before("3", "1"),
                "move_after": lambda: feed.move_after("3", "1"),
                "move_first": lambda: feed.move_first("1"),
                "move_last": lambda: feed.move_last("1"),
                **self.common(feed, "publish"),
                **self.reads(feed),
                "retract": lambda: feed.retract("1"),
                "delete": feed.delete,
            },
        )

    async def run_queue(self, prefix: str) -> None:
        """A queue's."""
        queue: Queue = await self.thoonk.queue(f"{prefix}-queue")
        await self.do(
            queue,
            {
                "put": lambda: queue.put("x", priority=True),
                "get": lambda: queue.get(timeout=5),
                "follow": lambda: None,  # feeds and sorted feeds alone are followed
                "maintenance": queue.maintenance,
                **self.common(queue, "create"),
                "delete": queue.delete,
            },
        )

    async def run_job(self, prefix: str) -> None:
        """A job's, and a claim's."""
        job: Job = await self.thoonk.job(f"{prefix}-job")
        other: Job = await (await self.start_thoonk()).job(job.name)

        async def claim() -> Claim:
            await job.put("x")
            return await job.get(timeout=5)

        async def call() -> None:
            result = job.call("x", timeout=10)
            taken = await other.get(timeout=5)
            await taken.progress("half")
            await taken.extend()
            await taken.finish("\0")
            self.assertEqual(await result, "\0")
            items = self.thoonk.feed(f"{prefix}-committed", max_length=1)
            places = self.thoonk.sorted_feed(f"{prefix}-placed")
            for more in ({}, {"result": "\0"}):
                await job.put("x")
                await (await job.get(timeout=5)).commit(
                    items.change.publish("", id="1"),
                    items.change.publish("\0"),
                    places.change.append("x"),
                    places.change.prepend(""),
                    places.change.retract("1"),
                    **more,
                )
            await items.delete()
            await places.delete()
            # Without a result, and an empty one.
            for more in ((), ("",)):
                await job.put("x", id="e")
                await (await job.get(timeout=5)).finish(*more)

        async def with_claim(verb: Callable[[Claim], Any]) -> None:
            taken = await claim()
            await verb(taken)
            await job.retract(taken.id)

        async def expire() -> None:
            await job.set_config(claim_timeout=0.01)
            taken = await claim()
            await until(lambda: job.maintenance().addCallback(lambda done: done.expired))
            await job.set_config(claim_timeout=30)
            await job.retract(taken.id)

        async def parked() -> None:
            for everything in (False, True):
                taken = await claim()
                await taken.stall("why")
                await (job.retry_all() if everything else job.retry(taken.id))
                await job.retract(taken.id)

        async def delayed() -> None:
            await job.put("x", delay=0.01)
            await until(job.promote_due)
            await (await job.get(timeout=5)).cancel(delay=0.01)
            await until(job.promote_due)
            await (await job.get(timeout=5)).finish()

        async def ticks() -> None:
            await job.every(1, "x", name="often", first=0)
            self.thoonk.scheduler()
            await (await job.get(timeout=5)).finish()
            for name in ("often", "seldom", "daily"):
                await job.unschedule(name)

        run = Deferred.fromCoroutine
        await self.do(
            job,
            {
                "every": lambda: job.every(3600, "x", name="seldom"),
                "cron": lambda: job.cron("0 0 * * *", "x", name="daily"),
                "schedules": job.schedules,
                "schedule": lambda: job.schedule("daily"),
                "pause_schedule": lambda: job.pause_schedule("seldom"),
                "resume_schedule": lambda: job.schedule("seldom").addCallback(
                    lambda schedule: schedule.resume()
                ),
                "unschedule": lambda: run(ticks()),
                "put": lambda: run(with_claim(lambda taken: taken.release())),
                "publish": lambda: job.publish("x", priority=True, id="p"),
                "put_many": lambda: job.put_many(["", "\0", "ü"]),
                "edit": lambda: job.edit("p", "y"),
                "retract": lambda: job.retract("p"),
                "get": lambda: gatherResults([job.get(timeout=5) for _ in range(3)]),
                "call": lambda: run(call()),
                "get_result": lambda: job.get_result("e", timeout=5),
                "finish": lambda: run(with_claim(lambda taken: job.finish(taken.id, "r", ttl=5))),
                "cancel": lambda: run(with_claim(lambda taken: job.cancel(taken.id))),
                "release": lambda: run(with_claim(lambda taken: job.release(taken.id))),
                "stall": lambda: run(with_claim(lambda taken: job.stall(taken.id, "why"))),
                "cancel_running": lambda: run(with_claim(lambda t: job.cancel_running(t.id))),
                "retry": lambda: run(parked()),
                "retry_all": job.retry_all,
                "promote_due": lambda: run(delayed()),
                "maintenance": lambda: run(expire()),
                "get_stalled": job.get_stalled,
                "get_failure_count": lambda: job.get_failure_count("p"),
                "get_attempts": lambda: job.get_attempts("p"),
                "get_stop_channel": job.get_stop_channel,
                "stats": job.stats,
                "follow": lambda: None,  # feeds and sorted feeds alone are followed
                **self.common(job, "put"),
                "delete": job.delete,
            },
        )

    async def run_instance(self, prefix: str) -> None:
        """Those of the instance that write."""
        name = f"{prefix}-instance"
        await self.thoonk.create_feed(name, type="job", title="T")
        await self.thoonk.set_config(name, title="U")
        await self.thoonk.publish_channel("a channel", "without", "meaning")
        await self.thoonk.fsck(name, repair=True)
        await self.thoonk.delete_feed(name)
        await self.assertFailure(self.thoonk.delete_feed(name), FeedDoesNotExist)

    async def run_worker(self, prefix: str) -> None:
        """What a worker says of jobs."""
        jobs: Job = await self.thoonk.job(f"{prefix}-worker", max_attempts=2)

        async def handler(claim: Claim) -> str:
            if claim.item == "stall":
                raise Stall("why")
            if claim.item == "retry" and not claim.cancelled:
                raise Retry(delay=0.01)
            if claim.item == "fail":
                raise ValueError("whatever")
            return f"{claim.item}\0"

        worker = JobWorker(self.thoonk, jobs.name, handler)
        worker.startService()
        ids = await jobs.put_many(["done", "stall", "retry", "fail"])
        await until(lambda: jobs.stats().addCallback(lambda s: (s.finishes, s.stalled) == (2, 2)))
        self.assertEqual(await jobs.get_result(ids[2]), ("retry", "retry\0"))
        await worker.stopService()
        self.flushLoggedErrors(ValueError)
        await jobs.delete()

    async def run_follower(self, prefix: str, peer: ThoonkPy) -> None:
        """What a follower writes of changes by others."""
        feed: Feed = await self.thoonk.feed(f"{prefix}-followed")
        live = await feed.follow(lambda event: None)
        await peer.of("feed", feed.name, "publish", "x", "a")
        await until(lambda: dict(live.items) == {"a": "x"})
        await live.verify()
        live.stop()
        await feed.delete()


async def _made(handle: Any) -> None:
    await handle
