"""Write ``docs/scripts.rst``: what each Lua script takes, returns and publishes.

The scripts' own headers are the source; a test tells when the page is behind them.
"""

from __future__ import annotations

from pathlib import Path

from txthoonk.scripts import Script, all_scripts

PAGE = Path(__file__).parent.parent / "docs" / "scripts.rst"

HEAD = """\
Scripts
=======

Made of the headers of ``txthoonk/lua`` by ``python tools/document_scripts.py``. Channels are the
first arguments; keys are declared as KEYS, in this order. Every script does all of it or nothing.
"""


def section(script: Script) -> str:
    """What there is to say of one script."""
    purpose = " ".join(
        line.removeprefix("--").strip() for line in script.comment.split("--\n")[0].splitlines()
    )
    lines = [script.name, "-" * len(script.name), "", purpose, ""]
    for title, parameters in (("KEYS", script.keys), ("ARGV", script.arguments)):
        shown = [
            f"``{p.name}`` ({p.kind}){': ' + p.meaning if p.meaning else ''}" for p in parameters
        ]
        lines.append(f"* {title}: " + ("; ".join(shown) or "none"))
    lines.append(f"* returns: {script.returns}")
    lines.append("* errors: " + (", ".join(script.errors) or "none"))
    lines.append("* publishes: " + ("; ".join(f"``{p}``" for p in script.publishes) or "nothing"))
    return "\n".join(lines) + "\n"


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *map(section, all_scripts())])


if __name__ == "__main__":
    PAGE.write_text(page())
