"""The four types of feeds."""

from txthoonk.types.claims import NO_RESULT, Attempt, Claim
from txthoonk.types.feed import Feed
from txthoonk.types.job import Job
from txthoonk.types.queue import Queue
from txthoonk.types.sorted_feed import SortedFeed

__all__ = ["NO_RESULT", "Attempt", "Claim", "Feed", "Job", "Queue", "SortedFeed"]
