"""The results as a table for people, and as a picture."""

from __future__ import annotations

import html
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

Results = Mapping[str, Mapping[str, Sequence[float]]]


def as_markdown(rows: Mapping[str, Any], results: Results) -> str:
    """A line a row: median, spread, and how many times ours the others take."""
    lines = [
        "| row | unit | nbagent | others: figure (× ours) |",
        "|---|---|---|---|",
    ]
    notes = []
    for name, found in results.items():
        row, own = rows[name], found.get("nbagent", ())
        shown = []
        for column, values in found.items():
            if column == "nbagent":
                continue
            ratio = f" (×{_median(values) / _median(own):.2g})" if own else ""
            shown.append(f"{column} {_figure(values)}{ratio}")
        mine = _figure(own) if own else "–"
        lines.append(f"| {row.title} | {row.unit} | {mine} | {' · '.join(shown)} |")
        if row.cause:
            notes.append(f"- {row.title}: {row.cause}")
    return "\n".join([*lines, "", *notes])


def _median(values: Sequence[float]) -> float:
    return statistics.median(values)


def _figure(values: Sequence[float]) -> str:
    """The median, and the lowest and highest where there are several."""
    if len(values) == 1:
        return f"{values[0]:.3g}"
    return f"{_median(values):.3g} [{min(values):.3g}–{max(values):.3g}]"


def exponent(sizes: Sequence[int], totals: Sequence[float]) -> float:
    """The slope of the line through the logarithms: 1 is linear, 0 does not grow."""
    xs, ys = [math.log(size) for size in sizes], [math.log(total) for total in totals]
    return statistics.linear_regression(xs, ys).slope


def as_svg(rows: Mapping[str, Any], results: Results) -> str:
    """How many times ours the others take, a bar each, on a scale of powers of ten."""
    bars: list[tuple[str, float]] = []
    for name, found in results.items():
        own = found.get("nbagent", ())
        for column, values in found.items() if own else ():
            if column not in ("nbagent", "floor"):
                bars.append((f"{rows[name].title}: {column}", _median(values) / _median(own)))
    most = max([math.log10(max(ratio, 1.0)) for _, ratio in bars], default=1.0) or 1.0
    middle, unit, height = 420, 300 / most, 20
    parts = []
    for index, (label, ratio) in enumerate(bars):
        width = abs(math.log10(ratio)) * unit
        x, y = middle if ratio >= 1 else middle - width, index * height
        colour = "#4c9f70" if ratio >= 1 else "#c0504d"
        parts.append(
            f'<text x="{middle - 130}" y="{y + 14}" text-anchor="end">{html.escape(label)}</text>'
            f'<rect x="{x:.1f}" y="{y + 3}" width="{width:.1f}" height="14" fill="{colour}"/>'
            f'<text x="{max(x + width, middle) + 4:.1f}" y="{y + 14}">×{ratio:.2g}</text>'
        )
    size = f'width="{middle + 380}" height="{len(bars) * height + 6}"'
    style = 'font-family="Helvetica" font-size="11"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{"".join(parts)}</svg>\n'
