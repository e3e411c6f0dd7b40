"""Server-Sent Events by twisted.web, as one would write it without more."""

from __future__ import annotations

from typing import Any

from twisted.web import resource, server

from benchmarks.web_contestants import common

requests: set[Any] = set()


class Events(resource.Resource):
    """The stream of events."""

    def getChild(self, path: bytes, request: Any) -> resource.IResource:
        """All of it."""
        return self

    def render(self, request: Any) -> Any:
        """A client came."""
        request.setHeader(b"content-type", b"text/event-stream")
        request.write(b":\n\n")
        requests.add(request)
        request.notifyFinish().addBoth(lambda _: requests.discard(request))
        return server.NOT_DONE_YET


def hear(message: bytes) -> None:
    """Write it to all."""
    event = b"data: " + message + b"\n\n"
    for each in requests:
        each.write(event)


class Quiet(server.Site):
    """Logs no requests."""

    noisy = False

    def log(self, request: Any) -> None:
        """Nothing."""


if __name__ == "__main__":
    common.serve(Quiet(Events()), hear)
