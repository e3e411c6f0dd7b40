"""``thoonk follow``: what is there, then every change."""

from __future__ import annotations

from tests.helpers import until
from tests.test_cli import CommandTestCase, Watch


class FollowTests(CommandTestCase):
    """The command that misses nothing."""

    def follow(self, *names: str) -> Watch:
        """A follow that is over when the test is."""
        watch = Watch(self.redis_url, *names, verb="follow", tells="following")
        self.addCleanup(lambda: watch.process.poll() is None and watch.process.kill())
        return watch

    async def test_feed(self) -> None:
        """Items first, then changes with their revisions, also after the connection was cut."""
        name = self.feed_name()
        news = self.thoonk.feed(name)
        await news.publish("there", id="1")
        follow = self.follow(name)
        self.assertEqual(follow.lines(1), [f"item\t{name}\t1\t1\tthere\n".encode()])
        await news.publish("new\nline", id="2")
        await self.cut("thoonk-follow")
        await news.publish("other", id="1")
        await news.retract("2")
        expected = ["publish\t{}\t2\t2\tnew\\nline", "edit\t{}\t3\t1\tother", "retract\t{}\t4\t2"]
        lines = [f"{line.format(name)}\n".encode() for line in expected]
        self.assertEqual(follow.lines(3), lines)
        self.assertEqual(follow.end()[0], 130)

    async def test_pattern(self) -> None:
        """A pattern is told of feeds born later, and of those that are deleted."""
        name = self.feed_name()
        follow = self.follow(f"{name}:*")
        row = self.thoonk.sorted_feed(f"{name}:row")
        await row.append("a")
        lines = [f"publish\t{name}:row\t1\t1\ta\t:end\n".encode()]
        self.assertEqual(follow.lines(1), lines)
        await row.delete()
        self.assertEqual(follow.lines(1), [f"delete\t{name}:row\n".encode()])
        self.assertEqual(follow.end()[0], 130)

    async def test_none(self) -> None:
        """A feed that does not exist is told, and nothing is followed."""
        self.assertIn("There is no such feed", self.fails("follow", self.feed_name()))

    async def cut(self, client: str) -> None:
        """End the connections of a client, and wait for another one."""

        async def theirs() -> set[bytes]:
            clients: bytes = await self.redis.execute("CLIENT", "LIST")
            named = f"name={client} ".encode()
            found = (line.split()[0][3:] for line in clients.splitlines() if named in line)
            return set(found)

        before = await theirs()
        for id in before:
            await self.redis.execute("CLIENT", "KILL", "ID", id)

        async def back() -> bool:
            return len(await theirs() - before) >= len(before)

        await until(back)
