"""The plot of the front of a training plan: time against money."""

from __future__ import annotations

from steelyard.compare.jobs import Option, TrainingPlan
from steelyard.compare.jobs.layouts import layout_text
from steelyard.report import plot
from steelyard.report.plot import Figure
from steelyard.units import SECONDS_PER_DAY, format_quantity


def training_front(plan: TrainingPlan) -> Figure:
    """Return the options that nothing beats: days against USD (device-hours where unpriced), by number of devices."""
    priced = all(option.rented_usd is not None for option in plan.front)
    title = "USD rented" if priced else "device-hours"

    def cost(option: Option) -> float:
        return option.rented_usd or 0.0 if priced else option.device_s / 3600

    data: list[Figure] = []
    counts = sorted({option.num_devices for option in plan.front})
    for place, count in enumerate(counts):
        options = [option for option in plan.front if option.num_devices == count]
        best = [option in {plan.fastest, plan.cheapest} for option in options]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"{count:,} devices",
                "x": [option.wall_s / SECONDS_PER_DAY for option in options],
                "y": [cost(option) for option in options],
                "text": [f"{layout_text(o.layout)}<br>{format_quantity(o.left_bytes, 'bytes')} left" for o in options],
                "hovertemplate": "%{x:.3r} days, %{y:,.3r}<br>%{text}",
                "marker": {
                    "color": plot.PALETTE[place % len(plot.PALETTE)],
                    "symbol": ["star" if chosen else "circle" for chosen in best],
                    "size": [15 if chosen else 9 for chosen in best],
                },
            }
        )
    xs, ys = ([value for trace in data for value in trace[axis]] for axis in ("x", "y"))
    return {"data": data, "layout": plot.layout("days", title, log_x=xs, log_y=ys)}
