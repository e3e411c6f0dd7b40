"""``thoonk-live.js`` as it runs in a page: in a process of node, told what to do by the tests."""

from __future__ import annotations

import json
import os
import textwrap
from itertools import count
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from tests.helpers import ThoonkTestCase
from tests.node import node_with

__all__ = ["MODULE", "Browser", "BrowserCase", "JavaScriptError"]

ROOT: Final = Path(__file__).parent.parent
FOLDER: Final = ROOT / "tests" / "live_js"
MODULE: Final = ROOT / "txthoonk" / "web" / "thoonk-live.js"


class JavaScriptError(Exception):
    """What was to be run has thrown."""


async def installed() -> str:
    """Install what the lock file names, unless it is there; where node is.

    :raises SkipTest: if node, or a package, cannot be had here.
    """
    return await node_with(FOLDER)


class Browser(ProcessProtocol):
    """Node, with the module; what it writes on standard error is an error of the test.

    :param node: the program.
    :param module: path or URL of ``thoonk-live.js``.
    :ivar errors: what it wrote there.
    :ivar ended: fires when it has ended.
    """

    def __init__(self, node: str, module: str) -> None:
        from twisted.internet import reactor

        self.errors = ""
        self.ended: Deferred[None] = Deferred()
        self._rest = b""
        self._refs = count(1)
        self._waiting: dict[int, Deferred[Any]] = {}
        real: Any = reactor
        command = [node, str(FOLDER / "driver.js"), module]
        real.spawnProcess(self, node, command, env=os.environ)

    def run(self, code: str) -> Deferred[Any]:
        """The value of an expression, once it is there."""
        ref = next(self._refs)
        self._waiting[ref] = Deferred()
        line = json.dumps({"ref": ref, "code": textwrap.dedent(code)})
        self.transport.write(line.encode() + b"\n")  # type: ignore[union-attr]  # it runs
        return self._waiting[ref]

    def outReceived(self, data: bytes) -> None:
        """Values come."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            answer = json.loads(line)
            waiting = self._waiting.pop(answer["ref"])
            if "error" in answer:
                waiting.errback(JavaScriptError(answer["error"]))
            else:
                waiting.callback(answer["value"])

    def errReceived(self, data: bytes) -> None:
        """Something is wrong."""
        self.errors += data.decode()

    def processEnded(self, reason: Failure) -> None:
        """It is gone."""
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            each.errback(JavaScriptError(self.errors))
        self.ended.callback(None)

    async def stop(self) -> None:
        """End it."""
        if not self.ended.called:
            self.transport.loseConnection()  # type: ignore[union-attr]  # it runs
        await self.ended


class BrowserCase(ThoonkTestCase):
    """A test case with the module in a process of its own, ``self.browser``."""

    async def setUp(self) -> None:
        await super().setUp()
        self.node = await installed()
        self.browser = self.start_browser()

    def start_browser(self, module: str = str(MODULE)) -> Browser:
        """Another process."""
        browser = Browser(self.node, module)
        self.addCleanup(self._stopped, browser)
        return browser

    async def _stopped(self, browser: Browser) -> None:
        await browser.stop()
        self.assertEqual(browser.errors, "")

    async def js(self, code: str, **values: Any) -> Any:
        """The value of an expression in the page; ``{name}`` in it stand for values."""
        for name, value in values.items():
            code = code.replace(f"${name}", json.dumps(value))
        return await self.browser.run(code)

    async def until_js(self, code: str, **values: Any) -> Any:
        """Ask for an expression until it is true."""
        code = code.replace("\n", " ")
        wait = (
            "new Promise((done) => { const look = async () => { const seen = await (%s);"
            " if (seen) done(seen); else setTimeout(look, 5); }; look(); })"
        )
        return await self.js(wait % code, **values)
