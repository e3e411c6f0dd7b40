"""A program puts any number of actions at once while two people use the board.

``python -m tests.browser.storm URL --redis URL --actions 50000`` prints as JSON how long it took
until what one of them did was on the other's screen, and what became of the actions.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from examples.board import Team
from examples.board.actions import bulk
from tests.browser.window import Window, browser
from txthoonk import Thoonk

#: Who puts them.
PROGRAM = {"id": "docs", "name": "Docs", "program": True}
#: How many are on their way to Redis at a time, and how many are asked for.
AT_A_TIME = 500
ROOT = Path(__file__).parents[2]


async def put(reactor: Any, redis: str, team: str, count: int) -> None:
    """Put them all, then ask for each answer; tells how many there are of each code.

    One in three moves a task of the long list, one edits it, one says something.
    """
    chance = random.Random(count)
    async with Thoonk(redis) as thoonk:
        tasks = await thoonk.sorted_feed(Team(team).tasks(PROGRAM["id"])).get_ids()

        def action(number: int) -> Deferred[str]:
            first, second = chance.sample(tasks, 2)
            payload: dict[str, Any] = {"team": team, "member": PROGRAM["id"], "id": first}
            name = ("move", "edit", "say")[number % 3]
            if name == "move":
                payload["position"] = f"{second}:"
            elif name == "edit":
                payload["changes"] = {"text": f"edited {number}"}
            else:
                payload = {"team": team, "text": f"said {number}"}
            return bulk.put(thoonk, PROGRAM, name, payload)

        begin = time.monotonic()
        ids: list[str] = []
        while len(ids) < count:
            some = range(len(ids), min(count, len(ids) + AT_A_TIME))
            ids += await gatherResults([action(number) for number in some])
        sys.stdout.write(json.dumps({"put": round(time.monotonic() - begin, 2)}) + "\n")
        sys.stdout.flush()
        codes: Counter[str] = Counter()
        for at in range(0, count, AT_A_TIME):
            answers = await gatherResults(
                [bulk.answer(thoonk, "say", id, timeout=0) for id in ids[at : at + AT_A_TIME]]
            )
            codes.update(str(answer["code"]) for answer in answers)
        seconds = round(time.monotonic() - begin, 2)
        sys.stdout.write(json.dumps({"answered": codes, "seconds": seconds}) + "\n")


def watch(chromium: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Use the board until all is answered."""
    errors: list[str] = []
    ada, bob = (Window(chromium, options.url, name, errors) for name in ("Ada", "Bob"))
    for each in (ada, bob):
        each.sign_in()
        each.join("txThoonk")
        each.page.evaluate("() => { board.marked = true; }")
    for text in ("one", "two", "three"):
        ada.add(text)
    ada.settled()
    bob.wait("() => document.querySelectorAll('.column[data-member=ada] .task').length === 3")
    program = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.browser.storm", options.url, "--redis", options.redis),
            *("--actions", str(options.actions), "--team", ada.team),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    seconds: list[float] = []
    try:
        while program.poll() is None or not seconds:
            ids = ada.tasks("ada")
            begin = time.monotonic()
            ada.drag("ada", ids[0], "ada", ids[2], True)
            wanted = [*ids[1:], ids[0]]
            bob.wait(
                "(wanted) => [...document.querySelectorAll('.column[data-member=ada] .task')]"
                ".map((task) => task.dataset.id).join() === wanted.join()",
                wanted,
            )
            seconds.append(round(time.monotonic() - begin, 3))
            if len(seconds) == 2:
                bob.picture(Path(options.pictures), "storm")
            time.sleep(0.2)
    except BaseException:
        for each in (ada, bob):
            each.picture(Path(options.pictures), f"failed-{each.name}")
        raise
    finally:
        program.kill()
        told = program.communicate()[0]
    found: dict[str, Any] = {}
    for line in told.splitlines():
        found.update(json.loads(line))
    for each in (ada, bob):
        each.settled()
    deadline = time.monotonic() + 30
    while ada.shown() != bob.shown() and time.monotonic() < deadline:
        time.sleep(0.1)
    marks = [each.page.evaluate("() => board.marked") for each in (ada, bob)]
    reasons = [each.page.evaluate("() => board.reasons") for each in (ada, bob)]
    shown = [each.shown() for each in (ada, bob)]
    return {
        **found,
        "drags": seconds,
        "errors": errors,
        "marks": marks,
        "reasons": reasons,
        "shown": shown,
        "team": ada.team,
    }


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--redis", required=True)
    parser.add_argument("--actions", type=int, default=50_000)
    parser.add_argument("--pictures", default="board-pictures")
    parser.add_argument("--team", help="only put them")
    options = parser.parse_args()
    if options.team:
        react(put, (options.redis, options.team, options.actions))
    with browser() as chromium:
        json.dump(watch(chromium, options), sys.stdout)


if __name__ == "__main__":
    main()
