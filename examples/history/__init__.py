"""``make demo-history``: the history of a git repository, published, counted and ranked, live.

A twistd service with a Redis of its own publishes each commit into a bounded feed, and puts it as
a job. Three worker processes claim the jobs, several at a time, and finish them with results:

==================  =============  =================================================================
history.commits     feed           the last 100 commits, as lines to read
history.jobs        job            each commit, as git tells it
history.authors     sorted feed    all authors, by their number of commits
history.files       sorted feed    the 100 most changed files
history.boards      job            one job that goes round: whoever holds it may write those two
history.typed       feed           what is typed once all is counted
==================  =============  =================================================================

**Why the totals are exact.** Three processes count at the same time, and what they finish with is
only told, not kept: a total made of what somebody hears would miss what is said while nobody
listens. So the numbers are kept where all workers see them, in Redis, and a commit is counted by
one script (``tally.lua``) that does all of it or nothing, and nothing if the commit was counted
before. A worker that dies in between changes nothing: the job is done again, and counted once.

The two sorted feeds show these numbers. A move says "before that one", which is only true as long
as nobody else moves things about, so one worker at a time does it: the one that has claimed the
only job of ``history.boards``. It releases it after each round, and the next one carries on.

Modules: ``service`` is what twistd runs (``history.tac``), on the plumbing of ``examples.demo``;
``worker`` is what the other processes run; ``commits`` asks git, ``boards`` ranks, ``report``
tells, ``check`` counts again without Redis.
"""

from __future__ import annotations

__all__ = ["AUTHORS", "BOARDS", "COMMITS", "COUNTED", "FILES", "JOBS", "SHARES", "SHOWN", "TYPED"]

COMMITS = "history.commits"
JOBS = "history.jobs"
AUTHORS = "history.authors"
FILES = "history.files"
BOARDS = "history.boards"
TYPED = "history.typed"

# Keys of our own in the same Redis; `tally.lua` says what is in them.
COUNTED = "history:counted"
SHARES = "history:shares"
#: How many commits were counted when the boards were last written.
SHOWN = "history:shown"
