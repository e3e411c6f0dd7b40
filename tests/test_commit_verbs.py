"""Each verb in a commit, beside the same verb alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from tests.commit_helpers import CommitCase
from tests.helpers import until
from txthoonk.errors import ThoonkError

Call = Callable[[Any], Any]

#: Verbs on a feed of at most three items, 1 to 3, which is at revision 3.
OF_FEEDS: Final[tuple[Call, ...]] = (
    lambda c: c.publish("x", id="4"),
    lambda c: c.publish("x", id="4", if_revision=0),
    lambda c: c.publish("x", id="4", if_revision=3),
    lambda c: c.publish("", id="1"),
    lambda c: c.publish("\0ü", 1, if_revision=1),
    lambda c: c.publish("x", id="4", ttl=60),
    lambda c: c.publish("x", id="1", if_revision=1, ttl=60),
    lambda c: c.retract("2"),
    lambda c: c.retract(2, 3),
    lambda c: c.retract("9"),
)

#: Verbs on a sorted feed of the items 1 to 3, which is at revision 3.
OF_SORTED: Final[tuple[Call, ...]] = (
    lambda c: c.append("x"),
    lambda c: c.publish("x", if_revision=3),
    lambda c: c.prepend("x"),
    lambda c: c.publish_before("2", "x"),
    lambda c: c.publish_after(2, "x", 2),
    lambda c: c.edit("2", "x"),
    lambda c: c.edit("2", "", if_revision=3),
    lambda c: c.move(":3", "1"),
    lambda c: c.move("3:", 1, 1),
    lambda c: c.move("begin:", "3"),
    lambda c: c.move(":end", "1"),
    lambda c: c.move_before("1", "3"),
    lambda c: c.move_after("1", "3"),
    lambda c: c.move_first("2"),
    lambda c: c.move_last("2", if_revision=2),
    lambda c: c.retract("2"),
    lambda c: c.retract(2, 2),
    lambda c: c.retract("9"),
)

#: What fails, there and there.
REFUSED_OF_FEEDS: Final[tuple[Call, ...]] = (
    lambda c: c.publish("x", id="1", if_revision=2),
    lambda c: c.publish("x", id="1", if_revision=0),
    lambda c: c.publish("x", id="4", if_revision=1),
    lambda c: c.publish("x", id="4", if_revision=1, ttl=60),
    lambda c: c.retract("1", if_revision=2),
    lambda c: c.retract("9", if_revision=2),
)
REFUSED_OF_SORTED: Final[tuple[Call, ...]] = (
    lambda c: c.append("x", if_revision=2),
    lambda c: c.prepend("x", if_revision=0),
    lambda c: c.publish_before("9", "x"),
    lambda c: c.publish_after("1", "x", if_revision=2),
    lambda c: c.edit("9", "x"),
    lambda c: c.edit("1", "x", if_revision=2),
    lambda c: c.move(":9", "1"),
    lambda c: c.move(":1", "9"),
    lambda c: c.move_last("1", if_revision=2),
    lambda c: c.retract("1", if_revision=2),
)


class VerbTests(CommitCase):
    """Each verb, alone and in a commit."""

    async def make(self, kind: str, made: bool = True) -> Any:
        """A feed, or a sorted feed, with three items."""
        name = self.feed_name(kind)
        if kind == "sorted_feed":
            feed: Any = self.using.sorted_feed(name)
            for item in "abc":
                await feed.append(item)
            return feed if made else self.using.sorted_feed(name)
        feed = self.using.feed(name, max_length=3)
        for number, item in enumerate("abc", 1):
            await feed.publish(item, id=number)
        return feed if made else self.using.feed(name)

    async def state(self, feed: Any) -> dict[str, Any]:
        """All that is stored of it, without what differs each time."""
        run, keys = self.using.redis.execute, feed.keys
        ids = await feed.get_ids()
        scores = []
        if feed.TYPE == "feed":
            times = [float(await run("ZSCORE", keys.ids, id)) for id in ids]
            now = int((await run("TIME"))[0]) * 1000
            scores = [(abs(now - time) < 60_000, a < time) for a, time in zip([0.0, *times], times)]  # noqa: B905  # one is longer by the 0.0 before
        history = [re.sub("feed='[^']*'", "", str(event)) for event in await feed.history(0)]
        types = {key.replace(feed.name, "") for key in await self.keys_of(feed.name)}
        return {
            "ids": ids,
            "scores": scores,
            "keys": types,
            "history": history,
            "items": await run("HGETALL", keys.items),
            "counters": [await run("GET", key) for key in (keys.publishes, keys.idincr)],
            "revision": await run("HGET", keys.revision, "revision"),
            "revisions": await run("HGETALL", keys.revisions),
            "for a while": [
                each.partition(b"\0")[2] for each in await run("ZRANGE", keys.expires, 0, -1)
            ],
        }

    async def told(self, heard: list[tuple[str, bytes]], feed: Any) -> list[tuple[str, bytes]]:
        """What was said of a feed, without what differs each time."""
        await self.redis.execute("PUBLISH", "end", feed.name)
        await until(lambda: ("end", feed.name.encode()) in heard)
        name, said = feed.name.encode(), []
        for channel, payload in heard:
            if feed.name in channel or (name in payload and channel != "end"):
                plain = re.sub(rb"(\d+) \d{16} \d+ (\d+) ", rb"\1 E D \2 ", payload)
                said.append((channel.replace(feed.name, "N"), plain.replace(name, b"N")))
        heard.clear()
        return said

    async def check(self, kind: str, calls: tuple[Call, ...]) -> None:
        """Each verb does alone what it does in a commit."""
        heard = await self.listen("*")
        for number, call in enumerate(calls):
            alone, together = await self.make(kind), await self.make(kind, made=number % 2 == 0)
            await self.told(heard, alone)
            expected = await call(alone)
            expected_told = await self.told(heard, alone)
            claim = await self.take()
            await self.told(heard, together)
            [done] = await claim.commit(call(together.change), result="r")
            told = await self.told(heard, together)
            self.assertEqual(told, expected_told, number)
            self.assertTrue(told or done is False)
            self.assertEqual(await self.state(together), await self.state(alone), number)
            self.assertEqual((done, type(done)), (expected, type(expected)), number)
            revisions = [getattr(each, "revision", None) for each in (done, expected)]
            self.assertEqual(revisions[0], revisions[1])
            self.assertEqual(await self.job.get_result(claim.id), ("work", "r"))

    async def check_refused(self, kind: str, calls: tuple[Call, ...]) -> None:
        """Each verb fails alone as it fails in a commit, of which nothing is left."""
        alone, together = await self.make(kind), await self.make(kind)
        other = await self.using.feed(self.feed_name("other"))
        for call in calls:
            expected: Any = await self.assertFailure(call(alone), ThoonkError)
            heard = await self.listen(f"*:{together.name}", f"*:{other.name}", f"*:{self.name}")
            changes = (other.change.publish("x"), call(together.change))
            found = await self.changes_nothing(
                lambda changes=changes: self.claim.commit(*changes, result="r"),
                type(expected),
                *(together.name, other.name),
                heard=heard,
            )
            self.assertIs(type(found), type(expected))
            self.assertEqual(str(found), str(expected).replace(alone.name, together.name))
            self.assertEqual({**vars(found), "feed": ""}, {**vars(expected), "feed": ""})
        await self.still_held()

    async def test_feed(self) -> None:
        """
        A change of a feed in a commit is in Redis, in the history, and on every channel what the
        verb alone makes of it.
        """
        await self.check("feed", OF_FEEDS)

    async def test_sorted_feed(self) -> None:
        """
        So is a change of a sorted feed.
        """
        await self.check("sorted_feed", OF_SORTED)

    async def test_lua(self) -> None:
        """
        So it is in dialect ``lua``.
        """
        await self.use(await self.start_thoonk(dialect="lua"))
        await self.check("feed", OF_FEEDS)
        await self.check_refused("feed", REFUSED_OF_FEEDS)

    async def test_refused_of_feed(self) -> None:
        """
        What a feed's verb refuses a commit refuses by the same error; nothing has happened, to no
        feed, and the claim is still held.
        """
        await self.check_refused("feed", REFUSED_OF_FEEDS)

    async def test_refused_of_sorted_feed(self) -> None:
        """
        So it is with a sorted feed's.
        """
        await self.check_refused("sorted_feed", REFUSED_OF_SORTED)

    async def test_all_verbs(self) -> None:
        """
        Whatever changes a feed and can be on condition can be in a commit.
        """
        for kind in ("feed", "sorted_feed"):
            feed = await self.make(kind)
            verbs = {
                name
                for name in dir(type(feed))
                if "if_revision" in getattr(getattr(feed, name), "__annotations__", ())
                and not name.startswith(("_", "check_"))
            }
            self.assertEqual(verbs - set(dir(feed.change)), set())
            self.assertGreater(len(verbs), 1)
