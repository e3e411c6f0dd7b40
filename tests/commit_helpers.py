"""What the tests of commits share: a claimed job, and all that there is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tests.helpers import ThoonkTestCase
from txthoonk import Claim, Thoonk
from txthoonk.errors import ThoonkError

__all__ = ["CommitCase"]


class CommitCase(ThoonkTestCase):
    """A test case with a feed of jobs, and a claim on one of them."""

    async def setUp(self) -> None:
        await super().setUp()
        await self.use(self.thoonk)

    async def use(self, thoonk: Thoonk) -> None:
        """Work with another instance."""
        self.using = thoonk
        self.name = self.feed_name("jobs")
        self.job = await thoonk.job(self.name)
        self.claim = await self.take()

    async def take(self, **options: Any) -> Claim:
        """Put a job and claim it."""
        await self.job.put("work")
        return await self.job.get()

    async def dump(self, *names: str) -> dict[str, bytes]:
        """All keys of the jobs, and of other feeds."""
        execute = self.using.redis.execute
        ends = tuple(f":{name}".encode() for name in (self.name, *names))
        keys = [key for key in await execute("KEYS", "*") if key.endswith(ends)]
        return {key.decode(): await execute("DUMP", key) for key in keys}

    async def still_held(self) -> None:
        """A commit was refused: the job can still be finished."""
        self.assertIsNone(self.claim.ending)
        await self.claim.finish("after all")
        self.assertEqual(await self.job.get_result(self.claim.id), ("work", "after all"))

    async def changes_nothing(
        self,
        call: Callable[[], Awaitable[Any]],
        error: type[Exception],
        *names: str,
        heard: list[Any] | None = None,
    ) -> Any:
        """Check that a commit fails, that nothing was written, and nothing said."""
        before = await self.dump(*names)
        try:
            outcome = await call()
        except error as failure:
            self.assertIsInstance(failure, ThoonkError)
            found = failure
        else:
            self.fail(f"{error.__name__} not raised: {outcome!r}")
        self.assertEqual(await self.dump(*names), before)
        self.assertFalse(heard)
        return found
