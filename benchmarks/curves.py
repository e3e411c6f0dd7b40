"""Curves in SVG, drawn by hand like the bars: how something grows with a number."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.plot import WIDTH, text, wrapped

LEFT, RIGHT, PANEL, HEAD, FOOT, LINE = 70, 130, 190, 40, 46, 16
COLOURS = ("#2b6cb0", "#c05621", "#2f855a", "#6b46c1", "#97266d", "#4a5568")
PALE = "#e2e8f0"


@dataclass(frozen=True)
class Panel:
    """One picture of several curves, both axes by powers of ten.

    :ivar title: what is measured.
    :ivar across: what the number is of.
    :ivar series: name -> number -> one value a round.
    """

    title: str
    across: str
    series: Mapping[str, Mapping[float, Sequence[float]]]


def draw_curves(panels: Sequence[Panel], caption: str) -> str:
    """An SVG of curves: lines through the medians, thin ones from lowest to highest round."""
    lines: list[str] = []
    y = 0.0
    for panel in panels:
        y += HEAD
        lines.append(text(10, y - 16, panel.title, "font-weight='bold'"))
        lines.append(text(WIDTH - 10, y - 16, "less is better", "text-anchor='end'"))
        lines += _panel(panel, y)
        y += PANEL + FOOT
    for line in wrapped(caption):
        lines.append(text(10, y + 8, line, "font-size='11'"))
        y += LINE
    y += 4
    size = f"width='{WIDTH}' height='{y:.0f}'"
    head = f"<svg xmlns='http://www.w3.org/2000/svg' {size} viewBox='0 0 {WIDTH} {y:.0f}' "
    head += "font-family='sans-serif' font-size='12'>"
    return "\n".join((head, f"<rect {size} fill='white'/>", *lines, "</svg>\n"))


def _panel(panel: Panel, top: float) -> Iterator[str]:
    values = [v for curve in panel.series.values() for each in curve.values() for v in each]
    numbers = [number for curve in panel.series.values() for number in curve]
    across = _Scale(numbers, LEFT, WIDTH - RIGHT)
    up = _Scale(values, top + PANEL, top)
    for tick in across.ticks():
        x = across(tick)
        yield f"<path d='M{x:.1f} {top}V{top + PANEL}' stroke='{PALE}'/>"
        yield text(x, top + PANEL + 16, f"{tick:,g}", "text-anchor='middle'")
    for tick in up.ticks():
        y = up(tick)
        yield f"<path d='M{LEFT} {y:.1f}H{WIDTH - RIGHT}' stroke='{PALE}'/>"
        yield text(LEFT - 8, y + 4, f"{tick:,g}", "text-anchor='end'")
    yield text((LEFT + WIDTH - RIGHT) / 2, top + PANEL + 32, panel.across, "text-anchor='middle'")
    names: list[tuple[float, str, str]] = []
    for (name, curve), colour in zip(panel.series.items(), COLOURS, strict=False):
        points = [(across(n), up(median(each))) for n, each in sorted(curve.items())]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        yield f"<path d='M{path}' fill='none' stroke='{colour}' stroke-width='2'/>"
        for number, each in curve.items():
            x, low, high = across(number), up(min(each)), up(max(each))
            yield f"<path d='M{x:.1f} {low:.1f}V{high:.1f}' stroke='{colour}'/>"
            yield f"<circle cx='{x:.1f}' cy='{up(median(each)):.1f}' r='3' fill='{colour}'/>"
        names.append((points[-1][1], name, colour))
    taken = top - LINE
    for y, name, colour in sorted(names):
        taken = max(y, taken + LINE - 2)  # beside its curve, or below the name before
        yield text(WIDTH - RIGHT + 10, taken + 4, name, "", colour)


class _Scale:
    """Numbers, by powers of ten, on a stretch of an axis."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        positive = [value for value in values if value > 0]
        self._low = math.floor(math.log10(min(positive)) + 1e-9)
        self._high = max(self._low + 1, math.ceil(math.log10(max(positive)) - 1e-9))
        self._start = start
        self._step = (end - start) / (self._high - self._low)

    def __call__(self, value: float) -> float:
        if value <= 0:
            return self._start
        return self._start + self._step * (math.log10(value) - self._low)

    def ticks(self) -> list[float]:
        """The powers of ten."""
        return [10.0**power for power in range(self._low, self._high + 1)]
