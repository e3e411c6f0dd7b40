"""The same as ``client.js`` with Python's ``websockets``: ``python client.py URL WANTED``."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidMessage

#: Seconds until a socket that was lost is opened again.
AGAIN = 0.1


def say(*parts: str) -> None:
    """Write a line."""
    sys.stdout.write(" ".join(parts) + "\n")
    sys.stdout.flush()


async def main(url: str, wanted: dict[str, Any]) -> None:
    """Keep where it is in each feed, and say so when it comes back."""
    at: dict[str, str] = {}
    while True:
        try:
            async with connect(f"{url.replace('http', 'ws')}/socket", max_size=None) as ws:
                say("open")
                feeds = {name: at.get(name) for name in wanted["feeds"]}
                others = {name: place for name, place in at.items() if name not in feeds}
                patterns = dict.fromkeys(wanted["patterns"], others)
                subscribe = {"feeds": feeds, "patterns": patterns}
                await ws.send(json.dumps({"subscribe": subscribe, "ref": 1}))
                async for data in ws:
                    message = json.loads(data)
                    if message.get("at"):
                        at[message["feed"]] = message["at"]
                    if message["type"] == "deleted":
                        at.pop(message["feed"], None)
                    say("told", str(data))
        except (OSError, EOFError, ConnectionClosed, InvalidMessage):
            pass
        say("lost")
        await asyncio.sleep(AGAIN)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
