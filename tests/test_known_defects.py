"""Defects of earlier Thoonks, none of which is ours: each has a test, here or elsewhere.

Of txThoonk 0.1:

* an edit of a sorted feed that meets another change becomes an item:
  ``SortedFeedTests.test_edits_meet``
* WATCH, MULTI and EXEC by hand for each verb, with asserts for control flow:
  ``test_script_rules.FailureTests.test_refused``
* options by default are one dict, into which each feed writes: ``OptionTests.test_not_shared``
* the caller's options are changed: ``OptionTests.test_not_changed``
* nothing is subscribed again on a new connection:
  ``test_client.SubscriberTests.test_client_service``
* one caller's EXEC ends what another one watches: ``ConnectionTests.test_watch``
* tests are skipped whatever goes wrong: ``SuiteTests.test_no_server``
* a tearDown that trial does not wait for: ``test_from_0_1.OlderProgramTests.test_suite``
* handlers get more arguments if an item has a NUL: ``test_from_0_1.HandlerTests.test_nul``
* a delete is told of a feed that is not there:
  ``test_instance.DeleteTests.test_nothing_to_delete``
* a feed is told to be new before it has its type: ``test_instance.CreateTests.test_create``
* items get the time of the caller's clock, in steps of 10 ms:
  ``test_feed.ClockTests.test_milliseconds``

Of the others, by the numbers of a survey of their sources:

* F1 jobs of one dialect are taken for those of the other: ``DialectTests.test_apart``
* F2 types that are documented are not there: ``test_client.OlderTests.test_types``
* F3 a job is lost between its pop and its claim: ``test_torture.KillTests.test_matrix``
* F3 maintenance queues a job that is between the two:
  ``test_job_states.MaintenanceTests.test_peer_at_work``
* F3 maintenance is nobody's: ``test_maintainer.MaintainerTests.*``
* F4 an item ends at its second NUL: ``test_payloads.PayloadTests.test_feed``
* F4 a name ends at its first colon: ``test_payloads.IdTests.test_names``
* F5 events come in another order than their changes: ``OrderTests.test_events``
* F5 a change without its event: ``test_script_rules.AccessTests.test_samples``
* F6 an edit in a full feed evicts an item: ``test_feed.BoundedTests.test_edit_of_full_feed``
* F6 a retry of an unknown id queues it: ``test_job_states.StateTests.test_retry``
* F6 a retried job has seconds where others have milliseconds:
  ``JobTests.test_retry_in_milliseconds``
* F6 feeds have seconds where the contract has milliseconds:
  ``test_feed.ClockTests.test_milliseconds``
* F7 a stalled job stays among the published ones: ``JobTests.test_stalled_is_not_published``
* F7 there are channels on which nothing is told: ``test_transitions.EventTests.test_life``
* F7 scripts use keys that they do not declare: ``test_script_rules.AccessTests.test_declared``
* F7 no call works any more when Redis has lost the scripts:
  ``test_script_flush.ScriptFlushTests.test_flush``
* F8 get_result is documented, and not there: ``test_results.WaitTests.test_after``
* F8 a delete leaves keys: ``test_instance.DeleteTests.test_used_jobs``
* F9 the listener does not log in: ``test_client.SubscriberTests.test_password``
* F9 what is told while a listener is away is lost: ``test_follow_cuts.*``
* F9 patterns are not subscribed again, that of moves never: ``PatternTests.test_again``
* F10 an edit in a sorted feed is told as something else:
  ``test_sorted_feed.ChangeTests.test_edit``
* F10 wildcards are documented, and not there: ``test_pubsub.PatternTests.test_wildcards``
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import Heard, ThoonkTestCase, until
from txthoonk.client import ThoonkPubFactory
from txthoonk.events import Edited, Published
from txthoonk.types import SortedFeed

_TEST = re.compile(r"``([\w.*]+)``")


class TableTests(SynchronousTestCase):
    """The table above."""

    def test_rows(self) -> None:
        """
        Each test that it names is there, and those of this module are in it.
        """
        named = _TEST.findall(__doc__ or "")
        self.assertEqual(len(named), (__doc__ or "").count("\n* "))
        for name in named:
            parts = name.split(".")
            if not parts[0].startswith("test_"):
                parts.insert(0, "test_known_defects")
            found: Any = importlib.import_module(f"tests.{parts[0]}")
            for part in parts[1:]:
                if part != "*":
                    found = getattr(found, part)
            self.assertTrue(found)
        here = {
            f"{case.__name__}.{test}"
            for case in globals().values()
            if isinstance(case, type) and case.__module__ == __name__ and case is not type(self)
            for test in vars(case)
            if test.startswith("test_")
        }
        self.assertEqual(here, {name for name in named if not name.startswith("test_")})


class SortedFeedTests(ThoonkTestCase):
    """Changes of a sorted feed that meet."""

    async def test_edits_meet(self) -> None:
        """
        Edits by three programs that meet each other, moves and retracts all end as edits, or are
        refused: nothing becomes an item.
        """
        name = self.feed_name()
        feeds: list[SortedFeed] = [await self.thoonk.sorted_feed(name)]
        feeds += [await (await self.start_thoonk()).sorted_feed(name) for _ in range(2)]
        ids = [await feeds[0].append("new") for _ in range(5)]
        calls: list[Deferred[Any]] = []
        for number in range(100):
            for who, feed in enumerate(feeds):
                calls.append(feed.edit(ids[number % 4], f"{who} {number}"))
                calls.append(feed.move_last(ids[(number + who) % 4]))
            calls.append(feeds[0].retract(ids[4]))
        await gatherResults(calls)
        everything = await feeds[0].get_all()
        self.assertEqual(sorted(everything), ids[:4])
        self.assertEqual(
            {item.split()[1] for item in everything.values()}, {"96", "97", "98", "99"}
        )
        self.assertEqual(await self.redis.execute("GET", feeds[0].keys.idincr), b"5")
        publishes = await self.redis.execute("GET", feeds[0].keys.publishes)
        self.assertEqual(int(publishes), 5 + 300)


class PublisherCase(ThoonkTestCase):
    """A ThoonkPub, ``self.pub``."""

    async def setUp(self) -> None:
        await super().setUp()
        self.pub: Any = await self.endpoint().connect(ThoonkPubFactory())
        self.addCleanup(self.pub.close)


class OptionTests(PublisherCase):
    """Options, given as a dict."""

    async def test_not_shared(self) -> None:
        """
        A feed that is made without options has none of those that another one was made with.
        """
        names = [self.feed_name() for _ in range(3)]
        await self.pub.feed(names[0], {"max_length": 3, "colour": "blue"})
        await self.pub.sorted_feed(names[1])
        await self.pub.create_feed(names[2])
        self.assertEqual(await self.pub.get_config(names[1]), {"type": "sorted_feed"})
        self.assertEqual(await self.pub.get_config(names[2]), {"type": "feed"})

    async def test_not_changed(self) -> None:
        """
        The dict that is given stays as it is, so that it may be given again, to another type.
        """
        options = {"title": "T"}
        for kind in ("feed", "sorted_feed", "queue", "job"):
            name = self.feed_name()
            await getattr(self.pub, kind)(name, options)
            await self.pub.set_config(name, options)
            self.assertEqual(options, {"title": "T"})
            self.assertEqual(await self.pub.get_config(name), {"type": kind, "title": "T"})


class ConnectionTests(PublisherCase):
    """A connection that is used for more than Thoonk."""

    async def test_watch(self) -> None:
        """
        What a program watches stays watched, however many verbs run on the same connection
        meanwhile.
        """
        redis = self.pub.redis
        feed = await self.pub.feed(self.feed_name(), {"max_length": 3})
        key = self.feed_name("key")
        for touched in (True, False):
            await redis.watch(key)
            await gatherResults([feed.publish("x", id=f"{number % 7}") for number in range(50)])
            await gatherResults([feed.retract(id) for id in await feed.get_ids()])
            if touched:
                await self.redis.execute("SET", key, "somebody else")
            redis.multi()
            redis.set(key, "mine")
            self.assertEqual(await redis.execute(), None if touched else [b"OK"])
        self.assertEqual(await redis.get(key), "mine")


class SuiteTests(ThoonkTestCase):
    """This very suite."""

    async def test_no_server(self) -> None:
        """
        Without a Redis tests fail, with the reason; they are not skipped.
        """
        environment = {
            **{name: value for name, value in os.environ.items() if "TXTHOONK" not in name},
            "TXTHOONK_REDIS_SERVER": "/no/redis-server",
            "PYTHONPATH": str(Path(__file__).parent.parent),
        }
        test = "tests.test_known_defects.OptionTests.test_not_changed"
        output, _, status = await getProcessOutputAndValue(
            sys.executable,
            ["-m", "twisted.trial", "--temp-directory", self.mktemp(), test],
            env=environment,
        )
        self.assertIn(b"TXTHOONK_REDIS_SERVER names '/no/redis-server'", output)
        self.assertIn(b"FAILED (errors=1)", output)
        self.assertEqual(status, 1)


class DialectTests(ThoonkTestCase):
    """Jobs of thoonk-jobs, whose keys have other names."""

    async def test_apart(self) -> None:
        """
        A feed of jobs and one of the same name in the other dialect are two: neither has anything
        of the other, nor is it changed.
        """
        name = self.feed_name()
        theirs = {f"job.ids:{name}": "a", f"event.job.finish:{name}": "b"}
        for key, id in theirs.items():
            await self.redis.execute("LPUSH", key, id)
        job = await self.thoonk.job(name)
        id = await job.put("work")
        self.assertEqual(await job.get_ids(), [id])
        claim = await job.get(timeout=5)
        await claim.finish("done")
        self.assertEqual((await job.stats()).available, 0)
        await job.delete()
        self.assertEqual(await self.keys_of(name), dict.fromkeys(theirs, "list"))
        await self.redis.execute("DEL", *theirs)


class OrderTests(ThoonkTestCase):
    """Several programs that change one feed."""

    async def test_events(self) -> None:
        """
        Whoever applies the events as they come has, in the end, what Redis has.
        """
        name = self.feed_name()
        writers = [await self.start_thoonk() for _ in range(3)]
        feeds = [await writer.feed(name, max_length=5) for writer in writers]
        copy: dict[str, str] = {}

        def changed(event: Any) -> None:
            copy.pop(event.id, None)
            if isinstance(event, (Published, Edited)):
                copy[event.id] = event.item

        await self.thoonk.subscribe(name, publish=changed, edit=changed, retract=changed)
        await gatherResults(
            [
                feed.retract(f"{number % 8}")
                if number % 10 == 0
                else feed.publish(f"{who} {number}", id=f"{number % 8}")
                for number in range(300)
                for who, feed in enumerate(feeds)
            ]
        )
        await self.settle()
        self.assertEqual(list(copy.items()), list((await feeds[0].get_all()).items()))


class JobTests(ThoonkTestCase):
    """Jobs that are stalled and retried."""

    async def setUp(self) -> None:
        await super().setUp()
        self.job = await self.thoonk.job(self.feed_name())
        self.stalled = await self.job.put("work")
        await (await self.job.get(timeout=5)).stall("why")

    async def published(self) -> float | None:
        """When the job was put, by what Redis has."""
        score = await self.redis.execute("ZSCORE", self.job.keys.published, self.stalled)
        return None if score is None else float(score)

    async def test_stalled_is_not_published(self) -> None:
        """
        A stalled job is not among those that are to be done.
        """
        self.assertIsNone(await self.published())
        self.assertEqual(await self.job.get_stalled(), {self.stalled})

    async def test_retry_in_milliseconds(self) -> None:
        """
        A job that is retried has the time of that, in milliseconds.
        """
        await self.job.retry(self.stalled)
        seconds, _ = await self.redis.execute("TIME")
        score = await self.published()
        self.assertLess(abs((score or 0) / 1000 - int(seconds)), 10)


class PatternTests(ThoonkTestCase):
    """Subscriptions to all feeds whose names match."""

    async def test_again(self) -> None:
        """
        When a connection was lost all patterns are subscribed again, at once: moves too.
        """
        prefix = self.feed_name()
        heard = Heard()
        kinds = ("publish", "retract", "position", "create", "delete")
        await self.thoonk.subscribe_pattern(
            f"{prefix}:*", **{kind: lambda event, kind=kind: heard(kind) for kind in kinds}
        )
        writer = await self.start_thoonk()
        attached = Heard()
        self.thoonk.call_when_heard_again(lambda: attached("again"))
        for number in range(2):
            await self.redis.execute("CLIENT", "KILL", "TYPE", "pubsub")
            await attached.when(number + 1)
            feed = await writer.sorted_feed(f"{prefix}:{number}:a:b")
            await feed.append("x")
            await feed.retract("1")
            await feed.delete()
            await until(lambda: "delete" in heard)
            self.assertEqual(heard, ["create", "publish", "position", "retract", "delete"])
            heard.clear()
