"""What handlers get: one event object each, whoever published and whatever the payload."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.helpers import Heard, ThoonkTestCase
from txthoonk.errors import ItemError
from txthoonk.events import (
    Edited,
    Event,
    FeedConfigured,
    FeedCreated,
    FeedDeleted,
    JobClaimed,
    JobFinished,
    JobPublished,
    Moved,
    Published,
    Retracted,
)

#: Names with whatever Redis's patterns and peers' parsers take for something else.
NAMES = ("a:b", "*", "a*", "[ab]", "a?", "\\*", "{a}", "a b", "é☃", "feed.publish:x")


class EventTests(ThoonkTestCase):
    """Subscriptions to one feed."""

    async def heard(self, name: str, *kinds: str, **options: Any) -> Heard:
        """What is heard from now on of the events of a feed, of all kinds together."""
        heard = Heard()
        await self.thoonk.subscribe(name, **dict.fromkeys(kinds, heard), **options)
        return heard

    async def test_feed(self) -> None:
        """
        A publish, an edit and a retract are one event each, in order.
        """
        name = self.feed_name()
        heard = await self.heard(name, "publish", "edit", "retract")
        feed = self.thoonk.feed(name, max_length=1)
        await feed.publish("one", "1")
        await feed.publish("uno", "1")
        await feed.publish("two", "2")
        await feed.retract("2")
        await self.settle()
        self.assertEqual(
            heard,
            [
                Published(name, "1", "one"),
                Edited(name, "1", "uno"),
                Retracted(name, "1"),
                Published(name, "2", "two"),
                Retracted(name, "2"),
            ],
        )

    async def test_sorted_feed(self) -> None:
        """
        In a sorted feed a publish tells the place too, and an edit looks like a publish.
        """
        name = self.feed_name()
        heard = await self.heard(name, "publish", "edit", "retract", "move")
        feed = self.thoonk.sorted_feed(name)
        await feed.publish("one")
        await feed.prepend("two")
        await feed.edit("1", "uno")
        await feed.move_last("2")
        await feed.retract("1")
        await self.settle()
        self.assertEqual(
            heard,
            [
                Published(name, "1", "one"),
                Moved(name, "1", ":end"),
                Published(name, "2", "two"),
                Moved(name, "2", "begin:"),
                Published(name, "1", "uno"),
                Moved(name, "2", ":end"),
                Retracted(name, "1"),
            ],
        )

    async def test_job(self) -> None:
        """
        A job is seen when it is put, claimed, and finished, with a result or without.
        """
        name = self.feed_name()
        heard = await self.heard(name, "put", "claim", "finish")
        job = self.thoonk.job(name)
        await job.put("work", id="1")
        await (await job.get()).finish("done")
        await job.put("more", id="2")
        await (await job.get()).finish()
        await self.settle()
        self.assertEqual(
            heard,
            [
                JobPublished(name, "1", "work"),
                JobClaimed(name, "1"),
                JobFinished(name, "1", "done"),
                JobPublished(name, "2", "more"),
                JobClaimed(name, "2"),
                JobFinished(name, "2"),
            ],
        )

    async def test_life(self) -> None:
        """
        The life of a feed is heard, with who did it; that of other feeds is not.
        """
        name, other = self.feed_name(), self.feed_name()
        heard = await self.heard(name, "create", "config", "delete")
        for each in (name, other):
            await self.thoonk.create_feed(each)
            await self.thoonk.delete_feed(each)
        await self.settle()
        who = self.thoonk.uuid
        self.assertEqual(
            heard, [FeedCreated(name, who), FeedConfigured(name, who), FeedDeleted(name, who)]
        )

    async def test_names(self) -> None:
        """
        A name is a name, whatever characters it has: nothing of another feed is heard.
        """
        prefix = self.feed_name()
        names = [f"{prefix}{name}" for name in NAMES]
        heard = {name: await self.heard(name, "publish", "create") for name in names}
        for name in (*names, f"{prefix}ab", f"{prefix}a", f"{prefix}x"):
            await self.thoonk.feed(name).publish(name, "1")
        await self.settle()
        for name in names:
            created = FeedCreated(name, self.thoonk.uuid)
            self.assertEqual(heard[name], [created, Published(name, "1", name)])

    async def test_own_keywords(self) -> None:
        """
        A handler for what there is not is refused at once, and so is one that cannot be called.
        """
        subscribe, pattern = self.thoonk.subscribe, self.thoonk.subscribe_pattern
        cases: list[tuple[type[Exception], Callable[[], object]]] = [
            (TypeError, lambda: subscribe("a")),
            (TypeError, lambda: subscribe("a", published=print)),
            (TypeError, lambda: subscribe("a", publish=1)),  # type: ignore[arg-type]  # wrong
            (TypeError, lambda: subscribe("a", move=print, position=print)),
            (TypeError, lambda: subscribe("a", publish=print, serializer=3)),  # type: ignore[arg-type]  # wrong
            (ValueError, lambda: subscribe("a", publish=print, serializer="pickle")),
            (ValueError, lambda: subscribe("", publish=print)),
            (ValueError, lambda: pattern("a\0", publish=print)),
            (ValueError, lambda: pattern([], publish=print)),
            (TypeError, lambda: pattern("*", published=print)),
            (ValueError, lambda: self.thoonk.register_handler("", print)),
            (ValueError, lambda: self.thoonk.register_handler(7, print)),  # type: ignore[arg-type]  # wrong
        ]
        for error, call in cases:
            self.assertRaises(error, call)

    async def test_unhashable_serializer(self) -> None:
        """
        A serializer that cannot be shared between channels is refused before it does harm.
        """

        class Unhashable:
            __hash__ = None  # type: ignore[assignment]  # that is the point

            def encode(self, item: Any) -> bytes:
                return b""

            def decode(self, data: bytes) -> Any:
                return data

        for subscribe in (self.thoonk.subscribe, self.thoonk.subscribe_pattern):
            self.assertRaises(
                TypeError,
                subscribe,
                "a",
                publish=print,
                serializer=Unhashable(),  # type: ignore[arg-type]  # that is the point
            )

    async def test_serializers(self) -> None:
        """
        Handlers of one channel may read its items differently.
        """
        name = self.feed_name()
        text, raw, json = [
            await self.heard(name, "publish", "finish", serializer=serializer)
            for serializer in ("text", "bytes", "json")
        ]
        feed = self.thoonk.feed(name, serializer="bytes")
        await feed.publish(b"[1]", "1")
        await feed.publish(b"\xff\x00", "2")
        await self.settle()
        self.assertEqual([event.item for event in text], ["[1]", "\udcff\x00"])
        self.assertEqual([event.item for event in raw], [b"[1]", b"\xff\x00"])
        self.assertEqual(json[0].item, [1])
        error = json[1].item
        self.assertIsInstance(error, ItemError)
        self.assertEqual((error.feed, error.id), (name, "2"))

    async def test_handle(self) -> None:
        """
        What a handle subscribes to is read in the serializer of that handle.
        """
        heard = Heard()
        feed = self.thoonk.feed(self.feed_name(), serializer="json")
        await feed.subscribe(publish=heard)
        await feed.publish({"a": [None]}, "1")
        await heard.when(1)
        self.assertEqual(heard, [Published(feed.name, "1", {"a": [None]})])


class MalformedTests(ThoonkTestCase):
    """Messages as no peer should send them."""

    async def test_malformed(self) -> None:
        """
        Whatever comes is an event, by name and by pattern; missing parts are None.
        """
        name = self.feed_name()
        sent: list[tuple[str, str, bytes, Event]] = [
            ("publish", "feed.publish:", b"1", Published(name, "1")),
            ("publish", "feed.publish:", b"", Published(name, "")),
            ("publish", "feed.publish:", b"\0", Published(name, "", "")),
            ("publish", "feed.publish:", b"1\0a\0b", Published(name, "1", "a\0b")),
            ("publish", "feed.publish:", b"\xff\0\xfe", Published(name, "\udcff", "\udcfe")),
            ("publish", "feed.publish:", b"\xc3\0\xa9", Published(name, "\udcc3", "\udca9")),
            ("edit", "feed.edit:", b"unknown", Edited(name, "unknown")),
            ("edit", "feed.edit:", b"unknown\0", Edited(name, "unknown", "")),
            ("retract", "feed.retract:", b"unknown", Retracted(name, "unknown")),
            ("retract", "feed.retract:", b"1\0x", Retracted(name, "1\0x")),
            ("position", "feed.position:", b"1", Moved(name, "1")),
            ("position", "feed.position:", b"1\0:begin", Moved(name, "1", ":begin")),
            ("position", "feed.position:", b"1\0\xff\0", Moved(name, "1", "\udcff\0")),
            ("put", "feed.publishes:", b"1", JobPublished(name, "1")),
            ("claim", "feed.claimed:", b"", JobClaimed(name, "")),
            ("finish", "job.finish:", b"1", JobFinished(name, "1")),
            ("finish", "job.finish:", b"1\0\0", JobFinished(name, "1", "\0")),
        ]
        handlers = {kind: Heard() for kind, _, _, _ in sent}
        by_pattern = {kind: Heard() for kind in handlers}
        await self.thoonk.subscribe(name, **handlers)
        await self.thoonk.subscribe_pattern(f"{name}*", **by_pattern)
        for _, channel, payload, _ in sent:
            await self.redis.execute("PUBLISH", channel + name, payload)
        await self.settle()
        for kind in handlers:
            expected = [event for each, _, _, event in sent if each == kind]
            self.assertEqual(handlers[kind], expected)
            self.assertEqual(by_pattern[kind], expected)

    async def test_malformed_names(self) -> None:
        """
        Notices of feeds have any number of NULs, and names that are no UTF-8.
        """
        name = self.feed_name()
        heard, glob = Heard(), Heard()
        await self.thoonk.subscribe(name, create=heard)
        await self.thoonk.subscribe_pattern(f"{name}*", create=glob)
        data = name.encode()
        for payload in (data, data + b"\0", data + b"\0me\0x", data + b"\xff\0", b"", b"\0"):
            await self.redis.execute("PUBLISH", "newfeed", payload)
        await self.settle()
        named = [FeedCreated(name), FeedCreated(name, ""), FeedCreated(name, "me\0x")]
        self.assertEqual(heard, named)
        self.assertEqual(glob, [*named, FeedCreated(f"{name}\udcff", "")])


class OlderFormTests(ThoonkTestCase):
    """Handlers by the names of thoonk.py and of 0.1."""

    async def register(self, *events: str) -> dict[str, Heard]:
        """A handler for each."""
        heard = {event: Heard() for event in events}
        ids = [await self.thoonk.register_handler(*pair) for pair in heard.items()]
        self.assertEqual(len(set(ids)), len(events))
        return heard

    async def test_of_every_feed(self) -> None:
        """
        The older names are about every feed, and have thoonk.py's arguments in its order.
        """
        heard = await self.register(
            *("create", "delete", "publish", "edit", "retract", "position", "finish"),
            *("create_notice", "delete_notice", "publish_notice", "retract_notice"),
        )
        name, deck, work = [self.feed_name() for _ in range(3)]
        feed, job = self.thoonk.feed(name), self.thoonk.job(work)
        await feed.publish("item", "1")
        await feed.publish("other", "1")
        await feed.retract("1")
        await feed.delete()
        await self.thoonk.sorted_feed(deck).append("card")
        await job.put("query", id="1")
        await (await job.get()).finish("result")
        await self.settle()
        # Other tests may publish at the same time, if they have the server too.
        ours = {
            event: [args for args in calls if {name, deck, work} & {*_tuple(args)}]
            for event, calls in heard.items()
        }
        published = [(name, "item", "1"), (deck, "card", "1"), (work, "query", "1")]
        self.assertEqual(
            ours,
            {
                "create": [name, deck, work],
                "create_notice": [name, deck, work],
                "delete": [name],
                "delete_notice": [name],
                "publish": published,
                "publish_notice": published,
                "edit": [(name, "other", "1")],
                "retract": [(name, "1")],
                "retract_notice": [(name, "1")],
                "position": [(deck, "1", ":end")],
                "finish": [(work, "1", "result")],
            },
        )

    async def test_channels(self) -> None:
        """
        A handler for a channel gets what 0.1's got: the parts of the message.
        """
        name = self.feed_name()
        sent = {
            "newfeed": [(b"a\0me", ("a", "me")), (b"a", ("a", None))],
            f"feed.publish:{name}": [(b"1\0a\0b", ("1", "a\0b")), (b"1", ("1", None))],
            f"feed.edit:{name}": [(b"\xff\0", ("\udcff", ""))],
            f"feed.retract:{name}": [(b"1", "1"), (b"1\0x", "1\0x")],
            f"feed.position:{name}": [(b"1\0:end", ("1", ":end")), (b"1", ("1", None))],
            f"job.finish:{name}": [(b"1", ("1", None))],
        }
        heard = await self.register(*sent)
        for channel, messages in sent.items():
            for payload, _ in messages:
                await self.redis.execute("PUBLISH", channel, payload)
        await self.settle()
        for channel, messages in sent.items():
            self.assertEqual(heard[channel], [arguments for _, arguments in messages])

    async def test_channel_of_ones_own(self) -> None:
        """
        On a channel that Thoonk does not know every NUL divides, as ``publish_channel`` joins.
        """
        channel = self.feed_name()
        heard = (await self.register(channel))[channel]
        await self.thoonk.publish_channel(channel, "a", "", "b c", "")
        await self.thoonk.publish_channel(channel, "alone")
        await heard.when(2)
        self.assertEqual(heard, [("a", "", "b c", ""), "alone"])

    async def test_channel_is_no_pattern(self) -> None:
        """
        A channel's name is never a pattern.
        """
        name = self.feed_name()
        heard = (await self.register(f"{name}*"))[f"{name}*"]
        await self.thoonk.publish_channel(f"{name}x", "no")
        await self.thoonk.publish_channel(f"{name}*", "yes")
        await self.settle()
        self.assertEqual(heard, ["yes"])

    async def test_removed(self) -> None:
        """
        A handler that was removed is called no more; removing it again says that it is gone.
        """
        channel, heard = self.feed_name(), Heard()
        id = await self.thoonk.register_handler(channel, heard)
        self.assertIs(await self.thoonk.remove_handler(id), True)
        await self.thoonk.publish_channel(channel, "a")
        await self.settle()
        self.assertEqual(heard, [])
        self.assertIs(await self.thoonk.remove_handler(id), False)


def _tuple(args: Any) -> tuple[Any, ...]:
    return args if isinstance(args, tuple) else (args,)
