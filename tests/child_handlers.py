"""Handlers that the children of the tests run. It imports nothing that a handler does not need."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any


class Refused(Exception):
    """An exception of a module's own."""


class Unspeakable(Exception):
    """An exception whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def echo(id: str, item: Any, cancelled: int) -> Any:
    """What the handler got, and in which process."""
    return [id, item, cancelled, os.getpid()]


def do(id: str, item: str, cancelled: int) -> Any:
    """What the item says, in Python."""
    names: dict[str, Any] = {"id": id}
    exec(item, globals(), names)
    return names.get("result")


def same(id: str, item: Any, cancelled: int) -> Any:
    """The item itself."""
    return item


def meet(id: str, item: list[str], cancelled: int) -> str:
    """Tell by one named pipe that it runs, wait for a word from another."""
    told, word = item
    with open(told, "w") as pipe:
        pipe.write(f"{id} ")
    with open(word) as pipe:
        return pipe.read()


def spin() -> None:
    """Work for ever, after saying so."""
    sys.stdout.write(f"spinning {os.getpid()}\n")
    while True:
        pass


def idle() -> None:
    """Say so."""
    sys.stdout.write(f"idle {os.getpid()}\n")


def sleep(id: str, item: str, cancelled: int) -> None:
    """Let time pass, in as many steps as the item has letters."""
    for _ in item:
        time.sleep(0.01)


def hold_pipes() -> None:
    """Leave a process behind that has all that we have open."""
    if os.fork() == 0:
        signal.alarm(30)
        signal.pause()


async def wait(id: str, item: Any, cancelled: int) -> None:
    """No handler for a child."""
