"""What holds for every Lua script, on a server of our own.

Each stays within the keys and channels that it declares, changes nothing when it fails, and what
makes room works on a server that has none left.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tests.helpers import ThoonkTestCase, until
from tests.samples import KEYS, NAME, SAMPLES, Sample
from txthoonk.errors import OutOfMemory, PermissionDenied, ThoonkError, WrongKeyType
from txthoonk.globs import escape_glob
from txthoonk.redis import Redis
from txthoonk.scripts import Script, script
from txthoonk.verdicts import SCRIPT_ERRORS

#: What Redis cannot count with, or no further.
NO_COUNTERS: Final = ("", "many", "1.5", "007", "9" * 30, str(2**63 - 1))

#: Ends what a test listened for.
END: Final = ("end", b"")


def samples(*, refused: bool = False) -> Iterator[tuple[Script, Sample]]:
    """Each script with each of its samples, those that it refuses or the others."""
    for name, several in SAMPLES.items():
        for sample in several:
            if (sample.error is not None) == refused:
                yield script(name), sample


class ScriptCase(ThoonkTestCase):
    """Scripts that are called by hand, on a server of this test's own."""

    async def setUp(self) -> None:
        await super().setUp()
        self.server = await self.own_server()
        self.raw = await self.connect(self.server.url)
        self.heard = await self.listen("*", url=self.server.url)
        #: What went wrong, of all scripts: one failure does not hide another.
        self.problems: list[str] = []

    def blame(self, called: Script, sample: Sample, *why: object) -> None:
        """Note that something is wrong with a script."""
        self.problems.append(": ".join(map(str, (called.name, sample.args, *why))))

    async def prepare(self, sample: Sample) -> None:
        """Make the server as a sample wants it."""
        others = (KEYS.scheduled, KEYS.expiring, KEYS.recurrings)
        others += (KEYS.recurring_config, KEYS.recurring)
        for keys in KEYS.others.values():
            others += keys.every_key()
        await self.raw.execute("DEL", KEYS.feeds, *KEYS.every_key(), *others)
        for verb, key, *rest in sample.before:
            await self.raw.execute(verb, getattr(KEYS, str(key)), *rest)

    async def call(self, called: Script, sample: Sample, redis: Redis | None = None) -> Any:
        """What a script answers, or the error that it fails with."""
        try:
            return await called.bind(KEYS, NAME)(redis or self.raw, sample.args)
        except ThoonkError as error:
            return error

    async def dump(self) -> dict[bytes, bytes]:
        """All that the server holds."""
        keys = await self.raw.execute("KEYS", "*")
        return {key: await self.raw.execute("DUMP", key) for key in keys}

    async def channels(self) -> set[str]:
        """Where something was published since the last time this was asked."""
        await self.raw.execute("PUBLISH", *END)
        await until(lambda: END in self.heard)
        channels = {channel for channel, _ in self.heard} - {END[0]}
        self.heard.clear()
        return channels

    async def check_failure(self, called: Script, sample: Sample, kind: Any, *when: object) -> None:
        """A call must fail with an error that names the feed, and change nothing."""
        before = await self.dump()
        error = await self.call(called, sample)
        if not isinstance(error, kind) or error.feed != NAME or repr(NAME) not in str(error):
            self.blame(called, sample, *when, repr(error))
        if await self.dump() != before:
            self.blame(called, sample, *when, "something was written")
        if channels := await self.channels():
            self.blame(called, sample, *when, "published on", channels)


class AccessTests(ScriptCase):
    """Scripts called by a user who may touch only the keys and channels that they declare."""

    async def setUp(self) -> None:
        await super().setUp()
        self.limited = await self.connect(self.server.url)
        await self.allow((), ())
        await self.limited.execute("AUTH", "limited", "any")

    async def allow(self, keys: tuple[bytes, ...], channels: tuple[bytes, ...]) -> None:
        """Let the limited user touch these alone."""
        rules = [b"~" + escape_glob(key) for key in keys]
        rules += [b"&" + escape_glob(channel) for channel in channels]
        reset = ("reset", "on", "nopass", "+@all", "resetchannels")
        await self.raw.execute("ACL", "SETUSER", "limited", *reset, *rules)

    async def call_limited(self, called: Script, sample: Sample) -> Any:
        """What a script answers when nothing is allowed but what it declares."""
        bound = called.bind(KEYS, NAME)
        await self.allow(bound.keys, bound.channels)
        await self.prepare(sample)
        return await self.call(called, sample, self.limited)

    async def test_declared(self) -> None:
        """
        An ACL that names a script's keys and channels is all that its verb needs.
        """
        for called, sample in samples():
            reply = await self.call_limited(called, sample)
            if reply != sample.reply:
                self.blame(called, sample, repr(reply), "instead of", sample.reply)
        self.assertEqual(self.problems, [])

    async def test_undeclared(self) -> None:
        """
        The same check finds a script that makes up the name of a key or of a channel.
        """
        header = b"-- KEYS[1] ids zset\n-- Returns: 1\n-- Errors: none\n-- Publishes: nothing\n"
        for body in (
            b"redis.call('HLEN', 'feed.items:' .. string.sub(KEYS[1], 10))",
            b"redis.call('PUBLISH', 'feed.publish:' .. string.sub(KEYS[1], 10), 'a')",
        ):
            wrong = Script("wrong/verb", header + body + b"\nreturn 1")
            self.assertIsInstance(await self.call_limited(wrong, Sample()), PermissionDenied)
            self.assertEqual(await self.call(wrong, Sample()), 1)

    async def test_samples(self) -> None:
        """
        The samples of a script publish on every channel that it declares.
        """
        heard: dict[str, set[str]] = {name: set() for name in SAMPLES}
        for called, sample in samples():
            await self.prepare(sample)
            await self.call(called, sample)
            heard[called.name] |= await self.channels()
        declared = {
            name: {channel.decode() for channel in script(name).bind(KEYS, NAME).channels}
            for name in SAMPLES
        }
        self.assertEqual(heard, declared)


class FailureTests(ScriptCase):
    """A call that fails names the feed, and changes nothing."""

    async def test_refused(self) -> None:
        """
        What cannot be done is an error of its own class, and leaves everything as it was.
        """
        for called, sample in samples(refused=True):
            await self.prepare(sample)
            await self.check_failure(called, sample, SCRIPT_ERRORS[str(sample.error)])
        self.assertEqual(self.problems, [])

    async def test_wrong_type(self) -> None:
        """
        A key that somebody uses for something else is reported, and nothing is half done.
        """
        for called, sample in samples():
            for key in called.keys if sample.whole else ():
                if key.kind in ("any", "keys"):
                    continue
                await self.prepare(sample)
                bound = getattr(KEYS, key.name)
                await self.raw.execute("DEL", bound)
                if key.kind == "string":
                    await self.raw.execute("RPUSH", bound, "foreign")
                else:
                    await self.raw.execute("SET", bound, "foreign")
                await self.check_failure(called, sample, WrongKeyType, key.name)
        self.assertEqual(self.problems, [])

    async def test_no_counter(self) -> None:
        """
        A counter that somebody has written nonsense into is reported, and nothing is half done.
        """
        for called, sample in samples():
            for key in called.keys:
                if key.kind != "string" or sample.effect == "reads":
                    continue
                for nonsense in NO_COUNTERS:
                    await self.prepare(sample)
                    await self.raw.execute("SET", getattr(KEYS, key.name), nonsense)
                    await self.check_failure(called, sample, WrongKeyType, key.name, nonsense)
        self.assertEqual(self.problems, [])

    async def test_no_count(self) -> None:
        """
        A job whose count of cancels is nonsense stays claimed when it is cancelled.
        """
        sample = SAMPLES["job/cancel"][0]
        for nonsense in NO_COUNTERS:
            await self.prepare(sample)
            await self.raw.execute("HSET", KEYS.cancelled, sample.args[1], nonsense)
            await self.check_failure(script("job/cancel"), sample, WrongKeyType, nonsense)
        self.assertEqual(self.problems, [])


class MemoryTests(ScriptCase):
    """On a server that has no memory left: it holds more than its ``maxmemory``."""

    async def prepare(self, sample: Sample) -> None:
        await self.raw.execute("CONFIG", "SET", "maxmemory", "0")
        await super().prepare(sample)
        await self.raw.execute("CONFIG", "SET", "maxmemory", "1")
        with self.assertRaises(OutOfMemory):
            await self.raw.execute("SET", "any", "thing")

    async def test_growing(self) -> None:
        """
        What needs memory fails with OutOfMemory, and nothing is half done.
        """
        for called, sample in samples():
            if sample.effect == "grows":
                await self.prepare(sample)
                await self.check_failure(called, sample, OutOfMemory)
        self.assertEqual(self.problems, [])

    async def test_shrinking(self) -> None:
        """
        What makes room works: claim, finish, cancel, release, retract, stall, retry, take, delete.
        """
        for called, sample in samples():
            if sample.effect != "grows":
                await self.prepare(sample)
                reply = await self.call(called, sample)
                if reply != sample.reply:
                    self.blame(called, sample, repr(reply), "instead of", sample.reply)
        self.assertEqual(self.problems, [])
