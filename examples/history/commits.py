"""A repository's history, commit by commit, in one pass of ``git log --numstat -z``.

Everything here blocks: the service calls it in threads.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import islice
from typing import IO, NamedTuple

__all__ = ["Change", "Commit", "GitError", "Repository", "tokens"]

#: sha, author, date, subject; -z ends each with a NUL. Then come the files, as
#: "added TAB deleted TAB path", or "added TAB deleted TAB", old path, new path; the first one
#: behind a newline. A header is known by its length, so no text in it can be taken for a file.
HEADER = "%H%x00%an%x00%aI%x00%s"
HEADER_LENGTH = 4

#: Whatever the user's own configuration says.
LOG = (
    *("-c", "log.showRoot=true", "log", "-z", "--numstat", "-O/dev/null"),
    *("--find-renames", "--no-ext-diff", "--no-textconv", "--no-color", "--no-show-signature"),
    *("--submodule=short", "--encoding=UTF-8"),
)

_ENTRY = re.compile(rb"\n?(?:\d+|-)\t(?:\d+|-)\t(.*)", re.DOTALL)


class GitError(Exception):
    """git failed; the text is its own."""


class Change(NamedTuple):
    """What a commit did to a file: lines, both 0 if it is binary."""

    added: int
    deleted: int
    path: bytes


class Commit(NamedTuple):
    """A commit; names are bytes, as git has them."""

    number: int
    sha: bytes
    author: bytes
    date: bytes
    subject: bytes
    changes: list[Change]

    @classmethod
    def parse(cls, record: bytes) -> Commit:
        """Read what the publisher put: the number, and what git wrote, divided by NULs."""
        number, sha, author, date, subject, *rest = record.split(b"\0")
        changes = []
        entries = iter(rest)
        for entry in entries:
            added, deleted, path = entry.removeprefix(b"\n").split(b"\t", 2)
            if not path:  # renamed: the old path, then the new one
                next(entries)
                path = next(entries)
            binary = added == b"-"
            changes.append(Change(*((0, 0) if binary else (int(added), int(deleted))), path))
        return cls(int(number), sha, author, date, subject, changes)

    def line(self) -> str:
        """The commit for people."""
        author, subject = (decode(text) for text in (self.author, self.subject))
        return f"{decode(self.date[:10])} {author}: {subject} ({self.extent()})"

    def extent(self) -> str:
        """How much it changed, for people."""
        count = len(self.changes)
        added = sum(change.added for change in self.changes)
        deleted = sum(change.deleted for change in self.changes)
        return f"{count} file{'' if count == 1 else 's'}, +{added} -{deleted}"


def decode(data: bytes) -> str:
    """Names as text; bytes that are no UTF-8 are kept."""
    return data.decode("utf-8", "surrogateescape")


class Repository:
    """A git repository at one commit.

    :param path: of the repository, or of a folder in it.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._closed = False
        self._head = ""

    def open(self) -> int:
        """Find out where it stands now; says how many commits lead there.

        :raises GitError: if it is no repository, or has no commit.
        """
        self._head = self._ask("log", "-1", "--format=%H", "--no-show-signature")
        return int(self._ask("rev-list", "--count", self._head))

    def close(self) -> None:
        """End every git that still runs; what reads from one then fails with GitError."""
        self._closed = True
        for process in tuple(self._processes):
            process.kill()

    def records(self) -> Iterator[bytes]:
        """Every commit as a record for :meth:`Commit.parse`, the oldest first."""
        fields = self.log(HEADER, "--reverse")
        following = next(fields, None)
        number = 0
        while following is not None:
            record = [b"%d" % number, following, *islice(fields, HEADER_LENGTH - 1)]
            following = next(fields, None)
            while following is not None and (entry := _ENTRY.fullmatch(following)):
                record.append(following)
                if not entry[1]:
                    record += islice(fields, 2)
                following = next(fields, None)
            yield b"\0".join(record)
            number += 1

    def log(self, header: str, *options: str) -> Iterator[bytes]:
        """What ``git log --numstat -z`` prints, NUL by NUL."""
        with tempfile.TemporaryFile() as errors:
            format = f"--format=tformat:{header}"
            process = self._start(errors, *LOG, format, *options, self._head, "--")
            try:
                assert process.stdout is not None
                yield from tokens(process.stdout)
            finally:
                self._reap(process)
            self._check(process, errors)

    def _ask(self, *arguments: str) -> str:
        with tempfile.TemporaryFile() as errors:
            process = self._start(errors, *arguments)
            answer, _ = process.communicate()
            self._reap(process)
            self._check(process, errors)
        return answer.decode().strip()

    def _start(self, errors: IO[bytes], *arguments: str) -> subprocess.Popen[bytes]:
        try:
            # In a session of its own: a Ctrl-C is for us, and we end it.
            process = subprocess.Popen(
                ["git", "-C", self.path, "--no-pager", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        except OSError as error:
            raise GitError(f"cannot run git: {error}") from None
        self._processes.add(process)
        if self._closed:
            process.kill()
        return process

    def _reap(self, process: subprocess.Popen[bytes]) -> None:
        """Read no more of it: it ends, by itself or by the broken pipe."""
        assert process.stdout is not None
        process.stdout.close()
        process.wait()
        self._processes.discard(process)

    def _check(self, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        """Let git's own words tell what went wrong, if it did."""
        if process.returncode:
            errors.seek(0)
            text = errors.read().decode(errors="replace").strip()
            why = text.splitlines()[0] if text else f"git ended with status {process.returncode}"
            raise GitError(f"{self.path}: {why}")


def tokens(stream: IO[bytes]) -> Iterator[bytes]:
    """What is divided by NULs, as it comes."""
    rest = b""
    while chunk := stream.read1(1 << 16):  # type: ignore[attr-defined]  # a pipe is buffered
        *whole, rest = (rest + chunk).split(b"\0")
        yield from whole
    if rest:
        yield rest
