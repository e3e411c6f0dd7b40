"""The team board in Debian's Chromium: two windows, whatever is killed underneath."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any
from unittest import SkipTest

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from examples.board import Team
from tests.board_helpers import BoardProcess
from tests.peers.process import NEEDED
from tests.programs import ROOT
from txthoonk import Moved, Thoonk

#: How much is done; ``python -m tests.browser`` does more.
MOVES = int(os.environ.get("BOARD_MOVES", "50"))
KILLS = os.environ.get("BOARD_KILLS", "redis,web,worker")
ACTIONS = int(os.environ.get("BOARD_ACTIONS", "1500"))
#: Seconds for either.
PATIENCE = float(os.environ.get("BOARD_PATIENCE", "240"))

CHROMIUM = os.environ.get("CHROMIUM") or "/usr/bin/chromium"


def check_browser() -> None:
    """Skip where there is no browser to drive; where all has to be there, fail."""
    missing = [each for each in ("playwright",) if importlib.util.find_spec(each) is None]
    if not os.access(CHROMIUM, os.X_OK):
        missing.append(CHROMIUM)
    if not missing:
        return
    why = f"{' and '.join(missing)} missing: apt install chromium, pip install playwright"
    if NEEDED:
        raise AssertionError(why)
    raise SkipTest(why)


def pictures(test: Any) -> Path:
    """Where screenshots are kept: the folder that TXTHOONK_PICTURES names, or trial's own."""
    named = os.environ.get("TXTHOONK_PICTURES")
    folder = Path(named or "board-pictures").resolve() / test._testMethodName
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def drive(*arguments: str) -> dict[str, Any]:
    """Run a scenario; what it has seen. This blocks."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    if done.returncode:
        raise AssertionError(f"the scenario failed: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class BrowserTests(TestCase):
    """What people see."""

    timeout = PATIENCE + 10

    async def test_two_windows(self) -> None:
        """Two people work together while Redis, the web processes and a worker are killed.

        At the end both windows show what is in Redis, in its order. Nothing was loaded again, each
        action that was acknowledged was done exactly once, each feed came as a whole only once, and
        the browser had nothing to complain about.
        """
        board, url, redis = await self._board()
        folder = pictures(self)
        options = ("--redis", redis, "--pictures", str(folder))
        options += ("--moves", str(MOVES), "--kill", KILLS)
        seen = await deferToThread(drive, "tests.browser.drive", url, *options)
        (folder / "seen.json").write_text(json.dumps(seen, indent=1))
        self.assertEqual(seen["errors"], [])
        self.assertIn("Redis is away", seen["said while Redis is away"])
        self.assertIn("Ada has changed it since", seen["told of a conflict"])
        thoonk = self._thoonk(redis)
        for window in seen["windows"].values():
            await self._same_as_redis(thoonk, seen["team"], window["shown"])
            chat = thoonk.feed(Team(seen["team"]).chat, serializer="json")
            said = [item["text"] for item in (await chat.get_all()).values()]
            self.assertEqual(window["chat"], said)
        await self._nothing_lost(thoonk, seen)
        for name, window in seen["windows"].items():
            self.assertTrue(window["marked"], f"{name}'s page was loaded again")
            self.assertEqual(window["reasons"], [], name)
            self.assertEqual(set(window["snapshots"].values()), {1}, name)
        counted = seen["counts then"].values()
        got = sum(sum(each["snapshots"].values()) for each in seen["windows"].values())
        self.assertEqual(sum(each["snapshots"] for each in counted), got)
        self.assertEqual({each["resyncs"] for each in counted}, {0})
        self.assertEqual(len(list(folder.glob("*.png"))), 11, list(folder.iterdir()))
        await self._ended(board)

    async def test_a_storm(self) -> None:
        """A program puts thousands of actions at once: the board stays live, all are answered."""
        board, url, redis = await self._board()
        folder = pictures(self)
        options = ("--redis", redis, "--pictures", str(folder), "--actions", str(ACTIONS))
        seen = await deferToThread(drive, "tests.browser.storm", url, *options)
        (folder / "seen.json").write_text(json.dumps(seen, indent=1))
        self.assertEqual(seen["answered"], {"200": ACTIONS})
        # Other tests, and two browsers' pages, are on the same processors.
        self.assertLess(median(seen["drags"]), 5.0, seen["drags"])
        self.assertEqual((seen["errors"], seen["marks"]), ([], [True, True]))
        self.assertEqual(seen["shown"][0], seen["shown"][1])
        await self._same_as_redis(self._thoonk(redis), seen["team"], seen["shown"][0])
        await self._ended(board)

    async def test_trouble(self) -> None:
        """What others do meanwhile costs nobody a word, and whatever does not work is told."""
        board, url, _ = await self._board()
        seen = await deferToThread(drive, "tests.browser.trouble", url)
        self.assertEqual(seen["errors"], [])
        self.assertEqual(seen["no such team"], ["", "There is no such team."])
        crowd = seen["crowd"]
        self.assertLess(crowd["height"], 80, "the top is one line, however many are here")
        self.assertLess(crowd["right"], crowd["wide"])
        self.assertIn("are here too", crowd["title"])
        for words in ("“pie”", "“cake with candles”"):
            self.assertIn(words, seen["changed"])
        taken = seen["taken"]
        self.assertIn("taken it away", taken["toast"])
        self.assertEqual(taken["field"], "bread and butter d u", "keys went on as text")
        self.assertEqual((taken["open"], taken["rest"]), (False, True))
        self.assertIn("taken it away", seen["dragged"][0])
        self.assertIn("can give it to others", seen["dragged"][1])
        removed = {"by the button": "three", "to tab to": 1, "by the arrow": "four"}
        self.assertEqual(seen["removed"], {**removed, "read aloud": "Moved to 1 of 3."})
        before, offline, after = seen["undone"]
        self.assertEqual((before[0], offline), ("first", ["offline", "first"]))
        self.assertEqual(after, before, "only what was done last is taken back")
        self.assertEqual(seen["left"], "left but kept")
        status, lists = seen["never answered"]
        self.assertIn("no answer yet: the server or Redis is away; 1 action waits", status)
        self.assertIn("on their way", lists)
        long = "That is too long: 200,000 bytes are the most."
        self.assertEqual(
            seen["files"],
            {
                "none": "Choose a file, or paste a list.",
                "empty.txt": "empty.txt is empty.",
                "latin.txt": "latin.txt is no text in UTF-8.",
                "picture.txt": "picture.txt is no text in UTF-8.",
                "long.txt": long,
                "windows.txt": "1 task came in, 1 shipped.",
            },
        )
        self.assertIn("not signed in any more; 1 action waits", seen["signed out"]["says"])
        self.assertGreater(seen["signed out"]["feeds"], 1, "what was there can still be read")
        await self._ended(board)

    async def _board(self) -> tuple[BoardProcess, str, str]:
        """A board, its URL and that of its Redis."""
        check_browser()
        board = BoardProcess("--port", "0", patience=PATIENCE)
        self.addCleanup(board.kill)
        return board, *await deferToThread(board.up)

    def _thoonk(self, redis: str) -> Thoonk:
        thoonk = Thoonk(redis)
        thoonk.startService()
        self.addCleanup(thoonk.stopService)
        return thoonk

    async def _ended(self, board: BoardProcess) -> None:
        board.interrupt()
        self.assertEqual(await deferToThread(board.end), 0, board.output)
        self.assertEqual(board.complaints, "")
        self.assertEqual(board.leftovers(), [])

    async def _same_as_redis(self, thoonk: Thoonk, team: str, shown: dict[str, Any]) -> None:
        names = Team(team)
        members = await thoonk.feed(names.members).get_ids()
        self.assertEqual(set(shown), set(members))
        for member, tasks in shown.items():
            ids = await thoonk.sorted_feed(names.tasks(member)).get_ids()
            self.assertEqual([id for id, _ in tasks], ids, member)

    async def _nothing_lost(self, thoonk: Thoonk, seen: dict[str, Any]) -> None:
        names = Team(seen["team"])
        journal = [entry for each in seen["windows"].values() for entry in each["journal"]]
        done = Counter(entry["action"] for entry in journal)
        self.assertGreaterEqual(done["move"], MOVES)
        there: Counter[str] = Counter()
        for member in await thoonk.feed(names.members).get_ids():
            tasks = thoonk.sorted_feed(names.tasks(member), serializer="json")
            shipped = thoonk.feed(names.shipped(member), serializer="json")
            for feed in (tasks, shipped):
                there.update(item["text"] for item in (await feed.get_all()).values())
        for entry in journal:
            if entry["action"] == "add" and "goes on without" in entry["payload"]["text"]:
                self.assertEqual(there[entry["payload"]["text"]], 1, entry)
        tasks = thoonk.sorted_feed(names.tasks("docs"))
        if (await tasks.snapshot()).revision > 1000:
            return  # than the history has
        moved = sum(isinstance(event, Moved) for event in await tasks.history(0))
        wanted = sum(
            entry["action"] == "move" and entry["payload"]["member"] == "docs" for entry in journal
        )
        self.assertEqual(moved, wanted, "each move is in the history, once")
