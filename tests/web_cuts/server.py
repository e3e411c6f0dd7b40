"""A web process that serves feeds: ``python -m tests.web_cuts.server URL PORT``; 0 is any port.

It says on which port it is; everybody may read all.
"""

from __future__ import annotations

import sys
from typing import Any


def main(url: str, port: str) -> None:
    """Serve until the end."""
    from twisted.internet import reactor as its
    from twisted.web.resource import Resource
    from twisted.web.server import Site

    from txthoonk import Thoonk
    from txthoonk.web import LiveResource

    reactor: Any = its  # the module is the reactor
    thoonk = Thoonk(url)
    thoonk.startService()
    root = Resource()
    limits: dict[str, Any] = {"rate": 0, "max_streams": 100_000}  # all clients are one user
    live = LiveResource(thoonk, lambda user, feed: True, **limits)
    root.putChild(b"live", live)

    def ready(_: object) -> None:
        listening = reactor.listenTCP(int(port), Site(root), backlog=5000, interface="127.0.0.1")
        sys.stdout.write(f"port {listening.getHost().port}\n")
        sys.stdout.flush()

    thoonk.when_connected().addCallback(ready)
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
