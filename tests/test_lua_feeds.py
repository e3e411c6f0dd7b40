"""Feeds in dialect ``lua``: the contract's keys, the channels of the ``scripting`` branches."""

from __future__ import annotations

import time

from tests.helpers import Heard, ThoonkTestCase, until
from txthoonk import Edited, FeedCreated, Published, Retracted


class LuaFeedTests(ThoonkTestCase):
    """A feed of ours, and a program of the ``scripting`` branch beside it."""

    async def setUp(self) -> None:
        await super().setUp()
        self.lua = await self.start_thoonk(dialect="lua")
        self.name = self.feed_name()
        self.feed = self.lua.feed(self.name, max_length=2)

    async def peer_publishes(self, id: str, item: str) -> None:
        """As the branch's script does it; no revisions."""
        execute = self.redis.execute
        new = await execute("ZADD", f"feed.ids:{self.name}", int(time.time() * 1000), id)
        await execute("INCR", f"feed.publishes:{self.name}")
        await execute("HSET", f"feed.items:{self.name}", id, item)
        kind = "publish" if new else "edit"
        await execute("PUBLISH", f"event.feed.{kind}:{self.name}", f"{id}\0{item}")

    async def test_wire(self) -> None:
        """
        Its listeners hear of publishes, edits and retracts on their channels; no other one does.
        """
        heard = await self.listen(f"event.feed.*:{self.name}", f"feed.*:{self.name}")
        for id, item in (("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")):
            await self.feed.publish(item, id=id)
        await self.feed.retract("c")
        await until(lambda: len(heard) == 6)
        self.assertEqual(
            [(channel.removesuffix(f":{self.name}"), payload) for channel, payload in heard],
            [
                ("event.feed.publish", b"a\x001"),
                ("event.feed.publish", b"b\x002"),
                ("event.feed.edit", b"a\x003"),
                ("event.feed.retract", b"b"),
                ("event.feed.publish", b"c\x004"),
                ("event.feed.retract", b"c"),
            ],
        )
        keys = {key.removesuffix(f":{self.name}") for key in await self.keys_of(self.name)}
        self.assertEqual(
            keys,
            {f"feed.{kind}" for kind in ("config", "ids", "items", "publishes")}
            | {f"tx.job.feed.{kind}" for kind in ("revision", "revisions", "history")},
        )
        await self.feed.delete()
        self.assertEqual(await self.keys_of(self.name), {})

    async def test_subscribe(self) -> None:
        """
        Events of feeds are heard by name, by pattern and by the older forms, whoever sends them.
        """
        heard, by_pattern, older, created = Heard(), Heard(), Heard(), Heard()
        await self.lua.subscribe(self.name, create=created)
        await self.lua.subscribe(self.name, publish=heard, edit=heard, retract=heard)
        await self.lua.subscribe_pattern(f"{self.name}*", publish=by_pattern, edit=by_pattern)
        await self.lua.register_handler("edit", older)
        await self.feed.publish("1", id="a")
        await self.peer_publishes("a", "2")
        await self.peer_publishes("b", "3")
        await self.feed.retract("a")
        await heard.when(4)
        await self.settle(self.lua)
        name = self.name
        events = [Published(name, "a", "1"), Edited(name, "a", "2"), Published(name, "b", "3")]
        self.assertEqual(heard, [*events, Retracted(name, "a")])
        self.assertEqual(by_pattern, events)
        self.assertEqual(older, [(name, "2", "a")])
        self.assertEqual(created[0], FeedCreated(name, self.lua.uuid))

    async def test_follow(self) -> None:
        """
        A follower's copy is the feed, with changes by both, each told once with its revision.
        """
        await self.peer_publishes("old", "0")  # such a feed has no type, nor a name
        await self.feed
        heard, many = Heard(), Heard()
        live = await self.lua.follow(self.name, heard)
        pattern = await self.lua.follow_pattern(f"{self.name}*", many, foreign=True)
        await self.feed.publish("1", id="a")
        await self.peer_publishes("a", "2")
        await until(lambda: dict(live) == {"old": "0", "a": "2"})
        await self.feed.publish("3", id="c")
        await until(lambda: dict(live) == {"a": "2", "c": "3"})
        await until(lambda: dict(pattern[self.name]) == dict(live))
        self.assertEqual(
            [event.revision for event in heard],
            list(range(heard[0].revision, heard[0].revision + len(heard))),
        )
        token = live.token
        live.stop()
        await self.feed.publish("4", id="d")
        later = Heard()
        await self.lua.follow(self.name, later, token=token)
        await until(lambda: len(later) == 2)
        self.assertEqual([type(event) for event in later], [Retracted, Published])

    async def test_born(self) -> None:
        """
        A feed that is born later is followed by those whose pattern it matches.
        """
        heard = Heard()
        live = await self.lua.follow_pattern(f"{self.name}*", heard)
        await self.feed.publish("1", id="a")
        await heard.when(1)
        self.assertEqual(dict(live[self.name]), {"a": "1"})

    async def test_shared_data(self) -> None:
        """
        What is published in one dialect is there in the other; only its listeners hear of it.
        """
        other = await self.thoonk.feed(self.name)
        heard = Heard()
        await other.subscribe(publish=heard)
        await self.feed.publish("1", id="a")
        self.assertEqual(await other.get_all(), {"a": "1"})
        await other.publish("2", id="b")
        await heard.when(1)
        self.assertEqual([event.id for event in heard], ["b"])
        self.assertEqual(await self.feed.get_ids(), ["a", "b"])
        live = await self.lua.follow(self.name, Heard())
        self.assertEqual(dict(live), {"a": "1", "b": "2"})
        self.assertTrue(await live.verify())
        self.assertEqual(await self.lua.fsck(self.name, grace=0.01), [])
