"""What people run into: ``python -m tests.browser.trouble URL``.

A crowd, a team that is not there, others who take away or change what one is writing, files that
are no lists, and a sign-in that is worth nothing any more. What was seen is printed as JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from examples.board.check import Person
from tests.browser.window import Window, browser, kill

#: How many are in the team at once.
CROWD = 30
#: What is no list, and so is not taken.
FILES = {
    "empty.txt": b" \n",
    "latin.txt": "M\u00fcller anrufen\n".encode("latin-1"),
    "picture.txt": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "long.txt": b"task\n" * 100_000,
}
#: What has the focus: a task by its text, a field by its label.
FOCUS = """() => {
    const { activeElement: it } = document;
    return it.querySelector(".text")?.textContent ?? it.getAttribute("aria-label") ?? it.tagName;
}"""


class Trouble:
    """What happens, in order.

    :param url: of the board.
    """

    def __init__(self, chromium: Any, url: str) -> None:
        self.url = url
        self.errors: list[str] = []
        #: Whether Cleo's connections are cut off; else they are not answered.
        self.cut = True
        self.ada, self.bob, self.cleo = (
            Window(chromium, url, name, self.errors) for name in ("Ada", "Bob", "Cleo")
        )

    def run(self) -> dict[str, Any]:
        """Do all of it."""
        for each in (self.ada, self.bob):
            each.sign_in()
        seen = {"no such team": self.no_such_team()}
        for each in (self.ada, self.bob):
            each.join("txThoonk")
        seen["crowd"] = self.crowd()
        seen["changed"] = self.changed_by_others()
        seen["taken"] = self.taken_by_others()
        seen["dragged"] = self.dragged()
        seen["removed"] = self.removed()
        seen["files"] = dict(self.files())
        seen["undone"] = self.undone()
        seen["left"] = self.left()
        seen["errors"] = list(self.errors)
        # What comes now the browser counts as errors.
        seen["never answered"] = self.never_answered()
        seen["signed out"] = self.signed_out()
        return seen

    def no_such_team(self) -> list[str]:
        """A link to a team of another day."""
        self.ada.page.evaluate("location.hash = '999'")
        self.ada.reads(".toast", "no such team")
        self.ada.wait("() => document.querySelector('#choose').checkVisibility()")
        return [self.ada.page.evaluate("location.hash"), self.toasts(self.ada)]

    def crowd(self) -> dict[str, Any]:
        """What the top of the page is like when many are here."""
        team = self.ada.team
        for number in range(CROWD):
            person = Person(self.url, f"Person {number} of many")
            for action in ("join", "here"):
                person.do(action, team=team)
        self.ada.reads("#here", f"+{CROWD + 2 - 9}")
        found: dict[str, Any] = self.ada.page.evaluate(
            """() => ({
                height: document.querySelector(".top").clientHeight,
                right: document.querySelector("#help").getBoundingClientRect().right,
                wide: innerWidth,
                title: document.querySelector("#here li:last-child > *").title,
            })"""
        )
        return found

    def changed_by_others(self) -> str:
        """Both write the same task anew."""
        ada, bob = self.ada, self.bob
        self.writes("cake", " with candles")
        id = ada.tasks("ada")[0]
        Person(self.url, "Ada").do(
            "edit", team=ada.team, member="ada", id=id, changes={"text": "pie"}
        )
        bob.reads(".column[data-member=ada]", "pie")
        ada.page.keyboard.press("Enter")
        ada.reads(".toast", "Not done")
        return self.toasts(ada)

    def taken_by_others(self) -> dict[str, Any]:
        """A task is shipped while its text is written, and typing goes on."""
        ada = self.ada
        self.writes("bread", " and butter")
        id, *rest = ada.tasks("ada")
        Person(self.url, "Ada").do("ship", team=ada.team, member="ada", id=id)
        ada.reads(".toast", "taken it away")
        ada.page.keyboard.type(" d u")
        field = ada.page.input_value(".column.mine .new input")
        seen = {"toast": self.toasts(ada), "field": field, "open": self.is_open()}
        ada.settled()
        seen["rest"] = ada.tasks("ada") == rest
        ada.page.fill(".column.mine .new input", "")
        return seen

    def dragged(self) -> list[str]:
        """A task that others ship while it is in the air, and one that may not go there."""
        ada = self.ada
        ada.add("to be dragged")
        ada.settled()
        id = ada.tasks("ada")[0]
        ship = {"team": ada.team, "member": "ada", "id": id}

        def shipped() -> None:
            Person(self.url, "Ada").do("ship", **ship)
            ada.wait(f"() => !document.querySelector('#columns .mine [data-id=\"{id}\"]')")

        ada.drag("ada", id, "bob", None, False, before_drop=shipped)
        ada.reads(".toast", "taken it away")
        told = [self.toasts(ada)]
        self.bob.add("mine to do")
        self.bob.settled()
        (id,) = self.bob.tasks("bob")
        ada.wait(f"() => document.querySelector('.column[data-member=bob] [data-id=\"{id}\"]')")
        # Whether it may is asked when it is first dragged there.
        ada.drag("bob", id, "ada", None, False, before_drop=self.refused)
        ada.reads(".toast", "who wrote it")
        return [*told, self.toasts(ada)]

    def removed(self) -> dict[str, Any]:
        """Where one is after tasks are gone."""
        ada = self.ada
        for text in ("four", "three", "two", "one"):
            ada.add(text)
            ada.settled()
        ada.select("ada", ada.tasks("ada")[1])
        ada.page.click(".column.mine .tools .remove")
        ada.settled()
        seen = {"by the button": ada.page.evaluate(FOCUS)}
        id = ada.tasks("ada")[1]
        Person(self.url, "Ada").do("ship", team=ada.team, member="ada", id=id)
        ada.wait("(id) => !document.querySelector(`.column.mine .task[data-id='${id}']`)", id)
        seen["to tab to"] = ada.page.locator(".column.mine .task[tabindex='0']").count()
        ada.page.keyboard.press("ArrowDown")
        seen["by the arrow"] = ada.page.evaluate(FOCUS)
        ada.page.keyboard.press("Alt+ArrowUp")
        return {**seen, "read aloud": ada.page.text_content("#said")}

    def files(self) -> Iterator[tuple[str, str]]:
        """What the page says of files."""
        page = self.ada.page
        page.click("#import")
        page.click("#bring .main")
        yield "none", page.inner_text("#bring-told")
        with tempfile.TemporaryDirectory() as folder:
            for name, data in FILES.items():
                path = Path(folder, name)
                path.write_bytes(data)
                page.set_input_files("#bring-file", path)
                self.ada.wait(
                    "() => document.querySelector('#bring-told').textContent"
                    " && !document.querySelector('#bring-file').files.length"
                )
                yield name, page.inner_text("#bring-told")
                page.evaluate("document.querySelector('#bring-told').textContent = ''")
            path = Path(folder, "windows.txt")
            path.write_bytes("Müller anrufen\r\nx Brot\r\n".encode("utf-16"))
            page.set_input_files("#bring-file", path)
            self.ada.wait("() => document.querySelector('#bring-text').value")
            page.click("#bring .main")
            self.ada.reads(".toast", "came in")
            yield "windows.txt", self.toasts(self.ada)
        self.ada.settled()

    def undone(self) -> list[list[str]]:
        """What is taken back sooner than it is done, and what is while one is offline."""
        ada = self.ada
        for text in ("first", "second", "third"):
            ada.add(text)
        ada.page.keyboard.press("Escape")
        ada.page.keyboard.press("u")
        ada.page.keyboard.press("u")
        self.has_not("second")
        seen = [self.texts()[:2]]
        ada.context.set_offline(True)
        ada.add("offline")
        ada.page.keyboard.press("Escape")
        ada.page.keyboard.press("u")
        ada.reads(".toast", "as soon as it is done")
        seen.append(self.texts()[:2])
        ada.context.set_offline(False)
        self.has_not("offline")
        return [*seen, self.texts()[:2]]

    def left(self) -> str:
        """What was written when one goes to the teams."""
        self.writes("left", " but kept")
        self.ada.page.click("#team")
        self.ada.page.wait_for_selector("#choose")
        self.ada.page.go_back()
        self.ada.reads(".column.mine", "left")
        self.ada.settled()
        return self.texts()[0]

    def never_answered(self) -> list[str]:
        """What a page says that has been opened while nobody answers."""
        page = self.cleo.page
        page.route_web_socket("**/live/socket", lambda socket: self.cut and socket.close())
        page.route("**/live/stream*", lambda route: route.abort())
        self.cleo.sign_in()
        # In one turn of the page's own, in which nothing else can have tried.
        self.cleo.wait("""() => {
            if (board.live.status.state !== "offline") return false;
            document.querySelector("#now").click();
            return board.live.status.state === "connecting";
        }""")
        self.cut = False
        page.evaluate("(team) => { location.hash = team; }", self.ada.team)
        self.cleo.reads("#status", "no answer yet")
        lists = page.evaluate(
            "getComputedStyle(document.querySelector('#columns'), '::before').content"
        )
        return [page.inner_text("#status"), lists]

    def signed_out(self) -> dict[str, Any]:
        """The cookie is of no use any more, as when ``make demo`` was started again."""
        ada, bob = self.ada, self.bob
        ada.context.clear_cookies()
        for pid in bob.page.evaluate(
            "() => [...board.live.feed('processes').items]"
            ".filter(([name]) => name.startsWith('web')).map(([, { pid }]) => pid)"
        ):
            kill(pid)
        ada.wait("() => document.querySelector('#again').checkVisibility()")
        ada.add("said without a name")
        ada.reads("#status", "1 action waits")
        seen = {"says": ada.page.inner_text("#status"), "feeds": len(ada.shown()["ada"])}
        ada.page.click("#again")
        ada.sign_in()
        ada.join("txThoonk")
        ada.reads(".column.mine", "said without a name")
        ada.settled()
        bob.reads(".column[data-member=ada]", "said without a name")
        return seen

    # -- what helps -------------------------------------------------------------------------

    def writes(self, text: str, more: str) -> None:
        """Ada adds a task, and begins to write it anew."""
        self.ada.add(text)
        self.ada.settled()
        self.ada.select("ada", self.ada.tasks("ada")[0])
        self.ada.page.keyboard.press("Enter")
        self.ada.page.keyboard.type(more)

    def refused(self) -> None:
        """Wait until the page knows that what is dragged may not go there; it asks then only."""
        self.ada.wait("() => !document.querySelector('.target')")

    def is_open(self) -> bool:
        """Whether something has come up in front of the page."""
        return bool(self.ada.page.locator("dialog[open]").count())

    def has_not(self, text: str) -> None:
        """Wait until a task is not in Ada's list any more."""
        self.ada.wait(
            "(text) => !document.querySelector('.column.mine .tasks').innerText.includes(text)",
            text,
        )
        self.ada.settled()

    def texts(self) -> list[str]:
        """What is in Ada's list."""
        return [text for _, text in self.ada.shown()["ada"]]

    def toasts(self, window: Window) -> str:
        """What the page tells, which is put away."""
        told = window.page.inner_text(".toast:last-child span")
        window.page.evaluate("document.querySelectorAll('.toast').forEach((each) => each.remove())")
        return told


if __name__ == "__main__":
    with browser() as chromium:
        json.dump(Trouble(chromium, sys.argv[1]).run(), sys.stdout)
