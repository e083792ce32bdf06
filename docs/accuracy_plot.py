#!/usr/bin/env python3
"""Draw predicted against measured training speed, every family of sources left out of the fit that predicts it.

`python docs/accuracy_plot.py` writes `docs/reference/accuracy-training.svg` (the fits take a minute).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from steelyard.validation import training
from steelyard.validation.result import Validation
from steelyard.validation.training.points import SPEED

TARGET = Path(__file__).parent / "reference" / "accuracy-training.svg"
SIDE, LEFT, TOP, LEGEND = 460, 60, 20, 150
COLOURS = (
    "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf",
    "#000000",
)  # fmt: skip


def draw(found: Validation) -> str:
    """Return the plot as SVG: both axes tokens/s of one device, logarithmic."""
    pairs = [
        (point.family, point.value, float(middle))
        for point, middle in zip(found.points, found.predicted.p50, strict=True)
        if point.metric == SPEED
    ]
    ends = [math.log10(value) for _, measured, predicted in pairs for value in (measured, predicted)]
    low, high = math.floor(min(ends)), math.ceil(max(ends))
    width, height = LEFT + SIDE + LEGEND, TOP + SIDE + 50
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"',
        ' font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        *_frame(low, high),
        *_points(pairs, low, high),
    ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _at(value: float, low: int, high: int) -> float:
    return SIDE * (math.log10(value) - low) / (high - low)


def _frame(low: int, high: int) -> Iterator[str]:
    yield f'<rect x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}" fill="none" stroke="#888"/>'
    for power in range(low, high + 1):
        place = SIDE * (power - low) / (high - low)
        x, y = LEFT + place, TOP + SIDE - place
        yield f'<path d="M{x:.0f} {TOP}v{SIDE}M{LEFT} {y:.0f}h{SIDE}" stroke="#eee"/>'
        yield f'<text x="{x:.0f}" y="{TOP + SIDE + 16}" text-anchor="middle">{10**power:,}</text>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.0f}" text-anchor="end">{10**power:,}</text>'
    for factor, dash in ((1.0, ""), (1.5, "4 3"), (1 / 1.5, "4 3")):
        shift = SIDE * math.log10(factor) / (high - low)
        x1, y1 = LEFT + max(-shift, 0.0), TOP + SIDE - max(shift, 0.0)
        x2, y2 = LEFT + SIDE - max(shift, 0.0), TOP + max(-shift, 0.0)
        yield f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="#888" stroke-dasharray="{dash}"/>'
    middle = LEFT + SIDE / 2
    yield f'<text x="{middle}" y="{TOP + SIDE + 36}" text-anchor="middle">measured, tokens/s of one device</text>'
    yield (
        f'<text transform="translate(14 {TOP + SIDE / 2}) rotate(-90)" text-anchor="middle">'
        "predicted, its family of sources left out (dashed: 1.5 times off)</text>"
    )


def _points(pairs: list[tuple[str, float, float]], low: int, high: int) -> Iterator[str]:
    families = sorted({family for family, _, _ in pairs}, key=lambda one: -sum(f == one for f, _, _ in pairs))
    for number, name in enumerate(families):
        colour, own = COLOURS[number % len(COLOURS)], [pair for pair in pairs if pair[0] == name]
        yield f'<g fill="{colour}" fill-opacity="0.5">'
        for _, measured, predicted in own:
            x, y = LEFT + _at(measured, low, high), TOP + SIDE - _at(predicted, low, high)
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>'
        y = TOP + 14 + 18 * number
        yield f'<circle cx="{LEFT + SIDE + 14}" cy="{y - 4}" r="4"/></g>'
        yield f'<text x="{LEFT + SIDE + 24}" y="{y}">{name} ({len(own)})</text>'


if __name__ == "__main__":
    TARGET.write_text(draw(training.validate()), encoding="utf-8")
    print(f"written: {TARGET}")
