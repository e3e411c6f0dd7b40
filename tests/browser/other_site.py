"""A page of another origin than its feed: ``python -m tests.browser.other_site LIVE PAGE FEED``."""

from __future__ import annotations

import json
import sys

from tests.browser.window import browser

__all__: list[str] = []

#: Follows a feed and does an action; by WebSockets, of which the first attempt fails.
FOLLOW = """
async ([url, name, transport]) => {
    const { connect } = await import(`${url}/thoonk-live.js`);
    let first = transport == "websocket";
    class Fails {
        constructor(url) {
            if (!first) return new WebSocket(url);
            first = false;
            setTimeout(() => this.onclose({}));
        }
    }
    const states = [];
    const onstate = ({ state, code }) => states.push([state, code ?? 0]);
    const live = connect(url, { transport, WebSocket: Fails, onstate });
    const feed = live.feed(name);
    const done = live.act("whoami").then((answer) => answer.result);
    const late = new Promise((give) => setTimeout(give, 15000, "no answer"));
    const user = await Promise.race([done, late]);
    const came = new Promise((give) => feed.onchange(() => feed.at && give()));
    if (user != "no answer") await came;
    live.close();
    return { states, user, items: [...feed.items] };
}
"""


def main(live: str, page: str, feed: str) -> None:
    """Print what happened, as JSON."""
    with browser() as chromium:
        window = chromium.new_page()
        window.goto(page)
        window.evaluate("document.cookie = 'session=ann'")
        seen = {each: window.evaluate(FOLLOW, [live, feed, each]) for each in ("websocket", "sse")}
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
