"""Other people's programs: where they are installed, and how.

``python -m benchmarks.rivals jobs`` installs each job system that is not there yet, ``web`` what
brings messages to browsers: a Python one in a venv of its own, as they want different versions of
redis-py, those for node together. What cannot be installed is said, and left out.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

PLACE = Path(__file__).parent.parent / ".bench"

#: Environment -> what is installed in it. hiredis makes each faster that would do without it; SAQ
#: needs typing_extensions and does not say so.
PYTHON = {
    "rq": ("rq", "hiredis"),
    "huey": ("huey", "redis", "hiredis"),
    "taskiq": ("taskiq", "taskiq-redis", "hiredis"),
    "saq": ("saq[redis,hiredis]", "typing_extensions"),
    "autobahn": ("autobahn", "twisted", "hiredis"),
}
NODE = {
    "node": ("bullmq", "ioredis", "bee-queue"),
    "node-web": ("socket.io", "@socket.io/redis-adapter", "redis", "ws"),
}

#: Benchmark -> the environments that it uses.
USED = {
    "jobs": ("rq", "huey", "taskiq", "saq", "node"),
    "web": ("autobahn", "node-web"),
}

#: What an installation ends with, so that one cut short is none.
_DONE = "installed"


def python(name: str) -> str:
    """The Python of an environment."""
    return str(PLACE / name / "bin" / "python")


def node_modules(name: str) -> Path:
    """Where node finds the packages of an environment."""
    return PLACE / name / "node_modules"


def installed() -> list[str]:
    """The environments that are there."""
    here = [name for name in (*PYTHON, *NODE) if (PLACE / name / _DONE).exists()]
    return [name for name in here if name in PYTHON or shutil.which("node")]


def versions(benchmark: str) -> dict[str, str | int | None]:
    """Of the packages that were installed for a benchmark."""
    found: dict[str, str | int | None] = {}
    for name in (name for name in USED[benchmark] if name in installed()):
        if name in NODE:
            node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
            found["node"] = node.stdout.strip().removeprefix("v")
            for package in NODE[name]:
                about = node_modules(name) / package / "package.json"
                found[package] = json.loads(about.read_text())["version"]
            continue
        folders = map(str, (PLACE / name / "lib").glob("python*/site-packages"))
        there = {each.name: each.version for each in distributions(path=list(folders))}
        ours = (package.partition("[")[0] for package in PYTHON[name])
        found.update({package: there[package] for package in ours if package.startswith(name)})
    return found


def install(benchmark: str) -> None:
    """Install what a benchmark uses and is not there yet."""
    for name in (name for name in USED[benchmark] if name not in installed()):
        print(f"Installing {name} in {PLACE.name}/{name}", flush=True)
        folder = PLACE / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            if name in NODE:
                _install_node(name)
            else:
                _install_python(name)
        except FileNotFoundError as error:
            print(f"Without {name}: there is no {error.filename} on PATH")
        except subprocess.CalledProcessError as error:
            print(f"Without {name}: this failed: {' '.join(map(str, error.cmd))}")
        else:
            (folder / _DONE).touch()


def _install_python(name: str) -> None:
    subprocess.run([sys.executable, "-m", "venv", PLACE / name], check=True)
    pip = (python(name), "-m", "pip", "--quiet", "--disable-pip-version-check", "install")
    subprocess.run([*pip, *PYTHON[name]], check=True)


def _install_node(name: str) -> None:
    folder = PLACE / name
    subprocess.run(["node", "--version"], stdout=subprocess.DEVNULL, check=True)
    (folder / "package.json").write_text("{}\n")
    npm = ("npm", "install", "--silent", "--no-audit", "--no-fund")
    subprocess.run([*npm, *NODE[name]], cwd=folder, check=True)


if __name__ == "__main__":
    install(sys.argv[1])
