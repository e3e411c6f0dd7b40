"""How the board reads task lists that are there already."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from examples.board.importing import (
    LONGEST,
    Task,
    decode,
    read_markdown,
    read_tasks,
    read_todo_txt,
)
from examples.board.sample import make_sample

ROOT = Path(__file__).parents[1]

#: The examples of todo.txt's own description, and what people's files have besides.
TODO_TXT = """\
(A) Call Mom @Phone +Family
(A) Schedule annual checkup +Health
(B) Outline chapter 5 +Novel @Computer
(C) 2011-03-02 Add cover sheets @Office +TPSReports

Plan backyard herb garden @Home
xylophone lesson
X 2012-01-01 Make resolutions
x 2011-03-03 Call Mom
x 2011-03-02 2011-03-01 Review Tim's pull request +TodoTxtTouch @github pri:A due:2011-03-05
(b) Get back to the boss
(B)->Submit TPS report
2011-03-02 Document +TodoTxt task format
x (A) Find ticket prices
Really gotta call Mom (A) @phone @someday
"""

MARKDOWN = """\
Release 1.0
===========

## Before it
- [ ] Write the *changelog* `CHANGELOG.rst`
  and let somebody read it
- [x] Tests pass ([run 12](https://example.org/12))
    - [ ] on the oldest Python
    - [X] on the newest
* [ ] An asterisk
+ [ ] A plus
1. [ ] The first
2) [x] The second

> - [ ] Said by somebody else

- no box
- [] no box either
-[ ] nor this
- [ ]nor this
- [y] nor this

## Not a list ##

```sh
- [ ] in a fence
```

    - [ ] in a block of code

<!-- - [ ] in a
- [ ] comment -->

- text
  ```
  - [ ] in a fence of an item
  ```
  - [ ] below an item without a box

A paragraph
- [ ] after a paragraph
lazily carried on

not carried on
"""


class TodoTxtTests(SynchronousTestCase):
    """todo.txt."""

    def test_format(self) -> None:
        """A line is a task with all that is in its text; dates and x are told apart."""
        self.assertEqual(
            read_todo_txt(TODO_TXT),
            [
                Task("(A) Call Mom @Phone +Family"),
                Task("(A) Schedule annual checkup +Health"),
                Task("(B) Outline chapter 5 +Novel @Computer"),
                Task("(C) Add cover sheets @Office +TPSReports", created="2011-03-02"),
                Task("Plan backyard herb garden @Home"),
                Task("xylophone lesson"),
                Task("X 2012-01-01 Make resolutions"),
                Task("Call Mom", done=True, completed="2011-03-03"),
                Task(
                    "Review Tim's pull request +TodoTxtTouch @github pri:A due:2011-03-05",
                    done=True,
                    created="2011-03-01",
                    completed="2011-03-02",
                ),
                Task("(b) Get back to the boss"),
                Task("(B)->Submit TPS report"),
                Task("Document +TodoTxt task format", created="2011-03-02"),
                Task("(A) Find ticket prices", done=True),
                Task("Really gotta call Mom (A) @phone @someday"),
            ],
        )

    def test_windows(self) -> None:
        """A file from Windows, with its mark in front, is read as any other; and so is none."""
        text = "\ufeff(A) one\r\nx two\r\n\r\nthree \u2028 four"
        self.assertEqual(
            read_todo_txt(text),
            [Task("(A) one"), Task("two", done=True), Task("three four")],
        )
        self.assertEqual(read_todo_txt(" \n\nx \n\t\n"), [Task("x")])


class MarkdownTests(SynchronousTestCase):
    """The check-lists of GitHub's markdown."""

    def test_format(self) -> None:
        """What GitHub shows a box for is a task, under its heading; whatever else is not."""
        before = "Before it"
        self.assertEqual(
            read_markdown(MARKDOWN),
            [
                Task(
                    "Write the *changelog* `CHANGELOG.rst` and let somebody read it", False, before
                ),
                Task("Tests pass ([run 12](https://example.org/12))", True, before),
                Task("on the oldest Python", False, before),
                Task("on the newest", True, before),
                Task("An asterisk", False, before),
                Task("A plus", False, before),
                Task("The first", False, before),
                Task("The second", True, before),
                Task("Said by somebody else", False, before),
                Task("below an item without a box", False, "Not a list"),
                Task("after a paragraph lazily carried on", False, "Not a list"),
            ],
        )

    def test_long(self) -> None:
        """A text beyond all measure is cut, and says so."""
        (task,) = read_markdown(f"- [ ] {'long ' * 1000}")
        self.assertEqual(len(task.text), LONGEST)
        self.assertTrue(task.text.endswith("…"))


class EitherTests(SynchronousTestCase):
    """A file of which nobody has said what it is."""

    def test_which(self) -> None:
        """Boxes make it markdown, or its name does; all else is todo.txt."""
        self.assertEqual(read_tasks("- [ ] a"), [Task("a")])
        self.assertEqual(read_tasks("- a"), [Task("- a")])
        self.assertEqual(read_tasks("- a", "todo.md"), [])
        self.assertEqual(read_tasks("# Title\n\nText.", "README.markdown"), [])

    def test_what_is_no_text(self) -> None:
        """A picture is no list; Windows' UTF-16 is one, and letters are not guessed."""
        for data in ("Müller".encode("latin-1"), b"\x89PNG\r\n", b"\xff\xfe\x00"):
            self.assertRaises(ValueError, decode, data)
        for codec in ("utf-8", "utf-8-sig", "utf-16"):
            text = decode("(A) Müller\r\nx 🎂".encode(codec))
            self.assertEqual(read_tasks(text), [Task("(A) Müller"), Task("🎂", done=True)])
        self.assertEqual(read_tasks("GIF89a\0\0\n- [ ] a"), [])

    @given(st.text(), st.sampled_from(["", "a.md", "todo.txt"]))
    def test_anything(self, text: str, name: str) -> None:
        """Whatever is in a file, reading it ends, and tasks are lines that can be shown."""
        for task in read_tasks(text, name):
            self.assertTrue(task.text.strip())
            self.assertLessEqual(len(task.text), LONGEST)
            self.assertNotIn("\n", task.text)

    def test_sample(self) -> None:
        """What the board begins with is made of this repository's docs, and is worth doing."""
        text = make_sample()
        tasks = read_tasks(text)
        self.assertEqual(len(tasks), text.count("- ["))
        pages = list((ROOT / "docs").glob("*.rst"))
        open_ = [task for task in tasks if not task.done]
        self.assertGreater(len(open_), len(pages))
        for page in pages:
            self.assertTrue([task for task in open_ if f"+{page.stem} " in task.text], page)
        self.assertIn("Read “Feeds” +guide @docs", [task.text for task in open_])
        self.assertTrue([task for task in tasks if task.done])
        self.assertEqual({task.section for task in tasks}, {"Guide", "Pages", "New"})
