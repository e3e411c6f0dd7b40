"""Whatever items and ids are made of comes out as it went in, of every type of feed."""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Iterator
from typing import Any, Final

from tests.helpers import ThoonkTestCase, until
from txthoonk.events import Published

#: All that Unicode has but lone surrogates, which are no characters.
EVERY_CODE_POINT: Final = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))

TEXTS: Final = {
    "empty": "",
    "NUL": "a\0b\0",
    "nothing but NUL": "\0",
    "line ends": "\r\n$5\r\n*1\r\n",
    "every code point": EVERY_CODE_POINT,
    "bytes that are no UTF-8": b"\xff\xfe\x80 \xc3".decode("utf-8", "surrogateescape"),
    "10 MB": "0123456789" * 1_000_000,
}
BYTES: Final = {
    "empty": b"",
    "every byte": bytes(range(256)),
    "10 MB": bytes(range(250)) * 40_000,
}
JSON: Final = {
    "null": None,
    "nested": {"a": [1, -2.5, True, None, "ö\0"], "": {}},
    "every code point": EVERY_CODE_POINT,
}
SERIALIZERS: Final[dict[str, dict[str, Any]]] = {"text": TEXTS, "bytes": BYTES, "json": JSON}

#: Ids and names that other programs might take for something else.
STRANGE: Final = (
    "a:b",
    "*",
    "{tag}",
    "with blanks ",
    "[ab]?\\",
    "\r\n",
    "-1",
    "é\u2603\U0001f600",
    "\udcff",  # a byte that is no UTF-8
    "begin",
    "x" * 10_000,
)


class Literals:
    """A serializer of one's own."""

    def encode(self, item: Any) -> bytes:
        return repr(item).encode()

    def decode(self, data: bytes) -> Any:
        return literal_eval(data.decode())


class PayloadTests(ThoonkTestCase):
    """One test for each type."""

    def handles(self, kind: str) -> Iterator[tuple[Any, dict[str, Any]]]:
        """A handle for each serializer, and the items that it is tried with."""
        for serializer, items in SERIALIZERS.items():
            yield getattr(self.thoonk, kind)(self.feed_name(), serializer=serializer), items
        own = getattr(self.thoonk, kind)(self.feed_name(), serializer=Literals())
        yield own, {"tuple": (1, b"\0", {2})}

    def same(self, found: Any, item: Any, what: str) -> None:
        """Compare without showing 10 MB of difference."""
        self.assertTrue(found == item and type(found) is type(item), what)

    async def items_of(self, kind: str, publish: str) -> None:
        for feed, items in self.handles(kind):
            heard: list[Published] = []
            await feed.subscribe(publish=heard.append)
            ids = [await getattr(feed, publish)(item) for item in items.values()]
            everything = await feed.get_all()
            await until(lambda feed=feed, heard=heard, items=items: len(heard) == len(items))
            for (what, item), id, event in zip(items.items(), ids, heard, strict=True):
                self.same(await feed.get_item(id), item, what)
                self.same(everything[id], item, what)
                self.same(event.item, item, what)
                self.assertEqual(event.id, id)

    async def test_feed(self) -> None:
        """
        Items of a feed are read, and heard of, as they were published.
        """
        await self.items_of("feed", "publish")

    async def test_sorted_feed(self) -> None:
        """
        Items of a sorted feed are read, and heard of, as they were published.
        """
        await self.items_of("sorted_feed", "append")

    async def test_queue(self) -> None:
        """
        Items are taken out of a queue as they were put.
        """
        for queue, items in self.handles("queue"):
            for item in items.values():
                await queue.put(item)
            for what, item in items.items():
                self.same(await queue.get(), item, what)

    async def test_job(self) -> None:
        """
        Items of jobs are claimed, and results heard of, as they were put.
        """
        for job, items in self.handles("job"):
            results: list[Any] = []
            await job.subscribe(finish=lambda event, results=results: results.append(event.result))
            await job.put_many(items.values())
            for what, item in items.items():
                claim = await job.get()
                self.same(claim.item, item, what)
                await claim.finish(item)
            await until(lambda results=results, items=items: len(results) == len(items))
            for what, item in items.items():
                self.same(results.pop(0), item, what)


class IdTests(ThoonkTestCase):
    """Ids and names of whatever characters."""

    async def test_ids(self) -> None:
        """
        An id may be any text but the empty one and such with NUL.
        """
        feed = self.thoonk.feed(self.feed_name())
        heard: list[str] = []

        def hear(event: Any) -> None:
            heard.append(event.id)

        await feed.subscribe(publish=hear, retract=hear)
        for id in STRANGE:
            self.assertEqual(await feed.publish("x", id=id), id)
            self.assertEqual(await feed.get_item(id), "x")
        self.assertEqual(await feed.get_ids(), list(STRANGE))
        self.assertEqual(list(await feed.get_all()), list(STRANGE))
        for id in STRANGE:
            self.assertIs(await feed.retract(id), True)
        await until(lambda: len(heard) == 2 * len(STRANGE))
        self.assertEqual(heard, [*STRANGE, *STRANGE])

    async def test_ids_of_jobs(self) -> None:
        """
        The same holds for the ids of jobs, in whatever state.
        """
        job = self.thoonk.job(self.feed_name())
        for id in STRANGE:
            await job.put("x", id=id)
            claim = await job.get()
            self.assertEqual(claim.id, id)
            await claim.cancel()
            await (await job.get()).stall()
            self.assertEqual(await job.get_stalled(), {id})
            await job.retry(id)
            await (await job.get()).finish()
        self.assertEqual(await job.get_ids(), [])

    async def test_names(self) -> None:
        """
        A name may be any text but the empty one and such with NUL, and is never a pattern.
        """
        heard: list[str] = []
        for name in STRANGE:
            name += self.feed_name()
            feed = self.thoonk.feed(name)
            await feed.subscribe(publish=lambda event: heard.append(event.feed))
            await feed.publish("x")
            await self.thoonk.feed("a" + name).publish("not for us")
            queue = self.thoonk.queue(name + "q")
            get = queue.get()
            await queue.put("y")
            self.assertEqual(await get, "y")
            await until(lambda: heard)
            self.assertEqual(heard, [name])
            heard.clear()
            await feed.delete()
            await queue.delete()
