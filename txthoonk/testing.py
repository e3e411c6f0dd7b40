"""What the trial suites of applications need; txThoonk's own suite uses it too.

.. code-block:: python

    class PicturesTests(RedisTestCase):
        async def test_pictures_are_kept(self):
            name = self.feed_name("pictures")
            ...  # connect to self.redis_url
"""

from __future__ import annotations

import atexit
import os
import uuid
from typing import Final

from twisted.internet.defer import Deferred, execute
from twisted.trial.unittest import TestCase

from txthoonk.embedded import EmbeddedRedis, Setting

__all__ = ["RedisTestCase", "shared_server", "unique_name"]


class _SharedServer:
    """One server for the whole test process, started when it is first asked for."""

    def __init__(self) -> None:
        self._redis: EmbeddedRedis | None = None

    def url(self) -> str:
        """
        Where it is. The first call blocks for the milliseconds that a start takes.

        Blocking keeps the server out of the reactor, in which trial tolerates nothing that
        outlives a test.
        """
        redis = self._redis
        if redis is None:
            self._redis = redis = EmbeddedRedis()
            atexit.register(redis.stop_now)
        return redis.start_now().url


_SHARED: Final = _SharedServer()


def shared_server() -> Deferred[str]:
    """
    The Redis that all tests of this process share; it ends with the process.

    Tests stay apart by the names they use (:func:`unique_name`). They may find foreign keys in
    it, and never flush it: where ``TXTHOONK_TEST_REDIS`` in the environment holds a URL, that
    server is the one, and nothing is started.

    :returns: fires with its URL.
    :raises ServerNotFound: (as a failure) if there is no ``redis-server`` to run.
    :raises ServerFailed: (as a failure) if it did not start.
    """
    return execute(lambda: os.environ.get("TXTHOONK_TEST_REDIS") or _SHARED.url())


def unique_name(prefix: str = "test") -> str:
    """
    Make up a name that no other test uses.

    :param prefix: what the name begins with, for who reads it in a log.
    """
    return f"{prefix}-{uuid.uuid4().hex}"


class RedisTestCase(TestCase):
    """A test case with a Redis at hand: ``self.redis_url``."""

    redis_url: str
    """The URL of the server that all tests share."""

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        """Make sure that the shared server runs."""
        self.redis_url = await shared_server()

    def feed_name(self, prefix: str = "test") -> str:
        """
        Make up a feed name that no other test uses.

        :param prefix: what the name begins with.
        """
        return unique_name(prefix)

    async def own_server(self, **config: Setting) -> EmbeddedRedis:
        """
        Start a server for this test alone; it is stopped when the test ends.

        :param config: directives of ``redis.conf``, with underscores for hyphens
            (``maxmemory_policy="noeviction"``).
        :returns: fires with the server, once it answers.
        :raises ServerFailed: (as a failure) if it did not start.
        """
        redis = EmbeddedRedis(config={name.replace("_", "-"): v for name, v in config.items()})
        self.addCleanup(redis.stop)
        return await redis.start()
