"""What the tests of actions share: a group with actions of each kind, and a worker for it."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.helpers import ThoonkTestCase
from txthoonk import Thoonk
from txthoonk.actions import Act, Actions, ActionWorker, Id, Name, Refused, anybody

__all__ = ["ActionTestCase", "Edit", "Ship", "is_member"]


class Ship(msgspec.Struct, forbid_unknown_fields=True):
    """What has to be said to ship a task."""

    team: Name
    id: Id
    notes: str = ""


class Edit(msgspec.Struct, forbid_unknown_fields=True):
    """What has to be said to edit one."""

    id: Id
    changes: dict[str, str]


async def is_member(user: Any, payload: Any) -> bool:
    """Whether somebody is of the team."""
    return isinstance(user, dict) and payload.team in user.get("teams", ())


class ActionTestCase(ThoonkTestCase):
    """A group of actions, whose functions note what they are called with."""

    ALICE = {"id": "alice", "teams": ["a"]}
    BOB = {"id": "bob", "teams": ["b"]}

    async def setUp(self) -> None:
        await super().setUp()
        self.group = self.feed_name("board")
        self.done: list[Act] = []
        self.actions = Actions(self.group)
        self.declare(self.actions)

    def declare(self, actions: Actions) -> None:
        """Declare what these tests use."""

        @actions.action("ship", Ship, authorize=is_member)
        async def ship(act: Act) -> Any:
            self.done.append(act)
            return {"shipped": act.payload.id, "by": act.user["id"]}

        @actions.action("edit", Edit, authorize=anybody, editable=("title", "notes"))
        def edit(act: Act) -> Any:
            self.done.append(act)
            return sorted(act.payload.changes)

        @actions.action("ping", authorize=anybody)
        def ping(act: Act) -> str:
            self.done.append(act)
            return "pong"

        @actions.action("refuse", authorize=anybody)
        def refuse(act: Act) -> None:
            raise Refused(409, "not now", after="lunch")

    async def work(
        self, actions: Actions | None = None, thoonk: Thoonk | None = None, **options: Any
    ) -> ActionWorker:
        """A worker that was started, and has declared what it can."""
        options.setdefault("grace", 0)
        actions = actions or self.actions
        worker = ActionWorker(thoonk or self.thoonk, actions, **options)
        self.addCleanup(worker.stopService)
        worker.startService()
        return worker
