"""The plots of a comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence

from steelyard.compare.result import Comparison, RouteSummary
from steelyard.records.estimate import Estimate
from steelyard.report import plot, text
from steelyard.report.plot import Figure, positive

COLOURS = {
    "api": plot.BLUE,
    "hosted_finetune": plot.SKY,
    "serve": plot.GREEN,
    "hybrid": plot.ORANGE,
    "finetune": plot.VERMILION,
    "pretrain": plot.PURPLE,
}
DASHES = {
    "api": "solid",
    "hosted_finetune": "dot",
    "serve": "solid",
    "hybrid": "dash",
    "finetune": "dashdot",
    "pretrain": "longdash",
}


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
            "y": [positive(cost) for cost in costs],
            "line": _line(route, 2.5),
            "hovertemplate": "%{x:,.3r} requests: %{y:$,.3r} a month",
        }
        for route, costs in even.usd_per_month.items()
    ]
    edges = [item.from_requests_per_month for item in even.segments if item.from_requests_per_month > 0]
    marks = [(edge, "break-even", "dash") for edge in edges]
    marks.append((even.stated_requests_per_month, "your load", "dot"))
    costs = [cost for line in data for cost in line["y"]]
    layout = plot.layout("requests a month", "USD a month", log_x=even.requests_per_month, log_y=costs)
    layout["shapes"] = [upright(x, dash) for x, _, dash in marks]
    layout["annotations"] = [beside(math.log10(x), words, place) for place, (x, words, _) in enumerate(marks)]
    return {"data": data, "layout": layout}


def cumulative_cost(summaries: list[RouteSummary]) -> Figure:
    """Return what each route has cost by the end of each month, p10 to p90 shaded."""
    data = [part for item in summaries for part in shaded_line(item.route, item.cumulative_usd)]
    layout = plot.layout("month", "USD so far", log_y=[cost for line in data for cost in line["y"]])
    overtaking = _overtaken(summaries)
    layout["shapes"] = [upright(month, "dash") for month, _ in overtaking]
    layout["annotations"] = [
        beside(month, f"break-even: {text.title(route)}", place) for place, (month, route) in enumerate(overtaking)
    ]
    return {"data": data, "layout": layout}


def shaded_line(route: str, by_month: Sequence[Estimate]) -> list[Figure]:
    """Return the lines that draw the medians of each month over their shaded p10 to p90."""
    months = list(range(1, len(by_month) + 1))
    name, shade = text.title(route), COLOURS.get(route, plot.OTHER) + "2e"
    common = {"type": "scatter", "mode": "lines", "x": months, "legendgroup": name}
    hidden = common | {"showlegend": False, "hoverinfo": "skip", "line": {"width": 0}}
    return [
        hidden | {"y": [positive(month.p90) for month in by_month]},
        hidden | {"y": [positive(month.p10) for month in by_month], "fill": "tonexty", "fillcolor": shade},
        common
        | {"name": name, "line": _line(route, 2), "hovertemplate": "month %{x}: %{y:$,.3r}"}
        | {"y": [positive(month.p50) for month in by_month]},
    ]


def _overtaken(summaries: list[RouteSummary]) -> list[tuple[int, str]]:
    """Return the months by whose end another route in the running has cost least so far, at the median."""
    running = [item for item in summaries if item.in_running]
    if not running:
        return []
    months = range(min(len(item.cumulative_usd) for item in running))
    least = [min(running, key=lambda item: item.cumulative_usd[month].p50).route for month in months]
    return [(month + 1, least[month]) for month in months if month and least[month] != least[month - 1]]


def upright(x: float, dash: str) -> Figure:
    """Return a line from the bottom to the top of the plot."""
    place = {"type": "line", "xref": "x", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1}
    return place | {"line": {"color": plot.OTHER, "width": 1.5, "dash": dash}}


def beside(x: float, words: str, place: int) -> Figure:
    """Return words beside an upright line, one below the other."""
    where = {"x": x, "xref": "x", "y": 1.0 - 0.06 * place, "yref": "paper", "text": words}
    return where | {"showarrow": False, "xanchor": "left", "xshift": 4}


def total_cost(summaries: list[RouteSummary]) -> Figure:
    """Return each route's total over the horizon, with its p10 to p90."""
    shown = [(item, item.total_usd) for item in summaries if item.total_usd and positive(item.total_usd.p90)]
    totals = [total for _, total in shown]
    data = {
        "type": "scatter",
        "mode": "markers",
        "showlegend": False,
        "x": [positive(total.p50) for total in totals],
        "y": [
            plot.wrapped(text.title(item.route) + ("" if item.in_running else " (out)"), plot.LABEL)
            for item, _ in shown
        ],
        "marker": {"size": 13, "color": [COLOURS.get(item.route, plot.OTHER) for item, _ in shown]},
        "error_x": {"type": "data", "symmetric": False, "thickness": 2, "color": plot.OTHER}
        | {"array": [_above(total) for total in totals], "arrayminus": [_below(total) for total in totals]},
        "hovertemplate": "%{y}: %{x:$,.3r}<extra></extra>",
    }
    over = plot.wrapped("USD over the whole horizon, p10 to p90", plot.NARROW)
    layout = plot.layout(over, "", log_x=[positive(total.p50) for total in totals])
    layout["yaxis"] |= {"autorange": "reversed", "automargin": True}
    return {"data": [data], "layout": layout}


def _above(total: Estimate) -> float:
    return total.p90 - total.p50


def _below(total: Estimate) -> float:
    return total.p50 - total.p10


def _line(route: str, width: float) -> Figure:
    return {"color": COLOURS.get(route, plot.OTHER), "width": width, "dash": DASHES.get(route, "solid")}
