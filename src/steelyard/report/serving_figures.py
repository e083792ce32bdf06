"""Plots of serving: what happens over time, how latencies are spread, what more users get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from steelyard.compare.serving.curve import LoadPoint
from steelyard.inference.simulator import Distribution, Timeline
from steelyard.report.plot import DASHES, OTHER, PALETTE, Figure, finite, layout, mark, positive, spread_bars

_CLOCK = ((2.0 * 86_400.0, 86_400.0, "days"), (2.0 * 3600.0, 3600.0, "hours"), (300.0, 60.0, "minutes"))
_QUANTILES = np.concatenate([np.linspace(0.5, 99.0, 198), [99.5, 99.9]])


def over_time(timeline: Timeline, series: Mapping[str, Sequence[float]], y: str, *, limit: float = np.inf) -> Figure:
    """Return named series over the time of a run; a limit as a dotted line.

    Args:
        timeline: Whose slots they belong to.
        series: Name -> values [T].
        y: Title of their axis.
        limit: What is asked of them.
    """
    end_s = float(timeline.edges_s[-1])
    scale, unit = next(((scale, unit) for least, scale, unit in _CLOCK if end_s >= least), (1.0, "s"))
    middle = 0.5 * (timeline.edges_s[1:] + timeline.edges_s[:-1]) / scale
    data = [_line(name, middle, values, place) for place, (name, values) in enumerate(series.items())]
    drawn = {"data": data, "layout": layout(f"{unit} from the first request", y)}
    drawn["layout"]["yaxis"]["rangemode"] = "tozero"
    return _with_limit(drawn, y=limit)


def _line(name: str, x: Any, y: Any, place: int) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": finite(np.asarray(x).tolist()),
        "y": finite(np.asarray(y, dtype=np.float64).tolist()),
        "line": {"color": PALETTE[place % len(PALETTE)], "width": 2, "dash": DASHES[place % len(DASHES)]},
        "hovertemplate": "%{x:.3g}: %{y:.4g}",
    }


def _with_limit(drawn: Figure, *, x: float = np.inf, y: float = np.inf) -> Figure:
    """Return a plot with a dotted line at what is asked, where something is."""
    shapes, line = [], {"color": OTHER, "width": 1.5, "dash": "dot"}
    if np.isfinite(y):
        shapes.append({"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": line})
    if np.isfinite(x):
        shapes.append({"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": x, "x1": x, "line": line})
    drawn["layout"]["shapes"] = shapes
    return drawn


def spread_of(latencies: Mapping[str, Distribution]) -> Figure | None:
    """Return which share of requests (or gaps between tokens) is within a time."""
    data, reached = [], []
    for place, (name, held) in enumerate(latencies.items()):
        if held.counts.sum() > 0:
            times = [held.percentile_s(float(level)) for level in _QUANTILES]
            reached += times
            data.append(_line(name, times, _QUANTILES, place) | {"hovertemplate": "%{y:.1f}% within %{x:.3g} s"})
    drawn = {"data": data, "layout": layout("s", "% within this time", log_x=[positive(time) for time in reached])}
    return drawn if data else None


def load_curve(points: Sequence[LoadPoint], asked: tuple[float, float] | None) -> Figure | None:
    """Return tokens/s of a device against tokens/s of a user as users come, with the load that was asked about."""
    if not points:
        return None
    users, devices = [point.of_a_user for point in points], [point.of_a_device for point in points]
    curve = _line("1, 2, 4, ... users", [one.p50 for one in users], [one.p50 for one in devices], 0) | {
        "mode": "lines+markers",
        "text": [f"{point.users:,} users, TTFT {point.ttft_s:.2g} s" for point in points],
        "hovertemplate": "%{text}: %{x:.3g} tokens/s each, %{y:.4g} of a device",
        "error_y": spread_bars(devices),
    }
    data = [curve]
    if asked is not None:
        data.append(mark("your load", *asked))
    return {"data": data, "layout": layout("tokens/s of a user", "tokens/s of a device")}
