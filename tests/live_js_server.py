"""A web process with actions, to be killed: ``python -m tests.live_js_server URL PORT GROUP``."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import Site

from txthoonk import Thoonk
from txthoonk.actions import Actions, Refused, anybody
from txthoonk.web import LiveResource

__all__ = ["make_actions"]


class Add(msgspec.Struct, forbid_unknown_fields=True):
    """What is added."""

    text: str


def make_actions(group: str) -> Actions:
    """Actions that write a list, ``GROUP:x:list``, and that see what may be done."""
    actions = Actions(group, may_read=lambda user, feed: True)

    @actions.action("add", Add, authorize=anybody)
    async def add(act: Any) -> None:
        feed = act.thoonk.sorted_feed(f"{group}:x:list")
        await act.commit(feed.change.append(act.payload.text), result={"added": act.payload.text})

    @actions.action("never", Add, authorize=lambda user, payload: False)
    async def never(act: Any) -> None:
        raise Refused(500, "this is never done")

    return actions


def main(url: str, port: str, group: str) -> None:
    """Serve until killed."""
    real: Any = reactor
    thoonk = Thoonk(url)
    thoonk.startService()
    root = Resource()
    live = LiveResource(thoonk, lambda user, feed: True, actions=make_actions(group))
    root.putChild(b"live", live)
    real.listenTCP(int(port), Site(root), interface="127.0.0.1")
    thoonk.when_connected().addCallback(
        lambda _: sys.stdout.write("ready\n") and sys.stdout.flush()
    )
    real.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
