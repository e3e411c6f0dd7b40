"""Bars in SVG, drawn by hand: nothing to install for one picture."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from html import escape
from statistics import median

from benchmarks.report import METRICS, Metric, Report

WIDTH, LEFT, RIGHT = 760, 170, 90
BAR, GAP, HEAD = 16, 6, 34
OURS, OTHERS, INK = "#2b6cb0", "#cbd5e0", "#1a202c"
#: Names under which txThoonk itself takes part.
_OURS = ("ours", "feed.publish", "connections", "instances")


def draw(
    report: Report,
    caption: str,
    parts: Sequence[tuple[str, str]] | None = None,
    ranked: bool = False,
) -> str:
    """An SVG of what was measured.

    Bars are medians, thin lines reach from the lowest to the highest round.

    :param parts: what, and by which metric; ``None`` is all, by the metric that counts.
    :param ranked: the best one comes first.
    """
    lines: list[str] = []
    y = 10.0
    if parts is None:
        parts = [(what, report.titles[what][1]) for what in report.whats()]
    for what, name in parts:
        metric = METRICS[name]
        rows = {who: report.values(what, who, name) for who in report.whos(what)}
        if not rows:
            continue
        if ranked:
            order = sorted(rows, key=lambda who: median(rows[who]), reverse=metric.more)
            rows = {who: rows[who] for who in order}
        most = max(max(values) for values in rows.values())
        scale = (WIDTH - LEFT - RIGHT) / (most if most > 0 else 1)
        y += HEAD
        title = f"{report.titles[what][0]}: {metric.unit}"
        better = f"{'more' if metric.more else 'less'} is better"
        lines.append(text(10, y - 10, title, "font-weight='bold'"))
        lines.append(text(WIDTH - 10, y - 10, better, "text-anchor='end'"))
        for who, values in rows.items():
            lines += _bar(who, values, y, scale, metric)
            y += BAR + GAP
    y += HEAD
    for line in wrapped(caption):
        lines.append(text(10, y - 10, line, "font-size='11'"))
        y += BAR
    y -= BAR
    size = f"width='{WIDTH}' height='{y:.0f}'"
    head = f"<svg xmlns='http://www.w3.org/2000/svg' {size} viewBox='0 0 {WIDTH} {y:.0f}' "
    head += "font-family='sans-serif' font-size='12'>"
    return "\n".join((head, f"<rect {size} fill='white'/>", *lines, "</svg>\n"))


def _bar(who: str, values: list[float], y: float, scale: float, metric: Metric) -> list[str]:
    middle = median(values)
    low, high = (LEFT + scale * value for value in (min(values), max(values)))
    at = y + BAR / 2
    fill = OURS if who.endswith(_OURS) or who.startswith("txthoonk") else OTHERS
    low, high = max(LEFT, low), max(LEFT, high)  # a difference may be none, or less
    size = f"width='{max(0, middle * scale):.1f}' height='{BAR}'"
    return [
        text(LEFT - 8, y + BAR - 4, who, "text-anchor='end'"),
        f"<rect x='{LEFT}' y='{y:.0f}' {size} fill='{fill}'/>",
        f"<path d='M{low:.1f} {at:.1f}H{high:.1f}' stroke='{INK}' stroke-width='1.5'/>",
        text(high + 6, y + BAR - 4, metric.show(middle), ""),
    ]


def text(x: float, y: float, words: str, how: str, colour: str = INK) -> str:
    """Words, and how they are set."""
    return f"<text x='{x:.1f}' y='{y:.1f}' fill='{colour}' {how}>{escape(words)}</text>"


def wrapped(words: str) -> list[str]:
    """Lines that fit: a letter of a caption is some 6 wide."""
    return textwrap.wrap(words, (WIDTH - 20) // 6)
