"""``make demo``: a board of tasks for teams, live in every open window.

A twistd service (``board.tac``) starts a Redis of its own, two web processes that share one
listening socket, and two worker processes, and starts again whichever of them dies. The page shows
feeds; whatever anybody does on it is an action, done by a worker:

================================== ============ ===================================================
``teams``                          feed         all teams: id -> ``{"name"}``
``team:353:members``               feed         who is in it: id -> ``{"name"}``
``team:353:member:ada:tasks``      sorted feed  what Ada is to do, in her order
``team:353:member:ada:shipped``    feed         what Ada has done; the last 100
``team:353:chat``                  feed         what was said; the last 200
``team:353:log``                   feed         what was done, and by whom; the last 200
``team:353:presence``              feed         who is here; items that expire, published again by
                                                every open window
``undo:353:ada``                   feed         how to take Ada's last actions back, the last 20
``processes``                      feed         the processes, as they tell of themselves
================================== ============ ===================================================

Modules: ``service`` is what twistd runs, on the plumbing of ``examples.demo``; ``web`` and
``people`` serve the page; ``worker`` does ``actions``, which are in ``groups``, have payloads of
``shapes``, are allowed by ``rules`` and taken back by ``undoing``; ``star`` is one more of them.
``importing`` and ``sample`` read task lists. ``check`` uses the board as two people do. ``page/``
is what browsers get.
"""

from __future__ import annotations

__all__ = ["ACTIONS", "BULK", "PROCESSES", "TEAMS", "Team"]

#: The group of actions that people wait for, and that of the same for programs, which may put
#: any number of them: each has jobs and handlers of its own, so people need not wait for programs.
ACTIONS = "board"
BULK = "board.bulk"

TEAMS = "teams"
PROCESSES = "processes"


class Team:
    """The names of a team's feeds.

    :param id: its number, as text.
    """

    def __init__(self, id: str) -> None:
        self.id = id
        self.members = f"team:{id}:members"
        self.chat = f"team:{id}:chat"
        self.log = f"team:{id}:log"
        self.presence = f"team:{id}:presence"

    def tasks(self, member: str) -> str:
        """What a member is to do."""
        return f"team:{self.id}:member:{member}:tasks"

    def shipped(self, member: str) -> str:
        """What a member has done."""
        return f"team:{self.id}:member:{member}:shipped"

    def undo(self, member: str) -> str:
        """How to take back what a member did last."""
        return f"undo:{self.id}:{member}"
