"""A web process: serves feeds of a Redis at ``/live``, and says on which port."""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import Site

from txthoonk import Thoonk
from txthoonk.web import LiveResource, limit_requests


def main(url: str) -> None:
    """Serve until killed."""
    real: Any = reactor
    thoonk = Thoonk(url)
    thoonk.startService()
    live = LiveResource(thoonk, lambda user, feed: True, rate=0, max_streams=1000)
    root = Resource()
    root.putChild(b"live", live)
    port = real.listenTCP(0, limit_requests(Site(root)), interface="127.0.0.1")
    sys.stdout.write(f"{port.getHost().port}\n")
    sys.stdout.flush()
    real.run()


if __name__ == "__main__":
    main(sys.argv[1])
