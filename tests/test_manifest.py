"""The manifest of the scripts: what another language needs to adopt them, and nothing stale."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from tests.samples import KEYS, NAME
from tools import write_manifest
from txthoonk.bridge import BridgeKeys
from txthoonk.keys import FeedKeys, decode
from txthoonk.scripts import all_scripts, script
from txthoonk.verdicts import SCRIPT_ERRORS

MANIFEST: Final[dict[str, Any]] = json.loads(write_manifest.MANIFEST.read_text("utf-8"))


def spelt(name: str, feed: str, db: int) -> str:
    """A key or channel as the page on the manifest says it is made."""
    text: str = MANIFEST["names"][name]
    start = ":".join(feed.split(":")[:2])
    return text.replace("[db]", str(db)).replace("[start]", start).replace("[feed]", feed)


def of_either(name: str) -> str:
    """A name without what says that it is the feed's in another dialect."""
    return name.removeprefix("origin_")


class ManifestTests(SynchronousTestCase):
    """``txthoonk/lua/manifest.json``."""

    def test_current(self) -> None:
        """
        It is what the headers say: ``python -m tools.write_manifest`` makes it anew.
        """
        self.assertEqual(write_manifest.MANIFEST.read_text("utf-8"), write_manifest.manifest())

    def test_sources(self) -> None:
        """
        Put together as the page says, of the files alone, each script has the SHA1 it is called by.
        """

        def body(match: re.Match[str]) -> str:
            text = (write_manifest.LUA / f"{match[1]}.lua").read_text("utf-8")
            lines = text.splitlines(keepends=True)
            while lines[0].startswith("--"):
                del lines[0]
            return "".join(lines)

        def function(match: re.Match[str]) -> str:
            kind, verb = match.groups()
            name = f"{kind}/{verb}"
            lines = whole(name).splitlines(keepends=True)
            while lines[0].startswith("--"):
                del lines[0]
            head = f"local function {kind}_{verb}(KEYS, ARGV, redis)\n"
            return "".join((head, *lines, f"end -- {name}\n"))

        def whole(name: str) -> str:
            text = (write_manifest.LUA / MANIFEST["scripts"][name]["file"]).read_text("utf-8")
            text = re.sub(r"^-- include (\w+)\n", body, text, flags=re.MULTILINE)
            return re.sub(r"^-- script (\w+)/(\w+)\n", function, text, flags=re.MULTILINE)

        self.assertEqual(set(MANIFEST["scripts"]), {each.name for each in all_scripts()})
        for name, entry in MANIFEST["scripts"].items():
            sha1 = hashlib.sha1(whole(name).encode()).hexdigest()
            self.assertEqual(sha1, entry["sha1"], name)
            text = (write_manifest.LUA / entry["file"]).read_text("utf-8")
            for directive, names in (("include", "includes"), ("script", "functions")):
                found = re.findall(rf"^-- {directive} (\S+)$", text, re.MULTILINE)
                self.assertEqual(found, entry[names])

    def test_keys(self) -> None:
        """
        Keys and channels made by it are those that we call each script with.
        """
        for feed, db in ((NAME, 0), ("a:b:c", 3), ("é", 12)):
            keys = FeedKeys(feed.encode(), db)
            for name, entry in MANIFEST["scripts"].items():
                names: list[str] = []
                for key in entry["keys"]:
                    group = key["type"] == "keys"
                    names += MANIFEST["groups"][key["name"]] if group else [key["name"]]
                channels = []
                for each in entry["arguments"]:
                    group = each["type"] == "channels"
                    if group or each["type"] == "channel":
                        channels += MANIFEST["groups"][each["name"]] if group else [each["name"]]
                bound = script(name).bind(BridgeKeys(keys, keys), feed)
                made = [spelt(of_either(each), feed, db) for each in names]
                self.assertEqual(made, [decode(key) for key in bound.keys])
                made = [spelt(of_either(each), feed, db) for each in channels]
                self.assertEqual(made, [decode(channel) for channel in bound.channels])

    def test_errors(self) -> None:
        """
        Each error that a script may answer with has its name, and channels that it names exist.
        """
        self.assertEqual(set(MANIFEST["errors"]), set(SCRIPT_ERRORS))
        for entry in MANIFEST["scripts"].values():
            self.assertEqual(set(entry["errors"]) - set(MANIFEST["errors"]), set())
            for told in entry["publishes"]:
                self.assertIn(of_either(told["channel"]), MANIFEST["names"])
                self.assertTrue(told["parts"])
            self.assertTrue(entry["purpose"] and entry["returns"]["type"])

    def test_every_key(self) -> None:
        """
        What a delete removes is every key there is.
        """
        keys = [spelt(name, NAME, 0).encode() for name in MANIFEST["groups"]["every_key"]]
        self.assertEqual(keys, list(KEYS.every_key()))
