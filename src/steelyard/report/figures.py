"""The plots of a comparison, as the data and layout that Plotly's JavaScript draws."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from steelyard.compare.result import Comparison, RouteSummary
from steelyard.records.estimate import Estimate
from steelyard.report import text

# Okabe and Ito's palette: told apart by readers with any common colour vision; dashes tell the lines apart in print.
COLOURS = {
    "api": "#0072B2",
    "hosted_finetune": "#56B4E9",
    "serve": "#009E73",
    "hybrid": "#E69F00",
    "finetune": "#D55E00",
    "pretrain": "#CC79A7",
}
DASHES = {
    "api": "solid",
    "hosted_finetune": "dot",
    "serve": "solid",
    "hybrid": "dash",
    "finetune": "dashdot",
    "pretrain": "longdash",
}
OTHER = "#888888"

Figure = dict[str, Any]
Values = Iterable[float | None]


def figures(comparison: Comparison) -> dict[str, Figure]:
    """Return the plots that can be drawn, by the id of their place on the page."""
    priced = [item for item in comparison.summaries if item.cumulative_usd]
    found = {}
    if comparison.break_even.usd_per_month:
        found["cost-by-load"] = cost_by_load(comparison)
    if priced:
        found["cumulative-cost"] = cumulative_cost(priced)
        found["total-cost"] = total_cost(priced)
    return found


def cost_by_load(comparison: Comparison) -> Figure:
    """Return each route's monthly cost over the monthly load, with break-even and stated load marked."""
    even = comparison.break_even
    data: list[Figure] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": text.title(route),
            "x": list(even.requests_per_month),
            "y": [_positive(cost) for cost in costs],
            "line": _line(route, 2.5),
            "hovertemplate": "%{x:,.3r} requests: %{y:$,.3r} a month",
        }
        for route, costs in even.usd_per_month.items()
    ]
    edges = [item.from_requests_per_month for item in even.segments if item.from_requests_per_month > 0]
    marks = [(edge, "break-even", "dash") for edge in edges]
    marks.append((even.stated_requests_per_month, "your load", "dot"))
    costs = [cost for line in data for cost in line["y"]]
    drawn = layout("requests a month", "USD a month", log_x=even.requests_per_month, log_y=costs)
    drawn["shapes"] = [
        {"type": "line", "xref": "x", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1}
        | {"line": {"color": OTHER, "width": 1.5, "dash": dash}}
        for x, _, dash in marks
    ]
    drawn["annotations"] = [
        {"x": math.log10(x), "xref": "x", "y": 1.0 - 0.06 * i, "yref": "paper", "text": words}
        | {"showarrow": False, "xanchor": "left", "xshift": 4}
        for i, (x, words, _) in enumerate(marks)
    ]
    return {"data": data, "layout": drawn}


def cumulative_cost(summaries: list[RouteSummary]) -> Figure:
    """Return what each route has cost by the end of each month, p10 to p90 shaded."""
    data = [part for item in summaries for part in shaded_line(item.route, item.cumulative_usd)]
    drawn = layout("month", "USD so far", log_y=[cost for line in data for cost in line["y"]])
    return {"data": data, "layout": drawn}


def shaded_line(route: str, by_month: Sequence[Estimate]) -> list[Figure]:
    """Return the lines that draw the medians of each month over their shaded p10 to p90."""
    months = list(range(1, len(by_month) + 1))
    name, shade = text.title(route), COLOURS.get(route, OTHER) + "2e"
    common = {"type": "scatter", "mode": "lines", "x": months, "legendgroup": name}
    hidden = common | {"showlegend": False, "hoverinfo": "skip", "line": {"width": 0}}
    return [
        hidden | {"y": [_positive(month.p90) for month in by_month]},
        hidden | {"y": [_positive(month.p10) for month in by_month], "fill": "tonexty", "fillcolor": shade},
        common
        | {"name": name, "line": _line(route, 2), "hovertemplate": "month %{x}: %{y:$,.3r}"}
        | {"y": [_positive(month.p50) for month in by_month]},
    ]


def total_cost(summaries: list[RouteSummary]) -> Figure:
    """Return each route's total over the horizon, with its p10 to p90."""
    shown = [(item, item.total_usd) for item in summaries if item.total_usd and _positive(item.total_usd.p90)]
    totals = [total for _, total in shown]
    data = {
        "type": "scatter",
        "mode": "markers",
        "showlegend": False,
        "x": [_positive(total.p50) for total in totals],
        "y": [text.title(item.route) + ("" if item.in_running else " (out)") for item, _ in shown],
        "marker": {"size": 13, "color": [COLOURS.get(item.route, OTHER) for item, _ in shown]},
        "error_x": {"type": "data", "symmetric": False, "thickness": 2, "color": OTHER}
        | {"array": [_above(total) for total in totals], "arrayminus": [_below(total) for total in totals]},
        "hovertemplate": "%{y}: %{x:$,.3r}<extra></extra>",
    }
    drawn = layout("USD over the whole horizon, p10 to p90", "", log_x=[_positive(total.p50) for total in totals])
    drawn["yaxis"] |= {"autorange": "reversed", "automargin": True}
    return {"data": [data], "layout": drawn}


def _above(total: Estimate) -> float:
    return total.p90 - total.p50


def _below(total: Estimate) -> float:
    return total.p50 - total.p10


def _positive(value: float) -> float | None:
    """Return what a logarithmic axis can show."""
    return value if value > 0 and math.isfinite(value) else None


def _line(route: str, width: float) -> Figure:
    return {"color": COLOURS.get(route, OTHER), "width": width, "dash": DASHES.get(route, "solid")}


def layout(x: str, y: str, *, log_x: Values = (), log_y: Values = ()) -> Figure:
    """Return a layout; an axis is logarithmic where it is given the values it must show."""
    return {
        "xaxis": {"title": {"text": x}, "automargin": True} | _logarithmic(log_x),
        "yaxis": {"title": {"text": y}, "automargin": True} | _logarithmic(log_y),
        "margin": {"l": 70, "r": 20, "t": 20, "b": 60},
        "legend": {"orientation": "h", "y": -0.2},
        "hovermode": "closest",
    }


def _logarithmic(values: Values) -> Figure:
    """Return an axis marked at powers of ten, and between when they are few; Plotly's "100m" reads as millions."""
    shown = [value for value in values if value]
    if not shown:
        return {}
    low, high = math.floor(math.log10(min(shown))), math.ceil(math.log10(max(shown)))
    steps = (1, 2, 5) if high - low <= 2 else (1,)
    marks = [step * 10.0**power for power in range(low - 1, high + 2) for step in steps]
    return {"type": "log", "tickvals": marks, "ticktext": [text.compact(mark) for mark in marks]}
