"""What the Python programs share; of the standard library alone, as each runs in its own venv.

Modes:

``enqueue``  put so many jobs one by one, 50 in flight where the client can
``bulk``     put them by the call for many, 1,000 a call
``pace``     put them at 200 a second
``drain``    work until terminated; tells of the first job and of the last one
``latency``  the same, and tells how long it took from put to handler

``common.cjs`` is the same for node. Each answers in lines of JSON. Times are nanoseconds of the
monotonic clock, which all processes share.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any

MODE, _JOBS, HOST, _PORT = sys.argv[1:5]
VARIANT = "".join(sys.argv[5:6])
JOBS, PORT = int(_JOBS), int(_PORT)
URL = f"redis://{HOST}:{PORT}"
WORKS = MODE in ("drain", "latency")

#: How many puts are in flight, and how many jobs go in one call for many.
IN_FLIGHT, MANY = 50, 1000
#: Jobs a second when latency is measured, and how many of the first ones do not count.
PACE = 200
WARM = min(100, JOBS // 11)

Payload = dict[str, Any]


def payload(number: int) -> Payload:
    """A job: as JSON it has about 100 bytes."""
    return {"id": number, "t": time.monotonic_ns(), "pad": "x" * 56}


def tell(**numbers: Any) -> None:
    """Tell the driver."""
    sys.stdout.write(json.dumps(numbers) + "\n")
    sys.stdout.flush()


class Count:
    """Counts what the no-op handler gets."""

    def __init__(self) -> None:
        self._seen = 0
        self._took: list[int] = []

    def __call__(self, job: Payload) -> None:
        self._seen += 1
        if MODE == "latency":
            self._took.append(time.monotonic_ns() - job["t"])
        if self._seen == 1:
            tell(first=time.monotonic_ns())
        if self._seen == JOBS:
            tell(last=time.monotonic_ns(), **self._percentiles())

    def _percentiles(self) -> dict[str, float]:
        took = sorted(self._took[WARM:])
        if not took:
            return {}
        return {f"p{p}_ms": took[len(took) * p // 100] / 1e6 for p in (50, 99)}


#: The handler of every job.
handle = Count()


class Clock:
    """Tells how long its block took, by the wall and in CPU of this process."""

    def __enter__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        if kind is None:
            wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
            tell(wall=wall, cpu=cpu)


def batches() -> Iterator[list[Payload]]:
    """The jobs, as many as go in one call."""
    for start in range(0, JOBS, MANY):
        yield [payload(number) for number in range(start, min(JOBS, start + MANY))]


async def produce(
    put: Callable[[Payload], Awaitable[Any]],
    put_many: Callable[[list[Payload]], Awaitable[Any]] | None = None,
    gather: Callable[..., Awaitable[Any]] = asyncio.gather,
    sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    in_flight: int = IN_FLIGHT,
    many_in_flight: int = 1,
) -> None:
    """Put jobs, as the mode says.

    :param gather: lets coroutines run together; *sleep* waits for seconds: those of asyncio, or
        what does the same on Twisted.
    """
    if MODE == "pace":
        start = time.monotonic()
        for number in range(JOBS):
            await sleep(max(0.0, start + number / PACE - time.monotonic()))
            await put(payload(number))
        return
    numbers, lots = iter(range(JOBS)), batches()

    async def one_by_one() -> None:
        for number in numbers:
            await put(payload(number))

    async def many_at_once() -> None:
        assert put_many is not None
        for jobs in lots:
            await put_many(jobs)

    with Clock():
        if MODE == "bulk":
            await gather(*[many_at_once() for _ in range(many_in_flight)])
        else:
            await gather(*[one_by_one() for _ in range(in_flight)])


def produce_blocking(
    put: Callable[[Payload], Any], put_many: Callable[[list[Payload]], Any] | None = None
) -> None:
    """The same with a client that blocks: one put in flight."""
    if MODE == "pace":
        start = time.monotonic()
        for number in range(JOBS):
            time.sleep(max(0.0, start + number / PACE - time.monotonic()))
            put(payload(number))
        return
    with Clock():
        if MODE == "bulk":
            assert put_many is not None
            for jobs in batches():
                put_many(jobs)
        else:
            for number in range(JOBS):
                put(payload(number))
