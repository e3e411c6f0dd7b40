"""Which messages of the contract followers take for whose.

Each change of ours goes out twice: with its revision, and then as the contract has it. Whoever
listens for other programs hears both, and has to know that they are one change; also where the
connection was lost between them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from txthoonk.hearing import Hearing

__all__ = ["count_twins"]


def count_twins(heard: Counter[str]) -> Callable[[], None]:
    """Count what all followers of this process hear from now on.

    Items tell who wrote them; messages of moves and retracts have none.

    :param heard: gets ``pair`` for a message right behind its event; what comes alone is
        ``ours``, ``peer``, or ``other`` if nothing tells. ``half`` are events whose messages of
        the contract did not come, since the connection was lost between them.
    :returns: what ends the counting.
    """
    original, disconnect = Hearing.contract_message, Hearing.disconnected

    def contract_message(self: Hearing, message: bytes) -> None:
        if message == self._twin:
            heard["pair"] += 1
        elif b'\0["w' in message:
            heard["ours"] += 1
        elif b'\0["p' in message:
            heard["peer"] += 1
        else:
            heard["other"] += 1
        original(self, message)

    def disconnected(self: Hearing) -> None:
        heard["half"] += self._twin is not None
        disconnect(self)

    def end() -> None:
        Hearing.contract_message = original  # type: ignore[method-assign]  # a fault
        Hearing.disconnected = disconnect  # type: ignore[method-assign]  # a fault

    Hearing.disconnected = disconnected  # type: ignore[method-assign]  # a fault
    Hearing.contract_message = contract_message  # type: ignore[method-assign]  # a fault
    return end
