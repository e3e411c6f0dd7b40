"""Live data on Redis for Twisted: feeds, sorted feeds, queues and jobs.

A feed is a small stored list that tells every listener what changes in it, a queue hands each
item to one taker, a job is claimed by a worker who must finish it. Programs in several languages
share them by one contract of keys, channels and payloads.
"""

from txthoonk.client import ThoonkPub, ThoonkPubFactory, ThoonkSub, ThoonkSubFactory
from txthoonk.errors import (
    Conflict,
    ConnectionLost,
    Empty,
    FeedDoesNotExist,
    FeedExists,
    HistoryLost,
    ItemDoesNotExist,
    ItemError,
    JobFailed,
    JobNotClaimed,
    JobNotStalled,
    LeaseLost,
    NotConnected,
    NotFinished,
    NotInDialect,
    ObjectError,
    RegistrationError,
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
    Resync,
    Retracted,
)
from txthoonk.live import LiveFeed
from txthoonk.live_pattern import LivePattern
from txthoonk.objects import (
    DeclaredInterface,
    DeclaredObject,
    ScriptedInterface,
    ScriptedObject,
)
from txthoonk.reading import Snapshot
from txthoonk.rules import Tick, tick_of
from txthoonk.service import Thoonk
from txthoonk.types import NO_RESULT, Attempt, Claim, Feed, Job, Queue, SortedFeed
from txthoonk.types.scheduling import Schedule
from txthoonk.worker import JobWorker, Retry, Stall

__all__ = [
    "NO_RESULT",
    "Attempt",
    "Claim",
    "Conflict",
    "ConnectionLost",
    "DeclaredInterface",
    "DeclaredObject",
    "Edited",
    "Empty",
    "Feed",
    "FeedConfigured",
    "FeedCreated",
    "FeedDeleted",
    "FeedDoesNotExist",
    "FeedExists",
    "HistoryLost",
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
    "LiveFeed",
    "LivePattern",
    "Moved",
    "NotConnected",
    "NotFinished",
    "NotInDialect",
    "ObjectError",
    "Published",
    "Queue",
    "RegistrationError",
    "Resync",
    "Retracted",
    "Retry",
    "ScriptedInterface",
    "ScriptedObject",
    "ServerError",
    "Schedule",
    "Snapshot",
    "SortedFeed",
    "Stall",
    "Thoonk",
    "ThoonkError",
    "ThoonkPub",
    "ThoonkPubFactory",
    "ThoonkSub",
    "ThoonkSubFactory",
    "Tick",
    "WrongFeedType",
    "__version__",
    "tick_of",
]

__version__ = "1.0.0.dev0"
