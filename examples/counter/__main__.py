"""Count, and watch others count.

    python -m examples.counter redis://localhost:6379/0 watch visits
    python -m examples.counter redis://localhost:6379/0 add visits 5
    python -m examples.counter redis://localhost:6379/0 limit visits 100

``node examples/counter/counter.js 6379 watch visits`` and so on does the same with the same
scripts; each sees what the other does.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from twisted.internet import task
from twisted.internet.defer import Deferred

from examples.counter.counters import Counter, LimitReached
from txthoonk import Thoonk


async def main(reactor: Any, url: str, verb: str, name: str, *args: str) -> None:
    async with Thoonk(url) as thoonk:
        thoonk.register_object("Counter", Counter)
        counter = thoonk.objects.Counter(name)
        if verb == "watch":
            await counter.subscribe(lambda entry, message: print(entry, message))
            print("ready")
            await Deferred()  # until Ctrl-C
        try:
            answer = await counter.run_script(verb, *args)
            values = answer if isinstance(answer, tuple) else (answer,)
            print("answer", *map(json.dumps, values))
        except LimitReached as error:
            total, limit = error.values
            print(f"error {error.text}: {total} of {limit}")


if __name__ == "__main__":
    if len(sys.argv) < 4 or "--help" in sys.argv:
        sys.exit(__doc__)
    task.react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
