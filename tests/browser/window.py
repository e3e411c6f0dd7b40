"""A window of the board, as somebody who uses it has it."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

__all__ = ["CHROMIUM", "Window", "browser", "kill"]

#: Debian's.
CHROMIUM = os.environ.get("CHROMIUM") or "/usr/bin/chromium"
#: Milliseconds that anything may take.
PATIENCE = 15_000

#: All lists as they are shown: member -> [id, text] of each task.
SHOWN = """() => Object.fromEntries([...document.querySelectorAll(".column")].map((column) => [
    column.dataset.member,
    [...column.querySelectorAll(".task:not(.ghost)")].map((task) => [
        task.dataset.id, task.querySelector(".text").textContent]),
]))"""


class Window:
    """One window, in a profile of its own.

    :param url: of the board.
    :param name: whose window this is.
    :param errors: where errors of the console go, and of the page.
    :param options: of the browser's context.
    """

    def __init__(
        self, browser: Browser, url: str, name: str, errors: list[str], **options: Any
    ) -> None:
        options.setdefault("viewport", {"width": 1280, "height": 800})
        self.name = name
        self.context: BrowserContext = browser.new_context(**options)
        self.context.set_default_timeout(PATIENCE)
        self.page: Page = self.context.new_page()
        self.page.on("console", lambda said: self._said(said, errors))
        self.page.on("pageerror", lambda error: errors.append(f"{name}: {error}"))
        self.page.goto(url)

    def _said(self, said: Any, errors: list[str]) -> None:
        if said.type in ("error", "warning"):
            errors.append(f"{self.name}: {said.type}: {said.text} {said.location}")

    def sign_in(self) -> None:
        """Tell one's name."""
        self.page.fill("#name", self.name)
        self.page.press("#name", "Enter")
        self.page.wait_for_selector("#choose")

    def join(self, team: str) -> None:
        """Enter a team by its name."""
        self.page.click(f"#teams button:has-text('{team}')")
        self.page.wait_for_selector(".column.mine")
        self.page.wait_for_selector("#status[data-state=live]")

    @property
    def me(self) -> str:
        """The member that this window is."""
        return str(self.page.url.split("/as/")[1].split("/")[0])

    @property
    def team(self) -> str:
        """The number of the team."""
        return str(self.page.url.split("#")[1])

    def tasks(self, member: str) -> list[str]:
        """The ids in a list, as they are shown."""
        return [id for id, _ in self.shown()[member]]

    def shown(self) -> dict[str, Any]:
        """All lists as they are shown."""
        found: dict[str, Any] = self.page.evaluate(SHOWN)
        return found

    def wait(self, condition: str, argument: Any = None) -> None:
        """Wait until an expression of JavaScript is true."""
        self.page.wait_for_function(condition, arg=argument)

    def reads(self, selector: str, text: str) -> None:
        """Wait until a text can be read somewhere."""
        self.wait(
            "([selector, text]) => document.querySelector(selector)?.innerText.includes(text)",
            [selector, text],
        )

    def settled(self) -> None:
        """Wait until nothing of one's own is under way."""
        self.wait("() => board.live.status.state === 'live' && !board.pending().length")

    def task(self, member: str, id: str) -> Any:
        """An element."""
        return self.page.locator(f".column[data-member='{member}'] .task[data-id='{id}']")

    def add(self, text: str, member: str | None = None) -> None:
        """Write a new task, by the keys."""
        field = self.page.locator(f".column[data-member='{member or self.me}'] .new input")
        field.fill(text)
        field.press("Enter")

    def select(self, member: str, id: str) -> None:
        """Choose a task."""
        self.task(member, id).locator(".text").click()

    def drag(
        self,
        member: str,
        id: str,
        to: str,
        other: str | None,
        after: bool,
        before_drop: Callable[[], object] = int,
    ) -> bool:
        """Drag a task with the mouse to one that is in sight, or into an empty list.

        :param before_drop: called while it is in the air.
        :returns: whether both were there.
        """
        mouse = self.page.mouse
        task = self.task(member, id)
        task.evaluate("(task) => task.scrollIntoView({block: 'nearest'})")
        column = self.page.locator(f".column[data-member='{to}'] .tasks")
        target = column if other is None else self.task(to, other)
        source, goal = task.bounding_box(), target.bounding_box()
        if source is None or goal is None:
            return False
        mouse.move(source["x"] + 40, source["y"] + 14)
        mouse.down()
        y = goal["y"] + goal["height"] * (0.8 if after else 0.2)
        mouse.move(goal["x"] + 60, y - 8, steps=3)
        mouse.move(goal["x"] + 60, y, steps=2)
        before_drop()
        mouse.up()
        return True

    def touch(self, source: Any, goal: Any) -> None:
        """Drag something with a finger to the lower half of something else."""
        session = self.context.new_cdp_session(self.page)
        begin, end = source.bounding_box(), goal.bounding_box()
        x, y = begin["x"] + begin["width"] / 2, begin["y"] + 10
        last = end["y"] + end["height"] * 0.8

        def send(what: str, *points: tuple[float, float]) -> None:
            touches = [{"x": x, "y": y} for x, y in points]
            session.send("Input.dispatchTouchEvent", {"type": what, "touchPoints": touches})

        send("touchStart", (x, y))
        for step in range(1, 7):
            send("touchMove", (x + step, y + (last - y) * step / 6))
        send("touchEnd")

    def in_sight(self, member: str) -> list[str]:
        """The ids of tasks whose middle can be seen, and clicked on."""
        found: list[str] = self.page.evaluate(
            """(member) => [...document.querySelectorAll(`.column[data-member='${member}'] .task`)]
                .filter((task) => {
                    if (task.dataset.ghost) return false;
                    const { left, top, width, height } = task.getBoundingClientRect();
                    const there = document.elementFromPoint(left + 60, top + height / 2);
                    return there && task.contains(there);
                }).map((task) => task.dataset.id)""",
            member,
        )
        return found

    def moved(self) -> int:
        """How many moves were acknowledged."""
        found: int = self.page.evaluate(
            "() => board.journal.filter((each) => each.action === 'move').length"
        )
        return found

    def move_at_random(self, member: str, chance: random.Random, by_mouse: bool) -> bool:
        """Move some task of a list somewhere, as far as can be done without scrolling."""
        seen = self.in_sight(member)
        if len(seen) < 3:
            return False
        id, other = chance.sample(seen, 2)
        if by_mouse:
            return self.drag(member, id, member, other, chance.random() < 0.5)
        self.task(member, id).focus()
        for _ in range(chance.randint(1, 3)):
            key = chance.choice(("Alt+ArrowUp", "Alt+ArrowDown", "Control+ArrowDown"))
            self.page.keyboard.press(key)
        return True

    def picture(self, folder: Path, name: str) -> None:
        """Keep a screenshot."""
        folder.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=folder / f"{name}.png")


def browser() -> Any:
    """A context manager with Debian's Chromium."""
    return _Chromium()


class _Chromium:
    def __enter__(self) -> Browser:
        self._playwright = sync_playwright().start()
        return self._playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )

    def __exit__(self, *_: object) -> None:
        self._playwright.stop()


def kill(pid: int) -> None:
    """End a process as ``kill -9`` does."""
    os.kill(pid, signal.SIGKILL)
