"""Bars in SVG, drawn by hand: nothing to install for one picture."""

from __future__ import annotations

from html import escape
from statistics import median

from benchmarks.report import METRICS, TITLES, Report

WIDTH, LEFT, RIGHT = 760, 170, 90
BAR, GAP, HEAD = 16, 6, 34
OURS, OTHERS, INK = "#2b6cb0", "#cbd5e0", "#1a202c"
#: Names under which txThoonk itself takes part.
_OURS = ("ours", "feed.publish", "connections", "instances")


def draw(report: Report, caption: str) -> str:
    """An SVG of the metric that counts of everything that was measured.

    Bars are medians, thin lines reach from the lowest to the highest round.
    """
    parts: list[str] = []
    y = 10.0
    for what in report.whats():
        title, metric = TITLES[what]
        unit, more = METRICS[metric]
        rows = {who: report.values(what, who, metric) for who in report.whos(what)}
        scale = (WIDTH - LEFT - RIGHT) / max(max(values) for values in rows.values())
        y += HEAD
        parts.append(_text(10, y - 10, f"{title}: {unit}", "font-weight='bold'"))
        parts.append(
            _text(
                WIDTH - 10, y - 10, f"{'more' if more else 'less'} is better", "text-anchor='end'"
            )
        )
        for who, values in rows.items():
            parts += _bar(who, values, y, scale, metric)
            y += BAR + GAP
    y += HEAD
    parts.append(_text(10, y - 10, caption, "font-size='11'"))
    size = f"width='{WIDTH}' height='{y:.0f}'"
    head = f"<svg xmlns='http://www.w3.org/2000/svg' {size} viewBox='0 0 {WIDTH} {y:.0f}' "
    head += "font-family='sans-serif' font-size='12'>"
    return "\n".join((head, f"<rect {size} fill='white'/>", *parts, "</svg>\n"))


def _bar(who: str, values: list[float], y: float, scale: float, metric: str) -> list[str]:
    middle = median(values)
    low, high = (LEFT + scale * value for value in (min(values), max(values)))
    at = y + BAR / 2
    number = f"{middle:,.0f}" if metric == "per_second" else f"{middle:.2f}"
    fill = OURS if who.endswith(_OURS) else OTHERS
    size = f"width='{middle * scale:.1f}' height='{BAR}'"
    return [
        _text(LEFT - 8, y + BAR - 4, who, "text-anchor='end'"),
        f"<rect x='{LEFT}' y='{y:.0f}' {size} fill='{fill}'/>",
        f"<path d='M{low:.1f} {at:.1f}H{high:.1f}' stroke='{INK}' stroke-width='1.5'/>",
        _text(high + 6, y + BAR - 4, number, ""),
    ]


def _text(x: float, y: float, text: str, how: str) -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' fill='{INK}' {how}>{escape(text)}</text>"
