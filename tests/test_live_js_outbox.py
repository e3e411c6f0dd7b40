"""Actions of pages: what a user does is done once, in order, whatever becomes of the connection."""

from __future__ import annotations

import os
import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from tests.helpers import until
from tests.live_js_helpers import ROOT, BrowserCase
from tests.live_js_server import make_actions
from tests.test_live_js_web import LiveCase
from tests.wire import free_port
from txthoonk.actions import ActionWorker


class WebProcess(ProcessProtocol):
    """A web process that may be killed."""

    def __init__(self, *words: str) -> None:
        from twisted.internet import reactor

        self.ready: Deferred[None] = Deferred()
        self.ended: Deferred[None] = Deferred()
        real: Any = reactor
        real.spawnProcess(
            self,
            sys.executable,
            [sys.executable, "-m", "tests.live_js_server", *words],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def outReceived(self, data: bytes) -> None:
        """It is there."""
        if not self.ready.called:
            self.ready.callback(None)

    def errReceived(self, data: bytes) -> None:
        """It fails."""
        sys.stderr.write(data.decode())

    def processEnded(self, reason: Failure) -> None:
        """It is gone."""
        self.ended.callback(None)

    async def kill(self) -> None:
        """End it, without time for anything."""
        if not self.ended.called:
            self.transport.signalProcess("KILL")  # type: ignore[union-attr]  # it runs
            await self.ended


class OutboxCase(BrowserCase):
    """A page, web processes on one port, and a worker."""

    timeout = 240

    async def setUp(self) -> None:
        await super().setUp()
        self.group = self.feed_name()
        self.list = self.thoonk.sorted_feed(f"{self.group}:x:list")
        self.port = str(free_port())
        self.url = f"http://127.0.0.1:{self.port}/live"
        await self.list.get_ids()
        # As a browser has it: modules are there before servers are killed.
        await self.js("(globalThis.answers = [], globalThis.storage = new Storage(), null)")

    async def start_web(self) -> WebProcess:
        """A web process."""
        web = WebProcess(self.redis_url, self.port, self.group)
        self.addCleanup(web.kill)
        await web.ready
        return web

    def start_worker(self) -> ActionWorker:
        """A worker of its actions."""
        worker = ActionWorker(self.thoonk, make_actions(self.group))
        worker.startService()
        self.addCleanup(worker.stopService)
        return worker

    async def open_page(self, **options: Any) -> None:
        """Connect, ``live``, with a storage that a reload leaves as it is."""
        code = "(globalThis.live = page($url, {storage, key: 'ann', ...$options}), null)"
        await self.js(code, url=self.url, options=options)
        self.addCleanup(self.js, "live.close()")

    async def act(self, *texts: str) -> None:
        """What a user does; the answers are kept in ``answers``."""
        code = "$texts.forEach((text) => live.act('add', { text }).then((a) => answers.push(a)))"
        await self.js(code, texts=texts)

    async def items(self) -> list[str]:
        """What was done, in order."""
        return list((await self.list.get_all()).values())


class OutboxTests(OutboxCase):
    """With real processes."""

    async def test_done(self) -> None:
        """
        What a user does is done, and answered, one thing after the other; what may not be done is
        an answer too, and never an exception. A page can ask what may be done.
        """
        await self.start_web()
        self.start_worker()
        for transport in ("websocket", "sse"):
            await self.open_page(transport=transport)
            await self.js("void live.feed($name)", name=self.list.name)
            await self.act(*"abc")
            await self.until_js("answers.length == 3")
            codes = await self.js("answers.map(({ code, result }) => [code, result.added])")
            self.assertEqual(codes, [[200, "a"], [200, "b"], [200, "c"]])
            self.assertEqual(await self.js("live.outbox"), [])
            acts = ("act('never', {text: ''})", "act('add', {})", "act('no')")
            answers = [await self.js(f"live.{each}") for each in acts]
            self.assertEqual([answer["code"] for answer in answers], [403, 422, 404])
            questions = [
                {"action": "add", "payload": {"text": "x"}},
                {"action": "never", "payload": {"text": "x"}},
                {"action": "add", "payload": {}},
            ]
            self.assertEqual(await self.js("live.can($q)", q=questions), [True, False, False])
            await self.js("(live.close(), answers.length = 0)")
        self.assertEqual(await self.items(), [*"abcabc"])

    async def test_server_dies(self) -> None:
        """
        The server takes an action and is killed before it has answered; others are taken while it
        is away. When there is one again all are done, each once, in order.
        """
        jobs = self.thoonk.job(self.group)
        web = await self.start_web()
        for transport in ("websocket", "sse"):
            await self.open_page(transport=transport)
            await self.js("void live.feed($name)", name=self.list.name)
            await self.until_js("live.status.state == 'live'")
            await self.act("one")
            await until(jobs.get_ids)
            await web.kill()
            await self.until_js("live.status.state == 'offline' && live.status.seconds >= 0")
            await self.act("two", "three")
            waiting = await self.js("live.outbox.map(({ name, payload }) => [name, payload.text])")
            self.assertEqual(waiting, [["add", "one"], ["add", "two"], ["add", "three"]])
            worker = self.start_worker()
            await until(self.list.length)
            web = await self.start_web()
            await self.js("live.retry()")
            await self.until_js("answers.length == 3")
            await worker.stopService()
            self.assertEqual(await self.items(), ["one", "two", "three"])
            told = await self.js("live.told.answers.map(([, { code }]) => code)")
            self.assertEqual(told, [200, 200, 200])
            self.assertEqual(await jobs.get_ids(), [])
            await self.js("(live.close(), answers.length = 0)")
            for id in await self.list.get_ids():
                await self.list.retract(id)

    async def test_reload(self) -> None:
        """
        What was to be done when a page was loaded again is done by the next page, once.
        """
        web = await self.start_web()
        await self.open_page()
        await self.until_js("live.status.state == 'live'")
        await self.act("one")
        await until(self.thoonk.job(self.group).get_ids)
        await web.kill()
        await self.act("two")
        await self.until_js("JSON.parse(storage.getItem('ann')).length == 2")
        await self.js("live.close()")
        self.start_worker()
        await self.start_web()
        await self.open_page()
        self.assertEqual(await self.js("live.outbox.length"), 2)
        await self.until_js("live.told.answers.length == 2")
        self.assertEqual(await self.items(), ["one", "two"])
        await self.until_js("storage.getItem('ann') == '[]'")

    async def test_same_id(self) -> None:
        """
        What is given an id twice is done once, and answered each time: at once, and afterwards.
        """
        await self.start_web()
        self.start_worker()
        for transport in ("websocket", "sse"):
            await self.open_page(transport=transport)
            act = "live.act('add', { text: $text }, { id: $text })"
            answers = await self.js(f"Promise.all([{act}, {act}])", text=transport)
            answers.append(await self.js(act, text=transport))
            self.assertEqual([each["result"]["added"] for each in answers], [transport] * 3)
            self.assertEqual(await self.js("live.outbox"), [])
            await self.js("live.close()")
        self.assertEqual(await self.items(), ["websocket", "sse"])

    async def test_late(self) -> None:
        """
        An action whose answer never came is not sent again when servers may have forgotten it.
        """
        await self.start_web()
        self.start_worker()
        old = '[{"id": "x", "name": "add", "payload": {"text": "a"}, "sent": 1000}]'
        await self.js("storage.setItem('ann', $old)", old=old)
        await self.open_page()
        await self.until_js("live.told.answers.length == 1")
        self.assertEqual(await self.js("live.told.answers[0][1].code"), 410)
        self.assertEqual(await self.items(), [])

    async def test_conflict(self) -> None:
        """
        A page that says what its user saw is told what has changed since.
        """
        await self.start_web()
        self.start_worker()
        await self.list.append("first")
        await self.open_page()
        await self.js("(globalThis.feed = live.feed($name), null)", name=self.list.name)
        await self.until_js("feed.items.size == 1")
        act = "live.act('add', {text: 'x'}, {revisions: {[feed.name]: $at}})"
        at = await self.js("feed.at")
        self.assertEqual((await self.js(act, at=at))["code"], 200)
        answer = await self.js(act, at=at)
        self.assertEqual(answer["code"], 409)
        events = answer["changed"][self.list.name]["events"]
        self.assertEqual([(event["type"], event["item"]) for event in events], [("publish", "x")])
        self.assertEqual(await self.items(), ["first", "x"])

    async def test_slow(self) -> None:
        """
        An action that nobody does holds up the others for a moment only.
        """
        await self.start_web()
        await self.open_page()
        await self.act("not done")
        await self.until_js("live.outbox[0].sent > 0")
        self.assertEqual((await self.js("live.act('nonsense')"))["code"], 404)


class TooLargeTests(LiveCase):
    """What no server takes."""

    async def test_too_large(self) -> None:
        """
        An action that is too large for the server is answered so, and those after it are done.
        """
        actions = make_actions(self.feed_name())
        worker = ActionWorker(self.thoonk, actions)
        worker.startService()
        self.addCleanup(worker.stopService)
        await self.open_page(self.site(actions=actions, max_message=1000))
        acts = "['x'.repeat(2000), 'y'].map((text) => live.act('add', { text }))"
        answers = await self.js(f"Promise.all({acts})")
        self.assertEqual([answer["code"] for answer in answers], [413, 200])
