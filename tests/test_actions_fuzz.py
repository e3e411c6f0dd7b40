"""Actions under fuzz, for a short while; ``python -m tests.fuzz_actions`` goes on for longer."""

from __future__ import annotations

from tests.fuzz_actions import run
from tests.fuzz_actions.items import Items, found
from tests.fuzz_actions.oracle import expected
from tests.fuzz_actions.run import Fuzz
from tests.fuzz_actions.worker import make_actions
from tests.helpers import ThoonkTestCase
from txthoonk.actions import ActionWorker

PAYLOADS = 4000


class FuzzTests(ThoonkTestCase):
    """Items of every kind, through a worker."""

    async def test_fuzz(self) -> None:
        """
        Whatever is put, each function sees what is right and of somebody who may, and all else is
        answered as refused: nothing is tried twice, nothing is left, and nobody's word of who they
        are is taken.
        """
        group = self.feed_name("fuzzed")
        worker = ActionWorker(await self.start_thoonk(), make_actions(group), concurrency=200)
        self.addCleanup(worker.stopService)
        worker.startService()
        fuzz = Fuzz(self.thoonk, group, Items(found(300, 7), 7))
        await fuzz.run(PAYLOADS)
        self.assertEqual(fuzz.wrong, [])
        self.assertEqual(fuzz.answered, PAYLOADS)
        self.assertEqual(set(fuzz.codes), run.CODES)
        self.assertGreater(fuzz.forged, 0)
        self.assertGreater(fuzz.to_be_done, PAYLOADS // 10)
        self.assertGreater(len(fuzz.different), PAYLOADS * 0.9)

    async def test_oracle(self) -> None:
        """
        The judge knows right from wrong: what is right is so, and stays so only while it is.
        """
        items = Items(found(20, 7), 7)
        for _ in range(200):
            item = items.right()
            self.assertTrue(expected(items._bytes(item)))
            for wrong in (
                {**item, "user": None},
                {**item, "action": "none"},
                {**item, "payload": []},
                {"action": item["action"], "payload": item["payload"]},
            ):
                self.assertIs(expected(items._bytes(wrong)), False)

    async def test_fails(self) -> None:
        """
        A worker that lets pass what it must not is found out.
        """
        group = self.feed_name("fuzzed")
        actions = make_actions(group)
        for name in ("ship", "note", "edit"):
            action = actions.get(name)
            object.__setattr__(action, "rule", lambda act: True)
        worker = ActionWorker(await self.start_thoonk(), actions, max_attempts=1)
        self.addCleanup(worker.stopService)
        worker.startService()
        fuzz = Fuzz(self.thoonk, group, Items(found(50, 7), 7))
        await fuzz.run(500)
        self.assertTrue(any("'wrong': True" in each for each in fuzz.wrong))
