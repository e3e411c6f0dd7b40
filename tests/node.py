"""Node and the packages that a folder of JavaScript needs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SkipTest

__all__ = ["node_with"]


async def node_with(folder: Path) -> str:
    """Install what the lock file of a folder names, unless it is there; where node is.

    :raises SkipTest: if node, or a package, cannot be had here.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise SkipTest("there is no node, or no npm, on this machine")
    version, _, _ = await getProcessOutputAndValue(node, ["--version"], env=None)
    if int(version.decode().lstrip("v").partition(".")[0]) < 18:
        raise SkipTest(f"node is {version.decode().strip()}, older than the 18 that is needed")
    mark, lock = folder / "node_modules" / ".package-lock.json", folder / "package-lock.json"
    if not mark.exists() or mark.stat().st_mtime < lock.stat().st_mtime:
        out, err, status = await getProcessOutputAndValue(
            npm, ["ci", "--no-audit", "--no-fund"], env=os.environ, path=str(folder)
        )
        if status:
            raise SkipTest(f"npm cannot install what is needed: {(out + err).decode()[-500:]}")
        mark.touch()
    return node
