"""Live feeds and actions for web pages: resources of twisted.web."""

from txthoonk.web.bodies import limit_requests
from txthoonk.web.replies import WebError
from txthoonk.web.resource import LiveResource

__all__ = ["LiveResource", "WebError", "limit_requests"]
