"""The plot of energy and carbon by route."""

from __future__ import annotations

from steelyard.compare.result import Comparison, Quantity
from steelyard.report import plot, text
from steelyard.report.figures import COLOURS
from steelyard.report.plot import Figure
from steelyard.units import JOULES_PER_KWH

_SHOWN = (("j", 1 / JOULES_PER_KWH, "kWh over the horizon"), ("kgco2e", 1.0, "kg CO2e over the horizon"))


def energy_and_carbon(comparison: Comparison) -> Figure:
    """Return each route's energy and carbon over the horizon side by side, with p10 to p90; empty where unknown."""
    cells = comparison.factor("optimisation_goals").routes
    data: list[Figure] = []
    layout = plot.layout(_SHOWN[0][2], "") | {"showlegend": False}
    for place, (unit, factor, title) in enumerate(_SHOWN):
        found = {route: _of(cell.quantities, unit) for route, cell in cells.items()}
        known = {route: item.value for route, item in found.items() if item is not None and item.value is not None}
        axis = "" if place == 0 else "2"
        medians = [value.p50 * factor for value in known.values()]
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "xaxis": f"x{axis}",
                "x": medians,
                "y": [text.title(route) for route in known],
                "marker": {"color": [COLOURS.get(route, plot.OTHER) for route in known]},
                "error_x": {"type": "data", "symmetric": False, "thickness": 2, "color": plot.OTHER}
                | {"array": [(value.p90 - value.p50) * factor for value in known.values()]}
                | {"arrayminus": [(value.p50 - value.p10) * factor for value in known.values()]},
                "hovertemplate": f"%{{y}}: %{{x:,.3r}} {title.partition(' over')[0]}<extra></extra>",
            }
        )
        ends = [value * factor for estimate in known.values() for value in (estimate.p10, estimate.p90)]
        layout[f"xaxis{axis}"] = {"title": {"text": title}, "automargin": True, **plot.logarithmic(ends)}
        layout[f"xaxis{axis}"]["domain"] = [0.0, 0.46] if place == 0 else [0.54, 1.0]
    layout["yaxis"] |= {"autorange": "reversed", "automargin": True}
    return {"data": data, "layout": layout} if any(trace["x"] for trace in data) else {}


def _of(quantities: tuple[Quantity, ...], unit: str) -> Quantity | None:
    return next((item for item in quantities if item.unit == unit), None)
