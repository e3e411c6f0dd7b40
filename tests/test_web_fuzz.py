"""A web process that is sent garbage answers with what is wrong, and lives on."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.action_helpers import ActionTestCase
from tests.web_fuzz.running import Fuzzer
from tests.web_helpers import WebTestCase
from txthoonk.web import LiveResource, limit_requests
from txthoonk.web.handling import JsonResource


class FuzzTests(ActionTestCase, WebTestCase):
    """Garbage on a site with all there is; trial fails a test that has logged an error."""

    seed = int(os.environ.get("TXTHOONK_FUZZ_SEED", "1"))

    async def setUp(self) -> None:
        """Serve everything."""
        await super().setUp()
        await self.work()
        live = LiveResource(
            self.thoonk,
            lambda user, feed: True,
            may_follow=lambda user, pattern: pattern.startswith("team:"),
            authenticate=lambda request: {"id": "fuzz", "teams": ["a"]},
            actions=self.actions,
            trust_proxy=True,
            rate=0,
            max_streams=1000,
        )
        self.addCleanup(live.stop)
        root = JsonResource(live.access)
        root.putChild(b"live", live)
        self.url = self.serve(root, lambda site: limit_requests(site, timeout=0.1))
        self.live = live

    async def run_many(self, fuzzer: Fuzzer, what: Any, count: int) -> None:
        """Send so many, some at a time, and make sure that all is well."""
        for _ in range(count // 20):
            await gatherResults([Deferred.fromCoroutine(what()) for _ in range(20)])
            if fuzzer.wrong:
                break
        self.assertEqual(fuzzer.wrong, [], "\n".join(fuzzer.wrong[:3]))
        answer = await self.ask("POST", f"{self.url}/live/actions/ping", {}, {"prefer": "wait=9"})
        self.assertEqual(answer.json["result"], "pong")
        for act in self.done:
            self.assertEqual(act.user, {"id": "fuzz", "teams": ["a"]})

    async def test_requests(self) -> None:
        """
        Whatever is posted, the answer is JSON with a status that says what is wrong with it.
        """
        fuzzer = Fuzzer(self.port, self.seed)
        await self.run_many(fuzzer, fuzzer.request, 2000)
        for code in (200, 202, 400, 403, 404, 405, 415, 422):
            self.assertIn(code, fuzzer.codes, fuzzer.codes)

    async def test_sockets(self) -> None:
        """
        Whatever is sent on a socket is answered, or the socket is closed for it.
        """
        fuzzer = Fuzzer(self.port, self.seed)
        await self.run_many(fuzzer, lambda: fuzzer.socket(30), 200)
        for code in (1002, 1007, "error 400"):
            self.assertIn(code, fuzzer.codes, fuzzer.codes)
