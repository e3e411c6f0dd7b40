"""Noticing that a connection has died without a word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Watch"]


class Watch:
    """Pings a connection that is silent, and gives it up if it stays silent.

    A cable that was pulled sends no FIN: only an answer that does not come tells.

    :ivar heard: set to True by the connection with each byte that comes.
    :param interval: seconds of silence after which, at the latest, it is pinged.
    :param timeout: seconds that the answer may take.
    :param ping: sends a ping.
    :param blocked_until: when Redis must have answered a command that it may sit on; 0 for none.
    :param give_up: is called once, with the reason.
    """

    __slots__ = (
        "_blocked_until",
        "_call",
        "_clock",
        "_give_up",
        "_half",
        "_ping",
        "_timeout",
        "heard",
    )

    def __init__(
        self,
        clock: Any,
        interval: float,
        timeout: float,
        *,
        ping: Callable[[], object],
        blocked_until: Callable[[], float],
        give_up: Callable[[str], object],
    ) -> None:
        self.heard = False
        self._clock = clock
        self._half = interval / 2  # silence shows at the second look
        self._timeout = timeout
        self._ping = ping
        self._blocked_until = blocked_until
        self._give_up = give_up
        self._call = clock.callLater(self._half, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._call.active():
            self._call.cancel()

    def _look(self) -> None:
        wait = self._blocked_until() - self._clock.seconds()
        if self.heard:
            self.heard = False
            self._call = self._clock.callLater(self._half, self._look)
        elif wait > 0:
            # Not all of it at once: the reply may come early, and then count as heard.
            self._call = self._clock.callLater(min(wait, self._half), self._look)
        else:
            self._ping()
            self._call = self._clock.callLater(self._timeout, self._look_again)

    def _look_again(self) -> None:
        if self.heard or self._blocked_until() > self._clock.seconds():
            self._look()
        else:
            self._give_up(f"no answer to a ping in {self._timeout:g} seconds")
