"""Changes of feeds and the finish of a job in one go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError

from tests.commit_helpers import CommitCase
from tests.helpers import until
from txthoonk import (
    Conflict,
    FeedDoesNotExist,
    ItemDoesNotExist,
    JobFinished,
    LeaseLost,
    WrongFeedType,
)
from txthoonk.errors import JobNotClaimed
from txthoonk.types.committing import MOST, MOST_BYTES


class CommitTests(CommitCase):
    """What makes several changes one."""

    async def test_together(self) -> None:
        """
        Many changes of many feeds, created where they are not there, the result and the finish are
        there together, in this order, told to whoever listens.
        """
        tasks = await self.thoonk.sorted_feed(self.feed_name("tasks"))
        for item in ("one", "two", "three"):
            await tasks.append(item)
        shipped = self.thoonk.feed(self.feed_name("shipped"), max_length=2)
        log = self.thoonk.feed(self.feed_name("log"), serializer="json")
        heard: list[Any] = []
        await self.job.subscribe(finish=heard.append)
        done = await self.claim.commit(
            tasks.change.expect(3),
            tasks.change.edit("2", "two!", if_revision=2),
            tasks.change.move_first("2", if_revision=2),
            tasks.change.publish_before("1", "before"),
            tasks.change.retract("1", if_revision=1),
            tasks.change.append("last"),
            *(shipped.change.publish(str(n), id=f"s{n}") for n in range(4)),
            log.change.publish({"who": 1}, id="entry"),
            log.change.retract("nothing"),
            result="all",
        )
        self.assertEqual(
            done, [None, "2", None, "4", True, "5", *(f"s{n}" for n in range(4)), "entry", False]
        )
        revisions = [done[i].revision for i in (1, 3, 5, 6, 9, 10)]
        self.assertEqual(revisions, [4, 6, 8, 1, 6, 1])
        self.assertEqual(
            list((await tasks.get_all()).items()),
            [("2", "two!"), ("4", "before"), ("3", "three"), ("5", "last")],
        )
        self.assertEqual(await shipped.get_all(), {"s2": "2", "s3": "3"})
        self.assertEqual([e.id for e in await shipped.history(2)], ["s0", "s2", "s1", "s3"])
        self.assertEqual(await log.get_all(), {"entry": {"who": 1}})
        self.assertEqual(await self.job.get_result(self.claim.id), ("work", "all"))
        await until(lambda: heard)
        self.assertEqual(heard, [JobFinished(self.name, self.claim.id, "all")])
        for feed in (tasks, shipped, log, self.job):
            self.assertEqual(await feed.fsck(), [])
        # It is over.
        again = self.claim.commit(log.change.publish({}))
        await self.refused(again, LeaseLost, self.name, self.claim.id)

    async def test_no_changes(self) -> None:
        """
        Without changes it is a finish; the result is kept as long as is said.
        """
        self.assertEqual(await self.claim.commit(result="r", ttl=0), [])
        await self.assertFailure(self.job.get_result(self.claim.id), ItemDoesNotExist)
        claim = await self.take()
        await claim.commit(result="r", ttl=500)
        due = float(await self.redis.execute("ZSCORE", self.job.keys.due, claim.id))
        now = int((await self.redis.execute("TIME"))[0])
        self.assertLess(abs(due / 1000 - now - 500), 5)

    async def test_expect(self) -> None:
        """
        A feed that has changed, or is another one of that name, is a conflict that says where it
        is; a new one is at 0.
        """
        feed = self.thoonk.feed(self.feed_name())
        other = await self.thoonk.feed(self.feed_name("other"))
        await feed.publish("a")
        seen = await feed.snapshot()
        await feed.publish("b", id="b")
        for wrong in ((seen.revision, seen.epoch), (seen.revision,), (2, "7"), (0,), (3,)):
            error = await self.changes_nothing(
                lambda wrong=wrong: self.claim.commit(
                    other.change.publish("x"), feed.change.expect(*wrong)
                ),
                Conflict,
                *(feed.name, other.name),
            )
            self.assertEqual(
                (error.feed, error.id, error.revision, error.feed_revision), (feed.name, "", 2, 2)
            )
            self.assertIn(f"not {wrong[0]}", str(error))
        self.assertIn(
            "epoch",
            str(
                await self.changes_nothing(
                    lambda: self.claim.commit(feed.change.expect(2, "7")), Conflict, feed.name
                )
            ),
        )
        done = await self.claim.commit(
            other.change.expect(0),
            feed.change.expect(2, seen.epoch),
            feed.change.publish("c", id="c"),
            feed.change.publish("b2", id="b", if_revision=2),
        )
        self.assertEqual([str(each) for each in done], ["None", "None", "c", "b"])
        self.assertEqual((await feed.snapshot()).revision, 4)

    async def test_as_before(self) -> None:
        """
        Conditions are about the feeds as they were before, whatever earlier changes have done; so
        is what there is to be retracted, though an item of that id is made by the commit.
        """
        places = await self.thoonk.sorted_feed(self.feed_name("places"))
        feed = await self.thoonk.feed(self.feed_name(), max_length=2)
        for number in (1, 2):
            await feed.publish("old", id=number)
        done = await self.claim.commit(
            places.change.append("first", if_revision=0),
            places.change.append("second", if_revision=0),
            places.change.retract("1"),
            feed.change.publish("new", id="3", if_revision=2),
            feed.change.publish("edited", id="1", if_revision=1),
        )
        self.assertEqual(done, ["1", "2", False, "3", "1"])
        self.assertEqual(await places.get_all(), {"1": "first", "2": "second"})
        # The third item took the place of the first, which then came anew.
        self.assertEqual(await feed.get_all(), {"3": "new", "1": "edited"})
        self.claim = await self.take()
        await self.changes_nothing(
            lambda: self.claim.commit(places.change.append("third"), places.change.edit("3", "x")),
            ItemDoesNotExist,
            places.name,
        )

    async def test_deleted(self) -> None:
        """
        A feed that was deleted meanwhile, or is of another type now, is not made by a commit.
        """
        feed = await self.thoonk.feed(self.feed_name())
        other = await self.thoonk.feed(self.feed_name("other"))
        handle = await (await self.start_thoonk()).feed(feed.name)
        await handle.delete()

        def commit() -> Any:
            return self.claim.commit(other.change.publish("x"), feed.change.publish("y"))

        error = await self.changes_nothing(commit, FeedDoesNotExist, other.name, feed.name)
        self.assertEqual(error.feed, feed.name)
        for make in (self.thoonk.sorted_feed, self.thoonk.queue, self.thoonk.job):
            made: Any = await make(feed.name)
            error = await self.changes_nothing(commit, WrongFeedType, other.name, feed.name)
            self.assertEqual(error.feed, feed.name)
            await made.delete()
        await self.still_held()

    async def test_wrong_handle(self) -> None:
        """
        A handle on a feed of another type is refused as by its own verbs; nothing was made before
        the others were looked at, and the claim is held.
        """
        made = await self.thoonk.sorted_feed(self.feed_name())
        wrong = self.thoonk.feed(made.name)
        commit = self.claim.commit(wrong.change.publish("x"), result="r")
        await self.refused(commit, WrongFeedType, made.name)
        await self.still_held()

    async def test_own_jobs(self) -> None:
        """
        The feed of the job itself is no feed of items.
        """
        feed = self.thoonk.feed(self.name)
        feed.made()
        await self.changes_nothing(
            lambda: self.claim.commit(feed.change.publish("x")), WrongFeedType
        )

    async def test_arguments(self) -> None:
        """
        What cannot be is refused at once, and the claim is held.
        """
        feed = await self.thoonk.feed(self.feed_name())
        places = await self.thoonk.sorted_feed(self.feed_name("places"))
        of, to = feed.change, places.change
        theirs = (await self.start_thoonk()).feed(feed.name)
        nonsense: tuple[tuple[type[Exception], Callable[[], Any]], ...] = (
            (TypeError, lambda: self.claim.commit("change")),  # type: ignore[arg-type]  # that is tested
            (TypeError, lambda: self.claim.commit(feed.publish)),  # type: ignore[arg-type]  # wrong on purpose
            (TypeError, lambda: of.expect(1, 5)),  # type: ignore[arg-type]  # wrong on purpose
            (TypeError, lambda: of.publish(7)),
            (ValueError, lambda: of.expect(-1)),
            (ValueError, lambda: of.expect(True)),
            (ValueError, lambda: of.publish("x", if_revision=-1)),
            (ValueError, lambda: to.move("1", "2")),
            (ValueError, lambda: to.move_before("1", "1")),
            (ValueError, lambda: self.claim.commit(theirs.change.publish("x"))),
            (ValueError, lambda: self.claim.commit(ttl=-1)),
            (ValueError, lambda: self.claim.commit(*[of.publish("x")] * (MOST + 1))),
            (ValueError, lambda: self.claim.commit(of.publish("x" * MOST_BYTES))),
            (ValueError, lambda: self.claim.commit(of.publish("x", id=1), of.publish("y", id="1"))),
            (ValueError, lambda: self.claim.commit(of.publish("x", id=1), of.retract("1"))),
            (ValueError, lambda: self.claim.commit(of.retract("1"), of.publish("x", id=1))),
            (ValueError, lambda: self.claim.commit(to.edit("1", "x"), to.edit("1", "y"))),
            (ValueError, lambda: self.claim.commit(to.move_last("1"), to.move_first("1"))),
            (ValueError, lambda: self.claim.commit(to.edit("1", "x"), to.retract("1"))),
            (ValueError, lambda: self.claim.commit(to.retract("1"), to.publish_after("1", "y"))),
            (ValueError, lambda: self.claim.commit(to.retract("1"), to.move_after("1", "2"))),
            (ValueError, lambda: self.claim.commit(to.retract("1"), to.move("begin:", "1"))),
        )
        for kind, call in nonsense:
            self.assertRaises(kind, call)
        await self.still_held()

    async def test_most(self) -> None:
        """
        As many changes as are allowed are one commit, of as many feeds.
        """
        feeds = [self.thoonk.feed(self.feed_name(str(n))) for n in range(MOST // 4)]
        changes = [feed.change.publish(f"{n}", id=str(n)) for n in range(4) for feed in feeds]
        done = await self.claim.commit(*changes, result="r")
        self.assertEqual([id.revision for id in done], [n for n in (1, 2, 3, 4) for _ in feeds])
        for feed in feeds[:: len(feeds) - 1]:
            self.assertEqual(await feed.get_ids(), ["0", "1", "2", "3"])

    async def test_most_in_one(self) -> None:
        """
        So they are in one feed, which keeps its length.
        """
        feed = self.thoonk.feed(self.feed_name(), max_length=10)
        items = [feed.change.publish("x" * (MOST_BYTES // MOST - 40)) for _ in range(MOST)]
        done = await self.claim.commit(*items)
        self.assertEqual(await feed.get_ids(), done[-10:])
        self.assertEqual((await feed.snapshot()).revision, 2 * MOST - 10)


class LostClaimTests(CommitCase):
    """A commit by a claim that has ended."""

    async def lost(self, error: type[JobNotClaimed] = LeaseLost) -> None:
        """It is refused, and nothing was changed."""
        feed = await self.thoonk.feed(self.feed_name())
        found = await self.changes_nothing(
            lambda: self.claim.commit(feed.change.publish("x"), result="stale"), error, feed.name
        )
        self.assertEqual((found.feed, found.id), (self.name, self.claim.id))

    async def test_ended(self) -> None:
        """
        Released, cancelled, parked, retracted or finished: nothing is changed.
        """
        for end in ("release", "cancel", "stall", "finish"):
            await getattr(self.claim, end)()
            await self.lost()
            await self.job.retract(self.claim.id)
            self.claim = await self.take()
        await self.job.retract(self.claim.id)
        await self.lost()

    async def test_taken(self) -> None:
        """
        Nor where the lease was over, and another process has claimed the job in the meantime.
        """
        other = (await self.start_thoonk()).job(self.name)
        run, keys = self.redis.execute, self.job.keys
        score = (await run("ZSCORE", keys.claimed, self.claim.id)).decode()
        await run("HSET", keys.lease, self.claim.id, f"{self.claim.token.decode()} {score} 1")
        self.assertEqual((await other.maintenance()).expired, 1)
        theirs = await other.get()
        self.assertEqual(theirs.id, self.claim.id)
        await self.lost()
        await theirs.finish("theirs")
        self.assertEqual(await self.job.get_result(theirs.id), ("work", "theirs"))

    async def test_peer(self) -> None:
        """
        Nor where a peer, which knows of no leases, has cancelled and a peer has claimed it since.
        """
        keys, run, id = self.job.keys, self.redis.execute, self.claim.id
        score = int(float(await run("ZSCORE", keys.claimed, id)))
        await run("ZREM", keys.claimed, id)
        await run("HINCRBY", keys.cancelled, id, 1)
        await run("LPUSH", keys.ids, id)
        await self.lost()
        self.assertEqual(await run("RPOP", keys.ids), id.encode())
        await run("ZADD", keys.claimed, score + 1, id)
        await self.lost()

    async def test_extended(self) -> None:
        """
        A claim that was extended commits.
        """
        await self.claim.extend()
        feed = self.thoonk.feed(self.feed_name())
        self.assertEqual(await self.claim.commit(feed.change.publish("x", id="a")), ["a"])

    async def test_cancelled(self) -> None:
        """
        A commit that is given up before it was sent has not happened, and the claim is held.
        """
        feed = self.thoonk.feed(self.feed_name())
        commit = self.claim.commit(feed.change.publish("x"))
        commit.cancel()
        await self.assertFailure(commit, CancelledError)
        await self.settle()
        self.assertEqual(await feed.get_all(), {})
        await self.still_held()
