"""What tests of the conformance runner need."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from tests.helpers import ThoonkTestCase
from txthoonk.conformance.runner import Report, run
from txthoonk.conformance.table import rows
from txthoonk.conformance.vectors import Vector

__all__ = ["RunCase", "failing"]


def failing(report: Report) -> set[str]:
    """Verbs in whose rows something differs."""
    return {verb for _, verb, _, _, differs in rows(report) if differs}


class RunCase(ThoonkTestCase):
    """Runs of the runner on the shared server."""

    timeout = 240

    async def play(self, command: str, vectors: list[Vector] | None = None) -> Report:
        """Put a driver through vectors."""
        from twisted.internet import reactor

        return await run(reactor, self.redis_url, command, vectors)

    def script(self, text: str) -> str:
        """The command of a driver whose program this is."""
        path = Path(self.mktemp())
        path.write_text(text)
        return shlex.join([sys.executable, str(path.resolve())])
