"""Messages as thoonk.py was sent them, and what our handlers get of them.

``vectors/thoonk_py/receive.json`` has a case for each message: what thoonk.py 1.0.1 told its
handlers, and whether its listener survived. The same is told by ours, in the events of
``subscribe`` as in the older forms of ``register_handler``; a row of :data:`DIFFERENCES` says
what else, and why. Whatever comes, the next message is heard.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import ThoonkTestCase, until

CASES: Final[list[dict[str, Any]]] = json.loads(
    (Path(__file__).parent / "vectors" / "thoonk_py" / "receive.json").read_text("utf-8")
)["cases"]

#: The feeds of the cases.
FEEDS: Final = ("f1", "a:b", "s1", "q1", "j1", "n1")

#: What of an event thoonk.py's handlers get, by our keyword; a put is a publish there.
TOLD: Final[dict[str, Callable[[Any], list[Any]]]] = {
    "create": lambda e: ["create", e.feed],
    "delete": lambda e: ["delete", e.feed],
    "config": lambda e: [f"config:{e.feed}", None],
    "publish": lambda e: ["publish", e.feed, e.item, e.id],
    "edit": lambda e: ["edit", e.feed, e.item, e.id],
    "retract": lambda e: ["retract", e.feed, e.id],
    "position": lambda e: ["position", e.feed, e.id, e.position],
    "put": lambda e: ["publish", e.feed, e.item, e.id],
    "claim": lambda e: ["claim", e.feed, e.id],
    "finish": lambda e: ["finish", e.feed, e.id, e.result],
}
#: Those that ``register_handler`` has a form for.
OLDER: Final = ("create", "delete", "publish", "edit", "retract", "position", "finish")

ONE_NUL: Final = "thoonk.py dies of any number of NULs but one"
MISSING: Final = "thoonk.py dies of a message without NUL; here the missing part is None"
EVERY_FEED: Final = "thoonk.py's listener is not on that channel of that type; ours is on all"
CLAIMS: Final = "thoonk.py tells nobody of claims"

#: Channel and payload -> why, and what our handlers get.
DIFFERENCES: Final[dict[tuple[str, bytes], tuple[str, list[Any]]]] = {
    ("newfeed", b"n1"): (ONE_NUL, ["create", "n1"]),
    ("newfeed", b"n1\0INSTANCE\0x"): (ONE_NUL, ["create", "n1"]),
    ("delfeed", b"f1"): (ONE_NUL, ["delete", "f1"]),
    ("delfeed", b"f1\0INSTANCE\0x"): (ONE_NUL, ["delete", "f1"]),
    ("conffeed", b"f1"): (MISSING, ["config:f1", None]),
    ("feed.publish:f1", b"1"): (MISSING, ["publish", "f1", None, "1"]),
    ("feed.edit:f1", b"1"): (MISSING, ["edit", "f1", None, "1"]),
    ("feed.position:s1", b"1"): (MISSING, ["position", "s1", "1", None]),
    ("job.finish:j1", b"mine"): (MISSING, ["finish", "j1", "mine", None]),
    ("feed.position:f1", b"1\0:end"): (EVERY_FEED, ["position", "f1", "1", ":end"]),
    ("feed.edit:s1", b"1\0item"): (EVERY_FEED, ["edit", "s1", "item", "1"]),
    ("feed.publish:j1", b"1\0item"): (EVERY_FEED, ["publish", "j1", "item", "1"]),
    ("feed.retract:j1", b"1"): (EVERY_FEED, ["retract", "j1", "1"]),
    ("feed.publishes:n1", b"1\0item"): (EVERY_FEED, ["publish", "n1", "item", "1"]),
    ("feed.claimed:j1", b"1"): (CLAIMS, ["claim", "j1", "1"]),
    ("feed.claimed:n1", b"1"): (CLAIMS, ["claim", "n1", "1"]),
}


def message(case: dict[str, Any]) -> tuple[str, bytes]:
    """Channel and payload of a case."""
    channel, payload = case["message"]
    if isinstance(payload, dict):
        return channel, base64.b64decode(payload["base64"])
    return channel, payload.encode()


def shown(told: list[Any]) -> list[Any]:
    """What handlers got, with bytes that are no UTF-8 as the cases have them."""
    as_recorded = []
    for each in told:
        try:
            (each or "").encode()
        except UnicodeEncodeError:
            data = each.encode("utf-8", "surrogateescape")
            each = {"base64": base64.b64encode(data).decode(), "type": "bytes"}
        as_recorded.append(each)
    return as_recorded


class ReceivedTests(ThoonkTestCase):
    """One test for each message; see the module."""

    async def setUp(self) -> None:
        server = await self.own_server()
        self.redis_url = server.url
        self.thoonk = await self.start_thoonk()
        self.redis = self.thoonk.redis

    async def receive(self, case: dict[str, Any]) -> None:
        events: list[list[Any]] = []
        older: list[list[Any]] = []
        for name in FEEDS:
            await self.thoonk.subscribe(
                name, **{kind: _appender(events, tell) for kind, tell in TOLD.items()}
            )
        for name in OLDER:
            await self.thoonk.register_handler(
                name, lambda *args, name=name: older.append([name, *args])
            )
        channel, payload = message(case)
        end = ["publish", "f1", "seen", "next"]
        await self.redis.execute("PUBLISH", channel, payload)
        await self.redis.execute("PUBLISH", "feed.publish:f1", "next\0seen")
        await until(lambda: end in events and end in older)

        expected = case["events"]
        if (channel, payload) in DIFFERENCES:
            expected = [DIFFERENCES[channel, payload][1]]
        self.assertEqual([shown(told) for told in events], [*expected, end])
        in_older = not channel.startswith(("conffeed", "feed.claimed:"))
        self.assertEqual([shown(told) for told in older], [*(expected if in_older else []), end])


def _appender(events: list[Any], tell: Callable[[Any], list[Any]]) -> Callable[[Any], None]:
    return lambda event: events.append(tell(event))


class TableTests(SynchronousTestCase):
    """Nothing is left out by accident."""

    def test_rows(self) -> None:
        """
        Each row is about a message that is there, and says what thoonk.py does not.
        """
        cases = {message(case): case for case in CASES}
        self.assertEqual(len(cases), 45)
        self.assertEqual(DIFFERENCES.keys() - cases.keys(), set())
        for received, (_, told) in DIFFERENCES.items():
            self.assertNotEqual(cases[received]["events"], [told])

    def test_survivors(self) -> None:
        """
        Each message that thoonk.py died of is a row: here it is heard.
        """
        killers = {message(case) for case in CASES if not case["listener_alive"]}
        self.assertEqual(killers - DIFFERENCES.keys(), set())


def _add_test(number: int, case: dict[str, Any]) -> None:
    async def test(self: ReceivedTests) -> None:
        await self.receive(case)

    channel, payload = message(case)
    test.__doc__ = f"What is made of {payload!r} on {channel}."
    test.__name__ = f"test_{number:02}_" + re.sub(r"\W", "_", channel)
    setattr(ReceivedTests, test.__name__, test)


for _number, _case in enumerate(CASES):
    _add_test(_number, _case)
