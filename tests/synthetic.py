"""Git repositories made up in no time, with all that makes histories hard to read."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator

__all__ = ["make_repository"]

#: Names that break parsers: of lines, of columns, of quotes, of renames, of text.
ODD_PATHS = (
    b"plain.txt",
    b" leading and trailing ",
    b"tab\tinside",
    b"new\nline",
    b'"quoted" \\back',
    b"old => new",
    b"{old => new}/a",
    b"-\t-\tnumstat",
    b"3\t4\tnumstat",
    b"d\xc3\xa9j\xc3\xa0 vu",
    b"no utf-8 \xff\xfe",
    b"\x01\x1b[31m red",
    b"deep/er/and/deeper",
    b"--option",
    b"0123456789012345678901234567890123456789",
)
ODD_AUTHORS = (b"Ada Lovelace", b"J\xf6rg", b"  ", b"", b'O\'Brien "X"', b"commit " + b"0" * 40)
ODD_SUBJECTS = (
    b"Fix it",
    b"",
    b"1\t2\tno numstat",
    b"\xff\xfe",
    b"tab\there",
    b"<b>&amp;",
    b"%x00",
)


def quote(path: bytes) -> bytes:
    """A path as fast-import reads it."""
    return b'"' + b"".join(b"\\%03o" % byte for byte in path) + b'"'


def stream(commits: int, files: int, authors: int, seed: int) -> Iterator[bytes]:
    """A history for ``git fast-import``: edits, binaries, renames, deletions, merges, nothing."""
    chance = random.Random(seed)
    paths = [*ODD_PATHS, *(b"src/%d/file%d.c" % (n % 40, n) for n in range(files))]
    names = [*ODD_AUTHORS, *(b"Author %d" % n for n in range(authors))]
    alive: set[bytes] = set()
    for number in range(1, commits + 1):
        author = names[number % len(names)] if number < 50 else chance.choice(names)
        subject = chance.choice(ODD_SUBJECTS)
        yield b"commit refs/heads/main\nmark :%d\n" % number
        for who in (b"author", b"committer"):
            yield b"%s %s <a@b.c> %d +0100\n" % (who, author, 1_500_000_000 + number)
        yield b"data %d\n%s\n" % (len(subject), subject)
        if number > 1:
            yield b"from :%d\n" % (number - 1)
        if number % 13 == 0:
            yield b"merge :%d\n" % max(1, number - 7)
        if number % 11 == 0:
            yield b"\n"
            continue  # an empty commit
        if number % 17 == 0 and alive:
            old = chance.choice(sorted(alive))
            new = old + b".moved %d" % number
            alive.remove(old)
            alive.add(new)
            yield b"R %s %s\n" % (quote(old), quote(new))
        elif number % 19 == 0 and alive:
            gone = chance.choice(sorted(alive))
            alive.remove(gone)
            yield b"D %s\n" % quote(gone)
        for path in sorted(
            {chance.choice(paths[: 3 + number]) for _ in range(chance.randint(1, 4))}
        ):
            alive.add(path)
            if number % 7 == 0:
                content = b"\0binary %d" % number
            else:
                lines = chance.randint(1, 30)
                content = b"".join(b"%d %d\n" % (chance.randint(0, 9), n) for n in range(lines))
            yield b"M 644 inline %s\ndata %d\n%s\n" % (quote(path), len(content), content)
        yield b"\n"


def make_repository(
    path: str, commits: int, files: int = 20, authors: int = 5, seed: int = 1
) -> None:
    """Make a repository with a history; the same for the same arguments."""
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", path], check=True)
    subprocess.run(
        ["git", "-C", path, "fast-import", "--quiet"],
        input=b"".join(stream(commits, files, authors, seed)),
        check=True,
    )


if __name__ == "__main__":
    make_repository(sys.argv[1], *map(int, sys.argv[2:]))
