"""The benchmarks run; how fast things are is not asked here."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from xml.etree import ElementTree

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from benchmarks import live

_CHECKOUT = str(Path(__file__).parent.parent)


def _parted(table: str) -> tuple[str, str, str]:
    return table.strip("\n").partition("\n")


class BenchmarkTests(TestCase):
    """``python -m benchmarks.calls``, and ``live``, ``jobs``, ``web``."""

    timeout = 240

    async def run_short(self, name: str, *args: str) -> tuple[Path, set[tuple[str, str]], str]:
        """Let one of them run, shortly.

        :returns: where it left its results, what it measured of whom, and what it printed.
        """
        folder = Path(self.mktemp())
        command = ["-m", f"benchmarks.{name}", "--short", "--output", str(folder), *args]
        out, err, status = await getProcessOutputAndValue(
            sys.executable, command, env={**os.environ, "PYTHONPATH": _CHECKOUT}
        )
        self.assertEqual((err.decode(), status), ("", 0))
        kept = json.loads((folder / f"{name}.json").read_text())
        measured = {(record["what"], record["who"]) for record in kept["records"]}
        return folder, measured, out.decode()

    async def test_short(self) -> None:
        """A short run measures everything, prints it, and keeps values and a plot."""
        folder, measured, out = await self.run_short("calls")
        for what, who in (
            ("calls/100", "feed.publish"),
            ("calls/1", "bare"),
            ("script", "ours"),
            ("events", "ours"),
            ("waiters", "1 instances"),
        ):
            self.assertIn((what, who), measured)
            self.assertIn(f"\n  {who} ", out)
        ElementTree.parse(folder / "calls.svg")

    async def test_live(self) -> None:
        """A short run of what following costs measures all that is promised, and draws it."""
        folder, measured, out = await self.run_short("live")
        tables = {title: table for title, _, table in map(_parted, out.split("\n\n"))}
        for claim in live.CLAIMS:
            for who in (claim.who, *claim.others):
                self.assertIn((claim.what, who), measured)
                title, _ = live.TITLES[claim.what]
                self.assertIn(f"\n  {who} ", f"\n{tables[title]}")
        for what in ("feeds", "instances", "handlers"):
            self.assertIn((what, "10"), measured)
        drawn = ElementTree.parse(folder / "live.svg")
        self.assertIn("txthoonk-foreign", [text.text for text in drawn.iterfind(".//{*}text")])
        ElementTree.parse(folder / "live-curves.svg")

    async def test_jobs(self) -> None:
        """A short run of the jobs takes ours and the bare loop through all of it."""
        folder, measured, out = await self.run_short("jobs")
        both = {
            (what, who)
            for what in ("enqueue", "bulk", "drain", "life", "left", "latency")
            for who in ("bare", "txthoonk")
        }
        self.assertEqual(measured, both | {("queued", "bare-ids32"), ("queued", "txthoonk")})
        for _, who in measured:
            self.assertIn(f"\n  {who} ", out)
        for plot in ("drain", "enqueue", "latency"):
            drawn = ElementTree.parse(folder / f"jobs-{plot}.svg")
            self.assertIn("txthoonk", [text.text for text in drawn.iterfind(".//{*}text")])

    async def test_one_job(self) -> None:
        """One may ask for a part, and for one contestant."""
        args = ("--only", "bulk", "--contestants", "txthoonk-quiet")
        _, measured, _ = await self.run_short("jobs", *args)
        self.assertEqual(measured, {("bulk", "txthoonk-quiet")})

    async def test_web(self) -> None:
        """A short run of the web takes ours and what is on Twisted through all of it."""
        folder, measured, out = await self.run_short("web")
        whos = ("txthoonk-ws", "txthoonk-sse", "bare-ws-direct", "sse-twisted.web")
        all = {(what, who) for what in ("one", "eight", "idle", "idle-more") for who in whos}
        streams = ("streams", "idle-streams", "back", "restarted", "to-all", "to-team")
        all |= {(what, who) for what in streams for who in whos[:2]}
        self.assertEqual(measured, all)
        for who in whos:
            self.assertIn(f"\n  {who} ", out)
        for plot in ("web", "web-latency", "web-memory"):
            drawn = ElementTree.parse(folder / f"{plot}.svg")
            self.assertIn("txthoonk-ws", [text.text for text in drawn.iterfind(".//{*}text")])
