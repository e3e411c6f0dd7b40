"""The benchmarks run; how fast things are is not asked here."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from xml.etree import ElementTree

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

_CHECKOUT = str(Path(__file__).parent.parent)


class BenchmarkTests(TestCase):
    """``python -m benchmarks.calls``"""

    timeout = 120

    async def test_short(self) -> None:
        """A short run measures everything, prints it, and keeps values and a plot."""
        folder = Path(self.mktemp())
        command = ["-m", "benchmarks.calls", "--short", "--output", str(folder)]
        out, err, status = await getProcessOutputAndValue(
            sys.executable, command, env={**os.environ, "PYTHONPATH": _CHECKOUT}
        )
        self.assertEqual((err.decode(), status), ("", 0))
        kept = json.loads((folder / "calls.json").read_text())
        measured = {(record["what"], record["who"]) for record in kept["records"]}
        for what, who in (
            ("calls/100", "feed.publish"),
            ("calls/1", "bare"),
            ("script", "ours"),
            ("events", "ours"),
            ("waiters", "1 instances"),
        ):
            self.assertIn((what, who), measured)
            self.assertIn(f"\n  {who} ", out.decode())
        ElementTree.parse(folder / "calls.svg")
