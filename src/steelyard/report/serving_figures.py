"""Plots of serving: what happens over time, how latencies are spread, what more users get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from steelyard.compare.serving.plan_result import PlanOption, PlanPoint, ServingPlan
from steelyard.inference.simulator import Distribution, Timeline
from steelyard.report.plot import DASHES, OTHER, PALETTE, Figure, finite, layout, mark, positive, spread_bars

if TYPE_CHECKING:
    from steelyard.compare.serving.curve import LoadPoint

_CLOCK = ((2.0 * 86_400.0, 86_400.0, "days"), (2.0 * 3600.0, 3600.0, "hours"), (300.0, 60.0, "minutes"))
_OPTIONS = 6  # lines that can be told apart
_QUANTILES = np.concatenate([np.linspace(0.5, 99.0, 198), [99.5, 99.9]])


def over_time(
    timeline: Timeline, series: Mapping[str, npt.NDArray[np.float64]], y: str, *, limit: float = np.inf
) -> Figure:
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
    axes = layout(f"{unit} from the first request", y)
    axes["yaxis"]["rangemode"] = "tozero"
    return _with_limit({"data": data, "layout": axes}, y=limit)


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


def user_against_device(plan: ServingPlan) -> Figure:
    """Return tokens/s of a user against tokens/s of a device at every simulated point within the objective."""
    data = [
        _points(option, place, [(point.tokens_per_s_per_user, point.tokens_per_s_per_device) for point in held], held)
        for place, option in enumerate(plan.options[:_OPTIONS])
        if (held := [point for point in option.points if point.meets])
    ]
    front = [(point.tokens_per_s_per_user, point.tokens_per_s_per_device) for _, point in plan.front]
    users, devices = zip(*front, strict=True)
    edge = _line("nothing better", users, devices, 0) | {"line": {"color": OTHER, "width": 4, "dash": "dot"}}
    return {"data": [edge, *data], "layout": layout("tokens/s of a user (median)", "tokens/s of a device")}


def money_against_ttft(plan: ServingPlan) -> Figure | None:
    """Return the cost of a million tokens against TTFT at every simulated point; None where nothing has a price."""
    data, costs = [], []
    for place, option in enumerate(plan.options[:_OPTIONS]):
        held = [(point, cost) for point in option.points if (cost := option.usd_per_mtoken(point)) is not None]
        if held:
            pairs = [(point.ttft_s, cost) for point, cost in held]
            costs += pairs
            data.append(_points(option, place, pairs, [point for point, _ in held]))
    if not data:
        return None
    percentile = plan.question.objective.ttft_percentile
    log_x, log_y = ([positive(value) for value in values] for values in zip(*costs, strict=True))
    drawn = layout(f"s, TTFT p{percentile:g}", "USD per million output tokens", log_x=log_x, log_y=log_y)
    return _with_limit({"data": data, "layout": drawn}, x=plan.question.objective.ttft_s)


def _points(
    option: PlanOption, place: int, pairs: Sequence[tuple[float, float]], points: Sequence[PlanPoint]
) -> Figure:
    x, y = zip(*pairs, strict=True)
    filled = ["circle" if point.meets else "circle-open" for point in points]
    return _line(option.candidate.name, x, y, place) | {
        "mode": "lines+markers",
        "marker": {"symbol": filled, "size": 7},
        "text": [f"{point.request_rate_per_s:.3g} requests/s" for point in points],
        "hovertemplate": "%{text}: %{x:.3g}, %{y:.4g}",
    }
