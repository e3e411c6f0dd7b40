"""``make demo CHECK=1``: the board used as two people would, while processes are killed."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from uuid import uuid4

from examples.board import Team

__all__ = ["CheckFailed", "Person", "check"]

#: Seconds that anything may take, and between two looks.
PATIENCE, LOOK = 30.0, 0.05
#: Codes of what is to be asked again.
LATER = (202, 429, 500, 502, 503, 504)


class CheckFailed(Exception):
    """The board did something else than it should."""


class Person:
    """Somebody who is signed in, as a program without a browser. Everything here blocks.

    :param url: of the board.
    :param name: to sign in with.
    """

    def __init__(self, url: str, name: str) -> None:
        self._host = urlsplit(url).netloc
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer, _ = self._ask("POST", "/sign-in", urlencode({"name": name}), form)
        self._path = answer.headers["Location"]
        self._cookie = answer.headers["Set-Cookie"].split(";")[0]
        self.id = self._path.strip("/").split("/")[-1]

    def do(self, action: str, /, **payload: Any) -> dict[str, Any]:
        """Take an action, and wait for its answer, however often that has to be asked for."""
        body = json.dumps({"payload": payload, "id": uuid4().hex})
        headers = {"Content-Type": "application/json", "Prefer": "wait=5"}
        return self._patiently("POST", f"live/actions/{quote(action)}", body, headers)

    def read(self, feed: str) -> list[tuple[str, Any]]:
        """What is in a feed, in order."""
        answer = self._patiently("GET", f"live/feeds/{quote(feed)}")
        return [(id, item) for id, item in answer["items"]]

    def sees(self, feed: str, right: Callable[[list[tuple[str, Any]]], Any], what: str) -> None:
        """Wait until what is in a feed is right."""
        deadline = time.monotonic() + PATIENCE
        while not right(self.read(feed)):
            if time.monotonic() > deadline:
                raise CheckFailed(f"{self.id} never sees {what}")
            time.sleep(LOOK)

    def _patiently(self, method: str, path: str, *more: Any) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                answer, data = self._ask(method, self._path + path, *more)
                if answer.status not in LATER:
                    found: dict[str, Any] = json.loads(data)
                    return found
                problem = f"{answer.status} {data[:200]!r}"
            except (OSError, http.client.HTTPException) as error:
                problem = str(error)  # the process was killed while it answered
            if time.monotonic() > deadline:
                raise CheckFailed(f"{method} {path}: {problem}")
            time.sleep(LOOK)

    def _ask(
        self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        headers = dict(headers or {})
        if hasattr(self, "_cookie"):
            headers["Cookie"] = self._cookie
        with closing(http.client.HTTPConnection(self._host, timeout=PATIENCE)) as connection:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer, answer.read()


def check(url: str, team: str, kill: Callable[[str], object], say: Callable[[str], object]) -> None:
    """Use the board.

    :param kill: ends a process of a kind by force: ``redis``, ``web`` or ``worker``.
    :param say: is told how it goes.
    :raises CheckFailed: if it is not as it should be.
    """
    names = Team(team)
    ada, bob = Person(url, "Ada"), Person(url, "Bob")
    mine = names.tasks(ada.id)

    def expect(answer: dict[str, Any], code: int, what: str) -> Any:
        if answer["code"] != code:
            raise CheckFailed(f"{what}: {answer}, not {code}")
        return answer.get("result")

    def texts(found: list[tuple[str, Any]]) -> list[str]:
        return [item["text"] for _, item in found]

    for person in (ada, bob):
        expect(person.do("join", team=team), 200, "join")
    say("  two people have joined")
    wanted: list[str] = []
    for kind in ("", "redis", "web", "worker", "redis", "web", "worker"):
        if kind:
            kill(kind)
        who, text = (bob, ada)[len(wanted) % 2], f"task {len(wanted)}"
        expect(who.do("add", team=team, member=ada.id, text=text), 200, "add")
        wanted.insert(0, text)
        for person in (ada, bob):
            person.sees(mine, lambda found: texts(found) == wanted, f"{wanted}")
    say("  whatever was killed, each task that was added is there once, in order")
    ids = [id for id, _ in ada.read(mine)]
    expect(bob.do("move", team=team, member=ada.id, id=ids[0], position=":end"), 200, "move")
    expect(bob.do("ship", team=team, member=ada.id, id=ids[1]), 403, "ship another's task")
    expect(ada.do("ship", team=team, member=ada.id, id=ids[1]), 200, "ship")
    expect(ada.do("delegate", team=team, member=ada.id, id=ids[2], to=bob.id), 200, "delegate")
    expect(ada.do("delegate", team=team, member=ada.id, id=ids[3], to="eve"), 403, "delegate")
    bob.sees(names.tasks(bob.id), lambda found: texts(found) == [wanted[2]], "what he was given")
    last, _ = ada.read(names.undo(ada.id))[-1]
    expect(ada.do("undo", team=team, act=last), 200, "undo")
    expect(ada.do("undo", team=team, act=last), 409, "undo it twice")
    left = wanted[2:] + wanted[:1]
    for person in (ada, bob):
        person.sees(mine, lambda found: texts(found) == left, f"{left}")
    say("  moved, shipped, delegated, and taken back; who may not is refused")
    expect(bob.do("say", team=team, text="Well done"), 200, "say")
    ada.sees(names.chat, lambda found: texts(found) == ["Well done"], "what was said")
    say("The board works.")
