"""What users do: functions with a name, a shape of what is given to them, and a rule of who may.

Whoever puts an action, in any process or language, gives it to a worker as a job; the worker checks
shape and right before the function is called, and the job's result is an answer with a code, as
``docs/actions.rst`` has it.

.. code-block:: python

    actions = Actions("board")

    class Ship(msgspec.Struct, forbid_unknown_fields=True):
        team: Name
        id: Id

    @actions.action("ship", Ship, authorize=is_member)
    async def ship(act):
        tasks = act.thoonk.sorted_feed(f"team:{act.payload.team}:tasks")
        await act.commit(tasks.change.retract(act.payload.id), result="shipped")

    worker = ActionWorker(thoonk, actions)  # in one process
    answer = await actions.do(thoonk, user, "ship", {"team": "a", "id": "1"})  # in any
"""

from txthoonk.actions.acts import Act
from txthoonk.actions.answers import Answer, Refused
from txthoonk.actions.calling import Actions
from txthoonk.actions.items import job_id, user_id
from txthoonk.actions.rules import anybody
from txthoonk.actions.running import ActionWorker
from txthoonk.actions.shapes import Id, Name

__all__ = [
    "Act",
    "ActionWorker",
    "Actions",
    "Answer",
    "Id",
    "Name",
    "Refused",
    "anybody",
    "job_id",
    "user_id",
]
