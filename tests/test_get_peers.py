"""The tool that fetches the other Thoonk programs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tools import get_peers
from tools.get_peers import EDITS, Unavailable

ROOT = Path(__file__).parent.parent


class GetPeersTests(SynchronousTestCase):
    """What it refuses."""

    def setUp(self) -> None:
        self.place = Path(self.mktemp())
        self.patch(get_peers, "PLACE", self.place)

    def test_no_python2(self) -> None:
        """
        Where there is no Python 2.7 the original cannot be had; that is said.
        """
        for named in ("no-such-python", sys.executable):
            self.patch(os, "environ", {**os.environ, "TXTHOONK_PYTHON2": named})
            error = self.assertRaises(Unavailable, get_peers.get, "original")
            self.assertIn(named, str(error))

    def test_other_archive(self) -> None:
        """
        An archive that is not the one that was seen is not used, not even unpacked.
        """
        name, digest = get_peers.THOONK
        self.patch(get_peers, "THOONK", (name, digest[::-1]))
        for _ in range(2):
            error = self.assertRaises(Unavailable, get_peers.get, "converted")
            self.assertIn("pip: ", str(error))
        self.assertEqual([str(each) for each in self.place.rglob("*.py")], [])

    def test_other_text(self) -> None:
        """
        Nor is one in which what has to be replaced is not what it was.
        """

        def pip(python: str, *words: str) -> None:
            """As if nothing had been in the archives."""
            Path(words[words.index("-d") + 1]).mkdir(exist_ok=True)

        self.patch(get_peers, "_pip", pip)
        error = self.assertRaises(Unavailable, get_peers.get, "converted")
        self.assertIn(EDITS[0][0], str(error))


class NeededTests(TestCase):
    """What becomes of the tests where it cannot be had."""

    timeout = 240

    async def test_skipped_or_failed(self) -> None:
        """
        They are skipped and say why; where it is needed they fail.
        """
        nowhere = {"TXTHOONK_PEERS": self.mktemp(), "PIP_INDEX_URL": "file:///none"}
        nowhere |= {"CI": "", "TXTHOONK_NEED_PEERS": ""}
        nowhere |= {"PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": "", "TXTHOONK_PEER": ""}
        for more, wanted in (
            ({}, b"PASSED (skips=1)"),
            ({"TXTHOONK_NEED_PEERS": "1"}, b"FAILED (errors=1)"),
            ({"TXTHOONK_PEER": "original"}, b"FAILED (errors=1)"),
        ):
            output, _, _ = await getProcessOutputAndValue(
                sys.executable,
                [
                    *("-m", "twisted.trial", "--temp-directory", self.mktemp()),
                    "tests.test_live_peers_jobs.QueueTests.test_both_ways",
                ],
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    "TXTHOONK_PYTHON2": "no-such-python",
                    **nowhere,
                    **more,
                },
            )
            self.assertIn(wanted, output, output.decode())
            self.assertIn(b"no-such-python", output)
