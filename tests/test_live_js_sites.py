"""``thoonk-live.js`` in pages of other sites than the one that has the feeds, in a browser."""

from __future__ import annotations

from typing import Any

from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource
from twisted.web.static import Data

from tests.test_board_browser import check_browser, drive
from tests.web_helpers import WebTestCase
from txthoonk.actions import Actions, ActionWorker, anybody
from txthoonk.web import LiveResource, WebError


class OtherSiteTests(WebTestCase):
    """Two sites on one host: cookies are sent to both, where a page says so."""

    timeout = 90

    async def test_listed(self) -> None:
        """
        A page of a listed origin is known by its cookie, whatever it asks: it follows feeds and
        does actions by either transport, also where the first attempt to connect fails.
        """
        check_browser()
        feed = self.thoonk.feed(self.feed_name())
        await feed.publish("one", id="1")
        actions = Actions(self.feed_name())

        @actions.action("whoami", authorize=anybody)
        def whoami(act: Any) -> Any:
            return act.user

        worker = ActionWorker(self.thoonk, actions)
        worker.startService()
        self.addCleanup(worker.stopService)

        def authenticate(request: Any) -> str:
            user = request.getCookie(b"session")
            if not user:
                raise WebError(401)
            return str(user.decode())

        other = Resource()
        other.putChild(b"", Data(b"<!doctype html><title>another</title>", "text/html"))
        page = self.serve(other)
        live = LiveResource(
            self.thoonk,
            lambda user, feed: True,
            authenticate=authenticate,
            origins=[page],
            actions=actions,
        )
        self.addCleanup(live.stop)
        root = Resource()
        root.putChild(b"live", live)
        url = f"{self.serve(root)}/live"
        seen: Any = await deferToThread(drive, "tests.browser.other_site", url, page, feed.name)
        for transport in ("websocket", "sse"):
            self.assertEqual(seen[transport]["user"], "ann")
            self.assertEqual(seen[transport]["items"], [["1", "one"]])
            self.assertNotIn(["refused", 401], seen[transport]["states"])
