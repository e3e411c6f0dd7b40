"""The four types of feeds."""

from txthoonk.types.feed import Feed
from txthoonk.types.job import NO_RESULT, Claim, Job
from txthoonk.types.queue import Queue
from txthoonk.types.sorted_feed import SortedFeed

__all__ = ["NO_RESULT", "Claim", "Feed", "Job", "Queue", "SortedFeed"]
