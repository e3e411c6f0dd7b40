"""The digest of a feed's events, which shows whether two programs know the same past."""

from __future__ import annotations

from typing import Final

__all__ = ["wrong_digests"]

MODULUS: Final = 99999999999973


def wrong_digests(
    messages: list[tuple[str, str]], digest: int, window: tuple[int, int]
) -> tuple[list[str], int]:
    """Check the arithmetic of digests.

    It has a clock in it, so a digest is right if that clock is right.

    :param messages: of a step; those on ``tx.feed.event`` are looked at.
    :param digest: of the feed before them.
    :param window: when they were sent, in milliseconds.
    :returns: what is wrong, and the digest now.
    """
    wrong = []
    for channel, payload in messages:
        if not channel.startswith("tx.feed.event:"):
            continue
        head, _, rest = payload.partition("\0")
        revision, _, now, _, verb = head.split(" ")
        if verb == "begin":
            digest = 0
            continue
        if revision == "1":
            digest = 0
        size = len(rest.partition("\0")[2].encode("utf-8", "surrogateescape"))
        # What is left is microseconds, modulo MODULUS.
        micros = (int(now) - digest * 31 - size) % MODULUS
        start, end = ((each * 1000) % MODULUS for each in (window[0] - 2000, window[1] + 2000))
        inside = start <= micros <= end if start <= end else not end < micros < start
        if not inside:
            wrong.append(f"the digest of revision {revision} is wrong")
        digest = int(now)
    return wrong, digest
