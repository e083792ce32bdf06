"""The plot of a serving plan: speed for a user against throughput of a device."""

from __future__ import annotations

from steelyard.compare.serving.plan_result import ServingPlan
from steelyard.report import plot
from steelyard.report.plot import Figure

MOST_NAMES = 8


def serving_front(plan: ServingPlan) -> Figure:
    """Return every simulated point of the options, those within the objective filled, and the front as a line."""
    data: list[Figure] = []
    for place, option in enumerate(plan.options[:MOST_NAMES]):
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": option.candidate.name,
                "x": [point.tokens_per_s_per_user for point in option.points],
                "y": [point.tokens_per_s_per_device for point in option.points],
                "hovertemplate": "%{x:.3r} tokens/s a user, %{y:,.4r} tokens/s a device",
                "marker": {
                    "color": plot.PALETTE[place % len(plot.PALETTE)],
                    "size": 9,
                    "symbol": ["circle" if point.meets else "circle-open" for point in option.points],
                },
            }
        )
    front = sorted((point for _, point in plan.front), key=lambda point: point.tokens_per_s_per_user)
    data.append(
        {
            "type": "scatter",
            "mode": "lines",
            "name": "front",
            "hoverinfo": "skip",
            "x": [point.tokens_per_s_per_user for point in front],
            "y": [point.tokens_per_s_per_device for point in front],
            "line": {"color": plot.OTHER, "width": 1.5, "dash": "dash"},
        }
    )
    return {"data": data, "layout": plot.layout("tokens a second for a user", "tokens a second of a device")}
