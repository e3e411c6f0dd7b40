"""Task lists that are there already: todo.txt, and the check-lists of GitHub's markdown.

Nothing is thrown away: priorities, contexts and projects stay in a task's text, where the page
shows them; the dates of todo.txt and the heading above a check-list are kept beside it.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Task", "decode", "read_markdown", "read_tasks", "read_todo_txt"]

#: Characters of a task's text; what is longer ends in an ellipsis.
LONGEST = 500


@dataclass(frozen=True)
class Task:
    """One task of a list.

    :ivar text: as it stands in the file, its priority, contexts and projects too.
    :ivar done: whether it is crossed off.
    :ivar section: the heading it is under; todo.txt has none.
    :ivar created: the day it was written down, ``2026-01-31``; empty if the file does not say.
    :ivar completed: the day it was done, in the same form.
    """

    text: str
    done: bool = False
    section: str = ""
    created: str = ""
    completed: str = ""


_DAY = r"\d{4}-\d{2}-\d{2}"
# x COMPLETED CREATED text, both dates optional; for what is not done (A) CREATED text.
_DONE = re.compile(rf"x (?:({_DAY}) )?(?:({_DAY}) )?(.*)")
_OPEN = re.compile(rf"(\([A-Z]\) )?(?:({_DAY}) )?(.*)")

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_QUOTE = re.compile(r" {0,3}> ?")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$")
_ITEM = re.compile(r"([ \t]*)(?:[-*+]|\d{1,9}[.)])([ \t]+)(.*)")
_BOX = re.compile(r"\[([ xX])\][ \t]+(\S.*)")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)


def read_todo_txt(text: str) -> list[Task]:
    """Read todo.txt: a task is a line; see https://github.com/todotxt/todo.txt."""
    tasks = []
    for line in _lines(text):
        line = line.strip()
        if match := _DONE.fullmatch(line):
            completed, created, rest = match[1] or "", match[2] or "", match[3]
            if rest.strip():
                tasks.append(_task(rest, True, "", created, completed))
        elif match := _OPEN.fullmatch(line):
            priority, created, rest = match[1] or "", match[2] or "", match[3]
            if rest.strip():
                tasks.append(_task(priority + rest, False, "", created, ""))
    return tasks


def read_markdown(text: str) -> list[Task]:
    """Read the check-lists of GitHub-flavoured markdown: list items that begin with a box.

    ``- [ ] text`` and ``1. [x] text``, nested or quoted too, each a task of its own; lines that
    carry a text on belong to it. Code, comments and lists without boxes are no tasks.
    """
    tasks: list[Task] = []
    section = fence = ""
    indents: list[int] = []  # of the texts of the list items that are open here
    carried = False  # whether a plain line goes on with the last task
    for line in _lines(_COMMENT.sub(_blank, text)):
        while match := _QUOTE.match(line):
            line = line[match.end() :]
        line = line.expandtabs(4)
        indent = len(line) - len(line.lstrip())
        if match := _FENCE.match(line[min(indent, indents[-1]) :] if indents else line):
            if not fence:
                indents = [each for each in indents if each <= indent]
                fence = match[1]
            elif match[1].startswith(fence) and not line.strip(" `~"):
                fence = ""
            carried = False
        elif fence:
            continue
        elif not line.strip():
            carried = False
        elif match := _HEADING.match(line):
            section, indents, carried = match[1], [], False
        else:
            item = _ITEM.fullmatch(line)
            # Four blanks beyond what is open here begin code.
            open_at = [each for each in indents if each <= indent]
            if indent >= (open_at[-1] if open_at else 0) + 4 and not carried:
                continue
            if item:
                indents = [*open_at, item.start(3)]
                box = _BOX.fullmatch(item[3])
                carried = box is not None
                if box:
                    tasks.append(_task(box[2], box[1] != " ", section))
            elif carried:
                last = tasks[-1]
                tasks[-1] = _task(f"{last.text} {line.strip()}", last.done, section)
            elif not open_at:
                indents = []
    return tasks


def decode(data: bytes) -> str:
    """The text of a file: UTF-8, or UTF-16 with its mark in front.

    :raises ValueError: if it is neither.
    """
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if marked else "utf-8")
    except UnicodeDecodeError:
        raise ValueError("this is no text in UTF-8") from None


def read_tasks(text: str, name: str = "") -> list[Task]:
    """Read either, by the file's name if that tells, else by what is in it.

    :param name: of the file; ``.md`` and ``.markdown`` are markdown.
    :returns: none of what is no text, but has NUL in it.
    """
    if "\0" in text:
        return []
    if name.lower().endswith((".md", ".markdown")):
        return read_markdown(text)
    return read_markdown(text) or read_todo_txt(text)


def _task(text: str, done: bool, section: str, created: str = "", completed: str = "") -> Task:
    text = " ".join(text.split())
    if len(text) > LONGEST:
        text = text[: LONGEST - 1] + "…"
    return Task(text, done, " ".join(section.split())[:80], created, completed)


def _lines(text: str) -> Iterator[str]:
    """Lines without what Windows adds; other characters that end lines elsewhere are text."""
    yield from text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _blank(match: re.Match[str]) -> str:
    """Keep the lines of a comment, so that what stands after it is where it was."""
    return "\n" * match[0].count("\n")
