"""The plots of a decision: cost over the months, the tornado, the cheapest route over load and horizon."""

from __future__ import annotations

import math

from steelyard.decide.result import Decision, Influence, RouteMonths
from steelyard.report import plot, text
from steelyard.report.figures import COLOURS, beside, shaded_line, upright
from steelyard.report.plot import Figure

SHOWN = 8  # inputs of the tornado


def figures(decision: Decision) -> dict[str, Figure]:
    """Return the plots that can be drawn, by the id of their place on the page."""
    priced = [route for route in decision.routes if route.cumulative_usd]
    found = {}
    if priced:
        found["cumulative-cost"] = cumulative_cost(decision, priced)
    if any(math.isfinite(one.gap_low_usd) for one in decision.influences):
        found["tornado"] = tornado(decision)
    if decision.cheapest is not None:
        found["cheapest"] = cheapest(decision)
    return found


def cumulative_cost(decision: Decision, routes: list[RouteMonths]) -> Figure:
    """Return what each route has cost by the end of each month, p10 to p90 shaded, with break-even dates marked."""
    data = [part for route in routes for part in shaded_line(route.route, route.cumulative_usd)]
    drawn = plot.layout("month", "USD so far", log_y=[cost for line in data for cost in line["y"]])
    marks = [
        (one.at.p50 + 1, f"{text.title(one.right)} has paid back")
        for one in decision.crossings
        if one.axis == "date" and one.at is not None and math.isfinite(one.at.p50)
    ]
    if len(decision.plan.steps) > 1:
        step = decision.plan.steps[1]
        marks.append((step.from_month + 1, f"change to {text.title(step.route)}"))
    drawn["shapes"] = [upright(x, "dash") for x, _ in marks]
    drawn["annotations"] = [beside(x, words, place) for place, (x, words) in enumerate(marks)]
    return {"data": data, "layout": drawn}


def tornado(decision: Decision) -> Figure:
    """Return by how much the leading route is ahead at the p10 and the p90 of each input, largest effect first."""
    moved = sorted(decision.influences, key=lambda one: -abs(one.gap_high_usd - one.gap_low_usd))[:SHOWN]
    bars = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": [plot.wrapped(one.label, plot.LABEL) for one in moved],
            "x": [end - start for end, start in zip(ends, starts, strict=True)],
            "base": starts,
            "marker": {"color": colour},
            "hovertemplate": "%{y}<extra></extra>",
        }
        for name, colour, starts, ends in (
            ("from p10", plot.SKY, [one.gap_low_usd for one in moved], [_middle(one) for one in moved]),
            ("to p90", plot.ORANGE, [_middle(one) for one in moved], [one.gap_high_usd for one in moved]),
        )
    ]
    ahead = "USD ahead of the next route; below 0 the choice changes"
    drawn = plot.layout(plot.wrapped(ahead, plot.NARROW), "")
    drawn["yaxis"] |= {"autorange": "reversed"}
    drawn["barmode"] = "overlay"
    return {"data": bars, "layout": drawn}


def _middle(one: Influence) -> float:
    return (one.gap_low_usd + one.gap_high_usd) / 2


def cheapest(decision: Decision) -> Figure:
    """Return the cheapest route over first-month load and horizon as coloured cells."""
    found = decision.cheapest
    assert found is not None
    names = [name for name in COLOURS if any(name in row for row in found.route)]
    scale = [[edge, COLOURS[name]] for i, name in enumerate(names) for edge in (i / len(names), (i + 1) / len(names))]
    data = {
        "type": "heatmap",
        "x": list(found.requests_per_day),
        "y": [f"{month} months" for month in found.horizon_months],
        "z": [[names.index(name) for name in row] for row in found.route],
        "text": [[text.title(name) for name in row] for row in found.route],
        "hovertemplate": "%{x:,.3r} requests a day, %{y}: %{text}<extra></extra>",
        "zmin": -0.5,
        "zmax": len(names) - 0.5,
        "colorscale": scale,
        "colorbar": {"tickvals": list(range(len(names))), "ticktext": [text.title(name) for name in names]},
        "xgap": 1,
        "ygap": 1,
    }
    drawn = plot.layout("requests a day in the first month", "", log_x=found.requests_per_day)
    drawn["yaxis"] |= {"type": "category"}
    return {"data": [data], "layout": drawn}
