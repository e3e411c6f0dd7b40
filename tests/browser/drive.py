"""Two people at the board, in two windows: ``python -m tests.browser.drive URL --redis URL ...``.

They do whatever can be done, with mouse and keys, then drag tasks about while Redis, the web
processes and a worker are killed. What they saw is printed as JSON; whoever runs this compares it
with Redis.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.browser.window import Window, browser, kill
from tests.programs import ROOT, runs

#: Whose list both drag about.
OWNER = "docs"


class Drive:
    """What happens, in order.

    :param options: of the command line.
    """

    def __init__(self, chromium: Any, options: argparse.Namespace) -> None:
        self.options = options
        self.chance = random.Random(options.seed)
        self.errors: list[str] = []
        self.seen: dict[str, Any] = {}
        self.pictures = Path(options.pictures)
        self.ada, self.bob = (
            Window(chromium, options.url, name, self.errors) for name in ("Ada", "Bob")
        )
        self.chromium = chromium

    @property
    def both(self) -> tuple[Window, Window]:
        """Both windows."""
        return self.ada, self.bob

    def run(self) -> dict[str, Any]:
        """Do all of it."""
        self.ada.picture(self.pictures, "sign-in")
        for each in self.both:
            each.sign_in()
        self.ada.picture(self.pictures, "teams")
        for each in self.both:
            each.join("txThoonk")
            each.page.evaluate("() => { board.marked = true; }")
        for step in (
            self.everything,
            self.conflict,
            self.new_action,
            self.moves,
            self.kills,
            self.look,
        ):
            begin = time.monotonic()
            step()
            self.seen[f"seconds {step.__name__}"] = round(time.monotonic() - begin, 2)
        return self.end()

    # -- what two people do -----------------------------------------------------------------

    def everything(self) -> None:
        """One of each, seen by the other at once."""
        ada, bob = self.both
        begin = time.monotonic()
        ada.add("(A) Call the printer +party @phone")
        bob.wait("() => document.querySelector('.column[data-member=ada] .priority')")
        self.seen["an action is on the other screen after"] = round(time.monotonic() - begin, 3)
        for text in ("Order `cake`", "<img src=x onerror=alert(1)> & <b>bold</b>", "Invite people"):
            ada.add(text)
        ada.settled()
        bob.wait("() => document.querySelectorAll('.column[data-member=ada] .task').length === 4")
        # Enter edits, Space ships, d delegates.
        first, _, third, fourth = bob.tasks("ada")
        ada.page.keyboard.press("Escape")
        ada.select("ada", first)
        ada.page.keyboard.press("Enter")
        ada.page.keyboard.type(" to")
        # What somebody else does to the list, and to this very task, does not disturb who writes.
        for key in ("ArrowDown", "ArrowUp"):
            bob.task("ada", first).focus()
            bob.page.keyboard.press(f"Alt+{key}")
            bob.settled()
            ada.wait(
                "([id, key]) => document.querySelectorAll('.column.mine .task')"
                "[key === 'ArrowDown' ? 1 : 0].dataset.id === id",
                [first, key],
            )
        ada.page.keyboard.type("day")
        ada.picture(self.pictures, "editing")
        ada.page.keyboard.press("Enter")
        bob.reads(".column[data-member=ada]", "today")
        ada.page.keyboard.press("ArrowDown")
        ada.page.keyboard.press("d")
        ada.page.wait_for_selector("#give[open]")
        ada.page.click("#give button[value=bob]")
        bob.wait("() => document.querySelectorAll('.column.mine .task').length === 1")
        ada.select("ada", fourth)
        ada.page.keyboard.press("Space")
        bob.reads(".column[data-member=ada] summary", "1 shipped")
        ada.page.fill("#say-text", "The cake is yours, Bob")
        ada.page.press("#say-text", "Enter")
        bob.reads("#talk", "cake is yours")
        # By mouse to another list; u takes it back.
        ada.drag(
            "ada", third, "bob", None, False, before_drop=lambda: ada.picture(self.pictures, "drag")
        )
        bob.wait("() => document.querySelectorAll('.column.mine .task').length === 2")
        ada.settled()
        ada.page.locator(".column h2").first.click()
        ada.page.keyboard.press("u")
        bob.wait("() => document.querySelectorAll('.column.mine .task').length === 1")
        for each in self.both:
            each.settled()
        self.same()
        self.ada.picture(self.pictures, "desktop-light")

    def conflict(self) -> None:
        """What somebody has changed is not undone, and the page says so kindly."""
        ada, bob = self.both
        bob.add("Buy candles", "ada")
        ada.reads(".column.mine", "candles")
        bob.settled()
        ada.settled()
        id = ada.tasks("ada")[0]
        ada.select("ada", id)
        ada.page.keyboard.press("Enter")
        ada.page.keyboard.type(" and matches")
        ada.page.keyboard.press("Enter")
        bob.reads(".column[data-member=ada]", "matches")
        bob.page.locator(".column h2").first.click()
        bob.page.keyboard.press("u")
        bob.page.wait_for_selector(".toast.kind")
        self.seen["told of a conflict"] = bob.page.inner_text(".toast.kind span")
        bob.picture(self.pictures, "conflict")

    def new_action(self) -> None:
        """A worker for an action that nobody knew is started: its button works in open windows."""
        ada, bob = self.both
        environment = {**os.environ, "THOONK_REDIS": self.options.redis}
        worker = subprocess.Popen(
            [sys.executable, "-m", "examples.board.star"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
        )
        try:
            id = ada.tasks("ada")[0]
            ada.select("ada", id)
            ada.page.click(".column.mine .tools button.star")
            bob.wait("() => document.querySelector('.column[data-member=ada] .text .star')")
            ada.settled()
        finally:
            worker.communicate()

    # -- moves and kills --------------------------------------------------------------------

    def moves(self) -> None:
        """Both move tasks of one list about, without waiting for each other."""
        turn = 0
        while sum(each.moved() for each in self.both) < self.options.moves:
            self.both[turn % 2].move_at_random(OWNER, self.chance, by_mouse=turn % 5 < 3)
            turn += 1
        for each in self.both:
            each.settled()
        self.same()
        self.count("after the moves")

    def kills(self) -> None:
        """Redis, web processes and workers are killed while both go on."""
        for number, kind in enumerate(self.options.kill.split(",")):
            pids = self.pids(kind)
            self.count(f"before kill {number}")
            for pid in pids[:1] if kind == "worker" else pids:
                kill(pid)
            if kind == "redis":
                self.ada.wait("() => document.querySelector('#status').dataset.state === 'away'")
            for who in self.both:
                who.add(f"{who.name} goes on without {kind} {number}")
            if kind == "redis":
                self.seen["said while Redis is away"] = self.ada.page.inner_text("#status-words")
                self.ada.picture(self.pictures, "away-light")
            for turn in range(4):
                self.both[turn % 2].move_at_random(OWNER, self.chance, by_mouse=turn < 2)
            for each in self.both:
                each.settled()
            self.same()
        self.count("after the kills")
        self.seen["counts then"] = dict(self.seen["counts"])

    def pids(self, kind: str) -> list[int]:
        """The processes of a kind, as the page names them; those that were just started too."""
        deadline = time.monotonic() + 20
        while True:
            pids: list[int] = self.ada.page.evaluate(
                "(kind) => [...board.live.feed('processes').items]"
                ".filter(([name]) => name.startsWith(kind)).map(([, { pid }]) => pid)",
                kind,
            )
            if all(map(runs, pids)):
                return pids
            if time.monotonic() > deadline:
                raise AssertionError(f"not all of {kind} run: {pids}")
            time.sleep(0.05)

    # -- what is seen -----------------------------------------------------------------------

    def same(self) -> None:
        """Wait until both windows show the same lists."""
        deadline = time.monotonic() + 20
        while True:
            shown = [each.shown() for each in self.both]
            if shown[0] == shown[1]:
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"they differ: {shown}")
            time.sleep(0.05)

    def count(self, when: str) -> None:
        """Note what each web process has counted until now; one that is killed forgets it."""
        folder = Path(urlsplit(self.options.redis).path).parent
        for own in sorted(folder.glob("web-*")):
            counted = ask_own(own)
            self.seen.setdefault("counts", {})[str(counted["pid"])] = {"when": when, **counted}

    def look(self) -> None:
        """Pictures of phones, and of the dark."""
        team = self.ada.team
        phone = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
        for name, options in (
            ("desktop-dark", {"color_scheme": "dark"}),
            ("phone-light", {**phone, "device_scale_factor": 2}),
            ("phone-dark", {**phone, "device_scale_factor": 2, "color_scheme": "dark"}),
        ):
            window = Window(self.chromium, self.options.url, "Ada", self.errors, **options)
            window.sign_in()
            window.join("txThoonk")
            assert window.team == team
            window.wait("() => document.querySelectorAll('.column.mine .task').length > 2")
            window.select("ada", window.tasks("ada")[0])
            window.page.wait_for_selector(".tools button.ship")
            window.picture(self.pictures, name)
            if name == "phone-light":
                self.by_finger(window)
            if name == "desktop-dark":
                window.page.locator(".column h2").first.click()
                window.page.keyboard.press("?")
                window.picture(self.pictures, "keys-dark")
            window.context.close()

    def by_finger(self, window: Window) -> None:
        """A task is dragged by its handle with a finger; elsewhere a finger scrolls."""
        ids = window.tasks("ada")
        window.touch(window.task("ada", ids[0]).locator(".grip"), window.task("ada", ids[2]))
        wanted = [ids[1], ids[2], ids[0]]
        self.bob.wait(
            "(wanted) => wanted.every((id, at) => id === document.querySelectorAll("
            "'.column[data-member=ada] .task')[at].dataset.id)",
            wanted,
        )

    def end(self) -> dict[str, Any]:
        """What both have seen."""
        self.count("at the end")
        windows = {}
        for each in self.both:
            each.settled()
            windows[each.me] = each.page.evaluate(
                """() => ({
                    marked: board.marked === true,
                    journal: board.journal,
                    snapshots: board.snapshots,
                    reasons: board.reasons,
                    feeds: [...board.view.pattern.feeds.keys()].length,
                    chat: [...board.live.feed(`team:${board.view.team}:chat`).items.values()]
                        .map((each) => each.text),
                })"""
            )
            windows[each.me]["shown"] = each.shown()
        return {**self.seen, "team": self.ada.team, "errors": self.errors, "windows": windows}


def ask_own(path: Path) -> dict[str, Any]:
    """What a web process has counted; one that was just started may take a moment to answer."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    deadline = time.monotonic() + 20
    with closing(connection.sock):
        while connection.sock.connect_ex(str(path)) and time.monotonic() < deadline:
            time.sleep(0.05)
        connection.request("GET", "/debug")
        found: dict[str, Any] = json.load(connection.getresponse())
        return found


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--redis", required=True, help="URL of the board's Redis")
    parser.add_argument("--pictures", required=True, help="folder for screenshots")
    parser.add_argument("--moves", type=int, default=50)
    parser.add_argument("--kill", default="redis,web,worker")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with browser() as chromium:
        drive = Drive(chromium, options)
        try:
            seen = drive.run()
        except BaseException:
            for each in drive.both:
                each.picture(drive.pictures, f"failed-{each.name}")
            sys.stderr.write(f"{json.dumps(drive.seen)}\n{drive.errors}\n")
            raise
        json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
