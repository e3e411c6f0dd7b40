"""The task list that the board begins with: this repository's own documentation, to be read.

A check-list in GitHub's markdown, made of what is in the checkout: a task for each page in
``docs/`` and each section of the guide, crossed off what the next release brings. The board
reads it as it reads any other list. ``python -m examples.board.sample`` prints it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

__all__ = ["make_sample"]

ROOT = Path(__file__).parents[2]

#: What is under a heading in reStructuredText: one character, as long as the heading or longer.
_UNDERLINE = re.compile(r"([=\-~^])\1{2,}")


def make_sample(root: Path = ROOT) -> str:
    """The check-list as markdown; this reads a dozen small files."""
    lines = ["# Guide"]
    lines += [f"- [ ] Read “{each}” +guide @docs" for each in _headings(root / "docs/guide.rst")]
    lines += ["", "# Pages"]
    for page in sorted((root / "docs").glob("*.rst")):
        title, *sections = _headings(page, top=True)
        about = f"“{sections[0]}” to “{sections[-1]}”" if sections[1:] else "a short one"
        lines.append(f"- [ ] {title}: {about} +{page.stem} @docs")
    lines += ["", "# New"]
    for fragment in sorted((root / "newsfragments").glob("*.feature.rst")):
        slug = fragment.name.removesuffix(".feature.rst").lstrip("+")
        lines.append(f"- [x] {_first_sentence(fragment)} +{slug}")
    return "\n".join(lines) + "\n"


def _headings(page: Path, top: bool = False) -> Iterator[str]:
    """The headings of a page; its title only if *top*."""
    lines = page.read_text(encoding="utf-8").split("\n")
    for heading, line in pairwise(lines):
        is_heading = _UNDERLINE.fullmatch(line) and heading[:1].strip()
        if is_heading and len(line) >= len(heading) and (top or line[0] != "="):
            yield heading.replace("``", "")


def _first_sentence(fragment: Path) -> str:
    text = " ".join(fragment.read_text(encoding="utf-8").split()).replace("``", "`")
    text = re.sub(r"`([^`<]+) <[^>]*>`_+", r"\1", text)
    sentence = re.split(r"(?<=[.;:]) ", text, maxsplit=1)[0].rstrip(".;:")
    return sentence if len(sentence) <= 120 else sentence[:119].rsplit(" ", 1)[0] + " …"


if __name__ == "__main__":
    print(make_sample(), end="")
