"""The plot of energy and carbon by route."""

from __future__ import annotations

from steelyard.compare.result import Comparison, Quantity
from steelyard.report import plot, text
from steelyard.report.figures import COLOURS
from steelyard.report.plot import Figure
from steelyard.units import JOULES_PER_KWH

_SHOWN = (("j", 1 / JOULES_PER_KWH, "kWh"), ("kgco2e", 1.0, "kg CO2e"))  # unit of the cell, factor, unit shown
_DOMAINS = ((0.0, 0.46), (0.54, 1.0))


def energy_and_carbon(comparison: Comparison) -> Figure:
    """Return each route's energy and carbon over the horizon side by side, p10 to p90; empty where unknown."""
    cells = comparison.factor("optimisation_goals").routes
    data: list[Figure] = []
    layout = plot.layout("", "") | {"showlegend": False}
    for place, (unit, factor, shown) in enumerate(_SHOWN):
        found = {route: _of(cell.quantities, unit) for route, cell in cells.items()}
        known = {route: item.value for route, item in found.items() if item is not None and item.value is not None}
        axis = "" if place == 0 else "2"
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "xaxis": f"x{axis}",
                "x": [value.p50 * factor for value in known.values()],
                "y": [plot.wrapped(text.title(route), plot.LABEL) for route in known],
                "marker": {"size": 12, "color": [COLOURS.get(route, plot.OTHER) for route in known]},
                "error_x": {"type": "data", "symmetric": False, "thickness": 2, "color": plot.OTHER}
                | {"array": [(value.p90 - value.p50) * factor for value in known.values()]}
                | {"arrayminus": [(value.p50 - value.p10) * factor for value in known.values()]},
                "hovertemplate": f"%{{y}}: %{{x:,.3r}} {shown}<extra></extra>",
            }
        )
        ends = [value * factor for estimate in known.values() for value in (estimate.p10, estimate.p90)]
        layout[f"xaxis{axis}"] = _axis(shown, ends) | {"domain": list(_DOMAINS[place])}
    layout["yaxis"] |= {"autorange": "reversed", "automargin": True}
    return {"data": data, "layout": layout} if any(trace["x"] for trace in data) else {}


def _axis(title: str, ends: list[float]) -> Figure:
    """Return half a plot's axis: with fewer marks than a whole one's."""
    axis = plot.logarithmic(ends)
    marks = zip(axis.get("tickvals", ()), axis.get("ticktext", ()), strict=True)
    kept = [(value, words) for value, words in marks if f"{value:e}"[0] in "15"]
    few = {"tickvals": [value for value, _ in kept], "ticktext": [words for _, words in kept]} if kept else {}
    return {"title": {"text": title}, "automargin": True, **axis, **few}


def _of(quantities: tuple[Quantity, ...], unit: str) -> Quantity | None:
    return next((item for item in quantities if item.unit == unit), None)
