"""Fill in what vectors say of outcomes, from what txThoonk really does on a Redis.

    python -m tools.record_vectors --redis redis://localhost:6379/0 [FILE ...]

A vector is written by hand as far as its ``given`` and the requests of its steps go; this plays
them, and writes what was answered, told and stored, with symbols for what differs each time. It
does not know what is right: look at each change of the files as at code, with ``docs/contract.rst``
beside it.
"""

from __future__ import annotations

import argparse
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from txthoonk.conformance.command import OURS
from txthoonk.conformance.runner import Runner
from txthoonk.conformance.symbols import SYMBOL, Symbols
from txthoonk.conformance.values import to_json, written
from txthoonk.conformance.vectors import Vector, is_ours, read_vectors

FOLDER: Final = Path(__file__).parent.parent / "txthoonk" / "conformance" / "vectors"

_TOKEN: Final = re.compile(r"[^\s\0]+:\d+:[0-9a-f]{32}")
_ID: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
_WORKER: Final = re.compile(r"\t[^\t\n]+:\d+\t")
_CHANGE: Final = re.compile(r"(?:^|(?<=\0))(\d+) (\d{16}) (\d+) (\d+) (?=[a-z]+\+?\0)")
_MS: Final = re.compile(r"(?<![\d.])1\d{12}(?:\.\d+)?(?![\d.])")


class Words:
    """Makes symbols of what is there: the opposite of :class:`Symbols`, for one vector."""

    def __init__(self, vector: Vector) -> None:
        self._names: dict[str, dict[str, str]] = {"id": {}, "token": {}}
        #: Symbols that the vector has itself, and what is kept as it is.
        self._own = sorted({m[0] for m in SYMBOL.finditer(repr((vector.given, vector.steps)))})
        self._epoch = _of_revision(vector.given).get("epoch")
        self._digest = _of_revision(vector.given).get("digest")
        self._symbols: Symbols
        self._score = ""
        self._given = repr(vector.given)
        self._leases = vector.part == "jobs"

    def look(self, symbols: Symbols, keys: dict[str, Any]) -> None:
        """A step is done."""
        self._symbols = symbols
        claimed = [v["value"] for k, v in keys.items() if k.startswith("feed.claimed:")]
        self._score = claimed[0][-1][1] if claimed and claimed[0] else self._score

    def text(self, text: str) -> str:
        """A text with symbols."""
        for name in ("feed", "instance"):
            known = self._symbols.fill(f"<{name}>")
            text = text.replace(known, f"<{name}>")
        start, db = self._symbols.fill("<start>"), self._symbols.fill("<db>")
        for channel in ("tx.feed.event:", "tx.feed.under:"):
            text = text.replace(f"{channel}{db}:", f"{channel}<db>:").replace(start, "<start>")
        for symbol in self._own:
            filled = self._symbols.fill(symbol)
            if filled != symbol and len(filled) > 9 and not symbol.startswith(("<feed", "<start")):
                text = re.sub(rf"(?<![\d.]){re.escape(filled)}(?![\d.])", symbol, text)
        text = _CHANGE.sub(self._change, text)
        text = _TOKEN.sub(lambda match: self._named("token", match[0]), text)
        text = _ID.sub(lambda match: self._named("id", match[0]), text)
        text = _WORKER.sub("\t<worker>\t", text)
        return _MS.sub(lambda match: self._clock(match[0]), text)

    def _named(self, kind: str, text: str) -> str:
        names = self._names[kind]
        return f"<{kind}:{names.setdefault(text, str(len(names) + 1))}>"

    def _change(self, match: re.Match[str]) -> str:
        if match[0] in self._given:
            return match[0]
        revision, epoch, _, count = match.groups()
        return f"{revision} {self.epoch(epoch)} <digest:{revision}> {count} "

    def epoch(self, epoch: str) -> str:
        """One that was given stays."""
        return epoch if epoch == self._epoch else "<epoch>"

    def _clock(self, text: str) -> str:
        if text == self._score:
            return "<now:claim>" if self._leases else "<now>"
        for symbol in self._own:
            if symbol.startswith("<then") and text == f"{self._symbols.fill(symbol)}.001":
                return f"{symbol[:-1]}.001>"
        later = round((Decimal(text) - self._symbols.window[0]) / 1000) * 1000
        return f"<now+{later}>" if later > 0 else "<now>" if later == 0 else text

    def score(self, text: str) -> str:
        """A score."""
        if re.fullmatch(r"1\d{9}(\.\d+)?", text):
            return "<now s>" if self.text(text) == text else self.text(text)
        return self.text(text)

    def value(self, value: Any) -> Any:
        """Whatever was answered or told."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.value(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(each) for each in value]
        return value

    def keys(self, keys: dict[str, Any]) -> dict[str, Any]:
        """What is stored."""
        shown: dict[str, Any] = {}
        for key, stored in sorted(keys.items()):
            value = stored["value"]
            if key.startswith("tx.feed.revision:"):
                value = {**value, "epoch": self.epoch(value["epoch"])}
                if value["digest"] != self._digest:
                    value["digest"] = f"<digest:{value['revision']}>"
            elif stored["type"] == "zset":
                value = [[self.text(member), self.score(score)] for member, score in value]
            else:
                value = self.value(value)
            shown[self.text(key)] = {"type": stored["type"], "value": value}
        return shown


def _of_revision(keys: dict[str, Any]) -> dict[str, str]:
    value: dict[str, str] = keys.get("tx.feed.revision:<feed>", {"value": {}})["value"]
    return value


async def record(runner: Runner, vector: Vector, data: dict[str, Any]) -> None:
    """Play one vector, and write into its steps what came of them."""
    words, steps = Words(vector), iter(data["steps"])

    def outcome(step: Any, done: Any, before: Any, now: Any, symbols: Symbols) -> None:
        shown = next(steps)
        words.look(symbols, now)
        for name in ("returned", "raised", "details", "after", "messages", "heard"):
            shown.pop(name, None)
        if step.message is not None:
            shown["heard"] = to_json(words.value(done.events))
            return
        if "raised" in done.reply:
            shown["raised"] = done.reply["raised"]
            if done.reply.get("details"):
                shown["details"] = to_json(words.value(done.reply["details"]))
        elif step.contains is None and done.reply.get("returned") is not None:
            shown["returned"] = to_json(words.value(done.reply["returned"]))
        elif step.contains is None and step.verb:
            shown["returned"] = None
        told = [m for m in done.messages if vector.part != "contract" or not is_ours(m[0])]
        if told:
            shown["messages"] = to_json(words.value(told))
        if now != before:
            shown["after"] = to_json(words.keys(now))

    result = await runner.play(vector, outcome)
    if result.differs:
        raise SystemExit(f"{vector.verb}: {vector.name}: {result.differs}")


async def main(reactor: Any) -> None:
    """Record what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--redis", metavar="URL", required=True)
    parser.add_argument("files", metavar="FILE", nargs="*", type=Path)
    options = parser.parse_args()
    runner = Runner(reactor, options.redis, OURS)
    await runner.stage.open()
    try:
        await runner.start()
        for file in options.files or sorted(FOLDER.glob("*/*.json")):
            text = file.read_text("utf-8")
            data = json.loads(text)
            for vector, each in zip(read_vectors(text), data["vectors"], strict=True):
                await record(runner, vector, each)
            file.write_text(written(data) + "\n", "utf-8")
            print(f"{file.parent.name}/{file.stem}: {len(data['vectors'])}")
    finally:
        await runner.stop()
        await runner.stage.close()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
