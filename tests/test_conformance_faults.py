"""Drivers with a fault seeded are found out, and the table names the verb."""

from __future__ import annotations

import shlex
import sys
from typing import Final

from tests.conformance_helpers import RunCase, failing
from tests.faulty_driver import FAULTS
from txthoonk.conformance import runner
from txthoonk.conformance.table import table
from txthoonk.conformance.vectors import Vector, all_vectors

#: Vectors that wait for nothing to come, which takes a second.
SLOW: Final = ("nothing", "not finished", "a lost job")


def like(verbs: tuple[str, ...]) -> list[Vector]:
    """Vectors of the same type as some verbs, but those that take long."""
    kinds = {verb.partition(".")[0] for verb in verbs}
    return [v for v in all_vectors() if v.verb.partition(".")[0] in kinds and v.name not in SLOW]


class FaultTests(RunCase):
    """One test for each fault: see ``tests/faulty_driver.py``."""

    async def find(self, name: str) -> None:
        self.patch(runner, "SILENCE", 0.5)
        fault = FAULTS[name]
        command = shlex.join([sys.executable, "-m", "tests.faulty_driver", name])
        report = await self.play(command, like(fault.verbs))
        self.assertEqual(failing(report), set(fault.verbs))
        self.assertIn(fault.shows, "\n".join(table(report)))
        self.assertLess(report.passed, len(report.results))


def _add_test(name: str) -> None:
    async def test(self: FaultTests) -> None:
        await self.find(name)

    test.__doc__ = f"A driver with this fault is found out, and the verb named: {name}."
    test.__name__ = f"test_{name.replace(' ', '_')}"
    setattr(FaultTests, test.__name__, test)


for _name in FAULTS:
    _add_test(_name)
