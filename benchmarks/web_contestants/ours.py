"""Ours: ``txthoonk.web.LiveResource`` as an application mounts it."""

from __future__ import annotations

from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import Site

from benchmarks.tools import allow_many_files
from benchmarks.web_contestants import common
from txthoonk import Thoonk
from txthoonk.web import LiveResource


class Quiet(Site):
    """Logs no requests."""

    noisy = False

    def log(self, request: Any) -> None:
        """Nothing."""


def main() -> None:
    """Serve."""
    allow_many_files()
    thoonk = Thoonk(f"redis://{common.HOST}:{common.PORT}")
    thoonk.startService()
    root = Resource()
    # All clients here are one user, and come at once.
    live = LiveResource(thoonk, lambda user, feed: True, rate=0, max_streams=1_000_000)
    root.putChild(b"live", live)
    common.serve(Quiet(root))


if __name__ == "__main__":
    main()
