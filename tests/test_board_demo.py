"""``make demo``: the board as a process, without a browser."""

from __future__ import annotations

import http.client
import os
import pty
import re
import socket
import sys
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from twisted.trial.unittest import SynchronousTestCase

from examples.board import Team
from examples.board.check import Person
from examples.demo.processes import MOST_ILL
from tests.board_helpers import BoardProcess
from tests.programs import runs


class DemoTests(SynchronousTestCase):
    """The first minute, and the last."""

    def board(self, *options: str, **more: int) -> BoardProcess:
        """A board that is over when the test is."""
        board = BoardProcess(*options, **more)
        self.addCleanup(board.kill)
        return board

    def file(self, name: str, text: str) -> str:
        """A file with this in it."""
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        (folder / name).write_text(text, encoding="utf-8")
        return str(folder / name)

    def test_check(self) -> None:
        """Two people use it while everything is killed once or twice; it ends with status 0."""
        board = self.board("--port", "0", "--check")
        self.assertEqual(board.end(), 0, board.output + board.complaints)
        self.assertEqual(board.complaints, "")
        self.assertIn("The board works.", board.output)
        self.assertEqual(board.output.count("takes its place"), 4)
        self.assertEqual(board.output.count("Redis is back"), 2)
        self.assertEqual(board.leftovers(), [])

    def test_first_minute(self) -> None:
        """It says where it is and what to try, in a screenful; Ctrl-C ends it, nothing is left."""
        begin = time.monotonic()
        board = self.board("--port", "0")
        url, redis = board.up()
        self.assertLess(len(board.output.splitlines()), 18)
        self.assertLessEqual(max(map(len, board.output.splitlines())), 100)
        for words in (url, redis, "two windows", "Ctrl-C", "kill -9", "this repository's docs"):
            self.assertIn(words, board.output)
        self.assertLess(time.monotonic() - begin, 30)
        pids = re.findall(r"\b\d{2,}\b", board.output.split("Redis is process")[1])
        self.assertEqual(sum(runs(int(pid)) for pid in pids), 5)
        board.interrupt()
        self.assertEqual(board.end(), 0)
        self.assertEqual(board.complaints, "")
        self.assertEqual(board.leftovers(), [])

    def test_page(self) -> None:
        """Only who is signed in, by their own name, gets the board; nothing else is served."""
        board = self.board("--port", "0")
        url, _ = board.up()
        host = urlsplit(url).netloc
        cookie = ""

        def get(path: str, method: str = "GET", body: str = "") -> http.client.HTTPResponse:
            form = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}
            with closing(http.client.HTTPConnection(host, timeout=20)) as connection:
                connection.request(method, path, body or None, form)
                answer = connection.getresponse()
                answer.text = answer.read().decode()  # type: ignore[attr-defined]  # kept with the answer
                return answer

        self.assertIn("there is no password", " ".join(get("/").text.split()))
        self.assertEqual(get("/as/ada/").status, 302)
        signed = get("/sign-in", "POST", "name=Ada+Lovelace")
        self.assertEqual((signed.status, signed.headers["Location"]), (303, "/as/ada-lovelace/"))
        given = signed.headers["Set-Cookie"].lower()
        for part in ("path=/as/ada-lovelace/", "httponly", "samesite=strict"):
            self.assertIn(part, given)
        cookie = signed.headers["Set-Cookie"].split(";")[0]
        page = get("/as/ada-lovelace/")
        self.assertEqual(page.status, 200)
        policy = page.headers["Content-Security-Policy"]
        self.assertIn("script-src 'self'", policy)
        self.assertNotIn("unsafe", policy)
        # A browser that comes by another address than 127.0.0.1 would complain.
        self.assertNotIn("Cross-Origin-Opener-Policy", page.headers)
        self.assertNotIn("<script>", page.text)
        self.assertEqual(get("/as/bob/").status, 302, "the cookie is Ada's")
        self.assertEqual(get("/as/bob/live/feeds/teams").status, 401, "not 403: he may sign in")
        self.assertEqual(get("/as/bob/live/actions/here", "POST", "{}").status, 401)
        self.assertEqual(get("/as/ada-lovelace/live/feeds/teams").status, 200)
        cookie = cookie[:-1] + ("0" if cookie[-1] != "0" else "1")
        self.assertEqual(get("/as/ada-lovelace/").status, 302, "the cookie is forged")
        self.assertEqual(get("/sign-in", "POST", "name=+%00").status, 302)
        for path in ("/page/../web.py", "/page/%2e%2e/web.py", "/page//etc/passwd", "/nothing"):
            self.assertEqual(get(path).status, 404, path)

    def test_killed(self) -> None:
        """If the board itself is killed, no process of it goes on, and no folder stays."""
        board = self.board("--port", "0")
        board.up()
        board.process.kill()
        deadline = time.monotonic() + 20
        while board.leftovers() and time.monotonic() < deadline:
            board.process.poll()
            time.sleep(0.05)
        self.assertEqual(board.leftovers(), [])

    def test_keys(self) -> None:
        """At a terminal r, w and k kill something, s brings a new action, and Ctrl-D ends it."""
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        board = self.board("--port", "0", stdin=theirs)
        os.close(theirs)
        url, _ = board.up()
        for key, killed in (("w", "web 1"), ("k", "worker 1")):
            os.write(ours, f"{key}\n".encode())
            board.read_until(f"{killed} (")
        for _ in range(2 * MOST_ILL + 3):
            os.write(ours, b"k\n")
            board.read_until("takes its place")  # each time: a killed process is no ill one
        os.write(ours, b"r\n")
        board.read_until("Redis is back")
        os.write(ours, b"?\n")
        board.read_until("r, w, k or s")
        os.write(ours, b"s\n")
        board.read_until("star 1")
        ada = Person(url, "Ada")
        self.assertEqual(ada.do("join", team="353")["code"], 200)
        ada.do("add", team="353", member="ada", text="shine")
        ada.sees("actions:board", lambda found: "star" in dict(found), "the new action")
        ((id, _),) = ada.read(Team("353").tasks("ada"))
        self.assertEqual(ada.do("star", team="353", member="ada", id=id)["result"], {"star": True})
        os.write(ours, b"\x04")
        self.assertEqual(board.end(), 0)
        self.assertEqual(board.complaints, "")
        self.assertEqual(board.leftovers(), [])

    def test_import(self) -> None:
        """A todo.txt of one's own is what the board begins with; what is done in it is shipped."""
        path = self.file("todo.txt", "(A) Call Mum +family @phone\nx 2026-01-31 Pay the bill\n")
        board = self.board("--port", "0", "--import", path)
        url, _ = board.up()
        self.assertIn(f"2 tasks from {path}", board.output)
        ada = Person(url, "Ada")
        ada.do("join", team="353")
        names = Team("353")
        ((_, task),) = ada.read(names.tasks("docs"))
        ((_, done),) = ada.read(names.shipped("docs"))
        self.assertEqual(task["text"], "(A) Call Mum +family @phone")
        self.assertEqual((done["text"], done["completed"]), ("Pay the bill", "2026-01-31"))
        self.assertEqual(dict(ada.read("teams"))["353"]["name"], "todo.txt")

    def test_what_cannot_be(self) -> None:
        """A file that is not there or has no task, and a port that is taken, are one clear line."""
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        port = str(taken.getsockname()[1])
        for options, words in (
            (("--import", "/nowhere/todo.txt"), "/nowhere/todo.txt"),
            (("--import", self.file("a.md", "# Nothing\n")), "neither todo.txt nor a markdown"),
            (("--import", sys.executable), "python.*: this is no text in UTF-8"),
            (("--import", self.file("many.txt", "task\n" * 501)), "many.txt: 501 tasks in .* 500"),
            (("--import", self.file("long.txt", "ä" * 100_001)), "long.txt: .* 200,002 bytes"),
            (("--port", port), f"port {port} of 127.0.0.1"),
        ):
            board = self.board(*options)
            self.assertEqual(board.end(), 1, options)
            self.assertRegex(board.complaints, rf"\AThe demo failed: .*{words}.*\n\Z")
            self.assertEqual(board.output, "")

    def test_usual_port(self) -> None:
        """Where 8080 is taken the next free one is found, and told."""
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                taken.bind(("127.0.0.1", 8080))
                taken.listen()
            except OSError:
                pass  # somebody else has it: just as good
            board = self.board()
            url, _ = board.up()
            self.assertNotIn(":8080/", url)
            self.assertEqual(Person(url, "Ada").read("teams")[0][0], "353")
