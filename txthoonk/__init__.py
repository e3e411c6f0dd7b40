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
    JobFailed,
    JobNotClaimed,
    JobNotStalled,
    LeaseLost,
    NotConnected,
    NotFinished,
    ServerError,
    ThoonkError,
    WrongFeedType,
)
from txthoonk.events import (
    Edited,
    FeedConfigured,
    FeedCreated,
    FeedDeleted,
    JobCancelled,
    JobClaimed,
    JobDelayed,
    JobEdited,
    JobExpired,
    JobFinished,
    JobProgress,
    JobPublished,
    JobReleased,
    JobRetracted,
    JobRetried,
    JobStalled,
    Moved,
    Published,
    Retracted,
)
from txthoonk.service import Thoonk
from txthoonk.types import NO_RESULT, Attempt, Claim, Feed, Job, Queue, SortedFeed
from txthoonk.worker import JobWorker, Retry, Stall

__all__ = [
    "NO_RESULT",
    "Attempt",
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
    "JobCancelled",
    "JobClaimed",
    "JobDelayed",
    "JobEdited",
    "JobExpired",
    "JobFailed",
    "JobFinished",
    "JobNotClaimed",
    "JobNotStalled",
    "JobProgress",
    "JobPublished",
    "JobReleased",
    "JobRetracted",
    "JobRetried",
    "JobStalled",
    "JobWorker",
    "LeaseLost",
    "Moved",
    "NotConnected",
    "NotFinished",
    "Published",
    "Queue",
    "Retracted",
    "Retry",
    "ServerError",
    "SortedFeed",
    "Stall",
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
