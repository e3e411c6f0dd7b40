"""Live data on Redis for Twisted: feeds, sorted feeds, queues and jobs.

A feed is a small stored list that tells every listener what changes in it, a queue hands each
item to one taker, a job is claimed by a worker who must finish it. Programs in several languages
share them by one contract of keys, channels and payloads.
"""

from txthoonk.client import ThoonkPub, ThoonkPubFactory, ThoonkSub, ThoonkSubFactory
from txthoonk.errors import (
    ConnectionLost,
    Empty,
    FeedDoesNotExist,
    FeedExists,
    ItemDoesNotExist,
    ItemError,
    JobNotClaimed,
    JobNotStalled,
    NotConnected,
    ServerError,
    ThoonkError,
    WrongFeedType,
)
from txthoonk.events import (
    Edited,
    FeedConfigured,
    FeedCreated,
    FeedDeleted,
    JobClaimed,
    JobFinished,
    JobPublished,
    Moved,
    Published,
    Retracted,
)
from txthoonk.service import Thoonk
from txthoonk.types import NO_RESULT, Claim, Feed, Job, Queue, SortedFeed

__all__ = [
    "NO_RESULT",
    "Claim",
    "ConnectionLost",
    "Edited",
    "Empty",
    "Feed",
    "FeedConfigured",
    "FeedCreated",
    "FeedDeleted",
    "FeedDoesNotExist",
    "FeedExists",
    "ItemDoesNotExist",
    "ItemError",
    "Job",
    "JobClaimed",
    "JobFinished",
    "JobNotClaimed",
    "JobNotStalled",
    "JobPublished",
    "Moved",
    "NotConnected",
    "Published",
    "Queue",
    "Retracted",
    "ServerError",
    "SortedFeed",
    "Thoonk",
    "ThoonkError",
    "ThoonkPub",
    "ThoonkPubFactory",
    "ThoonkSub",
    "ThoonkSubFactory",
    "WrongFeedType",
    "__version__",
]

__version__ = "1.0.0.dev0"
