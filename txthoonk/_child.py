"""What runs in a child process of :class:`txthoonk.children.Children`.

It loads the handler, and then runs one job after the other. The child starts this file by its
path, without the package around it: it needs nothing of Twisted, and it shall cost no more than
the handler does. The parent imports it as any module, for how the two talk.

A message is its length in four bytes, a letter that says what it is, and what belongs to it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, Final

__all__ = [
    "ANSWERS",
    "BOOT",
    "JOBS",
    "LARGEST",
    "SIGNALS",
    "is_child",
    "message",
    "pack",
    "pack_job",
    "pack_setup",
    "unpack",
]

#: Where the child reads jobs, and where it writes answers. Its standard streams are the handler's.
JOBS: Final = 3
ANSWERS: Final = 4

#: How large an item or a result may be, in bytes.
LARGEST: Final = 100 * 1024 * 1024
#: No message is larger: a traceback or an id may come on top.
LARGEST_MESSAGE: Final = LARGEST + 1024 * 1024

#: What the parent decides about. The child is started with these blocked, until it is deaf to them.
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

#: The child's program: what it runs is the file that its first argument names. Nothing is imported
#: from the current folder before the parent has said where to import from.
BOOT: Final = """\
import sys
sys.path[:] = filter(None, sys.path)
module = sys.modules["txthoonk._child"] = type(sys)("txthoonk._child")
module.__file__ = sys.argv[1]
with open(module.__file__, "rb") as file:
    exec(compile(file.read(), module.__file__, "exec"), module.__dict__)
sys.exit(module.main())
"""

# From the parent.
SETUP: Final = b"S"
JOB: Final = b"J"
# From the child. What follows BROKEN and FAILED: name, text and traceback of the exception.
READY: Final = b"R"
BROKEN: Final = b"B"
DONE: Final = b"D"
FAILED: Final = b"F"
RETRY: Final = b"A"
STALL: Final = b"P"
UNFIT: Final = b"U"

# How a value travels.
_TEXT: Final = b"s"
_BYTES: Final = b"b"
_OTHER: Final = b"m"

# How much of an exception's text and of its traceback is told, in characters.
_TEXT_LENGTH: Final = 10_000
_TRACEBACK_LENGTH: Final = 50_000

_PLAIN: Final = frozenset({str, bytes, int, float, bool, type(None)})
_PR_SET_PDEATHSIG: Final = 1
_COROUTINES: Final = 0x80 | 0x200  # CO_COROUTINE, CO_ASYNC_GENERATOR of a code object

_child = False


def is_child() -> bool:
    """Whether this process is a child of a pool."""
    return _child


# -- what travels -------------------------------------------------------------------------------


def message(kind: bytes, *parts: bytes) -> list[bytes]:
    """A message, in pieces: what is large is not copied."""
    size = len(kind) + sum(map(len, parts))
    return [size.to_bytes(4, "big") + kind, *parts]


def pack(value: Any, what: str) -> list[bytes]:
    """
    Make bytes of an item or a result.

    :param what: the word for it in an error.
    :raises TypeError: if it is of a type that cannot travel.
    :raises ValueError: if it is larger than :data:`LARGEST`.
    """
    # Text may have surrogates, of bytes that were no UTF-8. They come out as they went in.
    if type(value) is str:
        parts = [_TEXT, value.encode("utf-8", "surrogatepass")]
    elif type(value) is bytes:
        parts = [_BYTES, value]
    else:
        from msgspec import msgpack

        try:
            parts = [_OTHER, msgpack.encode(value)]
        except Exception as error:  # of many kinds: unsupported, too large a number, a cycle ...
            raise TypeError(
                f"{what} of type {type(value).__name__} cannot go to or from a child process: "
                f"{clean(str(error))}"
            ) from None
    if len(parts[1]) > LARGEST:
        raise ValueError(
            f"{what} of {len(parts[1])} bytes is too large to go to or from a child process: "
            f"at most {LARGEST}"
        )
    return parts


def check_plain(value: Any, what: str) -> None:
    """
    See that a value comes out of :func:`unpack` as it went into :func:`pack`, which took it.

    :raises TypeError: if it is, or has in it, anything but ``str bytes int float bool None list
        dict``: a dataclass would arrive as a dict, a set as a list.
    """
    todo = [value]
    for each in todo:
        kind = type(each)
        if kind in _PLAIN:
            continue
        if kind is list:
            parts = each
        elif kind is dict:
            parts = [*each, *each.values()]
        else:
            raise TypeError(
                f"{what} cannot go to a child process: there is {kind.__name__} in it, and only "
                "str, bytes, int, float, bool, None, list and dict travel"
            )
        # Most lists are of plain things, and then this is all that they cost.
        if not _PLAIN.issuperset(map(type, parts)):
            todo += (part for part in parts if type(part) not in _PLAIN)


def unpack(data: memoryview) -> Any:
    """What :func:`pack` made bytes of."""
    kind, rest = bytes(data[:1]), data[1:]
    if kind == _TEXT:
        return str(rest, "utf-8", "surrogatepass")
    if kind == _BYTES:
        return bytes(rest)
    from msgspec import msgpack

    return msgpack.decode(rest)


def pack_setup(parent: int, handler: str) -> list[bytes]:
    """The first message: who the parent is, what to run, and where to import it from."""
    words = [str(parent), handler, *(path for path in sys.path if isinstance(path, str))]
    return message(SETUP, b"\0".join(map(os.fsencode, words)))


def pack_job(id: str, item: Any, cancelled: int) -> list[bytes]:
    """
    The message that has a job run.

    :raises TypeError: if the item is of a type that cannot travel.
    :raises ValueError: if it is too large.
    """
    parts = pack(item, "an item")  # first: it refuses what has no end
    check_plain(item, "an item")
    name = id.encode("utf-8", "surrogatepass")
    head = cancelled.to_bytes(8, "big", signed=True) + len(name).to_bytes(4, "big")
    return message(JOB, head, name, *parts)


def _unpack_job(data: memoryview) -> tuple[str, Any, int]:
    cancelled = int.from_bytes(data[:8], "big", signed=True)
    end = 12 + int.from_bytes(data[8:12], "big")
    return str(data[12:end], "utf-8", "surrogatepass"), unpack(data[end:]), cancelled


def clean(text: str) -> str:
    """Text that can be told in UTF-8, whatever was in it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


# -- in the child -------------------------------------------------------------------------------


def main() -> int:
    """
    Run jobs until the parent closes the pipe, or is gone.

    :returns: the exit status: 1 if the handler could not be loaded.
    """
    global _child
    _child = True
    # A terminal's Ctrl-C is for the parent; who kills this group kills what the handler started.
    os.setpgid(0, 0)
    # Not SIG_IGN: that would be handed on to programs that the handler starts.
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    os.set_inheritable(JOBS, False)
    os.set_inheritable(ANSWERS, False)
    jobs = open(JOBS, "rb")  # noqa: SIM115  # as long as the process
    try:
        return _serve(jobs)
    except BrokenPipeError:
        return 0  # nobody is there to be told


def _serve(jobs: BinaryIO) -> int:
    setup = _receive(jobs)
    if setup is None:
        return 0
    parent, path, *sys.path[:] = map(os.fsdecode, bytes(setup[1:]).split(b"\0"))
    _end_with(int(parent))
    _prepare_output()
    try:
        handler = _load(path)
    except BaseException as error:  # sys.exit() in a module, too
        _send(message(BROKEN, _described(error)))
        return 1
    _send(message(READY))
    while (data := _receive(jobs)) is not None:
        answer = _answer(handler, data)
        data.release()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # whatever the handler made of them
                stream.flush()
        _send(answer)
    return 0


def _receive(jobs: BinaryIO) -> memoryview | None:
    head = jobs.read(4)
    size = int.from_bytes(head, "big")
    data = jobs.read(size) if len(head) == 4 else b""
    return memoryview(data) if data and len(data) == size else None


def _send(parts: list[bytes]) -> None:
    for part in parts:
        left = memoryview(part)
        while left:
            left = left[os.write(ANSWERS, left) :]


def _prepare_output() -> None:
    """Show what the handler prints when it prints it, and where it was if it crashes."""
    import faulthandler
    import io

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    if sys.stderr is not None:
        faulthandler.enable()


def _end_with(parent: int) -> None:
    """End with the parent, however it ends, and whatever the handler is doing."""
    if sys.platform == "linux":
        try:
            import ctypes

            set_option = ctypes.CDLL(None).prctl
            zeros = [ctypes.c_ulong()] * 3
            wish = ctypes.c_ulong(signal.SIGKILL)
            if set_option(_PR_SET_PDEATHSIG, wish, *zeros) == 0:
                if os.getppid() != parent:  # it was faster
                    os._exit(1)
                return
        except (ImportError, OSError, AttributeError):
            pass
    # Elsewhere, all but a handler that never lets go of Python's lock is ended like this.
    import threading

    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    import time

    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


def _load(path: str) -> Callable[[str, Any, int], Any]:
    """The handler of that name, ``package.module:name``."""
    module, _, name = path.partition(":")
    __import__(module)
    handler: Any = sys.modules[module]
    for part in name.split("."):
        handler = getattr(handler, part)
    if not callable(handler):
        raise TypeError(f"{path} is no function, but of type {type(handler).__name__}")
    if getattr(getattr(handler, "__code__", None), "co_flags", 0) & _COROUTINES:
        raise TypeError(f"{path} is async, and a child process runs plain functions only")
    found: Callable[[str, Any, int], Any] = handler
    return found


def _answer(handler: Callable[[str, Any, int], Any], data: memoryview) -> list[bytes]:
    """Run one job."""
    try:
        result = handler(*_unpack_job(data[1:]))
    except BaseException as error:  # SystemExit, too: one job's end is not that of the others
        return _raised(error)
    try:
        return message(DONE, *pack(result, "a result"))
    except (TypeError, ValueError) as error:
        return message(UNFIT, type(error).__name__.encode(), b"\0", str(error).encode())


def _raised(error: BaseException) -> list[bytes]:
    # Whoever raises one of these has imported them.
    words: Any = sys.modules.get("txthoonk.worker")
    if isinstance(error, getattr(words, "Retry", ())):
        delay = getattr(error, "delay", None)
        text = "" if delay is None else repr(float(delay))
        return message(RETRY, f"{text}\0{clean(str(getattr(error, 'why', '')))}".encode())
    if isinstance(error, getattr(words, "Stall", ())):
        return message(STALL, clean(str(getattr(error, "reason", error))).encode())
    return message(FAILED, _described(error))


def _described(error: BaseException) -> bytes:
    """Name, text and traceback of an exception."""
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    try:
        text = str(error)
    except Exception as another:
        text = f"(its text cannot be had: {type(another).__name__})"
    try:
        import traceback

        trail = error.__traceback__
        while trail is not None and trail.tb_frame.f_code.co_filename == __file__:
            trail = trail.tb_next  # ours tell nobody anything
        told = "".join(traceback.format_exception(kind, error, trail))
    except Exception as another:
        told = f"(its traceback cannot be had: {type(another).__name__})\n"
    words = (name, text[:_TEXT_LENGTH], told[-_TRACEBACK_LENGTH:])
    return b"\0".join(clean(word.replace("\0", "\\0")).encode() for word in words)
