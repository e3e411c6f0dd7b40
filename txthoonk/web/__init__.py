"""Live feeds and actions for web pages: resources of twisted.web."""

from txthoonk.web.resource import LiveResource

__all__ = ["LiveResource"]
