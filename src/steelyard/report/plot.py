"""What plots are made of: colours, lines, axes, as the data and layout that Plotly's JavaScript draws."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from steelyard.records.estimate import Estimate
from steelyard.report import text

# Okabe and Ito's palette: told apart by readers with any common colour vision; dashes tell the lines apart in print.
BLUE, SKY, GREEN, ORANGE, VERMILION, PURPLE = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7"
PALETTE = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
OTHER = "#888888"
NARROW, LABEL = 28, 18  # letters a line, of an axis beside names and of those names
_PATTERNS = ("", "/", "x")  # of parts beyond the palette

Figure = dict[str, Any]
Values = Iterable[float | None]


def positive(value: float) -> float | None:
    """Return what a logarithmic axis can show."""
    return value if value > 0 and math.isfinite(value) else None


def finite(values: Iterable[float]) -> list[float | None]:
    """Return values with a gap where there is no number."""
    return [value if math.isfinite(value) else None for value in values]


def spread_bars(values: Sequence[Estimate]) -> Figure:
    """Return the bars of p10 to p90 around medians."""
    above, below = [one.p90 - one.p50 for one in values], [one.p50 - one.p10 for one in values]
    return {"type": "data", "symmetric": False, "thickness": 1.5, "color": OTHER, "array": above, "arrayminus": below}


def mark(name: str, x: float, y: float) -> Figure:
    """Return one point that stands out."""
    marker = {"size": 14, "symbol": "star", "color": ORANGE, "line": {"width": 1, "color": OTHER}}
    return {"type": "scatter", "mode": "markers", "name": name, "x": [x], "y": [y], "marker": marker}


def stacked(groups: Mapping[str, Mapping[str, float]], x: str) -> Figure:
    """Return bars that lie, one a group, each made of the same named parts; parts that are nothing are left out."""
    names = dict.fromkeys(part for parts in groups.values() for part in parts)
    shown = [name for name in names if any(parts.get(name, 0.0) > 0 for parts in groups.values())]
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": [wrapped(name, LABEL) for name in groups],
            "x": [parts.get(name, 0.0) for parts in groups.values()],
            "marker": {"color": PALETTE[place % len(PALETTE)], "pattern": {"shape": _PATTERNS[place // len(PALETTE)]}},
            "hovertemplate": f"{name}: %{{x:.4g}}<extra></extra>",
        }
        for place, name in enumerate(shown)
    ]
    drawn = layout(wrapped(x, NARROW), "") | {"barmode": "stack", "bargap": 0.4}
    drawn["legend"] |= {"traceorder": "normal"}
    drawn["yaxis"] |= {"autorange": "reversed"}
    return {"data": data, "layout": drawn}


def layout(x: str, y: str, *, log_x: Values = (), log_y: Values = ()) -> Figure:
    """Return a layout; an axis is logarithmic where it is given the values it must show."""
    return {
        "xaxis": {"title": {"text": x}, "automargin": True} | logarithmic(log_x),
        "yaxis": {"title": {"text": y}, "automargin": True} | logarithmic(log_y),
        "margin": {"l": 70, "r": 20, "t": 20, "b": 60},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "hovermode": "closest",
    }


def wrapped(words: str, letters: int) -> str:
    """Return words in lines of so many letters at most, so that a phone shows all of them."""
    return "<br>".join(textwrap.wrap(words, letters, break_long_words=False)) or words


def logarithmic(values: Values) -> Figure:
    """Return an axis marked at powers of ten, and between when they are few; Plotly's "100m" reads as millions."""
    shown = [value for value in values if value]
    if not shown:
        return {}
    low, high = math.floor(math.log10(min(shown))), math.ceil(math.log10(max(shown)))
    steps = (1, 2, 5) if high - low <= 2 else (1,)
    marks = [step * 10.0**power for power in range(low - 1, high + 2) for step in steps]
    return {"type": "log", "tickvals": marks, "ticktext": [text.compact(mark) for mark in marks]}
