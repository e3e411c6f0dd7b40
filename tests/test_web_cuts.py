"""Stock web clients whose connections are cut, short of ``python -m tests.web_cuts``."""

from __future__ import annotations

from twisted.trial.unittest import SkipTest

from tests.helpers import ThoonkTestCase
from tests.web_cuts.programs import NODE
from tests.web_cuts.trial import KINDS, Trial


class CutTests(ThoonkTestCase):
    """An EventSource and WebSockets, as they are."""

    timeout = 240

    async def check(self, kinds: tuple[str, ...], cuts: int) -> None:
        """Cut the connections of clients of some kinds, each so often."""
        server = await self.own_server()
        trial = Trial(server.url, self.feed_name())
        self.addCleanup(trial.stop)
        await trial.start(kinds)
        await trial.cut(cuts, kill_every=3)
        self.assertEqual(await trial.faults(), [])
        for subject in trial.subjects:
            self.assertGreaterEqual(subject.cuts, cuts)
            self.assertGreater(subject.client.told, cuts)

    async def test_node(self) -> None:
        """
        npm's eventsource, which resumes by itself, and ws: one feed, and several with a pattern;
        each event once and in order, and at the end what Redis has.
        """
        if NODE is None:
            raise SkipTest("no node, or tests/web_clients has no node_modules: make env")
        await self.check([kind for kind in KINDS if kind != "websockets"], 4)

    async def test_python(self) -> None:
        """
        The same of Python's websockets.
        """
        await self.check(("websockets",), 6)
