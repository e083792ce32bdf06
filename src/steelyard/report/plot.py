"""What plots are made of: colours, lines, axes, as the data and layout that Plotly's JavaScript draws."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from steelyard.report import text

# Okabe and Ito's palette: told apart by readers with any common colour vision; dashes tell the lines apart in print.
BLUE, SKY, GREEN, ORANGE, VERMILION, PURPLE = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7"
PALETTE = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
OTHER = "#888888"

Figure = dict[str, Any]
Values = Iterable[float | None]


def positive(value: float) -> float | None:
    """Return what a logarithmic axis can show."""
    return value if value > 0 and math.isfinite(value) else None


def finite(values: Iterable[float]) -> list[float | None]:
    """Return values with a gap where there is no number."""
    return [value if math.isfinite(value) else None for value in values]


def layout(x: str, y: str, *, log_x: Values = (), log_y: Values = ()) -> Figure:
    """Return a layout; an axis is logarithmic where it is given the values it must show."""
    return {
        "xaxis": {"title": {"text": x}, "automargin": True} | logarithmic(log_x),
        "yaxis": {"title": {"text": y}, "automargin": True} | logarithmic(log_y),
        "margin": {"l": 70, "r": 20, "t": 20, "b": 60},
        "legend": {"orientation": "h", "y": -0.2},
        "hovermode": "closest",
    }


def logarithmic(values: Values) -> Figure:
    """Return an axis marked at powers of ten, and between when they are few; Plotly's "100m" reads as millions."""
    shown = [value for value in values if value]
    if not shown:
        return {}
    low, high = math.floor(math.log10(min(shown))), math.ceil(math.log10(max(shown)))
    steps = (1, 2, 5) if high - low <= 2 else (1,)
    marks = [step * 10.0**power for power in range(low - 1, high + 2) for step in steps]
    return {"type": "log", "tickvals": marks, "ticktext": [text.compact(mark) for mark in marks]}
