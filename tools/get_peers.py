"""Fetch the other Thoonk programs that the tests run beside ours: thoonk.py 1.0.1.

Two of it, in ``.peers`` or where ``TXTHOONK_PEERS`` says, each where it can be had:

``original``
    as it was published, with redis-py 2.4.13, for a Python 2.7 that has pip: the one that
    ``TXTHOONK_PYTHON2`` names, ``python2.7`` on PATH, or one of pyenv's.
``converted``
    for this Python, with redis-py 2.10.6: the few lines that Python 3 and that redis-py need
    otherwise are replaced. Nothing else is, so its commands and messages are the same.

Archives come from the package index, by pip, and only with the SHA256 given here. What is there
is not fetched again. The last lines say what there is, or why not.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PLACE: Path = Path(os.environ.get("TXTHOONK_PEERS") or Path(__file__).parent.parent / ".peers")

THOONK: Final = (
    "thoonk==1.0.1.0",
    "c45f97e42f50a173da0d0b8934c28532845acb48f30a245b09c79da36e7051c2",
)
REDIS_2: Final = (
    "redis==2.4.13",
    "365285e161395344edc629a2e108f6bb0983e96d9b5012dab1f76cec2379a09a",
)
REDIS_3: Final = (
    "redis==2.10.6",
    "8a1900a9f2a0a44ecf6e8b5eb3e967a9909dfed219ad66df094f27f7d6f330fb",
)

#: File, what is in it so many times, and what takes its place.
EDITS: Final[tuple[tuple[str, int, str, str], ...]] = (
    # Python 3
    ("thoonk/__init__.py", 2, "from pubsub import", "from .pubsub import"),
    ("thoonk/pubsub.py", 1, "config.iteritems()", "config.items()"),
    ("thoonk/feeds/pyqueue.py", 1, "import cPickle", "import pickle as cPickle"),
    # Replies are to be text, as its code takes for granted.
    ("thoonk/pubsub.py", 1, "db=self.db)", "db=self.db, decode_responses=True)"),
    ("thoonk/pubsub.py", 1, "db=thoonk.db)", "db=thoonk.db, decode_responses=True)"),
    # That redis-py hands out confirmations too: one of them is no order to stop.
    (
        *("thoonk/pubsub.py", 1, 'if event["channel"] == self._finish_channel'),
        'if type == "message" and event["channel"] == self._finish_channel',
    ),
    # Gone from Python 3.12; needed for hiredis only, which is not used.
    ("redis/connection.py", 1, "from distutils.version import StrictVersion\n", ""),
)


#: Says where it is: a version manager's shim may be another one elsewhere, or none.
_IS_IT: Final = "import pip, sys; assert sys.version_info[:2] == (2, 7); print(sys.executable)"


class Unavailable(Exception):
    """It cannot be had here; the text says why."""


def python2() -> str:
    """A Python 2.7 that has pip.

    :raises Unavailable: if there is none.
    """
    named = os.environ.get("TXTHOONK_PYTHON2")
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    places = [str(each) for each in sorted(pyenv.glob("versions/2.7*/bin/python2.7"))]
    for each in [named] if named else ["python2.7", *places]:
        found = shutil.which(each)
        if found is not None:
            asked = _run(found, "-c", _IS_IT)
            if asked.returncode == 0:
                return asked.stdout.strip()
    raise Unavailable(f"{named or 'python2.7'}: no such Python that has pip")


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a Python that is not this one: what is said to this one is not meant for it."""
    environment = {key: value for key, value in os.environ.items() if key[:6] != "PYTHON"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def _pip(python: str, *words: str) -> None:
    """Run pip; complain in its own words."""
    quiet = ("--quiet", "--disable-pip-version-check", "--retries=1")
    done = _run(python, "-m", "pip", *quiet, *words)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "DEPRECATION" not in line]
        raise Unavailable("pip: " + (" ".join(lines[-3:]) or f"status {done.returncode}"))


def _requirements(folder: Path, *pinned: tuple[str, str]) -> str:
    path = folder / "requirements.txt"
    path.write_text("".join(f"{name} --hash=sha256:{digest}\n" for name, digest in pinned))
    return str(path)


def _original(folder: Path) -> None:
    """thoonk.py as it is."""
    python = python2()
    wanted = _requirements(folder, THOONK, REDIS_2)
    _pip(python, "install", "--no-deps", "--require-hashes", "--target", str(folder), "-r", wanted)


def _converted(folder: Path) -> None:
    """thoonk.py for Python 3."""
    archives = folder / "archives"
    for pinned, how in ((THOONK, "--no-binary"), (REDIS_3, "--only-binary")):
        words = ("download", "--no-deps", "--require-hashes", how, ":all:", "-d", str(archives))
        _pip(sys.executable, *words, "-r", _requirements(folder, pinned))
    for archive in archives.iterdir():
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                wheel.extractall(folder, [n for n in wheel.namelist() if n.startswith("redis/")])
        else:
            with tarfile.open(archive) as sdist:
                _extract(sdist, folder)
    for name, times, old, new in EDITS:
        path = folder / name
        text = path.read_text("utf-8")
        if text.count(old) != times:
            raise Unavailable(f"{name} has {old!r} {text.count(old)} times, not {times}")
        path.write_text(text.replace(old, new), "utf-8")


def _extract(sdist: tarfile.TarFile, folder: Path) -> None:
    """The package of a source distribution."""
    for member in sdist.getmembers():
        _, _, inner = member.name.partition("/")
        data = sdist.extractfile(member) if inner.startswith("thoonk/") else None
        if data is not None:
            path = folder / inner
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data.read())


#: What there is, best first.
KINDS: Final[dict[str, Callable[[Path], None]]] = {"original": _original, "converted": _converted}


@contextmanager
def _alone() -> Iterator[None]:
    """One process at a time: test runners are several."""
    PLACE.mkdir(parents=True, exist_ok=True)
    with (PLACE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def get(kind: str) -> tuple[list[str], Path]:
    """See to it that a peer is there.

    :param kind: ``original`` or ``converted``.
    :returns: the command that runs a script with it, and the folder its modules are in.
    :raises Unavailable: if it cannot be had here.
    """
    pins = repr((THOONK, REDIS_2, REDIS_3, EDITS))
    # What is made of other pins, or cut short, is none.
    folder = PLACE / f"{kind}-{hashlib.sha256(pins.encode()).hexdigest()[:12]}"
    # Without what is installed: that redis-py does not know today's hiredis.
    command = [python2(), "-s"] if kind == "original" else [sys.executable, "-S"]
    with _alone():
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            try:
                KINDS[kind](folder)
            except (OSError, tarfile.TarError, zipfile.BadZipFile) as error:
                raise Unavailable(str(error)) from error
            (folder / "done").touch()
    return command, folder


def main() -> int:
    """Fetch, and tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--need", choices=KINDS, help="fail if this one cannot be had")
    needed = parser.parse_args().need
    status = 0
    for kind in KINDS:
        try:
            command, folder = get(kind)
            print(f"thoonk.py 1.0.1, {kind}: {command[0]}, {folder}")
        except Unavailable as error:
            print(f"thoonk.py 1.0.1, {kind}: {error}")
            status = status or kind == needed
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
