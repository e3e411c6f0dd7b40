"""What an action answers: JSON objects with a code, as those of HTTP."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from txthoonk.errors import ThoonkError
from txthoonk.messages import encode_message

__all__ = ["ITEMS", "Answer", "Refused", "done", "failed", "pending", "read_answer"]

#: ``{"code": 200, "result": ...}``, ``{"code": 4xx or 500, "error": "...", ...}``, or, where there
#: is none yet, ``{"code": 202, "id": ...}``.
Answer = dict[str, Any]


class Refused(ThoonkError):
    """An action was not done, and for a reason: what its answer is made of.

    Raised by rules and functions, and by what checks actions before they are called.

    :param code: 400 to 499: 400 for what cannot be read, 403 who may not, 404 what is not there,
        409 what has changed meanwhile, 413 too much, 422 what cannot be.
    :param error: why, for people.
    :param more: what else the answer says; JSON values.
    :raises ValueError: if the code is none of these, or *more* has a ``code`` or ``error``.
    """

    def __init__(self, code: int, error: str, **more: Any) -> None:
        if isinstance(code, bool) or not isinstance(code, int) or not 400 <= code <= 499:
            raise ValueError(f"an action is refused with a code from 400 to 499, not {code!r}")
        super().__init__(code, error)
        self.code = code
        self.error = str(error)
        self.more = more

    def __str__(self) -> str:
        return f"{self.code} {self.error}"

    @property
    def answer(self) -> Answer:
        """As whoever waits for it gets it."""
        return {"code": self.code, "error": self.error, **self.more}


def done(result: Any = None) -> Answer:
    """The answer of an action that was done."""
    return {"code": 200, "result": result}


def failed() -> Answer:
    """The answer of an action whose function failed; why is for operators alone."""
    return {
        "code": 500,
        "error": "This could not be done. It is kept, and may be tried again by an operator.",
    }


def pending(id: str) -> Answer:
    """What is said while there is no answer."""
    return {"code": 202, "id": id}


def read_answer(value: Any) -> Answer:
    """The answer that is a job's result, whoever finished it."""
    if value is None:
        return done()
    if isinstance(value, dict):
        code = value.get("code")
        if isinstance(code, int) and not isinstance(code, bool) and 200 <= code <= 599:
            return value
    return {"code": 500, "error": "The answer cannot be read."}


class _Answers:
    """Results of jobs: answers as JSON."""

    _decoder = msgspec.json.Decoder()

    def encode(self, item: Any) -> bytes:
        return encode_message(item)

    def decode(self, data: bytes) -> Any:
        try:
            return self._decoder.decode(data)
        except msgspec.DecodeError:
            return json.loads(data)  # it takes surrogates, which msgspec refuses


class _Items:
    """Items of jobs: as they are. Whatever is in one, it is for its worker to say what is wrong."""

    results = _Answers()

    def encode(self, item: Any) -> bytes:
        return item if isinstance(item, bytes) else encode_message(item)

    def decode(self, data: bytes) -> bytes:
        return data


#: The serializer of the job feeds of actions.
ITEMS: Final = _Items()
