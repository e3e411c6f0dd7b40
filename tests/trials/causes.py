"""What befalls those who follow: see :mod:`tests.trials.resync`."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet import reactor as global_reactor

from tests.helpers import until
from tests.trials.resync import Cause
from tests.trials.scene import AOF, Scene, Subject
from txthoonk.keys import FeedKeys, encode

__all__ = ["AOFS", "CUTS", "DELETES", "FLUSHES", "KEYS", "RDBS", "TOKENS"]

reactor: Any = global_reactor

#: Events that the histories of these feeds keep.
KEPT = 5


def wanted(subjects: list[Subject], *reasons: str) -> list[Subject]:
    """Say what has to be told of all of them: a ``Resync`` with one of the reasons."""
    for each in subjects:
        each.wants = set(reasons) or None
        each.began = reactor.seconds()
    return subjects


async def changed(subjects: list[Subject], count: int = 1) -> None:
    """So many changes in each."""
    for each in subjects:
        await each.change(count)


# -- the history is exceeded ------------------------------------------------------------------


def by_token(missed: int) -> Any:
    """Somebody goes on by a token, so many changes later."""

    async def make(scene: Scene, count: int) -> list[Subject]:
        found = await scene.subjects(count, history=KEPT)
        for n, each in enumerate(found):
            await each.change(n % 4)
            snapshot = await each.handle.snapshot()
            await each.change(missed)
            await each.follow(scene.far, token=snapshot.token)
            each.since = snapshot.revision
        return wanted(found, *(["trimmed"] if missed > KEPT else []))

    return make


def by_cut(missed: int) -> Any:
    """The same of a connection that was cut."""

    async def make(scene: Scene, count: int) -> list[Subject]:
        found = await scene.followed(count, history=KEPT)
        await scene.cut()
        await changed(found, missed)
        await scene.heal()
        return wanted(found, *(["trimmed"] if missed > KEPT else []))

    return make


CUTS = [
    Cause("history exceeded, cut", by_cut(KEPT + 1), ["trimmed"]),
    Cause("history exceeded by far, cut", by_cut(4 * KEPT), ["trimmed"]),
    Cause("cut at the trim point", by_cut(KEPT)),
    Cause("cut before the trim point", by_cut(KEPT - 1)),
    Cause("history exceeded, token", by_token(KEPT + 1), ["trimmed"]),
    Cause("token at the trim point", by_token(KEPT)),
    Cause("token before the trim point", by_token(KEPT - 1)),
]


# -- internal keys ----------------------------------------------------------------------------


def lost_key(key: str, before: int = 0, after: int = 0, cut: bool = False) -> Any:
    """A key of ours is deleted, *before* and *after* it are changes."""

    async def make(scene: Scene, count: int) -> list[Subject]:
        found = await scene.followed(count)
        if cut:
            await scene.cut()
        for each in found:
            await each.change(before)
            keys = FeedKeys(encode(each.name))
            await each.handle.pub.redis.execute("DEL", getattr(keys, key))
            await each.change(after)
        if cut:
            await scene.heal()
        return wanted(found, "trimmed" if key == "history" else "epoch")

    return make


KEYS = [
    Cause("DEL tx.feed.revision, idle", lost_key("revision"), ["epoch"], idle=True),
    Cause("DEL tx.feed.revision, changes after", lost_key("revision", 0, 2), ["epoch"]),
    Cause("DEL tx.feed.revision, cut", lost_key("revision", 1, 0, True), ["epoch"]),
    Cause("DEL tx.feed.revision, cut, changes", lost_key("revision", 1, 6, True), ["epoch"]),
    Cause("DEL tx.feed.history, cut", lost_key("history", 2, 0, True), ["trimmed"]),
    Cause("DEL tx.feed.history, cut, changes", lost_key("history", 2, 3, True), ["trimmed"]),
]


# -- everything is gone -----------------------------------------------------------------------


def flushed(again: bool = False, cut: bool = False) -> Any:
    """FLUSHALL; the feeds may be there *again*."""

    async def make(scene: Scene, count: int) -> list[Subject]:
        found = await scene.followed(count)
        if cut:
            await scene.cut()
        await scene.ours.redis.execute("FLUSHALL")
        reasons = {(True, True): ["epoch"], (True, False): ["deleted", "epoch"]}
        subjects = wanted(found, *reasons.get((again, cut), ["deleted"]))
        if again:
            for each in found:
                await scene.ours.create_feed(each.name, type=each.handle.TYPE)
            await changed(found, 3)  # as many as there were
        if cut:
            await scene.heal()
        return subjects

    return make


FLUSHES = [
    Cause("FLUSHALL, idle", flushed(), ["deleted"], idle=True),
    Cause("FLUSHALL, created again", flushed(again=True), ["deleted", "epoch"]),
    Cause("FLUSHALL, cut", flushed(cut=True), ["deleted"]),
    Cause("FLUSHALL, cut, created again", flushed(True, True), ["epoch"]),
]


# -- an older state ---------------------------------------------------------------------------


def older_rdb(past: int = 0, born: bool = False, **options: Any) -> Any:
    """The server comes back with an older RDB.

    :param past: how many changes there are before the follower is back; three were lost.
    :param born: whether the feeds were born after that RDB.
    """

    async def make(scene: Scene, count: int) -> list[Subject]:
        dump = Path(scene.server.directory, "dump.rdb")
        redis = scene.ours.redis
        if born:
            await redis.execute("SAVE")
            old = dump.read_bytes()
        found = await scene.followed(count, **options)
        if not born:
            await redis.execute("SAVE")
            old = dump.read_bytes()
        await changed(found, 3)
        for each in found:
            await each.live.when_synced()
        await redis.execute("SAVE")
        await scene.cut()
        await scene.server.kill()
        dump.write_bytes(old)
        await scene.server.start()
        if past:
            if born:
                for each in found:
                    await scene.ours.create_feed(each.name, type=each.handle.TYPE)
            await changed(found, past)
        await scene.heal()
        reasons = ["epoch" if past else "deleted"] if born else ["digest" if past > 2 else "future"]
        return wanted(found, *reasons)

    return make


def restarted(missed: int) -> Any:
    """The server comes back with everything: who missed so much is told it, or cannot be sure."""

    async def make(scene: Scene, count: int) -> list[Subject]:
        found = await scene.followed(count, history=KEPT)
        await scene.cut()
        await changed(found, missed)
        await scene.server.kill()
        await scene.server.start()
        await scene.ours.redis.execute("PING")
        await scene.heal()
        return wanted(found, *(["unproved"] if missed == KEPT else []))

    return make


def truncated(past: bool = False) -> Any:
    """The server comes back with an AOF that ends too early, at any byte.

    :param past: whether there are changes up to where the follower is before it is back.
    """

    async def make(scene: Scene, count: int) -> list[Subject]:
        found = await scene.followed(count)
        file = aof(scene)
        begin = file.stat().st_size
        for _ in range(3):
            await changed(random.sample(found, len(found)))
        for each in found:
            await until(lambda each=each: each.live.revision == 6)
        await scene.cut()
        await scene.server.kill()
        data = file.read_bytes()
        cut = random.randrange(begin, len(data))
        file.write_bytes(data[:cut])
        await scene.server.start()
        lost = [each for each in found if await each.revision() < 6]
        if past:
            for each in lost:
                await each.change(6 - await each.revision() + random.randrange(3))
        await scene.heal()
        wanted(found)
        wanted(lost, "digest" if past else "future")
        return found

    return make


def aof(scene: Scene) -> Path:
    """Where the commands go that the server is given."""
    files = [*Path(scene.server.directory).glob("**/*.aof")]
    return next((each for each in files if ".incr." in each.name), files[0])


RDBS = [
    Cause("older RDB", older_rdb(), ["future"], at_once=8),
    Cause("older RDB, written as far", older_rdb(3), ["digest"], at_once=8),
    Cause("older RDB, written past", older_rdb(5), ["digest"], at_once=8),
    Cause("older RDB, written nearly as far", older_rdb(2), ["future"], at_once=8),
    Cause("RDB from before the feed", older_rdb(born=True), ["deleted"], at_once=8),
    Cause("RDB from before the feed, created", older_rdb(8, True), ["epoch"], at_once=8),
]

AOFS = [
    Cause("truncated AOF", truncated(), ["future"], AOF, at_once=8),
    Cause("truncated AOF, written past", truncated(True), ["digest"], AOF, at_once=8),
    Cause("restart, at the trim point", restarted(KEPT), ["unproved"], AOF, at_once=8),
    Cause("restart, before the trim point", restarted(KEPT - 1), [], AOF, at_once=8),
]


# -- another feed of the same name --------------------------------------------------------------


def created_again(peer: bool, pause: bool = False, cut: bool = False, items: int = 2) -> Any:
    """A feed is deleted and created, by a *peer* or by us, with other items in it."""

    async def make(scene: Scene, count: int) -> list[Subject]:
        found = await scene.followed(count)
        if cut:
            await scene.cut()
        for each in found:
            foreign = scene.foreign(each.name)
            await (foreign.delete() if peer else scene.ours.delete_feed(each.name))
        if pause:
            for each in found:
                await until(lambda each=each: each.heard)
        for each in found:
            if peer:
                await scene.foreign(each.name).create(each.handle.TYPE)
                await filled(scene, each, items)
            else:
                await scene.ours.create_feed(each.name, type=each.handle.TYPE)
                await each.change(items)
        if cut:
            await scene.heal()
        reasons = ["deleted"] if pause else ["epoch"] if cut else ["deleted", "epoch"]
        return wanted(found, *reasons)

    return make


async def filled(scene: Scene, subject: Subject, count: int) -> None:
    """A peer publishes."""
    foreign = scene.foreign(subject.name)
    for n in range(count):
        if subject.handle.TYPE == "feed":
            await foreign.publish(f"other {n}", "theirs")
        else:
            await foreign.append("theirs")


DELETES = [
    Cause("peer's delete, then create", created_again(True, True), ["deleted"]),
    Cause("peer's delete and create at once", created_again(True), ["deleted", "epoch"]),
    Cause("peer's delete and create, cut", created_again(True, cut=True), ["epoch"]),
    Cause("our delete, then create", created_again(False, True), ["deleted"]),
    Cause("our delete and create at once", created_again(False), ["deleted", "epoch"]),
    Cause("our delete and create, cut", created_again(False, cut=True), ["epoch"]),
    Cause("peer's the same, published as often", created_again(True, cut=True, items=3), ["epoch"]),
]


# -- tokens -------------------------------------------------------------------------------------


async def other_epoch(scene: Scene, count: int) -> list[Subject]:
    """A token of what had this name before."""
    found = await scene.subjects(count)
    for n, each in enumerate(found):
        snapshot = await each.handle.snapshot()
        await scene.ours.delete_feed(each.name)
        await scene.ours.create_feed(each.name, type=each.handle.TYPE)
        await each.change(n % 6)  # as many as there were, fewer and more
        await each.follow(scene.far, token=snapshot.token)
    return wanted(found, "epoch")


def restored(past: int) -> Any:
    """A token of what has not happened yet, or of what has happened otherwise since."""

    async def make(scene: Scene, count: int) -> list[Subject]:
        found = await scene.subjects(count)
        redis = scene.ours.redis
        for each in found:
            keys = await redis.execute("KEYS", f"*:{each.name}")
            dumps = {key: await redis.execute("DUMP", key) for key in keys}
            await each.change(3)
            snapshot = await each.handle.snapshot()
            for key, dump in dumps.items():
                await redis.execute("RESTORE", key, 0, dump, "REPLACE")
            await each.change(past)
            await each.follow(scene.far, token=snapshot.token)
        return wanted(found, "digest" if past > 2 else "future")

    return make


TOKENS: Sequence[Cause] = [
    Cause("token of another epoch", other_epoch, ["epoch"]),
    Cause("token from the future", restored(0), ["future"]),
    Cause("token from the near future", restored(2), ["future"]),
    Cause("token of another past, as far", restored(3), ["digest"]),
    Cause("token of another past", restored(6), ["digest"]),
]
